"""The policy against a table written by hand: who learns what, from what every document proves at which time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import pytest

from cohelix.access.actor import ANONYMOUS, REGISTERED_ACCESS, Actor, Role, Visa, VisaKind
from cohelix.access.gate import visa_value
from cohelix.access.policy import (
    LOGIN_REQUIRED,
    PASSPORT_REFUSED,
    REGISTRATION_REQUIRED,
    REVOCATION_UNKNOWN,
    VISA_REQUIRED,
    VISA_REVOKED,
    Decision,
    Purpose,
    Revocations,
    Terms,
    decide,
)
from validation.access_matrix.table import table

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
HUB, BROKER, DAC = "https://hub.example", "https://hub.example/broker", "https://hub.example/authorities/FI"
VALUE = visa_value(HUB, "FI:x")


def visa(
    kind: VisaKind, value: str = REGISTERED_ACCESS, *, issuer: str = BROKER, name: str = "", ends: datetime = NOW + HOUR
) -> Visa:
    return Visa(name or kind.value, kind, value, HUB, "so", issuer, "r", NOW - HOUR, ends)


GRANT = visa(VisaKind.CONTROLLED_ACCESS_GRANTS, VALUE, issuer=DAC, name="v1")
STATED = (visa(VisaKind.RESEARCHER_STATUS), visa(VisaKind.ACCEPTED_TERMS_AND_POLICIES))
KNOWN = Actor("r", BROKER, frozenset(), (), NOW + HOUR)
RESEARCHER = replace(KNOWN, visas=STATED)
HOLDER = replace(KNOWN, visas=(GRANT,))
FRESH = Revocations({}, {DAC: NOW + timedelta(seconds=30)})
REVOKED = Revocations({DAC: frozenset({"v1"})}, {DAC: NOW + timedelta(seconds=30)})
STALE = Revocations({}, {DAC: NOW})
OPEN, CLOSED = (Terms("FI:x", one, visa_value=VALUE, authorities=frozenset({DAC})) for one in ("open", "closed"))
FLOORED = replace(OPEN, disclosure="floored", membership_power=0.61)
SAFE = replace(FLOORED, membership_power=0.60)
UNKNOWN_POWER = replace(FLOORED, membership_power=None)


def said(actor: Actor, terms: Terms, revocations: Revocations = FRESH, **more: object) -> tuple[str, str, str, bool, bool, str]:
    found = decide(actor, terms, Purpose(), NOW, revocations=revocations, **more)  # type: ignore[arg-type]
    slug = found.reasons[0].slug if found.reasons else ""
    return found.tier, found.genomic, found.people, found.records, found.analyses, slug


ALL = ("public", "exact", "exact", True, True, "")
CONTROLLED = ("controlled", "exact", "exact", True, True, "")
TOLD_FLOORED = ("public", "floored", "floored", False, False, VISA_REQUIRED)
NOTHING = ("public", "refused", "refused", False, False, VISA_REQUIRED)


@pytest.mark.parametrize(
    ("who", "terms", "revocations", "expected"),
    [
        (ANONYMOUS, OPEN, FRESH, ALL),
        (HOLDER, OPEN, STALE, ALL),
        (ANONYMOUS, SAFE, FRESH, TOLD_FLOORED),
        (RESEARCHER, SAFE, FRESH, TOLD_FLOORED),
        (ANONYMOUS, FLOORED, FRESH, ("public", "refused", "floored", False, False, LOGIN_REQUIRED)),
        (ANONYMOUS, UNKNOWN_POWER, FRESH, ("public", "refused", "floored", False, False, LOGIN_REQUIRED)),
        (ANONYMOUS, replace(UNKNOWN_POWER, anonymous_power_max=1.0), FRESH, TOLD_FLOORED),
        (KNOWN, FLOORED, FRESH, ("public", "refused", "floored", False, False, REGISTRATION_REQUIRED)),
        (
            replace(KNOWN, visas=STATED[:1]),
            FLOORED,
            FRESH,
            ("public", "refused", "floored", False, False, REGISTRATION_REQUIRED),
        ),
        (RESEARCHER, FLOORED, FRESH, ("registered", "floored", "floored", False, False, VISA_REQUIRED)),
        (HOLDER, FLOORED, FRESH, CONTROLLED),
        (HOLDER, CLOSED, FRESH, CONTROLLED),
        (HOLDER, CLOSED, REVOKED, ("public", "refused", "refused", False, False, VISA_REVOKED)),
        (HOLDER, FLOORED, REVOKED, ("public", "refused", "floored", False, False, VISA_REVOKED)),
        (HOLDER, SAFE, REVOKED, ("public", "floored", "floored", False, False, VISA_REVOKED)),
        (HOLDER, FLOORED, STALE, ("public", "refused", "refused", False, False, REVOCATION_UNKNOWN)),
        (HOLDER, CLOSED, Revocations(), ("public", "refused", "refused", False, False, REVOCATION_UNKNOWN)),
        (ANONYMOUS, FLOORED, STALE, ("public", "refused", "floored", False, False, LOGIN_REQUIRED)),
        (RESEARCHER, CLOSED, FRESH, NOTHING),
    ],
)
def test_the_table(who: Actor, terms: Terms, revocations: Revocations, expected: tuple[object, ...]) -> None:
    assert said(who, terms, revocations) == expected


@pytest.mark.parametrize(
    "grant",
    [
        replace(GRANT, expires=NOW),
        replace(GRANT, value=visa_value(HUB, "FI:y")),
        replace(GRANT, value=f"{VALUE}/"),
        replace(GRANT, value=VALUE.upper()),
        replace(GRANT, issuer=BROKER),
        replace(GRANT, kind=VisaKind.RESEARCHER_STATUS),
    ],
)
def test_a_visa_that_nearly_fits_opens_nothing(grant: Visa) -> None:
    assert said(replace(KNOWN, visas=(grant,)), CLOSED) == NOTHING


def test_a_passport_that_has_ended_opens_nothing() -> None:
    assert said(replace(HOLDER, expires=NOW), CLOSED) == NOTHING
    assert said(replace(RESEARCHER, expires=NOW), FLOORED)[:3] == ("public", "refused", "floored")
    ended = (STATED[0], replace(STATED[1], expires=NOW))
    assert said(replace(RESEARCHER, visas=ended), FLOORED)[5] == REGISTRATION_REQUIRED


def test_a_node_of_no_federation_is_opened_by_no_visa() -> None:
    grant = replace(GRANT, value="")
    assert said(replace(KNOWN, visas=(grant,)), replace(CLOSED, visa_value="")) == NOTHING


def test_one_visa_that_holds_is_enough_and_the_decision_ends_with_it() -> None:
    second = replace(GRANT, identifier="v2", expires=NOW + timedelta(minutes=5))
    found = decide(replace(HOLDER, visas=(GRANT, second)), CLOSED, Purpose(), NOW, revocations=REVOKED)
    assert (found.tier, found.visas, found.expires) == ("controlled", ("v2",), NOW + timedelta(minutes=5))


def test_a_refused_passport_is_said_first_where_anything_is_held_back() -> None:
    assert said(ANONYMOUS, CLOSED, refused_passport="it has expired")[5] == PASSPORT_REFUSED
    assert said(ANONYMOUS, OPEN, refused_passport="it has expired") == ALL
    found = decide(ANONYMOUS, FLOORED, Purpose(), NOW, refused_passport="it has expired")
    assert found.reason == "passport-refused: it has expired"


def test_a_project_opens_analyses_alone() -> None:
    allowed = replace(CLOSED, projects=frozenset({"p"}))
    found = decide(ANONYMOUS, allowed, Purpose(project="p"), NOW)
    assert (found.tier, found.genomic, found.people, found.records, found.analyses) == (
        "project",
        "refused",
        "refused",
        False,
        True,
    )
    assert not decide(ANONYMOUS, allowed, Purpose(project="q"), NOW).analyses
    assert not decide(ANONYMOUS, allowed, Purpose("p"), NOW).analyses


@pytest.mark.parametrize(
    ("who", "terms", "revocations"),
    list(product((ANONYMOUS, KNOWN, RESEARCHER, HOLDER), (OPEN, SAFE, FLOORED, CLOSED), (FRESH, REVOKED, STALE))),
)
def test_no_role_makes_any_difference(who: Actor, terms: Terms, revocations: Revocations) -> None:
    plain = decide(who, terms, Purpose(), NOW, revocations=revocations)
    decisions: set[Decision] = {
        decide(replace(who, roles=frozenset(roles)), terms, Purpose(), NOW, revocations=revocations)
        for roles in (*((role,) for role in Role), tuple(Role))
    }
    assert decisions == {plain}


def test_reasons_of_a_floored_dataset_begin_as_the_interface_says() -> None:
    assert decide(ANONYMOUS, FLOORED, Purpose(), NOW).reason.startswith("login-required: ")


def test_the_table_in_the_documentation_is_the_policys() -> None:
    page = Path(__file__).parents[2] / "docs" / "concepts" / "access.md"
    assert table() in page.read_text(encoding="utf-8")
