"""Purposes against data-use codes: a table reviewed clause by clause, and what never approves."""

from __future__ import annotations

import tempfile
from datetime import date
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cohelix.access.duo import (
    PERMISSIONS,
    Advice,
    Clause,
    DataUse,
    Finding,
    Investigation,
    Match,
    Purpose,
    match,
    read_code,
    read_investigation,
)
from cohelix.cli.main import app
from cohelix.core.errors import BadQuestion
from cohelix.hub.diseases import Diseases
from cohelix.hub.settings import make_hub

CASES = Path(__file__).parent / "vectors" / "data-use-cases.tsv"
TODAY = date(2026, 11, 23)
# What an operator brings to the hub, codes as the sources write them; an HPO of one's own goes before the package's.
ONTOLOGIES = {
    "HP": "code\tlabel\tparents\nHP:0000707\tof the nervous system\t\nHP:0001250\tSeizure\tHP:0000707\n",
    "MONDO": """code\tlabel\tparents\tobsolete\treplaced_by
MONDO:0004992\tcancer\t\t0\t
MONDO:0021100\tbreast neoplasm\tMONDO:0004992\t0\t
MONDO:0007254\tbreast cancer\tMONDO:0021100\t0\t
MONDO:0000001\ta former breast cancer\t\t1\tMONDO:0007254
MONDO:0005015\tdiabetes mellitus\t\t0\t
MONDO:0005148\ttype 2 diabetes mellitus\tMONDO:0005015\t0\t
""",
    "ORPHA": "code\tlabel\tparents\nORPHA:98473\tmuscular dystrophy\t\nORPHA:262\tDuchenne and Becker\tORPHA:98473\n",
    "ICD10": "code\tlabel\tparents\nICD10:I20-I25\tischaemic\t\nICD10:I21\tinfarction\tICD10:I20-I25\n",
}


@cache
def diseases() -> Diseases:
    """A hub's, by its own command."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "hub"
        make_hub(folder, url="https://hub.example")
        for prefix, text in ONTOLOGIES.items():
            file = Path(name) / f"{prefix}.tsv"
            file.write_text(text, encoding="utf-8")
            added = CliRunner().invoke(app, ["hub", "ontologies", str(folder), "--add", str(file), "--json"])
            assert added.exit_code == 0 and f'"prefix": "{prefix}"' in added.stdout, added.output
        known = Diseases(folder)
        for code in ("MONDO:0004992", "ORPHA:262", "ICD10:I21", "HP:0001250"):
            assert known.called(code) != code
        return known


def descends(disease: str, ancestor: str) -> bool | None:
    return diseases().descends(disease, ancestor)


def clauses(text: str) -> list[Clause]:
    """`DS(MONDO:1|MONDO:2) GS(FI|SE) TS(24) MOR(2027-01-01) NCU` as clauses."""
    found = []
    for word in text.split():
        name, _, inner = word.rstrip(")").partition("(")
        values = tuple(inner.split("|")) if inner else ()
        use = read_code(name)
        found.append(
            Clause(
                name,
                diseases=values if use is DataUse.DS else (),
                countries=values if use is DataUse.GS else (),
                until=date.fromisoformat(inner) if use is DataUse.MOR and inner else None,
                months=int(inner) if use is DataUse.TS and inner else None,
            )
        )
    return found


def purpose(text: str) -> Purpose:
    """`genetic disease-category MONDO:1 commercial=no profit=yes country=FI months=12` as a purpose."""
    said: dict[str, str] = dict(word.split("=") for word in text.split() if "=" in word)
    plain = [word for word in text.split() if "=" not in word]
    answers = {"yes": True, "no": False}
    return Purpose(
        investigations=frozenset(read_investigation(word) for word in plain if ":" not in word),
        diseases=tuple(word for word in plain if ":" in word),
        commercial=answers.get(said.get("commercial", "")),
        for_profit=answers.get(said.get("profit", "")),
        country=said.get("country"),
        months=int(said["months"]) if "months" in said else None,
    )


def advice(codes: str, wanted: str) -> Match:
    return match(clauses(codes), purpose(wanted), descends=descends, today=TODAY)


def table() -> list[tuple[str, str, str, str]]:
    lines = CASES.read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
    return [(codes, wanted, overall, why) for codes, wanted, overall, why in rows]


@pytest.mark.parametrize(("codes", "wanted", "overall", "why"), table())
def test_reviewed_cases(codes: str, wanted: str, overall: str, why: str) -> None:
    found = advice(codes, wanted)
    assert found.advice.name.lower() == overall, found
    by_clause = " ".join(f"{one.clause}:{one.advice.name.lower()}" for one in found.findings)
    assert by_clause == why


def test_the_table_is_long_enough_and_has_no_case_twice() -> None:
    cases = [(codes, wanted) for codes, wanted, _, _ in table()]
    assert len(cases) == len(set(cases)) >= 100


@pytest.mark.parametrize(
    "text",
    [
        "NPOA",
        "npoa",
        "DUO:0000044",
        "DUO_0000044",
        "DUO:00000044",
        "http://purl.obolibrary.org/obo/DUO_00000044",
        " duo:0000044 ",
    ],
)
def test_spellings_of_one_code(text: str) -> None:
    assert read_code(text) is DataUse.NPOA


@pytest.mark.parametrize(
    "text", ["", "GRU-CC", "DUO:0000001", "DUO:0000017", "DUO:44000000", "HPO:0000044", "0000042", "XDUO:0000042"]
)
def test_what_is_no_code(text: str) -> None:
    assert read_code(text) is None


def test_a_purpose_that_duo_does_not_know_is_refused() -> None:
    with pytest.raises(BadQuestion, match="genetic"):
        read_investigation("curiosity")


_PURPOSES = st.builds(
    Purpose,
    investigations=st.frozensets(st.sampled_from(Investigation)),
    diseases=st.lists(st.sampled_from(["MONDO:0004992", "MONDO:0007254", "MONDO:0005148", "MONDO:9999999"]), max_size=2).map(
        tuple
    ),
    commercial=st.sampled_from([None, True, False]),
    for_profit=st.sampled_from([None, True, False]),
    country=st.sampled_from([None, "FI", "US"]),
    months=st.sampled_from([None, 6, 60]),
)
_USES = st.lists(st.sampled_from(list(DataUse)), max_size=5)


@given(_PURPOSES, _USES, st.sampled_from(["", "GRU2", "DUO:0000099", "no restriction"]))
def test_what_is_not_understood_never_approves(wanted: Purpose, uses: list[DataUse], odd: str) -> None:
    found = match([*(Clause(use.value) for use in uses), Clause(odd)], wanted, descends=descends, today=TODAY)
    assert found.advice is not Advice.APPROVE


@given(_PURPOSES, _USES)
def test_missing_and_contradictory_permissions_never_approve(wanted: Purpose, uses: list[DataUse]) -> None:
    found = match([Clause(use.value) for use in uses], wanted, descends=descends, today=TODAY)
    if len(PERMISSIONS & set(uses)) != 1:
        assert found.advice is not Advice.APPROVE


@given(_PURPOSES, _USES, st.randoms())
def test_the_order_of_codes_does_not_matter_and_more_codes_never_widen(
    wanted: Purpose, uses: list[DataUse], order: object
) -> None:
    whole = match([Clause(use.value) for use in uses], wanted, descends=descends, today=TODAY)
    shuffled = sorted(uses, key=lambda use: hash((use, id(order))))
    again = match([Clause(use.value) for use in shuffled], wanted, descends=descends, today=TODAY)
    assert again.advice is whole.advice
    if uses and uses[-1] not in PERMISSIONS | {DataUse.CC}:
        fewer = match([Clause(use.value) for use in uses[:-1]], wanted, descends=descends, today=TODAY)
        assert fewer.advice <= whole.advice


def test_every_finding_has_a_reason() -> None:
    for codes, wanted, _, _ in table():
        for finding in advice(codes, wanted).findings:
            assert isinstance(finding, Finding)
            assert len(finding.reason) > 10


@pytest.mark.parametrize(
    ("codes", "wanted", "reason"),
    [
        ("DS(MONDO:0004992)", "MONDO:0007254", "MONDO:0007254 (breast cancer) is a kind of MONDO:0004992 (cancer)"),
        ("DS(MONDO:0004992)", "mondo:0004992", "is permitted"),
        ("DS(MONDO:0007254)", "MONDO:0004992", "(cancer) is wider than what is permitted: MONDO:0007254 (breast cancer)"),
        ("DS(MONDO:0004992)", "MONDO:0005148", "(type 2 diabetes mellitus) is not MONDO:0004992 (cancer), nor a kind of it"),
        ("DS(MONDO:0004992)", "ICD10:I21", "no ontology here knows whether ICD10:I21 (infarction) is MONDO:0004992 (cancer)"),
        ("DS(MONDO:0004992)", "", "names no disease"),
    ],
)
def test_reasons_name_diseases_as_people_do(codes: str, wanted: str, reason: str) -> None:
    known = diseases()
    asked = Purpose(frozenset({Investigation.GENETIC}), tuple(wanted.split()))
    [found] = match(clauses(codes), asked, descends=known.descends, today=TODAY, called=known.called).findings
    assert reason in found.reason


def test_a_hub_without_an_ontology_knows_a_disease_itself_and_nothing_else(tmp_path: Path) -> None:
    bare = Diseases(tmp_path)
    assert bare.descends("MONDO:0004992", "mondo_0004992") is True
    assert bare.descends("MONDO:0007254", "MONDO:0004992") is None
