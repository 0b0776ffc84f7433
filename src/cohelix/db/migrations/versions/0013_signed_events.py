"""What people signed with events of applications, and how far a member has seen an application's history."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013_signed_events"
down_revision = "0012_grants_of_applications"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column and the table; events of before were signed by nobody, and no history was seen yet."""
    with op.batch_alter_table("application_events") as table:
        table.add_column(sa.Column("statement", sa.Text))
    op.create_table(
        "application_heads",
        sa.Column("application", sa.String(40), primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("link", sa.String(64), nullable=False),
    )


def downgrade() -> None:
    """Take them back."""
    op.drop_table("application_heads")
    with op.batch_alter_table("application_events") as table:
        table.drop_column("statement")
