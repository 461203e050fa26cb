"""One instance in memory: where it stands, what waits to be taken, who waits for an answer. Data only; `host` moves it."""

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
    """A message in the mailbox, with what is owed for it once it is committed."""

    message: Message
    #: Its row, if it came out of the store's inbox (deleted by the commit that takes it).
    row: int | None = None
    #: Who waits for the answer, if it came straight from a client; and the request to be remembered.
    answer: asyncio.Future[Reply] | None = None
    request_id: str | None = None
    #: Only for the instance that was created then, no later one of its ID; see `Delivery`.
    created_at: int | None = None

    def reply(self, reply: Reply) -> None:
        """Answer whoever waits."""
        if self.answer is not None and not self.answer.done():
            self.answer.set_result(reply)


class ActiveInstance:
    """An instance in memory. Owned by its host's event loop; thrown away, never repaired, when a commit is refused."""

    __slots__ = (
        "armed",
        "busy",
        "carried",
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
        "turn",
        "waiting_reason",
        "withheld",
    )

    def __init__(self, row: InstanceRow, snapshot: Snapshot) -> None:
        #: The row as it was when loaded (or created): the parts that no turn changes are read from here.
        self.row = row
        #: For good, whatever becomes of the row.
        self.instance_id = row.instance_id
        self.snapshot = snapshot
        self.execution: Execution | None = None
        self.turn = row.turn
        self.status = row.status
        self.custom_status = row.custom_status
        self.waiting_reason = row.waiting_reason
        #: FIFO of what has arrived and is in no history yet.
        self.pending_messages: list[PendingMessage] = []
        #: What the code decided on history alone (a fresh execution after continue-as-new): recorded by a turn of its own.
        self.leftover: Decision | None = None
        #: Inbox rows already taken into `letters` or into the commit under way; a second read must not take them twice.
        self.carried: set[int] = set()
        #: There may be rows in the store's inbox that are not in `letters` yet.
        self.dirty = False
        #: A load or a commit is under way; the next turn waits for it.
        self.busy = False
        #: Stands in the host's queue of instances with something to do.
        self.queued = False
        #: Its execution follows by continue-as-new and has no turn of its own: the row says due until it has.
        self.fresh = row.next_due is not None and row.turn > 0 and snapshot.next_due() is None
        #: Waits for its code: it has something to do, though no turn can be taken.
        self.held = False
        #: It was rewound, and its code has not said yet which activities it still asks for.
        self.withheld = False
        #: What is stored of it cannot be trusted: it takes no turn but the one that ends it.
        self.damaged = False
        #: Dropped from memory: late callbacks find nothing to do.
        self.gone = False
        #: The due time for which the host's timer heap has an entry.
        self.armed: int | None = None

    def stop(self, reason: str) -> None:
        """Take no more turns, because of what is stored; whoever writes to it does so in the store."""
        self.damaged = self.held = True
        self.waiting_reason = reason
        self.turn_away()

    @property
    def to_be_terminated(self) -> bool:
        """Whether somebody asked for its end."""
        return any(isinstance(pending.message.event, TerminateRequested) for pending in self.pending_messages)

    def turn_away(self) -> None:
        """Send back those who wait for an answer: no turn can be taken, and they had better use the store."""
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
        """Whether it never had a turn."""
        return self.turn == 0
