"""Statements of queries over instances, made by their shape when one is asked: there are too many to write down."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, select, tuple_, union_all
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import NULLTYPE

from durable_ray.actors.store.schema import instances, tags
from durable_ray.actors.store.shapes import Shape, Way
from durable_ray.actors.store.statements.core import among, number, text

_i = instances.c


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


def page(shape: Shape) -> Select[Any]:
    """A page of (created_at, instance_id), or a count, for queries of this shape."""
    branches = [_branch(shape, at) for at in range(shape.branches)]
    if shape.way is Way.UPDATED:
        branches = [_branch(shape, 0, ended=True), _branch(shape, 0, ended=False)]
    if shape.counting:
        if len(branches) == 1:
            return branches[0].with_only_columns(func.count())
        return select(func.count()).select_from(union_all(*branches).subquery())
    if len(branches) == 1:
        return branches[0]
    both = union_all(*(select(branch.subquery()) for branch in branches)).subquery()
    order = [column.desc() if shape.descending else column.asc() for column in (both.c[0], both.c[1])]
    return select(both).order_by(*order).limit(number("limit"))


def _branch(shape: Shape, at: int, ended: bool = True) -> Select[Any]:
    """Instances along one index: of one name or status, if that is the way."""
    created, instance_id = (
        (tags.c.created_at, tags.c.instance_id) if shape.way is Way.TAG else (_i.created_at, _i.instance_id)
    )
    conditions = [*_on_the_way(shape, at, ended), *_looked_at(shape), *_from_where(shape, created, instance_id)]
    tagged = tags.join(instances, _i.instance_id == tags.c.instance_id)
    statement = select(created, instance_id).where(*conditions)
    statement = statement.select_from(tagged if shape.way is Way.TAG else instances)
    if shape.counting:
        return statement
    # Without statistics SQLite would rather walk all instances in order than sort the few that match.
    by = (_aside(created), _aside(instance_id)) if shape.way in {Way.ID, Way.UPDATED} else (created, instance_id)
    order = [column.desc() if shape.descending else column.asc() for column in by]
    return statement.order_by(*order).limit(number("limit"))


def _on_the_way(shape: Shape, at: int, ended: bool) -> list[ColumnElement[bool]]:
    """What finds the part of the index that is walked."""
    match shape.way:
        case Way.STATUS:
            return [_i.status == text(f"status_{at}")]
        case Way.NAME:
            return [_i.name == text(f"name_{at}")]
        case Way.PARENT:
            return [_i.parent_id == text("parent_id")]
        case Way.ID:
            return [_i.instance_id >= text("prefix"), _i.instance_id < text("prefix_end")]
        case Way.UPDATED if ended:
            return _range(_i.completed_at, shape, "updated")
        case Way.UPDATED:
            return [_i.completed_at.is_(None), *_range(_i.updated_at, shape, "updated")]
        case Way.TAG:
            return [tags.c.key == text("key_0"), tags.c.value == text("value_0"), *_other_tags(shape)]
        case _:
            return []


def _other_tags(shape: Shape) -> list[ColumnElement[bool]]:
    others: list[ColumnElement[bool]] = []
    for at in range(1, shape.tags):
        other = tags.alias(f"tag_{at}")
        same = and_(other.c.created_at == tags.c.created_at, other.c.instance_id == tags.c.instance_id)
        others.append(exists().where(other.c.key == text(f"key_{at}"), other.c.value == text(f"value_{at}"), same))
    return others


def _looked_at(shape: Shape) -> list[ColumnElement[bool]]:
    """What is looked at in each row that was found."""
    conditions: list[ColumnElement[bool]] = []
    if "statuses" in shape.filters and shape.way is not Way.STATUS:
        conditions.append(among(_aside(_i.status), "statuses"))
    if "names" in shape.filters and shape.way is not Way.NAME:
        conditions.append(among(_aside(_i.name), "names"))
    if "parent_id" in shape.filters and shape.way is not Way.PARENT:
        conditions.append(_aside(_i.parent_id) == text("parent_id"))
    if "prefix" in shape.filters and shape.way is not Way.ID:
        conditions += [_aside(_i.instance_id) >= text("prefix"), _aside(_i.instance_id) < text("prefix_end")]
    if shape.way is not Way.UPDATED:
        conditions += _range(_aside(_i.updated_at), shape, "updated")
    return conditions


def _from_where(
    shape: Shape, created: ColumnElement[int], instance_id: ColumnElement[str]
) -> list[ColumnElement[bool]]:
    """Where the walk begins and ends."""
    sorted_after = shape.way in {Way.ID, Way.UPDATED}
    at: ColumnElement[int] = _aside(created) if sorted_after else created
    conditions = _range(at, shape, "created")
    if shape.continued:
        here, last = tuple_(at, instance_id), tuple_(number("last_at"), text("last_id"))
        conditions.append(at <= number("last_at") if shape.descending else at >= number("last_at"))
        conditions.append(here < last if shape.descending else here > last)
    return conditions


def _range(column: ColumnElement[Any], shape: Shape, name: str) -> list[ColumnElement[bool]]:
    conditions = []
    if f"{name}_from" in shape.filters:
        conditions.append(column >= number(f"{name}_from"))
    if f"{name}_to" in shape.filters:
        conditions.append(column <= number(f"{name}_to"))
    return conditions
