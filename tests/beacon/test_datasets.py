"""Datasets as collections: what a record says, of each disclosure."""

from __future__ import annotations

from typing import Any


def test_records_say_what_anybody_may_know(beacon: Any) -> None:
    answer = beacon.get("/datasets").json()
    assert answer["meta"]["returnedGranularity"] == "record"
    found = {record["id"]: record["info"] for record in answer["response"]["collections"]}
    assert set(found) == {"ZZ:open", "ZZ:floored", "ZZ:closed", "ZZ:new"}
    assert (found["ZZ:open"]["nIndividuals"], found["ZZ:floored"]["nIndividuals"], found["ZZ:closed"]["nIndividuals"]) == (
        64,
        60,
        None,
    )
    assert found["ZZ:floored"]["nVariants"] is None
    assert found["ZZ:closed"]["populations"] == []
    assert found["ZZ:new"]["assembly"] == "GRCh38"


def test_pages_ids_and_granularity(beacon: Any) -> None:
    second = beacon.get("/datasets", skip=1, limit=3).json()
    assert len(second["response"]["collections"]) == 1
    assert second["responseSummary"] == {"exists": True, "numTotalResults": 4}
    for name in ("ZZ:floored", "floored"):
        assert beacon.get(f"/datasets/{name}").json()["response"]["collections"][0]["id"] == "ZZ:floored"
    assert beacon.get("/datasets", requestedGranularity="boolean").json()["responseSummary"] == {"exists": True}
    assert beacon.post("/datasets", None, filters=[{"id": "x"}]).status_code == 400
    assert beacon.get("/datasets", geneId="CRELD2").status_code == 400
