"""The audit log of a server's folder: its database, and its identity as the key that signs checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cohelix.audit.log import AuditLog
from cohelix.core.clock import Clock
from cohelix.db import open_database
from cohelix.federation.signing import load_identity

DATABASE_FILE: Final = "audit.sqlite"  # apart from runs and the ledger, so that nobody waits for their long transactions


def open_log(folder: Path, origin: str, database: str, *, clock: Clock | None = None) -> AuditLog:
    """The log of the node or hub in a folder; nothing is opened before its first entry.

    Parameters
    ----------
    origin
        Whose log: `node/FI` or `hub`.
    database
        The server's setting: the address of a PostgreSQL keeps the log too; beside a file it has a file of its own.
    """
    where = database if "://" in database else str(folder / DATABASE_FILE)
    identity = load_identity(folder)  # follows a rotation by itself
    return AuditLog(folder, origin, database=lambda: open_database(where), signer=lambda: identity.private, clock=clock)
