"""What a group of writes asks before it decides, and what it records beside its changes.

Written by `python -m durable_ray.actors.store.statements` from `statements/group.py`; do not edit.
"""

from __future__ import annotations

from durable_ray.actors.store.sql import Statement

FENCE = Statement(
    ("host",),
    sqlite=(
        "SELECT leases.epoch, hub.boot_epoch, hub.definitions_revision "
        "FROM leases JOIN hub ON 1 = 1 "
        "WHERE leases.host = ?"
    ),
    postgresql=(
        "SELECT leases.epoch, hub.boot_epoch, hub.definitions_revision "
        "FROM leases JOIN hub ON true "
        "WHERE leases.host = %s::VARCHAR "
        "FOR SHARE OF leases"
    ),
)

REVISION = Statement(
    sqlite=(
        "SELECT hub.definitions_revision "
        "FROM hub"
    ),
    postgresql=(
        "SELECT hub.definitions_revision "
        "FROM hub"
    ),
)

KNOWN = Statement(
    ("ids",),
    sqlite=(
        "SELECT instances.instance_id, instances.execution_id, instances.name, instances.placement, "
        "instances.host, instances.resident, instances.status, instances.turn, instances.parent_id, "
        "instances.created_at "
        "FROM instances "
        "WHERE instances.instance_id IN (SELECT value FROM json_each(?)) "
        "ORDER BY instances.instance_id"
    ),
    postgresql=(
        "SELECT instances.instance_id, instances.execution_id, instances.name, instances.placement, "
        "instances.host, instances.resident, instances.status, instances.turn, instances.parent_id, "
        "instances.created_at "
        "FROM instances "
        "WHERE instances.instance_id = ANY(%s::TEXT[]) "
        "ORDER BY instances.instance_id "
        "FOR NO KEY UPDATE"
    ),
)

HAS_MAIL = Statement(
    ("instance_id",),
    sqlite="SELECT EXISTS (SELECT * FROM inbox WHERE inbox.instance_id = ?) AS anon_1",
    postgresql="SELECT EXISTS (SELECT * FROM inbox WHERE inbox.instance_id = %s::VARCHAR) AS anon_1",
)

RECORD = Statement(
    ("request_id", "outcome", "expires"),
    sqlite=(
        "INSERT INTO receipts (request_id, outcome, expires) "
        "VALUES (?, ?, ?) "
        "ON CONFLICT (request_id) DO NOTHING"
    ),
    postgresql=(
        "INSERT INTO receipts (request_id, outcome, expires) "
        "VALUES (%s::VARCHAR, %s::VARCHAR, %s::BIGINT) "
        "ON CONFLICT (request_id) DO NOTHING"
    ),
)

COUNT = Statement(
    ("host", "name", "status", "n"),
    sqlite=(
        "INSERT INTO counters (host, name, status, n) "
        "VALUES (?, ?, ?, ?) "
        "ON CONFLICT (host, name, status) DO UPDATE "
        "SET n = (counters.n + excluded.n)"
    ),
    postgresql=(
        "INSERT INTO counters (host, name, status, n) "
        "VALUES (%s::VARCHAR, %s::VARCHAR, %s::VARCHAR, %s::BIGINT) "
        "ON CONFLICT (host, name, status) DO UPDATE "
        "SET n = (counters.n + excluded.n)"
    ),
)
