"""What people are told of applications, and where their mail goes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011_notices"
down_revision = "0010_duties"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "notices",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("application", sa.String(40), sa.ForeignKey("applications.id"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("issuer", sa.String(500), nullable=False),
        sa.Column("subject", sa.String(300), nullable=False),
        sa.Column("matter", sa.String(40), nullable=False),
        sa.Column("dataset", sa.String(200), nullable=False),
        sa.Column("title", sa.String(300), nullable=False),
        sa.Column("due_at", sa.BigInteger),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.Column("read_at", sa.BigInteger),
        sa.Column("mail_at", sa.BigInteger),
        sa.Column("mail_tries", sa.Integer, nullable=False),
        sa.Column("mailed_at", sa.BigInteger),
        sa.Column("mail_fault", sa.String(200), nullable=False),
    )
    op.create_index("ix_notices_made_at", "notices", ["made_at"])
    op.create_index("ix_notices_mail_at", "notices", ["mail_at"])
    op.create_index("ix_notices_person", "notices", ["issuer", "subject", "read_at"])
    op.create_table(
        "contacts",
        sa.Column("issuer", sa.String(500), primary_key=True),
        sa.Column("subject", sa.String(300), primary_key=True),
        sa.Column("address", sa.String(254), nullable=False),
        sa.Column("by_operator", sa.Boolean, nullable=False),
        sa.Column("wanted", sa.Boolean, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Take them back."""
    op.drop_table("contacts")
    for name in ("ix_notices_person", "ix_notices_mail_at", "ix_notices_made_at"):
        op.drop_index(name, "notices")
    op.drop_table("notices")
