"""The contract of an activity worker: each invocation runs once, every result is handed over, none waits for a slow one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from msgspec.structs import replace

from durable_ray.actors.activities import worker as module
from durable_ray.actors.activities.ports import ActivityResult, Address, Invocation
from durable_ray.actors.activities.worker import ActivityWorker, CodeMissing
from durable_ray.actors.store.records import DefinitionRow
from durable_ray.orchestrations.history.events import ActivityCompleted

ROW = DefinitionRow("activity", "act", "", "c", "value", b"")


def invocation(number: int) -> Invocation:
    return Invocation(Address("i", "e", number, 1), "act", "c", None)


class Acts:
    """Stands in for user code: counts the runs of each number; some wait until they are let go."""

    def __init__(self) -> None:
        self.runs: list[int] = []
        self.slow: set[int] = set()
        self.go = threading.Event()

    def run(self, row: DefinitionRow, asked: Invocation, *_: object) -> ActivityResult:
        number = asked.address.task_id
        self.runs.append(number)
        if number in self.slow:
            assert self.go.wait(30)
        return ActivityCompleted(number, str(number), 1)


@pytest.fixture
def acts(monkeypatch: pytest.MonkeyPatch) -> Acts:
    made = Acts()
    monkeypatch.setattr(module, "run_activity", made.run)
    return made


@pytest.fixture
def aside() -> Iterator[Callable[..., object]]:
    with ThreadPoolExecutor(8) as pool:
        yield pool.submit


def numbers(found: list[tuple[Address, ActivityResult]]) -> list[int]:
    return sorted(address.task_id for address, _ in found)


def test_a_batch_is_answered_whole_and_forgotten_when_acknowledged(acts: Acts) -> None:
    worker = ActivityWorker("hub", 4, 100)
    found = worker.run("h", [invocation(n) for n in range(50)], [ROW])
    assert numbers(found) == list(range(50))
    assert len(worker.held("h")) == 50
    worker.forget("h", [address for address, _ in found])
    assert worker.held("h") == []


def test_what_is_known_is_not_run_again_and_its_result_is_handed_over_again(acts: Acts) -> None:
    worker = ActivityWorker("hub", 4, 100)
    worker.run("h", [invocation(1)], [ROW])
    assert numbers(worker.run("h", [invocation(1)], [])) == [1]
    assert acts.runs == [1]


def test_a_slow_one_holds_up_no_other_of_its_batch(acts: Acts, aside: Callable[..., object]) -> None:
    acts.slow = {0, 3}
    worker = ActivityWorker("hub", 8, 100)
    aside(worker.run, "h", [invocation(n) for n in range(20)], [ROW])
    found: list[int] = []
    while len(found) < 18:
        found += numbers(worker.collect("h"))
    assert sorted(found) == [n for n in range(20) if n not in acts.slow]
    acts.go.set()


def test_no_more_run_at_once_than_there_are_slots(acts: Acts, aside: Callable[..., object]) -> None:
    acts.slow = set(range(6))
    worker = ActivityWorker("hub", 2, 100)
    for n in range(6):
        aside(worker.run, "h", [invocation(n)], [ROW])
    while worker.busy() < 6:
        pass
    assert len(acts.runs) <= 2
    acts.go.set()
    found: list[int] = []
    while worker.busy():
        found += numbers(worker.collect("h"))
    assert sorted(acts.runs) == list(range(6))


def test_it_leaves_only_when_it_holds_nothing(acts: Acts) -> None:
    worker = ActivityWorker("hub", 2, 0.0)
    found = worker.run("h", [invocation(1)], [ROW])
    assert not worker.may_exit()
    worker.forget("h", [address for address, _ in found])
    assert worker.may_exit()


def test_what_a_dead_host_asked_for_is_handed_to_its_successor(acts: Acts, aside: Callable[..., object]) -> None:
    acts.slow = {1}
    worker = ActivityWorker("hub", 2, 100)
    orphan: Any = aside(worker.run, "h", [invocation(1)], [ROW])
    while not worker.busy():
        pass
    assert [address.task_id for address in worker.held("h")] == [1]
    assert worker.run("h", [invocation(1)], []) == []
    heard: Any = aside(worker.collect, "h")
    acts.go.set()
    assert numbers(heard.result(5)) == [1]
    assert orphan.result(5) == []
    assert acts.runs == [1]


def test_what_comes_without_its_code_is_not_held_to_be_running(acts: Acts) -> None:
    """The worker's process was replaced while it had nothing to do, and its host has not heard of it."""
    worker = ActivityWorker("hub", 4, 100)
    with pytest.raises(CodeMissing):
        worker.run("h", [invocation(1), invocation(2)], [])
    assert (worker.held("h"), worker.busy()) == ([], 0)
    assert numbers(worker.run("h", [invocation(1), invocation(2)], [ROW])) == [1, 2]
    assert sorted(acts.runs) == [1, 2]


def test_a_host_that_holds_nothing_here_has_no_shelf(acts: Acts) -> None:
    """Most are dedicated instances, of which each is a host and comes once."""
    worker = ActivityWorker("hub", 4, 100)
    for number in range(300):
        host = f"instance:{number}"
        worker.held(host)
        found = worker.run(host, [invocation(n) for n in range(2)], [ROW])
        while len(found) < 2:
            found += worker.collect(host)
        worker.cancel(host, invocation(0).address)
        (worker.forget if number % 2 else worker.collect)(host, [address for address, _ in found])
    assert worker._by_host == {}


def test_code_that_nobody_uses_is_forgotten_and_what_waits_to_run_has_its_own(
    acts: Acts, aside: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    acts.slow = {0, 1}
    worker = ActivityWorker("hub", 1, 100)
    for number in range(2):  # the second waits for the first's slot
        aside(worker.run, "h", [invocation(number)], [ROW])
    while worker.busy() < 2:
        pass
    now[0] = module.KEEP_CODE + 1
    other = Invocation(Address("i", "e", 7, 1), "act", "other", None)
    aside(worker.run, "h", [other], [replace(ROW, code_id="other")])
    while worker.busy() < 3:
        pass
    assert list(worker._code) == [("act", "other")]
    acts.go.set()
    while worker.busy():
        pass
    assert sorted(acts.runs) == [0, 1, 7]
