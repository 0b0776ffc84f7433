"""The audit log: entries, hashes of subtrees, checkpoints, who pseudonyms are, writers, and what was seen of other logs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004_audit"
down_revision = "0003_node_runs"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "audit_entries",
        sa.Column("log", sa.String(80), primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("leaf", sa.LargeBinary, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("event", sa.String(40), nullable=False),
        sa.Column("person", sa.String(40)),
    )
    op.create_index("ix_audit_entries_person", "audit_entries", ["log", "person", "number"])
    op.create_table(
        "audit_nodes",
        sa.Column("log", sa.String(80), primary_key=True),
        sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "audit_heads",
        sa.Column("log", sa.String(80), primary_key=True),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("peaks", sa.LargeBinary, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("kept", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "audit_checkpoints",
        sa.Column("log", sa.String(80), primary_key=True),
        sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("note", sa.Text, nullable=False),
    )
    op.create_table(
        "audit_people",
        sa.Column("log", sa.String(80), primary_key=True),
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("pseudonym", sa.String(40), nullable=False),
        sa.Column("issuer", sa.String(1000), nullable=False),
        sa.Column("subject", sa.String(1000), nullable=False),
    )
    op.create_index("ix_audit_people_pseudonym", "audit_people", ["pseudonym"])
    op.create_table(
        "audit_writers",
        sa.Column("log", sa.String(80), primary_key=True),
        sa.Column("writer", sa.String(40), primary_key=True),
        sa.Column("written", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "audit_witnessed",
        sa.Column("log", sa.String(80), primary_key=True),
        sa.Column("origin", sa.String(200), primary_key=True),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("seen_at", sa.String(40), nullable=False),
        sa.Column("alarm", sa.Text),
    )
    op.create_table(
        "audit_cosignatures",
        sa.Column("log", sa.String(80), primary_key=True),
        sa.Column("witness", sa.String(200), primary_key=True),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
    )


def downgrade() -> None:
    """Take them back."""
    op.drop_index("ix_audit_people_pseudonym", "audit_people")
    op.drop_index("ix_audit_entries_person", "audit_entries")
    for name in (
        *("audit_cosignatures", "audit_witnessed", "audit_writers", "audit_people", "audit_checkpoints", "audit_heads"),
        *("audit_nodes", "audit_entries"),
    ):
        op.drop_table(name)
