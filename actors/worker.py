"""An activity worker: a process that runs activities for all hosts of the hub, many at a time, each in a thread.

It keeps every result until the host says that it is durable, and knows what it is running: so a host that died and came
back finds here what it had asked for, instead of asking for it again.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from durable_ray.actors.activity_runner import failed, run_activity
from durable_ray.actors.clock import SystemClock
from durable_ray.actors.ports import ActivityResult, Address, Invocation
from durable_ray.actors.store.records import DefinitionRow

#: Seconds for which one call gathers results after the first: one reply for many quick activities.
_GRACE = 0.002
#: Seconds a call waits at most: long calls pile up on an actor that exits.
_SLICE = 10.0
#: Seconds after which a result that no host asked for is dropped (its host is gone for good).
_KEEP = 3600.0


@dataclass(slots=True)
class _Shelf:
    """What a worker holds for one host."""

    running: dict[Address, threading.Event] = field(default_factory=dict)
    done: dict[Address, ActivityResult] = field(default_factory=dict)
    #: Results not yet handed over by any call.
    fresh: set[Address] = field(default_factory=set)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    touched: float = 0.0


class ActivityWorker:
    """Plain class; `bindings` makes it a Ray actor. `slots` activities run at once, the rest wait their turn."""

    def __init__(self, hub: str, slots: int, idle_seconds: float) -> None:
        self._hub = hub
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="activity")
        self._shelves: dict[str, _Shelf] = {}
        self._code: dict[tuple[str, str], DefinitionRow] = {}
        self._idle_seconds = idle_seconds
        self._used = SystemClock().now() / 1e6
        self._finished: list[tuple[str, Address, ActivityResult]] = []
        self._lock = threading.Lock()
        self._clock = SystemClock()

    async def run(
        self,
        host: str,
        invocations: Sequence[Invocation],
        code: Sequence[DefinitionRow],
        acknowledged: Collection[Address] = (),
    ) -> list[tuple[Address, ActivityResult]]:
        """Run these for `host` and answer what has finished: as soon as all of them have, or a moment after the first.

        An invocation that is already known is not run again. What is not in the answer comes with a later one.
        """
        shelf = self._shelf(host, acknowledged)
        for row in code:
            self._code[row.name, row.code_id] = row
        loop = asyncio.get_running_loop()
        mine = [invocation.address for invocation in invocations]
        for invocation in invocations:
            address = invocation.address
            if address in shelf.done:
                shelf.fresh.add(address)
            elif address not in shelf.running:
                stop = shelf.running[address] = threading.Event()
                self._threads.submit(self._work, loop, host, invocation, stop)
        return await self._gather(shelf, mine)

    async def collect(self, host: str, acknowledged: Collection[Address] = ()) -> list[tuple[Address, ActivityResult]]:
        """Answer what has finished for `host` since; waits up to 10 s for something."""
        shelf = self._shelf(host, acknowledged)
        return await self._gather(shelf, list(shelf.running))

    async def held(self, host: str) -> list[Address]:
        """What this worker runs, or has finished, for `host`. To ask for one of these again does not run it again."""
        shelf = self._shelf(host, ())
        return [*shelf.running, *shelf.done]

    async def cancel(self, host: str, address: Address) -> bool:
        """Raise the flag of a running activity; False if it does not run here."""
        stop = self._shelf(host, ()).running.get(address)
        if stop is not None:
            stop.set()
        return stop is not None

    async def busy(self) -> int:
        """How many activities run or wait here."""
        return sum(len(shelf.running) for shelf in self._shelves.values())

    def pid(self) -> int:
        """The worker's process."""
        return os.getpid()

    def leave(self) -> bool:
        """Whether this worker has been idle long enough to end."""
        held = any(shelf.running or shelf.done for shelf in self._shelves.values())
        return not held and self._clock.now() / 1e6 - self._used > self._idle_seconds

    # --- inside -------------------------------------------------------------------------------------------------------------

    def _shelf(self, host: str, acknowledged: Collection[Address]) -> _Shelf:
        shelf = self._shelves.get(host)
        if shelf is None:
            shelf = self._shelves[host] = _Shelf()
        for address in acknowledged:
            shelf.done.pop(address, None)
        shelf.touched = self._used = self._clock.now() / 1e6
        self._forget_the_lost()
        return shelf

    def _forget_the_lost(self) -> None:
        lost = [
            host for host, shelf in self._shelves.items() if not shelf.running and self._used - shelf.touched > _KEEP
        ]
        for host in lost:
            del self._shelves[host]

    async def _gather(self, shelf: _Shelf, mine: list[Address]) -> list[tuple[Address, ActivityResult]]:
        loop = asyncio.get_running_loop()
        end = loop.time() + _SLICE
        while not shelf.fresh and any(address in shelf.running for address in mine):
            shelf.changed.clear()
            try:
                async with asyncio.timeout_at(end):
                    await shelf.changed.wait()
            except TimeoutError:
                return []
        if any(address in shelf.running for address in mine):
            end = loop.time() + _GRACE
            while any(address in shelf.running for address in mine):
                shelf.changed.clear()
                try:
                    async with asyncio.timeout_at(end):
                        await shelf.changed.wait()
                except TimeoutError:
                    break
        fresh, shelf.fresh = shelf.fresh, set()
        return [(address, shelf.done[address]) for address in fresh if address in shelf.done]

    def _work(self, loop: asyncio.AbstractEventLoop, host: str, invocation: Invocation, stop: threading.Event) -> None:
        row = self._code.get((invocation.name, invocation.code_id))
        result: ActivityResult
        if row is None:
            result = failed(invocation, "durable_ray.WorkerCrashed", "its worker was not given its code")
        else:
            result = run_activity(row, invocation, self._hub, stop, self._clock)
        with self._lock:
            self._finished.append((host, invocation.address, result))
            first = len(self._finished) == 1
        if first:
            loop.call_soon_threadsafe(self._shelve)

    def _shelve(self) -> None:
        with self._lock:
            finished, self._finished = self._finished, []
        changed: dict[int, _Shelf] = {}
        for host, address, result in finished:
            shelf = self._shelves[host]
            shelf.running.pop(address, None)
            shelf.done[address] = result
            shelf.fresh.add(address)
            changed[id(shelf)] = shelf
        for shelf in changed.values():
            shelf.changed.set()
