"""Requests and responses of `/api/v1/schedules` as types. The schedule itself is described by the types that read it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec
from pydantic import Field, StrictBool, StrictInt

from durable_ray.client.schedule_view import ScheduleStatus
from durable_ray.http.api.models import InstanceId, Moment, RequestModel, ResponseModel, Text
from durable_ray.orchestrations.schedules.schedule import Overlap, Schedule
from durable_ray.orchestrations.schedules.state import Origin, RunOutcome, SkipReason

_AT = "#/components/schemas/{name}"


class ScheduleBody(RequestModel):
    """A new schedule."""

    schedule_id: InstanceId
    schedule: dict[str, Any]
    paused: StrictBool = Field(default=False, description="Create it paused.")
    note: Text = Field(default="", description="Why it is paused, or what else is to be known.")


class ScheduleUpdateBody(RequestModel):
    """What a schedule is to be; as a whole: what is left out of it has its default."""

    schedule: dict[str, Any]
    version: StrictInt | None = Field(
        default=None, description="Only if it still has this version; else 409, and nothing is changed."
    )


class NoteBody(RequestModel):
    """Why."""

    note: Text = ""


class TriggerBody(RequestModel):
    """How."""

    overlap: Overlap | None = Field(default=None, description="The schedule's, if left out.")


class BackfillBody(RequestModel):
    """Which times: those due from `begin` to `end`, both included."""

    begin: Moment
    end: Moment
    overlap: Literal["buffer_all", "allow_all"] = Field(
        default="buffer_all", description="One after the other, or all at once."
    )


class ScheduleRunShown(ResponseModel):
    """A run. `time` is when it was due; `outcome` is running until it has ended."""

    instance_id: str
    time: datetime
    started_at: datetime
    ended_at: datetime | None
    outcome: Literal["running"] | RunOutcome
    origin: Origin


class ScheduleSkipShown(ResponseModel):
    """Times due from `first` to `last` that were not run: how many, and why; `noted_at` is when that was decided."""

    first: datetime
    last: datetime
    count: int
    reason: SkipReason
    detail: str
    noted_at: datetime


class ScheduleCounts(ResponseModel):
    """How often what happened since the schedule was created."""

    scheduled: int
    requested: int
    completed: int
    failed: int
    terminated: int
    lost: int
    skipped: int


class DeclarationShown(ResponseModel):
    """What the code of an orchestrator declares; `current`: whether the newest code of that name still does. Where `schedule`
    differs from the schedule's, somebody has updated it since."""

    orchestrator: str
    schedule: dict[str, Any]
    current: bool


class ScheduleShown(ResponseModel):
    """A schedule and what is known of it: the next ten times due (without jitter; none while it is paused), the runs under
    way and the last twenty that have ended, how many wait, and why the last times were skipped."""

    schedule_id: str
    schedule: dict[str, Any]
    status: ScheduleStatus
    version: int = Field(description="Changes with each update, pause and resumption.")
    note: str
    created_at: datetime
    next_times: list[datetime]
    runs: list[ScheduleRunShown]
    waiting: int
    skipped: list[ScheduleSkipShown]
    counts: ScheduleCounts
    declared: DeclarationShown | None = Field(description="If code declares it, or did.")


class ScheduleList(ResponseModel):
    """Some schedules by ID; `continuation_token` leads to the next ones."""

    schedules: list[ScheduleShown]
    continuation_token: str | None


def add_schedule_schema(schemas: dict[str, Any]) -> None:
    """Put into an OpenAPI document's schemas how a schedule is read, and refer to it where it is sent and shown."""
    _, found = msgspec.json.schema_components([Schedule], ref_template=_AT)
    # In a document the input is a JSON value; what is read is its text.
    found["ScheduleAction"]["properties"]["input"] = {"description": "Any JSON value.", "default": None}
    for schema in found.values():
        # Written for Python; an API's reader needs what it is, its arguments and rules.
        schema["description"] = schema["description"].partition("\n\nRaises:")[0]
    schemas.update(found)
    for model in (ScheduleBody, ScheduleUpdateBody, DeclarationShown, ScheduleShown):
        schemas[model.__name__]["properties"]["schedule"] = {"$ref": _AT.format(name="Schedule")}
