"""Budgets: what registered people, and their organisations, have been told of datasets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006_budget"
down_revision = "0005_identity"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "budget_accounts",
        sa.Column("payer", sa.String(40), primary_key=True),
        sa.Column("dataset", sa.String(200), primary_key=True),
        sa.Column("spent", sa.Float, nullable=False),
        sa.Column("at", sa.String(40), nullable=False),
    )
    op.create_table(
        "budget_charges",
        sa.Column("payer", sa.String(40), primary_key=True),
        sa.Column("dataset", sa.String(200), primary_key=True),
        sa.Column("item", sa.String(40), primary_key=True),
        sa.Column("cost", sa.Float, nullable=False),
    )


def downgrade() -> None:
    """Take them back."""
    op.drop_table("budget_charges")
    op.drop_table("budget_accounts")
