"""Instances whole, and their mail: the one place that knows which columns make an `InstanceRow`, and in which order."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, func, select

from durable_ray.actors.store.schema import inbox, inputs, instances
from durable_ray.actors.store.statements.core import among

_before_input = (
    "instance_id execution_id name version code_id status placement host resident turn events generation "
    "created_at updated_at started_at completed_at start_at next_due"
).split()
_after_input = (
    "output custom_status failure parent_id parent_execution parent_task tags priority recoveries waiting_reason "
    "environment settings outstanding"
).split()


def whole() -> Select[Any]:
    """Instances whole, in the order of columns that `rowing.to_row` takes."""
    return select(
        *(instances.c[name] for name in _before_input),
        func.coalesce(instances.c.input, inputs.c.body),
        *(instances.c[name] for name in _after_input),
    ).select_from(instances.outerjoin(inputs, inputs.c.instance_id == instances.c.instance_id))


ROWS = whole().where(among(instances.c.instance_id, "ids"))
INBOX = (
    select(inbox.c.row, inbox.c.instance_id, inbox.c.message_id, inbox.c.execution_id, inbox.c.body)
    .where(among(inbox.c.instance_id, "ids"))
    .order_by(inbox.c.row)
)
