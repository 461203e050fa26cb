"""The first schema. A migration never changes again: what `schema.py` becomes later is a migration of its own."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _text() -> Any:
    return sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def _owners() -> None:
    op.create_table(
        "hub",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", _text(), nullable=False),
        sa.Column("boot_epoch", sa.BigInteger(), nullable=False),
        sa.Column("cluster", _text(), nullable=False),
        sa.Column("address", _text(), nullable=False),
        sa.Column("heartbeat", sa.BigInteger(), nullable=False),
        sa.Column("protocol", sa.Integer(), nullable=False),
        sa.Column("partitions", sa.Integer(), nullable=False),
        sa.Column("settings", _text(), nullable=False),
        sa.Column("definitions_revision", sa.BigInteger(), nullable=False),
        sa.Column("lease_floor", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "leases",
        sa.Column("host", _text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("host"),
        sqlite_with_rowid=False,
    )


def _instances() -> None:
    op.create_table(
        "instances",
        sa.Column("instance_id", _text(), nullable=False),
        sa.Column("execution_id", _text(), nullable=False),
        sa.Column("name", _text(), nullable=False),
        sa.Column("version", _text(), nullable=False),
        sa.Column("code_id", _text(), nullable=False),
        sa.Column("status", _text(), nullable=False),
        sa.Column("placement", _text(), nullable=False),
        sa.Column("host", _text(), nullable=False),
        sa.Column("resident", sa.Boolean(), nullable=False),
        sa.Column("turn", sa.BigInteger(), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger()),
        sa.Column("completed_at", sa.BigInteger()),
        sa.Column("start_at", sa.BigInteger()),
        sa.Column("queued", sa.Boolean(), nullable=False),
        sa.Column("next_due", sa.BigInteger()),
        sa.Column("output", _text()),
        sa.Column("custom_status", _text()),
        sa.Column("failure", _text()),
        sa.Column("parent_id", _text()),
        sa.Column("parent_execution", _text()),
        sa.Column("parent_task", sa.BigInteger()),
        sa.Column("tags", _text(), nullable=False),
        sa.Column("priority", sa.BigInteger(), nullable=False),
        sa.Column("recoveries", sa.BigInteger(), nullable=False),
        sa.Column("waiting_reason", _text()),
        sa.Column("environment", _text(), nullable=False),
        sa.Column("settings", _text(), nullable=False),
        sa.Column("outstanding", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger()),
        sa.Column("input", _text()),
        sa.PrimaryKeyConstraint("instance_id"),
        postgresql_with={"fillfactor": 80},
    )


def _indexes_of_instances() -> None:
    op.create_index(
        "ix_instances_admission",
        "instances",
        [sa.literal_column("priority DESC"), "created_at", "instance_id"],
        **_where("placement = 'dedicated' AND status = 'Pending'"),
    )
    op.create_index("ix_instances_completed", "instances", ["completed_at"])
    op.create_index("ix_instances_created", "instances", ["created_at", "instance_id"])
    op.create_index(
        "ix_instances_dedicated_due",
        "instances",
        ["next_due"],
        **_where("next_due IS NOT NULL AND placement = 'dedicated'"),
    )
    op.create_index("ix_instances_due", "instances", ["host", "next_due"], **_where("next_due IS NOT NULL"))
    op.create_index("ix_instances_expires", "instances", ["expires"], **_where("expires IS NOT NULL"))
    op.create_index("ix_instances_live", "instances", ["host", "instance_id"], **_where("completed_at IS NULL"))
    op.create_index("ix_instances_name", "instances", ["name", "created_at", "instance_id"])
    op.create_index(
        "ix_instances_parent",
        "instances",
        ["parent_id", "created_at", "instance_id"],
        **_where("parent_id IS NOT NULL"),
    )
    op.create_index(
        "ix_instances_queued",
        "instances",
        ["name", sa.literal_column("priority DESC"), "created_at", "instance_id"],
        **_where("queued"),
    )
    op.create_index(
        "ix_instances_resident",
        "instances",
        ["instance_id"],
        **_where("placement = 'dedicated' AND resident AND completed_at IS NULL"),
    )
    op.create_index("ix_instances_status", "instances", ["status", "created_at", "instance_id"])


def _what_instances_own() -> None:
    op.create_table(
        "inputs",
        sa.Column("instance_id", _text(), nullable=False),
        sa.Column("body", _text(), nullable=False),
        sa.PrimaryKeyConstraint("instance_id"),
    )
    op.create_table(
        "history",
        sa.Column("instance_id", _text(), nullable=False),
        sa.Column("execution_id", _text(), nullable=False),
        sa.Column("first_event", sa.BigInteger(), nullable=False),
        sa.Column("body", _text(), nullable=False),
        sa.PrimaryKeyConstraint("instance_id", "execution_id", "first_event"),
    )
    op.create_table(
        "inbox",
        sa.Column("row", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("placement", _text(), nullable=False),
        sa.Column("host", _text(), nullable=False),
        sa.Column("instance_id", _text(), nullable=False),
        sa.Column("message_id", _text(), nullable=False),
        sa.Column("execution_id", _text()),
        sa.Column("body", _text(), nullable=False),
        sa.PrimaryKeyConstraint("row"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_inbox_host", "inbox", ["placement", "host", "instance_id"])
    op.create_index("ix_inbox_message", "inbox", ["instance_id", "message_id"], unique=True)
    op.create_table(
        "tags",
        sa.Column("key", _text(), nullable=False),
        sa.Column("value", _text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("instance_id", _text(), nullable=False),
        sa.PrimaryKeyConstraint("key", "value", "created_at", "instance_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_tags_instance", "tags", ["instance_id"])


def _the_rest() -> None:
    op.create_table(
        "receipts",
        sa.Column("request_id", _text(), nullable=False),
        sa.Column("outcome", _text(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("request_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_receipts_expires", "receipts", ["expires"])
    op.create_table(
        "definitions",
        sa.Column("kind", _text(), nullable=False),
        sa.Column("name", _text(), nullable=False),
        sa.Column("version", _text(), nullable=False),
        sa.Column("code_id", _text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("how", _text(), nullable=False),
        sa.Column("options", _text(), nullable=False),
        sa.Column("runtime_env", _text()),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", "version", "code_id"),
    )
    op.create_index("ix_definitions_newest", "definitions", ["kind", "name", "revision"])
    op.create_index("ix_definitions_revision", "definitions", ["revision"], unique=True)
    op.create_table(
        "counters",
        sa.Column("host", _text(), nullable=False),
        sa.Column("name", _text(), nullable=False),
        sa.Column("status", _text(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("host", "name", "status"),
        sqlite_with_rowid=False,
    )


def _permits() -> None:
    op.create_table(
        "permits",
        sa.Column("row", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("name", _text(), nullable=False),
        sa.Column("host", _text(), nullable=False),
        sa.Column("instance_id", _text(), nullable=False),
        sa.Column("execution_id", _text(), nullable=False),
        sa.Column("task_id", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("priority", sa.BigInteger(), nullable=False),
        sa.Column("granted", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("row"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_permits_address", "permits", ["instance_id", "execution_id", "task_id", "attempt"], unique=True)
    op.create_index("ix_permits_host", "permits", ["host", "name"])
    op.create_index("ix_permits_name", "permits", ["name", "granted", sa.literal_column("priority DESC"), "row"])


def _schedules() -> None:
    op.create_table(
        "schedules",
        sa.Column("schedule_id", _text(), nullable=False),
        sa.Column("status", _text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("due", sa.BigInteger()),
        sa.Column("under_way", sa.BigInteger(), nullable=False),
        sa.Column("state", _text(), nullable=False),
        sa.PrimaryKeyConstraint("schedule_id"),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index("ix_schedules_due", "schedules", ["due"], **_where("due IS NOT NULL"))
    op.create_index("ix_schedules_under_way", "schedules", ["schedule_id"], **_where("under_way > 0"))


def upgrade() -> None:
    _owners()
    _instances()
    _indexes_of_instances()
    _what_instances_own()
    _the_rest()
    _permits()
    _schedules()
    op.execute(
        "INSERT INTO hub (id, name, boot_epoch, cluster, address, heartbeat, protocol, partitions, settings,"
        " definitions_revision, lease_floor) VALUES (1, '', 0, '', '', 0, 0, 0, '{}', 0, 0)"
    )


def downgrade() -> None:
    raise NotImplementedError("a store is never brought back to an older schema; restore a backup (docs/operations.md)")
