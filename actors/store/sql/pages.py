"""The SQL of queries over instances, made by the shape of the query: there are too many shapes to write down.

The text is canonical (see `statement`): a `+` before a column keeps SQLite from looking it up in another index than the
one that the query walks along. Without statistics it would rather walk all instances in order than sort the few
that match.
"""

from __future__ import annotations

from enum import Enum, auto
from functools import lru_cache
from typing import NamedTuple

from durable_ray.actors.store.sql.statement import Statement


class AccessPath(Enum):
    """Along which index instances are read."""

    CREATED = auto()
    STATUS = auto()
    NAME = auto()
    PARENT = auto()
    TAG = auto()
    #: These two do not run in the order of pages: what they find is sorted.
    ID = auto()
    UPDATED = auto()


class QueryShape(NamedTuple):
    """What a statement depends on: which parts a query has, not their values."""

    path: AccessPath
    branches: int
    filters: frozenset[str]
    tags: int
    descending: bool
    continued: bool
    counting: bool


@lru_cache(maxsize=512)
def page(shape: QueryShape) -> Statement:
    """A page of (created_at, instance_id), or a count, for queries of this shape."""
    if shape.path is AccessPath.UPDATED:
        branches = [_branch(shape, 0, ended=True), _branch(shape, 0, ended=False)]
    else:
        branches = [_branch(shape, at) for at in range(shape.branches)]
    if len(branches) == 1:
        return Statement(branches[0])
    union = " UNION ALL ".join(f"SELECT * FROM ({branch}) AS branch_{at}" for at, branch in enumerate(branches))
    if shape.counting:
        return Statement(f"SELECT sum(n) FROM ({union}) AS branches")
    return Statement(f"SELECT * FROM ({union}) AS branches {_order('created_at', 'instance_id', shape)}")


def _branch(shape: QueryShape, at: int, ended: bool = True) -> str:
    """Instances along one index: of one name or status, if that is the way."""
    tagged = shape.path is AccessPath.TAG
    created, instance_id = (
        ("tags.created_at", "tags.instance_id") if tagged else ("instances.created_at", "instances.instance_id")
    )
    tables = "tags JOIN instances ON instances.instance_id = tags.instance_id" if tagged else "instances"
    found = [*_walked(shape, at, ended), *_filtered(shape), *_bounded(shape, created, instance_id)]
    where = f" WHERE {' AND '.join(found)}" if found else ""
    if shape.counting:
        return f"SELECT count(*) AS n FROM {tables}{where}"
    by = (
        (f"+{created}", f"+{instance_id}")
        if shape.path in {AccessPath.ID, AccessPath.UPDATED}
        else (created, instance_id)
    )
    return f"SELECT {created}, {instance_id} FROM {tables}{where} {_order(*by, shape)}"


def _order(created: str, instance_id: str, shape: QueryShape) -> str:
    direction = "DESC" if shape.descending else "ASC"
    return f"ORDER BY {created} {direction}, {instance_id} {direction} LIMIT :limit"


def _walked(shape: QueryShape, at: int, ended: bool) -> list[str]:
    """What finds the part of the index that is walked."""
    match shape.path:
        case AccessPath.STATUS:
            return [f"instances.status = :status_{at}"]
        case AccessPath.NAME:
            return [f"instances.name = :name_{at}"]
        case AccessPath.PARENT:
            return ["instances.parent_id = :parent_id"]
        case AccessPath.ID:
            return ["instances.instance_id >= :prefix", "instances.instance_id < :prefix_end"]
        case AccessPath.UPDATED if ended:
            return _range("instances.completed_at", shape, "updated")
        case AccessPath.UPDATED:
            return ["instances.completed_at IS NULL", *_range("instances.updated_at", shape, "updated")]
        case AccessPath.TAG:
            others = (
                f'EXISTS (SELECT 1 FROM tags AS tag_{n} WHERE tag_{n}."key" = :key_{n} AND tag_{n}.value = :value_{n}'
                f" AND tag_{n}.created_at = tags.created_at AND tag_{n}.instance_id = tags.instance_id)"
                for n in range(1, shape.tags)
            )
            return ['tags."key" = :key_0', "tags.value = :value_0", *others]
        case _:
            return []


def _filtered(shape: QueryShape) -> list[str]:
    """What is looked at in each row that was found."""
    found: list[str] = []
    if "statuses" in shape.filters and shape.path is not AccessPath.STATUS:
        found.append("+instances.status IN (:statuses)")
    if "names" in shape.filters and shape.path is not AccessPath.NAME:
        found.append("+instances.name IN (:names)")
    if "parent_id" in shape.filters and shape.path is not AccessPath.PARENT:
        found.append("+instances.parent_id = :parent_id")
    if "prefix" in shape.filters and shape.path is not AccessPath.ID:
        found += ["+instances.instance_id >= :prefix", "+instances.instance_id < :prefix_end"]
    if shape.path is not AccessPath.UPDATED:
        found += _range("+instances.updated_at", shape, "updated")
    return found


def _bounded(shape: QueryShape, created: str, instance_id: str) -> list[str]:
    """Where the walk begins and ends."""
    at = f"+{created}" if shape.path in {AccessPath.ID, AccessPath.UPDATED} else created
    found = _range(at, shape, "created")
    if shape.continued:
        than = "<" if shape.descending else ">"
        found += [f"{at} {than}= :last_at", f"({at}, {instance_id}) {than} (:last_at, :last_id)"]
    return found


def _range(column: str, shape: QueryShape, name: str) -> list[str]:
    bounds = ((f"{name}_from", ">="), (f"{name}_to", "<="))
    return [f"{column} {sign} :{bound}" for bound, sign in bounds if bound in shape.filters]
