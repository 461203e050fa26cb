"""The orchestrators that the management tests manage, and what their activities leave behind.

An activity runs from a copy of its code, so what it does is noted in a file and what it should do is said by a variable
of the process's environment.
"""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import durable_ray as dr

LEDGER, BROKEN = "DURABLE_RAY_TEST_LEDGER", "DURABLE_RAY_TEST_BROKEN"


def ran() -> list[Any]:
    """What the activities have noted, in order."""
    ledger = Path(os.environ[LEDGER])
    return [json.loads(line) for line in ledger.read_text().splitlines()] if ledger.exists() else []


@dr.activity
def note(value: Any) -> Any:
    """Leave a line, answer the value."""
    with Path(os.environ["DURABLE_RAY_TEST_LEDGER"]).open("a") as ledger:
        ledger.write(json.dumps(value) + "\n")
    return value


@dr.activity
def fragile(value: Any) -> Any:
    """Like `note`, but raises while something is broken: everything ("*"), or this value."""
    with Path(os.environ["DURABLE_RAY_TEST_LEDGER"]).open("a") as ledger:
        ledger.write(json.dumps(value) + "\n")
    broken = os.environ.get("DURABLE_RAY_TEST_BROKEN", "").split(",")
    if "*" in broken or str(value) in broken:
        raise ValueError(f"{value} is broken")
    return value


@dr.orchestrator
async def echo(ctx: dr.OrchestrationContext, value: Any = None) -> Any:
    """Answer the input."""
    return value


@dr.orchestrator
async def waiter(ctx: dr.OrchestrationContext, name: str = "go") -> Any:
    """Answer the first event of that name."""
    return await ctx.wait_for_external_event(name)


@dr.orchestrator
async def collector(ctx: dr.OrchestrationContext, count: int = 3) -> list[Any]:
    """Answer so many events, in the order in which they came."""
    return [await ctx.wait_for_external_event("item") for _ in range(count)]


@dr.orchestrator
async def sleeper(ctx: dr.OrchestrationContext, seconds: float = 3600) -> str:
    """Sleep."""
    await ctx.create_timer(timedelta(seconds=seconds))
    return "slept"


@dr.orchestrator
async def eternal(ctx: dr.OrchestrationContext, seen: list[Any] | None = None) -> list[Any]:
    """Collect events, each in an execution of its own, until one says "stop"."""
    seen = seen or []
    item = await ctx.wait_for_external_event("item")
    if item == "stop":
        return seen
    ctx.continue_as_new([*seen, item])
    return seen


@dr.orchestrator
async def steps(ctx: dr.OrchestrationContext, values: list[Any]) -> list[Any]:
    """One fragile activity after the other, between two solid ones."""
    await ctx.call_activity(note, "begin")
    found = [await ctx.call_activity(fragile, value) for value in values]
    await ctx.call_activity(note, "end")
    return found


@dr.orchestrator
async def fan_out(ctx: dr.OrchestrationContext, values: list[Any]) -> list[Any]:
    """Fragile activities, all at once."""
    return list(await ctx.task_all([ctx.call_activity(fragile, value) for value in values]))


@dr.orchestrator
async def family(ctx: dr.OrchestrationContext, values: list[Any]) -> list[Any]:
    """A child that does the steps, after an activity of its own."""
    await ctx.call_activity(note, "parent")
    return list(await ctx.call_sub_orchestrator(steps, values, f"{ctx.instance_id}-child"))


@dr.orchestrator
async def dynasty(ctx: dr.OrchestrationContext, values: list[Any]) -> list[Any]:
    """A child that has a child."""
    return list(await ctx.call_sub_orchestrator(family, values, f"{ctx.instance_id}-child"))


@dr.orchestrator
async def guardian(ctx: dr.OrchestrationContext, child_id: str) -> Any:
    """Wait for a child that waits for an event."""
    return await ctx.call_sub_orchestrator(waiter, "go", child_id)
