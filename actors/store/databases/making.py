"""Creating the schema and migrating an older one: what needs SQLAlchemy and Alembic, once in a store's life.

A fresh one is made from `schema.py` directly, in milliseconds and without importing Alembic; a test holds that both ways
lead to the same schema.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, create_engine, event
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.base import SQLiteDialect
from sqlalchemy.schema import CreateIndex, CreateTable

from durable_ray.actors.store.contract import StoreUnusable
from durable_ray.actors.store.databases.database import Database
from durable_ray.actors.store.databases.revision import EXISTS, REVISION, found_version
from durable_ray.actors.store.databases.schema import FIRST_HUB_ROW, metadata, version
from durable_ray.actors.store.databases.sqlite_file import driver
from durable_ray.actors.store.sql.statement import Session, Statement

_STAMP = Statement(f"INSERT INTO {version.name} (version_num) VALUES (:revision)")
_FIRST_ROW = Statement(
    f"INSERT INTO hub ({', '.join(FIRST_HUB_ROW)}) VALUES ({', '.join(f':{name}' for name in FIRST_HUB_ROW)})"
)
_DIALECTS = {
    "sqlite": SQLiteDialect(),
    "postgresql": PGDialect_psycopg(),  # type: ignore[no-untyped-call]
}

#: Keeps two processes from making or changing the schema at once; SQLite has one writer anyway.
_ALONE = "SELECT pg_advisory_xact_lock(7241903325)"


def make(database: Database) -> str:
    """Make the schema unless somebody else just did; the revision that the store has then."""

    def body(session: Session) -> str:
        if session.dialect == "postgresql":
            session.plain(_ALONE)
        return found_version(session) or _make(session)

    return database.write(body)


def _make(session: Session) -> str:
    dialect = _DIALECTS[session.dialect]
    for element in (version, *metadata.sorted_tables):
        if session.one(EXISTS, name=element.name) is not None:
            raise StoreUnusable(
                f"this database has a table {element.name!r} that is not durable_ray's; "
                "use a database (or schema) of its own"
            )
        session.plain(str(CreateTable(element).compile(dialect=dialect)))
        for index in sorted(element.indexes, key=lambda index: str(index.name)):
            session.plain(str(CreateIndex(index).compile(dialect=dialect)))
    session.run(_FIRST_ROW, **FIRST_HUB_ROW)
    session.run(_STAMP, revision=REVISION)
    return REVISION


def upgrade(database: Database, found: str) -> None:
    """Migrate a store that is at `found`. Raises StoreUnusable if this release does not know it."""
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

    def run(connection: Connection) -> None:
        config.attributes["connection"] = connection
        command.upgrade(config, REVISION)

    migrate(database, run)


def migrate(database: Database, run: Callable[[Connection], None]) -> None:
    """Call `run` with SQLAlchemy's connection inside a transaction that changes the schema; of several, one runs at a time."""

    def on(raw: Any) -> None:
        with _engine(database, raw).begin() as connection:
            if database.dialect == "postgresql":
                connection.exec_driver_sql(_ALONE)
            run(connection)

    database.apart(on)


def _engine(database: Database, raw: Any) -> Engine:
    """SQLAlchemy, which Alembic works with, on a driver's connection."""
    if database.dialect == "postgresql":
        return create_engine("postgresql+psycopg://", creator=lambda: raw, poolclass=NullPool)
    engine = create_engine("sqlite://", module=driver(), creator=lambda: raw, poolclass=NullPool)
    # The driver begins no transactions by itself; SQLite's own make a migration all or nothing.
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine
