"""Schedules while registries are replaced, killed between commit and action, or frozen: each time due is run exactly once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import durable_ray as dr
from durable_ray.actors.cluster.in_process import _Hosts
from durable_ray.actors.registry.registry import Registry
from durable_ray.actors.store.writes import StoreSchedule
from durable_ray.orchestrations.values.ids import SCHEDULE_TAG, SCHEDULED_AT_TAG
from durable_ray.testing import TestHub
from tests.management.shapes import echo, waiter

pytestmark = pytest.mark.fault

HOUR = timedelta(hours=1)
START = datetime(2030, 1, 1, tzinfo=UTC)
HOURLY = dr.ScheduleSpec(dr.Interval(3600))


@pytest.fixture
def hub() -> Iterator[TestHub]:
    """Without sweeps: what is done is done by who was to do it."""
    with TestHub(auto_advance=False, settings=dr.HubSettings(partitions=1, sweep_interval=600)) as hub:
        yield hub


@pytest.fixture(params=["dedicated", "shared"])
def placement(request: pytest.FixtureRequest) -> Any:
    return request.param


def succeed(hub: TestHub) -> Registry:
    """Another registry takes the lease and opens; the old one, which nobody told, is answered."""
    old = hub.hub.registry

    async def replaced() -> None:
        fence = await asyncio.get_running_loop().run_in_executor(None, hub.store.acquire_lease, "registry")
        hub.hub.registry = Registry(hub.store, fence, hub.hub.clock, hub.hub.settings, _Hosts(hub.hub))
        await hub.hub.registry.open()

    hub.on_loop(replaced()).result(20)
    return old


def found(hub: TestHub) -> dr.ScheduleDescription:
    schedule = hub.client.get_schedule("s")
    assert schedule is not None
    return schedule


def assert_each_hour_ran_once(hub: TestHub, hours: int) -> None:
    """By the schedule's books, and by the instances that there are."""
    due = [START + n * HOUR for n in range(1, hours + 1)]
    assert [run.time for run in reversed(found(hub).runs)] == due
    assert {run.outcome for run in found(hub).runs} == {"completed"}
    assert found(hub).skipped == ()
    runs = hub.client.list_instances(tags={SCHEDULE_TAG: "s"})
    assert sorted(datetime.fromisoformat(run.tags[SCHEDULED_AT_TAG]) for run in runs) == due


def test_of_two_registries_that_fire_the_same_time_one_does(hub: TestHub, placement: Any) -> None:
    """Both have the alarm set for it; the older learns by its fence that it is done."""
    hub.client.create_schedule("s", echo, spec=HOURLY, overlap="allow_all", placement=placement)
    old = succeed(hub)
    assert old.schedule_alarm.alarm is not None
    hub.advance(3 * HOUR)
    assert old.fenced_by is not None
    assert_each_hour_ran_once(hub, 3)
    hub.on_loop(old.close()).result(20)


@pytest.mark.parametrize("decided_by_successor", [True, False])
def test_a_registry_that_is_frozen_before_its_commit_and_goes_on_after_its_successor_s(
    hub: TestHub, placement: Any, monkeypatch: pytest.MonkeyPatch, decided_by_successor: bool
) -> None:
    """It has decided that a run begins. What its successor has decided since is not undone, nor done twice."""
    hub.client.create_schedule("s", echo, spec=HOURLY, overlap="allow_all", placement=placement)
    registry, frozen = hub.hub.registry, []
    write, thaw = registry._committer.write, asyncio.Event()

    async def freezing(writes: Any) -> Any:
        if any(isinstance(one, StoreSchedule) and one.starts for one in writes):
            frozen.append(writes)
            await thaw.wait()
        return await write(writes)

    monkeypatch.setattr(registry._committer, "write", freezing)
    virtual = hub.virtual_clock
    assert virtual is not None
    hub.call_soon(virtual.advance, virtual.now() + 3_600_000_000)
    _until(hub, lambda: bool(frozen))
    if not decided_by_successor:
        hub.call_soon(thaw.set)
        hub.settle()
    old = succeed(hub)
    hub.settle()
    hub.call_soon(thaw.set)
    if decided_by_successor:
        _until(hub, lambda: old.fenced_by is not None)
    hub.advance(HOUR)
    assert_each_hour_ran_once(hub, 2)
    hub.on_loop(old.close()).result(20)


def test_a_registry_that_is_killed_between_commit_and_action(
    hub: TestHub, placement: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is stored and nobody was told: the successor finds and begins it, and no other."""
    hub.client.create_schedule("s", echo, spec=HOURLY, overlap="allow_all", placement=placement)
    killed = []

    async def nothing(change: Any) -> None:
        killed.append(change)

    monkeypatch.setattr(hub.hub.registry, "_act", nothing)
    hub.advance(HOUR)
    assert len(killed) == 1
    assert [run.outcome for run in found(hub).runs] == ["running"]
    old = hub.hub.registry
    hub.on_loop(old.close()).result(20)
    succeed(hub)
    hub.settle()
    hub.on_loop(hub.hub.registry.notifier.sweep()).result(20)  # the partition lives and was not told: found as always
    hub.settle()
    assert_each_hour_ran_once(hub, 1)
    hub.advance(HOUR)
    assert_each_hour_ran_once(hub, 2)


def test_a_run_whose_end_died_with_the_registry_is_noted_and_what_waits_begins(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.client.create_schedule("s", waiter, spec=HOURLY, overlap="buffer_one", placement="shared")
    hub.advance(2.5 * HOUR)
    assert (found(hub).waiting, [run.outcome for run in found(hub).runs]) == (1, ["running"])
    old, reports = hub.hub.registry, []

    async def lost(rows: Any) -> None:
        reports.append(rows)

    monkeypatch.setattr(old, "runs_ended", lost)
    hub.client.raise_event("s", "go", 1)
    hub.settle()
    assert reports
    hub.on_loop(old.close()).result(20)
    succeed(hub)
    hub.on_loop(hub.hub.registry.sweep_schedules()).result(20)
    hub.settle()
    assert [run.outcome for run in found(hub).runs] == ["running", "completed"]
    assert found(hub).waiting == 0


def test_a_delete_and_a_time_due_at_once_leave_no_schedule(hub: TestHub) -> None:
    """Whichever is first: a decision that is under way does not write the deleted schedule again."""
    hub.client.create_schedule("s", echo, spec=HOURLY, placement="shared")
    registry, virtual = hub.hub.registry, hub.virtual_clock
    assert virtual is not None

    async def both() -> None:
        virtual.set(virtual.now() + 3_600_000_000)
        await asyncio.gather(registry.schedules_due(), registry.delete_schedule("s"), registry.schedules_due())

    hub.on_loop(both()).result(20)
    hub.settle()
    assert hub.client.get_schedule("s") is None
    hub.advance(5 * HOUR)
    assert len(hub.client.list_instances(tags={SCHEDULE_TAG: "s"})) <= 1


def _until(hub: TestHub, what: Any) -> None:
    async def wait() -> None:
        while not what():
            await asyncio.sleep(0.001)

    hub.on_loop(asyncio.wait_for(wait(), 20)).result(30)


def test_a_first_time_due_that_is_read_late_does_not_replace_an_earlier_one(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The alarm for an earlier time would be lost: what is due then would wait for a sweep."""
    hub.client.create_schedule("later", echo, spec=dr.ScheduleSpec(dr.Interval(24 * 3600)))
    store = hub.hub.registry.store
    schedule_next, read, go_on = store.schedule_next, threading.Event(), threading.Event()

    def read_late() -> int | None:
        due = schedule_next()
        monkeypatch.setattr(store, "schedule_next", schedule_next)
        read.set()
        assert go_on.wait(20)
        return due

    monkeypatch.setattr(store, "schedule_next", read_late)
    paused = threading.Thread(target=hub.client.pause_schedule, args=("later",))
    paused.start()
    assert read.wait(20)
    hub.client.create_schedule("s", echo, spec=HOURLY)
    go_on.set()
    paused.join(20)
    hub.advance(HOUR)
    assert_each_hour_ran_once(hub, 1)
