"""One sender's events arrive in the order in which they were acknowledged, whichever way each of them took.

An event goes straight to its instance's process if there is one, else through the store. What lies in the store comes
first: whoever acknowledges it has told the process to look. The sweep is off, so nothing else would.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from durable_ray.actors.in_process import _Hosts
from durable_ray.actors.messages import StartRequest, Wish
from durable_ray.actors.settings import HubSettings
from durable_ray.actors.store.records import InstanceRow
from durable_ray.actors.store.writes import PutMessage, Receipt
from durable_ray.actors.turns import out_message
from tests.faults.armed import armed_hub
from tests.faults.shapes import collector
from tests.faults.test_requests import ask, begun, event

pytestmark = pytest.mark.fault

NO_SWEEP = HubSettings(partitions=1, sweep_interval=600)


def by_the_registry(fence: Any, writes: Sequence[Any]) -> bool:
    """Commits of mail by the registry."""
    return fence is not None and fence.host == "registry" and any(isinstance(write, PutMessage) for write in writes)


class SlowArrival:
    """Lets a dedicated instance's process read its inbox, and holds back the word that it is there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read, self.go = threading.Event(), threading.Event()
        create = _Hosts.create

        async def slowly(hosts: _Hosts, row: InstanceRow, *rest: Any) -> None:
            await create(hosts, row, *rest)
            self.read.set()
            await asyncio.get_running_loop().run_in_executor(None, self.go.wait, 10)

        monkeypatch.setattr(_Hosts, "create", slowly)


@pytest.mark.parametrize("mode", ["", "unknown, made", "unknown, not made"])
def test_an_event_stored_while_its_process_arrives_comes_before_one_sent_to_it(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrival = SlowArrival(monkeypatch)
    with armed_hub(mode, [1], by_the_registry, settings=NO_SWEEP) as (hub, store):
        handle = hub.client.start_new(collector, 2, instance_id="i")
        assert arrival.read.wait(10)
        hub._on_loop(_until(hub.hub.hosts["instance:i"])).result(10)
        hub.client._reach.forget("i")  # as one that has asked too early, and found nobody
        handle.raise_event("e", 1)
        assert store.seen >= 1, "it did not go through the store"
        arrival.go.set()
        handle.wait_for_start(timeout=10)
        ask(hub, "registry", "ensure", "instance:i")
        assert ask(hub, "instance:i", "deliver_many", [event("i", 2)])[0].code == "ok"
        assert handle.wait_for_completion(timeout=10) == [1, 2]


async def _until(host: Any) -> None:
    while not host.idle:
        await asyncio.sleep(0.001)


def test_nobody_is_sent_straight_to_a_process_that_has_not_heard_of_its_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    arrival = SlowArrival(monkeypatch)
    nudge, slow = _Hosts.nudge, threading.Event()

    async def late(hosts: _Hosts, host: str, instance_ids: Sequence[str]) -> bool:
        await asyncio.get_running_loop().run_in_executor(None, slow.wait, 0.3)
        return await nudge(hosts, host, instance_ids)

    monkeypatch.setattr(_Hosts, "nudge", late)
    with armed_hub(settings=NO_SWEEP) as (hub, _):
        handle = hub.client.start_new(collector, 2, instance_id="i")
        assert arrival.read.wait(10)
        hub._on_loop(_until(hub.hub.hosts["instance:i"])).result(10)
        hub.client._reach.forget("i")  # as one that has asked too early, and found nobody
        handle.raise_event("e", 1)
        arrival.go.set()
        handle.raise_event("e", 2)
        slow.set()
        assert handle.wait_for_completion(timeout=10) == [1, 2]


@pytest.mark.parametrize("door", ["registry", "host"])
def test_a_retry_of_what_a_dead_registry_had_stored_tells_the_process_of_it(door: str) -> None:
    with armed_hub(settings=NO_SWEEP) as (hub, store):
        handle, host = begun(hub, 2, "i")
        sent = event("i", 1)
        mail = out_message("i", sent.message)
        store.real.commit(None, [PutMessage(mail, Receipt(sent.request_id, "ok", 2**60))])
        again = replace(sent, retry=True)
        target = "registry" if door == "registry" else host
        assert [reply.code for reply in ask(hub, target, "deliver_many", [again])] == ["ok"]
        assert ask(hub, host, "deliver_many", [event("i", 2)])[0].code == "ok"
        assert handle.wait_for_completion(timeout=10) == [1, 2]


def test_a_keyed_event_that_is_asked_for_again_tells_the_process_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    with armed_hub(settings=NO_SWEEP) as (hub, _):
        handle, host = begun(hub, 2, "i")
        told = hub.hub.registry.admission.wake

        async def dies(targets: Any) -> None:
            """The registry ends here, and its successor knows nothing of it."""

        monkeypatch.setattr(hub.hub.registry.admission, "wake", dies)
        handle.raise_event("e", 1, idempotency_key="k")
        monkeypatch.setattr(hub.hub.registry.admission, "wake", told)
        handle.raise_event("e", 1, idempotency_key="k")
        assert ask(hub, host, "deliver_many", [event("i", 2)])[0].code == "ok"
        assert handle.wait_for_completion(timeout=10) == [1, 2]


@pytest.mark.parametrize("placement", ["shared", "dedicated"])
def test_a_start_that_a_dead_registry_had_made_begins_when_it_is_asked_for_again(
    placement: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with armed_hub(settings=NO_SWEEP) as (hub, _):
        begun(hub, 1)  # its code is known to the hub, its host is there
        wish = Wish("faults.chain", "i", "execution", named=True, input="1", placement=placement)
        request = StartRequest("request", wish)
        registry = hub.hub.registry
        with monkeypatch.context() as dying:

            async def dies(starts: Any) -> None:
                """The registry ends here, and its successor knows nothing of it."""

            dying.setattr(registry, "_begun", dies)
            assert ask(hub, "registry", "start_many", [request])[0].code == "ok"
        assert ask(hub, "registry", "start_many", [replace(request, retry=True)])[0].code == "ok"
        assert hub.client.wait_for_completion("i", timeout=10) == [0]
