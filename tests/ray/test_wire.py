"""The wire on a real Ray: it is used, survives the death of either end, overtakes nothing, and nothing depends on it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import durable_ray as dr
from durable_ray.actors.wire.callers import BlockingWireClient
from tests.ray_cluster import PATIENCE, eventually, kill_9, pid_of, running_hub

pytestmark = pytest.mark.ray


@dr.activity
def wire_double(number: int) -> int:
    return 2 * number


@dr.orchestrator
async def wire_sum(ctx: dr.OrchestrationContext, n: int) -> int:
    return sum([await ctx.call_activity(wire_double, number) for number in range(n)])


@dr.orchestrator
async def wire_collect(ctx: dr.OrchestrationContext, n: int) -> list[int]:
    return [await ctx.wait_for_external_event("number") for _ in range(n)]


def wired(client: dr.Client, target: str) -> bool:
    """Whether calls of this client to `target` go over a wire; a call is made to find out."""
    client.start_new(wire_sum, 0).wait_for_completion(PATIENCE)
    return isinstance(client._driver._targets.wire(target), BlockingWireClient)  # type: ignore[attr-defined]


def test_a_killed_host_is_called_through_ray_and_over_its_successors_wire(ray_client: dr.Client) -> None:
    eventually(lambda: wired(ray_client, "partition-0"), "calls go over the wire")
    handles = ray_client.start_many(wire_collect, [1] * 20)
    kill_9(pid_of(ray_client, "partition-0"))
    for handle in handles:
        handle.raise_event("number", 7)
    assert ray_client.wait_many(handles, PATIENCE) == [[7]] * 20
    eventually(lambda: wired(ray_client, "partition-0"), "calls go over the successor's wire")
    assert ray_client.start_new(wire_sum, 5).wait_for_completion(PATIENCE) == 20


def test_events_keep_their_order_while_the_wire_is_being_found(ray_client: dr.Client) -> None:
    """The first calls to a host go through Ray, those after it over the wire, which is faster."""
    many = 1_501

    async def raise_all(instance_id: str) -> None:
        client = dr.AsyncClient(hub=ray_client.hub)
        await client.raise_event(instance_id, "number", 0)  # now it knows the host, and looks for its wire
        waves = []
        for at in range(1, many, 100):
            wave = [client.raise_event(instance_id, "number", n) for n in range(at, min(at + 100, many))]
            waves.append(asyncio.gather(*wave))
            await asyncio.sleep(0.002)  # a step of the loop of its own for each, without waiting for its answer
        await asyncio.gather(*waves)

    for _ in range(3):
        handle = ray_client.start_new(wire_collect, many)
        asyncio.run(raise_all(handle.instance_id))
        assert handle.wait_for_completion(PATIENCE) == list(range(many))


def test_everything_works_without_wires(tmp_path: Path, ray_client: dr.Client) -> None:
    with running_hub(tmp_path, wire=False) as client:
        for _ in range(5):
            assert not wired(client, "partition-0")
        assert client.start_new(wire_sum, 5).wait_for_completion(PATIENCE) == 20
        handle = client.start_new(wire_collect, 1)
        handle.raise_event("number", 1)
        assert handle.wait_for_completion(PATIENCE) == [1]
