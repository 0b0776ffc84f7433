"""From login to audit on SQLite and on PostgreSQL: what a researcher is told without a visa, with one, after its end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from joserfc.jwk import ECKey
from tests.hub.people_help import PASSWORD, Browser, hub_with_people

from cohelix import node
from cohelix.bank.load import LoadRequest, load
from cohelix.cli.doctor_checks import examine
from cohelix.core.genome import Assembly, region_1based
from cohelix.core.ids import DatasetId
from cohelix.hub.app import create_app as create_hub
from cohelix.node.app import create_app as create_node
from cohelix.sdk.identity import CONFIG_VARIABLE, log_in, make_proof
from cohelix.testing.cohorts import SimulatedCohort, simulate_cohort, write_vcf
from cohelix.testing.federation import RunningApp, free_listener, running_app
from validation.processes import done

PEOPLE = 150


@dataclass
class _Place:
    folder: Path
    hub_folder: Path
    hub: str
    node: RunningApp
    cohort: SimulatedCohort
    variant: str
    copies: int
    kind: str

    def line(self, client: httpx.Client) -> dict[str, Any]:
        """What the dataset says of the variant."""
        answer = client.get(f"{self.hub}/api/v1/frequency/{self.variant}", params={"assembly": "GRCh37"}).json()
        [found] = answer["nodes"]
        return dict(found["datasets"][0])

    def people(self, client: httpx.Client) -> int:
        """How many single people the network's Beacon shows."""
        query = {"requestedGranularity": "record", "includeResultsetResponses": "ALL", "pagination": {"limit": 5}}
        body = {"meta": {"apiVersion": "v2.1.1"}, "query": query}
        answer = client.post(f"{self.hub}/beacon/v2/individuals", json=body, headers={"origin": self.hub}).json()
        return sum(len(one.get("results") or ()) for one in answer["response"]["resultSets"])


def _databases(kind: str, request: pytest.FixtureRequest) -> tuple[str, str]:
    """Settings of the hub's and the node's database: none for files, two databases of one server else."""
    if kind == "sqlite":
        return "", ""
    server = sa.make_url(request.getfixturevalue("postgres"))
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    names = ("journey_hub", "journey_node")
    with engine.connect() as connection:
        for name in names:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    first, second = (server.set(database=name).render_as_string(hide_password=False) for name in names)
    return first, second


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Place]:
    folder = tmp_path_factory.mktemp(f"access-{request.param}")
    hub_database, node_database = _databases(request.param, request)
    own = folder / "FI"
    node.init_node(own, node="FI", name="Finland", country="FI")
    settings = own / "node.toml"
    if node_database:
        settings.write_text(f'{settings.read_text()}database = "{node_database}"\n')
    region = region_1based("22", 20_000_001, 20_030_000)
    cohort = simulate_cohort({"FIN": PEOPLE}, 60, seed=5, region=region, assembly=Assembly.GRCH37)
    genotypes, table = folder / "x.vcf.gz", folder / "x.tsv"
    write_vcf(cohort, genotypes)
    rows = zip(cohort.samples, cohort.sexes, cohort.populations, strict=True)
    table.write_text("\n".join(["individual_id\tsex\tpopulation", *map("\t".join, rows)]) + "\n")
    request_of = LoadRequest(
        DatasetId("sim"), (genotypes,), Assembly.GRCH37, individuals=table, disclosure="floored", simulated=True
    )
    load(own, request_of)
    counts = done("node", "counts", own, "--dataset", "sim").out.splitlines()[1:]
    # An allele that more people carry, and lack, than any floor.
    words = next(line.split("\t") for line in counts if 60 < int(line.split("\t")[5]) < 200)
    with ExitStack() as stack:
        people = stack.enter_context(hub_with_people(folder / "hub", database=hub_database))
        trust = f'\n[[trust]]\nissuer = "{people.issuer}"\nrole = "broker"\njwks = "{people.issuer}/jwks.json"\n'
        secret = own / "issuer.secret"
        secret.touch(mode=0o600)
        secret.write_text(json.loads(done("hub", "clients", people.folder, "--add", "node-FI", "--json").out)["secret"])
        asked = f'\n[[issuers]]\nissuer = "{people.issuer}"\nclient_id = "node-FI"\nclient_secret_file = "{secret.name}"\n'
        settings.write_text(settings.read_text() + trust + asked)
        served = stack.enter_context(running_app(create_node(own)))
        token = done("hub", "invite", people.folder, "--member", "FI").out.strip()
        done("node", "join", own, token, "--url", served.url)
        done("dac", "init", own, "--authority", "FI-DAC", "--name", "A committee")
        yield _Place(own, people.folder, people.url, served, cohort, "-".join(words[:4]), int(words[5]), request.param)


def _until(ask: Callable[[], object], wanted: object, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while (found := ask()) != wanted:
        assert time.monotonic() < deadline, (found, wanted)
        time.sleep(0.3)


def test_from_login_to_audit(place: _Place) -> None:
    with httpx.Client(trust_env=False, timeout=30) as anybody, Browser(place.hub) as researcher:
        refused = place.line(anybody)
        assert (refused["status"], refused["reason"].partition(":")[0]) == ("refused", "login-required")
        assert place.people(anybody) == 0

        researcher.log_in("ada")
        me = researcher.get("/api/v1/me").json()
        floored = place.line(researcher)
        assert floored["status"] == "answered" and place.people(researcher) == 0
        [told] = researcher.get("/api/v1/datasets").json()["nodes"][0]["datasets"]
        page = researcher.get("/account").text
        assert 0 <= told["budgetLeft"] < 1 and f'<td class="number">{told["budgetLeft"]:.0%}'.replace("%", " %") in page, page

        until = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
        words = ("dac", "grant", place.folder, "--dataset", "FI:sim", "--to", me["subject"], "--issuer", me["issuer"])
        granted = json.loads(done(*words, "--until", until, "--json").out)
        _until(lambda: place.people(researcher) > 0, True)
        exact = place.line(researcher)["populations"][0]
        assert (exact["alleleCount"], exact["alleleNumber"]) == (place.copies, 2 * PEOPLE)
        assert place.people(anybody) == 0

        person = place.cohort.samples[0]
        choice = ("node", "consent", place.folder, "--individual", person, "--scope", "individual-queries", "--json")
        done(*choice, "--withdraw")
        done(*choice, "--give")

        done("dac", "revoke", place.folder, "--visa", granted["visa"], "--reason", "The project has ended.", "--json")
        _until(lambda: place.people(researcher), 0)
        assert place.line(researcher) == floored  # a registered person's answer, as before

    for folder in (place.folder, place.hub_folder):
        verified = json.loads(done("audit", "verify", folder, "--json").out)
        assert verified["ok"] is True and verified["size"] > 3
        files = {path.name for path in folder.glob("*.sqlite")} - {"nonces.sqlite"}
        assert bool(files) is (place.kind == "sqlite"), files


def test_the_node_itself_is_asked(place: _Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token for the node, bound to the program's key: who has it with a visa is told of single people, and nobody else."""
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "config"))
    codes: list[str] = []

    def allow(_seconds: float) -> None:
        with Browser(place.hub) as browser:
            browser.allow_program(codes[0], "ada", PASSWORD)

    identity = log_in(place.hub, lambda told: codes.append(told.code), sleep=allow)
    until = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
    revocations = f"{place.hub}/api/v1/revocations"
    _until(lambda: len(httpx.get(revocations, trust_env=False).json().get("signatures", ())), 1)  # the hub knows the committee
    words = ("dac", "grant", place.folder, "--dataset", "FI:sim", "--to", identity.subject, "--until", until, "--json")
    visa = json.loads(done(*words).out)["visa"]
    url, other = f"{place.node.url}/beacon/v2/individuals", f"{place.node.url}/beacon/v2/biosamples"
    query = {"requestedGranularity": "record", "includeResultsetResponses": "ALL", "limit": "5"}
    for_node, for_hub = (identity.access_token(audience) for audience in ("urn:cohelix:node:FI", ""))

    def people(method: str = "GET", scheme: str = "DPoP", token: str = for_node, **headers: str) -> int | None:
        """How many single people are shown; None for a request that is refused."""
        given = {"authorization": f"{scheme} {token}", **headers} if headers else {}
        answer = httpx.request(method, url, params=query, headers=given, trust_env=False, timeout=30)
        if answer.status_code == 401:
            assert answer.headers["www-authenticate"].startswith("DPoP") and answer.json()["error"]["errorCode"] == 401
            return None
        assert answer.status_code == 200, answer.text
        return sum(len(one.get("results") or ()) for one in answer.json()["response"]["resultSets"])

    def proof(method: str = "GET", address: str = url, token: str = for_node) -> str:
        return identity.proof(method, address, token)

    good = proof()
    assert people() == 0
    assert people(dpop=good) == 5
    refused = {
        "the proof again": people(dpop=good),
        "no proof": people(dpop=""),
        "another method's": people(dpop=proof("POST")),
        "another address's": people(dpop=proof(address=other)),
        "another token's": people(dpop=proof(token=for_hub)),
        "another key's": people(dpop=make_proof(ECKey.generate_key("P-256"), "GET", url, for_node)),
        "a token for the hub": people(token=for_hub, dpop=proof(token=for_hub)),
        "a bearer": people(scheme="Bearer", dpop=proof()),
        "a token that was changed": people(token=for_node[:-8] + "AAAAAAAA", dpop=proof(token=for_node[:-8] + "AAAAAAAA")),
    }
    assert set(refused.values()) == {None}, refused
    escaped = f"{url}/nobody%3Aof%20this%20name"  # a proof names an address as it is sent
    headers = {"authorization": f"DPoP {for_node}", "dpop": proof(address=escaped)}
    assert httpx.get(escaped, headers=headers, trust_env=False, timeout=30).status_code == 404
    done("dac", "revoke", place.folder, "--visa", visa, "--reason", "The project has ended.", "--json")
    _until(lambda: people(dpop=proof()), 0)  # the passport that the node keeps still holds the visa


def test_the_doctor_finds_no_fault(place: _Place) -> None:
    for folder in (place.folder, place.hub_folder):
        found = {one.slug: one for one in examine(folder) if one.level != "ok"}
        assert not [one for one in found.values() if one.level == "fault"], found
        assert set(found) <= {"audit-unwitnessed", "disk-low"}, found
    seen = {one.slug for one in examine(place.folder)}
    assert {"issuer-unreachable", "revocations-stale", "clock-off", "dataset-damaged", "database-behind"} <= seen


def test_a_session_outlives_the_server(place: _Place) -> None:
    with Browser(place.hub) as researcher:
        researcher.log_in("ada")
        with running_app(create_hub(place.hub_folder), free_listener()) as again:
            cookies = {"cookie": "; ".join(f"{name}={value}" for name, value in researcher.cookies.items())}
            me = httpx.get(f"{again.url}/api/v1/me", headers=cookies, trust_env=False).json()
    assert me["subject"]
