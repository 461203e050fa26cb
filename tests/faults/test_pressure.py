"""More dedicated instances than processes: all complete, and never more than the limit are alive."""

from __future__ import annotations

import pytest

import durable_ray as dr
from durable_ray.actors.instances.placement import is_dedicated
from durable_ray.actors.settings import HubSettings
from durable_ray.testing import TestHub

pytestmark = pytest.mark.fault


@dr.orchestrator(name="pressure.leaf")
async def leaf(ctx: dr.OrchestrationContext, number: int) -> int:
    return number


@dr.orchestrator(name="pressure.parent")
async def parent(ctx: dr.OrchestrationContext, number: int) -> int:
    return await ctx.call_sub_orchestrator(leaf, number, instance_id=f"{ctx.instance_id}-child")


def test_three_hundred_share_eight_processes() -> None:
    most = 0
    settings = HubSettings(partitions=1, sweep_interval=0.05, max_dedicated=8)
    with TestHub(settings=settings) as hub:
        create = hub.hub.open_host

        async def counted(name: str) -> None:
            nonlocal most
            await create(name)
            most = max(most, sum(is_dedicated(host) for host in hub.hub.hosts))

        hub.hub.open_host = counted  # type: ignore[method-assign]
        parents = [hub.client.start_new(parent, n, instance_id=f"p{n}") for n in range(75)]
        leaves = [hub.client.start_new(leaf, n, instance_id=f"l{n}") for n in range(150)]
        assert [handle.wait_for_completion(timeout=60) for handle in leaves] == list(range(150))
        assert [handle.wait_for_completion(timeout=60) for handle in parents] == list(range(75))
        assert 1 < most <= 8
