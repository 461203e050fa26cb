"""The deterministic loop is asyncio to the code on it, and refuses what replay could not repeat.

Held here: delays are durable timers and their cancellation reaches history; time stands still within a turn; real I/O,
threads and foreign futures are refused with a sentence; the loop runs in a thread without a loop, and inside another
loop's callback or task; failures nobody looks at are logged, not fatal.
The order of sets across processes is held by tests/laws/test_order.py.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import logging
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from typing import Any

import pytest

from durable_ray.orchestrations.engine.commands import CancelTimer, CreateTimer, ScheduleActivity
from durable_ray.orchestrations.values.times import LATEST
from tests.laws.world import START
from tests.unit.orchestrations.driving import Driven

SECOND = 1_000_000


def test_sleep_is_a_durable_timer() -> None:
    async def sleeper(ctx: Any) -> float:
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    run = Driven(sleeper)
    assert run.commands == (CreateTimer(1, run.at + 3600 * SECOND),)
    assert run.fire(1, after=3600).result == run.at / SECOND


def test_sleep_zero_is_only_a_step() -> None:
    async def stepper(ctx: Any) -> str:
        for _ in range(5):
            await asyncio.sleep(0)
        return "done"

    run = Driven(stepper)
    assert (run.commands, run.result) == ((), "done")


def test_a_timeout_that_did_not_expire_cancels_its_timer() -> None:
    async def in_time(ctx: Any) -> int:
        async with asyncio.timeout(10):
            value = await ctx.call_activity("a")
        await ctx.call_activity("b")
        return int(value)

    run = Driven(in_time)
    assert run.commands == (CreateTimer(1, run.at + 10 * SECOND), ScheduleActivity(2, "a"))
    assert run.complete(2, 5).commands == (CancelTimer(1), ScheduleActivity(3, "b"))


def test_a_timeout_that_expired_raises_and_cancels_the_activity() -> None:
    async def too_late(ctx: Any) -> str:
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + 10):
                await ctx.call_activity("a")
        except TimeoutError:
            return "late"
        return "in time"

    run = Driven(too_late).fire(1, after=10)
    assert [type(command).__name__ for command in run.commands] == ["CancelActivity"]
    assert run.result == "late"


def test_time_stands_still_within_a_turn_and_moves_with_the_next() -> None:
    async def clock(ctx: Any) -> list[bool]:
        loop = asyncio.get_running_loop()
        before = loop.time()
        await asyncio.sleep(0)
        same = before == loop.time()
        await ctx.call_activity("a")
        return [same, loop.time() - before == 1]

    assert Driven(clock).complete(1).result == [True, True]


def test_call_later_can_be_cancelled_and_knows_when() -> None:
    async def caller(ctx: Any) -> list[Any]:
        loop, seen = asyncio.get_running_loop(), list[Any]()
        handle = loop.call_later(5, seen.append, "no")
        seen.append(handle.when() == loop.time() + 5)
        await ctx.call_activity("a")
        handle.cancel()
        handle.cancel()
        loop.call_soon(seen.append, "soon")
        await ctx.call_activity("b")
        return [*seen, handle.cancelled()]

    run = Driven(caller)
    assert run.complete(2).commands == (CancelTimer(1), ScheduleActivity(3, "b"))
    assert run.complete(3).result == [True, "soon", True]


@pytest.mark.parametrize("seconds", [10**400, sys.maxsize, 1e300])
def test_a_delay_of_any_length_is_one_that_never_ends(seconds: float) -> None:
    async def sleeper(ctx: Any) -> float:
        loop = asyncio.get_running_loop()
        loop.call_at(seconds, print)
        return loop.call_later(seconds, print).when()

    run = Driven(sleeper)
    assert run.commands == (CreateTimer(1, LATEST), CreateTimer(2, LATEST))
    assert run.result == LATEST / 1_000_000


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="asyncio itself refuses it, by isnan")
def test_a_sleep_of_any_length() -> None:
    async def sleeper(ctx: Any) -> None:
        await asyncio.sleep(10**400)

    assert Driven(sleeper).commands == (CreateTimer(1, LATEST),)


def test_context_variables_are_the_executions_own() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

    async def reader(ctx: Any) -> list[str]:
        seen = [variable.get()]
        variable.set("mine")
        await ctx.call_activity("a")
        return [*seen, variable.get()]

    variable.set("the host's")
    run = Driven(reader)
    assert variable.get() == "the host's"
    assert run.complete(1).result == ["unset", "mine"]


def test_current_task_and_names_are_the_same_on_every_run() -> None:
    async def names(ctx: Any) -> list[str]:
        async def own() -> str:
            return asyncio.current_task().get_name()  # type: ignore[union-attr]

        named = asyncio.create_task(own(), name="mine")
        return [await own(), await asyncio.create_task(own()), await named]

    assert Driven(names).result == Driven(names).result
    assert Driven(names).result[2] == "mine"


REFUSED: dict[str, Callable[[], Any]] = {
    "to_thread": lambda: asyncio.to_thread(print),
    "run_in_executor": lambda: asyncio.get_running_loop().run_in_executor(None, print),
    "open_connection": lambda: asyncio.open_connection("localhost", 1),
    "create_subprocess_exec": lambda: asyncio.create_subprocess_exec("true"),
    "getaddrinfo": lambda: asyncio.get_running_loop().getaddrinfo("localhost", 1),
    "call_soon_threadsafe": lambda: asyncio.get_running_loop().call_soon_threadsafe(print),
    "add_signal_handler": lambda: asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, print),
    "add_reader": lambda: asyncio.get_running_loop().add_reader(0, print),
    "set_task_factory": lambda: asyncio.get_running_loop().set_task_factory(None),
    "stop": lambda: asyncio.get_running_loop().stop(),
    "run_until_complete": lambda: asyncio.get_running_loop().run_until_complete(asyncio.sleep(0)),
}


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
@pytest.mark.parametrize("ask", REFUSED.values(), ids=REFUSED)
def test_what_replay_cannot_repeat_is_refused_with_a_remedy(ask: Callable[[], Any]) -> None:
    async def asks(ctx: Any) -> Any:
        return await ask()

    error = Driven(asks).error
    assert error.is_caused_by("NotDeterministic")
    assert "activity" in error.message


def test_a_concurrent_future_is_refused() -> None:
    future: concurrent.futures.Future[int] = concurrent.futures.Future()

    async def waits(ctx: Any) -> int:
        return await asyncio.wrap_future(future)

    error = Driven(waits).error
    assert error.is_caused_by("NotDeterministic")
    assert "ObjectRef" in error.message


def test_a_future_of_another_loop_is_refused() -> None:
    other = asyncio.new_event_loop()
    try:
        foreign = other.create_future()

        async def waits(ctx: Any) -> Any:
            return await foreign

        error = Driven(waits).error
    finally:
        other.close()
    assert error.is_caused_by("NotDeterministic")
    assert "another event loop" in error.message


def test_as_completed_of_a_set_of_coroutines_is_refused() -> None:
    async def step(ctx: Any) -> None:
        await ctx.call_activity("a")

    async def unordered(ctx: Any) -> None:
        steps = {step(ctx) for _ in range(3)}
        try:
            for each in asyncio.as_completed(steps):
                await each
        finally:
            for each_step in steps:
                each_step.close()

    assert "create_task" in Driven(unordered).error.message


def test_as_completed_starts_bare_coroutines_in_the_order_given() -> None:
    async def step(ctx: Any, name: str) -> None:
        await ctx.call_activity(name)

    async def ordered(ctx: Any) -> None:
        for each in asyncio.as_completed([step(ctx, name) for name in "abcdefgh"]):
            await each

    assert [command.name for command in Driven(ordered).commands] == list("abcdefgh")  # type: ignore[union-attr]


async def _two_steps(ctx: Any) -> Any:
    return [await ctx.call_activity("a"), asyncio.get_running_loop().is_running()]


def test_it_runs_inside_another_loop_and_leaves_no_trace() -> None:
    async def host() -> list[Any]:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        hooks = sys.get_asyncgen_hooks()
        results = [Driven(_two_steps).complete(1, 1).result]
        called = loop.create_future()
        loop.call_soon(lambda: called.set_result(Driven(_two_steps).complete(1, 2).result))
        results.append(await called)
        assert asyncio.get_running_loop() is loop
        assert asyncio.current_task() is task
        assert sys.get_asyncgen_hooks() == hooks
        return results

    assert asyncio.run(host()) == [[1, True], [2, True]]
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


def test_a_child_task_that_fails_unobserved_is_logged_and_not_fatal(caplog: pytest.LogCaptureFixture) -> None:
    async def fails() -> None:
        raise ValueError("nobody looks")

    async def careless(ctx: Any) -> str:
        asyncio.create_task(fails())  # noqa: RUF006 - the point
        await ctx.call_activity("a")
        return "fine"

    with caplog.at_level(logging.ERROR):
        assert Driven(careless).complete(1).result == "fine"
    assert "never retrieved" in caplog.text


def test_a_callback_that_raises_is_logged_and_not_fatal(caplog: pytest.LogCaptureFixture) -> None:
    async def careless(ctx: Any) -> str:
        asyncio.get_running_loop().call_soon(lambda: 1 // 0)
        await asyncio.sleep(0)
        return "fine"

    with caplog.at_level(logging.ERROR):
        assert Driven(careless).result == "fine"
    assert "ZeroDivisionError" in caplog.text


def test_sys_exit_is_a_failure_of_the_orchestrator_only() -> None:
    async def exits(ctx: Any) -> None:
        sys.exit(3)

    async def child_exits(ctx: Any) -> None:
        await asyncio.create_task(exits(ctx))

    assert Driven(exits).error.is_caused_by(SystemExit)
    assert Driven(child_exits).error.is_caused_by(SystemExit)


class Private(BaseException):
    """Somebody's own way out."""


class Unspeakable(BaseException):
    """One that cannot even be described."""

    @property
    def non_retryable(self) -> bool:
        sys.exit(4)

    def __str__(self) -> str:
        raise KeyboardInterrupt


ENDS = [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError(), Private(), Unspeakable()]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: type(end).__name__)
def test_whatever_code_raises_is_its_execution_s_failure_and_nothing_gets_out(end: BaseException) -> None:
    async def raises(ctx: Any) -> None:
        raise end

    def at_once(ctx: Any) -> None:
        raise end

    def generator(ctx: Any) -> Iterator[Any]:
        yield ctx.call_activity("first")
        raise end

    async def child(ctx: Any) -> None:
        await asyncio.create_task(raises(ctx))

    async def cleaning(ctx: Any) -> None:
        try:
            await ctx.call_activity("never")
        finally:
            raise end

    kind = type(end)
    for code in (raises, at_once, child):
        assert Driven(code).error.is_caused_by(kind), code
    assert Driven(generator).complete(1).error.is_caused_by(kind)
    Driven(cleaning).execution.close()


@pytest.mark.parametrize("end", [SystemExit(3), KeyboardInterrupt()], ids=["SystemExit", "KeyboardInterrupt"])
def test_what_ends_an_asyncio_program_from_a_callback_ends_the_execution(end: BaseException) -> None:
    def out() -> None:
        raise end

    async def soon(ctx: Any) -> None:
        asyncio.get_running_loop().call_soon(out)
        await ctx.call_activity("never")

    async def when_done(ctx: Any) -> None:
        task = ctx.call_activity("a")
        task.add_done_callback(lambda _: out())
        await asyncio.sleep(60)

    assert Driven(soon).error.is_caused_by(type(end))
    assert Driven(when_done).complete(1).error.is_caused_by(type(end))


def test_a_group_s_member_that_ends_it_is_the_execution_s_failure() -> None:
    async def ends(ctx: Any) -> None:
        await ctx.call_activity("a")
        raise KeyboardInterrupt

    async def grouped(ctx: Any) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(ends(ctx))
            group.create_task(asyncio.sleep(60))

    assert Driven(grouped).complete(1).error.is_caused_by(KeyboardInterrupt)


def test_an_async_generator_that_is_closed_may_wait() -> None:
    log: list[str] = []

    async def ticks(ctx: Any) -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await ctx.call_activity("clean")
            log.append("cleaned")

    async def closing(ctx: Any) -> int:
        async with aclosing(ticks(ctx)) as each:
            async for value in each:
                return value
        return 0

    run = Driven(closing)
    assert run.commands == (ScheduleActivity(1, "clean"),)
    assert (run.complete(1).result, log) == (1, ["cleaned"])


def test_an_abandoned_async_generator_asks_for_nothing() -> None:
    async def ticks(ctx: Any) -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await ctx.call_activity("clean")

    async def abandoning(ctx: Any) -> int:
        async for _ in ticks(ctx):
            break
        return int(await ctx.call_activity("next"))

    run = Driven(abandoning)
    assert [c.name for c in run.commands] == ["next"]  # type: ignore[union-attr]


def test_start_time_is_what_the_first_turn_says() -> None:
    async def clock(ctx: Any) -> float:
        return asyncio.get_running_loop().time()

    assert Driven(clock).result == (START + SECOND) / SECOND
