"""The shapes as orchestrations of durable_ray, once for each way to run an activity."""

from __future__ import annotations

import asyncio
from typing import Any

import durable_ray as dr
from benchmarks.contender import CITIES


def family(way: str, **options: Any) -> dict[str, Any]:
    """hello, fan and long with activities that were declared with these options."""

    @dr.activity(name=f"say_{way}", **options)
    def say(city: str) -> str:
        return f"Hello {city}!"

    @dr.activity(name=f"same_{way}", **options)
    def same(number: int) -> int:
        return number

    @dr.orchestrator(name=f"hello_{way}")
    async def hello(ctx: dr.OrchestrationContext) -> list[str]:
        return [await ctx.call_activity(say, city) for city in CITIES]

    @dr.orchestrator(name=f"fan_{way}")
    async def fan(ctx: dr.OrchestrationContext, n: int) -> int:
        return sum(await asyncio.gather(*[ctx.call_activity(same, number) for number in range(n)]))

    @dr.orchestrator(name=f"long_{way}")
    async def long(ctx: dr.OrchestrationContext, n: int) -> int:
        for number in range(n):
            await ctx.call_activity(same, number)
        return n

    return {"hello": hello, "fan": fan, "long": long, "event": event, "count": count, "sleep1": sleep1, "empty": empty}


@dr.orchestrator
async def event(ctx: dr.OrchestrationContext) -> int:
    """Return what the event carries."""
    found: int = await ctx.wait_for_external_event("go")
    return found


@dr.orchestrator
async def count(ctx: dr.OrchestrationContext, n: int) -> int:
    """Sum up n events."""
    total = 0
    for _ in range(n):
        total += await ctx.wait_for_external_event("go")
    return total


@dr.orchestrator
async def sleep1(ctx: dr.OrchestrationContext) -> int:
    """Sleep a second."""
    await asyncio.sleep(1)
    return 1


@dr.orchestrator
def empty(ctx: dr.OrchestrationContext) -> None:
    """Return at once."""


SHAPES = {
    "workers": family("worker"),
    "local": family("local", local=True),
    "tasks": family("task", num_cpus=1),
}
