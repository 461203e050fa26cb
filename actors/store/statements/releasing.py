"""Held instances of a name: how many places beside them are taken, who is first, and letting them begin."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, case, func, literal_column, null, or_, select, update

from durable_ray.actors.held import HELD
from durable_ray.actors.store.schema import counters, instances
from durable_ray.actors.store.statements.core import among, number, text

_i = instances.c
_held: ColumnElement[int] = literal_column(str(HELD))
# The index on statuses finds the pending ones of all names: they are fewer than all that ever had this name.
_pending = and_(_i.status == literal_column("'Pending'"), _i.name == text("name"))

_let_in = (
    select(func.count())
    .select_from(instances)
    .where(_pending, or_(_i.start_at.is_(None), _i.start_at < _held))
    .scalar_subquery()
)
_running = (
    select(func.coalesce(func.sum(counters.c.n), literal_column("0")))
    .where(
        counters.c.name == text("name"),
        counters.c.status.in_([literal_column("'Running'"), literal_column("'Suspended'")]),
    )
    .scalar_subquery()
)
#: Suspended before they were let in: they are no more than those that wait, whatever the counters say.
_held_back = (
    select(func.count())
    .select_from(instances)
    .where(_i.status == literal_column("'Suspended'"), _i.name == text("name"), _i.start_at >= _held)
    .scalar_subquery()
)
#: In one statement, for in PostgreSQL each of several would count at another moment: one that is suspended between two of
#: them would be taken off without having been counted.
TAKEN = select(_let_in + _running - _held_back)
#: Nobody else lets in instances of this name until this transaction ends, or both would give away the same places. SQLite
#: has one writer anyway. The number is this project's.
ALONE = {"postgresql": select(func.pg_advisory_xact_lock(literal_column("1146181966"), func.hashtext(text("name"))))}
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
