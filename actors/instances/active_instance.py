"""One instance in memory: its state, its snapshot, its pending messages and their callers. The host's classes change it.

Its state says who has it: nobody, the scheduler's queue, the read of its inbox, the committer. At most one of them has, so an
instance has at most one turn between computing and commit. Whether it can take a turn when its time comes is another question
(`Obstacle`, `dirty`, `may_begin`).
"""

from __future__ import annotations

import asyncio
import enum

from msgspec import Struct

from durable_ray.actors.messages import Reply
from durable_ray.actors.store.records import InstanceRow, Status
from durable_ray.orchestrations.engine.commands import Decision
from durable_ray.orchestrations.engine.replay import Execution
from durable_ray.orchestrations.history.events import Message, TerminateRequested
from durable_ray.orchestrations.history.snapshot import Snapshot


class PendingMessage(Struct):
    """A message that waits for a turn, and the reply that is due once that is committed."""

    message: Message
    #: Its row in the store's inbox, if it came from there (deleted by the commit that takes it).
    row: int | None = None
    #: The caller's future, if it came directly from a client; and the request for which a receipt is kept.
    answer: asyncio.Future[Reply] | None = None
    request_id: str | None = None
    #: Only for the instance created then, no later one of its ID; see `Delivery`.
    created_at: int | None = None

    def reply(self, reply: Reply) -> None:
        """Answer the caller, if there is one."""
        if self.answer is not None and not self.answer.done():
            self.answer.set_result(reply)


class _LookedUp(enum.Enum):
    #: Members are one each, and are looked up four times a turn: Enum's own hash is a function in Python.
    __hash__ = object.__hash__


class InstanceState(_LookedUp):
    """Who has an instance in memory."""

    #: It waits for a message, for time to pass, or for what keeps it from its turn.
    IDLE = enum.auto()
    #: It is in the scheduler's queue.
    QUEUED = enum.auto()
    #: Its inbox is being read; it is queued again afterwards.
    READING = enum.auto()
    #: Its turn is being committed; it is queued again afterwards, if there is more to do.
    COMMITTING = enum.auto()
    #: It is being moved to a host of its own.
    MOVING = enum.auto()
    #: It is not in memory any more: callbacks that come later ignore it.
    DROPPED = enum.auto()


class InstanceEvent(_LookedUp):
    """What happens to an instance in memory."""

    #: It has something to do.
    ENQUEUED = enum.auto()
    #: The scheduler has taken it from its queue.
    TAKEN = enum.auto()
    #: Its inbox has to be read before its turn.
    READ = enum.auto()
    #: Its turn was computed and submitted.
    SUBMITTED = enum.auto()
    #: It has to leave this host.
    MOVED = enum.auto()
    #: The read or the commit is over.
    DONE = enum.auto()
    #: It is removed from memory: it has ended, is evicted, or its commit was refused.
    DROPPED = enum.auto()


_IDLE, _QUEUED, _READING, _COMMITTING, _MOVING, _DROPPED = InstanceState

#: state -> event -> next state. What is not named does not happen.
TRANSITIONS: dict[InstanceState, dict[InstanceEvent, InstanceState]] = {
    _IDLE: {
        InstanceEvent.ENQUEUED: _QUEUED,
        InstanceEvent.READ: _READING,
        InstanceEvent.SUBMITTED: _COMMITTING,
        InstanceEvent.MOVED: _MOVING,
        InstanceEvent.DROPPED: _DROPPED,
    },
    _QUEUED: {
        InstanceEvent.ENQUEUED: _QUEUED,
        InstanceEvent.TAKEN: _IDLE,
        InstanceEvent.DROPPED: _DROPPED,
    },
    _READING: {
        InstanceEvent.ENQUEUED: _READING,
        InstanceEvent.DONE: _IDLE,
        InstanceEvent.DROPPED: _DROPPED,
    },
    _COMMITTING: {
        InstanceEvent.ENQUEUED: _COMMITTING,
        InstanceEvent.DONE: _IDLE,
        InstanceEvent.DROPPED: _DROPPED,
    },
    _MOVING: {
        InstanceEvent.ENQUEUED: _MOVING,
        InstanceEvent.DROPPED: _DROPPED,
    },
    _DROPPED: dict.fromkeys(InstanceEvent, _DROPPED),
}


class Obstacle(enum.Enum):
    """Why an instance that has something to do takes no turn, but one that terminates it."""

    #: Its code is not loaded, and perhaps cannot be.
    CODE = enum.auto()
    #: What is stored of it is damaged; later messages for it wait in the store.
    DAMAGE = enum.auto()


class ActiveInstance:
    """An instance in memory. Owned by its host's event loop; dropped, never repaired, when a commit is refused."""

    __slots__ = (
        "armed",
        "awaited",
        "custom_status",
        "dirty",
        "execution",
        "fresh",
        "instance_id",
        "leftover",
        "obstacle",
        "pending_messages",
        "row",
        "snapshot",
        "state",
        "taken_rows",
        "turn",
        "waiting_reason",
        "withheld",
    )

    def __init__(self, row: InstanceRow, snapshot: Snapshot) -> None:
        self.state = InstanceState.IDLE
        self.obstacle: Obstacle | None = None
        #: The row as it was when loaded (or created): the parts that no turn changes are read from here.
        self.row = row
        #: A copy that is quick to read.
        self.instance_id = row.instance_id
        self.snapshot = snapshot
        self.execution: Execution | None = None
        self.turn = row.turn
        self.custom_status = row.custom_status
        self.awaited = row.awaited
        self.waiting_reason = row.waiting_reason
        #: Messages in order of arrival that are in no history yet.
        self.pending_messages: list[PendingMessage] = []
        #: What the code decided during replay (a new execution after continue-as-new): recorded by a turn of its own.
        self.leftover: Decision | None = None
        #: Inbox rows already in `pending_messages` or in the commit under way; a second read must not take them twice.
        self.taken_rows: set[int] = set()
        #: There may be rows in the store's inbox that are not in `pending_messages` yet.
        self.dirty = False
        #: Its execution began by continue-as-new and has had no turn yet: the row is due until it has.
        self.fresh = row.next_due is not None and row.turn > 0 and snapshot.next_due() is None
        #: It was rewound and not replayed yet: which activities it still asks for is not known.
        self.withheld = False
        #: The due time for which the timer queue has an entry.
        self.armed: int | None = None

    def on(self, event: InstanceEvent) -> bool:
        """Go to the state that follows; whether that is another one."""
        before, self.state = self.state, TRANSITIONS[self.state][event]
        return self.state is not before

    def mark_damaged(self, reason: str) -> None:
        """Take no more turns, because what is stored is damaged; later messages for it wait in the store."""
        self.obstacle = Obstacle.DAMAGE
        self.waiting_reason = reason
        self.redirect_callers()

    @property
    def to_be_terminated(self) -> bool:
        """Whether a termination is pending."""
        return any(isinstance(pending.message.event, TerminateRequested) for pending in self.pending_messages)

    def redirect_callers(self) -> None:
        """Answer callers "moved": no turn can be taken, and their retry goes through the store."""
        for pending in self.pending_messages:
            pending.reply(Reply("moved"))
        self.pending_messages = [pending for pending in self.pending_messages if pending.answer is None]

    @property
    def at_rest(self) -> bool:
        """Whether it only waits for something from outside or for time to pass: it may be evicted or passivated."""
        due = self.dirty or self.pending_messages or self.leftover or self.obstacle
        return self.state is _IDLE and not (due or self.snapshot.activities)

    @property
    def unstarted(self) -> bool:
        """Whether it has had no turn yet."""
        return self.turn == 0

    @property
    def status(self) -> Status:
        """Its status after the turn last computed. Before the first turn its history says nothing; its row does."""
        return self.row.status if self.turn == 0 else self.snapshot.status

    def next_due(self) -> int | None:
        """When time alone will give it something to do (µs), or None."""
        if self.turn:
            return self.snapshot.next_due()
        return None if self.row.queued else self.row.start_at

    def may_begin(self, now: int) -> bool:
        """Whether it has begun, or may: it is not queued and its `start_at` has come, or it is to be terminated."""
        due = not self.row.queued and (self.row.start_at is None or self.row.start_at <= now)
        return bool(self.turn) or due or self.to_be_terminated
