"""What an execution stands at: the fold of its history, and nothing that is not in its history.

A snapshot has one owner, who feeds it every event exactly once, in order. It is never repaired: an owner whose commit was
refused throws it away and folds anew from the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

from msgspec import Struct, field
from msgspec.structs import replace

from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.events import Event, ParentAddress, Payload
from durable_ray.orchestrations.values.failures import FailureDetails
from durable_ray.orchestrations.values.times import is_never

Status = Literal["Pending", "Running", "Suspended", "Completed", "Failed", "Terminated"]


class Outstanding(Struct):
    """A task (activity or sub-orchestration) that was asked for and has no result yet."""

    scheduled: ev.ActivityScheduled | ev.ChildScheduled
    scheduled_at: int
    attempt: int = 1
    code_id: str = ""


class Snapshot(Struct):
    """The state of one execution, folded from its events."""

    instance_id: str
    execution_id: str = ""
    name: str = ""
    version: str = ""
    code_id: str = ""
    input: Payload | None = None
    parent: ParentAddress | None = None
    generation: int = 0
    status: Status = "Pending"
    #: Time of the last turn (µs); the next one is not earlier, unless the clock was mended meanwhile (`turn_time`).
    at: int = 0
    started_at: int | None = None
    events: int = 0
    activities: dict[int, Outstanding] = field(default_factory=dict)
    children: dict[int, Outstanding] = field(default_factory=dict)
    timers: dict[int, int] = field(default_factory=dict)
    #: When the next attempt begins (µs), of those among `activities` and `children` that wait for one.
    retries: dict[int, int] = field(default_factory=dict)
    #: Tasks whose failure the orchestrator has seen; what a rewind may run again.
    failed: dict[int, Outstanding] = field(default_factory=dict)
    #: Activity's name -> the code with which this execution first called it.
    codes: dict[str, str] = field(default_factory=dict)
    output: Payload | None = None
    failure: FailureDetails | None = None

    @property
    def finished(self) -> bool:
        """Whether the execution has ended."""
        return self.status in ("Completed", "Failed", "Terminated")

    def next_due(self) -> int | None:
        """When time alone will give this execution something to do (µs), or None."""
        if not (self.timers or self.retries):
            return None
        due = min((*self.timers.values(), *self.retries.values()))
        return None if is_never(due) else due

    def task(self, task_id: int) -> Outstanding | None:
        """The outstanding activity or sub-orchestration of that number."""
        return self.activities.get(task_id) or self.children.get(task_id)

    def apply(self, event: Event) -> None:
        """Fold one more event."""
        self.events += 1
        fold_one = _FOLDS.get(type(event))
        if fold_one is not None:
            fold_one(self, event)


def fold(instance_id: str, history: Iterable[Event]) -> Snapshot:
    """The snapshot of `history`."""
    snapshot = Snapshot(instance_id)
    for event in history:
        snapshot.apply(event)
    return snapshot


# --- one function per kind of event that changes something ----------------------------------------


def _started(s: Snapshot, e: ev.ExecutionStarted) -> None:
    s.execution_id, s.name, s.version, s.code_id = e.execution_id, e.name, e.version, e.code_id
    s.input, s.parent, s.generation = e.input, e.parent, e.generation
    # Suspended before it began: the start is history, the first step waits for the resumption.
    s.status = "Suspended" if s.status == "Suspended" else "Running"


def _turn(s: Snapshot, e: ev.TurnStarted) -> None:
    s.at = e.at
    if s.started_at is None:
        s.started_at = e.at


def _completed(s: Snapshot, e: ev.ExecutionCompleted) -> None:
    s.status, s.output = "Completed", e.result
    _let_go(s)


def _failed(s: Snapshot, e: ev.ExecutionFailed) -> None:
    s.status, s.failure = "Failed", e.failure
    s.timers.clear()


def _terminated(s: Snapshot, e: ev.ExecutionTerminated) -> None:
    s.status, s.output = "Terminated", e.reason
    s.timers.clear()


def _let_go(s: Snapshot) -> None:
    s.activities.clear()
    s.children.clear()
    s.timers.clear()
    s.retries.clear()


def _suspended(s: Snapshot, _: ev.ExecutionSuspended) -> None:
    s.status = "Suspended"


def _resumed(s: Snapshot, _: ev.ExecutionResumed) -> None:
    s.status = "Running"


def _rewound(s: Snapshot, e: ev.ExecutionRewound) -> None:
    s.status, s.output, s.failure = "Running", None, None
    if e.code_id:
        s.version, s.code_id = e.version, e.code_id
        s.codes.clear()
    for task_id in e.task_ids:
        task = s.failed.pop(task_id, None)
        if task is None:
            continue
        kind = s.activities if isinstance(task.scheduled, ev.ActivityScheduled) else s.children
        kind[task_id] = replace(task, attempt=task.attempt + 1)
        s.retries.pop(task_id, None)


def _activity_scheduled(s: Snapshot, e: ev.ActivityScheduled) -> None:
    s.activities[e.task_id] = Outstanding(e, s.at, code_id=e.code_id)
    s.retries.pop(e.task_id, None)  # after a rewind it may be asked for again while it waits
    if e.code_id:
        s.codes.setdefault(e.name, e.code_id)


def _child_scheduled(s: Snapshot, e: ev.ChildScheduled) -> None:
    if not e.detached:
        s.children[e.task_id] = Outstanding(e, s.at)
        s.retries.pop(e.task_id, None)


def _activity_done(s: Snapshot, e: ev.ActivityCompleted | ev.ActivityCanceled) -> None:
    s.activities.pop(e.task_id, None)
    s.retries.pop(e.task_id, None)


def _activity_failed(s: Snapshot, e: ev.ActivityFailed) -> None:
    task = s.activities.pop(e.task_id, None)
    s.retries.pop(e.task_id, None)
    if task is not None:
        s.failed[e.task_id] = task


def _child_done(s: Snapshot, e: ev.ChildCompleted) -> None:
    s.children.pop(e.task_id, None)
    s.retries.pop(e.task_id, None)


def _child_failed(s: Snapshot, e: ev.ChildFailed) -> None:
    task = s.children.pop(e.task_id, None)
    s.retries.pop(e.task_id, None)
    if task is not None:
        s.failed[e.task_id] = task


def _attempt_failed(s: Snapshot, e: ev.AttemptFailed) -> None:
    if s.task(e.task_id) is not None:
        s.retries[e.task_id] = e.retry_at


def _attempt_started(s: Snapshot, e: ev.AttemptStarted) -> None:
    task = s.task(e.task_id)
    if task is not None:
        task.attempt, task.code_id = e.attempt, e.code_id
        s.retries.pop(e.task_id, None)


def _timer_created(s: Snapshot, e: ev.TimerCreated) -> None:
    s.timers[e.task_id] = e.fire_at


def _timer_gone(s: Snapshot, e: ev.TimerFired | ev.TimerCanceled) -> None:
    s.timers.pop(e.task_id, None)


_FOLDS: dict[type, Callable[[Snapshot, Any], None]] = {
    ev.ExecutionStarted: _started,
    ev.TurnStarted: _turn,
    ev.ExecutionCompleted: _completed,
    ev.ExecutionFailed: _failed,
    ev.ExecutionTerminated: _terminated,
    ev.ExecutionSuspended: _suspended,
    ev.ExecutionResumed: _resumed,
    ev.ExecutionRewound: _rewound,
    ev.ActivityScheduled: _activity_scheduled,
    ev.ActivityCompleted: _activity_done,
    ev.ActivityFailed: _activity_failed,
    ev.ActivityCanceled: _activity_done,
    ev.AttemptFailed: _attempt_failed,
    ev.AttemptStarted: _attempt_started,
    ev.ChildScheduled: _child_scheduled,
    ev.ChildCompleted: _child_done,
    ev.ChildFailed: _child_failed,
    ev.TimerCreated: _timer_created,
    ev.TimerFired: _timer_gone,
    ev.TimerCanceled: _timer_gone,
}
