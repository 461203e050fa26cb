"""Schedules as JSON: one form for HTTP, command line, files and the store.

What a user gives is read strictly: an unknown field is refused, and so is whatever the constructors refuse, with its place in
the document. Durations are ISO 8601 texts (``"PT1H"``) or numbers of seconds, times are ISO 8601 texts.
"""

from __future__ import annotations

import msgspec

from durable_ray.orchestrations.schedules.patterns import InvalidSchedule
from durable_ray.orchestrations.schedules.schedule import Schedule
from durable_ray.orchestrations.schedules.spec import ScheduleSpec
from durable_ray.orchestrations.schedules.state import ScheduleState
from durable_ray.orchestrations.values.failures import OrchestrationError

_encode = msgspec.json.Encoder().encode
_spec = msgspec.json.Decoder(ScheduleSpec).decode
_schedule = msgspec.json.Decoder(Schedule).decode
_state = msgspec.json.Decoder(ScheduleState).decode


class UnreadableSchedule(OrchestrationError):
    """What is stored of a schedule is damaged, or was written by a newer release."""


def encode_schedule(value: ScheduleSpec | Schedule | ScheduleState) -> str:
    """The JSON text of a spec, a schedule or its state.

    Example:
        >>> encode_schedule(ScheduleSpec("@daily"))
        '{"when":[{"type":"cron","expression":"@daily"}],"jitter":"P0D"}'
    """
    return _encode(value).decode()


def decode_spec(text: str | bytes) -> ScheduleSpec:
    """The spec of a JSON text that a user wrote. Raises InvalidSchedule, naming the place."""
    try:
        return _spec(text)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise InvalidSchedule(f"the schedule's spec cannot be read: {error}") from None


def decode_schedule(text: str | bytes) -> Schedule:
    """The schedule of a JSON text that a user wrote. Raises InvalidSchedule, naming the place."""
    try:
        return _schedule(text)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise InvalidSchedule(f"the schedule cannot be read: {error}") from None


def decode_state(text: str | bytes) -> ScheduleState:
    """What the store has of a schedule.

    Raises:
        UnreadableSchedule: it is damaged, or a newer release wrote something that this one cannot know.
    """
    try:
        return _state(text)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise UnreadableSchedule(
            f"what is stored of the schedule cannot be read: {error}. If a newer release of durable_ray wrote it, upgrade "
            "this one"
        ) from None
