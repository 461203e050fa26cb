"""The limit on running instances of one orchestrator (`max_running`): which of those that are queued may start.

The truth is in the store: counters of how many run, rows that are queued. So nothing is lost with this process: whenever an
instance may have started or ended, and in every sweep, it is read again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial

from durable_ray.actors.clock import Clock
from durable_ray.actors.code.definition_cache import DefinitionCache
from durable_ray.actors.store.background import Blocking
from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.hub_config import HubConfig

log = logging.getLogger("durable_ray.registry")


def limit_of(name: str, definition_cache: DefinitionCache, settings: HubConfig) -> int | None:
    """Most instances of this name that may run: the hub's setting, else what the newest orchestrator declares."""
    if name in settings.max_running:
        return settings.max_running[name]
    known = definition_cache.known_orchestrator(name)
    return known.options.max_running if known else None


class InstanceLimiter:
    """Dequeues instances, in the order of `Store.release`."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        definition_cache: DefinitionCache,
        settings: HubConfig,
        blocking: Blocking,
        notify: Callable[[Iterable[tuple[str, str]]], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._definition_cache = definition_cache
        self._settings = settings
        self._blocking = blocking
        self._notify = notify
        self._names: set[str] = set()
        self._dequeuing = False

    @property
    def idle(self) -> bool:
        """Whether nothing is being dequeued."""
        return not self._dequeuing

    def limited(self) -> list[str]:
        """The names that have a limit."""
        names = {*self._definition_cache.names(), *self._settings.max_running}
        return sorted(name for name in names if self._limit(name) is not None)

    async def dequeue(self, names: Iterable[str]) -> None:
        """Start queued instances of these names, as far as their limits allow: one may have ended, or been queued."""
        self._names.update(name for name in names if self._limit(name) is not None)
        if self._dequeuing:
            return
        self._dequeuing = True
        try:
            while self._names:
                name = self._names.pop()
                try:
                    await self._dequeue(name)
                except Exception:
                    log.exception("dequeuing instances of %r failed; the next sweep tries again", name)
        finally:
            self._dequeuing = False

    async def _dequeue(self, name: str) -> None:
        limit = self._limit(name)
        counts = await self._blocking(self._store.counts)
        if limit is None or not counts.get((name, "Pending")):
            return
        released = await self._blocking(partial(self._store.release, name, limit, self._clock.now()))
        if released:
            self._notify(released)  # in the background: a host that cannot be notified must not delay other names

    def _limit(self, name: str) -> int | None:
        return limit_of(name, self._definition_cache, self._settings)
