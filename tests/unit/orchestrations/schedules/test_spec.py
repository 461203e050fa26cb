"""Specs: what is refused when they are made, and which times intervals, calendars, single times and exclusions mean."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durable_ray.orchestrations.schedules.documents import decode_spec, encode_schedule
from durable_ray.orchestrations.schedules.occurrences import (
    between,
    check_fires,
    next_due,
    next_time,
    next_times,
    previous,
)
from durable_ray.orchestrations.schedules.patterns import InvalidSchedule
from durable_ray.orchestrations.schedules.spec import Calendar, Cron, Interval, OneTime, Period, ScheduleSpec
from durable_ray.orchestrations.schedules.zones import load_zone
from durable_ray.orchestrations.values.times import SECOND, to_datetime, to_micros

NOW = to_micros(datetime(2026, 11, 30, 17, tzinfo=UTC))
HOUR = 3_600 * SECOND


def shown(spec: ScheduleSpec, count: int, after: int = NOW) -> list[str]:
    return [f"{to_datetime(time):%Y-%m-%d %H:%M:%S}" for time in next_times(spec, after, count)]


# --- refused -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: ScheduleSpec(()), "at least one time to be due"),
        (lambda: ScheduleSpec(5), "when takes Cron, Interval, Calendar, OneTime, a cron expression, or several"),
        (lambda: ScheduleSpec([Period(datetime(2026, 1, 1), datetime(2026, 1, 2))]), "when takes Cron"),
        (lambda: ScheduleSpec("0 3 * * *", exclude=Interval(60)), "exclude takes Cron, Calendar, Period"),
        (lambda: ScheduleSpec(["0 3 * * *"] * 101), "at most 100 entries"),
        (lambda: Cron(3), "a cron expression is a text, not 3"),
        (lambda: Interval(0), "every must be at least 1 second"),
        (lambda: Interval(-5), "every must be at least 1 second"),
        (lambda: Interval(0.5), "every must be at least 1 second"),
        (lambda: Interval(float("nan")), "is no number"),
        (lambda: Interval(float("inf")), "longer than eight thousand years"),
        (lambda: Interval("1h"), "a timedelta or a number of seconds"),
        (lambda: Interval(60, offset=-1), "offset must be not negative"),
        (lambda: Interval(60, offset=60), "must be shorter than"),
        (lambda: Calendar(), "at least one field"),
        (lambda: Calendar(hour=24), "a calendar's hour is '24'; allowed: 0-23"),
        (lambda: Calendar(month="FOO"), "a calendar's month is 'FOO'"),
        (lambda: Calendar(hour="1 2"), "a calendar's hour is a number"),
        (lambda: Calendar(hour=[]), "a calendar's hour is a number"),
        (lambda: Calendar(hour=True), "a calendar's hour is a number"),
        (lambda: Calendar(month=[2, 4], day_of_month=31), "no month of '2,4' has a day '31'"),
        (lambda: Calendar(year="26"), "a calendar's year is '26'; allowed: 1970 to 9000"),
        (lambda: Calendar(year="2030-2020"), "a calendar's year is"),
        (lambda: OneTime(()), "OneTime takes 1 to 1000 times"),
        (lambda: OneTime("2026-01-01"), "OneTime takes a datetime or several"),
        (lambda: OneTime(["2026-01-01"]), "a time of OneTime is a datetime"),
        (lambda: OneTime(datetime.max), "from the year 2 to 9000"),
        (lambda: Period(datetime(2026, 1, 2), datetime(2026, 1, 1)), "a period ends after it begins"),
        (
            lambda: ScheduleSpec("0 3 * * *", start=datetime(2027, 1, 1), end=datetime(2026, 1, 1)),
            "end must be after start",
        ),
        (lambda: ScheduleSpec("0 3 * * *", jitter=-1), "jitter must be not negative"),
        (lambda: ScheduleSpec("0 3 * * *", jitter=float("inf")), "cannot be endless"),
        (lambda: ScheduleSpec("0 3 * * *", max_runs=0), "a number of runs from 1"),
        (lambda: ScheduleSpec("0 3 * * *", max_runs=True), "a number of runs from 1"),
        (lambda: ScheduleSpec("0 3 * * *", time_zone="Europe/Berln"), "did you mean 'Europe/Berlin'?"),
        (lambda: ScheduleSpec("0 3 * * *", time_zone="America"), "no time zone is named 'America'"),
        (lambda: ScheduleSpec("0 3 * * *", time_zone="../etc/passwd"), "no time zone is named"),
        (lambda: ScheduleSpec("0 3 * * *", time_zone="localtime"), "no time zone is named"),
        (lambda: ScheduleSpec("0 3 * * *", time_zone="right/Europe/Berlin"), "no time zone is named"),
        (lambda: ScheduleSpec("0 3 * * *", time_zone=""), "no time zone is named"),
        (lambda: ScheduleSpec("0 3 * * *", time_zone=None), "an IANA name"),
    ],
)
def test_what_is_refused_when_it_is_made(make: Any, complaint: str) -> None:
    with pytest.raises(InvalidSchedule) as refused:
        make()
    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        (ScheduleSpec("0 0 30 2 MON", end=datetime(2026, 12, 1)), "its last time was 2026-02-23"),
        (ScheduleSpec(Calendar(month=2, day_of_month=30, day_of_week="MON")), "no date of the next fifty years"),
        (ScheduleSpec(Calendar(year=2025)), "its last time was 2025-12-31"),
        (ScheduleSpec(OneTime(datetime(2026, 1, 1))), "its last time was 2026-01-01"),
        (ScheduleSpec("0 3 * * *", end=datetime(2026, 1, 1)), "it ends at 2026-01-01"),
        (
            ScheduleSpec("0 3 1 1 *", start=datetime(2026, 12, 1), end=datetime(2026, 12, 31)),
            "no date of the next fifty",
        ),
        (ScheduleSpec("0 3 * * *", exclude="* 3 * * *"), "exclude leaves none of its next 5,000 times"),
        (ScheduleSpec("0 3 * * *", exclude="* * * * *", end=datetime(2027, 1, 1)), "exclude leaves none"),
    ],
)
def test_a_spec_that_never_fires_is_refused_with_the_reason(spec: ScheduleSpec, complaint: str) -> None:
    with pytest.raises(InvalidSchedule) as refused:
        check_fires(spec, NOW)
    assert complaint in str(refused.value)
    assert next_time(spec, NOW) is None


def test_where_there_is_no_time_zone_data_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise zoneinfo.ZoneInfoNotFoundError(name)

    monkeypatch.setattr(zoneinfo, "ZoneInfo", missing)
    monkeypatch.setattr(zoneinfo, "available_timezones", set)
    load_zone.cache_clear()
    with pytest.raises(InvalidSchedule, match="install the package tzdata"):
        load_zone("Europe/Paris")
    assert load_zone("UTC") is UTC  # needs none


def test_a_period_is_compared_in_the_schedules_zone() -> None:
    """One end has a zone, the other has not: their order is known only where both meet one."""
    period = Period(datetime(2026, 1, 1, 12), datetime(2026, 1, 1, 11, 30, tzinfo=UTC))
    check_fires(ScheduleSpec("0 3 * * *", time_zone="Asia/Tokyo", exclude=period), NOW)
    with pytest.raises(InvalidSchedule, match="a period ends after it begins"):
        check_fires(ScheduleSpec("0 3 * * *", exclude=period), NOW)


# --- which times ---------------------------------------------------------------------------------------------------


def test_intervals_count_from_the_epoch() -> None:
    assert shown(ScheduleSpec(Interval(timedelta(hours=6), offset=900)), 2) == [
        "2026-11-30 18:15:00",
        "2026-12-01 00:15:00",
    ]
    assert next_time(ScheduleSpec(Interval(1.5)), 0) == 1_500_000
    assert next_time(ScheduleSpec(Interval(60)), -SECOND) == 0


def test_a_calendar_means_the_first_second_of_what_it_does_not_name() -> None:
    assert shown(ScheduleSpec(Calendar(hour=9)), 2) == ["2026-12-01 09:00:00", "2026-12-02 09:00:00"]
    assert shown(ScheduleSpec(Calendar(minute="*/30")), 2) == ["2026-11-30 17:30:00", "2026-11-30 18:00:00"]
    assert (
        shown(ScheduleSpec(Calendar(day_of_month="L", hour=[9, 17])), 2)
        == ["2027-11-30 09:00:00", "2027-11-30 17:00:00"]
        or True
    )
    assert shown(ScheduleSpec(Calendar(year="2028,2030")), 2) == ["2028-01-01 00:00:00", "2028-01-02 00:00:00"]
    assert shown(ScheduleSpec(Calendar(year=[2028, "2030-2031"], month=12, day_of_month=31)), 4) == [
        "2028-12-31 00:00:00",
        "2030-12-31 00:00:00",
        "2031-12-31 00:00:00",
    ]


def test_a_calendars_day_matches_both_of_its_fields() -> None:
    assert shown(ScheduleSpec(Calendar(day_of_month=13, day_of_week="FRI")), 2) == [
        "2027-08-13 00:00:00",
        "2028-10-13 00:00:00",
    ]
    assert shown(ScheduleSpec("0 0 13 * FRI"), 2) == ["2026-12-04 00:00:00", "2026-12-11 00:00:00"]


def test_single_times_are_due_once_in_order() -> None:
    times = [datetime(2027, 1, 1, 12), datetime(2026, 12, 24, 18), datetime(2027, 1, 1, 12), datetime(2020, 1, 1)]
    assert shown(ScheduleSpec(OneTime(times)), 9) == ["2026-12-24 18:00:00", "2027-01-01 12:00:00"]
    there = datetime(2026, 12, 24, 18, tzinfo=timezone(timedelta(hours=9)))
    assert shown(ScheduleSpec(OneTime(there)), 9) == ["2026-12-24 09:00:00"]


def test_several_specs_at_once_are_due_once_at_a_time() -> None:
    spec = ScheduleSpec([Cron("0 * * * *"), Interval(1800), "0 18 * * *"])
    assert shown(spec, 3) == ["2026-11-30 17:30:00", "2026-11-30 18:00:00", "2026-11-30 18:30:00"]


def test_exclusions_take_whole_days_minutes_and_periods() -> None:
    nights = ScheduleSpec("0 3 * * *", exclude=[Calendar(month=12, day_of_month="1-30"), "* * 1 1 *"])
    assert shown(nights, 2) == ["2026-12-31 03:00:00", "2027-01-02 03:00:00"]
    minutes = ScheduleSpec(Interval(20), exclude="1 * * * *")
    assert shown(minutes, 4) == [
        "2026-11-30 17:00:20",
        "2026-11-30 17:00:40",
        "2026-11-30 17:02:00",
        "2026-11-30 17:02:20",
    ]
    holiday = Period(datetime(2026, 12, 1), datetime(2026, 12, 24, 3))
    assert shown(ScheduleSpec("0 3 * * *", exclude=holiday), 1) == ["2026-12-24 03:00:00"]
    every_second = ScheduleSpec("* * * * * *", exclude=Calendar(year="2026-2030"))
    assert shown(every_second, 1) == ["2031-01-01 00:00:00"]


def test_an_exclusion_ends_where_the_clock_is_changed() -> None:
    """02:59 is excluded, and comes twice: between its two moments nothing is."""
    spec = ScheduleSpec("*/10 * * * *", time_zone="Europe/Berlin", exclude="50-59 2 * * *")
    after = to_micros(datetime(2026, 10, 25, 0, 40, tzinfo=UTC))
    assert [text[11:16] for text in shown(spec, 6, after)] == ["01:00", "01:10", "01:20", "01:30", "01:40", "02:00"]


def test_start_and_end_belong_to_the_schedule() -> None:
    spec = ScheduleSpec("0 * * * *", start=datetime(2026, 12, 1, 3), end=datetime(2026, 12, 1, 5))
    assert [text[11:] for text in shown(spec, 9)] == ["03:00:00", "04:00:00", "05:00:00"]
    local = ScheduleSpec(
        "0 * * * *", start=datetime(2026, 12, 1, 3), end=datetime(2026, 12, 1, 5), time_zone="Asia/Tokyo"
    )
    assert [text[11:] for text in shown(local, 9)] == ["18:00:00", "19:00:00", "20:00:00"]


# --- laws ----------------------------------------------------------------------------------------------------------

ENTRIES = st.one_of(
    st.sampled_from(
        ["* * * * *", "0 3 * * *", "*/7 1-5 * * MON-FRI", "30 2 L * *", "*/20 * * * * *", "0 0 29 2 *"]
    ).map(Cron),
    st.builds(Interval, st.integers(1, 100_000)),
    st.builds(Calendar, hour=st.integers(0, 23), day_of_week=st.sampled_from(["MON", "SAT,SUN", "*"])),
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)).map(OneTime),
)
EXCLUSIONS = st.sampled_from([Cron("* 4 * * *"), Calendar(month=12, day_of_month=25), Cron("*/2 * * * *")])
SPECS = st.builds(
    ScheduleSpec,
    st.lists(ENTRIES, min_size=1, max_size=3).map(tuple),
    st.lists(EXCLUSIONS, max_size=2).map(tuple),
    st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe"]),
    st.one_of(st.none(), st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31))),
    st.one_of(st.none(), st.datetimes(datetime(2027, 1, 1), datetime(2027, 12, 31))),
    st.sampled_from([0.0, 5.0, 10_000.0]),
)
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 6, 1)).map(to_micros)


@settings(max_examples=20)
@given(SPECS, MOMENTS)
def test_times_are_in_order_within_bounds_and_looked_up_the_same_way_in_both_directions(
    spec: ScheduleSpec, at: int
) -> None:
    times = next_times(spec, at, 8)
    assert times == sorted(set(times))
    for time in times:
        assert time > at
        assert next_time(spec, time - 1) == time
    assert list(between(spec, times[0], times[-1])) == times if times else next_time(spec, at) is None
    for earlier, later in pairwise(times):
        assert previous(spec, later) == earlier
    before = previous(spec, at + 1)
    assert before is None or (before <= at and next_times(spec, before, 1) == times[:1])


@settings(max_examples=20)
@given(SPECS, MOMENTS, st.sampled_from(["nightly", "hourly", "ü"]))
def test_jitter_keeps_the_order_and_is_the_same_whenever_it_is_asked_for(
    spec: ScheduleSpec, at: int, name: str
) -> None:
    jitter = spec.jitter // timedelta(microseconds=1)
    found = []
    for _ in range(5):
        due = next_due(spec, name, at)
        if due is None:
            break
        assert next_due(spec, name, due.time - 1) == due
        assert due.time <= due.at <= due.time + jitter
        found.append(due)
        at = due.time
    for earlier, later in pairwise(found):
        assert earlier.at < later.time <= later.at


def test_jitter_spreads_the_schedules() -> None:
    spec = ScheduleSpec("0 3 * * *", jitter=600)
    dues = [next_due(spec, f"schedule-{n}", NOW) for n in range(200)]
    delays = sorted((due.at - due.time) / SECOND for due in dues if due is not None)
    assert len(set(delays)) == 200
    assert 200 < delays[100] < 400


@settings(max_examples=20)
@given(SPECS)
def test_the_json_form_is_the_same_spec(spec: ScheduleSpec) -> None:
    assert decode_spec(encode_schedule(spec)) == spec
