"""Who owns what, and what is let go: the hub, host leases, processes, recoveries, purges, receipts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from sqlalchemy import ColumnElement, delete, false, func, literal_column, select, true, update
from sqlalchemy.dialects.postgresql import insert

from durable_ray.actors.settings import PROTOCOL
from durable_ray.actors.store.commit_sql import COUNT, due_without_process
from durable_ray.actors.store.contract import Fenced, HubInUse, StoreError, StoreUnusable
from durable_ray.actors.store.database import Database
from durable_ray.actors.store.records import Fence, HubRow
from durable_ray.actors.store.schema import history, hub, inbox, inputs, instances, leases, receipts, tags
from durable_ray.actors.store.sql import Row, Session, Statement, among, number, text

_i = instances.c
_one: ColumnElement[int] = literal_column("1")

_HUB = Statement(
    select(
        hub.c.name,
        hub.c.boot_epoch,
        hub.c.cluster,
        hub.c.address,
        hub.c.heartbeat,
        hub.c.protocol,
        hub.c.partitions,
        hub.c.settings,
    )
)
_FOUND = Statement(
    update(hub).values(
        name=text("name"), partitions=number("partitions"), settings=text("settings"), boot_epoch=literal_column("0")
    )
)
_NEW_BOOT = Statement(update(hub).values(boot_epoch=hub.c.boot_epoch + _one, cluster=text("cluster")))
#: A new boot fences by this too: an old host's next commit finds another epoch, whatever it read of the hub's row.
_FENCE_ALL = Statement(update(leases).values(epoch=leases.c.epoch + _one))
_ADDRESS = Statement(update(hub).values(address=text("address"), heartbeat=number("now"), protocol=number("protocol")))
_HEARTBEAT = Statement(
    update(hub)
    .where(hub.c.cluster == text("cluster"), hub.c.boot_epoch == number("boot_epoch"))
    .values(heartbeat=number("now"))
)

_first_epoch = select(hub.c.lease_floor + _one).scalar_subquery()
_LEASE = Statement(
    insert(leases)
    .values(host=text("host"), epoch=_first_epoch)
    .on_conflict_do_update(index_elements=["host"], set_={"epoch": leases.c.epoch + _one})
    .returning(leases.c.epoch)
)
#: Shared, so that no new boot comes between reading the boot epoch and taking the lease.
_BOOT = Statement(select(hub.c.boot_epoch).with_for_update(read=True))

_of_these = (among(_i.instance_id, "ids"), _i.placement == literal_column("'dedicated'"))
_WITH_PROCESS = Statement(update(instances).where(*_of_these, _i.resident.is_(False)).values(resident=true()))
_WITHOUT_PROCESS = Statement(
    update(instances)
    .where(*_of_these, _i.resident.is_(True))
    .values(resident=false(), next_due=due_without_process(_i.next_due))
)
_RECOVERY = Statement(
    update(instances)
    .where(_i.instance_id == text("instance_id"))
    .values(recoveries=_i.recoveries + _one)
    .returning(_i.recoveries)
)

_WHY = Statement(
    update(instances)
    .where(_i.instance_id == text("instance_id"), _i.completed_at.is_(None))
    .values(waiting_reason=text("reason"))
)

_FINISHED = Statement(
    select(_i.instance_id, _i.placement, _i.host, _i.name, _i.status)
    .where(among(_i.instance_id, "ids"), _i.completed_at.is_not(None))
    .order_by(_i.instance_id)
    .with_for_update()
)
_OWNED = tuple(
    Statement(delete(table).where(among(table.c.instance_id, "ids")))
    for table in (inbox, history, tags, inputs, instances)
)
#: An epoch that was given out must not be given out again, or a zombie could pass for the owner.
_RAISE_FLOOR = Statement(
    update(hub)
    .values(lease_floor=select(func.max(leases.c.epoch)).where(among(leases.c.host, "hosts")).scalar_subquery())
    .where(hub.c.lease_floor < select(func.max(leases.c.epoch)).where(among(leases.c.host, "hosts")).scalar_subquery())
)
_DROP_LEASES = Statement(delete(leases).where(among(leases.c.host, "hosts")))
_FORGET = Statement(
    delete(receipts).where(
        receipts.c.request_id.in_(
            select(receipts.c.request_id)
            .where(receipts.c.expires < number("before"))
            .order_by(receipts.c.expires)
            .limit(number("limit"))
        )
    )
)
_EXPIRED = Statement(
    select(_i.instance_id).where(_i.expires <= number("now")).order_by(_i.expires).limit(number("limit"))
)

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
            raise HubInUse(owner.address if owner else "unknown", owner.heartbeat if owner else 0)

        def body(session: Session) -> HubRow:
            found = _hub_row(session.one(_HUB))
            if found is None:
                session.run(_FOUND, name=name, partitions=partitions, settings=settings)
            elif found.name != name:
                raise StoreUnusable(
                    f"this store belongs to the hub {found.name!r}, not to {name!r}; each hub has a store of its own"
                )
            if found is None or found.cluster != cluster:
                session.run(_NEW_BOOT, cluster=cluster)
                session.run(_FENCE_ALL)
            session.run(_ADDRESS, address=address, now=now, protocol=PROTOCOL)
            row = _hub_row(session.one(_HUB))
            assert row is not None
            return row

        row = self._database.write(body)
        self._owned = (row.cluster, row.boot_epoch)
        return row

    def hub(self) -> HubRow | None:
        """The hub's row, if the hub was ever booted."""
        with self._database.read() as session:
            return _hub_row(session.one(_HUB))

    def heartbeat(self, now: int) -> None:
        """Say that the owner is alive. Raises Fenced if it is the owner no longer."""
        if self._owned is None:
            raise StoreError("only the owner of the hub has a heartbeat; call acquire_hub first")
        cluster, boot_epoch = self._owned
        if not self._database.owns():
            raise Fenced("the hub's lock was lost and taken by another process; this one must exit")
        changed = self._database.write(
            lambda session: session.run(_HEARTBEAT, cluster=cluster, boot_epoch=boot_epoch, now=now)
        )
        if not changed:
            raise Fenced("the hub was booted by another cluster; this process must exit")

    def acquire_lease(self, host: str, boot_epoch: int | None = None) -> Fence:
        """Become the owner of `host`. With `boot_epoch`, only in that boot: a host of a cluster that was replaced
        is Fenced."""

        def body(session: Session) -> Fence:
            boot = session.one(_BOOT)
            booted = int(boot[0]) if boot else 0
            if boot_epoch is not None and boot_epoch != booted:
                raise Fenced(f"the hub was booted anew (boot {booted}, not {boot_epoch}); this process must exit")
            lease = session.one(_LEASE, host=host)
            assert lease is not None
            return Fence(host, int(lease[0]), booted)

        return self._database.write(body)

    # --- processes --------------------------------------------------------------------------------
    def mark_resident(self, instance_ids: Sequence[str], resident: bool = True) -> None:
        """These dedicated instances are (being) given a process, or have lost it."""
        statement = _WITH_PROCESS if resident else _WITHOUT_PROCESS
        if instance_ids:
            self._database.write(lambda session: session.run(statement, ids=session.list(instance_ids)))

    def note_recovery(self, instance_id: str) -> int:
        """Count one more crash while this instance had a turn; 0 if there is no such instance."""
        row = self._database.write(lambda session: session.one(_RECOVERY, instance_id=instance_id))
        return 0 if row is None else int(row[0])

    def set_waiting_reason(self, instance_id: str, reason: str | None) -> None:
        """Say why a live instance makes no progress although it could; a committed turn clears it."""
        self._database.write(lambda session: session.run(_WHY, instance_id=instance_id, reason=reason))

    # --- letting go -------------------------------------------------------------------------------
    def purge(self, instance_ids: Sequence[str]) -> int:
        """Delete finished instances with all they own; returns how many there were."""
        ids = list(dict.fromkeys(instance_ids))
        batches = [ids[at : at + _PURGE_BATCH] for at in range(0, len(ids), _PURGE_BATCH)]
        return sum(self._database.write(partial(_purge, instance_ids=batch)) for batch in batches)

    def expired(self, now: int, limit: int) -> tuple[str, ...]:
        """Finished instances whose time to be kept is over, longest over first."""
        with self._database.read() as session:
            return tuple(row[0] for row in session.all(_EXPIRED, now=now, limit=limit))

    def forget_receipts(self, before: int, limit: int) -> int:
        """Drop receipts that expired before `before`, at most `limit`; returns how many."""
        return self._database.write(lambda session: session.run(_FORGET, before=before, limit=limit))


def _hub_row(row: Row | None) -> HubRow | None:
    return None if row is None or row[1] == 0 else HubRow(*row)


def _purge(session: Session, instance_ids: Sequence[str]) -> int:
    found = session.all(_FINISHED, ids=session.list(instance_ids))
    if not found:
        return 0
    gone = session.list(row[0] for row in found)
    for statement in _OWNED:
        session.run(statement, ids=gone)
    hosts = [host for _, placement, host, _, _ in found if placement == "dedicated"]
    if hosts:
        session.run(_RAISE_FLOOR, hosts=session.list(hosts))
        session.run(_DROP_LEASES, hosts=session.list(hosts))
    counts: dict[tuple[str, str, str], int] = {}
    for _, placement, host, name, status in found:
        key = (host if placement == "shared" else "", name, status)
        counts[key] = counts.get(key, 0) - 1
    session.each(COUNT, [{"host": h, "name": m, "status": s, "n": n} for (h, m, s), n in sorted(counts.items())])
    return len(found)
