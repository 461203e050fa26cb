"""At most N attempts of an activity run at a time in the hub, oldest first, whatever hosts they are of and what dies."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

import durable_ray as dr
from durable_ray.actors.store.records import Permit
from durable_ray.testing import TestHub
from tests.gauge import GAUGE
from tests.management.conftest import assert_nobody_is_forgotten


@dr.activity(name="limited.crawl", max_running=2)
def crawl(context: dr.ActivityContext, value: Any = None) -> Any:
    from tests.gauge import GAUGE

    GAUGE.stay(value or context.instance_id)
    return value


@dr.activity(name="limited.by_hub")
def by_hub(value: Any = None) -> Any:
    from tests.gauge import GAUGE

    GAUGE.stay(value)
    return value


@dr.activity(name="limited.slow", max_running=1, timeout=30)
def slow(context: dr.ActivityContext, value: Any = None) -> Any:
    from tests.gauge import GAUGE

    GAUGE.stay(value)
    return value


@dr.activity(name="limited.flaky", max_running=1)
def flaky(context: dr.ActivityContext, value: Any = None) -> Any:
    from tests.gauge import GAUGE

    GAUGE.stay((value, context.attempt))
    if context.attempt == 1 and value == "again":
        raise ValueError("once")
    return value


@dr.orchestrator(name="limited.one")
async def one(ctx: dr.OrchestrationContext, name: str = "limited.crawl") -> Any:
    return await ctx.call_activity(name, ctx.instance_id)


@dr.orchestrator(name="limited.many")
async def many(ctx: dr.OrchestrationContext, count: int) -> list[Any]:
    calls = [ctx.call_activity(crawl, f"{ctx.instance_id}-{n}") for n in range(count)]
    return list(await ctx.task_all(calls))


@dr.orchestrator(name="limited.retrying")
async def retrying(ctx: dr.OrchestrationContext, value: str) -> Any:
    policy = dr.RetryPolicy(first_retry_interval=timedelta(hours=1), max_number_of_attempts=2)
    return await ctx.call_activity(flaky, value, retry_policy=policy)


@dr.orchestrator(name="limited.impatient")
async def impatient(ctx: dr.OrchestrationContext, seconds: float) -> str:
    try:
        async with asyncio.timeout(seconds):
            return str(await ctx.call_activity(crawl, ctx.instance_id))
    except TimeoutError:
        return "gave up"


@pytest.fixture(autouse=True)
def gauge() -> Iterator[None]:
    GAUGE.clear()
    yield
    GAUGE.clear()


@pytest.fixture
def hub() -> Iterator[TestHub]:
    """Three partitions, and sweeps so rare that nothing here depends on them."""
    settings = dr.HubSettings(partitions=3, sweep_interval=600, max_running_activities={"limited.by_hub": 1})
    with TestHub(auto_advance=False, settings=settings) as hub:
        yield hub
        GAUGE.let_out()
        assert_nobody_is_forgotten(hub)
        assert hub.hub.store.permit_holders() == ()


def sweep(hub: TestHub) -> None:
    hub.on_loop(hub.hub.registry.permits.sweep()).result(20)


def spread(hub: TestHub, client: dr.Client, count: int, prefix: str = "i", **more: Any) -> list[dr.OrchestrationHandle]:
    """Instances on as many hosts as there are: shared and dedicated ones; each has asked before the next begins."""
    handles = []
    for n in range(count):
        placement: Any = ["shared", "dedicated"][n % 2]
        handles.append(client.start_new(one, instance_id=f"{prefix}{n}", placement=placement, **more))
        handles[-1].wait_for_start(20)
        asked(hub, f"{prefix}{n}")
    return handles


def asked(hub: TestHub, instance_id: str) -> None:
    """Wait until the instance's activity has asked for its permit."""
    row = hub.hub.store.rows([instance_id])[instance_id]
    for _ in range(2000):
        if any(permit.instance_id == instance_id for permit, _ in hub.hub.store.permits(row.host)):
            return
        hub.on_loop(asyncio.sleep(0.002)).result(5)
    raise AssertionError(f"{instance_id} has not asked")


def pass_time(hub: TestHub, seconds: int) -> None:
    """Let time pass although activities run."""
    clock = hub.virtual_clock
    assert clock is not None
    hub.call_soon(clock.advance, clock.now() + seconds * 1_000_000)


def test_a_limit_holds_over_all_hosts_and_the_oldest_is_next(hub: TestHub, client: dr.Client) -> None:
    handles = spread(hub, client, 7)
    assert len({hub.hub.store.rows([h.instance_id])[h.instance_id].host for h in handles}) > 3
    order = []
    for left in range(7, 0, -1):
        inside = GAUGE.inside(min(2, left))
        order.append(inside[0])
        GAUGE.let_out(inside[0])
        assert client.wait_for_completion(str(inside[0]), 20) == inside[0]
    assert order == [f"i{n}" for n in range(7)]
    assert (GAUGE.most, GAUGE.began) == (2, order)


def test_one_instance_that_asks_for_much_waits_for_itself(hub: TestHub, client: dr.Client) -> None:
    handle = client.start_new(many, 5)
    GAUGE.inside(2)
    GAUGE.let_out()
    assert len(handle.wait_for_completion(20)) == 5
    assert GAUGE.most == 2
    assert sorted(map(str, GAUGE.began)) == [f"{handle.instance_id}-{n}" for n in range(5)]


def test_higher_priority_first(hub: TestHub, client: dr.Client) -> None:
    spread(hub, client, 2)
    for n, priority in enumerate((0, 9, 5)):
        client.start_new(one, instance_id=f"p{n}", priority=priority).wait_for_start(20)
        asked(hub, f"p{n}")
    for name, then in (("i0", ("i1", "p1")), ("i1", ("p1", "p2")), ("p1", ("p2", "p0")), ("p2", ("p0",)), ("p0", ())):
        GAUGE.let_out(name)
        GAUGE.holds(*then)


def test_the_hub_may_set_the_limit_of_an_activity(hub: TestHub, client: dr.Client) -> None:
    handles = client.start_many(one, ["limited.by_hub"] * 4)
    GAUGE.inside(1)
    GAUGE.let_out()
    client.wait_many(handles, 20)
    assert GAUGE.most == 1


def test_an_attempt_that_waits_for_its_next_try_holds_no_place(hub: TestHub, client: dr.Client) -> None:
    first = client.start_new(retrying, "again", instance_id="first")
    assert GAUGE.inside(1) == [("again", 1)]
    second = client.start_new(retrying, "other", instance_id="second")
    second.wait_for_start(20)
    asked(hub, "second")
    GAUGE.let_out(("again", 1))
    GAUGE.holds(("other", 1))
    GAUGE.let_out(("other", 1))
    assert second.wait_for_completion(20) == "other"
    GAUGE.let_out(("again", 2))
    hub.advance(timedelta(hours=2))
    assert first.wait_for_completion(20) == "again"
    assert GAUGE.most == 1


def test_a_terminated_instance_gives_back_what_it_waits_for(hub: TestHub, client: dr.Client) -> None:
    spread(hub, client, 5)
    GAUGE.inside(2)
    client.terminate("i2")  # waits: its activity never begins
    client.terminate("i0")  # runs: to its end, as terminated activities do, and keeps its place as long
    client.start_new(one, instance_id="late").wait_for_start(20)
    GAUGE.holds("i0", "i1")
    GAUGE.let_out("i0")
    GAUGE.holds("i1", "i3")
    GAUGE.let_out("i1")
    GAUGE.holds("i3", "i4")
    for name in ("i3", "i4", "late"):
        GAUGE.let_out(name)
        assert client.wait_for_completion(name, 20) == name
    assert (GAUGE.most, GAUGE.began) == (2, ["i0", "i1", "i3", "i4", "late"])


def test_whoever_gives_up_waiting_leaves_the_queue(hub: TestHub, client: dr.Client) -> None:
    spread(hub, client, 2)
    handle = client.start_new(impatient, 5, instance_id="impatient")
    handle.wait_for_start(20)
    asked(hub, "impatient")
    pass_time(hub, 6)
    assert handle.wait_for_completion(20) == "gave up"
    last = client.start_new(one, instance_id="last")
    last.wait_for_start(20)
    asked(hub, "last")
    GAUGE.let_out("i0")
    GAUGE.holds("i1", "last")
    GAUGE.let_out()
    assert last.wait_for_completion(20) == "last"
    assert "impatient" not in GAUGE.began


def test_a_host_that_comes_back_keeps_its_places(hub: TestHub, client: dr.Client) -> None:
    handles = spread(hub, client, 6)
    assert GAUGE.inside(2) == ["i0", "i1"]
    GAUGE.forget()  # their bodies outlive the crash, and run beside the attempts that make up for them
    hub.crash()
    GAUGE.holds("i0", "i1")
    GAUGE.let_out()
    assert client.wait_many(handles, 20) == [f"i{n}" for n in range(6)]
    assert GAUGE.most == 2
    assert sorted(GAUGE.began[4:]) == ["i2", "i3", "i4", "i5"]


def test_a_host_keeps_its_places_while_it_looks_up_their_code(
    hub: TestHub, client: dr.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    handles = spread(hub, client, 6)
    assert GAUGE.inside(2) == ["i0", "i1"]
    GAUGE.forget()
    found, permits, definition = threading.Event(), hub.store.permits, hub.store.definition
    read: set[str] = set()

    def note(host: str) -> Any:
        read.add(host)
        return permits(host)

    def look_up(kind: str, *args: Any, **kwargs: Any) -> Any:
        assert kind != "activity" or found.wait(20)
        return definition(kind, *args, **kwargs)

    monkeypatch.setattr(hub.store, "permits", note)
    monkeypatch.setattr(hub.store, "definition", look_up)
    holders = {host for host, _ in hub.store.permit_holders()}
    hub.crash()
    while not read.issuperset(holders):
        hub.on_loop(asyncio.sleep(0.01)).result(20)
    hub.on_loop(asyncio.sleep(0.1)).result(20)  # what they read has been dealt with
    found.set()
    GAUGE.holds("i0", "i1")
    GAUGE.let_out()
    assert client.wait_many(handles, 20) == [f"i{n}" for n in range(6)]
    assert GAUGE.most == 2


def test_a_word_that_was_lost_is_made_up_for(hub: TestHub, client: dr.Client) -> None:
    handles = spread(hub, client, 5)
    GAUGE.inside(2)
    registry = hub.hub.registry
    told, registry.notify = registry.notify, lambda targets: None  # type: ignore[method-assign]
    GAUGE.let_out()
    for name in ("i0", "i1"):
        client.wait_for_completion(name, 20)
    registry.notify = told  # type: ignore[method-assign]
    assert sorted(map(str, GAUGE.began)) == ["i0", "i1"]
    sweep(hub)
    assert client.wait_many(handles, 20) == [f"i{n}" for n in range(5)]
    assert GAUGE.most == 2


def test_places_of_who_will_never_return_are_found(hub: TestHub, client: dr.Client) -> None:
    store = hub.hub.store
    held = [Permit("limited.crawl", "instance:gone", "gone", "x", n, 1) for n in range(2)]
    stale = Permit("limited.crawl", "partition-0", "finished", "x", 1, 1)
    store.permit(None, [*held], [], {"limited.crawl": 2})
    store.permit(None, [stale], [], {"limited.crawl": 2})
    handle = client.start_new(one, instance_id="i0")
    handle.wait_for_start(20)
    asked(hub, "i0")
    assert GAUGE.began == []
    sweep(hub)
    GAUGE.let_out()
    assert handle.wait_for_completion(20) == "i0"


def test_a_raised_limit_lets_in_with_the_next_sweep(hub: TestHub, client: dr.Client) -> None:
    handles = spread(hub, client, 4)
    GAUGE.inside(2)
    for owner in (hub.hub.registry, *hub.hub.hosts.values()):
        owner.settings.max_running_activities["limited.crawl"] = 4
    sweep(hub)
    assert len(GAUGE.inside(4)) == 4
    GAUGE.let_out()
    client.wait_many(handles, 20)


def test_an_attempt_that_takes_too_long_gives_its_place_back(hub: TestHub, client: dr.Client) -> None:
    late = client.start_new(one, "limited.slow", instance_id="late")
    assert GAUGE.inside(1) == ["late"]
    client.start_new(one, "limited.slow", instance_id="next").wait_for_start(20)
    asked(hub, "next")
    pass_time(hub, 31)
    with pytest.raises(dr.OrchestrationFailed, match="did not return within 30 s"):
        late.wait_for_completion(20)
    GAUGE.holds("late", "next")  # it is told to stop, and that is all that can be done to a thread
    GAUGE.let_out()
    assert client.wait_for_completion("next", 20) == "next"
