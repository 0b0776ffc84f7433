"""Every route of a node is listed here, and each that tells of datasets passes the gate: its entry stands in the audit log."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.routing import Mount, Route

from cohelix import node
from cohelix.bank.load import LoadRequest, load
from cohelix.core.genome import Assembly, region_1based
from cohelix.core.ids import DatasetId
from cohelix.federation.joining import write_pinned
from cohelix.federation.signing import Identity, create_identity, sign_request
from cohelix.node.app import create_app
from cohelix.testing.cohorts import simulate_cohort, write_vcf
from cohelix.testing.federation import running_app
from cohelix.wire.federation import PinnedHub
from cohelix.wire.packed import pack

# Questions that tell of datasets, and what the log calls them.
QUESTIONS = {
    "frequency": ("frequency", {"variant": "22-20000100-A-G", "assembly": "GRCh37"}),
    "region": ("region", {"region": "22:20000001-20001000", "assembly": "GRCh37", "limit": 10}),
    "beacon": ("beacon", {"path": "g_variants", "body": {"query": {"requestedGranularity": "record"}}}),
    "cohort-count": ("cohort-count", {"expression": {"sex": "female"}, "datasets": []}),
    "analysis-check": ("analysis", {}),
    "analysis-open": ("analysis", {}),
}
# Records of datasets, public for everybody; steps of a run that `analysis-open` has let in; keys, logs, lists, and
# applications whose visas are to be signed.
OTHERS = {
    *("datasets", "successions", "audit-witness", "revocations-sign", "grants"),
    *(f"analysis-{step}" for step in ("roster", "sites", "variants", "ask", "step", "aggregate", "end")),
}
# Hashes of the log, what pages are made of, and how the node is, for its operator.
OPERATIONS = ("/", "/service-info", "/healthz", "/readyz", "/metrics", "/openapi.json", "/static/{digest}/{name}")
PAGES = ("/audit/v1/", "/consent", "/operate")
BEACON = (
    "g_variants",
    "g_variants?limit=1",
    "individuals",
    "biosamples",
    "runs",
    "analyses",
    "datasets",
    "cohorts",
    "filtering_terms",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("gate")
    cohort = simulate_cohort(
        {"FIN": 40}, 40, seed=5, region=region_1based("22", 20_000_001, 20_001_000), assembly=Assembly.GRCH37
    )
    write_vcf(cohort, home / "people.vcf.gz")
    rows = zip(cohort.samples, cohort.sexes, cohort.trait, strict=True)
    people = "\n".join(f"{name}\t{sex}\t{height:.3f}" for name, sex, height in rows)
    (home / "people.tsv").write_text(f"individual_id\tsex\theight [1]\n{people}\n", encoding="utf-8")
    node.init_node(home / "FI", node="FI", name="Finland", country="FI")
    for name in ("open", "floored"):
        request = LoadRequest(
            dataset=DatasetId(name),
            genotypes=(home / "people.vcf.gz",),
            assembly=Assembly.GRCH37,
            individuals=home / "people.tsv",
            disclosure=name,  # type: ignore[arg-type]
            simulated=True,
        )
        load(home / "FI", request)
    return home / "FI"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return create_identity(tmp_path_factory.mktemp("hub"))


@pytest.fixture(scope="module")
def served(folder: Path, hub: Identity) -> Iterator[str]:
    with running_app(create_app(folder)) as running:
        pinned = PinnedHub(hub_url="http://127.0.0.1:9", hub_key=hub.public, node_url=running.url, joined_at="2026-01-01")
        write_pinned(folder, pinned)
        yield running.url


def entries(folder: Path, at_least: int = 0) -> list[dict[str, Any]]:
    """What the log says of questions, as soon as it says so of so many; it writes what is on its way within a second."""
    until = time.monotonic() + 30
    while True:
        with sqlite3.connect(folder / "audit.sqlite") as log, suppress(sqlite3.OperationalError):  # not made yet
            rows = log.execute("SELECT content FROM audit_entries WHERE event = 'question:answered' ORDER BY number").fetchall()
            if len(rows) >= at_least:
                return [json.loads(content) for (content,) in rows]
        assert time.monotonic() < until, f"the log never tells of {at_least} questions"
        time.sleep(0.05)


def test_every_route_is_known(folder: Path) -> None:
    app = create_app(folder)
    paths = {route.path for route in app.routes if isinstance(route, Route | Mount)}
    paths |= {str(path) for path in app.openapi()["paths"]}
    asked = {path.removeprefix("/federation/v1/") for path in paths if path.startswith("/federation/v1/")}
    assert asked == {*QUESTIONS, *OTHERS}
    rest = {path for path in paths if not path.startswith(("/federation/v1/", "/beacon/v2"))}
    unknown = {path for path in rest if path not in OPERATIONS and not path.startswith(PAGES)}
    assert not unknown, "say here what a new route tells, and send it through the gate where it tells of data"


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_that_tells_of_data_passes_the_gate(question: str, served: str, folder: Path, hub: Identity) -> None:
    before = len(entries(folder))
    kind, document = QUESTIONS[question]
    body = _packed(question) if question.startswith("analysis") else json.dumps(document).encode()
    url = f"{served}/federation/v1/{question}"
    headers = sign_request(hub, method="POST", url=url, body=body)
    answer = httpx.post(url, content=body, headers=headers, trust_env=False, timeout=30)
    assert answer.status_code == 200, answer.text
    found = entries(folder, before + 1)[before:]
    assert len([one for one in found if one["event"] == "question:answered"]) == 1, answer.content[-400:]
    text = json.dumps(found)
    assert f'"{kind}"' in text and "FI:open" in text
    assert "20000100" not in text and "female" not in text


@pytest.mark.parametrize("path", BEACON)
def test_an_address_of_the_beacon_passes_the_gate(path: str, served: str, folder: Path) -> None:
    before = len(entries(folder))
    assert httpx.get(f"{served}/beacon/v2/{path}", trust_env=False, timeout=30).status_code == 200
    (entry,) = entries(folder, before + 1)[before:]
    assert '"beacon"' in json.dumps(entry) and "FI:floored" in json.dumps(entry)


def _packed(question: str) -> bytes:
    from cohelix.wire.plan import parse_plan, plan_hash

    plan = parse_plan(
        {
            "project": "p",
            "assembly": "GRCh37",
            "datasets": ["FI:open"],
            "trait": {"measurement": "height"},
            "covariates": ["sex"],
            "variants": {"region": "22:20000001-20001000"},
            "method": "linear",
        }
    )
    more = {} if question == "analysis-check" else {"run": "0" * 16, "planHash": plan_hash(plan), "deadline": _tomorrow()}
    return pack({"plan": plan.model_dump(mode="json"), **more})


def _tomorrow() -> str:
    from datetime import UTC, datetime, timedelta

    return (datetime.now(UTC) + timedelta(days=1)).isoformat()
