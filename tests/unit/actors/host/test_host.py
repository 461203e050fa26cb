"""One host, on a real store and virtual time: waiting, falling asleep, ending whatever its code would do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

import durable_ray as dr
from durable_ray.actors.errors import InstanceFinished, InvalidState, OrchestrationFailed, OrchestrationTerminated
from durable_ray.actors.host.host import InstanceHost
from durable_ray.actors.host.passivation import passivate
from durable_ray.actors.instances.active_instance import InstanceState, Obstacle
from durable_ray.actors.instances.placement import dedicated_host
from durable_ray.actors.settings import HubSettings
from durable_ray.actors.store.contract import Committed, Store
from durable_ray.actors.store.writes import CommitTurn, Refused
from durable_ray.orchestrations.values.failures import FailureDetails
from durable_ray.testing import TestHub


@dr.orchestrator(name="host.collect")
async def collect(ctx: dr.OrchestrationContext, count: int) -> list[Any]:
    return [await ctx.wait_for_external_event("e") for _ in range(count)]


@dr.activity(name="host.echo")
def echo(value: int) -> int:
    return value


@dr.orchestrator(name="host.work")
async def work(ctx: dr.OrchestrationContext, value: int) -> int:
    return await ctx.call_activity(echo, value)


@dr.orchestrator(name="host.status")
async def shows(ctx: dr.OrchestrationContext, round_: int) -> None:
    ctx.set_custom_status(round_)
    if round_ < 2:
        ctx.continue_as_new(round_ + 1)
    await ctx.wait_for_external_event("e")


@dr.orchestrator(name="host.greets")
async def greets(ctx: dr.OrchestrationContext) -> list[str]:
    """Starts a child and speaks to it in the same turn."""
    child = ctx.call_sub_orchestrator(collect, 1, instance_id=f"{ctx.instance_id}-kid")
    ctx.send_event(f"{ctx.instance_id}-kid", "e", "hello")
    return await child


@pytest.fixture
def hub() -> Iterator[TestHub]:
    with TestHub(settings=HubSettings(partitions=1, sweep_interval=60)) as one:
        yield one


@pytest.fixture
def timeless() -> Iterator[TestHub]:
    """A hub whose time passes only when it is told to."""
    with TestHub(settings=HubSettings(partitions=1, sweep_interval=60), auto_advance=False) as one:
        yield one


def the_host(hub: TestHub) -> InstanceHost:
    (host,) = hub.hub.hosts.values()
    return host


def store(hub: TestHub) -> Store:
    return hub.store


def on(hub: TestHub, work: Any) -> Any:
    return hub.on_loop(work).result(10)


async def _now(call: Any) -> Any:
    return call()


def test_a_start_with_a_delay_keeps_what_comes_before_it_in_order(timeless: TestHub) -> None:
    client = timeless.client
    handle = client.start_new(
        collect, 3, instance_id="later", placement="shared", start_at=timeless.now + timedelta(days=1)
    )
    for number in (1, 2, 3):
        handle.raise_event("e", number)
    assert handle.get_status().runtime_status == "Pending"
    timeless.crash()
    timeless.advance(timedelta(hours=23))
    assert handle.get_status().runtime_status == "Pending"
    timeless.advance(timedelta(hours=2))
    assert handle.wait_for_completion(timeout=10) == [1, 2, 3]


def test_one_that_has_not_begun_can_be_suspended_resumed_and_terminated(timeless: TestHub) -> None:
    client, tomorrow = timeless.client, timeless.now + timedelta(days=1)
    handle = client.start_new(work, 5, instance_id="later", placement="shared", start_at=tomorrow)
    handle.suspend("not yet")
    timeless.advance(timedelta(days=2))
    assert handle.get_status().runtime_status == "Suspended"
    handle.resume()
    assert handle.wait_for_completion(timeout=10) == 5
    other = client.start_new(
        work, 5, instance_id="never", placement="shared", start_at=timeless.now + timedelta(days=9)
    )
    other.terminate("no")
    with pytest.raises(OrchestrationTerminated, match="no"):
        other.wait_for_completion(timeout=10)


def test_while_suspended_everything_is_kept_and_nothing_steps(timeless: TestHub) -> None:
    @dr.orchestrator(name="host.timed")
    async def timed(ctx: dr.OrchestrationContext) -> str:
        await ctx.create_timer(timedelta(hours=1))
        return await ctx.wait_for_external_event("e")

    handle = timeless.client.start_new(timed)
    handle.wait_for_start(timeout=10)
    handle.suspend()
    with pytest.raises(InvalidState):
        handle.suspend()
    handle.raise_event("e", "kept")
    timeless.advance(timedelta(hours=2))
    timeless.crash()
    assert handle.get_status().runtime_status == "Suspended"
    handle.resume()
    assert handle.wait_for_completion(timeout=10) == "kept"


def test_a_child_hears_what_its_parent_said_in_the_same_breath(hub: TestHub) -> None:
    assert hub.client.start_new(greets, placement="shared").wait_for_completion(timeout=10) == ["hello"]


def test_the_custom_status_of_an_execution_that_only_waits_is_shown(hub: TestHub) -> None:
    handle = hub.client.start_new(shows, 0)
    hub.settle()
    assert handle.get_status().custom_status == 2
    row = store(hub).rows([handle.instance_id])[handle.instance_id]
    assert row.next_due is None, "it has had its step and is not due any more"


def test_an_instance_without_its_code_says_so_waits_and_can_be_terminated(hub: TestHub) -> None:
    handles = [hub.client.start_new(collect, 1, instance_id=f"c{n}", placement="shared") for n in range(2)]
    hub.settle()
    on(hub, _now(lambda: the_host(hub).definition_cache._loaded.clear()))
    packed = the_host(hub).definition_cache._packed
    lost = dict(packed)
    hub.crash()
    definition = store(hub).definition
    store(hub).definition = lambda *a, **k: None  # type: ignore[method-assign]
    handles[0].terminate("without code")
    with pytest.raises(OrchestrationTerminated):
        handles[0].wait_for_completion(timeout=10)
    assert lost
    store(hub).definition = definition  # type: ignore[method-assign]
    handles[1].raise_event("e", 1)
    assert handles[1].wait_for_completion(timeout=20) == [1]


def test_an_instance_that_is_condemned_takes_no_more_steps_and_its_letters_are_answered(hub: TestHub) -> None:
    handle = hub.client.start_new(collect, 1)
    hub.settle()
    host = the_host(hub)

    async def condemn() -> None:
        host._quarantine.add(handle.instance_id, FailureDetails("durable_ray.Poisoned", "enough"))

    on(hub, condemn())
    with pytest.raises(InstanceFinished):
        handle.raise_event("e", 1)
    with pytest.raises(OrchestrationFailed, match="enough"):
        handle.wait_for_completion(timeout=10)
    assert not list(host._quarantine)


def test_a_fault_of_the_runtime_fails_its_instance_and_spares_the_others(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    import durable_ray.actors.host.turn_scheduler as turn_scheduler

    bad, good = (hub.client.start_new(collect, 1) for _ in range(2))
    hub.settle()
    take = turn_scheduler.take_turn

    def breaks(active: Any, *rest: Any) -> Any:
        if active.instance_id == bad.instance_id:
            raise RuntimeError("a bug")
        return take(active, *rest)

    monkeypatch.setattr(turn_scheduler, "take_turn", breaks)
    with pytest.raises(InstanceFinished):
        bad.raise_event("e", 1)
    good.raise_event("e", 2)
    assert good.wait_for_completion(timeout=10) == [2]
    with pytest.raises(OrchestrationFailed, match="a bug"):
        bad.wait_for_completion(timeout=10)


def test_closing_answers_everybody(hub: TestHub) -> None:
    handle = hub.client.start_new(collect, 2)
    hub.settle()
    host, host_service = the_host(hub), next(iter(hub.hub.services.values()))

    async def close_under_wait() -> list[str]:
        waits = asyncio.ensure_future(host_service.wait([handle.instance_id], 60))
        await asyncio.sleep(0)
        await hub.hub.drop(host.name)
        return [ending.status for ending in await waits] + [
            ending.status for ending in await host_service.wait(["x"], 1)
        ]

    assert on(hub, close_under_wait()) == ["moved", "moved"]


def test_only_one_that_merely_waits_may_leave(hub: TestHub) -> None:
    handle = hub.client.start_new(collect, 2, instance_id="own")
    handle.raise_event("e", 1)
    hub.settle()
    host = hub.hub.hosts[dedicated_host("own")]
    active = host.instance_cache.peek("own")
    assert active is not None
    for state in (InstanceState.QUEUED, InstanceState.READING, InstanceState.COMMITTING, InstanceState.MOVING):
        active.state = state
        assert not on(hub, passivate(host, "own"))
    active.state, active.obstacle = InstanceState.IDLE, Obstacle.CODE
    assert not on(hub, passivate(host, "own"))
    active.obstacle = None
    assert not host.moved
    assert on(hub, passivate(host, "own"))
    assert host.moved
    row = store(hub).rows(["own"])["own"]
    assert not row.resident
    on(hub, hub.hub.drop(host.name))
    on(hub, hub.hub.registry.admission.passivating("own"))
    handle.raise_event("e", 2)
    assert handle.wait_for_completion(timeout=10) == [1, 2]


def test_mail_that_comes_while_it_falls_asleep_keeps_it_awake(hub: TestHub) -> None:
    from durable_ray.actors.store.writes import InboxMessage
    from durable_ray.orchestrations.history import events as ev
    from durable_ray.orchestrations.history.codec import encode_event

    handle = hub.client.start_new(collect, 1, instance_id="own")
    hub.settle()
    host = hub.hub.hosts[dedicated_host("own")]
    store(hub).commit(None, [InboxMessage("own", "m", encode_event(ev.EventRaised("e", "1")))])
    assert not on(hub, passivate(host, "own"))
    assert not host.moved
    assert handle.wait_for_completion(timeout=10) == [1]


def test_what_the_database_cannot_hold_is_refused_and_the_instance_goes_on(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = hub.client.start_new(collect, 1)
    hub.settle()
    commit = store(hub).commit

    def cannot_hold(fence: Any, writes: Any) -> Committed:
        done = commit(fence, [write for write in writes if "unholdable" not in repr(write)])
        answers = iter(done.answers)
        told = [Refused("a NUL character") if "unholdable" in repr(write) else next(answers) for write in writes]
        return Committed(tuple(told), done.definitions_revision)

    monkeypatch.setattr(store(hub), "commit", cannot_hold)
    with pytest.raises(InvalidState, match="NUL"):
        handle.raise_event("e", "unholdable")
    handle.raise_event("e", "fine")
    assert handle.wait_for_completion(timeout=10) == ["fine"]


def test_an_output_that_the_database_cannot_hold_fails_its_instance(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.client.start_new(work, 1).wait_for_completion(timeout=10)
    commit = store(hub).commit

    def cannot_hold(fence: Any, writes: Any) -> Committed:
        bad = [isinstance(write, CommitTurn) and write.output == "12345" for write in writes]
        done = commit(fence, [write for write, is_bad in zip(writes, bad, strict=True) if not is_bad])
        answers = iter(done.answers)
        return Committed(tuple(Refused("no") if is_bad else next(answers) for is_bad in bad), done.definitions_revision)

    monkeypatch.setattr(store(hub), "commit", cannot_hold)
    other = hub.client.start_new(work, 12345)
    with pytest.raises(OrchestrationFailed, match="no"):
        other.wait_for_completion(timeout=10)
    assert hub.client.start_new(work, 1).wait_for_completion(timeout=10) == 1
