"""Permits of limited activities: a row for as long as its attempt waits or runs.

Written by `python -m durable_ray.actors.store.statements` from `statements/permitting.py`; do not edit.
"""

from __future__ import annotations

from durable_ray.actors.store.sql import Statement

RETURN = Statement(
    ("instance_id", "execution_id", "task_id", "attempt"),
    sqlite=(
        "DELETE FROM permits "
        "WHERE permits.instance_id = ? AND permits.execution_id = ? AND permits.task_id = ? AND "
        "permits.attempt = ?"
    ),
    postgresql=(
        "DELETE FROM permits "
        "WHERE permits.instance_id = %s::VARCHAR AND permits.execution_id = %s::VARCHAR AND permits.task_id = "
        "%s::BIGINT AND permits.attempt = %s::BIGINT"
    ),
)

ASK = Statement(
    ("name", "host", "instance_id", "execution_id", "task_id", "attempt", "priority"),
    sqlite=(
        "INSERT INTO permits (name, host, instance_id, execution_id, task_id, attempt, priority, granted) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, 0) "
        "ON CONFLICT (instance_id, execution_id, task_id, attempt) DO NOTHING"
    ),
    postgresql=(
        "INSERT INTO permits (name, host, instance_id, execution_id, task_id, attempt, priority, granted) "
        "VALUES (%s::VARCHAR, %s::VARCHAR, %s::VARCHAR, %s::VARCHAR, %s::BIGINT, %s::BIGINT, %s::BIGINT, "
        "false) "
        "ON CONFLICT (instance_id, execution_id, task_id, attempt) DO NOTHING "
        "RETURNING permits.row"
    ),
)

RUNNING = Statement(
    ("name",),
    sqlite=(
        "SELECT count(*) AS count_1 "
        "FROM permits "
        "WHERE permits.name = ? AND permits.granted IS 1"
    ),
    postgresql=(
        "SELECT count(*) AS count_1 "
        "FROM permits "
        "WHERE permits.name = %s::VARCHAR AND permits.granted IS true"
    ),
)

GRANT = Statement(
    ("name", "room"),
    sqlite=(
        "UPDATE permits "
        "SET granted=1 "
        "WHERE permits.\"row\" IN (SELECT permits.\"row\" FROM permits WHERE permits.name = ? AND permits.granted "
        "IS 0 ORDER BY permits.priority DESC, permits.\"row\" LIMIT ?) "
        "RETURNING name, host, instance_id, execution_id, task_id, attempt, priority"
    ),
    postgresql=(
        "UPDATE permits "
        "SET granted=true "
        "WHERE permits.row IN (SELECT permits.row FROM permits WHERE permits.name = %s::VARCHAR AND "
        "permits.granted IS false ORDER BY permits.priority DESC, permits.row LIMIT %s::BIGINT) "
        "RETURNING permits.name, permits.host, permits.instance_id, permits.execution_id, permits.task_id, "
        "permits.attempt, permits.priority"
    ),
)

GRANTED = Statement(
    ("host", "ids"),
    sqlite=(
        "SELECT permits.name, permits.host, permits.instance_id, permits.execution_id, permits.task_id, "
        "permits.attempt, permits.priority "
        "FROM permits "
        "WHERE permits.host = ? AND permits.granted IS 1 AND permits.instance_id IN (SELECT value FROM "
        "json_each(?))"
    ),
    postgresql=(
        "SELECT permits.name, permits.host, permits.instance_id, permits.execution_id, permits.task_id, "
        "permits.attempt, permits.priority "
        "FROM permits "
        "WHERE permits.host = %s::VARCHAR AND permits.granted IS true AND permits.instance_id = "
        "ANY(%s::TEXT[])"
    ),
)

OF_HOST = Statement(
    ("host",),
    sqlite=(
        "SELECT permits.name, permits.host, permits.instance_id, permits.execution_id, permits.task_id, "
        "permits.attempt, permits.priority, permits.granted "
        "FROM permits "
        "WHERE permits.host = ? "
        "ORDER BY permits.\"row\""
    ),
    postgresql=(
        "SELECT permits.name, permits.host, permits.instance_id, permits.execution_id, permits.task_id, "
        "permits.attempt, permits.priority, permits.granted "
        "FROM permits "
        "WHERE permits.host = %s::VARCHAR "
        "ORDER BY permits.row"
    ),
)

HOLDERS = Statement(
    sqlite=(
        "SELECT DISTINCT permits.host, permits.name "
        "FROM permits "
        "ORDER BY permits.host, permits.name"
    ),
    postgresql=(
        "SELECT DISTINCT permits.host, permits.name "
        "FROM permits "
        "ORDER BY permits.host, permits.name"
    ),
)

FORGET = Statement(
    ("hosts",),
    sqlite=(
        "DELETE FROM permits "
        "WHERE permits.host IN (SELECT value FROM json_each(?)) AND NOT (EXISTS (SELECT 1 FROM instances "
        "WHERE instances.instance_id = permits.instance_id AND instances.host = permits.host AND "
        "instances.outstanding > 0))"
    ),
    postgresql=(
        "DELETE FROM permits "
        "WHERE permits.host = ANY(%s::TEXT[]) AND NOT (EXISTS (SELECT 1 FROM instances WHERE "
        "instances.instance_id = permits.instance_id AND instances.host = permits.host AND "
        "instances.outstanding > 0))"
    ),
)

ALONE = Statement(
    ("name",),
    postgresql="SELECT pg_advisory_xact_lock(1146181965, hashtext(%s::VARCHAR)) AS pg_advisory_xact_lock_1",
)
