"""Proofs of possession of a key (DPoP, RFC 9449): a stolen token is of no use without the key that it is bound to."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from cohelix.access.jose import check_token, public_key_of, read_token
from cohelix.core.errors import NotAuthentic

PROOF_TYPE: Final = "dpop+jwt"
PROOF_SECONDS: Final = 60  # a proof is as old as this at most, and by another clock as far ahead
_PROOF_CHARACTERS_MAX: Final = 4096
_PORTS: Final = {"http": 80, "https": 443}


def verify_dpop(
    proof: str,
    *,
    method: str,
    url: str,
    now: datetime,
    first: Callable[[str, int], bool],
    access_token: str | None = None,
    jkt: str | None = None,
    nonce: str | None = None,
) -> str:
    """Check the proof that came with a request; gives the thumbprint of its key (RFC 7638).

    Parameters
    ----------
    method, url
        The request's, as its sender knows it; query and fragment do not count.
    first
        Whether a key is seen for the first time; it is to be remembered for that many seconds. Asked last, so that nobody
        can fill its memory with what does not hold.
    access_token
        The token that the proof must be of (`ath`); None where none is sent yet.
    jkt
        The thumbprint that the token is bound to.
    nonce
        What the server gave to be sent back; None where it gave nothing.

    Raises
    ------
    NotAuthentic
        With what does not hold.
    """
    read = read_token(proof, what="proof of the key", characters_max=_PROOF_CHARACTERS_MAX)
    key = public_key_of(read.header.get("jwk"))
    check_token(proof, read, key, what="proof of the key", types=(PROOF_TYPE,))
    claims = read.claims
    if claims.get("htm") != method:
        raise NotAuthentic("the proof of the key is for another method")
    if _target(claims.get("htu")) != _target(url):
        raise NotAuthentic("the proof of the key is for another address")
    issued = claims.get("iat")
    if isinstance(issued, bool) or not isinstance(issued, int | float) or abs(now.timestamp() - issued) > PROOF_SECONDS:
        raise NotAuthentic("the proof of the key is not of this minute")
    if nonce is not None and claims.get("nonce") != nonce:
        raise NotAuthentic("the proof of the key does not send back what the server gave")
    if access_token is not None and not _same(claims.get("ath"), _digest(access_token)):
        raise NotAuthentic("the proof of the key is of another token")
    thumbprint = key.thumbprint()
    if jkt is not None and not _same(thumbprint, jkt):
        raise NotAuthentic("the access token is bound to another key")
    identifier = claims.get("jti")
    if not isinstance(identifier, str) or not 1 <= len(identifier) <= 255:
        raise NotAuthentic("the proof of the key has no name of its own")
    # Hashed: what a stranger chooses as a name is never a key of ours.
    name = hashlib.sha256(f"{thumbprint}\n{identifier}".encode()).hexdigest()
    if not first(f"dpop:{name}", 2 * PROOF_SECONDS + 1):
        raise NotAuthentic("this proof of the key was used before")
    return thumbprint


def _target(url: object) -> tuple[str, str, int, str]:
    """An address without query and fragment, host and scheme in small letters, its port written out (RFC 9449 section 4.3)."""
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        port = parts.port or _PORTS.get(parts.scheme.lower(), 0)
        host = (parts.hostname or "").lower()
    except ValueError:
        host, port = "", 0
    if not host or not port:
        raise NotAuthentic("the proof of the key is for no address")
    return parts.scheme.lower(), host, port, parts.path or "/"


def _digest(token: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()


def _same(said: object, wanted: str) -> bool:
    return isinstance(said, str) and secrets.compare_digest(said.encode(), wanted.encode())
