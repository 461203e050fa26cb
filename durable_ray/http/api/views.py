"""Rows and events as `/api/v1` tells them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from durable_ray.actors.instances.status import failure_of, moment
from durable_ray.actors.store.records import InstanceRow, scheduled
from durable_ray.http.answers import opened
from durable_ray.http.api.models import Failure, History, HistoryEntry, Instance
from durable_ray.orchestrations.history.events import Event, TurnStarted
from durable_ray.orchestrations.values.failures import FailureDetails


def instance_of(row: InstanceRow, *, payloads: bool = True) -> Instance:
    """An instance; without `payloads` neither input nor output are shown."""
    failure = failure_of(row.failure)
    return Instance(
        instance_id=row.instance_id,
        name=row.name,
        version=row.version,
        execution_id=row.execution_id,
        status=row.status,
        created_at=moment(row.created_at),
        updated_at=moment(row.updated_at),
        started_at=None if row.started_at is None else moment(row.started_at),
        completed_at=None if row.completed_at is None else moment(row.completed_at),
        scheduled_start=None if (start_at := scheduled(row.start_at)) is None else moment(start_at),
        input=opened(row.input) if payloads else None,
        output=opened(row.output) if payloads else None,
        custom_status=opened(row.custom_status),
        failure=None if failure is None else _failure(failure),
        parent_id=row.parent.instance_id if row.parent else None,
        placement=row.placement,
        priority=row.priority,
        tags=dict(row.tags),
        waiting_reason=row.waiting_reason,
        recoveries=row.recoveries,
        turns=row.turn,
        events=row.events,
    )


def history_of(row: InstanceRow, events: Iterable[Event]) -> History:
    """An execution's history."""
    return History(instance_id=row.instance_id, execution_id=row.execution_id, events=entries_of(events))


def entries_of(events: Iterable[Event]) -> list[HistoryEntry]:
    """Events with their place in the history and the time of their turn; payloads opened."""
    entries: list[HistoryEntry] = []
    at = 0
    for index, event in enumerate(events):
        if isinstance(event, TurnStarted):
            at = event.at
        entries.append(HistoryEntry(index=index, type=type(event).__name__, at=moment(at), **_fields(event)))
    return entries


def _fields(event: Event) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for field in dataclasses.fields(event):
        value = getattr(event, field.name)
        if isinstance(value, FailureDetails):
            shown[field.name] = _failure(value).model_dump()
        elif field.type == "Payload | None":
            shown[field.name] = opened(value)
        elif field.name == "at" or field.name.endswith("_at") or field.name == "began":
            shown[field.name] = moment(value) if value else None
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            shown[field.name] = dataclasses.asdict(value)
        else:
            shown[field.name] = value
    shown.pop("at", None)
    return shown


def _failure(failure: FailureDetails) -> Failure:
    return Failure(
        error_type=failure.error_type,
        message=failure.message,
        stack_trace=failure.stack_trace,
        cause=None if failure.cause is None else _failure(failure.cause),
        members=[_failure(member) for member in failure.members],
    )
