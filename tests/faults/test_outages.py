"""While the store does not answer, instances wait; when it answers again they go on, and nothing is half done."""

from __future__ import annotations

import threading

import pytest

from durable_ray.actors.settings import HubSettings
from durable_ray.actors.store.contract import StoreError
from tests.faults.armed import armed_hub
from tests.faults.ledger import LEDGER
from tests.faults.shapes import SHAPES, collector, timers

pytestmark = pytest.mark.fault


@pytest.mark.parametrize("method", ["commit", "load", "inbox", "rows", "definition", "definitions", "mark_resident"])
@pytest.mark.parametrize("name", ["fan-out", "children", "timers"])
def test_running_instances_get_over_a_store_that_is_busy_for_a_while(name: str, method: str) -> None:
    shape = SHAPES[name]
    with armed_hub() as (hub, store):
        answer: list[object] = []

        def play() -> None:
            try:
                answer.append(shape.play(hub.client, "i", lambda _: store.broken.update({method: 2})))
            except StoreError:  # it was the asking that failed
                store.broken.clear()
                answer.append(hub.client.wait_for_completion("i", 10))

        thread = threading.Thread(target=play)
        thread.start()
        thread.join(30)
        assert answer == [shape.expected], store.story
        assert LEDGER.repeated == []


@pytest.mark.parametrize("method", ["definitions", "to_revive", "load", "due"])
def test_a_host_that_comes_back_while_the_store_is_busy_takes_up_its_work(method: str) -> None:
    with armed_hub(settings=HubSettings(partitions=1, sweep_interval=60)) as (hub, store):
        handle = hub.client.start_new(collector, 2)
        handle.raise_event("e", 1)
        store.broken[method] = 2
        hub.crash()
        handle.raise_event("e", 2)
        assert handle.wait_for_completion(timeout=20) == [1, 2]


def test_a_timer_whose_load_failed_rings_all_the_same() -> None:
    settings = HubSettings(partitions=1, sweep_interval=60, max_in_memory=1)
    with armed_hub(settings=settings) as (hub, store):
        hub.hub.hosts.clear()
        handles = [hub.client.start_new(timers, 1) for _ in range(5)]  # all but one are put out of memory
        store.broken["load"] = 4
        assert [handle.wait_for_completion(timeout=20) for handle in handles] == [1] * 5


def test_a_request_that_cannot_be_written_fails_cleanly() -> None:
    with armed_hub() as (hub, store):
        handle = hub.client.start_new(collector, 1)
        handle.wait_for_start(timeout=10)
        store.broken["commit"] = 1
        with pytest.raises(StoreError):
            hub.client.start_new(collector, 1, instance_id="never")
        assert hub.client.get_status("never") is None
        handle.raise_event("e", 1)
        assert handle.wait_for_completion(timeout=10) == [1]
