"""The hub's granted visas, in both databases: kept until they end, one for each identifier, no more than a passport holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from cohelix.access.visa_store import VISAS_OF_PERSON_MAX, GrantedVisa, VisaStore
from cohelix.core.errors import Conflict
from cohelix.db import downgrade, open_database

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
VISA = GrantedVisa(
    identifier="dac:1",
    issuer="https://hub.example/authorities/dac",
    subject="researcher",
    subject_issuer="https://hub.example/broker",
    dataset="FI:study",
    expires=NOW + timedelta(days=1),
    token="a.b.c",
)


class Hands:
    """A clock that is set by hand."""

    moment = NOW

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.moment.timestamp()


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def store(database: str, clock: Hands) -> Iterator[VisaStore]:
    engine = open_database(database)
    yield VisaStore(engine, clock)
    downgrade(engine, "base")
    engine.dispose()


def test_a_visa_is_kept_once_for_its_person_until_it_ends(store: VisaStore, clock: Hands) -> None:
    assert store.put(VISA)
    assert not store.put(VISA)
    assert store.held("researcher", VISA.subject_issuer) == (VISA,)
    assert store.visas_of("researcher", VISA.subject_issuer) == ("a.b.c",)
    for subject, issuer in (("Researcher", VISA.subject_issuer), ("researcher", "https://other.example"), ("", "")):
        assert store.visas_of(subject, issuer) == ()
    clock.moment = VISA.expires - timedelta(seconds=1)
    assert store.visas_of("researcher", VISA.subject_issuer)
    clock.moment = VISA.expires
    assert store.visas_of("researcher", VISA.subject_issuer) == ()
    assert store.put(replace(VISA, token="d.e.f", expires=VISA.expires + timedelta(days=1)))


def test_an_identifier_belongs_to_one_visa_of_its_authority(store: VisaStore) -> None:
    store.put(VISA)
    with pytest.raises(Conflict, match="identifier"):
        store.put(replace(VISA, token="d.e.f"))
    assert store.put(replace(VISA, token="d.e.f", issuer="https://hub.example/authorities/other"))
    assert len(store.held("researcher", VISA.subject_issuer)) == 2


def test_a_person_has_no_more_visas_than_a_passport_holds(store: VisaStore) -> None:
    for number in range(VISAS_OF_PERSON_MAX):
        store.put(replace(VISA, identifier=f"dac:{number}", token=f"a.b.{number}"))
    with pytest.raises(Conflict, match="passport"):
        store.put(replace(VISA, identifier="dac:more"))
    assert store.put(replace(VISA, identifier="dac:more", subject="somebody"))
    long = replace(VISA, subject="third", identifier="dac:long", token="x" * 8000)
    for number in range(5):
        store.put(replace(long, identifier=f"dac:long{number}"))
    with pytest.raises(Conflict, match="passport"):
        store.put(long)
