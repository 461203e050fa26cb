"""Jobs on workers: batched, adopted where they survived, run elsewhere when their worker dies."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Any

import pytest

from durable_ray.actors.activities import worker_client
from durable_ray.actors.activities.dispatcher import Job
from durable_ray.actors.activities.ports import Address
from durable_ray.actors.activities.worker import ActivityWorker
from durable_ray.actors.activities.worker_client import WorkerGone
from durable_ray.actors.activities.worker_pool import WorkerPool
from tests.unit.actors.hosting import double, invocation, until
from tests.unit.actors.working import ActivityExecutor, Link, job


async def test_jobs_of_one_step_go_in_one_call_and_the_code_goes_once() -> None:
    link = Link("w")
    made = ActivityExecutor(link)
    made.pool.submit([job(1), job(2)])
    await until(lambda: link.runs)
    made.pool.submit([job(3)])
    made.pool.submit([job(4)])
    await until(lambda: len(link.runs) == 2)
    assert (link.runs, link.code) == ([[1, 2], [3, 4]], [1, 0])


async def test_results_come_as_they_are_ready_and_the_rest_is_collected() -> None:
    link = Link("w")
    made = ActivityExecutor(link)
    made.pool.submit([job(1), job(2)])
    await until(lambda: link.calls)
    link.answer(1)
    # The call that collects may be under way before the first one is answered: then both answers would come in either order.
    await until(lambda: made.results == [1] and len(link.calls) == 2)
    link.answer(2)
    await until(lambda: made.results == [1, 2])
    assert len(link.calls) == 2, "nothing runs there any more, so nobody asks"


async def test_the_least_busy_worker_is_chosen() -> None:
    first, second = Link("a"), Link("b")
    made = ActivityExecutor(first, second)
    made.pool.submit([job(n) for n in range(4)])
    await until(lambda: first.runs and second.runs)
    assert (first.runs, second.runs) == ([[0, 2]], [[1, 3]])


async def test_a_dead_worker_s_jobs_are_reported_and_only_those() -> None:
    first, second = Link("a"), Link("b")
    made = ActivityExecutor(first, second)
    made.pool.submit([job(n) for n in range(4)])
    await until(lambda: first.runs and second.runs)
    first.answer(0)
    await until(lambda: made.results and any(not call.done() for call in first.calls))
    first.die(WorkerGone("killed"))
    await until(lambda: made.crashes)
    assert made.crashes == [2]
    made.pool.submit([job(2)])
    await until(lambda: len(second.runs) == 2)
    assert second.runs[1] == [2]


async def test_a_call_that_fails_for_any_other_reason_leaves_nothing_waiting() -> None:
    link = Link("w")
    made = ActivityExecutor(link)
    made.pool.submit([job(1)])
    await until(lambda: link.calls)
    link.die(ValueError("cannot be unpickled"))
    await until(lambda: made.crashes == [1])


async def test_what_was_queued_for_a_worker_that_died_is_not_sent_to_it() -> None:
    link = Link("w")
    made = ActivityExecutor(link)
    made.pool.submit([job(1)])
    await until(lambda: link.runs)
    client = made.pool.clients["w"]
    made.pool.submit([job(2)])
    made.pool.lost(client, "gone")
    await asyncio.sleep(0)
    assert link.runs == [[1]]
    assert made.crashes == [1, 2]


async def test_what_survived_the_predecessor_is_asked_for_where_it_is() -> None:
    busy, other = Link("a", held=[invocation(double, 7).address]), Link("b")
    made = ActivityExecutor(busy, other)
    await made.pool.adopt()
    made.pool.submit([job(1), job(2), job(7)])
    await until(lambda: busy.runs and other.runs)
    assert 7 in busy.runs[0]
    assert 7 not in other.runs[0]


async def test_a_cancellation_and_an_acknowledgement_find_their_worker() -> None:
    link = Link("w")
    made = ActivityExecutor(link)
    made.pool.submit([job(1)])
    await until(lambda: link.calls)
    address = invocation(double, 1).address
    made.pool.cancel(address)
    assert link.cancelled == [address]
    link.answer(1)
    await until(lambda: made.results)
    made.pool.acknowledge([address])
    made.pool.submit([job(2)])
    await until(lambda: link.acks == [address])


class Process:
    """A worker that really runs, and can be replaced by another under its name."""

    name = "a"

    def __init__(self) -> None:
        self.replace()

    def replace(self) -> None:
        self._worker = ActivityWorker("hub", 2, 100)

    def run(self, *args: Any) -> Any:
        return asyncio.to_thread(self._worker.run, *args)

    def collect(self, *args: Any) -> Any:
        return asyncio.to_thread(self._worker.collect, *args)

    async def held(self, host: str) -> Sequence[Address]:
        return self._worker.held(host)

    def forget(self, host: str, acks: Collection[Address]) -> None:
        self._worker.forget(host, acks)

    def cancel(self, host: str, address: Address) -> None: ...

    def close(self) -> None: ...


async def test_a_worker_that_was_replaced_while_it_was_idle_is_sent_the_code_again() -> None:
    process, results = Process(), []  # type: ignore[var-annotated]

    async def find(create: bool) -> list[Process]:
        return [process]

    crashes: list[Job] = []

    def crashed(job: Job, why: str, counted: bool = True) -> None:
        if counted:
            crashes.append(job)
        way.submit([job])

    way = WorkerPool("host", find, lambda address, event: results.append(address.task_id), crashed)
    for number in (1, 2):
        way.submit([job(number)])
        await until(lambda number=number: number in results)
        process.replace()
    assert results == [1, 2]
    assert crashes == [], "nothing ran where there was no code"
    await way.close()


async def test_code_is_sent_again_before_its_worker_may_have_forgotten_it(monkeypatch: pytest.MonkeyPatch) -> None:
    link = Link("w")
    made = ActivityExecutor(link)
    for number in range(3):
        monkeypatch.setattr(worker_client, "_KNOWN", 1e-9 if number == 2 else 1800.0)
        made.pool.submit([job(number)])
        await until(lambda count=number: len(link.runs) > count)
        while any(not call.done() for call in link.calls):  # and the one that fetches what is slow
            link.answer(number)
        await until(lambda count=number: count in made.results)
    assert link.code == [1, 0, 1]
    assert len(made.pool.clients["w"]._known) <= 1
