"""Schedules as JSON, for the HTTP gateway and the command line alike: the resources of `/api/v1/schedules`.

A document's `schedule` has the form that `orchestrations/schedules/documents.py` reads, but for the input of the runs: that is
a JSON value here, and a text there. An input that only Python can read is shown as a note, and who sends the note back keeps
the input.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct, field
from pydantic_core import to_json

from durable_ray.actors.code.packing import PYTHON_PAYLOADS
from durable_ray.actors.errors import ScheduleNotFound
from durable_ray.actors.store.contract import InvalidToken
from durable_ray.client.json_views import opened
from durable_ray.client.schedule_view import ScheduleDescription, ScheduleStatus, status_of_state
from durable_ray.orchestrations.schedules.documents import decode_schedule
from durable_ray.orchestrations.schedules.patterns import InvalidSchedule
from durable_ray.orchestrations.schedules.schedule import Schedule
from durable_ray.orchestrations.schedules.state import ScheduleState
from durable_ray.orchestrations.values.ids import InvalidInstanceId, validate_instance_id
from durable_ray.orchestrations.values.payloads import Payload


class ScheduleQuery(Struct, frozen=True):
    """Which schedules: those with this prefix, this status and all of these tags. Nothing given: all."""

    id_prefix: str = ""
    status: ScheduleStatus | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    def matches(self, state: ScheduleState) -> bool:
        """Whether a schedule with this prefix is one of them."""
        fits = self.status is None or status_of_state(state) == self.status
        return fits and self.tags.items() <= state.schedule.action.tags.items()


def known_schedule(schedule_id: str) -> None:
    """Raises ScheduleNotFound for an ID that no schedule can have: nothing of the kind reaches the hub."""
    try:
        validate_instance_id(schedule_id)
    except InvalidInstanceId:
        raise ScheduleNotFound(schedule_id) from None


def schedule_json(found: ScheduleDescription) -> dict[str, Any]:
    """A schedule and what is known of it, times as datetimes."""
    declared = found.declared
    return _facts(found) | {
        "schedule": _document(found.schedule),
        "runs": [_facts(run) for run in found.runs],
        "skipped": [_facts(skip) for skip in found.skipped],
        "counts": _fields(found.counts),
        "declared": None if declared is None else _fields(declared) | {"schedule": _document(declared.schedule)},
    }


def schedule_of(document: Mapping[str, Any], kept: Payload | None = None) -> Schedule:
    """The schedule of a document as `schedule_json` shows it.

    Args:
        document: its `schedule`, in JSON values. What is left out of it has its default.
        kept: the input that the schedule has now.

    Raises:
        InvalidSchedule: what is wrong, and where.
    """
    action = document.get("action")
    if isinstance(action, Mapping) and action.get("input") is not None:
        given = action["input"]
        if not is_note(given):
            kept = PYTHON_PAYLOADS.encode(given)
        elif kept is None or opened(kept) != given:
            raise InvalidSchedule(
                "the input is a note about a value that only Python can read, and not that of this schedule: give another, or "
                "use durable_ray.Client"
            )
        document = {**document, "action": {**action, "input": kept}}
    return decode_schedule(to_json(document))


def is_note(value: Any) -> bool:
    """Whether a JSON value stands for one that only Python can read."""
    return isinstance(value, Mapping) and value.get("$pickled") is True


def keeps_input(document: Mapping[str, Any]) -> bool:
    """Whether a document leaves an input as it is that only Python can read."""
    action = document.get("action")
    return isinstance(action, Mapping) and is_note(action.get("input"))


def schedule_token(schedule_id: str, query: ScheduleQuery) -> str:
    """The token that continues a list after this schedule."""
    text = json.dumps([schedule_id, _fingerprint(query)], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_schedule_token(token: str, query: ScheduleQuery) -> str:
    """The ID after which a list goes on. Raises InvalidToken."""
    try:
        schedule_id, fingerprint = json.loads(base64.urlsafe_b64decode(token.encode() + b"=" * (-len(token) % 4)))
        if type(schedule_id) is not str or "\0" in schedule_id:
            raise ValueError("not the parts of a token")
    except (ValueError, TypeError, binascii.Error) as error:
        raise InvalidToken("this is no continuation token; leave it out to begin with the first page") from error
    if fingerprint != _fingerprint(query):
        raise InvalidToken(
            "this continuation token belongs to another query; repeat the query it came from, or begin anew"
        )
    return schedule_id


def _fingerprint(query: ScheduleQuery) -> str:
    return hashlib.sha256(msgspec.json.encode(query, order="deterministic")).hexdigest()[:16]


def _document(schedule: Schedule) -> dict[str, Any]:
    action = _fields(schedule.action) | {"input": opened(schedule.action.input)}
    return {"spec": _fields(schedule.spec), "action": action, "policy": _fields(schedule.policy)}


def _facts(value: Any) -> dict[str, Any]:
    """A dataclass as JSON names its fields: `created_at` for `created_time`."""
    return {
        f"{one.name.removesuffix('_time')}_at" if one.name.endswith("_time") else one.name: getattr(value, one.name)
        for one in dataclasses.fields(value)
    }


def _fields(value: Struct) -> dict[str, Any]:
    """All fields of a struct, also those that have their default."""
    return {name: msgspec.to_builtins(getattr(value, name)) for name in value.__struct_fields__}
