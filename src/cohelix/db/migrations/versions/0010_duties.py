"""What roles are for, and the texts of agreements."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010_duties"
down_revision = "0009_applications"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "role_scopes",
        sa.Column("issuer", sa.String(500), primary_key=True),
        sa.Column("subject", sa.String(255), primary_key=True),
        sa.Column("role", sa.String(40), primary_key=True),
        sa.Column("scope", sa.String(320), primary_key=True),
    )
    op.create_table(
        "agreement_texts",
        sa.Column("application", sa.String(40), sa.ForeignKey("applications.id"), primary_key=True),
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
    )


def downgrade() -> None:
    """Take them back."""
    op.drop_table("agreement_texts")
    op.drop_table("role_scopes")
