"""Brings a database's tables to a revision of the one chain of migrations in `db/migrations/versions`, up and down."""

from __future__ import annotations

import functools
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from cohelix.core.errors import Damaged

if TYPE_CHECKING:  # Alembic is loaded where tables are to be changed: every command that opens a database would wait for it
    from alembic.config import Config

_FOLDER = Path(__file__).parent / "migrations"
_ALONE = threading.Lock()  # Alembic keeps what it works on in globals of the process
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
        if to in ("head", newest_revision()) and revision(connection) == newest_revision():
            return
        from alembic import command
        from alembic.util.exc import CommandError

        try:
            with _ALONE:
                command.upgrade(_config(connection), to)
        except CommandError as error:
            raise Damaged(f"the database is not of this version of Cohelix: {error}") from None


def downgrade(engine: Engine, to: str) -> None:
    """Take migrations back to a revision, `base` for none; what only the taken back tables held is lost."""
    with engine.begin() as connection:
        _lock(connection)
        from alembic import command

        with _ALONE:
            command.downgrade(_config(connection), to)


def revision(connection: Connection) -> str | None:
    """The revision of a database's tables; None for one without any."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return None if found is None else str(found)


@functools.cache
def newest_revision() -> str:
    """The newest revision: the one that no other is built upon; read from the migrations' own files."""
    texts = [path.read_text(encoding="utf-8") for path in (_FOLDER / "versions").glob("[0-9]*.py")]
    names = {found[1] for text in texts if (found := re.search(r'^revision\b[^=]*= "(.+)"$', text, re.MULTILINE))}
    older = {found[1] for text in texts if (found := re.search(r'^down_revision\b[^=]*= "(.+)"$', text, re.MULTILINE))}
    (head,) = names - older
    return head


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")


def _config(connection: Connection) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
