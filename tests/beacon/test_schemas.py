"""Answers and errors in every state against the official schemas; `test_conformance` walks all addresses."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from validation.conformance.schemas import INFORMATIONAL, RESPONSES, Schemas

SHARED = Path(os.environ.get("COHELIX_SHARED", Path(__file__).parents[2].parent / "shared"))
FOLDER = SHARED / "vectors" / "beacon-v2-schemas"
SCHEMAS = Schemas(FOLDER)

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"the official Beacon schemas are not at {FOLDER}")


def check(document: object, path: str) -> None:
    assert SCHEMAS.faults(document, path) == []


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
        (beacon.get("/samples"), 404),
        (beacon.get("/individuals/nobody"), 404),
        (beacon.get("/runs/ZZ:open:nobody"), 404),
        (beacon.get("/runs/P001/individuals"), 404),
        (beacon.get("/datasets/ZZ:open/cohorts"), 404),
        (beacon.get("/cohorts/nothing"), 404),
        (beacon.get("/datasets/nothing"), 404),
        (beacon.client.delete("/g_variants"), 405),
        (beacon.client.post("/info", json={}), 405),
        (beacon.client.post("/g_variants", content=b" " * 2_000_000), 413),
        (beacon.get("/g_variants/rs123"), 400),
    ):
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/json"
        check(answer.json(), RESPONSES + "beaconErrorResponse.json")
