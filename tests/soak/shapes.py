"""Lives of every shape that passes through a hub in great numbers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import durable_ray as dr
from durable_ray.testing import TestHub


@dr.activity(name="soak.double")
def double(value: int) -> int:
    return 2 * value


@dr.activity(name="soak.fail")
def fail(value: int) -> int:
    raise ValueError(value)


@dr.orchestrator(name="soak.hello")
async def hello(ctx: dr.OrchestrationContext, value: int) -> int:
    return await ctx.call_activity(double, value)


@dr.orchestrator(name="soak.failing")
async def failing(ctx: dr.OrchestrationContext, value: int) -> int:
    policy = dr.RetryPolicy(first_retry_interval=1, max_number_of_attempts=2)
    return await ctx.call_activity(fail, value, retry_policy=policy)


@dr.orchestrator(name="soak.parent")
async def parent(ctx: dr.OrchestrationContext, value: int) -> int:
    return await ctx.call_sub_orchestrator(hello, value)


@dr.orchestrator(name="soak.answered")
async def answered(ctx: dr.OrchestrationContext, days: int) -> object:
    return await ctx.wait_for_external_event("e", timeout=timedelta(days=days))


@dr.orchestrator(name="soak.again")
async def again(ctx: dr.OrchestrationContext, left: int) -> int:
    if left:
        # The timeout of each life is long, and none of them comes.
        async with asyncio.timeout(30 * 24 * 3600):
            await ctx.call_activity(double, left)
        ctx.continue_as_new(left - 1)
    return left


@dr.orchestrator(name="soak.sleeper")
async def sleeper(ctx: dr.OrchestrationContext, seconds: int) -> int:
    await ctx.create_timer(timedelta(seconds=seconds))
    return seconds


@dr.orchestrator(name="soak.limited")
async def limited(ctx: dr.OrchestrationContext, value: int) -> int:
    return await ctx.call_activity(few, value)


@dr.activity(name="soak.few", max_running=4)
def few(value: int) -> int:
    return value


Shape = Callable[[TestHub, int, str], Awaitable[None]]


def _lives(orchestrator: object, value: int, **options: object) -> Shape:
    async def active(hub: TestHub, number: int, name: str) -> None:
        client = hub.async_client
        handle = await client.start_new(orchestrator, value, **options)  # type: ignore[call-overload]
        try:
            await handle.wait_for_completion(timeout=60)
        except dr.OrchestrationFailed:
            assert orchestrator is failing

    return active


async def _named(hub: TestHub, number: int, name: str) -> None:
    handle = await hub.async_client.start_new(hello, number, instance_id=name)
    assert await handle.wait_for_completion(timeout=60) == 2 * number


async def _told(hub: TestHub, number: int, name: str) -> None:
    handle = await hub.async_client.start_new(answered, 3)
    await handle.suspend()
    await asyncio.gather(handle.raise_event("e", number), handle.raise_event("other", number))
    await handle.resume()
    assert await handle.wait_for_completion(timeout=60) == number


async def _terminated(hub: TestHub, number: int, name: str) -> None:
    handle = await hub.async_client.start_new(answered, 3, instance_id=name, placement="shared")
    await handle.terminate("enough")
    await handle.purge()


async def _deployed(hub: TestHub, number: int, name: str) -> None:
    """New code of one orchestrator and one activity, again and again."""
    source = f"async def fresh(ctx, value):\n    return await ctx.call_activity(other, value + {number})\n"
    world: dict[str, object] = {"__name__": "__main__"}
    exec(f"def other(value):\n    return value + {number}\n{source}", world)
    world["other"] = dr.activity(name="soak.other")(world["other"])  # type: ignore[call-overload]
    fresh = dr.orchestrator(name="soak.fresh")(world["fresh"])  # type: ignore[call-overload]
    await hub.async_client.register(fresh, world["other"])
    handle = await hub.async_client.start_new("soak.fresh", number)
    assert await handle.wait_for_completion(timeout=60) is not None  # those beside it deploy, too


SHAPES: dict[str, Shape] = {
    "hello": _lives(hello, 1),
    "named": _named,
    "failing": _lives(failing, 1),
    "parent": _lives(parent, 1),
    "again": _lives(again, 3),
    "sleeper": _lives(sleeper, 5),
    "limited": _lives(limited, 1),
    "told": _told,
    "terminated": _terminated,
    "deployed": _deployed,
}
#: Those that wait for time to pass.
TIMED = frozenset({"failing", "sleeper"})
