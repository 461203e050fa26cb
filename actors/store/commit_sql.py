"""The statements of a commit. Each runs once for all the writes of a group that need it, in the order of `ORDER`.

Parameters are named after the fields of the writes, so that a write is its own set of parameters. Conditions are checked
before (`plan`), on rows that nobody else can change meanwhile; what is repeated here is only the address of the row.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Insert, Table, and_, case, delete, exists, false, func, insert, null, select, true, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from durable_ray.actors.store.schema import counters, history, hub, inbox, inputs, instances, leases, receipts, tags
from durable_ray.actors.store.sql import Statement, among, number, text

_i = instances.c


class Upsert(Insert):
    """INSERT … ON CONFLICT, which both databases say alike but Core keeps in two dialects."""

    inherit_cache = False

    def __init__(self, table: Table, update: dict[str, Any] | None = None) -> None:
        super().__init__(table)
        self.update_to = update


@compiles(Upsert)
def _upsert(element: Upsert, compiler: SQLCompiler, **kw: Any) -> str:
    dialect: Any = sqlite if compiler.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(element.table).values(dict(element._values or {}))
    if element.update_to is None:
        statement = statement.on_conflict_do_nothing()
    else:
        keys = list(element.table.primary_key.columns)
        statement = statement.on_conflict_do_update(index_elements=keys, set_=element.update_to)
    return str(compiler.process(statement, **kw))
