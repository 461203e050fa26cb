"""The external events that an instance waits for, in its row. One that waits already shows them after its next turn."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("instances", sa.Column("awaited", sa.Text().with_variant(sa.Text(collation="C"), "postgresql")))
