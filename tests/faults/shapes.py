"""Orchestrations of every shape that can be interrupted, each with what it must answer whatever happens to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import durable_ray as dr


@dr.activity(name="faults.step")
def step(context: dr.ActivityContext, value: int) -> int:
    """Notes that it ran."""
    from tests.faults.ledger import LEDGER

    LEDGER.run(context)
    return value * 10


@dr.orchestrator(name="faults.chain")
async def chain(ctx: dr.OrchestrationContext, count: int) -> list[int]:
    return [await ctx.call_activity(step, n) for n in range(count)]


@dr.orchestrator(name="faults.fan_out")
async def fan_out(ctx: dr.OrchestrationContext, count: int) -> list[int]:
    return await ctx.task_all([ctx.call_activity(step, n) for n in range(count)])


@dr.orchestrator(name="faults.timers")
async def timers(ctx: dr.OrchestrationContext, count: int) -> int:
    for day in range(count):
        await ctx.create_timer(timedelta(days=day + 1))
        await ctx.call_activity(step, day)
    return count


@dr.orchestrator(name="faults.children")
async def children(ctx: dr.OrchestrationContext, count: int) -> list[Any]:
    shared = [ctx.call_sub_orchestrator(chain, 1) for _ in range(count)]
    own = ctx.call_sub_orchestrator(chain, 2, instance_id=f"{ctx.instance_id}-own")
    return [await ctx.task_all(shared), await own]


@dr.orchestrator(name="faults.counter")
async def counter(ctx: dr.OrchestrationContext, number: int) -> int:
    await ctx.call_activity(step, number)
    if number < 3:
        ctx.continue_as_new(number + 1)
    return number


@dr.orchestrator(name="faults.collector")
async def collector(ctx: dr.OrchestrationContext, count: int) -> list[int]:
    return [await ctx.wait_for_external_event("e") for _ in range(count)]


@dr.orchestrator(name="faults.eternal")
async def eternal(ctx: dr.OrchestrationContext, seen: list[int]) -> list[int]:
    """Continues as new after every event or two, taking along what it has not consumed."""
    seen = [*seen, await ctx.wait_for_external_event("e")]
    if seen[-1] % 3 == 0 and seen[-1] >= 0:
        seen.append(await ctx.wait_for_external_event("e"))
    if seen[-1] < 0:
        return seen[:-1]
    ctx.continue_as_new(seen)
    raise AssertionError("continue_as_new does not return")


@dataclass(frozen=True)
class Shape:
    """One of them, as it is started, the events it is sent, and what it must answer."""

    orchestrator: Any
    input: Any
    expected: Any
    events: tuple[int, ...] = ()

    def play(self, client: Any, instance_id: str | None, started: Callable[[Any], None] = lambda handle: None) -> Any:
        """Start it, send its events in order, wait for what it answers."""
        handle = client.start_new(self.orchestrator, self.input, instance_id=instance_id)
        started(handle)
        for number in self.events:
            handle.raise_event("e", number)
        return handle.wait_for_completion(timeout=10)


SHAPES = {
    "chain": Shape(chain, 3, [0, 10, 20]),
    "fan-out": Shape(fan_out, 4, [0, 10, 20, 30]),
    "timers": Shape(timers, 2, 2),
    "children": Shape(children, 2, [[[0], [0]], [0, 10]]),
    "counter": Shape(counter, 0, 3),
    "collector": Shape(collector, 3, [1, 2, 3], (1, 2, 3)),
    "eternal": Shape(eternal, [], [1, 2, 3, 4, 5], (1, 2, 3, 4, 5, -1)),
}
