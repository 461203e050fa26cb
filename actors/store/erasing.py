"""Emptying a hub of all but itself, in one transaction; nobody who held a part of it may write again."""

from __future__ import annotations

from durable_ray.actors.store.database import Database
from durable_ray.actors.store.sql import Session
from durable_ray.actors.store.texts import erasing as texts


class Erasing:
    """Deletes a hub's contents."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def erase(self, keep: str) -> int:
        """Delete all instances, definitions and messages; every host but `keep` is fenced; how many instances."""

        def body(session: Session) -> int:
            # First the locks: of a commit between two of these deletions a part would be left behind.
            session.run(texts.NEW_DEFINITIONS)
            session.run(texts.FENCE_OTHERS, keep=keep)
            session.one(texts.KEPT, keep=keep)
            row = session.one(texts.HOW_MANY)
            for statement in texts.EMPTY:
                session.run(statement)
            return 0 if row is None else int(row[0])

        return self._database.write(body, long=True)
