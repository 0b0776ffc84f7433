"""Signed tokens: the one place that reads a JWT, and checks algorithm, type, key, signature and times (pure).

Only RS256 and ES256 (GA4GH AAI 1.2.1). A key is chosen by issuer and `kid` among those that the caller gives; what a
header says of keys and addresses is never followed. `joserfc` checks signatures; it accepts an expired token until it is
told to look, so nothing else calls it.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NoReturn

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from cohelix.core.errors import NotAuthentic

ALGORITHMS: Final = ("RS256", "ES256")
# What is not yet valid may be so by another clock (threat T19 of the security note). An end is an end.
SKEW_SECONDS: Final = 60
RSA_BITS_MIN: Final = 2048
TOKEN_CHARACTERS_MAX: Final = 64 * 1024
_HEADER_CHARACTERS_MAX: Final = 4096
_DEPTH_MAX: Final = 12
_DIGITS_MAX: Final = 20

Key = RSAKey | ECKey


class _Registry(jws.JWSRegistry):
    """joserfc's own bound of 512 bytes is too small for a proof that shows an RSA key."""

    max_header_length = _HEADER_CHARACTERS_MAX


# Header members that we do not know are ignored, as RFC 7515 has it; `crit` is refused before.
_REGISTRIES: Final = {name: _Registry(algorithms=[name], strict_check_header=False) for name in ALGORITHMS}


@dataclass(frozen=True, slots=True)
class Unverified:
    """A token's two documents as they were written, by whomever: only good for finding the key that may fit."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]

    @property
    def issuer(self) -> str:
        """Who it says it is from; empty where it does not say."""
        said = self.claims.get("iss")
        return said if isinstance(said, str) else ""

    @property
    def kid(self) -> str:
        """The key that it names; empty where it names none."""
        said = self.header.get("kid")
        return said if isinstance(said, str) else ""


def read_token(token: str, *, what: str, characters_max: int = TOKEN_CHARACTERS_MAX) -> Unverified:
    """Take a compact JWT apart, strictly; nothing of it is believed.

    Raises
    ------
    NotAuthentic
        If it is too long, or not three base64url parts of which two are JSON objects: no name twice, no number that
        JSON does not have, not nested without end.
    """
    if len(token) > characters_max:
        raise NotAuthentic(f"the {what} is longer than {characters_max} characters")
    parts = token.split(".")
    if len(parts) != 3 or not all(parts):
        raise NotAuthentic(f"the {what} is not a signed token of three parts")
    if len(parts[0]) > _HEADER_CHARACTERS_MAX:
        raise NotAuthentic(f"the {what} has a header that is too long")
    header, claims = _object(parts[0], what), _object(parts[1], what)
    try:
        _bytes(parts[2])
    except ValueError:
        raise NotAuthentic(f"the signature of the {what} is not base64url") from None
    return Unverified(header, claims)


def check_token(token: str, read: Unverified, key: Key, *, what: str, types: Collection[str | None]) -> None:
    """Check a token's algorithm, type and signature with a key that the caller has chosen.

    Raises
    ------
    NotAuthentic
        With what does not hold.
    """
    header = read.header
    algorithm = header.get("alg")
    if algorithm not in ALGORITHMS:
        raise NotAuthentic(f"the {what} is signed with an algorithm other than {' and '.join(ALGORITHMS)}")
    if header.get("typ") not in types:
        raise NotAuthentic(f"the {what} is of another type")
    if "crit" in header or "b64" in header:
        raise NotAuthentic(f"the {what} demands an extension that is not understood")
    if not key_fits(key, str(algorithm)):
        raise NotAuthentic(f"the {what} names a key of another kind than its algorithm")
    try:
        jws.deserialize_compact(token, key, registry=_REGISTRIES[str(algorithm)])
    except (JoseError, ValueError, TypeError, binascii.Error):
        raise NotAuthentic(f"the signature of the {what} does not hold") from None


def check_times(what: str, now: datetime, *, issued: float, expires: float, not_before: float | None = None) -> None:
    """Check that a document is of the past and has not ended; `NotAuthentic` says which does not hold."""
    seconds = now.timestamp()
    if seconds >= expires:
        raise NotAuthentic(f"the {what} has expired")
    if max(issued, not_before or 0.0) > seconds + SKEW_SECONDS:
        raise NotAuthentic(f"the {what} is not valid yet")
    if expires <= issued:
        raise NotAuthentic(f"the {what} ends before it begins")


def key_fits(key: Key, algorithm: str) -> bool:
    """Whether a key is of the algorithm's kind, and strong enough."""
    if algorithm == "RS256":
        return isinstance(key, RSAKey) and key.raw_value.key_size >= RSA_BITS_MIN
    return isinstance(key, ECKey) and key.curve_name == "P-256"


def read_key_set(document: object) -> dict[str, Key]:
    """The public signing keys of a JWK set, by `kid`.

    A key that is for something else, of a kind that we do not take, or without a `kid` is left out; of two keys of one
    `kid` neither is taken.

    Raises
    ------
    NotAuthentic
        If it is no JWK set.
    """
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise NotAuthentic("what the issuer publishes is no set of keys")
    found: dict[str, Key] = {}
    doubled: set[str] = set()
    for entry in entries:
        key = _public_key(entry)
        if key is None:
            continue
        kid = str(entry["kid"])
        doubled |= {kid} & found.keys()
        found[kid] = key
    return {kid: key for kid, key in found.items() if kid not in doubled}


def public_key_of(entry: object) -> Key:
    """The public key of a JWK that somebody sends along, as in a proof of possession; raises `NotAuthentic`."""
    if not isinstance(entry, dict) or "d" in entry or entry.get("kty") not in ("EC", "RSA"):
        raise NotAuthentic("the proof does not hold a public key")
    try:
        key: Key = ECKey.import_key(entry) if entry["kty"] == "EC" else RSAKey.import_key(entry)
    except (JoseError, ValueError, KeyError, TypeError, AttributeError):
        raise NotAuthentic("the proof does not hold a public key") from None
    return key


def _public_key(entry: object) -> Key | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("kid"), str) or not entry["kid"]:
        return None
    operations = entry.get("key_ops")
    if entry.get("use", "sig") != "sig":
        return None
    if operations is not None and not (isinstance(operations, list) and "verify" in operations):
        return None
    try:
        key = public_key_of({name: value for name, value in entry.items() if name != "key_ops"})
    except NotAuthentic:
        return None
    fitting = [algorithm for algorithm in ALGORITHMS if key_fits(key, algorithm)]
    return key if fitting and entry.get("alg", fitting[0]) in fitting else None


def _object(part: str, what: str) -> dict[str, Any]:
    try:
        found = json.loads(
            _bytes(part).decode("utf-8"),
            object_pairs_hook=_once_each,
            parse_constant=_no_number,
            parse_float=_finite,
            parse_int=_whole,
        )
        # Half of a pair of surrogates is no character: what is hashed, compared or stored later could not be written.
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise NotAuthentic(f"the {what} is not made of base64url and JSON as a token is") from None
    if not isinstance(found, dict) or _deeper(found, _DEPTH_MAX):
        raise NotAuthentic(f"the {what} does not hold two plain JSON objects")
    return found


def _bytes(part: str) -> bytes:
    """Base64url without padding, in the one way that it can be written."""
    raw = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii") != part:
        raise ValueError("not the one way to write it")
    return raw


def _deeper(value: object, levels: int) -> bool:
    """Whether objects and lists are nested deeper than that; looks no deeper itself."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 1 or any(_deeper(one, levels - 1) for one in inner)


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands there twice")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON's")


def _whole(text: str) -> int:
    if len(text) > _DIGITS_MAX:
        raise ValueError("a number is beyond all bounds")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is beyond all bounds")
    return value
