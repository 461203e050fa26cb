"""How a store of an older release becomes one of this release (Alembic). `durable_ray.actors.store.databases.making` runs it.

To change the schema: change `schema.py`, add the next file to `versions/`, set `revision.REVISION` to it. A test
compares a migrated database with `schema.py`, index by index.
"""
