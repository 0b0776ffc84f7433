"""A node's part in runs: the one roster of each, and what it has signed in it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003_node_runs"
down_revision = "0002_ledger"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "node_runs",
        sa.Column("run", sa.String(40), primary_key=True),
        sa.Column("plan_hash", sa.String(64), nullable=False),
        sa.Column("deadline", sa.String(40), nullable=False),
        sa.Column("roster", sa.String(64)),
        sa.Column("left", sa.String(1200)),
        sa.Column("ended", sa.String(20)),
    )
    op.create_table(
        "node_signed",
        sa.Column("run", sa.String(40), sa.ForeignKey("node_runs.run"), primary_key=True),
        sa.Column("kind", sa.String(10), primary_key=True),
        sa.Column("ask", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("block", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("document", sa.Text, nullable=False),
    )


def downgrade() -> None:
    """Take them back."""
    for name in ("node_signed", "node_runs"):
        op.drop_table(name)
