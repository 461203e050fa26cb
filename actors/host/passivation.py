"""Passivating a dedicated host: stop accepting work, record in the store that the instance has no process, or resume."""

from __future__ import annotations

import logging

from durable_ray.actors.host.host import InstanceHost
from durable_ray.actors.instances import instance_log
from durable_ray.actors.store.contract import StoreError
from durable_ray.actors.store.writes import Done, Passivate, Stale

log = logging.getLogger("durable_ray.host")


async def passivate(host: InstanceHost, instance_id: str) -> bool:
    """Stop hosting a dedicated instance that only waits (or has finished); the store records that it has no process.

    False, and nothing changed, if it has something to do.
    """
    if (
        host.moved
        or host.activity_limiter.busy
        or host.message_delivery.pending
        or host.committer.waiting
        or not host.instance_cache.idle
    ):
        return False
    active = host.instance_cache.peek(instance_id)
    if active is None:
        # Finished, or never loaded.
        host.moved = True
        _remove_marker(host)
        return True
    if active.unstarted or not active.at_rest:
        return False
    host.moved = True
    execution_id = active.snapshot.execution_id
    write = Passivate(active.instance_id, execution_id, host.name, active.turn, active.snapshot.next_due())
    try:
        (answer,) = await host.committer.write([write])
    except StoreError as error:
        log.warning("instance %r could not be passivated: %s", instance_id, error)
        answer = Stale()
    if isinstance(answer, Done) and active.at_rest:
        if instance_log.log.isEnabledFor(logging.DEBUG):
            instance_log.trace("passivated", instance_id, execution_id, active.turn)
        _remove_marker(host)
        return True
    host.moved = False
    host.notify([instance_id])
    return False


def _remove_marker(host: InstanceHost) -> None:
    """Every dedicated instance there ever was would leave a file behind."""
    try:
        host.marker.remove()
    except (OSError, StoreError) as error:
        log.warning("the crash marker of host %s could not be removed: %s", host.name, error)
