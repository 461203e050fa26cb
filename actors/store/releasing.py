"""Letting held instances begin: as many as there is room for, counted and let in within one transaction."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, case, func, literal_column, null, or_, select, update

from durable_ray.actors.held import HELD
from durable_ray.actors.store.database import Database
from durable_ray.actors.store.schema import counters, instances
from durable_ray.actors.store.sql import Session, Statement, among, number, text

_i = instances.c
_held: ColumnElement[int] = literal_column(str(HELD))
# The index on statuses finds the pending ones of all names: they are fewer than all that ever had this name.
_pending = and_(_i.status == literal_column("'Pending'"), _i.name == text("name"))

_LET_IN = Statement(
    select(func.count()).select_from(instances).where(_pending, or_(_i.start_at.is_(None), _i.start_at < _held))
)
_RUNNING = Statement(
    select(func.sum(counters.c.n)).where(
        counters.c.name == text("name"),
        counters.c.status.in_([literal_column("'Running'"), literal_column("'Suspended'")]),
    )
)
#: Suspended before they were let in: they are no more than those that wait, whatever the counters say.
_HELD_BACK = Statement(
    select(func.count())
    .select_from(instances)
    .where(_i.status == literal_column("'Suspended'"), _i.name == text("name"), _i.start_at >= _held)
)
_NEXT = Statement(
    select(_i.instance_id)
    .where(_pending, _i.start_at >= _held, _i.start_at <= number("until"))
    .order_by(_i.priority.desc(), _i.created_at, _i.instance_id)
    .limit(number("room"))
)
_BEGIN = Statement(
    update(instances)
    .where(among(_i.instance_id, "ids"), _i.turn == literal_column("0"), _i.start_at >= _held)
    .values(
        start_at=case((_i.start_at == _held, null()), else_=_i.start_at - _held),
        next_due=number("now"),
    )
    .returning(_i.host, _i.instance_id)
)


class Releasing:
    """Who is held, and who is let in."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def release(self, name: str, limit: int, now: int) -> tuple[tuple[str, str], ...]:
        """Let the first held instances of a name begin; see the contract."""

        def body(session: Session) -> tuple[tuple[str, str], ...]:
            busy = (session.one(_LET_IN, name=name), session.one(_RUNNING, name=name))
            free = limit - sum(int(row[0]) for row in busy if row is not None and row[0] is not None)
            held_back = session.one(_HELD_BACK, name=name)
            free += int(held_back[0]) if held_back else 0
            if free < 1:
                return ()
            chosen = [row[0] for row in session.all(_NEXT, name=name, until=HELD + now, room=free)]
            if not chosen:
                return ()
            return tuple((row[0], row[1]) for row in session.all(_BEGIN, ids=session.list(chosen), now=now))

        return self._database.write(body)
