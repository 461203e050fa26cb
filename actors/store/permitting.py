"""Permits of limited activities: who may run and who waits, changed in one transaction whoever asks.

A permit is a row for as long as its attempt waits or runs, so it outlives whoever asked for it: nobody has to be told
again after a crash, and nobody counts in memory. Whoever gives one back lets in those who are next, of any host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from operator import attrgetter

from sqlalchemy import ColumnElement, delete, false, func, literal_column, select, true, update
from sqlalchemy.dialects.postgresql import insert

from durable_ray.actors.store.commits import assert_fence
from durable_ray.actors.store.database import Database
from durable_ray.actors.store.records import Fence, Permit
from durable_ray.actors.store.schema import permits
from durable_ray.actors.store.sql import Row, Session, Statement, among, number, text

_p = permits.c
_of_name = _p.name == text("name")
_serial: ColumnElement[int] = _p.row
_granted: ColumnElement[bool] = _p.granted.is_(True)
_waiting: ColumnElement[bool] = _p.granted.is_(False)
_columns = (_p.name, _p.host, _p.instance_id, _p.execution_id, _p.task_id, _p.attempt, _p.priority)

_ADDRESS = ("instance_id", "execution_id", "task_id", "attempt")
_address = attrgetter(*_ADDRESS)
_RETURN = Statement(
    delete(permits).where(
        _p.instance_id == text("instance_id"),
        _p.execution_id == text("execution_id"),
        _p.task_id == number("task_id"),
        _p.attempt == number("attempt"),
    )
)
_ASK = Statement(
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
    .on_conflict_do_nothing(index_elements=_ADDRESS)
)
_RUNNING = Statement(select(func.count()).select_from(permits).where(_of_name, _granted))
_NEXT = (
    select(_serial)
    .where(_of_name, _waiting)
    .order_by(_p.priority.desc(), _serial)
    .limit(number("room"))
    .scalar_subquery()
)
_GRANT = Statement(update(permits).where(_serial.in_(_NEXT)).values(granted=true()).returning(*_columns))
_GRANTED = Statement(select(*_columns).where(_p.host == text("host"), _granted, among(_p.instance_id, "ids")))
_OF_HOST = Statement(select(*_columns, _p.granted).where(_p.host == text("host")).order_by(_serial))
_HOLDERS = Statement(select(_p.host, _p.name).distinct().order_by(_p.host, _p.name))
_FORGET = Statement(delete(permits).where(among(_p.host, "hosts")))

#: PostgreSQL lets two transactions count at once; SQLite has one writer anyway. The number is this project's.
_ALONE = {
    "postgresql": Statement(
        select(func.pg_advisory_xact_lock(literal_column("1146181965"), func.hashtext(text("name"))))
    )
}


class Permitting:
    """Asks for, grants and takes back permits."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def permit(
        self, fence: Fence | None, asked: Sequence[Permit], returned: Sequence[Permit], limits: Mapping[str, int]
    ) -> tuple[Permit, ...]:
        """Exchange permits; see the contract."""
        dialect = self._database.dialect.name

        def body(session: Session) -> tuple[Permit, ...]:
            assert_fence(session, fence)
            if dialect in _ALONE:
                for name in sorted(limits):
                    session.one(_ALONE[dialect], name=name)
            if returned:
                session.each(_RETURN, returned)
            if asked:
                session.each(_ASK, asked)
            granted = [Permit(*row) for name in sorted(limits) for row in _grant(session, name, limits[name])]
            if asked:
                ids = session.list(sorted({permit.instance_id for permit in asked}))
                before = [Permit(*row) for row in session.all(_GRANTED, host=asked[0].host, ids=ids)]
                wanted = {_address(permit) for permit in asked}
                granted += [permit for permit in before if _address(permit) in wanted]
            return tuple(dict.fromkeys(granted))

        return self._database.write(body)

    def permits(self, host: str) -> tuple[tuple[Permit, bool], ...]:
        """(permit, whether it is granted) of all that this host has asked for, oldest first."""
        with self._database.read() as session:
            return tuple((Permit(*row[:-1]), bool(row[-1])) for row in session.all(_OF_HOST, host=host))

    def permit_holders(self) -> tuple[tuple[str, str], ...]:
        """(host, name) of whatever runs or waits under a limit."""
        with self._database.read() as session:
            return tuple((row[0], row[1]) for row in session.all(_HOLDERS))

    def forget_permits(self, hosts: Sequence[str]) -> None:
        """These hosts have no process and will have none: nobody runs what they asked for."""
        if hosts:
            self._database.write(partial(_forget, hosts=hosts))


def _grant(session: Session, name: str, limit: int) -> list[Row]:
    """Let in the first of those that wait, as many as there is room for."""
    running = session.one(_RUNNING, name=name)
    room = limit - (int(running[0]) if running else 0)
    return session.all(_GRANT, name=name, room=room) if room > 0 else []


def _forget(session: Session, hosts: Sequence[str]) -> None:
    session.run(_FORGET, hosts=session.list(hosts))
