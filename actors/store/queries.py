"""Queries over instances: which index reads them, pages that stay right while instances come and go, and counts.

A page is a walk along an index in (created_at, instance_id) order that begins after the last row given out. So a
page costs what it shows, wherever it begins, and rows that come, go or change meanwhile neither hide nor repeat
others. Which index is walked is chosen here (`_Way`), because the choice needs what a planner does not know: the
counters.

One statement for each shape of query; what was once compiled is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from functools import lru_cache
from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, Select, and_, exists, func, literal_column, select, tuple_, union_all
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import NULLTYPE

from durable_ray.actors.store.database import Database
from durable_ray.actors.store.records import InstanceQuery, Page
from durable_ray.actors.store.rowing import read_rows
from durable_ray.actors.store.schema import counters, instances, tags
from durable_ray.actors.store.sql import Session, Statement, among, number, text
from durable_ray.actors.store.tokens import make_token, read_token

_i = instances.c

#: A way that has to sort what it finds is taken if it finds at most so many.
_FEW = 2000
#: One branch for each of so many names or statuses; more are filtered while walking.
_MOST_BRANCHES = 32


class _Way(Enum):
    """Along which index instances are read."""

    CREATED = auto()
    STATUS = auto()
    NAME = auto()
    PARENT = auto()
    TAG = auto()
    #: These two do not run in the order of pages: what they find is sorted.
    ID = auto()
    UPDATED = auto()


class _Shape(Struct, frozen=True):
    """What a statement depends on: which parts a query has, not what they say."""

    way: _Way
    branches: int
    filters: frozenset[str]
    tags: int
    descending: bool
    continued: bool
    counting: bool


class _aside(ColumnElement[Any]):
    """A column that SQLite is to look at only after it has found the row by another index."""

    inherit_cache = False
    type = NULLTYPE

    def __init__(self, column: ColumnElement[Any]) -> None:
        self.column = column


@compiles(_aside)
def _as_it_is(element: _aside, compiler: SQLCompiler, **kw: Any) -> str:
    return str(compiler.process(element.column, **kw))


@compiles(_aside, "sqlite")
def _as_expression(element: _aside, compiler: SQLCompiler, **kw: Any) -> str:
    return f"+{compiler.process(element.column, **kw)}"


class Querying:
    """Pages and counts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def query(self, query: InstanceQuery, limit: int, token: str | None = None) -> Page:
        """A page of at most `limit` instances in (created_at, instance_id) order.

        Raises InvalidToken if the token is not one that this query gave out.
        """
        if limit < 1:
            raise ValueError(f"a page has at least one instance, not {limit}")
        params = _params(query) | {"limit": limit + 1}
        if token is not None:
            params["last_at"], params["last_id"] = read_token(token, query)
        with self._database.read() as session:
            shape = _shape(session, query, params, continued=token is not None, counting=False)
            found = session.all(_statement(shape), **_bound(session, params))
            rows = read_rows(session, [row[1] for row in found[:limit]])
        page = tuple(rows[row[1]] for row in found[:limit])
        more = len(found) > limit
        return Page(page, make_token(page[-1].created_at, page[-1].instance_id, query) if more else None)

    def count(self, query: InstanceQuery) -> int:
        """How many instances match."""
        params = _params(query)
        with self._database.read() as session:
            if params.keys() <= {"statuses", "names"}:
                return sum(
                    n
                    for (name, status), n in _counts(session).items()
                    if (not query.names or name in query.names) and (not query.statuses or status in query.statuses)
                )
            shape = _shape(session, query, params, continued=False, counting=True)
            row = session.one(_statement(shape), **_bound(session, params))
        return 0 if row is None else int(row[0])

    def counts(self) -> Mapping[tuple[str, str], int]:
        """(name, status) -> how many; those that are none are left out."""
        with self._database.read() as session:
            return _counts(session)


# --- choosing -------------------------------------------------------------------------------------


def _shape(
    session: Session, query: InstanceQuery, params: Mapping[str, Any], *, continued: bool, counting: bool
) -> _Shape:
    way = _choose(session, query, params)
    branches = {_Way.STATUS: len(set(query.statuses)), _Way.NAME: len(set(query.names))}.get(way, 1)
    filters = frozenset(params) & _FILTERS
    return _Shape(way, branches, filters, len(query.tags), query.descending, continued, counting)


def _choose(session: Session, query: InstanceQuery, params: Mapping[str, Any]) -> _Way:
    if query.tags:
        return _Way.TAG
    if query.parent_id is not None:
        return _Way.PARENT
    for way, used in ((_Way.ID, "prefix"), (_Way.UPDATED, "updated_from")):
        if used in params and session.one(_PROBES[way], **params) is None:
            return way
    ways = {_Way.STATUS: set(query.statuses), _Way.NAME: set(query.names)}
    open_ways = [way for way, values in ways.items() if 0 < len(values) <= _MOST_BRANCHES]
    if len(open_ways) < 2:
        return open_ways[0] if open_ways else _Way.CREATED
    totals = dict.fromkeys(open_ways, 0)
    for (name, status), n in _counts(session).items():
        totals[_Way.STATUS] += n if status in query.statuses else 0
        totals[_Way.NAME] += n if name in query.names else 0
    return min(open_ways, key=totals.__getitem__)


_COUNTS = Statement(
    select(counters.c.name, counters.c.status, func.sum(counters.c.n)).group_by(counters.c.name, counters.c.status)
)


def _counts(session: Session) -> dict[tuple[str, str], int]:
    return {(name, status): int(n) for name, status, n in session.all(_COUNTS) if n}


# --- saying it in SQL -----------------------------------------------------------------------------


def _params(query: InstanceQuery) -> dict[str, Any]:
    """The parameters of those parts that a query has."""
    given: dict[str, Any] = {}
    for name in ("created_from", "created_to", "updated_to", "parent_id"):
        if (value := getattr(query, name)) is not None:
            given[name] = value
    if query.updated_from is not None:
        given["updated_from"] = query.updated_from
    if query.statuses:
        given["statuses"] = sorted(set(query.statuses))
    if query.names:
        given["names"] = sorted(set(query.names))
    if query.id_prefix:
        given["prefix"] = query.id_prefix
        given["prefix_end"] = after_prefix(query.id_prefix)
    for at, (key, value) in enumerate(sorted(query.tags.items())):
        given |= {f"key_{at}": key, f"value_{at}": value}
    return given


def _bound(session: Session, params: Mapping[str, Any]) -> dict[str, Any]:
    bound = dict(params)
    for name, one in (("statuses", "status"), ("names", "name")):
        if name in params:
            bound[name] = session.list(params[name])
            bound |= {f"{one}_{at}": value for at, value in enumerate(params[name])}
    return bound


_FILTERS = frozenset(
    {"created_from", "created_to", "updated_from", "updated_to", "statuses", "names", "prefix", "parent_id"}
)


def after_prefix(prefix: str) -> str:
    """The first text, by code points, after all that begin with `prefix`."""
    for at in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[at]) + 1
        if code == 0xD800:
            code = 0xE000  # surrogates are no characters
        if code <= 0x10FFFF:
            return prefix[:at] + chr(code)
    return "\U0010ffff" * 300  # longer than any ID


@lru_cache(maxsize=512)
def _statement(shape: _Shape) -> Statement:
    branches = [_branch(shape, at) for at in range(shape.branches)]
    if shape.way is _Way.UPDATED:
        branches = [_branch(shape, 0, ended=True), _branch(shape, 0, ended=False)]
    if shape.counting:
        if len(branches) == 1:
            return Statement(branches[0].with_only_columns(func.count()))
        return Statement(select(func.count()).select_from(union_all(*branches).subquery()))
    if len(branches) == 1:
        return Statement(branches[0])
    both = union_all(*(select(branch.subquery()) for branch in branches)).subquery()
    order = [column.desc() if shape.descending else column.asc() for column in (both.c[0], both.c[1])]
    return Statement(select(both).order_by(*order).limit(number("limit")))


def _branch(shape: _Shape, at: int, ended: bool = True) -> Select[Any]:
    """Instances along one index: of one name or status, if that is the way."""
    created, instance_id = (
        (tags.c.created_at, tags.c.instance_id) if shape.way is _Way.TAG else (_i.created_at, _i.instance_id)
    )
    conditions = [*_on_the_way(shape, at, ended), *_looked_at(shape), *_from_where(shape, created, instance_id)]
    tagged = tags.join(instances, _i.instance_id == tags.c.instance_id)
    statement = select(created, instance_id).where(*conditions)
    statement = statement.select_from(tagged if shape.way is _Way.TAG else instances)
    if shape.counting:
        return statement
    # Without statistics SQLite would rather walk all instances in order than sort the few that match.
    by = (_aside(created), _aside(instance_id)) if shape.way in {_Way.ID, _Way.UPDATED} else (created, instance_id)
    order = [column.desc() if shape.descending else column.asc() for column in by]
    return statement.order_by(*order).limit(number("limit"))


def _on_the_way(shape: _Shape, at: int, ended: bool) -> list[ColumnElement[bool]]:
    """What finds the part of the index that is walked."""
    match shape.way:
        case _Way.STATUS:
            return [_i.status == text(f"status_{at}")]
        case _Way.NAME:
            return [_i.name == text(f"name_{at}")]
        case _Way.PARENT:
            return [_i.parent_id == text("parent_id")]
        case _Way.ID:
            return [_i.instance_id >= text("prefix"), _i.instance_id < text("prefix_end")]
        case _Way.UPDATED if ended:
            return _range(_i.completed_at, shape, "updated")
        case _Way.UPDATED:
            return [_i.completed_at.is_(None), *_range(_i.updated_at, shape, "updated")]
        case _Way.TAG:
            return [tags.c.key == text("key_0"), tags.c.value == text("value_0"), *_other_tags(shape)]
        case _:
            return []


def _other_tags(shape: _Shape) -> list[ColumnElement[bool]]:
    others: list[ColumnElement[bool]] = []
    for at in range(1, shape.tags):
        other = tags.alias(f"tag_{at}")
        same = and_(other.c.created_at == tags.c.created_at, other.c.instance_id == tags.c.instance_id)
        others.append(exists().where(other.c.key == text(f"key_{at}"), other.c.value == text(f"value_{at}"), same))
    return others


def _looked_at(shape: _Shape) -> list[ColumnElement[bool]]:
    """What is looked at in each row that was found."""
    conditions: list[ColumnElement[bool]] = []
    if "statuses" in shape.filters and shape.way is not _Way.STATUS:
        conditions.append(among(_aside(_i.status), "statuses"))
    if "names" in shape.filters and shape.way is not _Way.NAME:
        conditions.append(among(_aside(_i.name), "names"))
    if "parent_id" in shape.filters and shape.way is not _Way.PARENT:
        conditions.append(_aside(_i.parent_id) == text("parent_id"))
    if "prefix" in shape.filters and shape.way is not _Way.ID:
        conditions += [_aside(_i.instance_id) >= text("prefix"), _aside(_i.instance_id) < text("prefix_end")]
    if shape.way is not _Way.UPDATED:
        conditions += _range(_aside(_i.updated_at), shape, "updated")
    return conditions


def _from_where(
    shape: _Shape, created: ColumnElement[int], instance_id: ColumnElement[str]
) -> list[ColumnElement[bool]]:
    """Where the walk begins and ends."""
    sorted_after = shape.way in {_Way.ID, _Way.UPDATED}
    at: ColumnElement[int] = _aside(created) if sorted_after else created
    conditions = _range(at, shape, "created")
    if shape.continued:
        here, last = tuple_(at, instance_id), tuple_(number("last_at"), text("last_id"))
        conditions.append(at <= number("last_at") if shape.descending else at >= number("last_at"))
        conditions.append(here < last if shape.descending else here > last)
    return conditions


def _range(column: ColumnElement[Any], shape: _Shape, name: str) -> list[ColumnElement[bool]]:
    conditions = []
    if f"{name}_from" in shape.filters:
        conditions.append(column >= number(f"{name}_from"))
    if f"{name}_to" in shape.filters:
        conditions.append(column <= number(f"{name}_to"))
    return conditions


#: Find a row beyond the first few on a way that has to sort; none means that the way is short. Of updates only the
#: finished count: where few of them match, walking in order of creation would meet mostly others, and all the live
#: ones as well.
_a_row: ColumnElement[int] = literal_column("1")
_beyond: ColumnElement[int] = literal_column(str(_FEW))
_PROBES = {
    _Way.ID: Statement(
        select(_a_row)
        .select_from(instances)
        .where(_i.instance_id >= text("prefix"), _i.instance_id < text("prefix_end"))
        .limit(_a_row)
        .offset(_beyond)
    ),
    _Way.UPDATED: Statement(
        select(_a_row)
        .select_from(instances)
        .where(_i.completed_at >= number("updated_from"))
        .limit(_a_row)
        .offset(_beyond)
    ),
}
