"""Mutation lists: what is read of them, what is refused, and the 2,207 variants of TCGA-LAML in a store."""

from __future__ import annotations

import csv
import gzip
import random
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from cohelix.core.errors import AssemblyMismatch, BadFile
from cohelix.core.genome import Assembly
from cohelix.core.reported import ReportedCall
from cohelix.core.variant import VariantKey
from cohelix.genotypes.maf import is_maf, read_maf
from cohelix.genotypes.reported import load_reported
from cohelix.genotypes.store import open_store

GOOD = {
    "Hugo_Symbol": "DNMT3A",
    "NCBI_Build": "GRCh37",
    "Chromosome": "chr2",
    "Start_Position": "25457242",
    "End_Position": "25457242",
    "Strand": "+",
    "Variant_Classification": "Missense_Mutation",
    "Reference_Allele": "C",
    "Tumor_Seq_Allele1": "C",
    "Tumor_Seq_Allele2": "T",
    "Tumor_Sample_Barcode": "T1",
    "HGVSp_Short": "p.R882H",
    "HGVSc": "c.2645G>A",
    "Transcript_ID": "ENST00000264709",
    "t_ref_count": "30",
    "t_alt_count": "10",
}
COLUMNS = list(GOOD)


def write(path: Path, *rows: dict[str, str], columns: list[str] = COLUMNS, before: str = "#version gdc-1.0.0\n") -> Path:
    lines = ["\t".join(columns), *("\t".join((GOOD | row).get(name, "") for name in columns) for row in rows)]
    text = (before + "\n".join(lines) + "\n").encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def only(path: Path) -> ReportedCall:
    (call,) = read_maf(path, assembly=Assembly.GRCH37)
    return call


@pytest.mark.parametrize("name", ["gdc.maf", "gdc.maf.gz"])
def test_a_row_of_gdc_is_read_whole(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, {})
    assert is_maf(path)
    assert only(path) == ReportedCall(
        biosample="T1",
        contig="2",
        position_0=25457241,
        ref="C",
        alt="T",
        origin="somatic",
        gene="DNMT3A",
        hgvs=("p.R882H", "ENST00000264709:c.2645G>A"),
        consequence="missense_variant",
        allele_fraction=0.25,
        line="line 3",
    )


def test_older_columns_and_fractions_in_per_cent_are_read(tmp_path: Path) -> None:
    columns = [name for name in COLUMNS if not name.startswith(("HGVS", "t_"))] + ["Protein_Change", "i_TumorVAF_WU"]
    columns[columns.index("End_Position")] = "End_position"
    rows = ({"Protein_Change": "p.R882H", "i_TumorVAF_WU": value} for value in ("45.66", "0.5", "NA", ""))
    path = write(
        tmp_path / "old.maf", *({**row, "End_position": "25457242", "Chromosome": "23"} for row in rows), columns=columns
    )
    calls = list(read_maf(path, assembly=Assembly.GRCH37))
    assert [call.allele_fraction for call in calls] == pytest.approx([0.4566, 0.005, None, None])
    assert {call.contig for call in calls} == {"X"}
    assert calls[0].hgvs == ("p.R882H",)


def test_two_different_alts_are_two_calls_and_two_copies_are_homozygous(tmp_path: Path) -> None:
    path = write(tmp_path / "m.maf", {"Tumor_Seq_Allele1": "G"}, {"Tumor_Seq_Allele1": "T"}, {"Tumor_Seq_Allele1": ""})
    calls = list(read_maf(path, assembly=Assembly.GRCH37))
    assert [(call.alt, call.zygosity) for call in calls] == [
        ("T", "unknown"),
        ("G", "unknown"),
        ("T", "homozygous"),
        ("T", "unknown"),
    ]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"NCBI_Build": "38"}, "NCBI_Build is '38', not GRCh37"),
        ({"NCBI_Build": "hg18"}, "NCBI_Build is 'hg18'"),
        ({"Chromosome": "27"}, "GRCh37 has no contig '27'"),
        ({"Chromosome": ""}, "no contig"),
        ({"Start_Position": "0"}, "not a position"),
        ({"Start_Position": "1e6"}, "not a position"),
        ({"End_Position": "25457244"}, "do not fit Reference_Allele"),
        ({"Start_Position": "243199374", "End_Position": "243199374"}, "beyond the end of contig 2"),
        ({"Reference_Allele": "-", "Tumor_Seq_Allele1": "-", "End_Position": "25457250"}, "do not fit Reference_Allele"),
        ({"Strand": "-"}, "Strand is '-'"),
        ({"Tumor_Seq_Allele2": "<DEL>"}, "not an allele"),
        ({"Tumor_Seq_Allele2": "C"}, "the tumour's alleles are the reference allele"),
        ({"Tumor_Sample_Barcode": ""}, "Tumor_Sample_Barcode is missing"),
        ({"t_alt_count": "-3"}, "not a number of reads"),
        ({"t_alt_count": "many"}, "not a number of reads"),
    ],
)
def test_a_malformed_row_is_refused_with_its_line(tmp_path: Path, row: dict[str, str], says: str) -> None:
    path = write(tmp_path / "bad.maf", {}, row)
    with pytest.raises(BadFile) as refusal:
        list(read_maf(path, assembly=Assembly.GRCH37))
    assert "line 4" in refusal.value.detail
    assert says in refusal.value.detail
    assert isinstance(refusal.value, AssemblyMismatch) == ("NCBI_Build" in says)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file is empty"),
        (b"#only a comment\n", "the file is empty"),
        ("\t".join(COLUMNS).encode() + b"\n", "a header and no rows"),
        ("\t".join(COLUMNS).encode() + b"\nA\tB\n", "2 columns"),
        ("\t".join(COLUMNS).replace("NCBI_Build", "Build").encode() + b"\n", "no column NCBI_Build"),
        (("\t".join([*COLUMNS, COLUMNS[0]])).encode() + b"\n", "comes twice"),
        ("\t".join(COLUMNS).encode() + b"\n\xff\xfe\n", "not in UTF-8"),
        (b"x" * ((1 << 20) + 7), "the line does not end"),
        (gzip.compress(("\t".join(COLUMNS) + "\n").encode())[:-20], "cut off or damaged"),
    ],
)
def test_a_malformed_file_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "bad.maf"
    path.write_bytes(content)
    with pytest.raises(BadFile) as refusal:
        list(read_maf(path, assembly=Assembly.GRCH37))
    assert says in refusal.value.detail


@pytest.mark.parametrize("seed", range(4))
def test_a_file_with_changed_bytes_is_read_or_refused(tmp_path: Path, seed: int) -> None:
    """Bytes changed, lost, repeated or cut off, plain and within gzip: calls of the assembly, or a refusal."""
    rng = random.Random(seed)
    path = write(tmp_path / ("a.maf.gz" if seed % 2 else "a.maf"), *({"Tumor_Sample_Barcode": f"T{i}"} for i in range(6)))
    good, refused = path.read_bytes(), 0
    for _ in range(120):
        content = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(content))
            content[at : at + rng.choice([0, 1, 1, 9])] = rng.choice(
                [b"", b"\t", b"\n", b"-", b"9", bytes([rng.randrange(256)])]
            )
        path.write_bytes(bytes(content[: rng.choice([len(content), rng.randrange(len(content))])]))
        try:
            made = load_reported(
                read_maf(path, assembly=Assembly.GRCH37), tmp_path / f"{rng.random()}", assembly=Assembly.GRCH37, path=path
            )
        except BadFile as refusal:
            refused += 1
            assert refusal.expected
            continue
        assert made.report.variants > 0
    assert 20 < refused <= 120


def test_other_files_are_no_maf(tmp_path: Path) -> None:
    for name, content in (
        ("a.vcf", b"##fileformat=VCFv4.2\n"),
        ("b.tsv", b"sample\tsex\n"),
        ("c.gz", b"\x1f\x8bxx"),
        ("d", b""),
    ):
        (tmp_path / name).write_bytes(content)
        assert not is_maf(tmp_path / name)
    assert not is_maf(tmp_path)
    assert not is_maf(tmp_path / "absent")


def test_indels_get_the_base_before_them_from_the_reference(tmp_path: Path) -> None:
    """chr MT is short enough to write: GATCACAGGT…; the reference left-aligns, without it the base is N."""
    bases = "GATCACAGGTCTATCACCCTATTAACCACTCACGGGAGCTCTCCATGCAT" + "N" * (16569 - 50)
    fasta = tmp_path / "mt.fa"
    fasta.write_text(">MT\n" + "\n".join(bases[i : i + 60] for i in range(0, len(bases), 60)) + "\n")
    row = {"Chromosome": "MT", "Tumor_Seq_Allele1": ""}
    deletion = row | {"Start_Position": "19", "End_Position": "19", "Reference_Allele": "C", "Tumor_Seq_Allele2": "-"}
    insertion = row | {"Start_Position": "19", "End_Position": "20", "Reference_Allele": "-", "Tumor_Seq_Allele2": "C"}
    first = row | {"Start_Position": "1", "End_Position": "1", "Reference_Allele": "G", "Tumor_Seq_Allele2": "-"}
    path = write(tmp_path / "i.maf", deletion, insertion, first)

    def keys(folder: str, reference: Path | None) -> list[VariantKey]:
        calls = read_maf(path, assembly=Assembly.GRCH37)
        load_reported(calls, tmp_path / folder, assembly=Assembly.GRCH37, reference=reference)
        store = open_store(tmp_path / folder)
        return [store.key(row) for row in store.contig_rows("MT")]

    assert keys("plain", None) == [
        VariantKey("MT", 0, "GN", "N"),
        VariantKey("MT", 17, "NC", "N"),
        VariantKey("MT", 18, "N", "NC"),
    ]
    # Bases 17 to 19 are CCC after an A.
    assert bases[15:19] == "ACCC"
    assert keys("aligned", fasta) == [
        VariantKey("MT", 0, "GA", "A"),
        VariantKey("MT", 15, "A", "AC"),
        VariantKey("MT", 15, "AC", "A"),
    ]
    wrong = write(tmp_path / "w.maf", deletion | {"Reference_Allele": "T"})
    with pytest.raises(BadFile, match="line 3: REF is T"):
        load_reported(read_maf(wrong, assembly=Assembly.GRCH37), tmp_path / "w", assembly=Assembly.GRCH37, reference=fasta)


def test_every_variant_of_tcga_laml_is_stored(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "cancer-tcga-laml" / "tcga_laml.maf.gz"
    made = load_reported(read_maf(path, assembly=Assembly.GRCH37), tmp_path / "store", assembly=Assembly.GRCH37)
    with gzip.open(path, "rt") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    tumours = defaultdict(set)
    for row in rows:
        tumours[row["Chromosome"], row["Start_Position"], row["Reference_Allele"], row["Tumor_Seq_Allele2"]].add(
            row["Tumor_Sample_Barcode"]
        )
    store = open_store(tmp_path / "store")
    assert made.report.records == len(rows) == 2207
    assert store.info.n_variants == len(tumours) == 2091
    stored = Counter()
    for row in range(store.info.n_variants):
        stored[frozenset(store.info.samples[column] for column in store.carriers(row).sample_index)] += 1
    assert stored == Counter(map(frozenset, tumours.values()))
    fractions = {round(detail.fraction, 4) for detail in made.details if detail.fraction is not None}
    assert fractions == {round(float(row["i_TumorVAF_WU"]) / 100, 4) for row in rows if row["i_TumorVAF_WU"] != "NA"}
