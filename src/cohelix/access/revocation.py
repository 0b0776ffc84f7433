"""The list of revoked visas: one document signed by each deciding authority (rule 11 of the interface); pure functions.

A JWS in the general JSON serialisation. The payload names the hub, `iat`, `exp` (at most 60 s later) and all revoked `jtis`
of all authorities; every authority signs the same payload, so that whoever leaves out one id loses that authority's signature.
A signature names its authority by the address of its keys (`jku`), and its key by `kid`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from joserfc import jws

from cohelix.access.broker_keys import ALGORITHM, SigningKey
from cohelix.access.jose import Key, Unverified, check_token, read_token
from cohelix.core.errors import NotAuthentic

LIST_SECONDS: Final = 60
TYPE: Final = "cohelix-revocations+jwt"
MEDIA_TYPE: Final = "application/jose+json"
LIST_CHARACTERS_MAX: Final = 4 << 20
_WHAT: Final = "list of revocations"
_SIGNATURES_MAX: Final = 1000
_KEYS: Final = "/jwks.json"  # behind an authority's issuer (`Authority.jwks`)


@dataclass(frozen=True, slots=True)
class Payload:
    """What the authorities sign.

    Attributes
    ----------
    hub
        The federation's address.
    issued, expires
        Seconds since 1970; `expires` is at most 60 s later.
    revoked
        Identifiers of revoked visas.
    """

    hub: str
    issued: int
    expires: int
    revoked: frozenset[str]

    def encoded(self) -> str:
        """As it travels: base64url of JSON, the same for the same payload."""
        document = {"iss": self.hub, "iat": self.issued, "exp": self.expires, "jtis": sorted(self.revoked)}
        return _base64(json.dumps(document, separators=(",", ":")).encode())


@dataclass(frozen=True, slots=True)
class RevocationList:
    """A list as far as its signatures hold: what it says, and which authorities (by issuer) have said it."""

    payload: Payload
    signed_by: frozenset[str]


def compose(hub: str, revoked: Collection[str], now: datetime) -> Payload:
    """What is to be signed now."""
    issued = int(now.timestamp())
    return Payload(hub, issued, issued + LIST_SECONDS, frozenset(revoked))


def sign(encoded: str, issuer: str, key: SigningKey) -> dict[str, str]:
    """An authority's signature over an encoded payload: `protected` and `signature`."""
    header = {"alg": ALGORITHM, "typ": TYPE, "kid": key.kid, "jku": f"{issuer}{_KEYS}"}
    # The payload is signed as it came: its bytes are what others compare.
    token = jws.serialize_compact(header, _bytes(encoded), key.private, algorithms=[ALGORITHM])
    protected, body, signature = token.split(".")
    if body != encoded:
        raise NotAuthentic(f"the {_WHAT} is not encoded in the one way")
    return {"protected": protected, "signature": signature}


def read_payload(encoded: str) -> Payload:
    """The payload that somebody asks to have signed; nothing of it is believed yet.

    Raises
    ------
    NotAuthentic
        If it is not one.
    """
    # As a token with a header of no meaning: the strict reader of tokens reads the payload, too.
    return _payload(read_token(f"e30.{encoded}.AA", what=_WHAT, characters_max=LIST_CHARACTERS_MAX).claims)


def document_of(encoded: str, signatures: Iterable[Mapping[str, str]]) -> dict[str, Any]:
    """The JWS as it is published."""
    return {"payload": encoded, "signatures": [dict(one) for one in signatures]}


def needed_keys(document: object) -> list[tuple[str, str]]:
    """By issuer and `kid`, the keys that a list's signatures name, whoever wrote them; none of what is no list."""
    found = []
    for one in _signatures(document):
        try:
            read = read_token(f"{one.get('protected')}.e30.AA", what=_WHAT)
        except NotAuthentic:
            continue
        found.append((_issuer_of(read), read.kid))
    return found


def verify(document: object, keys: Mapping[tuple[str, str], Key], *, hub: str) -> RevocationList:
    """The list, with the authorities whose signatures hold; clocks are the caller's concern.

    Parameters
    ----------
    document
        As it came, parsed as JSON.
    keys
        Keys of the authorities that the reader trusts, by issuer and `kid`; signatures of others are passed over.
    hub
        Whose list it has to be.

    Raises
    ------
    NotAuthentic
        If it is no such list, or of another federation.
    """
    if not isinstance(document, dict) or not isinstance(document.get("payload"), str):
        raise NotAuthentic(f"this is no {_WHAT}")
    encoded: str = document["payload"]
    payload = read_payload(encoded)
    if payload.hub != hub:
        raise NotAuthentic(f"the {_WHAT} is of another federation")
    signed = frozenset(issuer for one in _signatures(document) if (issuer := _signer(encoded, one, keys)) is not None)
    return RevocationList(payload, signed)


def _signatures(document: object) -> list[dict[str, Any]]:
    found = document.get("signatures") if isinstance(document, dict) else None
    if not isinstance(found, list) or len(found) > _SIGNATURES_MAX:
        raise NotAuthentic(f"this is no {_WHAT}")
    return [one for one in found if isinstance(one, dict)]


def _signer(encoded: str, signature: Mapping[str, Any], keys: Mapping[tuple[str, str], Key]) -> str | None:
    """The issuer whose signature this is; None where it does not hold, or nobody knows the issuer."""
    token = f"{signature.get('protected')}.{encoded}.{signature.get('signature')}"
    try:
        read = read_token(token, what=_WHAT, characters_max=LIST_CHARACTERS_MAX)
        key = keys.get((_issuer_of(read), read.kid))
        if key is None:
            return None
        check_token(token, read, key, what=_WHAT, types=(TYPE,))
    except NotAuthentic:
        return None
    return _issuer_of(read)


def _issuer_of(read: Unverified) -> str:
    """Who a signature says it is of; empty where it says nothing. Only the name is taken of the address, nothing is fetched."""
    said = read.header.get("jku")
    return said.removesuffix(_KEYS) if isinstance(said, str) and said.endswith(_KEYS) else ""


def _payload(claims: Mapping[str, Any]) -> Payload:
    hub, issued, expires, revoked = (claims.get(name) for name in ("iss", "iat", "exp", "jtis"))
    if (
        set(claims) != {"iss", "iat", "exp", "jtis"}
        or not isinstance(hub, str)
        or type(issued) is not int
        or type(expires) is not int
        or not 0 < expires - issued <= LIST_SECONDS
        or not isinstance(revoked, list)
        or not all(isinstance(one, str) and 0 < len(one) <= 200 for one in revoked)
    ):
        raise NotAuthentic(f"this is no {_WHAT}")
    return Payload(hub, issued, expires, frozenset(revoked))


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _bytes(encoded: str) -> bytes:
    return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
