"""Late results: those of activities whose execution has failed or was terminated are recorded in its history all the same.

An instance that ends while activities are outstanding does not stop them. What they return is appended to its history, so
that a rewind finds it there and does not run them again. What they raise is not: a rewind runs those again anyway. Nor is
the result of one that was cancelled, which may have returned early because of that.

No instance is loaded for this. The host keeps the last snapshot for as long as activities are outstanding; when that is lost
(with its process) or the instance has changed in the store, such a result is dropped and the activity runs again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from durable_ray.actors.clock import Clock
from durable_ray.actors.host.turns import Turn
from durable_ray.actors.instances.active_instance import ActiveInstance, PendingMessage
from durable_ray.actors.store.committer import Committer
from durable_ray.actors.store.contract import Fenced
from durable_ray.actors.store.writes import Answer, CommitTurn, TurnCommitted
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.codec import encode_events
from durable_ray.orchestrations.history.snapshot import Snapshot
from durable_ray.orchestrations.values.times import turn_time


class _Ended(Struct):
    """An instance that has ended with outstanding activities."""

    snapshot: Snapshot
    #: The last turn that was committed.
    last: CommitTurn
    #: The tasks that were cancelled by that turn.
    cancelled: frozenset[int]
    #: Those whose results are recorded or being recorded.
    taken: set[int] = field(default_factory=set)
    #: What the current commit records, and what waits for the next.
    busy: list[PendingMessage] = field(default_factory=list)
    pending_messages: list[PendingMessage] = field(default_factory=list)


class LateResults:
    """The instances of one host that have ended with outstanding activities.

    `durable` is called with the results that were recorded, `dropped` with those that could not be.
    """

    def __init__(
        self,
        clock: Clock,
        committer: Committer,
        durable: Callable[[Iterable[PendingMessage], str], None],
        dropped: Callable[[str, Iterable[PendingMessage]], None],
    ) -> None:
        self._clock = clock
        self._committer = committer
        self._durable = durable
        self._dropped = dropped
        self._ended: dict[str, _Ended] = {}

    def keep(self, active: ActiveInstance, turn: Turn) -> None:
        """Keep the snapshot of an instance that has ended by this turn, if results are outstanding."""
        cancelled = frozenset(turn.append.cancel)
        if active.snapshot.status in ("Failed", "Terminated") and active.snapshot.activities.keys() - cancelled:
            self._ended[active.instance_id] = _Ended(active.snapshot, turn.write, cancelled)

    def forget(self, instance_id: str) -> None:
        """The instance was rewound, or another has its ID."""
        self._ended.pop(instance_id, None)

    def take(self, instance_id: str, pending: PendingMessage) -> bool:
        """Record a late result; False if it is none that is to be recorded."""
        ended, event = self._ended.get(instance_id), pending.message.event
        if ended is None or not isinstance(event, ev.ActivityCompleted):
            return False
        task = ended.snapshot.activities.get(event.task_id)
        this = pending.message.execution_id == ended.snapshot.execution_id
        if not this or task is None or task.attempt != event.attempt or event.task_id in ended.snapshot.retries:
            return False
        if event.task_id in ended.cancelled or event.task_id in ended.taken:
            return False
        ended.taken.add(event.task_id)
        ended.pending_messages.append(pending)
        self._record(instance_id, ended)
        return True

    def _record(self, instance_id: str, ended: _Ended) -> None:
        if ended.busy or not ended.pending_messages:
            return
        ended.busy, ended.pending_messages = ended.pending_messages, []
        snapshot, last = ended.snapshot, ended.last
        at = turn_time(snapshot.at, self._clock.now())
        events: list[ev.Event] = [ev.TurnStarted(at), *(pending.message.event for pending in ended.busy)]
        write = replace(
            last,
            turn=last.turn + 1,
            old_status=last.status,
            body=encode_events(events),
            first_event=snapshot.events,
            events=len(events),
            consumed=(),
            children=(),
            child_conflicts=(),
            messages=(),
            receipts=(),
        )

        def done(outcome: Sequence[Answer] | Exception) -> None:
            pending_messages, ended.busy = ended.busy, []
            if isinstance(outcome, Fenced):
                return
            if isinstance(outcome, Exception) or not isinstance(outcome[0], TurnCommitted):
                # It may have been rewound, and wait for them.
                if self._ended.get(instance_id) is ended:
                    self.forget(instance_id)
                self._dropped(instance_id, [*pending_messages, *ended.pending_messages])
            else:
                for event in events:
                    snapshot.apply(event)
                ended.last = write
                self._durable(pending_messages, instance_id)
                if not snapshot.activities.keys() - ended.cancelled and self._ended.get(instance_id) is ended:
                    self.forget(instance_id)
                self._record(instance_id, ended)

        self._committer.submit([write], done, whose=instance_id, flush=False)
