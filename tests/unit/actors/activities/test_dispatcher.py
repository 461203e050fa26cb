"""The dispatcher answers every invocation once: whatever is lost runs again, what runs is not started twice."""

from __future__ import annotations

from durable_ray.actors.activities.dispatcher import MAX_CRASHES, MAX_MOVES
from durable_ray.actors.clock import SECOND
from durable_ray.orchestrations.history.events import ActivityCompleted, ActivityFailed
from tests.unit.actors.hosting import START, ToldClock, dispatching, double, hasty, invocation, row_of, until

DONE = ActivityCompleted(1, "42")


async def test_it_hands_over_a_result_and_is_idle_again() -> None:
    dispatcher, slate, results, _ = dispatching(double)
    dispatcher.submit([invocation(double)])
    assert not dispatcher.idle
    slate.told(slate.jobs[0].invocation.address, DONE)
    assert results == [DONE]
    assert dispatcher.idle


async def test_what_is_under_way_or_answered_but_not_durable_is_not_run_again() -> None:
    dispatcher, slate, _, _ = dispatching(double)
    asked = invocation(double)
    dispatcher.submit([asked])
    dispatcher.submit([asked])
    assert len(slate.jobs) == 1
    slate.told(asked.address, DONE)
    dispatcher.submit([asked])
    assert len(slate.jobs) == 1
    dispatcher.acknowledge([asked.address])
    assert slate.acknowledged == [asked.address]
    dispatcher.submit([asked])
    assert len(slate.jobs) == 2


async def test_a_crash_is_not_charged_until_it_happens_again_and_again() -> None:
    dispatcher, slate, results, _ = dispatching(double)
    dispatcher.submit([invocation(double)])
    for _ in range(MAX_CRASHES - 1):
        slate.crashed(slate.jobs[-1], "killed")
        assert results == []
    assert len(slate.jobs) == MAX_CRASHES
    slate.crashed(slate.jobs[-1], "killed")
    (result,) = results
    assert isinstance(result, ActivityFailed)
    assert result.failure.error_type == "durable_ray.WorkerCrashed"
    slate.crashed(slate.jobs[-1], "killed")
    assert len(slate.jobs) == MAX_CRASHES
    assert dispatcher.idle


async def test_crashes_are_counted_for_each_attempt_alone() -> None:
    dispatcher, slate, results, _ = dispatching(double)
    dispatcher.submit([invocation(double, 1), invocation(double, 2)])
    for job in slate.jobs[:2] * (MAX_CRASHES - 1):
        slate.crashed(job, "killed")
    assert results == []


async def test_ends_that_are_no_fault_of_its_own_are_spaced_after_the_first_few() -> None:
    clock = ToldClock()
    dispatcher, slate, results, _ = dispatching(double, clock=clock)
    dispatcher.submit([invocation(double)])
    waited = []
    for number in range(MAX_MOVES):
        before = len(slate.jobs)
        slate.crashed(slate.jobs[-1], "terminated", False)
        if len(slate.jobs) == before:
            ((at, _),) = clock.alarms
            waited.append((number, at - clock.at))
            clock.pass_to(at - 1)
            assert len(slate.jobs) == before
            clock.pass_to(at)
        assert len(slate.jobs) == before + 1
    assert results == []
    assert [number for number, _ in waited] == list(range(3, MAX_MOVES))
    assert sorted(pause for _, pause in waited) == [pause for _, pause in waited]
    assert clock.at - START > 120 * SECOND


async def test_one_that_pauses_before_it_is_tried_again_can_be_cancelled() -> None:
    clock = ToldClock()
    dispatcher, slate, _, _ = dispatching(double, clock=clock)
    asked = invocation(double)
    dispatcher.submit([asked])
    for _ in range(4):
        slate.crashed(slate.jobs[-1], "terminated", False)
    assert len(slate.jobs) == 4
    dispatcher.submit([asked])
    assert len(slate.jobs) == 4
    dispatcher.cancel([asked.address])
    assert clock.alarms == []
    assert dispatcher.idle


async def test_a_timeout_answers_and_the_late_result_is_handed_on_to_be_dropped() -> None:
    clock = ToldClock()
    dispatcher, slate, results, _ = dispatching(hasty, clock=clock)
    asked = invocation(hasty)
    dispatcher.submit([asked])
    clock.pass_to(START + 5 * SECOND - 1)
    assert results == []
    clock.pass_to(START + 5 * SECOND)
    (result,) = results
    assert isinstance(result, ActivityFailed)
    assert result.failure.error_type == "builtins.TimeoutError"
    assert slate.cancelled == [asked.address]
    assert dispatcher.idle


async def test_an_answer_in_time_disarms_the_timeout() -> None:
    clock = ToldClock()
    dispatcher, slate, results, _ = dispatching(hasty, clock=clock)
    dispatcher.submit([invocation(hasty)])
    slate.told(slate.jobs[0].invocation.address, DONE)
    clock.pass_to(START + 60 * SECOND)
    assert results == [DONE]


async def test_one_that_is_cancelled_is_forgotten() -> None:
    dispatcher, slate, _, _ = dispatching(double)
    asked = invocation(double)
    dispatcher.submit([asked])
    dispatcher.cancel([asked.address])
    assert slate.cancelled == [asked.address]
    assert dispatcher.idle
    slate.crashed(slate.jobs[0], "killed")
    assert len(slate.jobs) == 1


async def test_what_nobody_deployed_fails_for_good() -> None:
    dispatcher, slate, results, _ = dispatching()
    dispatcher.submit([invocation(double)])
    await until(lambda: results)
    assert isinstance(results[0], ActivityFailed)
    assert results[0].failure.non_retryable
    assert "unit.double" in results[0].failure.message
    assert slate.jobs == []


async def test_what_was_deployed_a_moment_ago_is_found() -> None:
    dispatcher, slate, results, definition_cache = dispatching()
    definition_cache._store.put_definitions([row_of(double)])
    dispatcher.submit([invocation(double, code_id="")])
    await until(lambda: slate.jobs)
    assert slate.jobs[0].invocation.code_id == slate.jobs[0].row.code_id != ""
    assert results == []


async def test_one_that_is_cancelled_while_its_code_is_looked_up_does_not_run() -> None:
    dispatcher, slate, results, definition_cache = dispatching()
    definition_cache._store.put_definitions([row_of(double)])
    asked = invocation(double)
    dispatcher.submit([asked])
    dispatcher.cancel([asked.address])
    await until(lambda: not dispatcher._tasks)
    assert slate.jobs == []
    assert results == []
