"""When a schedule is due, as users write it: cron expressions, intervals, calendars, single times, and what to leave out.

These are values with one JSON form (`documents.py`). They are checked when they are made, and uniform from then on: several
entries are a tuple, texts are `Cron`, durations are timedeltas. Which times they mean is in `occurrences.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import force_setattr

from durable_ray.orchestrations.schedules.patterns import InvalidSchedule, Pattern, calendar_pattern, cron_pattern
from durable_ray.orchestrations.schedules.zones import LAST_YEAR, load_zone
from durable_ray.orchestrations.values.times import SECOND, duration, is_never
from durable_ray.orchestrations.values.values import Value

#: How many entries a schedule has at most: each is looked at for each run.
MAX_ENTRIES = 100
MAX_TIMES = 1_000

#: A field of a calendar as it is given: 9, "9-17", "MON-FRI", [9, 17].
CalendarField = int | str | Sequence[int | str] | None


class Cron(Value, frozen=True, tag_field="type", tag="cron", forbid_unknown_fields=True, omit_defaults=True):
    """Times by a cron expression, in the schedule's time zone.

    Five fields (minute, hour, day of the month, month, day of the week), six that begin with the second, or ``@hourly``,
    ``@daily``, ``@weekly``, ``@monthly``, ``@yearly``. Beside lists, ranges and steps: ``L`` and ``LW`` (the last day and
    weekday of the month), ``5L`` (the last Friday), ``MON#1`` (the first Monday). If day of the month and day of the week are
    both restricted, one of them suffices, as everywhere in cron.

    When the clock is changed, an expression that names minutes and hours fires once for each time it names: after the gap if
    that time does not exist, at the first if it exists twice. One that repeats (its minute or hour begins with ``*``) goes on
    as the clock shows it: ``*/15 * * * *`` fires every fifteen minutes through both changes.

    Raises:
        InvalidSchedule: which field is wrong, and at which character.

    Example:
        >>> Cron("30 2 * * MON-FRI").expression
        '30 2 * * MON-FRI'
    """

    expression: str

    def __post_init__(self) -> None:
        cron_pattern(_text(self.expression, "a cron expression is a text"))


class Interval(Value, frozen=True, tag_field="type", tag="interval", forbid_unknown_fields=True, omit_defaults=True):
    """Every so often: at `offset`, `offset + every`, ... counted from 1970-01-01 00:00 UTC, whatever clocks show.

    Args:
        every: timedelta or seconds; at least one second.
        offset: timedelta or seconds, shorter than `every`: with `every` an hour, 900 is a quarter past each hour.

    Raises:
        InvalidSchedule: what is wrong, and what to write instead.
    """

    every: timedelta | float
    offset: timedelta | float = 0.0

    def __post_init__(self) -> None:
        every = span_of(self.every, "every", least=SECOND)
        if is_never(every):
            raise InvalidSchedule("an interval has to end: every is longer than eight thousand years")
        offset = span_of(self.offset, "offset", least=0)
        if offset >= every:
            raise InvalidSchedule(
                f"offset shifts the times within the interval: it must be shorter than every ({every / SECOND:g} s)"
            )
        force_setattr(self, "every", timedelta(microseconds=every))
        force_setattr(self, "offset", timedelta(microseconds=offset))


class Calendar(Value, frozen=True, tag_field="type", tag="calendar", forbid_unknown_fields=True, omit_defaults=True):
    """Times of days, by fields of cron's form (9, "9-17", "MON-FRI", "*/15", [9, 17], "L"), in the schedule's time zone.

    A field that is not given matches anything if it is coarser than the finest one given, and is its first value if it is
    finer: ``Calendar(hour=9)`` is 09:00:00 of every day. In `exclude`, what is not given matches anything:
    ``Calendar(month=12, day_of_month="24-26")`` excludes three whole days. Unlike cron, a day has to match both of day of the
    month and day of the week. Changes of the clock: as `Cron`.

    Raises:
        InvalidSchedule: which field is wrong, and what it may be.
    """

    year: CalendarField = None
    month: CalendarField = None
    day_of_month: CalendarField = None
    day_of_week: CalendarField = None
    hour: CalendarField = None
    minute: CalendarField = None
    second: CalendarField = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            force_setattr(self, name, _field_text(name, getattr(self, name)))
        if all(getattr(self, name) is None for name in self.__struct_fields__):
            raise InvalidSchedule(
                "a calendar needs at least one field: year, month, day_of_month, day_of_week, hour, minute, second"
            )
        self.pattern(any_time=False)

    def pattern(self, *, any_time: bool) -> Pattern:
        """The local times that it means; with `any_time` as an exclusion."""
        fields: list[Any] = [self.second, self.minute, self.hour, self.day_of_month, self.month, self.day_of_week]
        return calendar_pattern(fields, _years(self.year), any_time=any_time)


class OneTime(Value, frozen=True, tag_field="type", tag="times", forbid_unknown_fields=True, omit_defaults=True):
    """Single times. A datetime without a zone is in the schedule's.

    Raises:
        InvalidSchedule: there is none, or one is no datetime.
    """

    times: Sequence[datetime] | datetime

    def __post_init__(self) -> None:
        given: Any = (self.times,) if isinstance(self.times, datetime) else self.times
        times = tuple(
            moment_of(time, "a time of OneTime") for time in _several(given, "OneTime takes a datetime or several")
        )
        if not 0 < len(times) <= MAX_TIMES:
            raise InvalidSchedule(
                f"OneTime takes 1 to {MAX_TIMES} times, not {len(times)}; make several schedules of more"
            )
        force_setattr(self, "times", times)


class Period(Value, frozen=True, tag_field="type", tag="period", forbid_unknown_fields=True, omit_defaults=True):
    """For `exclude`: all times from `begin` until `end`, which itself is not excluded. Without a zone: in the schedule's.

    Raises:
        InvalidSchedule: one is no datetime, or it ends before it begins.
    """

    begin: datetime
    end: datetime

    def __post_init__(self) -> None:
        force_setattr(self, "begin", moment_of(self.begin, "a period's begin"))
        force_setattr(self, "end", moment_of(self.end, "a period's end"))
        _ordered(self.begin, self.end, "a period ends after it begins")


Occurrence = Cron | Interval | Calendar | OneTime
Exclusion = Cron | Calendar | Period


class ScheduleSpec(Value, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """When a schedule is due: at every time of `when`, each once, that is within `start` and `end` and not excluded.

    Args:
        when: one or several of `Cron`, `Interval`, `Calendar` and `OneTime`; a text is a cron expression.
        exclude: one or several of `Cron` (with five fields: the whole minutes), `Calendar` and `Period`; a text is a cron
            expression.
        time_zone: an IANA name, in which local times are meant; the machine's own zone plays no part.
        start, end: the first and the last time that may be due. A datetime without a zone is in `time_zone`.
        jitter: each run begins up to this much later (timedelta or seconds), but before the next time due and not after `end`.
            How much is derived from the schedule's ID and the time due: it is the same whenever it is asked for.
        max_runs: after so many runs by schedule it has ended; those triggered by hand and backfilled do not count.

    Raises:
        InvalidSchedule: what is wrong, and what to do.

    Example:
        >>> ScheduleSpec("0 3 * * *", time_zone="Europe/Berlin").when
        (Cron(expression='0 3 * * *'),)
    """

    when: Sequence[Occurrence | str] | Occurrence | str
    exclude: Sequence[Exclusion | str] | Exclusion | str = ()
    time_zone: str = "UTC"
    start: datetime | None = None
    end: datetime | None = None
    jitter: timedelta | float = 0.0
    max_runs: int | None = None

    def __post_init__(self) -> None:
        load_zone(_text(self.time_zone, "time_zone is an IANA name as 'Europe/Berlin'"))
        force_setattr(self, "when", _entries("when", self.when, (Cron, Interval, Calendar, OneTime)))
        force_setattr(self, "exclude", _entries("exclude", self.exclude, (Cron, Calendar, Period)))
        if not self.when:
            raise InvalidSchedule("a schedule needs at least one time to be due: when is empty")
        for name in ("start", "end"):
            if getattr(self, name) is not None:
                force_setattr(self, name, moment_of(getattr(self, name), name))
        if self.start is not None and self.end is not None:
            _ordered(self.start, self.end, "end must be after start")
        jitter = span_of(self.jitter, "jitter", least=0)
        if is_never(jitter):
            raise InvalidSchedule("jitter is how late a run may begin: it cannot be endless")
        force_setattr(self, "jitter", timedelta(microseconds=jitter))
        runs: object = self.max_runs
        if runs is not None and (not isinstance(runs, int) or isinstance(runs, bool) or runs < 1):
            raise InvalidSchedule(f"max_runs is a number of runs from 1, or None for no limit, not {runs!r}")


def span_of(value: timedelta | float, name: str, *, least: int) -> int:
    """A duration in µs. Raises InvalidSchedule, naming it."""
    try:
        micros = duration(value, name)
    except (TypeError, ValueError) as error:
        raise InvalidSchedule(str(error)) from None
    if micros < least:
        wanted = f"at least {least // SECOND} second" if least else "not negative"
        raise InvalidSchedule(f"{name} must be {wanted}, not {value!r}")
    return micros


def moment_of(value: object, name: str) -> datetime:
    """A datetime in UTC, or one without a zone as it is. Raises InvalidSchedule, naming it."""
    if not isinstance(value, datetime):
        raise InvalidSchedule(f"{name} is a datetime, not {value!r}")
    if not 1 < value.year <= LAST_YEAR:
        raise InvalidSchedule(f"{name} is {value}: schedules know times from the year 2 to {LAST_YEAR}")
    return value.replace(fold=0) if value.tzinfo is None else value.astimezone(UTC)


def _ordered(begin: datetime, end: datetime, rule: str) -> None:
    """Of one with a zone and one without, the order is known only with the schedule's zone: `occurrences.py` looks again."""
    if (begin.tzinfo is None) == (end.tzinfo is None) and end <= begin:
        raise InvalidSchedule(f"{rule}: {end} is not after {begin}")


def _text(given: object, rule: str) -> str:
    if not isinstance(given, str):
        raise InvalidSchedule(f"{rule}, not {given!r}")
    return given


def _several(given: Any, rule: str) -> Iterable[Any]:
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise InvalidSchedule(f"{rule}, not {given!r}")
    return given


def _entries(name: str, given: Any, kinds: tuple[type, ...]) -> tuple[Any, ...]:
    if isinstance(given, (str, *kinds)):
        given = (given,)
    names = ", ".join(kind.__name__ for kind in kinds)
    entries = tuple(
        Cron(entry) if isinstance(entry, str) else entry
        for entry in _several(given, f"{name} takes {names}, a cron expression, or several of these")
    )
    for entry in entries:
        if not isinstance(entry, kinds):
            raise InvalidSchedule(f"{name} takes {names}, or a cron expression as text, not {entry!r}")
    if len(entries) > MAX_ENTRIES:
        raise InvalidSchedule(
            f"{name} has at most {MAX_ENTRIES} entries, not {len(entries)}; make several schedules of them"
        )
    return entries


def _field_text(name: str, given: Any) -> str | None:
    """A calendar's field as cron writes it."""
    if given is None:
        return None
    parts = given if isinstance(given, (list, tuple)) else (given,)
    for part in parts:
        if not isinstance(part, (int, str)) or isinstance(part, bool):
            raise InvalidSchedule(
                f"a calendar's {name} is a number, a text as '9-17', or a list of these, not {given!r}"
            )
    text = ",".join(str(part).strip() for part in parts)
    if not text or re.search(r"\s", text) or len(text) > 256:
        raise InvalidSchedule(f"a calendar's {name} is a number, a text as '9-17', or a list of these, not {given!r}")
    return text.upper()


def _years(text: object) -> tuple[int, ...] | None:
    if text is None or text == "*":
        return None
    years: set[int] = set()
    for part in str(text).split(","):
        match = re.fullmatch(r"(\d{4})(?:-(\d{4}))?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1970 <= first <= last <= LAST_YEAR:
            raise InvalidSchedule(
                f"a calendar's year is {text!r}; allowed: 1970 to {LAST_YEAR}, lists and ranges of these"
            )
        years.update(range(first, last + 1))
    return tuple(sorted(years))
