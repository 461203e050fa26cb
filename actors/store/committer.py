"""Group commit: one thread writes, and what is submitted during a transaction shares the next one.

So one fsync serves hundreds of turns under load, and a lone turn waits for no other.

A lone small transaction on a fast store takes less time than a hand-over to that thread and back, so it may be made on the
event loop itself (`inline`). What is submitted meanwhile waits on the loop instead of in the queue, and shares the next commit
just the same; once commits are large or slow, they go to the thread. While several instances take turns one after the other, a
turn for which no caller waits is delayed by up to 4 ms (like PostgreSQL's `commit_delay`), and committed together with the
next start or event.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from durable_ray.actors.store.contract import Committed, CommitUnknown, Fenced, Store, StoreError
from durable_ray.actors.store.measures import Measures, tally
from durable_ray.actors.store.records import Fence
from durable_ray.actors.store.writes import Answer, Write

log = logging.getLogger("durable_ray.host")

Done = Callable[[Sequence[Answer] | Exception], None]

#: Writes in one transaction at most: bounds both memory and how long the other processes wait for the write lock.
MAX_GROUP = 1000
#: Writes at most, and seconds that a small commit has usually taken at most, for it to be made on the event loop.
_SMALL = 16
_QUICK = 0.005
#: Seconds by which a turn is delayed under traffic, at least and at most, unless a submission with `flush` comes.
_LEAST_DELAY, _MOST_DELAY = 0.001, 0.004
#: Traffic: among so many submissions in a row, within so many seconds, are those of so many instances.
_LAST, _WITHIN, _SEVERAL = 4, 0.02, 3
#: How often a commit of unknown outcome is repeated before the caller gets the error.
_UNKNOWNS = 5


class Committer:
    """Group commit for one host. `submit` and the callbacks run on the event loop, the store on a thread of its own."""

    def __init__(
        self,
        store: Store,
        fence: Fence,
        loop: asyncio.AbstractEventLoop,
        noticed: Callable[[int], None],
        fenced: Callable[[Fenced], None] | None = None,
        measures: Measures | None = None,
    ) -> None:
        """`noticed` is called with the definitions' revision of each commit; `fenced`, when the fence is lost; `measures`
        counts what was committed."""
        self.measures = measures or Measures(0)
        self._seconds = self.measures.histogram("commit_seconds")
        self._sizes = self.measures.histogram("commit_size")
        self._store = store
        self._fence = fence
        self._loop = loop
        self._noticed = noticed
        self._fenced = fenced
        self._queue: queue.SimpleQueue[tuple[Sequence[Write], Done] | None] = queue.SimpleQueue()
        self._waiting = 0
        #: Whether small commits may be made on the event loop. Only where nothing but the disk can delay them.
        self.inline = False
        #: What was submitted in this step of the loop, if commits may be made on it.
        self._fresh: list[tuple[Sequence[Write], Done]] = []
        #: The commit of these on the loop, and whether that is soon, or in a moment.
        self._arranged: asyncio.Handle | None = None
        self._soon = False
        self._traffic = _Traffic()
        self._with_thread = 0
        #: What a small commit usually takes, in seconds; unknown at first, so the thread makes the first ones.
        self._usual = 2 * _QUICK
        self._closed = False
        #: `close` runs on another thread: no submission is taken by both it and the loop, or accepted after its end.
        self._gate = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Submissions without an outcome yet."""
        return self._waiting

    def submit(self, writes: Sequence[Write], done: Done, *, whose: str = "", flush: bool = True) -> None:
        """Commit `writes` together, in order; `done` is called with the answers, or with the error after which none was made.

        `whose`: the instance they belong to. `flush`: a caller waits for them, so do not delay them.
        """
        with self._gate:
            if self._closed:
                self._loop.call_soon(done, StoreError("nothing was written: this host has closed"))
                return
            self._waiting += 1
            if self.inline:
                self._fresh.append((writes, done))
                self._arrange(self._traffic.delay(whose, flush))
            else:
                self._hand_over([(writes, done)])

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
        """As `write`, for writes with receipts: repeated after an unknown outcome, which does nothing twice."""
        for _ in range(_UNKNOWNS):
            try:
                return await self.write(writes)
            except CommitUnknown:
                continue
        return await self.write(writes)

    def close(self) -> None:
        """Finish what is queued, then end the thread. What is submitted later gets an error."""
        with self._gate:
            self._closed = True
            fresh, self._fresh = self._fresh, []
            self._hand_over(fresh)
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

    def _arrange(self, delay: float) -> None:
        if self._arranged is not None:
            if delay or self._soon:
                return
            self._arranged.cancel()
        self._soon = not delay
        self._arranged = self._loop.call_later(delay, self._begin) if delay else self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        self._arranged = None
        with self._gate:
            group, self._fresh = self._fresh, []
            small = sum(len(writes) for writes, _ in group) <= _SMALL
            if not group or not small or self._with_thread or self._usual >= _QUICK:
                self._hand_over(group)
                return
        self._answer(group, self._outcome(group))

    def _hand_over(self, group: list[tuple[Sequence[Write], Done]]) -> None:
        self._with_thread += len(group)
        for item in group:
            self._queue.put(item)

    def _commit(self, group: list[tuple[Sequence[Write], Done]]) -> None:
        outcome = self._outcome(group)
        self._loop.call_soon_threadsafe(self._finished, group, outcome)

    def _outcome(self, group: list[tuple[Sequence[Write], Done]]) -> Committed | Exception:
        writes = [write for submitted, _ in group for write in submitted]
        began = time.perf_counter()
        try:
            return self._store.commit(self._fence, writes)
        except Exception as error:  # whatever it is, it must reach those who wait
            return error
        finally:
            took = time.perf_counter() - began
            self._seconds.observe(took)
            self._sizes.observe(len(writes))
            if len(writes) <= _SMALL:
                self._usual += (took - self._usual) / 8

    def _finished(self, group: list[tuple[Sequence[Write], Done]], outcome: Committed | Exception) -> None:
        self._with_thread -= len(group)
        self._answer(group, outcome)

    def _answer(self, group: list[tuple[Sequence[Write], Done]], outcome: Committed | Exception) -> None:
        self._waiting -= len(group)
        if isinstance(outcome, Committed):
            # First: a write that was `Outdated` is decided again by the definitions that are learned now.
            self._noticed(outcome.definitions_revision)
            tally(self.measures, [write for writes, _ in group for write in writes], outcome.answers)
        else:
            self.measures.count("commit_errors")
        end = 0
        for writes, done in group:
            begin, end = end, end + len(writes)
            try:
                done(outcome.answers[begin:end] if isinstance(outcome, Committed) else outcome)
            except Exception:
                # The other members of the transaction must get their answers all the same.
                log.exception("a callback after a commit failed")
        if isinstance(outcome, Fenced) and self._fenced is not None:
            self._fenced(outcome)


class _Traffic:
    """Estimates whether several instances commit in turns (one alone gains nothing by a delay), and how soon the next
    submission with `flush` is to be expected."""

    def __init__(self) -> None:
        self._last: deque[tuple[float, str]] = deque(maxlen=_LAST)
        #: When a submission with `flush` last came, and the usual seconds from one to the next.
        self._flushed = 0.0
        self._gap = 1.0

    def delay(self, whose: str, flush: bool) -> float:
        """Record a submission; by how many seconds it may be delayed."""
        now = time.perf_counter()
        self._last.append((now, whose))
        if flush:
            self._gap += (min(now - self._flushed, 1.0) - self._gap) / 4
            self._flushed = now
            return 0.0
        if now - self._last[0][0] > _WITHIN or len({instance_id for _, instance_id in self._last}) < _SEVERAL:
            return 0.0
        if self._gap > _MOST_DELAY:
            return _LEAST_DELAY
        return min(max(self._flushed + 2 * self._gap - now, _LEAST_DELAY), _MOST_DELAY)
