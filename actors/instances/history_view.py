"""The history view of Durable Functions (`historyEvents`): one entry for each operation, scheduling and outcome merged.

Turns are left out, a completed activity or sub-orchestration carries its scheduled time, results are included only on request.
A pure function of the events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from msgspec.structs import replace

from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.events import Event, Payload
from durable_ray.orchestrations.values.azure_texts import activity_reason, details_of, orchestrator_text
from durable_ray.orchestrations.values.failures import FailureDetails
from durable_ray.orchestrations.values.times import to_datetime

Decode = Callable[[Payload | None], Any]


def timestamp(at: int) -> str:
    """µs since the epoch as .NET writes a time: seven digits, UTC.

    Example:
        >>> timestamp(1_000_001)
        '1970-01-01T00:00:01.0000010Z'
    """
    return f"{to_datetime(at):%Y-%m-%dT%H:%M:%S.%f}0Z"


def without_results(event: Event) -> Event:
    """The event without what it carries out of an activity, a sub-orchestration or the orchestration itself."""
    if isinstance(event, ev.ActivityCompleted | ev.ChildCompleted | ev.ExecutionCompleted):
        return replace(event, result=None)
    return event


def merged_history(
    events: Iterable[Event], decode: Decode, *, show_output: bool = False, show_input: bool = True
) -> list[dict[str, Any]]:
    """The entries of a history, in order.

    Args:
        decode: decodes a payload; the gateway's must not load pickles.
        show_output: with results; without, they are left out.
        show_input: with inputs.

    Example:
        >>> [e["EventType"] for e in merged_history([ev.TurnStarted(0), ev.ExecutionStarted("a", "x")], str)]
        ['ExecutionStarted']
    """
    view = _View(decode, show_output, show_input)
    for event in events:
        view.take(event)
    return [entry for entry in view.entries if entry is not None]


class _View:
    """Entries so far; an entry that was merged into a completion becomes None."""

    def __init__(self, decode: Decode, show_output: bool, show_input: bool) -> None:
        self.entries: list[dict[str, Any] | None] = []
        self._decode = decode
        self._show_output = show_output
        self._show_input = show_input
        self._at = 0
        #: task_id -> (position of its entry, the fields of its scheduling).
        self._scheduled: dict[int, tuple[int, dict[str, Any]]] = {}
        self._fire_at: dict[int, int] = {}

    def take(self, event: Event) -> None:
        """Add one event to the view."""
        match event:
            case ev.TurnStarted():
                self._at = event.at
            case ev.ActivityScheduled():
                self._schedule("TaskScheduled", event.task_id, event.name, event.input)
            case ev.ChildScheduled():
                more = {"InstanceId": event.instance_id}
                self._schedule("SubOrchestrationInstanceCreated", event.task_id, event.name, event.input, more)
            case ev.ActivityCompleted():
                self._complete("TaskCompleted", event.task_id, self._result(event.result))
            case ev.ChildCompleted():
                self._complete("SubOrchestrationInstanceCompleted", event.task_id, self._result(event.result))
            case ev.ActivityFailed():
                reason = {"Reason": activity_reason(self._name(event.task_id), event.failure)}
                self._complete("TaskFailed", event.task_id, {**reason, "Details": details_of(event.failure)})
            case ev.ChildFailed():
                reason = {"Reason": orchestrator_text(self._name(event.task_id), event.failure)}
                more = {**reason, "Details": details_of(event.failure)}
                self._complete("SubOrchestrationInstanceFailed", event.task_id, more)
            case ev.ActivityCanceled():
                self._complete("TaskCanceled", event.task_id, {})
            case ev.AttemptFailed():
                self._attempt(event)
            case ev.TimerCreated():
                self._fire_at[event.task_id] = event.fire_at
                self._add("TimerCreated", FireAt=timestamp(event.fire_at))
            case ev.TimerFired() | ev.TimerCanceled():
                kind = "TimerFired" if isinstance(event, ev.TimerFired) else "TimerCanceled"
                self._add(kind, FireAt=timestamp(self._fire_at.get(event.task_id, self._at)))
            case _:
                self._life(event)

    def _life(self, event: Event) -> None:
        """Starts, ends, and what came from outside."""
        match event:
            case ev.ExecutionStarted():
                self._add("ExecutionStarted", FunctionName=event.name, **self._input(event.input))
            case ev.ExecutionCompleted():
                self._end("Completed", self._result(event.result))
            case ev.ExecutionFailed():
                # The failure is text, not a payload.
                self._end("Failed", {"Result": str(event.failure)} if self._show_output else {})
            case ev.ExecutionTerminated():
                self._end("Terminated", self._result(event.reason))
            case ev.ContinuedAsNew():
                self._add("ContinueAsNew", **self._input(event.input))
            case ev.ExecutionSuspended():
                self._add("ExecutionSuspended", Reason=event.reason)
            case ev.ExecutionResumed():
                self._add("ExecutionResumed", Reason=event.reason)
            case ev.ExecutionRewound():
                self._add("ExecutionRewound", Reason=event.reason, **self._moved(event))
            case ev.EventRaised():
                self._add("EventRaised", Name=event.name, **self._input(event.payload))
            case ev.EventSent():
                more = self._input(event.payload)
                self._add("EventSent", Name=event.name, InstanceId=event.instance_id, **more)

    @staticmethod
    def _moved(event: ev.ExecutionRewound) -> dict[str, str]:
        return {"Version": event.version, "CodeId": event.code_id} if event.code_id else {}

    def _add(self, kind: str, **more: Any) -> None:
        self.entries.append({"EventType": kind, **more, "Timestamp": timestamp(self._at)})

    def _end(self, status: str, more: dict[str, Any]) -> None:
        self._add("ExecutionCompleted", OrchestrationStatus=status, **more)

    def _schedule(
        self, kind: str, task_id: int, name: str, input: Payload | None, more: dict[str, Any] | None = None
    ) -> None:
        scheduled = {"FunctionName": name, **(more or {}), **self._input(input)}
        self._scheduled[task_id] = len(self.entries), {**scheduled, "ScheduledTime": timestamp(self._at)}
        self._add(kind, **scheduled)

    def _complete(self, kind: str, task_id: int, more: dict[str, Any]) -> None:
        position, scheduled = self._scheduled.get(task_id, (None, {}))
        if position is not None:
            # A rewound task completes a second time: then there is no entry left to merge.
            self.entries[position] = None
        self._add(kind, **scheduled, **more)

    def _name(self, task_id: int) -> str:
        return str(self._scheduled.get(task_id, (None, {}))[1].get("FunctionName", ""))

    def _attempt(self, event: ev.AttemptFailed) -> None:
        _, scheduled = self._scheduled.get(event.task_id, (None, {}))
        name = {"FunctionName": scheduled["FunctionName"]} if "FunctionName" in scheduled else {}
        retry = {"Attempt": event.attempt, "RetryAt": timestamp(event.retry_at)}
        self._add("AttemptFailed", **name, **_failure(event.failure), **retry)

    def _input(self, payload: Payload | None) -> dict[str, Any]:
        return {"Input": self._decode(payload)} if self._show_input else {}

    def _result(self, payload: Payload | None) -> dict[str, Any]:
        return {"Result": self._decode(payload)} if self._show_output else {}


def _failure(failure: FailureDetails) -> dict[str, Any]:
    return {"Reason": failure.message, "Details": str(failure)}
