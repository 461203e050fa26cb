"""Emptying a hub of all but itself, in one transaction; nobody who held a part of it may write again."""

from __future__ import annotations

from sqlalchemy import delete, func, literal_column, select, update

from durable_ray.actors.store.database import Database
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
from durable_ray.actors.store.sql import Session, Statement, text

_HOW_MANY = Statement(select(func.count()).select_from(instances))
_EMPTY = tuple(
    Statement(delete(table))
    for table in (inbox, history, tags, inputs, receipts, counters, definitions, permits, instances)
)
#: Every lease but the one of whoever asks is somebody else's now.
_FENCE_OTHERS = Statement(
    update(leases).where(leases.c.host != text("keep")).values(epoch=leases.c.epoch + literal_column("1"))
)
_NEW_DEFINITIONS = Statement(update(hub).values(definitions_revision=hub.c.definitions_revision + literal_column("1")))


class Erasing:
    """Deletes a hub's contents."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def erase(self, keep: str) -> int:
        """Delete all instances, definitions and messages; every host but `keep` is fenced; how many instances."""

        def body(session: Session) -> int:
            row = session.one(_HOW_MANY)
            for statement in _EMPTY:
                session.run(statement)
            session.run(_FENCE_OTHERS, keep=keep)
            session.run(_NEW_DEFINITIONS)
            return 0 if row is None else int(row[0])

        return self._database.write(body)
