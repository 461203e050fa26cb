"""Alembic's entry: migrates the database whose connection (and transaction) `making.py` passes in."""

from __future__ import annotations

from alembic import context

from durable_ray.actors.store.databases.revision import VERSION_TABLE
from durable_ray.actors.store.databases.schema import metadata

connection = context.config.attributes.get("connection")
if connection is None:
    raise RuntimeError("a store is migrated by opening it: durable_ray.actors.store.opening.open_store(url)")
context.configure(connection=connection, target_metadata=metadata, version_table=VERSION_TABLE)
with context.begin_transaction():
    context.run_migrations()
