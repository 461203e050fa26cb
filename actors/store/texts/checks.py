"""What must hold between the tables, asked as what does not.

Written by `python -m durable_ray.actors.store.statements` from `statements/checks.py`; do not edit.
"""

from __future__ import annotations

from durable_ray.actors.store.sql import Statement

TRUTH = Statement(
    sqlite=(
        "SELECT instances.name, instances.status, count(*) AS count_1 "
        "FROM instances "
        "GROUP BY instances.name, instances.status"
    ),
    postgresql=(
        "SELECT instances.name, instances.status, count(*) AS count_1 "
        "FROM instances "
        "GROUP BY instances.name, instances.status"
    ),
)

COUNTED = Statement(
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

AT_ODDS = Statement(
    sqlite=(
        "SELECT instances.instance_id, instances.status "
        "FROM instances "
        "WHERE instances.status IN ('Completed', 'Failed', 'Terminated') AND (instances.completed_at IS NULL "
        "OR instances.completed_at != instances.updated_at OR instances.next_due IS NOT NULL) OR "
        "(instances.status NOT IN ('Completed', 'Failed', 'Terminated')) AND (instances.completed_at IS NOT "
        "NULL OR instances.expires IS NOT NULL)"
    ),
    postgresql=(
        "SELECT instances.instance_id, instances.status "
        "FROM instances "
        "WHERE instances.status IN ('Completed', 'Failed', 'Terminated') AND (instances.completed_at IS NULL "
        "OR instances.completed_at != instances.updated_at OR instances.next_due IS NOT NULL) OR "
        "(instances.status NOT IN ('Completed', 'Failed', 'Terminated')) AND (instances.completed_at IS NOT "
        "NULL OR instances.expires IS NOT NULL)"
    ),
)

MISADDRESSED = Statement(
    sqlite=(
        "SELECT inbox.instance_id, inbox.message_id "
        "FROM inbox "
        "WHERE NOT (EXISTS (SELECT * FROM instances WHERE instances.instance_id = inbox.instance_id AND "
        "instances.completed_at IS NULL AND instances.host = inbox.host AND instances.placement = "
        "inbox.placement))"
    ),
    postgresql=(
        "SELECT inbox.instance_id, inbox.message_id "
        "FROM inbox "
        "WHERE NOT (EXISTS (SELECT * FROM instances WHERE instances.instance_id = inbox.instance_id AND "
        "instances.completed_at IS NULL AND instances.host = inbox.host AND instances.placement = "
        "inbox.placement))"
    ),
)

OLD_HISTORY = Statement(
    sqlite=(
        "SELECT history.instance_id, history.execution_id "
        "FROM history "
        "WHERE NOT (EXISTS (SELECT * FROM instances WHERE instances.instance_id = history.instance_id AND "
        "instances.execution_id = history.execution_id))"
    ),
    postgresql=(
        "SELECT history.instance_id, history.execution_id "
        "FROM history "
        "WHERE NOT (EXISTS (SELECT * FROM instances WHERE instances.instance_id = history.instance_id AND "
        "instances.execution_id = history.execution_id))"
    ),
)

ORPHANED_INPUTS = Statement(
    sqlite=(
        "SELECT inputs.instance_id "
        "FROM inputs "
        "WHERE NOT (EXISTS (SELECT * FROM instances WHERE instances.instance_id = inputs.instance_id))"
    ),
    postgresql=(
        "SELECT inputs.instance_id "
        "FROM inputs "
        "WHERE NOT (EXISTS (SELECT * FROM instances WHERE instances.instance_id = inputs.instance_id))"
    ),
)

ORPHANED_TAGS = Statement(
    sqlite=(
        "SELECT tags.instance_id "
        "FROM tags "
        "WHERE NOT (EXISTS (SELECT * FROM instances WHERE instances.instance_id = tags.instance_id))"
    ),
    postgresql=(
        "SELECT tags.instance_id "
        "FROM tags "
        "WHERE NOT (EXISTS (SELECT * FROM instances WHERE instances.instance_id = tags.instance_id))"
    ),
)
