"""Owning the hub and its hosts, marking processes, letting go of what is over."""

from __future__ import annotations

from sqlalchemy import ColumnElement, delete, false, func, literal_column, select, true, update
from sqlalchemy.dialects.postgresql import insert

from durable_ray.actors.store.schema import history, hub, inbox, inputs, instances, leases, permits, receipts, tags
from durable_ray.actors.store.statements.changes import due_without_process
from durable_ray.actors.store.statements.core import among, number, text

_i = instances.c
_one: ColumnElement[int] = literal_column("1")

HUB = select(
    hub.c.name,
    hub.c.boot_epoch,
    hub.c.cluster,
    hub.c.address,
    hub.c.heartbeat,
    hub.c.protocol,
    hub.c.partitions,
    hub.c.settings,
)
FOUND = update(hub).values(
    name=text("name"), partitions=number("partitions"), settings=text("settings"), boot_epoch=literal_column("0")
)
NEW_BOOT = update(hub).values(boot_epoch=hub.c.boot_epoch + _one, cluster=text("cluster"))
#: A new boot fences by this too: an old host's next commit finds another epoch, whatever it read of the hub's row.
FENCE_ALL = update(leases).values(epoch=leases.c.epoch + _one)
ADDRESS = update(hub).values(address=text("address"), heartbeat=number("now"), protocol=number("protocol"))
HEARTBEAT = (
    update(hub)
    .where(hub.c.cluster == text("cluster"), hub.c.boot_epoch == number("boot_epoch"))
    .values(heartbeat=number("now"))
)

_first_epoch = select(hub.c.lease_floor + _one).scalar_subquery()
LEASE = (
    insert(leases)
    .values(host=text("host"), epoch=_first_epoch)
    .on_conflict_do_update(index_elements=["host"], set_={"epoch": leases.c.epoch + _one})
    .returning(leases.c.epoch)
)
#: Shared, so that no new boot comes between reading the boot epoch and taking the lease.
BOOT = select(hub.c.boot_epoch).with_for_update(read=True)

_of_these = (among(_i.instance_id, "ids"), _i.placement == literal_column("'dedicated'"))
WITH_PROCESS = update(instances).where(*_of_these, _i.resident.is_(False)).values(resident=true())
WITHOUT_PROCESS = (
    update(instances)
    .where(*_of_these, _i.resident.is_(True))
    .values(resident=false(), next_due=due_without_process(_i.next_due))
)
RECOVERY = (
    update(instances)
    .where(_i.instance_id == text("instance_id"))
    .values(recoveries=_i.recoveries + _one)
    .returning(_i.recoveries)
)

#: From a partition to a process of its own, with all by which its host is known.
ISOLATE = (
    update(instances)
    .where(
        _i.instance_id == text("instance_id"),
        _i.host == text("host"),
        _i.placement == literal_column("'shared'"),
        _i.completed_at.is_(None),
    )
    .values(
        placement=literal_column("'dedicated'"),
        host=text("own_host"),
        resident=false(),
        next_due=due_without_process(_i.next_due),
    )
    .returning(_i.name, _i.status)
)
ISOLATE_MAIL = (
    update(inbox)
    .where(inbox.c.instance_id == text("instance_id"))
    .values(placement=literal_column("'dedicated'"), host=text("own_host"))
)
ISOLATE_PERMITS = update(permits).where(permits.c.instance_id == text("instance_id")).values(host=text("own_host"))

WHY = (
    update(instances)
    .where(_i.instance_id == text("instance_id"), _i.completed_at.is_(None))
    .values(waiting_reason=text("reason"))
)

FINISHED = (
    select(_i.instance_id, _i.execution_id, _i.turn, _i.placement, _i.host, _i.name, _i.status)
    .where(among(_i.instance_id, "ids"), _i.completed_at.is_not(None))
    .order_by(_i.instance_id)
    .with_for_update()
)
OWNED = tuple(
    delete(table).where(among(table.c.instance_id, "ids")) for table in (inbox, history, tags, inputs, instances)
)
#: An epoch that was given out must not be given out again, or a zombie could pass for the owner.
RAISE_FLOOR = (
    update(hub)
    .values(lease_floor=select(func.max(leases.c.epoch)).where(among(leases.c.host, "hosts")).scalar_subquery())
    .where(hub.c.lease_floor < select(func.max(leases.c.epoch)).where(among(leases.c.host, "hosts")).scalar_subquery())
)
DROP_LEASES = delete(leases).where(among(leases.c.host, "hosts"))
FORGET = delete(receipts).where(
    receipts.c.request_id.in_(
        select(receipts.c.request_id)
        .where(receipts.c.expires < number("before"))
        .order_by(receipts.c.expires)
        .limit(number("limit"))
    )
)
EXPIRED = (
    select(_i.instance_id, _i.execution_id, _i.turn)
    .where(_i.expires <= number("now"))
    .order_by(_i.expires)
    .limit(number("limit"))
)
