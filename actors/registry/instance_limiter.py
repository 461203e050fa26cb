"""At most so many instances of a name run at a time: who of those that are held may begin.

The truth is in the store: counters say how many run, the rows who waits. So nothing is lost with this process, and
whenever somebody may have gone or come, or in the sweep, it is simply looked at again.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

from durable_ray.actors.clock import Clock
from durable_ray.actors.code.definition_cache import DefinitionCache
from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.hub_config import HubConfig

log = logging.getLogger("durable_ray.registry")


def limit_of(name: str, definition_cache: DefinitionCache, settings: HubConfig) -> int | None:
    """Most instances of this name that may run: what the hub says, else what the newest orchestrator declares."""
    if name in settings.max_running:
        return settings.max_running[name]
    known = definition_cache.known_orchestrator(name)
    return known.options.max_running if known else None


class InstanceLimiter:
    """Lets held instances begin: higher priority first, then the oldest."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        definition_cache: DefinitionCache,
        settings: HubConfig,
        blocking: Callable[[Callable[[], Any]], Awaitable[Any]],
        wake: Callable[[Iterable[tuple[str, str]]], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._definition_cache = definition_cache
        self._settings = settings
        self._blocking = blocking
        self._wake = wake
        self._names: set[str] = set()
        self._looking = False

    @property
    def idle(self) -> bool:
        """Whether nobody is being let in."""
        return not self._looking

    def limited(self) -> list[str]:
        """The names that have a limit."""
        names = {*self._definition_cache.names(), *self._settings.max_running}
        return sorted(name for name in names if self._limit(name) is not None)

    async def look(self, names: Iterable[str]) -> None:
        """An instance of these names may have gone, or come: let in whom there is room for."""
        self._names.update(name for name in names if self._limit(name) is not None)
        if self._looking:
            return
        self._looking = True
        try:
            while self._names:
                name = self._names.pop()
                try:
                    await self._let_in(name)
                except Exception:
                    log.exception("letting in instances of %r failed; the next sweep looks again", name)
        finally:
            self._looking = False

    async def _let_in(self, name: str) -> None:
        limit = self._limit(name)
        counts = await self._blocking(self._store.counts)
        if limit is None or not counts.get((name, "Pending")):
            return
        let_in = await self._blocking(partial(self._store.release, name, limit, self._clock.now()))
        if let_in:
            self._wake(let_in)  # beside this: whoever cannot be told must not keep other names waiting

    def _limit(self, name: str) -> int | None:
        return limit_of(name, self._definition_cache, self._settings)
