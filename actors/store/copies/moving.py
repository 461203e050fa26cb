"""Moving a hub's store to another database: SQLite to PostgreSQL, or back: all rows, in one transaction.

The one who moves owns the source as a hub would, which fences every host that still has it open; and the source says afterwards
that it was moved, so that no hub goes on there as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from durable_ray.actors.store.contract import StoreError, StoreUnusable
from durable_ray.actors.store.databases.database import Unholdable
from durable_ray.actors.store.databases.revision import MOVED
from durable_ray.actors.store.databases.schema import metadata
from durable_ray.actors.store.opening import SqlStore, open_store
from durable_ray.actors.store.sql.statement import Row, Session, Statement
from durable_ray.actors.store.urls import shown_url

_BATCH = 1000
_MOVER = "durable-ray migrate-store"

_EMPTY = Statement("""
    SELECT (SELECT count(*) FROM instances) + (SELECT count(*) FROM definitions) + (SELECT count(*) FROM schedules)
        + (SELECT boot_epoch FROM hub)
    """)
_FORGET_HUB = Statement("DELETE FROM hub")
_OWNED_BY_NOBODY = Statement("UPDATE hub SET cluster = ''")
_SAY_MOVED = Statement("UPDATE durable_ray_version SET version_num = :moved")
#: The last number that was given to a row: none is given twice, also after the newest was consumed.
_LAST = {
    "sqlite": "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = '{0}'), 0)",
    "postgresql": "SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('{0}', 'row')::regclass), 0)",
}
_SET_LAST = {
    "sqlite": (
        "DELETE FROM sqlite_sequence WHERE name = '{0}'",
        "INSERT INTO sqlite_sequence (name, seq) VALUES ('{0}', {1})",
    ),
    "postgresql": ("SELECT setval(pg_get_serial_sequence('{0}', 'row'), {1})",),
}
_NUMBERED = ("inbox", "permits")


class MovedStore(Struct, frozen=True):
    """What was moved: rows by table."""

    rows: dict[str, int]

    @property
    def instances(self) -> int:
        """How many instances."""
        return self.rows["instances"]


class _Copied(Struct):
    """How one table is read in pages by its key, and written."""

    name: str
    columns: tuple[str, ...]
    key: tuple[int, ...]
    flags: tuple[int, ...]
    first: Statement
    more: Statement
    insert: Statement


def move(source: str, target: str) -> MovedStore:
    """Move the store at `source` to `target`, where none may be. The hub must be stopped.

    Args:
        source: its URL; it says afterwards that it was moved, and no hub opens it.
        target: URL of an empty PostgreSQL database (or schema), or of a SQLite file that is not there.

    Raises:
        HubInUse: a hub works on `source`.
        StoreUnusable: there is no store at `source`, or one at `target`; nothing was moved.

    Example:
        >>> move("sqlite:////var/lib/hub.db", "postgresql://db.example/hub").instances  # doctest: +SKIP
        812
    """
    old = open_store(source, create=False)
    assert isinstance(old, SqlStore)
    try:
        hub = old.hub()
        if hub is None:
            raise StoreUnusable(f"no hub ever owned {shown_url(source)}, so there is nothing to move")
        old.acquire_hub(hub.name, _MOVER, _MOVER, hub.heartbeat, hub.partitions, hub.settings)
        new = open_store(target)
        assert isinstance(new, SqlStore)
        try:
            moved = _move(old, new, shown_url(target))
        finally:
            new.close()
        old.database.write(lambda session: session.run(_SAY_MOVED, moved=MOVED))
        return moved
    finally:
        old.close()


def _move(old: SqlStore, new: SqlStore, where: str) -> MovedStore:
    def copy(to: Session) -> MovedStore:
        found = to.one(_EMPTY)
        if found is None or found[0]:
            raise StoreUnusable(f"there is a store with contents at {where} already; nothing was moved")
        to.run(_FORGET_HUB)
        with old.database.read() as of:
            rows = {table.name: _copy(of, to, table) for table in _tables()}
            for name in _NUMBERED:
                last = of.one(Statement(_LAST[of.dialect].format(name)))
                if last is not None and last[0]:
                    for text in _SET_LAST[to.dialect]:
                        to.plain(text.format(name, int(last[0])))
        to.run(_OWNED_BY_NOBODY)
        return MovedStore(rows)

    try:
        return new.database.write(copy, long=True)
    except Unholdable as error:
        raise StoreError(f"the other database cannot hold all of it, and nothing was moved: {error}") from error


def all_rows(session: Session) -> Iterator[tuple[str, list[Row]]]:
    """(table, its rows in the order of its key) of every table: the same from any database."""
    for table in _tables():
        yield table.name, [_as_flags(row, table) for page in _pages(session, table) for row in page]


def _copy(of: Session, to: Session, table: _Copied) -> int:
    number = 0
    for page in _pages(of, table):
        to.each(table.insert, [dict(zip(table.columns, _as_flags(row, table), strict=True)) for row in page])
        number += len(page)
    return number


def _as_flags(row: Row, table: _Copied) -> Row:
    """A row with booleans, of which SQLite makes numbers."""
    return tuple([bool(value) if at in table.flags else value for at, value in enumerate(row)])


def _pages(of: Session, table: _Copied) -> Iterator[list[Row]]:
    page = of.all(table.first, limit=_BATCH)
    while page:
        yield page
        last: dict[str, Any] = {f"after{place}": page[-1][at] for place, at in enumerate(table.key)}
        page = of.all(table.more, limit=_BATCH, **last)


def _tables() -> Iterator[_Copied]:
    for table in metadata.sorted_tables:
        columns = tuple(column.name for column in table.columns)
        key = tuple(columns.index(column.name) for column in table.primary_key.columns)
        names = ", ".join(f'"{name}"' for name in columns)
        by = ", ".join(f'"{columns[at]}"' for at in key)
        after = ", ".join(f":after{place}" for place in range(len(key)))
        select = f"SELECT {names} FROM {table.name}"
        yield _Copied(
            table.name,
            columns,
            key,
            tuple(at for at, column in enumerate(table.columns) if column.type.python_type is bool),
            Statement(f"{select} ORDER BY {by} LIMIT :limit"),
            Statement(f"{select} WHERE ({by}) > ({after}) ORDER BY {by} LIMIT :limit"),
            Statement(f"INSERT INTO {table.name} ({names}) VALUES ({', '.join(f':{name}' for name in columns)})"),
        )
