"""Reading what is known by name: instances with their history and mail, receipts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from durable_ray.actors.store.databases.database import Database
from durable_ray.actors.store.records import InboxRow, InstanceRow, Loaded, Payloads
from durable_ray.actors.store.sql.rows import read_inbox, read_rows
from durable_ray.actors.store.sql.statement import Statement

HISTORIES = Statement("""
    SELECT instance_id, execution_id, body
    FROM history
    WHERE instance_id IN (:ids)
    ORDER BY instance_id, execution_id, first_event
    """)
RECEIPTS = Statement("SELECT request_id, outcome FROM receipts WHERE request_id IN (:ids)")


class SqlReads:
    """Whatever has an ID."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self, instance_ids: Sequence[str]) -> Mapping[str, Loaded]:
        """The named instances, whole, as of one moment. Absent ones are absent."""
        with self._database.read() as session:
            rows = read_rows(session, instance_ids)
            chunks: dict[str, list[str]] = {name: [] for name in rows}
            mail: dict[str, list[InboxRow]] = {name: [] for name in rows}
            for instance_id, _, body in session.all(HISTORIES, ids=session.list(rows)):
                chunks[instance_id].append(body)
            for message in read_inbox(session, rows):
                mail[message.instance_id].append(message)
        return {name: Loaded(row, tuple(chunks[name]), tuple(mail[name])) for name, row in rows.items()}

    def rows(self, instance_ids: Sequence[str], payloads: Payloads = "all") -> Mapping[str, InstanceRow]:
        """The named instances' rows."""
        with self._database.read() as session:
            return read_rows(session, instance_ids, payloads)

    def history(self, instance_id: str) -> tuple[str, ...]:
        """The encoded chunks of the current execution's history, oldest first."""
        with self._database.read() as session:
            return tuple(row[2] for row in session.all(HISTORIES, ids=session.list([instance_id])))

    def inbox(self, instance_ids: Sequence[str]) -> tuple[InboxRow, ...]:
        """The waiting messages of these instances, oldest first."""
        with self._database.read() as session:
            return read_inbox(session, instance_ids)

    def receipts(self, request_ids: Sequence[str]) -> Mapping[str, str]:
        """Outcomes recorded for these requests."""
        with self._database.read() as session:
            return {row[0]: row[1] for row in session.all(RECEIPTS, ids=session.list(request_ids))}
