"""In which language somebody is written to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014_language_of_mails"
down_revision = "0013_signed_events"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; of people who have not logged in since nothing is known, and they are written to in English."""
    with op.batch_alter_table("contacts") as table:
        table.add_column(sa.Column("language", sa.String(20), nullable=False, server_default=""))


def downgrade() -> None:
    """Take it back."""
    with op.batch_alter_table("contacts") as table:
        table.drop_column("language")
