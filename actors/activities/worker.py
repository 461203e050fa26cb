"""An activity worker: a process that runs activities for all hosts of the hub, many at a time, each in a thread.

It keeps every result until the host acknowledges it as durable, and knows what it is running: a restarted host finds its
attempts here instead of running them again.

A call runs its attempts in its own thread, one after the other, because a trivial activity costs less than handing it to
another thread. Longer ones are spread: a monitor thread checks each batch every few milliseconds and gives the rest of one
that makes little progress to helper threads; their results are fetched by `collect`.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor

from msgspec import Struct, field

from durable_ray.actors.activities.ports import ActivityResult, Address, Invocation
from durable_ray.actors.activities.runner import run_activity
from durable_ray.actors.activities.sigterm import ProcessEnds
from durable_ray.actors.clock import SystemClock, monotonic
from durable_ray.actors.store.records import DefinitionRow
from durable_ray.orchestrations.authoring.activity_context import Stop

#: Seconds between two checks of the batches, and how many activities of a batch must have run in between: threads gain
#: nothing for shorter ones.
_INTERVAL = 0.003
_QUICK = 10
#: Seconds for which `collect` gathers results after the first: one reply for many.
_GRACE = 0.002
#: Seconds `collect` waits at most, and how long when many hosts wait: each holds a thread.
_SLICE, _SHORT_SLICE, _MANY = 10.0, 0.2, 32
#: Seconds after which a result that no host asked for is dropped (its host is gone for good).
_KEEP = 3600.0
#: Seconds for which unused code is kept. Hosts send it anew before.
KEEP_CODE = 3600.0


class CodeMissing(LookupError):
    """This worker's process was replaced and does not have the code: the host has to send it again."""


class _HostJobs(Struct):
    """What a worker holds for one host."""

    running: dict[Address, Stop] = field(default_factory=dict)
    done: dict[Address, ActivityResult] = field(default_factory=dict)
    #: Results not yet returned by any call.
    fresh: set[Address] = field(default_factory=set)
    touched: float = 0.0
    #: Counts the processes of the host: calls of an earlier one take no results.
    life: int = 0


#: What runs, the code it runs, and its flag.
_Job = tuple[Invocation, DefinitionRow, Stop]


class _Batch(Struct, eq=False):
    """What a call has still to run: taken from the left by its own thread, all at once by the monitor thread."""

    host: str
    life: int
    jobs: deque[_Job]
    left: int


class ActivityWorker:
    """Plain class; `worker_actor` makes it a Ray actor. `slots` activities run at once, the rest wait for a slot."""

    def __init__(self, hub: str, slots: int, idle_seconds: float) -> None:
        self._hub = hub
        self._slots = threading.Semaphore(slots)
        self._helpers = ThreadPoolExecutor(slots, thread_name_prefix="activity")
        self._by_host: dict[str, _HostJobs] = {}
        #: Code and when it was last used, the least recently used first.
        self._code: dict[tuple[str, str], tuple[DefinitionRow, float]] = {}
        self._idle_seconds = idle_seconds
        self._used = monotonic()
        self._clock = SystemClock()
        #: Guards `_by_host`; notified when a result has come that no call is about to take.
        self._changed = threading.Condition()
        self._collecting = 0
        #: Terminating: nothing is begun any more, and waiting calls end with ProcessEnds.
        self._ending = False
        self._batches: set[_Batch] = set()
        self._batched = threading.Event()
        threading.Thread(target=self._split_slow, name="split-slow", daemon=True).start()

    def run(
        self,
        host: str,
        invocations: Sequence[Invocation],
        code: Sequence[DefinitionRow],
        acknowledged: Collection[Address] = (),
    ) -> list[tuple[Address, ActivityResult]]:
        """Run these for `host` and answer what has finished.

        An invocation that is already known is not run again. What is not in the answer comes with a later one, or by
        `collect`. Raises CodeMissing, and runs none, if the code of one was not sent to this process; ProcessEnds, if this
        process is terminating.
        """
        of_host, life, jobs = self._accept(host, invocations, code, acknowledged)
        if len(jobs) == 1:
            self._work(host, life, *jobs[0])
        elif jobs:
            self._work_off(_Batch(host, life, jobs, len(jobs)))
        with self._changed:
            return self._take(host, of_host, life)

    def begin(
        self,
        host: str,
        invocations: Sequence[Invocation],
        code: Sequence[DefinitionRow],
        acknowledged: Collection[Address] = (),
    ) -> list[tuple[Address, ActivityResult]]:
        """As `run`, for what takes long: answers at once, and `collect` brings the results."""
        of_host, life, jobs = self._accept(host, invocations, code, acknowledged)
        for job in jobs:
            self._helpers.submit(self._work, host, life, *job, aside=True)
        with self._changed:
            return self._take(host, of_host, life)

    def _accept(
        self,
        host: str,
        invocations: Sequence[Invocation],
        code: Sequence[DefinitionRow],
        acknowledged: Collection[Address],
    ) -> tuple[_HostJobs, int, deque[_Job]]:
        with self._changed:
            if self._ending:
                raise ProcessEnds
            of_host = self._jobs_of(host, acknowledged)
            life = of_host.life
            # Before any is recorded as running here, which a repeated call would take for true.
            rows = self._rows(code, invocations)
            jobs: deque[_Job] = deque()
            for invocation, row in zip(invocations, rows, strict=True):
                address = invocation.address
                if address in of_host.done:
                    of_host.fresh.add(address)
                elif address not in of_host.running:
                    stop = of_host.running[address] = Stop()
                    jobs.append((invocation, row, stop))
        return of_host, life, jobs

    def collect(self, host: str, acknowledged: Collection[Address] = ()) -> list[tuple[Address, ActivityResult]]:
        """Answer what has finished for `host` since; waits up to 10 s for something.

        Raises ProcessEnds if there is nothing, and nothing will come: this process is terminating.
        """
        with self._changed:
            of_host = self._jobs_of(host, acknowledged)
            life = of_host.life
            self._collecting += 1
            try:
                end = monotonic() + (_SLICE if self._collecting < _MANY else _SHORT_SLICE)
                while (
                    not of_host.fresh and of_host.running and of_host.life == life and (left := end - monotonic()) > 0
                ):
                    if self._ending:
                        break
                    self._changed.wait(left)
                end = monotonic() + _GRACE
                while of_host.fresh and of_host.running and not self._ending and (left := end - monotonic()) > 0:
                    self._changed.wait(left)
            finally:
                self._collecting -= 1
            return self._take(host, of_host, life)

    def forget(self, host: str, acknowledged: Collection[Address]) -> None:
        """These results are durable: they need not be kept."""
        with self._changed:
            self._drop_if_empty(host, self._jobs_of(host, acknowledged))

    def held(self, host: str) -> list[Address]:
        """Attempts that this worker runs, or has finished, for `host`, which calls this when its process is new.

        Submitting one of these again does not run it twice. Raises ProcessEnds if this process is terminating: a host that
        discovered it once more would send it attempts, of which it refuses each, for as long as it takes to end.
        """
        with self._changed:
            if self._ending:
                raise ProcessEnds
            of_host = self._jobs_of(host, ())
            of_host.life += 1
            self._changed.notify_all()
            known = [*of_host.running, *of_host.done]
            self._drop_if_empty(host, of_host)
            return known

    def cancel(self, host: str, address: Address) -> bool:
        """Raise the flag of a running activity; False if it does not run here."""
        with self._changed:
            stop = self._jobs_of(host, ()).running.get(address)
        if stop is not None:
            stop.raised = True
        return stop is not None

    def busy(self) -> int:
        """How many activities run or wait here."""
        with self._changed:
            return sum(len(of_host.running) for of_host in self._by_host.values())

    def shut_down(self) -> None:
        """This process is terminating: waiting and new calls end with ProcessEnds."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()

    def pid(self) -> int:
        """The worker's process."""
        return os.getpid()

    def may_exit(self) -> bool:
        """Whether this worker has been idle long enough to end."""
        with self._changed:
            busy = any(of_host.running or of_host.done for of_host in self._by_host.values())
            return not busy and monotonic() - self._used > self._idle_seconds

    # --- inside -----------------------------------------------------------------------------------

    def _jobs_of(self, host: str, acknowledged: Collection[Address]) -> _HostJobs:
        of_host = self._by_host.get(host)
        if of_host is None:
            of_host = self._by_host[host] = _HostJobs()
        for address in acknowledged:
            of_host.done.pop(address, None)
        of_host.touched = self._used = monotonic()
        self._drop_lost_hosts()
        return of_host

    def _drop_lost_hosts(self) -> None:
        lost = [
            host
            for host, of_host in self._by_host.items()
            if not of_host.running and self._used - of_host.touched > _KEEP
        ]
        for host in lost:
            del self._by_host[host]

    def _drop_if_empty(self, host: str, of_host: _HostJobs) -> None:
        """Keep no empty entry: hosts come and go, most of them for good."""
        if not (of_host.running or of_host.done) and self._by_host.get(host) is of_host:
            del self._by_host[host]

    def _rows(self, code: Sequence[DefinitionRow], invocations: Sequence[Invocation]) -> list[DefinitionRow]:
        """The code of each; what was not used for long is forgotten."""
        now = monotonic()
        for row in code:
            self._code[row.name, row.code_id] = (row, now)
        rows = []
        for invocation in invocations:
            key = (invocation.name, invocation.code_id)
            found = self._code.pop(key, None)
            if found is None:
                raise CodeMissing(invocation.name)
            rows.append(found[0])
            self._code[key] = (found[0], now)
        while self._code and now - self._code[oldest := next(iter(self._code))][1] > KEEP_CODE:
            del self._code[oldest]
        return rows

    def _take(self, host: str, of_host: _HostJobs, life: int) -> list[tuple[Address, ActivityResult]]:
        if of_host.life != life:
            return []
        if self._ending and of_host.running and not of_host.fresh:
            raise ProcessEnds
        self._drop_if_empty(host, of_host)
        fresh, of_host.fresh = of_host.fresh, set()
        return [(address, of_host.done[address]) for address in fresh if address in of_host.done]

    def _work(
        self, host: str, life: int, invocation: Invocation, row: DefinitionRow, stop: Stop, aside: bool = False
    ) -> None:
        with self._slots:
            try:
                result = run_activity(row, invocation, self._hub, stop, self._clock)
            except ProcessEnds:
                return  # it stays among the running ones, so that waiting calls end with ProcessEnds
        with self._changed:
            of_host = self._by_host[host]
            of_host.running.pop(invocation.address, None)
            of_host.done[invocation.address] = result
            of_host.fresh.add(invocation.address)
            # Otherwise the call that brought it takes the result along.
            if self._collecting and (aside or of_host.life != life or not of_host.running):
                self._changed.notify_all()

    def _work_off(self, batch: _Batch) -> None:
        """Run a batch here, as far as the monitor thread leaves it to this one."""
        self._batches.add(batch)
        self._batched.set()
        try:
            while True:
                try:
                    job = batch.jobs.popleft()
                except IndexError:
                    return
                self._work(batch.host, batch.life, *job)
        finally:
            self._batches.discard(batch)

    def _split_slow(self) -> None:
        """Spread the rest of batches whose activities take their time."""
        while True:
            self._batched.wait()
            self._batched.clear()
            while self._batches:
                time.sleep(_INTERVAL)
                for batch in tuple(self._batches):
                    left = len(batch.jobs)
                    if batch.left - left < _QUICK:
                        self._spread(batch)
                    batch.left = left

    def _spread(self, batch: _Batch) -> None:
        while batch.jobs:
            try:
                job = batch.jobs.popleft()
            except IndexError:
                break
            self._helpers.submit(self._work, batch.host, batch.life, *job, aside=True)
        with self._changed:
            self._changed.notify_all()
