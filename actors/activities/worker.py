"""An activity worker: a process that runs activities for all hosts of the hub, many at a time, each in a thread.

It keeps every result until the host says that it is durable, and knows what it is running: so a host that died and came
back finds here what it had asked for, instead of asking for it again.

A call runs what it brings in its own thread, one after the other, because a trivial activity costs less than handing it to
another thread. What turns out not to be trivial is spread: a steward looks at each batch every few milliseconds and gives
the rest of one that makes little progress to helper threads; their results are fetched by `collect`.
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
from durable_ray.actors.activities.runner import Stop, run_activity
from durable_ray.actors.activities.sigterm import ProcessEnds
from durable_ray.actors.clock import SystemClock, monotonic
from durable_ray.actors.store.records import DefinitionRow

#: Seconds between two looks at the batches, and how many activities of a batch must have run in between: threads gain
#: nothing for shorter ones.
_LOOK = 0.003
_QUICK = 10
#: Seconds for which `collect` gathers results after the first: one reply for many.
_GRACE = 0.002
#: Seconds `collect` waits at most, and how long when many hosts wait: each holds a thread.
_SLICE, _SHORT_SLICE, _MANY = 10.0, 0.2, 32
#: Seconds after which a result that no host asked for is dropped (its host is gone for good).
_KEEP = 3600.0
#: Seconds for which code is kept that nobody uses. Hosts send it anew before.
KEEP_CODE = 3600.0


class CodeMissing(LookupError):
    """Whoever asks knew this worker's process before it was replaced: it has to send the code again."""


class _Shelf(Struct):
    """What a worker holds for one host."""

    running: dict[Address, Stop] = field(default_factory=dict)
    done: dict[Address, ActivityResult] = field(default_factory=dict)
    #: Results not yet handed over by any call.
    fresh: set[Address] = field(default_factory=set)
    touched: float = 0.0
    #: Counts the lives of the host: calls of an earlier one have nobody to answer to, and take no results.
    life: int = 0


#: What runs, the code it runs, and its flag.
_Job = tuple[Invocation, DefinitionRow, Stop]


class _Batch(Struct, eq=False):
    """What a call has still to run: taken from the left by its own thread, all at once by the steward."""

    host: str
    life: int
    jobs: deque[_Job]
    left: int


class ActivityWorker:
    """Plain class; `worker_actor` makes it a Ray actor. `slots` activities run at once, the rest wait their turn."""

    def __init__(self, hub: str, slots: int, idle_seconds: float) -> None:
        self._hub = hub
        self._slots = threading.Semaphore(slots)
        self._helpers = ThreadPoolExecutor(slots, thread_name_prefix="activity")
        self._shelves: dict[str, _Shelf] = {}
        #: Code and when it was last used, the least recently used first.
        self._code: dict[tuple[str, str], tuple[DefinitionRow, float]] = {}
        self._idle_seconds = idle_seconds
        self._used = monotonic()
        self._clock = SystemClock()
        #: Guards the shelves; told when a result that nobody is about to take has come.
        self._news = threading.Condition()
        self._collecting = 0
        #: Told to end: nothing is begun any more, and whoever waits is sent elsewhere.
        self._ending = False
        self._batches: set[_Batch] = set()
        self._batched = threading.Event()
        threading.Thread(target=self._steward, name="steward", daemon=True).start()

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
        process was told to end.
        """
        shelf, life, jobs = self._accept(host, invocations, code, acknowledged)
        if len(jobs) == 1:
            self._work(host, life, *jobs[0])
        elif jobs:
            self._work_off(_Batch(host, life, jobs, len(jobs)))
        with self._news:
            return self._take(host, shelf, life)

    def begin(
        self,
        host: str,
        invocations: Sequence[Invocation],
        code: Sequence[DefinitionRow],
        acknowledged: Collection[Address] = (),
    ) -> list[tuple[Address, ActivityResult]]:
        """As `run`, for what takes long: answers at once, and `collect` brings the results."""
        shelf, life, jobs = self._accept(host, invocations, code, acknowledged)
        for job in jobs:
            self._helpers.submit(self._work, host, life, *job, aside=True)
        with self._news:
            return self._take(host, shelf, life)

    def _accept(
        self,
        host: str,
        invocations: Sequence[Invocation],
        code: Sequence[DefinitionRow],
        acknowledged: Collection[Address],
    ) -> tuple[_Shelf, int, deque[_Job]]:
        with self._news:
            if self._ending:
                raise ProcessEnds
            shelf = self._shelf(host, acknowledged)
            life = shelf.life
            # Before any is noted as running here: who asks again is told that it is.
            rows = self._rows(code, invocations)
            jobs: deque[_Job] = deque()
            for invocation, row in zip(invocations, rows, strict=True):
                address = invocation.address
                if address in shelf.done:
                    shelf.fresh.add(address)
                elif address not in shelf.running:
                    stop = shelf.running[address] = Stop()
                    jobs.append((invocation, row, stop))
        return shelf, life, jobs

    def collect(self, host: str, acknowledged: Collection[Address] = ()) -> list[tuple[Address, ActivityResult]]:
        """Answer what has finished for `host` since; waits up to 10 s for something.

        Raises ProcessEnds if that is nothing, and nothing will come: this process was told to end.
        """
        with self._news:
            shelf = self._shelf(host, acknowledged)
            life = shelf.life
            self._collecting += 1
            try:
                end = monotonic() + (_SLICE if self._collecting < _MANY else _SHORT_SLICE)
                while not shelf.fresh and shelf.running and shelf.life == life and (left := end - monotonic()) > 0:
                    if self._ending:
                        break
                    self._news.wait(left)
                end = monotonic() + _GRACE
                while shelf.fresh and shelf.running and not self._ending and (left := end - monotonic()) > 0:
                    self._news.wait(left)
            finally:
                self._collecting -= 1
            return self._take(host, shelf, life)

    def forget(self, host: str, acknowledged: Collection[Address]) -> None:
        """These results are durable: they need not be kept."""
        with self._news:
            self._take_down(host, self._shelf(host, acknowledged))

    def held(self, host: str) -> list[Address]:
        """What this worker runs, or has finished, for `host`, which asks when its process is new.

        To ask for one of these again does not run it again.
        """
        with self._news:
            shelf = self._shelf(host, ())
            shelf.life += 1
            self._news.notify_all()
            held = [*shelf.running, *shelf.done]
            self._take_down(host, shelf)
            return held

    def cancel(self, host: str, address: Address) -> bool:
        """Raise the flag of a running activity; False if it does not run here."""
        with self._news:
            stop = self._shelf(host, ()).running.get(address)
        if stop is not None:
            stop.raised = True
        return stop is not None

    def busy(self) -> int:
        """How many activities run or wait here."""
        with self._news:
            return sum(len(shelf.running) for shelf in self._shelves.values())

    def told_to_end(self) -> None:
        """This process was told to end: whoever waits here is sent elsewhere, and so is whoever comes."""
        with self._news:
            self._ending = True
            self._news.notify_all()

    def pid(self) -> int:
        """The worker's process."""
        return os.getpid()

    def leave(self) -> bool:
        """Whether this worker has been idle long enough to end."""
        with self._news:
            held = any(shelf.running or shelf.done for shelf in self._shelves.values())
            return not held and monotonic() - self._used > self._idle_seconds

    # --- inside -----------------------------------------------------------------------------------

    def _shelf(self, host: str, acknowledged: Collection[Address]) -> _Shelf:
        shelf = self._shelves.get(host)
        if shelf is None:
            shelf = self._shelves[host] = _Shelf()
        for address in acknowledged:
            shelf.done.pop(address, None)
        shelf.touched = self._used = monotonic()
        self._forget_the_lost()
        return shelf

    def _forget_the_lost(self) -> None:
        lost = [
            host for host, shelf in self._shelves.items() if not shelf.running and self._used - shelf.touched > _KEEP
        ]
        for host in lost:
            del self._shelves[host]

    def _take_down(self, host: str, shelf: _Shelf) -> None:
        """An empty shelf is nobody's: hosts come and go, most of them for good."""
        if not (shelf.running or shelf.done) and self._shelves.get(host) is shelf:
            del self._shelves[host]

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

    def _take(self, host: str, shelf: _Shelf, life: int) -> list[tuple[Address, ActivityResult]]:
        if shelf.life != life:
            return []
        if self._ending and shelf.running and not shelf.fresh:
            raise ProcessEnds
        self._take_down(host, shelf)
        fresh, shelf.fresh = shelf.fresh, set()
        return [(address, shelf.done[address]) for address in fresh if address in shelf.done]

    def _work(
        self, host: str, life: int, invocation: Invocation, row: DefinitionRow, stop: Stop, aside: bool = False
    ) -> None:
        with self._slots:
            try:
                result = run_activity(row, invocation, self._hub, stop, self._clock)
            except ProcessEnds:
                return  # it stays among those that run: whoever waits for it is sent elsewhere
        with self._news:
            shelf = self._shelves[host]
            shelf.running.pop(invocation.address, None)
            shelf.done[invocation.address] = result
            shelf.fresh.add(invocation.address)
            # Otherwise the call that brought it takes the result along.
            if self._collecting and (aside or shelf.life != life or not shelf.running):
                self._news.notify_all()

    def _work_off(self, batch: _Batch) -> None:
        """Run a batch here, as far as the steward leaves it to this thread."""
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

    def _steward(self) -> None:
        """Spread the rest of batches whose activities take their time."""
        while True:
            self._batched.wait()
            self._batched.clear()
            while self._batches:
                time.sleep(_LOOK)
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
        with self._news:
            self._news.notify_all()
