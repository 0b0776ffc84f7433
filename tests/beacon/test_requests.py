"""Reading requests: whatever comes in is understood or refused as the caller's fault, never a crash."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohelix.bank import VariantQuery
from cohelix.beacon.filters import people_criteria, variant_filters
from cohelix.beacon.query import parse_variant_id, parse_variants
from cohelix.core.errors import BadInput, CohelixError
from cohelix.core.genome import Assembly, Region
from cohelix.wire.beacon import BeaconFilter, BeaconQuestion, question_from_get, question_from_post
from cohelix.wire.filter_names import years_of

NAMES = st.sampled_from(
    [
        *("meta", "query", "requestParameters", "filters", "pagination", "skip", "limit", "requestedGranularity", "g_variant"),
        *("start", "end", "referenceName", "assemblyId", "referenceBases", "alternateBases", "variantType", "geneId", "id"),
        *("operator", "value", "scope", "datasetIds", "variantMinLength", "includeResultsetResponses", "requestedSchemas"),
    ]
)
WORDS = st.sampled_from(["22", "GRCh37", "A", "record", "HIT", "=", "NCIT:C16576", "age", "P18Y", "CRELD2", "DEL", "100,200"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**40) | st.floats() | WORDS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=20,
)
PARAMETERS = st.dictionaries(NAMES, VALUES, max_size=6)
QUERY = st.fixed_dictionaries(
    {}, optional={"requestParameters": PARAMETERS, "filters": st.lists(PARAMETERS, max_size=3), "pagination": PARAMETERS}
)


class Words:
    """A dataset with one measurement and, under any kind, one code."""

    def __init__(self, *kinds: str, hidden: bool = False) -> None:
        self.hidden, self._kinds = hidden, kinds

    def kinds_of(self, code: str) -> tuple[str, ...]:
        return self._kinds if code == "NCIT:C3117" else ()

    def has_measurement(self, name: str) -> bool:
        return name == "LDL"


def understood(question: BeaconQuestion) -> None:
    parse_variants(question.parameters)
    people_criteria(question.filters, [Words(hidden=True)])
    variant_filters(question.filters)
    assert json.dumps(question.summary("boolean"))


@settings(max_examples=150, deadline=None)
@given(st.fixed_dictionaries({"query": QUERY}) | PARAMETERS | VALUES)
def test_any_document_is_understood_or_refused(document: Any) -> None:
    try:
        understood(question_from_post(json.dumps(document).encode()))
    except BadInput as refused:
        assert refused.status == 400
        assert refused.detail


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(NAMES, WORDS | st.text(max_size=12)), max_size=6))
def test_any_get_is_understood_or_refused(pairs: list[tuple[str, str]]) -> None:
    try:
        understood(question_from_get(pairs))
    except CohelixError as refused:
        assert refused.status == 400


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=40).map(str.encode))
def test_any_bytes_are_understood_or_refused(body: bytes) -> None:
    try:
        understood(question_from_post(body))
    except CohelixError as refused:
        assert refused.status == 400


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_a_variants_id_or_not(text: str) -> None:
    try:
        parse_variant_id(text)
    except CohelixError as refused:
        assert refused.status == 400


def test_nested_flat_and_mixed_parameters_are_one_question() -> None:
    flat = {"referenceName": "chr22", "assemblyId": "hg19", "start": [100], "end": [200]}
    forms = [
        {"requestParameters": flat},
        {"requestParameters": {"g_variant": flat}},
        {"requestParameters": {"$schema": "x", "g_variants": {**flat, "end": "200"}, "assemblyId": "hg19"}},
        {"requestParameters": {**flat, "start": "100", "end": 200}},
    ]
    expected = VariantQuery("22", overlaps=Region("22", 100, 200))
    for query in forms:
        ask = parse_variants(question_from_post(json.dumps({"query": query}).encode()).parameters)
        assert (ask.assembly, ask.query) == (Assembly.GRCH37, expected)


def test_a_summary_names_the_limit_that_was_applied() -> None:
    for asked, applied in ((0, 1000), (5, 5), (10**9, 1000)):
        question = question_from_post(json.dumps({"query": {"pagination": {"limit": asked}}}).encode())
        assert question.summary("boolean")["pagination"] == {"skip": 0, "limit": applied}


@pytest.mark.parametrize(
    ("text", "years"), [("18", 18), ("P18Y", 18), ("p18y", 18), ("P6M", 0.5), ("P1Y6M", 1.5), ("P0Y", 0), ("17.5", 17.5)]
)
def test_ages(text: str, years: float) -> None:
    assert years_of(text) == pytest.approx(years)


@pytest.mark.parametrize("text", ["P", "PT5H", "eighteen", "", "P18", "inf", "P1M1Y", "18Y"])
def test_what_is_no_age(text: str) -> None:
    with pytest.raises(CohelixError):
        years_of(text)


def test_a_code_is_what_a_dataset_says_it_is() -> None:
    datasets = [Words("phenotype"), Words("treatment"), Words()]
    found = people_criteria([BeaconFilter("NCIT:C3117")], datasets)
    assert [criterion.field for (criterion,) in found] == ["phenotype", "treatment", "phenotype"]
    # Nobody has it, and what its ontology is about is known; of another prefix nothing is.
    assert people_criteria([BeaconFilter("MONDO:1")], datasets)[0][0].field == "disease"
    with pytest.raises(CohelixError):
        people_criteria([BeaconFilter("FOO:1")], datasets)
