"""Limits of activities hold whatever dies or fails between asking for a permit and giving it back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest

import durable_ray as dr
from durable_ray.actors.settings import HubSettings
from durable_ray.actors.store.contract import CommitUnknown, StoreError
from durable_ray.actors.store.records import Fence, Permit
from durable_ray.actors.store.sql.statement import Statement
from durable_ray.testing import TestHub
from tests.faults.armed import ArmedStore, armed_hub
from tests.faults.shapes import step
from tests.gauge import GAUGE
from tests.ray_cluster import eventually

pytestmark = pytest.mark.fault

LIMIT = 2
COUNT = 6
GRANTED = Statement("SELECT count(*) FROM permits WHERE granted")


@dr.activity(name="faults.limited", max_running=LIMIT)
def limited(context: dr.ActivityContext, value: int) -> int:
    from tests.faults.ledger import LEDGER

    LEDGER.run(context)
    return value * 10


@dr.activity(name="faults.held", max_running=LIMIT)
def held(context: dr.ActivityContext) -> str:
    from tests.gauge import GAUGE

    GAUGE.stay(context.instance_id)
    return context.instance_id


@dr.orchestrator(name="faults.limited_chain")
async def chain(ctx: dr.OrchestrationContext, count: int) -> list[int]:
    return [await ctx.call_activity(limited if n % 2 else step, n) for n in range(count)]


@dr.orchestrator(name="faults.one_held")
async def one(ctx: dr.OrchestrationContext) -> Any:
    return await ctx.call_activity(held)


@pytest.fixture(autouse=True)
def gauge() -> Iterator[None]:
    GAUGE.clear()
    yield
    GAUGE.clear()


def granted(store: ArmedStore) -> int:
    with store.real.database.read() as session:  # type: ignore[attr-defined]
        return int(session.one(GRANTED)[0])


def arm(store: ArmedStore, shot: int, fail: Callable[[Fence, Callable[[], Any]], Any]) -> list[int]:
    """Let a host's exchange number `shot` go as `fail` says; answers how many were granted after each one."""
    real, seen, counts = store.real.permit, [], []

    def permit(
        fence: Fence | None, asked: Sequence[Permit], returned: Sequence[Permit], limits: Mapping[str, int]
    ) -> tuple[Permit, ...]:
        if fence is not None:
            seen.append(fence.host)
            if len(seen) == shot:
                fail(fence, lambda: real(fence, asked, returned, limits))
        answer = real(fence, asked, returned, limits)
        counts.append(granted(store))
        return answer

    store.real.permit = permit  # type: ignore[method-assign]
    return counts


def run_to_the_end(hub: TestHub, store: ArmedStore) -> None:
    handles = [hub.client.start_new(chain, 4, instance_id=f"c{n}", placement="dedicated") for n in range(2)]
    handles += hub.client.start_many(chain, [4] * (COUNT - 2))
    assert hub.client.wait_many(handles, 30) == [[0, 10, 20, 30]] * COUNT, store.story
    empty(store)


def asked(store: ArmedStore) -> set[str]:
    """The instances that have, or wait for, a permit."""
    hosts = {host for host, _ in store.real.permit_holders()}
    return {permit.instance_id for host in hosts for permit, _ in store.real.permits(host)}


def empty(store: ArmedStore) -> None:
    """Whatever was asked for is given back in the end."""
    eventually(lambda: not store.real.permit_holders(), "all is given back")


@pytest.mark.parametrize("shot", range(1, 8))
@pytest.mark.parametrize("made", [False, True], ids=["before", "after"])
def test_a_host_dies_while_it_exchanges_permits(shot: int, made: bool) -> None:
    with armed_hub() as (hub, store):

        def fail(fence: Fence, exchange: Callable[[], Any]) -> None:
            if made:
                exchange()
            store.crash(fence.host)
            raise StoreError("its process is gone")

        counts = arm(store, shot, fail)
        run_to_the_end(hub, store)
        assert max(counts) <= LIMIT


@pytest.mark.parametrize("shot", range(1, 6))
@pytest.mark.parametrize("made", [False, True], ids=["not made", "made"])
def test_an_exchange_of_unknown_outcome_is_repeated(shot: int, made: bool) -> None:
    with armed_hub() as (hub, store):

        def fail(fence: Fence, exchange: Callable[[], Any]) -> None:
            if made:
                exchange()
            raise CommitUnknown("the connection broke")

        counts = arm(store, shot, fail)
        run_to_the_end(hub, store)
        assert max(counts) <= LIMIT


@pytest.mark.parametrize("method", ["permit", "permits", "permit_holders"])
def test_a_store_that_is_busy_for_a_while_is_asked_again(method: str) -> None:
    with armed_hub() as (hub, store):
        store.broken[method] = 3
        run_to_the_end(hub, store)


def begin(hub: TestHub, count: int) -> list[dr.OrchestrationHandle]:
    handles = [hub.client.start_new(one, instance_id=f"h{n}", placement="shared") for n in range(count)]
    for handle in handles:
        handle.wait_for_start(20)
    return handles


def test_hosts_that_die_while_activities_wait_and_run() -> None:
    with armed_hub(settings=HubSettings(partitions=3, sweep_interval=0.05)) as (hub, store):
        handles = begin(hub, 7)
        GAUGE.inside(LIMIT)
        GAUGE.forget()  # their bodies outlive the crash
        hub.crash()
        GAUGE.inside(LIMIT)
        assert granted(store) == LIMIT
        GAUGE.let_out()
        assert hub.client.wait_many(handles, 30) == [f"h{n}" for n in range(7)]
        assert GAUGE.most == LIMIT
        empty(store)


def test_a_zombie_is_refused_and_its_successor_has_the_places() -> None:
    with armed_hub(settings=HubSettings(partitions=1, sweep_interval=0.05)) as (hub, store):
        handles = begin(hub, 4)
        GAUGE.inside(LIMIT)
        # Its lease is somebody else's: the next exchange is refused, and the process ends.
        store.real.acquire_lease("partition-0")
        GAUGE.forget()
        GAUGE.let_out()
        assert hub.client.wait_many(handles, 30) == [f"h{n}" for n in range(4)]
        empty(store)


def test_the_registry_dies_and_the_places_are_what_they_were() -> None:
    with armed_hub(settings=HubSettings(partitions=3, sweep_interval=0.05)) as (hub, store):
        handles = begin(hub, 7)
        GAUGE.inside(LIMIT)
        hub.on_loop(hub.hub.registry.close()).result(20)
        # Who gives back finds nobody to tell other hosts: what they are granted waits in the store.
        first = GAUGE.inside(LIMIT)
        GAUGE.let_out(*first)
        eventually(lambda: not asked(store) & set(first), "the first have given back")
        assert granted(store) == LIMIT
        hub.on_loop(hub.hub.open()).result(20)
        GAUGE.let_out()
        assert hub.client.wait_many(handles, 30) == [f"h{n}" for n in range(7)]
        assert GAUGE.most == LIMIT
        empty(store)
