"""A cohort's address, its form and its expression say the same, whatever is typed."""

from __future__ import annotations

import random
from typing import Any

import pytest
import yaml
from starlette.datastructures import QueryParams

from cohelix.portal.cohort_draft import (
    FIELDS,
    Group,
    Row,
    acted,
    draft_of,
    draft_of_form,
    is_form,
    pairs_of,
    read_draft,
    rows,
)
from cohelix.portal.cohort_pages import FIELD_WORDS
from cohelix.portal.cohort_query import cohort_from_query, expression_or_mistake, plan_cohort_yaml, query_from_cohort
from cohelix.wire.expression import read_expression, text_of
from cohelix.wire.plan import parse_plan
from validation.portal import hostile as corpus

TEXTS = [
    "sex=female",
    "sex=female and (disease=OMIM:1 only ~high or not age<40) and not (sex=male or population=X)",
    "not (sex=male and age>3)",
    "measurement(LDL) and not measurement(X) and measurement(Y)!=4.1 or not measurement(x)>3",
    'not HP:1 or "a b" ~low',
    "not (not (sex=male or age=3) and sex=female)",
    "gene=CRELD2 and treatment!=ATC:C10 only and birth_year<1960 and country=FI",
]


def some_expression(chance: random.Random, depth: int = 0) -> dict[str, Any]:
    """A document of the language, nested at random."""
    kind = chance.choice(["all", "any", "not", "row", "row"] if depth < 4 else ["row"])
    if kind == "not":
        return {"not": some_expression(chance, depth + 1)}
    if kind != "row":
        return {kind: [some_expression(chance, depth + 1) for _ in range(chance.randint(1, 3))]}
    value = chance.choice(["x", "ä b", '"', "=1", "HP:0001250", "a&b+c#d", "50%"])
    return chance.choice(
        [
            {"disease": value, "includeDescendantTerms": chance.random() < 0.5},
            {"phenotype": value, "similarity": chance.choice(["exact", "low"])},
            {"population": value},
            {"sex": "male"},
            {"age": {chance.choice(["=", "!=", "<", ">="]): chance.choice([40, 0.1, -3, 1e300])}},
            {"measurement": value},
            {"measurement": value, "<": chance.randint(0, 9)},
            {"id": "HP:1"},
        ]
    )


def test_address_form_and_expression_say_the_same() -> None:
    chance = random.Random(7)
    for document in [*TEXTS, *(some_expression(chance) for _ in range(120))]:
        expression = read_expression(document)
        query = query_from_cohort(expression, ["FI:b", "FI:a"])
        found = cohort_from_query(QueryParams(query))
        assert (found.expression, found.datasets, found.mistake) == (expression, ("FI:a", "FI:b"), "")
        assert query_from_cohort(found.expression, found.datasets) == query, "one cohort has one address"
        draft = draft_of(expression)
        reading = read_draft(draft)
        assert (reading.expression, reading.unfilled, dict(reading.mistakes)) == (expression, frozenset(), {})
        assert draft_of_form(pairs_of(draft)) == draft


def test_an_address_can_be_read() -> None:
    query = query_from_cohort(read_expression("sex=female and (disease=OMIM:1 or age>=40)"), ["FI:sim"])
    assert query == "cohort=sex=female+and+(disease=OMIM:1+or+age%3E=40)&dataset=FI:sim"
    assert query_from_cohort(None) == ""


@pytest.mark.parametrize("text", TEXTS)
def test_the_yaml_is_a_plans_cohort(text: str) -> None:
    expression = read_expression(text)
    keys = yaml.safe_load(plan_cohort_yaml(expression, ["FI:a"]))
    plan = parse_plan({"project": "p", "method": "counts", **keys})
    assert plan.cohort == expression and list(plan.datasets) == ["FI:a"]
    assert ".0" not in plan_cohort_yaml(read_expression("age>=40"))


@pytest.mark.parametrize(
    ("text", "understood", "said"),
    [
        ("sex=female and diseas=OMIM:1", "sex=female", "character 16: diseas is not a field"),
        ("sex=female and (disease=OMIM:1 or (agge=3 or sex=male))", "sex=female and disease=OMIM:1", "character 36: agge"),
        ("sex=male and age>=x", "sex=male", "'x' is no number"),
        ("sex=male and", "sex=male", "ends too early"),
        ("sex=mael", None, "'mael' is not a sex"),
        ("((((", None, "ends too early"),
        ("x\x00", None, "character 1"),
        ("(" * 9_000, None, "too long"),
    ],
)
def test_a_bad_address_keeps_what_was_understood(text: str, understood: str | None, said: str) -> None:
    found = cohort_from_query(QueryParams([("cohort", text), ("dataset", "FI:a")]))
    assert found.expression == (read_expression(understood) if understood else None)
    assert said in found.mistake and found.datasets == ("FI:a",)


def test_a_dataset_without_its_node_is_named() -> None:
    found = cohort_from_query(QueryParams("dataset=sim&dataset=FI:a&cohort=sex=male"))
    assert "'sim' is no dataset" in found.mistake and found.datasets == ("FI:a",) and found.expression is not None


def test_hostile_text_is_never_more_than_a_value() -> None:
    for text in corpus.CORPUS[::5]:
        found = cohort_from_query(QueryParams([("cohort", text), ("dataset", text)]))
        assert found.expression is None or read_expression(text_of(found.expression)) == found.expression
        for row in (
            Row("disease", value=text),
            Row("measurement", ">", "1", name=text),
            Row(text, value="x"),
            Row("age", text, "1"),
        ):
            reading = read_draft(draft_of_form(pairs_of(Group("all", (row,)))))
            assert reading.expression or reading.mistakes or reading.unfilled
            if reading.expression:
                query = query_from_cohort(reading.expression)
                assert query.isascii() and query.isprintable() and not set(query) & set("<>\"' \\#")
                assert cohort_from_query(QueryParams(query)).expression == reading.expression


def said(draft: Group) -> str:
    expression = read_draft(draft).expression
    return "" if expression is None else text_of(expression)


def test_buttons_of_the_form() -> None:
    draft, place = acted(Group(), "add@", {"new": "disease"})
    assert place == (1,) and read_draft(draft).unfilled == {(), (1,)}
    draft, _ = acted(draft, "pick@1@OMIM:1@2", {})
    assert said(draft) == "disease=OMIM:1@2"
    draft, place = acted(draft, "group@", {})
    assert place == (2,) and isinstance(draft.parts[1], Group) and draft.parts[1].joint == "any"
    for value in ("40", "50"):
        draft, place = acted(draft, "add@2", {"2.new": "age", "new": "sex"})
        assert place is not None
        pairs = [*pairs_of(draft), (f"2.{place[-1]}.v", value)]
        draft = draft_of_form(pairs)
    assert said(draft) == "disease=OMIM:1@2 and (age>=40 or age>=50)"
    draft, place = acted(draft, "remove@2.1", {})
    assert place == (2,) and said(draft) == "disease=OMIM:1@2 and age>=50"
    draft, place = acted(draft, "remove@1", {})
    assert place == () and said(draft) == "age>=50"


@pytest.mark.parametrize(
    "action", ["", "add@9", "add@", "add@x", "remove@", "remove@7", "pick@", "group@1", "keep@2@3", "@@@@"]
)
def test_buttons_that_do_not_exist_change_nothing(action: str) -> None:
    draft = draft_of(read_expression("sex=female"))
    assert acted(draft, action, {"new": "nonsense"})[0] == draft


def test_a_form_that_is_too_large_or_deep_ends_somewhere() -> None:
    deep = draft_of_form([(".".join(["1"] * depth) + ".j", "any") for depth in range(1, 60)] + [("1.f", "x" * 10_000)])
    assert len(list(rows(deep))) <= 1
    wide = draft_of_form([(f"{number}.f", "sex") for number in range(999)])
    assert len(wide.parts) <= 400
    full = draft_of_form(
        [(f"{number}.{what}", value) for number in range(1, 200) for what, value in (("f", "sex"), ("v", "male"))]
    )
    assert len(acted(full, "add@", {"new": "sex"})[0].parts) == len(full.parts)
    many = draft_of_form([(f"{n}.{what}", v) for n in range(1, 200) for what, v in (("f", "disease"), ("v", f"X:{n}"))])
    assert "too long" in read_draft(many).mistakes[()]


def test_every_field_of_the_language_has_its_word() -> None:
    assert set(FIELD_WORDS) == FIELDS
    assert not is_form(["cohort", "dataset", "q", "1.x", "f.1"]) and is_form(["2.1.f"]) and is_form(["do"]) and is_form(["j"])
    assert expression_or_mistake({"age": {"<": "x"}})[1] is not None
