"""Statements written once in SQLAlchemy Core, compiled once per database, run on the driver itself.

A commit runs half a dozen statements hundreds of times a second; going through an SQLAlchemy connection costs more
than the statements do. So Core is used for what it is best at (one text for each dialect) and the driver's cursor
for the rest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter, itemgetter
from typing import Any, Protocol

from sqlalchemy import ARRAY, BigInteger, BindParameter, ColumnElement, Dialect, Text, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.types import NULLTYPE

#: A row as the driver gives it.
Row = tuple[Any, ...]


class Cursor(Protocol):
    """What both drivers' cursors can do."""

    rowcount: int

    def execute(self, operation: Any, parameters: Any = ..., /) -> Any: ...
    def executemany(self, operation: Any, parameters: Any, /) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def fetchone(self) -> Any: ...


class Prepared:
    """A statement for one database: its text, and how to pick its parameters out of a mapping or an object."""

    __slots__ = ("from_items", "from_object", "sql")

    def __init__(self, clause: ClauseElement, dialect: Dialect) -> None:
        compiled = clause.compile(dialect=dialect)
        if not isinstance(compiled, SQLCompiler):
            raise TypeError(f"not a statement: {clause}")
        self.sql = str(compiled)
        names = tuple(compiled.positiontup or ())
        fixed = {name: compiled.binds[name].value for name in names if not compiled.binds[name].required}
        self.from_items = _picker(names, fixed, itemgetter)
        self.from_object = _picker(names, fixed, attrgetter)


def _picker(
    names: tuple[str, ...], fixed: Mapping[str, Any], getter: Callable[..., Callable[[Any], Any]]
) -> Callable[[Any], Row]:
    """A function that makes the tuple of parameters; constants that Core chose to bind keep their value."""
    if len(names) > 1 and not fixed:
        pick: Callable[[Any], Row] = getter(*names)  # in C: this runs for every row of every commit
        return pick
    getters = [_constant(fixed[name]) if name in fixed else getter(name) for name in names]
    return lambda source: tuple([get(source) for get in getters])


def _constant(value: Any) -> Callable[[Any], Any]:
    return lambda source: value


class Statement:
    """A Core statement, compiled when a database first runs it. Its parameters are bind names."""

    __slots__ = ("_prepared", "clause")

    def __init__(self, clause: ClauseElement) -> None:
        self.clause = clause
        self._prepared: dict[str, Prepared] = {}

    def on(self, dialect: Dialect) -> Prepared:
        """This statement for `dialect`."""
        found = self._prepared.get(dialect.name)
        if found is None:
            found = self._prepared[dialect.name] = Prepared(self.clause, dialect)
        return found


class Session:
    """A driver's cursor that runs statements. Opening, ending and retrying transactions is the database's business."""

    __slots__ = ("_cursor", "_dialect", "_lists_are_json", "cannot_hold")

    def __init__(self, cursor: Cursor, dialect: Dialect, cannot_hold: Callable[[Exception], bool]) -> None:
        self._cursor = cursor
        self._dialect = dialect
        #: Whether an error of this session says that the database cannot hold a value.
        self.cannot_hold = cannot_hold
        self._lists_are_json = dialect.name == "sqlite"

    def all(self, statement: Statement, **params: Any) -> list[Row]:
        """Every row of a query."""
        prepared = statement.on(self._dialect)
        self._cursor.execute(prepared.sql, prepared.from_items(params))
        return self._cursor.fetchall()

    def one(self, statement: Statement, **params: Any) -> Row | None:
        """The first row of a query (or of what a change returns), if there is one."""
        prepared = statement.on(self._dialect)
        self._cursor.execute(prepared.sql, prepared.from_items(params))
        row: Row | None = self._cursor.fetchone()
        return row

    def run(self, statement: Statement, **params: Any) -> int:
        """Make a change; the number of rows it touched."""
        prepared = statement.on(self._dialect)
        self._cursor.execute(prepared.sql, prepared.from_items(params))
        return self._cursor.rowcount

    def each(self, statement: Statement, sources: Sequence[Any]) -> int:
        """Make a change once for each source (a mapping, or an object with attributes of the bind names), in order."""
        prepared = statement.on(self._dialect)
        pick = prepared.from_items if isinstance(sources[0], Mapping) else prepared.from_object
        if len(sources) == 1:
            self._cursor.execute(prepared.sql, pick(sources[0]))
        else:
            self._cursor.executemany(prepared.sql, [pick(source) for source in sources])
        return self._cursor.rowcount

    def plain(self, sql: str) -> None:
        """Run a command that is the same everywhere (a savepoint)."""
        self._cursor.execute(sql)

    def list(self, values: Iterable[str]) -> Any:
        """Values for the parameter of `among`."""
        return json.dumps(list(values)) if self._lists_are_json else list(values)


class among(ColumnElement[Any]):
    """`column IN (values)` as one text for any number of values; `name` is the parameter. See `Session.list`."""

    inherit_cache = False
    type = NULLTYPE  # a Boolean would be compared with 1 in SQLite, which loses the index

    def __init__(self, column: ColumnElement[str], name: str) -> None:
        self.column = column
        self.values = bindparam(name, type_=ARRAY(Text))


@compiles(among, "sqlite")
def _among_json(element: among, compiler: SQLCompiler, **kw: Any) -> str:
    column, values = compiler.process(element.column, **kw), compiler.process(element.values, **kw)
    return f"{column} IN (SELECT value FROM json_each({values}))"


@compiles(among, "postgresql")
def _among_array(element: among, compiler: SQLCompiler, **kw: Any) -> str:
    column, values = compiler.process(element.column, **kw), compiler.process(element.values, **kw)
    return f"{column} = ANY({values})"


def text(name: str) -> BindParameter[str]:
    """A parameter that is text."""
    return bindparam(name, type_=Text())


def number(name: str) -> BindParameter[int]:
    """A parameter that is a 64-bit integer."""
    return bindparam(name, type_=BigInteger())
