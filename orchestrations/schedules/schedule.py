"""A schedule as it is given: when it is due, what each run starts, and what happens to runs that overlap or were missed."""

from __future__ import annotations

import string
from collections.abc import Mapping
from datetime import timedelta
from typing import Literal, get_args

from msgspec import field
from msgspec.structs import force_setattr

from durable_ray.orchestrations.history.events import Payload
from durable_ray.orchestrations.schedules.patterns import InvalidSchedule
from durable_ray.orchestrations.schedules.spec import ScheduleSpec, span_of
from durable_ray.orchestrations.values.ids import (
    MAX_INSTANCE_ID_LENGTH,
    MAX_TAGS,
    validate_definition_name,
    validate_instance_id,
    validate_tags,
    validate_version,
)
from durable_ray.orchestrations.values.times import SECOND, to_datetime
from durable_ray.orchestrations.values.values import Value

Overlap = Literal["skip", "buffer_one", "buffer_all", "terminate", "allow_all"]
CatchUp = Literal["all", "latest", "none"]

#: A time is missed if it is not decided by then: as long as a registry takes to come back without anybody having been away.
ON_TIME = 10 * SECOND
#: The longest `{time}` that there is.
_LONGEST_TIME = "9000-01-01T00:00:00.000000Z"


class ScheduleAction(Value, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a run starts.

    Args:
        orchestrator: the name of a deployed orchestrator.
        input: its input, encoded.
        version: None for the newest at each run.
        instance_id: the ID of each run, in which ``{schedule_id}`` and ``{time}`` (the time due, UTC) are filled in. None: the
            schedule's ID, so that its runs are one singleton; where runs may overlap, ``{schedule_id}:{time}``.
        tags: labels of each run.
        placement, priority: as of any start.

    Raises:
        InvalidSchedule: what is wrong, and what to do.
    """

    orchestrator: str
    input: Payload | None = None
    version: str | None = None
    instance_id: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    placement: Literal["dedicated", "shared"] | None = None
    priority: int | None = None

    def __post_init__(self) -> None:
        try:
            validate_definition_name(self.orchestrator)
            _check_start(self.version, self.placement, self.priority, self.tags)
            if self.instance_id is not None:
                _template_fields(self.instance_id)
                validate_instance_id(fill(self.instance_id, "s", 0))
        except (TypeError, ValueError) as error:
            raise InvalidSchedule(str(error)) from None

    def run_id(self, schedule_id: str, time: int, *, each: bool) -> str:
        """The instance ID of the run of a time due; `each` run needs its own, unless a template says otherwise."""
        return fill(self.instance_id or ("{schedule_id}:{time}" if each else "{schedule_id}"), schedule_id, time)

    @property
    def has_own_ids(self) -> bool:
        """Whether a template gives each run an ID of its own."""
        return self.instance_id is not None and "time" in _template_fields(self.instance_id)


class SchedulePolicy(Value, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What happens to runs that overlap, and to those that were missed while nothing ran them.

    Args:
        overlap: if a run is due while one is under way: "skip" it; "buffer_one": let one wait for the end, skip further ones;
            "buffer_all": let all wait, and run one after the other; "terminate" the one under way, then run; "allow_all".
        catch_up: of the times that were missed, run "all", the "latest" only, or "none" (later than ten seconds).
        catch_up_window: only times are run that are not older than this (timedelta or seconds).
        pause_on_failure: the schedule pauses when a run fails.

    Raises:
        InvalidSchedule: what is wrong, and what to do.
    """

    overlap: Overlap = "skip"
    catch_up: CatchUp = "all"
    catch_up_window: timedelta | float = 60.0
    pause_on_failure: bool = False

    def __post_init__(self) -> None:
        one_of("overlap", self.overlap, get_args(Overlap))
        one_of("catch_up", self.catch_up, get_args(CatchUp))
        window = span_of(self.catch_up_window, "catch_up_window", least=0)
        if window < ON_TIME:
            raise InvalidSchedule(
                'catch_up_window must be at least ten seconds, in which a hub recovers by itself; write catch_up="none" to run '
                "nothing that is later"
            )
        force_setattr(self, "catch_up_window", timedelta(microseconds=window))

    @property
    def window(self) -> int:
        """How late (µs) a time may be run."""
        assert isinstance(self.catch_up_window, timedelta)
        return ON_TIME if self.catch_up == "none" else self.catch_up_window // timedelta(microseconds=1)


class Schedule(Value, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """When, what, and how. Its ID is not in it: one can be given to several.

    Raises:
        InvalidSchedule: the parts do not fit each other.
    """

    spec: ScheduleSpec
    action: ScheduleAction
    policy: SchedulePolicy = field(default_factory=SchedulePolicy)

    def __post_init__(self) -> None:
        if self.policy.overlap == "allow_all" and self.action.instance_id is not None and not self.action.has_own_ids:
            raise InvalidSchedule(
                f"runs that may overlap need instance IDs of their own: put {{time}} into instance_id, as in "
                f"'{self.action.instance_id}:{{time}}', or leave it out"
            )

    def run_id(self, schedule_id: str, time: int) -> str:
        """The instance ID of the run of a time due."""
        return self.action.run_id(schedule_id, time, each=self.policy.overlap == "allow_all")

    @property
    def has_own_ids(self) -> bool:
        """Whether runs differ by their instance ID, so that they may overlap."""
        return self.action.has_own_ids or (self.action.instance_id is None and self.policy.overlap == "allow_all")


def validate_schedule_id(schedule_id: object, schedule: Schedule) -> str:
    """Return `schedule_id` if it may name this schedule: by the rules of instance IDs, and so may those of its runs.

    Raises:
        InvalidSchedule: which rule it breaks.
    """
    try:
        checked = validate_instance_id(schedule_id)
    except ValueError as error:
        raise InvalidSchedule(f"the schedule's ID: {error}") from None
    template = schedule.action.instance_id or ("{schedule_id}:{time}" if schedule.has_own_ids else "{schedule_id}")
    longest = template.replace("{time}", _LONGEST_TIME).replace("{schedule_id}", checked)
    if len(longest) > MAX_INSTANCE_ID_LENGTH:
        raise InvalidSchedule(
            f"the instance IDs of its runs would have up to {len(longest)} characters, of {MAX_INSTANCE_ID_LENGTH} allowed: "
            "shorten the schedule's ID or instance_id"
        )
    return checked


def fill(template: str, schedule_id: str, time: int) -> str:
    """The instance ID of a run.

    Example:
        >>> fill("report-{time}", "nightly", 0)
        'report-1970-01-01T00:00:00Z'
    """
    return template.replace("{time}", time_text(time)).replace("{schedule_id}", schedule_id)


def time_text(time: int) -> str:
    """A time (µs) as IDs and reasons name it: UTC, ISO 8601, fractions only where there are any."""
    return to_datetime(time).isoformat().replace("+00:00", "Z")


def _check_start(version: object, placement: object, priority: object, tags: Mapping[str, str]) -> None:
    if version is not None:
        validate_version(version)
    if placement is not None:
        one_of("placement", placement, ("dedicated", "shared"))
    if priority is not None and (not isinstance(priority, int) or abs(priority) >= 1 << 31):
        raise InvalidSchedule(f"priority is a whole number of 32 bits, not {priority!r}")
    validate_tags(tags)
    if len(tags) > MAX_TAGS - 2:
        raise InvalidSchedule(f"a run has at most {MAX_TAGS - 2} tags beside the two of its schedule, not {len(tags)}")


def _template_fields(template: str) -> set[str]:
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise InvalidSchedule(f"instance_id {template!r} is no template: {error}") from None
    names = {name for _, name, _, _ in parts if name is not None}
    plain = all(not form and not conversion for _, name, form, conversion in parts if name is not None)
    if not names <= {"schedule_id", "time"} or not plain or "{{" in template or "}}" in template:
        raise InvalidSchedule(f"instance_id {template!r} may contain {{schedule_id}} and {{time}}, and no other braces")
    return names


def overlaps() -> tuple[str, ...]:
    """All overlap policies."""
    return get_args(Overlap)


def one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Raises InvalidSchedule if it is none of these."""
    if value not in allowed:
        raise InvalidSchedule(f"{name} is one of {', '.join(allowed)}, not {value!r}")
