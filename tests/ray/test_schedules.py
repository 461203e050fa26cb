"""Schedules on a real Ray, under `kill -9` of registry and hosts: each second due is run exactly once. Made from Python, at the
command line and over HTTP."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
import ray
from typer.testing import CliRunner

import durable_ray as dr
from durable_ray.cli.app import app
from durable_ray.cli.hub.over_http import HttpHub
from durable_ray.cli.hub.over_ray import RayHub
from durable_ray.cli.hub.port import HubPort
from durable_ray.http.actor import serve_detached, stop_detached
from durable_ray.http.keys import Access, kept_keyring, keys_path
from durable_ray.http.settings import GatewaySettings
from durable_ray.orchestrations.values.ids import SCHEDULE_TAG, SCHEDULED_AT_TAG
from tests.ray.orchestrators import hello_cities
from tests.ray_cluster import PATIENCE, eventually, kill_9, pid_of, running_hub

pytestmark = [pytest.mark.ray, pytest.mark.fault]

SECOND = timedelta(seconds=1)


@pytest.fixture
def client(ray_cluster: None, tmp_path: Path) -> Iterator[dr.Client]:
    with running_hub(tmp_path, partitions=1) as client:
        client.start_new(hello_cities, ["a"]).wait_for_completion(PATIENCE)
        yield client


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(20, marks=pytest.mark.timeout(240)),
        pytest.param(600, marks=[pytest.mark.slow, pytest.mark.timeout(1200)]),
    ],
)
def test_each_second_is_run_once_while_registry_and_hosts_are_killed(client: dr.Client, seconds: int) -> None:
    client.create_schedule(
        "tick",
        hello_cities,
        ["a"],
        spec="* * * * * *",
        overlap="allow_all",
        catch_up_window=600,
        placement="shared",
    )
    chance, kills = random.Random(7), 0
    end = time.monotonic() + seconds
    while time.monotonic() < end or kills < 3:  # on a busy machine who was killed may be away for most of the time
        time.sleep(chance.uniform(1.0, 4.0))
        kills += _kill(client, chance.choice(["registry", "partition-0"]))
    eventually(lambda: _paused(client), "it is paused")
    schedule = eventually(lambda: _quiet(client), "all runs have ended")
    assert schedule.skipped == ()
    assert {run.outcome for run in schedule.runs} == {"completed"}
    runs = client.list_instances(tags={SCHEDULE_TAG: "tick"})
    due = sorted(datetime.fromisoformat(run.tags[SCHEDULED_AT_TAG]) for run in runs)
    assert [later - earlier for earlier, later in pairwise(due)] == [SECOND] * (len(due) - 1)
    assert len(due) == schedule.counts.scheduled == schedule.counts.completed >= seconds - 2
    assert {run.instance_id for run in runs} == {f"tick:{at.isoformat().replace('+00:00', 'Z')}" for at in due}


@pytest.mark.timeout(300)
def test_a_dedicated_run_is_a_singleton_that_its_successor_waits_for(client: dr.Client) -> None:
    client.create_schedule("single", hello_cities, ["a"], spec="* * * * * *", overlap="buffer_one")
    # Each run may need a process of its own, which a busy machine starts in half a minute.
    schedule = eventually(lambda: _completed(client, "single", 3), "three runs have completed", 3 * PATIENCE)
    assert {run.instance_id for run in schedule.runs} == {"single"}
    ended = [run for run in schedule.runs if run.ended_time is not None]
    for later, earlier in pairwise(ended):
        assert earlier.ended_time is not None
        assert earlier.ended_time <= later.started_time
    client.delete_schedule("single")


def test_what_code_declares_outlives_its_registry_and_is_no_longer_declared_when_it_is_gone(client: dr.Client) -> None:
    def declaring(schedule: str | None) -> Any:
        @dr.orchestrator(name="declared", schedule=schedule)
        async def declared(ctx: dr.OrchestrationContext) -> str:
            return "hello"

        return declared

    client.register(declaring("* * * * * *"))
    eventually(lambda: _kill(client, "registry"), "the registry was killed")
    schedule = eventually(lambda: _completed(client, "declared", 2), "two runs have completed")
    assert schedule.declared.current
    assert schedule.version == 1
    client.register(declaring(None))
    gone = eventually(lambda: _found(client, "declared"), "it is found")
    assert not gone.declared.current
    client.delete_schedule("declared")


@pytest.mark.parametrize("way", ["ray", "http"])
def test_a_schedule_made_at_the_command_line_runs_every_second(client: dr.Client, way: str) -> None:
    hub: HubPort = RayHub(client, {})
    if way == "http":
        url = serve_detached(client._link, GatewaySettings(port=0, grace=1))
        path = keys_path(client.hub, client._link.info.store)
        assert path is not None
        key = kept_keyring(path).first(Access.FULL)
        assert key is not None
        hub = HttpHub(httpx.Client(base_url=url, headers={"x-functions-key": key.secret}, timeout=PATIENCE))

    def typed(*args: str) -> Any:
        result = CliRunner().invoke(app, ["schedule", *args, "--json"], obj=lambda _: hub)
        assert result.exit_code == 0, (result.stdout, result.stderr)
        return json.loads(result.stdout)

    try:
        made = typed(
            "create", "tick", "hello_cities", "--cron", "* * * * * *", "--input", '["Oslo"]', "--placement", "shared"
        )
        assert len(made["next_times"]) == 10
        found = eventually(
            lambda: shown if (shown := typed("describe", "tick"))["counts"]["completed"] >= 3 else None, "three runs"
        )
        due = sorted(datetime.fromisoformat(run["time"]) for run in found["runs"])
        assert len(due) >= 3
        assert len(set(due)) == len(due)
        assert client.wait_for_completion("tick", PATIENCE) == ["Hello Oslo!"]
        assert typed("pause", "tick", "--note", "enough") == {"paused": ["tick"]}
        assert typed("delete", "tick") == {"deleted": ["tick"]}
    finally:
        if way == "http":
            stop_detached(client._link)


def _kill(client: dr.Client, target: str) -> int:
    try:
        kill_9(pid_of(client, target))
    except (ray.exceptions.RayError, ValueError, ProcessLookupError):
        return 0  # it is being restarted
    return 1


def _found(client: dr.Client, schedule_id: str) -> dr.ScheduleDescription | None:
    """The schedule; None if the registry, which was killed, is not back within the time that a call takes at most."""
    try:
        schedule = client.get_schedule(schedule_id)
    except dr.HubUnavailable:
        return None
    assert schedule is not None
    return schedule


def _paused(client: dr.Client) -> bool:
    """Whether it is, by whichever try: of one that was not answered the outcome is unknown."""
    schedule = _found(client, "tick")
    if schedule is not None and schedule.status != "paused":
        with suppress(dr.HubUnavailable):
            schedule = client.pause_schedule("tick")
    return schedule is not None and schedule.status == "paused"


def _quiet(client: dr.Client) -> dr.ScheduleDescription | None:
    schedule = _found(client, "tick")
    if schedule is None:
        return None
    return schedule if not schedule.waiting and all(run.ended_time for run in schedule.runs) else None


def _completed(client: dr.Client, schedule_id: str, count: int) -> dr.ScheduleDescription | None:
    schedule = _found(client, schedule_id)
    return schedule if schedule is not None and schedule.counts.completed >= count else None
