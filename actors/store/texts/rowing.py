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
