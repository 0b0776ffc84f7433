"""Identity: roles, sessions, and the embedded issuer's accounts, clients and grants."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005_identity"
down_revision = "0004_audit"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "roles",
        sa.Column("issuer", sa.String(500), primary_key=True),
        sa.Column("subject", sa.String(255), primary_key=True),
        sa.Column("role", sa.String(40), primary_key=True),
        sa.Column("granted_at", sa.String(40), nullable=False),
    )
    op.create_table(
        "sessions",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("handle", sa.String(40), nullable=False, unique=True),
        sa.Column("realm", sa.String(20), nullable=False),
        sa.Column("issuer", sa.String(500), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
        sa.Column("ends_at", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_sessions_person", "sessions", ["realm", "issuer", "subject"])
    op.create_table(
        "used_once",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("ends_at", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_used_once_ends_at", "used_once", ["ends_at"])
    op.create_table(
        "throttles",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("ends_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "broker_accounts",
        sa.Column("subject", sa.String(40), primary_key=True),
        sa.Column("name", sa.String(64), nullable=False, unique=True),
        sa.Column("shown", sa.String(200), nullable=False),
        sa.Column("password", sa.String(200), nullable=False),
        sa.Column("temporary", sa.Boolean, nullable=False),
        sa.Column("researcher_since", sa.BigInteger),
        sa.Column("accepted_at", sa.BigInteger),
        sa.Column("closed", sa.Boolean, nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "broker_clients",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("secret", sa.String(64)),
        sa.Column("audience", sa.String(500), nullable=False),
        sa.Column("redirects", sa.JSON, nullable=False),
    )
    op.create_table(
        "broker_grants",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("family", sa.String(40), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("user_code", sa.String(64), unique=True),
        sa.Column("client", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(40), nullable=False),
        sa.Column("details", sa.JSON, nullable=False),
        sa.Column("polled_at", sa.BigInteger, nullable=False),
        sa.Column("ends_at", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_broker_grants_family", "broker_grants", ["family"])
    op.create_index("ix_broker_grants_ends_at", "broker_grants", ["ends_at"])


def downgrade() -> None:
    """Take them back."""
    op.drop_index("ix_sessions_person", "sessions")
    op.drop_index("ix_used_once_ends_at", "used_once")
    op.drop_index("ix_broker_grants_family", "broker_grants")
    op.drop_index("ix_broker_grants_ends_at", "broker_grants")
    for name in ("broker_grants", "broker_clients", "broker_accounts", "throttles", "used_once", "sessions", "roles"):
        op.drop_table(name)
