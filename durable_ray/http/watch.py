"""Following what changes, for any number of listeners at the price of one: what was updated since the last look?

Nobody pushes changes out of the hub, so somebody has to look; that is done once for all who listen, and not at all
while nobody does. A listener slower than the changes sees the latest state of each instance, not every one between.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from durable_ray.actors.clock import SECOND, SystemClock
from durable_ray.actors.store.records import InstanceQuery, InstanceRow
from durable_ray.http.door import Door

#: A row may be seen this much later than the time it carries: a slow transaction, or a host whose clock is late.
_OVERLAP = 10 * SECOND
_PAGE = 500


class Listener:
    """What one listener has not yet seen; only the latest row of each instance."""

    def __init__(self, instance_id: str | None) -> None:
        self.instance_id = instance_id
        self._pending: dict[str, InstanceRow] = {}
        self._news = asyncio.Event()

    def put(self, row: InstanceRow) -> None:
        """There is a newer row."""
        if self.instance_id in (None, row.instance_id):
            self._pending[row.instance_id] = row
            self._news.set()

    async def rows(self, seconds: float) -> list[InstanceRow]:
        """What is new; after `seconds` without news an empty list."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), seconds)
        self._news.clear()
        rows, self._pending = list(self._pending.values()), {}
        return rows


class Watch:
    """Looks for changes while anybody listens."""

    def __init__(self, door: Door, interval: float) -> None:
        self._door = door
        self._interval = interval
        self._listeners: set[Listener] = set()
        self._looking: asyncio.Task[None] | None = None
        #: What was told: instance -> (time of the row, what tells it from another of that time).
        self._told: dict[str, tuple[int, tuple[object, ...]]] = {}

    @contextmanager
    def listen(self, instance_id: str | None = None) -> Iterator[Listener]:
        """Follow one instance, or all."""
        listener = Listener(instance_id)
        self._listeners.add(listener)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look())
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            if not self._listeners and self._looking is not None:
                self._looking.cancel()
                self._looking = None

    async def _look(self) -> None:
        mark = SystemClock().now()
        self._told.clear()
        while True:
            async for row in self._updated(mark - _OVERLAP):
                mark = max(mark, row.updated_at)
                self._tell(row)
            self._told = {i: told for i, told in self._told.items() if told[0] >= mark - _OVERLAP}
            await asyncio.sleep(self._interval)

    async def _updated(self, since: int) -> AsyncIterator[InstanceRow]:
        token: str | None = None
        while True:
            page = await self._door.query(InstanceQuery(updated_from=since), _PAGE, token)
            for row in page.rows:
                yield row
            token = page.token
            if token is None:
                return

    def _tell(self, row: InstanceRow) -> None:
        told = (row.updated_at, (row.execution_id, row.turn, row.status, row.events, row.waiting_reason))
        if self._told.get(row.instance_id) != told:
            self._told[row.instance_id] = told
            for listener in self._listeners:
                listener.put(row)
