"""One rule for times: clamped to the year 9999, infinity is never, what is no time is refused at the door."""

from __future__ import annotations

import asyncio
import math
import sys
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from durable_ray.orchestrations.authoring.options import ActivityOptions, OrchestratorOptions, options_from
from durable_ray.orchestrations.authoring.retries import RetryPolicy, retry_policy_of
from durable_ray.orchestrations.engine import commands as cmd
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.codec import decode_events, encode_events
from durable_ray.orchestrations.history.snapshot import Snapshot, fold
from durable_ray.orchestrations.history.transition import receive, settle
from durable_ray.orchestrations.values.failures import FailureDetails
from durable_ray.orchestrations.values.times import (
    EARLIEST,
    LATEST,
    SECOND,
    after,
    duration,
    seconds,
    to_datetime,
    turn_time,
)
from tests.laws.world import Anything
from tests.unit.orchestrations.driving import Driven

HUGE: list[Any] = [timedelta(days=4_000_000), timedelta.max, sys.maxsize, 10**400, 1e300, math.inf]
WRONG = FailureDetails("E", "no")


@pytest.mark.parametrize("value", HUGE, ids=lambda value: repr(value)[:30])
def test_what_is_too_long_is_as_long_as_can_be(value: Any) -> None:
    assert duration(value, "it") == LATEST
    assert after(5, duration(value, "it")) == LATEST
    assert seconds(value, "it") is None
    assert to_datetime(LATEST).year == 9999
    policy = RetryPolicy(value, 3, 2, value, value)
    assert policy.next_attempt_at(1, 0, WRONG, 0) == LATEST
    events = [ev.ActivityScheduled(1, "a", retry=policy)]
    assert decode_events(encode_events(events)) == events
    assert options_from(ActivityOptions, {"name": "a", "timeout": value}).timeout == LATEST
    assert options_from(OrchestratorOptions, {"name": "a", "retain_for": value}).retain_for == LATEST


@pytest.mark.parametrize("value", [timedelta.min, -math.inf, -sys.maxsize], ids=repr)
def test_what_is_too_early_is_as_early_as_can_be(value: Any) -> None:
    assert duration(value, "it") == EARLIEST
    with pytest.raises(ValueError, match="it must not be negative"):
        duration(value, "it", least=0)


@pytest.mark.parametrize("value", [math.nan, "5", None, True, [1]], ids=repr)
def test_what_is_no_time_is_refused_at_the_door(value: Any) -> None:
    wrong = ValueError if isinstance(value, float) else TypeError
    doors: list[Any] = [
        lambda: duration(value, "it"),
        lambda: RetryPolicy(value),
        lambda: options_from(OrchestratorOptions, {"name": "a", "idle_timeout": value if value is not None else "x"}),
    ]
    for raw_hub in doors:
        with pytest.raises(wrong, match="is a timedelta or a number of seconds"):
            raw_hub()


@pytest.mark.parametrize("number", [math.nan, 0.5, -math.inf])
def test_a_policys_numbers_are_numbers(number: float) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        RetryPolicy(1, 3, backoff_coefficient=number)
    with pytest.raises(ValueError, match="at least 1"):
        RetryPolicy(1, number)


def test_attempts_without_end_and_pauses_that_grow_without_end() -> None:
    policy = RetryPolicy(1, math.inf, math.inf, max_retry_interval=60)
    assert policy.next_attempt_at(10**9, 0, WRONG, 0) == 60 * SECOND
    assert RetryPolicy(0, 9, math.inf).next_attempt_at(5, 0, WRONG, 7) == 7
    assert RetryPolicy(1, 10**30, 2).next_attempt_at(10**6, 0, WRONG, 0) == LATEST
    assert retry_policy_of(
        SimpleNamespace(first_retry_interval_in_milliseconds=math.inf, max_number_of_attempts=2)
    ) == RetryPolicy(math.inf, 2)


@pytest.mark.parametrize("value", HUGE, ids=lambda value: repr(value)[:30])
def test_every_wait_of_an_orchestrator_takes_it(value: Any) -> None:
    in_seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(value, int) and value > 10**300:
        in_seconds = math.inf  # asyncio itself adds it to a float

    async def waits(ctx: Any) -> str:
        timers = [ctx.create_timer(value)] if isinstance(value, timedelta) else []
        sleeping = asyncio.create_task(asyncio.sleep(in_seconds))
        event = ctx.wait_for_external_event("go", timeout=value)
        async with asyncio.timeout(in_seconds):
            found = await event
        assert not sleeping.done()
        assert not any(timer.done() for timer in timers)
        return str(found)

    run = Driven(waits)
    made = [command.fire_at for command in run.decision.commands if isinstance(command, cmd.CreateTimer)]
    assert set(made) <= {LATEST}
    assert fold("i", [ev.TimerCreated(1, LATEST)]).next_due() is None, "never is not a time to wake at"
    run.event("go", "on")
    assert run.result == "on"


def test_a_moment_outside_of_all_times_is_a_moment() -> None:
    async def waits(ctx: Any) -> None:
        ctx.create_timer(datetime.max.replace(tzinfo=UTC))
        ctx.create_timer(datetime.min)
        await asyncio.sleep(math.nan)

    run = Driven(waits)
    assert [command.fire_at for command in run.decision.commands if isinstance(command, cmd.CreateTimer)] == [
        LATEST,
        EARLIEST,
    ]
    assert "a number of seconds" in str(run.decision.outcome)


NOW = 1_700_000_000 * SECOND
MONTH = 30 * 86_400 * SECOND


def test_a_timer_that_is_made_after_a_clock_was_mended_is_due_on_time() -> None:
    snapshot = Snapshot("i")
    turn = receive(snapshot, [ev.Message("s", ev.ExecutionStarted("n", "x"))], NOW + MONTH, Anything())
    turn = receive(snapshot, [ev.Message("e", ev.EventRaised("go"))], NOW, Anything())
    assert turn.events[0] == ev.TurnStarted(NOW)
    settle(snapshot, cmd.Decision((cmd.CreateTimer(1, after(turn.at, SECOND)),)), turn, Anything())
    assert snapshot.next_due() == NOW + SECOND
    assert ev.TimerFired(1) in receive(snapshot, [], NOW + 2 * SECOND, Anything()).events


def test_time_stands_still_where_clocks_of_machines_differ_a_little() -> None:
    assert turn_time(NOW + SECOND // 2, NOW) == NOW + SECOND // 2
    assert turn_time(NOW, NOW + 1) == NOW + 1
    assert turn_time(NOW + MONTH, NOW) == NOW


@pytest.mark.parametrize("coefficient", [10**400, 1e300, math.inf])
def test_waits_that_grow_without_measure_are_endless(coefficient: float) -> None:
    policy = RetryPolicy(first_retry_interval=1, backoff_coefficient=coefficient)
    assert policy._delay(2) == LATEST
