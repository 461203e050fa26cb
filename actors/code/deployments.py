"""Keeps the definition cache of a process up to date with what is deployed.

Correctness does not depend on notifications: turns and starts carry the revision by which they were computed, and the store,
which reads the hub's revision with the fence of each commit, answers `Outdated` for an older one. Then they are computed again
by the newer. Early notification (by a commit, by the registry on a deployment) only saves the first of the two tries.
"""

from __future__ import annotations

from collections.abc import Callable

from durable_ray.actors.code.definition_cache import DefinitionCache
from durable_ray.actors.store.background import Blocking, Spawn, until_answered


class Deployments:
    """The newest definitions revision known here, and the refresh of the cache up to it."""

    def __init__(
        self,
        definition_cache: DefinitionCache,
        blocking: Blocking,
        spawn: Spawn,
        learned: Callable[[], None] = lambda: None,
    ) -> None:
        """`learned` is called when the cache has been refreshed."""
        self._definition_cache = definition_cache
        self._blocking = blocking
        self._spawn = spawn
        self._learned = learned
        self._newest = 0
        self._held: dict[str, Callable[[], None]] = {}
        self._learning = self._again = False

    @property
    def behind(self) -> bool:
        """Whether newer definitions than the cache's are known to be deployed; they are being read."""
        return self._newest > self._definition_cache.revision

    def advanced(self, revision: int) -> None:
        """The store has definitions of this revision: refresh if it is newer."""
        if revision <= self._definition_cache.revision:
            return
        self._newest = max(self._newest, revision)
        self.look()

    def then(self, who: str, go_on: Callable[[], None]) -> None:
        """Call `go_on`, the last of `who`, when the cache is not `behind` any more."""
        self._held[who] = go_on

    def look(self) -> None:
        """Refresh the cache in the background."""
        self._again = True  # a read that is under way may be older than what was deployed
        if not self._learning:
            self._learning = True
            self._spawn(self._learn())

    async def current(self, at_least: int = 0) -> None:
        """Return when the cache has the newest known revision, and this one. May raise a StoreError."""
        if self.behind or at_least > self._definition_cache.revision:
            await self.refresh()

    async def refresh(self) -> None:
        """Read what is deployed now. May raise a StoreError."""
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
