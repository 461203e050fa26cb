"""Owning the hub and its hosts, marking processes, letting go of what is over.

Written by `python -m durable_ray.actors.store.statements` from `statements/upkeep.py`; do not edit.
"""

from __future__ import annotations

from durable_ray.actors.store.sql import Statement

HUB = Statement(
    sqlite=(
        "SELECT hub.name, hub.boot_epoch, hub.cluster, hub.address, hub.heartbeat, hub.protocol, "
        "hub.partitions, hub.settings "
        "FROM hub"
    ),
    postgresql=(
        "SELECT hub.name, hub.boot_epoch, hub.cluster, hub.address, hub.heartbeat, hub.protocol, "
        "hub.partitions, hub.settings "
        "FROM hub"
    ),
)

FOUND = Statement(
    ("name", "partitions", "settings"),
    sqlite=(
        "UPDATE hub "
        "SET name=?, boot_epoch=0, partitions=?, settings=?"
    ),
    postgresql=(
        "UPDATE hub "
        "SET name=%s::VARCHAR, boot_epoch=0, partitions=%s::BIGINT, settings=%s::VARCHAR"
    ),
)

NEW_BOOT = Statement(
    ("cluster",),
    sqlite=(
        "UPDATE hub "
        "SET boot_epoch=(hub.boot_epoch + 1), cluster=?"
    ),
    postgresql=(
        "UPDATE hub "
        "SET boot_epoch=(hub.boot_epoch + 1), cluster=%s::VARCHAR"
    ),
)

FENCE_ALL = Statement(
    sqlite=(
        "UPDATE leases "
        "SET epoch=(leases.epoch + 1)"
    ),
    postgresql=(
        "UPDATE leases "
        "SET epoch=(leases.epoch + 1)"
    ),
)

ADDRESS = Statement(
    ("address", "now", "protocol"),
    sqlite=(
        "UPDATE hub "
        "SET address=?, heartbeat=?, protocol=?"
    ),
    postgresql=(
        "UPDATE hub "
        "SET address=%s::VARCHAR, heartbeat=%s::BIGINT, protocol=%s::BIGINT"
    ),
)

HEARTBEAT = Statement(
    ("now", "cluster", "boot_epoch"),
    sqlite=(
        "UPDATE hub "
        "SET heartbeat=? "
        "WHERE hub.cluster = ? AND hub.boot_epoch = ?"
    ),
    postgresql=(
        "UPDATE hub "
        "SET heartbeat=%s::BIGINT "
        "WHERE hub.cluster = %s::VARCHAR AND hub.boot_epoch = %s::BIGINT"
    ),
)

LEASE = Statement(
    ("host",),
    sqlite=(
        "INSERT INTO leases (host, epoch) "
        "VALUES (?, (SELECT hub.lease_floor + 1 AS anon_1 FROM hub)) "
        "ON CONFLICT (host) DO UPDATE "
        "SET epoch = (leases.epoch + 1) "
        "RETURNING epoch"
    ),
    postgresql=(
        "INSERT INTO leases (host, epoch) "
        "VALUES (%s::VARCHAR, (SELECT hub.lease_floor + 1 AS anon_1 FROM hub)) "
        "ON CONFLICT (host) DO UPDATE "
        "SET epoch = (leases.epoch + 1) "
        "RETURNING leases.epoch"
    ),
)

BOOT = Statement(
    sqlite=(
        "SELECT hub.boot_epoch "
        "FROM hub"
    ),
    postgresql=(
        "SELECT hub.boot_epoch "
        "FROM hub "
        "FOR SHARE"
    ),
)

WITH_PROCESS = Statement(
    ("ids",),
    sqlite=(
        "UPDATE instances "
        "SET resident=1 "
        "WHERE instances.instance_id IN (SELECT value FROM json_each(?)) AND instances.placement = "
        "'dedicated' AND instances.resident IS 0"
    ),
    postgresql=(
        "UPDATE instances "
        "SET resident=true "
        "WHERE instances.instance_id = ANY(%s::TEXT[]) AND instances.placement = 'dedicated' AND "
        "instances.resident IS false"
    ),
)

WITHOUT_PROCESS = Statement(
    ("ids",),
    sqlite=(
        "UPDATE instances "
        "SET resident=0, next_due=CASE WHEN (instances.completed_at IS NOT NULL) THEN NULL WHEN "
        "(instances.outstanding > 0) THEN instances.updated_at ELSE instances.next_due END "
        "WHERE instances.instance_id IN (SELECT value FROM json_each(?)) AND instances.placement = "
        "'dedicated' AND instances.resident IS 1"
    ),
    postgresql=(
        "UPDATE instances "
        "SET resident=false, next_due=CASE WHEN (instances.completed_at IS NOT NULL) THEN NULL WHEN "
        "(instances.outstanding > 0) THEN instances.updated_at ELSE instances.next_due END "
        "WHERE instances.instance_id = ANY(%s::TEXT[]) AND instances.placement = 'dedicated' AND "
        "instances.resident IS true"
    ),
)

RECOVERY = Statement(
    ("instance_id",),
    sqlite=(
        "UPDATE instances "
        "SET recoveries=(instances.recoveries + 1) "
        "WHERE instances.instance_id = ? "
        "RETURNING recoveries"
    ),
    postgresql=(
        "UPDATE instances "
        "SET recoveries=(instances.recoveries + 1) "
        "WHERE instances.instance_id = %s::VARCHAR "
        "RETURNING instances.recoveries"
    ),
)

ISOLATE = Statement(
    ("own_host", "instance_id", "host"),
    sqlite=(
        "UPDATE instances "
        "SET placement='dedicated', host=?, resident=0, next_due=CASE WHEN (instances.completed_at IS NOT "
        "NULL) THEN NULL WHEN (instances.outstanding > 0) THEN instances.updated_at ELSE instances.next_due "
        "END "
        "WHERE instances.instance_id = ? AND instances.host = ? AND instances.placement = 'shared' AND "
        "instances.completed_at IS NULL "
        "RETURNING name, status"
    ),
    postgresql=(
        "UPDATE instances "
        "SET placement='dedicated', host=%s::VARCHAR, resident=false, next_due=CASE WHEN "
        "(instances.completed_at IS NOT NULL) THEN NULL WHEN (instances.outstanding > 0) THEN "
        "instances.updated_at ELSE instances.next_due END "
        "WHERE instances.instance_id = %s::VARCHAR AND instances.host = %s::VARCHAR AND instances.placement = "
        "'shared' AND instances.completed_at IS NULL "
        "RETURNING instances.name, instances.status"
    ),
)

ISOLATE_MAIL = Statement(
    ("own_host", "instance_id"),
    sqlite=(
        "UPDATE inbox "
        "SET placement='dedicated', host=? "
        "WHERE inbox.instance_id = ?"
    ),
    postgresql=(
        "UPDATE inbox "
        "SET placement='dedicated', host=%s::VARCHAR "
        "WHERE inbox.instance_id = %s::VARCHAR"
    ),
)

ISOLATE_PERMITS = Statement(
    ("own_host", "instance_id"),
    sqlite=(
        "UPDATE permits "
        "SET host=? "
        "WHERE permits.instance_id = ?"
    ),
    postgresql=(
        "UPDATE permits "
        "SET host=%s::VARCHAR "
        "WHERE permits.instance_id = %s::VARCHAR"
    ),
)

WHY = Statement(
    ("reason", "instance_id"),
    sqlite=(
        "UPDATE instances "
        "SET waiting_reason=? "
        "WHERE instances.instance_id = ? AND instances.completed_at IS NULL"
    ),
    postgresql=(
        "UPDATE instances "
        "SET waiting_reason=%s::VARCHAR "
        "WHERE instances.instance_id = %s::VARCHAR AND instances.completed_at IS NULL"
    ),
)

FINISHED = Statement(
    ("ids",),
    sqlite=(
        "SELECT instances.instance_id, instances.execution_id, instances.turn, instances.placement, "
        "instances.host, instances.name, instances.status "
        "FROM instances "
        "WHERE instances.instance_id IN (SELECT value FROM json_each(?)) AND instances.completed_at IS NOT "
        "NULL "
        "ORDER BY instances.instance_id"
    ),
    postgresql=(
        "SELECT instances.instance_id, instances.execution_id, instances.turn, instances.placement, "
        "instances.host, instances.name, instances.status "
        "FROM instances "
        "WHERE instances.instance_id = ANY(%s::TEXT[]) AND instances.completed_at IS NOT NULL "
        "ORDER BY instances.instance_id "
        "FOR UPDATE"
    ),
)

OWNED = (
    Statement(
        ("ids",),
        sqlite=(
            "DELETE FROM inbox "
            "WHERE inbox.instance_id IN (SELECT value FROM json_each(?))"
        ),
        postgresql=(
            "DELETE FROM inbox "
            "WHERE inbox.instance_id = ANY(%s::TEXT[])"
        ),
    ),
    Statement(
        ("ids",),
        sqlite=(
            "DELETE FROM history "
            "WHERE history.instance_id IN (SELECT value FROM json_each(?))"
        ),
        postgresql=(
            "DELETE FROM history "
            "WHERE history.instance_id = ANY(%s::TEXT[])"
        ),
    ),
    Statement(
        ("ids",),
        sqlite=(
            "DELETE FROM tags "
            "WHERE tags.instance_id IN (SELECT value FROM json_each(?))"
        ),
        postgresql=(
            "DELETE FROM tags "
            "WHERE tags.instance_id = ANY(%s::TEXT[])"
        ),
    ),
    Statement(
        ("ids",),
        sqlite=(
            "DELETE FROM inputs "
            "WHERE inputs.instance_id IN (SELECT value FROM json_each(?))"
        ),
        postgresql=(
            "DELETE FROM inputs "
            "WHERE inputs.instance_id = ANY(%s::TEXT[])"
        ),
    ),
    Statement(
        ("ids",),
        sqlite=(
            "DELETE FROM instances "
            "WHERE instances.instance_id IN (SELECT value FROM json_each(?))"
        ),
        postgresql=(
            "DELETE FROM instances "
            "WHERE instances.instance_id = ANY(%s::TEXT[])"
        ),
    ),
)

RAISE_FLOOR = Statement(
    ("hosts", "hosts"),
    sqlite=(
        "UPDATE hub "
        "SET lease_floor=(SELECT max(leases.epoch) AS max_1 FROM leases WHERE leases.host IN (SELECT value "
        "FROM json_each(?))) "
        "WHERE hub.lease_floor < (SELECT max(leases.epoch) AS max_2 FROM leases WHERE leases.host IN (SELECT "
        "value FROM json_each(?)))"
    ),
    postgresql=(
        "UPDATE hub "
        "SET lease_floor=(SELECT max(leases.epoch) AS max_1 FROM leases WHERE leases.host = ANY(%s::TEXT[])) "
        "WHERE hub.lease_floor < (SELECT max(leases.epoch) AS max_2 FROM leases WHERE leases.host = "
        "ANY(%s::TEXT[]))"
    ),
)

DROP_LEASES = Statement(
    ("hosts",),
    sqlite=(
        "DELETE FROM leases "
        "WHERE leases.host IN (SELECT value FROM json_each(?))"
    ),
    postgresql=(
        "DELETE FROM leases "
        "WHERE leases.host = ANY(%s::TEXT[])"
    ),
)

FORGET = Statement(
    ("before", "limit"),
    sqlite=(
        "DELETE FROM receipts "
        "WHERE receipts.request_id IN (SELECT receipts.request_id FROM receipts WHERE receipts.expires < ? "
        "ORDER BY receipts.expires LIMIT ?)"
    ),
    postgresql=(
        "DELETE FROM receipts "
        "WHERE receipts.request_id IN (SELECT receipts.request_id FROM receipts WHERE receipts.expires < "
        "%s::BIGINT ORDER BY receipts.expires LIMIT %s::BIGINT)"
    ),
)

EXPIRED = Statement(
    ("now", "limit"),
    sqlite=(
        "SELECT instances.instance_id, instances.execution_id, instances.turn "
        "FROM instances "
        "WHERE instances.expires <= ? "
        "ORDER BY instances.expires "
        "LIMIT ?"
    ),
    postgresql=(
        "SELECT instances.instance_id, instances.execution_id, instances.turn "
        "FROM instances "
        "WHERE instances.expires <= %s::BIGINT "
        "ORDER BY instances.expires "
        "LIMIT %s::BIGINT"
    ),
)
