"""Finding work: what a host must load, what comes due, who has mail, who waits for a process.

Written by `python -m durable_ray.actors.store.statements` from `statements/work.py`; do not edit.
"""

from __future__ import annotations

from durable_ray.actors.store.sql import Statement

UNFINISHED = Statement(
    ("host", "after", "limit"),
    sqlite=(
        "SELECT instances.instance_id, instances.execution_id, instances.name, instances.version, "
        "instances.code_id, instances.status, instances.placement, instances.host, instances.resident, "
        "instances.turn, instances.events, instances.generation, instances.created_at, instances.updated_at, "
        "instances.started_at, instances.completed_at, instances.start_at, instances.next_due, "
        "coalesce(instances.input, inputs.body) AS coalesce_1, instances.output, instances.custom_status, "
        "instances.failure, instances.parent_id, instances.parent_execution, instances.parent_task, "
        "instances.tags, instances.priority, instances.recoveries, instances.waiting_reason, "
        "instances.environment, instances.settings, instances.outstanding "
        "FROM instances LEFT OUTER JOIN inputs ON inputs.instance_id = instances.instance_id "
        "WHERE instances.host = ? AND instances.completed_at IS NULL AND instances.instance_id > ? "
        "ORDER BY instances.instance_id "
        "LIMIT ?"
    ),
    postgresql=(
        "SELECT instances.instance_id, instances.execution_id, instances.name, instances.version, "
        "instances.code_id, instances.status, instances.placement, instances.host, instances.resident, "
        "instances.turn, instances.events, instances.generation, instances.created_at, instances.updated_at, "
        "instances.started_at, instances.completed_at, instances.start_at, instances.next_due, "
        "coalesce(instances.input, inputs.body) AS coalesce_1, instances.output, instances.custom_status, "
        "instances.failure, instances.parent_id, instances.parent_execution, instances.parent_task, "
        "instances.tags, instances.priority, instances.recoveries, instances.waiting_reason, "
        "instances.environment, instances.settings, instances.outstanding "
        "FROM instances LEFT OUTER JOIN inputs ON inputs.instance_id = instances.instance_id "
        "WHERE instances.host = %s::VARCHAR AND instances.completed_at IS NULL AND instances.instance_id > "
        "%s::VARCHAR "
        "ORDER BY instances.instance_id "
        "LIMIT %s::BIGINT"
    ),
)

DUE = Statement(
    ("host", "until", "limit"),
    sqlite=(
        "SELECT instances.instance_id, instances.next_due "
        "FROM instances "
        "WHERE instances.host = ? AND instances.next_due <= ? "
        "ORDER BY instances.next_due "
        "LIMIT ?"
    ),
    postgresql=(
        "SELECT instances.instance_id, instances.next_due "
        "FROM instances "
        "WHERE instances.host = %s::VARCHAR AND instances.next_due <= %s::BIGINT "
        "ORDER BY instances.next_due "
        "LIMIT %s::BIGINT"
    ),
)

REVIVE = Statement(
    ("host", "until", "host"),
    sqlite=(
        "SELECT instances.instance_id "
        "FROM instances "
        "WHERE instances.host = ? AND instances.completed_at IS NULL AND (instances.outstanding > 0 OR "
        "instances.next_due <= ?) "
        "UNION "
        "SELECT inbox.instance_id "
        "FROM inbox "
        "WHERE inbox.placement IN ('dedicated', 'shared') AND inbox.host = ?"
    ),
    postgresql=(
        "SELECT instances.instance_id "
        "FROM instances "
        "WHERE instances.host = %s::VARCHAR AND instances.completed_at IS NULL AND (instances.outstanding > 0 "
        "OR instances.next_due <= %s::BIGINT) "
        "UNION "
        "SELECT inbox.instance_id "
        "FROM inbox "
        "WHERE inbox.placement IN ('dedicated', 'shared') AND inbox.host = %s::VARCHAR"
    ),
)

MAIL = Statement(
    ("host", "limit"),
    sqlite=(
        "SELECT DISTINCT inbox.instance_id "
        "FROM inbox "
        "WHERE inbox.placement IN ('dedicated', 'shared') AND inbox.host = ? "
        "LIMIT ?"
    ),
    postgresql=(
        "SELECT DISTINCT inbox.instance_id "
        "FROM inbox "
        "WHERE inbox.placement IN ('dedicated', 'shared') AND inbox.host = %s::VARCHAR "
        "LIMIT %s::BIGINT"
    ),
)

BUSY_HOSTS = Statement(
    sqlite=(
        "SELECT counters.host "
        "FROM counters "
        "WHERE counters.n > 0 AND counters.host != '' AND counters.status IN ('Running', 'Suspended') "
        "UNION "
        "SELECT inbox.host "
        "FROM inbox "
        "WHERE inbox.placement = 'shared'"
    ),
    postgresql=(
        "SELECT counters.host "
        "FROM counters "
        "WHERE counters.n > 0 AND counters.host != '' AND counters.status IN ('Running', 'Suspended') "
        "UNION "
        "SELECT inbox.host "
        "FROM inbox "
        "WHERE inbox.placement = 'shared'"
    ),
)

PENDING_HOSTS = Statement(
    sqlite=(
        "SELECT DISTINCT counters.host "
        "FROM counters "
        "WHERE counters.n > 0 AND counters.host != '' AND counters.status = 'Pending'"
    ),
    postgresql=(
        "SELECT DISTINCT counters.host "
        "FROM counters "
        "WHERE counters.n > 0 AND counters.host != '' AND counters.status = 'Pending'"
    ),
)

UNSTARTED = Statement(
    ("until", "limit"),
    sqlite=(
        "SELECT instances.instance_id, instances.priority, instances.created_at "
        "FROM instances INDEXED BY ix_instances_admission "
        "WHERE instances.placement = 'dedicated' AND instances.status = 'Pending' AND instances.resident IS 0 "
        "AND instances.next_due <= ? "
        "ORDER BY instances.priority DESC, instances.created_at, instances.instance_id "
        "LIMIT ?"
    ),
    postgresql=(
        "SELECT instances.instance_id, instances.priority, instances.created_at "
        "FROM instances "
        "WHERE instances.placement = 'dedicated' AND instances.status = 'Pending' AND instances.resident IS "
        "false AND instances.next_due <= %s::BIGINT "
        "ORDER BY instances.priority DESC, instances.created_at, instances.instance_id "
        "LIMIT %s::BIGINT"
    ),
)

WOKEN = Statement(
    ("until", "until"),
    sqlite=(
        "SELECT instances.instance_id, instances.priority, instances.created_at "
        "FROM instances "
        "WHERE instances.placement = 'dedicated' AND instances.next_due <= ? AND instances.status != "
        "'Pending' AND instances.resident IS 0 "
        "UNION "
        "SELECT instances.instance_id, instances.priority, instances.created_at "
        "FROM inbox JOIN instances ON instances.instance_id = inbox.instance_id "
        "WHERE inbox.placement = 'dedicated' AND instances.resident IS 0 AND (instances.turn > 0 OR "
        "instances.next_due <= ?)"
    ),
    postgresql=(
        "SELECT instances.instance_id, instances.priority, instances.created_at "
        "FROM instances "
        "WHERE instances.placement = 'dedicated' AND instances.next_due <= %s::BIGINT AND instances.status != "
        "'Pending' AND instances.resident IS false "
        "UNION "
        "SELECT instances.instance_id, instances.priority, instances.created_at "
        "FROM inbox JOIN instances ON instances.instance_id = inbox.instance_id "
        "WHERE inbox.placement = 'dedicated' AND instances.resident IS false AND (instances.turn > 0 OR "
        "instances.next_due <= %s::BIGINT)"
    ),
)

NEXT = Statement(
    ("after", "limit"),
    sqlite=(
        "SELECT instances.next_due "
        "FROM instances "
        "WHERE instances.placement = 'dedicated' AND instances.next_due > ? AND instances.resident IS 0 "
        "ORDER BY instances.next_due "
        "LIMIT ?"
    ),
    postgresql=(
        "SELECT instances.next_due "
        "FROM instances "
        "WHERE instances.placement = 'dedicated' AND instances.next_due > %s::BIGINT AND instances.resident "
        "IS false "
        "ORDER BY instances.next_due "
        "LIMIT %s::BIGINT"
    ),
)

RESIDENTS = Statement(
    sqlite=(
        "SELECT instances.instance_id "
        "FROM instances INDEXED BY ix_instances_resident "
        "WHERE instances.placement = 'dedicated' AND instances.resident AND instances.completed_at IS NULL "
        "ORDER BY instances.instance_id"
    ),
    postgresql=(
        "SELECT instances.instance_id "
        "FROM instances "
        "WHERE instances.placement = 'dedicated' AND instances.resident AND instances.completed_at IS NULL "
        "ORDER BY instances.instance_id"
    ),
)
