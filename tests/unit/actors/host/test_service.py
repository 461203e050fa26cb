"""Deliveries that travel together: each is answered on its own merits, and none twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

import durable_ray as dr
from durable_ray.actors.host.service import HostService
from durable_ray.actors.messages import Delivery, Reply
from durable_ray.actors.settings import HubSettings
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.events import Message
from durable_ray.testing import TestHub


@dr.orchestrator(name="desk.quick")
async def quick(ctx: dr.OrchestrationContext, count: int = 1) -> list[Any]:
    return [await ctx.wait_for_external_event("e") for _ in range(count)]


@dr.orchestrator(name="desk.slow")
async def slow(ctx: dr.OrchestrationContext) -> Any:
    return await ctx.wait_for_external_event("e")


@pytest.fixture
def hub() -> Iterator[TestHub]:
    """A hub whose one host has just come back: nobody is in memory, no code is loaded."""
    with TestHub(settings=HubSettings(partitions=1, sweep_interval=600)) as one:
        for name, orchestrator in (("quick", quick), ("slow", slow)):
            one.client.start_new(orchestrator, instance_id=name, placement="shared").wait_for_start(10)
        one.crash()
        yield one


def event(instance_id: str, number: int = 1) -> Delivery:
    name = f"{instance_id}-{number}"
    return Delivery(name, instance_id, Message(name, ev.EventRaised("e", str(number), name)))


def host_service(hub: TestHub) -> HostService:
    (one,) = hub.hub.services.values()
    return one


def deliver(hub: TestHub, *deliveries: Delivery) -> Any:
    return hub.on_loop(host_service(hub).deliver_many(deliveries))


def test_one_whose_code_takes_long_to_load_keeps_nobody_waiting(hub: TestHub, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = threading.Event()
    definition_cache = host_service(hub)._host.definition_cache
    open_code = definition_cache.open

    def takes_long(kind: Any, name: str, code_id: str) -> Any:
        if name == "desk.slow":
            loaded.wait(20)
        return open_code(kind, name, code_id)

    monkeypatch.setattr(definition_cache, "open", takes_long)
    began = time.monotonic()
    assert deliver(hub, event("slow"), event("quick")).result(10) == [Reply("moved"), Reply("ok")]
    assert time.monotonic() - began < 5, "it waited for the code of another"
    assert hub.client.wait_for_completion("quick", 10) == [1]
    again = deliver(hub, replace(event("slow"), retry=True))
    assert not again.done()
    loaded.set()
    assert again.result(10) == [Reply("ok")]
    assert hub.client.wait_for_completion("slow", 10) == 1
    assert deliver(hub, replace(event("slow"), retry=True)).result(10) == [Reply("ok")], "it was taken, once"


def test_a_sender_does_not_notice_who_travelled_along(hub: TestHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that fails is asked for again by itself, and fails by itself."""
    instance_cache = host_service(hub)._host.instance_cache
    find = instance_cache.find

    async def fails(instance_id: str) -> Any:
        if instance_id == "slow":
            raise ValueError("its row cannot be read")
        return await find(instance_id)

    monkeypatch.setattr(instance_cache, "find", fails)
    assert deliver(hub, event("slow"), event("quick"), event("nobody")).result(10) == [
        Reply("moved"),
        Reply("ok"),
        Reply("absent"),
    ]
    for alone in ([event("slow")], [event("slow"), event("slow", 2)]):
        with pytest.raises(ValueError, match="cannot be read"):
            deliver(hub, *alone).result(10)


def test_none_is_no_delivery(hub: TestHub) -> None:
    assert deliver(hub).result(10) == []
