"""The door for access tokens refuses whatever strangers may send, and never fails over it."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import pytest

from cohelix.access.door import TokenDoor
from cohelix.access.sessions import Once
from cohelix.core.errors import NotAuthentic
from cohelix.db import open_database

_DEEP = base64.urlsafe_b64encode(b"[" * 5900).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "sent",
    ["", "DPoP", "DPoP ", "Basic eDp4", "Bearer x", "DPoP x.y.z", f"DPoP e30.{_DEEP}.AA", "DPoP e30.e30.AA", "DPoP é.é.é"],
)
def test_what_is_no_token_is_refused(sent: str, tmp_path: Path) -> None:
    engine = open_database(tmp_path / "hub.sqlite")
    door = TokenDoor({}, "https://hub.example", Once(engine))
    with pytest.raises(NotAuthentic):
        asyncio.run(door.person({"authorization": sent}, "GET", "https://hub.example/"))
    engine.dispose()
