"""Putting an execution away: at once, on the calling thread, without effects, and without hanging.

Held here: `finally` blocks run but ask for nothing; every await raises `Evicted`; code that swallows it does not hang
`close`; nothing is logged, and nothing comes back through the garbage collector.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
import weakref
from datetime import timedelta
from typing import Any

import pytest

from durable_ray.orchestrations.values.failures import Evicted
from tests.unit.orchestrations.driving import Driven


def test_finally_blocks_run_on_the_calling_thread_and_ask_for_nothing() -> None:
    log: list[Any] = []

    async def never(ctx: Any) -> None:
        log.append("never")

    async def careful(ctx: Any) -> None:
        try:
            await ctx.call_activity("a")
        finally:
            log.append(threading.get_ident())
            ctx.set_custom_status("evicted")
            ctx.send_event("x", "y")
            ctx.logger.error("inert")
            asyncio.get_running_loop().create_task(never(ctx))
            asyncio.get_running_loop().call_later(5, log.append, "never")
            try:
                await ctx.call_activity("c")
            except BaseException as error:
                log.append(type(error))
                raise

    run = Driven(careful)
    worker = threading.Thread(target=run.execution.close)
    worker.start()
    worker.join()
    run.execution.close()
    assert log == [worker.ident, Evicted]


AWAITS = {
    "activity": lambda ctx: ctx.call_activity("b"),
    "event": lambda ctx: ctx.wait_for_external_event("b"),
    "timer": lambda ctx: ctx.create_timer(timedelta(1)),
    "sleep": lambda ctx: asyncio.sleep(5),
    "step": lambda ctx: asyncio.sleep(0),
    "all": lambda ctx: ctx.task_all([ctx.call_activity("b")]),
    "any": lambda ctx: ctx.task_any([ctx.call_activity("b")]),
    "gather": lambda ctx: asyncio.gather(ctx.call_activity("b"), asyncio.sleep(1)),
    "lock": lambda ctx: asyncio.Event().wait(),
}


@pytest.mark.parametrize("awaits", AWAITS.values(), ids=AWAITS)
def test_every_await_raises_evicted(awaits: Any) -> None:
    seen: list[type[BaseException]] = []

    async def tries(ctx: Any) -> None:
        try:
            await ctx.call_activity("a")
        except BaseException:
            try:
                await awaits(ctx)
            except BaseException as error:
                seen.append(type(error))

    Driven(tries).execution.close()
    assert seen == [Evicted]


def test_code_that_swallows_everything_does_not_hang_close(caplog: pytest.LogCaptureFixture) -> None:
    async def stubborn(ctx: Any) -> None:
        while True:
            try:
                await ctx.wait_for_external_event("x")
            except BaseException:
                continue

    run = Driven(stubborn)
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        with caplog.at_level(logging.WARNING):
            run.execution.close()
        del run
        gc.collect()
    finally:
        sys.unraisablehook = hook
    assert "catches BaseException" in caplog.text


def test_all_child_tasks_are_put_away_silently(caplog: pytest.LogCaptureFixture) -> None:
    gone: list[int] = []

    async def branch(ctx: Any, n: int) -> None:
        try:
            await ctx.call_activity("a", n)
        finally:
            gone.append(n)

    async def parent(ctx: Any) -> None:
        async with asyncio.TaskGroup() as tasks:
            for n in range(3):
                tasks.create_task(branch(ctx, n))

    async def failed() -> None:
        raise ValueError("seen by nobody")

    async def parent_too(ctx: Any) -> None:
        kept = asyncio.create_task(failed())
        await asyncio.gather(parent(ctx), branch(ctx, 9))
        await kept

    run = Driven(parent_too)
    with caplog.at_level(logging.DEBUG):
        run.execution.close()
        del run
        gc.collect()
    assert sorted(gone) == [0, 1, 2, 9]
    assert caplog.text == ""


def test_a_generator_is_put_away_too() -> None:
    log: list[str] = []

    def generated(context: Any) -> Any:
        try:
            yield context.call_activity("a")
        finally:
            log.append("left")
            yield context.call_activity("b")

    Driven(generated).execution.close()
    assert log == ["left"]


def test_it_leaves_nothing_behind() -> None:
    class Held:
        pass

    held: list[weakref.ref[Held]] = []

    async def holder(ctx: Any) -> None:
        thing = Held()
        held.append(weakref.ref(thing))
        await ctx.call_activity("a", 1)
        del thing

    run = Driven(holder)
    assert held[0]() is not None
    run.execution.close()
    gc.collect()
    assert held[0]() is None


def test_an_owner_that_forgot_to_close_does_not_have_its_code_run_with_effects() -> None:
    seen: list[Any] = []

    async def careful(ctx: Any) -> None:
        try:
            await ctx.call_activity("a")
        except BaseException as error:
            seen.append(type(error))
            raise

    run = Driven(careful)
    del run
    gc.collect()
    assert seen == [Evicted]
