"""Results that nobody waits for any more leave the workers: a worker keeps each until it is told that it may let go."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

import durable_ray as dr
from durable_ray.actors.activities.ports import ActivityResult, Address, Invocation
from durable_ray.actors.activities.worker import ActivityWorker
from durable_ray.actors.activities.worker_pool import WorkerPool
from durable_ray.actors.cluster.in_process import InProcessHub
from durable_ray.actors.settings import HubSettings
from durable_ray.actors.store.records import DefinitionRow
from durable_ray.testing import TestHub
from tests.ray_cluster import eventually
from tests.soak.gate import GATE

HOST, MANY = "partition-0", 40


@dr.activity(
    name="soak.late",
    timeout=timedelta(milliseconds=50),
    retry_policy=dr.RetryPolicy(first_retry_interval=timedelta(hours=1), max_number_of_attempts=2),
)
def late() -> str:
    from tests.soak.gate import GATE

    GATE.wait(60)
    return "x" * 1000


@dr.orchestrator(name="soak.patient")
async def patient(ctx: dr.OrchestrationContext) -> str:
    return await ctx.call_activity(late)


class Link:
    """A real worker in this process, as a host reaches it."""

    name = "worker-0-0"

    def __init__(self, worker: ActivityWorker) -> None:
        self._worker = worker
        self._threads = ThreadPoolExecutor(2 * MANY)

    async def run(
        self, host: str, jobs: Sequence[Invocation], code: Sequence[DefinitionRow], acks: Collection[Address]
    ) -> Sequence[tuple[Address, ActivityResult]]:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._worker.run, host, jobs, code, acks)

    async def collect(self, host: str, acks: Collection[Address]) -> Sequence[tuple[Address, ActivityResult]]:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._worker.collect, host, acks)

    async def held(self, host: str) -> Sequence[Address]:
        return self._worker.held(host)

    def forget(self, host: str, acks: Collection[Address]) -> None:
        self._worker.forget(host, acks)

    def cancel(self, host: str, address: Address) -> None:
        self._worker.cancel(host, address)

    def close(self) -> None:
        self._threads.shutdown(wait=False)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[ActivityWorker]:
    """The worker on which hubs of this test run their activities."""
    made = ActivityWorker("testing", MANY + 8, 3600)

    async def find(create: bool) -> Sequence[Any]:
        return [Link(made)]

    executors = {"local": lambda told, crashed: WorkerPool(HOST, find, told, crashed)}
    monkeypatch.setattr(InProcessHub, "_executors", lambda hub: executors)
    GATE.clear()
    yield made
    GATE.set()


def test_the_late_result_of_an_attempt_that_timed_out_is_let_go(worker: ActivityWorker) -> None:
    """The task is under way still, for its next attempt has yet to come: only the attempt tells whose result it is."""
    with TestHub(start=None, settings=HubSettings(partitions=1)) as hub:
        handles = [hub.client.start_new(patient) for _ in range(MANY)]
        eventually(lambda: worker.busy() == MANY, "all first attempts")
        host = hub.hub.hosts[HOST]
        dispatcher: Any = host.dispatcher
        eventually(lambda: not dispatcher._jobs and not dispatcher._reported, "all first attempts timed out, durably")
        assert worker.busy() == MANY
        GATE.set()
        eventually(lambda: not worker.busy(), "the first attempts' ends")
        eventually(lambda: not worker._by_host, f"nothing kept, but {len(worker.held(HOST))}", 20)
        eventually(lambda: not dispatcher._reported, "nothing on its way", 20)
        for handle in handles:
            assert handle.get_status().runtime_status == "Running"
            handle.terminate()
