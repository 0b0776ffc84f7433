"""Who carries a variant: tumours kept apart from germline, mutation lists as the MAF has them, structural variants."""

from __future__ import annotations

import csv
import gzip
import subprocess
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from cohelix.bank.bank import Bank
from cohelix.bank.cases import NOT_COUNTED
from cohelix.bank.load import LoadRequest, load
from cohelix.bank.operator_counts import OperatorCounts
from cohelix.bank.questions import Criterion, PeopleQuery, VariantQuery
from cohelix.core.errors import BadUsage
from cohelix.core.genome import Assembly, Region
from cohelix.core.ids import DatasetId, NodeId
from cohelix.core.variant import VariantKey

MAPPING = """
biosample: Tumor_Sample_Barcode
diseases: [{column: FAB_classification}]
measurements: [{column: days_to_last_followup, name: follow-up, unit: d}]
ignore: [Overall_Survival_Status]
missing: ["-Inf"]
"""


@pytest.fixture(scope="module")
def laml(shared_data: Path, tmp_path_factory):
    """TCGA-LAML as an open and as a floored dataset, and the MAF's rows."""
    folder, source = tmp_path_factory.mktemp("laml"), shared_data / "cancer-tcga-laml"
    (folder / "node").mkdir()
    (folder / "m.yaml").write_text(MAPPING)
    for dataset, disclosure in (("open", "open"), ("floored", "floored")):
        request = LoadRequest(
            DatasetId(dataset),
            (source / "tcga_laml.maf.gz",),
            Assembly.GRCH37,
            individuals=source / "tcga_laml_annot.tsv",
            mapping=folder / "m.yaml",
            disclosure=disclosure,
        )
        load(folder / "node", request)
    with gzip.open(source / "tcga_laml.maf.gz", "rt") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return folder / "node", Bank.open(folder / "node", NodeId("FI")), rows


def people_of(view, **wanted) -> int:
    query = VariantQuery(wanted.pop("contig", None), **wanted)
    return view.count_people(PeopleQuery(carries=query)).count


def test_tumours_of_each_gene_are_those_of_the_maf(laml) -> None:
    _, bank, rows = laml
    tumours = defaultdict(set)
    for row in rows:
        tumours[row["Hugo_Symbol"]].add(row["Tumor_Sample_Barcode"])
    view = bank.view(DatasetId("open"))
    genes = sorted(tumours, key=lambda gene: -len(tumours[gene]))
    assert (genes[0], len(tumours["FLT3"])) == ("FLT3", 52)
    for gene in [*genes[:60], *genes[60::25]]:
        assert people_of(view, gene=gene) == len(tumours[gene]), gene
    assert people_of(view, gene="flt3", origin="somatic") == 52
    assert people_of(view, gene="FLT3", origin="germline") == 0


def test_tumours_of_each_hotspot_are_those_of_the_maf(laml, shared_data: Path) -> None:
    _, bank, rows = laml
    view = bank.view(DatasetId("open"))
    by_variant, by_change = defaultdict(set), defaultdict(set)
    for row in rows:
        contig = {"23": "X"}.get(row["Chromosome"], row["Chromosome"])
        place = (contig, int(row["Start_Position"]), row["Reference_Allele"], row["Tumor_Seq_Allele2"])
        by_variant[place].add(row["Tumor_Sample_Barcode"])
        by_change[row["Hugo_Symbol"], row["Protein_Change"].removeprefix("p.")].add(row["Tumor_Sample_Barcode"])
    hotspots = shared_data / "cancer-tcga-laml" / "cancerhotspots_v2_GRCh37.tsv"
    hit = 0
    for line in hotspots.read_text().splitlines():
        contig, position, ref, alt, gene, _, change, *_ = line.split("\t")
        carriers = by_variant.get((contig, int(position), ref, alt), set())
        if not carriers and (gene, change) not in by_change:
            continue
        hit += bool(carriers)
        start = int(position) - 1
        if "-" in (ref, alt):  # without its base before, which the store does not know
            start, ref, alt = start - (alt == "-"), "N" + ref.strip("-"), "N" + alt.strip("-")
        assert people_of(view, contig=contig, start=(start, start + 1), ref=ref, alt=alt) == len(carriers)
        assert people_of(view, gene=gene, amino_acid=change) == len(by_change[gene, change]), (gene, change)
    assert hit > 30


def test_tumours_are_counted_with_what_is_known_of_their_people(laml) -> None:
    """FLT3 by FAB class, as the two tables say; rows of the clinical table without a tumour carry nothing."""
    node, bank, rows = laml
    with_flt3 = {row["Tumor_Sample_Barcode"] for row in rows if row["Hugo_Symbol"] == "FLT3"}
    view = bank.view(DatasetId("open"))
    people = view._version.people
    for class_ in ("M0", "M1", "M2", "M3", "M4", "M5"):
        having = {
            people.individual_ids[person] for term, whom in people.terms if term.code == class_ for person in whom.tolist()
        }
        query = PeopleQuery((Criterion("disease", "=", class_),), VariantQuery(None, gene="FLT3"))
        assert view.count_people(query).count == len(having & with_flt3) > 0
    # Exact counts for the operator are of every call set.
    counts = OperatorCounts(node, DatasetId("open"))
    assert sum(int(frame["ac"].sum()) for frame in counts.blocks()) == 2207
    assert counts.n_people == 193


def test_a_tumours_variants_have_no_frequency_and_are_listed_by_the_floor(laml) -> None:
    _, bank, rows = laml
    tumours = defaultdict(set)
    for row in rows:
        tumours[row["Chromosome"], row["Start_Position"], row["Reference_Allele"], row["Tumor_Seq_Allele2"]].add(
            row["Tumor_Sample_Barcode"]
        )
    everything, floored = bank.view(DatasetId("open")), bank.view(DatasetId("floored"))
    idh2 = VariantKey("15", 90631933, "C", "T")
    for view in (everything, floored):
        answer = view.frequency(idh2)
        assert (answer.status, answer.reason, answer.populations) == ("not_assessed", NOT_COUNTED["somatic"], ())
        assert view.record.content == "somatic"
    assert everything.variants(VariantQuery(None)).total == len(tumours)
    region = bank.region(Region("15", 90631900, 90632000), Assembly.GRCH37, limit=10)
    assert [(dataset.status, dataset.reason, dataset.variants) for dataset in region.datasets] == [
        ("not_assessed", NOT_COUNTED["somatic"], ())
    ] * 2
    page = floored.variants(VariantQuery(None), limit=1000)
    assert page.total == len(page.items) == sum(len(who) >= 5 for who in tumours.values()) > 0
    assert idh2 in [found.key for found in page.items]
    assert all(found.populations == () for found in page.items)
    assert floored.exists(VariantQuery("15", start=(90631933, 90631934), ref="C", alt="T"))
    assert floored.count_people(PeopleQuery(carries=VariantQuery(None, gene="FLT3"))).status == "refused"


def test_an_insertion_is_found_with_its_base_spelled_out(laml) -> None:
    """NPM1's insertion stands in the MAF as - > TCTG after 5:170837547, a G in GRCh37."""
    _, bank, rows = laml
    insertion = next(row for row in rows if row["Hugo_Symbol"] == "NPM1" and row["Tumor_Seq_Allele2"] == "TCTG")
    same = [row for row in rows if (row["Start_Position"], row["Tumor_Seq_Allele2"]) == (insertion["Start_Position"], "TCTG")]
    start = int(insertion["Start_Position"]) - 1
    view = bank.view(DatasetId("open"))
    for base in "GN":
        query = {"contig": "5", "start": (start, start + 1), "ref": base, "alt": base + "TCTG"}
        assert people_of(view, **query) == len(same) > 10


def test_what_is_known_of_a_call(laml) -> None:
    _, bank, rows = laml
    view = bank.view(DatasetId("open"))
    ((row,),) = [view.cases.candidates(VariantQuery("2", start=(25457241, 25457242), ref="C", alt="T")).tolist()]
    truth = {
        line["Tumor_Sample_Barcode"]: None if line["i_TumorVAF_WU"] == "NA" else float(line["i_TumorVAF_WU"]) / 100
        for line in rows
        if (line["Start_Position"], line["Tumor_Seq_Allele2"]) == ("25457242", "T")
    }
    found = {carrier.biosample: carrier for carrier in view.cases.carriers(row)}
    assert found.keys() == truth.keys()
    for name, carrier in found.items():
        assert (carrier.origin, carrier.zygosity) == ("somatic", "unknown")
        assert view._version.people.individual_ids[carrier.person] == name
        assert carrier.allele_fraction == pytest.approx(truth[name], abs=1e-6)


HEADER = """##fileformat=VCFv4.2
##contig=<ID=1,length=249250621>
##contig=<ID=2,length=243199373>
##INFO=<ID=END,Number=1,Type=Integer,Description="e">
##FORMAT=<ID=GT,Number=1,Type=String,Description="g">
##FORMAT=<ID=AF,Number=A,Type=Float,Description="f">
"""


def small(
    folder: Path, samples: list[str], records: list[str], table: str | None, extra: str = "", *, disclosure: str = "open"
) -> Bank:
    (folder / "node").mkdir(parents=True)
    names = "\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *samples])
    first, _, rest = HEADER.partition("\n")
    (folder / "a.vcf").write_text(
        f"{first}\n{extra}{rest}{names}\n" + "\n".join(line.replace(" ", "\t") for line in records) + "\n"
    )
    if table is not None:
        (folder / "p.tsv").write_text(table.replace(" ", "\t"))
    people = folder / "p.tsv" if table is not None else None
    load(
        folder / "node",
        LoadRequest(DatasetId("d"), (folder / "a.vcf",), Assembly.GRCH37, individuals=people, disclosure=disclosure),
    )
    return Bank.open(folder / "node", NodeId("FI"))


def test_a_tumour_among_germline_call_sets_is_asked_for_by_origin(tmp_path: Path) -> None:
    table = "biosample_id individual_id sample_type\nn1 P1 normal\nt1 P1 tumour\nn2 P2 normal\n"
    records = ["1 1000 . A G . . . GT:AF 0/0:0 0/1:0.3 0/1:0.5", "1 2000 . C T . . . GT:AF 0/1:0.5 0/1:0.6 0/0:0"]
    view = small(tmp_path, ["n1", "t1", "n2"], records, table).view(DatasetId("d"))
    first, second = (VariantKey("1", 999, "A", "G"), VariantKey("1", 1999, "C", "T"))
    assert view.record.content == "germline"
    assert view.frequency(first).populations[0].allele_count == 1
    assert view.frequency(second).populations[0].allele_count == 1

    def carrying(key: VariantKey, origin=None) -> list[int]:
        query = VariantQuery("1", start=(key.position, key.end), ref=key.ref, alt=key.alt, origin=origin)
        return np.flatnonzero(view.people_meeting(PeopleQuery(carries=query))).tolist()

    assert (carrying(first), carrying(first, "germline"), carrying(first, "somatic")) == ([1], [1], [0])
    assert (carrying(second), carrying(second, "somatic")) == ([0], [0])
    calls = [(c.biosample, c.origin, c.zygosity, c.allele_fraction) for c in view.cases.carriers(0)]
    assert calls == [("t1", "somatic", "heterozygous", pytest.approx(0.3)), ("n2", "germline", "heterozygous", None)]
    assert [c.biosample for c in view.cases.carriers(0, limit=1)] == ["t1"]
    assert [c.biosample for c in view.cases.carriers(0, among=np.array([True, False, True]), limit=1)] == ["n2"]


@pytest.mark.parametrize("tumours", [0, 1, 4, 5, 20])
def test_an_origin_that_few_have_is_told_of_no_floored_dataset(tmp_path: Path, tumours: int) -> None:
    table = "biosample_id individual_id sample_type\n" + "".join(f"n{i} P{i} normal\n" for i in range(40))
    table += "".join(f"t{i} P{i} tumour\n" for i in range(20))
    calls = ["0/1" if i % 2 else "0/0" for i in range(40)] + ["0/1" if i < tumours else "0/0" for i in range(20)]
    names = [*(f"n{i}" for i in range(40)), *(f"t{i}" for i in range(20))]
    bank = small(tmp_path, names, ["1 1000 . A G . . . GT " + " ".join(calls)], table, disclosure="floored")
    view = bank.view(DatasetId("d"))
    assert view.exists(VariantQuery("1", overlaps=Region("1", 0, 2000), origin="germline"))
    assert view.exists(VariantQuery("1", overlaps=Region("1", 0, 2000), origin="somatic")) == (tumours >= 5)


def test_tumours_with_their_normals_are_a_somatic_dataset(tmp_path: Path) -> None:
    table = "biosample_id individual_id sample_type\nTUMOR P1 tumour\nNORMAL P1 normal\n"
    records = ["1 1000 . A G . . . GT:AF 0/0:0 0/1:0.3", "1 2000 . C T . . . GT:AF 0/1:0.5 0/1:0.6"]
    for name, people, marks in (("t", table, ""), ("h", None, "##tumor_sample=TUMOR\n")):
        view = small(tmp_path / name, ["NORMAL", "TUMOR"], records, people, marks).view(DatasetId("d"))
        assert view.record.content == "somatic"
        assert view.frequency(VariantKey("1", 999, "A", "G")).status == "not_assessed"
        somatic = [(c.biosample, c.allele_fraction) for c in view.cases.carriers(0)]
        assert somatic == [("TUMOR", pytest.approx(0.3))]
        assert view.variants(VariantQuery(None, origin="germline")).total == 1
        assert view.variants(VariantQuery(None, origin="somatic")).total == 2
    assert len({carrier.person for carrier in view.cases.carriers(1)}) == 2  # nobody said that they are one


def test_breakends_are_found_from_either_side(tmp_path: Path) -> None:
    records = [
        "1 1000 . A A[2:5000[ . . . GT 0/1",
        "1 2000 . A ]1:9000]A . . . GT 0/1",
        "2 100 . A <DEL> . . END=200 GT 0/1",
        "2 5100 . A G . . . GT 0/1",
    ]
    view = small(tmp_path, ["s"], records, None).view(DatasetId("d"))

    def keys(**wanted) -> list[str]:
        return [str(found.key) for found in view.variants(VariantQuery(wanted.pop("contig", None), **wanted)).items]

    joined, within = "1-1000-A-A[2:5000[", "1-2000-A-]1:9000]A"
    assert keys(contig="2", overlaps=Region("2", 4990, 5010)) == [joined]
    assert keys(contig="2", overlaps=Region("2", 4990, 5200)) == [joined, "2-5100-A-G"]
    assert keys(contig="2", mate_contig="1") == keys(contig="1", mate_contig="2") == [joined]
    assert keys(contig="1", mate_contig="1") == [within]
    assert keys(contig="1", overlaps=Region("1", 8000, 9500)) == [within]
    assert keys(variant_type="BND") == [joined, within]
    assert keys(variant_type="SV", min_length=100, max_length=100) == ["2-100-A-<DEL>"]
    assert keys(contig="2", overlaps=Region("2", 150, 151)) == ["2-100-A-<DEL>"]


def test_a_block_of_a_gvcf_answers_for_its_positions_and_is_no_variant(tmp_path: Path) -> None:
    records = ["1 1000 . A <NON_REF> . . END=1100 GT 0/0 ./.", "1 1101 . A G,<NON_REF> . . . GT 0/1 0/0"]
    view = small(tmp_path, ["s", "t"], records, None).view(DatasetId("d"))
    inside = view.frequency(VariantKey("1", 1049, "C", "T"))
    assert inside.status == "answered"
    assert (inside.populations[0].allele_count, inside.populations[0].allele_number) == (0, 2)
    assert view.frequency(VariantKey("1", 1200, "C", "T")).status == "not_assessed"
    assert [str(found.key) for found in view.variants(VariantQuery(None)).items] == ["1-1101-A-G"]
    assert view.variants(VariantQuery(None, variant_type="SV")).total == 0


def test_structural_variants_of_1000_genomes_equal_a_scan(shared_data: Path, tmp_path: Path, referee) -> None:
    """Types, overlaps and lengths of the symbolic alleles, against bcftools' own reading of POS, END and SVLEN."""
    source = next((shared_data / "kg3-chr22-cen").glob("*.bcf"))
    symbolic = tmp_path / "sv.bcf"
    subprocess.run([referee("bcftools"), "view", "-i", 'ALT~"<"', "-Ob", "-o", symbolic, source], check=True)
    text = subprocess.run(
        [referee("bcftools"), "query", "-f", "%POS\t%ALT\t%INFO/END\t%INFO/SVLEN\n", symbolic],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    truth = []
    for line in text.splitlines():
        position, alts, end, length = line.split("\t")
        truth += [(int(position), int(end), alt, length) for alt in alts.split(",")]
    assert len(truth) >= 8
    (tmp_path / "node").mkdir()
    load(tmp_path / "node", LoadRequest(DatasetId("d"), (symbolic,), Assembly.GRCH37, disclosure="open"))
    view = Bank.open(tmp_path / "node", NodeId("FI")).view(DatasetId("d"))

    def found(**wanted) -> list[tuple[int, int, str]]:
        page = view.variants(VariantQuery("22", **wanted), limit=1000)
        return sorted((item.key.position + 1, item.end, item.key.alt) for item in page.items)

    assert found() == sorted(item[:3] for item in truth)
    assert found(variant_type="DEL") == sorted(item[:3] for item in truth if item[2] == "<CN0>")
    assert found(variant_type="DUP") == sorted(item[:3] for item in truth if item[2] in ("<CN3>", "<CN4>"))
    for start in range(16_050_000, 16_660_000, 7_001):
        expected = sorted(item[:3] for item in truth if item[0] - 1 < start + 500 and item[1] > start)
        assert found(overlaps=Region("22", start, start + 500)) == expected
    for _, _, _, length in truth:
        if length not in (".", "-35358"):
            size = abs(int(length))
            spans = sorted(item[:3] for item in truth if abs(item[1] - item[0] - size) <= 5)
            assert found(min_length=size - 5, max_length=size + 5) == spans != []


def test_a_maf_and_genotypes_are_two_datasets(tmp_path: Path) -> None:
    (tmp_path / "node").mkdir()
    (tmp_path / "a.maf").write_text("Hugo_Symbol\tChromosome\tTumor_Sample_Barcode\n")
    (tmp_path / "b.vcf").write_text(HEADER)
    files = (tmp_path / "a.maf", tmp_path / "b.vcf")
    with pytest.raises(BadUsage, match="two datasets"):
        load(tmp_path / "node", LoadRequest(DatasetId("d"), files, Assembly.GRCH37))
