"""SQL statements as text, one for both databases, run on the driver itself.

A commit runs half a dozen statements hundreds of times a second, and a process that hosts one instance would spend a
third of its start on importing an SQL toolkit; so there are texts, each beside the function that runs it. A text is
the same for both databases in all but a few words, which `Statement` replaces:

| in the text | SQLite | PostgreSQL |
|---|---|---|
| `:name` | `?` | `%s` |
| `column IN (:names)` | `column IN (SELECT value FROM json_each(?))` | `column = ANY(%s)` |
| `FOR UPDATE`, `FOR SHARE OF x`, … | nothing: it has one writer | as it stands |
| `INDEXED BY x` | as it stands | nothing: it has statistics |
| `+column` (looked at, not searched by) | as it stands | `column` |
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter, itemgetter
from typing import Any, Literal, Protocol

import msgspec

#: A row as the driver gives it.
Row = tuple[Any, ...]

#: The databases for which there are texts.
Dialect = Literal["sqlite", "postgresql"]

_PARAMETER = re.compile(r"(?<!:):([a-z_][a-z0-9_]*)")
_AMONG = re.compile(r"\bIN \((:[a-z_]+)\)")
_LOCK = re.compile(r" FOR (?:NO KEY UPDATE|UPDATE|SHARE)(?: OF \w+)?(?: SKIP LOCKED)?")
_INDEX = re.compile(r" INDEXED BY \w+")
_ASIDE = re.compile(r"(?<=[ (,])\+(?=[a-z_])")


class Cursor(Protocol):
    """What both drivers' cursors can do."""

    rowcount: int

    def execute(self, operation: Any, parameters: Any = ..., /) -> Any: ...
    def executemany(self, operation: Any, parameters: Any, /) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def fetchone(self) -> Any: ...


class Statement:
    """A statement in the words of each database, and how to pick its parameters out of a mapping or an object.

    Args:
        sql: the text for both databases; white space in it means nothing.
        sqlite: the text for SQLite alone, where the databases have nothing in common.
        postgresql: likewise for PostgreSQL.

    `names` are its parameters in the order of their places. A database without a text is one that never runs it.

    Example:
        >>> statement = Statement("SELECT epoch FROM leases WHERE host IN (:hosts) FOR SHARE")
        >>> statement.postgresql
        'SELECT epoch FROM leases WHERE host = ANY(%s) FOR SHARE'
        >>> statement.sqlite
        'SELECT epoch FROM leases WHERE host IN (SELECT value FROM json_each(?))'
        >>> statement.from_items({"hosts": "[]"})
        ('[]',)
    """

    __slots__ = ("from_items", "from_object", "names", "postgresql", "sqlite")

    def __init__(self, sql: str = "", *, sqlite: str = "", postgresql: str = "") -> None:
        sqlite, postgresql = (" ".join(text.split()) for text in (sqlite or sql, postgresql or sql))
        names = tuple(_PARAMETER.findall(sqlite or postgresql))
        if sqlite and postgresql and names != tuple(_PARAMETER.findall(postgresql)):
            raise ValueError(f"its parameters have no one order: {sqlite}; {postgresql}")
        self.names = names
        self.sqlite = _for_sqlite(sqlite)
        self.postgresql = _for_postgresql(postgresql)
        self.from_items = _picker(names, itemgetter)
        self.from_object = _picker(names, attrgetter)


def _for_sqlite(text: str) -> str:
    text = _AMONG.sub(r"IN (SELECT value FROM json_each(\1))", _LOCK.sub("", text))
    return _PARAMETER.sub("?", text)


def _for_postgresql(text: str) -> str:
    text = _ASIDE.sub("", _INDEX.sub("", text)).replace("%", "%%")
    return _PARAMETER.sub("%s", _AMONG.sub(r"= ANY(\1)", text))


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
