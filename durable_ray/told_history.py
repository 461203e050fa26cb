"""Histories for assertions: a line of text for each step, without times and IDs, so that lists of them compare and read well.

And replay: whether code does what a history records, as an assertion that fails with the sentence of the mismatch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from durable_ray.actors.code.packing import PYTHON_PAYLOADS
from durable_ray.actors.instances.audit.exporting import ExportedHistory, read_histories
from durable_ray.actors.instances.status import OrchestrationStatus
from durable_ray.orchestrations.authoring.definitions import Orchestrator
from durable_ray.orchestrations.engine.replaying import replay_outcome
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.events import Event
from durable_ray.orchestrations.values.showing import short_repr

#: What has a history: a handle, a status that was asked for with it, its events, an exported one, or a file of these.
HasHistory = Any


class ReplayFailed(AssertionError):
    """Code does not do what a history records; the message is the sentence of the `NonDeterminismError`."""


def replay(history: HasHistory, orchestrator: Orchestrator[..., Any, Any]) -> None:
    """Fail unless `orchestrator` does what `history` records, up to its end and nothing else. Runs no activity.

    Args:
        history: a blocking handle, a status with its history, a sequence of events, an `ExportedHistory`, or the path of a
            file that `durable-ray export` wrote (all histories in it whose orchestrator has this name).
        orchestrator: the code as it is now.

    Raises:
        ReplayFailed: (an AssertionError) it does something else; the message says at which event, and what.
        LookupError: there is no history to replay.

    Example:
        >>> replay(client.get_handle("nightly"), nightly)  # doctest: +SKIP

    Temporal's `Replayer`.
    """
    if not isinstance(orchestrator, Orchestrator):
        raise TypeError(
            f"{orchestrator!r} is not an orchestrator: decorate the function with @durable_ray.orchestrator"
        )
    for instance_id, events in _histories(history, orchestrator.name):
        outcome = replay_outcome(instance_id, orchestrator, PYTHON_PAYLOADS, events)
        if not outcome.same:
            raise ReplayFailed(
                f"{orchestrator!r} does not replay {instance_id!r}: {outcome.mismatch or outcome.beyond}"
            )


def history_lines(history: HasHistory) -> list[str]:
    """What happened in an instance, a line for each step: without times, IDs and turns, in the order of history.

    Args:
        history: as for `replay`, but of one instance.

    Example:
        >>> assert history_lines(handle) == [  # doctest: +SKIP
        ...     "started order('ada')",
        ...     "activity charge(12)",
        ...     "activity charge returned True",
        ...     "timer of 3 days, 0:00:00",
        ...     "event Approval('yes')",
        ...     "completed: 'shipped'",
        ... ]
    """
    ((_, events),) = list(_histories(history, None))
    teller = _Teller()
    return [line for event in events if (line := teller.line(event))]


def _histories(history: HasHistory, name: str | None) -> Iterable[tuple[str, Sequence[Event]]]:
    if isinstance(history, str | Path):
        with Path(history).open(encoding="utf-8") as lines:
            found = [one for one in read_histories(lines) if name is None or one.name == name]
        if not found:
            raise LookupError(f"{history} has no history of orchestrator {name!r}")
        return [(one.instance_id, one.history) for one in found]
    if isinstance(history, ExportedHistory):
        return [(history.instance_id, history.history)]
    if isinstance(history, OrchestrationStatus):
        return [(history.instance_id, _known(history.history, history.instance_id))]
    ask = getattr(history, "get_status", None)
    if ask is None:
        return [("replayed", _events(history))]
    status = ask(show_history=True, show_history_output=True)
    if not isinstance(status, OrchestrationStatus):
        if status is None:
            raise LookupError(f"there is no instance {history.instance_id!r}")
        status.close()
        raise TypeError(f"{history!r} is awaited: give what `await handle.get_status(show_history=True)` answers")
    return [(status.instance_id, _known(status.history, status.instance_id))]


def _known(history: tuple[Event, ...] | None, instance_id: str) -> Sequence[Event]:
    if history is None:
        raise LookupError(f"the status of {instance_id!r} has no history: ask with get_status(show_history=True)")
    return history


def _events(history: Any) -> Sequence[Event]:
    events = list(history)
    strange = [event for event in events if not isinstance(event, ev.Fact)]
    if strange:
        raise TypeError(
            f"{short_repr(strange[0])} is no event of a history; `get_status(show_history=True)` gives them"
        )
    return events


class _Teller:
    """Says events in words; knows which task has which name."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._now = 0

    def line(self, event: Event) -> str:
        """One line, or nothing for what only the runtime knows."""
        match event:
            case ev.TurnStarted():
                self._now = event.at
            case ev.ActivityScheduled() | ev.ChildScheduled():
                kind = "activity" if isinstance(event, ev.ActivityScheduled) else "child"
                self._names[event.task_id] = f"{kind} {event.name}"
                return f"{kind} {event.name}({_arguments(event.input)})"
            case ev.ActivityCompleted() | ev.ChildCompleted():
                return f"{self._name(event.task_id)} returned {_value(event.result)}"
            case ev.ActivityFailed() | ev.ChildFailed():
                return f"{self._name(event.task_id)} failed: {event.failure}"
            case ev.AttemptFailed():
                return f"{self._name(event.task_id)} attempt {event.attempt} failed: {event.failure}"
            case ev.ActivityCanceled():
                return f"{self._name(event.task_id)} canceled"
            case ev.TimerCreated():
                self._names[event.task_id] = "timer"
                return f"timer of {timedelta(microseconds=event.fire_at - self._now)}"
            case ev.TimerFired() | ev.TimerCanceled():
                return "timer fired" if isinstance(event, ev.TimerFired) else "timer canceled"
            case _:
                return _life(event)
        return ""

    def _name(self, task_id: int) -> str:
        return self._names.get(task_id, f"task #{task_id}")


def _life(event: Event) -> str:
    match event:
        case ev.ExecutionStarted():
            return f"started {event.name}({_arguments(event.input)})"
        case ev.EventRaised():
            return f"event {event.name}({_arguments(event.payload)})"
        case ev.EventSent():
            return f"sent {event.name}({_arguments(event.payload)}) to {event.instance_id}"
        case ev.ExecutionCompleted():
            return f"completed: {_value(event.result)}"
        case ev.ExecutionFailed():
            return f"failed: {list(event.failure.chain())[-1]}"
        case ev.ExecutionTerminated():
            return f"terminated: {_value(event.reason)}"
        case ev.ContinuedAsNew():
            return f"continued as new({_arguments(event.input)})"
        case ev.ExecutionSuspended() | ev.ExecutionResumed() | ev.ExecutionRewound():
            return type(event).__name__.removeprefix("Execution").lower()
    return ""


def _arguments(payload: ev.Payload | None) -> str:
    if payload is None:
        return ""
    value = PYTHON_PAYLOADS.decode(payload)
    named = value.get("$arguments") if isinstance(value, Mapping) and len(value) == 1 else None
    if isinstance(named, Mapping):
        return ", ".join(f"{name}={short_repr(one)}" for name, one in named.items())
    return short_repr(value)


def _value(payload: ev.Payload | None) -> str:
    return short_repr(PYTHON_PAYLOADS.decode(payload))
