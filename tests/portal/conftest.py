"""A portal over a real federation, whose members' answers a test writes down as the wire documents that they send."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from starlette.requests import Request

from cohelix import web
from cohelix.core.errors import NotFound
from cohelix.core.genes import find_gene
from cohelix.core.genome import Assembly
from cohelix.federation.questions import Federation
from cohelix.federation.registry import Registry
from cohelix.federation.transport import Arrival
from cohelix.portal.browser import routes
from cohelix.portal.terms import Term, TermBook, Terms
from cohelix.wire.analysis import CheckAnswer, PlanCheck, Refusal, Run, RunEvent
from cohelix.wire.federation import JoinRequest, Member

COUNTS = {  # of 22-50313359-G-A on GRCh37: copies, called alleles, homozygotes of men and women
    "FI": ("FIN", "Finland", (14, 72, 2), (17, 112, 1)),
    "GB": ("GBR", "United Kingdom", (16, 82, 3), (20, 90, 1)),
    "IT": ("TSI", "Italy", (24, 88, 2), (22, 94, 4)),
    "CEU": ("CEU", "Utah residents of northern and western European ancestry", (21, 88, 2), (24, 90, 3)),
}


class Board:
    """Runs that a test writes down, as the hub tells of them."""

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.summaries: dict[str, dict[str, Any]] = {}
        self.happened: list[RunEvent] = []
        self.asked: list[Mapping[str, Any]] = []
        self.node_estimates: dict[str, Any] = {"state": "not-asked", "trait": None, "loci": []}

    async def get(self, run: str) -> Run:
        if run not in self.runs:
            raise NotFound(f"there is no run {run}")
        return self.runs[run]

    async def newest(self, limit: int) -> tuple[Run, ...]:
        return tuple(self.runs.values())[:limit]

    async def events(self, run: str, after: int) -> list[RunEvent]:
        return [one for one in self.happened if one.number > after]

    async def check(self, _request: Request, plan: Mapping[str, Any]) -> PlanCheck:
        self.asked.append(plan)
        word = CheckAnswer(node="FI", takes_part=False, refusal=Refusal(rule="project", reason="<b>not</b> allowed"))
        return PlanCheck(plan_hash="", possible=False, reason="fewer than 3", nodes=(word,))

    async def propose(self, _request: Request, plan: Mapping[str, Any]) -> Run:
        self.asked.append(plan)
        self.runs["new12345"] = begun = run("proposed", id="new12345", plan=dict(plan))
        return begun

    async def summary(self, run: str, _actor: object, _trait: str | None = None) -> bytes:
        return json.dumps(self.summaries[run]).encode()

    async def lines(self, run: str, _actor: object, region: object, most: int, _trait: str | None = None) -> bytes:
        top = self.summaries[run]["top"][:most]
        return json.dumps({"region": str(region), "lines": len(top), "tested": len(top), "strongest": top}).encode()

    async def estimates(self, run: str, _actor: object) -> Mapping[str, Any]:
        return self.node_estimates


def run(state: str, **more: Any) -> Run:
    """A run of three members, in that state."""
    plan = {
        "project": "demo", "method": "linear", "assembly": "GRCh37", "datasets": ["FI:a", "GB:a", "IT:a"],
        "trait": {"measurement": "ENSG00000184164.10"}, "traits": [],
    }  # fmt: skip
    nodes = [
        {"node": node, "contributor": True, "aggregator": True, "status": "done", "blocks": 3} for node in ("FI", "GB", "IT")
    ]
    given = {
        "id": "abc12345",
        "state": state,
        "plan": plan,
        "planHash": "f" * 64,
        "nodes": nodes,
        "proposedAt": "2026-01-01T00:00:00Z",
        "deadline": "2026-01-02T00:00:00Z",
    }
    return Run.model_validate({**given, **more})


OPEN_NOTE = "These donors agreed to open release of their genomes."


def row(population: str, sex: str, ac: int | None, an: int | None, hom: int | None, *, hemi: int | None = 0) -> dict[str, Any]:
    """One row of an answer."""
    told = ac is not None and an is not None
    het = ac - 2 * hom - (hemi or 0) if told and hom is not None else None
    return {
        "population": population,
        "sex": sex,
        "alleleCount": ac,
        "alleleNumber": an,
        "alleleFrequency": ac / an if told and an else None,
        "homozygotes": hom,
        "heterozygotes": het,
        "hemizygotes": hemi if told and hom is not None else None,
    }


def answered_rows(node: str) -> list[dict[str, Any]]:
    """The rows of a dataset of one population: as a whole and as that population."""
    population, _, male, female = COUNTS[node]
    both = tuple(m + f for m, f in zip(male, female, strict=True))
    return [
        row(name, sex, *counts)
        for name in ("all", population)
        for sex, counts in (("all", both), ("male", male), ("female", female))
    ]


def record(dataset: str, **changes: Any) -> dict[str, Any]:
    """A dataset's own description."""
    node = dataset.partition(":")[0]
    return {
        "id": dataset,
        "title": f"GEUVADIS genotypes, {COUNTS[node][0]}" if node in COUNTS else dataset,
        "assembly": "GRCh37",
        "disclosure": "open",
        "floors": {"frequency": 0, "people": 0},
        "absentMeans": "not_assessed",
        "version": 1,
        "release": 1,
        "nIndividuals": 92,
        "nVariants": 85_485,
        "contigs": ["22"],
        "populations": [COUNTS[node][0]] if node in COUNTS else [],
        "measurements": [],
        "simulated": False,
        "openReleaseNote": OPEN_NOTE,
    } | changes


FLOORED = {
    "disclosure": "floored",
    "floors": {"frequency": 5, "people": 10},
    "nIndividuals": 90,
    "nVariants": None,
    "openReleaseNote": None,
}


def frequency_document(node: str, datasets: list[dict[str, Any]]) -> dict[str, Any]:
    """A node's answer to one variant, with the sum over its answering datasets."""
    totals = [dataset["populations"][0] for dataset in datasets if dataset["status"] == "answered"]
    pooled = None
    if totals:
        ac, an = sum(t["alleleCount"] for t in totals), sum(t["alleleNumber"] for t in totals)
        hom = None if any(t["homozygotes"] is None for t in totals) else sum(t["homozygotes"] for t in totals)
        pooled = {
            "alleleCount": ac,
            "alleleNumber": an,
            "alleleFrequency": ac / an if an else None,
            "homozygotes": hom,
            "nodes": [node],
        }
    return {"node": node, "datasets": datasets, "pooled": pooled}


def terms_of(node: str) -> list[dict[str, Any]]:
    """What a member's people can be asked about, as its Beacon lists it."""
    people, ontology = ["individual"], "Human Phenotype Ontology"
    population = COUNTS[node][0] if node in COUNTS else node
    return [
        {"type": ontology, "id": "HP:0001250", "label": "Seizure", "scopes": people, "count": 20},
        {"type": "OMIM", "id": "OMIM:143890", "label": "Familial hypercholesterolemia 1", "scopes": people, "count": 30},
        {"type": "alphanumeric", "id": "population", "label": "population", "scopes": people, "values": [population]},
        {"type": "alphanumeric", "id": "LDL cholesterol", "label": "LDL cholesterol [mmol/L]", "scopes": people},
        {"type": "alphanumeric", "id": "age", "label": "age [a]", "scopes": people},
        {"type": "NCIt", "id": "NCIT:C16576", "label": "female", "scopes": people},
        {"type": "alphanumeric", "id": "alleleFrequency", "label": "frequency", "scopes": ["genomicVariant"]},
    ]


RS_ID = "rs9616208"  # of 22-50313359-G-A


def beacon_document(node: str, datasets: list[str], message: dict[str, Any]) -> dict[str, Any]:
    """What a member's Beacon says: its terms, and the one variant of which its datasets know the rsID."""
    response: dict[str, Any] = {"filteringTerms": terms_of(node)}
    found = RS_ID in json.dumps(message)
    results = [{"variantInternalId": "GRCh37-22-50313359-G-A"}] if found else []
    response["resultSets"] = [{"id": name, "results": results} for name in datasets]
    lines = [{"id": name, "exists": found, "status": "answered"} for name in datasets]
    return {"status": 200, "document": {"response": response, "info": {"datasets": lines}}}


class Stage:
    """A `Transport` over which each member says what the test wrote down for it.

    `script[member][question]` is a document, an `Arrival`, a number of seconds to be late by, or a function of the
    question's message that gives one of these.
    """

    def __init__(self) -> None:
        self.script: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, str, dict[str, Any]]] = []

    async def ask(self, member: Member, question: str, body: bytes) -> Arrival:
        message = json.loads(body)
        self.asked.append((member.id, question, message))
        said = self.script[member.id][question]
        if callable(said):
            said = said(message)
        if isinstance(said, float):
            await asyncio.sleep(said)
            return Arrival("unreachable", "slept too long")
        return said if isinstance(said, Arrival) else Arrival("answered", body=json.dumps(said).encode())

    async def close(self) -> None:
        """Nothing is open."""

    def play(self, node: str, datasets: list[dict[str, Any]], records: list[dict[str, Any]], region: Any = None) -> None:
        """Let a member answer with these datasets."""
        states = [{"id": d["id"], "status": d["status"], "reason": d.get("reason"), "variants": []} for d in datasets]
        counts: list[dict[str, Any]] = [{**one, "count": 20 if one["status"] == "answered" else None} for one in states]
        for one in counts:
            del one["variants"]
        people = sum(one["count"] or 0 for one in counts) or None
        self.script[node] = {
            "frequency": frequency_document(node, datasets),
            "datasets": {"node": node, "datasets": records},
            "cohort-count": {"node": node, "datasets": counts, "count": people},
            "beacon": partial(beacon_document, node, [dataset["id"] for dataset in datasets]),
            "region": region or {"node": node, "datasets": states, "more": False},
        }

    def lose(self, node: str, status: str, reason: str) -> None:
        """Let a member be absent on every question."""
        self.script[node] = dict.fromkeys(
            ("frequency", "datasets", "region", "cohort-count", "beacon"), Arrival(status, reason)
        )


def four_nodes(stage: Stage) -> None:
    """The demo's members with real counts of one variant, and three variants of its region."""
    for node in COUNTS:
        dataset = f"{node}:geuvadis"
        rows = answered_rows(node)
        names = ["22-50313359-G-A", "22-50313400-C-T", "22-50313500-AT-A"]
        region = {
            "node": node,
            "datasets": [
                {"id": dataset, "status": "answered", "variants": [{"variant": name, "populations": rows} for name in names]}
            ],
            "more": False,
        }
        stage.play(node, [{"id": dataset, "status": "answered", "populations": rows}], [record(dataset)], region)


class Html(HTMLParser):
    """A page as a reader without a browser sees it: tags, attributes, and the text outside of `head`."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.source = source
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._text: list[str] = []
        self._head = False
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._head = self._head or tag == "head"
        self._text.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self._head = self._head and tag != "head"
        self._text.append(" ")

    def handle_data(self, data: str) -> None:
        if not self._head:
            self._text.append(data)

    @property
    def text(self) -> str:
        """All text, white space folded."""
        return " ".join("".join(self._text).split())

    def all(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        """Attributes of every such element."""
        return [attrs for name, attrs in self.tags if name == tag and wanted.items() <= attrs.items()]

    def cells(self) -> list[list[str]]:
        """Every table row of the page as the texts of its cells."""
        rows = re.findall(r"<tr.*?</tr>", self.source, re.DOTALL)
        return [[Html(cell).text for cell in re.findall(r"<t[hd].*?</t[hd]>", one, re.DOTALL)] for one in rows]


@pytest.fixture(scope="session", autouse=True)
def _genes_are_read() -> None:
    """A hub reads its gene tables when it starts; no test is about the first second."""
    for assembly in Assembly:
        find_gene("", assembly)


@pytest.fixture
def few_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handful of ontologies' names as if they had been read; `test_terms.py` and `test_search.py` read them all."""
    names = ("Seizure", "Motor seizure", "Tonic seizure", "Atonic seizure", "Hypercholesterolemia")
    terms = [Term(f"HP:{1250 + number:07}", name) for number, name in enumerate(names)]
    monkeypatch.setattr(Terms, "_book", TermBook([*terms, Term("OMIM:219700", "Cystic fibrosis")]))


@pytest.fixture
def wire() -> SimpleNamespace:
    """What tests write members' answers with."""
    return SimpleNamespace(
        run=run, row=row, rows=answered_rows, record=record, frequency=frequency_document, FLOORED=FLOORED, OPEN_NOTE=OPEN_NOTE
    )


@pytest.fixture
def read() -> Callable[[httpx.Response], Html]:
    """Reads a page."""
    return lambda response: Html(response.text)


@pytest.fixture
def serve() -> Callable[[FastAPI], AbstractContextManager[str]]:
    """Serves an app for the length of a `with`."""
    return serving


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    four_nodes(stage)
    return stage


@pytest.fixture
def make_app(tmp_path: Path) -> Callable[..., FastAPI]:
    """Makes a hub's app with the portal over the staged members."""

    def make(stage: Stage, *, deadline_seconds: float = 0.5, names: dict[str, str] | None = None, **joined: Any) -> FastAPI:
        folder = tmp_path / "hub"
        folder.mkdir()
        registry = Registry(folder)
        for number, node in enumerate(stage.script):
            token = registry.invite(node, hub_url="http://hub.example", hub_key="k")
            name = (names or {}).get(node) or (COUNTS[node][1] if node in COUNTS else node)
            datasets = tuple(r["id"] for r in _records(stage, node))
            request = JoinRequest(
                token=token.secret,
                node=node,
                name=name,
                country=node[:2].replace("CE", "US"),
                url=f"http://n{number}.example",
                key=f"key{number}",
                datasets=datasets,
                **joined,
            )
            registry.join(request)
        app = FastAPI()
        web.install(app, service="hub")
        app.state.registry = registry
        federation = Federation(registry, stage, deadline_seconds=deadline_seconds)
        app.state.board = Board()
        app.router.routes.extend(routes(federation, app.state.board, app.state.board, app.state.board))
        return app

    return make


def _records(stage: Stage, node: str) -> list[dict[str, Any]]:
    said = stage.script[node]["datasets"]
    return said["datasets"] if isinstance(said, dict) else []


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serves an app on a free port of this machine; gives its address."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture
def app(stage: Stage, make_app: Callable[..., FastAPI]) -> FastAPI:
    """A hub's portal over the staged members."""
    return make_app(stage)


@pytest.fixture
def app_registry(app: FastAPI) -> Registry:
    """Its members."""
    registry = app.state.registry
    assert isinstance(registry, Registry)
    return registry


@pytest.fixture
def url(app: FastAPI) -> Iterator[str]:
    """Its address."""
    with serving(app) as address:
        yield address


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    """A browser without JavaScript in front of it."""
    with httpx.Client(base_url=url, headers={"accept": "text/html,*/*"}, timeout=20) as client:
        yield client
