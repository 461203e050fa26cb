"""What holds of a rewind: the failed tasks run again, nothing that completed does, and the history replays ever after.

Each shape fails under `picky` and is rewound onto activities that work. Held here: an activity whose result did not
depend on the failure runs once; timers and cancelled activities that are still waited for come back; what the code did
because of the failure is void; the rewound history replays, in memory or from the store.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from durable_ray.orchestrations.authoring.context import OrchestrationContext
from durable_ray.orchestrations.engine import commands as cmd
from durable_ray.orchestrations.engine.replay import Execution, replay
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.values.failures import FailureDetails, TaskFailed
from tests.laws.corpus import double, picky
from tests.laws.world import JsonCodec, Shape, World

Ctx = OrchestrationContext


async def straight(ctx: Ctx) -> list[int]:
    return [
        await ctx.call_activity("double", 1),
        await ctx.call_activity("picky", 3),
        await ctx.call_activity("double", 2),
    ]


async def all_at_once(ctx: Ctx) -> list[int]:
    return list(await ctx.task_all([ctx.call_activity("picky", n) for n in range(7)]))


async def cleaning_up(ctx: Ctx) -> int:
    try:
        return int(await ctx.call_activity("picky", 3))
    except TaskFailed:
        await ctx.call_activity("double", 99)
        raise
    finally:
        await ctx.call_activity("double", 98)


async def branches(ctx: Ctx) -> list[int]:
    async def branch(values: list[int]) -> int:
        return sum([await ctx.call_activity("picky", value) for value in values])

    return list(await ctx.task_all([branch([1, 3, 5]), branch([2, 4, 7, 8]), branch([11, 12, 13])]))


async def group(ctx: Ctx) -> list[int]:
    async def branch(values: list[int]) -> int:
        try:
            return sum([await ctx.call_activity("picky", value) for value in values])
        except asyncio.CancelledError:
            await ctx.call_activity("double", -1)
            raise

    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(branch(values)) for values in ([1, 3, 5], [2, 4, 7, 8], [10, 11])]
    return [task.result() for task in started]


async def handled_and_not(ctx: Ctx) -> list[Any]:
    log: list[Any] = []
    try:
        await ctx.call_activity("picky", 3)
    except TaskFailed as error:
        log.append(error.details.message)
        log.append(await ctx.call_activity("double", 5))
    log.append(await ctx.call_activity("fragile", 6))
    return log


async def beside_a_timer(ctx: Ctx) -> str:
    timer = ctx.create_timer(timedelta(hours=1))
    await ctx.call_activity("picky", 3)
    await timer
    return ctx.current_utc_datetime.isoformat()


async def timed_out(ctx: Ctx) -> list[Any]:
    async with asyncio.timeout(10_000):
        first = await ctx.call_activity("picky", 1)
        return [first, await ctx.call_activity("picky", 3), await ctx.call_activity("double", 7)]


async def gathered(ctx: Ctx) -> list[int]:
    return list(await asyncio.gather(*(ctx.call_activity("picky", 3 * n) for n in range(8))))


async def gathered_with_cleanup(ctx: Ctx) -> list[int]:
    try:
        return list(await asyncio.gather(*(ctx.call_activity("picky", n) for n in range(9))))
    finally:
        await ctx.call_activity("double", 99)


async def grouped(ctx: Ctx) -> list[int]:
    async def one(value: int) -> int:
        return int(await ctx.call_activity("picky", value))

    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(one(3 * n)) for n in range(8)]
    return [task.result() for task in started]


async def one_after_the_other(ctx: Ctx) -> list[int]:
    begun = [ctx.call_activity("picky", n) for n in range(9)]
    return [await each for each in begun]


async def waited(ctx: Ctx) -> list[int]:
    begun = [ctx.call_activity("picky", n) for n in range(9)]
    await asyncio.wait(begun, return_when=asyncio.FIRST_EXCEPTION)
    return [await each for each in begun]


async def waited_tasks(ctx: Ctx) -> list[int]:
    async def one(value: int) -> int:
        return int(await ctx.call_activity("picky", value))

    begun = [asyncio.create_task(one(n)) for n in range(9)]
    await asyncio.wait(begun, return_when=asyncio.FIRST_EXCEPTION)
    return [await each for each in begun]


async def unrelated(ctx: Ctx) -> int:
    begun = [ctx.call_activity("picky", n) for n in (3, 6)]
    await ctx.call_activity("double", 1)
    if await ctx.call_activity("fragile", 9) != 9:
        raise AssertionError
    return sum([await each for each in begun])


async def compensated(ctx: Ctx) -> int:
    try:
        return int(await ctx.call_activity("picky", 3))
    except TaskFailed:
        await ctx.call_activity("fragile", 99)
        raise


def generated(context: Any) -> Any:
    first = yield context.call_activity("double", 1)
    second = yield context.call_activity("picky", 3)
    third = yield context.call_activity("double", 2)
    return [first, second, third]


WELL = {"double": double, "picky": lambda value: value, "fragile": lambda value: value}
ILL = {"double": double, "picky": picky, "fragile": picky}
EXPECTED = {
    straight: [2, 3, 4],
    all_at_once: [0, 1, 2, 3, 4, 5, 6],
    cleaning_up: 3,
    branches: [9, 21, 36],
    group: [9, 21, 21],
    handled_and_not: ["3 is a multiple of 3", 10, 6],
    timed_out: [1, 3, 14],
    generated: [2, 3, 4],
    gathered: [0, 3, 6, 9, 12, 15, 18, 21],
    gathered_with_cleanup: list(range(9)),
    grouped: [0, 3, 6, 9, 12, 15, 18, 21],
    one_after_the_other: list(range(9)),
    waited: list(range(9)),
    waited_tasks: list(range(9)),
    unrelated: 9,
    compensated: 3,
}


def failed_world(orchestrator: Any, fate: int) -> World:
    world = World(Shape(orchestrator.__name__, orchestrator, None, ILL), fate, most=1 + fate % 3).run()
    assert world.snapshot.status == "Failed", world.snapshot
    return world


def rewound_until_done(world: World) -> None:
    # A branch that was cut short by another's failure may fail for the first time after the rewind.
    world.rewind(WELL)
    world.run()


@pytest.mark.parametrize("orchestrator", EXPECTED, ids=lambda fn: fn.__name__)
@pytest.mark.parametrize("fate", range(12))
def test_a_rewound_instance_ends_well(orchestrator: Any, fate: int) -> None:
    world = failed_world(orchestrator, fate)
    completed = Counter(results(world.history))
    rewound_until_done(world)
    assert world.snapshot.status == "Completed", world.snapshot.failure
    assert json.loads(world.snapshot.output or "null") == EXPECTED[orchestrator]
    assert not Counter(results(world.history)) - Counter(dict.fromkeys(results(world.history), 1)), "ran twice"
    assert completed <= Counter(results(world.history))


@pytest.mark.parametrize("orchestrator", EXPECTED, ids=lambda fn: fn.__name__)
def test_a_rewound_history_replays_and_needs_no_memory(orchestrator: Any) -> None:
    for fate in range(8):
        kept, evicted = failed_world(orchestrator, fate), failed_world(orchestrator, fate)
        evicted.evict = lambda: True
        rewound_until_done(kept)
        rewound_until_done(evicted)
        assert tamed(kept.history) == tamed(evicted.history)
        decision = replay("world", orchestrator, JsonCodec(), kept.history, [])
        assert decision.commands == ()
        assert decision.outcome == kept.outcome


@pytest.mark.parametrize("orchestrator", EXPECTED, ids=lambda fn: fn.__name__)
@pytest.mark.parametrize("fate", range(12))
def test_a_rewind_runs_what_failed_once_and_nothing_that_completed(orchestrator: Any, fate: int) -> None:
    ran: Counter[tuple[str, int]] = Counter()

    def counting(activities: dict[str, Any]) -> dict[str, Any]:
        def counted(name: str) -> Any:
            return lambda value: ran.update([(name, value)]) or activities[name](value)

        return {name: counted(name) for name in activities}

    shape = Shape(orchestrator.__name__, orchestrator, None, counting(ILL))
    world = World(shape, fate, most=1 + fate % 4).run()
    before, done = Counter(ran), set(results(world.history))
    world.rewind(counting(WELL))
    world.run()
    assert world.snapshot.status == "Completed", world.snapshot.failure
    again = ran - before
    assert set(again.values()) <= {1}
    if orchestrator is compensated:
        assert again == Counter([("picky", 3)])
    clean_ups = {99, 98, -1}
    assert not {(name, json.dumps(value)) for name, value in again if value not in clean_ups} & done


def test_a_completed_activity_of_another_branch_is_adopted() -> None:
    world = failed_world(branches, 3)
    done = {event.task_id for event in world.history if isinstance(event, ev.ActivityCompleted)}
    rewound_until_done(world)
    again = [
        event.task_id
        for event in world.history[world.history.index(rewound(world)) :]
        if isinstance(event, ev.ActivityCompleted)
    ]
    assert not done & set(again)


def test_a_timer_that_died_with_the_execution_is_armed_again() -> None:
    world = failed_world(beside_a_timer, 0)
    world.rewind(WELL)
    after = world.history[world.history.index(rewound(world)) :]
    due = next(event for event in world.history if isinstance(event, ev.TimerCreated))
    assert due in after
    world.run()
    assert world.snapshot.status == "Completed"


def test_what_was_cancelled_because_of_the_failure_is_scheduled_again() -> None:
    history = [
        ev.TurnStarted(1),
        ev.ExecutionStarted("group", "x"),
        ev.ActivityScheduled(1, "a", "1"),
        ev.ActivityScheduled(2, "b", "2"),
        ev.TurnStarted(2),
        ev.ActivityFailed(1, FailureDetails("E", "no")),
        ev.ActivityCanceled(2),
        ev.ExecutionFailed(FailureDetails("ExceptionGroup", "...")),
        ev.TurnStarted(3),
        ev.ExecutionRewound(task_ids=(1,)),
    ]

    async def two(ctx: Ctx) -> list[int]:
        async with asyncio.TaskGroup() as tasks:

            async def one(name: str, value: int) -> int:
                return int(await ctx.call_activity(name, value))

            started = [tasks.create_task(one("a", 1)), tasks.create_task(one("b", 2))]
        return [task.result() for task in started]

    decision = replay("world", two, JsonCodec(), history[:-2], history[-2:])
    assert decision.commands == (cmd.ScheduleActivity(2, "b", "2"),)
    assert decision.outcome is None


def test_a_result_that_came_before_it_was_asked_for_again_is_not_lost() -> None:
    async def hurried(ctx: Ctx) -> list[int]:
        failing = ctx.call_activity("a")
        await asyncio.wait([failing, ctx.wait_for_external_event("go")], return_when=asyncio.FIRST_COMPLETED)
        after = await ctx.call_activity("b")
        return [await failing, after]

    history: list[Any] = [
        ev.TurnStarted(1),
        ev.ExecutionStarted("hurried", "x"),
        ev.ActivityScheduled(1, "a"),
        ev.TurnStarted(2),
        ev.ActivityFailed(1, FailureDetails("E", "no")),
        ev.ActivityScheduled(2, "b"),
        ev.TurnStarted(3),
        ev.ActivityCompleted(2, "7"),
        ev.EventRaised("go"),
        ev.ExecutionFailed(FailureDetails("E", "no")),
        ev.TurnStarted(4),
        ev.ExecutionRewound(task_ids=(1,)),
    ]
    assert replay("world", hurried, JsonCodec(), history).commands == ()
    history += [ev.TurnStarted(5), ev.ActivityCompleted(1, "1")]
    assert replay("world", hurried, JsonCodec(), history).outcome == cmd.Returned("[1, 7]")


def test_a_rewind_without_failed_tasks_runs_the_last_turn_again() -> None:
    bug = True

    async def buggy(ctx: Ctx) -> int:
        value = await ctx.call_activity("a")
        if bug:
            raise ValueError(value)
        return int(await ctx.call_activity("b", value))

    history: list[Any] = [
        ev.TurnStarted(1),
        ev.ExecutionStarted("buggy", "x"),
        ev.ActivityScheduled(1, "a"),
        ev.TurnStarted(2),
        ev.ActivityCompleted(1, "4"),
    ]
    failed = replay("world", buggy, JsonCodec(), history[:3], history[3:]).outcome
    assert isinstance(failed, cmd.Raised)
    assert failed.task_ids == ()
    history += [ev.ExecutionFailed(failed.failure), ev.TurnStarted(3), ev.ExecutionRewound()]
    assert isinstance(replay("world", buggy, JsonCodec(), history).outcome, cmd.Raised)
    bug = False
    decision = replay("world", buggy, JsonCodec(), history)
    assert decision == cmd.Decision((cmd.ScheduleActivity(2, "b", "4"),))
    history += [ev.ActivityScheduled(2, "b", "4"), ev.TurnStarted(4), ev.ActivityCompleted(2, "5")]
    assert replay("world", buggy, JsonCodec(), history).outcome == cmd.Returned("5")


def test_a_failure_may_be_rewound_twice() -> None:
    world = failed_world(straight, 0)
    world.rewind(ILL)
    world.run()
    assert world.snapshot.status == "Failed"
    world.rewind(WELL)
    world.run()
    assert json.loads(world.snapshot.output or "null") == EXPECTED[straight]
    assert replay("world", straight, JsonCodec(), world.history, []).commands == ()


def test_a_rewind_needs_the_whole_history() -> None:
    execution = Execution("world", straight, JsonCodec())
    execution.advance([ev.TurnStarted(1), ev.ExecutionStarted("straight", "x")])
    with pytest.raises(RuntimeError, match="fresh Execution"):
        execution.advance([ev.TurnStarted(2), ev.ExecutionRewound(task_ids=(1,))])
    execution.close()


def results(history: list[Any]) -> list[tuple[str, str | None]]:
    """(name, input) of every activity that completed, as often as it did; clean-ups apart."""
    scheduled = {event.task_id: event for event in history if isinstance(event, ev.ActivityScheduled)}
    done = [scheduled[event.task_id] for event in history if isinstance(event, ev.ActivityCompleted)]
    return [(event.name, event.input) for event in done if event.input not in ("99", "98", "-1")]


def rewound(world: World) -> ev.ExecutionRewound:
    return next(event for event in world.history if isinstance(event, ev.ExecutionRewound))


def tamed(history: list[Any]) -> list[object]:
    return ["failed" if isinstance(event, ev.ExecutionFailed) else event for event in history]
