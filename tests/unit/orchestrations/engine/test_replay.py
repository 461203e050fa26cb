"""What `Execution.advance` makes of events: commands, outcomes, and complaints.

Held here: commands and their numbers; cancellation and elision; suspension; what comes too late; continue-as-new; the
sentences of NonDeterminismError. The laws over all shapes are in tests/laws.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from durable_ray.orchestrations.engine import commands as cmd
from durable_ray.orchestrations.engine.replay import Execution, replay
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.values.failures import NonDeterminismError
from tests.laws.world import JsonCodec
from tests.unit.orchestrations.driving import Driven, failure, raised

STARTED = [ev.TurnStarted(1), ev.ExecutionStarted("o", "e")]


async def two_calls(ctx: Any) -> list[Any]:
    return [await ctx.call_activity("a"), await ctx.call_activity("b")]


def test_commands_are_numbered_in_the_order_they_are_asked_for() -> None:
    async def asks(ctx: Any) -> None:
        first = ctx.call_activity("a", {"x": 1})
        ctx.send_event("other", "Go", 2)
        await asyncio.gather(first, ctx.call_sub_orchestrator("child", instance_id="c"))

    assert Driven(asks).commands == (
        cmd.ScheduleActivity(1, "a", '{"x": 1}'),
        cmd.SendEvent(2, "other", "Go", "2"),
        cmd.ScheduleChild(3, "child", None, "c"),
    )


def test_the_code_starts_once_both_start_and_time_are_known() -> None:
    execution = Execution("i", two_calls, JsonCodec())
    assert execution.advance([ev.ExecutionStarted("o", "e")]) == cmd.Decision()
    assert execution.advance([ev.TurnStarted(1)]).commands == (cmd.ScheduleActivity(1, "a"),)
    execution.close()


@pytest.mark.parametrize("value", [None, 0, "", [], {"a": None}, "text", 1.5])
def test_a_returned_value_is_the_outcome(value: Any) -> None:
    def plain(ctx: Any) -> Any:
        return value

    assert Driven(plain).result == value


def test_a_value_that_cannot_be_said_fails_the_orchestration() -> None:
    async def unsayable(ctx: Any) -> object:
        return object()

    assert "not JSON serializable" in Driven(unsayable).error.message


def test_an_input_that_cannot_be_said_raises_where_it_is_used_and_replays() -> None:
    async def careful(ctx: Any) -> str:
        try:
            await ctx.call_activity("a", object())
        except TypeError:
            return str(await ctx.call_activity("a", "fallback"))
        return "?"

    run = Driven(careful)
    assert run.commands == (cmd.ScheduleActivity(2, "a", '"fallback"'),)
    history = [*STARTED, ev.ActivityScheduled(2, "a", '"fallback"'), ev.TurnStarted(2)]
    outcome = replay("i", careful, JsonCodec(), history, [ev.ActivityCompleted(2, '"ok"')]).outcome
    assert outcome == cmd.Returned('"ok"')


def test_a_failed_activity_raises_and_the_outcome_names_it() -> None:
    run = Driven(two_calls).fail(1, "broken")
    assert run.error.message == "Activity 'a' (#1) failed: ValueError: broken"
    assert run.error.is_caused_by("ValueError")
    assert run.decision.outcome.task_ids == (1,)  # type: ignore[union-attr]


def test_a_timer_created_and_cancelled_in_one_turn_is_never_asked_for() -> None:
    async def changes_its_mind(ctx: Any) -> None:
        async with asyncio.timeout(10):
            await asyncio.sleep(0)
        await ctx.call_activity("a")

    assert Driven(changes_its_mind).commands == (cmd.ScheduleActivity(2, "a"),)


def test_an_activity_cancelled_in_a_later_turn_is_stopped_and_its_result_ignored() -> None:
    async def cancels(ctx: Any) -> str:
        task = ctx.call_activity("slow")
        await ctx.call_activity("a")
        task.cancel()
        await ctx.call_activity("b")
        return "done"

    run = Driven(cancels).complete(2)
    assert run.commands == (cmd.CancelActivity(1), cmd.ScheduleActivity(3, "b"))
    assert run.complete(1, "late").commands == ()
    assert run.complete(3).result == "done"


def test_cancelling_a_child_only_stops_the_waiting() -> None:
    async def cancels(ctx: Any) -> None:
        child = ctx.call_sub_orchestrator("child")
        await ctx.call_activity("a")
        child.cancel()
        await ctx.call_activity("b")

    assert Driven(cancels).complete(2).commands == (cmd.ScheduleActivity(3, "b"),)


def test_children_answer_and_fail() -> None:
    async def parent(ctx: Any) -> list[str]:
        one, two = ctx.call_sub_orchestrator("child", 1), ctx.call_sub_orchestrator("child", 2)
        value = await one
        try:
            await two
        except Exception as error:
            return [value, str(error)]
        return []

    run = Driven(parent).feed(ev.ChildCompleted(1, '"yes"'), ev.ChildFailed(2, failure("it")))
    assert run.result == ["yes", "Sub-orchestration 'child' (#2) failed: ValueError: it"]


# --- suspension ---


def test_while_suspended_nothing_is_delivered_and_then_all_in_order() -> None:
    seen: list[Any] = []

    async def listener(ctx: Any) -> None:
        while True:
            seen.append((await ctx.wait_for_external_event("E"), ctx.current_utc_datetime))
            await ctx.call_activity("a")

    run = Driven(listener).feed(raised("E", 0), ev.ExecutionSuspended(), raised("e", 1))
    assert run.commands == (cmd.ScheduleActivity(1, "a"),)
    assert run.feed(ev.ActivityCompleted(1)).commands == ()
    assert len(seen) == 1
    run.feed(ev.ExecutionResumed())
    assert run.commands == (cmd.ScheduleActivity(2, "a"),)
    assert [value for value, _ in seen] == [0, 1]
    assert (seen[1][1] - seen[0][1]).total_seconds() == 2, "the time is that of the resumption"


def test_suspended_before_it_began_it_begins_when_resumed() -> None:
    run = Driven(two_calls, None, ev.ExecutionSuspended())
    assert run.commands == ()
    assert run.feed(raised("x")).commands == ()
    assert run.feed(ev.ExecutionResumed()).commands == (cmd.ScheduleActivity(1, "a"),)


# --- what comes too late ---


def test_what_arrives_after_the_end_in_the_same_turn_is_ignored() -> None:
    run = Driven(two_calls).complete(1, "x")
    run.feed(ev.ActivityCompleted(2, '"y"'), raised("E"), ev.ActivityCompleted(1, '"again"'))
    assert run.result == ["x", "y"]


def test_a_completion_delivered_twice_counts_once() -> None:
    run = Driven(two_calls).complete(1, "x")
    assert run.complete(1, "again").commands == ()
    assert run.complete(2, "y").result == ["x", "y"]


def test_code_after_the_end_of_a_turn_asks_for_nothing() -> None:
    async def leaves_tasks(ctx: Any) -> str:
        async def later() -> None:
            try:
                await ctx.call_activity("a")
            finally:
                await ctx.call_activity("never")

        task = asyncio.create_task(later())
        await asyncio.sleep(0)
        return task.get_name()

    run = Driven(leaves_tasks)
    assert run.commands == (cmd.ScheduleActivity(1, "a"),)
    assert run.result


# --- continue as new ---


def test_continue_as_new_takes_unconsumed_events_along_in_order() -> None:
    async def eternal(ctx: Any, count: int) -> None:
        await ctx.wait_for_external_event("go")
        ctx.continue_as_new(count + 1)

    run = Driven(eternal, 1, raised("B", 1, message_id="m1"))
    run.feed(raised("a", 2, message_id="m2"), raised("GO"), raised("b", 3, message_id="m3"))
    assert run.decision.outcome == cmd.Continued("2", (("B", "1", "m1"), ("a", "2", "m2"), ("b", "3", "m3")))


def test_an_event_that_comes_after_continue_as_new_is_not_given_to_who_waited_before() -> None:
    async def eternal(ctx: Any) -> None:
        waiting = [ctx.wait_for_external_event("go"), ctx.wait_for_external_event("go")]
        await waiting[0]
        ctx.continue_as_new(1)

    run = Driven(eternal).feed(raised("go", 1), raised("go", 2))
    assert run.decision.outcome == cmd.Continued("1", (("go", "2", ""),))


def test_continue_as_new_without_events() -> None:
    async def eternal(ctx: Any) -> None:
        await ctx.wait_for_external_event("go")
        ctx.continue_as_new(None, save_events=False)

    run = Driven(eternal).feed(raised("other"), raised("go"))
    assert run.decision.outcome == cmd.Continued(None, (), save_events=False)


@pytest.mark.parametrize("swallow", [False, True])
def test_what_follows_continue_as_new_does_not_count(swallow: bool) -> None:
    async def eternal(ctx: Any) -> str:
        try:
            ctx.continue_as_new(1)
        except BaseException:
            if not swallow:
                raise
        finally:
            ctx.set_custom_status("no")
            ctx.call_activity("no")
            assert ctx.will_continue_as_new
        ctx.send_event("no", "no")
        await ctx.call_activity("no")
        return "no"

    assert Driven(eternal).decision == cmd.Decision((), cmd.Continued("1"))


def test_a_child_task_may_continue_as_new() -> None:
    async def eternal(ctx: Any) -> None:
        async def child() -> None:
            ctx.continue_as_new("from child")

        await asyncio.gather(child(), ctx.call_activity("a"))

    assert Driven(eternal).decision.outcome == cmd.Continued('"from child"')


# --- the shape of orchestrators ---


@dataclass
class Definition:
    fn: Any
    name: str = "named"


def test_an_orchestrator_may_be_an_object_with_fn() -> None:
    async def typed(ctx: Any, value: int = 7) -> int:
        return value

    assert Driven(Definition(typed)).result == 7
    assert Driven(Definition(typed), 8).result == 8


def test_an_orchestrator_without_code_fails_with_a_sentence() -> None:
    assert "has no code" in Driven(Definition(None)).error.message


def test_custom_status_is_what_was_last_set() -> None:
    async def reporting(ctx: Any) -> None:
        ctx.set_custom_status({"at": 1})
        await ctx.call_activity("a")
        ctx.set_custom_status(None)
        await ctx.call_activity("b")

    run = Driven(reporting)
    assert run.decision.custom_status == '{"at": 1}'
    assert run.complete(1).decision.custom_status == "null"
    assert Driven(two_calls).decision.custom_status is None


def test_a_closed_execution_cannot_go_on() -> None:
    run = Driven(two_calls)
    run.execution.close()
    with pytest.raises(RuntimeError, match="replay it"):
        run.complete(1)


def test_an_unknown_event_is_refused() -> None:
    with pytest.raises(TypeError, match="TerminateRequested"):
        Driven(two_calls).feed(ev.TerminateRequested())


# --- non-determinism, in sentences ---

SAYS = {
    "another name": (
        [*STARTED, ev.ActivityScheduled(1, "z")],
        "event #3 that the code called activity 'z' (#1), but the code running now called activity 'a' (#1) there",
    ),
    "another kind": (
        [*STARTED, ev.TimerCreated(1, 5)],
        "event #3 that the code created a timer (#1), but the code running now called activity 'a' (#1) there",
    ),
    "not asked for": (
        [*STARTED, ev.ActivityScheduled(1, "a"), ev.ChildScheduled(2, "c", "x")],
        "event #4 that the code called sub-orchestration 'c' as 'x' (#2), but the code running now did not.",
    ),
    "something else instead": (
        [*STARTED, ev.EventSent(2, "x", "E")],
        "sent event 'E' to 'x' (#2), but the code running now did not. It called activity 'a' (#1) instead.",
    ),
    "not recorded": (
        [*STARTED, ev.TurnStarted(2), raised("x")],
        "the code running now called activity 'a' (#1) before event #3 of history, where history records nothing",
    ),
    "a result nobody asked for": (
        [*STARTED, ev.ActivityScheduled(1, "a"), ev.TurnStarted(2), ev.ActivityCompleted(9)],
        "brings at event #5 the result of #9, which the code running now never asked for",
    ),
    "a cancellation": (
        [*STARTED, ev.ActivityScheduled(1, "a"), ev.ActivityCanceled(1)],
        "event #4 that the code cancelled the activity (#1), but the code running now did not",
    ),
    "ended too early": (
        [*STARTED, ev.ActivityScheduled(1, "a"), ev.ExecutionCompleted()],
        "event #4 that the execution completed, but the code running now still waits",
    ),
    "continued": (
        [*STARTED, ev.ActivityScheduled(1, "a"), ev.ContinuedAsNew()],
        "that the execution continued as new, but the code running now still waits",
    ),
}


@pytest.mark.parametrize(("history", "sentence"), SAYS.values(), ids=SAYS)
def test_non_determinism_is_a_sentence(history: list[Any], sentence: str) -> None:
    with pytest.raises(NonDeterminismError) as caught:
        replay("i", two_calls, JsonCodec(), history)
    assert sentence in str(caught.value)
    assert "Usual causes" in str(caught.value)
    assert "rewind" in str(caught.value)


def test_history_that_goes_on_after_the_end_is_noticed() -> None:
    def brief(ctx: Any) -> int:
        return 1

    with pytest.raises(NonDeterminismError, match="event #3, but the code running now has already ended"):
        replay("i", brief, JsonCodec(), [*STARTED, ev.TurnStarted(2), raised("x")])


def test_a_chosen_child_id_must_agree_and_an_automatic_one_need_not() -> None:
    async def chooses(ctx: Any) -> None:
        await ctx.call_sub_orchestrator("c", instance_id="mine")

    async def automatic(ctx: Any) -> None:
        await ctx.call_sub_orchestrator("c")

    history = [*STARTED, ev.ChildScheduled(1, "c", "other")]
    replay("i", automatic, JsonCodec(), history)
    with pytest.raises(NonDeterminismError, match="'mine'"):
        replay("i", chooses, JsonCodec(), history)


def test_inputs_are_not_compared() -> None:
    async def calls(ctx: Any) -> None:
        await ctx.call_activity("a", {"new": 1, "field": 2})

    assert replay("i", calls, JsonCodec(), [*STARTED, ev.ActivityScheduled(1, "a", "{}")]).commands == ()


def test_what_history_does_not_have_at_its_very_end_is_new() -> None:
    assert replay("i", two_calls, JsonCodec(), STARTED).commands == (cmd.ScheduleActivity(1, "a"),)
