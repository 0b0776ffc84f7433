"""Visas at the hub over HTTP: the authority's signature decides, and persons see their own only."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.requests import HTTPConnection
from starlette.testclient import TestClient

from cohelix.access.actor import ANONYMOUS, Actor, VisaKind
from cohelix.access.authority import Authority, init_authority
from cohelix.access.caller import Caller
from cohelix.access.grants import Grants
from cohelix.access.visa_store import VisaStore
from cohelix.access.visas import sign_visa
from cohelix.core.clock import SystemClock
from cohelix.db import open_database
from cohelix.federation.audit_log import open_log
from cohelix.federation.signing import create_identity
from cohelix.hub.visas import visas_router
from cohelix.web import install

HUB, BROKER = "https://hub.example", "https://hub.example/broker"


class Desk:
    """A hub with one authority, and its own view of what it keeps."""

    def __init__(self, folder: Path) -> None:
        create_identity(folder)
        self.log = open_log(folder, "hub", "")
        self.engine = open_database(folder / "hub.sqlite")
        self.grants, self.store = Grants(self.engine), VisaStore(self.engine)
        self.authority = init_authority(folder, authority="dac", name="Committee", hub_url=HUB, datasets=("FI:*",))
        app = FastAPI()
        install(app, service="hub")
        trusted = (self.authority.trusted(),)
        self.unheard: list[str] = []
        app.include_router(
            visas_router(self.store, lambda: trusted, self.log, hub_url=HUB, caller_of=_caller, learn=self._learn)
        )
        self.client = TestClient(app, raise_server_exceptions=False)

    async def _learn(self, issuer: str) -> None:
        self.unheard.append(issuer)

    def grant(self, authority: Authority | None = None, **changes: Any) -> str:
        now = SystemClock().now()
        signer = authority or self.authority
        given = {
            "issuer": self.authority.issuer,
            "jwks": self.authority.jwks,
            "identifier": "dac:1",
            "subject": "researcher",
            "subject_issuer": BROKER,
            "kind": VisaKind.CONTROLLED_ACCESS_GRANTS,
            "value": f"{HUB}/datasets/FI:study",
            "source": self.authority.issuer,
            "by": "dac",
            "asserted": now,
            "issued": now,
            "expires": now + timedelta(days=1),
        } | changes
        return sign_visa(signer.keys.current(), **given)

    def post(self, visa: str) -> Any:
        return self.client.post("/api/v1/visas", json={"visa": visa})


async def _caller(request: HTTPConnection) -> Caller:
    name = request.headers.get("x-test-subject", "")
    return Caller(Actor(name, BROKER) if name else ANONYMOUS)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    found = Desk(tmp_path)
    found.log.begin()
    yield found
    found.log.close()
    found.engine.dispose()


def test_a_grant_is_handed_in_and_seen_by_its_person_alone(desk: Desk) -> None:
    until = SystemClock().now() + timedelta(days=2)
    granted = desk.grants.grant(
        desk.authority, hub_url=HUB, dataset="FI:study", subject="researcher", subject_issuer=BROKER, until=until
    )
    first, again = desk.post(granted.visa), desk.post(granted.visa)
    assert (first.status_code, again.status_code) == (201, 200), first.text
    assert first.json() == again.json()
    assert first.json()["dataset"] == "FI:study"
    own = desk.client.get("/api/v1/visas", headers={"x-test-subject": "researcher"})
    assert own.json() == {"visas": [first.json()]}
    assert own.headers["cache-control"] == "no-store"
    assert granted.visa not in own.text
    assert desk.client.get("/api/v1/visas", headers={"x-test-subject": "somebody"}).json() == {"visas": []}
    assert desk.client.get("/api/v1/visas").status_code == 401
    assert desk.store.visas_of("researcher", BROKER) == (granted.visa,)


def test_visas_that_do_not_prove_themselves(desk: Desk, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    stranger = init_authority(elsewhere, authority="dac", name="Another", hub_url=HUB, datasets=("FI:*",))
    now = SystemClock().now()
    bad = {
        "another key": desk.grant(stranger),
        "another authority": desk.grant(issuer=f"{HUB}/authorities/other"),
        "data of another node": desk.grant(value=f"{HUB}/datasets/GB:study"),
        "another hub": desk.grant(value="https://other.example/datasets/FI:study"),
        "all data": desk.grant(value=f"{HUB}/datasets/FI:*"),
        "no dataset": desk.grant(value=f"{HUB}/datasets/"),
        "a longer path": desk.grant(value=f"{HUB}/datasets/FI:study/x"),
        "another authority's identifier": desk.grant(identifier="other:1"),
        "no identifier of its own": desk.grant(identifier="dac"),
        "nobody's subject": desk.grant(subject_issuer=""),
        "by the person": desk.grant(by="self"),
        "a role": desk.grant(kind=VisaKind.AFFILIATION_AND_ROLE),
        "ended": desk.grant(issued=now - timedelta(days=2), asserted=now - timedelta(days=2), expires=now),
        "foreign jku": desk.grant(jwks="http://127.0.0.1:9/jwks"),
        "not a token": "x.y.z",
        "a NUL in the subject": desk.grant(subject="a\0b"),
    }
    for name, visa in bad.items():
        answer = desk.post(visa)
        assert answer.status_code == 401, f"{name}: {answer.text}"
        assert answer.json()["type"].endswith("not-authentic"), name
        assert len(answer.json()["detail"]) >= 20
    assert desk.store.visas_of("researcher", BROKER) == ()
    assert desk.client.post("/api/v1/visas", json={"visa": "x" * 9000}).status_code in (400, 422)
    assert desk.client.post("/api/v1/visas", json={}).status_code in (400, 422)


def test_a_visa_with_conditions_is_kept_for_the_node_to_judge(desk: Desk) -> None:
    conditions = [[{"type": "AffiliationAndRole", "value": "pattern:faculty@*"}]]
    assert desk.post(desk.grant(conditions=conditions)).status_code == 201


def test_an_identifier_cannot_be_given_twice(desk: Desk) -> None:
    assert desk.post(desk.grant()).status_code == 201
    assert desk.post(desk.grant(value=f"{HUB}/datasets/FI:other")).status_code == 409
