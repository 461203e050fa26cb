"""One rewind runs again everything that failed in parallel and was not handled, once, and nothing else.

Each shape does the same work in parallel in another way. Of eight parts five fail, some of them after the instance has
ended; two succeed after its end. Then one rewind has to do.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import durable_ray as dr
from durable_ray.orchestrations.history import events as ev
from durable_ray.testing import TestHub
from tests.management.shapes import BROKEN, fragile, note, ran

GATE = "DURABLE_RAY_TEST_GATE"
Call = Callable[[Any], Awaitable[Any]]

#: Part 0 fails first and ends the instance; those from 4 on take until then.
PARTS = list(range(8))
FAILING = [0, 1, 2, 4, 5]


@dr.activity
def part(value: int) -> int:
    """Note the value; fail while it is broken; the later parts end when the gate opens."""
    import json
    import time

    with Path(os.environ["DURABLE_RAY_TEST_LEDGER"]).open("a") as ledger:
        ledger.write(json.dumps(value) + "\n")
    while value >= 4 and not Path(os.environ["DURABLE_RAY_TEST_GATE"]).exists():
        time.sleep(0.005)
    if str(value) in os.environ.get("DURABLE_RAY_TEST_BROKEN", "").split(","):
        raise ValueError(f"{value} is broken")
    return value


@dr.orchestrator
async def one_part(ctx: dr.OrchestrationContext, value: int) -> int:
    """A child that does one part."""
    return int(await ctx.call_activity(part, value))


async def gathered(ctx: dr.OrchestrationContext, do: Call) -> list[int]:
    return list(await asyncio.gather(*(do(n) for n in PARTS)))


async def grouped(ctx: dr.OrchestrationContext, do: Call) -> list[int]:
    async def one(n: int) -> int:
        return int(await do(n))

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(n)) for n in PARTS]
    return [task.result() for task in tasks]


async def all_of_them(ctx: dr.OrchestrationContext, do: Call) -> list[int]:
    return list(await ctx.task_all([do(n) for n in PARTS]))


async def nested(ctx: dr.OrchestrationContext, do: Call) -> list[int]:
    async def pair(n: int) -> list[int]:
        return list(await asyncio.gather(do(n), do(n + 1)))

    halves = asyncio.gather(*(pair(n) for n in PARTS[::2][:2])), ctx.task_all([pair(n) for n in PARTS[::2][2:]])
    return [n for half in await asyncio.gather(*halves) for both in half for n in both]


async def one_by_one(ctx: dr.OrchestrationContext, do: Call) -> list[int]:
    begun = [do(n) for n in PARTS]
    return [await each for each in begun]


async def as_they_come(ctx: dr.OrchestrationContext, do: Call) -> list[int]:
    return sorted([await each for each in asyncio.as_completed([do(n) for n in PARTS])])


async def first_failure(ctx: dr.OrchestrationContext, do: Call) -> list[int]:
    tasks = [asyncio.ensure_future(do(n)) for n in PARTS]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    return [await task for task in tasks]


async def with_cleanup(ctx: dr.OrchestrationContext, do: Call) -> list[int]:
    try:
        return list(await asyncio.gather(*(do(n) for n in PARTS)))
    except dr.TaskFailed:
        await ctx.call_activity(note, "cleanup")
        raise


async def collected(ctx: dr.OrchestrationContext, do: Call) -> list[int]:
    found = await asyncio.gather(*(do(n) for n in PARTS), return_exceptions=True)
    for each in found:
        if isinstance(each, BaseException):
            raise each
    return list(found)  # type: ignore[arg-type]


SHAPES = [
    gathered,
    grouped,
    all_of_them,
    nested,
    one_by_one,
    as_they_come,
    first_failure,
    with_cleanup,
    collected,
]
BY_NAME = {shape.__name__: shape for shape in SHAPES}


@dr.orchestrator
async def in_parallel(ctx: dr.OrchestrationContext, said: list[str]) -> list[int]:
    """One of the shapes, over activities or children."""
    shape, of = said
    over = {
        "activities": lambda n: ctx.call_activity(part, n),
        "children": lambda n: ctx.call_sub_orchestrator(one_part, n),
    }
    found: list[int] = await BY_NAME[shape](ctx, over[of])
    return found


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file whose presence lets the later parts end."""
    monkeypatch.setenv(GATE, str(tmp_path / "gate"))
    return tmp_path / "gate"


def fails(handle: dr.OrchestrationHandle) -> dr.FailureDetails:
    with pytest.raises(dr.OrchestrationFailed) as caught:
        handle.wait_for_completion(30)
    return caught.value.details


@pytest.mark.parametrize("of", ["activities", "children"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_one_rewind_runs_again_what_failed_and_nothing_else(
    hub: TestHub, client: dr.Client, gate: Path, monkeypatch: pytest.MonkeyPatch, shape: Any, of: str
) -> None:
    monkeypatch.setenv(BROKEN, ",".join(map(str, FAILING)))
    if shape in (all_of_them, collected, nested):
        gate.touch()  # they wait for all before they fail
    handle = client.start_new(in_parallel, [shape.__name__, of], placement="shared")
    fails(handle)
    gate.touch()
    hub.settle()
    begun = Counter(ran())
    monkeypatch.setenv(BROKEN, "")
    handle.rewind()
    assert handle.wait_for_completion(30) == PARTS
    # A `TaskGroup` cancels the rest: those were told to stop, whatever they answered.
    cancelled = [6, 7] if (shape, of) == (grouped, "activities") else []
    assert Counter(ran()) - begun == Counter([*FAILING, *cancelled])
    assert begun == Counter([*PARTS, *["cleanup"] * (shape is with_cleanup)])


def test_a_failure_that_was_handled_stays_handled(
    hub: TestHub, client: dr.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dr.orchestrator(name="handles_a_gather")
    async def handles(ctx: dr.OrchestrationContext) -> list[Any]:
        found: list[Any] = []
        try:
            await asyncio.gather(*(ctx.call_activity(fragile, n) for n in range(4)))
        except dr.TaskFailed:
            found.append("gather")
        found += [type(e).__name__ for e in await asyncio.gather(ctx.call_activity(fragile, 0), return_exceptions=True)]
        try:
            async with asyncio.TaskGroup() as group:
                for n in (1, 2):
                    group.create_task(_call(ctx, n))
        except* dr.TaskFailed:
            found.append("group")
        for n in range(20):
            await ctx.call_activity(note, f"between {n}")
        return [*found, await ctx.call_activity(fragile, "fatal")]

    monkeypatch.setenv(BROKEN, "0,1,2,3,fatal")
    handle = client.start_new(handles)
    fails(handle)
    hub.settle()
    begun = Counter(ran())
    monkeypatch.setenv(BROKEN, "")
    handle.rewind()
    assert handle.wait_for_completion(30) == ["gather", "ActivityFailed", "group", "fatal"]
    assert Counter(ran()) - begun == Counter(["fatal"])


async def _call(ctx: dr.OrchestrationContext, n: int) -> Any:
    return await ctx.call_activity(fragile, n)


def test_a_compensation_that_failed_is_not_run_again_when_there_is_nothing_to_compensate(
    hub: TestHub, client: dr.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dr.orchestrator(name="compensates")
    async def compensates(ctx: dr.OrchestrationContext) -> Any:
        try:
            return await ctx.call_activity(fragile, "pay")
        except dr.TaskFailed:
            await ctx.call_activity(fragile, "refund")
            raise

    monkeypatch.setenv(BROKEN, "pay,refund")
    handle = client.start_new(compensates)
    fails(handle)
    monkeypatch.setenv(BROKEN, "pay")
    handle.rewind("too early: the compensation succeeds now")
    fails(handle)
    monkeypatch.setenv(BROKEN, "")
    handle.rewind()
    assert handle.wait_for_completion(30) == "pay"
    hub.settle()
    assert ran() == ["pay", "refund", "pay", "refund", "pay"]


@pytest.mark.parametrize("ends", ["fails", "is terminated"])
def test_what_an_activity_returns_after_the_end_is_in_history(
    hub: TestHub, client: dr.Client, gate: Path, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    monkeypatch.setenv(BROKEN, "0" if ends == "fails" else "")
    handle = client.start_new(in_parallel, ["gathered", "activities"], placement="shared", instance_id="late")
    if ends == "fails":
        fails(handle)
    else:
        while len(ran()) < len(PARTS):
            pass
        handle.terminate("enough")
    ended = handle.get_status()
    gate.touch()
    hub.settle()
    status = handle.get_status(show_history=True)
    assert status is not None
    assert ended is not None
    assert [getattr(status, name) for name in ("runtime_status", "last_updated_time", "failure", "output")] == [
        getattr(ended, name) for name in ("runtime_status", "last_updated_time", "failure", "output")
    ]
    late = {event.task_id for event in status.history or () if isinstance(event, ev.ActivityCompleted)}
    assert late >= {5, 6, 7, 8}
    monkeypatch.setenv(BROKEN, "")
    handle.rewind()
    assert handle.wait_for_completion(30) == PARTS
    assert Counter(ran()) == Counter([*PARTS, *[0] * (ends == "fails")])


def test_a_crash_after_the_end_loses_no_more_than_what_was_under_way(
    hub: TestHub, client: dr.Client, gate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(BROKEN, "0,1,2")
    handle = client.start_new(in_parallel, ["gathered", "activities"], placement="shared")
    fails(handle)
    gate.touch()
    hub.settle()
    hub.crash()
    monkeypatch.setenv(BROKEN, "")
    handle.rewind()
    hub.crash()
    assert handle.wait_for_completion(30) == PARTS
