"""What the kept stores' instances run, found there by reference: these functions stay as they are.

A change that a kept history does not replay on is a change that users cannot survive either; give it a new name.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import durable_ray as dr


@dr.activity(name="kept.double", local=True)
def double(value: int) -> int:
    return 2 * value


@dr.activity(name="kept.flaky", local=True, max_running=2)
def flaky(attempt_fails: bool) -> str:
    if attempt_fails:
        raise ValueError("not yet")
    return "fine"


@dr.orchestrator(name="kept.waiter")
async def waiter(ctx: dr.OrchestrationContext, value: Any) -> list[Any]:
    """Waits for an event after an activity."""
    doubled = await ctx.call_activity(double, 21)
    ctx.set_custom_status({"doubled": doubled})
    return [doubled, await ctx.wait_for_external_event("go"), len(str(value))]


@dr.orchestrator(name="kept.sleeper")
async def sleeper(ctx: dr.OrchestrationContext, days: int) -> str:
    """Waits for a timer."""
    await ctx.create_timer(timedelta(days=days))
    return "slept"


@dr.orchestrator(name="kept.collector")
async def collector(ctx: dr.OrchestrationContext, many: int) -> list[Any]:
    """Waits for several events, of which some came."""
    return [await ctx.wait_for_external_event("item") for _ in range(many)]


@dr.orchestrator(name="kept.parent")
async def parent(ctx: dr.OrchestrationContext, value: int) -> list[Any]:
    """Waits for two sub-orchestrations."""
    first = ctx.call_sub_orchestrator("kept.waiter", value, instance_id=f"{ctx.instance_id}-1")
    second = ctx.call_sub_orchestrator("kept.sleeper", value, instance_id=f"{ctx.instance_id}-2")
    return [await first, await second]


@dr.orchestrator(name="kept.eternal")
async def eternal(ctx: dr.OrchestrationContext, seen: list[Any]) -> list[Any]:
    """Continues as new with each event."""
    item = await ctx.wait_for_external_event("item")
    if item == "stop":
        return seen
    ctx.continue_as_new([*seen, item])
    return seen


@dr.orchestrator(name="kept.retrying")
async def retrying(ctx: dr.OrchestrationContext, value: int) -> str:
    """Waits for the next attempt, which fails as the first did."""
    policy = dr.RetryPolicy(timedelta(days=1), 3)
    try:
        return await ctx.call_activity(flaky, True, retry_policy=policy)
    except dr.ActivityFailed:
        return await ctx.call_activity(flaky, False)


@dr.orchestrator(name="kept.racer")
def racer(ctx: dr.OrchestrationContext, days: int) -> Any:
    """A generator, in Azure's style: an event or a timer, whichever is first."""
    timer, event = ctx.create_timer(timedelta(days=days)), ctx.wait_for_external_event("go")
    winner = yield ctx.task_any([timer, event])
    if winner is event:
        timer.cancel()
        return "event"
    return "timer"


@dr.orchestrator(name="kept.single", max_running=1)
async def single(ctx: dr.OrchestrationContext, value: int) -> int:
    """One at a time: the others are queued."""
    return int(await ctx.wait_for_external_event("go")) + value


@dr.orchestrator(name="kept.failing")
async def failing(ctx: dr.OrchestrationContext, value: int) -> None:
    """Fails."""
    raise ValueError(value)


@dr.orchestrator(name="kept.scheduled")
async def scheduled(ctx: dr.OrchestrationContext, value: int) -> int:
    """A schedule's run."""
    return value
