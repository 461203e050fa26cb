"""Requests and responses of `/api/v1` as types: the OpenAPI document is made from these, and nothing else is accepted.

Numbers, flags and times are strict: a client that sends "5" for 5 has a mistake that it would rather know.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    WithJsonSchema,
)

from durable_ray.actors.instances.waits import WaitKind
from durable_ray.actors.store.records import IfExists, Placement
from durable_ray.client.operations.bounds import plus_restored, read_status
from durable_ray.client.operations.starting import StartKeywords
from durable_ray.orchestrations.values.ids import (
    MAX_EVENT_NAME_LENGTH,
    MAX_INSTANCE_ID_LENGTH,
    MAX_NAME_LENGTH,
    MAX_TAG_KEY_LENGTH,
    MAX_TAG_VALUE_LENGTH,
    MAX_TAGS,
    InvalidEventName,
    InvalidInstanceId,
    validate_event_name,
    validate_instance_id,
    validate_tags,
)

#: For the patterns of JSON schemas: control characters; blanks that are no control characters.
_CONTROL = r"\u0000-\u001f\u007f-\u009f"
_BLANK = r" \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_ID_BAD = rf"/\\#?{_CONTROL}"
#: One or two dots and then something else than a third (or three and more): anything but `.` and `..`.
_DOTS = rf"\.[^.{_ID_BAD}]|\.\.[^{_ID_BAD}]"
#: A first character that is neither `@` nor blank, or blanks and then anything that is not.
ID_PATTERN = rf"^([^@.{_ID_BAD}{_BLANK}]|{_DOTS}|[{_BLANK}]+[^{_ID_BAD}{_BLANK}])[^{_ID_BAD}]*$"
#: The same, but it may begin with `@`.
EVENT_PATTERN = rf"^([^.{_ID_BAD}{_BLANK}]|{_DOTS}|[{_BLANK}]+[^{_ID_BAD}{_BLANK}])[^{_ID_BAD}]*$"
#: A name on one line, not blank.
NAME_PATTERN = rf"^[{_BLANK}]*[^{_CONTROL}{_BLANK}][^{_CONTROL}]*$"
#: The same without what separates a tag's key from its value.
TAG_KEY_PATTERN = rf"^[{_BLANK}]*[^={_CONTROL}{_BLANK}][^={_CONTROL}]*$"
#: A tag in a filter: `key=value`.
TAG_PATTERN = (
    rf"^(?=[{_BLANK}]*[^={_CONTROL}{_BLANK}])[^={_CONTROL}]{{1,{MAX_TAG_KEY_LENGTH}}}"
    rf"=[^\u0000]{{0,{MAX_TAG_VALUE_LENGTH}}}$"
)
_NAME = re.compile(NAME_PATTERN)
_RFC3339 = re.compile(r"^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$", re.ASCII)


def _instance_id(text: str) -> str:
    try:
        return validate_instance_id(text)
    except InvalidInstanceId as error:
        raise ValueError(str(error)) from error


def _event_name(text: str) -> str:
    try:
        return validate_event_name(text)
    except InvalidEventName as error:
        raise ValueError(str(error)) from error


def _name(text: str) -> str:
    if not _NAME.match(text) or text.endswith("\n"):
        raise ValueError("a name has no control characters and is not blank")
    return text


def storable(text: str) -> str:
    """`text`, if every database can store it."""
    if "\0" in text:
        raise ValueError("the character U+0000 cannot be stored")
    return text


def _moment(value: object) -> object:
    if isinstance(value, str):
        value = plus_restored(value)
        if not _RFC3339.match(value):
            raise ValueError("a time is written as RFC 3339 says: 2030-01-31T12:00:00Z")
        # A leap second is as good as the second after it.
        return re.sub(r":60(?=[.Zz+-])", ":59", value)
    if isinstance(value, datetime):
        return value
    raise ValueError("a time is text, as RFC 3339 says: 2030-01-31T12:00:00Z")


def _status(value: object) -> object:
    return str(read_status(value)) if isinstance(value, str) else value


def _whole(value: object) -> object:
    # JSON has one kind of number: 5.0 is the integer 5, and neither "5" nor true is one.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _text_schema(pattern: str, longest: int) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "minLength": 1, "maxLength": longest, "pattern": pattern})


InstanceId = Annotated[str, AfterValidator(_instance_id), _text_schema(ID_PATTERN, MAX_INSTANCE_ID_LENGTH)]
EventName = Annotated[str, AfterValidator(_event_name), _text_schema(EVENT_PATTERN, MAX_EVENT_NAME_LENGTH)]
Name = Annotated[
    str,
    Field(min_length=1, max_length=MAX_NAME_LENGTH),
    AfterValidator(_name),
    _text_schema(NAME_PATTERN, MAX_NAME_LENGTH),
]
Text = Annotated[
    str,
    Field(max_length=4000),
    AfterValidator(storable),
    WithJsonSchema({"type": "string", "maxLength": 4000, "pattern": r"^[^\u0000]*$"}),
]
#: The schema is written by hand: one made from the types would accept any value for an invalid name.
Tags = Annotated[
    dict[str, str],
    AfterValidator(validate_tags),
    WithJsonSchema(
        {
            "type": "object",
            "maxProperties": MAX_TAGS,
            "propertyNames": {"minLength": 1, "maxLength": MAX_TAG_KEY_LENGTH, "pattern": TAG_KEY_PATTERN},
            "additionalProperties": {
                "type": "string",
                "maxLength": MAX_TAG_VALUE_LENGTH,
                "pattern": r"^[^\u0000]*$",
            },
        }
    ),
]
Moment = Annotated[datetime, BeforeValidator(_moment)]
Priority = Annotated[StrictInt, Field(ge=-1_000_000, le=1_000_000), BeforeValidator(_whole)]
Status = Literal["Pending", "Running", "Suspended", "Completed", "Failed", "Terminated"]
#: In a filter, in any case.
StatusAsked = Annotated[Status, BeforeValidator(_status)]


class RequestModel(BaseModel):
    """Something a client sends."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ResponseModel(BaseModel):
    """Something a client gets."""

    model_config = ConfigDict(frozen=True)


class Instance(ResponseModel):
    """An orchestration instance. Its payloads are JSON values; a Python pickle shows as a note."""

    instance_id: str
    name: str
    version: str
    execution_id: str
    status: Status
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    scheduled_start: datetime | None
    input: Any = None
    output: Any = Field(default=None, description="The result; of a terminated instance the reason.")
    custom_status: Any = None
    failure: Failure | None = None
    parent_id: str | None = None
    placement: Placement
    priority: int
    tags: dict[str, str]
    waiting_reason: str | None = Field(default=None, description="Why it makes no progress although it could.")
    waiting_for: list[InstanceWait] | None = Field(
        default=None, description="All that it waits for; null in lists of instances."
    )
    recoveries: int
    turns: int
    events: int


class InstanceWait(ResponseModel):
    """One thing that an instance waits for; `text` says it in words."""

    kind: WaitKind
    name: str
    since: datetime | None
    due: datetime | None = Field(description="When it is over by itself, or the next attempt begins.")
    task_id: int | None
    instance_id: str | None = Field(description="The sub-orchestration's.")
    attempt: int | None
    max_attempts: int | None
    last_failure: Failure | None
    detail: str
    text: str


class Failure(ResponseModel):
    """What went wrong, and what caused that."""

    error_type: str
    message: str
    stack_trace: str = ""
    cause: Failure | None = None
    members: list[Failure] = Field(default_factory=list, description="The failures of a group.")


class InstanceList(ResponseModel):
    """Some instances in the order in which they were created; `continuation_token` leads to the next ones."""

    instances: list[Instance]
    continuation_token: str | None


class HistoryEntry(BaseModel):
    """One event. Its other fields depend on its type."""

    model_config = ConfigDict(extra="allow", frozen=True)

    index: int
    type: str
    at: datetime


class History(ResponseModel):
    """The events of an instance's current execution."""

    instance_id: str
    execution_id: str
    events: list[HistoryEntry]


class StartOptionsBody(RequestModel):
    """The options of a start."""

    orchestrator: Name
    if_exists: IfExists = "reject"
    start_at: Moment | None = Field(default=None, description="Not before this time.")
    tags: Tags = Field(default_factory=dict)
    placement: Placement | None = None
    version: Name | None = None
    priority: Priority | None = None

    def keywords(self) -> StartKeywords:
        """What the client's `start_new` and `start_many` call alike."""
        return {name: getattr(self, name) for name in StartKeywords.__annotations__}  # type: ignore[return-value]


class StartBody(StartOptionsBody):
    """A start."""

    input: Any = None
    instance_id: InstanceId | None = None


class StartManyBody(StartOptionsBody):
    """Many starts of one orchestrator."""

    inputs: list[Any] = Field(max_length=10_000)


class StartedInstance(ResponseModel):
    """The IDs of what was started, in order."""

    instance_ids: list[str]


class ReasonBody(RequestModel):
    """Why."""

    reason: Text | None = None


class RewindBody(ReasonBody):
    """Why, and on which code."""

    version: Literal["latest"] | None = Field(
        default=None, description="latest: on the newest code, if its history replays there; else on its own."
    )


class TerminateBody(ReasonBody):
    """Why, and how far."""

    recursive: StrictBool = Field(default=False, description="Its sub-orchestrations too.")
    cancel_activities: StrictBool = Field(default=False, description="Also tell running activities to stop.")


class RestartBody(RequestModel):
    """How to restart."""

    new_instance_id: StrictBool = Field(default=True, description="Under a new random ID, or under its own.")


class Deleted(ResponseModel):
    """How many instances were deleted."""

    deleted: int


class Count(ResponseModel):
    """How many."""

    count: int


class NamedCount(ResponseModel):
    """How many of an orchestrator have a status."""

    name: str
    status: Status
    count: int


class Counts(ResponseModel):
    """How many instances there are."""

    total: int
    by_status: dict[str, int]
    by_name: list[NamedCount]


class DefinitionShown(ResponseModel):
    """A deployed definition. `newest`: new instances get this one."""

    kind: Literal["orchestrator", "activity"]
    name: str
    version: str
    code_id: str
    how: Literal["reference", "value"]
    revision: int
    newest: bool


class Definitions(ResponseModel):
    """All that is deployed."""

    definitions: list[DefinitionShown]


class Hub(ResponseModel):
    """The hub behind this gateway."""

    hub: str
    protocol: int


class Problem(ResponseModel):
    """An error, as RFC 9457 says it."""

    type: str
    title: str
    status: int
    detail: str
