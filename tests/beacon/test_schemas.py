"""Every answer of every endpoint of the map, in every form of asking, against the official schemas."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.exceptions import NoSuchResource
from referencing.jsonschema import DRAFT202012

SHARED = Path(os.environ.get("COHELIX_SHARED", Path(__file__).parents[2].parent / "shared"))
SCHEMAS = SHARED / "vectors" / "beacon-v2-schemas"
RAW = "https://raw.githubusercontent.com/ga4gh-beacon/beacon-v2/main/"
ROOT = "https://schemas.test/"
RESPONSES = "framework/json/responses/"
MODELS = "models/json/beacon-v2-default-model/"

pytestmark = pytest.mark.skipif(not SCHEMAS.is_dir(), reason=f"the official Beacon schemas are not at {SCHEMAS}")


@cache
def registry() -> Registry[Any]:
    """All schemas under one root; a reference that leads nowhere is an error."""

    def retrieve(uri: str) -> Resource[Any]:
        path = uri.removeprefix(RAW).removeprefix(ROOT)
        # Defect D3: five entry types refer to a file that is in the framework, not in the model.
        path = path.replace(f"{MODELS}common/info.json", "framework/json/common/info.json")
        if "vrs.json" in uri:
            path = "external/vrs-1.3/vrs.json"
        if not (SCHEMAS / path).is_file():
            raise NoSuchResource(uri)
        return Resource.from_contents(json.loads((SCHEMAS / path).read_text()), default_specification=DRAFT202012)

    return Registry(retrieve=retrieve)  # type: ignore[call-arg]


@cache
def validator(path: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": ROOT + path}, registry=registry(), format_checker=Draft202012Validator.FORMAT_CHECKER)


def check(document: object, path: str) -> None:
    errors = [f"{error.json_path}: {error.message[:300]}" for error in validator(path).iter_errors(document)]
    assert errors == []


INFORMATIONAL = {
    "/": "beaconInfoResponse.json",
    "": "beaconInfoResponse.json",
    "/info": "beaconInfoResponse.json",
    "/service-info": "ga4gh-service-info-1-0-0-schema.json",
    "/configuration": "beaconConfigurationResponse.json",
    "/map": "beaconMapResponse.json",
    "/entry_types": "beaconEntryTypesResponse.json",
    "/filtering_terms": "beaconFilteringTermsResponse.json",
}
FORM = {"boolean": "beaconBooleanResponse.json", "count": "beaconCountResponse.json"}
RECORDS = {
    "genomicVariant": "genomicVariations/defaultSchema.json",
    "dataset": "datasets/defaultSchema.json",
}
KEY = {
    "assemblyId": "GRCh37",
    "referenceName": "22",
    "start": [50_313_358],
    "referenceBases": "G",
    "alternateBases": "A",
}


@pytest.mark.parametrize("path", INFORMATIONAL)
def test_informational_answers_validate(beacon: Any, path: str) -> None:
    answer = beacon.get(path)
    assert answer.status_code == 200
    check(answer.json(), RESPONSES + INFORMATIONAL[path])


def test_the_nodes_own_service_info_validates(node: str) -> None:
    document = httpx.get(node + "/service-info").json()
    check(document, RESPONSES + INFORMATIONAL["/service-info"])
    assert document["type"] != httpx.get(node + "/beacon/v2/service-info").json()["type"]


def endpoints(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(entry type, address) of everything that the map names, ids filled in."""
    for found in document["response"]["endpointSets"].values():
        yield found["entryType"], found["rootUrl"]
        if "singleEntryUrl" in found:
            identifier = {"dataset": "ZZ:open", "genomicVariant": "GRCh37-22-50313359-G-A"}[found["entryType"]]
            yield found["entryType"], found["singleEntryUrl"].replace("{id}", identifier)


def check_answer(document: dict[str, Any], entry: str, asked: str) -> None:
    returned = document["meta"]["returnedGranularity"]
    assert returned == ("count" if entry == "individual" and asked == "record" else asked)
    assert document["meta"]["receivedRequestSummary"]["requestedGranularity"] == asked
    if returned != "record":
        check(document, RESPONSES + FORM[returned])
    elif entry == "dataset":
        check(document, RESPONSES + "beaconCollectionsResponse.json")
        assert document["response"]["collections"]
        for record in document["response"]["collections"]:
            check(record, MODELS + RECORDS[entry])
    else:
        check(document, RESPONSES + "beaconResultsetsResponse.json")
        found = [record for each in document["response"]["resultSets"] for record in each["results"]]
        assert found
        for record in found:
            check(record, MODELS + RECORDS[entry])
            assert record["frequencyInPopulations"][0]["frequencies"] == record["frequencyInPopulations"][0]["populations"]


@pytest.mark.parametrize("granularity", ["boolean", "count", "record"])
def test_every_address_of_the_map_validates_in_every_form(beacon: Any, granularity: str) -> None:
    checked = 0
    for entry, url in endpoints(beacon.get("/map").json()):
        takes_variant = entry != "dataset" and "/GRCh37-" not in url
        for parameters in [{}, KEY] if takes_variant else [{}]:
            answers = [
                beacon.get(url, requestedGranularity=granularity, **parameters),
                beacon.post(url, parameters, requestedGranularity=granularity),
                beacon.post(url, parameters, nested=True, requestedGranularity=granularity, includeResultsetResponses="HIT"),
            ]
            for answer in answers:
                assert answer.status_code == 200, answer.text
                check_answer(answer.json(), entry, granularity)
                checked += 1
    assert checked == 3 * 7


@pytest.mark.parametrize("include", ["ALL", "HIT", "MISS", "NONE"])
@pytest.mark.parametrize("parameters", [KEY, {**KEY, "alternateBases": "C"}, {"geneId": "CRELD2"}])
def test_hits_misses_and_statuses_validate(beacon: Any, include: str, parameters: dict[str, object]) -> None:
    document = beacon.post("/g_variants", parameters, requestedGranularity="record", includeResultsetResponses=include).json()
    check(document, RESPONSES + "beaconResultsetsResponse.json")
    shown = [found["exists"] for found in document["response"]["resultSets"]]
    everything = [line["exists"] for line in document["info"]["datasets"]]
    expected = {"ALL": everything, "NONE": [], "HIT": [e for e in everything if e], "MISS": [e for e in everything if not e]}
    assert shown == expected[include]
    assert document["responseSummary"]["exists"] == any(everything)


@pytest.mark.parametrize(
    "body",
    [
        b'{"query": {"requestParameters": {"start": ' + b"[" * 500 + b"]" * 500 + b"}}}",
        b"{",
        b"[]",
        b'{"query": []}',
        b"\xff\xfe",
        b'{"query": {"requestParameters": {"start": "x"}}}',
        b"[" * 100_000,
    ],
)
def test_malformed_bodies_are_beacon_errors(beacon: Any, body: bytes) -> None:
    for path in ("/g_variants", "/individuals", "/datasets"):
        answer = beacon.client.post(path, content=body)
        assert answer.status_code == 400
        document = answer.json()
        check(document, RESPONSES + "beaconErrorResponse.json")
        assert document["error"]["errorCode"] == 400
        assert document["meta"]["beaconId"] == "org.cohelix.beacon.ZZ"


def test_other_errors_are_beacon_errors_too(beacon: Any) -> None:
    for answer, status in (
        (beacon.get("/biosamples"), 404),
        (beacon.get("/individuals/P001"), 404),
        (beacon.get("/g_variants/GRCh37-22-50313359-G-A/individuals"), 404),
        (beacon.get("/datasets/nothing"), 404),
        (beacon.client.delete("/g_variants"), 405),
        (beacon.client.post("/info", json={}), 405),
        (beacon.client.post("/g_variants", content=b" " * 2_000_000), 413),
        (beacon.get("/g_variants/rs123"), 400),
    ):
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/json"
        check(answer.json(), RESPONSES + "beaconErrorResponse.json")
