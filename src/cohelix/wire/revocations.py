"""Messages about deciding authorities: the hub asks a member to sign the list of revoked visas."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from cohelix.wire.federation import Message
from cohelix.wire.frequency import Wire

REVOKED_MAX = 100_000
PAYLOAD_CHARACTERS_MAX = 4 << 20


class AuthorityShown(Wire):
    """An authority of a member: its issuer's address, its public keys (JWKs), and the datasets about which it decides."""

    id: str = Field(max_length=64)
    name: str = Field(max_length=200)
    issuer: str = Field(max_length=500)
    datasets: tuple[str, ...] = Field(default=(), max_length=10_000)
    keys: tuple[dict[str, Any], ...] = Field(default=(), max_length=100)


class ListSignature(Wire):
    """One signature of a JWS in the general JSON serialisation."""

    protected: str = Field(max_length=4096)
    signature: str = Field(max_length=1024)


class AskRevocations(Message):
    """Hub to node: `POST /federation/v1/revocations-sign`, answered with `RevocationsSigned`.

    `payload` is what is to be signed, base64url; the node's authorities sign it if it names all that they have revoked.
    """

    payload: str = Field(max_length=PAYLOAD_CHARACTERS_MAX)


class RevocationsSigned(Message):
    """Node to hub: its authorities, what they have revoked, and their signatures; none over a payload that leaves one out."""

    authorities: tuple[AuthorityShown, ...] = Field(default=(), max_length=100)
    revoked: tuple[str, ...] = Field(default=(), max_length=REVOKED_MAX)
    signatures: tuple[ListSignature, ...] = Field(default=(), max_length=100)
    refused: str | None = Field(default=None, max_length=500)
