"""Handles are awaited and watched: one line, in a cell, on a terminal, in a pipe; the output or the error at the end."""

from __future__ import annotations

import asyncio
import io
import sys
import threading
import types
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

import durable_ray as dr
from durable_ray.notebook import watching
from durable_ray.notebook.live_line import LiveLine
from durable_ray.testing import TestHub


@dr.activity
def watched_step(n: int) -> int:
    if n < 0:
        raise ValueError("a negative number")
    return n


@dr.orchestrator
async def watched_steps(ctx: dr.OrchestrationContext, numbers: list[int]) -> int:
    total = 0
    for done, n in enumerate(numbers):
        ctx.set_custom_status({"progress": [done, len(numbers)]})
        await ctx.wait_for_external_event("Next")
        total += await ctx.call_activity(watched_step, n)
    return total


@dr.orchestrator
async def watched_timer(ctx: dr.OrchestrationContext, n: int) -> int:
    await ctx.call_activity(watched_step, n)
    await ctx.create_timer(timedelta(hours=1))
    return n


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestHub]:
    monkeypatch.setattr(watching, "_EVERY", 0.02)
    with TestHub(auto_advance=False) as hub:
        yield hub


async def test_every_handle_is_awaited_for_its_output(hub: TestHub) -> None:
    blocking = hub.client.start_new(watched_timer, 1)
    awaited = await hub.async_client.start_new(watched_timer, 2)
    waiting = asyncio.gather(blocking, awaited)
    await asyncio.sleep(0.05)
    assert not waiting.done()  # and the loop is not blocked
    hub.advance(timedelta(hours=2))
    assert await waiting == [1, 2]
    with pytest.raises(dr.InstanceNotFound):
        await hub.client.get_handle("nobody")


async def test_progress_is_gone_through_with_async_for(hub: TestHub, capsys: pytest.CaptureFixture[str]) -> None:
    blocking = hub.client.start_new(watched_steps, [1, 2, 3], instance_id="steps")
    hub.settle()
    handles = (blocking, hub.async_client.get_handle("steps").watch())
    for handle in handles:
        seen = []
        async for progress in handle:
            seen.append((progress.done, progress.fraction, str(progress.status.runtime_status)))
            if not progress.status.runtime_status.finished:
                blocking.raise_event("Next")
                hub.settle()
        assert seen[-1][2] == "Completed"
        if handle is blocking:
            assert [done for done, _, _ in seen[:3]] == [0, 1, 2]
            assert seen[1][1] == pytest.approx(1 / 3)
    # Standard error is no terminal here: a line for each step.
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("steps Running 0% [--------------------] 0 of 3")
    assert lines[-1].startswith("steps Completed after")
    assert "\r" not in "".join(lines)


def test_a_blocking_watch_returns_the_output_or_raises(hub: TestHub, capsys: pytest.CaptureFixture[str]) -> None:
    handle = hub.client.start_new(watched_timer, 7, instance_id="seven")
    hub.settle()
    with pytest.raises(TimeoutError, match=r"seven.*waits for timer"):
        handle.watch(timeout=0.1)
    assert "waits: timer, due 2030-01-01 01:00:00Z" in capsys.readouterr().err
    later = threading.Timer(0.1, hub.advance, [timedelta(hours=1)])
    later.start()
    assert handle.watch(timeout=20) == 7
    later.join()
    assert capsys.readouterr().err.splitlines()[-1] == "seven Completed after 1 h"

    failing = hub.client.start_new(watched_timer, -1, instance_id="bad")
    with pytest.raises(dr.OrchestrationFailed):
        failing.watch(20)
    assert "bad Failed" in capsys.readouterr().err
    with pytest.raises(dr.InstanceNotFound):
        hub.client.get_handle("nobody").watch()


async def test_an_awaited_watch_gives_the_output(hub: TestHub) -> None:
    handle = await hub.async_client.start_new(watched_timer, 4)
    soon = asyncio.get_running_loop().run_in_executor(None, hub.advance, timedelta(hours=2))
    assert await handle.watch(20) == 4
    await soon


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_the_line_changes_in_place_and_is_cut_to_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    out = _Terminal()
    line = LiveLine(out)
    line.show("a" * 50, 1)
    line.show("b", 1)
    line.hide()
    line.show("b", 1)
    line.close()
    assert out.getvalue() == f"\r\x1b[2K{'a' * 19}\r\x1b[2Kb\r\x1b[2K\r\x1b[2Kb\n"


def test_in_a_cell_one_output_is_updated(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    class _Cell:
        def update(self, data: dict[str, str], raw: bool) -> None:
            shown.append(f"again {data['text/plain']}")

    def display(data: dict[str, str], raw: bool, display_id: bool) -> Any:
        shown.append(data["text/plain"])
        return _Cell()

    fake = types.ModuleType("IPython")
    fake.get_ipython = lambda: types.SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    place = types.ModuleType("IPython.display")
    place.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", fake)
    monkeypatch.setitem(sys.modules, "IPython.display", place)
    line = LiveLine()
    line.show("one", 1)
    line.show("two", 1)
    line.close()
    assert shown == ["one", "again two"]
