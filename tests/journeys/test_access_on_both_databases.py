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
from tests.hub.people_help import Browser, hub_with_people

from cohelix import node
from cohelix.bank.load import LoadRequest, load
from cohelix.cli.doctor_checks import examine
from cohelix.core.genome import Assembly, region_1based
from cohelix.core.ids import DatasetId
from cohelix.hub.app import create_app as create_hub
from cohelix.node.app import create_app as create_node
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
    asked = LoadRequest(
        DatasetId("sim"), (genotypes,), Assembly.GRCH37, individuals=table, disclosure="floored", simulated=True
    )
    load(own, asked)
    counts = done("node", "counts", own, "--dataset", "sim").out.splitlines()[1:]
    # An allele that more people carry, and lack, than any floor.
    words = next(line.split("\t") for line in counts if 60 < int(line.split("\t")[5]) < 200)
    with ExitStack() as stack:
        people = stack.enter_context(hub_with_people(folder / "hub", database=hub_database))
        trust = f'\n[[trust]]\nissuer = "{people.issuer}"\nrole = "broker"\njwks = "{people.issuer}/jwks.json"\n'
        settings.write_text(settings.read_text() + trust)
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

        until = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
        words = ("dac", "grant", place.folder, "--dataset", "FI:sim", "--to", me["subject"], "--issuer", me["issuer"])
        granted = json.loads(done(*words, "--until", until, "--json").out)
        _until(lambda: place.people(researcher) > 0, True)
        exact = place.line(researcher)["populations"][0]
        assert (exact["alleleCount"], exact["alleleNumber"]) == (place.copies, 2 * PEOPLE)
        assert place.people(anybody) == 0

        person = place.cohort.samples[0]
        words = ("node", "consent", place.folder, "--individual", person, "--scope", "individual-queries", "--json")
        done(*words, "--withdraw")
        done(*words, "--give")

        done("dac", "revoke", place.folder, "--visa", granted["visa"], "--reason", "The project has ended.", "--json")
        _until(lambda: place.people(researcher), 0)
        assert place.line(researcher) == floored  # a registered person's answer, as before

    for folder in (place.folder, place.hub_folder):
        verified = json.loads(done("audit", "verify", folder, "--json").out)
        assert verified["ok"] is True and verified["size"] > 3
        files = {path.name for path in folder.glob("*.sqlite")} - {"nonces.sqlite"}
        assert bool(files) is (place.kind == "sqlite"), files


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
