"""Letting held instances begin: as many as there is room for, counted and let in within one transaction."""

from __future__ import annotations

from durable_ray.actors.store.databases.database import Database
from durable_ray.actors.store.held import HELD
from durable_ray.actors.store.sql.statement import Session, Statement

#: In one statement, for in PostgreSQL each of several would count at another moment: one that is suspended between two of
#: them would be taken off without having been counted.
TAKEN = Statement("""
    SELECT ((SELECT count(*) FROM instances WHERE instances.status = 'Pending' AND instances.name = :name AND
        (instances.start_at IS NULL OR instances.start_at < 2305843009213693952)) + (SELECT
        coalesce(sum(counters.n), 0) FROM counters WHERE counters.name = :name AND counters.status IN
        ('Running', 'Suspended'))) - (SELECT count(*) FROM instances WHERE instances.status = 'Suspended' AND
        instances.name = :name AND instances.start_at >= 2305843009213693952)
    """)
#: Nobody else lets in instances of this name until this transaction ends, or both would give away the same places. SQLite
#: has one writer anyway. The number is this project's.
ALONE = Statement(postgresql="SELECT pg_advisory_xact_lock(1146181966, hashtext(:name))")
NEXT = Statement("""
    SELECT instance_id
    FROM instances
    WHERE status = 'Pending' AND name = :name AND start_at >= 2305843009213693952 AND start_at <= :until
    ORDER BY priority DESC, created_at, instance_id
    LIMIT :room
    """)
BEGIN = Statement("""
    UPDATE instances
    SET start_at = CASE WHEN start_at = 2305843009213693952 THEN NULL ELSE start_at - 2305843009213693952 END,
        next_due = :now
    WHERE instance_id IN (:ids) AND turn = 0 AND start_at >= 2305843009213693952
    RETURNING host, instance_id
    """)


class SqlInstanceLimits:
    """Who is held, and who is let in."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def release(self, name: str, limit: int, now: int) -> tuple[tuple[str, str], ...]:
        """Let the first held instances of a name begin; see the contract."""

        def body(session: Session) -> tuple[tuple[str, str], ...]:
            if session.dialect == "postgresql":
                session.one(ALONE, name=name)
            taken = session.one(TAKEN, name=name)
            assert taken is not None
            free = limit - int(taken[0])
            if free < 1:
                return ()
            chosen = [row[0] for row in session.all(NEXT, name=name, until=HELD + now, room=free)]
            if not chosen:
                return ()
            return tuple((row[0], row[1]) for row in session.all(BEGIN, ids=session.list(chosen), now=now))

        return self._database.write(body)
