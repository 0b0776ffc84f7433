"""Applications for data, as their events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009_applications"
down_revision = "0008_granted_visas"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "applications",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("subject", sa.String(300), nullable=False),
        sa.Column("issuer", sa.String(500), nullable=False),
        sa.Column("title", sa.String(300), nullable=False),
        sa.Column("stage", sa.String(20), nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.create_index("ix_applications_stage", "applications", ["stage"])
    op.create_index("ix_applications_due_at", "applications", ["due_at"])
    op.create_index("ix_applications_person", "applications", ["issuer", "subject"])
    op.create_table(
        "application_events",
        sa.Column("application", sa.String(40), sa.ForeignKey("applications.id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("request", sa.String(64)),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("application", "request", name="uq_application_events_request"),
    )


def downgrade() -> None:
    """Drop them, and every application with them."""
    op.drop_table("application_events")
    op.drop_index("ix_applications_person", "applications")
    op.drop_index("ix_applications_due_at", "applications")
    op.drop_index("ix_applications_stage", "applications")
    op.drop_table("applications")
