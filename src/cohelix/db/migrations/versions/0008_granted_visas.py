"""Visas that authorities have handed in at the hub."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008_granted_visas"
down_revision = "0007_authorities"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "granted_visas",
        sa.Column("issuer", sa.String(500), primary_key=True),
        sa.Column("identifier", sa.String(255), primary_key=True),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("subject_issuer", sa.String(500), nullable=False),
        sa.Column("dataset", sa.String(200), nullable=False),
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("taken_at", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_granted_visas_expires_at", "granted_visas", ["expires_at"])
    op.create_index("ix_granted_visas_person", "granted_visas", ["subject_issuer", "subject"])


def downgrade() -> None:
    """Take it back."""
    op.drop_index("ix_granted_visas_person", "granted_visas")
    op.drop_index("ix_granted_visas_expires_at", "granted_visas")
    op.drop_table("granted_visas")
