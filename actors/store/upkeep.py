"""Who owns what, and what is let go: the hub, host leases, processes, recoveries, purges, receipts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from durable_ray.actors.protocol import PROTOCOL
from durable_ray.actors.store.contract import Fenced, HubInUse, StoreError, StoreUnusable
from durable_ray.actors.store.database import Database
from durable_ray.actors.store.records import Fence, HubRow, RowVersion
from durable_ray.actors.store.sql import Row, Session
from durable_ray.actors.store.texts import upkeep as texts
from durable_ray.actors.store.texts.group import COUNT

#: Purged in transactions of this many, so that turns do not wait for a large purge.
_PURGE_BATCH = 200


class Keeping:
    """Ownership and cleaning up."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._owned: tuple[str, int] | None = None

    def close(self) -> None:
        """Let go of every connection and lock."""
        self._database.close()

    def checkpoint(self) -> None:
        """Upkeep that one process does for all."""
        self._database.upkeep()

    # --- ownership --------------------------------------------------------------------------------
    def acquire_hub(self, name: str, cluster: str, address: str, now: int, partitions: int, settings: str) -> HubRow:
        """Own the hub for the life of this store object; see the contract."""
        if not self._database.own(address):
            owner = self.hub()
            raise HubInUse(owner.address, owner.heartbeat, owner.cluster) if owner else HubInUse("unknown", 0)

        def body(session: Session) -> HubRow:
            found = _hub_row(session.one(texts.HUB))
            if found is None:
                session.run(texts.FOUND, name=name, partitions=partitions, settings=settings)
            elif found.name != name:
                raise StoreUnusable(
                    f"this store belongs to the hub {found.name!r}, not to {name!r}; each hub has a store of its own"
                )
            if found is None or found.cluster != cluster:
                session.run(texts.NEW_BOOT, cluster=cluster)
                session.run(texts.FENCE_ALL)
            session.run(texts.ADDRESS, address=address, now=now, protocol=PROTOCOL)
            row = _hub_row(session.one(texts.HUB))
            assert row is not None
            return row

        row = self._database.write(body)
        self._owned = (row.cluster, row.boot_epoch)
        return row

    def hub(self) -> HubRow | None:
        """The hub's row, if the hub was ever booted."""
        with self._database.read() as session:
            return _hub_row(session.one(texts.HUB))

    def heartbeat(self, now: int) -> None:
        """Say that the owner is alive. Raises Fenced if it is the owner no longer."""
        if self._owned is None:
            raise StoreError("only the owner of the hub has a heartbeat; call acquire_hub first")
        cluster, boot_epoch = self._owned
        if not self._database.owns():
            raise Fenced("the hub's lock was lost and taken by another process; this one must exit")
        changed = self._database.write(
            lambda session: session.run(texts.HEARTBEAT, cluster=cluster, boot_epoch=boot_epoch, now=now)
        )
        if not changed:
            raise Fenced("the hub was booted by another cluster; this process must exit")

    def acquire_lease(self, host: str, boot_epoch: int | None = None) -> Fence:
        """Become the owner of `host`. With `boot_epoch`, only in that boot: a host of a cluster that was replaced
        is Fenced."""

        def body(session: Session) -> Fence:
            boot = session.one(texts.BOOT)
            booted = int(boot[0]) if boot else 0
            if boot_epoch is not None and boot_epoch != booted:
                raise Fenced(f"the hub was booted anew (boot {booted}, not {boot_epoch}); this process must exit")
            lease = session.one(texts.LEASE, host=host)
            assert lease is not None
            return Fence(host, int(lease[0]), booted)

        return self._database.write(body)

    # --- processes --------------------------------------------------------------------------------
    def mark_resident(self, instance_ids: Sequence[str], resident: bool = True) -> None:
        """These dedicated instances are (being) given a process, or have lost it."""
        statement = texts.WITH_PROCESS if resident else texts.WITHOUT_PROCESS
        if instance_ids:
            self._database.write(lambda session: session.run(statement, ids=session.list(instance_ids)))

    def note_recovery(self, instance_id: str) -> int:
        """Count one more crash while this instance had a turn; 0 if there is no such instance."""
        row = self._database.write(lambda session: session.one(texts.RECOVERY, instance_id=instance_id))
        return 0 if row is None else int(row[0])

    def isolate(self, instance_id: str, host: str, own_host: str) -> bool:
        """Give a live shared instance of `host` a host of its own; see the contract."""

        def body(session: Session) -> bool:
            row = session.one(texts.ISOLATE, instance_id=instance_id, host=host, own_host=own_host)
            if row is None:
                return False
            session.run(texts.ISOLATE_MAIL, instance_id=instance_id, own_host=own_host)
            session.run(texts.ISOLATE_PERMITS, instance_id=instance_id, own_host=own_host)
            name, status = row
            moves = [
                {"host": "", "name": name, "status": status, "n": 1},
                {"host": host, "name": name, "status": status, "n": -1},
            ]
            session.each(COUNT, moves)
            return True

        return self._database.write(body)

    def set_waiting_reason(self, instance_id: str, reason: str | None) -> None:
        """Say why a live instance makes no progress although it could; a committed turn clears it."""
        self._database.write(lambda session: session.run(texts.WHY, instance_id=instance_id, reason=reason))

    # --- letting go -------------------------------------------------------------------------------
    def purge(self, matched: Sequence[RowVersion], ancestors: Sequence[RowVersion] = ()) -> tuple[str, ...]:
        """Delete finished instances that are as they were matched, with all they own; see the contract."""
        every = list(dict.fromkeys(matched))
        batches = [every[at : at + _PURGE_BATCH] for at in range(0, len(every), _PURGE_BATCH)]
        gone = [self._database.write(partial(_purge, matched=batch, ancestors=ancestors)) for batch in batches]
        return tuple(instance_id for batch in gone for instance_id in batch)

    def expired(self, now: int, limit: int) -> tuple[RowVersion, ...]:
        """Finished instances whose time to be kept is over, longest over first."""
        with self._database.read() as session:
            return tuple(RowVersion(*row) for row in session.all(texts.EXPIRED, now=now, limit=limit))

    def forget_receipts(self, before: int, limit: int) -> int:
        """Drop receipts that expired before `before`, at most `limit`; returns how many."""
        return self._database.write(lambda session: session.run(texts.FORGET, before=before, limit=limit))


def _hub_row(row: Row | None) -> HubRow | None:
    return None if row is None or row[1] == 0 else HubRow(*row)


def _purge(session: Session, matched: Sequence[RowVersion], ancestors: Sequence[RowVersion]) -> tuple[str, ...]:
    wanted = {version.instance_id: version for version in (*matched, *ancestors)}
    finished = session.all(texts.FINISHED, ids=session.list(wanted))
    # Those are locked now, so what is compared here is what is deleted.
    as_matched = {row[0]: row[3:] for row in finished if RowVersion(*row[:3]) == wanted[row[0]]}
    if any(as_matched.pop(ancestor.instance_id, None) is None for ancestor in ancestors):
        return ()
    if not as_matched:
        return ()
    gone, found = session.list(as_matched), as_matched.values()
    for statement in texts.OWNED:
        session.run(statement, ids=gone)
    hosts = [host for placement, host, _, _ in found if placement == "dedicated"]
    if hosts:
        session.run(texts.RAISE_FLOOR, hosts=session.list(hosts))
        session.run(texts.DROP_LEASES, hosts=session.list(hosts))
    counts: dict[tuple[str, str, str], int] = {}
    for placement, host, name, status in found:
        key = (host if placement == "shared" else "", name, status)
        counts[key] = counts.get(key, 0) - 1
    session.each(COUNT, [{"host": h, "name": m, "status": s, "n": n} for (h, m, s), n in sorted(counts.items())])
    return tuple(as_matched)
