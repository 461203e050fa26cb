"""A rewind to newer code on real processes: hosts try the histories, the registry writes; or nothing is changed."""

from __future__ import annotations

from typing import Any

import pytest

import durable_ray as dr
from durable_ray.orchestrations.authoring.definitions import Orchestrator
from durable_ray.orchestrations.authoring.options import OrchestratorOptions
from tests.ray_cluster import kill_9, pid_of

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]


@dr.activity(name="rewind.step")
def step(value: Any) -> Any:
    return value


@pytest.mark.parametrize("placement", ["dedicated", "shared"])
def test_a_mended_orchestrator_goes_on_in_the_hosts_of_its_instances(ray_client: dr.Client, placement: Any) -> None:
    client, name = ray_client, f"rewind.{placement}"

    async def buggy(ctx: dr.OrchestrationContext) -> Any:
        await ctx.call_activity(step, 1)
        raise ZeroDivisionError("a bug")

    async def another(ctx: dr.OrchestrationContext) -> Any:
        await ctx.wait_for_external_event("go")

    async def mended(ctx: dr.OrchestrationContext) -> Any:
        first = await ctx.call_activity(step, 1)
        return [first, await ctx.wait_for_external_event("go")]

    def deploy(fn: Any) -> None:
        client.register(Orchestrator(fn, OrchestratorOptions(name=name)), step)

    deploy(buggy)
    handle = client.start_new(name, instance_id=f"r-{placement}", placement=placement)
    with pytest.raises(dr.OrchestrationFailed):
        handle.wait_for_completion(60)
    deploy(another)
    with pytest.raises(dr.HistoryMismatch, match="event #"):
        handle.rewind(version="latest")
    deploy(mended)
    handle.rewind("mended", version="latest")
    handle.wait_for_start(60)
    kill_9(pid_of(client, f"instance:{handle.instance_id}" if placement == "dedicated" else "partition-0"))
    handle.raise_event("go", "on")
    assert handle.wait_for_completion(60) == [1, "on"]
