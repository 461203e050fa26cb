"""What `@orchestrator(schedule=...)` takes, and where it is wrong."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from durable_ray.orchestrations.authoring.catalog import catalog
from durable_ray.orchestrations.authoring.decorators import orchestrator
from durable_ray.orchestrations.authoring.options import OrchestratorOptions
from durable_ray.orchestrations.schedules.declared import DeclaredSchedule, declaration_of, declared_in
from durable_ray.orchestrations.schedules.patterns import InvalidSchedule
from durable_ray.orchestrations.schedules.schedule import Schedule, ScheduleAction
from durable_ray.orchestrations.schedules.spec import Calendar, ScheduleSpec


def test_it_travels_with_the_options_as_json() -> None:
    @orchestrator(name="declared_for_json", schedule="@daily")
    def scheduled(ctx: Any) -> None: ...

    catalog.forget(scheduled)
    text = json.dumps(scheduled.options.to_json_dict())
    read = OrchestratorOptions.from_json_dict(json.loads(text))
    assert read == scheduled.options
    assert read.schedule is not None
    schedule = Schedule(ScheduleSpec("@daily"), ScheduleAction("declared_for_json"))
    assert declared_in(read.schedule) == ("declared_for_json", schedule)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("0 25 * * *", "'25' as the hour (field 2, at character 3)"),
        ("0 0 31 2 *", "none of its months has a day 31"),
        (5, "a cron expression, a ScheduleSpec or a DeclaredSchedule, not 5"),
        (
            Schedule(ScheduleSpec("@daily"), ScheduleAction("x")),
            "a cron expression, a ScheduleSpec or a DeclaredSchedule",
        ),
        (ScheduleSpec(Calendar(year=2030), end=datetime(2029, 1, 1)), "no date is within its fields, start and end"),
        (DeclaredSchedule("@daily", overlap="x"), "overlap is one of"),  # type: ignore[arg-type]
        (DeclaredSchedule("@daily", catch_up_window=1), "at least ten seconds"),
        (DeclaredSchedule("@daily", schedule_id="a/b"), "must not contain"),
        (DeclaredSchedule("@daily", instance_id="{x}"), "no other braces"),
        (DeclaredSchedule("@daily", input=object()), "cannot be"),
        (DeclaredSchedule("@daily", tags={"a": 1}), "tags are texts"),  # type: ignore[dict-item]
    ],
)
def test_what_is_wrong_is_refused_where_it_is_decorated(given: Any, message: str) -> None:
    before = len(catalog)
    with pytest.raises(InvalidSchedule) as refused:

        @orchestrator(name="declared_wrongly", schedule=given)
        def scheduled(ctx: Any) -> None: ...

    assert str(refused.value).startswith("the schedule of orchestrator 'declared_wrongly': ")
    assert message in str(refused.value)
    assert len(catalog) == before


def test_a_spec_is_checked_where_it_is_made() -> None:
    with pytest.raises(InvalidSchedule, match="'61' as the minute"):
        DeclaredSchedule("61 * * * *")
    with pytest.raises(InvalidSchedule, match="spec is a ScheduleSpec"):
        DeclaredSchedule(5)  # type: ignore[arg-type]


def test_times_that_are_over_are_not_wrong() -> None:
    """Code is deployed for longer than a schedule lasts; what is far in the future is found, too."""
    assert declaration_of("n", ScheduleSpec("@daily", end=datetime(2001, 1, 1)))
    assert declaration_of("n", ScheduleSpec(Calendar(year=2900)))
    assert declaration_of("n", ScheduleSpec("* * * * *", exclude=Calendar(year="1970-2400")))
