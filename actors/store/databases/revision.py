"""Which schema this release has: what opening a store compares, without the schema itself."""

from __future__ import annotations

#: The migration that makes the schema of `schema.py`; `migrations/versions` ends with it.
REVISION = "0002"

#: Where a store says which migration it is at.
VERSION_TABLE = "durable_ray_version"
