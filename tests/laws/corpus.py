"""The shapes that orchestrations take, each small and each with a name: what the laws are tried on."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import suppress
from datetime import timedelta
from typing import Any

from durable_ray.orchestrations.authoring.context import OrchestrationContext
from durable_ray.orchestrations.authoring.retries import RetryPolicy
from durable_ray.orchestrations.values.failures import TaskFailed
from tests.laws.world import Shape

Ctx = OrchestrationContext


def double(value: int) -> int:
    return 2 * value


def picky(value: int) -> int:
    if value % 3 == 0:
        raise ValueError(f"{value} is a multiple of 3")
    return value


async def chaining(ctx: Ctx, value: int) -> list[int]:
    seen = []
    for _ in range(4):
        value = await ctx.call_activity("double", value)
        seen.append(value)
    return seen


async def fan_out(ctx: Ctx, count: int) -> int:
    return sum(await ctx.task_all([ctx.call_activity("double", n) for n in range(count)]))


async def monitor(ctx: Ctx) -> int:
    polls = 0
    while await ctx.call_activity("double", polls) < 6:
        polls += 1
        await ctx.create_timer(timedelta(seconds=30))
        ctx.set_custom_status({"polls": polls})
    return polls


async def approval(ctx: Ctx) -> str:
    answer = await ctx.wait_for_external_event("Approval", timeout=timedelta(seconds=3), default="escalated")
    await ctx.call_activity("double", 1)
    return str(answer)


async def approval_raises(ctx: Ctx) -> str:
    try:
        return str(await ctx.wait_for_external_event("approval", timeout=2.5))
    except TimeoutError:
        return str(await ctx.call_activity("double", 21))


async def retries(ctx: Ctx) -> list[str]:
    policy = RetryPolicy(first_retry_interval=5, max_number_of_attempts=3, backoff_coefficient=2)
    log = []
    for value in range(4):
        try:
            log.append(str(await ctx.call_activity("picky", value, retry_policy=policy)))
        except TaskFailed as error:
            log.append("refused" if error.is_caused_by("ValueError") else "?")
    return log


async def unhandled(ctx: Ctx) -> None:
    await ctx.task_all([ctx.call_activity("picky", n) for n in range(7)])


async def children(ctx: Ctx) -> list[Any]:
    ctx.start_orchestration("audit", {"by": ctx.instance_id})
    ctx.send_event("somebody", "Hello", [1])
    first = ctx.call_sub_orchestrator("child", 1)
    second = ctx.call_sub_orchestrator("child", 2, instance_id="chosen")
    return list(await asyncio.gather(first, second))


async def race(ctx: Ctx) -> list[Any]:
    tasks = [ctx.call_activity("double", n) for n in range(4)]
    order = []
    while tasks:
        winner = await ctx.task_any(tasks)
        tasks.remove(winner)
        order.append(await winner)
        await ctx.call_activity("double", order[-1])
    return order


async def race_with_timer(ctx: Ctx) -> str:
    timer = ctx.create_timer(timedelta(seconds=4))
    event = ctx.wait_for_external_event("Go")
    winner = await ctx.task_any([timer, event])
    if winner is event:
        timer.cancel()
        return f"went {event.result()}"
    await ctx.call_activity("double", 1)
    return "late"


async def group(ctx: Ctx) -> list[int]:
    async def step(value: int) -> int:
        try:
            return int(await ctx.call_activity("picky", value)) + int(await ctx.call_activity("double", value))
        except asyncio.CancelledError:
            await ctx.call_activity("double", -value)
            raise

    try:
        async with asyncio.TaskGroup() as tasks:
            started = [tasks.create_task(step(value)) for value in (1, 2, 3, 4, 5)]
    except ExceptionGroup as errors:
        return [len(errors.exceptions), sum(task.cancelled() for task in started)]
    return [task.result() for task in started]


async def gathering(ctx: Ctx) -> list[str]:
    calls = [ctx.call_activity("picky", n) for n in range(5)]
    return [type(r).__name__ for r in await asyncio.gather(*calls, return_exceptions=True)]


async def sets_of_gathers(ctx: Ctx) -> list[Any]:
    gathers = [asyncio.gather(*(ctx.call_activity("double", 4 * g + n) for n in range(2))) for g in range(6)]
    order = []
    pending: set[Any] = set(gathers)
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for each in done:
            order.append(each.result())
        for each in pending:
            await ctx.call_activity("double", gathers.index(each))
    return order


async def timeouts(ctx: Ctx) -> list[str]:
    log = []
    for limit in (0.5, 10_000):
        try:
            async with asyncio.timeout(limit):
                log.append(str(await ctx.call_activity("double", limit)))
        except TimeoutError:
            log.append("timeout")
    with suppress(TimeoutError):
        await asyncio.wait_for(ctx.wait_for_external_event("never"), 3)
    return log


async def queue(ctx: Ctx) -> list[int]:
    items: asyncio.Queue[int] = asyncio.Queue(maxsize=2)
    results: list[int] = []

    async def produce(first: int) -> None:
        for n in range(first, first + 3):
            await items.put(await ctx.call_activity("double", n))

    async def consume() -> None:
        while True:
            results.append(await items.get() + int(await ctx.call_activity("double", 100)))
            items.task_done()

    consumers = [asyncio.create_task(consume()) for _ in range(2)]
    await asyncio.gather(produce(0), produce(10))
    await items.join()
    for consumer in consumers:
        consumer.cancel()
    return results


async def lock(ctx: Ctx) -> list[int]:
    guard, limit, order = asyncio.Lock(), asyncio.Semaphore(2), list[int]()

    async def worker(n: int) -> None:
        async with limit:
            await ctx.call_activity("double", n)
            async with guard:
                order.append(await ctx.call_activity("double", n + 100))

    await asyncio.gather(*(worker(n) for n in range(5)))
    return order


async def completing(ctx: Ctx) -> list[int]:
    async def step(n: int) -> int:
        return int(await ctx.call_activity("double", n)) + int(await ctx.call_activity("double", n))

    return [await each for each in asyncio.as_completed([step(n) for n in range(8)])]


async def counter(ctx: Ctx, count: int) -> int:
    count += await ctx.wait_for_external_event("Add")
    if count < 20:
        ctx.continue_as_new(count)
    return count


async def early_events(ctx: Ctx) -> list[Any]:
    await ctx.call_activity("double", 1)
    got = [await ctx.wait_for_external_event("A"), await ctx.wait_for_external_event("b")]
    both = await asyncio.gather(ctx.wait_for_external_event("a"), ctx.wait_for_external_event("a"))
    return [*got, *both]


async def own_values(ctx: Ctx) -> list[Any]:
    values: list[Any] = [ctx.new_uuid().hex, ctx.random.random(), asyncio.current_task().get_name()]  # type: ignore[union-attr]
    await ctx.call_activity("double", len(values))
    values += [ctx.new_guid().hex, ctx.random.randrange(1000), ctx.instance_id]
    ctx.set_custom_status(ctx.current_utc_datetime.isoformat())
    await asyncio.sleep(1.5)
    return [*values, ctx.current_utc_datetime.isoformat()]


async def shielded(ctx: Ctx) -> list[Any]:
    work = ctx.call_activity("double", 4)
    try:
        await asyncio.wait_for(asyncio.shield(work), 0.25)
    except TimeoutError:
        return ["kept", await work]
    return ["in time"]


async def nested(ctx: Ctx) -> list[Any]:
    async def branch(depth: int) -> int:
        if depth == 0:
            return int(await ctx.call_activity("double", 1))
        halves = [asyncio.create_task(branch(depth - 1)) for _ in range(2)]
        return sum([await half for half in halves]) + int(await ctx.call_activity("double", depth))

    async def ticks() -> Any:
        for n in range(3):
            await asyncio.sleep(1)
            yield n

    return [await branch(3), [n async for n in ticks()]]


async def condition(ctx: Ctx) -> list[int]:
    changed, ready, seen = asyncio.Condition(), asyncio.Event(), list[int]()

    async def wait(n: int) -> None:
        await ready.wait()
        async with changed:
            await changed.wait_for(lambda: len(seen) >= n)
            seen.append(await ctx.call_activity("double", n))
            changed.notify_all()

    waiters = [asyncio.create_task(wait(n)) for n in (2, 0, 1)]
    await ctx.call_activity("double", 0)
    ready.set()
    await asyncio.wait(waiters)
    return seen


def generated_chain(context: Any) -> Generator[Any, Any, Any]:
    value = context.get_input()
    for _ in range(3):
        value = yield context.call_activity("double", value)
    results = yield context.task_all([context.call_activity("double", n) for n in range(3)])
    try:
        yield context.call_activity("picky", 3)
    except Exception as error:
        results.append(str(error))
    return [value, results]


def generated_approval(context: Any) -> Generator[Any, Any, Any]:
    due = context.current_utc_datetime + timedelta(seconds=4)
    timer = context.create_timer(due)
    approval_event = context.wait_for_external_event("Approval")
    winner = yield context.task_any([approval_event, timer])
    if winner == approval_event:
        if not timer.is_completed:
            timer.cancel()
        return ["approved", approval_event.result]
    yield context.call_activity("double", 1)
    return ["escalated", timer.state]


def generated_counter(context: Any) -> Generator[Any, Any, Any]:
    count = context.get_input() + (yield context.wait_for_external_event("Add"))
    if count < 20:
        context.continue_as_new(count)
    return count


ADDS = tuple(("add", n) for n in range(1, 9))
ABC = (("a", 1), ("B", 2), ("A", 3), ("a", 4), ("c", 5))
WORK = {"double": double, "picky": picky}


def _shapes() -> list[Shape]:
    def shape(orchestrator: Any, value: Any = None, events: Any = (), *, timeless: bool = True) -> Shape:
        return Shape(orchestrator.__name__, orchestrator, value, WORK, events, timeless)

    timed = {"timeless": False}
    return [
        shape(chaining, 1),
        shape(fan_out, 6),
        shape(monitor),
        shape(approval, events=(("APPROVAL", "yes"),), **timed),
        shape(approval_raises, events=(("Approval", "yes"),), **timed),
        shape(retries),
        shape(unhandled),
        shape(children),
        shape(race),
        shape(race_with_timer, events=(("go", 1),), **timed),
        shape(group),
        shape(gathering),
        shape(sets_of_gathers),
        shape(timeouts, **timed),
        shape(queue),
        shape(lock),
        shape(completing),
        shape(counter, 0, ADDS),
        shape(early_events, events=ABC),
        shape(own_values, **timed),
        shape(shielded, **timed),
        shape(nested),
        shape(condition),
        shape(generated_chain, 1),
        shape(generated_approval, events=(("approval", "ok"),), **timed),
        shape(generated_counter, 0, ADDS),
    ]


CORPUS = _shapes()
