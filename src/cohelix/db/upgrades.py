"""Brings a database's tables to a revision of the one chain of migrations in `db/migrations/versions`, up and down."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy.engine import Connection, Engine

from cohelix.core.errors import Damaged

_FOLDER = Path(__file__).parent / "migrations"
_LOCK = 0x636F68656C6978  # "cohelix": PostgreSQL's advisory lock of whoever migrates


def upgrade(engine: Engine, to: str = "head") -> None:
    """Run the migrations that are missing, in one transaction; another process that does the same waits.

    Raises
    ------
    Damaged
        If the tables are of a revision that this version does not know: a newer one made them.
    """
    with engine.begin() as connection:
        _lock(connection)
        if revision(connection) == ScriptDirectory.from_config(_config(connection)).get_current_head():
            return
        try:
            command.upgrade(_config(connection), to)
        except CommandError as error:
            raise Damaged(f"the database is not of this version of Cohelix: {error}") from None


def downgrade(engine: Engine, to: str) -> None:
    """Take migrations back to a revision, `base` for none; what only the taken back tables held is lost."""
    with engine.begin() as connection:
        _lock(connection)
        command.downgrade(_config(connection), to)


def revision(connection: Connection) -> str | None:
    """The revision of a database's tables; None for one without any."""
    return MigrationContext.configure(connection).get_current_revision()


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
