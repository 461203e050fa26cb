"""Schedules that code declares: `@orchestrator(schedule=...)`, applied by whatever deploys that code."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import durable_ray as dr
from durable_ray.actors.code.described import KnownOrchestrator, described
from durable_ray.actors.messages import PROTOCOL, Hello
from durable_ray.actors.store.writes import StoreSchedule
from durable_ray.client.deploying import Deployer
from durable_ray.orchestrations.authoring.catalog import DefinitionCatalog, catalog
from durable_ray.orchestrations.schedules.declared import declared_in
from durable_ray.testing import TestHub

HOUR = timedelta(hours=1)
START = datetime(2030, 1, 1, tzinfo=UTC)
HOURLY = dr.ScheduleSpec(dr.Interval(3600))
DAILY = dr.ScheduleSpec("0 12 * * *")
#: Everything that a declaration may say.
WHOLE = dr.DeclaredSchedule(
    dr.ScheduleSpec(
        [
            dr.Cron("30 2 * * MON-FRI"),
            dr.Interval(3600, offset=60),
            dr.Calendar(year="2030-2031", hour=[9, 17]),
            dr.OneTime([datetime(2031, 12, 24, 18), datetime(2032, 1, 1, tzinfo=UTC)]),
        ],
        exclude=[dr.Calendar(month=12), dr.Period(datetime(2030, 6, 1), datetime(2030, 7, 1))],
        time_zone="Europe/Berlin",
        start=datetime(2030, 1, 1, 1),
        end=datetime(2040, 1, 1, tzinfo=UTC),
        jitter=0.5,
        max_runs=1000,
    ),
    {"region": "eu"},
    schedule_id="whole",
    overlap="buffer_one",
    catch_up="latest",
    catch_up_window=timedelta(minutes=5),
    pause_on_failure=True,
    instance_id="report-{time}",
    tags={"team": "a"},
    placement="shared",
    priority=3,
)


def declaring(schedule: Any, name: str = "nightly", version: str = "", result: Any = None) -> Any:
    """An orchestrator that other tests of this process do not deploy."""

    @dr.orchestrator(name=name, version=version, schedule=schedule)
    async def scheduled(ctx: dr.OrchestrationContext, value: Any = None) -> Any:
        return value if result is None else result

    catalog.forget(scheduled)
    return scheduled


def found(client: dr.Client, schedule_id: str = "nightly") -> dr.ScheduleDescription:
    schedule = client.get_schedule(schedule_id)
    assert schedule is not None
    return schedule


def test_it_is_created_by_the_first_start_of_anything() -> None:
    definitions = DefinitionCatalog()
    definitions.register(declaring(dr.DeclaredSchedule(HOURLY, {"region": "eu"}, placement="shared")))
    definitions.register(declaring(None, "other"))
    with TestHub(auto_advance=False, definitions=definitions) as hub:
        hub.client.start_new("other").wait_for_completion(10)
        hub.advance(2.5 * HOUR)
        schedule = found(hub.client)
        assert [run.time - START for run in reversed(schedule.runs)] == [HOUR, 2 * HOUR]
        assert schedule.declared is not None
        assert (schedule.declared.orchestrator, schedule.declared.current) == ("nightly", True)
        status = hub.client.get_status("nightly")
        assert status is not None
        assert status.output == {"region": "eu"}
        assert hub.client.get_schedule("other") is None


def test_time_that_advances_by_itself_does_not_do_so_for_schedules_alone() -> None:
    @dr.orchestrator(name="three_days")
    async def three_days(ctx: dr.OrchestrationContext) -> None:
        await ctx.create_timer(timedelta(days=3))

    catalog.forget(three_days)
    definitions = DefinitionCatalog()
    definitions.register(declaring(dr.DeclaredSchedule("0 12 * * *", placement="shared")))
    definitions.register(three_days)
    with TestHub(definitions=definitions) as hub:
        hub.client.start_new("three_days").wait_for_completion(20)
        hub.settle()
        time.sleep(0.3)  # in which it would go on for months
        assert hub.now - START < timedelta(days=3, hours=1)
        assert found(hub.client).counts.completed == 3


def test_a_cron_text_is_short_for_a_spec_and_all_of_a_declaration_arrives(client: dr.Client) -> None:
    client.register(declaring("0 12 * * *"), declaring(WHOLE, "all"))
    assert found(client).schedule == dr.Schedule(DAILY, dr.ScheduleAction("nightly"))
    schedule = found(client, "whole").schedule
    assert schedule == dr.Schedule(
        WHOLE.spec,
        dr.ScheduleAction("all", '{"region":"eu"}', None, "report-{time}", {"team": "a"}, "shared", 3),
        dr.SchedulePolicy("buffer_one", "latest", 300, pause_on_failure=True),
    )


def test_deploying_the_same_again_changes_nothing(hub: TestHub, client: dr.Client) -> None:
    for _ in range(3):
        client.register(declaring(WHOLE, "all"))
    before = found(client, "whole")
    hub.advance(5 * HOUR)
    client.register(declaring(WHOLE, "all", result="other code, the same declaration"))
    after = found(client, "whole")
    assert (before.version, after.version) == (1, 1)
    assert after.declared == before.declared
    assert after.counts.scheduled > 0


def test_changed_code_changes_it_and_keeps_pause_counts_and_runs_used(hub: TestHub, client: dr.Client) -> None:
    client.register(declaring(dr.DeclaredSchedule(dr.ScheduleSpec(dr.Interval(3600), max_runs=3), 1)))
    hub.advance(2 * HOUR)
    client.pause_schedule("nightly", "holidays")
    every_half = dr.ScheduleSpec(dr.Interval(1800), max_runs=3)
    client.register(declaring(dr.DeclaredSchedule(every_half, 2)))
    schedule = found(client)
    assert (schedule.status, schedule.note, schedule.counts.completed) == ("paused", "holidays", 2)
    assert (schedule.schedule.spec, schedule.schedule.action.input) == (every_half, "2")
    hub.advance(2 * HOUR)
    assert client.resume_schedule("nightly").next_times == (START + 4.5 * HOUR,)
    hub.advance(9 * HOUR)
    assert (found(client).counts.scheduled, found(client).status) == (3, "ended")


def test_what_is_due_by_then_is_decided_by_the_old_declaration(hub: TestHub, client: dr.Client) -> None:
    client.register(declaring(HOURLY))
    hub.advance(HOUR)
    client.register(declaring(DAILY))
    assert [run.time for run in found(client).runs] == [START + HOUR]
    assert found(client).next_times[0] == START + 12 * HOUR


def test_an_update_by_hand_stays_until_code_declares_something_else(client: dr.Client) -> None:
    client.register(declaring(HOURLY))
    by_hand = replace(found(client).schedule, spec=dr.ScheduleSpec("@weekly"))
    client.update_schedule("nightly", by_hand)
    client.register(declaring(HOURLY, result="another body"))
    schedule = found(client)
    assert schedule.schedule == by_hand
    assert schedule.declared is not None
    assert schedule.declared.schedule.spec == HOURLY
    client.register(declaring(DAILY))
    assert found(client).schedule.spec == DAILY


def test_what_is_gone_from_code_is_shown_and_goes_on(hub: TestHub, client: dr.Client) -> None:
    client.register(declaring(HOURLY))
    client.register(declaring(None))
    for schedule in (found(client), client.list_schedules()[0], client.pause_schedule("nightly")):
        assert schedule.declared is not None
        assert not schedule.declared.current
    client.resume_schedule("nightly")
    hub.advance(HOUR)
    assert found(client).counts.completed == 1
    client.register(declaring(HOURLY))
    again = found(client)
    assert again.declared is not None
    assert (again.declared.current, again.counts.completed) == (True, 1)


def test_an_id_that_code_gives_up_is_no_longer_declared(client: dr.Client) -> None:
    client.register(declaring(dr.DeclaredSchedule(HOURLY, schedule_id="a")))
    client.register(declaring(dr.DeclaredSchedule(HOURLY, schedule_id="b")))
    assert [(one.schedule_id, one.declared and one.declared.current) for one in client.list_schedules()] == [
        ("a", False),
        ("b", True),
    ]


def test_the_newest_version_declares(client: dr.Client) -> None:
    client.register(declaring(HOURLY, version="1"), declaring(DAILY, version="2"))
    assert found(client).schedule.spec == DAILY
    client.register(declaring(None, version="3"))
    declared = found(client).declared
    assert declared is not None
    assert not declared.current


def test_what_was_deleted_stays_so_until_code_declares_something_else(hub: TestHub, client: dr.Client) -> None:
    client.register(declaring(HOURLY))
    hub.advance(HOUR)
    client.delete_schedule("nightly")
    client.register(declaring(HOURLY))
    assert client.get_schedule("nightly") is None
    assert client.list_schedules() == []
    for request in (client.delete_schedule, client.pause_schedule, client.resume_schedule, client.trigger_schedule):
        with pytest.raises(dr.ScheduleNotFound):
            request("nightly")
    hub.advance(5 * HOUR)
    client.register(declaring(DAILY))
    again = found(client)
    assert (again.created_time, again.counts.scheduled, again.status) == (START + 6 * HOUR, 0, "active")


def test_one_that_is_created_by_hand_after_it_was_deleted_stays_as_it_was_made(client: dr.Client) -> None:
    client.register(declaring(HOURLY))
    client.delete_schedule("nightly")
    client.create_schedule("nightly", "nightly", spec=DAILY)
    client.register(declaring(HOURLY))
    assert found(client).schedule.spec == DAILY


def test_one_that_code_no_longer_declares_is_deleted_for_good(client: dr.Client) -> None:
    client.register(declaring(HOURLY))
    client.register(declaring(None))
    client.delete_schedule("nightly")
    client.register(declaring(HOURLY))
    assert found(client).status == "active"


def test_one_that_was_created_by_hand_for_the_same_orchestrator_becomes_the_declared_one(client: dr.Client) -> None:
    client.register(declaring(None))
    client.create_schedule("nightly", "nightly", spec=DAILY, paused=True)
    client.register(declaring(HOURLY))
    assert (found(client).schedule.spec, found(client).status) == (HOURLY, "paused")


def test_an_id_of_another_orchestrator_is_refused_and_nothing_deployed(hub: TestHub, client: dr.Client) -> None:
    client.register(declaring(None, "other"))
    client.create_schedule("nightly", "other", spec=DAILY)
    with pytest.raises(dr.InvalidSchedule, match="there is a schedule 'nightly' of orchestrator 'other'; delete that"):
        client.register(declaring(HOURLY))
    assert hub.store.definition("orchestrator", "nightly") is None
    with pytest.raises(dr.InvalidSchedule, match="'a' and 'b' both declare the schedule 'x'"):
        client.register(*(declaring(dr.DeclaredSchedule(HOURLY, schedule_id="x"), name) for name in "ab"))
    assert found(client).schedule.action.orchestrator == "other"


def test_one_that_cannot_be_read_hinders_no_deployment(hub: TestHub, client: dr.Client) -> None:
    client.register(declaring(HOURLY))
    row = hub.store.schedules(["nightly"])["nightly"]
    hub.store.commit(None, [StoreSchedule(replace(row, state="{}"))])
    client.register(declaring(DAILY), declaring(HOURLY, "other"))
    assert hub.store.schedules(["nightly"])["nightly"].state == "{}"
    assert found(client, "other").status == "active"


def test_times_that_are_over_do_not_stop_a_deployment(client: dr.Client) -> None:
    """Code is deployed for longer than a schedule lasts."""
    client.register(declaring(dr.ScheduleSpec("@daily", end=datetime(2029, 1, 1))))
    assert found(client).status == "ended"


async def test_many_processes_that_deploy_at_once_make_one_schedule(hub: TestHub) -> None:
    hello = Hello("registry", hub.hub.name, PROTOCOL, 1, 1, "sqlite://", "")
    clients = [
        dr.AsyncClient._of(hello, Deployer(DefinitionCatalog(), None), 2, hub.async_client._driver) for _ in range(20)
    ]
    await asyncio.gather(*(one.register(declaring(HOURLY)) for one in clients))
    hub.advance(HOUR)
    schedule = found(hub.client)
    assert (schedule.version, schedule.counts.completed) == (1, 1)


async def test_of_different_code_that_is_deployed_at_once_the_newest_holds(hub: TestHub) -> None:
    specs = [dr.ScheduleSpec(dr.Interval(3600 + n)) for n in range(20)]
    await asyncio.gather(*(hub.async_client.register(declaring(spec)) for spec in specs))
    newest = hub.store.definition("orchestrator", "nightly")
    assert newest is not None
    known = described(newest)
    assert isinstance(known, KnownOrchestrator)
    assert known.options.schedule is not None
    schedule = found(hub.client)
    assert ("nightly", schedule.schedule) == declared_in(known.options.schedule)
    assert schedule.declared is not None
    assert schedule.declared.current


def test_it_is_kept_when_the_hub_restarts(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/hub.db"
    definitions = DefinitionCatalog()
    definitions.register(declaring(HOURLY))
    with TestHub(url, auto_advance=False, definitions=definitions) as hub:
        hub.client.register()
        hub.client.pause_schedule("nightly", "holidays")
    with TestHub(url, start=START + 5 * HOUR, auto_advance=False, definitions=definitions) as hub:
        hub.client.register()
        schedule = found(hub.client)
        assert (schedule.status, schedule.note, schedule.version) == ("paused", "holidays", 2)
        assert schedule.declared is not None


def test_a_registry_that_ends_between_code_and_schedule_is_made_good_by_the_repeated_deployment(
    hub: TestHub, client: dr.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = hub.hub.registry
    declare = registry.declare_schedules

    async def killed(names: Any) -> None:
        monkeypatch.setattr(registry, "declare_schedules", declare)
        raise RuntimeError("the registry was killed")

    monkeypatch.setattr(registry, "declare_schedules", killed)
    with pytest.raises(RuntimeError):
        client.register(declaring(HOURLY))
    assert hub.store.definition("orchestrator", "nightly") is not None
    assert client.get_schedule("nightly") is None
    client.register(declaring(HOURLY))
    assert found(client).status == "active"
