"""Variants that case reports name: who carries a gene is what a naive count over the phenopackets says."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from pathlib import Path

import pytest

from cohelix.bank.bank import Bank
from cohelix.bank.cases import NOT_COUNTED
from cohelix.bank.load import LoadRequest, load
from cohelix.bank.questions import PeopleQuery, VariantQuery
from cohelix.core.genome import Assembly
from cohelix.core.ids import DatasetId, NodeId
from cohelix.core.variant import VariantKey, trim

EVERY = 8  # packets of the sample: 1,001 of 8,008


@pytest.fixture(scope="module")
def packets(shared_data: Path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packets")
    with gzip.open(shared_data / "phenopackets" / "phenopackets.ndjson.gz", "rt") as file:
        lines = [line for number, line in enumerate(file) if number % EVERY == 0]
    (folder / "p.ndjson").write_text("".join(lines))
    (folder / "node").mkdir()
    for dataset, disclosure in (("open", "open"), ("floored", "floored")):
        request = LoadRequest(DatasetId(dataset), (), Assembly.GRCH38, individuals=folder / "p.ndjson", disclosure=disclosure)
        load(folder / "node", request)
    return Bank.open(folder / "node", NodeId("GB")), [json.loads(line) for line in lines]


def descriptors(packet):
    for interpretation in packet.get("interpretations", ()):
        for item in interpretation.get("diagnosis", {}).get("genomicInterpretations", ()):
            yield item.get("variantInterpretation", {}).get("variationDescriptor", {})


def placed(packets) -> dict[VariantKey, set[str]]:
    """The packets with each GRCh38 record that is spelled in bases."""
    found = defaultdict(set)
    for packet in packets:
        for descriptor in descriptors(packet):
            record = descriptor.get("vcfRecord", {})
            if record.get("genomeAssembly") in ("hg38", "GRCh38") and record["alt"].isalpha():
                position, ref, alt = trim(int(record["pos"]) - 1, record["ref"], record["alt"])
                found[VariantKey(record["chrom"].removeprefix("chr"), position, ref, alt)].add(packet["id"])
    return found


def test_carriers_of_every_gene_equal_a_naive_count(packets) -> None:
    bank, documents = packets
    of_gene = defaultdict(set)
    for packet in documents:
        for descriptor in descriptors(packet):
            symbol = descriptor.get("geneContext", {}).get("symbol")
            if symbol:
                of_gene[symbol].add(packet["id"])
    view = bank.view(DatasetId("open"))
    assert len(of_gene) > 200
    for gene, who in of_gene.items():
        answer = view.count_people(PeopleQuery(carries=VariantQuery(None, gene=gene)))
        assert (answer.status, answer.count) == ("answered", len(who)), gene


def test_carriers_of_every_variant_equal_a_naive_count(packets) -> None:
    bank, documents = packets
    view = bank.view(DatasetId("open"))
    truth = placed(documents)
    assert len(truth) > 500
    for key, who in sorted(truth.items())[::7]:
        query = VariantQuery(key.contig, start=(key.position, key.position + 1), ref=key.ref, alt=key.alt)
        assert view.count_people(PeopleQuery(carries=query)).count == len(who), key
    assert view.record.content == "reported"
    answer = view.frequency(next(iter(truth)))
    assert (answer.status, answer.reason) == ("not_assessed", NOT_COUNTED["reported"])


def test_a_floored_dataset_lists_what_enough_people_carry(packets) -> None:
    bank, documents = packets
    enough = {key for key, who in placed(documents).items() if len(who) >= 5}
    page = bank.view(DatasetId("floored")).variants(VariantQuery(None), limit=1000)
    assert {found.key for found in page.items if found.key.alt.isalpha()} == enough != set()
