"""The JSON form: what users may write, and where it is wrong."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from durable_ray.orchestrations.schedules.documents import (
    UnreadableSchedule,
    decode_schedule,
    decode_spec,
    decode_state,
    encode_schedule,
)
from durable_ray.orchestrations.schedules.patterns import InvalidSchedule
from durable_ray.orchestrations.schedules.schedule import Schedule, ScheduleAction, SchedulePolicy
from durable_ray.orchestrations.schedules.spec import Calendar, Cron, Interval, OneTime, Period, ScheduleSpec
from durable_ray.orchestrations.schedules.transition import create

WRITTEN = """{
    "spec": {
        "when": [
            {"type": "cron", "expression": "0 3 * * *"},
            {"type": "interval", "every": "PT1H", "offset": 900},
            {"type": "calendar", "day_of_week": "MON-FRI", "hour": [9, "17"]},
            {"type": "times", "times": ["2026-12-24T18:00:00", "2026-12-31T23:00:00+01:00"]}
        ],
        "exclude": [{"type": "period", "begin": "2027-01-01T00:00:00", "end": "2027-01-02T00:00:00"}],
        "time_zone": "Europe/Berlin",
        "jitter": 30
    },
    "action": {"orchestrator": "report", "input": "[1]", "tags": {"team": "a"}},
    "policy": {"overlap": "buffer_one", "catch_up_window": "PT5M"}
}"""


def test_what_a_user_writes() -> None:
    spec = ScheduleSpec(
        (
            Cron("0 3 * * *"),
            Interval(3600, offset=900),
            Calendar(day_of_week="MON-FRI", hour=(9, "17")),
            OneTime((datetime(2026, 12, 24, 18), datetime(2026, 12, 31, 22, tzinfo=UTC))),
        ),
        (Period(datetime(2027, 1, 1), datetime(2027, 1, 2)),),
        "Europe/Berlin",
        jitter=30,
    )
    policy = SchedulePolicy(overlap="buffer_one", catch_up_window=300)
    assert decode_spec('{"when": "0 3 * * *"}') == ScheduleSpec("0 3 * * *")
    assert decode_schedule(WRITTEN) == Schedule(spec, ScheduleAction("report", "[1]", tags={"team": "a"}), policy)


def test_what_is_written_leaves_out_what_was_not_given() -> None:
    assert (
        encode_schedule(ScheduleSpec("0 3 * * *"))
        == '{"when":[{"type":"cron","expression":"0 3 * * *"}],"jitter":"P0D"}'
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"when":[{"type":"cron","expression":"0 99 * * *"}]}', "'99' as the hour (field 2, at character 3)"),
        ('{"when":[{"type":"cron","expression":"0 99 * * *"}]}', "at `$.when[0]`"),
        ('{"when":[{"type":"interval","every":0}]}', "every must be at least 1 second"),
        ('{"when":[{"type":"interval","every":"soon"}]}', "$.when[0].every"),
        ('{"when":[{"type":"moon"}]}', "Invalid value 'moon' - at `$.when[0].type`"),
        ('{"when":[{"expression":"0 3 * * *"}]}', "missing required field `type`"),
        ('{"when":[{"type":"cron","expression":"0 3 * * *","tz":"UTC"}]}', "unknown field `tz`"),
        ('{"when":5}', "at `$.when`"),
        ('{"when":[],"every":5}', "unknown field `every`"),
        ('{"when":[]}', "when is empty"),
        ("[]", "Expected `object`"),
        ("{", "truncated"),
        ('{"when":[{"type":"cron","expression":"0 3 * * *"}],"time_zone":"Mars/Olympus"}', "no time zone is named"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, complaint: str) -> None:
    with pytest.raises(InvalidSchedule) as refused:
        decode_spec(text)
    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('"report"', '""', "a definition's name"),
        ('"buffer_one"', '"replace"', "Invalid enum value 'replace'"),
        ('"PT5M"', "5", "catch_up_window must be at least ten seconds"),
        ('"tags": {"team": "a"}', '"tags": {"team": 1}', "$.action.tags"),
        ('"input": "[1]"', '"instance_id": "a/b"', "an instance ID must not contain"),
    ],
)
def test_what_is_wrong_with_a_schedule_is_named_too(old: str, new: str, complaint: str) -> None:
    assert old in WRITTEN
    with pytest.raises(InvalidSchedule) as refused:
        decode_schedule(WRITTEN.replace(old, new))
    assert complaint in str(refused.value)


def test_a_state_is_read_as_it_was_written() -> None:
    state = create("nightly", decode_schedule(WRITTEN), 10**15)
    assert decode_state(encode_schedule(state)) == state


def test_a_newer_state_is_read_if_it_is_understood() -> None:
    text = encode_schedule(create("nightly", decode_schedule(WRITTEN), 10**15))
    assert decode_state(text.replace("{", '{"mood":"good",', 1)).schedule_id == "nightly"
    with pytest.raises(UnreadableSchedule, match="upgrade this one"):
        decode_state(text.replace('"type":"cron"', '"type":"moon"'))
    with pytest.raises(UnreadableSchedule):
        decode_state(text[:-9])
