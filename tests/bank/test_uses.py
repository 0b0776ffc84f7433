"""Who used a person's data: what is listed, by whose decision, with proofs that hold; and what is not theirs to see."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cohelix.access.authority import init_authority
from cohelix.access.grants import Grants
from cohelix.audit.bundle import EntryProof, Trust, verify_proof
from cohelix.audit.events import ConsentChanged, Decided, Person, QuestionAnswered, RunAccepted, RunRefused
from cohelix.audit.log import AuditLog
from cohelix.bank.life import modes_of, people_known
from cohelix.cli.audit_log import node_log
from cohelix.cli.main import app
from cohelix.core.errors import NotAuthentic, NotFound
from cohelix.core.ids import NodeId
from cohelix.db import open_database
from cohelix.federation.signing import load_identity
from cohelix.node.uses import Uses

RESEARCHER = Person("researcher", "https://hub.example/broker")


@dataclass
class Place:
    folder: Path
    log: AuditLog
    grants: Grants
    individual: str
    dataset: str

    def uses(self) -> Uses:
        return Uses(self.folder, NodeId("FI"), self.log.store, lambda: self.grants, self.log.keyed)

    def lines(self) -> list[tuple[str, str, str, str, int]]:
        found = [one.document() for one in self.uses().of(self.individual)]
        return sorted((one["what"], one["purpose"], one["decidedBy"], one["application"] or "", one["times"]) for one in found)

    def asked(self, kind: str, tier: Any, *visas: str, dataset: str = "") -> None:
        told = Decided(dataset or self.dataset, "answered", tier, visas=visas)
        self.log.record(QuestionAnswered(kind, "hub", self.log.keyed("x"), "care", (told,)), by=RESEARCHER, wait=True)

    def ran(self, run: str, project: str, tier: Any, *visas: str) -> None:
        told = Decided(self.dataset, "answered", tier, visas=visas)
        self.log.record(RunAccepted(run, project, "hash", (told,)), wait=True)

    def said(self, scope: str, *, given: bool) -> None:
        event = ConsentChanged(individual=self.log.keyed(self.individual), scopes=(scope,), given=given)
        self.log.record(event, by="individual", wait=True)


@pytest.fixture
def place(loaded: Any, tmp_path: Path) -> Any:
    folder = tmp_path / "node"
    words = ["node", "init", str(folder), "--id", "FI", "--name", "Finland", "--country", "FI"]
    CliRunner().invoke(app, words, catch_exceptions=False)
    home = min((loaded.node / "datasets").iterdir())
    shutil.copytree(home, folder / "datasets" / home.name)
    individual = min(people_known(folder))
    assert list(modes_of(folder, individual)) == [home.name]
    grants = Grants(open_database(folder / "node.sqlite"))
    with node_log(folder) as log:
        yield Place(folder, log, grants, individual, f"FI:{home.name}")


def _granted(place: Place) -> str:
    authority = init_authority(
        place.folder, authority="FI-dac", name="A committee", hub_url="https://hub.example", datasets=("FI:*",)
    )
    grant = place.grants.grant(
        authority,
        hub_url="https://hub.example",
        dataset=place.dataset,
        subject="researcher",
        subject_issuer="https://hub.example/broker",
        until=datetime.now(UTC) + timedelta(days=30),
        application="A-1",
        episode=9,
    )
    return grant.identifier


def test_what_is_about_single_people_is_listed_with_who_decided(place: Place) -> None:
    visa = _granted(place)
    place.asked("frequency", "public")
    place.asked("frequency", "registered")
    place.asked("frequency", "controlled", visa)
    place.asked("region", "controlled", visa)
    place.asked("records", "controlled", "GB-dac:other")
    place.asked("analysis", "controlled", visa)  # the run itself is listed
    place.asked("frequency", "controlled", visa, dataset="FI:elsewhere")
    place.ran("", "only asked", "controlled", visa)
    place.ran("r1", "heart", "controlled", visa)
    place.ran("r2", "liver", "project")
    place.ran("r3", "open", "public")
    place.log.record(RunRefused("r4", "refused", "people"), wait=True)
    assert place.lines() == [
        ("analysis", "heart", "FI-dac", "A-1", 1),
        ("analysis", "liver", "holder", "", 1),
        ("analysis", "open", "everybody", "", 1),
        ("counts", "care", "FI-dac", "A-1", 2),
        ("people", "care", "GB-dac", "", 1),
    ]


def test_a_time_without_consent_is_not_listed(place: Place) -> None:
    place.ran("r1", "before", "project")
    place.said("secondary-use", given=False)
    place.ran("r2", "between", "project")
    place.asked("frequency", "controlled", "FI-dac:1")
    place.said("secondary-use", given=True)
    place.ran("r3", "after", "project")
    assert [line[:2] for line in place.lines()] == [("analysis", "after"), ("analysis", "before"), ("counts", "care")]


def test_a_line_is_proved_and_another_entry_is_not_theirs(place: Place) -> None:
    place.asked("frequency", "public")
    place.ran("r1", "heart", "project")
    [line] = place.uses().of(place.individual)
    proof = EntryProof.model_validate(place.uses().proof(place.individual, line.numbers[0]))
    trust = Trust(key=load_identity(place.folder).public, origin="node/FI")
    assert verify_proof(proof, trust).size > line.numbers[0]
    with pytest.raises(NotAuthentic):
        verify_proof(proof.model_copy(update={"entry": proof.entry.replace("heart", "liver")}), trust)
    for number in (0, line.numbers[0] - 1, 10**9):
        with pytest.raises(NotFound):
            place.uses().proof(place.individual, number)


def test_the_holders_desk_sees_the_same(place: Place) -> None:
    place.ran("r1", "heart", "project")
    words = ["node", "uses", str(place.folder), "--individual", place.individual, "--json"]
    said = json.loads(CliRunner().invoke(app, words, catch_exceptions=False).stdout)
    assert said["items"] == [one.document() for one in place.uses().of(place.individual)]
    assert place.log.store().search(events=("log:read",)) != []
