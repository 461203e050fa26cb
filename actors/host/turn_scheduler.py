"""The turn scheduler: each instance in memory takes its turns one at a time; all share one event loop and one committer.

Theory of operation. Everything here runs on one event loop; what blocks (reads, commits, loading code) runs on threads and
comes back as a callback. The cycle of an instance:

    pending messages -> queued -> prepared -> turn computed -> committing -> effects -> queued again if more waits

`InstanceState` has the states of an instance, and what leads from one to the next.

Rules:
1. No effect before the commit: activities are dispatched, callers answered and other hosts notified in `_settle` only.
2. An instance has at most one turn between computing and commit. What arrives meanwhile stays in `pending_messages`.
3. An instance whose turn the store refuses is dropped from memory and loaded again; memory is never repaired.
4. A commit refused by the fence ends the process: another process owns this host.
5. Effects may be lost with the process. Each can be found again in the store: outstanding activities and due times in the
   instance row, messages in the inbox.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Protocol

from durable_ray.actors.activities.ports import Marker
from durable_ray.actors.clock import SECOND, Clock
from durable_ray.actors.code.definition_cache import DefinitionCache
from durable_ray.actors.host.turns import NewChild, Turn, answer_to, take_turn
from durable_ray.actors.instances import instance_log
from durable_ray.actors.instances.active_instance import ActiveInstance, InstanceEvent, PendingMessage
from durable_ray.actors.messages import Reply
from durable_ray.actors.store.committer import Committer
from durable_ray.actors.store.contract import Fenced, StoreError
from durable_ray.actors.store.writes import Answer, Refused, Repeated, Started, StartInstance, TurnCommitted

log = logging.getLogger("durable_ray.host")
trace, trace_log = instance_log.trace, instance_log.log


class TurnHandler(Protocol):
    """The callbacks of the scheduler: before a turn, when it is durable, and when it was refused."""

    def prepare(self, active: ActiveInstance) -> bool:
        """Whether the instance can take a turn now. If not, the handler enqueues it again when it can."""

    def started(self, active: ActiveInstance) -> None:
        """This instance was started together with its first turn; both are durable."""

    def committed(self, active: ActiveInstance, turn: Turn, answer: TurnCommitted) -> None:
        """The turn is durable: apply its effects."""

    def refused(self, active: ActiveInstance, pending_messages: list[PendingMessage], error: Exception | None) -> None:
        """The turn was not committed (`error` None: the instance had changed): drop the instance, redeliver the messages."""

    def unchanged(self, active: ActiveInstance, pending_messages: Sequence[PendingMessage]) -> None:
        """These were taken without a turn, because they changed nothing (an obsolete result, say)."""

    def broken(self, active: ActiveInstance, pending_messages: list[PendingMessage], error: Exception) -> None:
        """This turn can never be committed: the runtime failed on it, or the store cannot hold it. Others go on."""


class TurnScheduler:
    """Computes turns and commits them."""

    def __init__(
        self,
        clock: Clock,
        definition_cache: DefinitionCache,
        committer: Committer,
        marker: Marker,
        new_child: NewChild,
        receipt_seconds: float,
        handler: TurnHandler,
    ) -> None:
        self._clock = clock
        self._definition_cache = definition_cache
        self._committer = committer
        self._seconds = committer.measures.histogram("turn_seconds")
        self._marker = marker
        self._new_child = new_child
        self._receipts = int(receipt_seconds * SECOND)
        self._handler = handler
        self._queue: list[ActiveInstance] = []
        self._closed = False
        #: Whether steps are traced; looked up once for each batch of turns.
        self._traced = False
        self._loop = asyncio.get_running_loop()

    @property
    def idle(self) -> bool:
        """Whether no turn is queued or being committed."""
        return not self._queue and not self._committer.waiting

    @property
    def queued(self) -> int:
        """Instances whose turn is next."""
        return len(self._queue)

    def enqueue(self, active: ActiveInstance, pending: PendingMessage | None = None) -> None:
        """Let the instance take a turn as soon as it can, also with this message.

        All that are queued in one step of the loop share a commit.
        """
        if pending is not None:
            active.pending_messages.append(pending)
        if self._closed or not active.on(InstanceEvent.ENQUEUED):
            return
        if not self._queue:
            self._loop.call_soon(self._run)
        self._queue.append(active)

    def close(self) -> None:
        """Take no more turns."""
        self._closed = True
        self._queue.clear()

    def submit(self, active: ActiveInstance, turn: Turn) -> None:
        """Commit a turn that was computed elsewhere (of a quarantined instance)."""
        active.on(InstanceEvent.SUBMITTED)
        self._commit([(active, turn)], time.perf_counter())

    def begin(self, active: ActiveInstance, start: StartInstance) -> asyncio.Future[Answer] | None:
        """Start an instance and take its first turn in one transaction; the future is the store's answer to the start.

        None if the first turn cannot be taken now (its code is not loaded): then the start has to be committed alone. The
        instance is not in the cache before the commit.
        """
        self._traced = trace_log.isEnabledFor(logging.DEBUG)
        began = time.perf_counter()
        turn = self._turn(active, self._clock.now())
        if turn is None:
            return None
        started: asyncio.Future[Answer] = self._loop.create_future()

        def done(outcome: Sequence[Answer] | Exception) -> None:
            if isinstance(outcome, Exception):
                if not isinstance(outcome, Fenced):
                    # If it was committed after all, loading applies its effects.
                    self._handler.refused(active, [], outcome)
                if not started.done():
                    started.set_exception(outcome)
                return
            if isinstance(outcome[0], Started):
                if self._traced:
                    trace("start accepted", active.instance_id, active.row.execution_id, host=active.row.host)
                self._seconds.observe(time.perf_counter() - began)
                self._handler.started(active)
                self._settle(active, turn, outcome[1])
            else:
                # An earlier attempt of the same start may have left a Pending instance, whose first turn this was.
                self._handler.refused(active, [], None)
            if not started.done():  # the caller may have been cancelled
                started.set_result(outcome[0])

        self._committer.submit([start, turn.write], done, whose=active.instance_id)
        return started

    def _run(self) -> None:
        queue, self._queue = self._queue, []
        now = self._clock.now()
        self._traced = trace_log.isEnabledFor(logging.DEBUG)
        began = time.perf_counter()
        taken: list[tuple[ActiveInstance, Turn]] = []
        for active in queue:
            if not active.on(InstanceEvent.TAKEN):
                continue  # it was dropped
            turn = self._turn(active, now)
            if turn is not None:
                taken.append((active, turn))
        if taken:
            self._commit(taken, began)

    def _turn(self, active: ActiveInstance, now: int) -> Turn | None:
        messages = active.pending_messages
        try:
            if not self._handler.prepare(active):
                return None
            self._marker.set(active.instance_id)
            try:
                turn = take_turn(active, self._definition_cache, now, self._new_child, now + self._receipts)
            finally:
                self._marker.clear()
            if turn is not None:
                active.on(InstanceEvent.SUBMITTED)
                if self._traced:
                    _trace_turn("turn taken", turn)
            elif messages:
                self._handler.unchanged(active, messages)
            return turn
        except BaseException as error:  # also SystemExit: it would end the loop, and every instance here with it
            log.exception("a turn of instance %r could not be computed", active.instance_id)
            if active.pending_messages is not messages:
                active.pending_messages = [*messages, *active.pending_messages]
            cause = error if isinstance(error, Exception) else RuntimeError(f"{type(error).__name__}: {error}")
            self._handler.broken(active, [], cause)
            return None

    def _commit(self, taken: list[tuple[ActiveInstance, Turn]], began: float) -> None:
        def done(outcome: Sequence[Answer] | Exception) -> None:
            if isinstance(outcome, Fenced):
                # Nothing was written: callers are redirected to the process that owns the host.
                for _, turn in taken:
                    for pending in turn.pending_messages:
                        pending.reply(Reply("moved"))
            elif isinstance(outcome, Exception):
                log.warning("a commit of %d turns failed: %s", len(taken), outcome)
                for active, turn in taken:
                    self._handler.refused(active, turn.pending_messages, outcome)
            else:
                self._seconds.observe(time.perf_counter() - began, len(taken))
                for (active, turn), answer in zip(taken, outcome, strict=True):
                    self._settle(active, turn, answer)

        flush = any(pending.request_id is not None for _, turn in taken for pending in turn.pending_messages)
        self._committer.submit([turn.write for _, turn in taken], done, whose=taken[0][0].instance_id, flush=flush)

    def _settle(self, active: ActiveInstance, turn: Turn, answer: Answer) -> None:
        active.on(InstanceEvent.DONE)
        try:
            if not isinstance(answer, TurnCommitted):
                self._not_committed(active, turn, answer)
                return
            if self._traced:
                _trace_turn("committed", turn)
            active.turn += 1
            for pending in turn.pending_messages:
                pending.reply(answer_to(pending, turn.append, active))
            self._handler.committed(active, turn, answer)
            if active.pending_messages or active.dirty or active.leftover is not None:
                self.enqueue(active)
        except Exception as error:
            # Its effects may be half applied; loading it again applies the rest. Others of the batch must not be affected.
            log.exception("the effects of a turn of %r failed", active.instance_id)
            self._handler.refused(active, [], error)

    def _not_committed(self, active: ActiveInstance, turn: Turn, answer: Answer) -> None:
        if isinstance(answer, Refused):
            self._handler.broken(active, turn.pending_messages, StoreError(answer.reason))
        elif isinstance(answer, Repeated):
            # A request was committed through another path: redelivery answers each message by its receipt.
            self._handler.refused(active, turn.pending_messages, StoreError("one of its requests was committed before"))
        else:
            self._handler.refused(active, turn.pending_messages, None)


def _trace_turn(step: str, turn: Turn) -> None:
    write = turn.write
    trace(step, write.instance_id, write.execution_id, write.turn, events=write.events, status=write.status)
