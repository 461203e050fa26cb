"""Finding work: what a host must load, what comes due, who has mail, who waits for a process."""

from __future__ import annotations

from sqlalchemy import and_, literal_column, or_, select, union

from durable_ray.actors.store.schema import counters, inbox, instances
from durable_ray.actors.store.statements.core import number, text
from durable_ray.actors.store.statements.rowing import whole

_i = instances.c
_live = _i.completed_at.is_(None)
_dedicated = _i.placement == literal_column("'dedicated'")
_due = _i.next_due <= number("until")
_mail_of_host = and_(
    inbox.c.placement.in_([literal_column("'dedicated'"), literal_column("'shared'")]), inbox.c.host == text("host")
)

UNFINISHED = (
    whole()
    .where(_i.host == text("host"), _live, _i.instance_id > text("after"))
    .order_by(_i.instance_id)
    .limit(number("limit"))
)

DUE = (
    select(_i.instance_id, _i.next_due)
    .where(_i.host == text("host"), _due)
    .order_by(_i.next_due)
    .limit(number("limit"))
)

#: Outstanding activities have no index (every turn would pay for it): a fresh process reads through its live rows once.
REVIVE = union(
    select(_i.instance_id).where(_i.host == text("host"), _live, or_(_i.outstanding > literal_column("0"), _due)),
    select(inbox.c.instance_id).where(_mail_of_host),
)

MAIL = select(inbox.c.instance_id).where(_mail_of_host).distinct().limit(number("limit"))

#: Hosts whose counters say that something runs; or with mail; or, of those with pending instances, those with one due.
BUSY_HOSTS = union(
    select(counters.c.host).where(
        counters.c.n > literal_column("0"),
        counters.c.host != literal_column("''"),
        counters.c.status.in_([literal_column("'Running'"), literal_column("'Suspended'")]),
    ),
    select(inbox.c.host).where(inbox.c.placement == literal_column("'shared'")),
)
PENDING_HOSTS = (
    select(counters.c.host)
    .where(
        counters.c.n > literal_column("0"),
        counters.c.host != literal_column("''"),
        counters.c.status == literal_column("'Pending'"),
    )
    .distinct()
)

#: In order of admission: of the unstarted an index gives the first ones; the others are few, for they are soon woken.
UNSTARTED = (
    select(_i.instance_id, _i.priority, _i.created_at)
    .where(_dedicated, _i.status == literal_column("'Pending'"), _i.resident.is_(False), _due)
    .order_by(_i.priority.desc(), _i.created_at, _i.instance_id)
    .limit(number("limit"))
    .with_hint(instances, "INDEXED BY ix_instances_admission", "sqlite")
)
WOKEN = union(
    select(_i.instance_id, _i.priority, _i.created_at).where(
        _dedicated, _due, _i.status != literal_column("'Pending'"), _i.resident.is_(False)
    ),
    select(_i.instance_id, _i.priority, _i.created_at)
    .select_from(inbox.join(instances, _i.instance_id == inbox.c.instance_id))
    # Before its time an instance takes no message: it would get a process for nothing.
    .where(
        inbox.c.placement == literal_column("'dedicated'"),
        _i.resident.is_(False),
        or_(_i.turn > literal_column("0"), _due),
    ),
)

NEXT = (
    select(_i.next_due)
    .where(_dedicated, _i.next_due > number("after"), _i.resident.is_(False))
    .order_by(_i.next_due)
    .limit(number("limit"))
)

RESIDENTS = (
    select(_i.instance_id)
    .where(_dedicated, literal_column("instances.resident"), _live)  # in the words of its index
    .order_by(_i.instance_id)
    .with_hint(instances, "INDEXED BY ix_instances_resident", "sqlite")
)
