"""From a clause to the texts that the drivers run, in each database's own words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Dialect as CoreDialect
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler, SQLiteDialect
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.sql.selectable import FromClause, GenerativeSelect

from durable_ray.actors.store.sql import Dialect, Statement


class _Compiler(SQLiteCompiler):
    """Core's SQLite in two things otherwise: with hints, for without statistics SQLite prefers an equality to a partial
    index in the right order; and without an OFFSET that nobody asked for, which is a value that no text has a place for."""

    def get_from_hint_text(self, table: FromClause, text: str | None) -> str | None:
        return text

    def limit_clause(self, select: GenerativeSelect, **kw: Any) -> str:
        parts = (("LIMIT", select._limit_clause), ("OFFSET", select._offset_clause))
        return "".join(f" {word} {self.process(said, **kw)}" for word, said in parts if said is not None)


class _Sqlite(SQLiteDialect):
    statement_compiler = _Compiler
    supports_statement_cache = False  # its statements are kept by the store


#: In the places' marks of the drivers that run the texts.
DIALECTS: Mapping[Dialect, CoreDialect] = {
    "sqlite": _Sqlite(paramstyle="qmark"),
    "postgresql": PGDialect_psycopg(paramstyle="format"),  # type: ignore[no-untyped-call]
}


def compiled(clause: ClauseElement | Mapping[Dialect, ClauseElement], *only: Dialect) -> Statement:
    """The texts of a clause for every database, or for those named; of a mapping, for those it has.

    Raises TypeError for what is no statement, and for one whose parameters do not stand in one order everywhere, or
    have values already: a text has no place for them.

    Example:
        >>> from sqlalchemy import select
        >>> from durable_ray.actors.store.schema import leases
        >>> from durable_ray.actors.store.statements.core import text
        >>> compiled(select(leases.c.epoch).where(leases.c.host == text("host"))).sqlite
        'SELECT leases.epoch FROM leases WHERE leases.host = ?'
    """
    clauses = clause if isinstance(clause, Mapping) else dict.fromkeys(only or DIALECTS, clause)
    texts: dict[str, str] = {}
    orders: set[tuple[str, ...]] = set()
    for dialect, said in clauses.items():
        made = said.compile(dialect=DIALECTS[dialect])
        if not isinstance(made, SQLCompiler):
            raise TypeError(f"not a statement: {said}")
        # Where Core breaks lines means nothing, for no text of ours has several blanks within quotes.
        texts[dialect] = " ".join(str(made).split())
        names = tuple(made.positiontup or ())
        if given := [name for name in names if not made.binds[name].required]:
            raise TypeError(
                f"{given} have values; say them in words (literal_column) or as parameters: {texts[dialect]}"
            )
        orders.add(names)
    if len(orders) != 1:
        raise TypeError(f"its parameters have no one order: {clause}")
    return Statement(orders.pop(), **texts)
