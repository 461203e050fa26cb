"""Workers that come, go, are restarted or say nothing: every job is answered, and nothing runs again without need."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from durable_ray.actors.activities import worker_client, worker_pool
from durable_ray.actors.activities.dispatcher import Crashed, Dispatcher
from durable_ray.actors.activities.ports import ActivityResult, Address, OnResult
from durable_ray.actors.activities.worker_client import WorkerGone
from durable_ray.actors.activities.worker_pool import WorkerPool
from durable_ray.actors.clock import SECOND
from tests.unit.actors.hosting import ToldClock, double, invocation, limiting, new_library, until
from tests.unit.actors.working import ActivityExecutor, Link, job


async def test_under_load_workers_that_came_since_are_found_and_get_their_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker_pool, "_DISCOVERY_SECONDS", 0.0)
    first, second = Link("a"), Link("b")
    made = ActivityExecutor(first)
    made.pool.submit([job(1)])
    await until(lambda: first.runs)
    made.links.append(second)
    made.pool.submit([job(2)])
    await asyncio.sleep(0.01)
    assert made.looks == [True], "it is not busy"
    made.pool.submit([job(n) for n in range(3, 6)])
    await until(lambda: len(made.looks) == 2)
    await until(lambda: len(made.pool.clients) == 2)
    made.pool.submit([job(n) for n in range(6, 9)])
    await until(lambda: second.runs)
    assert second.runs == [[6, 7, 8]]
    assert made.looks[1], "what is missing is made: it is busy"
    assert (first.asked, second.asked) == (1, 1), "to ask one twice would be to take its results for another's"


async def test_one_that_was_lost_is_taken_back_when_it_is_there_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "_BACK", 0.01)
    first, second = Link("a", held=[invocation(double, 0).address]), Link("b")
    made = ActivityExecutor(first, second)
    made.pool.submit([job(n) for n in range(2)])
    await until(lambda: first.runs and second.runs)
    first.die(WorkerGone("killed"))
    await until(lambda: made.crashes == [0])
    await until(lambda: "a" in made.pool.clients)
    assert made.looks == [True, False], "nobody is made for it"
    assert first.acks == [invocation(double, 0).address], "what it held runs elsewhere"
    made.pool.submit([job(2)])
    await until(lambda: len(first.runs) == 2)


async def test_a_death_with_many_calls_under_way_is_one_look() -> None:
    first, second = Link("a"), Link("b")
    made = ActivityExecutor(first, second)
    for number in range(20):
        made.pool.submit([job(2 * number), job(2 * number + 1)])
        await asyncio.sleep(0.011)
    assert sum(not call.done() for call in first.calls) > 5
    first.die(WorkerGone("killed"))
    await until(lambda: made.crashes)
    assert first.closed
    await asyncio.sleep(1.2)
    assert made.looks[1:].count(False) == 1


async def test_one_that_takes_long_to_restart_is_taken_back_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "_BACK", 0.01)
    first, second = Link("a"), Link("b")
    made = ActivityExecutor(first, second)
    made.pool.submit([job(0), job(1)])
    await until(lambda: first.runs and second.runs)
    first.words = [WorkerGone("it is being restarted") for _ in range(3)]
    first.die(WorkerGone("killed"))
    await until(lambda: "a" not in made.pool.clients)
    await until(lambda: "a" in made.pool.clients)
    assert first.asked == 5


@pytest.mark.parametrize("order", [0, 1])
async def test_one_that_says_nothing_keeps_the_others_from_nothing(order: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "_HELD_SECONDS", 0.3)
    silent, other = Link("a"), Link("b")
    silent.words = [asyncio.Event()]
    made = ActivityExecutor(*((silent, other) if order else (other, silent)))
    made.pool.submit([job(1)])
    await until(lambda: other.runs)
    await made.pool.close()


async def test_what_a_worker_finished_for_the_predecessor_is_asked_for_though_it_was_found_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker_pool, "_DISCOVERY_SECONDS", 0.0)
    first, second = Link("a"), Link("b", held=[invocation(double, 7).address])
    second.words = [WorkerGone("unavailable for a moment")]
    made = ActivityExecutor(first, second)
    await made.pool.adopt()
    assert list(made.pool.clients) == ["a"]
    made.pool.submit([job(n) for n in range(3)])
    await until(lambda: "b" in made.pool.clients)
    assert second.acks == []
    made.pool.submit([job(7)])
    await until(lambda: second.runs)
    assert second.runs[0] == [7]


async def test_results_that_nobody_waits_for_are_forgotten_where_they_come_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An attempt that ran out of time was acknowledged before it came to its end."""
    monkeypatch.setattr(worker_client, "_ACK_DELAY", 0.01)
    link = Link("w")
    made = ActivityExecutor(link)
    made.pool.submit([job(1), job(2)])
    await until(lambda: link.calls)
    address = invocation(double, 1).address
    made.pool.acknowledge([address])
    await until(lambda: link.acks == [address])
    link.answer(1)
    await until(lambda: made.results == [1])
    assert link.acks == [address], "it is kept until its host says what becomes of it"
    made.pool.acknowledge([address])
    await until(lambda: link.acks == [address, address])


async def test_what_waits_is_asked_for_where_it_ran_when_its_worker_can_be_reached_again() -> None:
    link = Link("w")
    made = ActivityExecutor(link)
    made.pool.submit([job(1)])
    await until(lambda: link.runs)
    made.wanted = {1}
    link._held = [invocation(double, 1).address]
    link.die(WorkerGone("unavailable for a moment"))
    await until(lambda: len(link.runs) == 2)
    assert link.acks == [], "what it has done is not thrown away"


async def test_what_was_handed_over_is_kept_where_it_came_from_until_it_is_durable() -> None:
    first, second = Link("a"), Link("b")
    made = ActivityExecutor(first, second)
    made.pool.submit([job(n) for n in range(4)])
    await until(lambda: first.runs and second.runs)
    first.answer(0)
    await until(lambda: made.results == [0] and any(not call.done() for call in first.calls))
    first._held = [invocation(double, 0).address]
    first.die(WorkerGone("unavailable for a moment"))
    await until(lambda: "a" not in made.pool.clients)
    await until(lambda: "a" in made.pool.clients)
    assert first.acks == []
    made.pool.acknowledge(first._held)
    await until(lambda: first.acks == first._held)


async def test_nobody_runs_what_was_cancelled_or_answered_while_it_waited() -> None:
    link = Link("w")
    link.words = [WorkerGone("not there yet")]
    made = ActivityExecutor(link)
    made.pool.submit([job(1), job(2)])
    made.pool.cancel(invocation(double, 1).address)
    await until(lambda: link.runs)
    assert link.runs == [[2]]


class Left(Link):
    """One that has left, whatever it is asked to run."""

    def run(self, *args: Any) -> asyncio.Future[list[tuple[Address, ActivityResult]]]:
        call = super().run(*args)
        self.die(WorkerGone("it had left", ran=False))
        return call


async def test_to_meet_workers_that_have_left_is_no_crash() -> None:
    """All left because nobody needed them; a host finds out one by one, and then has others made."""
    links = [Left(f"w{n}") for n in range(6)]
    made = ActivityExecutor(*links)
    await made.pool.adopt()
    made.links = [fresh := Link("new")]
    made.pool.submit([job(1)])
    await until(lambda: fresh.runs)
    assert fresh.runs == [[1]]
    assert made.crashes == []
    assert made.looks == [False, True]


async def test_what_ran_on_a_lost_node_runs_on_another_next() -> None:
    """The workers of a node are lost one after the other: to try each of them would look like a job that kills them."""
    lost = [Link(f"worker-lost-{n}") for n in range(5)]
    other = Link("worker-other-0")
    made = ActivityExecutor(*lost, other)
    made.pool.submit([job(n) for n in range(6)])
    await until(lambda: all(link.runs for link in (*lost, other)))
    made.wanted = {0}
    lost[0].die(WorkerGone("its node was lost"))
    await until(lambda: made.crashes == [0])
    await until(lambda: len(other.runs) == 2)
    assert other.runs[1] == [0]


async def test_what_makes_every_worker_leave_is_a_crash_in_the_end() -> None:
    made, results = ActivityExecutor(Left("w")), []

    def way(told: OnResult, crashed: Crashed) -> WorkerPool:
        made.pool = WorkerPool("host", made.find, told, crashed)
        return made.pool

    def told(address: Address, result: ActivityResult) -> None:
        results.append(result)

    clock, library = ToldClock(), new_library(double)
    dispatcher = Dispatcher(told, library, clock, limiting(library), {"worker": way})
    dispatcher.submit([invocation(double)])
    # It is spaced by pauses, which pass at once here.
    await until(lambda: results or clock.pass_to(clock.at + 60 * SECOND))
    assert results[0].failure.error_type == "durable_ray.WorkerCrashed"
    await dispatcher.close()
