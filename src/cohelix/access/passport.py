"""Verifies a Passport and its visas: one function of document, trust list, keys and time (pure).

GA4GH Passport 1.2.1 and AAI OIDC profile 1.2.1. A passport that does not hold is refused; a visa that does not hold is
left out, as if it were not there, and the others stand. No key or address is taken from a token: keys are those that the
caller has of trusted issuers, so nothing here causes a request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, TypeVar
from urllib.parse import unquote

from pydantic import ValidationError

from cohelix.access.actor import Actor, Visa, VisaKind
from cohelix.access.conditions import fulfilled_until
from cohelix.access.jose import Key, Unverified, check_times, check_token, read_token
from cohelix.access.trust import Trusted, TrustList
from cohelix.core.errors import NotAuthentic
from cohelix.wire.passport import (
    ACCESS_TOKEN_TYPES,
    PASSPORT_CLAIM,
    PASSPORT_TYPE,
    VISA_CHARACTERS_MAX,
    VISA_CLAIM,
    VISA_TYPES,
    AccessTokenClaims,
    Condition,
    Document,
    PassportClaims,
    VisaClaims,
)

PASSPORT_SECONDS_MAX: Final = 3600
_DAY_SECONDS: Final = 86_400
_LINKED_MAX: Final = 50

Keys = Mapping[tuple[str, str], Key]
"""Public keys of trusted issuers, by issuer and `kid`."""


@dataclass(frozen=True, slots=True)
class VisaLeftOut:
    """A visa of a passport that does not count, by its place in it, and why."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class Verified:
    """A passport that holds: the person with the visas that hold, and those that do not."""

    actor: Actor
    left_out: tuple[VisaLeftOut, ...] = ()


@dataclass(frozen=True, slots=True)
class _Read:
    """A visa whose signature, issuer and times hold; conditions and whose it is are yet to be looked at."""

    number: int
    visa: Visa
    subject_issuer: str | None
    conditions: Sequence[Sequence[Condition]] | None


def verify_passport(document: str, *, trust: TrustList, keys: Keys, audience: str | None, now: datetime) -> Actor:
    """The person that a passport proves, with the visas that hold.

    Parameters
    ----------
    document
        The passport, a compact JWT.
    trust
        Brokers and authorities that are believed.
    keys
        Their public keys, see `needed_keys`.
    audience
        Whom the passport must be meant for, such as `urn:cohelix:node:FI`; None where it need not say.
    now
        The time, with its zone.

    Raises
    ------
    NotAuthentic
        If the passport does not hold, with the reason.
    """
    return verify_whole(document, trust=trust, keys=keys, audience=audience, now=now).actor


def verify_whole(document: str, *, trust: TrustList, keys: Keys, audience: str | None, now: datetime) -> Verified:
    """The same, with the visas that were left out and why."""
    read = read_token(document, what="passport")
    broker = trust.broker(read.issuer)
    if broker is None:
        raise NotAuthentic("the passport is of a broker that is not trusted here")
    _check_signature(document, read, broker, keys, what="passport", types=(PASSPORT_TYPE,))
    claims = _claims(PassportClaims, read, what="passport")
    check_times("passport", now, issued=claims.iat, expires=claims.exp, not_before=claims.nbf)
    if claims.exp - claims.iat > PASSPORT_SECONDS_MAX:
        raise NotAuthentic(f"the passport is made for longer than {PASSPORT_SECONDS_MAX} seconds")
    _check_audience("passport", claims.aud, audience)
    found: list[_Read] = []
    left_out: list[VisaLeftOut] = []
    for number, visa in enumerate(claims.ga4gh_passport_v1):
        try:
            found.append(_read_visa(number, visa, trust, keys, now))
        except NotAuthentic as error:
            left_out.append(VisaLeftOut(number, error.detail))
    held, strangers = _of_person(found, claims.sub, claims.iss, trust)
    standing, unmet = _meeting_conditions(held)
    actor = Actor(
        subject=claims.sub,
        issuer=claims.iss,
        visas=tuple(one.visa for one in standing),
        expires=datetime.fromtimestamp(claims.exp, UTC),
    )
    return Verified(actor, tuple(sorted([*left_out, *strangers, *unmet], key=lambda one: one.number)))


def verify_access_token(token: str, *, issuer: str, audience: str, keys: Keys, now: datetime) -> AccessTokenClaims:
    """The claims of an access token of an issuer for an audience; DPoP's proof is checked apart (`access.dpop`).

    Raises
    ------
    NotAuthentic
        If it does not hold, or holds claims of GA4GH's, which an access token must not.
    """
    read = read_token(token, what="access token", characters_max=8 * 1024)
    if read.issuer != issuer:
        raise NotAuthentic("the access token is of another issuer")
    key = keys.get((issuer, read.kid))
    if key is None:
        raise NotAuthentic("the access token names a key that its issuer does not publish")
    check_token(token, read, key, what="access token", types=ACCESS_TOKEN_TYPES)
    if read.claims.keys() & {PASSPORT_CLAIM, VISA_CLAIM}:
        raise NotAuthentic("an access token holds no visas")
    claims = _claims(AccessTokenClaims, read, what="access token")
    check_times("access token", now, issued=claims.iat, expires=claims.exp, not_before=claims.nbf)
    _check_audience("access token", claims.aud, audience)
    return claims


def verify_visa(document: str, *, trust: TrustList, keys: Keys, now: datetime) -> Visa:
    """One visa by itself, whoever's it is: its issuer, signature and times.

    Whether its conditions are fulfilled can be told in a passport only: whoever opens something by a visa takes it from there.
    """
    return _read_visa(0, document, trust, keys, now).visa


def needed_keys(document: str, trust: TrustList) -> frozenset[tuple[str, str]]:
    """Which keys of which *trusted* issuers a passport and its visas name: those that may have to be fetched first.

    What is unreadable, or of somebody who is not trusted, names none.
    """
    named: set[tuple[str, str]] = set()
    try:
        read = read_token(document, what="passport")
        claims = _claims(PassportClaims, read, what="passport")
    except NotAuthentic:
        return frozenset()
    if trust.broker(read.issuer) is None:
        return frozenset()
    named.add((read.issuer, read.kid))
    for visa in claims.ga4gh_passport_v1:
        try:
            inner = read_token(visa, what="visa", characters_max=VISA_CHARACTERS_MAX)
        except NotAuthentic:
            continue
        entry = trust.issuer(inner.issuer)
        if entry is not None and inner.header.get("jku", entry.jwks) == entry.jwks:
            named.add((inner.issuer, inner.kid))
    return frozenset(named)


def _read_visa(number: int, document: str, trust: TrustList, keys: Keys, now: datetime) -> _Read:
    """A visa, except whose it is and its conditions; raises `NotAuthentic`."""
    read = read_token(document, what="visa", characters_max=VISA_CHARACTERS_MAX)
    entry = trust.issuer(read.issuer)
    if entry is None:
        raise NotAuthentic("the visa is of an issuer that is not trusted here")
    _check_address(read, entry)
    _check_signature(document, read, entry, keys, what="visa", types=VISA_TYPES)
    claims = _claims(VisaClaims, read, what="visa")
    stated = claims.ga4gh_visa_v1
    kind = next((kind for kind in entry.kinds if kind.value == stated.type), None)
    if kind is None:
        raise NotAuthentic(f"the visa is of a type that its issuer may not state, as {entry.role}")
    if not entry.believes(stated.source):
        raise NotAuthentic("the visa passes on what a source says that is not trusted here")
    if kind is VisaKind.CONTROLLED_ACCESS_GRANTS and stated.by not in ("dac", "system", "so"):
        raise NotAuthentic("a grant says by whom it was decided: dac, so or system")
    ends = min(claims.exp, stated.asserted + entry.asserted_days_max * _DAY_SECONDS)
    check_times("visa", now, issued=max(claims.iat, stated.asserted), expires=ends, not_before=claims.nbf)
    visa = Visa(
        identifier=claims.jti,
        kind=kind,
        value=stated.value,
        source=stated.source,
        by=stated.by or "",
        issuer=claims.iss,
        subject=claims.sub,
        asserted=datetime.fromtimestamp(stated.asserted, UTC),
        expires=datetime.fromtimestamp(ends, UTC),
    )
    return _Read(number, visa, claims.subject_issuer, stated.conditions)


def _check_address(read: Unverified, entry: Trusted) -> None:
    """A document token has the address of its keys, which must be the one on the list, or a scope without `openid`."""
    address, scope = read.header.get("jku"), read.claims.get("scope")
    if (address is None) == (scope is None):
        raise NotAuthentic("a visa names the address of its keys, or a scope, and not both")
    if address is not None and address != entry.jwks:
        raise NotAuthentic("the visa names an address of keys that is not its issuer's on the list of trust")
    if scope is not None and (not isinstance(scope, str) or "openid" in scope.split()):
        raise NotAuthentic("a visa that is an access token is not taken")


def _check_signature(document: str, read: Unverified, entry: Trusted, keys: Keys, *, what: str, types: Sequence[str]) -> None:
    key = keys.get((entry.issuer, read.kid))
    if key is None:
        raise NotAuthentic(f"the {what} names a key that its issuer does not publish")
    check_token(document, read, key, what=what, types=types)


def _check_audience(what: str, said: str | list[str] | None, audience: str | None) -> None:
    named = [said] if isinstance(said, str) else said or []
    if audience is not None and audience not in named:
        raise NotAuthentic(f"the {what} is meant for somebody else")


def _of_person(found: Sequence[_Read], subject: str, issuer: str, trust: TrustList) -> tuple[list[_Read], list[VisaLeftOut]]:
    """Visas of the person, or of an identity that a visa of the person links to it, and the others."""
    brokers = [entry.issuer for entry in trust.entries if entry.role == "broker"]

    def named_by(one: _Read) -> str:
        """Whose subject a visa names. A broker names its own; an authority that does not say, that of the only broker."""
        if one.subject_issuer is not None:
            return one.subject_issuer
        return one.visa.issuer if one.visa.issuer in brokers else brokers[0] if len(brokers) == 1 else ""

    linked: dict[tuple[str, str], datetime] = {}
    for one in found:
        own = one.visa.subject == subject and named_by(one) == issuer
        if own and one.visa.kind is VisaKind.LINKED_IDENTITIES and one.conditions is None:
            for pair in linked_pairs(one.visa.value):
                linked[pair] = max(one.visa.expires, linked.get(pair, one.visa.expires))
    held: list[_Read] = []
    strangers: list[VisaLeftOut] = []
    for one in found:
        # As the standard has it, a pair names the visa's own `iss`; ours may name the broker.
        names = {(one.visa.subject, name) for name in (named_by(one), one.subject_issuer or one.visa.issuer)}
        ends = [linked[name] for name in names if name in linked]
        if (subject, issuer) in names and named_by(one) == issuer:
            held.append(one)
        elif ends:
            held.append(_ending(one, max(ends)))
        else:
            strangers.append(VisaLeftOut(one.number, "the visa is of another person, whom no trusted visa links to this one"))
    return held, strangers


def _ending(one: _Read, end: datetime) -> _Read:
    """A visa that rests on others holds no longer than they do."""
    return replace(one, visa=replace(one.visa, expires=min(end, one.visa.expires)))


def linked_pairs(value: str) -> list[tuple[str, str]]:
    """Of a visa of linked identities, `sub,iss;sub,iss`, each part URI-encoded; one that is not such a pair links nobody."""
    parts = [part.split(",") for part in value.split(";")[:_LINKED_MAX]]
    return [(unquote(part[0]), unquote(part[1])) for part in parts if len(part) == 2 and all(part)]


def _meeting_conditions(held: Sequence[_Read]) -> tuple[list[_Read], list[VisaLeftOut]]:
    """Visas without conditions, and those whose conditions the former fulfil; and the others."""
    plain = [one.visa for one in held if one.conditions is None]
    standing: list[_Read] = []
    unmet: list[VisaLeftOut] = []
    for one in held:
        end = one.visa.expires if one.conditions is None else fulfilled_until(one.conditions, plain)
        if end is None:
            unmet.append(VisaLeftOut(one.number, "no other visa fulfils the conditions of this one"))
        else:
            standing.append(_ending(one, end))
    return standing, unmet


_Claims = TypeVar("_Claims", bound=Document)


def _claims(model: type[_Claims], read: Unverified, *, what: str) -> _Claims:
    try:
        return model.model_validate(_plain(read.claims))
    except ValidationError as error:
        place = ".".join(str(step) for step in error.errors()[0]["loc"])
        raise NotAuthentic(f"the {what} has no proper {place[:80]}") from None


def _plain(claims: Mapping[str, Any]) -> dict[str, Any]:
    """Claims with whole numbers as floats where times stand, as JSON knows one kind of number only."""
    found = dict(claims)
    for name in ("iat", "exp", "nbf"):
        if type(found.get(name)) is int:
            found[name] = float(found[name]) if abs(found[name]) < 1 << 53 else -1.0
    inner = found.get(VISA_CLAIM)
    if isinstance(inner, dict) and type(inner.get("asserted")) is int:
        asserted = inner["asserted"]
        found[VISA_CLAIM] = {**inner, "asserted": float(asserted) if abs(asserted) < 1 << 53 else -1.0}
    return found
