"""One thread that writes: while a transaction is being synced, everything that comes meanwhile waits for the next one.

So one fsync serves hundreds of turns under load, and none waits for company when there is none.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence

from durable_ray.actors.store.contract import Committed, CommitUnknown, Store, StoreError
from durable_ray.actors.store.records import Fence
from durable_ray.actors.store.writes import Answer, Write

Done = Callable[[Sequence[Answer] | Exception], None]

#: Writes in one transaction at most: bounds both memory and how long the other processes wait for the write lock.
MAX_GROUP = 1000
#: How often an unknown outcome is asked for again before the caller hears of it.
_UNKNOWNS = 5


class Committer:
    """Group commit for one host. `submit` and the callbacks run on the event loop, the store on a thread of its own."""

    def __init__(
        self,
        store: Store,
        fence: Fence,
        loop: asyncio.AbstractEventLoop,
        noticed: Callable[[int], None],
    ) -> None:
        self._store = store
        self._fence = fence
        self._loop = loop
        self._noticed = noticed
        self._queue: queue.SimpleQueue[tuple[Sequence[Write], Done] | None] = queue.SimpleQueue()
        self._waiting = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Submissions whose outcome has not been told yet."""
        return self._waiting

    def submit(self, writes: Sequence[Write], done: Done) -> None:
        """Commit `writes` together, in order; `done` hears the answers, or the error after which none was made."""
        if self._closed:
            self._loop.call_soon(done, StoreError("nothing was written: this host has closed"))
            return
        self._waiting += 1
        self._queue.put((writes, done))

    def write(self, writes: Sequence[Write]) -> asyncio.Future[Sequence[Answer]]:
        """Commit `writes` together; the answers, or the error, come by the future."""
        answered: asyncio.Future[Sequence[Answer]] = self._loop.create_future()

        def done(outcome: Sequence[Answer] | Exception) -> None:
            if answered.done():
                return
            if isinstance(outcome, Exception):
                answered.set_exception(outcome)
            else:
                answered.set_result(outcome)

        self.submit(writes, done)
        return answered

    async def write_once(self, writes: Sequence[Write]) -> Sequence[Answer]:
        """As `write`, for writes that carry receipts: an unknown outcome is asked for again, which does nothing twice."""
        for _ in range(_UNKNOWNS):
            try:
                return await self.write(writes)
            except CommitUnknown:
                continue
        return await self.write(writes)

    def close(self) -> None:
        """Finish what is queued, then end the thread. What is submitted later hears an error."""
        self._closed = True
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        open_for_more = True
        while open_for_more:
            item = self._queue.get()
            group: list[tuple[Sequence[Write], Done]] = []
            size = 0
            while item is not None:
                group.append(item)
                size += len(item[0])
                if size >= MAX_GROUP:
                    break
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
            else:
                open_for_more = False
            if group:
                self._commit(group)

    def _commit(self, group: list[tuple[Sequence[Write], Done]]) -> None:
        writes = [write for submitted, _ in group for write in submitted]
        outcome: Committed | Exception
        try:
            outcome = self._store.commit(self._fence, writes)
        except Exception as error:  # whatever it is, those who wait must hear of it
            outcome = error
        self._loop.call_soon_threadsafe(self._tell, group, outcome)

    def _tell(self, group: list[tuple[Sequence[Write], Done]], outcome: Committed | Exception) -> None:
        self._waiting -= len(group)
        if isinstance(outcome, Exception):
            for _, done in group:
                done(outcome)
            return
        at = 0
        for writes, done in group:
            done(outcome.answers[at : at + len(writes)])
            at += len(writes)
        self._noticed(outcome.definitions_revision)
