"""Time zones: when a zone's clock is changed, and at which moment its clock shows a local time.

Between two changes local time and UTC differ by a constant, so a search goes from stretch to stretch. A zone's rules come from
the system's time zone data or, where it has none, from the package `tzdata`; like code they are the same for every call of a
process, and only the registry asks for them.
"""

from __future__ import annotations

import difflib
import re
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple

from durable_ray.orchestrations.schedules.patterns import InvalidSchedule
from durable_ray.orchestrations.values.times import SECOND, to_datetime, to_micros

_DAY = 86_400 * SECOND
_MICROSECOND = timedelta(microseconds=1)
#: Nothing is searched for beyond this year: zones have no rules that far, and datetimes end soon after.
LAST_YEAR = 9_000

_NAME = re.compile(r"[A-Za-z0-9+_-]+(/[A-Za-z0-9+_-]+)*")
#: Files beside the zones: what the machine is set to, and zones that count leap seconds.
_NO_ZONES = frozenset({"localtime", "posixrules", "Factory"})
_NO_FOLDERS = ("right/", "posix/")


class Stretch(NamedTuple):
    """A span [begin, end) of time (µs) in which local time is UTC plus `offset`; just before it, it was UTC plus `before`."""

    begin: int
    end: int
    offset: int
    before: int


@lru_cache(maxsize=1024)
def load_zone(name: str) -> tzinfo:
    """The time zone of an IANA name.

    Raises:
        InvalidSchedule: there is none of that name, or this machine has no time zone data.
    """
    if name == "UTC":
        return UTC  # needs no data
    if _NAME.fullmatch(name) and name not in _NO_ZONES and not name.startswith(_NO_FOLDERS):
        try:
            return zoneinfo.ZoneInfo(name)
        except (KeyError, ValueError, OSError):  # OSError: the name of a folder, as "America"
            pass
    known = zoneinfo.available_timezones()
    if not known:
        raise InvalidSchedule(
            f"the time zone {name!r} cannot be looked up: neither this machine nor its Python has time zone data; "
            "install the package tzdata"
        )
    close = difflib.get_close_matches(name, known, 1)
    raise InvalidSchedule(
        f"no time zone is named {name!r}"
        + (f"; did you mean {close[0]!r}?" if close else ", use an IANA name as 'Europe/Berlin'")
    )


def stretches(zone: tzinfo, at: int) -> Iterator[Stretch]:
    """The stretch that contains `at` (µs), and those after it. A year's end may divide one; nothing changes there."""
    year = to_datetime(at).year
    while year <= LAST_YEAR:
        yield from (stretch for stretch in _year(zone, year) if stretch.end > at)
        year += 1


def local_time(zone: tzinfo, at: int) -> int:
    """What the zone's clock shows at `at` (µs), as the moment at which one of UTC shows it."""
    return at + _offset(zone, at)


def moment(zone: tzinfo, local: int) -> int:
    """When the zone's clock shows `local` (µs): of two such moments the first; if there is none, the end of the gap."""
    for stretch in stretches(zone, local - 2 * _DAY):
        if local < stretch.end + stretch.offset:
            return max(stretch.begin, local - stretch.offset)
    raise InvalidSchedule(f"{to_datetime(local)} is too far away: schedules know times up to the year {LAST_YEAR}")


@lru_cache(maxsize=4096)
def _year(zone: tzinfo, year: int) -> tuple[Stretch, ...]:
    begin = to_micros(datetime(year, 1, 1, tzinfo=UTC))
    end = to_micros(datetime(year + 1, 1, 1, tzinfo=UTC))
    changes = [begin]
    # No zone changes its clock twice within a day.
    for day in range(begin, end, _DAY):
        if _offset(zone, day) != _offset(zone, day + _DAY):
            changes.append(_change_between(zone, day, day + _DAY))
    return tuple(
        Stretch(at, until, _offset(zone, at), _offset(zone, at - SECOND))
        for at, until in zip(changes, [*changes[1:], end], strict=True)
        if at < until
    )


def _change_between(zone: tzinfo, low: int, high: int) -> int:
    """When the offset that holds at `low` has become another, which it has by `high`."""
    before = _offset(zone, low)
    while high - low > SECOND:
        middle = (low + high) // 2 // SECOND * SECOND
        if _offset(zone, middle) == before:
            low = middle
        else:
            high = middle
    return high


def _offset(zone: tzinfo, at: int) -> int:
    offset = to_datetime(at).astimezone(zone).utcoffset()
    assert offset is not None
    return offset // _MICROSECOND
