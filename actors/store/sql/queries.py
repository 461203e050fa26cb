"""Queries over instances: which index reads them, pages that stay right while instances come and go, and counts.

A page is a walk along an index in (created_at, instance_id) order that begins after the last row given out. So a
page costs what it shows, wherever it begins, and rows that come, go or change meanwhile neither hide nor repeat
others. Which index is walked is chosen here (`AccessPath`), because the choice needs what a planner does not know:
the counters. There is one statement for each shape of query, cached.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from enum import Enum, auto
from functools import lru_cache
from typing import Any, NamedTuple

from msgspec.structs import asdict, replace

from durable_ray.actors.store.contract import InvalidToken
from durable_ray.actors.store.databases.database import Database
from durable_ray.actors.store.records import FINISHED, LIVE, InstanceQuery, Page, Payloads, Standing
from durable_ray.actors.store.sql.rows import read_rows, read_sizes
from durable_ray.actors.store.sql.statement import Session, Statement


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
    #: Counting by status and by time of creation.
    binned: bool = False


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
    if shape.binned:
        return Statement(union)
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
    if shape.binned:
        shown = f"instances.status, ({created} - :created_from) / :width AS bin, count(*) AS n"
        return f"SELECT {shown} FROM {tables}{where} GROUP BY instances.status, bin"
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


COUNTS = Statement("SELECT name, status, sum(n) FROM counters GROUP BY name, status")
#: Is there a row beyond the first few on a path that has to sort? If not, the path is short. Of updates only the
#: finished count: where few of them match, walking in order of creation would meet mostly others, and all the live
#: ones as well.
MORE_IDS = Statement("""
    SELECT 1
    FROM instances
    WHERE instance_id >= :prefix AND instance_id < :prefix_end
    LIMIT 1 OFFSET 2000
    """)
MORE_UPDATED = Statement("SELECT 1 FROM instances WHERE completed_at >= :updated_from LIMIT 1 OFFSET 2000")
_STANDING = ", ".join(Standing.__struct_fields__)
#: What tells one state of an instance from another: of all that live, by the index of those.
LIVE_STANDINGS = Statement(f"""
    SELECT host, {_STANDING}
    FROM instances
    WHERE completed_at IS NULL AND (host, instance_id) > (:after_host, :after_id)
    ORDER BY host, instance_id
    LIMIT :limit
    """)
#: Of those that ended, from some time on.
ENDED_STANDINGS = Statement(f"""
    SELECT completed_at, {_STANDING}
    FROM instances
    WHERE completed_at >= :after_at AND (completed_at, instance_id) > (:after_at, :after_id)
    ORDER BY completed_at, instance_id
    LIMIT :limit
    """)

#: Most bytes of payloads on a page.
PAGE_BYTES = 4 << 20
#: One branch for each of so many names or statuses; more are filtered while walking.
_MOST_BRANCHES = 32

_PROBES = {AccessPath.ID: MORE_IDS, AccessPath.UPDATED: MORE_UPDATED}


class SqlQueries:
    """Pages and counts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def query(self, query: InstanceQuery, limit: int, token: str | None = None) -> Page:
        """A page of at most `limit` instances in (created_at, instance_id) order, and of at most `PAGE_BYTES` unless a single
        one has more: so what a page costs has a bound, whatever is in it.

        Raises InvalidToken if the token is not one that this query gave out.
        """
        if limit < 1:
            raise ValueError(f"a page has at least one instance, not {limit}")
        params = _params(query) | {"limit": limit + 1}
        if token is not None:
            params["last_at"], params["last_id"] = read_token(token, query)
        with self._database.read() as session:
            shape = _shape(session, query, params, continued=token is not None, counting=False)
            found = session.all(page(shape), **_bound(session, params))
            ids = _first_bytes(session, [row[1] for row in found[:limit]], query.payloads)
            rows = read_rows(session, ids, query.payloads)
        shown = tuple(rows[instance_id] for instance_id in ids)
        more = len(found) > len(shown)
        return Page(shown, make_token(shown[-1].created_at, shown[-1].instance_id, query) if more else None)

    def live_standings(self, after: tuple[str, str], limit: int) -> list[tuple[str, Standing]]:
        """(host, standing) of live instances, by host and ID, after (host, ID)."""
        with self._database.read() as session:
            found = session.all(LIVE_STANDINGS, after_host=after[0], after_id=after[1], limit=limit)
        return [(row[0], Standing(*row[1:])) for row in found]

    def ended_standings(self, after: tuple[int, str], limit: int) -> list[tuple[int, Standing]]:
        """(completion time, standing) of finished instances, in that order, after (time, ID)."""
        with self._database.read() as session:
            found = session.all(ENDED_STANDINGS, after_at=after[0], after_id=after[1], limit=limit)
        return [(row[0], Standing(*row[1:])) for row in found]

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
            row = session.one(page(shape), **_bound(session, params))
        return 0 if row is None else int(row[0])

    def histogram(self, query: InstanceQuery, width: int) -> Mapping[tuple[int, str], int]:
        """(bin, status) -> how many match, in bins of `width` µs from the query's `created_from` on."""
        if query.created_from is None or width < 1:
            raise ValueError("a histogram begins at a time and has bins of at least 1 µs")
        # The index by status has all that is counted: without a status to look for, none of the rows is read.
        asked = query if query.statuses else replace(query, statuses=(*LIVE, *FINISHED))
        params = _params(asked) | {"width": width}
        found: dict[tuple[int, str], int] = {}
        with self._database.read() as session:
            shape = _shape(session, asked, params, continued=False, counting=True)
            for status, at, n in session.all(page(shape._replace(binned=True)), **_bound(session, params)):
                found[int(at), status] = found.get((int(at), status), 0) + n
        return found

    def counts(self) -> Mapping[tuple[str, str], int]:
        """(name, status) -> how many; those that are none are left out."""
        with self._database.read() as session:
            return _counts(session)


def _first_bytes(session: Session, ids: list[str], payloads: Payloads) -> list[str]:
    """As many of these, from the first on, as have `PAGE_BYTES` of payloads together; at least one."""
    sizes = read_sizes(session, ids, payloads)
    total = 0
    for at, instance_id in enumerate(ids):
        total += sizes[instance_id]
        if total > PAGE_BYTES and at:
            return ids[:at]
    return ids


# --- choosing -------------------------------------------------------------------------------------


def _shape(
    session: Session, query: InstanceQuery, params: Mapping[str, Any], *, continued: bool, counting: bool
) -> QueryShape:
    path = _choose(session, query, params)
    branches = {AccessPath.STATUS: len(set(query.statuses)), AccessPath.NAME: len(set(query.names))}.get(path, 1)
    filters = frozenset(params) & _FILTERS
    return QueryShape(path, branches, filters, len(query.tags), query.descending, continued, counting)


def _choose(session: Session, query: InstanceQuery, params: Mapping[str, Any]) -> AccessPath:
    if query.tags:
        return AccessPath.TAG
    if query.parent_id is not None:
        return AccessPath.PARENT
    for path, used in ((AccessPath.ID, "prefix"), (AccessPath.UPDATED, "updated_from")):
        if used in params and session.one(_PROBES[path], **params) is None:
            return path
    paths = {AccessPath.STATUS: set(query.statuses), AccessPath.NAME: set(query.names)}
    open_paths = [path for path, values in paths.items() if 0 < len(values) <= _MOST_BRANCHES]
    if len(open_paths) < 2:
        return open_paths[0] if open_paths else AccessPath.CREATED
    totals = dict.fromkeys(open_paths, 0)
    for (name, status), n in _counts(session).items():
        totals[AccessPath.STATUS] += n if status in query.statuses else 0
        totals[AccessPath.NAME] += n if name in query.names else 0
    return min(open_paths, key=totals.__getitem__)


def _counts(session: Session) -> dict[tuple[str, str], int]:
    return {(name, status): int(n) for name, status, n in session.all(COUNTS) if n}


# --- parameters and tokens ------------------------------------------------------------------------


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


def _fingerprint(query: InstanceQuery) -> str:
    parts = asdict(query) | {"payloads": "", "statuses": sorted(set(query.statuses)), "names": sorted(set(query.names))}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def make_token(created_at: int, instance_id: str, query: InstanceQuery) -> str:
    """The token that continues `query` after this instance."""
    text = json.dumps([created_at, instance_id, _fingerprint(query)], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_token(token: str, query: InstanceQuery) -> tuple[int, str]:
    """Where `query` goes on: (created_at, instance_id) of the last one given out. Raises InvalidToken."""
    try:
        decoded = json.loads(base64.urlsafe_b64decode(token.encode() + b"=" * (-len(token) % 4)))
        created_at, instance_id, fingerprint = decoded
        if type(created_at) is not int or type(instance_id) is not str or abs(created_at) >= 1 << 63:
            raise ValueError("not the parts of a token")
    except (ValueError, TypeError, binascii.Error) as error:
        raise InvalidToken("this is no continuation token; leave it out to begin with the first page") from error
    if fingerprint != _fingerprint(query):
        raise InvalidToken(
            "this continuation token belongs to another query; repeat the query it came from, or begin anew"
        )
    return created_at, instance_id
