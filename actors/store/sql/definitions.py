"""Definitions: code by name, version and content, and which of them is the newest.

Every registration that changes anything gets the next revision of the hub; so "newest of a name" is the highest
revision, and a process that has seen revision n asks for what came after n.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import asdict, replace

from durable_ray.actors.store.databases.database import Database
from durable_ray.actors.store.records import DefinitionRow
from durable_ray.actors.store.sql.commits import REVISION
from durable_ray.actors.store.sql.statement import Row, Session, Statement

TAKE_REVISION = Statement("""
    UPDATE hub
    SET definitions_revision = definitions_revision + :by
    RETURNING definitions_revision
    """)
_COLUMNS = DefinitionRow.__struct_fields__
_ALL = ", ".join(_COLUMNS)
#: A body is large: it is read only of the one that is asked for.
_DESCRIBED = ", ".join(["NULL" if name == "body" else name for name in _COLUMNS])
_BODY = _COLUMNS.index("body")

PUT = Statement(f"""
    INSERT INTO definitions ({_ALL})
    VALUES ({", ".join(f":{name}" for name in _COLUMNS)})
    ON CONFLICT (kind, name, version, code_id) DO UPDATE
    SET revision = excluded.revision, how = excluded.how, options = excluded.options,
        runtime_env = excluded.runtime_env, body = excluded.body
    """)
SINCE = Statement(f"SELECT {_DESCRIBED} FROM definitions WHERE revision > :since ORDER BY revision")


def _newest(*more: str, columns: str = _ALL) -> Statement:
    """The newest of a name, of those of which these columns are as asked for."""
    where = " AND ".join(f"{name} = :{name}" for name in ("kind", "name", *more))
    return Statement(f"SELECT {columns} FROM definitions WHERE {where} ORDER BY revision DESC LIMIT :limit")


OF_NAME = _newest(columns=_DESCRIBED)
#: By whether a version is asked for, and a code.
_NEWEST = {
    (False, False): _newest(),
    (True, False): _newest("version"),
    (False, True): _newest("code_id"),
    (True, True): _newest("version", "code_id"),
}


class SqlDefinitions:
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
            taken = session.one(TAKE_REVISION, by=0)
            before = int(taken[0]) if taken else 0
            news = [row for rows in by_name.values() for row in _news(session, rows)]
            if not news:
                return before
            session.one(TAKE_REVISION, by=len(news))
            session.each(
                PUT,
                [asdict(row) | {"revision": at} for at, row in enumerate(news, before + 1)],
            )
            return before + len(news)

        return self._database.write(body)

    def definitions_revision(self) -> int:
        """The hub's definitions revision: all up to it can be read."""
        with self._database.read() as session:
            row = session.one(REVISION)
        return 0 if row is None else int(row[0])

    def definition(
        self, kind: str, name: str, version: str | None = None, code_id: str | None = None
    ) -> DefinitionRow | None:
        """The newest definition of that name (and version); or exactly that code."""
        statement = _NEWEST[version is not None, code_id is not None]
        with self._database.read() as session:
            row = session.one(statement, kind=kind, name=name, version=version, code_id=code_id, limit=1)
        return None if row is None else _to_row(row)

    def definitions(self, since: int = 0) -> tuple[DefinitionRow, ...]:
        """Every definition registered after revision `since`, oldest first, without bodies."""
        with self._database.read() as session:
            return tuple(_to_row(row) for row in session.all(SINCE, since=since))


def _to_row(row: Row) -> DefinitionRow:
    fields: list[Any] = [*row]
    fields[_BODY] = bytes(row[_BODY] or b"")
    return DefinitionRow(*fields)


def _news(session: Session, rows: list[DefinitionRow]) -> list[DefinitionRow]:
    """Those of one name that have to be written: none, if they are what the store has as the newest, in this order."""
    wanted = list({(row.version, row.code_id): row for row in reversed(rows)}.values())[::-1]
    found = session.all(OF_NAME, kind=wanted[0].kind, name=wanted[0].name, limit=len(wanted))
    newest = [_to_row(row) for row in reversed(found)]
    present = [row for row in wanted if not row.absent]
    if present or any(not row.absent for row in newest):
        # What is there stays the newest, whoever else could not deploy something of that name.
        wanted = present
        newest = newest[len(newest) - len(present) :]
    if [replace(row, body=b"", revision=0) for row in wanted] == [replace(row, revision=0) for row in newest]:
        return []
    return wanted
