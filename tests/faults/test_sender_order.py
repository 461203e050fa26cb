"""What one client sends to one instance arrives in the order in which it was asked for, though nothing was awaited in between.

Whichever way it takes: stored by the registry for one that sleeps, straight to its process, both in turn, again after an error;
and whatever kind of message it is. The sweep is off, so nothing else brings mail.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

import durable_ray as dr
from durable_ray.actors.cluster.in_process import _Hosts
from durable_ray.actors.settings import HubSettings
from durable_ray.actors.store.contract import StoreError
from durable_ray.actors.store.records import InboxMessage
from durable_ray.testing import TestHub
from tests.faults.armed import MODES, armed_hub, turns
from tests.faults.shapes import collector

pytestmark = pytest.mark.fault

NO_SWEEP = HubSettings(partitions=1, sweep_interval=600)
MANY = 6_000


@dr.orchestrator(name="order.gather_many")
async def gather_many(ctx: dr.OrchestrationContext, count: int) -> list[int]:
    return [await ctx.wait_for_external_event("e") for _ in range(count)]


def sent(hub: TestHub, make: Callable[[dr.AsyncClient], Sequence[Coroutine[Any, Any, Any]]]) -> list[Any]:
    """Ask for all of these in one step of a sender's own loop; their answers."""

    async def send() -> list[Any]:
        return await asyncio.gather(*make(hub.async_client))

    return asyncio.run(send())


def asleep(hub: TestHub, instance_id: str) -> None:
    """The process of this instance has left, as one that waits does after a while."""

    async def leave() -> None:
        await hub.hub.drop(f"instance:{instance_id}")
        await hub.hub.registry.admission.passivating(instance_id)

    hub.settle()
    hub.on_loop(leave()).result(10)
    hub.settle()
    hub.forget_location(instance_id)


@pytest.mark.parametrize("placement", ["dedicated", "shared"])
def test_six_thousand_events_sent_together_arrive_in_their_order(placement: Any) -> None:
    with TestHub(settings=NO_SWEEP) as hub:
        handle = hub.client.start_new(gather_many, MANY, instance_id="i", placement=placement)
        handle.wait_for_start(timeout=10)
        if placement == "dedicated":
            asleep(hub, "i")
        sent(hub, lambda client: [client.raise_event("i", "e", n) for n in range(MANY)])
        assert handle.wait_for_completion(timeout=60) == list(range(MANY))


def test_those_that_come_while_others_are_under_way_come_later() -> None:
    """The first wakes the instance, and is still being stored when its process could take the others at once."""
    with TestHub(settings=NO_SWEEP) as hub:
        handle = hub.client.start_new(gather_many, 600, instance_id="i", placement="dedicated")
        handle.wait_for_start(timeout=10)
        asleep(hub, "i")

        async def send() -> None:
            tasks = []
            for number in range(600):
                tasks.append(asyncio.create_task(hub.async_client.raise_event("i", "e", number)))
                if not number % 7:
                    await asyncio.sleep(0.001)
            await asyncio.gather(*tasks)

        asyncio.run(send())
        assert handle.wait_for_completion(timeout=60) == list(range(600))


def test_an_event_that_is_held_up_at_the_registry_is_not_overtaken(monkeypatch: pytest.MonkeyPatch) -> None:
    notify, held, go = _Hosts.notify, threading.Event(), threading.Event()

    async def slowly(hosts: _Hosts, host: str, instance_ids: Sequence[str]) -> bool:
        if instance_ids and not held.is_set():
            held.set()
            await asyncio.get_running_loop().run_in_executor(None, go.wait, 10)
        return await notify(hosts, host, instance_ids)

    with armed_hub(settings=NO_SWEEP) as (hub, _):
        handle = hub.client.start_new(collector, 3, instance_id="i", placement="shared")
        handle.wait_for_start(timeout=10)
        hub.forget_location("i")
        monkeypatch.setattr(_Hosts, "notify", slowly)

        async def send() -> None:
            keyed = asyncio.create_task(hub.async_client.raise_event("i", "e", 1, idempotency_key="k"))
            while not held.is_set():
                await asyncio.sleep(0.001)
            rest = [asyncio.create_task(hub.async_client.raise_event("i", "e", number)) for number in (2, 3)]
            await asyncio.sleep(0.05)
            go.set()
            await asyncio.gather(keyed, *rest)

        asyncio.run(send())
        assert handle.wait_for_completion(timeout=10) == [1, 2, 3]


def test_messages_of_all_kinds_keep_their_order() -> None:
    with TestHub(settings=NO_SWEEP) as hub:
        handle = hub.client.start_new(collector, 5, instance_id="i", placement="shared")
        handle.wait_for_start(timeout=10)
        sent(
            hub,
            lambda client: [
                client.raise_event("i", "e", 1),
                client.suspend("i"),
                client.raise_event("i", "e", 2, idempotency_key="two"),
                client.raise_event("i", "e", 3),
                client.signal_with_start(collector, "e", 4, instance_id="i", input=5),
                client.resume("i"),
                client.suspend("i"),
                client.raise_event("i", "e", 5),
                client.resume("i"),
            ],
        )
        assert handle.wait_for_completion(timeout=10) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("aim", ["turns", "mail"])
def test_a_commit_that_fails_changes_no_order(mode: str, aim: str) -> None:
    """Some are taken, some are sent again, by themselves or by another way."""

    def mail(fence: Any, writes: Sequence[Any]) -> bool:
        return any(isinstance(write, InboxMessage) for write in writes)

    with armed_hub(mode, [1, 3], turns if aim == "turns" else mail, settings=NO_SWEEP) as (hub, _):
        dedicated = "crash" not in mode
        handle = hub.client.start_new(collector, 40, instance_id="i", placement="dedicated" if dedicated else "shared")
        handle.wait_for_start(timeout=20)
        if dedicated:
            asleep(hub, "i")

        async def send() -> list[Any]:
            tasks = []
            for number in range(40):
                tasks.append(asyncio.create_task(hub.async_client.raise_event("i", "e", number)))
                if not number % 9:
                    await asyncio.sleep(0.002)
            return await asyncio.gather(*tasks, return_exceptions=True)

        told = asyncio.run(send())
        refused = [number for number, outcome in enumerate(told) if outcome is not None]
        assert not refused or (mode, aim) == ("refused", "mail"), told
        for number in refused:  # nothing of them was written, and their senders were told so
            try:
                handle.raise_event("e", number)
            except StoreError:  # the other shot, if it has hit nobody yet
                handle.raise_event("e", number)
        taken = [number for number in range(40) if number not in refused]
        assert handle.wait_for_completion(timeout=30) == taken + refused


def test_one_who_gives_up_holds_up_nobody() -> None:
    with TestHub(settings=NO_SWEEP) as hub:
        handle = hub.client.start_new(gather_many, 300, instance_id="i", placement="shared")
        handle.wait_for_start(timeout=10)

        async def send() -> None:
            client = hub.async_client
            tasks = [asyncio.create_task(client.raise_event("i", "e", n)) for n in range(300)]
            given_up = [asyncio.create_task(client.raise_event("i", "other", n)) for n in range(5)]
            later = [asyncio.create_task(client.raise_event("i", "more", n)) for n in range(5)]
            await asyncio.sleep(0)
            for task in given_up:
                task.cancel()
            await asyncio.gather(*tasks, *later)

        asyncio.run(send())
        assert handle.wait_for_completion(timeout=30) == list(range(300))
