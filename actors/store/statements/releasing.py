"""Held instances of a name: how many run beside them, who is first, and letting them begin."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, case, func, literal_column, null, or_, select, update

from durable_ray.actors.held import HELD
from durable_ray.actors.store.schema import counters, instances
from durable_ray.actors.store.statements.core import among, number, text

_i = instances.c
_held: ColumnElement[int] = literal_column(str(HELD))
# The index on statuses finds the pending ones of all names: they are fewer than all that ever had this name.
_pending = and_(_i.status == literal_column("'Pending'"), _i.name == text("name"))

LET_IN = select(func.count()).select_from(instances).where(_pending, or_(_i.start_at.is_(None), _i.start_at < _held))
RUNNING = select(func.sum(counters.c.n)).where(
    counters.c.name == text("name"),
    counters.c.status.in_([literal_column("'Running'"), literal_column("'Suspended'")]),
)
#: Suspended before they were let in: they are no more than those that wait, whatever the counters say.
HELD_BACK = (
    select(func.count())
    .select_from(instances)
    .where(_i.status == literal_column("'Suspended'"), _i.name == text("name"), _i.start_at >= _held)
)
NEXT = (
    select(_i.instance_id)
    .where(_pending, _i.start_at >= _held, _i.start_at <= number("until"))
    .order_by(_i.priority.desc(), _i.created_at, _i.instance_id)
    .limit(number("room"))
)
BEGIN = (
    update(instances)
    .where(among(_i.instance_id, "ids"), _i.turn == literal_column("0"), _i.start_at >= _held)
    .values(
        start_at=case((_i.start_at == _held, null()), else_=_i.start_at - _held),
        next_due=number("now"),
    )
    .returning(_i.host, _i.instance_id)
)
