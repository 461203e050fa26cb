"""A user's file: every call that type checkers know the result of, and the wrong ones that they find.

`test_typing.py` has mypy and pyright read it: both complain of each line that ends with an error comment, and of no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from datetime import timedelta
from typing import Any, assert_type

import durable_ray as dr
import durable_ray.azure as df


@dr.activity
def say_hello(city: str) -> str:
    return f"Hello {city}!"


@dr.activity(retry_policy=dr.RetryPolicy(max_number_of_attempts=3), num_cpus=1)
async def count(cities: list[str]) -> int:
    return len(cities)


@dr.activity
def noted(ctx: dr.ActivityContext, note: bytes | None) -> float:
    return ctx.attempt


@dr.activity
def now() -> float:
    return 1.0


@dr.activity
def attempt(ctx: dr.ActivityContext) -> int:
    return ctx.attempt


@dr.activity
def bounded(ctx: dr.ActivityContext, size: int = 5) -> bool:
    return size > 0


@dr.activity
def anything(value: Any) -> Any:
    return value


@dr.activity
def charge(customer: str, amount: int, *, currency: str = "EUR") -> bytes:
    return f"{customer} {amount} {currency}".encode()


@dr.activity
def paired(left: str, right: str) -> str:
    return left + right


@dr.activity
async def ship(ctx: dr.ActivityContext, to: str, *items: str, express: bool) -> list[str]:
    return [to, *items]


@dr.orchestrator
async def hello_cities(ctx: dr.OrchestrationContext, cities: list[str]) -> list[str]:
    greetings = await asyncio.gather(*(ctx.call_activity(say_hello, city) for city in cities))
    assert_type(greetings, list[str])
    return greetings


@dr.orchestrator(version="2")
def generated(ctx: df.DurableOrchestrationContext, size: int = 3) -> Generator[Any, Any, float]:
    yield ctx.call_activity(say_hello, "Tokyo")
    return 1.5


@dr.orchestrator
def at_once(ctx: dr.OrchestrationContext) -> int:
    return 1


@dr.orchestrator
async def order(ctx: dr.OrchestrationContext, customer: str, items: list[str], *, express: bool = False) -> bytes:
    return b""


async def activities(ctx: dr.OrchestrationContext) -> None:
    assert_type(await ctx.call_activity(say_hello, "Tokyo"), str)
    assert_type(await ctx.call_activity(count, ["Tokyo"], retry_policy=dr.RetryPolicy()), int)
    assert_type(await ctx.call_activity(noted, None), float)
    assert_type(await ctx.call_activity(now), float)
    assert_type(await ctx.call_activity(attempt), int)
    assert_type(await ctx.call_activity(bounded), bool)
    assert_type(await ctx.call_activity(bounded, 7), bool)
    assert_type(await ctx.call_activity(anything, 7), Any)
    assert_type(await ctx.call_activity("say_hello", "Tokyo"), Any)
    assert_type(await ctx.call_activity("say_hello", "Tokyo", result_type=list[int]), list[int])
    assert_type(await ctx.call_activity(say_hello, "Tokyo", result_type=int), int)
    assert_type(await ctx.call_activity_with_retry(say_hello, df.RetryOptions(1000, 3), "Tokyo"), str)

    ctx.call_activity(say_hello, 1)  # error
    ctx.call_activity(say_hello)  # error
    ctx.call_activity(count, [1])  # error
    ctx.call_activity(noted, "text")  # error
    ctx.call_activity(now, 1)  # error
    ctx.call_activity(attempt, 1)  # error
    ctx.call_activity(bounded, "7")  # error
    ctx.call_activity(charge, "ada")  # error
    ctx.call_activity(paired, "ada")  # error
    ctx.call_activity(hello_cities, ["Tokyo"])  # error
    ctx.call_activity(say_hello, "Tokyo", retry=3)  # error
    ctx.call_activity_with_retry(say_hello, df.RetryOptions(1000, 3), 1)  # error
    later: int = await ctx.call_activity(say_hello, "Tokyo")  # error
    print(later)


async def several(ctx: dr.OrchestrationContext) -> None:
    assert_type(await ctx.call(say_hello, "Tokyo"), str)
    assert_type(await ctx.call(charge, "ada", 12), bytes)
    assert_type(await ctx.call(charge, "ada", amount=12, currency="USD"), bytes)
    assert_type(await ctx.call(ship, "ada", "lamp", "chair", express=True), list[str])
    assert_type(await ctx.call(order, "ada", ["lamp"], express=True), bytes)
    assert_type(await ctx.call_activity(charge.bind("ada", 12), retry_policy=dr.RetryPolicy()), bytes)
    assert_type(await ctx.call_activity(ship.bind("ada", express=False)), list[str])
    assert_type(await ctx.call_sub_orchestrator(order.bind("ada", ["lamp"]), instance_id="o-1"), bytes)
    ctx.continue_as_new(order.bind("ada", []))

    ctx.call(charge, "ada", "12")  # error
    ctx.call(charge, "ada")  # error
    ctx.call(charge, "ada", 12, colour="red")  # error
    ctx.call(ship, "ada", "lamp")  # error
    ctx.call(ship, "ada", 12, express=True)  # error
    ctx.call(order, "ada", "lamp")  # error
    ctx.call_activity(charge.bind("ada"), retry_policy=dr.RetryPolicy())  # error
    ctx.call_activity(order.bind("ada", []))  # error
    ctx.call_sub_orchestrator(charge.bind("ada", 12))  # error


async def children_and_events(ctx: dr.OrchestrationContext) -> None:
    assert_type(await ctx.call_sub_orchestrator(hello_cities, ["Oslo"], "child"), list[str])
    assert_type(await ctx.call_sub_orchestrator(generated, 3, version="2"), float)
    assert_type(await ctx.call_sub_orchestrator(generated), float)
    assert_type(await ctx.call_sub_orchestrator(at_once), int)
    assert_type(await ctx.call_sub_orchestrator(at_once, instance_id="child"), int)
    assert_type(await ctx.call_sub_orchestrator("hello_cities", ["Oslo"], result_type=list[str]), list[str])
    assert_type(await ctx.call_sub_orchestrator("hello_cities", ["Oslo"]), Any)
    ctx.call_sub_orchestrator(hello_cities, "Oslo")  # error
    ctx.call_sub_orchestrator(say_hello, "Oslo")  # error

    assert_type(await ctx.wait_for_external_event("Approval", data_type=bool), bool)
    assert_type(await ctx.wait_for_external_event("Approval", timedelta(days=3), data_type=bool), bool)
    assert_type(await ctx.wait_for_external_event("Approval", 60, default=None, data_type=bool), bool | None)
    assert_type(await ctx.wait_for_external_event("Approval"), Any)
    assert_type(ctx.get_input(list[str]), list[str])

    greeting, number = await asyncio.gather(ctx.call_activity(say_hello, "Oslo"), ctx.call_activity(now))
    assert_type((greeting, number), tuple[str, float])
    tasks = [ctx.call_activity(say_hello, city) for city in ("Oslo", "Tokyo")]
    assert_type(await ctx.task_all(tasks), list[str])
    assert_type((await ctx.task_any(tasks)).result(), str)
    async with asyncio.timeout(10):
        await ctx.create_timer(timedelta(minutes=5))


def blocking(client: dr.Client) -> None:
    handle = client.start_new(hello_cities, ["Oslo"], instance_id="hello", tags={"team": "blue"})
    assert_type(handle, dr.OrchestrationHandle[list[str]])
    assert_type(handle.wait_for_completion(timeout=60), list[str])
    assert_type(handle.watch(timeout=60), list[str])
    assert_type(client.start_new(generated).wait_for_completion(), float)
    assert_type(client.start_new(at_once).wait_for_completion(), int)
    assert_type(client.start_new("hello_cities", ["Oslo"]).wait_for_completion(), Any)
    assert_type(client.start(order, "ada", ["lamp"], express=True).wait_for_completion(), bytes)
    assert_type(client.start_new(order.bind("ada", ["lamp"]), instance_id="o-1").wait_for_completion(), bytes)
    handles = client.start_many(hello_cities, [["Oslo"], ["Tokyo"]])
    assert_type(client.wait_many(handles, 60), list[list[str]])
    orders = client.start_many(order, [order.bind("ada", ["lamp"]), order.bind("bob", [])])
    assert_type(client.wait_many(orders), list[bytes])
    assert_type(client.signal_with_start(at_once, "go", instance_id="x").wait_for_completion(), int)
    assert_type(client.wait_for_completion("hello", output_type=list[str]), list[str])
    assert_type(client.get_status("hello"), dr.OrchestrationStatus | None)

    client.start_new(hello_cities, "Oslo")  # error
    client.start_new(hello_cities)  # error
    client.start_new(order, "ada")  # error
    client.start_new(say_hello, "Oslo")  # error
    client.start_new(hello_cities, ["Oslo"], instance="hello")  # error
    client.start_new(hello_cities, ["Oslo"], if_exists="replace")  # error
    client.start(order, "ada", "lamp")  # error
    client.start(order, "ada", [], colour="red")  # error
    client.start_many(hello_cities, ["Oslo"])  # error
    handle.raise_event(1)  # error
    number: int = handle.wait_for_completion()  # error
    print(number)


async def awaited(client: dr.AsyncClient) -> None:
    handle = await client.start_new(hello_cities, ["Oslo"], instance_id="hello")
    assert_type(handle, dr.AsyncOrchestrationHandle[list[str]])
    assert_type(await handle.wait_for_completion(), list[str])
    assert_type(await handle, list[str])
    assert_type(await handle.watch(timeout=60), list[str])
    assert_type(await (await client.start(order, "ada", ["lamp"])).wait_for_completion(), bytes)
    assert_type(await client.wait_many(await client.start_many(at_once, [None, None])), list[int])
    assert_type(await client.wait_for_completion("hello", output_type=int), int)

    await client.start_new(hello_cities, "Oslo")  # error
    await client.start(order, "ada", "lamp")  # error
    number: int = await handle.wait_for_completion()  # error
    print(number)


assert_type(say_hello("Tokyo"), str)
assert_type(asyncio.run(count(["Tokyo"])), int)
assert_type(charge("ada", 12), bytes)
say_hello(1)  # error
