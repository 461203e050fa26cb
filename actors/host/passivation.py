"""How a dedicated host leaves memory with nothing undone: gate shut, store told, gate opened again if need be."""

from __future__ import annotations

import logging

from durable_ray.actors.host.host import InstanceHost
from durable_ray.actors.instances.active_instance import Live
from durable_ray.actors.store.contract import StoreError
from durable_ray.actors.store.writes import Done, Hibernate, Stale

log = logging.getLogger("durable_ray.host")


async def may_leave(host: InstanceHost, instance_id: str) -> bool:
    """Give up a dedicated instance that merely waits (or has finished): its gate closes, the store knows it sleeps.

    False, and nothing changed, if it has something to do.
    """
    if (
        host.moved
        or host.turnstile.busy
        or host.redelivery.pending
        or host.committer.waiting
        or not host.residence.idle
    ):
        return False
    live = host.residence.peek(instance_id)
    if live is None:
        # Finished, or nothing ever called for it.
        host.moved = True
        return True
    if live.unstarted or not _merely_waits(live):
        return False
    host.moved = True
    write = Hibernate(live.instance_id, live.snapshot.execution_id, host.name, live.turn, live.snapshot.next_due())
    try:
        (answer,) = await host.committer.write([write])
    except StoreError as error:
        log.warning("%r could not be put to sleep: %s", instance_id, error)
        answer = Stale()
    if isinstance(answer, Done) and _merely_waits(live):
        return True
    host.moved = False
    host.summon([instance_id])
    return False


def _merely_waits(live: Live) -> bool:
    busy = live.busy or live.queued or live.dirty or live.letters or live.leftover or live.held
    return not busy and not live.gone and not live.snapshot.activities
