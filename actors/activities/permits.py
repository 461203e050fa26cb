"""At most so many attempts of an activity run at a time in the hub: what the limits are, and that nobody is left waiting.

Hosts grant each other permits through the store (`limiter`). What is left for the registry is what a lost word leaves
behind, and a limit that was raised: both are found in the sweep. A hub in which nothing is limited has an empty table.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable
from functools import partial
from typing import Any

from durable_ray.actors.code.definition_cache import DefinitionCache
from durable_ray.actors.instances.placement import instance_of, is_dedicated
from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.hub_config import HubConfig

#: In a nudge, where an instance would be named: there is something for the host's turnstile. No instance has an empty ID.
PERMITS = ""

#: More than a hub can run: what was limited when it asked, and is no longer, goes.
_NO_LIMIT = 2**31 - 1


def activity_limit(name: str, definition_cache: DefinitionCache, settings: HubConfig) -> int | None:
    """Most attempts of this activity that may run: what the hub says, else what the newest activity declares.

    None if there is no limit, or no such activity is known.
    """
    known = definition_cache.known_activity(name)
    if known is None:
        return None
    return settings.max_running_activities.get(name, known.options.max_running)


def activity_limits(
    definition_cache: DefinitionCache, settings: HubConfig, names: Collection[str] | None = None
) -> dict[str, int]:
    """Name -> limit of all activities that have one; or of just these, whether they have one or not."""
    asked = definition_cache.activity_names() if names is None else names
    found = {name: activity_limit(name, definition_cache, settings) for name in asked}
    if names is None:
        return {name: limit for name, limit in found.items() if limit is not None}
    return {name: _NO_LIMIT if limit is None else limit for name, limit in found.items()}


class ActivityPermits:
    """The registry's eye on permits."""

    def __init__(
        self,
        store: Store,
        definition_cache: DefinitionCache,
        settings: HubConfig,
        blocking: Callable[[Callable[[], Any]], Awaitable[Any]],
        wake: Callable[[Iterable[tuple[str, str]]], None],
        has_process: Callable[[str], bool],
    ) -> None:
        self._store = store
        self._definition_cache = definition_cache
        self._settings = settings
        self._blocking = blocking
        self._wake = wake
        self._has_process = has_process

    async def sweep(self) -> None:
        """Let in whom there is room for, and tell every host that is concerned to look for itself."""
        holders = await self._blocking(self._store.permit_holders)
        if not holders:
            return
        away = sorted({host for host, _ in holders if is_dedicated(host) and not self._has_process(instance_of(host))})
        if away:
            # Nobody gives back what an instance held that has ended, or merely waits.
            await self._blocking(partial(self._store.forget_permits, away))
            holders = await self._blocking(self._store.permit_holders)
        await self._blocking(self._definition_cache.refresh)
        limits = activity_limits(self._definition_cache, self._settings, {name for _, name in holders})
        await self._blocking(partial(self._store.permit, None, [], [], limits))
        self._wake([(host, PERMITS) for host in sorted({host for host, _ in holders})])
