"""Definitions: code by name, version and content, and which of them is the newest.

Every registration that changes anything gets the next revision of the hub; so "newest of a name" is the highest
revision, and a process that has seen revision n asks for what came after n.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import asdict, replace
from sqlalchemy import LargeBinary, bindparam, select, update
from sqlalchemy.dialects.postgresql import insert

from durable_ray.actors.store.database import Database
from durable_ray.actors.store.records import DefinitionRow
from durable_ray.actors.store.schema import definitions, hub
from durable_ray.actors.store.sql import Row, Session, Statement, number, text

_d = definitions.c
_DESCRIBED = (_d.kind, _d.name, _d.version, _d.code_id, _d.how)
_REST = (_d.options, _d.runtime_env, _d.revision)

_TAKE_REVISION = Statement(
    update(hub)
    .values(definitions_revision=hub.c.definitions_revision + number("by"))
    .returning(hub.c.definitions_revision)
)
_OF_NAME = Statement(
    select(*_DESCRIBED, *_REST)
    .where(_d.kind == text("kind"), _d.name == text("name"))
    .order_by(_d.revision.desc())
    .limit(number("limit"))
)
_new = insert(definitions).values(
    kind=text("kind"),
    name=text("name"),
    version=text("version"),
    code_id=text("code_id"),
    revision=number("revision"),
    how=text("how"),
    options=text("options"),
    runtime_env=text("runtime_env"),
    body=bindparam("body", type_=LargeBinary()),
)
_PUT = Statement(
    _new.on_conflict_do_update(
        index_elements=["kind", "name", "version", "code_id"],
        set_={column: _new.excluded[column] for column in ("revision", "how", "options", "runtime_env", "body")},
    )
)
_SINCE = Statement(select(*_DESCRIBED, *_REST).where(_d.revision > number("since")).order_by(_d.revision))


def _one(version: bool, code_id: bool) -> Statement:
    statement = select(*_DESCRIBED, _d.body, *_REST).where(_d.kind == text("kind"), _d.name == text("name"))
    if version:
        statement = statement.where(_d.version == text("version"))
    if code_id:
        statement = statement.where(_d.code_id == text("code_id"))
    return Statement(statement.order_by(_d.revision.desc()).limit(number("limit")))


_ONE = {(version, code_id): _one(version, code_id) for version in (False, True) for code_id in (False, True)}


class Deploying:
    """What code the hub has."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put_definitions(self, definitions: Iterable[DefinitionRow]) -> int:
        """Register definitions; returns the hub's definitions revision.

        Of several with one name the last becomes the newest. What the store has already, in that order, stays
        untouched, so that a driver that deploys the same code on every connection disturbs nobody.
        """
        by_name: dict[tuple[str, str], list[DefinitionRow]] = {}
        for row in definitions:
            by_name.setdefault((row.kind, row.name), []).append(row)

        def body(session: Session) -> int:
            # The hub's row is changed first, also by 0: until the end of the transaction nobody else registers
            # anything.
            taken = session.one(_TAKE_REVISION, by=0)
            before = int(taken[0]) if taken else 0
            news = [row for rows in by_name.values() for row in _news(session, rows)]
            if not news:
                return before
            session.one(_TAKE_REVISION, by=len(news))
            session.each(
                _PUT,
                [asdict(row) | {"revision": at} for at, row in enumerate(news, before + 1)],
            )
            return before + len(news)

        return self._database.write(body)

    def definition(
        self, kind: str, name: str, version: str | None = None, code_id: str | None = None
    ) -> DefinitionRow | None:
        """The newest definition of that name (and version); or exactly that code."""
        statement = _ONE[version is not None, code_id is not None]
        with self._database.read() as session:
            row = session.one(statement, kind=kind, name=name, version=version, code_id=code_id, limit=1)
        return None if row is None else _to_row(row[:5], bytes(row[5]), row[6:])

    def definitions(self, since: int = 0) -> tuple[DefinitionRow, ...]:
        """Every definition registered after revision `since`, oldest first, without bodies."""
        with self._database.read() as session:
            return tuple(_without_body(row) for row in session.all(_SINCE, since=since))


def _without_body(row: Row) -> DefinitionRow:
    return _to_row(row[:5], b"", row[5:])


def _to_row(described: Row, body: bytes, rest: Row) -> DefinitionRow:
    fields: list[Any] = [*described, body, *rest]
    return DefinitionRow(*fields)


def _news(session: Session, rows: list[DefinitionRow]) -> list[DefinitionRow]:
    """Those of one name that have to be written: none, if they are what the store has as the newest, in this order."""
    wanted = list({(row.version, row.code_id): row for row in reversed(rows)}.values())[::-1]
    found = session.all(_OF_NAME, kind=wanted[0].kind, name=wanted[0].name, limit=len(wanted))
    newest = [_without_body(row) for row in reversed(found)]
    if [replace(row, body=b"", revision=0) for row in wanted] == [replace(row, revision=0) for row in newest]:
        return []
    return wanted
