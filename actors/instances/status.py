"""The status of an instance: the value that `get_status` and every query return."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import field, to_builtins

from durable_ray.actors.code.packing import PYTHON_PAYLOADS
from durable_ray.actors.errors import InstanceNotFound, OrchestrationFailed, OrchestrationTerminated
from durable_ray.actors.instances.history_view import without_results
from durable_ray.actors.instances.waits import Wait
from durable_ray.actors.messages import Ending
from durable_ray.actors.store.records import FINISHED, LIVE, InstanceRow
from durable_ray.orchestrations.history.codec import UnreadableHistory, decode_event
from durable_ray.orchestrations.history.events import Event, ExecutionFailed, Payload
from durable_ray.orchestrations.values.failures import FailureDetails
from durable_ray.orchestrations.values.payloads import PayloadError, UnreadablePayload
from durable_ray.orchestrations.values.showing import html_of, struct_repr
from durable_ray.orchestrations.values.times import to_datetime, to_micros
from durable_ray.orchestrations.values.values import Value


class RuntimeStatus(enum.StrEnum):
    """The values of a status, as in Durable Functions. No instance has the last two; they exist for filters."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUSPENDED = "Suspended"
    COMPLETED = "Completed"
    FAILED = "Failed"
    TERMINATED = "Terminated"
    CONTINUED_AS_NEW = "ContinuedAsNew"
    CANCELED = "Canceled"

    @property
    def finished(self) -> bool:
        """Whether an instance of this status has ended."""
        return self in (RuntimeStatus.COMPLETED, RuntimeStatus.FAILED, RuntimeStatus.TERMINATED, RuntimeStatus.CANCELED)


class OrchestrationStatus(Value, frozen=True):
    """The status of an instance.

    Attributes:
        name: the orchestrator's.
        runtime_status: see `RuntimeStatus`.
        created_time: when the start was accepted (aware, UTC); it never changes.
        last_updated_time: when its last turn was committed.
        started_time, completed_time: when its first turn ran, when it ended; None before.
        input, custom_status: JSON values (or what was pickled); `UnreadablePayload` where that cannot be read here.
        output: the result if Completed; the failure's text if Failed; the reason if Terminated; else None.
        failure: all that is known of a failure.
        history: the events of the current execution, if they were asked for.
        waiting_reason: why it makes no progress although it could (its code is missing, …).
        waiting_for: all that it waits for, in the status of one instance; see `Wait`. Empty in lists.
    """

    name: str
    instance_id: str
    runtime_status: RuntimeStatus
    created_time: datetime
    last_updated_time: datetime
    input: Any = None
    output: Any = None
    custom_status: Any = None
    started_time: datetime | None = None
    completed_time: datetime | None = None
    failure: FailureDetails | None = None
    history: tuple[Event, ...] | None = None
    execution_id: str = ""
    version: str = ""
    parent_instance_id: str | None = None
    placement: str = "shared"
    tags: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0
    scheduled_start: datetime | None = None
    waiting_reason: str | None = None
    waiting_for: tuple[Wait, ...] = ()

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return struct_repr(self)

    def _repr_html_(self) -> str | None:
        return html_of(self)

    def to_dict(self) -> dict[str, Any]:
        """The attributes as values that JSON has: times as ISO 8601 text, failure and events as objects.

        What JSON cannot represent of an input, output or custom status (they may have been pickled) is its `str`.
        """
        plain: dict[str, Any] = json.loads(self.to_json())
        return plain

    def to_json(self) -> str:
        """`to_dict` as JSON text."""
        # A host never asks for this, and pydantic costs it a fifth of its start.
        from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

        shown = {name: _plain(name, getattr(self, name)) for name in self.__struct_fields__}
        try:
            return to_json(shown, inf_nan_mode="strings", bytes_mode="base64", fallback=str).decode()
        except PydanticSerializationError:
            # Half a surrogate pair: UTF-8 has none, JSON's escapes do.
            return json.dumps(to_jsonable_python(shown, bytes_mode="base64", fallback=str))


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if name == "history" and value is not None:
        return [_plain_event(event) for event in value]
    if name == "waiting_for":
        return [to_builtins(wait) for wait in value]
    return to_builtins(value) if name == "failure" else value


def _plain_event(event: Event) -> dict[str, Any]:
    fields: dict[str, Any] = to_builtins(event)
    return {"type": fields.pop("t"), **fields}


def moment(at: int) -> datetime:
    """Microseconds since the epoch as an aware time."""
    return to_datetime(at)


def micros(when: datetime) -> int:
    """A time as microseconds since the epoch; a naive one is taken as UTC."""
    return to_micros(when)


def failure_of(text: str | None) -> FailureDetails | None:
    """The failure in a row."""
    try:
        event = decode_event(text) if text else None
    except UnreadableHistory as error:
        return FailureDetails("durable_ray.UnreadableHistory", str(error))
    return event.failure if isinstance(event, ExecutionFailed) else None


def status_of(
    row: InstanceRow,
    history: Sequence[Event] | None = None,
    *,
    show_input: bool = True,
    show_history_output: bool = False,
    waiting_for: tuple[Wait, ...] = (),
) -> OrchestrationStatus:
    """The status by a row. Pickled payloads are loaded, so this is for Python clients only.

    Args:
        history: the events, where the history was asked for.
        show_input: with its input.
        show_history_output: with the results in its history.
        waiting_for: see `waits_of`.
    """
    failure = failure_of(row.failure)
    events = None if history is None else tuple(history)
    if events is not None and not show_history_output:
        events = tuple(without_results(event) for event in events)
    return OrchestrationStatus(
        name=row.name,
        instance_id=row.instance_id,
        # One of no status is damaged (`waiting_reason` says so), and still has to be ended.
        runtime_status=RuntimeStatus(row.status if row.status in FINISHED or row.status in LIVE else "Running"),
        created_time=moment(row.created_at),
        last_updated_time=moment(row.updated_at),
        input=_shown(row.input) if show_input else None,
        output=str(failure) if failure else _shown(row.output),
        custom_status=_shown(row.custom_status),
        started_time=None if row.started_at is None else moment(row.started_at),
        completed_time=None if row.completed_at is None else moment(row.completed_at),
        failure=failure,
        history=events,
        execution_id=row.execution_id,
        version=row.version,
        parent_instance_id=row.parent.instance_id if row.parent else None,
        placement=row.placement,
        tags=dict(row.tags),
        priority=row.priority,
        scheduled_start=None if row.start_at is None else moment(row.start_at),
        waiting_reason=row.why_waiting,
        waiting_for=waiting_for,
    )


def _shown(payload: Payload | None) -> Any:
    """A payload's value. One that cannot be read here must not keep a status, or a list of many, from being shown."""
    try:
        return PYTHON_PAYLOADS.decode(payload)
    except PayloadError as error:
        return UnreadablePayload(str(error))


def result_of(ending: Ending, hint: Any = None) -> Any:
    """The output of a finished instance, or the error by which it ended.

    Raises:
        InstanceNotFound, OrchestrationFailed, OrchestrationTerminated.
    """
    if ending.status == "absent":
        raise InstanceNotFound(ending.instance_id)
    if ending.status == "Failed":
        details = failure_of(ending.failure) or FailureDetails("durable_ray.Unknown", "no details were kept")
        raise OrchestrationFailed(ending.instance_id, details)
    if ending.status == "Terminated":
        raise OrchestrationTerminated(ending.instance_id, PYTHON_PAYLOADS.decode(ending.output))
    return PYTHON_PAYLOADS.decode(ending.output, hint)
