"""Which times a spec means: the next ones, those of a span, the last one before a time; each with its jitter.

All of it is one function: the first time after a given one. It is cheap however rare the times are, it is bounded where there
are none, and what looks back (`previous`) bisects it. Times are µs since the epoch, UTC.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import islice, takewhile
from typing import Protocol, cast

from durable_ray.orchestrations.schedules.patterns import InvalidSchedule, Pattern, cron_pattern
from durable_ray.orchestrations.schedules.spec import (
    Calendar,
    Cron,
    Exclusion,
    Interval,
    Occurrence,
    OneTime,
    ScheduleSpec,
)
from durable_ray.orchestrations.schedules.zones import LAST_YEAR, load_zone, local_time, moment, stretches
from durable_ray.orchestrations.values.times import EARLIEST, to_datetime, to_micros
from durable_ray.orchestrations.values.values import Value

#: So many excluded times in a row are looked at; whole days and periods count once. A schedule of which nothing is left by then
#: has no next time.
EXAMINED = 5_000
_MICROSECOND = timedelta(microseconds=1)
_YEAR = 366 * 86_400_000_000
#: No local time: later than all of them.
_FAR = to_micros(datetime(LAST_YEAR, 12, 31, tzinfo=UTC))
#: The last time that may be due where no end is given. The first is the epoch.
_LAST = to_micros(datetime(LAST_YEAR, 1, 1, tzinfo=UTC))


class Due(Value, frozen=True):
    """A time due, by which the run is known, and when it begins: later by the jitter."""

    time: int
    at: int


def next_time(spec: ScheduleSpec, after: int) -> int | None:
    """The first time due later than `after`; None if there is none."""
    return _occurrences(spec).after(after)


def next_times(spec: ScheduleSpec, after: int, count: int) -> list[int]:
    """The first `count` times due later than `after`, or as many as there are."""
    return list(islice(_from(spec, after), count))


def between(spec: ScheduleSpec, begin: int, end: int) -> Iterator[int]:
    """The times due from `begin` to `end`, both included, one after the other as they are asked for."""
    return takewhile(lambda time: time <= end, _from(spec, begin - 1))


def previous(spec: ScheduleSpec, before: int) -> int | None:
    """The last time due earlier than `before`; None if there is none."""
    low = next_time(spec, EARLIEST)
    if low is None or low >= before:
        return None
    high = before  # low is due and earlier than `before`; from high on nothing is
    while True:
        following = next_time(spec, low)
        if following is None or following >= before:
            return low
        low = following
        middle = (low + high) // 2
        found = next_time(spec, middle)
        if found is None or found >= before:
            high = middle + 1
        else:
            low = found


def next_due(spec: ScheduleSpec, schedule_id: str, after: int) -> Due | None:
    """The first time due later than `after`, with its jitter; None if there is none."""
    time = next_time(spec, after)
    if time is None:
        return None
    jitter = spec.jitter // _MICROSECOND if isinstance(spec.jitter, timedelta) else 0
    if not jitter:
        return Due(time, time)
    occurrences = _occurrences(spec)
    following = occurrences.after(time)
    room = min(jitter, (following if following is not None else occurrences.last + 1) - time)
    digest = hashlib.blake2b(f"{schedule_id}\n{time}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return Due(time, time + int.from_bytes(digest, "big") % max(1, room))


def check_fires(spec: ScheduleSpec, now: int) -> None:
    """Raises InvalidSchedule if no time of it is due after `now`."""
    occurrences = _occurrences(spec)
    if occurrences.after(now) is not None:
        return
    if occurrences.last <= now:
        raise InvalidSchedule(
            f"the schedule would never fire: it ends at {to_datetime(occurrences.last)}, which is over"
        )
    if occurrences.candidate(now) is not None:
        raise InvalidSchedule(
            f"the schedule would never fire: exclude leaves none of its next {EXAMINED:,} times; check that its fields are no "
            "wider than meant"
        )
    last = previous(spec, now + 1)
    if last is not None:
        raise InvalidSchedule(f"the schedule would never fire: its last time was {to_datetime(last)}, which is over")
    raise InvalidSchedule(
        "the schedule would never fire: no date of the next fifty years is within its fields, start and end"
    )


def check_possible(spec: ScheduleSpec) -> None:
    """Raises InvalidSchedule if no time at all, past or future, is within its fields, start and end."""
    if _occurrences(spec).candidate(EARLIEST) is None:
        raise InvalidSchedule("the schedule would never fire: no date is within its fields, start and end")


def _from(spec: ScheduleSpec, after: int) -> Iterator[int]:
    occurrences = _occurrences(spec)
    time = occurrences.after(after)
    while time is not None:
        yield time
        time = occurrences.after(time)


class _Source(Protocol):
    def after(self, at: int) -> int | None:
        """The first time later than `at`."""


class _Occurrences:
    """A spec, ready to be searched."""

    def __init__(self, spec: ScheduleSpec) -> None:
        zone = load_zone(spec.time_zone)
        self._first = 0 if spec.start is None else max(0, _micros(zone, spec.start))
        #: The last time that may be due.
        self.last = _LAST if spec.end is None else _micros(zone, spec.end)
        if spec.start is not None and self.last <= self._first:
            raise InvalidSchedule(f"end must be after start: {spec.end} is not after {spec.start}")
        self._sources = [_source(entry, zone) for entry in cast("tuple[Occurrence, ...]", spec.when)]
        self._exclusions = [_Excluded(entry, zone) for entry in cast("tuple[Exclusion, ...]", spec.exclude)]

    def after(self, at: int) -> int | None:
        at = max(at, self._first - 1)
        for _ in range(EXAMINED):
            time = self.candidate(at)
            if time is None:
                return None
            ends = [end for exclusion in self._exclusions if (end := exclusion.end_of(time)) is not None]
            if not ends:
                return time
            at = max(ends) - 1
        return None

    def candidate(self, at: int) -> int | None:
        """The first time later than `at`, be it excluded or not."""
        if at >= self.last:
            return None
        times = [time for source in self._sources if (time := source.after(max(at, self._first - 1))) is not None]
        return min((time for time in times if time <= self.last), default=None)


@lru_cache(maxsize=512)
def _occurrences(spec: ScheduleSpec) -> _Occurrences:
    return _Occurrences(spec)


def _source(entry: Occurrence, zone: tzinfo) -> _Source:
    match entry:
        case Cron():
            return _PatternTimes(cron_pattern(entry.expression), zone)
        case Calendar():
            return _PatternTimes(entry.pattern(any_time=False), zone)
        case OneTime():
            return _SingleTimes(entry, zone)
        case _:
            return _EveryTimes(entry)


class _EveryTimes:
    def __init__(self, interval: Interval) -> None:
        assert isinstance(interval.every, timedelta)
        assert isinstance(interval.offset, timedelta)
        self._every, self._offset = interval.every // _MICROSECOND, interval.offset // _MICROSECOND

    def after(self, at: int) -> int | None:
        return ((at - self._offset) // self._every + 1) * self._every + self._offset


class _SingleTimes:
    def __init__(self, single: OneTime, zone: tzinfo) -> None:
        self._times = sorted({_micros(zone, time) for time in cast("tuple[datetime, ...]", single.times)})

    def after(self, at: int) -> int | None:
        index = bisect_right(self._times, at)
        return self._times[index] if index < len(self._times) else None


class _PatternTimes:
    """The moments of a pattern's local times, stretch by stretch of constant offset."""

    def __init__(self, pattern: Pattern, zone: tzinfo) -> None:
        self._pattern, self._zone = pattern, zone
        #: The last answer, and the time it was asked for: between them it is the same. Rare times are searched for once.
        self._asked, self._found = 0, 0

    def after(self, at: int) -> int | None:
        """The first moment later than `at`."""
        asked, found = self._asked, self._found
        if not asked <= at < found:
            searched = self._search(at)
            found = _FAR if searched is None else searched
            self._asked, self._found = at, found
        return None if found == _FAR else found

    def _search(self, at: int) -> int | None:
        """The first moment later than `at`.

        A pattern of set times owns the local times from where the stretch before it ended: those that the clock
        skipped are due as the stretch begins, those that it shows for the second time are not due. A pattern that repeats
        owns what the clock shows.
        """
        found = searched = -1
        for stretch in stretches(self._zone, at):
            own = stretch.begin + (stretch.before if self._pattern.at_set_times else stretch.offset)
            low = max(own, at + 1 + stretch.offset) if stretch.begin <= at else own
            if not (0 <= searched <= low <= found):
                searched, found = low, self._first(low)
            if found < stretch.end + stretch.offset:
                return max(stretch.begin, found - stretch.offset)
            if found == _FAR and stretch.begin > at + _YEAR:
                return None
        return None

    def _first(self, low: int) -> int:
        if low >= _FAR:
            return _FAR
        found = self._pattern.first(low)
        return _FAR if found is None else min(_FAR, found)


class _Excluded:
    """Asks whether a moment is excluded, and how long what excludes it goes on at least."""

    def __init__(self, entry: Exclusion, zone: tzinfo) -> None:
        self._zone = zone
        self._pattern: Pattern | None = None
        self._begin = self._end = 0
        if isinstance(entry, Cron):
            self._pattern = cron_pattern(entry.expression, whole_minutes=True)
        elif isinstance(entry, Calendar):
            self._pattern = entry.pattern(any_time=True)
        else:
            self._begin, self._end = _micros(zone, entry.begin), _micros(zone, entry.end)
            if self._end <= self._begin:
                raise InvalidSchedule(f"a period ends after it begins: {entry.end} is not after {entry.begin}")

    def end_of(self, at: int) -> int | None:
        """None: not excluded. Else a time until which nothing else is due."""
        if self._pattern is None:
            return self._end if self._begin <= at < self._end else None
        local = local_time(self._zone, at)
        if not self._pattern.matches(local):
            return None
        # Up to the next change of the clock, which may show again what is not excluded.
        end = at + self._pattern.end_of_match(local) - local
        return min(end, next(stretches(self._zone, at)).end)


def _micros(zone: tzinfo, time: datetime) -> int:
    return moment(zone, to_micros(time)) if time.tzinfo is None else to_micros(time)
