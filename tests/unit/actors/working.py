"""Workers of which a test decides what they answer, and a way that sends jobs to them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

from durable_ray.actors.activities.dispatcher import Job
from durable_ray.actors.activities.ports import ActivityResult, Address, Invocation
from durable_ray.actors.activities.worker_pool import WorkerPool
from durable_ray.actors.store.records import DefinitionRow
from durable_ray.orchestrations.history.events import ActivityCompleted
from tests.unit.actors.hosting import double, invocation, new_library


class Link:
    """A worker of which a test decides what it answers."""

    def __init__(self, name: str, held: Sequence[Address] = ()) -> None:
        self.name = name
        self.runs: list[list[int]] = []
        self.code: list[int] = []
        self.acks: list[Address] = []
        self.cancelled: list[Address] = []
        self.asked = 0
        self.closed = False
        #: Before it says what it holds: what is raised, or waited for.
        self.words: list[Exception | asyncio.Event] = []
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
        if self.words:
            word = self.words.pop(0)
            if isinstance(word, Exception):
                raise word
            await word.wait()
        return self._held

    def close(self) -> None:
        self.closed = True

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


class ActivityExecutor:
    """A way with these links."""

    def __init__(self, *links: Link) -> None:
        self.links = list(links)
        #: Whether each look for workers was to make what is missing.
        self.looks: list[bool] = []
        self.results: list[int] = []
        self.crashes: list[int] = []
        #: Tasks that are to run again when they crash.
        self.wanted: set[int] = set()
        self.pool = WorkerPool("host", self.find, self.told, self.crashed)

    async def find(self, create: bool) -> list[Link]:
        self.looks.append(create)
        return self.links

    def told(self, address: Address, result: ActivityResult) -> None:
        self.results.append(address.task_id)

    def crashed(self, job: Job, why: str, counted: bool = True) -> None:
        if counted:
            self.crashes.append(job.invocation.address.task_id)
        if job.invocation.address.task_id in self.wanted or not counted:
            self.pool.submit([job])


LIBRARY = new_library(double)
KNOWN = LIBRARY.known_activity("unit.double")


def job(number: int) -> Job:
    assert KNOWN is not None
    return Job(invocation(double, number), KNOWN.row, KNOWN)
