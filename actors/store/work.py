"""Finding work: what a host must load, what comes due, who has mail, who waits for a process.

Asked in every sweep and on many nudges, so each question is answered by an index that holds little but the answer. An
instance before its first turn has its start time (or its creation) as `next_due`; see `commit_sql`.
"""

from __future__ import annotations

from sqlalchemy import and_, literal_column, or_, select, union

from durable_ray.actors.store.database import Database
from durable_ray.actors.store.records import InstanceRow
from durable_ray.actors.store.rowing import read_rows, select_rows, to_row
from durable_ray.actors.store.schema import counters, inbox, instances
from durable_ray.actors.store.sql import Statement, number, text

_i = instances.c
_live = _i.completed_at.is_(None)
_dedicated = _i.placement == literal_column("'dedicated'")
_due = _i.next_due <= number("until")
_mail_of_host = and_(
    inbox.c.placement.in_([literal_column("'dedicated'"), literal_column("'shared'")]), inbox.c.host == text("host")
)

_UNFINISHED = Statement(
    select_rows()
    .where(_i.host == text("host"), _live, _i.instance_id > text("after"))
    .order_by(_i.instance_id)
    .limit(number("limit"))
)

_DUE = Statement(
    select(_i.instance_id, _i.next_due)
    .where(_i.host == text("host"), _due)
    .order_by(_i.next_due)
    .limit(number("limit"))
)

#: Outstanding activities have no index (every turn would pay for it): a fresh process reads through its live rows once.
_REVIVE = Statement(
    union(
        select(_i.instance_id).where(_i.host == text("host"), _live, or_(_i.outstanding > literal_column("0"), _due)),
        select(inbox.c.instance_id).where(_mail_of_host),
    )
)

_MAIL = Statement(select(inbox.c.instance_id).where(_mail_of_host).distinct().limit(number("limit")))

#: Hosts whose counters say that something runs; or with mail; or, of those with pending instances, those with one due.
_BUSY_HOSTS = Statement(
    union(
        select(counters.c.host).where(
            counters.c.n > literal_column("0"),
            counters.c.host != literal_column("''"),
            counters.c.status.in_([literal_column("'Running'"), literal_column("'Suspended'")]),
        ),
        select(inbox.c.host).where(inbox.c.placement == literal_column("'shared'")),
    )
)
_PENDING_HOSTS = Statement(
    select(counters.c.host)
    .where(
        counters.c.n > literal_column("0"),
        counters.c.host != literal_column("''"),
        counters.c.status == literal_column("'Pending'"),
    )
    .distinct()
)

#: In order of admission: of the unstarted an index gives the first ones; the others are few, for they are soon woken.
_UNSTARTED = Statement(
    select(_i.instance_id, _i.priority, _i.created_at)
    .where(_dedicated, _i.status == literal_column("'Pending'"), _i.resident.is_(False), _due)
    .order_by(_i.priority.desc(), _i.created_at, _i.instance_id)
    .limit(number("limit"))
    .with_hint(instances, "INDEXED BY ix_instances_admission", "sqlite")
)
_WOKEN = Statement(
    union(
        select(_i.instance_id, _i.priority, _i.created_at).where(
            _dedicated, _due, _i.status != literal_column("'Pending'"), _i.resident.is_(False)
        ),
        select(_i.instance_id, _i.priority, _i.created_at)
        .select_from(inbox.join(instances, _i.instance_id == inbox.c.instance_id))
        # Before its time an instance takes no message: it would get a process for nothing.
        .where(
            inbox.c.placement == literal_column("'dedicated'"),
            _i.resident.is_(False),
            or_(_i.turn > literal_column("0"), _due),
        ),
    )
)

_NEXT = Statement(
    select(_i.next_due)
    .where(_dedicated, _i.next_due > number("after"), _i.resident.is_(False))
    .order_by(_i.next_due)
    .limit(number("limit"))
)

_RESIDENTS = Statement(
    select(_i.instance_id)
    .where(_dedicated, literal_column("instances.resident"), _live)  # in the words of its index
    .order_by(_i.instance_id)
    .with_hint(instances, "INDEXED BY ix_instances_resident", "sqlite")
)


class Finding:
    """The questions that hosts and the registry ask about live instances."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def unfinished(self, host: str, after: str = "", limit: int = 1000) -> tuple[InstanceRow, ...]:
        """Live instances of a host in instance_id order after `after`."""
        with self._database.read() as session:
            return tuple(to_row(row) for row in session.all(_UNFINISHED, host=host, after=after, limit=limit))

    def to_revive(self, host: str, now: int) -> tuple[str, ...]:
        """Live instances that a fresh process of this host must load at once."""
        with self._database.read() as session:
            return tuple(sorted(row[0] for row in session.all(_REVIVE, host=host, until=now)))

    def mail(self, host: str, limit: int) -> tuple[str, ...]:
        """Instances of a host with messages waiting."""
        with self._database.read() as session:
            return tuple(row[0] for row in session.all(_MAIL, host=host, limit=limit))

    def hosts_with_work(self, now: int) -> tuple[str, ...]:
        """Shared hosts that have something to do."""
        with self._database.read() as session:
            busy = {row[0] for row in session.all(_BUSY_HOSTS)}
            for (host,) in session.all(_PENDING_HOSTS):
                if host not in busy and session.one(_DUE, host=host, until=now, limit=1):
                    busy.add(host)
        return tuple(sorted(busy))

    def due(self, host: str, until: int, limit: int) -> tuple[tuple[str, int], ...]:
        """(instance_id, next_due) of a host's live instances due up to `until`, soonest first."""
        with self._database.read() as session:
            return tuple((row[0], row[1]) for row in session.all(_DUE, host=host, until=until, limit=limit))

    def dedicated_waiting(self, now: int, limit: int) -> tuple[InstanceRow, ...]:
        """Dedicated live instances without a process that should have one, in order of admission."""
        with self._database.read() as session:
            candidates = {*session.all(_UNSTARTED, until=now, limit=limit), *session.all(_WOKEN, until=now)}
            first = sorted(candidates, key=lambda row: (-row[1], row[2], row[0]))[:limit]
            rows = read_rows(session, [row[0] for row in first])
        return tuple(rows[row[0]] for row in first)

    def dedicated_next(self, after: int = -1) -> int | None:
        """When the next sleeping or delayed dedicated instance comes due after `after`."""
        with self._database.read() as session:
            row = session.one(_NEXT, after=after, limit=1)
        return None if row is None else int(row[0])

    def residents(self) -> tuple[str, ...]:
        """Live dedicated instances that are marked resident."""
        with self._database.read() as session:
            return tuple(row[0] for row in session.all(_RESIDENTS))
