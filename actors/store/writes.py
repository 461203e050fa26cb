"""The vocabulary of a group commit: writes that may share a transaction, and the answer to each.

Each write is conditional and isolated: one that finds the world changed is left out with an answer that says so,
and its neighbours in the same transaction are committed. Only a failed fence refuses them all.
"""

from __future__ import annotations

from msgspec import Struct, field

from durable_ray.actors.store.records import (
    IfExists,
    InboxMessage,
    InstanceRow,
    NewInstance,
    Placement,
    Receipt,
    ScheduleRow,
    Status,
)
from durable_ray.orchestrations.history.events import Payload


class StartInstance(Struct, frozen=True):
    """Begin an instance, atomically: of N racing starts of one ID exactly one is `Started`.

    A finished instance of the same ID is replaced (its history, inbox and tags go) unless `if_exists` is
    "reject_finished". "terminate_existing" replaces a live one too: its old execution ends as terminated and
    the host that has it in memory finds its next commit stale. If that one has a parent, the parent is notified by
    `on_replaced`, which the caller encoded from the row it read; if that row was of another execution than
    `replaces` the answer is `Stale`: read again.
    """

    new: NewInstance
    if_exists: IfExists = "reject"
    receipt: Receipt | None = None
    on_replaced: InboxMessage | None = None
    replaces: str | None = None
    #: See `Outdated`.
    revision: int | None = None


class Started(Struct, frozen=True):
    """The instance was created. `replaced` is the row whose place it took, if there was one."""

    replaced: InstanceRow | None = None


class Exists(Struct, frozen=True):
    """The ID is taken by this instance ("use_existing" answers this too: the caller decides what it means)."""

    row: InstanceRow


class Successor(Struct, frozen=True):
    """The execution that follows by continue-as-new: new ID, new input, its own first history chunk; old history
    goes."""

    execution_id: str
    generation: int
    input: Payload | None
    body: str
    events: int
    version: str
    code_id: str


class CommitTurn(Struct, frozen=True):
    """Everything one turn changes: its events, the row, what it sends, what it consumed.

    Conditional on `host`, `execution_id` and `turn` (the number of turns committed before this one).
    """

    instance_id: str
    execution_id: str
    host: str
    turn: int
    name: str
    old_status: Status
    status: Status
    updated_at: int
    #: Encoded events of this turn ("" for none) and how many; `first_event` is the index of the first in the
    #: execution's history.
    body: str
    first_event: int
    events: int
    started_at: int | None = None
    completed_at: int | None = None
    next_due: int | None = None
    output: Payload | None = None
    custom_status: Payload | None = None
    failure: str | None = None
    waiting_reason: str | None = None
    #: Inbox rows taken by this turn. A turn that finishes the instance empties the whole inbox.
    consumed: tuple[int, ...] = ()
    children: tuple[NewInstance, ...] = ()
    #: For each child, the message its parent gets, in this same commit, if the child's ID is taken by a live instance.
    child_conflicts: tuple[InboxMessage, ...] = ()
    messages: tuple[InboxMessage, ...] = ()
    receipts: tuple[Receipt, ...] = ()
    successor: Successor | None = None
    #: (version, code_id) with which the execution goes on, if a rewind moves it to other code.
    recode: tuple[str, str] | None = None
    #: When the row may be purged by itself (µs), once finished.
    expires: int | None = None
    #: Number of activities under way after this turn.
    outstanding: int = 0
    #: See `InstanceRow.awaited`.
    awaited: str | None = None
    #: See `Outdated`.
    revision: int | None = None


class TurnCommitted(Struct, frozen=True):
    """The turn is durable. `conflicts`: IDs of children that could not begin.

    `receivers` maps instance ID -> (host, resident) for each child begun and each message delivered: which hosts to notify.
    """

    conflicts: tuple[str, ...] = ()
    receivers: dict[str, tuple[str, bool]] = field(default_factory=dict)


class Delivered(Struct, frozen=True):
    """The message is durable; this is where its receiver lives."""

    host: str
    placement: Placement
    resident: bool
    status: Status
    turn: int


class Absent(Struct, frozen=True):
    """There is no such instance."""


class Finished(Struct, frozen=True):
    """The instance has ended; nothing was written."""

    status: Status


class Stale(Struct, frozen=True):
    """The instance is not as the write assumed (other host, execution or turn): drop it from memory and reload."""


class Outdated(Struct, frozen=True):
    """The write was decided by definitions of its `revision`, and newer ones are deployed; nothing was written.

    Learn them and decide again. None: the write does not depend on what is deployed.
    """


class FinishUnstarted(Struct, frozen=True):
    """End an instance that never had a turn (Pending, or Suspended so early), without any process. Tells its parent by
    `message`. `Stale` if it has begun, or if the ID has another execution by now."""

    instance_id: str
    execution_id: str
    status: Status
    at: int
    body: str
    events: int
    output: Payload | None = None
    failure: str | None = None
    message: InboxMessage | None = None
    receipt: Receipt | None = None
    expires: int | None = None
    #: The orchestrator's, for the count of completions.
    name: str = ""


class Passivate(Struct, frozen=True):
    """Passivate: `resident` becomes false, if the turn still fits and the inbox is empty; else `Stale`."""

    instance_id: str
    execution_id: str
    host: str
    turn: int
    next_due: int | None


class StoreSchedule(Struct, frozen=True):
    """Write a schedule together with the starts that its new state decides: a time due is passed and its run begun, or neither.

    A start whose ID is taken does not undo that; its answer says so. One decided by older definitions does: `Outdated`.
    """

    row: ScheduleRow
    starts: tuple[StartInstance, ...] = ()
    receipt: Receipt | None = None


class ScheduleStored(Struct, frozen=True):
    """The schedule was written; the answers to its starts."""

    starts: tuple[Started | Exists, ...] = ()


class Done(Struct, frozen=True):
    """The write was made."""


class Repeated(Struct, frozen=True):
    """The request (of a turn: one of those it takes) was carried out before, for its receipt is in the store; nothing
    was written, the outcome is what was recorded."""

    outcome: str


class Refused(Struct, frozen=True):
    """The database cannot hold this write (a lone surrogate, a NUL character, a number beyond 64 bits); the others
    were made."""

    reason: str


Write = StartInstance | CommitTurn | InboxMessage | FinishUnstarted | Passivate | StoreSchedule
Answer = (
    Started
    | Exists
    | TurnCommitted
    | Delivered
    | Absent
    | Finished
    | Stale
    | Outdated
    | ScheduleStored
    | Done
    | Repeated
    | Refused
)
