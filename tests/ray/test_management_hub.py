"""What concerns many instances at once, on real processes: limits, bulk actions, retention, and emptying a hub."""

from __future__ import annotations

from typing import Any

import pytest

import durable_ray as dr
from tests.ray_cluster import eventually

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]


@dr.orchestrator(name="hub_waiter")
async def waiter(ctx: dr.OrchestrationContext, value: Any = None) -> Any:
    return await ctx.wait_for_external_event("go")


@dr.orchestrator(name="hub_limited", max_running=2)
async def limited(ctx: dr.OrchestrationContext, value: Any = None) -> Any:
    return await ctx.wait_for_external_event("go")


@dr.orchestrator(name="hub_short", retain_for=5.0)
async def short(ctx: dr.OrchestrationContext) -> int:
    return 1


def by_status(client: dr.Client, name: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for status in client.list_instances(name=name):
        found.setdefault(str(status.runtime_status), []).append(status.instance_id)
    return found


def test_a_limit_holds_over_all_processes(fresh_ray_client: dr.Client) -> None:
    client = fresh_ray_client
    handles = client.start_many(limited, range(6))
    handles.append(client.start_new(limited, instance_id="named"))
    for left in range(7, 0, -1):
        expected = min(2, left)

        def running(expected: int = expected) -> list[str]:
            found = by_status(client, "hub_limited").get("Running", [])
            assert len(found) <= 2
            return found if len(found) == expected else []

        first = eventually(running, f"{left} are left")[0]
        client.raise_event(first, "go", left)
        client.wait_for_completion(first, 60)
    assert client.counts()[("hub_limited", "Completed")] == 7


def test_bulk_retention_and_an_emptied_hub(fresh_ray_client: dr.Client) -> None:
    client = fresh_ray_client
    client.start_new(short, instance_id="short").wait_for_completion(60)
    for n in range(6):
        client.start_new(waiter, instance_id=f"w{n}", placement="shared" if n % 2 else "dedicated")
        client.wait_for_start(f"w{n}", 60)
    report = client.bulk("terminate", reason="bulk", instance_id_prefix="w", runtime_status="Running")
    assert (len(report.done), report.refused) == (6, {})
    for n in range(6):
        with pytest.raises(dr.OrchestrationTerminated, match="bulk"):
            client.wait_for_completion(f"w{n}", 60)
    eventually(lambda: client.get_status("short") is None, "its time to be kept is over")

    client.start_new(waiter, instance_id="w0")
    client.start_new(waiter, instance_id="w1", placement="shared")
    client.wait_for_start("w0", 60)
    client.wait_for_start("w1", 60)
    with pytest.raises(dr.InvalidState, match="2 of its instances"):
        client.delete_task_hub(client.hub)
    assert client.delete_task_hub(client.hub, force=True) == 6
    assert client.counts() == {}
    # The hub goes on: its processes are others, or know nothing of what was.
    for placement in ("shared", "dedicated"):
        handle = client.start_new(waiter, instance_id=f"again-{placement}", placement=placement)  # type: ignore[arg-type]
        handle.raise_event("go", placement)
        assert handle.wait_for_completion(60) == placement
    handle = client.start_new(waiter, instance_id="w0")
    handle.raise_event("go", "same ID")
    assert handle.wait_for_completion(60) == "same ID"
