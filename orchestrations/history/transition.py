"""From messages to history: what an instance accepts (`receive`), and what a decision makes of it (`settle`).

A turn is: receive -> `Execution.advance` -> settle -> one commit -> effects. Both functions here are deterministic, read no
clock, and fold what they append into the snapshot they are given, so that it always stands at the end of the turn.

What is here and nowhere else:
- the address check: an answer for another execution, task or attempt is dropped;
- retries: a failed attempt becomes `AttemptFailed` and, when its time comes, `AttemptStarted`; orchestrator code sees
  neither;
- timers: they fire because the snapshot shows that they are due, not because of a notification.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from msgspec import Struct, field

from durable_ray.orchestrations.authoring.retries import RetryPolicy
from durable_ray.orchestrations.engine import commands as cmd
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.events import Event, Message, ParentAddress, Payload
from durable_ray.orchestrations.history.snapshot import Outstanding, Snapshot
from durable_ray.orchestrations.values.failures import FailureDetails
from durable_ray.orchestrations.values.ids import child_instance_id, next_execution_id, onward_message_id
from durable_ray.orchestrations.values.times import turn_time


class Resolver(Protocol):
    """What the runtime knows of the newest definitions, by name."""

    def activity(self, name: str) -> tuple[str, RetryPolicy | None]:
        """(code_id, default retry policy) of the newest activity of that name; ("", None) if there is none."""

    def orchestrator(self, name: str, version: str | None) -> tuple[str, str] | None:
        """(version, code_id) of the newest orchestrator of that name (and version), or None if there is none."""

    @property
    def unreadable(self) -> Mapping[tuple[str, str], str]:
        """(kind, name) -> why the newest definition of that name cannot be used, and what to do, where that is known."""

    def pins(self, name: str, version: str) -> bool:
        """Whether instances of this orchestrator keep to the code with which they first called an activity."""


class ChildStart(Struct, frozen=True):
    """A sub-orchestration to be created in the turn's transaction."""

    task_id: int
    instance_id: str
    name: str
    input: Payload | None
    version: str | None
    parent: ParentAddress | None
    #: The attempts after the first replace the finished instance of the one before.
    attempt: int = 1


class Append(Struct):
    """What a turn at time `at` adds: events for history, and what follows from them."""

    at: int
    events: list[Event] = field(default_factory=list)
    #: Task IDs of activities whose (next) attempt begins after the commit.
    dispatch: list[int] = field(default_factory=list)
    #: Task ID -> attempt of the activities whose results are no longer wanted.
    cancel: dict[int, int] = field(default_factory=dict)
    children: list[ChildStart] = field(default_factory=list)
    messages: list[tuple[str, Message]] = field(default_factory=list)
    #: First events of the execution that follows by continue-as-new.
    successor: list[Event] | None = None
    #: message_id -> why it was not accepted (only for messages somebody waits on).
    refused: dict[str, str] = field(default_factory=dict)
    dropped: int = 0


def receive(snapshot: Snapshot, messages: Iterable[Message], now: int, resolve: Resolver) -> Append:
    """Take messages and due timers into history, in order; answers what was appended.

    The first event is `TurnStarted`, if there is any other: what changes nothing leaves no trace. A termination ends the
    intake: what came after it is too late.
    """
    at = turn_time(snapshot.at, now)
    turn = Append(at)
    _fire_due(snapshot, at, turn, resolve)
    for message in messages:
        if snapshot.finished:
            turn.dropped += 1
            turn.refused[message.message_id] = "finished"
        elif message.execution_id is not None and message.execution_id != snapshot.execution_id:
            turn.dropped += 1
        else:
            _accept(snapshot, message, turn)
    return turn


def settle(snapshot: Snapshot, decision: cmd.Decision, turn: Append, resolve: Resolver) -> Append:
    """Turn what the code wants into history and effects; extends and returns `turn`."""
    for command in decision.commands:
        _record(snapshot, command, turn, resolve)
    outcome = decision.outcome
    if isinstance(outcome, cmd.Returned):
        _finish(snapshot, ev.ExecutionCompleted(outcome.result), turn)
    elif isinstance(outcome, cmd.Raised):
        _finish(snapshot, ev.ExecutionFailed(outcome.failure, outcome.task_ids), turn)
    elif isinstance(outcome, cmd.Continued):
        _continue(snapshot, outcome, turn, resolve)
    return turn


def _append(snapshot: Snapshot, turn: Append, event: Event) -> None:
    turn.events.append(event)
    snapshot.apply(event)


def _take(snapshot: Snapshot, turn: Append, event: Event) -> None:
    """Append something that came from outside; the first of a turn sets its time."""
    if not turn.events:
        _append(snapshot, turn, ev.TurnStarted(turn.at))
    _append(snapshot, turn, event)


# --- receive --------------------------------------------------------------------------------------


def _fire_due(snapshot: Snapshot, at: int, turn: Append, resolve: Resolver) -> None:
    if snapshot.finished:
        return
    for task_id in _due(snapshot.timers, at):
        _take(snapshot, turn, ev.TimerFired(task_id))
    for task_id in _due(snapshot.retries, at):
        _begin_attempt(snapshot, task_id, turn, resolve)


def _due(times: dict[int, int], at: int) -> list[int]:
    """The tasks whose time has come, in the order of their times."""
    if not times:
        return []
    return [task_id for _, task_id in sorted((time, task_id) for task_id, time in times.items() if time <= at)]


def _begin_attempt(snapshot: Snapshot, task_id: int, turn: Append, resolve: Resolver) -> None:
    task = snapshot.task(task_id)
    assert task is not None
    scheduled = task.scheduled
    if isinstance(scheduled, ev.ActivityScheduled):
        newest, _ = resolve.activity(scheduled.name)
        code_id = _code(snapshot, scheduled.name, newest, resolve)
        _take(snapshot, turn, ev.AttemptStarted(task_id, task.attempt + 1, code_id))
        turn.dispatch.append(task_id)
    else:
        _take(snapshot, turn, ev.AttemptStarted(task_id, task.attempt + 1))
        turn.children.append(_child_start(snapshot, scheduled, task.attempt - 1))


def _code(snapshot: Snapshot, activity: str, newest: str, resolve: Resolver) -> str:
    first = snapshot.codes.get(activity)
    return first if first and resolve.pins(snapshot.name, snapshot.version) else newest


def _accept(snapshot: Snapshot, message: Message, turn: Append) -> None:
    event = message.event
    match event:
        case ev.ActivityCompleted() | ev.ActivityFailed():
            task = snapshot.activities.get(event.task_id)
            if task is None or event.task_id in snapshot.retries or task.attempt != event.attempt:
                turn.dropped += 1
            elif isinstance(event, ev.ActivityFailed):
                _fail(snapshot, task, event, turn)
            else:
                _take(snapshot, turn, event)
        case ev.ChildCompleted() | ev.ChildFailed():
            task = snapshot.children.get(event.task_id)
            if task is None or event.task_id in snapshot.retries:
                turn.dropped += 1
            elif isinstance(event, ev.ChildFailed):
                _fail(snapshot, task, event, turn)
            else:
                _take(snapshot, turn, event)
        case ev.TerminateRequested():
            _terminate(snapshot, event, message.message_id, turn)
        case ev.ExecutionSuspended() if snapshot.status == "Suspended":
            turn.refused[message.message_id] = "already suspended"
        case ev.ExecutionResumed() if snapshot.status != "Suspended":
            turn.refused[message.message_id] = "not suspended"
        case _:
            _take(snapshot, turn, event)


def _fail(
    snapshot: Snapshot,
    task: Outstanding,
    event: ev.ActivityFailed | ev.ChildFailed,
    turn: Append,
) -> None:
    policy = task.scheduled.retry
    retry_at = None
    if policy is not None:
        retry_at = policy.next_attempt_at(task.attempt, task.scheduled_at, event.failure, turn.at)
    if retry_at is None:
        _take(snapshot, turn, event)
    else:
        _take(snapshot, turn, ev.AttemptFailed(event.task_id, task.attempt, event.failure, retry_at))


def _terminate(snapshot: Snapshot, request: ev.TerminateRequested, message_id: str, turn: Append) -> None:
    if request.cancel_activities:
        turn.cancel.update((task_id, task.attempt) for task_id, task in snapshot.activities.items())
    if request.recursive:
        for task_id, child in snapshot.children.items():
            assert isinstance(child.scheduled, ev.ChildScheduled)
            onward = Message(onward_message_id(message_id, task_id), request)
            turn.messages.append((child.scheduled.instance_id, onward))
    if not turn.events:
        _append(snapshot, turn, ev.TurnStarted(turn.at))
    _finish(snapshot, ev.ExecutionTerminated(request.reason), turn)


# --- settle ---------------------------------------------------------------------------------------


def _record(snapshot: Snapshot, command: cmd.Command, turn: Append, resolve: Resolver) -> None:
    match command:
        case cmd.ScheduleActivity():
            newest, default = resolve.activity(command.name)
            code_id = _code(snapshot, command.name, newest, resolve)
            retry = command.retry or default
            event = ev.ActivityScheduled(command.task_id, command.name, command.input, retry, code_id)
            _append(snapshot, turn, event)
            turn.dispatch.append(command.task_id)
        case cmd.CancelActivity():
            task = snapshot.activities.get(command.task_id)
            _append(snapshot, turn, ev.ActivityCanceled(command.task_id))
            if command.task_id in turn.dispatch:
                turn.dispatch.remove(command.task_id)
            elif task is not None:
                turn.cancel[command.task_id] = task.attempt
        case cmd.ScheduleChild():
            _schedule_child(snapshot, command, turn, resolve)
        case cmd.CreateTimer():
            _append(snapshot, turn, ev.TimerCreated(command.task_id, command.fire_at))
        case cmd.CancelTimer():
            _append(snapshot, turn, ev.TimerCanceled(command.task_id))
        case cmd.SendEvent():
            sent = ev.EventSent(command.task_id, command.instance_id, command.name, command.payload)
            _append(snapshot, turn, sent)
            message_id = f"{snapshot.execution_id}:{command.task_id}"
            raised = ev.EventRaised(command.name, command.payload, message_id)
            turn.messages.append((command.instance_id, Message(message_id, raised)))


def _schedule_child(snapshot: Snapshot, command: cmd.ScheduleChild, turn: Append, resolve: Resolver) -> None:
    instance_id = command.instance_id or child_instance_id(snapshot.instance_id, snapshot.execution_id, command.task_id)
    scheduled = ev.ChildScheduled(
        command.task_id,
        command.name,
        instance_id,
        command.input,
        command.version,
        command.retry,
        command.detached,
    )
    _append(snapshot, turn, scheduled)
    if resolve.orchestrator(command.name, command.version) is not None:
        turn.children.append(_child_start(snapshot, scheduled, 0))
    elif not command.detached:
        turn.messages.append((snapshot.instance_id, unknown_child(snapshot.execution_id, scheduled, resolve)))


def _child_start(snapshot: Snapshot, scheduled: ev.ChildScheduled, attempts_before: int) -> ChildStart:
    address = ParentAddress(snapshot.instance_id, snapshot.execution_id, scheduled.task_id)
    return ChildStart(
        scheduled.task_id,
        scheduled.instance_id,
        scheduled.name,
        scheduled.input,
        scheduled.version,
        None if scheduled.detached else address,
        attempts_before + 1,
    )


def unknown_child(execution_id: str, scheduled: ev.ChildScheduled, resolve: Resolver) -> Message:
    """The failure that a parent gets for a sub-orchestration that is not deployed, or cannot be used."""
    version = f" version {scheduled.version!r}" if scheduled.version else ""
    why = resolve.unreadable.get(("orchestrator", scheduled.name))
    missing = f"no orchestrator named {scheduled.name!r}{version} is deployed to this hub; deploy it"
    failure = FailureDetails("durable_ray.UnknownDefinition", f"{why or missing}, then rewind")
    return _child_failed(execution_id, scheduled.task_id, scheduled.instance_id, failure)


def child_conflict(execution_id: str, start: ChildStart) -> Message:
    """The failure that a parent gets when the ID it chose for a sub-orchestration belongs to a live instance."""
    failure = FailureDetails(
        "durable_ray.InstanceAlreadyExists",
        f"An instance with ID '{start.instance_id}' already exists.",
        bases=("durable_ray.InstanceAlreadyExists",),
    )
    return _child_failed(execution_id, start.task_id, start.instance_id, failure)


def _child_failed(execution_id: str, task_id: int, instance_id: str, failure: FailureDetails) -> Message:
    event = ev.ChildFailed(task_id, failure, instance_id)
    return Message(f"{execution_id}:{task_id}:refused", event, execution_id)


Ending = ev.ExecutionCompleted | ev.ExecutionFailed | ev.ExecutionTerminated


def _finish(snapshot: Snapshot, ending: Ending, turn: Append) -> None:
    parent = snapshot.parent
    _append(snapshot, turn, ending)
    if parent is not None:
        turn.messages.append(
            (parent.instance_id, tell_parent(snapshot.instance_id, snapshot.execution_id, parent, ending))
        )


def tell_parent(instance_id: str, execution_id: str, parent: ParentAddress, ending: Ending) -> Message:
    """The message by which a finished sub-orchestration answers its parent."""
    event: Event
    if isinstance(ending, ev.ExecutionCompleted):
        event = ev.ChildCompleted(parent.task_id, ending.result, instance_id)
    elif isinstance(ending, ev.ExecutionFailed):
        event = ev.ChildFailed(parent.task_id, ending.failure, instance_id)
    else:
        reason = f": {ending.reason}" if ending.reason not in (None, "null") else ""
        failure = FailureDetails("durable_ray.InstanceTerminated", f"{instance_id} was terminated{reason}")
        event = ev.ChildFailed(parent.task_id, failure, instance_id)
    return Message(f"{execution_id}:done", event, parent.execution_id)


def _continue(snapshot: Snapshot, outcome: cmd.Continued, turn: Append, resolve: Resolver) -> None:
    _append(snapshot, turn, ev.ContinuedAsNew(outcome.input))
    # A new execution begins on the newest code: no history binds it to the old.
    newest = resolve.orchestrator(snapshot.name, None)
    version, code_id = newest or (snapshot.version, snapshot.code_id)
    following = ev.ExecutionStarted(
        snapshot.name,
        next_execution_id(snapshot.execution_id),
        outcome.input,
        version,
        code_id,
        snapshot.parent,
        snapshot.generation + 1,
    )
    carried = outcome.events if outcome.save_events else ()
    # A suspension that came in this turn, behind what the code went on with, holds for the next execution.
    paused = [event for event in turn.events if isinstance(event, ev.ExecutionSuspended)][-1:]
    paused = paused if snapshot.status == "Suspended" else []
    turn.successor = [ev.TurnStarted(turn.at), *paused, following, *(ev.EventRaised(*event) for event in carried)]
