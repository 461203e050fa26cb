"""Races of management calls on real processes: each has one outcome, and nobody is left with nothing to wake it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import durable_ray as dr
from durable_ray.actors.registry.registry import Registry
from durable_ray.actors.store.opening import open_store
from durable_ray.actors.store.sql.checks import check
from durable_ray.actors.wire.management_urls import GatewayAddress
from tests.ray_cluster import eventually
from tests.stranded import stranded

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]
ROUNDS = 6
PLACEMENTS = ["dedicated", "shared"]


@dr.orchestrator(name="race_waiter")
async def waiter(ctx: dr.OrchestrationContext) -> Any:
    return await ctx.wait_for_external_event("go")


@dr.orchestrator(name="race_eternal")
async def eternal(ctx: dr.OrchestrationContext, seen: list[Any]) -> list[Any]:
    item = await ctx.wait_for_external_event("go")
    if item == "stop":
        return seen
    ctx.continue_as_new([*seen, item])
    return seen


@dr.orchestrator(name="race_sleeper")
async def sleeper(ctx: dr.OrchestrationContext, seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "slept"


@dr.activity(name="race_open")
def open_file(path: str) -> str:
    return Path(path).read_text()


@dr.orchestrator(name="race_reader")
async def reader(ctx: dr.OrchestrationContext, path: str) -> str:
    return str(await ctx.call_activity(open_file, path))


@dr.activity(name="race_payload")
def payload_of(context: dr.ActivityContext, nothing: None = None) -> dict[str, str]:
    return dr.management_payload(context)


@dr.orchestrator(name="race_hand_over")
async def hand_over(ctx: dr.OrchestrationContext) -> dict[str, str]:
    return dict(await ctx.call_activity(payload_of))


@pytest.fixture(autouse=True)
def nobody_is_forgotten(ray_client: dr.Client) -> Iterator[None]:
    """After each race: whatever lives has something to wake it, and the store's books are right."""
    yield
    store = open_store(ray_client._hello.store, create=False)
    try:
        wrong: list[str] = []

        def at_rest() -> bool:
            wrong[:] = [*stranded(store, time.time_ns() // 1000, at_rest=True), *check(store)]
            return not wrong

        try:
            eventually(at_rest, "nobody is forgotten", 20)
        except AssertionError:
            raise AssertionError(wrong) from None
    finally:
        store.close()


def races(client: dr.Client, race: Callable[[dr.AsyncClient, str], Awaitable[None]], name: str) -> None:
    """Run a race several times at once, each on an ID of its own."""

    async def run() -> None:
        asynchronous = dr.AsyncClient(hub=client.hub, store=client._hello.store)
        await asyncio.gather(*(race(asynchronous, f"{name}-{n}") for n in range(ROUNDS)))

    asyncio.run(run())


async def both(*calls: Awaitable[Any]) -> list[Any]:
    return await asyncio.gather(*calls, return_exceptions=True)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_s5_start_against_start(ray_client: dr.Client, placement: Any) -> None:
    async def race(client: dr.AsyncClient, name: str) -> None:
        outcomes = await both(*(client.start_new(waiter, instance_id=name, placement=placement) for _ in range(8)))
        assert sum(isinstance(outcome, dr.InstanceAlreadyExists) for outcome in outcomes) == 7
        await client.raise_event(name, "go", 1)
        assert await client.wait_for_completion(name, 60) == 1

    races(ray_client, race, f"start-start-{placement}")


def test_s23_start_against_terminate(ray_client: dr.Client) -> None:
    async def race(client: dr.AsyncClient, name: str) -> None:
        _, ended = await both(client.start_new(waiter, instance_id=name), client.terminate(name))
        if ended is not None:
            await client.terminate(name)
        with pytest.raises(dr.OrchestrationTerminated):
            await client.wait_for_completion(name, 60)
        assert await client.purge(name) == 1

    races(ray_client, race, "start-terminate")


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_s23_terminate_against_completion(ray_client: dr.Client, placement: Any) -> None:
    async def race(client: dr.AsyncClient, name: str) -> None:
        await client.start_new(waiter, instance_id=name, placement=placement)
        await both(client.raise_event(name, "go", 1), client.terminate(name))
        outcome = (await both(client.wait_for_completion(name, 60)))[0]
        assert outcome == 1 or isinstance(outcome, dr.OrchestrationTerminated)

    races(ray_client, race, f"terminate-complete-{placement}")


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_s27_events_against_continue_as_new(ray_client: dr.Client, placement: Any) -> None:
    async def race(client: dr.AsyncClient, name: str) -> None:
        await client.start_new(eternal, [], instance_id=name, placement=placement)
        await both(*(client.raise_event(name, "go", n) for n in range(20)))
        await client.raise_event(name, "go", "stop")
        assert sorted(await client.wait_for_completion(name, 60)) == list(range(20))

    races(ray_client, race, f"event-renew-{placement}")


def test_s39_purge_against_events(ray_client: dr.Client) -> None:
    async def race(client: dr.AsyncClient, name: str) -> None:
        await client.start_new(waiter, instance_id=name)
        outcomes = await both(client.raise_event(name, "go", 1), *(client.purge(name) for _ in range(5)))
        assert outcomes[0] is None
        last = (await both(client.wait_for_completion(name, 60)))[0]
        assert last == 1 or isinstance(last, dr.InstanceNotFound)

    races(ray_client, race, "purge-event")


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_suspend_against_a_timer(ray_client: dr.Client, placement: Any) -> None:
    async def race(client: dr.AsyncClient, name: str) -> None:
        await client.start_new(sleeper, 0.3, instance_id=name, placement=placement)
        await client.wait_for_start(name, 60)
        await asyncio.sleep(0.25)
        suspended = (await both(client.suspend(name)))[0]
        if suspended is None:
            await asyncio.sleep(0.2)
            await both(client.resume(name))
        assert await client.wait_for_completion(name, 60) == "slept"

    races(ray_client, race, f"suspend-timer-{placement}")


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_s34_rewind_against_rewind(ray_client: dr.Client, tmp_path: Path, placement: Any) -> None:
    async def race(client: dr.AsyncClient, name: str) -> None:
        path = tmp_path / name
        await client.start_new(reader, str(path), instance_id=name, placement=placement)
        with pytest.raises(dr.OrchestrationFailed, match="No such file"):
            await client.wait_for_completion(name, 60)
        path.write_text("mended")
        outcomes = await both(*(client.rewind(name, "mended") for _ in range(5)))
        assert outcomes.count(None) == 1
        assert sum(isinstance(outcome, dr.InvalidState) for outcome in outcomes) == 4
        assert await client.wait_for_completion(name, 60) == "mended"

    races(ray_client, race, f"rewind-rewind-{placement}")


def test_s33_an_activity_on_a_worker_has_the_urls(ray_client: dr.Client) -> None:
    address = GatewayAddress("http://127.0.0.1:7071", "key", ray_client.hub)
    ray_client._driver.run(ray_client._router.registry(Registry.set_gateway, address))
    handle = ray_client.start_new(hand_over)
    assert handle.wait_for_completion(60) == ray_client.create_http_management_payload(handle.instance_id)
