"""Waiters: futures for the start or the end of instances, resolved in memory without reading the store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from durable_ray.actors.messages import Ending
from durable_ray.actors.store.records import InstanceRow


class Waiters:
    """Futures by instance ID. An ending resolves all futures of its instance once."""

    def __init__(self) -> None:
        self._ends: dict[str, set[asyncio.Future[Ending]]] = {}
        self._starts: dict[str, set[asyncio.Future[Ending]]] = {}

    def end(self, instance_id: str) -> asyncio.Future[Ending]:
        """A future of how this instance ends. Forget it with `forget`."""
        return self._add(self._ends, instance_id)

    def start(self, instance_id: str) -> asyncio.Future[Ending]:
        """A future that is done once the instance has had its first turn."""
        return self._add(self._starts, instance_id)

    def _add(self, waiting: dict[str, set[asyncio.Future[Ending]]], instance_id: str) -> asyncio.Future[Ending]:
        future: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        waiting.setdefault(instance_id, set()).add(future)
        return future

    def forget(self, instance_id: str, future: asyncio.Future[Ending]) -> None:
        """Remove a future that is no longer awaited."""
        for waiting in (self._ends, self._starts):
            futures = waiting.get(instance_id)
            if futures is not None:
                futures.discard(future)
                if not futures:
                    del waiting[instance_id]

    def started(self, instance_id: str) -> None:
        """The instance has had its first turn."""
        if self._starts:
            self._resolve(self._starts, begun(instance_id))

    def ended(self, ending: Ending) -> None:
        """The instance has ended."""
        self._resolve(self._starts, ending)
        self._resolve(self._ends, ending)

    def moved(self, instance_ids: Iterable[str]) -> None:
        """These belong to another host now: resolve their futures with "moved"."""
        for instance_id in instance_ids:
            self.ended(Ending(instance_id, "moved"))

    def waited_for(self) -> list[str]:
        """IDs with waiters."""
        return [*self._ends, *self._starts]

    @staticmethod
    def _resolve(waiting: dict[str, set[asyncio.Future[Ending]]], ending: Ending) -> None:
        for future in waiting.pop(ending.instance_id, ()):
            if not future.done():
                future.set_result(ending)


def begun(instance_id: str) -> Ending:
    """The answer to a wait for the start: it has begun. How it goes on is another question."""
    return Ending(instance_id, "Running")


def ending_of(row: InstanceRow) -> Ending:
    """How an instance ended (or stands), by its row."""
    return Ending(row.instance_id, row.status, row.output, row.failure)
