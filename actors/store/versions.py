"""The schema's version: a fresh store gets the newest schema at once, an older one is migrated, a newer one is refused.

Every store says in one row which migration it is at. A fresh one is made from `schema.py` directly, in milliseconds and
without importing Alembic; a test holds that both ways lead to the same schema.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Column, Dialect, MetaData, PrimaryKeyConstraint, String, Table, insert, select
from sqlalchemy import text as raw
from sqlalchemy.schema import CreateIndex, CreateTable

from durable_ray.actors.store.contract import StoreUnusable
from durable_ray.actors.store.database import Database
from durable_ray.actors.store.schema import FIRST_HUB_ROW, REVISION, hub, metadata
from durable_ray.actors.store.sql import Session, Statement, text

VERSION_TABLE = "durable_ray_version"

#: As Alembic makes it.
_version = Table(
    VERSION_TABLE,
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name=f"{VERSION_TABLE}_pkc"),
)

_READ = Statement(select(_version.c.version_num))
_STAMP = Statement(insert(_version).values(version_num=text("revision")))
_FIRST_ROW = Statement(insert(hub).values(FIRST_HUB_ROW))

#: Whether a table exists; and what keeps two processes from making the schema at once (SQLite has one writer anyway).
_EXISTS = {
    "sqlite": Statement(
        raw("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = :name").bindparams(text("name"))
    ),
    "postgresql": Statement(raw("SELECT 1 WHERE to_regclass(:name) IS NOT NULL").bindparams(text("name"))),
}
_ALONE = {"postgresql": "SELECT pg_advisory_xact_lock(7241903325)"}  # the same as a migration's


def bring_up_to_date(database: Database, create: bool) -> None:
    """Make the schema of `database` that of this release.

    Raises StoreUnusable if the store is of a newer release, or has none and `create` is false.
    """
    with database.read() as session:
        found = _found(session, database.dialect)
    if found is None:
        if not create:
            raise StoreUnusable("there is no store in this database; start a hub on it first, or check the URL")
        found = database.write(lambda session: _create(session, database.dialect))
    if found != REVISION:
        _upgrade(database, found)


def _found(session: Session, dialect: Dialect) -> str | None:
    if session.one(_EXISTS[dialect.name], name=VERSION_TABLE) is None:
        return None
    row = session.one(_READ)
    return None if row is None else str(row[0])


def _create(session: Session, dialect: Dialect) -> str:
    """Make the schema unless somebody else just did; the revision that the store has then."""
    if dialect.name in _ALONE:
        session.plain(_ALONE[dialect.name])
    if (found := _found(session, dialect)) is not None:
        return found
    for element in (_version, *metadata.sorted_tables):
        if session.one(_EXISTS[dialect.name], name=element.name) is not None:
            raise StoreUnusable(
                f"this database has a table {element.name!r} that is not durable_ray's; "
                "use a database (or schema) of its own"
            )
        session.plain(str(CreateTable(element).compile(dialect=dialect)))
        for index in sorted(element.indexes, key=lambda index: str(index.name)):
            session.plain(str(CreateIndex(index).compile(dialect=dialect)))
    session.run(_FIRST_ROW)
    session.run(_STAMP, revision=REVISION)
    return REVISION


def _upgrade(database: Database, found: str) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    # Named by folder, so that it is found in a wheel; a percent sign would be read as interpolation.
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found not in known:
        raise StoreUnusable(
            f"this store has schema {found}, this release knows up to {REVISION}; "
            "upgrade durable_ray, or use another store"
        )

    def run(connection: Any) -> None:
        config.attributes["connection"] = connection
        command.upgrade(config, REVISION)

    database.migrate(run)
