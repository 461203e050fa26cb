"""One instance in memory: its snapshot, its pending messages and their callers. Data only; the host's classes change it."""

from __future__ import annotations

import asyncio

from msgspec import Struct

from durable_ray.actors.messages import Reply
from durable_ray.actors.store.records import InstanceRow
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


class ActiveInstance:
    """An instance in memory. Owned by its host's event loop; dropped, never repaired, when a commit is refused."""

    __slots__ = (
        "armed",
        "busy",
        "custom_status",
        "damaged",
        "dirty",
        "execution",
        "fresh",
        "gone",
        "held",
        "instance_id",
        "leftover",
        "pending_messages",
        "queued",
        "row",
        "snapshot",
        "status",
        "taken_rows",
        "turn",
        "waiting_reason",
        "withheld",
    )

    def __init__(self, row: InstanceRow, snapshot: Snapshot) -> None:
        #: The row as it was when loaded (or created): the parts that no turn changes are read from here.
        self.row = row
        #: A copy that is quick to read.
        self.instance_id = row.instance_id
        self.snapshot = snapshot
        self.execution: Execution | None = None
        self.turn = row.turn
        self.status = row.status
        self.custom_status = row.custom_status
        self.waiting_reason = row.waiting_reason
        #: Messages in order of arrival that are in no history yet.
        self.pending_messages: list[PendingMessage] = []
        #: What the code decided during replay (a new execution after continue-as-new): recorded by a turn of its own.
        self.leftover: Decision | None = None
        #: Inbox rows already in `pending_messages` or in the commit under way; a second read must not take them twice.
        self.taken_rows: set[int] = set()
        #: There may be rows in the store's inbox that are not in `pending_messages` yet.
        self.dirty = False
        #: A read of its inbox or a commit is under way; the next turn waits for it.
        self.busy = False
        #: It is in the scheduler's queue.
        self.queued = False
        #: Its execution began by continue-as-new and has had no turn yet: the row is due until it has.
        self.fresh = row.next_due is not None and row.turn > 0 and snapshot.next_due() is None
        #: It has something to do but can take no turn: its code is not loaded, or what is stored of it is damaged.
        self.held = False
        #: It was rewound and not replayed yet: which activities it still asks for is not known.
        self.withheld = False
        #: What is stored of it is damaged: it takes no turn but the one that terminates it.
        self.damaged = False
        #: Dropped from memory: callbacks that come later ignore it.
        self.gone = False
        #: The due time for which the timer queue has an entry.
        self.armed: int | None = None

    def mark_damaged(self, reason: str) -> None:
        """Take no more turns, because what is stored is damaged; later messages for it wait in the store."""
        self.damaged = self.held = True
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
        due = self.busy or self.queued or self.dirty or self.pending_messages or self.leftover or self.held
        return not (due or self.gone or self.snapshot.activities)

    @property
    def unstarted(self) -> bool:
        """Whether it has had no turn yet."""
        return self.turn == 0
