"""Rewind plan: the events that a rewind appends to a history, to be committed or to be tried on other code first."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.snapshot import Snapshot, fold
from durable_ray.orchestrations.values.times import turn_time


class Move(Struct, frozen=True):
    """The code on which one instance of a tree is to continue, if its history replays on it.

    Valid for the instance as it was read (`execution_id`, `turn`).
    """

    instance_id: str
    execution_id: str
    turn: int
    host: str
    name: str
    version: str
    code_id: str


def rewind_events(
    instance_id: str,
    history: Sequence[ev.Event],
    now: int,
    reason: str | None,
    activity_code: Callable[[str], str],
    move: Move | None = None,
) -> tuple[list[ev.Event], Snapshot]:
    """The events of a rewind at `now` (µs), and the snapshot after them.

    Args:
        activity_code: name -> code ID of the newest activity: what runs again runs on that ("": on what it had).
        move: the orchestrator's code from here on; None: what it has.
    """
    snapshot = fold(instance_id, history)
    at = turn_time(snapshot.at, now)
    target = ("", "") if move is None else (move.version, move.code_id)
    rewound = ev.ExecutionRewound(reason, _failed_tasks(history), *target)
    events: list[ev.Event] = [ev.TurnStarted(at), rewound]
    for event in events:
        snapshot.apply(event)
    more: list[ev.Event] = [ev.ExecutionResumed("rewound")] if _was_suspended(history) else []
    for task_id in rewound.task_ids:
        task = snapshot.activities.get(task_id)
        if task is not None:
            code_id = activity_code(task.scheduled.name) or task.code_id
            more.append(ev.AttemptStarted(task_id, task.attempt, code_id))
    for event in more:
        events.append(event)
        snapshot.apply(event)
    return events, snapshot


def _was_suspended(history: Sequence[ev.Event]) -> bool:
    """Whether it was suspended when it ended: a rewind resumes it."""
    for event in reversed(history):
        if isinstance(event, ev.ExecutionSuspended | ev.ExecutionResumed):
            return isinstance(event, ev.ExecutionSuspended)
    return False


def _failed_tasks(history: Sequence[ev.Event]) -> tuple[int, ...]:
    """The tasks whose failures ended the execution."""
    for event in reversed(history):
        if isinstance(event, ev.ExecutionFailed):
            return event.task_ids
        if isinstance(event, ev.ExecutionTerminated):
            return ()
    return ()
