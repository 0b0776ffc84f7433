"""The door for access tokens refuses whatever strangers may send, and never fails over it."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import pytest
from starlette.datastructures import Headers

from cohelix.access.door import TokenDoor
from cohelix.access.issuers import IssuerSettings
from cohelix.access.jose import read_token
from cohelix.access.oidc import OWN_PASSPORT_SECONDS, PASSPORT_SECONDS, open_issuer
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


def test_half_a_character_is_refused_before_it_is_hashed_or_stored() -> None:
    """JSON can say half of a surrogate pair, which no encoding can write: it must not come as far as a comparison."""
    part = base64.urlsafe_b64encode(b'{"ath": "\\ud800"}').rstrip(b"=").decode()
    with pytest.raises(NotAuthentic):
        read_token(f"e30.{part}.AA", what="proof of the key")
    whole = base64.urlsafe_b64encode(b'{"sub": "\\ud83d\\ude00"}').rstrip(b"=").decode()
    assert read_token(f"e30.{whole}.AA", what="access token").claims == {"sub": "\U0001f600"}


def test_of_two_tokens_or_proofs_none_is_taken(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "hub.sqlite")
    door = TokenDoor({}, "https://hub.example", Once(engine))
    for name in ("authorization", "dpop"):
        sent = Headers(raw=[(b"authorization", b"DPoP e30.e30.AA"), *[(name.encode(), b"e30.e30.AA")] * 2])
        with pytest.raises(NotAuthentic, match="one access token"):
            asyncio.run(door.person(sent, "GET", "https://hub.example/"))
    engine.dispose()


@pytest.mark.parametrize(
    ("issuer", "seconds"),
    [
        ("https://hub.example/broker", OWN_PASSPORT_SECONDS),
        ("https://hub.example.elsewhere/broker", PASSPORT_SECONDS),
        ("https://login.example", PASSPORT_SECONDS),
    ],
)
def test_the_hubs_own_issuer_is_asked_for_passports_often_so_that_a_grant_opens_soon(
    issuer: str, seconds: int, tmp_path: Path
) -> None:
    async def kept() -> int:
        opened = open_issuer(tmp_path, IssuerSettings(issuer=issuer, client_id="a node"), hub_url="https://hub.example")
        await opened.close()
        return opened.passport_seconds

    assert asyncio.run(kept()) == seconds
