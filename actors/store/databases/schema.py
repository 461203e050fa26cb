"""The one schema, for every database: what is kept, and what each index is for and costs.

The row of an instance changes with every turn, so an index is paid for in every turn that changes one of its columns
(and in PostgreSQL any such change costs an entry in *all* indexes, because the row can then not be updated in place).
Hence the rule of this file: **a turn that only goes on touches no index.** It follows that

- there is no index on `updated_at`, which every turn changes, nor on `outstanding`. A finished row's `updated_at`
  is its `completed_at`, which has an index and is written once; the live rows are found as those without
  `completed_at`. So a query by update time reads the finished ones in its range and the live ones: never the
  finished ones outside it;
- partial indexes say "live" as `completed_at IS NULL`, not as a list of statuses: Pending, Running, Suspended and back
  leave them alone;
- a finished instance has no `next_due`, so the due indexes hold exactly what may come due;
- `resident` is written only when it changes.

A change of status (three in a usual life) moves one entry of `ix_instances_status`; for a dedicated instance that
leaves Pending also one of `ix_instances_admission`. Only queued instances are in `ix_instances_queued`.

A long input lives in a table of its own: SQLite writes a changed row anew, and a turn must not write 100 KB of
input. Times are integers (µs since the epoch). Text compares by code point in every database, so that prefixes and
pages agree.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    and_,
    literal_column,
)
from sqlalchemy.types import TypeEngine

from durable_ray.actors.store.databases.revision import VERSION_TABLE

metadata = MetaData()

#: Which migration a store is at. As Alembic makes it, and apart, for it is no part of what migrations change.
version = Table(
    VERSION_TABLE,
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name=f"{VERSION_TABLE}_pkc"),
)

#: PostgreSQL compares by the rules of a language unless told otherwise.
_text: TypeEngine[str] = Text().with_variant(Text(collation="C"), "postgresql")
#: SQLite numbers rows by itself only in a column that is INTEGER to the letter.
_serial: TypeEngine[int] = BigInteger().with_variant(Integer, "sqlite")


def _partial(name: str, where: ColumnElement[bool], *columns: ColumnElement[object]) -> Index:
    return Index(name, *columns, sqlite_where=where, postgresql_where=where)


#: One row, there from the beginning; `boot_epoch` is 0 until the hub is booted. `lease_floor`: no lease that is new or
#: comes back after a purge begins below it, so that an epoch is never given twice.
hub = Table(
    "hub",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", _text, nullable=False),
    Column("boot_epoch", BigInteger, nullable=False),
    Column("cluster", _text, nullable=False),
    Column("address", _text, nullable=False),
    Column("heartbeat", BigInteger, nullable=False),
    Column("protocol", Integer, nullable=False),
    Column("partitions", Integer, nullable=False),
    Column("settings", _text, nullable=False),
    Column("definitions_revision", BigInteger, nullable=False),
    Column("lease_floor", BigInteger, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("host", _text, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

instances = Table(
    "instances",
    metadata,
    Column("instance_id", _text, primary_key=True),
    Column("execution_id", _text, nullable=False),
    Column("name", _text, nullable=False),
    Column("version", _text, nullable=False),
    Column("code_id", _text, nullable=False),
    Column("status", _text, nullable=False),
    Column("placement", _text, nullable=False),
    Column("host", _text, nullable=False),
    Column("resident", Boolean, nullable=False),
    Column("turn", BigInteger, nullable=False),
    Column("events", BigInteger, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("completed_at", BigInteger),
    Column("start_at", BigInteger),
    Column("queued", Boolean, nullable=False),
    Column("next_due", BigInteger),
    Column("output", _text),
    Column("custom_status", _text),
    Column("failure", _text),
    Column("parent_id", _text),
    Column("parent_execution", _text),
    Column("parent_task", BigInteger),
    Column("tags", _text, nullable=False),
    Column("priority", BigInteger, nullable=False),
    Column("recoveries", BigInteger, nullable=False),
    Column("waiting_reason", _text),
    Column("environment", _text, nullable=False),
    Column("settings", _text, nullable=False),
    Column("outstanding", BigInteger, nullable=False),
    Column("expires", BigInteger),
    Column("input", _text),
    Column("awaited", _text),
    # Room in each page for the next version of its rows, so that turns update in place.
    postgresql_with={"fillfactor": 80},
)

_i = instances.c
_dedicated = _i.placement == literal_column("'dedicated'")

# Status queries page in creation order, by any filter that selects well. `created_at` never changes.
Index("ix_instances_created", _i.created_at, _i.instance_id)
Index("ix_instances_status", _i.status, _i.created_at, _i.instance_id)
Index("ix_instances_name", _i.name, _i.created_at, _i.instance_id)
_partial("ix_instances_parent", _i.parent_id.is_not(None), _i.parent_id, _i.created_at, _i.instance_id)
Index("ix_instances_completed", _i.completed_at)
# What hosts and the registry look for: their live instances, what comes due, who waits for a process, what may go.
_partial("ix_instances_live", _i.completed_at.is_(None), _i.host, _i.instance_id)
_partial("ix_instances_due", _i.next_due.is_not(None), _i.host, _i.next_due)
_partial("ix_instances_dedicated_due", and_(_i.next_due.is_not(None), _dedicated), _i.next_due)
_partial(
    "ix_instances_admission",
    and_(_dedicated, _i.status == literal_column("'Pending'")),
    _i.priority.desc(),
    _i.created_at,
    _i.instance_id,
)
_partial(
    "ix_instances_resident", and_(_dedicated, literal_column("resident"), _i.completed_at.is_(None)), _i.instance_id
)
_partial("ix_instances_queued", literal_column("queued"), _i.name, _i.priority.desc(), _i.created_at, _i.instance_id)
_partial("ix_instances_expires", _i.expires.is_not(None), _i.expires)

inputs = Table(
    "inputs", metadata, Column("instance_id", _text, primary_key=True), Column("body", _text, nullable=False)
)

#: One row a turn. A plain table, which SQLite fills in the order of commits: the chunks of a group share a few
#: pages, where ordering them by instance would rewrite a page for each (measured: a quarter of the cost of a group
#: of 100).
history = Table(
    "history",
    metadata,
    Column("instance_id", _text, nullable=False),
    Column("execution_id", _text, nullable=False),
    Column("first_event", BigInteger, nullable=False),
    Column("body", _text, nullable=False),
    PrimaryKeyConstraint("instance_id", "execution_id", "first_event"),
)

#: `row` is never given twice, even after the newest row was consumed. Placement and host are those of the receiver,
#: and stay right: they change only with a new execution after a terminal status, which empties the inbox.
inbox = Table(
    "inbox",
    metadata,
    Column("row", _serial, primary_key=True, autoincrement=True),
    Column("placement", _text, nullable=False),
    Column("host", _text, nullable=False),
    Column("instance_id", _text, nullable=False),
    Column("message_id", _text, nullable=False),
    Column("execution_id", _text),
    Column("body", _text, nullable=False),
    sqlite_autoincrement=True,
)
Index("ix_inbox_message", inbox.c.instance_id, inbox.c.message_id, unique=True)
Index("ix_inbox_host", inbox.c.placement, inbox.c.host, inbox.c.instance_id)

receipts = Table(
    "receipts",
    metadata,
    Column("request_id", _text, primary_key=True),
    Column("outcome", _text, nullable=False),
    Column("expires", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
Index("ix_receipts_expires", receipts.c.expires)

definitions = Table(
    "definitions",
    metadata,
    Column("kind", _text, nullable=False),
    Column("name", _text, nullable=False),
    Column("version", _text, nullable=False),
    Column("code_id", _text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("how", _text, nullable=False),
    Column("options", _text, nullable=False),
    Column("runtime_env", _text),
    Column("body", LargeBinary, nullable=False),
    PrimaryKeyConstraint("kind", "name", "version", "code_id"),
)
Index("ix_definitions_revision", definitions.c.revision, unique=True)
Index("ix_definitions_newest", definitions.c.kind, definitions.c.name, definitions.c.revision)

#: Carries `created_at`, so that the instances with a tag can be read in the order in which pages are given out.
tags = Table(
    "tags",
    metadata,
    Column("key", _text, nullable=False),
    Column("value", _text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("instance_id", _text, nullable=False),
    PrimaryKeyConstraint("key", "value", "created_at", "instance_id"),
    sqlite_with_rowid=False,
)
Index("ix_tags_instance", tags.c.instance_id)

#: How many instances there are by name and status, kept up in the transaction that changes it. One set of rows for each
#: shared host (its own writer, so hosts do not wait for each other) and one, with host "", for all dedicated instances.
counters = Table(
    "counters",
    metadata,
    Column("host", _text, nullable=False),
    Column("name", _text, nullable=False),
    Column("status", _text, nullable=False),
    Column("n", BigInteger, nullable=False),
    PrimaryKeyConstraint("host", "name", "status"),
    sqlite_with_rowid=False,
)

#: Attempts of limited activities, in the order in which they asked: a row from being asked for until it is given back.
#: Granted attempts run; of a name there are never more than its limit.
permits = Table(
    "permits",
    metadata,
    Column("row", _serial, primary_key=True, autoincrement=True),
    Column("name", _text, nullable=False),
    Column("host", _text, nullable=False),
    Column("instance_id", _text, nullable=False),
    Column("execution_id", _text, nullable=False),
    Column("task_id", BigInteger, nullable=False),
    Column("attempt", BigInteger, nullable=False),
    Column("priority", BigInteger, nullable=False),
    Column("granted", Boolean, nullable=False),
    sqlite_autoincrement=True,
)
_p = permits.c
Index("ix_permits_address", _p.instance_id, _p.execution_id, _p.task_id, _p.attempt, unique=True)
Index("ix_permits_host", _p.host, _p.name)
Index("ix_permits_name", _p.name, _p.granted, _p.priority.desc(), _p.row)

#: Schedules. `state` is all of one (`orchestrations/schedules/`); the columns beside it are what is looked for: `due` is when
#: the registry has to decide something (null: paused or ended), `under_way` how many runs have not ended.
schedules = Table(
    "schedules",
    metadata,
    Column("schedule_id", _text, primary_key=True),
    Column("status", _text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("due", BigInteger),
    Column("under_way", BigInteger, nullable=False),
    Column("state", _text, nullable=False),
    postgresql_with={"fillfactor": 80},
)
_s = schedules.c
_partial("ix_schedules_due", _s.due.is_not(None), _s.due)
_partial("ix_schedules_under_way", _s.under_way > literal_column("0"), _s.schedule_id)

#: The hub's row as a new schema begins with it.
FIRST_HUB_ROW = {
    "id": 1,
    "name": "",
    "boot_epoch": 0,
    "cluster": "",
    "address": "",
    "heartbeat": 0,
    "protocol": 0,
    "partitions": 0,
    "settings": "{}",
    "definitions_revision": 0,
    "lease_floor": 0,
}
