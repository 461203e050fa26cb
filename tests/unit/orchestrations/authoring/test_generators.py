"""Generator orchestrators: code for Azure's Python SDK, taken from its documentation, runs unchanged.

Held here: what may be yielded and what comes back; task properties; failures thrown in; continue-as-new; sentences for
what cannot be yielded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from durable_ray.actors.code.packing import PYTHON_PAYLOADS
from durable_ray.orchestrations.engine import commands as cmd
from durable_ray.orchestrations.values.failures import ActivityFailed, TaskCanceled
from tests.unit.orchestrations.driving import Driven, raised

SECOND = 1_000_000


def test_function_chaining() -> None:
    def orchestrator_function(context: Any) -> Any:
        x = yield context.call_activity("F1", None)
        y = yield context.call_activity("F2", x)
        result = yield context.call_activity("F3", y)
        return result

    run = Driven(orchestrator_function).complete(1, "x").complete(2, "y")
    assert run.commands == (cmd.ScheduleActivity(3, "F3", '"y"'),)
    assert run.complete(3, "z").result == "z"


def test_fan_out_fan_in() -> None:
    def orchestrator_function(context: Any) -> Any:
        work_batch = yield context.call_activity("F1", None)
        parallel_tasks = [context.call_activity("F2", b) for b in work_batch]
        outputs = yield context.task_all(parallel_tasks)
        total = sum(outputs)
        yield context.call_activity("F3", total)

    run = Driven(orchestrator_function).complete(1, [1, 2]).complete(3, 20).complete(2, 10)
    assert run.commands == (cmd.ScheduleActivity(4, "F3", "30"),)
    assert run.complete(4).result is None


def test_human_interaction_both_ways() -> None:
    def orchestrator_function(context: Any) -> Any:
        yield context.call_activity("RequestApproval", None)
        due_time = context.current_utc_datetime + timedelta(hours=72)
        durable_timeout_task = context.create_timer(due_time)
        approval_event_task = context.wait_for_external_event("ApprovalEvent")
        winning_task = yield context.task_any([approval_event_task, durable_timeout_task])
        if approval_event_task == winning_task:
            durable_timeout_task.cancel()
            yield context.call_activity("ProcessApproval", approval_event_task.result)
        else:
            yield context.call_activity("Escalate", None)

    run = Driven(orchestrator_function).complete(1).event("approvalevent", "yes")
    assert run.commands == (cmd.CancelTimer(2), cmd.ScheduleActivity(3, "ProcessApproval", '"yes"'))
    run = Driven(orchestrator_function).complete(1).fire(2, after=72 * 3600)
    assert run.commands == (cmd.ScheduleActivity(3, "Escalate"),)


def test_monitor() -> None:
    def orchestrator_function(context: Any) -> Any:
        job = context.get_input()
        expiry_time = context.current_utc_datetime + timedelta(seconds=job["seconds"])
        while context.current_utc_datetime < expiry_time:
            job_status = yield context.call_activity("GetJobStatus", job["id"])
            if job_status == "Completed":
                yield context.call_activity("SendAlert", job["id"])
                break
            yield context.create_timer(context.current_utc_datetime + timedelta(seconds=30))
        return job_status

    run = Driven(orchestrator_function, {"id": 1, "seconds": 90}).complete(1, "Running")
    assert run.commands == (cmd.CreateTimer(2, run.at + 30 * SECOND),)
    assert run.fire(2, after=30).complete(3, "Completed").complete(4).result == "Completed"


def test_a_counter_that_continues_as_new() -> None:
    def orchestrator_function(context: Any) -> Any:
        value = context.get_input()
        operation = yield context.wait_for_external_event("operation")
        if operation == "end":
            return value
        context.continue_as_new(value + 1)

    run = Driven(orchestrator_function, 4).feed(raised("operation", "incr"), raised("operation", "end"))
    assert run.decision.outcome == cmd.Continued("5", (("operation", '"end"', ""),))


def test_failures_are_thrown_in_and_may_be_caught() -> None:
    def orchestrator_function(context: Any, value: int) -> Any:
        try:
            yield context.call_activity("Risky", value)
        except ActivityFailed as error:
            yield context.call_activity("Compensate", str(error))
            return "compensated"

    run = Driven(orchestrator_function, 3).fail(1, "boom")
    assert run.commands == (
        cmd.ScheduleActivity(2, "Compensate", "\"Activity 'Risky' (#1) failed: ValueError: boom\""),
    )
    assert run.complete(2).result == "compensated"


def test_what_tasks_say_of_themselves() -> None:
    def orchestrator_function(context: Any) -> Any:
        good, bad, slow = (context.call_activity(name) for name in ("good", "bad", "slow"))
        gone = context.create_timer(timedelta(seconds=5))
        before = [good.is_completed, good.result, good.state]
        yield good
        with pytest.raises(ActivityFailed):
            yield bad
        assert gone.cancel()
        with pytest.raises(TaskCanceled):
            yield gone
        with pytest.raises(ValueError, match="yield it first"):
            slow.get_result()
        with pytest.raises(TaskCanceled):
            gone.get_result()
        with pytest.raises(ActivityFailed):
            bad.get_result()
        assert isinstance(bad.result, ActivityFailed)
        assert bad.get_exception() is bad.result
        return [
            before,
            [good.is_completed, good.is_complete, good.is_faulted, good.result, good.get_result(), good.state],
            [bad.is_completed, bad.is_faulted, bad.is_failed, bad.state],
            [slow.is_completed, slow.is_faulted, slow.state],
            [gone.is_cancelled, gone.result, gone.state, gone.is_faulted],
        ]

    assert Driven(orchestrator_function).complete(1, 7).fail(2).result == [
        [False, None, "RUNNING"],
        [True, True, False, 7, 7, "SUCCEEDED"],
        [True, True, True, "FAILED"],
        [False, False, "RUNNING"],
        [True, None, "FAILED", False],
    ]


def test_a_task_may_be_yielded_again_and_losers_too() -> None:
    def orchestrator_function(context: Any) -> Any:
        tasks = [context.call_activity(name) for name in "abc"]
        first = yield context.task_any(tasks)
        rest = yield context.task_all([task for task in tasks if task != first])
        again = yield first
        return [first is tasks[1], first.result, again, rest]

    assert Driven(orchestrator_function).complete(2, "b").complete(1, "a").complete(3, "c").result == [
        True,
        "b",
        "b",
        ["a", "c"],
    ]


def test_tasks_of_tasks() -> None:
    def orchestrator_function(context: Any) -> Any:
        both = context.task_all([context.call_activity("a"), context.call_activity("b")])
        timer = context.create_timer(timedelta(seconds=9))
        winner = yield context.task_any([timer, both])
        return [winner is both, winner.result]

    assert Driven(orchestrator_function).complete(1, 1).complete(2, 2).result == [True, [1, 2]]


@pytest.mark.parametrize(
    ("yielded", "sentence"),
    [(5, "not int: 5"), (None, "not NoneType"), ([1], "context.task_all"), ((), "context.task_all")],
)
def test_what_cannot_be_yielded_is_a_type_error_where_it_was_yielded(yielded: Any, sentence: str) -> None:
    def orchestrator_function(context: Any) -> Any:
        try:
            yield yielded
        except TypeError as error:
            return str(error)

    assert sentence in Driven(orchestrator_function).result


def test_a_function_without_yield_returns_its_value_directly() -> None:
    def orchestrator_function(context: Any) -> str:
        return f"hello {context.get_input()}"

    assert Driven(orchestrator_function, "x").result == "hello x"


def test_a_wrapped_generator_function_is_one_too() -> None:
    def logged(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any) -> Any:
            return function(*args)

        return wrapper

    @logged
    def orchestrator_function(context: Any) -> Any:
        task = context.call_activity("a")
        yield task
        return task.result

    assert Driven(orchestrator_function).complete(1, 4).result == 4


def test_yield_from_helps_to_divide_code() -> None:
    def helper(context: Any, n: int) -> Any:
        return (yield context.call_activity("a", n)) + 1

    def orchestrator_function(context: Any) -> Any:
        first = yield from helper(context, 1)
        return (yield from helper(context, first))

    assert Driven(orchestrator_function).complete(1, 10).complete(2, 20).result == 21


def test_nested_tasks_answer_what_they_answer_alone() -> None:
    def nests(context: Any) -> Any:
        calls = [context.call_activity("a", n) for n in range(6)]
        either = context.task_any(calls[:2])
        both = context.task_all(calls[2:4])
        first, pair, plain = yield context.task_all([either, both, calls[4]])
        assert first is calls[1]
        outer = yield context.task_any([context.task_any([calls[0], calls[1]]), calls[5]])
        assert outer.result is calls[1]
        deep = yield context.task_all([context.task_all([context.task_any([calls[1]])])])
        assert deep[0][0] is calls[1]
        done = yield context.task_any([both])
        return [first.result, pair, plain, done.result, either.result.result]

    run = Driven(nests)
    for number in (2, 3, 4, 5):
        run.complete(number, number * 10)
    assert run.result == [20, [30, 40], 50, [30, 40], 20]


def test_a_decorator_that_hides_the_generator_changes_nothing() -> None:
    def plain(fn: Any) -> Any:
        def inner(context: Any) -> Any:
            return fn(context)

        return inner

    @plain
    def hidden(context: Any) -> Any:
        calls = [context.call_activity("a", n) for n in range(2)]
        winner = yield context.task_any(calls)
        results = yield context.task_all(calls)
        return [winner == calls[1], winner.result, results]

    assert Driven(hidden).complete(2, "x").complete(1, "y").result == [True, "x", ["y", "x"]]


def helper(context: Any) -> Any:
    return (yield context.call_activity("a"))


async def async_helper(context: Any) -> Any:
    return await context.call_activity("a")


def forgets_in_the_result(context: Any) -> Any:
    yield context.call_activity("first")
    return helper(context)


def forgets_in_an_input(context: Any) -> Any:
    yield context.call_activity("first")
    yield context.call_activity("b", helper(context))


def forgets_in_a_list(context: Any) -> Any:
    yield context.call_activity("first")
    return {"found": [helper(context)]}


def forgets_from(context: Any) -> Any:
    yield context.call_activity("first")
    yield helper(context)


def forgets_in_task_all(context: Any) -> Any:
    yield context.call_activity("first")
    yield context.task_all([helper(context)])


def forgets_in_task_any(context: Any) -> Any:
    yield context.call_activity("first")
    yield context.task_any([helper(context)])


FORGETS = [
    forgets_in_the_result,
    forgets_in_an_input,
    forgets_in_a_list,
    forgets_from,
    forgets_in_task_all,
    forgets_in_task_any,
]


@pytest.mark.parametrize("forgets", FORGETS)
def test_a_forgotten_yield_from_is_said(forgets: Any) -> None:
    run = Driven(forgets, codec=PYTHON_PAYLOADS).complete(1)
    assert "the generator helper(...) was called and not run: write `yield from helper(...)`" in run.error.message
    assert run.commands == () or forgets is forgets_in_a_list, "its code must not run by being looked at"


@pytest.mark.parametrize("value", ["coroutine", "task"])
def test_a_forgotten_await_is_said(value: str) -> None:
    async def forgets(ctx: Any) -> Any:
        await ctx.call_activity("first")
        return helping if value == "coroutine" else ctx.call_activity("a")

    helping = async_helper(None)
    message = Driven(forgets, codec=PYTHON_PAYLOADS).complete(1).error.message
    helping.close()
    assert "await" in message
    assert "pickle" not in message


def test_a_forgotten_yield_is_said() -> None:
    def forgets(context: Any) -> Any:
        yield context.call_activity("first")
        return context.call_activity("a")

    assert "was not waited for" in Driven(forgets, codec=PYTHON_PAYLOADS).complete(1).error.message
