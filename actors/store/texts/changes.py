"""The changes of a group, one statement for each `changes.Op`. Each runs once for all the writes that need it.

Written by `python -m durable_ray.actors.store.statements` from `statements/changes.py`; do not edit.
"""

from __future__ import annotations

from durable_ray.actors.store.sql import Statement

CONSUME = Statement(
    ("row", "instance_id"),
    sqlite=(
        "DELETE FROM inbox "
        "WHERE inbox.\"row\" = ? AND inbox.instance_id = ?"
    ),
    postgresql=(
        "DELETE FROM inbox "
        "WHERE inbox.row = %s::BIGINT AND inbox.instance_id = %s::VARCHAR"
    ),
)

EMPTY_INBOX = Statement(
    ("instance_id",),
    sqlite=(
        "DELETE FROM inbox "
        "WHERE inbox.instance_id = ?"
    ),
    postgresql=(
        "DELETE FROM inbox "
        "WHERE inbox.instance_id = %s::VARCHAR"
    ),
)

DROP_HISTORY = Statement(
    ("instance_id",),
    sqlite=(
        "DELETE FROM history "
        "WHERE history.instance_id = ?"
    ),
    postgresql=(
        "DELETE FROM history "
        "WHERE history.instance_id = %s::VARCHAR"
    ),
)

DROP_TAGS = Statement(
    ("instance_id",),
    sqlite=(
        "DELETE FROM tags "
        "WHERE tags.instance_id = ?"
    ),
    postgresql=(
        "DELETE FROM tags "
        "WHERE tags.instance_id = %s::VARCHAR"
    ),
)

DROP_INPUT = Statement(
    ("instance_id",),
    sqlite=(
        "DELETE FROM inputs "
        "WHERE inputs.instance_id = ?"
    ),
    postgresql=(
        "DELETE FROM inputs "
        "WHERE inputs.instance_id = %s::VARCHAR"
    ),
)

CREATE = Statement(
    (
        "instance_id", "execution_id", "name", "version", "code_id", "placement", "host", "resident",
        "created_at", "created_at", "start_at", "first_due", "parent_id", "parent_execution", "parent_task",
        "tags", "priority", "environment", "settings", "input"
    ),
    sqlite=(
        "INSERT INTO instances (instance_id, execution_id, name, version, code_id, status, placement, host, "
        "resident, turn, events, generation, created_at, updated_at, started_at, completed_at, start_at, "
        "next_due, output, custom_status, failure, parent_id, parent_execution, parent_task, tags, priority, "
        "recoveries, waiting_reason, environment, settings, outstanding, expires, input) "
        "VALUES (?, ?, ?, ?, ?, 'Pending', ?, ?, ?, 0, 0, 0, ?, ?, NULL, NULL, ?, ?, NULL, NULL, NULL, ?, ?, "
        "?, ?, ?, 0, NULL, ?, ?, 0, NULL, ?) "
        "ON CONFLICT (instance_id) DO NOTHING"
    ),
    postgresql=(
        "INSERT INTO instances (instance_id, execution_id, name, version, code_id, status, placement, host, "
        "resident, turn, events, generation, created_at, updated_at, started_at, completed_at, start_at, "
        "next_due, output, custom_status, failure, parent_id, parent_execution, parent_task, tags, priority, "
        "recoveries, waiting_reason, environment, settings, outstanding, expires, input) "
        "VALUES (%s::VARCHAR, %s::VARCHAR, %s::VARCHAR, %s::VARCHAR, %s::VARCHAR, 'Pending', %s::VARCHAR, "
        "%s::VARCHAR, %s, 0, 0, 0, %s::BIGINT, %s::BIGINT, NULL, NULL, %s::BIGINT, %s::BIGINT, NULL, NULL, "
        "NULL, %s::VARCHAR, %s::VARCHAR, %s::BIGINT, %s::VARCHAR, %s::BIGINT, 0, NULL, %s::VARCHAR, "
        "%s::VARCHAR, 0, NULL, %s::VARCHAR) "
        "ON CONFLICT (instance_id) DO NOTHING"
    ),
)

REPLACE = Statement(
    (
        "instance_id", "execution_id", "name", "version", "code_id", "placement", "host", "resident",
        "created_at", "created_at", "start_at", "first_due", "parent_id", "parent_execution", "parent_task",
        "tags", "priority", "environment", "settings", "input"
    ),
    sqlite=(
        "INSERT INTO instances (instance_id, execution_id, name, version, code_id, status, placement, host, "
        "resident, turn, events, generation, created_at, updated_at, started_at, completed_at, start_at, "
        "next_due, output, custom_status, failure, parent_id, parent_execution, parent_task, tags, priority, "
        "recoveries, waiting_reason, environment, settings, outstanding, expires, input) "
        "VALUES (?, ?, ?, ?, ?, 'Pending', ?, ?, ?, 0, 0, 0, ?, ?, NULL, NULL, ?, ?, NULL, NULL, NULL, ?, ?, "
        "?, ?, ?, 0, NULL, ?, ?, 0, NULL, ?) "
        "ON CONFLICT (instance_id) DO UPDATE "
        "SET execution_id = excluded.execution_id, name = excluded.name, version = excluded.version, code_id "
        "= excluded.code_id, status = excluded.status, placement = excluded.placement, host = excluded.host, "
        "resident = excluded.resident, turn = excluded.turn, events = excluded.events, generation = "
        "excluded.generation, created_at = excluded.created_at, updated_at = excluded.updated_at, started_at "
        "= excluded.started_at, completed_at = excluded.completed_at, start_at = excluded.start_at, next_due "
        "= excluded.next_due, output = excluded.output, custom_status = excluded.custom_status, failure = "
        "excluded.failure, parent_id = excluded.parent_id, parent_execution = excluded.parent_execution, "
        "parent_task = excluded.parent_task, tags = excluded.tags, priority = excluded.priority, recoveries = "
        "excluded.recoveries, waiting_reason = excluded.waiting_reason, environment = excluded.environment, "
        "settings = excluded.settings, outstanding = excluded.outstanding, expires = excluded.expires, input "
        "= excluded.input"
    ),
    postgresql=(
        "INSERT INTO instances (instance_id, execution_id, name, version, code_id, status, placement, host, "
        "resident, turn, events, generation, created_at, updated_at, started_at, completed_at, start_at, "
        "next_due, output, custom_status, failure, parent_id, parent_execution, parent_task, tags, priority, "
        "recoveries, waiting_reason, environment, settings, outstanding, expires, input) "
        "VALUES (%s::VARCHAR, %s::VARCHAR, %s::VARCHAR, %s::VARCHAR, %s::VARCHAR, 'Pending', %s::VARCHAR, "
        "%s::VARCHAR, %s, 0, 0, 0, %s::BIGINT, %s::BIGINT, NULL, NULL, %s::BIGINT, %s::BIGINT, NULL, NULL, "
        "NULL, %s::VARCHAR, %s::VARCHAR, %s::BIGINT, %s::VARCHAR, %s::BIGINT, 0, NULL, %s::VARCHAR, "
        "%s::VARCHAR, 0, NULL, %s::VARCHAR) "
        "ON CONFLICT (instance_id) DO UPDATE "
        "SET execution_id = excluded.execution_id, name = excluded.name, version = excluded.version, code_id "
        "= excluded.code_id, status = excluded.status, placement = excluded.placement, host = excluded.host, "
        "resident = excluded.resident, turn = excluded.turn, events = excluded.events, generation = "
        "excluded.generation, created_at = excluded.created_at, updated_at = excluded.updated_at, started_at "
        "= excluded.started_at, completed_at = excluded.completed_at, start_at = excluded.start_at, next_due "
        "= excluded.next_due, output = excluded.output, custom_status = excluded.custom_status, failure = "
        "excluded.failure, parent_id = excluded.parent_id, parent_execution = excluded.parent_execution, "
        "parent_task = excluded.parent_task, tags = excluded.tags, priority = excluded.priority, recoveries = "
        "excluded.recoveries, waiting_reason = excluded.waiting_reason, environment = excluded.environment, "
        "settings = excluded.settings, outstanding = excluded.outstanding, expires = excluded.expires, input "
        "= excluded.input"
    ),
)

TAG = Statement(
    ("key", "value", "created_at", "instance_id"),
    sqlite=(
        "INSERT INTO tags (\"key\", value, created_at, instance_id) "
        "VALUES (?, ?, ?, ?)"
    ),
    postgresql=(
        "INSERT INTO tags (key, value, created_at, instance_id) "
        "VALUES (%s::VARCHAR, %s::VARCHAR, %s::BIGINT, %s::VARCHAR)"
    ),
)

LONG_INPUT = Statement(
    ("instance_id", "body"),
    sqlite=(
        "INSERT INTO inputs (instance_id, body) "
        "VALUES (?, ?)"
    ),
    postgresql=(
        "INSERT INTO inputs (instance_id, body) "
        "VALUES (%s::VARCHAR, %s::VARCHAR)"
    ),
)

WAKE = Statement(
    ("instance_id",),
    sqlite=(
        "UPDATE instances "
        "SET resident=1 "
        "WHERE instances.instance_id = ?"
    ),
    postgresql=(
        "UPDATE instances "
        "SET resident=true "
        "WHERE instances.instance_id = %s::VARCHAR"
    ),
)

STEP = Statement(
    (
        "turn", "first_event", "events", "updated_at", "next_due", "custom_status", "waiting_reason",
        "outstanding", "instance_id", "turn"
    ),
    sqlite=(
        "UPDATE instances "
        "SET turn=(? + 1), events=(? + ?), updated_at=?, next_due=?, custom_status=?, recoveries=0, "
        "waiting_reason=?, outstanding=? "
        "WHERE instances.instance_id = ? AND instances.turn = ?"
    ),
    postgresql=(
        "UPDATE instances "
        "SET turn=(%s::BIGINT + 1), events=(%s::BIGINT + %s::BIGINT), updated_at=%s::BIGINT, "
        "next_due=%s::BIGINT, custom_status=%s::VARCHAR, recoveries=0, waiting_reason=%s::VARCHAR, "
        "outstanding=%s::BIGINT "
        "WHERE instances.instance_id = %s::VARCHAR AND instances.turn = %s::BIGINT"
    ),
)

MOVE = Statement(
    (
        "status", "turn", "first_event", "events", "updated_at", "started_at", "completed_at", "next_due",
        "output", "custom_status", "failure", "waiting_reason", "outstanding", "expires", "instance_id",
        "turn"
    ),
    sqlite=(
        "UPDATE instances "
        "SET status=?, turn=(? + 1), events=(? + ?), updated_at=?, started_at=coalesce(?, "
        "instances.started_at), completed_at=?, next_due=?, output=?, custom_status=?, failure=?, "
        "recoveries=0, waiting_reason=?, outstanding=?, expires=? "
        "WHERE instances.instance_id = ? AND instances.turn = ?"
    ),
    postgresql=(
        "UPDATE instances "
        "SET status=%s::VARCHAR, turn=(%s::BIGINT + 1), events=(%s::BIGINT + %s::BIGINT), "
        "updated_at=%s::BIGINT, started_at=coalesce(%s::BIGINT, instances.started_at), "
        "completed_at=%s::BIGINT, next_due=%s::BIGINT, output=%s::VARCHAR, custom_status=%s::VARCHAR, "
        "failure=%s::VARCHAR, recoveries=0, waiting_reason=%s::VARCHAR, outstanding=%s::BIGINT, "
        "expires=%s::BIGINT "
        "WHERE instances.instance_id = %s::VARCHAR AND instances.turn = %s::BIGINT"
    ),
)

SUCCEED = Statement(
    (
        "next_execution", "version", "code_id", "status", "turn", "first_event", "events", "generation",
        "updated_at", "started_at", "completed_at", "next_due", "output", "custom_status", "failure",
        "waiting_reason", "outstanding", "expires", "input", "instance_id", "turn"
    ),
    sqlite=(
        "UPDATE instances "
        "SET execution_id=?, version=?, code_id=?, status=?, turn=(? + 1), events=(? + ?), generation=?, "
        "updated_at=?, started_at=coalesce(?, instances.started_at), completed_at=?, next_due=?, output=?, "
        "custom_status=?, failure=?, recoveries=0, waiting_reason=?, outstanding=?, expires=?, input=? "
        "WHERE instances.instance_id = ? AND instances.turn = ?"
    ),
    postgresql=(
        "UPDATE instances "
        "SET execution_id=%s::VARCHAR, version=%s::VARCHAR, code_id=%s::VARCHAR, status=%s::VARCHAR, "
        "turn=(%s::BIGINT + 1), events=(%s::BIGINT + %s::BIGINT), generation=%s::BIGINT, "
        "updated_at=%s::BIGINT, started_at=coalesce(%s::BIGINT, instances.started_at), "
        "completed_at=%s::BIGINT, next_due=%s::BIGINT, output=%s::VARCHAR, custom_status=%s::VARCHAR, "
        "failure=%s::VARCHAR, recoveries=0, waiting_reason=%s::VARCHAR, outstanding=%s::BIGINT, "
        "expires=%s::BIGINT, input=%s::VARCHAR "
        "WHERE instances.instance_id = %s::VARCHAR AND instances.turn = %s::BIGINT"
    ),
)

RECODE = Statement(
    ("version", "code_id", "instance_id"),
    sqlite=(
        "UPDATE instances "
        "SET version=?, code_id=? "
        "WHERE instances.instance_id = ?"
    ),
    postgresql=(
        "UPDATE instances "
        "SET version=%s::VARCHAR, code_id=%s::VARCHAR "
        "WHERE instances.instance_id = %s::VARCHAR"
    ),
)

PAUSE = Statement(
    ("status", "instance_id"),
    sqlite=(
        "UPDATE instances "
        "SET status=? "
        "WHERE instances.instance_id = ? AND instances.turn = 0"
    ),
    postgresql=(
        "UPDATE instances "
        "SET status=%s::VARCHAR "
        "WHERE instances.instance_id = %s::VARCHAR AND instances.turn = 0"
    ),
)

END_UNSTARTED = Statement(
    ("status", "events", "at", "at", "output", "failure", "expires", "instance_id"),
    sqlite=(
        "UPDATE instances "
        "SET status=?, turn=1, events=?, updated_at=?, completed_at=?, next_due=NULL, output=?, failure=?, "
        "expires=? "
        "WHERE instances.instance_id = ? AND instances.turn = 0"
    ),
    postgresql=(
        "UPDATE instances "
        "SET status=%s::VARCHAR, turn=1, events=%s::BIGINT, updated_at=%s::BIGINT, completed_at=%s::BIGINT, "
        "next_due=NULL, output=%s::VARCHAR, failure=%s::VARCHAR, expires=%s::BIGINT "
        "WHERE instances.instance_id = %s::VARCHAR AND instances.turn = 0"
    ),
)

SLEEP = Statement(
    ("next_due", "instance_id", "turn"),
    sqlite=(
        "UPDATE instances "
        "SET resident=0, next_due=CASE WHEN (instances.completed_at IS NOT NULL) THEN NULL WHEN "
        "(instances.outstanding > 0) THEN instances.updated_at ELSE ? END "
        "WHERE instances.instance_id = ? AND instances.turn = ?"
    ),
    postgresql=(
        "UPDATE instances "
        "SET resident=false, next_due=CASE WHEN (instances.completed_at IS NOT NULL) THEN NULL WHEN "
        "(instances.outstanding > 0) THEN instances.updated_at ELSE %s::BIGINT END "
        "WHERE instances.instance_id = %s::VARCHAR AND instances.turn = %s::BIGINT"
    ),
)

CHRONICLE = Statement(
    ("instance_id", "execution_id", "first_event", "body"),
    sqlite=(
        "INSERT INTO history (instance_id, execution_id, first_event, body) "
        "VALUES (?, ?, ?, ?)"
    ),
    postgresql=(
        "INSERT INTO history (instance_id, execution_id, first_event, body) "
        "VALUES (%s::VARCHAR, %s::VARCHAR, %s::BIGINT, %s::VARCHAR)"
    ),
)

PUT = Statement(
    ("placement", "host", "instance_id", "message_id", "execution_id", "body"),
    sqlite=(
        "INSERT INTO inbox (placement, host, instance_id, message_id, execution_id, body) "
        "VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (instance_id, message_id) DO NOTHING"
    ),
    postgresql=(
        "INSERT INTO inbox (placement, host, instance_id, message_id, execution_id, body) "
        "VALUES (%s::VARCHAR, %s::VARCHAR, %s::VARCHAR, %s::VARCHAR, %s::VARCHAR, %s::VARCHAR) "
        "ON CONFLICT (instance_id, message_id) DO NOTHING "
        "RETURNING inbox.row"
    ),
)
