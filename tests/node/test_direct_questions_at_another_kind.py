"""A node is asked itself, by people whom an OpenID provider of another kind knows: RS256, several audiences, its own visas."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from joserfc.jwk import ECKey
from tests.hub.strict_provider import StrictProvider

from cohelix import node
from cohelix.access.actor import REGISTERED_ACCESS
from cohelix.access.authority import init_authority
from cohelix.access.grants import Grants
from cohelix.bank.load import LoadRequest, load
from cohelix.core.genome import Assembly, region_1based
from cohelix.core.ids import DatasetId
from cohelix.db import open_database
from cohelix.federation.joining import write_pinned
from cohelix.federation.signing import create_identity
from cohelix.node.app import create_app
from cohelix.sdk.identity import make_proof
from cohelix.testing.cohorts import simulate_cohort, write_vcf
from cohelix.testing.federation import address_of, free_listener, running_app
from cohelix.testing.revocations import hub_address, serving_lists
from cohelix.wire.federation import PinnedHub

HUB, NODE, PEOPLE = hub_address(), "urn:cohelix:node:FI", 60


@dataclass
class _Place:
    url: str
    provider: StrictProvider
    key: ECKey

    def token(self, key: ECKey | None = None, kind: str = "at+jwt", **claims: Any) -> str:
        bound = {"aud": [NODE, "https://elsewhere.example"], "client_id": "a program", "scope": "openid"}
        return self.provider.signed(kind, **(bound | {"cnf": {"jkt": (key or self.key).thumbprint()}} | claims))

    def ask(
        self, token: str, *, key: ECKey | None = None, address: str = "", host: str = "", proofs: int = 1
    ) -> httpx.Response:
        """The people of the node's datasets, by a token and the proof of a key."""
        url = f"{self.url}/beacon/v2/individuals"
        headers = [("authorization", f"DPoP {token}")]
        headers += [("dpop", make_proof(key or self.key, "GET", address or url, token)) for _ in range(proofs)]
        headers += [("host", host)] if host else []
        query = {"requestedGranularity": "record", "includeResultsetResponses": "ALL", "limit": "5"}
        return httpx.get(url, params=query, headers=headers, trust_env=False, timeout=30)

    def shown(self, answer: httpx.Response) -> tuple[int, str]:
        """How many single people are shown, and why no more."""
        assert answer.status_code == 200, answer.text
        document = answer.json()
        [line] = document["info"]["datasets"]
        found = sum(len(one.get("results") or ()) for one in document["response"]["resultSets"])
        return found, str(line.get("reason") or "").partition(":")[0]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Place]:
    folder = tmp_path_factory.mktemp("direct")
    own, its, here = folder / "FI", free_listener(), free_listener()
    provider = StrictProvider(address_of(its), "https://nobody.example/", client_id="node@strict", exchanges=True)
    node.init_node(own, node="FI", name="Finland", country="FI")
    region = region_1based("22", 20_000_001, 20_004_000)
    cohort = simulate_cohort({"FIN": PEOPLE}, 40, seed=5, region=region, assembly=Assembly.GRCH37)
    write_vcf(cohort, folder / "x.vcf.gz")
    load(own, LoadRequest(DatasetId("sim"), (folder / "x.vcf.gz",), Assembly.GRCH37, disclosure="closed", simulated=True))
    (own / "issuer.secret").touch(mode=0o600)
    (own / "issuer.secret").write_text(provider.secret, encoding="utf-8")
    with (own / "node.toml").open("a", encoding="utf-8") as settings:
        settings.write(f'\n[[trust]]\nissuer = "{provider.issuer}"\nrole = "broker"\njwks = "{provider.issuer}/certs"\n')
        settings.write(f'\n[[issuers]]\nissuer = "{provider.issuer}"\nclient_id = "{provider.client_id}"\n')
        settings.write('client_secret_file = "issuer.secret"\n')
    authority = init_authority(own, authority="FI", name="Finland", hub_url=HUB, datasets=("FI:*",))
    (folder / "hub").mkdir()
    hub = PinnedHub(
        hub_url=HUB,
        hub_key=create_identity(folder / "hub").public,
        node_url=address_of(here),
        joined_at="2026-01-01T00:00:00Z",
    )
    write_pinned(own, hub)
    granted = Grants(open_database(str(own / "node.sqlite"))).grant(
        authority,
        hub_url=HUB,
        dataset="FI:sim",
        subject=provider.subject,
        subject_issuer=provider.issuer,
        until=datetime.now(UTC) + timedelta(days=1),
    )
    now = int(time.time()) - 60
    terms = {"type": "AcceptedTermsAndPolicies", "asserted": now, "value": REGISTERED_ACCESS, "source": provider.issuer}
    provider.visas = [granted.visa, provider.signed("vnd.ga4gh.visa+jwt", iat=now, ga4gh_visa_v1={**terms, "by": "self"})]
    app = FastAPI()
    app.mount("/", provider.app())
    with ExitStack() as stack:
        stack.enter_context(serving_lists(HUB, lambda: (authority,)))
        stack.enter_context(running_app(app, its))
        stack.enter_context(running_app(create_app(own), here))
        made = _Place(address_of(here), provider, ECKey.generate_key("P-256"))
        deadline = time.monotonic() + 30
        while not made.shown(made.ask(made.token()))[0] and time.monotonic() < deadline:
            time.sleep(0.1)  # until the first list of revoked visas is there
        yield made


def test_a_visa_opens_and_its_passport_is_kept(place: _Place) -> None:
    token, before = place.token(), place.provider.exchanged
    assert place.shown(place.ask(token)) == place.shown(place.ask(token)) == (5, "")
    assert place.provider.exchanged == before + 1
    assert place.provider.faults == []


def test_tokens_and_proofs_that_do_not_hold_are_refused(place: _Place) -> None:
    other = ECKey.generate_key("P-256")
    opaque = "8JfM2Bf0n3mCkq1e"
    refused = {
        "for another node": place.ask(place.token(aud=["urn:cohelix:node:GB"])),
        "of another issuer": place.ask(place.token(iss="https://elsewhere.example")),
        "that has ended": place.ask(place.token(iat=1_700_000_000, exp=1_700_000_600)),
        "an id token": place.ask(place.token(kind="id+jwt")),
        "opaque": place.ask(opaque),
        "with visas": place.ask(place.token(ga4gh_passport_v1=[])),
        "without a key": place.ask(place.token(cnf={})),
        "bound to another key": place.ask(place.token(key=other)),
        "proven by another key": place.ask(place.token(), key=other),
        "proven for another address": place.ask(place.token(), address="http://evil.example/beacon/v2/individuals"),
        "proven twice": place.ask(place.token(), proofs=2),
        "proven not at all": place.ask(place.token(), proofs=0),
        "too long": place.ask(place.token(scope="x" * 9000)),
    }
    assert {name: answer.status_code for name, answer in refused.items()} == dict.fromkeys(refused, 401)


def test_a_stranger_who_was_sent_token_and_proof_cannot_pass_them_on(place: _Place) -> None:
    """Somebody was led to a stranger's server, and asked there: it asks the node under its own name."""
    address = "http://evil.example/beacon/v2/individuals"
    answer = place.ask(place.token(), address=address, host="evil.example")
    assert answer.status_code == 401 and "`url`" in answer.text


@pytest.mark.parametrize("claims", [{"sub": "somebody else"}, {"iss": "https://elsewhere.example"}], ids=("sub", "iss"))
def test_a_passport_of_another_person_than_the_token_is_refused(place: _Place, claims: dict[str, str]) -> None:
    place.provider.passport_claims = claims
    try:
        assert place.ask(place.token()).status_code == 401
    finally:
        place.provider.passport_claims = {}


def test_a_passport_for_another_node_opens_nothing(place: _Place) -> None:
    place.provider.passport_claims = {"aud": ["urn:cohelix:node:GB"]}
    try:
        assert place.shown(place.ask(place.token())) == (0, "passport-refused")
    finally:
        place.provider.passport_claims = {}


def test_keys_that_were_rotated_at_once_are_asked_for(place: _Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cohelix.access.oidc._KEYS_SECONDS", 0.0)
    before = place.token()
    place.provider.rotate()
    assert place.ask(place.token()).status_code == 200
    assert place.ask(before).status_code == 401
