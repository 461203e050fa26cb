"""What an instance accepts, and what follows from a decision: addresses, retries, timers, endings."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from durable_ray.orchestrations.authoring.retries import RetryPolicy
from durable_ray.orchestrations.engine import commands as cmd
from durable_ray.orchestrations.engine.commands import Command, Decision, Outcome
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.events import Event, Message, ParentAddress
from durable_ray.orchestrations.history.snapshot import Snapshot, fold
from durable_ray.orchestrations.history.transition import Append, child_conflict, receive, settle
from durable_ray.orchestrations.values.failures import FailureDetails

WRONG = FailureDetails("builtins.ValueError", "wrong", bases=("builtins.ValueError",))
SECOND = 1_000_000


class Known:
    """Activities "a" (code "a2") and "r" (with a retry policy); orchestrator "c" (version "v2")."""

    unreadable: Mapping[tuple[str, str], str] = {}

    def activity(self, name: str) -> tuple[str, RetryPolicy | None]:
        return {"a": ("a2", None), "r": ("r2", RetryPolicy(5, 3))}.get(name, ("", None))

    def orchestrator(self, name: str, version: str | None) -> tuple[str, str] | None:
        return ("v2", "c2") if name in ("c", "me") else None

    def pins(self, name: str, version: str) -> bool:
        return version == "pinned"


def running(*events: Event, parent: ParentAddress | None = None) -> Snapshot:
    started = ev.ExecutionStarted("me", "e1", parent=parent)
    return fold("i", [ev.TurnStarted(100), started, *events])


def take(snapshot: Snapshot, *events: Event, now: int = 200, execution: str | None = "e1") -> Append:
    messages = [Message(f"m{n}", event, execution) for n, event in enumerate(events)]
    return receive(snapshot, messages, now, Known())


def decide(snapshot: Snapshot, *commands: Command, outcome: Outcome | None = None) -> Append:
    return settle(snapshot, Decision(commands, outcome), Append(300), Known())


# --- receive: the address -------------------------------------------------------------------------

ONE = ev.ActivityScheduled(1, "a")


@pytest.mark.parametrize(
    ("event", "execution"),
    [
        (ev.ActivityCompleted(1), "e0"),
        (ev.ActivityCompleted(2), "e1"),
        (ev.ActivityCompleted(1, attempt=2), "e1"),
        (ev.ActivityFailed(2, WRONG), "e1"),
        (ev.ChildCompleted(1), "e1"),
        (ev.ChildFailed(7, WRONG), "e1"),
    ],
)
def test_an_answer_for_another_execution_task_or_attempt_is_dropped(event: Event, execution: str) -> None:
    turn = take(running(ONE), event, execution=execution)
    assert (turn.events, turn.dropped, turn.refused) == ([], 1, {})


def test_an_answer_is_taken_once() -> None:
    turn = take(running(ONE), ev.ActivityCompleted(1, "1"), ev.ActivityCompleted(1, "1"))
    assert turn.events == [ev.TurnStarted(200), ev.ActivityCompleted(1, "1")]
    assert turn.dropped == 1


def test_what_changes_nothing_leaves_no_trace() -> None:
    snapshot = running(ONE)
    assert take(snapshot).events == []
    assert snapshot.at == 100


def test_time_never_goes_back() -> None:
    turn = take(running(ev.TurnStarted(900)), ev.EventRaised("e"), now=200)
    assert turn.events[0] == ev.TurnStarted(900)


def test_events_are_taken_in_the_order_in_which_they_come() -> None:
    raised = [ev.EventRaised("e", str(n)) for n in range(5)]
    assert take(running(), *raised, execution=None).events[1:] == raised


# --- receive: retries -----------------------------------------------------------------------------


def policy(attempts: int = 3, **more: object) -> RetryPolicy:
    return RetryPolicy(1, attempts, **more)  # type: ignore[arg-type]


def test_a_failed_attempt_waits_for_the_next_and_code_sees_nothing() -> None:
    snapshot = running(ev.ActivityScheduled(1, "a", retry=policy()))
    turn = take(snapshot, ev.ActivityFailed(1, WRONG), now=200)
    assert turn.events[1:] == [ev.AttemptFailed(1, 1, WRONG, 200 + SECOND)]
    assert take(snapshot, now=SECOND).events == []
    turn = take(snapshot, now=200 + SECOND)
    assert turn.events[1:] == [ev.AttemptStarted(1, 2, "a2")]
    assert turn.dispatch == [1]


def test_an_answer_of_an_attempt_that_failed_is_dropped_while_the_next_is_waited_for() -> None:
    snapshot = running(ev.ActivityScheduled(1, "a", retry=policy()), ev.AttemptFailed(1, 1, WRONG, 999))
    assert take(snapshot, ev.ActivityCompleted(1, attempt=1)).dropped == 1


def test_the_last_attempt_is_final() -> None:
    snapshot = running(ev.ActivityScheduled(1, "a", retry=policy(1)))
    assert take(snapshot, ev.ActivityFailed(1, WRONG)).events[1:] == [ev.ActivityFailed(1, WRONG)]


def test_no_attempt_begins_after_the_retry_timeout() -> None:
    retry = policy(9, retry_timeout=3)
    late = running(ev.ActivityScheduled(1, "a", retry=retry))
    assert isinstance(take(late, ev.ActivityFailed(1, WRONG), now=100 + 2 * SECOND).events[-1], ev.AttemptFailed)
    late = running(ev.ActivityScheduled(1, "a", retry=retry))
    assert isinstance(take(late, ev.ActivityFailed(1, WRONG), now=101 + 2 * SECOND).events[-1], ev.ActivityFailed)


def test_errors_that_are_not_to_be_retried_are_final() -> None:
    snapshot = running(ev.ActivityScheduled(1, "a", retry=policy(do_not_retry_on=[ValueError])))
    assert isinstance(take(snapshot, ev.ActivityFailed(1, WRONG)).events[-1], ev.ActivityFailed)


def test_a_child_is_tried_again_under_its_id() -> None:
    snapshot = running(ev.ChildScheduled(1, "c", "kid", retry=policy()))
    take(snapshot, ev.ChildFailed(1, WRONG), now=200)
    turn = take(snapshot, now=200 + SECOND)
    assert turn.events[1:] == [ev.AttemptStarted(1, 2)]
    (child,) = turn.children
    assert (child.instance_id, child.attempt, child.parent) == ("kid", 2, ParentAddress("i", "e1", 1))


# --- receive: timers, suspension, termination -----------------------------------------------------


def test_timers_fire_because_they_are_due_soonest_first_and_before_messages() -> None:
    snapshot = running(ev.TimerCreated(1, 180), ev.TimerCreated(2, 150), ev.TimerCreated(3, 201))
    turn = take(snapshot, ev.EventRaised("e"), execution=None)
    assert turn.events == [ev.TurnStarted(200), ev.TimerFired(2), ev.TimerFired(1), ev.EventRaised("e")]
    assert snapshot.next_due() == 201


def test_while_suspended_timers_events_and_results_are_kept() -> None:
    snapshot = running(ONE, ev.TimerCreated(2, 150), ev.ExecutionSuspended())
    turn = take(snapshot, ev.ActivityCompleted(1))
    assert turn.events[1:] == [ev.TimerFired(2), ev.ActivityCompleted(1)]
    assert snapshot.status == "Suspended"


def test_suspending_twice_and_resuming_what_runs_is_refused() -> None:
    snapshot = running()
    assert take(snapshot, ev.ExecutionResumed(), execution=None).refused == {"m0": "not suspended"}
    turn = take(snapshot, ev.ExecutionSuspended(), ev.ExecutionSuspended(), execution=None)
    assert (turn.refused, snapshot.status) == ({"m1": "already suspended"}, "Suspended")
    take(snapshot, ev.ExecutionResumed(), execution=None)
    assert snapshot.status == "Running"


def test_a_termination_ends_the_intake() -> None:
    snapshot = running()
    turn = take(snapshot, ev.EventRaised("a"), ev.TerminateRequested('"why"'), ev.EventRaised("b"), execution=None)
    assert turn.events[1:] == [ev.EventRaised("a"), ev.ExecutionTerminated('"why"')]
    assert turn.refused == {"m2": "finished"}
    assert take(snapshot, now=900).events == []


def test_a_recursive_termination_goes_to_every_child_and_may_stop_activities() -> None:
    children = [ev.ChildScheduled(1, "c", "k1"), ev.ChildScheduled(2, "c", "k2"), ev.ChildCompleted(2)]
    again = [ONE, ev.ActivityScheduled(5, "a", retry=policy()), ev.AttemptStarted(5, 2)]
    request = ev.TerminateRequested(None, recursive=True, cancel_activities=True)
    turn = take(running(*children, ev.ActivityScheduled(5, "a"), ev.AttemptStarted(5, 2)), request, execution=None)
    assert turn.messages == [("k1", Message("m0/1", request))]
    assert turn.cancel == {5: 2}
    quiet = take(running(*children, *again), ev.TerminateRequested(), execution=None)
    assert (quiet.messages, quiet.cancel) == ([], {})


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (cmd.Returned('"out"'), ev.ChildCompleted(3, '"out"', "i")),
        (cmd.Raised(WRONG), ev.ChildFailed(3, WRONG, "i")),
    ],
)
def test_every_ending_is_told_to_the_parent(outcome: Outcome, told: Event) -> None:
    snapshot = running(parent=ParentAddress("p", "pe", 3))
    assert decide(snapshot, outcome=outcome).messages == [("p", Message("e1:done", told, "pe"))]


def test_a_termination_too() -> None:
    turn = take(running(parent=ParentAddress("p", "pe", 3)), ev.TerminateRequested('"why"'), execution=None)
    ((target, message),) = turn.messages
    assert (target, message.execution_id) == ("p", "pe")
    assert isinstance(message.event, ev.ChildFailed)
    assert "why" in message.event.failure.message


# --- settle ---------------------------------------------------------------------------------------


def test_an_activity_is_resolved_when_it_is_scheduled() -> None:
    turn = decide(running(), cmd.ScheduleActivity(1, "r"), cmd.ScheduleActivity(2, "r", retry=policy()))
    first, second = turn.events
    assert first == ev.ActivityScheduled(1, "r", None, RetryPolicy(5, 3), "r2")
    assert second == ev.ActivityScheduled(2, "r", None, policy(), "r2")
    assert turn.dispatch == [1, 2]


def test_what_was_scheduled_and_cancelled_in_one_turn_is_not_begun() -> None:
    turn = decide(running(), cmd.ScheduleActivity(1, "a"), cmd.CancelActivity(1))
    assert (turn.dispatch, turn.cancel) == ([], {})


def test_the_attempt_that_runs_is_the_one_that_is_cancelled() -> None:
    turn = decide(running(ONE, ev.AttemptStarted(1, 3)), cmd.CancelActivity(1))
    assert (turn.events, turn.cancel) == ([ev.ActivityCanceled(1)], {1: 3})


def test_timers_are_created_and_cancelled() -> None:
    snapshot = running()
    decide(snapshot, cmd.CreateTimer(1, 500))
    assert snapshot.timers == {1: 500}
    assert decide(snapshot, cmd.CancelTimer(1)).events == [ev.TimerCanceled(1)]
    assert snapshot.next_due() is None


def test_an_event_to_another_instance_is_sent_once() -> None:
    turn = decide(running(), cmd.SendEvent(4, "other", "go", "1"))
    assert turn.messages == [("other", Message("e1:4", ev.EventRaised("go", "1", "e1:4")))]


def test_a_child_gets_an_id_that_replay_finds_again() -> None:
    (child,) = decide(running(), cmd.ScheduleChild(10, "c", "1")).children
    assert child.instance_id == "i:e1:000a"
    assert child.parent == ParentAddress("i", "e1", 10)


def test_a_detached_child_has_no_parent() -> None:
    (child,) = decide(running(), cmd.ScheduleChild(1, "c", detached=True)).children
    assert child.parent is None


def test_a_child_nobody_deployed_fails() -> None:
    turn = decide(running(), cmd.ScheduleChild(1, "nobody"))
    ((target, message),) = turn.messages
    assert (turn.children, target, message.execution_id) == ([], "i", "e1")
    assert isinstance(message.event, ev.ChildFailed)
    assert "nobody" in message.event.failure.message


def test_a_conflict_is_a_failure_of_that_child() -> None:
    (start,) = decide(running(), cmd.ScheduleChild(1, "c", instance_id="taken")).children
    message = child_conflict("e1", start)
    assert isinstance(message.event, ev.ChildFailed)
    assert (message.event.task_id, message.execution_id) == (1, "e1")
    assert message.event.failure.error_type == "durable_ray.InstanceAlreadyExists"


def test_continue_as_new_begins_anew_on_the_newest_code_with_what_is_left() -> None:
    parent = ParentAddress("p", "pe", 3)
    snapshot = running(ev.TimerCreated(1, 500), parent=parent)
    turn = decide(snapshot, outcome=cmd.Continued("2", (("e", "1", "m"),)))
    assert turn.events == [ev.ContinuedAsNew("2")]
    assert turn.successor is not None
    following = fold("i", turn.successor)
    assert turn.successor[-1] == ev.EventRaised("e", "1", "m")
    assert (following.input, following.parent, following.generation) == ("2", parent, 1)
    assert (following.version, following.code_id, following.at) == ("v2", "c2", 300)
    assert following.execution_id not in ("", "e1")
    assert following.next_due() is None
    assert turn.messages == []


def test_continue_as_new_without_its_events() -> None:
    turn = decide(running(), outcome=cmd.Continued(None, (("e", "1", "m"),), save_events=False))
    assert turn.successor is not None
    assert not any(isinstance(event, ev.EventRaised) for event in turn.successor)


def test_the_execution_that_follows_is_the_same_wherever_it_is_decided() -> None:
    first, second = (decide(running(), outcome=cmd.Continued(None)).successor for _ in range(2))
    assert first == second
