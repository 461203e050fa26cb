"""Rows of the store as values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, field

from durable_ray.orchestrations.history.events import ParentAddress, Payload

#: Status names, as in Durable Functions. `ContinuedAsNew` and `Canceled` are accepted in filters, never
#: stored.
Status = Literal["Pending", "Running", "Suspended", "Completed", "Failed", "Terminated"]
LIVE: tuple[Status, ...] = ("Pending", "Running", "Suspended")
FINISHED: tuple[Status, ...] = ("Completed", "Failed", "Terminated")

Placement = Literal["dedicated", "shared"]
IfExists = Literal["reject", "use_existing", "terminate_existing", "reject_finished"]


class NewInstance(Struct, frozen=True):
    """Everything that is known of an instance before its first turn."""

    instance_id: str
    execution_id: str
    name: str
    host: str
    placement: Placement
    created_at: int
    version: str = ""
    code_id: str = ""
    input: Payload | None = None
    #: Not before this time (µs); None: at once.
    start_at: int | None = None
    #: Behind others of its name (`max_running`): Pending, in either placement and without a process, until the registry
    #: dequeues it. Time alone does not start it.
    queued: bool = False
    parent: ParentAddress | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0
    #: Hash of the runtime environment its host runs with ("" for none); see `environments`.
    environment: str = ""
    #: JSON object of per-instance settings (idle_timeout, retain_for, max_recoveries, resources of a dedicated
    #: actor …).
    settings: str = "{}"

    @property
    def first_due(self) -> int | None:
        """When it is due for its first turn (µs); None: when it is dequeued."""
        if self.queued:
            return None
        return self.created_at if self.start_at is None else self.start_at


class RowVersion(Struct, frozen=True):
    """An instance's row as it was read: every committed turn, and every new start of the ID, makes another of it.

    What is decided about an instance before it is done names this, so that it is not done to what came after: a new
    instance of the same ID, or one that a rewind let go on.
    """

    instance_id: str
    execution_id: str
    turn: int


class InstanceRow(NewInstance, frozen=True):
    """An instance as stored: what its start said, and what its turns make of it. The defaults are those of a new row.

    Times in µs; `input`, `output`, `custom_status` are payloads (JSON text or a pickle).
    """

    status: Status = "Pending"
    resident: bool = False
    #: Number of committed turns over all executions of this row; every turn's commit is conditional on it.
    turn: int = 0
    #: Number of events in the history of this execution.
    events: int = 0
    generation: int = 0
    updated_at: int = 0
    started_at: int | None = None
    completed_at: int | None = None
    next_due: int | None = None
    output: Payload | None = None
    custom_status: Payload | None = None
    #: JSON of FailureDetails where status is Failed.
    failure: str | None = None
    recoveries: int = 0
    #: Why a live instance makes no progress although it could ("code", "admission", …); None otherwise.
    waiting_reason: str | None = None
    #: Number of activities under way after the last turn; a revived host has to load those instances first.
    outstanding: int = 0
    #: The external events that its code waits for after the last turn, as JSON (`AwaitedEvent`); None: for none.
    awaited: str | None = None
    #: What of this row could not be read when it was (no column); None: nothing.
    damage: str | None = None

    @property
    def finished(self) -> bool:
        """Whether the instance has ended."""
        return self.status in FINISHED

    @property
    def why_waiting(self) -> str | None:
        """Why it makes no progress although it could, as users see it."""
        damage = None if self.damage is None or self.finished else f"row: {self.damage}"
        return damage or self.waiting_reason or ("max_running" if self.queued else None)

    @property
    def standing(self) -> Standing:
        """What changes when anything about it does."""
        return Standing(self.instance_id, self.execution_id, self.turn, self.status, self.events, self.waiting_reason)

    @property
    def row_version(self) -> RowVersion:
        """What a later write names to mean the instance as it is here."""
        return RowVersion(self.instance_id, self.execution_id, self.turn)


class Receipt(Struct, frozen=True):
    """The recorded outcome of a client's request, so that its retry is answered alike. `expires` in µs."""

    request_id: str
    outcome: str
    expires: int


class InboxMessage(Struct, frozen=True):
    """A message in an instance's inbox: the write that puts it there, and what is read.

    Dropped if the instance does not exist or has finished.
    """

    instance_id: str
    message_id: str
    body: str
    #: Only for this execution; None: for whichever takes it.
    execution_id: str | None = None
    #: As read: by this it is ordered, and consumed.
    row: int = 0
    #: As written for a client.
    receipt: Receipt | None = None
    #: The status of the instance with this message, if it never had a turn: Suspended, or Pending again.
    unstarted: Status | None = None
    #: Only to the instance that was created then (µs), which continue-as-new keeps; to a later one of its ID `Absent`.
    created_at: int | None = None


class Loaded(Struct, frozen=True):
    """An instance with all that is needed to go on: its row, its history (encoded chunks, oldest first), its inbox."""

    row: InstanceRow
    history: tuple[str, ...]
    inbox: tuple[InboxMessage, ...]
    #: The index of the first event of each chunk.
    positions: tuple[int, ...] = ()


class DefinitionRow(Struct, frozen=True):
    """A definition as stored; `body` is opaque here (only hosts and workers open it)."""

    kind: Literal["orchestrator", "activity"]
    name: str
    version: str
    code_id: str
    how: Literal["reference", "value"]
    body: bytes
    options: str = "{}"
    #: Runtime environment of the job that registered it (JSON), or None.
    runtime_env: str | None = None
    #: Position in the order of registration; the newest of a name is the one with the highest.
    revision: int = 0

    @property
    def absent(self) -> bool:
        """It could not be packed where it is, and `options` say why. Stored only where nothing of its name is deployed."""
        return not self.code_id


class ScheduleRow(Struct, frozen=True):
    """A schedule as stored: its state as text, and what of it is looked for by."""

    schedule_id: str
    #: "deleted": all that is left is what code declares of it.
    status: Literal["active", "paused", "ended", "deleted"]
    created_at: int
    #: When something has to be decided (µs); None: paused, or ended.
    due: int | None
    #: How many of its runs have not ended.
    under_way: int
    state: str


class HubRow(Struct, frozen=True):
    """What a store knows of the hub that owns it."""

    name: str
    boot_epoch: int
    cluster: str
    address: str
    heartbeat: int
    protocol: int
    partitions: int
    settings: str = "{}"


class Fence(Struct, frozen=True):
    """Proof of being the one owner of a host name in this boot of the hub; asserted by every commit."""

    host: str
    epoch: int
    boot_epoch: int


class Permit(Struct, frozen=True):
    """One attempt of a limited activity (by its full address), the host that runs it, and its instance's priority."""

    name: str
    host: str
    instance_id: str
    execution_id: str
    task_id: int
    attempt: int
    priority: int = 0


#: Which payloads of a row are read: "output" leaves out the input, "none" the output as well. What was left out is None.
Payloads = Literal["all", "output", "none"]


class Standing(Struct, frozen=True):
    """What differs as soon as anything about an instance has changed, independent of clocks: for change detection."""

    instance_id: str
    execution_id: str
    turn: int
    status: Status
    events: int
    waiting_reason: str | None

    @property
    def finished(self) -> bool:
        """Whether the instance has ended."""
        return self.status in FINISHED


class StoreLoad(Struct, frozen=True):
    """Size of the database in bytes; messages that wait, with the first and last of their numbers; (activity, granted) ->
    permits; orchestrator -> instances that are queued."""

    size: int
    messages: int
    first: int | None
    last: int | None
    permits: Mapping[tuple[str, bool], int]
    queued: Mapping[str, int]


class InstanceQuery(Struct, frozen=True):
    """A filter over instances. All parts are ANDed; several statuses or names are ORed; bounds are inclusive (µs)."""

    created_from: int | None = None
    created_to: int | None = None
    updated_from: int | None = None
    updated_to: int | None = None
    statuses: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    id_prefix: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    parent_id: str | None = None
    descending: bool = False
    #: Not which instances, but what is read of each.
    payloads: Payloads = "all"


class Page(Struct, frozen=True):
    """Some instances in created-time order and, where there are more, the opaque token that continues after them."""

    rows: tuple[InstanceRow, ...]
    token: str | None
