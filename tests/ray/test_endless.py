"""An endless loop in one orchestrator, for real: its neighbours lose one turn limit, and it is set aside in the end."""

from __future__ import annotations

from pathlib import Path

import pytest

import durable_ray as dr
from tests.ray.orchestrators import wait_for_go
from tests.ray_cluster import eventually, pid_of, running_hub

pytestmark = [pytest.mark.ray, pytest.mark.fault, pytest.mark.timeout(300)]


@dr.orchestrator
async def endless(ctx: dr.OrchestrationContext) -> None:
    await ctx.wait_for_external_event("Go")
    while True:
        pass


def test_an_endless_loop_costs_its_neighbours_one_turn_limit(ray_cluster: None, tmp_path: Path) -> None:
    with running_hub(tmp_path, partitions=1, turn_limit=2.0, max_recoveries=2) as client:
        loop, neighbour = client.start_new(endless), client.start_new(wait_for_go)
        for handle in (loop, neighbour):
            handle.wait_for_start(60)
        first = pid_of(client, "partition-0")
        # By a message that is durable before it is taken: its sender does not wait for a turn that never ends.
        client.start_new(wake_up, loop.instance_id).wait_for_completion(60)
        eventually(lambda: _placement(loop) == "dedicated", "it has a host of its own")
        successor = pid_of(client, "partition-0")
        assert successor != first
        with pytest.raises(dr.OrchestrationFailed) as failed:
            loop.wait_for_completion(120)
        assert failed.value.details.error_type == "durable_ray.Poisoned"
        assert pid_of(client, "partition-0") == successor, "while it took its own host along, its neighbours' lived"
        neighbour.raise_event("Go", "on")
        assert neighbour.wait_for_completion(60) == "on"


@dr.orchestrator(placement="dedicated")
async def wake_up(ctx: dr.OrchestrationContext, instance_id: str) -> None:
    ctx.send_event(instance_id, "Go")


def _placement(handle: dr.InstanceHandle) -> str:
    return str(handle.get_status().placement)
