"""Isolation: an instance whose turn took so long that the watchdog ended its host goes on in a host of its own.

There it may take as long again, and die of it up to `max_recoveries` times, without holding up anybody else. That costs its
neighbours one turn limit in all. What was slow only by chance (a machine that stood still) simply goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from durable_ray.actors.activities.ports import Peers
from durable_ray.actors.host.quarantine import Quarantine
from durable_ray.actors.instances.placement import dedicated_host, is_dedicated
from durable_ray.actors.instances.waiters import Waiters
from durable_ray.actors.store.contract import Store
from durable_ray.actors.store.retrying import until_answered

log = logging.getLogger("durable_ray.host")


class Isolating:
    """Of one host. A dedicated one isolates nobody."""

    def __init__(
        self,
        host: str,
        store: Store,
        quarantine: Quarantine,
        waiters: Waiters,
        peers: Peers,
        blocking: Callable[[Callable[[], Any]], Awaitable[Any]],
    ) -> None:
        self._host = host
        self._store = store
        self._quarantine = quarantine
        self._waiters = waiters
        self._peers = peers
        self._blocking = blocking

    def wants(self, instance_id: str) -> bool:
        """Whether this instance must not take a turn here."""
        return self._quarantine.slow(instance_id) and not is_dedicated(self._host)

    async def isolate(self, instance_id: str) -> None:
        """Give it a host of its own, if it is there: its start may have died with the process, and come again."""
        own_host = dedicated_host(instance_id)
        moved = await until_answered(
            self._blocking,
            lambda: self._store.isolate(instance_id, self._host, own_host),
            f"giving {instance_id!r} a host of its own",
        )
        if moved:
            log.warning("instance %r goes on in a host of its own: a turn took too long", instance_id)
            self._quarantine.discard(instance_id)
            self._waiters.moved([instance_id])
            self._peers.notify(own_host, [instance_id], False)
