"""The plugin in a project of its own: its fixture, its marker, what it costs those who do not use it."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]

PROJECT = """
import durable_ray as dr
import pytest
from datetime import timedelta
from durable_ray.testing import history_lines

def test_one(durable_hub):
    @dr.activity
    def greet(name: str) -> str:
        return f"Hello {name}!"

    @dr.orchestrator
    async def reminder(ctx, days: int) -> str:
        await ctx.create_timer(timedelta(days=days))
        return await ctx.call_activity(greet, "Ada")

    greeted = []
    durable_hub.fake(greet, greeted.append)
    handle = durable_hub.client.start_new(reminder, 30)
    durable_hub.settle()
    assert greeted == ["Ada"]
    assert handle.get_status().runtime_status == "Completed"

@pytest.mark.durable_hub(auto_advance=False)
def test_two(durable_hub):
    @dr.orchestrator  # of the same name as in the other test
    async def reminder(ctx, days: int) -> str:
        await ctx.create_timer(timedelta(days=days))
        return "now"

    handle = durable_hub.client.start_new(reminder, 30)
    durable_hub.settle()
    assert history_lines(handle) == ["started reminder(30)", "timer of 30 days, 0:00:00"]
    durable_hub.advance(timedelta(days=30))
    assert handle.wait_for_completion(5) == "now"

def test_three(durable_hub):
    @dr.orchestrator
    async def three(ctx) -> str:
        return "as it is"

    handle = durable_hub.client.start_new(three)
    durable_hub.settle()
    assert history_lines(handle) == ["started three()", "completed: 'as it was'"]

@pytest.mark.durable_hub("sqlite://")
def test_four(durable_hub):
    pass
"""


def test_the_fixture_serves_a_project_of_its_own(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PROJECT)
    result = pytester.runpytest_inprocess("--strict-markers", "-vv", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=2, failed=1, errors=1)
    result.stdout.fnmatch_lines(["*- *completed: 'as it was'*", "*takes arguments by name*"])


def test_the_plugin_imports_neither_ray_nor_the_rest_of_the_product() -> None:
    script = (
        "import sys, pytest\nold = set(sys.modules)\nimport durable_ray.pytest_plugin\n"
        "print(sorted(m for m in set(sys.modules) - old if m.split('.')[0] in {'ray', 'msgspec', 'pydantic', 'asyncio'}"
        " or m.startswith('durable_ray.actors')))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
