"""Schedules of a hub, on virtual time: runs, overlap, missed runs, and what clients ask of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import durable_ray as dr
from durable_ray.actors.store.contract import CommitUnknown
from durable_ray.actors.store.writes import StoreSchedule
from durable_ray.orchestrations.values.ids import SCHEDULE_TAG, SCHEDULED_AT_TAG
from durable_ray.testing import TestHub
from tests.management.conftest import assert_nobody_is_forgotten
from tests.management.shapes import echo, waiter

HOUR = timedelta(hours=1)
START = datetime(2030, 1, 1, tzinfo=UTC)
HOURLY = dr.ScheduleSpec(dr.Interval(3600))


@dr.orchestrator(name="scheduled_to_fail")
async def failing(ctx: dr.OrchestrationContext, value: Any = None) -> Any:
    raise ValueError("no")


@pytest.fixture(params=["dedicated", "shared"])
def placement(request: pytest.FixtureRequest) -> Any:
    return request.param


def found(client: dr.Client, schedule_id: str = "s") -> dr.ScheduleDescription:
    schedule = client.get_schedule(schedule_id)
    assert schedule is not None
    return schedule


def outcomes(client: dr.Client) -> list[tuple[str, int]]:
    """(outcome, hour due) of the runs, the oldest first."""
    return [(run.outcome, (run.time - START) // HOUR) for run in reversed(found(client).runs)]


def test_each_hour_has_its_run(hub: TestHub, client: dr.Client, placement: Any) -> None:
    created = client.create_schedule("s", echo, "input", spec=HOURLY, tags={"team": "a"}, placement=placement)
    assert created.next_times[:2] == (START + HOUR, START + 2 * HOUR)
    assert len(created.next_times) == 10
    hub.advance(3 * HOUR)
    assert outcomes(client) == [("completed", 1), ("completed", 2), ("completed", 3)]
    status = client.get_status("s")
    assert status is not None
    assert (status.output, status.name) == ("input", "echo")
    assert status.tags == {"team": "a", SCHEDULE_TAG: "s", SCHEDULED_AT_TAG: "2030-01-01T03:00:00Z"}
    assert status.created_time == START + 3 * HOUR
    assert found(client).counts.completed == 3
    client.start_new(echo, instance_id="other")
    assert [run.instance_id for run in client.list_instances(schedule_id="s")] == ["s"]
    assert client.list_instances(schedule_id="s", tags={"team": "b"}) == client.list_instances(schedule_id="") == []


def test_a_year_of_nights_over_both_changes_of_the_clock(hub: TestHub, client: dr.Client) -> None:
    spec = dr.ScheduleSpec("30 2 * * *", time_zone="Europe/Berlin")
    client.create_schedule("s", echo, spec=spec, placement="shared")
    hub.advance(timedelta(days=365))
    schedule = found(client)
    assert (schedule.counts.completed, schedule.counts.skipped, schedule.skipped) == (365, 0, ())


@pytest.mark.parametrize(
    ("overlap", "while_running", "after"),
    [
        ("skip", [("running", 1)], [("completed", 1)]),
        ("buffer_one", [("running", 1)], [("completed", 1), ("running", 2)]),
        ("buffer_all", [("running", 1)], [("completed", 1), ("running", 2)]),
        (
            "terminate",
            [("terminated", 1), ("terminated", 2), ("running", 3)],
            [("terminated", 1), ("terminated", 2), ("completed", 3)],
        ),
        ("allow_all", [("running", 1), ("running", 2), ("running", 3)], None),
    ],
)
def test_a_slow_run_by_every_policy(
    hub: TestHub,
    client: dr.Client,
    overlap: Any,
    while_running: list[tuple[str, int]],
    after: list[tuple[str, int]] | None,
    placement: Any,
) -> None:
    client.create_schedule("s", waiter, spec=HOURLY, overlap=overlap, placement=placement)
    hub.advance(3.5 * HOUR)
    assert outcomes(client) == while_running
    if after is not None:
        client.raise_event("s", "go")
        hub.settle()
        assert outcomes(client) == after
    if overlap == "skip":
        (skip,) = found(client).skipped
        assert (skip.reason, skip.count, skip.first, skip.last) == ("overlap", 2, START + 2 * HOUR, START + 3 * HOUR)
        assert skip.detail == "the run of 2030-01-01T01:00:00Z was under way"
    if overlap == "allow_all":
        assert {run.instance_id for run in found(client).runs} == {f"s:2030-01-01T0{n}:00:00Z" for n in (1, 2, 3)}


def test_an_instance_of_somebody_else_is_left_alone(hub: TestHub, client: dr.Client) -> None:
    client.start_new(waiter, instance_id="s")
    client.create_schedule("s", echo, spec=HOURLY)
    hub.advance(2 * HOUR)
    (skip,) = found(client).skipped
    assert (skip.reason, skip.count) == ("refused", 2)
    assert skip.detail == "the instance 's' exists and is no run of this schedule"
    client.raise_event("s", "go", 1)
    hub.advance(HOUR)
    assert outcomes(client) == [("completed", 3)]


def test_a_run_that_was_restarted_by_hand_is_lost_to_its_schedule(tmp_path: Path) -> None:
    """Found by the sweep: nobody reports it."""
    settings = dr.HubSettings(partitions=1, sweep_interval=0.05)
    with TestHub(auto_advance=False, settings=settings) as hub:
        hub.client.create_schedule("s", waiter, spec=HOURLY)
        hub.advance(1.5 * HOUR)
        hub.client.start_new(waiter, instance_id="s", if_exists="terminate_existing")
        for _ in range(600):
            hub.settle()
            if outcomes(hub.client) == [("lost", 1)]:
                break
            hub.advance(0.1)
        assert outcomes(hub.client) == [("lost", 1)]


def test_what_a_run_ends_with_is_noted(hub: TestHub, client: dr.Client, placement: Any) -> None:
    client.create_schedule("s", failing, spec=HOURLY, pause_on_failure=True, placement=placement)
    hub.advance(3 * HOUR)
    assert outcomes(client) == [("failed", 1)]
    schedule = found(client)
    assert (schedule.status, schedule.note) == ("paused", "the run of 2030-01-01T01:00:00Z failed")


def test_a_run_that_is_terminated_before_it_began_is_noted(client: dr.Client, hub: TestHub) -> None:
    client.create_schedule("s", waiter, spec=HOURLY, placement="dedicated")
    hub.advance(HOUR)
    client.terminate("s", "enough")
    hub.settle()
    assert outcomes(client) == [("terminated", 1)]


def test_missed_runs_of_a_hub_that_was_away(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/hub.db"
    with TestHub(url, auto_advance=False) as hub:
        for name, policy in {
            "default": {},
            "wide": {"catch_up_window": 7200, "overlap": "buffer_all"},
            "latest": {"catch_up_window": 7200, "catch_up": "latest"},
            "none": {"catch_up": "none"},
        }.items():
            hub.client.create_schedule(name, echo, spec=dr.ScheduleSpec(dr.Interval(1200)), **policy)
    with TestHub(url, start=START + HOUR + timedelta(seconds=30), auto_advance=False) as hub:
        hub.settle()
        ran = {one.schedule_id: [run.time - START for run in reversed(one.runs)] for one in hub.client.list_schedules()}
        skipped = {one.schedule_id: [(s.reason, s.count) for s in one.skipped] for one in hub.client.list_schedules()}
    third = timedelta(minutes=20)
    assert ran == {"default": [3 * third], "wide": [third, 2 * third, 3 * third], "latest": [3 * third], "none": []}
    assert skipped == {
        "default": [("missed", 2)],
        "wide": [],
        "latest": [("superseded", 2)],
        "none": [("missed", 3)],
    }


def test_runs_go_on_where_the_hub_stopped(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/hub.db"
    with TestHub(url, auto_advance=False) as hub:
        hub.client.create_schedule("s", waiter, spec=HOURLY, overlap="buffer_all")
        hub.advance(2.5 * HOUR)
    with TestHub(url, start=START + 2.5 * HOUR, auto_advance=False) as hub:
        assert outcomes(hub.client) == [("running", 1)]
        hub.client.raise_event("s", "go")
        hub.settle()
        assert outcomes(hub.client) == [("completed", 1), ("running", 2)]
        hub.crash()
        hub.client.raise_event("s", "go")
        hub.settle()
        assert outcomes(hub.client) == [("completed", 1), ("completed", 2)]
        hub.advance(HOUR)
        assert outcomes(hub.client)[-1] == ("running", 3)


def test_pause_and_resume(hub: TestHub, client: dr.Client) -> None:
    client.create_schedule("s", echo, spec=HOURLY, paused=True, note="not yet")
    assert (found(client).status, found(client).note, found(client).next_times) == ("paused", "not yet", ())
    hub.advance(1.5 * HOUR)
    assert client.resume_schedule("s").next_times[0] == START + 2 * HOUR
    hub.advance(HOUR)
    paused = client.pause_schedule("s", "holidays")
    assert (paused.status, paused.note, paused.version) == ("paused", "holidays", 3)
    hub.advance(5 * HOUR)
    assert outcomes(client) == [("completed", 2)]
    with pytest.raises(dr.InvalidState, match="paused already"):
        client.pause_schedule("s")


def test_trigger_and_backfill(hub: TestHub, client: dr.Client) -> None:
    client.create_schedule("s", echo, spec=HOURLY, paused=True)
    hub.advance(timedelta(minutes=90))
    client.trigger_schedule("s")
    hub.settle()
    client.backfill_schedule("s", START - 2 * HOUR, START)
    hub.settle()
    runs = list(reversed(found(client).runs))
    assert [(run.origin, run.time - START) for run in runs] == [
        ("trigger", timedelta(minutes=90)),
        ("backfill", -2 * HOUR),
        ("backfill", -HOUR),
        ("backfill", timedelta(0)),
    ]
    assert found(client).counts.requested == 4
    with pytest.raises(dr.InvalidSchedule, match="a backfill is of times past"):
        client.backfill_schedule("s", START, START + 9 * HOUR)


def test_a_trigger_that_cannot_be_is_refused(hub: TestHub, client: dr.Client) -> None:
    client.create_schedule("s", waiter, spec=HOURLY)
    client.trigger_schedule("s")
    with pytest.raises(dr.InvalidState, match="the run of 2030-01-01T00:00:00Z was under way"):
        client.trigger_schedule("s")
    with pytest.raises(dr.InvalidSchedule, match="cannot overlap"):
        client.trigger_schedule("s", overlap="allow_all")
    with pytest.raises(dr.InvalidSchedule, match="overlap is one of"):
        client.trigger_schedule("s", overlap="sometimes")  # type: ignore[arg-type]


def test_an_update_names_the_version_that_it_was_made_for(hub: TestHub, client: dr.Client) -> None:
    client.create_schedule("s", echo, spec=HOURLY)
    before = found(client)
    changed = replace(before.schedule, spec=dr.ScheduleSpec("30 * * * *"))
    assert client.update_schedule("s", changed, version=before.version).next_times[0] == START + HOUR / 2
    with pytest.raises(dr.ScheduleChanged, match="has version 2 by now, not 1"):
        client.update_schedule("s", before.schedule, version=before.version)
    hub.advance(HOUR)
    assert [run.time for run in found(client).runs] == [START + HOUR / 2]


def test_a_deleted_schedule_starts_nothing_and_its_runs_go_on(hub: TestHub, client: dr.Client) -> None:
    client.create_schedule("s", waiter, spec=HOURLY)
    hub.advance(HOUR)
    client.delete_schedule("s")
    assert client.get_schedule("s") is None
    hub.advance(5 * HOUR)
    client.raise_event("s", "go", "done")
    assert client.get_handle("s").wait_for_completion(10) == "done"
    for request in (client.delete_schedule, client.pause_schedule, client.resume_schedule, client.trigger_schedule):
        with pytest.raises(dr.ScheduleNotFound):
            request("s")


def test_lists_by_prefix_status_and_tags(hub: TestHub, client: dr.Client) -> None:
    for n in range(5):
        client.create_schedule(f"a{n}", echo, spec=HOURLY, tags={"odd": str(n % 2)}, paused=n > 2)
    client.create_schedule("b", echo, spec=dr.ScheduleSpec(dr.OneTime(START + HOUR)))
    hub.advance(HOUR)

    def ids(**filters: Any) -> list[str]:
        return [schedule.schedule_id for schedule in client.list_schedules(**filters)]

    assert ids() == ["a0", "a1", "a2", "a3", "a4", "b"]
    assert ids(schedule_id_prefix="a") == ["a0", "a1", "a2", "a3", "a4"]
    assert ids(status="paused") == ["a3", "a4"]
    assert ids(status="ended") == ["b"]
    assert ids(tags={"odd": "1"}, status="active") == ["a1"]
    with pytest.raises(dr.InvalidSchedule, match="status is one of"):
        ids(status="odd")
    for nothing in ({"tags": {}}, {"schedule_id_prefix": ""}):
        with pytest.raises(ValueError, match="a filter that says nothing"):
            ids(**nothing)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"spec": "0 25 * * *"}, dr.InvalidSchedule, "'25' as the hour"),
        ({"spec": 5}, dr.InvalidSchedule, "spec is a ScheduleSpec"),
        ({"spec": dr.ScheduleSpec("0 3 * * *", end=datetime(2029, 1, 1))}, dr.InvalidSchedule, "which is over"),
        ({"overlap": "x"}, dr.InvalidSchedule, "overlap is one of"),
        ({"catch_up_window": 1}, dr.InvalidSchedule, "at least ten seconds"),
        ({"instance_id": "x", "overlap": "allow_all"}, dr.InvalidSchedule, "put {time} into instance_id"),
        ({"placement": "here"}, dr.InvalidSchedule, "placement is one of"),
        ({"priority": 2**40}, dr.InvalidSchedule, "32 bits"),
        ({"tags": {"a": 1}}, TypeError, "tags are texts"),
        ({"tags": {f"t{n}": "" for n in range(49)}}, dr.InvalidSchedule, "at most 48 tags beside the two"),
        ({"note": 5}, TypeError, "a note is a text"),
        ({"orchestrator": "nobody"}, dr.UnknownDefinition, "no orchestrator 'nobody' is deployed"),
        ({"schedule_id": "a/b"}, dr.InvalidSchedule, "must not contain"),
    ],
)
def test_what_is_wrong_is_refused_and_nothing_written(
    client: dr.Client, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    given: dict[str, Any] = {"schedule_id": "s", "orchestrator": echo, "spec": HOURLY}
    with pytest.raises(error) as refused:
        client.create_schedule(**(given | arguments))
    assert message in str(refused.value)
    assert client.list_schedules() == []


def test_an_id_is_taken_once(client: dr.Client) -> None:
    client.create_schedule("s", echo, spec=HOURLY)
    with pytest.raises(dr.ScheduleAlreadyExists):
        client.create_schedule("s", echo, spec=HOURLY)


def test_many_that_are_due_at_once(hub: TestHub, client: dr.Client) -> None:
    for n in range(250):
        client.create_schedule(f"s{n:03}", echo, n, spec=HOURLY, placement="shared")
    hub.advance(HOUR)
    schedules = client.list_schedules()
    assert [schedule.counts.completed for schedule in schedules] == [1] * 250
    assert len({schedule.runs[0].instance_id for schedule in schedules}) == 250


def test_a_commit_of_unknown_outcome_is_one_run(
    hub: TestHub, client: dr.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was made, and is repeated: what was started by the first attempt is not taken for somebody else's."""
    client.create_schedule("s", waiter, spec=HOURLY, overlap="buffer_all")
    committer, lost = hub.hub.registry._committer, []
    write = committer.write

    async def unknown(writes: Any) -> Any:
        answers = await write(writes)
        if not lost and any(isinstance(one, StoreSchedule) and one.starts for one in writes):
            lost.append(1)
            raise CommitUnknown("the connection broke during COMMIT")
        return answers

    monkeypatch.setattr(committer, "write", unknown)
    hub.advance(HOUR)
    assert lost
    assert outcomes(client) == [("running", 1)]
    assert found(client).skipped == ()
    client.raise_event("s", "go", "once")
    hub.settle()
    assert outcomes(client) == [("completed", 1)]


def test_a_termination_that_was_lost_with_the_registry_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    with TestHub(auto_advance=False, settings=dr.HubSettings(partitions=1, sweep_interval=0.05)) as hub:
        registry = hub.hub.registry
        terminate, lost = registry._terminate, []

        async def losing(run: Any, reason: str) -> None:
            if lost:
                await terminate(run, reason)
            lost.append(run.instance_id)

        monkeypatch.setattr(registry, "_terminate", losing)
        hub.client.create_schedule("s", waiter, spec=HOURLY, overlap="terminate")
        hub.advance(2 * HOUR)
        for _ in range(600):
            if outcomes(hub.client) == [("terminated", 1), ("running", 2)]:
                break
            time.sleep(0.05)
        assert outcomes(hub.client) == [("terminated", 1), ("running", 2)]
        assert len(lost) >= 2


def test_a_report_of_an_ending_that_was_lost_is_found_by_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    with TestHub(auto_advance=False, settings=dr.HubSettings(partitions=1, sweep_interval=0.05)) as hub:

        async def lost(rows: Any) -> None:
            pass

        monkeypatch.setattr(hub.hub.registry, "runs_ended", lost)
        hub.client.create_schedule("s", echo, spec=HOURLY)
        hub.advance(HOUR)
        for _ in range(600):
            if outcomes(hub.client) == [("completed", 1)]:
                break
            time.sleep(0.05)
        assert outcomes(hub.client) == [("completed", 1)]


def test_a_schedule_that_cannot_be_read_delays_no_other(hub: TestHub, client: dr.Client) -> None:
    client.create_schedule("bad", echo, spec=HOURLY)
    client.create_schedule("good", echo, spec=HOURLY)
    row = hub.store.schedules(["bad"])["bad"]
    hub.store.commit(None, [StoreSchedule(replace(row, state="{}"))])
    hub.advance(3 * HOUR)
    assert found(client, "good").counts.completed == 3


def test_a_deployment_between_decision_and_commit_starts_the_newest(hub: TestHub, client: dr.Client) -> None:
    """The commit refuses what was decided by older definitions; it is decided again."""
    client.create_schedule("s", echo, spec=HOURLY, placement="shared")
    rows = [row for row in hub.store.definitions() if row.name == "echo"]
    whole = hub.store.definition("orchestrator", "echo", rows[-1].version, rows[-1].code_id)
    assert whole is not None
    hub.store.put_definitions([replace(whole, version="other", revision=0)])  # nobody is told
    hub.advance(HOUR)
    assert outcomes(client) == [("completed", 1)]


@pytest.fixture
async def eager() -> Any:
    with TestHub(auto_advance=False) as hub:
        yield hub


async def test_the_awaitable_client_does_the_same(eager: TestHub) -> None:
    client = eager.async_client
    await client.create_schedule("s", echo, 5, spec="@hourly")
    await client.pause_schedule("s")
    await client.resume_schedule("s")
    await client.trigger_schedule("s")
    schedule = await client.get_schedule("s")
    assert schedule is not None
    assert schedule.version == 3
    assert [one.schedule_id for one in await client.list_schedules()] == ["s"]
    await client.delete_schedule("s")
    assert await client.get_schedule("s") is None


@pytest.fixture
def hub() -> Iterator[TestHub]:
    """A hub whose time stands still until it is moved, and which never sweeps: what is done is done by reports and alarms."""
    with TestHub(auto_advance=False, settings=dr.HubSettings(partitions=2, sweep_interval=3600.0)) as hub:
        yield hub
        assert_nobody_is_forgotten(hub)
