"""Ownership of hub and hosts (leases), processes of instances, crash counts, purge and expiry, erasure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from durable_ray.actors.messages import PROTOCOL
from durable_ray.actors.store.contract import Fenced, HubInUse, StoreError, StoreUnusable
from durable_ray.actors.store.databases.database import Database
from durable_ray.actors.store.records import Fence, HubRow, RowVersion
from durable_ray.actors.store.sql.changes import without_process
from durable_ray.actors.store.sql.group import COUNT
from durable_ray.actors.store.sql.statement import Row, Session, Statement

HUB = Statement(f"SELECT {', '.join(HubRow.__struct_fields__)} FROM hub")
CREATE_HUB = Statement("""
    UPDATE hub
    SET name = :name, boot_epoch = 0, partitions = :partitions, settings = :settings
    """)
NEW_BOOT = Statement("UPDATE hub SET boot_epoch = boot_epoch + 1, cluster = :cluster")
#: A new boot fences by this too: an old host's next commit finds another epoch, whatever it read of the hub's row.
FENCE_ALL = Statement("UPDATE leases SET epoch = epoch + 1")
CLAIM_HUB = Statement("UPDATE hub SET address = :address, heartbeat = :now, protocol = :protocol")
HEARTBEAT = Statement("UPDATE hub SET heartbeat = :now WHERE cluster = :cluster AND boot_epoch = :boot_epoch")
LEASE = Statement("""
    INSERT INTO leases (host, epoch)
    VALUES (:host, (SELECT hub.lease_floor + 1 FROM hub))
    ON CONFLICT (host) DO UPDATE
    SET epoch = leases.epoch + 1
    RETURNING leases.epoch
    """)
#: Shared, so that no new boot comes between reading the boot epoch and taking the lease.
BOOT = Statement("SELECT boot_epoch FROM hub FOR SHARE")
WITH_PROCESS = Statement("""
    UPDATE instances
    SET resident = TRUE
    WHERE instance_id IN (:ids) AND placement = 'dedicated' AND resident IS FALSE
    """)
WITHOUT_PROCESS = Statement(f"""
    UPDATE instances
    SET {without_process("next_due")}
    WHERE instance_id IN (:ids) AND placement = 'dedicated' AND resident IS TRUE
    """)
RECOVERY = Statement("""
    UPDATE instances
    SET recoveries = recoveries + 1
    WHERE instance_id = :instance_id
    RETURNING recoveries
    """)
#: From a partition to a process of its own, with all by which its host is known.
ISOLATE = Statement(f"""
    UPDATE instances
    SET placement = 'dedicated', host = :own_host, {without_process("next_due")}
    WHERE instance_id = :instance_id AND host = :host AND placement = 'shared' AND completed_at IS NULL
    RETURNING name, status
    """)
ISOLATE_INBOX = Statement("""
    UPDATE inbox
    SET placement = 'dedicated', host = :own_host
    WHERE instance_id = :instance_id
    """)
ISOLATE_PERMITS = Statement("UPDATE permits SET host = :own_host WHERE instance_id = :instance_id")
WAITING_REASON = Statement("""
    UPDATE instances
    SET waiting_reason = :reason
    WHERE instance_id = :instance_id AND completed_at IS NULL
    """)
FINISHED = Statement("""
    SELECT instance_id, execution_id, turn, placement, host, name, status
    FROM instances
    WHERE instance_id IN (:ids) AND completed_at IS NOT NULL
    ORDER BY instance_id
    FOR UPDATE
    """)
OWNED = (
    Statement("DELETE FROM inbox WHERE instance_id IN (:ids)"),
    Statement("DELETE FROM history WHERE instance_id IN (:ids)"),
    Statement("DELETE FROM tags WHERE instance_id IN (:ids)"),
    Statement("DELETE FROM inputs WHERE instance_id IN (:ids)"),
    Statement("DELETE FROM instances WHERE instance_id IN (:ids)"),
)
#: An epoch that was given out must not be given out again, or a zombie could pass for the owner.
RAISE_FLOOR = Statement("""
    UPDATE hub
    SET lease_floor = (SELECT max(leases.epoch) FROM leases WHERE leases.host IN (:hosts))
    WHERE hub.lease_floor < (SELECT max(leases.epoch) FROM leases WHERE leases.host IN (:hosts))
    """)
DROP_LEASES = Statement("DELETE FROM leases WHERE host IN (:hosts)")
FORGET = Statement("""
    DELETE FROM receipts
    WHERE request_id IN (SELECT request_id FROM receipts WHERE expires < :before ORDER BY expires LIMIT :limit)
    """)
EXPIRED = Statement("""
    SELECT instance_id, execution_id, turn
    FROM instances
    WHERE expires <= :now
    ORDER BY expires
    LIMIT :limit
    """)

#: Purged in transactions of this many, so that turns do not wait for a large purge.
_PURGE_BATCH = 200


class SqlUpkeep:
    """Ownership, processes and retention."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._owned: tuple[str, int] | None = None

    def close(self) -> None:
        """Release every connection and lock."""
        self._database.close()

    def checkpoint(self) -> None:
        """Maintenance that one process does for all."""
        self._database.upkeep()

    # --- ownership --------------------------------------------------------------------------------
    def acquire_hub(self, name: str, cluster: str, address: str, now: int, partitions: int, settings: str) -> HubRow:
        """Own the hub for the life of this store object; see the contract."""
        if not self._database.own(address):
            owner = self.hub()
            raise HubInUse(owner.address, owner.heartbeat, owner.cluster) if owner else HubInUse("unknown", 0)

        def body(session: Session) -> HubRow:
            found = _hub_row(session.one(HUB))
            if found is None:
                session.run(CREATE_HUB, name=name, partitions=partitions, settings=settings)
            elif found.name != name:
                raise StoreUnusable(
                    f"this store belongs to the hub {found.name!r}, not to {name!r}; each hub has a store of its own"
                )
            if found is None or found.cluster != cluster:
                session.run(NEW_BOOT, cluster=cluster)
                session.run(FENCE_ALL)
            session.run(CLAIM_HUB, address=address, now=now, protocol=PROTOCOL)
            row = _hub_row(session.one(HUB))
            assert row is not None
            return row

        row = self._database.write(body)
        self._owned = (row.cluster, row.boot_epoch)
        return row

    def hub(self) -> HubRow | None:
        """The hub's row, if the hub was ever booted."""
        with self._database.read() as session:
            return _hub_row(session.one(HUB))

    def heartbeat(self, now: int) -> None:
        """Record that the owner is alive. Raises Fenced if it is the owner no longer."""
        if self._owned is None:
            raise StoreError("only the owner of the hub has a heartbeat; call acquire_hub first")
        cluster, boot_epoch = self._owned
        if not self._database.owns():
            raise Fenced("the hub's lock was lost and taken by another process; this one must exit")
        changed = self._database.write(
            lambda session: session.run(HEARTBEAT, cluster=cluster, boot_epoch=boot_epoch, now=now)
        )
        if not changed:
            raise Fenced("the hub was booted by another cluster; this process must exit")

    def acquire_lease(self, host: str, boot_epoch: int | None = None) -> Fence:
        """Become the owner of `host`. With `boot_epoch`, only in that boot: a host of a cluster that was replaced
        is Fenced."""

        def body(session: Session) -> Fence:
            boot = session.one(BOOT)
            booted = int(boot[0]) if boot else 0
            if boot_epoch is not None and boot_epoch != booted:
                raise Fenced(f"the hub was booted anew (boot {booted}, not {boot_epoch}); this process must exit")
            lease = session.one(LEASE, host=host)
            assert lease is not None
            return Fence(host, int(lease[0]), booted)

        return self._database.write(body)

    # --- processes --------------------------------------------------------------------------------
    def mark_resident(self, instance_ids: Sequence[str], resident: bool = True) -> None:
        """These dedicated instances are (being) given a process, or have lost it."""
        statement = WITH_PROCESS if resident else WITHOUT_PROCESS
        if instance_ids:
            self._database.write(lambda session: session.run(statement, ids=session.list(instance_ids)))

    def note_recovery(self, instance_id: str) -> int:
        """Count one more crash while this instance had a turn; 0 if there is no such instance."""
        row = self._database.write(lambda session: session.one(RECOVERY, instance_id=instance_id))
        return 0 if row is None else int(row[0])

    def isolate(self, instance_id: str, host: str, own_host: str) -> bool:
        """Give a live shared instance of `host` a host of its own; see the contract."""

        def body(session: Session) -> bool:
            row = session.one(ISOLATE, instance_id=instance_id, host=host, own_host=own_host)
            if row is None:
                return False
            session.run(ISOLATE_INBOX, instance_id=instance_id, own_host=own_host)
            session.run(ISOLATE_PERMITS, instance_id=instance_id, own_host=own_host)
            name, status = row
            moves = [
                {"host": "", "name": name, "status": status, "n": 1},
                {"host": host, "name": name, "status": status, "n": -1},
            ]
            session.each(COUNT, moves)
            return True

        return self._database.write(body)

    def set_waiting_reason(self, instance_id: str, reason: str | None) -> None:
        """Record why a live instance makes no progress although it could; a committed turn clears it."""
        self._database.write(lambda session: session.run(WAITING_REASON, instance_id=instance_id, reason=reason))

    # --- retention --------------------------------------------------------------------------------
    def purge(self, matched: Sequence[RowVersion], ancestors: Sequence[RowVersion] = ()) -> tuple[str, ...]:
        """Delete finished instances that are as they were matched, with all they own; see the contract."""
        every = list(dict.fromkeys(matched))
        batches = [every[at : at + _PURGE_BATCH] for at in range(0, len(every), _PURGE_BATCH)]
        gone = [self._database.write(partial(_purge, matched=batch, ancestors=ancestors)) for batch in batches]
        return tuple(instance_id for batch in gone for instance_id in batch)

    def expired(self, now: int, limit: int) -> tuple[RowVersion, ...]:
        """Finished instances whose retention is over, oldest expiry first."""
        with self._database.read() as session:
            return tuple(RowVersion(*row) for row in session.all(EXPIRED, now=now, limit=limit))

    def forget_receipts(self, before: int, limit: int) -> int:
        """Delete receipts that expired before `before`, at most `limit`; returns how many."""
        return self._database.write(lambda session: session.run(FORGET, before=before, limit=limit))


def _hub_row(row: Row | None) -> HubRow | None:
    return None if row is None or row[1] == 0 else HubRow(*row)


def _purge(session: Session, matched: Sequence[RowVersion], ancestors: Sequence[RowVersion]) -> tuple[str, ...]:
    wanted = {version.instance_id: version for version in (*matched, *ancestors)}
    finished = session.all(FINISHED, ids=session.list(wanted))
    # Those are locked now, so what is compared here is what is deleted.
    as_matched = {row[0]: row[3:] for row in finished if RowVersion(*row[:3]) == wanted[row[0]]}
    if any(as_matched.pop(ancestor.instance_id, None) is None for ancestor in ancestors):
        return ()
    if not as_matched:
        return ()
    gone, found = session.list(as_matched), as_matched.values()
    for statement in OWNED:
        session.run(statement, ids=gone)
    hosts = [host for placement, host, _, _ in found if placement == "dedicated"]
    if hosts:
        session.run(RAISE_FLOOR, hosts=session.list(hosts))
        session.run(DROP_LEASES, hosts=session.list(hosts))
    counts: dict[tuple[str, str, str], int] = {}
    for placement, host, name, status in found:
        key = (host if placement == "shared" else "", name, status)
        counts[key] = counts.get(key, 0) - 1
    session.each(COUNT, [{"host": h, "name": m, "status": s, "n": n} for (h, m, s), n in sorted(counts.items())])
    return tuple(as_matched)


COUNT_INSTANCES = Statement("SELECT count(*) FROM instances")
EMPTY = (
    Statement("DELETE FROM inbox"),
    Statement("DELETE FROM history"),
    Statement("DELETE FROM tags"),
    Statement("DELETE FROM inputs"),
    Statement("DELETE FROM receipts"),
    Statement("DELETE FROM counters"),
    Statement("DELETE FROM definitions"),
    Statement("DELETE FROM permits"),
    Statement("DELETE FROM schedules"),
    Statement("DELETE FROM instances"),
)
#: Fences every host but the caller.
FENCE_OTHERS = Statement("UPDATE leases SET epoch = epoch + 1 WHERE host != :keep")
#: A commit holds its host's lease shared until it ends: with this lock as well, no other transaction has the contents.
KEPT = Statement("SELECT epoch FROM leases WHERE host = :keep FOR UPDATE")
NEW_DEFINITIONS = Statement("UPDATE hub SET definitions_revision = definitions_revision + 1")


class SqlErasure:
    """Deletes a hub's contents."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def erase(self, keep: str) -> int:
        """Delete all instances, definitions and messages; every host but `keep` is fenced; how many instances."""

        def body(session: Session) -> int:
            # First the locks: of a commit between two of these deletions a part would be left behind.
            session.run(NEW_DEFINITIONS)
            session.run(FENCE_OTHERS, keep=keep)
            session.one(KEPT, keep=keep)
            row = session.one(COUNT_INSTANCES)
            for statement in EMPTY:
                session.run(statement)
            return 0 if row is None else int(row[0])

        return self._database.write(body, long=True)
