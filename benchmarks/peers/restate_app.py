"""The shapes as Restate services. Runs in an environment of its own: `python -m benchmarks.peers.restate_app PORT`."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from typing import Any

import hypercorn
import hypercorn.asyncio
import restate
from restate import ObjectContext, VirtualObject, Workflow, WorkflowContext, WorkflowSharedContext

from benchmarks.contender import CITIES

hello, fan, event, sleep1, empty, long = map(Workflow, ("hello", "fan", "event", "sleep1", "empty", "long"))
count = VirtualObject("count")


def say(c: str) -> str:
    return f"Hello {c}!"


def same(i: int) -> int:
    return i


@hello.main("run")
async def hello_run(ctx: WorkflowContext, _: int) -> list:  # type: ignore[type-arg]
    return [await ctx.run_typed("say", say, c=city) for city in CITIES]


@fan.main("run")
async def fan_run(ctx: WorkflowContext, n: int) -> int:
    futures = [ctx.run_typed("same", same, i=number) for number in range(n)]
    await restate.gather(*futures)
    return sum([await future for future in futures])


@event.main("run")
async def event_run(ctx: WorkflowContext, _: int) -> int:
    return await ctx.promise("go", type_hint=int).value()


@event.handler("go")
async def event_go(ctx: WorkflowSharedContext, value: int) -> None:
    await ctx.promise("go", type_hint=int).resolve(value)


@sleep1.main("run")
async def sleep1_run(ctx: WorkflowContext, _: int) -> int:
    await ctx.sleep(timedelta(seconds=1))
    return 1


@empty.main("run")
async def empty_run(ctx: WorkflowContext, _: int) -> None:
    return None


@long.main("run")
async def long_run(ctx: WorkflowContext, n: int) -> int:
    for number in range(n):
        await ctx.run_typed("same", same, i=number)
    return n


@count.handler("add")
async def count_add(ctx: ObjectContext, value: int) -> int:
    total = (await ctx.get("n", type_hint=int) or 0) + value
    ctx.set("n", total)
    return total


def main() -> None:
    config: Any = hypercorn.Config()
    config.bind = [f"127.0.0.1:{sys.argv[1]}"]
    config.h2_max_concurrent_streams = config.keep_alive_max_requests = config.keep_alive_timeout = 2147483647
    config.loglevel = "ERROR"
    app: Any = restate.app(services=[hello, fan, event, sleep1, empty, long, count])
    asyncio.run(hypercorn.asyncio.serve(app, config))


if __name__ == "__main__":
    main()
