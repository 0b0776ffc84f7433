"""Codes from load to answer: the node's ontologies, the load report, open and floored counts, releases."""

from __future__ import annotations

import json

import pytest

from cohelix.bank.bank import Bank
from cohelix.bank.load import LoadRequest, load
from cohelix.bank.questions import Criterion, PeopleQuery
from cohelix.core.genome import Assembly
from cohelix.core.ids import DatasetId, NodeId
from cohelix.phenotypes.ontology_files import add_ontology

# Diabetes over type 1, type 2 and a rare form; and an illness beside them.
ONTOLOGY = """format-version: 1.2
data-version: 2025-01-01
[Term]
id: MONDO:0005015
name: diabetes mellitus
[Term]
id: MONDO:0005147
name: type 1 diabetes
is_a: MONDO:0005015
[Term]
id: MONDO:0005148
name: type 2 diabetes
alt_id: MONDO:0000001
is_a: MONDO:0005015
[Term]
id: MONDO:0018911
name: rare diabetes
is_a: MONDO:0005015
[Term]
id: MONDO:0004979
name: asthma
[Term]
id: MONDO:0000002
name: obsolete sugar
is_obsolete: true
replaced_by: MONDO:0005147
"""


def codes_of(person: int) -> str:
    """40 with type 2 (ten by an alternative id), 4 with the rare form alone, 20 with type 1 by an obsolete code, 25 asthma."""
    if person < 40:
        return "mondo:0005148" if person < 30 else "MONDO:0000001"
    if person < 44:
        return "MONDO:0018911"
    if person < 64:
        return "MONDO:0000002"
    return {64: "MONDO:9999999", 65: "OMIM:1"}.get(person, "MONDO:0004979" if person < 91 else "")


@pytest.fixture(scope="module", params=["open", "floored"])
def node(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("codes")
    (folder / "node").mkdir()
    (folder / "mondo.obo").write_text(ONTOLOGY)
    add_ontology(folder / "node", folder / "mondo.obo")
    people = range(120)
    head = "##fileformat=VCFv4.2\n##contig=<ID=22,length=51304566>\n"
    fields = ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *(f"S{n}" for n in people)]
    record = ["22", "20000001", ".", "A", "G", ".", ".", ".", "GT", *("0/1" for _ in people)]
    (folder / "a.vcf").write_text(head + "\t".join(fields) + "\n" + "\t".join(record) + "\n")
    rows = [f"P{n}\tS{n}\t{'mf'[n % 2]}\t{codes_of(n)}" for n in people]
    (folder / "a.tsv").write_text("individual_id\tbiosample_id\tsex\tdisease\n" + "\n".join(rows) + "\n")
    wanted = LoadRequest(
        DatasetId("a"), (folder / "a.vcf",), Assembly.GRCH37, individuals=folder / "a.tsv", disclosure=request.param
    )
    report = load(folder / "node", wanted)
    return request.param, report, Bank.open(folder / "node", NodeId("FI")).view(DatasetId("a"))


def test_the_report_says_what_became_of_codes(node):
    _, report, _ = node
    codes = report.document()["codes"]
    assert codes == {
        "ontologies": {"MONDO": "2025-01-01"},
        "prefixesWithoutOntology": ["OMIM"],
        "replaced": {"MONDO:0000001": "MONDO:0005148", "MONDO:0000002": "MONDO:0005147"},
        "unknown": ["MONDO:9999999"],
    }
    json.dumps(codes)
    assert "codes that their ontology does not have: 1: MONDO:9999999" in report.text()
    assert "MONDO:0000002 → MONDO:0005147" in report.text()


@pytest.mark.parametrize(
    ("code", "exact", "floored"),
    [
        ("MONDO:0005148", 40, 40),
        ("MONDO:0000001", 40, 40),  # the alternative id
        ("MONDO:0005147", 20, 20),
        ("MONDO:0000002", 20, 20),  # the obsolete one
        ("MONDO:0005015", 64, 60),
        ("mondo:0004979", 25, 20),
        ("MONDO:0018911", 4, None),
        ("MONDO:0000000", 0, None),
        ("OMIM:1", 1, None),
    ],
)
def test_counts_with_descendants(node, code, exact, floored):
    disclosure, _, view = node
    answer = view.count_people(PeopleQuery((Criterion("disease", "=", code),)))
    assert (answer.status, answer.count) == (
        ("answered", exact) if disclosure == "open" else ("answered" if floored else "below_floor", floored)
    )


def test_without_descendants(node):
    disclosure, _, view = node
    answer = view.count_people(PeopleQuery((Criterion("disease", "=", "MONDO:0005015", descendants=False),)))
    assert (answer.status, answer.count) == (("answered", 0) if disclosure == "open" else ("refused", None))


def test_filtering_terms_name_what_stands_above(node):
    disclosure, _, view = node
    listed = {term.id: term[3] for term in view.filtering_terms() if term.kind == "disease"}
    exact = {"MONDO:0005015": 64, "MONDO:0005148": 40, "MONDO:0005147": 20, "MONDO:0004979": 25}
    rare = {"MONDO:0018911": 4, "MONDO:9999999": 1, "OMIM:1": 1}
    assert listed == ({**exact, **rare} if disclosure == "open" else {code: count // 10 * 10 for code, count in exact.items()})


def test_a_few_people_above_a_code_are_not_shown(tmp_path):
    """38 with a code and 2 with one beside it under the same term: on a floored dataset the term answers as the code does."""
    (tmp_path / "node").mkdir()
    (tmp_path / "mondo.obo").write_text(ONTOLOGY)
    add_ontology(tmp_path / "node", tmp_path / "mondo.obo")
    people = range(100)
    fields = ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *(f"S{n}" for n in people)]
    record = ["22", "20000001", ".", "A", "G", ".", ".", ".", "GT", *("0/1" for _ in people)]
    text = "##fileformat=VCFv4.2\n##contig=<ID=22,length=51304566>\n" + "\t".join(fields) + "\n" + "\t".join(record) + "\n"
    (tmp_path / "a.vcf").write_text(text)
    told = {}
    for others in (0, 2, 9, 10):
        codes = ["MONDO:0005148"] * 38 + ["MONDO:0018911"] * others
        rows = [f"P{n}\tS{n}\t{codes[n] if n < len(codes) else ''}" for n in people]
        (tmp_path / "a.tsv").write_text("individual_id\tbiosample_id\tdisease\n" + "\n".join(rows) + "\n")
        name = DatasetId(f"with{others}")
        load(tmp_path / "node", LoadRequest(name, (tmp_path / "a.vcf",), Assembly.GRCH37, individuals=tmp_path / "a.tsv"))
        view = Bank.open(tmp_path / "node", NodeId("FI")).view(name)
        told[others] = [
            view.count_people(PeopleQuery((Criterion("disease", "=", code),))).count
            for code in ("MONDO:0005015", "MONDO:0005148", "MONDO:0018911")
        ]
    assert told[0] == told[2] == told[9] == [30, 30, None]
    assert told[10] == [40, 30, 10]
