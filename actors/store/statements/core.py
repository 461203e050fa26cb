"""The words that all statements share: typed parameters, and one that holds any number of values."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ARRAY, BigInteger, BindParameter, ColumnElement, Text, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import NULLTYPE


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
