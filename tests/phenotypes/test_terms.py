"""Bitmaps of terms: closures as a naive twin finds them, what is stored is read, older stores too."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.phenotypes.ontologies import Tree, trees

from cohelix.core.errors import Damaged
from cohelix.phenotypes.lazy import DOCUMENTS_A_BLOCK
from cohelix.phenotypes.model import Documents, People, Term, TermPeople
from cohelix.phenotypes.ontology import Ontologies, write_ontology
from cohelix.phenotypes.store import index_of, read_people_store, write_people
from cohelix.phenotypes.terms import Coded, TermIndex, bitmap_of, mask_of, wildcard

OLD = Path(__file__).parent / "vectors" / "people-0.1"


def people_with(terms: list[TermPeople], size: int, **more) -> People:
    """People of whom nothing but terms is known, each with one biosample."""
    numbers, none = np.arange(size), np.zeros(size, np.bool_)
    known = {
        "individual_ids": tuple(f"P{n}" for n in range(size)),
        "sex": np.zeros(size, np.uint8),
        "population": ("",) * size,
        "country": ("",) * size,
        "birth_year": np.full(size, -1),
        "age": np.full(size, np.nan),
        "measurements": (),
        "terms": tuple(terms),
        "biosample_ids": tuple(f"S{n}" for n in range(size)),
        "biosample_person": numbers,
        "germline": ~none,
        "preferred": none,
    }
    return People(**(known | more))


def term(kind: str, code: str, *numbers: int, label: str = "") -> TermPeople:
    return TermPeople(Term(kind, code, label), np.array(numbers, np.int64))


@settings(max_examples=60, deadline=None)
@given(trees(), st.data())
def test_bitmaps_are_those_of_the_definition(tmp_path_factory, tree: Tree, data: st.DataObject):
    """Naive twin: who has a code, or one from which it can be reached."""
    folder = tmp_path_factory.mktemp("index")
    write_ontology(folder / "ontologies" / "T.arrow", tree.terms(), prefix="T", version="1", source="x")
    size = len(tree.parents)
    having = {n: data.draw(st.sets(st.integers(0, 40), max_size=6)) for n in range(size)}
    coded = [
        Coded(kind, tree.code(n), "", np.array(sorted(who)))
        for n, who in having.items()
        if who
        for kind in ("phenotype", "excluded_phenotype")
    ]
    index = TermIndex.of(coded, Ontologies(folder / "ontologies"))
    for n in range(size):
        code = tree.code(n).lower()
        assert set(index.direct("phenotype", code)) == having[n]
        closed = set().union(having[n], *(having[m] for m in tree.below(n)))
        assert set(index.closed("phenotype", code)) == closed
        assert index.has("phenotype", code) == bool(closed)
        lacking = set().union(having[n], *(having[m] for m in tree.above(n)))
        assert set(index.closed("excluded_phenotype", code)) == lacking, "without the whole is without the part"
        assert set(index.closed("disease", code)) == set()
        before = set(index.direct("phenotype", code))
        for level in ("high", "medium", "low"):
            found = set(index.similar("phenotype", code, level))
            assert before <= found
            before = found
    listed = {one.code: (one.direct, one.closed) for one in index.counts("phenotype")}
    assert listed == {
        tree.code(n): (len(having[n]), len(index.closed("phenotype", tree.code(n))))
        for n in range(size)
        if index.closed("phenotype", tree.code(n))
    }
    codes, pairs = index.nested("phenotype")
    assert {(codes[outer], codes[inner]) for outer, inner in pairs} == {
        (tree.code(m), tree.code(n)) for n in range(size) for m in tree.above(n) if {tree.code(n), tree.code(m)} <= set(codes)
    }


def ontologies(tmp_path: Path) -> Ontologies:
    """T:0 over T:1 and T:2; T:1 over T:3."""
    tree = Tree([[], [0], [0], [1]])
    write_ontology(tmp_path / "node" / "ontologies" / "T.arrow", tree.terms(), prefix="T", version="1", source="x")
    return Ontologies.of(tmp_path / "node")


def stored(tmp_path: Path, people: People, known: Ontologies | None = None, name: str = "people") -> People:
    (tmp_path / name).mkdir()
    write_people(people, tmp_path / name, known)
    return read_people_store(tmp_path / name)


TERMS = [
    term("disease", "orphanet:558", 3, label="Marfan syndrome"),
    term("disease", "ORPHA:558", 1, 3),
    term("excluded_phenotype", "T:0001", 5),
    term("gene", "C9orf72", 2),
    term("phenotype", "T:0003", 0, 4),
    term("phenotype", "T:0002", 4),
    term("tissue", "T:0003", 1, 2),
]


def test_what_is_written_is_read(tmp_path):
    people = stored(tmp_path, people_with(TERMS, 6, population=("FIN", "FIN", "", "GBR", "FIN", "")), ontologies(tmp_path))
    index = people.index
    assert index is not None
    assert {(found.term.kind, found.term.code): found.people.tolist() for found in people.terms} == {
        ("disease", "ORPHA:558"): [1, 3],
        ("excluded_phenotype", "T:0001"): [5],
        ("gene", "C9orf72"): [2],
        ("phenotype", "T:0002"): [4],
        ("phenotype", "T:0003"): [0, 4],
        ("tissue", "T:0003"): [1, 2],
    }
    assert list(index.closed("phenotype", "T:0000")) == [0, 4]
    assert list(index.closed("tissue", "t:1")) == [], "T:1 is another code than T:0001"
    assert list(index.closed("tissue", "t:0001")) == [1, 2]
    assert list(index.direct("disease", "http://www.orpha.net/ORDO/Orphanet_558")) == [1, 3]
    assert list(index.direct("gene", "c9ORF72")) == [2]
    assert list(index.direct("population", "FIN")) == [0, 1, 4]
    assert list(index.direct("population", "fin")) == []
    assert list(index.matching("population", "f%")) == [0, 1, 4]
    assert list(index.matching("disease", "%marfan%")) == [1, 3]
    assert list(index.matching("phenotype", "label 1")) == [0, 4], "a label above"
    assert list(index.matching("phenotype", "label 1", descendants=False)) == []
    assert index.kinds_of("T:0001") == ("phenotype", "tissue")
    assert index.counts("phenotype")[0] == ("T:0000", "label 0", 0, 2)
    assert [one.label for one in index.counts("disease")] == ["Marfan syndrome"]
    assert people.population == ("FIN", "FIN", "", "GBR", "FIN", "")
    assert people.individual_ids[-1] == "P5" and people.individual_ids[1:3] == ("P1", "P2")
    assert sorted(path.name for path in (tmp_path / "people" / "ontologies").iterdir()) == ["T.arrow"]


def test_what_is_read_can_be_written_again(tmp_path):
    known = ontologies(tmp_path)
    first = stored(tmp_path, people_with(TERMS, 6), known)
    stored(tmp_path, first, known, "again")
    digests = [
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / name).rglob("*.arrow")}
        for name in ("people", "again")
    ]
    assert digests[0] == digests[1]


def test_the_ontology_stays_as_it_was_at_load(tmp_path):
    people = stored(tmp_path, people_with(TERMS, 6), ontologies(tmp_path))
    write_ontology(tmp_path / "node" / "ontologies" / "T.arrow", Tree([[], []]).terms(), prefix="T", version="2", source="x")
    assert list(people.index.closed("phenotype", "T:0001")) == [0, 4]
    again = read_people_store(tmp_path / "people").index
    assert again.ontologies.get("T").version == "1"
    assert list(again.similar("phenotype", "T:0001", "low")) == list(people.index.similar("phenotype", "T:0001", "low"))


def test_a_store_of_the_version_before_is_read():
    people = read_people_store(OLD)
    assert people.individual_ids == ("P1", "P2", "P3")
    assert {(found.term.code, found.term.label): found.people.tolist() for found in people.terms} == {
        ("MONDO:0005148", "type 2 diabetes"): [0, 2],
        ("HP:0001250", ""): [1],
    }
    assert list(people.index.closed("disease", "mondo:0005148")) == [0, 2]
    assert list(people.index.direct("country", "GB")) == [1]
    assert people.documents is None
    assert people.biosample_ids == ("S1", "S2", "S3", "S3t")


def test_people_just_read_have_an_index_too():
    people = people_with(TERMS, 6)
    assert people.index is None
    assert list(index_of(people).closed("phenotype", "T:0003")) == [0, 4]
    assert list(index_of(People.nobody()).closed("phenotype", "T:0003")) == []


@pytest.mark.parametrize("size", [1, DOCUMENTS_A_BLOCK, 3 * DOCUMENTS_A_BLOCK + 1])
def test_documents_stay_on_disk_until_asked_for(tmp_path, size):
    said = [b'{"id": "%d"}' % n * (n % 5) for n in range(size)]
    people = stored(tmp_path, people_with([], size, documents=Documents(said, said[::-1])))
    assert people.documents is not None
    assert list(people.documents.individuals) == said
    assert people.documents.biosamples == said[::-1]
    assert people.documents.individuals[size - 1] == said[-1]
    with pytest.raises(IndexError):
        people.documents.individuals[size]


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *((name, "cut") for name in ("people.arrow", "terms.arrow", "documents.individuals.arrow", "ontologies/T.arrow")),
        *((name, "gone") for name in ("people.arrow", "biosamples.arrow", "terms.arrow", "documents.biosamples.arrow")),
    ],
)
def test_damage_is_told(tmp_path, name, damage):
    people = people_with(TERMS, 6, documents=Documents([b"{}"] * 6, [b"{}"] * 6))
    stored(tmp_path, people, ontologies(tmp_path))
    path = tmp_path / "people" / name
    path.write_bytes(path.read_bytes()[:-50]) if damage == "cut" else path.unlink()
    with pytest.raises(Damaged):
        read_people_store(tmp_path / "people").index.closed("phenotype", "T:0001")


@given(st.text("ab%", max_size=6), st.text("abA", max_size=8))
def test_patterns(pattern, text):
    """Naive twin: a pattern's first piece against every beginning."""

    def naive(pattern: str, text: str) -> bool:
        if not pattern:
            return not text
        if pattern[0] == "%":
            return any(naive(pattern[1:], text[skip:]) for skip in range(len(text) + 1))
        return bool(text) and pattern[0] == text[0] and naive(pattern[1:], text[1:])

    assert wildcard(pattern)(text) == naive(pattern.lower(), text.lower())


@given(st.sets(st.integers(0, 300)))
def test_masks_and_bitmaps(numbers):
    found = bitmap_of(np.array(sorted(numbers), np.int64))
    assert set(found) == numbers
    assert set(bitmap_of(mask_of(found, 301))) == numbers
