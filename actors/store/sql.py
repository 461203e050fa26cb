"""Statements as text, run on the driver itself. Their texts are written in `statements` and kept in `texts`.

A commit runs half a dozen statements hundreds of times a second; going through an SQLAlchemy connection costs more
than the statements do. And a process that hosts one instance would spend a third of its start on importing it. So
Core is used for what it is best at (one text for each database) before anything runs, and here there are texts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter, itemgetter
from typing import Any, Literal, Protocol

import msgspec

#: A row as the driver gives it.
Row = tuple[Any, ...]

#: The databases for which there are texts.
Dialect = Literal["sqlite", "postgresql"]


class Cursor(Protocol):
    """What both drivers' cursors can do."""

    rowcount: int

    def execute(self, operation: Any, parameters: Any = ..., /) -> Any: ...
    def executemany(self, operation: Any, parameters: Any, /) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def fetchone(self) -> Any: ...


class Statement:
    """A statement's text for each database, and how to pick its parameters out of a mapping or an object.

    `names` are its parameters in the order of their places. A database without a text is one that never runs it.

    Example:
        >>> Statement(("host",), sqlite="SELECT epoch FROM leases WHERE host = ?").from_items({"host": "p0"})
        ('p0',)
    """

    __slots__ = ("from_items", "from_object", "names", "postgresql", "sqlite")

    def __init__(self, names: tuple[str, ...] = (), *, sqlite: str = "", postgresql: str = "") -> None:
        self.names = names
        self.sqlite = sqlite
        self.postgresql = postgresql
        self.from_items = _picker(names, itemgetter)
        self.from_object = _picker(names, attrgetter)


def _picker(names: tuple[str, ...], getter: Callable[..., Callable[[Any], Any]]) -> Callable[[Any], Row]:
    """A function that makes the tuple of parameters."""
    if len(names) > 1:
        return getter(*names)  # in C: this runs for every row of every commit
    if names:
        get = getter(*names)
        return lambda source: (get(source),)
    return lambda source: ()


class Session:
    """A driver's cursor that runs statements. Opening, ending and retrying transactions is the database's business."""

    __slots__ = ("_cursor", "cannot_hold", "dialect")

    def __init__(self, cursor: Cursor, dialect: Dialect, cannot_hold: Callable[[Exception], bool]) -> None:
        self._cursor = cursor
        self.dialect: Dialect = dialect
        #: Whether an error of this session says that the database cannot hold a value.
        self.cannot_hold = cannot_hold

    def all(self, statement: Statement, **params: Any) -> list[Row]:
        """Every row of a query."""
        self._cursor.execute(getattr(statement, self.dialect), statement.from_items(params))
        return self._cursor.fetchall()

    def one(self, statement: Statement, **params: Any) -> Row | None:
        """The first row of a query (or of what a change returns), if there is one."""
        self._cursor.execute(getattr(statement, self.dialect), statement.from_items(params))
        row: Row | None = self._cursor.fetchone()
        return row

    def run(self, statement: Statement, **params: Any) -> int:
        """Make a change; the number of rows it touched."""
        self._cursor.execute(getattr(statement, self.dialect), statement.from_items(params))
        return self._cursor.rowcount

    def each(self, statement: Statement, sources: Sequence[Any]) -> int:
        """Make a change once for each source (a dict, or an object with attributes of the bind names), in order."""
        sql = getattr(statement, self.dialect)
        pick = statement.from_items if isinstance(sources[0], dict) else statement.from_object
        if len(sources) == 1:
            self._cursor.execute(sql, pick(sources[0]))
        else:
            self._cursor.executemany(sql, [pick(source) for source in sources])
        return self._cursor.rowcount

    def plain(self, sql: str) -> None:
        """Run a command that is the same everywhere (a savepoint)."""
        self._cursor.execute(sql)

    def list(self, values: Iterable[str]) -> Any:
        """Values for the parameter of `among`."""
        return _json_list(list(values)) if self.dialect == "sqlite" else list(values)


def _json_list(values: list[str]) -> str:
    try:
        return msgspec.json.encode(values).decode()
    except (UnicodeEncodeError, TypeError):  # half a surrogate pair, which names no row; a text of a derived class
        return json.dumps(values)
