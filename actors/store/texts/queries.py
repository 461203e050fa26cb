"""What a query asks before it chooses its way: how many there are, and whether a way that has to sort is short.

Written by `python -m durable_ray.actors.store.statements` from `statements/queries.py`; do not edit.
"""

from __future__ import annotations

from durable_ray.actors.store.sql import Statement

COUNTS = Statement(
    sqlite=(
        "SELECT counters.name, counters.status, sum(counters.n) AS sum_1 "
        "FROM counters "
        "GROUP BY counters.name, counters.status"
    ),
    postgresql=(
        "SELECT counters.name, counters.status, sum(counters.n) AS sum_1 "
        "FROM counters "
        "GROUP BY counters.name, counters.status"
    ),
)

MORE_IDS = Statement(
    ("prefix", "prefix_end"),
    sqlite=(
        "SELECT 1 "
        "FROM instances "
        "WHERE instances.instance_id >= ? AND instances.instance_id < ? "
        "LIMIT 1 OFFSET 2000"
    ),
    postgresql=(
        "SELECT 1 "
        "FROM instances "
        "WHERE instances.instance_id >= %s::VARCHAR AND instances.instance_id < %s::VARCHAR "
        "LIMIT 1 OFFSET 2000"
    ),
)

MORE_UPDATED = Statement(
    ("updated_from",),
    sqlite=(
        "SELECT 1 "
        "FROM instances "
        "WHERE instances.completed_at >= ? "
        "LIMIT 1 OFFSET 2000"
    ),
    postgresql=(
        "SELECT 1 "
        "FROM instances "
        "WHERE instances.completed_at >= %s::BIGINT "
        "LIMIT 1 OFFSET 2000"
    ),
)
