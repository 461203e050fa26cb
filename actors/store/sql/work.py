"""Finding work: what a host must load, what comes due, which instances have inbox rows or need a process.

These run in every sweep and on many notifications, so each is answered by a small (partial) index. An instance before its
first turn has its start time (or its creation) as `next_due`; see `changes`.
"""

from __future__ import annotations

from durable_ray.actors.store.databases.database import Database
from durable_ray.actors.store.records import InstanceRow
from durable_ray.actors.store.sql.rows import read_rows
from durable_ray.actors.store.sql.statement import Statement

DUE = Statement("""
    SELECT instance_id, next_due
    FROM instances
    WHERE host = :host AND next_due <= :until
    ORDER BY next_due
    LIMIT :limit
    """)
#: Outstanding activities have no index (every turn would pay for it): a new process reads through its live rows once.
TO_REVIVE = Statement("""
    SELECT instances.instance_id
    FROM instances
    WHERE instances.host = :host
        AND instances.completed_at IS NULL
        AND (instances.outstanding > 0 OR instances.next_due <= :until)
    UNION
    SELECT inbox.instance_id
    FROM inbox
    WHERE inbox.placement IN ('dedicated', 'shared') AND inbox.host = :host
    """)
WITH_MESSAGES = Statement("""
    SELECT DISTINCT instance_id
    FROM inbox
    WHERE placement IN ('dedicated', 'shared') AND host = :host
    LIMIT :limit
    """)
#: Hosts with running instances by the counters, or with inbox rows; of those with pending instances only if one is due.
BUSY_HOSTS = Statement("""
    SELECT counters.host
    FROM counters
    WHERE counters.n > 0 AND counters.host != '' AND counters.status IN ('Running', 'Suspended')
    UNION
    SELECT inbox.host
    FROM inbox
    WHERE inbox.placement = 'shared'
    """)
PENDING_HOSTS = Statement("SELECT DISTINCT host FROM counters WHERE n > 0 AND host != '' AND status = 'Pending'")
#: In order of admission: of the unstarted an index gives the first ones; the others are few, for they are soon activated.
UNSTARTED = Statement("""
    SELECT instance_id, priority, created_at
    FROM instances INDEXED BY ix_instances_admission
    WHERE placement = 'dedicated' AND status = 'Pending' AND resident IS FALSE AND next_due <= :until
    ORDER BY priority DESC, created_at, instance_id
    LIMIT :limit
    """)
TO_ACTIVATE = Statement("""
    SELECT instances.instance_id, instances.priority, instances.created_at
    FROM instances
    WHERE instances.placement = 'dedicated'
        AND instances.next_due <= :until
        AND instances.status != 'Pending'
        AND instances.resident IS FALSE
    UNION
    SELECT instances.instance_id, instances.priority, instances.created_at
    FROM inbox JOIN instances ON instances.instance_id = inbox.instance_id
    WHERE inbox.placement = 'dedicated'
        AND instances.resident IS FALSE
        AND (instances.turn > 0 OR instances.next_due <= :until)
    """)
NEXT = Statement("""
    SELECT next_due
    FROM instances
    WHERE placement = 'dedicated' AND next_due > :after AND resident IS FALSE
    ORDER BY next_due
    LIMIT :limit
    """)
RESIDENTS = Statement("""
    SELECT instance_id
    FROM instances INDEXED BY ix_instances_resident
    WHERE placement = 'dedicated' AND resident AND completed_at IS NULL
    ORDER BY instance_id
    """)


class SqlWork:
    """Queries of hosts and the registry about live instances."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def to_revive(self, host: str, now: int) -> tuple[str, ...]:
        """Live instances that a fresh process of this host must load at once."""
        with self._database.read() as session:
            return tuple(sorted(row[0] for row in session.all(TO_REVIVE, host=host, until=now)))

    def with_messages(self, host: str, limit: int) -> tuple[str, ...]:
        """Instances of a host with messages waiting."""
        with self._database.read() as session:
            return tuple(row[0] for row in session.all(WITH_MESSAGES, host=host, limit=limit))

    def hosts_with_work(self, now: int) -> tuple[str, ...]:
        """Shared hosts that have something to do."""
        with self._database.read() as session:
            busy = {row[0] for row in session.all(BUSY_HOSTS)}
            for (host,) in session.all(PENDING_HOSTS):
                if host not in busy and session.one(DUE, host=host, until=now, limit=1):
                    busy.add(host)
        return tuple(sorted(busy))

    def due(self, host: str, until: int, limit: int) -> tuple[tuple[str, int], ...]:
        """(instance_id, next_due) of a host's live instances due up to `until`, soonest first."""
        with self._database.read() as session:
            return tuple((row[0], row[1]) for row in session.all(DUE, host=host, until=until, limit=limit))

    def dedicated_waiting(self, now: int, limit: int) -> tuple[InstanceRow, ...]:
        """Dedicated live instances without a process that should have one, in order of admission."""
        with self._database.read() as session:
            candidates = {*session.all(UNSTARTED, until=now, limit=limit), *session.all(TO_ACTIVATE, until=now)}
            first = sorted(candidates, key=lambda row: (-row[1], row[2], row[0]))[:limit]
            rows = read_rows(session, [row[0] for row in first])
        return tuple(rows[row[0]] for row in first)

    def dedicated_next(self, after: int = -1) -> int | None:
        """When the next sleeping or delayed dedicated instance comes due after `after`."""
        with self._database.read() as session:
            row = session.one(NEXT, after=after, limit=1)
        return None if row is None else int(row[0])

    def residents(self) -> tuple[str, ...]:
        """Live dedicated instances that are marked resident."""
        with self._database.read() as session:
            return tuple(row[0] for row in session.all(RESIDENTS))
