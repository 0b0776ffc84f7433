"""The language of cohorts: both forms round-trip, mean the same, and every mistake is named with its place."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohelix.core.errors import BadQuestion
from cohelix.phenotypes.model import BIOSAMPLE_KINDS, PersonTermKind
from cohelix.wire.expression import (
    CODES,
    AllOf,
    AnyOf,
    Condition,
    NotOf,
    document_of,
    literals,
    read_expression,
    text_of,
)

NAMES = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x2FFF, categories=("L", "N", "P", "S", "Zs")), min_size=1
).filter(lambda text: text.strip() and text.isprintable())
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
SIGNS = st.sampled_from(["=", "!=", "<", ">", "<=", ">="])
OPTIONS = st.fixed_dictionaries(
    {}, optional={"includeDescendantTerms": st.booleans(), "similarity": st.sampled_from(["high", "medium", "low"])}
)


@st.composite
def conditions(draw: st.DrawFn) -> dict:
    """A condition in any of its forms."""
    form = draw(st.sampled_from(["sex", "word", "number", "measured", "measurement", "code", "codes", "term"]))
    if form == "sex":
        return {"sex": draw(st.sampled_from(["male", "F", "NCIT:C16576"]))}
    if form == "word":
        return {draw(st.sampled_from(["population", "country"])): draw(NAMES | st.lists(NAMES, min_size=1, max_size=3))}
    if form == "number":
        comparisons = draw(st.dictionaries(SIGNS, NUMBERS, min_size=1, max_size=2))
        return {draw(st.sampled_from(["age", "birth_year"])): comparisons}
    if form in ("measured", "measurement"):
        return {"measurement": draw(NAMES), **(draw(st.dictionaries(SIGNS, NUMBERS, max_size=2)) if form[-1] == "t" else {})}
    code = draw(st.sampled_from(["OMIM:1", "HP:0001250", "C50.9", "%cancer%"]))
    if form == "term":
        return {"id": code, **draw(OPTIONS)}
    return {draw(st.sampled_from(sorted(CODES))): [code, "X:1"] if form == "codes" else code, **draw(OPTIONS)}


EXPRESSIONS = st.recursive(
    conditions(),
    lambda inner: (
        st.builds(lambda joint, parts: {joint: parts}, st.sampled_from(["all", "any"]), st.lists(inner, min_size=1, max_size=3))
        | st.builds(lambda part: {"not": part}, inner)
    ),
    max_leaves=8,
)


@settings(max_examples=80, deadline=None)
@given(EXPRESSIONS)
def test_both_forms_round_trip(document: dict) -> None:
    found = read_expression(document)
    assert read_expression(document_of(found)) == found
    assert read_expression(text_of(found)) == found
    assert text_of(read_expression(text_of(found))) == text_of(found)


TOKENS = [
    "sex",
    "=",
    "male",
    "and",
    "or",
    "not",
    "(",
    ")",
    "age",
    ">=",
    "3",
    "measurement",
    '"a b"',
    "only",
    "~high",
    "HP:1",
    "!=",
]
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.text(max_size=5) | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["all", "any", "not", "sex", "age", "id", ">", "measurement", "disease", ""]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60) | st.lists(st.sampled_from(TOKENS), max_size=8).map(" ".join) | DOCUMENTS)
def test_whatever_comes_is_understood_or_refused(given_: object) -> None:
    try:
        found = read_expression(given_)
    except BadQuestion as error:
        assert "expected" in error.detail
    else:
        assert read_expression(text_of(found)) == found


def test_the_example_of_the_documentation() -> None:
    text = "sex=male and (disease=OMIM:1 or not age>=40)"
    found = read_expression(text)
    assert found == AllOf(
        (
            Condition("sex", "=", "male"),
            AnyOf((Condition("disease", "=", "OMIM:1"), NotOf(Condition("age", ">=", 40.0)))),
        )
    )
    assert text_of(found) == text
    assert document_of(found) == {"all": [{"sex": "male"}, {"any": [{"disease": "OMIM:1"}, {"not": {"age": {">=": 40.0}}}]}]}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"sex": "M"}, "sex=male"),
        ({"id": "NCIT:C20197"}, "sex=male"),
        ({"id": "diseases.diseaseCode.id", "operator": "=", "value": "OMIM:1"}, {"disease": "OMIM:1"}),
        ({"id": "ageX", "operator": ">", "value": 3}, {"measurement": "ageX", ">": 3}),
        ({"id": "NCIT:C25150", "operator": ">=", "value": "P18Y"}, "age>=18"),
        ({"id": "HP:1", "operator": "!"}, {"not": {"id": "HP:1"}}),
        ({"all": [{"all": [{"sex": "M"}, {"age": 4}]}, {"sex": "male"}]}, {"all": [{"sex": "male"}, {"age": {"=": 4}}]}),
        ({"any": [{"sex": "F"}]}, {"sex": "female"}),
        ({"not": {"not": {"sex": "F"}}}, {"sex": "female"}),
        ({"population": ["FIN", "GBR"]}, "population=FIN or population=GBR"),
        ({"age": {">=": 40, "<": 60}}, "age>=40 and age<60"),
        ({"disease": {"!=": "OMIM:1"}}, "not disease=OMIM:1"),
        ({"disease": "OMIM:1", "includeDescendantTerms": False, "similarity": "high"}, "disease=OMIM:1 only ~high"),
    ],
)
def test_several_ways_of_writing_are_one_expression(one: object, other: object) -> None:
    assert read_expression(one) == read_expression(other)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"sex": "x"}, "sex: 'x' is not a sex"),
        ({"all": [{"sex": "M"}, {"age": {"~": 4}}]}, "all[1].age: '~' is no comparison"),
        ({"all": [{"sex": "M"}], "any": []}, "all and 'any' stand side by side"),
        ({"all": []}, "all: [] is no list"),
        ({"population": False}, "population: False is no population; expected a word; put words like"),
        ({"LDL": {">": 3}}, "LDL: 'LDL' is not a field"),
        ({"measurement": "LDL", ">": "high"}, "'high' is no number"),
        ({"sex": "M", "similarity": "high"}, "similarity: the field has no codes"),
        ({"id": "sex", "operator": "<", "value": "M"}, "sex is compared by '<'"),
        ("sex=male or", "character 12: the expression ends too early; expected a condition"),
        ("(sex=male", "character 10: the end stands where ')' belongs"),
        ("sex=male sex=female", "character 10: 'sex' stands behind a complete expression"),
        ("LDL>3", "character 1: LDL is not a field"),
        ("age>x", "character 1: 'x' is no number"),
        ('measurement("a', "character 13"),
        ("(" * 40 + "sex=male" + ")" * 40, "nested too deeply"),
        (" or ".join(f"age>{year}" for year in range(101)), "at most 100 conditions"),
        ("x" * 9000, "at most 8000 characters"),
    ],
)
def test_a_mistake_is_named_with_its_place(wrong: object, said: str) -> None:
    with pytest.raises(BadQuestion) as refused:
        read_expression(wrong)
    assert said in refused.value.detail


def test_deep_and_wide_documents_are_refused_soon() -> None:
    deep: dict = {"sex": "male"}
    for _ in range(50_000):
        deep = {"not": deep}
    with pytest.raises(BadQuestion, match="too long"):
        read_expression(deep)


def test_literals_are_of_conjunctions_alone() -> None:
    male, ill = Condition("sex", "=", "male"), Condition("disease", "=", "OMIM:1")
    assert literals(read_expression("sex=male and not disease=OMIM:1")) == ((male, True), (ill, False))
    assert literals(read_expression("not (sex=male or disease=OMIM:1)")) == ((male, False), (ill, False))
    assert literals(read_expression("sex=male or disease=OMIM:1")) is None
    assert literals(read_expression("not (sex=male and disease=OMIM:1)")) is None


def test_codes_are_the_kinds_of_the_data() -> None:
    assert frozenset(PersonTermKind.__args__) | BIOSAMPLE_KINDS == CODES
