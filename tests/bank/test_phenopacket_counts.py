"""All phenopackets of the shared data: counts per code equal a naive count over the JSON, whose HPO is read line by line."""

from __future__ import annotations

import gzip
import json
import lzma
import os
from collections import defaultdict
from pathlib import Path

import pytest

from cohelix.bank.criteria import filtering_terms, people_meeting
from cohelix.bank.expression import evaluate
from cohelix.bank.questions import Criterion
from cohelix.phenotypes import read_people
from cohelix.phenotypes.ontology import Ontologies
from cohelix.phenotypes.ontology_files import add_ontology
from cohelix.phenotypes.store import read_people_store, write_people
from cohelix.wire.expression import read_expression

SHARED = Path(os.environ.get("COHELIX_SHARED", Path(__file__).parents[2] / ".." / "shared")) / "data"
PACKETS, HPO = SHARED / "phenopackets" / "phenopackets.ndjson.gz", SHARED / "ontologies" / "hp.obo.xz"
pytestmark = pytest.mark.skipif(not PACKETS.exists(), reason="the shared real data is not there")


def naive_parents() -> tuple[dict[str, list[str]], dict[str, str]]:
    """From HPO's lines alone: the terms' parents, and which term an alternative id means."""
    parents: dict[str, list[str]] = {}
    alternatives: dict[str, str] = {}
    code = ""
    with lzma.open(HPO, "rt") as lines:
        for line in lines:
            tag, _, rest = line.strip().partition(": ")
            if tag == "id":
                code = rest
                parents[code] = []
            elif tag == "is_a":
                parents[code].append(rest.split(" ")[0])
            elif tag == "alt_id":
                alternatives[rest] = code
    return parents, alternatives


def naive_counts() -> dict[tuple[str, str], set[int]]:
    """Who has what, packet by packet: codes of features with everything above them, of diseases, symbols of genes."""
    parents, alternatives = naive_parents()

    def reached(code: str) -> set[str]:
        found = {code}
        for parent in parents.get(code, []):
            found |= reached(parent)
        return found

    above: dict[str, set[str]] = {}
    found: dict[tuple[str, str], set[int]] = defaultdict(set)
    with gzip.open(PACKETS) as lines:
        for person, line in enumerate(lines):
            packet = json.loads(line)
            for feature in packet.get("phenotypicFeatures", []):
                code = feature["type"]["id"]
                code = alternatives.get(code, code)
                if feature.get("excluded", False):
                    found["direct excluded_phenotype", code].add(person)
                    continue
                found["direct phenotype", code].add(person)
                if code not in above:
                    above[code] = reached(code)
                for one in above[code]:
                    found["phenotype", one].add(person)
            for disease in packet.get("diseases", []):
                if not disease.get("excluded", False):
                    found["disease", disease["term"]["id"]].add(person)
    return found


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packets")
    add_ontology(folder / "node", HPO)
    known = Ontologies.of(folder / "node")
    (folder / "people").mkdir()
    write_people(read_people([PACKETS], ontologies=known, year=2026).people, folder / "people", known)
    return read_people_store(folder / "people")


@pytest.fixture(scope="module")
def counts():
    return naive_counts()


def test_every_code_with_descendants(people, counts):
    expected = {code: len(who) for (kind, code), who in counts.items() if kind == "phenotype"}
    listed = {one.code: one.closed for one in people.index.counts("phenotype")}
    assert listed == expected
    assert len(listed) > 5_000 and max(listed.values()) > 7_000
    assert {term.id: term[3] for term in filtering_terms(people, numbers=True, least=1) if term.kind == "phenotype"} == expected


def test_every_code_without_descendants(people, counts):
    for kind in ("phenotype", "excluded_phenotype"):
        expected = {code: len(who) for (of, code), who in counts.items() if of == f"direct {kind}"}
        assert {one.code: one.direct for one in people.index.counts(kind) if one.direct} == expected


def test_diseases(people, counts):
    expected = {code: len(who) for (kind, code), who in counts.items() if kind == "disease"}
    found = {one.code: one.closed for one in people.index.counts("disease")}
    assert {code: found.get(code) for code in expected} == expected


@pytest.mark.parametrize("code", ["HP:0001250", "HP:0000707", "HP:0001626", "HP:0000478", "HP:0000118"])
def test_excluded_is_never_present(people, counts, code):
    """As filters, together with a disease: the very people, not only their number."""
    present = counts["phenotype", code]
    met = people_meeting(people, [Criterion("phenotype", "=", code)])
    assert set(met.nonzero()[0].tolist()) == present
    denied = {
        who for (kind, one), whom in counts.items() if kind == "direct excluded_phenotype" and one == code for who in whom
    }
    assert not (denied - present) & set(met.nonzero()[0].tolist())
    disease = max((item for item in counts.items() if item[0][0] == "disease"), key=lambda item: len(item[1]))
    both = people_meeting(people, [Criterion("phenotype", "=", code), Criterion("disease", "=", disease[0][1])])
    assert set(both.nonzero()[0].tolist()) == present & disease[1]


def test_expressions_mean_whom_the_packets_mean(people, counts):
    """any, all and not over real patients: sets of the naive count, joined as sets."""
    seizure, eye = counts["phenotype", "HP:0001250"], counts["phenotype", "HP:0000478"]
    (_, code), with_disease = max((item for item in counts.items() if item[0][0] == "disease"), key=lambda item: len(item[1]))
    everybody = set(range(len(people)))
    males = set((people.sex == 1).nonzero()[0].tolist())
    females = set((people.sex == 2).nonzero()[0].tolist())
    assert seizure - eye and eye - seizure and males and everybody - males - females
    for text, expected in (
        ("HP:0001250 or phenotype=HP:0000478", seizure | eye),
        ("phenotype=HP:0001250 and not HP:0000478", seizure - eye),
        (f"not ({code} or HP:0001250)", everybody - with_disease - seizure),
        (f"sex=male and not (disease={code} and HP:0001250)", males - (with_disease & seizure)),
        (f"not sex=male and disease={code}", females & with_disease),  # of unknown sex is neither
        ("phenotype=HP:0001250 only", counts["direct phenotype", "HP:0001250"]),
    ):
        assert set(evaluate(read_expression(text), people).yes) == expected, text
