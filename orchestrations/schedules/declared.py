"""A schedule that is declared with its orchestrator: `@orchestrator(schedule=...)`.

What is given is checked where the function is decorated, and travels with its options, as JSON values: so the newest code of a
name says what is declared, and nobody who runs that code has to know schedules.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal

from msgspec import field
from msgspec.structs import force_setattr

from durable_ray.orchestrations.schedules.documents import decode_schedule, encode_schedule
from durable_ray.orchestrations.schedules.occurrences import check_possible
from durable_ray.orchestrations.schedules.patterns import InvalidSchedule
from durable_ray.orchestrations.schedules.schedule import (
    CatchUp,
    Overlap,
    Schedule,
    ScheduleAction,
    SchedulePolicy,
    validate_schedule_id,
)
from durable_ray.orchestrations.schedules.spec import ScheduleSpec
from durable_ray.orchestrations.values.ids import validate_tags
from durable_ray.orchestrations.values.payloads import encode
from durable_ray.orchestrations.values.values import Value


class DeclaredSchedule(Value, frozen=True, omit_defaults=True):
    """What `@orchestrator(schedule=...)` takes if a spec alone does not say enough.

    Args:
        spec: when it is due: a `ScheduleSpec`, or a cron expression (in UTC).
        input: the same for each run; a value that can be JSON.
        schedule_id: None: the name of the orchestrator.
        overlap, catch_up, catch_up_window, pause_on_failure, instance_id, tags, placement, priority: as in
            `create_schedule`. Each run takes the newest code.

    Raises:
        InvalidSchedule: (a ValueError) what is wrong with the spec, and at which character. The decorator checks the rest.

    Example:
        >>> DeclaredSchedule("30 2 * * *", {"region": "eu"}, overlap="buffer_one").spec == ScheduleSpec("30 2 * * *")
        True
    """

    spec: ScheduleSpec | str
    input: Any = None
    schedule_id: str | None = None
    overlap: Overlap = "skip"
    catch_up: CatchUp = "all"
    catch_up_window: timedelta | float = 60.0
    pause_on_failure: bool = False
    instance_id: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    placement: Literal["dedicated", "shared"] | None = None
    priority: int | None = None

    def __post_init__(self) -> None:
        given: object = self.spec
        if isinstance(given, str):
            force_setattr(self, "spec", ScheduleSpec(given))
        elif not isinstance(given, ScheduleSpec):
            raise InvalidSchedule(f"spec is a ScheduleSpec, or a cron expression as text, not {given!r}")


def declaration_of(orchestrator: str, given: object) -> dict[str, Any]:
    """What the options of this orchestrator say of the schedule that its decorator was given.

    Raises:
        InvalidSchedule: what is wrong, and whose it is. Times that are over are none of that: code is deployed for longer.

    Example:
        >>> declaration_of("nightly", "@daily")["schedule_id"]
        'nightly'
    """
    try:
        if isinstance(given, (str, ScheduleSpec)):
            given = DeclaredSchedule(given)
        if not isinstance(given, DeclaredSchedule):
            raise InvalidSchedule(f"it is a cron expression, a ScheduleSpec or a DeclaredSchedule, not {given!r}")
        try:
            payload = None if given.input is None else encode(given.input)
            tags = validate_tags(given.tags)
        except Exception as error:
            raise InvalidSchedule(str(error)) from error
        action = ScheduleAction(orchestrator, payload, None, given.instance_id, tags, given.placement, given.priority)
        policy = SchedulePolicy(given.overlap, given.catch_up, given.catch_up_window, given.pause_on_failure)
        assert isinstance(given.spec, ScheduleSpec)
        schedule = Schedule(given.spec, action, policy)
        schedule_id = validate_schedule_id(orchestrator if given.schedule_id is None else given.schedule_id, schedule)
        check_possible(schedule.spec)
    except InvalidSchedule as error:
        raise InvalidSchedule(f"the schedule of orchestrator {orchestrator!r}: {error}") from error.__cause__
    return {"schedule_id": schedule_id, "schedule": json.loads(encode_schedule(schedule))}


def declared_in(declaration: Mapping[str, Any]) -> tuple[str, Schedule]:
    """(schedule ID, schedule) of what `declaration_of` made. Raises InvalidSchedule: a newer release wrote it."""
    schedule_id, schedule = declaration["schedule_id"], decode_schedule(json.dumps(declaration["schedule"]))
    return validate_schedule_id(schedule_id, schedule), schedule
