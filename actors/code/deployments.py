"""Keeps one process's library as new as the definitions that are deployed, for whatever decides by it.

That nothing is decided by old definitions is not left to whoever is told, or when: turns and starts say by which revision
they were computed, and the store, which reads the hub's revision with the fence of each commit, answers `Outdated` for an
older one. Then they are computed again by the newer. Being told early (by a commit, by the registry when something is
deployed) only saves the first of the two tries.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from durable_ray.actors.code.definition_cache import DefinitionCache
from durable_ray.actors.store.retrying import until_answered


class Deployments:
    """What this process has heard of new definitions, and when it has learned them."""

    def __init__(
        self,
        definition_cache: DefinitionCache,
        blocking: Callable[[Callable[[], Any]], Awaitable[Any]],
        spawn: Callable[[Any], None],
        learned: Callable[[], None] = lambda: None,
    ) -> None:
        """`learned` is called when definitions that were heard of are in the library."""
        self._definition_cache = definition_cache
        self._blocking = blocking
        self._spawn = spawn
        self._learned = learned
        self._newest = 0
        self._held: dict[str, Callable[[], None]] = {}
        self._learning = self._again = False

    @property
    def behind(self) -> bool:
        """Whether newer definitions than the library's are known to be deployed; they are being learned."""
        return self._newest > self._definition_cache.revision

    def heard(self, revision: int) -> None:
        """The store has definitions of this revision."""
        if revision <= self._definition_cache.revision:
            return
        self._newest = max(self._newest, revision)
        self.look()

    def then(self, who: str, go_on: Callable[[], None]) -> None:
        """Call `go_on`, the last of `who`, when the library is not `behind` any more."""
        self._held[who] = go_on

    def look(self) -> None:
        """Learn what is deployed, beside everything else."""
        self._again = True  # a read that is under way may be older than what was deployed
        if not self._learning:
            self._learning = True
            self._spawn(self._learn())

    async def current(self, at_least: int = 0) -> None:
        """Return when the library knows what was heard of, and this revision. May raise a StoreError."""
        if self.behind or at_least > self._definition_cache.revision:
            await self.refresh()

    async def refresh(self) -> None:
        """Learn what is deployed now. May raise a StoreError."""
        await self._blocking(self._definition_cache.refresh)

    async def _learn(self) -> None:
        try:
            while self._again:
                self._again = False
                await until_answered(self._blocking, self._definition_cache.refresh, "learning what was deployed")
        finally:
            self._learning = False
        held, self._held = self._held, {}
        for go_on in held.values():
            go_on()
        self._learned()
