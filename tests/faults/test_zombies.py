"""A host whose successor has started can do no more harm: its commits are refused, it answers "moved", and it ends."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest

from durable_ray.actors.messages import Delivery, StartOptions, StartRequest
from durable_ray.actors.settings import HubSettings
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.events import Message
from durable_ray.testing import TestHub
from tests.faults.armed import armed_hub
from tests.faults.shapes import collector

pytestmark = pytest.mark.fault


def hosted(hub: TestHub, count: int) -> tuple[Any, str]:
    handle = hub.client.start_new(collector, count)
    handle.wait_for_start(timeout=10)
    (host,) = hub.hub.services
    return handle, host


def test_a_zombie_is_refused_and_its_successor_answers(tmp_path: Path) -> None:
    with TestHub(f"sqlite:///{tmp_path / 'hub.db'}") as hub:
        handle, name = hosted(hub, 2)
        zombie, host_service = hub.hub.hosts.pop(name), hub.hub.services.pop(name)
        hub.on_loop(hub.hub.ensure(name)).result(10)
        assert hub.hub.hosts[name].fence.epoch == zombie.fence.epoch + 1

        polling = hub.on_loop(host_service.wait([handle.instance_id], 8.0))
        message = Message("m", ev.EventRaised("e", "666", "m"))
        (reply,) = hub.on_loop(host_service.deliver_many([Delivery("m", handle.instance_id, message)])).result(10)
        assert reply.code == "moved"
        assert zombie.moved
        assert [ending.status for ending in polling.result(4)] == ["moved"], "who waits is sent away at once"
        start_options = StartOptions("faults.collector", "new", "e1", named=False, input="1")
        (reply,) = hub.on_loop(host_service.start_many([StartRequest("s", start_options)])).result(10)
        assert reply.code == "moved"
        endings = hub.on_loop(host_service.wait([handle.instance_id], 5.0)).result(10)
        assert [ending.status for ending in endings] == ["moved"]

        # What the zombie asked for ("I was fenced: end me") went to its successor, which came back at the next call.
        handle.raise_event("e", 1)
        handle.raise_event("e", 2)
        assert handle.wait_for_completion(timeout=10) == [1, 2]
        hub.on_loop(zombie.close()).result(10)


def test_starts_of_a_fenced_host_are_not_half_made(caplog: pytest.LogCaptureFixture) -> None:
    with armed_hub(settings=HubSettings(partitions=1)) as (hub, _):
        handle, name = hosted(hub, 1)
        host_service = hub.hub.services[name]
        hub.store.acquire_lease(name)
        start_options = StartOptions("faults.collector", "x", "e1", named=False, input="1")
        requests = [
            StartRequest(f"s{n}", StartOptions("faults.collector", f"x{n}", "e", named=False)) for n in range(3)
        ]
        replies = hub.on_loop(host_service.start_many([StartRequest("s", start_options), *requests])).result(10)
        assert {reply.code for reply in replies} == {"moved"}
        assert hub.store.rows(["x", "x0", "x1", "x2"]) == {}
        gc.collect()
        assert "never retrieved" not in caplog.text
        handle.raise_event("e", 5)
        assert handle.wait_for_completion(timeout=10) == [5]
