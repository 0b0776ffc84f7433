"""Ontologies: files of three kinds, what a code means today, what stands above and below, similarity."""

from __future__ import annotations

import gzip
import json
import lzma
import math
import os
import random
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from tests.phenotypes.ontologies import Tree, trees
from typer.testing import CliRunner

from cohelix.cli.main import app
from cohelix.core.codes import canonical, code_key, prefix_of
from cohelix.core.errors import BadFile, BadInput, Damaged
from cohelix.phenotypes.ontology import (
    SIMILARITY_LEAST,
    Ontologies,
    Ontology,
    OntologyTerm,
    write_ontology,
)
from cohelix.phenotypes.ontology_files import add_ontology

SHARED = Path(os.environ.get("COHELIX_SHARED", Path(__file__).parents[2] / ".." / "shared"))
OBO = """format-version: 1.2
data-version: mondo/releases/2025-03-04/mondo.obo
ontology: mondo

[Term]
id: MONDO:0000001
name: disease

[Term]
id: MONDO:0005015
name: diabetes mellitus \\(DM\\)
alt_id: MONDO:0099999
is_a: MONDO:0000001 {source="x"} ! disease
relationship: part_of MONDO:0000001 ! disease

[Term]
id: MONDO:0005148
name: type 2 diabetes
is_a: MONDO:0005015 ! diabetes mellitus

[Term]
id: MONDO:0000009
name: obsolete sugar illness
is_obsolete: true
replaced_by: MONDO:0000008

[Term]
id: MONDO:0000008
name: obsolete sugar disease
is_obsolete: true
replaced_by: MONDO:0005015

[Term]
id: MONDO:0000007
name: obsolete melancholy
is_obsolete: true
replaced_by: MONDO:0005015
replaced_by: MONDO:0005148

[Term]
id: HP:0000001
name: All

[Typedef]
id: part_of
name: part of
"""
OWL = """<?xml version="1.0"?>
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:rdfs="http://www.w3.org/2000/01/rdf-schema#"
 xmlns:owl="http://www.w3.org/2002/07/owl#" xmlns:obo="http://purl.obolibrary.org/obo/">
<owl:Ontology rdf:about="http://www.orpha.net/ontology/orphanet.owl"><owl:versionInfo>4.6</owl:versionInfo></owl:Ontology>
<owl:Class rdf:about="http://www.orpha.net/ORDO/Orphanet_98053"><rdfs:label xml:lang="fr">maladie rare</rdfs:label>
<rdfs:label xml:lang="en">rare disorder</rdfs:label></owl:Class>
<owl:Class rdf:about="http://www.orpha.net/ORDO/Orphanet_558"><rdfs:label xml:lang="en">Marfan syndrome</rdfs:label>
<rdfs:subClassOf rdf:resource="http://www.orpha.net/ORDO/Orphanet_98053"/>
<rdfs:subClassOf><owl:Restriction><owl:someValuesFrom rdf:resource="http://www.orpha.net/ORDO/Orphanet_1"/></owl:Restriction>
</rdfs:subClassOf></owl:Class>
<owl:Class rdf:about="http://www.orpha.net/ORDO/Orphanet_2"><rdfs:label>old Marfan</rdfs:label>
<owl:deprecated rdf:datatype="xsd:boolean">true</owl:deprecated>
<obo:IAO_0100001 rdf:resource="http://www.orpha.net/ORDO/Orphanet_558"/></owl:Class>
</rdf:RDF>
"""
TABLE = "code\ttitle\tparent\nE10-E14\tdiabetes\t\nE11\ttype 2\tE10-E14\nE11.9\ttype 2 without complications\tE11\n"


def add(tmp_path: Path, text: str | bytes, name: str, prefix: str | None = None) -> Ontology:
    file = tmp_path / name
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return add_ontology(tmp_path / "node", file, prefix)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Orphanet:558", "ORPHA:558"),
        ("ORDO:558", "ORPHA:558"),
        ("http://www.orpha.net/ORDO/Orphanet_558", "ORPHA:558"),
        ("HP_0001250", "HP:0001250"),
        ("http://purl.obolibrary.org/obo/HP_0001250", "HP:0001250"),
        ("MIM: 154700", "OMIM:154700"),
        ("SNOMEDCT:73211009", "SNOMED:73211009"),
        (" E11.9 ", "E11.9"),
        ("RxNorm:1191", "RxNorm:1191"),
        ("http://example.org/", "example.org"),
    ],
)
def test_spellings(written, meant):
    assert canonical(written) == meant
    assert code_key(written.lower()) == meant.upper()


def test_prefixes():
    assert (prefix_of("orphanet:558"), prefix_of("E11.9"), prefix_of("hp_0001250")) == ("ORPHA", "", "HP")


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress])
def test_obo(tmp_path, pack):
    mondo = add(tmp_path, pack(OBO.encode()), "mondo.obo")
    assert (mondo.prefix, mondo.version, len(mondo)) == ("MONDO", "2025-03-04", 3)
    assert mondo.label("mondo:0005015") == "diabetes mellitus (DM)"
    assert mondo.ancestors("MONDO:0005148") == ("MONDO:0000001", "MONDO:0005015")
    assert mondo.descendants("MONDO:0000001") == ("MONDO:0005015", "MONDO:0005148")
    assert mondo.current("MONDO:0099999") == "MONDO:0005015"
    assert mondo.current("MONDO:0000009") == "MONDO:0005015", "replacement after replacement"
    assert mondo.current("MONDO:0000007") is None, "split into several: nobody knows which is meant"
    states = [mondo.state(f"MONDO:{number}") for number in ("0005148", "0099999", "0000008", "0000007", "1")]
    assert states == ["current", "replaced", "replaced", "obsolete", "unknown"]
    assert mondo.descendants("MONDO:0000009") == ("MONDO:0005148",)
    assert (mondo.n_replaced, mondo.n_obsolete) == (3, 1)


def test_owl(tmp_path):
    ordo = add(tmp_path, OWL, "ordo.owl")
    assert (ordo.prefix, ordo.version, len(ordo)) == ("ORPHA", "4.6", 2)
    assert ordo.label("Orphanet:98053") == "rare disorder"
    assert ordo.descendants("ORPHANET:98053") == ("ORPHA:558",)
    assert ordo.current("ORPHA:2") == "ORPHA:558"
    assert Ontologies.of(tmp_path / "node").current("orphanet:2") == "ORPHA:558"


def test_a_table_of_codes_without_a_prefix(tmp_path):
    icd = add(tmp_path, TABLE, "icd.tsv", "ICD-10")
    assert icd.descendants("icd10:E10-E14") == ("ICD10:E11", "ICD10:E11.9")
    known = Ontologies.of(tmp_path / "node")
    assert known.current("e11.9") == known.current("ICD-10:E11.9") == "ICD10:E11.9"
    assert known.current("Z99") == "Z99"
    with pytest.raises(BadFile, match="--prefix"):
        add(tmp_path, TABLE, "icd.tsv")


def test_a_load_remembers_what_it_asked(tmp_path):
    add(tmp_path, OBO, "mondo.obo")
    known = Ontologies.of(tmp_path / "node")
    for code in ("MONDO:0000009", "MONDO:0000007", "MONDO:0005148", "Orphanet:1", "MONDO:0000009"):
        known.current(code)
    assert known.meaning("MONDO:0000008") == "MONDO:0005015"
    report = known.report()
    assert report.versions == {"MONDO": "2025-03-04"}
    assert report.replaced == {"MONDO:0000009": "MONDO:0005015"}
    assert report.unknown == ("MONDO:0000007",)
    assert report.alone == ("ORPHA",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("format-version: 1.2\n[Term]\nid: A:1\nwhat\n", "line 4"),
        ("format-version: 1.2\n", "prefix"),
        ("format-version: 1.2\n[Term]\nid: A:1\nis_a: A:2\n[Term]\nid: A:2\nis_a: A:1\n", "circle"),
        (b"format-version: 1.2\n[Term]\nid: A:\xff\n", "line 3"),
        (OWL[:-30], "broken XML"),
        ("<?xml version='1.0'?><html/>", "RDF/XML"),
        ("<?xml version='1.0' encoding='nonsense'?><a/>", "cannot be read"),
        ('{"graphs": []}', "JSON"),
        ("code\tsomething\nA:1\tx\n", "columns"),
        ("code\tlabel\nA:1\tx\n\ty\n", "line 3"),
        (gzip.compress(OBO.encode())[:-20], "archive"),
        (lzma.compress(OBO.encode())[:-20], "archive"),
    ],
)
def test_files_that_are_refused(tmp_path, text, said):
    with pytest.raises(BadFile, match=said):
        add(tmp_path, text, "ontology")
    assert not (tmp_path / "node").exists()


def test_entities_do_not_grow_without_bound(tmp_path):
    lines = ['<!ENTITY a0 "ha">', *(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))]
    bomb = f"<?xml version='1.0'?><!DOCTYPE rdf [{''.join(lines)}]>" + OWL.partition("?>")[2].replace("rare disorder", "&a11;")
    with pytest.raises(BadFile, match="broken XML"):
        add(tmp_path, bomb, "bomb.owl")


def test_broken_files_end_in_a_refusal(tmp_path):
    """A seeded sample; 6,000 of the kind were tried while this was written."""
    rng, refused = random.Random(5), 0
    whole = [OBO.encode(), OWL.encode(), TABLE.encode(), gzip.compress(OBO.encode()), lzma.compress(OWL.encode())]
    for _ in range(250):
        broken = bytearray(rng.choice(whole))
        for _ in range(rng.choice([1, 2, 5, 30])):
            place = rng.randrange(len(broken) + 1)
            if rng.random() < 0.6:
                broken[place : place + rng.randrange(1, 40)] = rng.randbytes(rng.randrange(3))
            else:
                broken[place:place] = rng.choice(
                    [b"\0", b"&a;", b"is_a: MONDO:0005148\n", b"[Term]\n", b"id: ../../x:1\n", b'"']
                )
        try:
            add(tmp_path, bytes(broken), "broken", rng.choice([None, "ICD10"]))
        except BadInput:
            refused += 1
    assert 200 < refused < 250
    assert {path.parent.name for path in tmp_path.rglob("*.arrow")} <= {"ontologies"}


def test_a_prefix_that_the_file_does_not_have(tmp_path):
    with pytest.raises(BadFile, match="HP, MONDO"):
        add(tmp_path, OBO, "mondo.obo", "NCIT")
    with pytest.raises(BadInput, match="is not a prefix"):
        add(tmp_path, OBO, "mondo.obo", "../NCIT")
    assert add(tmp_path, OBO, "mondo.obo", "hp").prefix == "HP"


def test_a_damaged_file_is_told(tmp_path):
    add(tmp_path, OBO, "mondo.obo")
    path = tmp_path / "node" / "ontologies" / "MONDO.arrow"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(Damaged):
        Ontologies.of(tmp_path / "node").current("MONDO:1")


def test_codes_of_the_public_do_not_stay_in_memory(tmp_path):
    known = Ontologies.of(tmp_path / "node")
    for number in range(1000):
        assert known.meaning(f"P{number}:1") == f"P{number}:1"
        assert known.get(f"../../etc{number}") is None
    assert not known._opened and not known.report().alone


@settings(max_examples=60, deadline=None)
@given(trees())
def test_closures_and_similarity_are_those_of_the_definitions(tmp_path_factory, tree: Tree):
    """Naive twin: Seco's content and Lin's similarity over all pairs, by walking."""
    path = tmp_path_factory.mktemp("tree") / "T.arrow"
    ontology = write_ontology(path, tree.terms(), prefix="T", version="", source="")
    size = len(tree.parents)
    content = [1 - math.log(len(tree.below(n)) + 1) / math.log(max(2, size)) for n in range(size)]
    for one in range(size):
        code = tree.code(one)
        assert set(ontology.ancestors(code)) == set(map(tree.code, tree.above(one)))
        assert set(ontology.descendants(code)) == set(map(tree.code, tree.below(one)))
        assert ontology.has_descendants(code) == bool(tree.below(one))
        assert math.isclose(ontology.information_content(code), content[one], abs_tol=1e-12)
        lin = {}
        for other in range(size):
            common = (tree.above(one) | {one}) & (tree.above(other) | {other})
            resnik = max((content[n] for n in common), default=0.0)
            both = content[one] + content[other]
            lin[other] = 1.0 if one == other else (2 * resnik / both if both > 0 else 0.0)
            assert math.isclose(ontology.resnik(code, tree.code(other)), resnik, abs_tol=1e-12)
            assert math.isclose(ontology.lin(code, tree.code(other)), lin[other], abs_tol=1e-12)
        before: set[str] = {code}
        for level, least in SIMILARITY_LEAST.items():  # from high to low
            found = set(ontology.similar(code, level))
            assert {tree.code(n) for n in range(size) if lin[n] >= least + 1e-12} <= found
            assert found <= {tree.code(n) for n in range(size) if lin[n] >= least - 1e-12}
            assert before <= found
            before = found


def test_hpo_comes_with_the_package_and_opens_at_once(tmp_path):
    first = Ontologies.of(tmp_path)
    assert first.current("hp:0000057") == "HP:0008665", "obsolete, replaced"
    hpo = first.get("HP")
    assert hpo is not None
    assert hpo.source.startswith("hpo3 ") and hpo.version and len(hpo) > 19_000
    assert "HP:0007359" in hpo.descendants("HP:0001250")
    assert "HP:0000118" in hpo.ancestors("HP:0001250")
    seconds = []
    for _ in range(5):
        start = time.process_time()
        assert Ontologies.of(tmp_path).label("HP:0001250") == "Seizure"
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.02, seconds  # 1.5 ms were measured


def test_an_hpo_of_the_operator_goes_before_that_of_the_package(tmp_path):
    own = tmp_path / "hp.tsv"
    own.write_text("code\tlabel\tparents\nHP:1\tall\t\nHP:2\tmine\tHP:1\n")
    add_ontology(tmp_path, own)
    assert Ontologies.of(tmp_path).label("HP:2") == "mine"


@pytest.mark.skipif(not (SHARED / "data" / "ontologies").is_dir(), reason="the shared real data is not there")
class TestRealFiles:
    @pytest.mark.filterwarnings("ignore::UserWarning")
    def test_hpo_as_pronto_reads_it(self, tmp_path):
        """Referee: pronto, on every term of HPO."""
        import io

        import pronto

        path = SHARED / "data" / "ontologies" / "hp.obo.xz"
        ours = add_ontology(tmp_path, path)
        with lzma.open(path) as packed:
            theirs = pronto.Ontology(io.BytesIO(packed.read()), import_depth=0)
        replaced = {term.id: next(iter(term.replaced_by)).id for term in theirs.terms() if len(term.replaced_by) == 1}
        split = [term.id for term in theirs.terms() if len(term.replaced_by) > 1]
        current = {term.id: term for term in theirs.terms() if not term.obsolete and term.id.startswith("HP:")}
        assert set(ours.codes()) == set(current)
        for code, term in list(current.items())[::37]:
            assert ours.label(code) == term.name
            assert set(ours.ancestors(code)) == {above.id for above in term.superclasses(with_self=False)}
            assert all(ours.current(other) == code for other in term.alternate_ids if other not in {*replaced, *split})
        assert {code: ours.current(code) for code in replaced} == replaced
        assert len(replaced) > 300

    def test_duo_in_owl(self, tmp_path):
        duo = add_ontology(tmp_path, SHARED / "data" / "ontologies" / "duo.owl")
        assert (duo.prefix, duo.version) == ("DUO", "2021-02-23")
        assert duo.label("DUO:0000006") == "health or medical or biomedical research"
        assert "DUO:0000001" in duo.ancestors("DUO:0000006")


def test_the_command(tmp_path):
    runner = CliRunner()
    node, file = tmp_path / "node", tmp_path / "mondo.obo"
    file.write_text(OBO)
    made = runner.invoke(app, ["node", "init", str(node), "--id", "FI", "--name", "Finland", "--country", "FI"])
    assert made.exit_code == 0, made.output
    said = runner.invoke(app, ["node", "ontologies", str(node), "--add", str(file), "--json"])
    assert said.exit_code == 0, said.output
    listed = {one["prefix"]: one for one in json.loads(said.stdout)["ontologies"]}
    assert set(listed) == {"HP", "MONDO"}
    assert listed["MONDO"] == {
        **{"prefix": "MONDO", "version": "2025-03-04", "terms": 3},
        **{"replaced": 3, "obsolete": 1, "source": "mondo.obo"},
    }
    refused = runner.invoke(app, ["node", "ontologies", str(node), "--prefix", "MONDO"])
    assert refused.exit_code != 0


def test_terms_doubled_or_of_another_prefix_are_left_out(tmp_path):
    terms = [OntologyTerm("A:1", "one"), OntologyTerm("a:1", "again"), OntologyTerm("B:1", "other", ("A:1",))]
    found = write_ontology(tmp_path / "A.arrow", terms, prefix="A", version="1", source="x")
    assert (len(found), found.label("A:1"), found.state("B:1")) == (1, "one", "unknown")
    with pytest.raises(BadInput):
        write_ontology(tmp_path / "C.arrow", terms, prefix="C", version="1", source="x")
