"""Finding work: what a host must load, what comes due, who has mail, who waits for a process.

Asked in every sweep and on many nudges, so each question is answered by an index that holds little but the answer. An
instance before its first turn has its start time (or its creation) as `next_due`; see `statements.changes`.
"""

from __future__ import annotations

from durable_ray.actors.store.database import Database
from durable_ray.actors.store.records import InstanceRow
from durable_ray.actors.store.rowing import read_rows, to_row
from durable_ray.actors.store.texts import work as texts


class Finding:
    """The questions that hosts and the registry ask about live instances."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def unfinished(self, host: str, after: str = "", limit: int = 1000) -> tuple[InstanceRow, ...]:
        """Live instances of a host in instance_id order after `after`."""
        with self._database.read() as session:
            return tuple(to_row(row) for row in session.all(texts.UNFINISHED, host=host, after=after, limit=limit))

    def to_revive(self, host: str, now: int) -> tuple[str, ...]:
        """Live instances that a fresh process of this host must load at once."""
        with self._database.read() as session:
            return tuple(sorted(row[0] for row in session.all(texts.REVIVE, host=host, until=now)))

    def mail(self, host: str, limit: int) -> tuple[str, ...]:
        """Instances of a host with messages waiting."""
        with self._database.read() as session:
            return tuple(row[0] for row in session.all(texts.MAIL, host=host, limit=limit))

    def hosts_with_work(self, now: int) -> tuple[str, ...]:
        """Shared hosts that have something to do."""
        with self._database.read() as session:
            busy = {row[0] for row in session.all(texts.BUSY_HOSTS)}
            for (host,) in session.all(texts.PENDING_HOSTS):
                if host not in busy and session.one(texts.DUE, host=host, until=now, limit=1):
                    busy.add(host)
        return tuple(sorted(busy))

    def due(self, host: str, until: int, limit: int) -> tuple[tuple[str, int], ...]:
        """(instance_id, next_due) of a host's live instances due up to `until`, soonest first."""
        with self._database.read() as session:
            return tuple((row[0], row[1]) for row in session.all(texts.DUE, host=host, until=until, limit=limit))

    def dedicated_waiting(self, now: int, limit: int) -> tuple[InstanceRow, ...]:
        """Dedicated live instances without a process that should have one, in order of admission."""
        with self._database.read() as session:
            candidates = {*session.all(texts.UNSTARTED, until=now, limit=limit), *session.all(texts.WOKEN, until=now)}
            first = sorted(candidates, key=lambda row: (-row[1], row[2], row[0]))[:limit]
            rows = read_rows(session, [row[0] for row in first])
        return tuple(rows[row[0]] for row in first)

    def dedicated_next(self, after: int = -1) -> int | None:
        """When the next sleeping or delayed dedicated instance comes due after `after`."""
        with self._database.read() as session:
            row = session.one(texts.NEXT, after=after, limit=1)
        return None if row is None else int(row[0])

    def residents(self) -> tuple[str, ...]:
        """Live dedicated instances that are marked resident."""
        with self._database.read() as session:
            return tuple(row[0] for row in session.all(texts.RESIDENTS))
