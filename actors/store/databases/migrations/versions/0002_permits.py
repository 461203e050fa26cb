"""Permits: which attempts of limited activities run, and which wait."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _text() -> Any:
    return sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
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


def downgrade() -> None:
    raise NotImplementedError("a store is never brought back to an older schema; restore a backup")
