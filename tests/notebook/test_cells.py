"""Cells of a real kernel, over a hub in it: defined again, their classes as payloads, errors, top-level await, a restart."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("nbclient")
from tests.notebook.running import OLDER, html, of, run, text

OPEN = """
import asyncio
from dataclasses import dataclass
from pydantic import BaseModel
import durable_ray as dr
from durable_ray.testing import TestHub

import ipykernel
hub = TestHub("sqlite:///hub.db", start=None)
client = hub.client
print(ipykernel.__version__)
"""
DEFINED = """
@dataclass
class Point:
    x: int

class Order(BaseModel):
    item: str

class Refused(Exception):
    pass

@dr.activity
def step(point: Point) -> Order:
    return Order(item=f"first {point.x}")

@dr.orchestrator
async def ordered(ctx: dr.OrchestrationContext, point: Point) -> Order:
    return await ctx.call_activity(step, point)

order = await client.start_new(ordered, Point(3), instance_id="one")
print(type(order).__name__, isinstance(order, Order), order.item)
"""
CELLS = [
    OPEN,
    DEFINED,
    # Both defined again, the class with them: a cell that is run twice.
    DEFINED.replace("first", "second"),
    """
@dr.orchestrator
async def ordered(ctx: dr.OrchestrationContext, point: Point) -> Order:
    await ctx.call_activity(step, point)
    return Order(item="other steps")

(await client.start_new(ordered, Point(4))).item
""",
    """
@dr.orchestrator
async def waits(ctx: dr.OrchestrationContext, point: Point) -> str:
    ctx.set_custom_status({"progress": 0.5})
    name = await ctx.wait_for_external_event("Name")
    return f"{name} {(await ctx.call_activity(step, point)).item}"

waiting = client.start_new(waits, Point(5), instance_id="waits")
waiting.wait_for_start()
waiting
""",
    "client.start_new(ordered, Point(6), instance_id='watched').watch(timeout=60).item",
    """
seen = []
async for progress in await hub.async_client.start_new(ordered, Point(7)):
    seen.append(str(progress.status.runtime_status))
seen[-1]
""",
    """# raises
@dr.activity
def refuse(why: str) -> None:
    raise Refused(why)

@dr.orchestrator
async def refusing(ctx: dr.OrchestrationContext, why: str) -> None:
    await ctx.call_activity(refuse, why)

await client.start_new(refusing, "not today", instance_id="refused")
""",
    "client.get_handle('refused').get_status().failure",
    "client.list_instances()",
    "hub.close()",
]
#: Frames of the product, in an error that a cell shows.
OURS = re.compile(r"durable_ray[/\\]\w+[/\\]\w+\.py")
#: In a new kernel, which has none of the definitions.
AGAIN = [
    OPEN,
    "again = client.get_handle('waits')\nagain",
    "again.raise_event('Name', 'Ada')\nawait again",
    "print(await client.get_handle('one'))\nhub.close()",
]


@pytest.mark.parametrize("python", [sys.executable, OLDER], ids=["this ipykernel", "ipykernel 6"])
def test_cells_are_run_again_and_again_and_in_a_new_kernel(tmp_path: Path, python: str) -> None:
    if not Path(python).exists():
        if os.environ.get("CI", "").lower() in {"1", "true"}:
            pytest.fail("CI has to run notebooks on ipykernel 6 too: make test", pytrace=False)
        pytest.skip("make test makes the environment with ipykernel 6")
    first = run(of(CELLS), tmp_path, python).cells
    assert text(first[0]).split()[-1].startswith("6.") is (python == OLDER)
    assert text(first[1]).strip() == "Order True first 3"
    assert text(first[2]).strip() == "Order True second 3"
    assert text(first[3]) == "'other steps'"
    assert "Running" in html(first[4])
    assert "waits" in html(first[4])
    lines = text(first[5]).splitlines()
    assert lines[0].startswith("watched Completed")  # one output, updated
    assert lines[-1] == "'other steps'"
    assert text(first[6]).splitlines()[-1] == "'Completed'"
    assert "Refused: not today" in text(first[7])
    assert len(OURS.findall(text(first[7]))) == 1
    assert "refuse" in html(first[8])
    assert html(first[9]).count("<tr>") >= 6
    second = run(of(AGAIN), tmp_path, python).cells
    assert "Running" in html(second[1])
    assert text(second[2]) == "'Ada second 5'"
    assert "second 3" in text(second[3])
