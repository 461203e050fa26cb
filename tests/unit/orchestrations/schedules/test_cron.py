"""Cron expressions: those of cronsim's own tests, and what is wrong with others, with its position."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_ray.orchestrations.schedules.occurrences import next_times
from durable_ray.orchestrations.schedules.patterns import InvalidSchedule
from durable_ray.orchestrations.schedules.spec import Cron, ScheduleSpec
from durable_ray.orchestrations.values.times import to_datetime, to_micros
from tests.unit.orchestrations.schedules.oracle import times_after

START = datetime(2020, 1, 1, 0, 0, 30, tzinfo=UTC)

#: The expressions of cronsim's tests; what they mean is computed by the oracle.
CORPUS = """
    * * * * * *;  * * * * *;  * * * * */2;  * * * * 0;  * * * * 0-2;  * * * * 1;  * * * * 1#2;  * * * * 1,2,3#1
    * * * * 5L;  * * * * 7;  * * * * MON;  * * * * mon;  * * * * sun-tue;  * * * JAN *;  * * 1 * *;  * * L * *
    * * LW * *;  * * l * *;  * * lw * *;  * 1-6 * * *;  */15 * * * * *;  */15 * * * *;  */30 * * * *;  0 * * * *
    0 */2 * * *;  0 */3 * * *;  0 1,2,3,4,5 * * *;  0 1,3,5,7,9,11,13,15,17,19,21,23 * * *;  0 1-5 * * *;  0 2 * * *
    0 30 1-10 * * *;  0-10/2 * * * *;  1 * * * *;  1 1 * * */3;  1 1 * * 1#2;  1 1 * * 5L;  1 1 */100 * MON#4
    1 1 */100,1-7 * MON;  1 1 1-7 * */7;  1 1 L * *;  1 1 LW 5 *;  1,2,3 * * * *;  1-3 * * * *;  1-3,7-9 * * * *
    11,22 30 1,2,3,4 * * *;  15 3 * * *;  30 */2 * * *;  33 30 1-10 * * *;  5/15 * * * *;  0 0 29 2 *;  0 0 13 * FRI
    0 9-17 * * MON-FRI;  0 0 1,15 * *;  0 0 31 * *;  59 59 23 31 12 *
"""


@pytest.mark.parametrize(
    "expression", [text.strip() for line in CORPUS.split("\n") for text in line.split(";") if text.strip()]
)
def test_an_expression_of_the_corpus(expression: str) -> None:
    six = expression if len(expression.split()) == 6 else f"0 {expression}"
    found = [to_datetime(time) for time in next_times(ScheduleSpec(expression), to_micros(START), 6)]
    assert found == list(islice(times_after(six, START, 30), 6))


def test_rare_days_are_found_however_far_they_are() -> None:
    times = next_times(ScheduleSpec("0 0 * 2 MON#5"), to_micros(START), 3)
    assert [to_datetime(time).date().isoformat() for time in times] == ["2044-02-29", "2072-02-29", "2112-02-29"]


@pytest.mark.parametrize(
    ("macro", "expression"),
    [("@hourly", "0 * * * *"), ("@daily", "0 0 * * *"), ("@Weekly", "0 0 * * 0"), ("@yearly", "0 0 1 1 *")],
)
def test_macros(macro: str, expression: str) -> None:
    after = to_micros(START)
    assert next_times(ScheduleSpec(macro), after, 3) == next_times(ScheduleSpec(expression), after, 3)


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("0 25 * * *", "'25' as the hour (field 2, at character 3); allowed: 0-23"),
        ("  61 * * * *", "'61' as the minute (field 1, at character 3)"),
        ("61 * * * * *", "'61' as the second (field 1, at character 1)"),
        ("* * 32 * *", "'32' as the day of the month (field 3, at character 5)"),
        ("* * * 13 *", "'13' as the month (field 4, at character 7); allowed: 1-12 or JAN-DEC"),
        ("* * * * 8", "'8' as the day of the week (field 5"),
        ("* * * * 1#6", "'1#6' as the day of the week"),
        ("* * * * 1#0", "'1#0' as the day of the week"),
        ("* * * * MONL", "'MONL' as the day of the week"),
        ("* * * * 5L-6", "'5L-6' as the day of the week"),
        ("* * * * 5L#1", "'5L#1' as the day of the week"),
        ("* * 5-1 * *", "'5-1' as the day of the month"),
        ("*/0 * * * *", "'*/0' as the minute"),
        ("1-1_0 * * * *", "'1-1_0' as the minute"),
        ("¹ * * * *", "'¹' as the minute"),
        ("* * ? * *", "'?' as the day of the month"),
        ("* * 30 2 *", "never fires: none of its months has a day 30"),
        ("0 0 31 4,6 *", "never fires: none of its months has a day 31"),
        ("* * * *", "has 4 fields; it needs five"),
        ("* * * * * * *", "has 7 fields"),
        ("", "has 0 fields"),
        ("@every 5s", "for @every write Interval"),
        ("CRON_TZ=UTC 0 0 * * *", "names a time zone: give it as time_zone="),
        ("1," * 200, "at most 256 characters"),
    ],
)
def test_what_is_wrong_is_said_with_its_position(expression: str, complaint: str) -> None:
    with pytest.raises(InvalidSchedule) as refused:
        Cron(expression)
    assert complaint in str(refused.value)


@given(st.text(alphabet="0123456789*/,-#LWMONFRIJAN? @¹\n", max_size=30))
def test_whatever_text_is_an_expression_or_refused(text: str) -> None:
    try:
        spec = ScheduleSpec(text)
    except InvalidSchedule:
        return
    times = next_times(spec, to_micros(START), 2)
    assert times == sorted(set(times))
    assert all(time > to_micros(START) for time in times)
