"""Orchestrators and activities that the tests on a real Ray share."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import durable_ray as dr


@dr.activity
def say_hello(city: str) -> str:
    return f"Hello {city}!"


@dr.orchestrator
async def hello_cities(ctx: dr.OrchestrationContext, cities: list[str]) -> list[str]:
    return [await ctx.call_activity(say_hello, city) for city in cities]


@dr.orchestrator
async def wait_for_go(ctx: dr.OrchestrationContext) -> object:
    return await ctx.wait_for_external_event("Go")


@dr.orchestrator
async def wait_twice(ctx: dr.OrchestrationContext) -> list[object]:
    """Two waits, so that an event delivered twice is seen."""
    first = await ctx.wait_for_external_event("Go")
    try:
        second = await ctx.wait_for_external_event("Go", timeout=1)
    except TimeoutError:
        second = None
    return [first, second]


@dr.activity
def note_execution(line: str) -> str:
    """Append to a file what was executed: one write, so that lines of several processes do not mix."""
    path, _, text = line.partition("|")
    with Path(path).open("a") as file:
        file.write(f"{text} {os.getpid()}\n")
    return text


@dr.orchestrator
async def note_in_sequence(ctx: dr.OrchestrationContext, job: tuple[str, int]) -> int:
    path, count = job
    for number in range(count):
        await ctx.call_activity(note_execution, f"{path}|{number}")
    return count


@dr.activity(num_cpus=1)
def square(number: int) -> int:
    return number * number


@dr.orchestrator
async def sum_of_squares(ctx: dr.OrchestrationContext, count: int) -> int:
    return sum(await asyncio.gather(*(ctx.call_activity(square, number) for number in range(count))))


@dr.activity
def slow(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@dr.orchestrator
async def collect(ctx: dr.OrchestrationContext, count: int) -> list[object]:
    return [await ctx.wait_for_external_event("e") for _ in range(count)]


@dr.orchestrator(placement="dedicated")
async def child_job(ctx: dr.OrchestrationContext, number: int) -> int:
    await ctx.call_activity(say_hello, str(number))
    return number


@dr.orchestrator
async def parent_job(ctx: dr.OrchestrationContext, number: int) -> int:
    return 1 + await ctx.call_sub_orchestrator(child_job, number, instance_id=f"{ctx.instance_id}-child")
