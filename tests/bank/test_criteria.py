"""Criteria as bitmaps: a naive twin meets them person by person; what a floored dataset makes of nested codes."""

from __future__ import annotations

import operator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohelix.bank.criteria import (
    assessed,
    biosamples_meeting,
    filtering_terms,
    floored_refusal,
    kinds_of,
    people_meeting,
    told_people,
)
from cohelix.bank.questions import Criterion
from cohelix.core.errors import BadQuestion
from cohelix.disclosure.rules import alike_groups
from cohelix.phenotypes.model import BIOSAMPLE_KINDS, SEX_LABELS, Measurement, People, Term, TermPeople
from cohelix.phenotypes.ontology import Ontologies, OntologyTerm, write_ontology
from cohelix.phenotypes.store import read_people_store, write_people

# A root, two branches, a leaf under both, a leaf under one; and a term of which nothing stands in the data.
PARENTS = {"T:0": [], "T:1": ["T:0"], "T:2": ["T:0"], "T:3": ["T:1", "T:2"], "T:4": ["T:2"], "T:5": ["T:0"]}
KINDS = ("disease", "phenotype", "excluded_phenotype", "gene", "tissue")
COMPARE = {"=": operator.eq, "!": operator.ne, "<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge}


def above(code: str) -> set[str]:
    return {code}.union(*(above(parent) for parent in PARENTS[code])) if code in PARENTS else {code}


@st.composite
def somebody(draw: st.DrawFn) -> dict:
    """One person with up to two biosamples."""
    codes = st.sets(st.sampled_from([*PARENTS][:5]), max_size=2)
    said = {kind: draw(codes) for kind in ("disease", "phenotype", "excluded_phenotype")}
    return {
        "sex": draw(st.sampled_from(SEX_LABELS)),
        "population": draw(st.sampled_from(["", "FIN", "GBR", "FRA"])),
        "age": draw(st.sampled_from([None, 20.0, 40.5])),
        "birth_year": draw(st.sampled_from([None, 1960, 1990])),
        "LDL": draw(st.sampled_from([None, 1.0, 3.5])),
        "gene": draw(st.sets(st.sampled_from(["FLT3", "C9orf72"]), max_size=2)),
        "biosamples": draw(st.lists(st.sampled_from(["T:3", "T:4", ""]), max_size=2)),
        **said,
    }


def as_people(everybody: list[dict], folder: Path) -> People:
    terms = []
    owners = [(number, code) for number, one in enumerate(everybody) for code in one["biosamples"]]
    for kind in KINDS:
        if kind == "tissue":
            coded = [(code, place) for place, (_, code) in enumerate(owners) if code]
        else:
            coded = [(code, number) for number, one in enumerate(everybody) for code in one[kind]]
        for code in sorted({code for code, _ in coded}):
            whom = np.array([number for other, number in coded if other == code], np.int64)
            terms.append(TermPeople(Term(kind, code, f"label of {code}"), whom))
    column = {name: [one[name] for one in everybody] for name in ("age", "LDL", "birth_year")}
    people = People(
        individual_ids=tuple(f"P{number}" for number in range(len(everybody))),
        sex=np.array([SEX_LABELS.index(one["sex"]) for one in everybody], np.uint8),
        population=tuple(one["population"] for one in everybody),
        country=("",) * len(everybody),
        birth_year=np.array([-1 if year is None else year for year in column["birth_year"]], np.int64),
        age=np.array([np.nan if age is None else age for age in column["age"]]),
        measurements=(Measurement("LDL", "mmol/L", np.array([np.nan if v is None else v for v in column["LDL"]])),),
        terms=tuple(terms),
        biosample_ids=tuple(f"S{place}" for place in range(len(owners))),
        biosample_person=np.array([number for number, _ in owners], np.int64),
        germline=np.ones(len(owners), np.bool_),
        preferred=np.zeros(len(owners), np.bool_),
    )
    write_people(people, folder, known_to(folder))
    return read_people_store(folder)


def known_to(folder: Path) -> Ontologies:
    terms = [OntologyTerm(code, f"label of {code}", tuple(parents)) for code, parents in PARENTS.items()]
    write_ontology(folder / "node" / "ontologies" / "T.arrow", terms, prefix="T", version="1", source="x")
    return Ontologies(folder / "node" / "ontologies")


def fits(pattern: str, text: str) -> bool:
    """Whether a text fits a pattern that has at most one `%`, at an end."""
    text, pattern = text.lower(), pattern.lower()
    if pattern.endswith("%"):
        return text.startswith(pattern[:-1])
    return text.endswith(pattern[1:]) if pattern.startswith("%") else text == pattern


def has(codes: set[str], kind: str, wanted: Criterion) -> bool:
    """Whether one of the codes is the one that is wanted, or, with descendants, stands below it."""
    value = str(wanted.value)
    if "%" in value:
        named = [code for code in PARENTS if fits(value, code) or fits(value, f"label of {code}")]
    else:
        named = [value.upper()]
    reached = set().union(*(above(code) for code in codes)) if wanted.descendants else codes
    if kind == "excluded_phenotype":
        # "Without the whole" is "without the part".
        reached = {code for code in PARENTS if above(code) & codes} if wanted.descendants else codes
    if kind == "gene":
        return any(gene.lower() == value.lower() for gene in codes)
    return any(code in reached for code in named)


def meets(one: dict, wanted: Criterion) -> bool:
    """The definition, for one person."""
    field, value = wanted.field, wanted.value
    if field in ("sex", "population"):
        known = one[field] not in ("", "unknown")
        same = fits(str(value), one[field]) if "%" in str(value) else one[field] == value
        return known and same == (wanted.operator == "=")
    if field in ("age", "birth_year", "LDL"):
        return one[field] is not None and COMPARE[wanted.operator](one[field], float(value))
    if field == "tissue":
        found = any(has({code}, field, wanted) for code in one["biosamples"] if code)
    else:
        found = has(one[field], field, wanted)
    return found == (wanted.operator == "=")


words = st.builds(
    Criterion,
    st.sampled_from(["sex", "population"]),
    st.sampled_from(["=", "!"]),
    st.sampled_from(["male", "FIN", "F%", "%R", "nowhere"]),
)
numbers = st.builds(
    Criterion, st.sampled_from(["age", "birth_year", "LDL"]), st.sampled_from([*COMPARE]), st.sampled_from([20, 3.5, "1990"])
)
codes = st.builds(
    Criterion,
    st.sampled_from([kind for kind in KINDS if kind != "gene"]),
    st.sampled_from(["=", "!"]),
    st.sampled_from([*PARENTS, "t:2", "T:9", "T%", "%T:3", "label of T:1%"]),
    st.booleans(),
)
genes = st.builds(Criterion, st.just("gene"), st.sampled_from(["=", "!"]), st.sampled_from(["FLT3", "c9ORF72", "NPM1"]))


@settings(max_examples=150, deadline=None)
@given(st.lists(somebody(), max_size=8), st.lists(words | numbers | codes | genes, max_size=3))
def test_criteria_are_met_as_defined(tmp_path_factory, everybody, criteria):
    people = as_people(everybody, tmp_path_factory.mktemp("people"))
    given_by_name = [Criterion(c.field, c.operator, c.value, c.descendants) for c in criteria]
    assert people_meeting(people, given_by_name).tolist() == [all(meets(one, c) for c in criteria) for one in everybody]
    owners = [(number, code) for number, one in enumerate(everybody) for code in one["biosamples"]]
    assert biosamples_meeting(people, criteria).tolist() == [
        all(
            has({code} - {""}, c.field, c) == (c.operator == "=") if c.field in BIOSAMPLE_KINDS else meets(everybody[number], c)
            for c in criteria
        )
        for number, code in owners
    ]


@settings(max_examples=40, deadline=None)
@given(st.lists(somebody(), min_size=1, max_size=12), st.data())
def test_terms_are_counted_as_they_are_met(tmp_path_factory, everybody, data):
    people = as_people(everybody, tmp_path_factory.mktemp("people"))
    released = np.array([data.draw(st.booleans()) for _ in everybody], np.bool_)
    for term in filtering_terms(people, numbers=True, least=1, released=released):
        assert not term.kind.startswith("excluded_")
        if term.kind in ("age", "birth_year", "measurement"):
            continue
        criterion = (Criterion(term.kind, "=", term.id),)
        if term.kind in BIOSAMPLE_KINDS:
            expected = (biosamples_meeting(people, criterion) & released[people.biosample_person]).sum()
        else:
            expected = (people_meeting(people, criterion) & released).sum()
        assert term[3] == expected >= 1


@settings(max_examples=40, deadline=None)
@given(st.lists(somebody(), max_size=8))
def test_similar_codes_add_people_and_never_take_any(tmp_path_factory, everybody):
    people = as_people(everybody, tmp_path_factory.mktemp("people"))
    for code in PARENTS:
        for descendants in (True, False):
            before = people_meeting(people, [Criterion("phenotype", "=", code, descendants)])
            for level in ("high", "medium", "low"):
                found = people_meeting(people, [Criterion("phenotype", "=", code, descendants, level)])
                assert (found >= before).all()
                before = found


def test_what_a_dataset_holds(tmp_path):
    blank = {kind: set() for kind in KINDS} | {"sex": "male", "population": "", "age": None, "birth_year": None, "LDL": 1.0}
    everybody = [blank | {"biosamples": [], "excluded_phenotype": {"T:1"}}, blank | {"biosamples": ["T:3"]}]
    people = as_people(everybody, tmp_path)
    held = {
        field
        for field in (*KINDS, "sex", "population", "age", "LDL", "HDL", "disease_stage")
        if assessed(people, Criterion(field, "=", "1"))
    }
    assert held == {"phenotype", "excluded_phenotype", "tissue", "sex", "LDL"}, "what was only excluded was assessed, too"
    assert kinds_of(people, "t:2") == ("tissue",)
    assert kinds_of(people, "T:1") == ("tissue",), "never the kind of what is excluded"


@pytest.mark.parametrize("criterion", [("sex", ">", "male"), ("disease", "<=", "T:1"), ("age", ">", "old"), ("LDL", "=", "%")])
def test_comparisons_that_cannot_be_meant(tmp_path, criterion):
    people = as_people([], tmp_path)
    with pytest.raises(BadQuestion):
        people_meeting(people, [Criterion(*criterion)])


@pytest.mark.parametrize(
    ("criterion", "asked"),
    [
        (Criterion("disease", "=", "T:1"), True),
        (Criterion("disease", "!", "T:1"), True),
        (Criterion("disease", "=", "T:1", descendants=False), False),
        (Criterion("disease", "=", "T:5", descendants=False), True),  # nothing stands below it
        (Criterion("disease", "=", "X:1", descendants=False), True),  # no ontology knows it
        (Criterion("disease", "=", "T:1", similarity="high"), False),
        (Criterion("disease", "=", "T:%"), False),
        (Criterion("population", "=", "F%"), False),
        (Criterion("phenotype", "=", "T:1"), False),
        (Criterion("age", ">", 3), False),
    ],
)
@pytest.mark.parametrize("with_people", [True, False])
def test_what_a_floored_dataset_may_be_asked_does_not_depend_on_its_people(tmp_path, criterion, asked, with_people):
    one = {kind: {"T:3"} for kind in KINDS} | {"sex": "male", "population": "FIN", "age": 1.0, "birth_year": 1960, "LDL": 1.0}
    everybody = [one | {"gene": {"FLT3"}, "biosamples": ["T:3"]}] * (20 if with_people else 1)
    people = as_people(everybody, tmp_path)
    assert (floored_refusal(people, [criterion]) is None) == asked


# Nested codes of a floored dataset ------------------------------------------------------------------------------------

FLOOR = 3


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sets(st.sampled_from([*PARENTS]), max_size=2), max_size=24), st.data())
def test_no_difference_between_nested_codes_shows_a_few_people(tmp_path_factory, having, data):
    """Of a code and one above it, both told: the same people are meant, or k or more lie between them. Nobody is made up."""
    folder = tmp_path_factory.mktemp("people")
    blank = {kind: set() for kind in KINDS} | {"sex": "male", "population": "", "age": None, "birth_year": None, "LDL": None}
    people = as_people([blank | {"disease": codes, "biosamples": []} for codes in having], folder)
    released = np.array([data.draw(st.booleans()) or number % 5 > 0 for number in range(len(having))], np.bool_)
    exact = {
        code: {n for n, codes in enumerate(having) if released[n] and any(code in above(c) for c in codes)} for code in PARENTS
    }
    told = {code: set(told_people(people, "disease", code, floor=FLOOR, released=released)) for code in PARENTS}
    for code in PARENTS:
        assert told[code] <= exact[code]
        assert len(exact[code]) >= FLOOR or told[code] == exact[code], "too few are withheld later, not here"
    for lower in PARENTS:
        for upper in above(lower) - {lower}:
            between = len(exact[upper] - exact[lower])
            if min(len(told[upper]), len(told[lower])) >= FLOOR:
                assert told[upper] == told[lower] or between >= FLOOR, (upper, lower)
    met = people_meeting(people, [Criterion("disease", "=", "T:0")], floor=FLOOR, released=released)
    assert set(np.flatnonzero(met)) == told["T:0"]
    listed = {term.id: term[3] for term in filtering_terms(people, numbers=False, least=FLOOR, released=released)}
    assert {code: n for code, n in listed.items() if code in PARENTS} == {
        code: len(who) for code, who in told.items() if len(who) >= FLOOR
    }


def test_codes_that_hang_together_are_one_group():
    sizes = np.array([40, 35, 33, 20, 4, 40])
    pairs = np.array([[0, 1], [0, 2], [1, 3], [0, 3], [3, 4], [5, 3]])
    groups = alike_groups(sizes, pairs, floor=10)
    assert groups[0] == groups[1] == groups[2]
    assert len({groups[place] for place in (0, 3, 4, 5)}) == 4
    assert alike_groups(np.zeros(0, np.int64), np.zeros((0, 2), np.int64), floor=10).tolist() == []
