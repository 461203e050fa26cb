"""Instances and histories as JSON, for the HTTP gateway and the command line alike: the resources of `/api/v1`.

Payloads are JSON values. One that only Python can read stays closed and is shown as a note: opening a pickle runs its author's
code, and the reader may lack the modules.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic_core import from_json

from durable_ray.actors.instances.status import failure_of, moment
from durable_ray.actors.instances.waits import Wait
from durable_ray.actors.store.records import InstanceRow
from durable_ray.orchestrations.history.events import Event, TurnStarted
from durable_ray.orchestrations.values.failures import FailureDetails
from durable_ray.orchestrations.values.payloads import PICKLED, Payload, is_pickled


def opened(payload: Payload | None) -> Any:
    """A payload's JSON value; for a pickled one, a note about it."""
    if payload is None:
        return None
    if is_pickled(payload):
        return {
            "$pickled": True,
            "bytes": (len(payload) - len(PICKLED)) * 3 // 4,
            "note": "a Python value that JSON cannot say; read it with durable_ray.Client",
        }
    try:
        return from_json(payload)
    except ValueError as error:
        return {"$unreadable": True, "note": f"what is stored is no JSON: {error}"}


#: Of a row only for the hub itself: where it runs and on which code, and how far the runtime has got with it.
_INTERNAL = {
    "code_id", "host", "resident", "generation", "next_due", "environment", "settings", "outstanding", "queued", "damage",
    "awaited",
}  # fmt: skip
#: What a reader looks for first.
_FIRST = ("instance_id", "name", "version", "execution_id", "status")
_SHOWN = (*_FIRST, *(name for name in InstanceRow.__struct_fields__ if name not in _INTERNAL | {*_FIRST}))
_RENAMED = {"start_at": "scheduled_start", "parent": "parent_id", "turn": "turns"}
_PAYLOADS = {"input", "output", "custom_status"}


def instance_json(
    row: InstanceRow, *, payloads: bool = True, waiting_for: Iterable[Wait] | None = None
) -> dict[str, Any]:
    """An instance, times as datetimes; without `payloads` neither input nor output are shown. What it waits for is told where
    one instance is shown (None: in a list)."""
    closed = () if payloads else ("input", "output")
    shown = {
        _RENAMED.get(name, name): None if name in closed else _column_json(name, getattr(row, name)) for name in _SHOWN
    }
    waits = None if waiting_for is None else [wait_json(wait) for wait in waiting_for]
    return shown | {"waiting_reason": row.why_waiting, "waiting_for": waits}


def wait_json(wait: Wait) -> dict[str, Any]:
    """What an instance waits for."""
    failure = wait.last_failure
    fields = {name: getattr(wait, name) for name in wait.__struct_fields__}
    return {**fields, "last_failure": None if failure is None else _failure_json(failure), "text": str(wait)}


def _column_json(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in _PAYLOADS:
        return opened(value)
    if name.endswith("_at"):
        return moment(value)
    if name == "failure":
        failure = failure_of(value)
        return None if failure is None else _failure_json(failure)
    return value.instance_id if name == "parent" else dict(value) if name == "tags" else value


def history_json(events: Iterable[Event]) -> list[dict[str, Any]]:
    """Events with their place in the history and the time of their turn; payloads opened."""
    entries: list[dict[str, Any]] = []
    at = 0
    for index, event in enumerate(events):
        if isinstance(event, TurnStarted):
            at = event.at
        fields = {field.name: _field_json(field, getattr(event, field.name)) for field in dataclasses.fields(event)}
        entries.append({**fields, "index": index, "type": type(event).__name__, "at": moment(at)})
    return entries


def counts_json(counts: Mapping[tuple[str, str], int]) -> dict[str, Any]:
    """How many instances there are, by status and by orchestrator."""
    by_name = [{"name": name, "status": status, "count": n} for (name, status), n in sorted(counts.items()) if n]
    return {"total": sum(counts.values()), "by_status": by_status(counts), "by_name": by_name}


def by_status(counts: Mapping[tuple[str, str], int]) -> dict[str, int]:
    """The sum over all orchestrators, of each status that an instance has."""
    totals: dict[str, int] = {}
    for (_, status), number in counts.items():
        if number:
            totals[status] = totals.get(status, 0) + number
    return totals


def _field_json(field: dataclasses.Field[Any], value: Any) -> Any:
    if isinstance(value, FailureDetails):
        return _failure_json(value)
    if field.type == "Payload | None":
        return opened(value)
    if field.name == "began" or field.name.endswith("_at"):
        return moment(value) if value else None
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value


def _failure_json(failure: FailureDetails) -> dict[str, Any]:
    return {
        "error_type": failure.error_type,
        "message": failure.message,
        "stack_trace": failure.stack_trace,
        "cause": None if failure.cause is None else _failure_json(failure.cause),
        "members": [_failure_json(member) for member in failure.members],
    }
