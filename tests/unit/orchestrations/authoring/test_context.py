"""What the context offers to coroutine orchestrators, call by call.

Held here: names, options and types of what is called; timers; events in order, with timeouts and defaults; `task_all`
and `task_any`; values that are the same on every replay; replay-safe logging.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from durable_ray.orchestrations.authoring.generators import RetryOptions
from durable_ray.orchestrations.authoring.retries import RetryPolicy, retry_policy_of
from durable_ray.orchestrations.engine import commands as cmd
from durable_ray.orchestrations.engine.replay import replay
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.values.failures import ActivityFailed
from tests.laws.world import JsonCodec
from tests.unit.orchestrations.driving import Driven, failure, raised

SECOND = 1_000_000
POLICY = RetryPolicy(1, 5)
DECORATED = SimpleNamespace(name="pay", options=SimpleNamespace(retry_policy=POLICY), output_hint=int)


# --- calling ---


def test_a_decorated_activity_brings_its_name_policy_and_type() -> None:
    class Typed(JsonCodec):
        def decode(self, payload: str | None, hint: object = None) -> object:
            return (super().decode(payload), hint)

    async def calls(ctx: Any) -> Any:
        own = ctx.call_activity(DECORATED, 1)
        given = ctx.call_activity(DECORATED, 1, retry_policy=RetryPolicy(9), result_type=str)
        return [str(result) for result in await asyncio.gather(own, given)]

    assert Driven(calls).commands == (
        cmd.ScheduleActivity(1, "pay", "1", POLICY),
        cmd.ScheduleActivity(2, "pay", "1", RetryPolicy(9)),
    )
    events = [ev.TurnStarted(1), ev.ExecutionStarted("o", "e")]
    outcome = replay("i", calls, Typed(), [], [*events, ev.ActivityCompleted(1, "5"), ev.ActivityCompleted(2, "6")])
    assert outcome.outcome == cmd.Returned("""["(5, <class 'int'>)", "(6, <class 'str'>)"]""")


def test_a_plain_function_or_nonsense_is_refused() -> None:
    def undecorated() -> None: ...

    async def calls(ctx: Any) -> list[str]:
        said = []
        for target in (undecorated, 5):
            with pytest.raises(ValueError, match="decorate") as caught:
                ctx.call_activity(target)
            said.append(str(caught.value))
        with pytest.raises(ValueError, match="@orchestrator"):
            ctx.call_sub_orchestrator(undecorated)
        return said

    plain, nonsense = Driven(calls).result
    assert plain == "undecorated is a plain function: decorate it with @activity, or pass the activity's name"
    assert "not by 5" in nonsense


def test_azures_spelling_of_retries() -> None:
    async def calls(ctx: Any) -> None:
        options = SimpleNamespace(first_retry_interval_in_milliseconds=1500, max_number_of_attempts=2)
        ctx.call_activity_with_retry("a", options, 1)
        await ctx.call_sub_orchestrator_with_retry("c", RetryOptions(1500, 2), 2, "id")

    policy = RetryPolicy(1.5, 2)
    first, second = Driven(calls).commands
    assert first == cmd.ScheduleActivity(1, "a", "1", policy)
    assert second == cmd.ScheduleChild(2, "c", "2", "id", retry=policy)
    with pytest.raises(TypeError, match="RetryOptions"):
        retry_policy_of(3)
    with pytest.raises(ValueError, match="greater than 0"):
        RetryOptions(0, 2)


def test_start_orchestration_does_not_wait_and_knows_the_id() -> None:
    async def starts(ctx: Any) -> list[str]:
        return [ctx.start_orchestration("audit", 1), ctx.start_orchestration("audit", instance_id="x", version="2")]

    run = Driven(starts)
    assert run.commands == (
        cmd.ScheduleChild(1, "audit", "1", detached=True),
        cmd.ScheduleChild(2, "audit", None, "x", "2", detached=True),
    )
    assert run.result == ["i:e1:0001", "x"]


# --- timers and events ---

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "moment", [NOON, NOON.replace(tzinfo=None), NOON.astimezone(timezone(timedelta(hours=8)))], ids=str
)
def test_a_timer_fires_at_a_moment_whatever_its_zone(moment: datetime) -> None:
    async def waits(ctx: Any) -> None:
        await ctx.create_timer(moment)

    assert Driven(waits).commands == (cmd.CreateTimer(1, round(NOON.timestamp() * SECOND)),)


def test_a_timer_can_be_cancelled_once() -> None:
    async def waits(ctx: Any) -> list[bool]:
        timer = ctx.create_timer(timedelta(seconds=9))
        await ctx.call_activity("a")
        return [timer.cancel(), timer.cancel(), timer.cancelled()]

    run = Driven(waits).complete(2)
    assert (run.commands, run.result) == ((cmd.CancelTimer(1),), [True, False, True])


def test_a_timer_takes_no_number() -> None:
    async def waits(ctx: Any) -> None:
        await ctx.create_timer(5)

    assert "datetime or a timedelta" in Driven(waits).error.message


def test_events_are_first_come_first_served_in_both_directions() -> None:
    async def waits(ctx: Any) -> list[Any]:
        first, second = ctx.wait_for_external_event("E"), ctx.wait_for_external_event("e")
        await ctx.call_activity("a")
        early = [await ctx.wait_for_external_event("L"), await ctx.wait_for_external_event("l")]
        return [await first, await second, *early]

    run = Driven(waits).feed(raised("l", 3), raised("e", 1), raised("L", 4), raised("E", 2))
    assert run.complete(1).result == [1, 2, 3, 4]


def test_an_event_may_be_awaited_for_a_while() -> None:
    async def waits(ctx: Any) -> list[Any]:
        default = await ctx.wait_for_external_event("E", 5, None)
        try:
            await ctx.wait_for_external_event("E", timedelta(seconds=5))
        except TimeoutError:
            return [default, await ctx.wait_for_external_event("E", 5)]
        return []

    run = Driven(waits)
    assert run.commands == (cmd.CreateTimer(1, run.at + 5 * SECOND),)
    run.fire(1, after=5).fire(2, after=5)
    assert run.event("e", "late").commands == (cmd.CancelTimer(3),)
    assert run.result == [None, "late"]


def test_a_cancelled_wait_leaves_the_event_to_the_next() -> None:
    async def waits(ctx: Any) -> Any:
        given_up = ctx.wait_for_external_event("E", 60)
        kept = ctx.wait_for_external_event("E")
        await ctx.call_activity("a")
        given_up.cancel()
        return await kept

    run = Driven(waits).complete(2)
    assert run.commands == (cmd.CancelTimer(1),)
    assert run.event("E", "mine").result == "mine"


def test_a_discarding_event_is_gone_unless_awaited() -> None:
    async def waits(ctx: Any) -> Any:
        await ctx.call_activity("a")
        return await ctx.wait_for_external_event("E")

    run = Driven(waits).event("E", "gone", discard=True).complete(1).event("E", "taken", discard=True)
    assert run.result == "taken"


def test_an_event_that_is_not_what_the_waiter_expects_raises_there() -> None:
    class Strict(JsonCodec):
        def decode(self, payload: str | None, hint: object = None) -> object:
            raise TypeError(f"no {hint}")

    async def waits(ctx: Any) -> str:
        try:
            await ctx.wait_for_external_event("E", data_type=int)
        except TypeError as error:
            return str(error)
        return ""

    events = [ev.TurnStarted(1), ev.ExecutionStarted("o", "e"), raised("E", "x")]
    assert replay("i", waits, Strict(), [], events).outcome == cmd.Returned("\"no <class 'int'>\"")


# --- several tasks ---


def test_task_all_waits_for_all_and_raises_the_first_failure_in_order() -> None:
    async def waits(ctx: Any) -> None:
        await ctx.task_all([ctx.call_activity(name) for name in "abc"])

    run = Driven(waits).fail(3, "third").fail(1, "first")
    assert run.decision.outcome is None
    run.complete(2)
    assert "first" in run.error.message
    assert run.decision.outcome.task_ids == (1, 3)  # type: ignore[union-attr]


def test_task_all_of_nothing_is_done_and_of_one_twice_is_twice() -> None:
    async def waits(ctx: Any) -> list[Any]:
        one = ctx.call_activity("a")
        return [await ctx.task_all([]), await ctx.task_all([one, one])]

    assert Driven(waits).complete(1, 4).result == [[], [4, 4]]


def test_cancelling_task_all_cancels_its_parts() -> None:
    async def waits(ctx: Any) -> str:
        parts = [ctx.call_activity("a"), ctx.call_activity("b")]
        try:
            async with asyncio.timeout(5):
                await ctx.task_all(parts)
        except TimeoutError:
            return "late"
        return ""

    run = Driven(waits).complete(1).fire(3)
    assert (run.commands, run.result) == ((cmd.CancelActivity(2),), "late")


def test_task_any_answers_the_winner_even_if_it_failed() -> None:
    async def waits(ctx: Any) -> list[Any]:
        one, two = ctx.call_activity("a"), ctx.call_activity("b")
        winner = await ctx.task_any([one, two])
        with pytest.raises(ActivityFailed):
            await winner
        again = await ctx.task_any([one, two])
        return [winner is two, again is two, await one]

    assert Driven(waits).fail(2).complete(1, 5).result == [True, True, 5]


def test_task_any_of_nothing_is_refused() -> None:
    async def waits(ctx: Any) -> None:
        await ctx.task_any([])

    assert "at least one" in Driven(waits).error.message


def test_task_all_takes_coroutines_too() -> None:
    async def step(ctx: Any, n: int) -> int:
        return int(await ctx.call_activity("a", n))

    async def waits(ctx: Any) -> list[int]:
        return list(await ctx.task_all([step(ctx, 1), step(ctx, 2)]))

    assert Driven(waits).complete(2, 20).complete(1, 10).result == [10, 20]


def test_failures_behind_an_exception_are_all_named() -> None:
    async def step(ctx: Any, n: int) -> None:
        try:
            await ctx.call_activity("a", n)
        except ActivityFailed:
            raise ValueError(n) from None

    async def waits(ctx: Any) -> None:
        async with asyncio.TaskGroup() as tasks:
            for n in range(3):
                tasks.create_task(step(ctx, n))

    run = Driven(waits).feed(ev.ActivityFailed(3, failure()))
    assert run.error.is_caused_by("ExceptionGroup")
    assert run.decision.outcome.task_ids == (3,)  # type: ignore[union-attr]


# --- surroundings ---


def test_who_and_when() -> None:
    async def asks(ctx: Any) -> list[Any]:
        moment = ctx.current_utc_datetime
        assert moment.tzinfo is UTC
        who = [ctx.instance_id, ctx.execution_id, ctx.parent_instance_id, ctx.name, ctx.version]
        return [*who, ctx.get_input(), round(moment.timestamp()), ctx.custom_status, ctx.will_continue_as_new]

    run = Driven(asks, [1], parent=ev.ParentAddress("p", "pe", 4), version="7")
    assert run.result == ["i", "e1", "p", "test", "7", [1], run.at // SECOND, None, False]


def test_ids_and_random_numbers_are_the_same_on_every_run_and_differ_within() -> None:
    async def draws(ctx: Any) -> list[Any]:
        return [
            ctx.new_uuid().hex,
            ctx.new_guid().hex,
            ctx.random.random(),
            ctx.random.random(),
            ctx.new_uuid().version,
        ]

    first = Driven(draws).result
    assert first == Driven(draws).result
    assert len(set(map(str, first))) == 5
    assert first[-1] == 5


def test_logging_happens_once(caplog: pytest.LogCaptureFixture) -> None:
    async def says(ctx: Any) -> None:
        ctx.logger.info("first %s", "word", extra={"more": 1})
        await ctx.call_activity("a")
        ctx.create_replay_safe_logger(logging.getLogger("mine")).warning("replaying: %s", ctx.is_replaying)

    history = [ev.TurnStarted(1), ev.ExecutionStarted("o", "e")]
    record = [ev.ActivityScheduled(1, "a")]
    with caplog.at_level(logging.DEBUG):
        replay("i", says, JsonCodec(), [], history)
        replay("i", says, JsonCodec(), history + record, [ev.TurnStarted(2), ev.ActivityCompleted(1)])
    assert [(r.name, r.getMessage()) for r in caplog.records] == [
        ("durable_ray.o", "first word"),
        ("mine", "replaying: False"),
    ]
    assert caplog.records[0].filename == "test_context.py"
    assert caplog.records[0].more == 1  # type: ignore[attr-defined]


def test_custom_status_can_be_read_back() -> None:
    async def reports(ctx: Any) -> Any:
        ctx.set_custom_status({"a": [1]})
        return ctx.custom_status

    assert Driven(reports).result == {"a": [1]}
