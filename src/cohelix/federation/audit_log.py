"""The audit log of a server's folder: its database, and its identity as the key that signs checkpoints."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

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
    return AuditLog(folder, origin, database=lambda: open_database(where), signer=_signer(folder), clock=clock)


def _signer(folder: Path) -> Callable[[], Ed25519PrivateKey]:
    """The key of the folder's identity, read anew when its file has changed."""
    lock = threading.Lock()
    path = folder / "identity" / "key.pem"
    held: list[tuple[tuple[int, int], Ed25519PrivateKey]] = []

    def signer() -> Ed25519PrivateKey:
        state = path.stat()
        version = (state.st_ino, state.st_mtime_ns)
        with lock:
            if not held or held[0][0] != version:
                held[:] = [(version, load_identity(folder).private)]
            return held[0][1]

    return signer
