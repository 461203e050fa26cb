"""What is known by name.

Written by `python -m durable_ray.actors.store.statements` from `statements/reads.py`; do not edit.
"""

from __future__ import annotations

from durable_ray.actors.store.sql import Statement

HISTORIES = Statement(
    ("ids",),
    sqlite=(
        "SELECT history.instance_id, history.execution_id, history.body "
        "FROM history "
        "WHERE history.instance_id IN (SELECT value FROM json_each(?)) "
        "ORDER BY history.instance_id, history.execution_id, history.first_event"
    ),
    postgresql=(
        "SELECT history.instance_id, history.execution_id, history.body "
        "FROM history "
        "WHERE history.instance_id = ANY(%s::TEXT[]) "
        "ORDER BY history.instance_id, history.execution_id, history.first_event"
    ),
)

RECEIPTS = Statement(
    ("ids",),
    sqlite=(
        "SELECT receipts.request_id, receipts.outcome "
        "FROM receipts "
        "WHERE receipts.request_id IN (SELECT value FROM json_each(?))"
    ),
    postgresql=(
        "SELECT receipts.request_id, receipts.outcome "
        "FROM receipts "
        "WHERE receipts.request_id = ANY(%s::TEXT[])"
    ),
)
