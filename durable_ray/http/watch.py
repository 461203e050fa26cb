"""Change feed: polls the standings of instances once for any number of listeners.

The hub does not push changes, so they are polled: once for all listeners, and not at all
without any. A listener slower than the changes sees the latest state of each instance, not every one between.

Changes are found by comparing the standings of instances (execution, turn, events, status) with those of the last poll,
not by the times of rows: hosts have clocks of their own, and one that is ahead or late must not hide what others do. Time is
used only to find those that both began and ended between two polls, among what ended lately.

A poll that fails is retried as long as there are listeners, and until one succeeds `up_to_date` is false.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import contextmanager

from durable_ray.actors.clock import SECOND, SystemClock, monotonic
from durable_ray.actors.registry.registry import Registry
from durable_ray.actors.store.records import InstanceRow, Standing
from durable_ray.client.raw_hub import RawHub

log = logging.getLogger("durable_ray.http")

#: What ended is seen this much later than the time it carries: a slow transaction, or a host whose clock is late.
_OVERLAP = 10 * SECOND
_PAGE = 2000
_ROWS = 500
#: Longest pause in seconds between two polls that fail.
_LONGEST_PAUSE = 5.0
#: A poll may take this many seconds at least before it counts as unanswered.
_PATIENCE = 5.0
#: Polling takes at most this part of the time, however many instances live.
_SHARE = 0.25


class Follower:
    """A listener to one instance. `shown`: its standing when it was last shown; None: it did not exist."""

    def __init__(self, instance_id: str) -> None:
        self.instance_id = instance_id
        self.shown: Standing | None = None
        self._news = asyncio.Event()

    def see(self, standing: Standing | None) -> None:
        """Take its current standing."""
        if standing != self.shown:
            self._news.set()

    async def changed(self, seconds: float) -> bool:
        """Whether it differs from what was shown, as soon as it does; False after `seconds`."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), seconds)
        news = self._news.is_set()
        self._news.clear()
        return news


class Listener:
    """A listener to all instances: the changes it has not yet taken, only the latest row of each."""

    def __init__(self) -> None:
        self._pending: dict[str, InstanceRow] = {}
        self._news = asyncio.Event()
        self._ready = asyncio.Event()

    def put(self, row: InstanceRow) -> None:
        """There is a newer row."""
        self._pending[row.instance_id] = row
        self._news.set()

    def begin(self) -> None:
        """From now on every change is delivered."""
        self._ready.set()

    async def ready(self, seconds: float) -> bool:
        """Wait until every change is delivered; False after `seconds`."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ready.wait(), seconds)
        return self._ready.is_set()

    async def rows(self, seconds: float) -> list[InstanceRow]:
        """The changed rows; after `seconds` without any an empty list."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), seconds)
        self._news.clear()
        rows, self._pending = list(self._pending.values()), {}
        return rows


class Watch:
    """Polls for changes while there are listeners.

    Args:
        interval: seconds between two polls.
        patience: seconds that a poll may take before `up_to_date` is false.
    """

    def __init__(self, raw_hub: RawHub, interval: float, patience: float) -> None:
        self._raw_hub = raw_hub
        self._interval = interval
        self._patience = max(patience, _PATIENCE)
        self._followers: set[Follower] = set()
        self._listeners: set[Listener] = set()
        self._polling: asyncio.Task[None] | None = None
        self._failing = False
        #: When the current poll began, or when the next one begins.
        self._due = 0.0
        self._known: Mapping[str, Standing] | None = None
        self._last = 0

    @property
    def up_to_date(self) -> bool:
        """Whether the last poll succeeded and the current one is in time."""
        return not self._failing and monotonic() < self._due + self._patience

    @contextmanager
    def follow(self, instance_id: str) -> Iterator[Follower]:
        """Follow one instance."""
        follower = Follower(instance_id)
        self._followers.add(follower)
        self._begin()
        try:
            yield follower
        finally:
            self._followers.discard(follower)
            self._end()

    @contextmanager
    def listen(self) -> Iterator[Listener]:
        """Listen to all instances."""
        listener = Listener()
        self._listeners.add(listener)
        if self._known is not None:
            listener.begin()
        self._begin()
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            self._end()

    def _begin(self) -> None:
        if self._polling is None or self._polling.done():
            self._failing, self._due = False, monotonic()
            self._polling = asyncio.get_running_loop().create_task(self._poll())

    def _end(self) -> None:
        if not self._listeners:
            self._known = None
        if not self._listeners and not self._followers and self._polling is not None:
            self._polling.cancel()
            self._polling = None

    async def _poll(self) -> None:
        pause = self._interval
        while True:
            began = monotonic()
            try:
                await self._poll_followed()
                await self._poll_all()
            except Exception:
                if not self._failing:
                    log.warning("changes cannot be followed; it is tried again until they can", exc_info=True)
                self._failing, pause = True, min(2 * pause, _LONGEST_PAUSE)
            else:
                self._failing, pause = False, max(self._interval, (monotonic() - began) / _SHARE)
            self._due = monotonic() + pause
            await asyncio.sleep(pause)

    async def _poll_followed(self) -> None:
        followers = list(self._followers)
        rows: dict[str, InstanceRow] = {}
        for some in _parts({follower.instance_id for follower in followers}):
            rows |= await self._raw_hub.ask(Registry.rows, some, "none")
        for follower in followers:
            row = rows.get(follower.instance_id)
            follower.see(None if row is None else row.standing)

    async def _poll_all(self) -> None:
        if not self._listeners:
            return
        now = SystemClock().now()
        since = min(self._last if self._known is not None else now, now) - _OVERLAP
        found: dict[str, Standing] = {}
        async for standing in self._standings(since):
            found[standing.instance_id] = standing
        known = self._known
        if known is not None:
            # One that lived and is neither alive nor among what ended lately ended at a time that seems long ago.
            gone = [i for i, standing in known.items() if i not in found and not standing.finished]
            changed = [i for i, standing in found.items() if known.get(i) != standing]
            for some in _parts([*changed, *gone]):
                for row in (await self._raw_hub.ask(Registry.rows, some, "none")).values():
                    if row.instance_id in found:
                        found[row.instance_id] = row.standing
                    self._publish(row)
        if self._listeners:
            self._known, self._last = found, now
            for listener in self._listeners:
                listener.begin()

    def _publish(self, row: InstanceRow) -> None:
        for listener in self._listeners:
            listener.put(row)

    async def _standings(self, since: int) -> AsyncIterator[Standing]:
        """The standings of all live instances, then of those that ended since."""
        host = ("", "")
        while True:
            active = await self._raw_hub.ask(Registry.live_standings, host, _PAGE)
            for _, standing in active:
                yield standing
            if len(active) < _PAGE:
                break
            host = (active[-1][0], active[-1][1].instance_id)
        end = (since, "")
        while True:
            ended = await self._raw_hub.ask(Registry.ended_standings, end, _PAGE)
            for _, standing in ended:
                yield standing
            if len(ended) < _PAGE:
                return
            end = (ended[-1][0], ended[-1][1].instance_id)


def _parts(instance_ids: Iterable[str]) -> Iterator[list[str]]:
    found = list(instance_ids)
    for at in range(0, len(found), _ROWS):
        yield found[at : at + _ROWS]
