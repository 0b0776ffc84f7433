"""People, biosamples, runs, analyses, cohorts, and the addresses that lead from one to the other, counted again by hand."""

from __future__ import annotations

from typing import Any

import pytest

VARIANT = "GRCh37-22-50313359-G-A"
REGION = {"assemblyId": "GRCh37", "referenceName": "22", "start": [50_313_000], "end": [50_317_000]}
FEMALE = {"id": "NCIT:C16576"}


def records(beacon: Any, path: str, dataset: str = "ZZ:open", **query: object) -> list[dict[str, Any]]:
    """All records of one dataset at an address."""
    parameters = query.pop("parameters", {})
    answer = beacon.post(
        path, parameters, requestedGranularity="record", includeResultsetResponses="ALL", pagination={"limit": 0}, **query
    )
    assert answer.status_code == 200, answer.text
    (found,) = [each for each in answer.json()["response"]["resultSets"] if each["id"] == dataset]
    assert found["resultsCount"] == len(found["results"])
    return list(found["results"])


def carries(variant: Any, person: int) -> bool:
    """Whether a person's call is complete and has the ALT."""
    return "." not in variant.genotypes[person] and str(variant.number) in variant.calls(person)


def carriers(cohort: Any, variant: Any) -> list[str]:
    return [cohort.people[n].name for n in cohort.everybody if carries(variant, n)]


def test_people_of_an_open_dataset_are_shown_as_their_table_says(beacon: Any, cohort: Any) -> None:
    shown = {record["id"]: record for record in records(beacon, "/individuals")}
    assert list(shown) == [person.name for person in cohort.people]
    for person in cohort.people:
        record = shown[person.name]
        assert record["sex"]["label"] == person.sex
        assert [each["diseaseCode"]["id"] for each in record.get("diseases", [])] == list(person.diseases)
        assert [each["featureType"]["id"] for each in record.get("phenotypicFeatures", [])] == list(person.phenotypes)
        assert record["info"] == {"population": person.population, "age": person.age}
        (measured,) = record["measures"]
        assert measured["measurementValue"] == {"unit": {"id": "UCUM:cm", "label": "cm"}, "value": person.height}


def test_a_person_leads_to_biosamples_runs_analyses_and_variants(beacon: Any, cohort: Any) -> None:
    number = 7
    name = cohort.people[number].name
    for path in ("biosamples", "runs", "analyses"):
        (record,) = records(beacon, f"/individuals/{name}/{path}")
        assert record["individualId"] == name
        (same,) = records(beacon, f"/{path}/{record['id']}")
        assert same == record
    has = {v.identifier for v in cohort.variants if carries(v, number)}
    for address in (f"/individuals/{name}", f"/biosamples/{name}", f"/runs/ZZ:open:{name}", f"/analyses/ZZ:open:{name}"):
        found = records(beacon, f"{address}/g_variants")
        assert {record["variantInternalId"] for record in found} == has
        assert {case["individualId"] for record in found for case in record["caseLevelData"]} == {name}
    within = records(beacon, f"/individuals/{name}/g_variants", parameters=REGION)
    assert {record["variantInternalId"] for record in within} == {
        v.identifier
        for v in cohort.variants
        if v.identifier in has and v.contig == "22" and 50_313_000 <= v.position < 50_317_000
    }


def test_a_variant_leads_to_its_people(beacon: Any, cohort: Any) -> None:
    have = carriers(cohort, cohort.named(VARIANT))
    assert [record["id"] for record in records(beacon, f"/g_variants/{VARIANT}/individuals")] == have
    assert [record["id"] for record in records(beacon, f"/g_variants/{VARIANT}/biosamples")] == have
    assert [record["id"] for record in records(beacon, f"/g_variants/{VARIANT}/runs")] == [f"ZZ:open:{name}" for name in have]
    females = [name for name in have if next(p for p in cohort.people if p.name == name).sex == "female"]
    assert [record["id"] for record in records(beacon, f"/g_variants/{VARIANT}/individuals", filters=[FEMALE])] == females
    (record,) = records(beacon, f"/g_variants/{VARIANT}")
    assert [case["individualId"] for case in record["caseLevelData"]] == have[:100]
    homozygous = [case["individualId"] for case in record["caseLevelData"] if case["zygosity"]["label"] == "homozygous"]
    variant = cohort.named(VARIANT)
    assert homozygous == [p.name for n, p in enumerate(cohort.people) if variant.calls(n) == ["1", "1"]]
    assert {case["alleleOrigin"]["label"] for case in record["caseLevelData"]} == {"germline variant"}


def test_variants_of_chosen_people(beacon: Any, cohort: Any) -> None:
    females = [n for n in cohort.everybody if cohort.people[n].sex == "female"]
    found = records(beacon, "/g_variants", filters=[FEMALE], parameters=REGION)
    assert {record["variantInternalId"] for record in found} == {
        v.identifier
        for v in cohort.variants
        if v.contig == "22" and v.end > 50_313_000 and v.position < 50_317_000 and any(carries(v, n) for n in females)
    }
    answer = beacon.post("/g_variants", {**REGION, "datasetIds": ["floored"]}, filters=[FEMALE]).json()
    (line,) = answer["info"]["datasets"]
    assert (line["exists"], line["status"]) == (False, "refused")


@pytest.mark.parametrize("path", ["biosamples", "runs", "analyses"])
def test_a_floored_dataset_tells_of_nobody(beacon: Any, path: str) -> None:
    for address in (f"/{path}", f"/datasets/ZZ:floored/{path}", f"/cohorts/ZZ:floored/{path}"):
        answer = beacon.post(address, {"datasetIds": ["floored"]}, requestedGranularity="record").json()
        (line,) = answer["info"]["datasets"]
        assert (line["id"], line["exists"], line["status"]) == ("ZZ:floored", False, "refused")
        assert answer["responseSummary"] == {"exists": False, "numTotalResults": 0}
    counted = beacon.post("/datasets/ZZ:floored/individuals", {}, requestedGranularity="record").json()
    assert counted["meta"]["returnedGranularity"] == "count"
    assert counted["responseSummary"]["numTotalResults"] == 60
    closed = beacon.post("/datasets/ZZ:closed/individuals", {}, requestedGranularity="count").json()
    assert closed["info"]["datasets"][0]["status"] == "refused"


def test_an_id_of_a_hidden_dataset_is_answered_as_one_that_nobody_has(beacon: Any) -> None:
    for path, known, unknown in (
        ("individuals", "P001", "Q001"),
        ("biosamples", "P001", "Q001"),
        ("runs", "ZZ:floored:P001", "ZZ:floored:Q001"),
        ("analyses", "ZZ:closed:P001", "ZZ:nowhere:P001"),
    ):
        hidden, absent = (
            beacon.client.post(f"/{path}/{name}", json={"query": {"requestParameters": {"datasetIds": ["floored", "closed"]}}})
            for name in (known, unknown)
        )
        assert hidden.status_code == absent.status_code == 404
        assert hidden.content == absent.content


def test_cohorts_are_datasets_and_saved_queries(beacon: Any, cohort: Any) -> None:
    shown = {found["id"]: found for found in beacon.get("/cohorts").json()["response"]["collections"]}
    assert set(shown) == {"ZZ:open", "ZZ:floored", "ZZ:closed", "ZZ:new", "ZZ:diabetic-women"}
    assert (shown["ZZ:open"]["cohortSize"], shown["ZZ:floored"]["cohortSize"]) == (64, 60)
    assert "cohortSize" not in shown["ZZ:closed"]
    diabetic = [p.name for p in cohort.people if p.sex == "female" and "MONDO:0005148" in p.diseases]
    saved = shown["ZZ:diabetic-women"]
    assert (saved["cohortSize"], saved["cohortType"]) == (len(diabetic), "beacon-defined")
    for name in ("ZZ:diabetic-women", "diabetic-women"):
        assert beacon.get(f"/cohorts/{name}").json()["response"]["collections"] == [saved]
        assert [r["id"] for r in records(beacon, f"/cohorts/{name}/individuals")] == diabetic
    fewer = beacon.post(
        "/cohorts/ZZ:diabetic-women/individuals",
        {},
        requestedGranularity="count",
        filters=[{"id": "age", "operator": ">", "value": "P40Y"}],
    ).json()
    old = [p for p in cohort.people if p.name in diabetic and p.age > 40]
    counts = {found["id"]: found["resultsCount"] for found in fewer["response"]["resultSets"]}
    assert counts == {"ZZ:open": len(old)}


def test_terms_tell_how_many_people_have_them(beacon: Any, cohort: Any) -> None:
    def terms(path: str) -> dict[str, Any]:
        return {term["id"]: term for term in beacon.get(path).json()["response"]["filteringTerms"]}

    have = sum("MONDO:0005148" in p.diseases for p in cohort.people)
    assert terms("/datasets/ZZ:open/filtering_terms")["MONDO:0005148"]["count"] == have
    floored = terms("/datasets/ZZ:floored/filtering_terms")
    assert floored["MONDO:0005148"]["count"] == have - have % 10
    assert not {"ORPHA:558", "HP:0001250", "age", "height"} & set(floored)
    of_variants = {"consequence", "clinicalSignificance", "alleleOrigin", "variantAlternativeIds"}
    assert set(terms("/datasets/ZZ:closed/filtering_terms")) <= of_variants
    of_biosamples = terms("/biosamples/filtering_terms")
    assert "MONDO:0005148" in of_biosamples and "consequence" not in of_biosamples
    first = beacon.get("/filtering_terms", limit=3, skip=1).json()["response"]["filteringTerms"]
    assert first == beacon.get("/filtering_terms").json()["response"]["filteringTerms"][3:6]


def test_descendants_and_similar_terms(beacon: Any, cohort: Any) -> None:
    def counted(**wanted: object) -> int:
        answer = beacon.post("/individuals", {"datasetIds": ["open"]}, filters=[wanted], requestedGranularity="count")
        return int(answer.json()["responseSummary"]["numTotalResults"])

    have = sum("HP:0001250" in p.phenotypes for p in cohort.people)
    # Seizure is an abnormality of the nervous system's physiology, and that is a phenotypic abnormality.
    assert counted(id="HP:0012638") == counted(id="HP:0000118") == counted(id="HP:0001250") == have
    assert counted(id="HP:0012638", includeDescendantTerms=False) == 0
    assert counted(id="phenotype", operator="=", value="HP:0001%") == have
    assert counted(id="phenotypicFeatures.featureType.id", operator="=", value="HP:0001250") == have
    assert counted(id="HP:0001250", similarity="low") >= have


def test_what_variants_are_filtered_by(beacon: Any) -> None:
    for wanted in ({"id": "consequence", "operator": "=", "value": "missense_variant"}, {"id": "SO:0001583"}):
        answer = beacon.post("/g_variants", {**REGION, "datasetIds": ["open"]}, filters=[wanted]).json()
        assert answer["info"]["datasets"][0]["status"] == "not_assessed"
    somatic = beacon.post(
        "/g_variants", {**REGION, "datasetIds": ["open"]}, filters=[{"id": "alleleOrigin", "operator": "=", "value": "somatic"}]
    )
    assert somatic.json()["responseSummary"]["exists"] is False
    for wanted in (
        {"id": "consequence", "operator": ">", "value": "x"},
        {"id": "alleleOrigin", "operator": "=", "value": "maternal"},
        {"id": "unheard", "scope": "genomicVariant"},
    ):
        assert beacon.post("/g_variants", REGION, filters=[wanted]).status_code == 400


def test_hgvs_of_the_genome_is_a_place(beacon: Any) -> None:
    parameters = {"genomicAlleleShortForm": "NC_000022.10:g.50313359G>A", "datasetIds": ["open"]}
    found = beacon.post("/g_variants", parameters, requestedGranularity="record").json()
    assert found["response"]["resultSets"][0]["results"][0]["variantInternalId"] == VARIANT
    for parameters in ({"genomicAlleleShortForm": "NM_024324.5:c.1A>G"}, {"geneId": "CRELD2", "aminoacidChange": "V600E"}):
        answer = beacon.post("/g_variants", {**parameters, "datasetIds": ["open"]}).json()
        assert answer["info"]["datasets"][0]["status"] == "not_assessed"
