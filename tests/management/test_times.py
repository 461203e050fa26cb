"""Times through a whole hub: however long, infinite, or read off a clock that had jumped."""

from __future__ import annotations

import asyncio
import math
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import durable_ray as dr
from durable_ray.cli.inputs import duration
from durable_ray.testing import TestHub
from tests.management.shapes import echo, note

HUGE: list[Any] = [timedelta(days=4_000_000), timedelta.max, sys.maxsize, 10**400, math.inf]


@dr.orchestrator
async def patient(ctx: dr.OrchestrationContext, which: int) -> Any:
    """Waits for all that takes a time, and for an event."""
    value = [timedelta(days=4_000_000), timedelta.max, sys.maxsize, 10**400, math.inf][which]
    if isinstance(value, timedelta):
        ctx.create_timer(value)
        ctx.create_timer(ctx.current_utc_datetime + timedelta(days=300))
        value = value.total_seconds()
    sleeping = asyncio.ensure_future(asyncio.sleep(value if value < 1e300 else math.inf))
    policy = dr.RetryPolicy(value, 2, retry_timeout=value, max_retry_interval=value)
    found = await ctx.call_activity(note, 1, retry_policy=policy)
    said = await ctx.wait_for_external_event("go", timeout=value)
    sleeping.cancel()
    return [found, said]


@pytest.mark.parametrize("which", range(len(HUGE)))
def test_whatever_takes_a_time_takes_a_huge_one(hub: TestHub, client: dr.Client, which: int) -> None:
    value = HUGE[which]
    handle = client.start_new(patient, which, placement="shared")
    hub.settle()
    hub.advance(timedelta(days=100))
    hub.crash()
    status = handle.get_status(show_history=True)
    assert status is not None
    assert status.runtime_status == "Running"
    handle.raise_event("go", "on")
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    assert handle.wait_for_completion(seconds) == [1, "on"]
    assert client.wait_many([handle], seconds) == [[1, "on"]]
    handle.wait_for_start(seconds)


@pytest.mark.parametrize("delay", [timedelta.max, timedelta(days=4_000_000)])
def test_a_start_that_never_comes(hub: TestHub, client: dr.Client, delay: timedelta) -> None:
    handle = client.start_new(echo, "x", start_at=delay)
    hub.advance(timedelta(days=1000))
    assert handle.get_status().runtime_status == "Pending"  # type: ignore[union-attr]
    handle.terminate()


@pytest.mark.parametrize("settings", [{"retain_for": math.inf}, {"receipt_seconds": math.inf}, {"idle_timeout": 1e300}])
def test_settings_that_mean_never(settings: Any) -> None:
    with TestHub(settings=dr.HubSettings(partitions=1, **settings)) as hub:
        assert hub.client.start_new(echo, "x").wait_for_completion(30) == "x"


def test_a_timer_that_is_made_after_the_clock_was_mended_fires_on_time(hub: TestHub, client: dr.Client) -> None:
    @dr.orchestrator(name="ticks_after_a_jump")
    async def ticks(ctx: dr.OrchestrationContext) -> Any:
        while await ctx.wait_for_external_event("go") != "timers":
            pass
        began = ctx.current_utc_datetime
        await ctx.create_timer(timedelta(seconds=1))
        await ctx.create_timer(ctx.current_utc_datetime + timedelta(seconds=1))
        await asyncio.sleep(1)
        with pytest.raises(TimeoutError):
            await ctx.wait_for_external_event("never", timeout=1)
        return (ctx.current_utc_datetime - began).total_seconds()

    handle = client.start_new(ticks)
    hub.settle()
    clock = hub.virtual_clock
    assert clock is not None
    mended = clock.now()
    clock.set(mended + 30 * 86_400 * 1_000_000)
    handle.raise_event("go", "in the jump")
    hub.settle()
    clock.set(mended)
    handle.raise_event("go", "timers")
    for _ in range(4):
        hub.settle()
        hub.advance(timedelta(seconds=1))
    assert handle.wait_for_completion(20) == 4
    status = handle.get_status()
    assert status is not None
    assert status.last_updated_time < hub.now + timedelta(minutes=1)


def test_the_command_line_takes_a_huge_duration() -> None:
    assert duration("99999999999999999w").days > 2_900_000
    assert duration("1" * 400 + "d") == duration("99999999999999999w")


def test_a_timer_that_is_due_already_fires_although_time_stands_still() -> None:
    @dr.orchestrator(name="times.past")
    async def past(ctx: dr.OrchestrationContext) -> str:
        await ctx.create_timer(timedelta(days=-1))
        await ctx.create_timer(datetime.min.replace(tzinfo=UTC))
        await asyncio.sleep(0)
        return "fired"

    with TestHub(auto_advance=False) as hub:
        handle = hub.client.start_new(past)
        hub.settle()
        assert handle.get_status().output == "fired"
