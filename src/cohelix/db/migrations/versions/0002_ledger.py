"""A node's ledger: what each project has been told, with the proof that it tells of nobody."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002_ledger"
down_revision = "0001_runs"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "ledger_entries",
        sa.Column("project", sa.String(64), primary_key=True),
        sa.Column("question", sa.String(128), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("sets", sa.JSON, nullable=False),
        sa.Column("releases", sa.JSON, nullable=False),
        sa.Column("at", sa.String(40), nullable=False),
    )
    op.create_table(
        "ledger_rows",
        sa.Column("scope", sa.String(200), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("people", sa.LargeBinary, nullable=False),
        sa.Column("weights", sa.LargeBinary),
    )
    op.create_table(
        "ledger_proofs",
        sa.Column("scope", sa.String(200), primary_key=True),
        sa.Column("floor", sa.Integer, nullable=False),
        sa.Column("witnesses", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "ledger_traits",
        sa.Column("project", sa.String(64), primary_key=True),
        sa.Column("cohort", sa.String(64), primary_key=True),
        sa.Column("trait", sa.String(64), primary_key=True),
    )
    op.create_table(
        "ledger_refusals",
        sa.Column("project", sa.String(64), primary_key=True),
        sa.Column("question", sa.String(128), primary_key=True),
    )
    op.create_table(
        "ledger_names",
        sa.Column("part", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("names", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    """Take them back."""
    for name in ("ledger_names", "ledger_refusals", "ledger_traits", "ledger_proofs", "ledger_rows", "ledger_entries"):
        op.drop_table(name)
