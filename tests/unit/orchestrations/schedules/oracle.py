"""Cron the slow way: each day and minute is looked at, on a clock that is read, not computed. The tests compare with it."""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import product
from zoneinfo import ZoneInfo

_NAMES = {
    name: number
    for names, first in (("JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC", 1), ("SUN MON TUE WED THU FRI SAT", 0))
    for number, name in enumerate(names.split(), first)
}
_BOUNDS = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
MINUTE = timedelta(minutes=1)


def numbers(field: str, low: int, high: int) -> set[int]:
    """The numbers of a field without L, W and #."""
    found: set[int] = set()
    for term in field.split(","):
        span, _, step = term.partition("/")
        first, _, last = span.partition("-")
        start, stop = (low, high) if first == "*" else (_number(first), _number(last or first))
        found.update(range(start, (high if step and not last else stop) + 1, int(step or 1)))
    return found


def _number(text: str) -> int:
    return _NAMES[text] if text in _NAMES else int(text)


def is_day(expression: str, day: date) -> bool:
    """Whether an expression of six fields has times on this day."""
    *_, days, months, weekdays = expression.upper().split()
    length = calendar.monthrange(day.year, day.month)[1]
    weekday = day.isoweekday() % 7

    def of_month(term: str) -> bool:
        if term == "L":
            return day.day == length
        if term == "LW":
            working = [n for n in range(1, length + 1) if date(day.year, day.month, n).weekday() < 5]
            return day.day == working[-1]
        return day.day in numbers(term, 1, 31)

    def of_week(term: str) -> bool:
        if term.endswith("L"):
            return weekday == int(term[:-1]) % 7 and day.day + 7 > length
        if "#" in term:
            name, nth = term.split("#")
            return weekday == _number(name) % 7 and (day.day - 1) // 7 + 1 == int(nth)
        return weekday in {n % 7 for n in numbers(term, 0, 7)}

    by_month = any(of_month(term) for term in days.split(","))
    by_week = any(of_week(term) for term in weekdays.split(","))
    both = days.startswith("*") or weekdays.startswith("*")
    return day.month in numbers(months, 1, 12) and (by_month and by_week if both else by_month or by_week)


def times_after(expression: str, start: datetime, years: int) -> Iterator[datetime]:
    """The times of an expression of six fields later than `start`, on a clock that is never changed."""
    fields = expression.upper().split()
    seconds, minutes, hours = (sorted(numbers(field, *_BOUNDS[n])) for n, field in enumerate(fields[:3]))
    for number in range(366 * years):
        day = start.date() + timedelta(days=number)
        if is_day(expression, day):
            for hour, minute, second in product(hours, minutes, seconds):
                time = datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=UTC)
                if time > start:
                    yield time


@cache
def clock(zone: str, first: date, days: int) -> dict[datetime, list[datetime]]:
    """What the zone's clock shows in these days, minute by minute: local time -> the moments at which it does, in order."""
    shown: dict[datetime, list[datetime]] = {}
    at = datetime(first.year, first.month, first.day, tzinfo=UTC) - timedelta(days=1)
    for number in range((days + 2) * 1440):
        moment = at + number * MINUTE
        shown.setdefault(moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0), []).append(moment)
    return shown


def change_of(zone: str, day: date) -> datetime:
    """When the zone's clock is changed on a day or on one beside it; noon if it is not."""
    at = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(days=1)
    offsets = {at + n * MINUTE: (at + n * MINUTE).astimezone(ZoneInfo(zone)).utcoffset() for n in range(3 * 1440)}
    changed = (moment for moment in offsets if offsets[moment] != offsets.get(moment - MINUTE, offsets[at]))
    return next(changed, at + 36 * 60 * MINUTE)


def moments(zone: str, first: date, days: int, minutes: set[int], hours: set[int], *, repeats: bool) -> list[datetime]:
    """When a schedule of these minutes and hours of each day is due, by the rules that the documentation states."""
    shown = clock(zone, first, days)
    found: set[datetime] = set()
    for number in range(days * 1440):
        local = datetime(first.year, first.month, first.day) + number * MINUTE
        if local.minute in minutes and local.hour in hours:
            if repeats:
                found.update(shown.get(local, []))
            elif local in shown:
                found.add(shown[local][0])
            else:  # the gap: the first moment at which the clock shows a later time
                found.add(next(times[0] for time, times in shown.items() if time > local))
    return sorted(found)
