"""The limit of concurrent attempts of an activity: which limits hold, and the registry's sweep over permits.

Hosts grant each other permits through the store (`limiter`). The registry's sweep finds the rest: lost notifications, and
limits that were raised. A hub in which nothing is limited has an empty table.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import partial

from durable_ray.actors.code.definition_cache import DefinitionCache
from durable_ray.actors.instances.placement import instance_of, is_dedicated
from durable_ray.actors.store.background import Blocking
from durable_ray.actors.store.contract import LimitStore
from durable_ray.actors.store.hub_config import HubConfig

#: In a notification, instead of an instance ID: the host's limiter has to read its permits. No instance has an empty ID.
PERMITS = ""

#: More than a hub can run: the limit of an activity that had one when its attempt asked, and has none now.
_NO_LIMIT = 2**31 - 1


def activity_limit(name: str, definition_cache: DefinitionCache, settings: HubConfig) -> int | None:
    """Most attempts of this activity that may run: the hub's setting, else what the newest definition declares.

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
    """The registry's sweep over permits."""

    def __init__(
        self,
        store: LimitStore,
        definition_cache: DefinitionCache,
        settings: HubConfig,
        blocking: Blocking,
        notify: Callable[[Iterable[tuple[str, str]]], None],
        has_process: Callable[[str], bool],
    ) -> None:
        self._store = store
        self._definition_cache = definition_cache
        self._settings = settings
        self._blocking = blocking
        self._notify = notify
        self._has_process = has_process

    async def sweep(self) -> None:
        """Grant what there is room for, and notify every host with permits; idempotent."""
        holders = await self._blocking(self._store.permit_holders)
        if not holders:
            return
        away = sorted({host for host, _ in holders if is_dedicated(host) and not self._has_process(instance_of(host))})
        if away:
            # A host without a process returns no permits of an instance that has ended, or only waits.
            await self._blocking(partial(self._store.forget_permits, away))
            holders = await self._blocking(self._store.permit_holders)
        await self._blocking(self._definition_cache.refresh)
        limits = activity_limits(self._definition_cache, self._settings, {name for _, name in holders})
        await self._blocking(partial(self._store.permit, None, [], [], limits))
        self._notify([(host, PERMITS) for host in sorted({host for host, _ in holders})])
