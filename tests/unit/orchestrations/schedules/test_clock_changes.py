"""Changes of the clock: a time that does not exist is due once after the gap, one that exists twice is due once."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durable_ray.orchestrations.schedules.occurrences import between, next_times
from durable_ray.orchestrations.schedules.spec import Calendar, OneTime, ScheduleSpec
from durable_ray.orchestrations.schedules.zones import load_zone, stretches
from durable_ray.orchestrations.values.times import to_datetime, to_micros
from tests.unit.orchestrations.schedules.oracle import change_of, moments

#: Zones and days on which their clocks are changed: by an hour, by half an hour, at midnight, by a whole day, by a quarter.
CHANGES = [
    ("Europe/Berlin", date(2026, 3, 29)),
    ("Europe/Berlin", date(2026, 10, 25)),
    ("America/New_York", date(2026, 3, 8)),
    ("America/New_York", date(2026, 11, 1)),
    ("Australia/Lord_Howe", date(2026, 4, 5)),
    ("Australia/Lord_Howe", date(2026, 10, 4)),
    ("Asia/Kathmandu", date(1986, 1, 1)),
    ("Pacific/Apia", date(2011, 12, 30)),
    ("Pacific/Kwajalein", date(1993, 8, 21)),
    ("America/Havana", date(2026, 3, 8)),
    ("America/Havana", date(2026, 11, 1)),
    ("Africa/Casablanca", date(2026, 2, 15)),
    ("America/Sao_Paulo", date(2018, 2, 18)),
    ("UTC", date(2026, 3, 29)),
]


def due(expression: str, zone: str, first: date, days: int = 1) -> list[str]:
    """What is due on these local days, in UTC."""
    return [f"{to_datetime(time):%m-%d %H:%M}" for time in _between(expression, zone, first, days)]


def _between(expression: str, zone: str, first: date, days: int) -> list[int]:
    spec = ScheduleSpec(expression, time_zone=zone)
    begin = OneTime(datetime(first.year, first.month, first.day))
    end = OneTime(datetime(first.year, first.month, first.day) + timedelta(days=days))
    (low,) = next_times(ScheduleSpec(begin, time_zone=zone), 0, 1)
    (high,) = next_times(ScheduleSpec(end, time_zone=zone), 0, 1)
    return list(between(spec, low, high - 1))


@pytest.mark.parametrize(
    ("expression", "zone", "day", "expected"),
    [
        # Berlin, 02:00 to 03:00 does not exist: once after the gap, at 03:00
        ("30 2 * * *", "Europe/Berlin", date(2026, 3, 29), ["03-29 01:00"]),
        ("0,30 2,3 * * *", "Europe/Berlin", date(2026, 3, 29), ["03-29 01:00", "03-29 01:30"]),
        ("*/30 2 * * *", "Europe/Berlin", date(2026, 3, 29), []),
        (
            "0 */6 * * *",
            "Europe/Berlin",
            date(2026, 3, 29),
            ["03-28 23:00", "03-29 04:00", "03-29 10:00", "03-29 16:00"],
        ),
        # Berlin, 02:00 to 03:00 exists twice: the first
        ("30 2 * * *", "Europe/Berlin", date(2026, 10, 25), ["10-25 00:30"]),
        (
            "*/30 2 * * *",
            "Europe/Berlin",
            date(2026, 10, 25),
            ["10-25 00:00", "10-25 00:30", "10-25 01:00", "10-25 01:30"],
        ),
        # Lord Howe: half an hour, 02:00 to 02:30 does not exist, 01:30 to 02:00 exists twice
        ("15,45 2 * * *", "Australia/Lord_Howe", date(2026, 10, 4), ["10-03 15:30", "10-03 15:45"]),
        ("45 1 * * *", "Australia/Lord_Howe", date(2026, 4, 5), ["04-04 14:45"]),
        ("0 2 * * *", "Australia/Lord_Howe", date(2026, 4, 5), ["04-04 15:30"]),
        # Kathmandu: a quarter of an hour beside the full hours
        ("0 9 * * *", "Asia/Kathmandu", date(2026, 7, 1), ["07-01 03:15"]),
        # Apia had no 30 December 2011: what was due then is due as the 31st begins
        ("0 9 30 12 *", "Pacific/Apia", date(2011, 12, 31), ["12-30 10:00"]),
        # Havana's midnight does not exist: as the day begins, at 01:00
        ("0 0 * * *", "America/Havana", date(2026, 3, 8), ["03-08 05:00"]),
    ],
)
def test_what_is_due_on_the_day_of_a_change(expression: str, zone: str, day: date, expected: list[str]) -> None:
    assert due(expression, zone, day) == expected


@st.composite
def fields(draw: st.DrawFn) -> tuple[str, set[int], str, set[int]]:
    """A minute and an hour field, each with the numbers it stands for."""

    def field(size: int) -> tuple[str, set[int]]:
        match draw(st.sampled_from(["star", "step", "range", "list"])):
            case "star":
                return "*", set(range(size))
            case "step":
                step = draw(st.integers(2, size // 2))
                return f"*/{step}", set(range(0, size, step))
            case "range":
                first = draw(st.integers(0, size - 1))
                last = draw(st.integers(first, size - 1))
                return f"{first}-{last}", set(range(first, last + 1))
            case _:
                chosen = draw(st.sets(st.integers(0, min(size, 24) - 1), min_size=1, max_size=4))
                return ",".join(map(str, sorted(chosen))), chosen

    return *field(60), *field(24)


@settings(max_examples=25)
@given(st.sampled_from(CHANGES), fields())
def test_what_is_due_is_what_a_look_at_the_clock_each_minute_finds(
    change: tuple[str, date], expression: tuple[str, set[int], str, set[int]]
) -> None:
    zone, day = change
    minute, minutes, hour, hours = expression
    first = day - timedelta(days=1)
    repeats = minute.startswith("*") or hour.startswith("*")
    expected = moments(zone, first, 3, minutes, hours, repeats=repeats)
    low, high = change_of(zone, day) - timedelta(hours=4), change_of(zone, day) + timedelta(hours=4)
    spec = ScheduleSpec(f"{minute} {hour} * * *", time_zone=zone)
    found = [to_datetime(time) for time in between(spec, to_micros(low), to_micros(high))]
    assert found == [time for time in expected if low <= time <= high]


def test_a_calendar_follows_the_rules_of_cron() -> None:
    for zone, day in CHANGES:
        for hour in range(4):
            first = day - timedelta(days=1)
            cron = _between(f"20,50 {hour} * * *", zone, first, 3)
            calendar = ScheduleSpec(Calendar(hour=hour, minute=[20, 50]), time_zone=zone)
            assert list(between(calendar, cron[0], cron[-1])) == cron


def test_a_single_time_without_a_zone_follows_them_too() -> None:
    def single(*time: int) -> datetime:
        spec = ScheduleSpec(OneTime(datetime(*time)), time_zone="Europe/Berlin")
        return to_datetime(next_times(spec, 0, 1)[0])

    assert single(2026, 3, 29, 2, 30) == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    assert single(2026, 10, 25, 2, 30) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert single(2026, 7, 1, 12) == datetime(2026, 7, 1, 10, tzinfo=UTC)


def test_a_year_of_nights_has_one_run_each_in_every_zone() -> None:
    for zone in ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"):
        nights = next_times(ScheduleSpec("30 2 * * *", time_zone=zone), to_micros(datetime(2026, 1, 1, 12)), 365)
        gaps = {(later - earlier) / 3_600_000_000 for earlier, later in pairwise(nights)}
        assert len(set(nights)) == 365
        assert gaps <= {23, 23.5, 24, 24.5, 25}


def test_stretches_cover_all_time_without_gaps() -> None:
    for zone, day in CHANGES:
        at = to_micros(datetime(day.year - 1, 12, 31, 23))
        found = [stretch for stretch, _ in zip(stretches(load_zone(zone), at), range(12), strict=False)]
        assert found[0].begin <= at < found[0].end
        assert all((earlier.end, earlier.offset) == (later.begin, later.before) for earlier, later in pairwise(found))
