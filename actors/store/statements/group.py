"""What a group of writes asks before it decides, and what it records beside its changes."""

from __future__ import annotations

from sqlalchemy import exists, select, true
from sqlalchemy.dialects.postgresql import insert

from durable_ray.actors.store.schema import counters, hub, inbox, instances, leases, receipts
from durable_ray.actors.store.statements.core import among, number, text

_i = instances.c

#: Who owns a host now. The lease is locked for the transaction; the hub's row is only read, for a new boot changes
#: every lease too.
FENCE = (
    select(leases.c.epoch, hub.c.boot_epoch, hub.c.definitions_revision)
    .select_from(leases.join(hub, true()))
    .where(leases.c.host == text("host"))
    .with_for_update(read=True, of=leases)
)
REVISION = select(hub.c.definitions_revision)

#: What a decision needs of an instance, in the order of `known.Known`.
KNOWN = (
    select(
        _i.instance_id,
        _i.execution_id,
        _i.name,
        _i.placement,
        _i.host,
        _i.resident,
        _i.status,
        _i.turn,
        _i.parent_id,
        _i.created_at,
    )
    .where(among(_i.instance_id, "ids"))
    .order_by(_i.instance_id)  # everybody locks in one order, so nobody waits in a circle
    .with_for_update(key_share=True)
)
HAS_MAIL = select(exists().where(inbox.c.instance_id == text("instance_id")))

RECORD = (
    insert(receipts)
    .values(request_id=text("request_id"), outcome=text("outcome"), expires=number("expires"))
    .on_conflict_do_nothing(index_elements=["request_id"])
)

_counted = insert(counters).values(host=text("host"), name=text("name"), status=text("status"), n=number("n"))
COUNT = _counted.on_conflict_do_update(
    index_elements=["host", "name", "status"], set_={"n": counters.c.n + _counted.excluded.n}
)
