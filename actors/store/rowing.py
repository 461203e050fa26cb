"""Instances as values: the one place that knows which columns make an `InstanceRow`, and in which order."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Select, func, select

from durable_ray.actors.store.records import InboxRow, InstanceRow
from durable_ray.actors.store.schema import inbox, inputs, instances
from durable_ray.actors.store.sql import Row, Session, Statement, among
from durable_ray.orchestrations.events import ParentAddress

_BEFORE_INPUT = (
    "instance_id execution_id name version code_id status placement host resident turn events generation "
    "created_at updated_at started_at completed_at start_at next_due"
).split()
_AFTER_INPUT = (
    "output custom_status failure parent_id parent_execution parent_task tags priority recoveries waiting_reason "
    "environment settings outstanding"
).split()


def select_rows() -> Select[Any]:
    """Instances whole, in the order of columns that `to_row` takes."""
    return select(
        *(instances.c[name] for name in _BEFORE_INPUT),
        func.coalesce(instances.c.input, inputs.c.body),
        *(instances.c[name] for name in _AFTER_INPUT),
    ).select_from(instances.outerjoin(inputs, inputs.c.instance_id == instances.c.instance_id))


def to_row(row: Row) -> InstanceRow:
    """The value of one row of `select_rows`."""
    parent_id, parent_execution, parent_task, tags = row[22:26]
    fields: list[Any] = [*row]
    fields[8] = bool(row[8])
    fields[22:26] = [
        ParentAddress(parent_id, parent_execution, parent_task) if parent_id is not None else None,
        json.loads(tags) if tags != "{}" else {},
    ]
    return InstanceRow(*fields)


_ROWS = Statement(select_rows().where(among(instances.c.instance_id, "ids")))

_INBOX = Statement(
    select(inbox.c.row, inbox.c.instance_id, inbox.c.message_id, inbox.c.execution_id, inbox.c.body)
    .where(among(inbox.c.instance_id, "ids"))
    .order_by(inbox.c.row)
)


def read_rows(session: Session, instance_ids: Iterable[str]) -> dict[str, InstanceRow]:
    """The named instances; absent ones are absent."""
    found = session.all(_ROWS, ids=session.list(instance_ids))
    return {row[0]: to_row(row) for row in found}


def read_inbox(session: Session, instance_ids: Iterable[str]) -> tuple[InboxRow, ...]:
    """The messages that wait for these instances, oldest first."""
    return tuple(InboxRow(*row) for row in session.all(_INBOX, ids=session.list(instance_ids)))
