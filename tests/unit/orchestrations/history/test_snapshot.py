"""A snapshot is the fold of its history: what is outstanding, what is due, how it ended."""

from __future__ import annotations

import pytest

from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.events import Event, ParentAddress
from durable_ray.orchestrations.history.snapshot import Snapshot, fold
from durable_ray.orchestrations.values.failures import FailureDetails

WRONG = FailureDetails("builtins.ValueError", "wrong")
BEGIN: tuple[Event, ...] = (ev.TurnStarted(100), ev.ExecutionStarted("name", "e1", '"in"', "v1", "code"))


def after(*events: Event) -> Snapshot:
    return fold("i", [*BEGIN, *events])


def test_nothing_has_happened_yet() -> None:
    snapshot = fold("i", ())
    assert (snapshot.status, snapshot.finished, snapshot.next_due(), snapshot.events) == ("Pending", False, None, 0)


def test_the_start_is_kept() -> None:
    parent = ParentAddress("p", "pe", 3)
    snapshot = fold("i", [ev.TurnStarted(7), ev.ExecutionStarted("n", "e", '"x"', "v", "c", parent, 4)])
    assert (snapshot.execution_id, snapshot.name, snapshot.version, snapshot.code_id) == ("e", "n", "v", "c")
    assert (snapshot.input, snapshot.parent, snapshot.generation) == ('"x"', parent, 4)
    assert (snapshot.status, snapshot.at, snapshot.started_at, snapshot.events) == ("Running", 7, 7, 2)


def test_the_time_is_that_of_the_last_turn_and_the_start_that_of_the_first() -> None:
    snapshot = after(ev.TurnStarted(500))
    assert (snapshot.at, snapshot.started_at) == (500, 100)


@pytest.mark.parametrize(
    ("end", "outstanding"),
    [
        (ev.ActivityCompleted(1, "1"), 0),
        (ev.ActivityCanceled(1), 0),
        (ev.ActivityFailed(1, WRONG), 0),
        (ev.AttemptFailed(1, 1, WRONG, 900), 1),
        (ev.TimerFired(1), 1),
    ],
)
def test_an_activity_is_outstanding_until_it_has_a_result(end: Event, outstanding: int) -> None:
    assert len(after(ev.ActivityScheduled(1, "a"), end).activities) == outstanding


@pytest.mark.parametrize("end", [ev.ChildCompleted(1), ev.ChildFailed(1, WRONG)])
def test_a_child_is_outstanding_until_it_has_a_result(end: Event) -> None:
    scheduled = ev.ChildScheduled(1, "c", "id")
    assert list(after(scheduled).children) == [1]
    assert after(scheduled, end).children == {}


def test_nobody_waits_for_a_detached_child() -> None:
    assert after(ev.ChildScheduled(1, "c", "id", detached=True)).children == {}


def test_attempts_are_counted_and_wait_for_their_time() -> None:
    snapshot = after(ev.ActivityScheduled(1, "a", code_id="old"), ev.AttemptFailed(1, 1, WRONG, 900))
    assert (snapshot.retries, snapshot.next_due()) == ({1: 900}, 900)
    snapshot.apply(ev.AttemptStarted(1, 2, "new"))
    task = snapshot.activities[1]
    assert (task.attempt, snapshot.retries, task.code_id, task.scheduled_at) == (2, {}, "new", 100)
    assert snapshot.next_due() is None


@pytest.mark.parametrize("again", [ev.ActivityScheduled(1, "a"), ev.ExecutionRewound(None, task_ids=(1,))])
def test_what_is_asked_for_again_waits_no_longer(again: Event) -> None:
    waiting = (ev.ActivityScheduled(1, "a"), ev.AttemptFailed(1, 1, WRONG, 900))
    if isinstance(again, ev.ExecutionRewound):
        waiting = (*waiting, ev.ActivityFailed(1, WRONG))
    snapshot = after(*waiting, again)
    assert (list(snapshot.activities), snapshot.retries, snapshot.next_due()) == ([1], {}, None)


def test_the_soonest_of_timers_and_retries_is_due_next() -> None:
    timers = [ev.TimerCreated(1, 500), ev.TimerCreated(2, 300)]
    retry = [ev.ChildScheduled(3, "c", "id"), ev.AttemptFailed(3, 1, WRONG, 400)]
    assert after(*timers, *retry).next_due() == 300
    assert after(*timers, *retry, ev.TimerCanceled(2)).next_due() == 400
    assert after(*timers, *retry, ev.TimerCanceled(2), ev.AttemptStarted(3, 2)).next_due() == 500
    assert after(*timers, ev.TimerFired(1), ev.TimerFired(2)).next_due() is None


def test_suspending_keeps_everything_and_resuming_goes_on() -> None:
    snapshot = after(ev.ActivityScheduled(1, "a"), ev.TimerCreated(2, 500), ev.ExecutionSuspended())
    assert (snapshot.status, list(snapshot.activities), snapshot.next_due()) == ("Suspended", [1], 500)
    snapshot.apply(ev.ExecutionResumed())
    assert snapshot.status == "Running"


def test_suspended_before_it_began_it_stays_so() -> None:
    assert fold("i", [ev.TurnStarted(1), ev.ExecutionSuspended(), BEGIN[1]]).status == "Suspended"


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (ev.ExecutionCompleted('"out"'), "Completed"),
        (ev.ExecutionFailed(WRONG), "Failed"),
        (ev.ExecutionTerminated('"why"'), "Terminated"),
    ],
)
def test_an_end_leaves_nothing_due(end: Event, status: str) -> None:
    snapshot = after(ev.TimerCreated(1, 500), end)
    assert (snapshot.status, snapshot.finished, snapshot.next_due()) == (status, True, None)


def test_outputs_and_failures_are_kept() -> None:
    assert after(ev.ExecutionCompleted('"out"')).output == '"out"'
    assert after(ev.ExecutionTerminated('"why"')).output == '"why"'
    assert after(ev.ExecutionFailed(WRONG)).failure == WRONG


def test_a_rewind_makes_the_failures_it_names_outstanding_again() -> None:
    failed = [ev.ActivityScheduled(1, "a"), ev.ActivityFailed(1, WRONG), ev.ExecutionFailed(WRONG)]
    snapshot = after(*failed, ev.ExecutionRewound(task_ids=(1,)))
    assert (snapshot.status, snapshot.failure, snapshot.failed) == ("Running", None, {})
    assert snapshot.activities[1].attempt == 2
