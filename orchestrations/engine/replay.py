"""The heart: orchestrator code run over what happened, answering what it wants next.

`replay(instance_id, orchestrator, codec, history, new_events) -> Decision` is a pure function. `Execution` is
the same thing kept in memory between turns, so that an event costs the same however long the history has
become: feeding it what is new gives what replaying everything would give.

Events reach the code one at a time: each is delivered, then everything that it sets going runs until nothing
can; only then comes the next. So it makes no difference how turns happened to bundle them.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from durable_ray.orchestrations.engine.body import evict, main, outcome_of
from durable_ray.orchestrations.engine.commands import AwaitedEvent, Continued, Decision, Outcome, Raised, Returned
from durable_ray.orchestrations.engine.journal import RECORDS, REMEDY
from durable_ray.orchestrations.engine.running import Running
from durable_ray.orchestrations.engine.work import PayloadCodec, Work
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.events import Event
from durable_ray.orchestrations.history.rewinding import Region, regions
from durable_ray.orchestrations.values.failures import FailureDetails, NonDeterminismError

__all__ = ["Execution", "PayloadCodec", "replay"]

_LOG = logging.getLogger(__name__)

#: So many of the events that code waits for are told, so that a row stays small.
MOST_AWAITED = 20


class Execution:
    """An orchestration in memory. One owner, one thread at a time.

    Args:
        instance_id: whose execution this is.
        orchestrator: a function `(ctx)` or `(ctx, input)`, or a definition with `.fn`; a coroutine function,
            a generator function (Azure's style), or one that simply returns.
        codec: how values become payloads.

    Whoever drops it calls `close`; one that was closed, or that raised `NonDeterminismError`, is of no more
    use.
    """

    __slots__ = ("__weakref__", "_closed", "_main", "_orchestrator", "_outcome", "_over", "_queue", "_timed", "_work")

    def __init__(self, instance_id: str, orchestrator: Any, codec: PayloadCodec) -> None:
        self._work = Work(instance_id, codec, self._report)
        self._orchestrator = orchestrator
        self._main: asyncio.Future[Any] | None = None
        self._outcome: Outcome | None = None
        #: What arrived while suspended, in order; None while not suspended.
        self._queue: list[Event] | None = None
        self._timed = False
        #: The execution failed or was terminated, by history: what follows concerns the code after a rewind only.
        self._over = False
        self._closed = False

    @property
    def ended(self) -> bool:
        """Whether the code has returned, raised or continued as new."""
        return self._outcome is not None

    @property
    def outcome(self) -> Outcome | None:
        """How the code ended; None if it still waits."""
        return self._outcome

    @property
    def position(self) -> int:
        """How many events of history have been read; the last of them is what a `NonDeterminismError` is about."""
        return self._work.journal.event

    def advance(self, events: Iterable[Event], *, replaying: bool = False) -> Decision:
        """Feed `events`, in the order of history, and answer what the code wants now.

        Args:
            events: what happened since the last call. In replay, records of what the code asked for are among
                them and are compared with what it asks for now; otherwise only what came from outside.
            replaying: whether these events are history.

        Returns:
            The commands that history does not have yet. They count as recorded: the caller appends their
            events to history, and does not feed them back.

        Raises:
            NonDeterminismError: the code does not do what history recorded.
        """
        if self._closed:
            raise RuntimeError(f"the execution of {self._work.instance_id!r} was closed; replay it from its history")
        events = events if isinstance(events, (list, tuple)) else list(events)
        work = self._work
        void = list(regions(events))
        if void and work.journal.event:
            raise RuntimeError("a rewind changes the past: feed it to a fresh Execution, after all that came before it")
        work.replaying = replaying
        work.journal.open(events, replaying=replaying)
        with Running(work.loop):
            read = 0
            for region in void:
                self._read(events[read : region.first])
                self._read_again(region)
                read = region.last + 1
            self._read(events[read:] if read else events)
            if self._outcome is not None:
                work.loop.sweep()
        work.replaying = False
        commands = work.journal.close()
        if self._outcome is not None and self._main is not None:
            self._put_away()
        return Decision(commands, self._finished(), work.custom_status, self._awaited())

    def close(self) -> None:
        """Put the code away now: its `finally` blocks run, but what they ask for is not done. Idempotent."""
        if not self._closed:
            self._closed = True
            self._put_away()

    def __del__(self) -> None:
        # Only a safety net: an owner that forgets to close must not have its code run by the garbage
        # collector.
        if not getattr(self, "_closed", True):
            with contextlib.suppress(Exception):
                self.close()

    # --- reading history ---

    def _read(self, events: Sequence[Event]) -> None:
        journal = self._work.journal
        for event in events:
            journal.event += 1
            kind = type(event)
            deliver = _INPUTS.get(kind)
            if deliver is None:
                if kind in RECORDS:
                    journal.match(event)  # type: ignore[arg-type]
                elif kind in _MARKERS:
                    _MARKERS[kind](self, event)
                elif kind not in _IGNORED:
                    raise TypeError(f"{event!r} is not an event that an execution can be fed")
            elif self._queue is not None:
                self._queue.append(event)
            else:
                self._deliver(deliver, event)

    def _read_again(self, region: Region) -> None:
        """Read a part of history that a rewind made void from its first failure on (see `rewinding.py`)."""
        journal = self._work.journal
        before = journal.event
        self._over = False
        region.enter(journal)
        for event in region.inputs:
            region.note(event, self._work.open)
            self._read((event,))
            while region.due:
                self._read((region.due.pop(0),))
        journal.event = before + region.last - region.first + 1
        region.leave(journal, self._work.open)

    def _deliver(self, deliver: Callable[[Execution, Any], None], event: Event) -> None:
        """Bring one event to the code, and run what that sets going."""
        if self._over:
            return
        if self._outcome is not None:
            # It came too late for this code, but not for the execution that follows.
            if isinstance(event, ev.EventRaised) and isinstance(self._outcome, Continued):
                self._work.raise_event(event)
            elif isinstance(event, ev.ActivityFailed | ev.ChildFailed):
                self._work.failures.came(event.task_id, self._work.journal.event)
            return
        deliver(self, event)
        if self._main is not None:
            self._run(self._main)

    def _run(self, code: asyncio.Future[Any]) -> None:
        work = self._work
        try:
            work.loop.run_until_idle(code)
        except (SystemExit, KeyboardInterrupt) as error:  # of a callback: it would end any other asyncio program, too
            self._outcome = Raised(FailureDetails.of(error))
            return
        if work.continued is not None:
            payload, save_events = work.continued
            self._outcome = Continued(payload, save_events=save_events)
            if work.signals is not None:
                work.signals.forget_all()
        elif code.done():
            self._outcome = outcome = outcome_of(code, work.codec)
            if isinstance(outcome, Raised):
                work.loop.sweep()
                unhandled = (*outcome.task_ids, *work.loop.untaken.task_ids())
                work.failures.ended(unhandled, frozenset(work.open))

    def _finished(self) -> Outcome | None:
        outcome = self._outcome
        if isinstance(outcome, Raised):
            return replace(outcome, task_ids=self._work.failures.unhandled())
        if not isinstance(outcome, Continued):
            return outcome
        signals = self._work.signals
        kept = signals.unconsumed() if signals is not None and outcome.save_events else []
        return replace(outcome, events=tuple((event.name, event.payload, event.message_id) for event in kept))

    def _awaited(self) -> tuple[AwaitedEvent, ...]:
        signals = self._work.signals
        if signals is None or self._outcome is not None or not (tasks := signals.awaited()):
            return ()
        return tuple(
            [AwaitedEvent(task.name, task.since, getattr(task.timer, "number", None)) for task in tasks[:MOST_AWAITED]]
        )

    # --- the code ---

    def _begin(self) -> None:
        """Start the code, once both its start and the time are known."""
        if self._main is None and self._timed and self._work.started is not None and self._outcome is None:
            loop = self._work.loop
            # An empty context: what the host happens to have set must not be visible to code that will be
            # replayed.
            coroutine = main(self._orchestrator, self._work)
            self._main = loop.create_task(coroutine, context=contextvars.Context())
            self._run(self._main)

    def _put_away(self) -> None:
        """Throw `Evicted` into everything that still waits, and let go of it."""
        work = self._work
        work.loop.inert = True
        if left := work.loop.unfinished():
            with Running(work.loop):
                for task in left:
                    evict(task, work.instance_id)
        work.loop.forget()
        work.open.clear()
        self._main = None

    def _report(self, context: dict[str, Any]) -> None:
        """Log what asyncio would log, once: not in replay, not while being put away."""
        work = self._work
        if not (work.replaying or self._closed):
            error = context.get("exception")
            message = context.get("message", "an error in an orchestrator was not handled")
            _LOG.error("%s (instance %s)", message, work.instance_id, exc_info=error)


def replay(
    instance_id: str,
    orchestrator: Any,
    codec: PayloadCodec,
    history: Iterable[Event],
    new_events: Iterable[Event] = (),
) -> Decision:
    """Run `orchestrator` over `history`, then over `new_events`; answer what it wants now. Pure.

    Args:
        history: the events recorded so far, in order.
        new_events: what happened since, beginning with its `TurnStarted`.

    Raises:
        NonDeterminismError: the code does not do what history recorded.

    Example:
        >>> async def hello(ctx):
        ...     return await ctx.call_activity("say_hello", "Tokyo")
        >>> events = [ev.TurnStarted(0), ev.ExecutionStarted("hello", "e1")]
        >>> replay("i", hello, codec, [], events).commands  # doctest: +SKIP
        (ScheduleActivity(task_id=1, name='say_hello', input='"Tokyo"', retry=None),)
    """
    past, new = list(history), list(new_events)
    # What a rewind makes void lies in the past, so the two have to be read together.
    rewound = max((n for n, event in enumerate(new) if isinstance(event, ev.ExecutionRewound)), default=-1)
    past, new = past + new[: rewound + 1], new[rewound + 1 :]
    execution = Execution(instance_id, orchestrator, codec)
    try:
        known = execution.advance(past, replaying=True)
        fresh = execution.advance(new)
    finally:
        execution.close()
    return Decision(known.commands + fresh.commands, fresh.outcome, fresh.custom_status, fresh.awaited)


# --- one function per kind of event ---


def _started(execution: Execution, event: ev.ExecutionStarted) -> None:
    execution._work.started = event
    execution._begin()


def _turn_started(execution: Execution, event: ev.TurnStarted) -> None:
    if execution._over:
        return
    execution._work.journal.end_turn()
    if execution._outcome is not None and execution._work.journal.adopter is None:
        raise NonDeterminismError(
            f"history goes on at event #{execution._work.journal.event}, but the code running now has "
            f"already ended ({type(execution._outcome).__name__.lower()}).{REMEDY}"
        )
    execution._work.loop.now = event.at
    execution._timed = True
    if execution._queue is None:
        execution._begin()


def _suspended(execution: Execution, _: ev.ExecutionSuspended) -> None:
    if execution._queue is None:
        execution._queue = []


def _resumed(execution: Execution, _: ev.ExecutionResumed) -> None:
    queue, execution._queue = execution._queue, None
    execution._begin()
    for event in queue or ():
        execution._deliver(_INPUTS[type(event)], event)


def _ended(execution: Execution, event: Event) -> None:
    """Check the end of an execution that history recorded: where the code decides it, the code must have ended so too."""
    journal, outcome = execution._work.journal, execution._outcome
    journal.end_turn()
    expected = _ENDINGS[type(event)]
    if expected is not None and not isinstance(outcome, expected):
        did = "still waits" if outcome is None else type(outcome).__name__.lower()
        raise NonDeterminismError(
            f"history says at event #{journal.event} that the execution {_ENDED[type(event)]}, but the code "
            f"running now {did}.{REMEDY}"
        )
    execution._over = expected is None


_INPUTS: dict[type, Callable[[Execution, Any], None]] = {
    ev.ExecutionStarted: _started,
    ev.ActivityCompleted: lambda execution, event: execution._work.complete(event.task_id, event.result),
    ev.ActivityFailed: lambda execution, event: execution._work.fail(event.task_id, event.failure),
    ev.ChildCompleted: lambda execution, event: execution._work.complete(event.task_id, event.result),
    ev.ChildFailed: lambda execution, event: execution._work.fail(event.task_id, event.failure),
    ev.TimerFired: lambda execution, event: execution._work.fire(event.task_id),
    ev.EventRaised: lambda execution, event: execution._work.raise_event(event),
}
_ENDINGS: dict[type, type | None] = {
    ev.ExecutionCompleted: Returned,
    ev.ContinuedAsNew: Continued,
    # The runtime may quarantine an instance, and a client may terminate it: neither is decided by the code.
    ev.ExecutionFailed: None,
    ev.ExecutionTerminated: None,
}
_ENDED = {ev.ExecutionCompleted: "completed", ev.ContinuedAsNew: "continued as new"}
_MARKERS: dict[type, Callable[[Execution, Any], None]] = {
    ev.TurnStarted: _turn_started,
    ev.ExecutionSuspended: _suspended,
    ev.ExecutionResumed: _resumed,
    **dict.fromkeys(_ENDINGS, _ended),
}
_IGNORED = frozenset((ev.AttemptFailed, ev.AttemptStarted))
