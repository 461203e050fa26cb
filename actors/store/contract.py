"""The port to the store, in parts by what they are for: who needs one part takes that.

`tests/store_contract` runs every promise made here on every database.

All methods block and are called from a thread that may block (a host's committer, the registry's executor). All are
safe to call from several threads. Nothing here opens a payload or a definition's body.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from durable_ray.actors.errors import DurableRayError
from durable_ray.actors.store.records import (
    DefinitionRow,
    Fence,
    HubRow,
    InboxMessage,
    InstanceQuery,
    InstanceRow,
    Loaded,
    Page,
    Payloads,
    Permit,
    RowVersion,
    ScheduleRow,
    Standing,
    StoreLoad,
)
from durable_ray.actors.store.writes import Answer, Write
from durable_ray.orchestrations.values.times import to_datetime


class StoreError(Exception):
    """Base of the store's own errors."""


class Fenced(StoreError):
    """Another process owns this host name now (or the hub was booted anew); nothing was written. The holder must exit."""


class HubInUse(StoreError, DurableRayError):
    """Another process owns this store. `address`, `cluster` and `since` (µs of its last heartbeat) identify it."""

    def __init__(self, address: str, since: int, cluster: str = "") -> None:
        heard = f", last heartbeat {to_datetime(since):%Y-%m-%d %H:%M:%S} UTC" if since else ""
        super().__init__(
            f"this store is owned by the hub of another running cluster ({address}{heard}): connect to that cluster, take "
            "its hub down there (`durable-ray down`), or use another store. If that cluster is dead, its ownership ends "
            "with its process, or 30 s after its machine went silent: try again then"
        )
        self.address = address
        self.since = since
        self.cluster = cluster

    def __reduce__(self) -> tuple[type[HubInUse], tuple[str, int, str]]:
        return type(self), (self.address, self.since, self.cluster)


class StoreUnusable(StoreError, DurableRayError):
    """The store cannot be used (no rights, a network filesystem, a newer schema, too old a SQLite); the message says what
    to do."""


class InvalidToken(StoreError, ValueError):
    """The continuation token is malformed, or belongs to another query; nothing was read."""


class CommitUnknown(StoreError):
    """The connection broke during COMMIT: the transaction may or may not have happened. Reload before acting."""


class Committed(Struct, frozen=True):
    """The answers to a group of writes, in order, and the definitions' revision at that moment (to notice deploys)."""

    answers: tuple[Answer, ...]
    definitions_revision: int


class OwnershipStore(Protocol):
    """Ownership of the hub and its hosts: leases and fences; and erasing the hub."""

    def acquire_hub(self, name: str, cluster: str, address: str, now: int, partitions: int, settings: str) -> HubRow:
        """Own the hub for the life of this store object (flock / advisory lock), and mirror that in its row.

        A first owner creates the row (with `partitions` and `settings`, which later owners find unchanged). An owner of
        the cluster already recorded keeps the boot epoch; one of another cluster gets the next one, which fences every
        host of the old. Raises HubInUse while another process holds the lock.
        """

    def hub(self) -> HubRow | None:
        """The hub's row, if the hub was ever booted. Needs no lease."""

    def heartbeat(self, now: int) -> None:
        """Record that the owner is alive. Raises Fenced if it is the owner no longer."""

    def acquire_lease(self, host: str, boot_epoch: int | None = None) -> Fence:
        """Become the owner of `host`: its epoch goes up, and every older fence is refused from now on.

        With `boot_epoch` (the boot that made this host) only in that boot, else Fenced: a host that Ray restarts in a
        cluster whose store another cluster took over must not drive out its successor.
        """

    def checkpoint(self) -> None:
        """Maintenance that one process does for all (SQLite: WAL checkpoint)."""

    def erase(self, keep: str) -> int:
        """Delete all instances, definitions and messages; every host but `keep` is fenced. Returns how many instances."""


class UpkeepStore(Protocol):
    """Processes of dedicated instances, crashes, retention."""

    def mark_resident(self, instance_ids: Sequence[str], resident: bool = True) -> None:
        """These dedicated instances are (being) given a process, or have lost it."""

    def set_waiting_reason(self, instance_id: str, reason: str | None) -> None:
        """Record why a live instance makes no progress although it could; a committed turn clears it."""

    def note_recovery(self, instance_id: str) -> int:
        """Count one more crash while this instance had a turn; returns the count. A committed turn resets it."""

    def isolate(self, instance_id: str, host: str, own_host: str) -> bool:
        """Give a live shared instance of `host` a host of its own, under which it becomes dedicated: its messages, permits
        and counters go along, and turns under way at `host` are Stale. False if it does not live there (any more)."""

    def purge(self, matched: Sequence[RowVersion], ancestors: Sequence[RowVersion] = ()) -> tuple[str, ...]:
        """Delete finished instances with all they own, if they are as they were matched; returns the IDs of those.

        Decided in the transactions that delete. Live instances stay, and so does what came after the match: a new
        instance of the same ID, or one that was rewound. Nothing is deleted if one of `ancestors`, whose children these
        are, is no longer finished or was changed.
        """

    def expired(self, now: int, limit: int) -> tuple[RowVersion, ...]:
        """Finished instances whose retention is over at `now` (µs), oldest expiry first."""

    def forget_receipts(self, before: int, limit: int) -> int:
        """Delete receipts that expired before `before` (µs), at most `limit`; returns how many."""


class ReadStore(Protocol):
    """Reading instances by ID."""

    def load(self, instance_ids: Sequence[str]) -> Mapping[str, Loaded]:
        """The named instances, whole, as of one moment. Absent ones are absent."""

    def rows(self, instance_ids: Sequence[str], payloads: Payloads = "all") -> Mapping[str, InstanceRow]:
        """The named instances' rows. Payloads that are left out are not read."""

    def history(self, instance_id: str) -> tuple[str, ...]:
        """The encoded chunks of the current execution's history, oldest first."""

    def inbox(self, instance_ids: Sequence[str]) -> tuple[InboxMessage, ...]:
        """The waiting messages of these instances, oldest first."""

    def receipts(self, request_ids: Sequence[str]) -> Mapping[str, str]:
        """Outcomes recorded for these requests."""


class WorkStore(Protocol):
    """Finding work, by index."""

    def to_revive(self, host: str, now: int) -> tuple[str, ...]:
        """Live instances of a host that a new process must load at once: never had a turn (and start_at reached),
        have activities outstanding, have inbox rows, or are due."""

    def with_messages(self, host: str, limit: int) -> tuple[str, ...]:
        """IDs of a host's instances that have inbox rows (also those of which no notification arrived)."""

    def hosts_with_work(self, now: int) -> tuple[str, ...]:
        """Shared hosts (placement "shared") that have at least one live instance which is unstarted, has inbox
        rows, or is Running/Suspended."""

    def due(self, host: str, until: int, limit: int) -> tuple[tuple[str, int], ...]:
        """(instance_id, next_due) of a host's live instances due up to `until`, soonest first. One that never had a
        turn is due at its start_at, or at its creation: so a start whose notification was lost is found too."""

    def dedicated_waiting(self, now: int, limit: int) -> tuple[InstanceRow, ...]:
        """Dedicated live instances without a process that should have one: not resident, and Pending with start_at
        reached, or begun and with inbox rows, or next_due reached, or activities outstanding. Ordered by priority
        (higher first), then age."""

    def dedicated_next(self, after: int = -1) -> int | None:
        """When the next passivated or delayed dedicated instance comes due later than `after` (µs), or None. Those due
        by now wait for admission, not for the clock: pass the time as `after`."""

    def residents(self) -> tuple[str, ...]:
        """Live dedicated instances that are marked resident."""


class QueryStore(Protocol):
    """Queries over all instances."""

    def query(self, query: InstanceQuery, limit: int, token: str | None = None) -> Page:
        """A page of instances in (created_at, instance_id) order, bounded in bytes too: it may be shorter than `limit` while
        there are more. The token stays right while instances come and go. Payloads that the query leaves out are not read."""

    def live_standings(self, after: tuple[str, str], limit: int) -> list[tuple[str, Standing]]:
        """(host, standing) of live instances, by host and ID, after (host, ID); ("", "") is before all."""

    def ended_standings(self, after: tuple[int, str], limit: int) -> list[tuple[int, Standing]]:
        """(completion time, standing) of finished instances, in that order, after (time, ID)."""

    def count(self, query: InstanceQuery) -> int:
        """How many instances match; from maintained counters where the filter permits (statuses and names only)."""

    def load_now(self) -> StoreLoad:
        """The size of the database, and what waits in it."""

    def histogram(self, query: InstanceQuery, width: int) -> Mapping[tuple[int, str], int]:
        """(bin, status) -> how many match, in bins of `width` µs from the query's `created_from` (which it has) on."""

    def counts(self) -> Mapping[tuple[str, str], int]:
        """(name, status) -> how many, from maintained counters."""


class DefinitionStore(Protocol):
    """Definitions: the hub's orchestrators and activities."""

    def put_definitions(self, definitions: Iterable[DefinitionRow]) -> int:
        """Register definitions (idempotent by kind, name, version and code_id: registering the newest again changes
        nothing; an older one again makes it the newest). Returns the hub's definitions revision."""

    def definitions_revision(self) -> int:
        """The hub's definitions revision now: a later call of `definitions` sees all up to it."""

    def definition(
        self, kind: str, name: str, version: str | None = None, code_id: str | None = None
    ) -> DefinitionRow | None:
        """The newest definition of that name (and version); or exactly that code."""

    def definitions(self, since: int = 0) -> tuple[DefinitionRow, ...]:
        """Every definition registered after revision `since`, oldest first, without bodies (`body` is b"")."""


class LimitStore(Protocol):
    """Limits: instances and activities that wait for others of their name."""

    def release(self, name: str, limit: int, now: int) -> tuple[tuple[str, str], ...]:
        """Dequeue the first queued instances of an orchestrator (priority, then age), until `limit` of its name are
        running, and make them due at `now`. Returns (host, instance_id) of each."""

    def permit(
        self, fence: Fence | None, asked: Sequence[Permit], returned: Sequence[Permit], limits: Mapping[str, int]
    ) -> tuple[Permit, ...]:
        """In one transaction: delete `returned`, insert `asked` (all of one host) as waiting unless they are there
        already, then of each name in `limits` the first that wait (priority, then in the order they asked) are
        granted, until as many are as its limit says. `limits` has the names of all that is asked and returned.

        Returns those granted by this, of whatever host, and of `asked` those that were granted before. May be repeated
        after any failure. Raises Fenced, and then nothing was written.
        """

    def permits(self, host: str) -> tuple[tuple[Permit, bool], ...]:
        """(permit, whether it is granted) of all that this host has asked for, oldest first."""

    def permit_holders(self) -> tuple[tuple[str, str], ...]:
        """(host, activity name) of all permits, granted or waiting."""

    def forget_permits(self, hosts: Sequence[str]) -> None:
        """Delete permits of these hosts, which have no process, unless their instances have activities outstanding.

        Decided in the transaction: a host that was given a process meanwhile keeps the permits of its activities.
        """


class ScheduleStore(Protocol):
    """Schedules: written by `commit`, with the starts that they decide."""

    def schedules(self, schedule_ids: Sequence[str]) -> Mapping[str, ScheduleRow]:
        """The schedules of these IDs. Absent ones are absent."""

    def schedules_due(self, until: int, limit: int) -> tuple[ScheduleRow, ...]:
        """The schedules due up to `until` (µs), soonest first."""

    def schedule_next(self) -> int | None:
        """When the first schedule is due (µs), past or future."""

    def schedules_running(self, after: str, limit: int) -> tuple[ScheduleRow, ...]:
        """The schedules with runs under way, by ID, after this ID."""

    def schedules_page(self, first: str, after: str, limit: int) -> tuple[ScheduleRow, ...]:
        """The schedules by ID, from `first` (included) and after `after`."""

    def delete_schedule(self, schedule_id: str) -> bool:
        """Delete a schedule, if there is one. Its runs are instances like others: they stay."""


class Store(
    OwnershipStore, UpkeepStore, ReadStore, WorkStore, QueryStore, DefinitionStore, LimitStore, ScheduleStore, Protocol
):
    """One task hub's database."""

    def commit(self, fence: Fence | None, writes: Sequence[Write]) -> Committed:
        """Make all writes in one durable transaction, each isolated (see `writes`).

        Raises Fenced, CommitUnknown; or another StoreError after which nothing was written.
        """

    def fenced(self, fence: Fence) -> Store:
        """The same store, for the holder of `fence`: every method that writes asserts it, in its transaction, and raises
        Fenced if it does not hold; then nothing was written (of a method with several transactions: nothing more).

        Registry and hosts have no other. What makes fences is not for them: `acquire_hub`, `acquire_lease`.
        """

    def close(self) -> None:
        """Release every connection and lock."""
