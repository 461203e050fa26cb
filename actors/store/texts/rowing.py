"""Instances whole, and their mail: the one place that knows which columns make an `InstanceRow`, and in which order.

Written by `python -m durable_ray.actors.store.statements` from `statements/rowing.py`; do not edit.
"""

from __future__ import annotations

from durable_ray.actors.store.sql import Statement

ROWS = Statement(
    ("ids",),
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
        "WHERE instances.instance_id IN (SELECT value FROM json_each(?))"
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
        "WHERE instances.instance_id = ANY(%s::TEXT[])"
    ),
)

ROWS_WITHOUT_INPUT = Statement(
    ("ids",),
    sqlite=(
        "SELECT instances.instance_id, instances.execution_id, instances.name, instances.version, "
        "instances.code_id, instances.status, instances.placement, instances.host, instances.resident, "
        "instances.turn, instances.events, instances.generation, instances.created_at, instances.updated_at, "
        "instances.started_at, instances.completed_at, instances.start_at, instances.next_due, NULL, "
        "instances.output, instances.custom_status, instances.failure, instances.parent_id, "
        "instances.parent_execution, instances.parent_task, instances.tags, instances.priority, "
        "instances.recoveries, instances.waiting_reason, instances.environment, instances.settings, "
        "instances.outstanding "
        "FROM instances "
        "WHERE instances.instance_id IN (SELECT value FROM json_each(?))"
    ),
    postgresql=(
        "SELECT instances.instance_id, instances.execution_id, instances.name, instances.version, "
        "instances.code_id, instances.status, instances.placement, instances.host, instances.resident, "
        "instances.turn, instances.events, instances.generation, instances.created_at, instances.updated_at, "
        "instances.started_at, instances.completed_at, instances.start_at, instances.next_due, NULL, "
        "instances.output, instances.custom_status, instances.failure, instances.parent_id, "
        "instances.parent_execution, instances.parent_task, instances.tags, instances.priority, "
        "instances.recoveries, instances.waiting_reason, instances.environment, instances.settings, "
        "instances.outstanding "
        "FROM instances "
        "WHERE instances.instance_id = ANY(%s::TEXT[])"
    ),
)

ROWS_WITHOUT_PAYLOADS = Statement(
    ("ids",),
    sqlite=(
        "SELECT instances.instance_id, instances.execution_id, instances.name, instances.version, "
        "instances.code_id, instances.status, instances.placement, instances.host, instances.resident, "
        "instances.turn, instances.events, instances.generation, instances.created_at, instances.updated_at, "
        "instances.started_at, instances.completed_at, instances.start_at, instances.next_due, NULL, NULL, "
        "instances.custom_status, instances.failure, instances.parent_id, instances.parent_execution, "
        "instances.parent_task, instances.tags, instances.priority, instances.recoveries, "
        "instances.waiting_reason, instances.environment, instances.settings, instances.outstanding "
        "FROM instances "
        "WHERE instances.instance_id IN (SELECT value FROM json_each(?))"
    ),
    postgresql=(
        "SELECT instances.instance_id, instances.execution_id, instances.name, instances.version, "
        "instances.code_id, instances.status, instances.placement, instances.host, instances.resident, "
        "instances.turn, instances.events, instances.generation, instances.created_at, instances.updated_at, "
        "instances.started_at, instances.completed_at, instances.start_at, instances.next_due, NULL, NULL, "
        "instances.custom_status, instances.failure, instances.parent_id, instances.parent_execution, "
        "instances.parent_task, instances.tags, instances.priority, instances.recoveries, "
        "instances.waiting_reason, instances.environment, instances.settings, instances.outstanding "
        "FROM instances "
        "WHERE instances.instance_id = ANY(%s::TEXT[])"
    ),
)

SIZES = Statement(
    ("ids",),
    sqlite=(
        "SELECT instances.instance_id, coalesce(octet_length(instances.input), octet_length(inputs.body), 0) "
        "AS coalesce_1, coalesce(octet_length(instances.output), 0) AS coalesce_2, "
        "coalesce(octet_length(instances.custom_status), 0) + coalesce(octet_length(instances.failure), 0) AS "
        "anon_1 "
        "FROM instances LEFT OUTER JOIN inputs ON inputs.instance_id = instances.instance_id "
        "WHERE instances.instance_id IN (SELECT value FROM json_each(?))"
    ),
    postgresql=(
        "SELECT instances.instance_id, coalesce(octet_length(instances.input), octet_length(inputs.body), 0) "
        "AS coalesce_1, coalesce(octet_length(instances.output), 0) AS coalesce_2, "
        "coalesce(octet_length(instances.custom_status), 0) + coalesce(octet_length(instances.failure), 0) AS "
        "anon_1 "
        "FROM instances LEFT OUTER JOIN inputs ON inputs.instance_id = instances.instance_id "
        "WHERE instances.instance_id = ANY(%s::TEXT[])"
    ),
)

LIVE_STANDINGS = Statement(
    ("after_host", "after_id", "limit"),
    sqlite=(
        "SELECT instances.host, instances.instance_id, instances.execution_id, instances.turn, "
        "instances.status, instances.events, instances.waiting_reason "
        "FROM instances "
        "WHERE instances.completed_at IS NULL AND (instances.host, instances.instance_id) > (?, ?) "
        "ORDER BY instances.host, instances.instance_id "
        "LIMIT ?"
    ),
    postgresql=(
        "SELECT instances.host, instances.instance_id, instances.execution_id, instances.turn, "
        "instances.status, instances.events, instances.waiting_reason "
        "FROM instances "
        "WHERE instances.completed_at IS NULL AND (instances.host, instances.instance_id) > (%s::VARCHAR, "
        "%s::VARCHAR) "
        "ORDER BY instances.host, instances.instance_id "
        "LIMIT %s::BIGINT"
    ),
)

ENDED_STANDINGS = Statement(
    ("after_at", "after_at", "after_id", "limit"),
    sqlite=(
        "SELECT instances.completed_at, instances.instance_id, instances.execution_id, instances.turn, "
        "instances.status, instances.events, instances.waiting_reason "
        "FROM instances "
        "WHERE instances.completed_at >= ? AND (instances.completed_at, instances.instance_id) > (?, ?) "
        "ORDER BY instances.completed_at, instances.instance_id "
        "LIMIT ?"
    ),
    postgresql=(
        "SELECT instances.completed_at, instances.instance_id, instances.execution_id, instances.turn, "
        "instances.status, instances.events, instances.waiting_reason "
        "FROM instances "
        "WHERE instances.completed_at >= %s::BIGINT AND (instances.completed_at, instances.instance_id) > "
        "(%s::BIGINT, %s::VARCHAR) "
        "ORDER BY instances.completed_at, instances.instance_id "
        "LIMIT %s::BIGINT"
    ),
)

INBOX = Statement(
    ("ids",),
    sqlite=(
        "SELECT inbox.\"row\", inbox.instance_id, inbox.message_id, inbox.execution_id, inbox.body "
        "FROM inbox "
        "WHERE inbox.instance_id IN (SELECT value FROM json_each(?)) "
        "ORDER BY inbox.\"row\""
    ),
    postgresql=(
        "SELECT inbox.row, inbox.instance_id, inbox.message_id, inbox.execution_id, inbox.body "
        "FROM inbox "
        "WHERE inbox.instance_id = ANY(%s::TEXT[]) "
        "ORDER BY inbox.row"
    ),
)
