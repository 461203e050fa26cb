"""Emptying every table but the hub's own row and its leases."""

from __future__ import annotations

from sqlalchemy import delete, func, literal_column, select, update

from durable_ray.actors.store.schema import (
    counters,
    definitions,
    history,
    hub,
    inbox,
    inputs,
    instances,
    leases,
    permits,
    receipts,
    tags,
)
from durable_ray.actors.store.statements.core import text

HOW_MANY = select(func.count()).select_from(instances)
EMPTY = tuple(
    delete(table) for table in (inbox, history, tags, inputs, receipts, counters, definitions, permits, instances)
)
#: Every lease but the one of whoever asks is somebody else's now.
FENCE_OTHERS = update(leases).where(leases.c.host != text("keep")).values(epoch=leases.c.epoch + literal_column("1"))
#: Whoever commits holds its lease shared until it has: who has this one, too, is alone with the contents.
KEPT = select(leases.c.epoch).where(leases.c.host == text("keep")).with_for_update()
NEW_DEFINITIONS = update(hub).values(definitions_revision=hub.c.definitions_revision + literal_column("1"))
