"""Counts of people over HTTP: filters, carriers, and what a floored dataset refuses."""

from __future__ import annotations

from typing import Any

import pytest

CARRIES = {
    "assemblyId": "GRCh37",
    "referenceName": "22",
    "start": [50_313_358],
    "referenceBases": "G",
    "alternateBases": "A",
}


def counted(
    beacon: Any, filters: list[dict[str, object]], parameters: dict[str, object] | None = None
) -> dict[str, dict[str, Any]]:
    answer = beacon.post(
        "/individuals", parameters, filters=filters, requestedGranularity="count", includeResultsetResponses="ALL"
    )
    assert answer.status_code == 200, answer.text
    return {found["id"]: found for found in answer.json()["response"]["resultSets"]}


@pytest.mark.parametrize(
    ("filters", "meets"),
    [
        ([{"id": "NCIT:C16576"}], lambda p: p.sex == "female"),
        ([{"id": "NCIT:C20197", "scope": "individual"}], lambda p: p.sex == "male"),
        ([{"id": "sex", "operator": "=", "value": "F"}], lambda p: p.sex == "female"),
        ([{"id": "sex", "operator": "!", "value": "female"}], lambda p: p.sex == "male"),
        ([{"id": "sexFilter", "operator": "=", "value": "M", "scope": "population"}], lambda p: p.sex == "male"),
        ([{"id": "population", "operator": "=", "value": "FIN"}], lambda p: p.population == "FIN"),
        ([{"id": "age", "operator": ">=", "value": "18"}], lambda p: p.age >= 18),
        ([{"id": "age", "operator": "<", "value": "P18Y"}], lambda p: p.age < 18),
        ([{"id": "age", "operator": "<", "value": "P17Y12M"}], lambda p: p.age < 18),
        ([{"id": "height", "operator": ">", "value": "170.5"}], lambda p: p.height > 170.5),
        ([{"id": "height", "operator": "<=", "value": 170}], lambda p: p.height <= 170),
        ([{"id": "MONDO:0005148"}], lambda p: "MONDO:0005148" in p.diseases),
        ([{"id": "HP:0001250", "includeDescendantTerms": False}], lambda p: "HP:0001250" in p.phenotypes),
        ([{"id": "HP:0009999"}], lambda p: False),
        (
            [{"id": "NCIT:C16576"}, {"id": "MONDO:0005148"}, {"id": "age", "operator": ">", "value": "40"}],
            lambda p: p.sex == "female" and "MONDO:0005148" in p.diseases and p.age > 40,
        ),
        ([], lambda p: True),
    ],
)
def test_an_open_dataset_counts_exactly(beacon: Any, cohort: Any, filters: list[dict[str, object]], meets: Any) -> None:
    found = counted(beacon, filters)["ZZ:open"]
    expected = sum(map(meets, cohort.people))
    assert (found["resultsCount"], found["exists"], found["results"]) == (expected, expected > 0, [])


def test_carriers(beacon: Any, cohort: Any) -> None:
    variant = cohort.named("GRCh37-22-50313359-G-A")
    carriers = [n for n in cohort.everybody if "1" in variant.calls(n)]
    for nested in (False, True):
        answer = beacon.post(
            "/individuals", CARRIES, nested=nested, requestedGranularity="count", filters=[{"id": "NCIT:C16576"}]
        ).json()
        found = {each["id"]: each for each in answer["response"]["resultSets"]}
        assert found["ZZ:open"]["resultsCount"] == sum(cohort.people[n].sex == "female" for n in carriers)
    everywhere = counted(beacon, [], CARRIES)
    assert everywhere["ZZ:open"]["resultsCount"] == len(carriers)
    assert everywhere["ZZ:floored"]["info"]["status"] == "refused"
    assert everywhere["ZZ:new"]["info"]["status"] == "other_assembly"


def test_a_floored_dataset_counts_in_tens_and_only_by_sex_origin_and_disease(beacon: Any) -> None:
    assert counted(beacon, [])["ZZ:floored"]["resultsCount"] == 60
    assert counted(beacon, [{"id": "NCIT:C16576"}])["ZZ:floored"]["resultsCount"] == 30
    assert counted(beacon, [{"id": "MONDO:0005148"}])["ZZ:floored"]["resultsCount"] == 20
    few = counted(beacon, [{"id": "ORPHA:558"}])["ZZ:floored"]
    nobody = counted(beacon, [{"id": "ORPHA:999999"}])["ZZ:floored"]
    assert few == nobody
    assert (few["exists"], few["resultsCount"]) == (False, 0)
    assert few["info"]["status"] == "below_floor"
    assert few["info"]["floor"] == 10


@pytest.mark.parametrize(
    "wanted",
    [
        {"id": "age", "operator": ">", "value": "40"},
        {"id": "height", "operator": ">", "value": "170"},
        {"id": "unheard", "operator": ">", "value": "170"},
        {"id": "HP:0001250"},
    ],
)
def test_other_criteria_are_refused_by_a_floored_dataset_with_200(beacon: Any, wanted: dict[str, object]) -> None:
    parameters = {"datasetIds": ["floored"]}
    for granularity in ("boolean", "count"):
        answer = beacon.post("/individuals", parameters, filters=[wanted], requestedGranularity=granularity)
        assert answer.status_code == 200, answer.text
        document = answer.json()
        assert document["responseSummary"]["exists"] is False
        (line,) = document["info"]["datasets"]
        assert line["status"] == "refused"
        assert line["reason"]


def test_records_are_not_given_of_floored_people_and_the_answer_says_so(beacon: Any) -> None:
    answer = beacon.post("/individuals", {"datasetIds": ["floored", "closed"]}, requestedGranularity="record").json()
    assert answer["meta"]["returnedGranularity"] == "count"
    assert answer["meta"]["receivedRequestSummary"]["requestedGranularity"] == "record"
    assert all(found["results"] == [] for found in answer["response"]["resultSets"])


@pytest.mark.parametrize(
    "wanted",
    [
        {"id": "FOO:123"},
        {"id": "unheard"},
        {"id": "height"},
        {"id": "height", "operator": ">", "value": "tall"},
        {"id": "age", "operator": ">", "value": "P"},
        {"id": "age", "operator": ">", "value": "nan"},
        {"id": "sex", "operator": "=", "value": "blue"},
        {"id": "sex", "operator": ">", "value": "F"},
        {"id": "NCIT:C16576", "scope": "biosample"},
        {"id": "HP:0001250", "scope": "run"},
        {"id": "HP:0001250", "operator": "=", "value": "1"},
    ],
)
def test_unknown_and_malformed_filters_are_refused(beacon: Any, wanted: dict[str, object]) -> None:
    answer = beacon.post("/individuals", {"datasetIds": ["open"]}, filters=[wanted])
    assert answer.status_code == 400, answer.text


def test_get_filters_are_a_comma_list_of_ids(beacon: Any, cohort: Any) -> None:
    answer = beacon.get(
        "/individuals", filters="NCIT:C16576,MONDO:0005148", requestedGranularity="count", datasetIds="open"
    ).json()
    expected = sum(p.sex == "female" and "MONDO:0005148" in p.diseases for p in cohort.people)
    assert answer["responseSummary"]["numTotalResults"] == expected
    assert answer["meta"]["receivedRequestSummary"]["filters"] == ["NCIT:C16576", "MONDO:0005148"]


def test_filtering_terms_name_what_can_be_asked_and_nothing_rare_of_floored_people(beacon: Any) -> None:
    terms = {term["id"]: term for term in beacon.get("/filtering_terms").json()["response"]["filteringTerms"]}
    assert {"NCIT:C16576", "population", "age", "height", "MONDO:0005148", "HP:0001250", "sexFilter"} <= set(terms)
    assert terms["population"]["values"] == ["FIN", "SWE"]
    assert terms["HP:0001250"]["type"] == "Human Phenotype Ontology"


def test_the_same_people_in_two_datasets_count_once_in_the_total(beacon: Any, cohort: Any) -> None:
    answer = beacon.post("/individuals", {"datasetIds": ["open", "new"]}, requestedGranularity="count").json()
    assert [found["resultsCount"] for found in answer["response"]["resultSets"]] == [64, 64]
    assert answer["responseSummary"]["numTotalResults"] == 64
