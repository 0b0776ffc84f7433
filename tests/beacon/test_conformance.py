"""The validator finds nothing wrong with a node of open, floored and closed datasets, and something with broken answers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from validation.conformance.schemas import Schemas
from validation.conformance.validator import Validator

SHARED = Path(os.environ.get("COHELIX_SHARED", Path(__file__).parents[2].parent / "shared"))
FOLDER = SHARED / "vectors" / "beacon-v2-schemas"
KEY = {
    "assemblyId": "GRCh37",
    "referenceName": "22",
    "start": [50_313_358],
    "referenceBases": "G",
    "alternateBases": "A",
}
RANGE = {"assemblyId": "GRCh37", "referenceName": "22", "start": [50_313_000], "end": [50_314_000]}

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"the official Beacon schemas are not at {FOLDER}")


def test_a_germline_node_conforms(node: str) -> None:
    validator = Validator(f"{node}/beacon/v2", Schemas(FOLDER), (KEY,), ids=1, terms=8, records=2)
    assert "\n".join(validator.run()) == ""
    assert validator.checks > 1_000


def test_the_validator_finds_what_is_wrong() -> None:
    schemas = Schemas(FOLDER)
    sound: dict[str, Any] = {
        "meta": {
            "beaconId": "org.example",
            "apiVersion": "v2.1.1",
            "returnedSchemas": [{"entityType": "individual", "schema": "ga4gh-beacon-individual-v2.0.0"}],
            "returnedGranularity": "count",
            "receivedRequestSummary": {
                "apiVersion": "v2.1.1",
                "requestedSchemas": [],
                "pagination": {"skip": 0, "limit": 10},
                "requestedGranularity": "count",
            },
        },
        "responseSummary": {"exists": True, "numTotalResults": 3},
    }
    validator = Validator("http://127.0.0.1:9", schemas)
    validator.answer(sound, "individual", "count", "sound")
    assert validator.failures == []
    broken = [
        {**sound, "responseSummary": {"exists": True}},
        {**sound, "responseSummary": {"exists": False, "numTotalResults": 3}},
        {**sound, "meta": {**sound["meta"], "returnedGranularity": "record"}},
        {
            **sound,
            "response": {"resultSets": [{"id": "a", "setType": "dataset", "exists": True, "resultsCount": 9, "results": []}]},
        },
    ]
    for document in broken:
        try:
            validator.answer(document, "individual", "count", "broken")
        except KeyError:
            validator.failures.append("a required member is missing")
        assert validator.failures, document
        validator.failures.clear()
