"""Emptying a hub of all but itself, in one transaction; nobody who held a part of it may write again."""

from __future__ import annotations

from durable_ray.actors.store.databases.database import Database
from durable_ray.actors.store.sql.statement import Session, Statement

HOW_MANY = Statement("SELECT count(*) FROM instances")
EMPTY = (
    Statement("DELETE FROM inbox"),
    Statement("DELETE FROM history"),
    Statement("DELETE FROM tags"),
    Statement("DELETE FROM inputs"),
    Statement("DELETE FROM receipts"),
    Statement("DELETE FROM counters"),
    Statement("DELETE FROM definitions"),
    Statement("DELETE FROM permits"),
    Statement("DELETE FROM instances"),
)
#: Every lease but the one of whoever asks is somebody else's now.
FENCE_OTHERS = Statement("UPDATE leases SET epoch = epoch + 1 WHERE host != :keep")
#: Whoever commits holds its lease shared until it has: who has this one, too, is alone with the contents.
KEPT = Statement("SELECT epoch FROM leases WHERE host = :keep FOR UPDATE")
NEW_DEFINITIONS = Statement("UPDATE hub SET definitions_revision = definitions_revision + 1")


class SqlErasure:
    """Deletes a hub's contents."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def erase(self, keep: str) -> int:
        """Delete all instances, definitions and messages; every host but `keep` is fenced; how many instances."""

        def body(session: Session) -> int:
            # First the locks: of a commit between two of these deletions a part would be left behind.
            session.run(NEW_DEFINITIONS)
            session.run(FENCE_OTHERS, keep=keep)
            session.one(KEPT, keep=keep)
            row = session.one(HOW_MANY)
            for statement in EMPTY:
                session.run(statement)
            return 0 if row is None else int(row[0])

        return self._database.write(body, long=True)
