"""Jobs on workers: batched, adopted where they survived, run elsewhere when their worker dies."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Any

import pytest

from durable_ray.actors import worker_way
from durable_ray.actors.dispatcher import Job
from durable_ray.actors.ports import ActivityResult, Address, Invocation
from durable_ray.actors.store.records import DefinitionRow
from durable_ray.actors.worker import ActivityWorker
from durable_ray.actors.worker_way import WorkerGone, WorkerWay
from durable_ray.orchestrations.events import ActivityCompleted
from tests.unit.actors.hosting import double, invocation, new_library, until


class Link:
    """A worker of which a test decides what it answers."""

    def __init__(self, name: str, held: Sequence[Address] = ()) -> None:
        self.name = name
        self.runs: list[list[int]] = []
        self.code: list[int] = []
        self.acks: list[Address] = []
        self.cancelled: list[Address] = []
        self.asked = 0
        self.calls: list[asyncio.Future[list[tuple[Address, ActivityResult]]]] = []
        self._held = list(held)

    def run(
        self, host: str, jobs: Sequence[Invocation], code: Sequence[DefinitionRow], acks: Collection[Address]
    ) -> asyncio.Future[list[tuple[Address, ActivityResult]]]:
        self.runs.append([job.address.task_id for job in jobs])
        self.code.append(len(code))
        return self._call(acks)

    def collect(self, host: str, acks: Collection[Address]) -> asyncio.Future[list[tuple[Address, ActivityResult]]]:
        return self._call(acks)

    async def held(self, host: str) -> Sequence[Address]:
        self.asked += 1
        await asyncio.sleep(0)
        return self._held

    def cancel(self, host: str, address: Address) -> None:
        self.cancelled.append(address)

    def forget(self, host: str, acks: Collection[Address]) -> None:
        self.acks += acks

    def _call(self, acks: Collection[Address]) -> asyncio.Future[list[tuple[Address, ActivityResult]]]:
        self.acks += acks
        self.calls.append(asyncio.get_running_loop().create_future())
        return self.calls[-1]

    def answer(self, *numbers: int) -> None:
        results = [(invocation(double, n).address, ActivityCompleted(n, "1")) for n in numbers]
        next(call for call in self.calls if not call.done()).set_result(results)

    def die(self, error: Exception) -> None:
        for call in self.calls:
            if not call.done():
                call.set_exception(error)


class Way:
    """A way with these links."""

    def __init__(self, *links: Link) -> None:
        self.links = list(links)
        #: Whether each look for workers was to make what is missing.
        self.looks: list[bool] = []
        self.results: list[int] = []
        self.crashes: list[int] = []
        self.way = WorkerWay("host", self.find, self.told, self.crashed)

    async def find(self, create: bool) -> list[Link]:
        self.looks.append(create)
        return self.links

    def told(self, address: Address, result: ActivityResult) -> None:
        self.results.append(address.task_id)

    def crashed(self, job: Job, why: str) -> None:
        self.crashes.append(job.invocation.address.task_id)


LIBRARY = new_library(double)
KNOWN = LIBRARY.known_activity("unit.double")


def job(number: int) -> Job:
    assert KNOWN is not None
    return Job(invocation(double, number), KNOWN.row, KNOWN)


async def test_jobs_of_one_step_go_in_one_call_and_the_code_goes_once() -> None:
    link = Link("w")
    made = Way(link)
    made.way.submit([job(1), job(2)])
    await until(lambda: link.runs)
    made.way.submit([job(3)])
    made.way.submit([job(4)])
    await until(lambda: len(link.runs) == 2)
    assert (link.runs, link.code) == ([[1, 2], [3, 4]], [1, 0])


async def test_results_come_as_they_are_ready_and_the_rest_is_collected() -> None:
    link = Link("w")
    made = Way(link)
    made.way.submit([job(1), job(2)])
    await until(lambda: link.calls)
    link.answer(1)
    await until(lambda: len(link.calls) == 2)
    link.answer(2)
    await until(lambda: made.results == [1, 2])
    assert len(link.calls) == 2, "nothing runs there any more, so nobody asks"


async def test_the_least_busy_worker_is_chosen() -> None:
    first, second = Link("a"), Link("b")
    made = Way(first, second)
    made.way.submit([job(n) for n in range(4)])
    await until(lambda: first.runs and second.runs)
    assert (first.runs, second.runs) == ([[0, 2]], [[1, 3]])


async def test_a_dead_worker_s_jobs_are_reported_and_only_those() -> None:
    first, second = Link("a"), Link("b")
    made = Way(first, second)
    made.way.submit([job(n) for n in range(4)])
    await until(lambda: first.runs and second.runs)
    first.answer(0)
    await until(lambda: any(not call.done() for call in first.calls))
    first.die(WorkerGone("killed"))
    await until(lambda: made.crashes)
    assert made.crashes == [2]
    made.way.submit([job(2)])
    await until(lambda: len(second.runs) == 2)
    assert second.runs[1] == [2]


async def test_a_call_that_fails_for_any_other_reason_leaves_nothing_waiting() -> None:
    link = Link("w")
    made = Way(link)
    made.way.submit([job(1)])
    await until(lambda: link.calls)
    link.die(ValueError("cannot be unpickled"))
    await until(lambda: made.crashes == [1])


async def test_what_was_queued_for_a_worker_that_died_is_not_sent_to_it() -> None:
    link = Link("w")
    made = Way(link)
    made.way.submit([job(1)])
    await until(lambda: link.runs)
    desk = made.way._desks["w"]
    made.way.submit([job(2)])
    made.way.lost(desk, "gone")
    await asyncio.sleep(0)
    assert link.runs == [[1]]
    assert made.crashes == [1, 2]


async def test_what_survived_the_predecessor_is_asked_for_where_it_is() -> None:
    busy, other = Link("a", held=[invocation(double, 7).address]), Link("b")
    made = Way(busy, other)
    await made.way.adopt()
    made.way.submit([job(1), job(2), job(7)])
    await until(lambda: busy.runs and other.runs)
    assert 7 in busy.runs[0]
    assert 7 not in other.runs[0]


async def test_a_cancellation_and_an_acknowledgement_find_their_worker() -> None:
    link = Link("w")
    made = Way(link)
    made.way.submit([job(1)])
    await until(lambda: link.calls)
    address = invocation(double, 1).address
    made.way.cancel(address)
    assert link.cancelled == [address]
    link.answer(1)
    await until(lambda: made.results)
    made.way.acknowledge([address])
    made.way.submit([job(2)])
    await until(lambda: link.acks == [address])


async def test_under_load_workers_that_came_since_are_found_and_get_their_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker_way, "_LOOK_SECONDS", 0.0)
    first, second = Link("a"), Link("b")
    made = Way(first)
    made.way.submit([job(1)])
    await until(lambda: first.runs)
    made.links.append(second)
    made.way.submit([job(2)])
    await asyncio.sleep(0.01)
    assert made.looks == [True], "it is not busy"
    made.way.submit([job(n) for n in range(3, 6)])
    await until(lambda: len(made.looks) == 2)
    await until(lambda: len(made.way._desks) == 2)
    made.way.submit([job(n) for n in range(6, 9)])
    await until(lambda: second.runs)
    assert second.runs == [[6, 7, 8]]
    assert made.looks[1], "what is missing is made: it is busy"
    assert (first.asked, second.asked) == (1, 1), "to ask one twice would be to take its results for another's"


async def test_one_that_was_lost_is_taken_back_when_it_is_there_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_way, "_BACK", 0.01)
    first, second = Link("a", held=[invocation(double, 0).address]), Link("b")
    made = Way(first, second)
    made.way.submit([job(n) for n in range(2)])
    await until(lambda: first.runs and second.runs)
    first.die(WorkerGone("killed"))
    await until(lambda: made.crashes == [0])
    await until(lambda: "a" in made.way._desks)
    assert made.looks == [True, False], "nobody is made for it"
    assert first.acks == [invocation(double, 0).address], "what it held runs elsewhere"
    made.way.submit([job(2)])
    await until(lambda: len(first.runs) == 2)


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


async def test_a_worker_that_was_replaced_while_it_was_idle_is_sent_the_code_again() -> None:
    process, results = Process(), []  # type: ignore[var-annotated]

    async def find(create: bool) -> list[Process]:
        return [process]

    way = WorkerWay(
        "host", find, lambda address, event: results.append(address.task_id), lambda job, why: way.submit([job])
    )
    for number in (1, 2):
        way.submit([job(number)])
        await until(lambda number=number: number in results)
        process.replace()
    assert results == [1, 2]
    await way.close()
