"""The thread executor: activities in threads of the host, for small I/O-bound work. They die with the host."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from queue import SimpleQueue

from durable_ray.actors.activities.dispatcher import Job
from durable_ray.actors.activities.ports import ActivityResult, Address, OnResult
from durable_ray.actors.activities.runner import run_activity
from durable_ray.actors.activities.sigterm import ProcessEnds
from durable_ray.actors.clock import Clock
from durable_ray.orchestrations.authoring.activity_context import Stop

log = logging.getLogger("durable_ray.activities")

#: Threads; a slow activity holds one, so there are more than cores.
_THREADS = 64


class ThreadExecutor:
    """Runs jobs on threads. One that is cancelled can only be abandoned: it sees a flag, its thread runs on.

    The threads are its own: results come back by a list for all that finish before the loop looks, and an executor's
    futures would be a twenty-fifth of a short orchestration. Nor does the process wait for them when it ends.
    """

    def __init__(
        self, on_result: OnResult, crashed: Callable[[Job, str], None], hub: str = "", clock: Clock | None = None
    ) -> None:
        self._on_result = on_result
        self._hub = hub
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        #: None: one thread is to end.
        self._jobs: SimpleQueue[tuple[Job, Stop] | None] = SimpleQueue()
        self._started = 0
        #: Given to the threads and not reported yet. Counted on the loop.
        self._under_way = 0
        self._stops: dict[Address, Stop] = {}
        self._finished: list[tuple[Address, ActivityResult]] = []
        self._lock = threading.Lock()
        self._closed = False

    def submit(self, jobs: Sequence[Job]) -> None:
        """Run these. Returns at once."""
        if self._closed:
            return
        for job in jobs:
            stop = self._stops[job.invocation.address] = Stop()
            self._under_way += 1
            self._jobs.put((job, stop))
            if self._started < min(self._under_way, _THREADS):
                threading.Thread(target=self._work, name=f"activity-{self._started}", daemon=True).start()
                self._started += 1

    def cancel(self, address: Address) -> None:
        """Raise the flag that the activity may look at."""
        stop = self._stops.pop(address, None)
        if stop is not None:
            stop.raised = True

    def acknowledge(self, addresses: Collection[Address]) -> None:
        """Nothing is kept here."""

    async def adopt(self) -> None:
        """Threads do not survive their process."""

    async def close(self) -> None:
        """Raise every flag; wait for no thread."""
        for stop in self._stops.values():
            stop.raised = True
        self._closed = True
        for _ in range(self._started):
            self._jobs.put(None)

    def _work(self) -> None:
        while (item := self._jobs.get()) is not None:
            if self._closed:
                continue
            try:
                self._run(*item)
            except ProcessEnds:
                return
            except BaseException:  # a thread less would be a place less for activities
                log.exception("running an activity failed in a way it never should")

    def _run(self, job: Job, stop: Stop) -> None:
        result = run_activity(job.row, job.invocation, self._hub, stop, self._clock)
        # One wake-up of the loop for all that finish before it looks.
        with self._lock:
            self._finished.append((job.invocation.address, result))
            first = len(self._finished) == 1
        if first:
            with suppress(RuntimeError):  # the loop has closed
                self._loop.call_soon_threadsafe(self._report)

    def _report(self) -> None:
        with self._lock:
            finished, self._finished = self._finished, []
        self._under_way -= len(finished)
        for address, result in finished:
            if self._stops.pop(address, None) is not None:
                self._on_result(address, result)
