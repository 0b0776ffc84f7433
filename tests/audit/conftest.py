"""Logs in real databases, and entries to put into them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cohelix.audit.log import AuditLog
from cohelix.db import downgrade, open_database

MakeLog = Callable[..., AuditLog]


@pytest.fixture
def make_log(tmp_path: Path, database: str) -> Iterator[MakeLog]:
    """Opens the log of a folder again and again, in each kind of database."""
    opened: list[AuditLog] = []
    keys: dict[str, Ed25519PrivateKey] = {}

    def make(name: str = "FI", *, key: Ed25519PrivateKey | None = None) -> AuditLog:
        folder = tmp_path / name
        (folder / "identity").mkdir(parents=True, exist_ok=True)
        signer = key or keys.setdefault(name, Ed25519PrivateKey.generate())
        opened.append(AuditLog(folder, f"node/{name}", database=lambda: open_database(database), signer=lambda: signer))
        return opened[-1]

    yield make
    for log in opened:
        log.close()
    engine = open_database(database)
    downgrade(engine, "base")
    engine.dispose()
