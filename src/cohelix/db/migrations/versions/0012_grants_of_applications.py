"""For which application, and which approval of it, a visa was granted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012_grants_of_applications"
down_revision = "0011_notices"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; visas that were granted by command have neither."""
    with op.batch_alter_table("authority_visas") as table:
        table.add_column(sa.Column("application", sa.String(40)))
        table.add_column(sa.Column("episode", sa.Integer))
        table.create_index("ix_authority_visas_application", ["application"])


def downgrade() -> None:
    """Take them back."""
    with op.batch_alter_table("authority_visas") as table:
        table.drop_index("ix_authority_visas_application")
        table.drop_column("episode")
        table.drop_column("application")
