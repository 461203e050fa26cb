"""Schedules: the registry's rows, found by ID, by when they are due, and by whether runs of theirs are under way.

A row is written with the starts that it decides (`group.py`), by the registry alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from durable_ray.actors.store.databases.database import Database
from durable_ray.actors.store.records import ScheduleRow
from durable_ray.actors.store.sql.statement import Session, Statement

_COLUMNS = ScheduleRow.__struct_fields__
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM schedules"

UPSERT = Statement(
    f"INSERT INTO schedules ({', '.join(_COLUMNS)}) VALUES ({', '.join(f':{name}' for name in _COLUMNS)})"
    " ON CONFLICT (schedule_id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS if name != "schedule_id")
)
BY_ID = Statement(f"{_SELECT} WHERE schedule_id IN (:ids)")
DUE = Statement(f"{_SELECT} WHERE due <= :until ORDER BY due, schedule_id LIMIT :limit")
NEXT = Statement("SELECT due FROM schedules WHERE due IS NOT NULL ORDER BY due LIMIT 1")
RUNNING = Statement(f"{_SELECT} WHERE under_way > 0 AND schedule_id > :after ORDER BY schedule_id LIMIT :limit")
PAGE = Statement(
    f"{_SELECT} WHERE schedule_id >= :first AND schedule_id > :after AND status <> 'deleted'"
    " ORDER BY schedule_id LIMIT :limit"
)
DELETE = Statement("DELETE FROM schedules WHERE schedule_id = :schedule_id")


class SqlSchedules:
    """Rows of schedules."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def schedules(self, schedule_ids: Sequence[str]) -> Mapping[str, ScheduleRow]:
        """The schedules of these IDs. Absent ones are absent."""
        with self._database.read() as session:
            return {row[0]: ScheduleRow(*row) for row in session.all(BY_ID, ids=session.list(schedule_ids))}

    def schedules_due(self, until: int, limit: int) -> tuple[ScheduleRow, ...]:
        """The schedules due up to `until`, soonest first."""
        with self._database.read() as session:
            return tuple(ScheduleRow(*row) for row in session.all(DUE, until=until, limit=limit))

    def schedule_next(self) -> int | None:
        """When the first schedule is due."""
        with self._database.read() as session:
            row = session.one(NEXT)
        return None if row is None else int(row[0])

    def schedules_running(self, after: str, limit: int) -> tuple[ScheduleRow, ...]:
        """The schedules with runs under way, by ID."""
        with self._database.read() as session:
            return tuple(ScheduleRow(*row) for row in session.all(RUNNING, after=after, limit=limit))

    def schedules_page(self, first: str, after: str, limit: int) -> tuple[ScheduleRow, ...]:
        """The schedules from ID `first`, later than `after`, by ID, without those of which only a declaration is left."""
        with self._database.read() as session:
            return tuple(ScheduleRow(*row) for row in session.all(PAGE, first=first, after=after, limit=limit))

    def delete_schedule(self, schedule_id: str) -> bool:
        """Delete a schedule; its runs go on."""

        def body(session: Session) -> bool:
            return session.run(DELETE, schedule_id=schedule_id) > 0

        return self._database.write(body)
