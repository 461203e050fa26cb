"""How a dedicated host leaves memory with nothing undone: gate shut, store told, gate opened again if need be."""

from __future__ import annotations

import logging

from durable_ray.actors.host.host import InstanceHost
from durable_ray.actors.instances.active_instance import ActiveInstance
from durable_ray.actors.store.contract import StoreError
from durable_ray.actors.store.writes import Done, Hibernate, Stale

log = logging.getLogger("durable_ray.host")


async def may_leave(host: InstanceHost, instance_id: str) -> bool:
    """Give up a dedicated instance that merely waits (or has finished): its gate closes, the store knows it sleeps.

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
        # Finished, or nothing ever called for it.
        host.moved = True
        return True
    if active.unstarted or not _merely_waits(active):
        return False
    host.moved = True
    write = Hibernate(
        active.instance_id, active.snapshot.execution_id, host.name, active.turn, active.snapshot.next_due()
    )
    try:
        (answer,) = await host.committer.write([write])
    except StoreError as error:
        log.warning("%r could not be put to sleep: %s", instance_id, error)
        answer = Stale()
    if isinstance(answer, Done) and _merely_waits(active):
        return True
    host.moved = False
    host.notify([instance_id])
    return False


def _merely_waits(active: ActiveInstance) -> bool:
    busy = active.busy or active.queued or active.dirty or active.pending_messages or active.leftover or active.held
    return not busy and not active.gone and not active.snapshot.activities
