"""Every defect of the published schemas, and every finding at a peer, that a client of this node would meet."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from cohelix.testing.commands import run_command
from validation.conformance.schemas import RESPONSES, Schemas

SHARED = Path(os.environ.get("COHELIX_SHARED", Path(__file__).parents[2].parent / "shared"))
FOLDER = SHARED / "vectors" / "beacon-v2-schemas"
PLACE = {"assemblyId": "GRCh37", "referenceName": "22"}
KEY = {**PLACE, "start": [50_313_358], "referenceBases": "G", "alternateBases": "A"}

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"the official Beacon schemas are not at {FOLDER}")


def test_d1_d2_parameters_nested_or_flat_and_filters_are_echoed_as_the_schema_has_them(beacon: Any) -> None:
    filters = [{"id": "sexFilter", "operator": "=", "value": "F", "scope": "population"}]
    answers = [beacon.post("/g_variants", KEY, nested=nested, filters=filters) for nested in (False, True)]
    assert answers[0].json() == answers[1].json()
    summary = answers[0].json()["meta"]["receivedRequestSummary"]
    assert summary["requestParameters"] == {"g_variant": KEY}
    assert summary["filters"] == ["sexFilter"]


def test_d5_d8_granularity_and_pages_are_read_wherever_clients_write_them(beacon: Any) -> None:
    beside = {"requestedGranularity": "record", "pagination": {"limit": 1}}
    forms = [
        beacon.get("/individuals", requestedGranularity="record", limit=1),
        beacon.client.post("/individuals", json={"query": beside}),
        beacon.client.post("/individuals", json={"meta": {}, "query": {}, **beside}),
    ]
    sets = [{each["id"]: each["results"] for each in answer.json()["response"]["resultSets"]} for answer in forms]
    shown = [found["ZZ:open"] for found in sets]
    assert shown[0] == shown[1] == shown[2] and len(shown[0]) == 1


def test_d6_schema_stands_inside_map_and_configuration(beacon: Any) -> None:
    for path in ("/map", "/configuration"):
        assert beacon.get(path).json()["response"]["$schema"].startswith("https://")


def test_d9_case_level_data_has_its_biosample_and_is_of_open_datasets_only(beacon: Any) -> None:
    found = beacon.get("/g_variants/GRCh37-22-50313359-G-A", datasetIds="open,floored").json()
    by_id = {each["id"]: each["results"][0] for each in found["response"]["resultSets"]}
    assert "caseLevelData" not in by_id["ZZ:floored"]
    assert all(case["biosampleId"] for case in by_id["ZZ:open"]["caseLevelData"])


def test_indels_are_found_without_a_variant_type(beacon: Any, cohort: Any) -> None:
    indels = [v for v in cohort.variants if len(v.ref) != len(v.alt) and v.alt[0] != "<" and v.counts(cohort.everybody)[1]]
    assert len(indels) > 10
    for variant in indels:
        parameters = {
            **{**PLACE, "start": [variant.position], "referenceBases": variant.ref, "alternateBases": variant.alt},
            "datasetIds": ["open"],
        }
        assert beacon.post("/g_variants", parameters).json()["responseSummary"]["exists"] is True


def test_ids_are_the_same_in_every_answer(beacon: Any) -> None:
    asked = {**PLACE, "start": [50_313_000], "end": [50_320_000]}
    first, second = (beacon.records(asked, "open")["ZZ:open"]["results"] for _ in range(2))
    assert [record["variantInternalId"] for record in first] == [record["variantInternalId"] for record in second]


def test_a_count_without_hits_has_its_number(beacon: Any) -> None:
    answer = beacon.post("/g_variants", {**KEY, "alternateBases": "C"}, requestedGranularity="count").json()
    assert answer["responseSummary"] == {"exists": False, "numTotalResults": 0}


@pytest.mark.parametrize("body", [b"{", b"\xff", b"null,", b'{"query": []}'])
def test_malformed_json_is_the_callers_fault(beacon: Any, body: bytes) -> None:
    answer = beacon.client.post("/individuals", content=body)
    assert answer.status_code == 400
    assert Schemas(FOLDER).faults(answer.json(), RESPONSES + "beaconErrorResponse.json") == []


def test_service_info_names_group_and_artifact_in_their_order(beacon: Any) -> None:
    assert beacon.get("/service-info").json()["type"] == {"group": "org.ga4gh", "artifact": "beacon", "version": "v2.1.1"}
    assert beacon.get("/").status_code == 200


def test_what_is_not_supported_is_never_no_hit(beacon: Any) -> None:
    for parameters in ({**PLACE, "allele": "x"}, {**KEY, "alternateBases": "R"}, {**PLACE, "variantType": "TRANSLOCATION"}):
        assert beacon.post("/g_variants", parameters).status_code == 400
    for filters in ([{"id": "age", "operator": ">", "value": "old"}], [{"id": "unheard", "operator": "=", "value": "x"}]):
        assert beacon.post("/individuals", {"datasetIds": ["open"]}, filters=filters).status_code == 400


def test_the_portals_own_request_for_people(beacon: Any, cohort: Any) -> None:
    """As gdi-userportal-dataset-discovery-service writes it: parameters in a list, `meta: {}`, records, sex and age."""
    query = {
        "requestParameters": [KEY],
        "filters": [
            {"id": "sex", "operator": "=", "value": "NCIT:C16576", "scope": "individual"},
            {"id": "diseases.ageOfOnset.iso8601duration", "operator": ">=", "value": "P18Y", "scope": "individual"},
        ],
        "includeResultsetResponses": "HIT",
        "pagination": {"skip": 0, "limit": 100},
        "testMode": False,
        "requestedGranularity": "record",
    }
    answer = beacon.client.post("/individuals", json={"meta": {}, "query": query})
    assert answer.status_code == 200, answer.text
    variant = cohort.named("GRCh37-22-50313359-G-A")
    expected = sum("1" in variant.calls(n) and p.sex == "female" and p.age >= 18 for n, p in enumerate(cohort.people))
    assert {found["id"]: found["resultsCount"] for found in answer.json()["response"]["resultSets"]} == {"ZZ:open": expected}


def test_an_answer_follows_a_reload_and_damage_stops_one_dataset_only(cohort: Any, tmp_path: Path) -> None:
    from cohelix.node.app import create_app
    from cohelix.testing.federation import running_app

    folder = tmp_path / "node"

    def run(*words: str) -> None:
        done = run_command(*words)
        assert done.returncode == 0, done.stderr

    def load(dataset: str) -> None:
        run(
            *("node", "load", str(folder), "--dataset", dataset, "--genotypes", str(cohort.genotypes)),
            *("--assembly", "GRCh37", "--disclosure", "open"),
        )

    run("node", "init", str(folder), "--id", "ZZ", "--name", "Z", "--country", "FI")
    load("one")
    with running_app(create_app(folder)) as running:
        url = f"{running.url}/beacon/v2/g_variants"
        asked = {**KEY, "start": 50_313_358, "requestedGranularity": "count", "includeResultsetResponses": "ALL"}

        def statuses() -> dict[str, str]:
            return {line["id"]: line["status"] for line in httpx.get(url, params=asked).json()["info"]["datasets"]}

        assert statuses() == {"ZZ:one": "answered"}
        load("two")
        assert statuses() == {"ZZ:one": "answered", "ZZ:two": "answered"}
        load("two")
        (folder / "datasets" / "two" / "versions" / "000002" / "manifest.json").write_text("{}")
        assert statuses() == {"ZZ:one": "answered", "ZZ:two": "not_assessed"}
        assert httpx.get(f"{running.url}/readyz").status_code == 200
        assert httpx.get(url, params={**asked, "datasetIds": "two"}).json()["responseSummary"]["exists"] is False


def test_a_node_listens_on_loopback_unless_told_otherwise(node: str) -> None:
    assert node.startswith("http://127.0.0.1:")
