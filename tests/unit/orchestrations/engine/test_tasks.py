"""Tasks that stand alone: which failures are behind an exception, and how sets of tasks iterate."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from durable_ray.orchestrations.engine.tasks import DurableTask, failed_task_ids, remember_siblings
from durable_ray.orchestrations.values.failures import FailureDetails, TaskFailed
from tests.unit.orchestrations.driving import Driven


def failed(number: int) -> TaskFailed:
    return TaskFailed("no", FailureDetails("E", "no"), number)


def chained(error: Exception, behind: Exception, *, hidden: bool) -> Exception:
    try:
        try:
            raise behind
        except Exception:
            if hidden:
                raise error from None
            raise error from behind
    except Exception as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "numbers"),
    [
        (ValueError(), ()),
        (failed(3), (3,)),
        (ExceptionGroup("g", [failed(5), ExceptionGroup("h", [failed(2), KeyError()])]), (2, 5)),
        (chained(ValueError(), failed(4), hidden=False), (4,)),
        (chained(failed(1), failed(4), hidden=True), (1, 4)),
    ],
    ids=["none", "itself", "groups", "cause", "context"],
)
def test_failed_task_ids(error: BaseException, numbers: tuple[int, ...]) -> None:
    assert failed_task_ids(error) == numbers


def test_siblings_and_circles_are_followed_once() -> None:
    first, second = failed(7), failed(8)
    second.__cause__ = first
    remember_siblings([first, second])
    assert failed_task_ids(first) == (7, 8)


def test_sets_of_tasks_iterate_in_the_order_of_creation() -> None:
    async def orders(ctx: Any) -> list[int]:
        tasks = [ctx.call_activity("a") for _ in range(50)]
        numbers = [task.task_id for task in {*reversed(tasks)}]
        _, pending = await asyncio.wait(tasks, timeout=1)
        assert numbers == [task.task_id for task in pending]
        return numbers

    numbers = Driven(orders).fire(51).result
    assert numbers == Driven(orders).fire(51).result
    assert sorted(numbers) == list(range(1, 51))


def test_a_task_shows_what_it_is() -> None:
    async def shows(ctx: Any) -> str:
        task = ctx.call_activity("pay")
        assert isinstance(task, DurableTask)
        return repr(task)

    assert Driven(shows).result == "<ActivityTask #1 'pay' pending>"
