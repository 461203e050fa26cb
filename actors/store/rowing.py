"""Instances as values, made of the columns that `statements.rowing` selects, in its order."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from durable_ray.actors.store.records import InboxRow, InstanceRow, Payloads
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


def read_rows(session: Session, instance_ids: Iterable[str], payloads: Payloads = "all") -> dict[str, InstanceRow]:
    """The named instances, with those payloads; absent ones are absent."""
    found = session.all(_ROWS[payloads], ids=session.list(instance_ids))
    return {row[0]: to_row(row) for row in found}


def read_sizes(session: Session, instance_ids: Iterable[str], payloads: Payloads) -> dict[str, int]:
    """How many bytes of payloads each row would bring."""
    found = session.all(texts.SIZES, ids=session.list(instance_ids))
    return {
        instance_id: other + (0 if payloads == "none" else output) + (size if payloads == "all" else 0)
        for instance_id, size, output, other in found
    }


_ROWS = {"all": texts.ROWS, "output": texts.ROWS_WITHOUT_INPUT, "none": texts.ROWS_WITHOUT_PAYLOADS}


def read_inbox(session: Session, instance_ids: Iterable[str]) -> tuple[InboxRow, ...]:
    """The messages that wait for these instances, oldest first."""
    return tuple(InboxRow(*row) for row in session.all(texts.INBOX, ids=session.list(instance_ids)))
