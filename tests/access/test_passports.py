"""Passports and visas that hold, and those that nearly do; keys that rotate; addresses that nobody trusts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from cohelix.access.actor import REGISTERED_ACCESS, Actor, VisaKind
from cohelix.access.keys import KeyRing, PassportDesk
from cohelix.access.passport import Verified, verify_whole
from cohelix.access.trust import Trusted, TrustList
from cohelix.access.visas import sign_visa
from cohelix.core.errors import NotAuthentic

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
BROKER, AUTHORITY = "https://hub.example/broker", "https://hub.example/authorities/FI"
DATASET = "https://hub.example/datasets/FI:cohort"
NODE = "urn:cohelix:node:FI"


@dataclass(frozen=True)
class Signer:
    kid: str
    private: ECKey

    @property
    def published(self) -> dict[str, Any]:
        return {"keys": [{**self.private.as_dict(private=False), "kid": self.kid, "use": "sig", "alg": "ES256"}]}


def signer(kid: str) -> Signer:
    return Signer(kid, ECKey.generate_key("P-256"))


BROKER_KEY, AUTHORITY_KEY = signer("b1"), signer("a1")
TRUST = TrustList.of(
    (
        Trusted(issuer=BROKER, role="broker", jwks=f"{BROKER}/jwks", keys=tuple(BROKER_KEY.published["keys"])),
        Trusted(
            issuer=AUTHORITY,
            role="authority",
            jwks=f"{AUTHORITY}/jwks",
            keys=tuple(AUTHORITY_KEY.published["keys"]),
            datasets=("FI:*",),
        ),
    )
)


def passport(*visas: str, key: Signer = BROKER_KEY, header: dict[str, Any] | None = None, **claims: Any) -> str:
    moment = int(NOW.timestamp())
    found = {
        "iss": BROKER,
        "sub": "researcher",
        "aud": NODE,
        "iat": moment,
        "exp": moment + 300,
        "jti": "p1",
        "ga4gh_passport_v1": list(visas),
    } | claims
    given = {"alg": "ES256", "typ": "vnd.ga4gh.passport+jwt", "kid": key.kid} | (header or {})
    return jwt.encode(given, {name: value for name, value in found.items() if value is not None}, key.private)


def grant(**changes: Any) -> str:
    given = {
        "key": AUTHORITY_KEY,
        "issuer": AUTHORITY,
        "jwks": f"{AUTHORITY}/jwks",
        "identifier": "v1",
        "subject": "researcher",
        "subject_issuer": BROKER,
        "kind": VisaKind.CONTROLLED_ACCESS_GRANTS,
        "value": DATASET,
        "source": "https://dac.example",
        "by": "dac",
        "asserted": NOW - timedelta(days=1),
        "issued": NOW - timedelta(days=1),
        "expires": NOW + timedelta(days=30),
    } | changes
    return sign_visa(**given)


def stated(kind: VisaKind, value: str = REGISTERED_ACCESS, **changes: Any) -> str:
    return grant(
        **{"key": BROKER_KEY, "issuer": BROKER, "jwks": f"{BROKER}/jwks", "kind": kind, "value": value, "by": "so"} | changes
    )


def seen(document: str, *, now: datetime = NOW, trust: TrustList = TRUST) -> Verified:
    ring = KeyRing(trust, fetch=_nobody)
    return verify_whole(document, trust=trust, keys=ring.keys(), audience=NODE, now=now)


def _nobody(address: str) -> object:
    raise AssertionError(f"{address} was asked")


def kinds(actor: Actor) -> list[str]:
    return sorted(visa.kind.value for visa in actor.visas)


def test_a_passport_with_grant_and_registered_access() -> None:
    held = seen(passport(grant(), stated(VisaKind.RESEARCHER_STATUS), stated(VisaKind.ACCEPTED_TERMS_AND_POLICIES)))
    assert not held.left_out
    assert held.actor.registered
    assert held.actor.subject == "researcher"
    assert held.actor.issuer == BROKER
    assert held.actor.expires == NOW + timedelta(seconds=300)
    assert kinds(held.actor) == ["AcceptedTermsAndPolicies", "ControlledAccessGrants", "ResearcherStatus"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"aud": "urn:cohelix:node:GB"}, "somebody else"),
        ({"aud": None}, "somebody else"),
        ({"iss": "https://other.example"}, "not trusted"),
        ({"iss": AUTHORITY}, "not trusted"),
        ({"exp": int(NOW.timestamp())}, "expired"),
        ({"iat": int(NOW.timestamp()) + 61, "exp": int(NOW.timestamp()) + 90}, "not valid yet"),
        ({"nbf": int(NOW.timestamp()) + 61}, "not valid yet"),
        ({"exp": int(NOW.timestamp()) + 3601}, "longer than"),
        ({"exp": str(int(NOW.timestamp()) + 60)}, "no proper exp"),
        ({"exp": True}, "no proper exp"),
        ({"sub": None}, "no proper sub"),
        ({"sub": ""}, "no proper sub"),
        ({"ga4gh_passport_v1": None}, "no proper ga4gh_passport_v1"),
        ({"ga4gh_passport_v1": "visa"}, "no proper ga4gh_passport_v1"),
        ({"ga4gh_passport_v1": ["x"] * 129}, "no proper ga4gh_passport_v1"),
        ({"header": {"typ": "JWT"}}, "another type"),
        ({"header": {"kid": "b2"}}, "does not publish"),
        ({"key": signer("b1")}, "signature"),
    ],
)
def test_passports_that_are_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(NotAuthentic, match=why):
        seen(passport(grant(), **changes))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"expires": NOW}, "expired"),
        ({"asserted": NOW + timedelta(seconds=61)}, "not valid yet"),
        ({"asserted": NOW - timedelta(days=1096), "issued": NOW - timedelta(days=1)}, "expired"),
        ({"issuer": "https://other.example"}, "not trusted"),
        ({"issuer": BROKER, "jwks": f"{BROKER}/jwks", "key": BROKER_KEY}, "may not state"),
        ({"jwks": "https://evil.example/jwks"}, "list of trust"),
        ({"key": signer("a1")}, "signature"),
        ({"key": BROKER_KEY}, "does not publish"),
        ({"by": "self"}, "by whom"),
        ({"subject": "somebody"}, "another person"),
        ({"subject_issuer": "https://other.example"}, "another person"),
    ],
)
def test_visas_that_are_left_out_alone(changes: dict[str, Any], why: str) -> None:
    held = seen(passport(grant(**changes), stated(VisaKind.RESEARCHER_STATUS)))
    assert kinds(held.actor) == ["ResearcherStatus"]
    assert [one.number for one in held.left_out] == [0]
    assert why in held.left_out[0].reason


def test_the_shorter_of_expiry_and_assertion_counts() -> None:
    trust = TrustList.of([entry.model_copy(update={"asserted_days_max": 3}) for entry in TRUST.entries])
    (visa,) = seen(passport(grant()), trust=trust).actor.visas
    assert visa.expires == NOW + timedelta(days=2)


def test_identities_that_a_trusted_visa_links() -> None:
    other = grant(subject="r-77", subject_issuer="https://home.example")
    link = stated(VisaKind.LINKED_IDENTITIES, "r-77,https%3A%2F%2Fhome.example;x,y", by="system")
    assert kinds(seen(passport(other)).actor) == []
    assert kinds(seen(passport(other, link)).actor) == ["ControlledAccessGrants", "LinkedIdentities"]
    # a link of somebody else's, or by somebody who may not link, links nobody
    assert (
        kinds(seen(passport(other, stated(VisaKind.LINKED_IDENTITIES, "r-77,https%3A%2F%2Fhome.example", subject="z"))).actor)
        == []
    )


def test_conditions_are_evaluated_on_visas_without_conditions() -> None:
    clause = {"type": "AffiliationAndRole", "value": "pattern:faculty@*.example", "by": "const:so"}
    member = stated(VisaKind.AFFILIATION_AND_ROLE, "faculty@uni.example")
    assert kinds(seen(passport(grant(conditions=[[clause]]))).actor) == []
    assert len(seen(passport(grant(conditions=[[clause]]), member)).actor.visas) == 2
    assert (
        len(seen(passport(grant(conditions=[[clause, {"type": "ResearcherStatus", "by": "const:so"}]]), member)).actor.visas)
        == 1
    )
    assert len(seen(passport(grant(conditions=[[{**clause, "unknown": "const:x"}], [clause]]), member)).actor.visas) == 2
    for bad in ({"type": "AffiliationAndRole"}, {**clause, "value": "regex:.*"}, {**clause, "by": "peer"}):
        assert len(seen(passport(grant(conditions=[[bad]]), member)).actor.visas) == 1
    leaning = stated(
        VisaKind.AFFILIATION_AND_ROLE, "faculty@uni.example", conditions=[[{"type": "ResearcherStatus", "by": "const:so"}]]
    )
    assert len(seen(passport(grant(conditions=[[clause]]), leaning, stated(VisaKind.RESEARCHER_STATUS))).actor.visas) == 2


class Publisher:
    """An issuer's address of keys, which counts how often it is asked."""

    def __init__(self) -> None:
        self.sets: dict[str, Any] = {}
        self.asked: list[str] = []

    def __call__(self, address: str) -> object:
        self.asked.append(address)
        if address not in self.sets:
            raise NotAuthentic("not there")
        return self.sets[address]


class Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.moment = NOW

    def now(self) -> datetime:
        return self.moment


def test_keys_are_fetched_once_rotate_and_are_asked_for_once_a_minute() -> None:
    published, clock = Publisher(), Hands()
    unpinned = TrustList.of([entry.model_copy(update={"keys": ()}) for entry in TRUST.entries])
    published.sets = {f"{BROKER}/jwks": BROKER_KEY.published, f"{AUTHORITY}/jwks": AUTHORITY_KEY.published}
    desk = PassportDesk(KeyRing(unpinned, fetch=published, clock=clock), unpinned, NODE)
    for _ in range(5):
        assert len(desk.actor(passport(grant()), clock.now()).visas) == 1
    assert sorted(published.asked) == sorted(published.sets)
    # the authority signs with a new key: found with the first visa that names it, and the old one is let go
    renewed = signer("a2")
    published.sets[f"{AUTHORITY}/jwks"] = renewed.published
    clock.moment += timedelta(seconds=61)
    late = {"iat": int(clock.moment.timestamp()), "exp": int(clock.moment.timestamp()) + 300}
    assert len(desk.actor(passport(grant(key=renewed), **late), clock.now()).visas) == 1
    assert len(desk.actor(passport(grant(), **late), clock.now()).visas) == 0
    asked = len(published.asked)
    for number in range(20):
        desk.actor(passport(grant(key=signer(f"x{number}")), **late), clock.now())
    assert len(published.asked) == asked


def test_addresses_that_are_not_on_the_list_are_never_asked() -> None:
    unpinned = TrustList.of([entry.model_copy(update={"keys": ()}) for entry in TRUST.entries])
    published = Publisher()
    desk = PassportDesk(KeyRing(unpinned, fetch=published), unpinned, NODE)
    foreign = [grant(jwks="http://127.0.0.1:9/jwks"), grant(issuer="https://evil.example", jwks="https://evil.example/jwks")]
    with pytest.raises(NotAuthentic):
        desk.actor(passport(*foreign), NOW)
    assert published.asked == [f"{BROKER}/jwks"]
    with pytest.raises(NotAuthentic):
        desk.actor(passport(*foreign, iss="https://evil.example"), NOW)
    assert published.asked == [f"{BROKER}/jwks"]
