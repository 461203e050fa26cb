"""Limits of what runs at a time: permits of limited activities, and queued instances of limited orchestrators.

A permit is a row for as long as its attempt waits or runs, so it outlives the process that asked for it: nothing has to be
asked again after a crash, and no process counts in memory. Counting and granting are one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from operator import attrgetter

from durable_ray.actors.store.databases.database import Database, assert_fence
from durable_ray.actors.store.records import Fence, Permit
from durable_ray.actors.store.sql.statement import Row, Session, Statement

RETURN = Statement("""
    DELETE FROM permits
    WHERE instance_id = :instance_id AND execution_id = :execution_id AND task_id = :task_id AND attempt = :attempt
    """)
_COLUMNS = ", ".join(Permit.__struct_fields__)
ASK = Statement(f"""
    INSERT INTO permits ({_COLUMNS}, granted)
    VALUES ({", ".join(f":{name}" for name in Permit.__struct_fields__)}, FALSE)
    ON CONFLICT (instance_id, execution_id, task_id, attempt) DO NOTHING
    """)
RUNNING = Statement("SELECT count(*) FROM permits WHERE name = :name AND granted IS TRUE")
GRANT = Statement(f"""
    UPDATE permits
    SET granted = TRUE
    WHERE "row" IN (
        SELECT "row"
        FROM permits
        WHERE name = :name AND granted IS FALSE
        ORDER BY priority DESC, "row"
        LIMIT :room
    )
    RETURNING {_COLUMNS}
    """)
GRANTED = Statement(f"""
    SELECT {_COLUMNS}
    FROM permits
    WHERE host = :host AND granted IS TRUE AND instance_id IN (:ids)
    """)
OF_HOST = Statement(f"""
    SELECT {_COLUMNS}, granted
    FROM permits
    WHERE host = :host
    ORDER BY "row"
    """)
HOLDERS = Statement("SELECT DISTINCT host, name FROM permits ORDER BY host, name")
FORGET = Statement("""
    DELETE FROM permits
    WHERE permits.host IN (:hosts)
        AND NOT EXISTS (
            SELECT 1
            FROM instances
            WHERE instances.instance_id = permits.instance_id
                AND instances.host = permits.host
                AND instances.outstanding > 0
        )
    """)
#: PostgreSQL lets two transactions count at once; SQLite has one writer anyway. The number is this project's.
LOCK_ACTIVITY = Statement(postgresql="SELECT pg_advisory_xact_lock(1146181965, hashtext(:name))")

_address = attrgetter("instance_id", "execution_id", "task_id", "attempt")


class SqlPermits:
    """Permits of activities with `max_running`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def permit(
        self, fence: Fence | None, asked: Sequence[Permit], returned: Sequence[Permit], limits: Mapping[str, int]
    ) -> tuple[Permit, ...]:
        """Exchange permits; see the contract."""

        def body(session: Session) -> tuple[Permit, ...]:
            if fence is not None:
                assert_fence(session, fence)
            if session.dialect == "postgresql":
                for name in sorted(limits):
                    session.one(LOCK_ACTIVITY, name=name)
            if returned:
                session.each(RETURN, returned)
            if asked:
                session.each(ASK, asked)
            granted = [Permit(*row) for name in sorted(limits) for row in _grant(session, name, limits[name])]
            if asked:
                ids = session.list(sorted({permit.instance_id for permit in asked}))
                before = [Permit(*row) for row in session.all(GRANTED, host=asked[0].host, ids=ids)]
                wanted = {_address(permit) for permit in asked}
                granted += [permit for permit in before if _address(permit) in wanted]
            return tuple(dict.fromkeys(granted))

        return self._database.write(body)

    def permits(self, host: str) -> tuple[tuple[Permit, bool], ...]:
        """(permit, whether it is granted) of all that this host has asked for, oldest first."""
        with self._database.read() as session:
            return tuple((Permit(*row[:-1]), bool(row[-1])) for row in session.all(OF_HOST, host=host))

    def permit_holders(self) -> tuple[tuple[str, str], ...]:
        """(host, activity name) of all permits, granted or waiting."""
        with self._database.read() as session:
            return tuple((row[0], row[1]) for row in session.all(HOLDERS))

    def forget_permits(self, hosts: Sequence[str]) -> None:
        """Delete the permits of hosts without a process whose activities are not outstanding; see the contract."""
        if hosts:
            self._database.write(partial(_forget, hosts=hosts))


def _grant(session: Session, name: str, limit: int) -> list[Row]:
    """Grant the first waiting permits, up to the limit."""
    running = session.one(RUNNING, name=name)
    room = limit - (int(running[0]) if running else 0)
    return session.all(GRANT, name=name, room=room) if room > 0 else []


def _forget(session: Session, hosts: Sequence[str]) -> None:
    session.run(FORGET, hosts=session.list(hosts))


#: How many of a name run or are about to: all that live, but for those that are queued (Pending, or suspended early). One
#: statement, because in PostgreSQL each of several would have its own snapshot, and what changes between two of them would be
#: counted twice or not at all.
TAKEN = Statement("""
    SELECT (
        SELECT coalesce(sum(n), 0)
        FROM counters
        WHERE name = :name AND status IN ('Pending', 'Running', 'Suspended')
    ) - (
        SELECT count(*)
        FROM instances
        WHERE queued AND name = :name
    )
    """)
#: One transaction at a time dequeues instances of a name, or two would give away the same places. SQLite has one writer
#: anyway. The number is this project's.
LOCK_ORCHESTRATOR = Statement(postgresql="SELECT pg_advisory_xact_lock(1146181966, hashtext(:name))")
NEXT = Statement("""
    SELECT instance_id
    FROM instances
    WHERE queued AND name = :name AND +status = 'Pending' AND (start_at IS NULL OR start_at <= :now)
    ORDER BY priority DESC, created_at, instance_id
    LIMIT :room
    """)
DEQUEUE = Statement("""
    UPDATE instances
    SET queued = FALSE, next_due = :now
    WHERE instance_id IN (:ids) AND queued
    RETURNING host, instance_id
    """)


class SqlInstanceLimits:
    """Queued instances of orchestrators with `max_running`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def release(self, name: str, limit: int, now: int) -> tuple[tuple[str, str], ...]:
        """Dequeue the first queued instances of a name; see the contract."""

        def body(session: Session) -> tuple[tuple[str, str], ...]:
            if session.dialect == "postgresql":
                session.one(LOCK_ORCHESTRATOR, name=name)
            taken = session.one(TAKEN, name=name)
            assert taken is not None
            free = limit - int(taken[0])
            if free < 1:
                return ()
            chosen = [row[0] for row in session.all(NEXT, name=name, now=now, room=free)]
            if not chosen:
                return ()
            return tuple((row[0], row[1]) for row in session.all(DEQUEUE, ids=session.list(chosen), now=now))

        return self._database.write(body)
