"""Isolation: an instance whose turn exceeded the watchdog's limit continues in a dedicated host.

There it may exceed the limit again, up to `max_recoveries` times, without delaying other instances, which lose one turn limit
in all. One that was slow by chance (the machine was suspended) simply continues.
"""

from __future__ import annotations

import logging

from durable_ray.actors.activities.ports import Peers
from durable_ray.actors.host.quarantine import Quarantine
from durable_ray.actors.instances.placement import dedicated_host, is_dedicated
from durable_ray.actors.instances.waiters import Waiters
from durable_ray.actors.store.background import Blocking, until_answered
from durable_ray.actors.store.contract import Store

log = logging.getLogger("durable_ray.host")


class Isolating:
    """Isolates instances of one host. Those of a dedicated host are isolated already."""

    def __init__(
        self,
        host: str,
        store: Store,
        quarantine: Quarantine,
        waiters: Waiters,
        peers: Peers,
        blocking: Blocking,
    ) -> None:
        self._host = host
        self._store = store
        self._quarantine = quarantine
        self._waiters = waiters
        self._peers = peers
        self._blocking = blocking

    def applies_to(self, instance_id: str) -> bool:
        """Whether this instance must not take a turn on this host."""
        return self._quarantine.slow(instance_id) and not is_dedicated(self._host)

    async def isolate(self, instance_id: str) -> None:
        """Move it to a dedicated host, if it exists: its start may have been lost with the process, and be retried."""
        own_host = dedicated_host(instance_id)
        moved = await until_answered(
            self._blocking,
            lambda: self._store.isolate(instance_id, self._host, own_host),
            f"moving {instance_id!r} to a dedicated host",
        )
        if moved:
            log.warning("instance %r continues in a dedicated host: one of its turns exceeded the limit", instance_id)
            self._quarantine.discard(instance_id)
            self._waiters.moved([instance_id])
            self._peers.notify(own_host, [instance_id], False)
