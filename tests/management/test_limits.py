"""At most N instances of a name run at a time; the others are Pending, and begin by priority and age."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

import durable_ray as dr
from durable_ray.client.json_views import instance_json
from durable_ray.testing import TestHub
from tests.management.conftest import assert_nobody_is_forgotten

PLACEMENTS = ["dedicated", "shared"]


@dr.orchestrator(name="limited", max_running=2)
async def limited(ctx: dr.OrchestrationContext, value: Any = None) -> Any:
    return await ctx.wait_for_external_event("go")


@dr.orchestrator(name="limited_by_hub")
async def limited_by_hub(ctx: dr.OrchestrationContext, value: Any = None) -> Any:
    return await ctx.wait_for_external_event("go")


@dr.orchestrator(name="limiting_parent")
async def parent(ctx: dr.OrchestrationContext, count: int) -> list[Any]:
    return list(await ctx.task_all([ctx.call_sub_orchestrator(limited, n, f"kid-{n}") for n in range(count)]))


@pytest.fixture
def hub() -> Iterator[TestHub]:
    """A hub with a limit of its own, which sweeps so rarely that nothing here depends on it."""
    settings = dr.HubSettings(partitions=2, sweep_interval=600, max_running={"limited_by_hub": 1})
    with TestHub(auto_advance=False, settings=settings) as hub:
        yield hub
        assert_nobody_is_forgotten(hub)


def by_status(client: dr.Client) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for status in client.list_instances():
        found.setdefault(str(status.runtime_status), []).append(status.instance_id)
    return found


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_the_others_wait_and_the_oldest_is_next(hub: TestHub, client: dr.Client, placement: Any) -> None:
    for n in range(5):
        client.start_new(limited, instance_id=f"i{n}", placement=placement)
        hub.advance(timedelta(seconds=1))
    assert by_status(client) == {"Running": ["i0", "i1"], "Pending": ["i2", "i3", "i4"]}
    waiting = client.get_status("i4")
    assert waiting is not None
    assert (waiting.waiting_reason, waiting.scheduled_start) == ("max_running", None)
    assert instance_json(hub.store.rows(["i4"])["i4"])["waiting_reason"] == "max_running"
    client.raise_event("i1", "go", 1)
    hub.settle()
    assert by_status(client) == {"Running": ["i0", "i2"], "Completed": ["i1"], "Pending": ["i3", "i4"]}
    client.terminate("i0")
    hub.settle()
    assert by_status(client)["Running"] == ["i2", "i3"]
    for n in (2, 3, 4):
        client.raise_event(f"i{n}", "go", n)
        hub.settle()
    assert client.counts() == {("limited", "Completed"): 4, ("limited", "Terminated"): 1}


def test_higher_priority_first(hub: TestHub, client: dr.Client) -> None:
    for n in range(5):
        client.start_new(limited, instance_id=f"i{n}", priority=n)
        hub.advance(timedelta(seconds=1))
    for done in ("i0", "i1", "i4"):
        client.raise_event(done, "go")
        hub.settle()
    assert by_status(client) == {"Completed": ["i0", "i1", "i4"], "Running": ["i2", "i3"]}


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_held_instance_keeps_its_events_and_can_be_ended(hub: TestHub, client: dr.Client, placement: Any) -> None:
    handles = [client.start_new(limited, instance_id=f"i{n}", placement=placement) for n in range(4)]
    hub.settle()
    held = sorted(by_status(client)["Pending"])
    client.raise_event(held[0], "go", "kept")
    client.terminate(held[1], "never began")
    hub.crash()
    for handle in handles:
        if handle.instance_id not in held:
            handle.raise_event("go")
    hub.settle()
    assert client.wait_for_completion(held[0], 20) == "kept"
    assert by_status(client)["Terminated"] == [held[1]]


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_held_instance_that_is_suspended_takes_nobodys_place(hub: TestHub, client: dr.Client, placement: Any) -> None:
    for n in range(5):
        client.start_new(limited, instance_id=f"i{n}", placement=placement)
        hub.advance(timedelta(seconds=1))
    client.suspend("i2")
    assert by_status(client) == {"Running": ["i0", "i1"], "Suspended": ["i2"], "Pending": ["i3", "i4"]}
    client.raise_event("i0", "go")
    hub.settle()
    assert by_status(client)["Running"] == ["i1", "i3"]
    client.terminate("i4")
    client.raise_event("i3", "go")
    hub.settle()
    assert by_status(client)["Running"] == ["i1"]
    client.resume("i2")  # there is room for it, so it begins at once
    hub.settle()
    assert by_status(client)["Running"] == ["i1", "i2"]


def test_random_ids_sub_orchestrations_and_delays_count_too(hub: TestHub, client: dr.Client) -> None:
    handle = client.start_new(parent, 3)
    client.start_new(limited, instance_id="late", start_at=timedelta(hours=1))
    anonymous = client.start_new(limited)
    hub.settle()
    assert len(by_status(client)["Pending"]) == 3
    late = client.get_status("late")
    assert late is not None
    assert late.scheduled_start == hub.now + timedelta(hours=1)
    hub.advance(timedelta(hours=2))
    for _ in range(5):
        for name in [i for i in by_status(client).get("Running", []) if i != handle.instance_id]:
            client.raise_event(name, "go", name)
        hub.settle()
    assert handle.wait_for_completion(20) == ["kid-0", "kid-1", "kid-2"]
    assert (client.wait_for_completion("late", 20), anonymous.wait_for_completion(20)) == (
        "late",
        anonymous.instance_id,
    )


def test_children_with_hosts_of_their_own_begin_without_a_sweep(hub: TestHub, client: dr.Client) -> None:
    client.start_new(parent, 3)
    hub.settle()
    assert {name for name in by_status(client)["Running"] if name.startswith("kid")} == {"kid-0", "kid-1"}


def test_the_hub_may_set_the_limit_of_a_name(hub: TestHub, client: dr.Client) -> None:
    handles = client.start_many(limited_by_hub, range(3))
    for _ in handles:
        hub.settle()
        (running,) = by_status(client)["Running"]
        client.raise_event(running, "go", 1)
    assert client.wait_many(handles, 20) == [1, 1, 1]


def test_the_sweep_finds_room_that_nobody_told_of(hub: TestHub, client: dr.Client) -> None:
    for n in range(3):
        client.start_new(limited, instance_id=f"i{n}")
    hub.settle()
    (held,) = by_status(client)["Pending"]
    for name in by_status(client)["Running"]:
        client.raise_event(name, "go")
    hub.on_loop(hub.hub.registry.instance_limiter.dequeue(hub.hub.registry.instance_limiter.limited())).result(20)
    hub.settle()
    client.raise_event(held, "go", 1)
    assert client.wait_for_completion(held, 20) == 1


@dr.orchestrator(name="limited_sleeper", max_running=1)
async def limited_sleeper(ctx: dr.OrchestrationContext, days: int) -> str:
    await ctx.create_timer(timedelta(days=days))
    return ctx.current_utc_datetime.isoformat()


def test_time_alone_lets_nobody_in() -> None:
    with TestHub(settings=dr.HubSettings(partitions=1, sweep_interval=600)) as hub:
        handles = [hub.client.start_new(limited_sleeper, 1, instance_id=f"s{n}") for n in range(2)]
        handles += hub.client.start_many(limited_sleeper, [1] * 2)
        ends = sorted(hub.client.wait_many(handles, 30))
        assert ends == [f"2030-01-0{day}T00:00:00+00:00" for day in (2, 3, 4, 5)]
        assert_nobody_is_forgotten(hub)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_time_stands_still_while_only_held_instances_wait(placement: Any) -> None:
    with TestHub(settings=dr.HubSettings(partitions=1, sweep_interval=600)) as hub:
        began = hub.now
        handles = [hub.client.start_new(limited, instance_id=f"i{n}", placement=placement) for n in range(3)]
        with pytest.raises(TimeoutError):
            handles[2].wait_for_start(timeout=0.3)
        assert hub.now == began
        for handle in handles:
            handle.raise_event("go", 1)
        assert hub.client.wait_many(handles, 30) == [1, 1, 1]
