"""Reading instances by ID: rows, histories, inboxes, receipts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from durable_ray.actors.store.databases.database import Database
from durable_ray.actors.store.records import FINISHED, LIVE, InboxMessage, InstanceRow, Loaded, Payloads
from durable_ray.actors.store.sql.statement import Row, Session, Statement
from durable_ray.orchestrations.history.events import ParentAddress

#: The columns of `ParentAddress`, in its order.
_PARENT = ("parent_id", "parent_execution", "parent_task")


def columns_of(record: type[Struct]) -> tuple[str, ...]:
    """The columns of the fields of an instance, in their order: each has its field's name, and the parent is three."""
    names = [name for field in record.__struct_fields__ for name in (_PARENT if field == "parent" else (field,))]
    return tuple([name for name in names if name != "damage"])


COLUMNS = columns_of(InstanceRow)
_PARENT_AT, _TAGS = COLUMNS.index(_PARENT[0]), COLUMNS.index("tags")
_STATUS, _STATUSES = COLUMNS.index("status"), frozenset((*LIVE, *FINISHED))
#: SQLite has no booleans.
_FLAGS = (COLUMNS.index("queued"), COLUMNS.index("resident"))


_decode_tags = msgspec.json.Decoder(dict[str, str]).decode


def _columns(**instead: str) -> str:
    return ", ".join(instead.get(name, f"instances.{name}") for name in COLUMNS)


ROWS = Statement(f"""
    SELECT {_columns(input="coalesce(instances.input, inputs.body)")}
    FROM instances LEFT OUTER JOIN inputs ON inputs.instance_id = instances.instance_id
    WHERE instances.instance_id IN (:ids)
    """)
ROWS_WITHOUT_INPUT = Statement(f"SELECT {_columns(input='NULL')} FROM instances WHERE instance_id IN (:ids)")
ROWS_WITHOUT_PAYLOADS = Statement(
    f"SELECT {_columns(input='NULL', output='NULL')} FROM instances WHERE instance_id IN (:ids)"
)
#: How many bytes each has in its input, its output and the rest; no payload is read for it.
SIZES = Statement("""
    SELECT instances.instance_id, coalesce(octet_length(instances.input), octet_length(inputs.body), 0),
        coalesce(octet_length(instances.output), 0),
        coalesce(octet_length(instances.custom_status), 0) + coalesce(octet_length(instances.failure), 0)
    FROM instances LEFT OUTER JOIN inputs ON inputs.instance_id = instances.instance_id
    WHERE instances.instance_id IN (:ids)
    """)
INBOX = Statement("""
    SELECT instance_id, message_id, body, execution_id, "row"
    FROM inbox
    WHERE instance_id IN (:ids)
    ORDER BY "row"
    """)


def to_row(row: Row) -> InstanceRow:
    """The value of one row of an instance. What of it cannot be read is in `damage`: a query of many must not fail for one."""
    damage = None
    fields: list[Any] = [*row]
    for at in _FLAGS:
        fields[at] = bool(row[at])
    fields[_TAGS] = {}
    if row[_TAGS] != "{}":
        try:
            fields[_TAGS] = _decode_tags(row[_TAGS])
        except msgspec.MsgspecError as error:
            damage = f"its tags cannot be read ({error})"
    if row[_STATUS] not in _STATUSES:
        damage = f"it has the status {row[_STATUS]!r}, which does not exist"
    parent = row[_PARENT_AT : _PARENT_AT + len(_PARENT)]
    fields[_PARENT_AT : _PARENT_AT + len(_PARENT)] = [ParentAddress(*parent) if parent[0] is not None else None]
    fields.append(damage)
    return InstanceRow(*fields)


def read_rows(session: Session, instance_ids: Iterable[str], payloads: Payloads = "all") -> dict[str, InstanceRow]:
    """The named instances, with those payloads; absent ones are absent."""
    found = session.all(_ROWS[payloads], ids=session.list(instance_ids))
    return {row[0]: to_row(row) for row in found}


def read_sizes(session: Session, instance_ids: Iterable[str], payloads: Payloads) -> dict[str, int]:
    """How many bytes of payloads each row would bring."""
    found = session.all(SIZES, ids=session.list(instance_ids))
    return {
        instance_id: other + (0 if payloads == "none" else output) + (size if payloads == "all" else 0)
        for instance_id, size, output, other in found
    }


_ROWS = {"all": ROWS, "output": ROWS_WITHOUT_INPUT, "none": ROWS_WITHOUT_PAYLOADS}


def read_inbox(session: Session, instance_ids: Iterable[str]) -> tuple[InboxMessage, ...]:
    """The messages that wait for these instances, oldest first."""
    return tuple(InboxMessage(*row) for row in session.all(INBOX, ids=session.list(instance_ids)))


HISTORIES = Statement("""
    SELECT instance_id, first_event, body
    FROM history
    WHERE instance_id IN (:ids)
    ORDER BY instance_id, execution_id, first_event
    """)
RECEIPTS = Statement("SELECT request_id, outcome FROM receipts WHERE request_id IN (:ids)")


class SqlReads:
    """Reads by ID."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self, instance_ids: Sequence[str]) -> Mapping[str, Loaded]:
        """The named instances, whole, as of one moment. Absent ones are absent."""
        with self._database.read() as session:
            rows = read_rows(session, instance_ids)
            chunks: dict[str, list[str]] = {name: [] for name in rows}
            positions: dict[str, list[int]] = {name: [] for name in rows}
            inbox: dict[str, list[InboxMessage]] = {name: [] for name in rows}
            for instance_id, first_event, body in session.all(HISTORIES, ids=session.list(rows)):
                chunks[instance_id].append(body)
                positions[instance_id].append(first_event)
            for message in read_inbox(session, rows):
                inbox[message.instance_id].append(message)
        return {
            name: Loaded(row, tuple(chunks[name]), tuple(inbox[name]), tuple(positions[name]))
            for name, row in rows.items()
        }

    def rows(self, instance_ids: Sequence[str], payloads: Payloads = "all") -> Mapping[str, InstanceRow]:
        """The named instances' rows."""
        with self._database.read() as session:
            return read_rows(session, instance_ids, payloads)

    def history(self, instance_id: str) -> tuple[str, ...]:
        """The encoded chunks of the current execution's history, oldest first."""
        with self._database.read() as session:
            return tuple(row[2] for row in session.all(HISTORIES, ids=session.list([instance_id])))

    def inbox(self, instance_ids: Sequence[str]) -> tuple[InboxMessage, ...]:
        """The waiting messages of these instances, oldest first."""
        with self._database.read() as session:
            return read_inbox(session, instance_ids)

    def receipts(self, request_ids: Sequence[str]) -> Mapping[str, str]:
        """Outcomes recorded for these requests."""
        with self._database.read() as session:
            return {row[0]: row[1] for row in session.all(RECEIPTS, ids=session.list(request_ids))}
