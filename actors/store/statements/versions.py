"""Which schema a store has, and whether a table exists."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy import text as raw

from durable_ray.actors.store.schema import version
from durable_ray.actors.store.statements.core import text

FOUND = select(version.c.version_num)
EXISTS = {
    "sqlite": raw("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = :name").bindparams(text("name")),
    "postgresql": raw("SELECT 1 WHERE to_regclass(:name) IS NOT NULL").bindparams(text("name")),
}
