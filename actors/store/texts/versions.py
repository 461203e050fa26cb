"""Which schema a store has, and whether a table exists.

Written by `python -m durable_ray.actors.store.statements` from `statements/versions.py`; do not edit.
"""

from __future__ import annotations

from durable_ray.actors.store.sql import Statement

FOUND = Statement(
    sqlite=(
        "SELECT durable_ray_version.version_num "
        "FROM durable_ray_version"
    ),
    postgresql=(
        "SELECT durable_ray_version.version_num "
        "FROM durable_ray_version"
    ),
)

EXISTS = Statement(
    ("name",),
    sqlite=(
        "SELECT 1 "
        "FROM sqlite_master "
        "WHERE type = 'table' AND name = ?"
    ),
    postgresql=(
        "SELECT 1 "
        "WHERE to_regclass(%s::VARCHAR) IS NOT NULL"
    ),
)
