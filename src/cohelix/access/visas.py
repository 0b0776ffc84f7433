"""Issues visas: what an authority or a broker states of a person, signed with its own key (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Protocol

from joserfc import jwt

from cohelix.access.actor import VisaKind
from cohelix.access.jose import Key
from cohelix.core.errors import BadUsage
from cohelix.wire.passport import VISA_CLAIM, VISA_TYPES

ALGORITHM: Final = "ES256"
RESTS_ON_CLAIM: Final = "cohelix_application"


class Signing(Protocol):
    """A private key and the id under which its public half is published."""

    @property
    def kid(self) -> str:
        """The id."""

    @property
    def private(self) -> Key:
        """The key."""


def sign_visa(
    key: Signing,
    *,
    issuer: str,
    jwks: str,
    identifier: str,
    subject: str,
    subject_issuer: str,
    kind: VisaKind,
    value: str,
    source: str,
    by: str,
    asserted: datetime,
    issued: datetime,
    expires: datetime,
    conditions: Sequence[Sequence[dict[str, str]]] | None = None,
    rests_on: Mapping[str, str] | None = None,
) -> str:
    """A visa document token (AAI 1.2.1), a compact JWT.

    Parameters
    ----------
    issuer, jwks
        Who states it, and the address of its keys, as lists of trust have them.
    identifier
        Its `jti`, by which it can be revoked.
    subject, subject_issuer
        The person: `sub`, and the broker whose `sub` that is.
    value, source, by, asserted, conditions
        As in `ga4gh_visa_v1`; `by` is one of self, peer, system, so, dac.
    expires
        The end, after `issued`.
    rests_on
        The application that it was granted for, and the history that the authority has read.

    Raises
    ------
    BadUsage
        If it would end before it begins.
    """
    if expires <= issued:
        raise BadUsage("a visa ends after it begins")
    stated: dict[str, Any] = {
        "type": kind.value,
        "asserted": int(asserted.timestamp()),
        "value": value,
        "source": source,
        "by": by,
    }
    if conditions is not None:
        stated["conditions"] = [list(clauses) for clauses in conditions]
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": subject,
        "subject_issuer": subject_issuer,
        "iat": int(issued.timestamp()),
        "exp": int(expires.timestamp()),
        "jti": identifier,
        VISA_CLAIM: stated,
    }
    if rests_on is not None:
        claims[RESTS_ON_CLAIM] = dict(rests_on)
    header = {"alg": ALGORITHM, "typ": VISA_TYPES[0], "kid": key.kid, "jku": jwks}
    return jwt.encode(header, claims, key.private, algorithms=[ALGORITHM])
