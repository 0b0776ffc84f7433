"""What Alembic runs for each migration: on the connection, and in the transaction, of whoever opened the database."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
