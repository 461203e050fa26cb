"""A request that is sent again is answered alike and done once: before, during, after the first commit."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from durable_ray.actors.api import HostApi
from durable_ray.actors.cluster.in_process import call
from durable_ray.actors.host.turns import out_message
from durable_ray.actors.messages import Delivery, Reply, StartOptions, StartRequest
from durable_ray.actors.registry.registry import Registry
from durable_ray.actors.settings import HubSettings
from durable_ray.actors.store.contract import Fenced
from durable_ray.actors.store.records import Receipt
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.events import Message
from durable_ray.testing import TestHub
from tests.faults.armed import anything, armed_hub
from tests.faults.shapes import collector

pytestmark = pytest.mark.fault


def event(instance_id: str, number: int) -> Delivery:
    name = f"request-{number}"
    return Delivery(name, instance_id, Message(name, ev.EventRaised("e", str(number), name)))


def ask(hub: TestHub, target: str, method: Callable[..., Any], *args: Any) -> Any:
    return hub.on_loop(call(hub.hub, target, method, *args)).result(10)


def begun(hub: TestHub, count: int, instance_id: str | None = None) -> tuple[Any, str]:
    handle = hub.client.start_new(collector, count, instance_id=instance_id)
    handle.wait_for_start(timeout=10)
    host = ask(hub, "registry", Registry.resolve, [handle.instance_id])[handle.instance_id][0]
    return handle, host


def test_an_event_sent_again_arrives_once() -> None:
    with armed_hub() as (hub, _):
        handle, host = begun(hub, 2)
        first = event(handle.instance_id, 1)
        again = replace(first, retry=True)
        assert ask(hub, host, HostApi.deliver_many, [first]) == [Reply("ok")]
        assert [reply.code for reply in ask(hub, host, HostApi.deliver_many, [again])] == ["ok"]
        assert [reply.code for reply in ask(hub, "registry", HostApi.deliver_many, [again])] == ["ok"]
        hub.crash()
        ask(hub, "registry", Registry.ensure, host)
        assert [reply.code for reply in ask(hub, host, HostApi.deliver_many, [again])] == ["ok"]
        handle.raise_event("e", 2)
        assert handle.wait_for_completion(timeout=10) == [1, 2]


def test_a_retry_joins_the_try_that_is_under_way_and_may_overtake_it() -> None:
    with armed_hub() as (hub, _):
        handle, host = begun(hub, 3)
        host_service = hub.hub.services[host]
        one, two = event(handle.instance_id, 1), event(handle.instance_id, 2)

        async def both() -> list[list[Reply]]:
            return await asyncio.gather(
                host_service.deliver_many([one]),
                host_service.deliver_many([replace(one, retry=True)]),
                host_service.deliver_many([replace(two, retry=True)]),
                host_service.deliver_many([two]),
            )

        assert hub.on_loop(both()).result(10) == [[Reply("ok")]] * 4
        handle.raise_event("e", 3)
        assert handle.wait_for_completion(timeout=10) == [1, 2, 3]


def test_a_retry_joins_its_slow_first_try_however_many_were_answered_since(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("durable_ray.actors.host.service._REMEMBERED", 2)
    with armed_hub(settings=HubSettings(partitions=1)) as (hub, _):
        slow, host = begun(hub, 2)
        quick = hub.client.start_new(collector, 9)
        quick.wait_for_start(timeout=10)
        host_service, instance_cache = hub.hub.services[host], hub.hub.hosts[host].instance_cache
        first = event(slow.instance_id, 1)

        async def in_between() -> list[list[Reply]]:
            instance_cache.drop(instance_cache.peek(slow.instance_id))
            found = asyncio.Event()
            find = instance_cache.find

            async def takes_long(instance_id: str) -> Any:
                await found.wait()
                return await find(instance_id)

            monkeypatch.setattr(instance_cache, "find", takes_long)
            tries = [asyncio.ensure_future(host_service.deliver_many([first]))]
            await asyncio.sleep(0)
            for number in range(2, 8):
                await host_service.deliver_many([event(quick.instance_id, number)])
            tries.append(asyncio.ensure_future(host_service.deliver_many([replace(first, retry=True)])))
            await asyncio.sleep(0.01)
            found.set()
            return await asyncio.gather(*tries)

        assert hub.on_loop(in_between()).result(10) == [[Reply("ok")]] * 2
        slow.raise_event("e", 2)
        assert slow.wait_for_completion(timeout=10) == [1, 2]


def test_an_event_that_goes_two_ways_at_once_arrives_once() -> None:
    """Its sender gave up on the registry, which was just about to store it, and turned to the host."""
    with armed_hub() as (hub, store):
        handle, host = begun(hub, 3)
        sent, other = event(handle.instance_id, 1), event(handle.instance_id, 2)
        mail = out_message(handle.instance_id, sent.message)
        store.real.commit(None, [replace(mail, receipt=Receipt(sent.request_id, "ok", 2**60))])
        assert ask(hub, host, HostApi.deliver_many, [sent, other]) == [Reply("ok")] * 2
        hub.call_soon(hub.hub.hosts[host].notify, [handle.instance_id])
        hub.settle()
        handle.raise_event("e", 3)
        assert sorted(handle.wait_for_completion(timeout=10)) == [1, 2, 3]


@pytest.mark.parametrize("read", ["rows", "receipts"])
def test_a_retry_at_the_registry_while_its_first_try_ends_the_instance_is_not_refused(
    monkeypatch: pytest.MonkeyPatch, read: str
) -> None:
    with armed_hub() as (hub, store):
        handle, host = begun(hub, 1)
        first, original = event(handle.instance_id, 1), getattr(store.real, read)

        def and_then_the_first_is_committed(*args: Any) -> Any:
            found = original(*args)
            monkeypatch.undo()
            assert ask(hub, host, HostApi.deliver_many, [first]) == [Reply("ok")]
            assert handle.wait_for_completion(timeout=10) == [1]
            return found

        monkeypatch.setattr(hub.hub.registry.store, read, and_then_the_first_is_committed, raising=False)
        (reply,) = ask(hub, "registry", HostApi.deliver_many, [replace(first, retry=True)])
        assert reply.code == ("ok" if read == "rows" else "moved")
        assert [r.code for r in ask(hub, host, HostApi.deliver_many, [replace(first, retry=True)])] == ["ok"]


def test_an_event_for_one_that_sleeps_is_put_into_its_inbox_once() -> None:
    with armed_hub() as (hub, _):
        handle, host = begun(hub, 2, "sleeper")
        hub.on_loop(hub.hub.drop(host)).result(10)
        hub.on_loop(hub.hub.registry.admission.passivating("sleeper")).result(10)
        first = event("sleeper", 1)
        codes = [ask(hub, "registry", HostApi.deliver_many, [d])[0].code for d in (first, replace(first, retry=True))]
        assert codes[0] == "ok"
        assert codes[1] == "ok"
        handle.raise_event("e", 2)
        assert handle.wait_for_completion(timeout=10) == [1, 2]


@pytest.mark.parametrize("target", ["registry", "partition-0"])
def test_a_start_sent_again_is_the_same_start(target: str) -> None:
    with TestHub() as hub:
        hub.client.start_new(collector, 0).wait_for_completion(timeout=10)  # deploys it, makes the partition
        start_options = StartOptions("faults.collector", "once", "e1", named=True, input="1", placement="shared")
        request = StartRequest("start-1", start_options)
        rival = StartRequest("start-2", replace(start_options, execution_id="e2"))
        assert [r.code for r in ask(hub, target, HostApi.start_many, [request])] == ["ok"]
        assert [r.code for r in ask(hub, target, HostApi.start_many, [request])] == ["ok"]
        assert [r.code for r in ask(hub, target, HostApi.start_many, [replace(request, retry=True), rival])] == [
            "ok",
            "exists",
        ]
        hub.client.raise_event("once", "e", 7)
        assert hub.client.wait_for_completion("once", 10) == [7]
        assert [r.code for r in ask(hub, target, HostApi.start_many, [replace(request, retry=True)])] == ["ok"]
        assert hub.client.get_status("once").execution_id == "e1"


def test_of_racing_starts_of_one_id_exactly_one_wins() -> None:
    with armed_hub() as (hub, _):
        hub.client.start_new(collector, 0).wait_for_completion(timeout=10)
        outcomes: list[str] = []

        def start(number: int) -> None:
            try:
                hub.client.start_new(collector, 1, instance_id="race", placement=("shared", "dedicated")[number % 2])
                outcomes.append("won")
            except Exception as error:
                outcomes.append(type(error).__name__)

        threads = [threading.Thread(target=start, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert sorted(outcomes) == ["InstanceAlreadyExists"] * 7 + ["won"]
        hub.client.raise_event("race", "e", 1)
        assert hub.client.wait_for_completion("race", 10) == [1]


def test_a_fenced_host_sends_its_callers_on() -> None:
    with armed_hub() as (hub, store):
        handle, _ = begun(hub, 1)

        def fenced(name: str) -> None:
            store.crash, store._shots = (lambda host: None), set()
            raise Fenced("another owner")

        store._mode, store._shots, store._aim, store.crash = "crash before", {store.seen + 1}, anything, fenced
        handle.raise_event("e", 1)
        assert handle.wait_for_completion(timeout=10) == [1]
