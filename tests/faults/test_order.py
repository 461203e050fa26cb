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

from durable_ray.actors.api import HostApi
from durable_ray.actors.cluster.in_process import _Hosts, call
from durable_ray.actors.host.turns import out_message
from durable_ray.actors.messages import StartOptions, StartRequest
from durable_ray.actors.registry.registry import Registry
from durable_ray.actors.settings import HubSettings
from durable_ray.actors.store.records import InboxMessage, InstanceRow, Payloads, Receipt
from durable_ray.testing import TestHub
from tests.faults.armed import armed_hub
from tests.faults.shapes import collector
from tests.faults.test_requests import ask, begun, event

pytestmark = pytest.mark.fault

NO_SWEEP = HubSettings(partitions=1, sweep_interval=600)


def by_the_registry(fence: Any, writes: Sequence[Any]) -> bool:
    """Commits of mail by the registry."""
    return fence is not None and fence.host == "registry" and any(isinstance(write, InboxMessage) for write in writes)


class SlowArrival:
    """Lets a dedicated instance's process read its inbox, and holds back the word that it is there, of the first."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read, self.go = threading.Event(), threading.Event()
        create = _Hosts.create

        async def slowly(hosts: _Hosts, row: InstanceRow, *rest: Any) -> None:
            await create(hosts, row, *rest)
            self.read.set()
            await waiting(self.go)

        monkeypatch.setattr(_Hosts, "create", slowly)

    def begin(self, hub: TestHub, count: int) -> Any:
        """An instance whose process has come and read, and which the registry has not heard of."""
        handle = hub.client.start_new(collector, count, instance_id="i")
        assert self.read.wait(10)
        hub.on_loop(_until(hub.hub.hosts["instance:i"])).result(10)
        hub.forget_location("i")  # as one that has asked too early, and found nobody
        return handle


def waiting(event: threading.Event) -> Any:
    """Wait for an event of another thread."""
    return asyncio.get_running_loop().run_in_executor(None, event.wait, 10)


def straight(hub: TestHub, number: int) -> None:
    """Send an event straight to the process."""
    assert ask(hub, "instance:i", HostApi.deliver_many, [event("i", number)])[0].code == "ok"


@pytest.mark.parametrize("mode", ["", "unknown, made", "unknown, not made"])
def test_an_event_stored_while_its_process_arrives_comes_before_one_sent_to_it(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrival = SlowArrival(monkeypatch)
    with armed_hub(mode, [1], by_the_registry, settings=NO_SWEEP) as (hub, store):
        handle = arrival.begin(hub, 2)
        handle.raise_event("e", 1)
        assert store.seen >= 1, "it did not go through the store"
        arrival.go.set()
        handle.wait_for_start(timeout=10)
        ask(hub, "registry", Registry.ensure, "instance:i")
        straight(hub, 2)
        assert handle.wait_for_completion(timeout=10) == [1, 2]


async def _until(host: Any) -> None:
    while not host.idle:
        await asyncio.sleep(0.001)


def test_nobody_is_sent_straight_to_a_process_that_has_not_heard_of_its_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    arrival = SlowArrival(monkeypatch)
    notify, slow = _Hosts.notify, threading.Event()

    async def late(hosts: _Hosts, host: str, instance_ids: Sequence[str]) -> bool:
        await asyncio.get_running_loop().run_in_executor(None, slow.wait, 0.3)
        return await notify(hosts, host, instance_ids)

    monkeypatch.setattr(_Hosts, "notify", late)
    with armed_hub(settings=NO_SWEEP) as (hub, _):
        handle = arrival.begin(hub, 2)
        handle.raise_event("e", 1)
        arrival.go.set()
        handle.raise_event("e", 2)
        slow.set()
        assert handle.wait_for_completion(timeout=10) == [1, 2]


@pytest.mark.parametrize("failure", [False, RuntimeError("the network, say")])
def test_a_process_that_could_not_be_told_is_not_taken_for_one_that_was(
    failure: bool | Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrival = SlowArrival(monkeypatch)
    notify, failures = _Hosts.notify, [failure]

    async def flaky(hosts: _Hosts, host: str, instance_ids: Sequence[str]) -> bool:
        if instance_ids and failures:
            if isinstance(found := failures.pop(), Exception):
                raise found
            return found
        return await notify(hosts, host, instance_ids)

    monkeypatch.setattr(_Hosts, "notify", flaky)
    with armed_hub(settings=NO_SWEEP) as (hub, _):
        handle = arrival.begin(hub, 2)
        handle.raise_event("e", 1)
        arrival.go.set()
        hub.on_loop(_until(hub.hub.registry)).result(10)
        ask(hub, "registry", Registry.ensure, "instance:i")
        straight(hub, 2)
        assert handle.wait_for_completion(timeout=10) == [1, 2]


def test_one_that_leaves_while_it_is_told_takes_nothing_from_its_successor(monkeypatch: pytest.MonkeyPatch) -> None:
    arrival = SlowArrival(monkeypatch)
    notify, asked, answer = _Hosts.notify, threading.Event(), threading.Event()

    async def late(hosts: _Hosts, host: str, instance_ids: Sequence[str]) -> bool:
        if instance_ids and not asked.is_set():
            asked.set()
            await waiting(answer)
            return False
        return await notify(hosts, host, instance_ids)

    monkeypatch.setattr(_Hosts, "notify", late)
    with armed_hub(settings=NO_SWEEP) as (hub, _):
        admission = hub.hub.registry.admission

        async def leaves() -> None:
            await hub.hub.drop("instance:i")
            await admission.passivating("i")

        handle = arrival.begin(hub, 3)
        handle.raise_event("e", 1)
        arrival.go.set()
        assert asked.wait(10)
        hub.on_loop(leaves()).result(10)
        hub.on_loop(_until(admission)).result(10)
        answer.set()
        hub.on_loop(_until(hub.hub.registry)).result(10)
        assert admission.is_running("i")
        hub.forget_location("i")
        handle.raise_event("e", 2)
        straight(hub, 3)
        assert handle.wait_for_completion(timeout=10) == [1, 2, 3]


def test_a_keyed_event_for_an_id_that_is_started_again_at_that_moment_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with armed_hub(settings=NO_SWEEP) as (hub, store):
        hub.client.start_new(collector, 0, instance_id="i").wait_for_completion(timeout=10)
        seen, go, rows = threading.Event(), threading.Event(), store.real.rows

        def old_rows(ids: Sequence[str], payloads: Payloads = "all") -> Any:
            found = rows(ids, payloads)
            if not seen.is_set():
                seen.set()
                go.wait(10)
            return found

        monkeypatch.setattr(hub.hub.registry.store, "rows", old_rows, raising=False)
        raising = threading.Thread(target=lambda: hub.client.raise_event("i", "e", 7, idempotency_key="k"))
        raising.start()
        assert seen.wait(10)
        again = hub.client.start_new(collector, 1, instance_id="i")
        again.wait_for_start(timeout=10)
        go.set()
        raising.join(10)
        assert again.wait_for_completion(timeout=10) == [7]


@pytest.mark.parametrize("through", ["registry", "host"])
def test_a_retry_of_what_a_dead_registry_had_stored_tells_the_process_of_it(through: str) -> None:
    with armed_hub(settings=NO_SWEEP) as (hub, store):
        handle, host = begun(hub, 2, "i")
        sent = event("i", 1)
        mail = out_message("i", sent.message)
        store.real.commit(None, [replace(mail, receipt=Receipt(sent.request_id, "ok", 2**60))])
        again = replace(sent, retry=True)
        target = "registry" if through == "registry" else host
        assert [reply.code for reply in ask(hub, target, HostApi.deliver_many, [again])] == ["ok"]
        straight(hub, 2)
        assert handle.wait_for_completion(timeout=10) == [1, 2]


def test_a_keyed_event_that_is_asked_for_again_tells_the_process_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    with armed_hub(settings=NO_SWEEP) as (hub, _):
        handle, _ = begun(hub, 2, "i")
        told = hub.hub.registry.notifier.notify

        async def dies(targets: Any) -> None:
            """The registry ends here, and its successor knows nothing of it."""

        monkeypatch.setattr(hub.hub.registry.notifier, "notify", dies)
        handle.raise_event("e", 1, idempotency_key="k")
        monkeypatch.setattr(hub.hub.registry.notifier, "notify", told)
        handle.raise_event("e", 1, idempotency_key="k")
        straight(hub, 2)
        assert handle.wait_for_completion(timeout=10) == [1, 2]


@pytest.mark.parametrize("placement", ["shared", "dedicated"])
def test_a_start_that_a_dead_registry_had_made_begins_when_it_is_asked_for_again(
    placement: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with armed_hub(settings=NO_SWEEP) as (hub, _):
        begun(hub, 1)  # its code is known to the hub, its host is there
        start_options = StartOptions("faults.chain", "i", "execution", named=True, input="1", placement=placement)
        request = StartRequest("request", start_options)
        registry = hub.hub.registry
        with monkeypatch.context() as dying:

            async def dies(starts: Any) -> None:
                """The registry ends here, and its successor knows nothing of it."""

            dying.setattr(registry, "_started", dies)
            assert ask(hub, "registry", HostApi.start_many, [request])[0].code == "ok"
        assert ask(hub, "registry", HostApi.start_many, [replace(request, retry=True)])[0].code == "ok"
        assert hub.client.wait_for_completion("i", timeout=10) == [0]


def test_a_plain_start_that_is_asked_for_again_does_not_wait_for_its_host(monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()

    async def absent(hosts: _Hosts, host: str, instance_ids: Sequence[str]) -> bool:
        return False

    async def hanging(hosts: _Hosts, host: str, runtime_env: str | None) -> None:
        await waiting(never)

    with armed_hub(settings=NO_SWEEP) as (hub, _):
        begun(hub, 1)  # its code is known to the hub
        request = StartRequest(
            "request", StartOptions("faults.chain", "i", "execution", named=True, input="1", placement="shared")
        )
        with monkeypatch.context() as away:
            away.setattr(_Hosts, "notify", absent)
            away.setattr(_Hosts, "ensure_partition", hanging)
            for each in (request, replace(request, retry=True)):
                asked = hub.on_loop(call(hub.hub, "registry", HostApi.start_many, [each]))
                assert [reply.code for reply in asked.result(5)] == ["ok"]
        never.set()
        hub.client.wait_for_completion("i", timeout=10)
