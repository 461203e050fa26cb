"""Instances as values, made of the columns that `statements.rowing` selects, in its order."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from durable_ray.actors.store.records import InboxRow, InstanceRow
from durable_ray.actors.store.sql import Row, Session
from durable_ray.actors.store.texts import rowing as texts
from durable_ray.orchestrations.events import ParentAddress


def to_row(row: Row) -> InstanceRow:
    """The value of one row of an instance."""
    parent_id, parent_execution, parent_task, tags = row[22:26]
    fields: list[Any] = [*row]
    fields[8] = bool(row[8])
    fields[22:26] = [
        ParentAddress(parent_id, parent_execution, parent_task) if parent_id is not None else None,
        json.loads(tags) if tags != "{}" else {},
    ]
    return InstanceRow(*fields)


def read_rows(session: Session, instance_ids: Iterable[str]) -> dict[str, InstanceRow]:
    """The named instances; absent ones are absent."""
    found = session.all(texts.ROWS, ids=session.list(instance_ids))
    return {row[0]: to_row(row) for row in found}


def read_inbox(session: Session, instance_ids: Iterable[str]) -> tuple[InboxRow, ...]:
    """The messages that wait for these instances, oldest first."""
    return tuple(InboxRow(*row) for row in session.all(texts.INBOX, ids=session.list(instance_ids)))
