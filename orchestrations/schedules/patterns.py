"""Patterns of local times: which times on a wall clock match a cron expression or a calendar, and which comes next.

A local time is a number here: the µs since the epoch at which a clock of UTC shows it. cronsim reads the fields and knows the
days. Its own search is not used: it goes from hour to hour, and loses times where the clock is changed by half an hour.
`occurrences.py` maps local times to moments instead.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Collection
from datetime import date, timedelta
from functools import lru_cache

from durable_ray.orchestrations.values.times import SECOND, to_datetime

#: Longer texts are no expressions, and nobody could read them.
_LONGEST = 256
_FIELDS = ("second", "minute", "hour", "day of the month", "month", "day of the week")
#: The names by which cronsim reports them.
_REPORTED = ("second", "minute", "hour", "day-of-month", "month", "day-of-week")
_ALLOWED = (
    "0-59",
    "0-59",
    "0-23",
    "1-31, L (the last day) or LW (the last weekday)",
    "1-12 or JAN-DEC",
    "0-7 or SUN-SAT (0 and 7 are Sunday), 5L (the last Friday) or MON#1 (the first Monday)",
)
_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_EPOCH = date(1970, 1, 1)
_MINUTE, _HOUR, _DAY = 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND


class InvalidSchedule(ValueError):
    """A schedule cannot be what it was given as; the message says where and what to do. Nothing was written."""


class Pattern:
    """Local times that match six fields, and one of `years` if there are any.

    Args:
        expression: six fields in cron's form, the first is the second.
        years: None for all.
        both_days: a day has to match both of day of the month and day of the week. Else, as in cron: one of them, if both are
            restricted.
    """

    def __init__(self, expression: str, years: tuple[int, ...] | None = None, *, both_days: bool = False) -> None:
        # Imported when a first schedule is looked at: no host needs it.
        from cronsim import CronSim

        self._sim = sim = CronSim(expression, to_datetime(0))
        sim.day_and = sim.day_and or both_days
        self._hours, self._minutes, self._seconds = sorted(sim.hours), sorted(sim.minutes), sorted(sim.seconds)
        self._years = years
        _, minute, hour, *_ = expression.split()
        #: It names times of the day, rather than repeat within each hour or from hour to hour. Those are what a change of
        #: the clock may take away or repeat (Debian's cron makes the same distinction).
        self.at_set_times = not minute.startswith("*") and not hour.startswith("*")
        self._step = self._whole()

    def first(self, begin: int) -> int | None:
        """The first match at or after the local time `begin`; None if there is none in the fifty years from there."""
        sim = self._sim
        number, second = divmod(-(-begin // SECOND), 86_400)
        day = _EPOCH + timedelta(days=number)
        last_year = day.year + 50 if self._years is None else self._years[-1]
        while day.year <= last_year:
            if self._years is not None and day.year not in self._years:
                day = day.replace(day.year + 1, 1, 1)
            elif day.month not in sim.months:
                day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
            else:
                time = self._first_of_day(second) if sim.match_day(day) else None
                if time is not None:
                    return ((day - _EPOCH).days * 86_400 + time) * SECOND
                day += timedelta(days=1)
            second = 0
        return None

    def matches(self, local: int) -> bool:
        """Whether the second of the local time matches."""
        sim, time = self._sim, to_datetime(local)
        return bool(
            time.second in sim.seconds
            and time.minute in sim.minutes
            and time.hour in sim.hours
            and time.month in sim.months
            and sim.match_day(time.date())
            and (self._years is None or time.year in self._years)
        )

    def end_of_match(self, local: int) -> int:
        """Until when the times after `local`, which matches, match too at least: the end of its second, minute, hour or day."""
        return local - local % self._step + self._step

    def _first_of_day(self, second: int) -> int | None:
        """The first match at or after this second of a day that matches."""
        hour, minute = second // 3_600, second // 60 % 60
        hours, minutes, seconds = self._hours, self._minutes, self._seconds
        if hour in hours:
            if minute in minutes and second % 60 <= seconds[-1]:
                return hour * 3_600 + minute * 60 + seconds[bisect_left(seconds, second % 60)]
            if minute < minutes[-1]:
                return hour * 3_600 + minutes[bisect_right(minutes, minute)] * 60 + seconds[0]
        if hour < hours[-1]:
            return hours[bisect_right(hours, hour)] * 3_600 + minutes[0] * 60 + seconds[0]
        return None

    def _whole(self) -> int:
        """The longest of second, minute, hour and day that matches as a whole if any of it does."""
        sim = self._sim
        if len(sim.seconds) < 60:
            return SECOND
        if len(sim.minutes) < 60:
            return _MINUTE
        return _HOUR if len(sim.hours) < 24 else _DAY


@lru_cache(maxsize=512)
def cron_pattern(expression: str, *, whole_minutes: bool = False) -> Pattern:
    """The pattern of an expression of five fields, six (the first is the second), or a macro as ``@daily``.

    Args:
        whole_minutes: five fields match every second of a minute, not its first one.

    Raises:
        InvalidSchedule: which field is wrong, where it stands and what it may be.
    """
    if len(expression) > _LONGEST:
        raise InvalidSchedule(f"a cron expression has at most {_LONGEST} characters, this one has {len(expression)}")
    text = _MACROS.get(expression.strip().lower(), expression)
    if text.strip().startswith("@"):
        raise InvalidSchedule(
            f"the cron expression {expression!r} is none of {', '.join(sorted(_MACROS))}; for @every write Interval(...)"
        )
    if "TZ=" in text:
        raise InvalidSchedule(f"the cron expression {expression!r} names a time zone: give it as time_zone=... instead")
    count = len(text.split())
    if count not in (5, 6):
        raise InvalidSchedule(
            f"the cron expression {expression!r} has {count} fields; it needs five (minute, hour, day of the month, month, "
            "day of the week), or six that begin with the second"
        )
    six = text if count == 6 else f"{'*' if whole_minutes else '0'} {text}"
    try:
        return Pattern(six)
    except Exception as error:  # cronsim's own error, and what Python says about what it does not expect
        raise InvalidSchedule(_complaint(expression, text, str(error))) from None


def calendar_pattern(fields: Collection[str | None], years: tuple[int, ...] | None, *, any_time: bool) -> Pattern:
    """The pattern of a calendar's fields, in cron's order; a field that is None was not given.

    Args:
        any_time: what was not given matches anything. Else: what is finer than the finest field given is its first value.

    Raises:
        InvalidSchedule: which field is wrong, and what it may be.
    """
    given = list(fields)
    finest = next((index for index, field in enumerate(given[:3]) if field is not None), 3)
    texts = [
        field if field is not None else ("*" if any_time or index > finest or index > 2 else "0")
        for index, field in enumerate(given)
    ]
    for index, text in enumerate(texts):
        alone = ["*"] * 6
        alone[index] = text
        try:
            Pattern(" ".join(alone))
        except Exception:
            raise InvalidSchedule(
                f"a calendar's {_FIELDS[index]} is {text!r}; allowed: {_ALLOWED[index]}, lists and ranges of these, "
                "and steps as 0-30/10"
            ) from None
    try:
        return Pattern(" ".join(texts), years, both_days=True)
    except Exception:  # cronsim looks for this where days of the week are not restricted
        raise InvalidSchedule(f"a calendar that never fires: no month of {texts[4]!r} has a day {texts[3]!r}") from None


def _complaint(expression: str, text: str, report: str) -> str:
    tokens = list(re.finditer(r"\S+", text))
    name = report.removeprefix("Bad ")
    if name not in _REPORTED:
        return f"the cron expression {expression!r} cannot be read: {report}"
    field = _REPORTED.index(name)
    position = field - (6 - len(tokens))
    token = tokens[position]
    if name == "day-of-month" and re.fullmatch(r"(29|30|31)([,-](29|30|31))*", token[0]):
        return (
            f"the cron expression {expression!r} never fires: none of its months has a day {token[0]} "
            f"(field {position + 1}, at character {token.start() + 1})"
        )
    return (
        f"the cron expression {expression!r} has {token[0]!r} as the {_FIELDS[field]} (field {position + 1}, at character "
        f"{token.start() + 1}); allowed: {_ALLOWED[field]}, *, lists and ranges of these, and steps as */15"
    )
