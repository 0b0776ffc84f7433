"""Authorities: what they granted and revoked, and those that members have shown the hub."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007_authorities"
down_revision = "0006_budget"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "authority_visas",
        sa.Column("id", sa.String(200), primary_key=True),
        sa.Column("authority", sa.String(64), nullable=False),
        sa.Column("dataset", sa.String(200), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("subject_issuer", sa.String(500), nullable=False),
        sa.Column("granted_at", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
        sa.Column("reason", sa.String(500), nullable=False),
        sa.Column("sent_at", sa.BigInteger),
        sa.Column("visa", sa.Text, nullable=False),
    )
    op.create_index("ix_authority_visas_revoked_at", "authority_visas", ["revoked_at"])
    op.create_table(
        "member_authorities",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("member", sa.String(64), nullable=False),
        sa.Column("shown", sa.JSON, nullable=False),
    )


def downgrade() -> None:
    """Take them back."""
    op.drop_index("ix_authority_visas_revoked_at", "authority_visas")
    for name in ("member_authorities", "authority_visas"):
        op.drop_table(name)
