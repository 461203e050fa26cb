"""Which schema this release has: what opening a store compares, without the schema itself."""

from __future__ import annotations

from durable_ray.actors.store.sql.statement import Session, Statement

#: The migration that makes the schema of `schema.py`; `migrations/versions` ends with it.
REVISION = "0002"

#: What stands in its place when all was moved to another database: no hub goes on here.
MOVED = "moved"

#: Where a store says which migration it is at.
VERSION_TABLE = "durable_ray_version"


FOUND = Statement("SELECT version_num FROM durable_ray_version")
EXISTS = Statement(
    sqlite="SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = :name",
    postgresql="SELECT 1 WHERE to_regclass(:name) IS NOT NULL",
)


def found_version(session: Session) -> str | None:
    """The migration that a store is at; None if there is no store."""
    if session.one(EXISTS, name=VERSION_TABLE) is None:
        return None
    row = session.one(FOUND)
    return None if row is None else str(row[0])
