"""Permits of limited activities: a row for as long as its attempt waits or runs."""

from __future__ import annotations

from sqlalchemy import ColumnElement, delete, exists, false, func, literal_column, select, true, update
from sqlalchemy.dialects.postgresql import insert

from durable_ray.actors.store.schema import instances, permits
from durable_ray.actors.store.statements.core import among, number, text

_i = instances.c
_p = permits.c
_of_name = _p.name == text("name")
_serial: ColumnElement[int] = _p.row
_granted: ColumnElement[bool] = _p.granted.is_(True)
_waiting: ColumnElement[bool] = _p.granted.is_(False)
_columns = (_p.name, _p.host, _p.instance_id, _p.execution_id, _p.task_id, _p.attempt, _p.priority)

RETURN = delete(permits).where(
    _p.instance_id == text("instance_id"),
    _p.execution_id == text("execution_id"),
    _p.task_id == number("task_id"),
    _p.attempt == number("attempt"),
)
ASK = (
    insert(permits)
    .values(
        name=text("name"),
        host=text("host"),
        instance_id=text("instance_id"),
        execution_id=text("execution_id"),
        task_id=number("task_id"),
        attempt=number("attempt"),
        priority=number("priority"),
        granted=false(),
    )
    .on_conflict_do_nothing(index_elements=["instance_id", "execution_id", "task_id", "attempt"])
)
RUNNING = select(func.count()).select_from(permits).where(_of_name, _granted)
_next = (
    select(_serial)
    .where(_of_name, _waiting)
    .order_by(_p.priority.desc(), _serial)
    .limit(number("room"))
    .scalar_subquery()
)
GRANT = update(permits).where(_serial.in_(_next)).values(granted=true()).returning(*_columns)
GRANTED = select(*_columns).where(_p.host == text("host"), _granted, among(_p.instance_id, "ids"))
OF_HOST = select(*_columns, _p.granted).where(_p.host == text("host")).order_by(_serial)
HOLDERS = select(_p.host, _p.name).distinct().order_by(_p.host, _p.name)
_under_way = exists(
    select(literal_column("1")).where(
        _i.instance_id == _p.instance_id, _i.host == _p.host, _i.outstanding > literal_column("0")
    )
)
FORGET = delete(permits).where(among(_p.host, "hosts"), ~_under_way)

#: PostgreSQL lets two transactions count at once; SQLite has one writer anyway. The number is this project's.
ALONE = {"postgresql": (select(func.pg_advisory_xact_lock(literal_column("1146181965"), func.hashtext(text("name")))))}
