"""Activities as threads of the host: the cheapest way, for small I/O-bound work. They die with the host."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor

from durable_ray.actors.activity_runner import run_activity
from durable_ray.actors.clock import Clock
from durable_ray.actors.dispatcher import Job
from durable_ray.actors.ports import ActivityResult, Address, OnResult

#: Threads; a slow activity holds one, so there are more than cores.
_THREADS = 64


class LocalWay:
    """Runs jobs on a thread pool. One that is cancelled can only be abandoned: it sees a flag, its thread runs on."""

    def __init__(
        self, on_result: OnResult, crashed: Callable[[Job, str], None], hub: str = "", clock: Clock | None = None
    ) -> None:
        self._on_result = on_result
        self._hub = hub
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="activity")
        self._stops: dict[Address, threading.Event] = {}
        self._finished: list[tuple[Address, ActivityResult]] = []
        self._lock = threading.Lock()

    def submit(self, jobs: Sequence[Job]) -> None:
        """Run these. Returns at once."""
        for job in jobs:
            stop = self._stops[job.invocation.address] = threading.Event()
            self._threads.submit(self._run, job, stop)

    def cancel(self, address: Address) -> None:
        """Raise the flag that the activity may look at."""
        stop = self._stops.pop(address, None)
        if stop is not None:
            stop.set()

    def acknowledge(self, addresses: Collection[Address]) -> None:
        """Nothing is kept here."""

    async def adopt(self) -> None:
        """Threads do not survive their process."""

    async def close(self) -> None:
        """Raise every flag and wait for nobody."""
        for stop in self._stops.values():
            stop.set()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _run(self, job: Job, stop: threading.Event) -> None:
        result = run_activity(job.row, job.invocation, self._hub, stop, self._clock)
        # One wake-up of the loop for all that finish before it looks.
        with self._lock:
            self._finished.append((job.invocation.address, result))
            first = len(self._finished) == 1
        if first and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        with self._lock:
            finished, self._finished = self._finished, []
        for address, result in finished:
            if self._stops.pop(address, None) is not None:
                self._on_result(address, result)
