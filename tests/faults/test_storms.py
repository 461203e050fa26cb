"""Many things at once, in an order that a seed decides: events keep their order, none is lost or doubled."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

import pytest

import durable_ray as dr
from durable_ray.actors.errors import InstanceFinished, OrchestrationTerminated
from durable_ray.actors.host.passivation import passivate
from durable_ray.actors.instances.placement import dedicated_host
from durable_ray.actors.settings import HubSettings
from tests.faults.armed import armed_hub
from tests.faults.shapes import chain, step

pytestmark = pytest.mark.fault


@dr.orchestrator(name="storm.gather")
async def gather(ctx: dr.OrchestrationContext, seen: list[str]) -> list[str]:
    """Takes one to three events, then begins anew; the last word ends it."""
    for _ in range(1 + len(seen) % 3):
        seen = [*seen, await ctx.wait_for_external_event("e")]
        if seen[-1] == "end":
            return seen[:-1]
    ctx.continue_as_new(seen)
    raise AssertionError("continue_as_new does not return")


def in_threads(*works: Callable[[], None]) -> None:
    errors: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    assert not any(thread.is_alive() for thread in threads), "somebody hangs"
    if errors:
        raise errors[0]


@pytest.mark.parametrize("trouble", ["none", "crashes", "sleep"])
@pytest.mark.parametrize("placement", ["shared", "dedicated"])
@pytest.mark.parametrize("seed", range(2))
def test_events_over_continue_as_new_are_fifo_none_lost_none_twice(seed: int, placement: str, trouble: str) -> None:
    chance = random.Random(f"{seed}{placement}{trouble}")
    done = threading.Event()
    with armed_hub() as (hub, store):
        handle = hub.client.start_new(gather, [], instance_id="storm", placement=placement)

        def send(sender: int) -> None:
            for number in range(12):
                hub.client.raise_event("storm", "e", f"{sender}-{number}")

        def disturb() -> None:
            for _ in range(8):
                if done.wait(chance.uniform(0.01, 0.1)):
                    return
                if trouble == "crashes":
                    hub.crash()
                elif trouble == "sleep" and placement == "dedicated":
                    hub.on_loop(hub.hub.registry.admission.hosts.passivate("storm")).result(10)

        troubles = threading.Thread(target=disturb)
        troubles.start()
        try:
            in_threads(*[lambda sender=sender: send(sender) for sender in range(3)])
            hub.client.raise_event("storm", "e", "end")
        finally:
            done.set()
            troubles.join(20)
        got = handle.wait_for_completion(timeout=20)
    for sender in range(3):
        mine = [text for text in got if text.startswith(f"{sender}-")]
        assert mine == [f"{sender}-{number}" for number in range(12)], (got, store.story)
    assert len(got) == 36


@pytest.mark.parametrize("seed", range(6))
def test_terminate_and_complete_agree_on_one_ending(seed: int) -> None:
    chance = random.Random(seed)
    with armed_hub() as (hub, _):
        handles = [hub.client.start_new(chain, 2) for _ in range(8)]
        refused: set[str] = set()

        def end(handle: object) -> None:
            time.sleep(chance.uniform(0, 0.01))
            try:
                hub.client.terminate(handle.instance_id, "enough")  # type: ignore[attr-defined]
            except InstanceFinished:
                refused.add(handle.instance_id)  # type: ignore[attr-defined]

        in_threads(*[lambda handle=handle: end(handle) for handle in handles])
        for handle in handles:
            if handle.instance_id in refused:
                assert handle.wait_for_completion(timeout=10) == [0, 10]
            else:
                with pytest.raises(OrchestrationTerminated):
                    handle.wait_for_completion(timeout=10)


@pytest.mark.parametrize("placement", ["shared", "dedicated"])
@pytest.mark.parametrize("before", ["shared", "dedicated"])
def test_a_busy_instance_is_replaced_wherever_the_new_one_lives(before: str, placement: str) -> None:
    with armed_hub(settings=HubSettings(partitions=2, sweep_interval=60, max_dedicated=4)) as (hub, store):
        hub.client.start_new(gather, ["old"], instance_id="x", placement=before).wait_for_start(timeout=10)

        def send() -> None:
            for _ in range(5):
                hub.client.raise_event("x", "e", "either")

        def replace() -> None:
            hub.client.start_new(gather, ["new"], instance_id="x", placement=placement, if_exists="terminate_existing")

        in_threads(send, replace)
        hub.client.raise_event("x", "e", "end")
        got = hub.client.wait_for_completion("x", 10)
        assert got[0] == "new", store.story
        assert set(got[1:]) <= {"either"}


@dr.orchestrator(name="storm.parent")
async def waits_for_child(ctx: dr.OrchestrationContext) -> str:
    try:
        await ctx.call_sub_orchestrator(gather, [], instance_id="child")
    except dr.SubOrchestrationFailed as error:
        return str(error)
    return "no"


def test_the_parent_of_a_replaced_child_is_told() -> None:
    with armed_hub(settings=HubSettings(partitions=2, sweep_interval=60, max_dedicated=4)) as (hub, _):
        parent = hub.client.start_new(waits_for_child)
        while hub.client.get_status("child") is None:
            time.sleep(0.005)
        hub.client.start_new(gather, [], instance_id="child", if_exists="terminate_existing")
        assert "replaced" in parent.wait_for_completion(timeout=10)


@dr.orchestrator(name="storm.sleeper")
async def sleeper(ctx: dr.OrchestrationContext, count: int) -> list[int]:
    got = []
    for _ in range(count):
        got.append(await ctx.wait_for_external_event("e"))
        await ctx.call_activity(step, got[-1])
    return got


@pytest.mark.parametrize("seed", range(3))
def test_falling_asleep_while_events_come_loses_none(seed: int) -> None:
    chance = random.Random(seed)
    settings = HubSettings(partitions=1, sweep_interval=60, max_dedicated=2)
    with armed_hub(settings=settings) as (hub, store):
        names = ["a", "b", "c", "d"]
        for name in names:
            hub.client.start_new(sleeper, 8, instance_id=name)
        done = threading.Event()

        async def nap(name: str) -> None:
            host = hub.hub.hosts.get(dedicated_host(name))
            if host is not None and await passivate(host, name):
                await hub.hub.drop(dedicated_host(name))
                await hub.hub.registry.admission.passivating(name)

        def napping() -> None:
            while not done.is_set():
                time.sleep(chance.uniform(0, 0.004))
                hub.on_loop(nap(chance.choice(names))).result(10)

        naps = threading.Thread(target=napping)
        naps.start()
        try:
            in_threads(*[lambda n=n: [hub.client.raise_event(n, "e", k) for k in range(8)] for n in names])  # type: ignore[misc]
            for name in names:
                assert hub.client.wait_for_completion(name, 20) == list(range(8)), store.story
        finally:
            done.set()
            naps.join(20)
