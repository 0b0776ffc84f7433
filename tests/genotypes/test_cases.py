"""Allele fractions, tumours' own calls, breakends and their mates: from files to what is known of each call."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from cohelix.core.errors import BadFile
from cohelix.core.genome import Assembly, Region
from cohelix.core.reported import ReportedCall
from cohelix.genotypes.fractions import CallDetail, CallDetails, rewrite_cases, write_cases
from cohelix.genotypes.load import load_genotypes
from cohelix.genotypes.reported import load_reported
from cohelix.genotypes.store import open_store
from cohelix.genotypes.structural import Mate, Mates, mate_of, types_of, write_mates
from cohelix.genotypes.vcf_fractions import read_fractions, tumour_columns

HEADER = "\n".join(
    [
        "##fileformat=VCFv4.2",
        "{extra}##contig=<ID=1,length=249250621>",
        "##contig=<ID=2,length=243199373>",
        "##contig=<ID=MT,length=16569>",
        '##FILTER=<ID=weak,Description="w">',
        '##INFO=<ID=END,Number=1,Type=Integer,Description="e">',
        '##INFO=<ID=SVTYPE,Number=1,Type=String,Description="t">',
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="g">',
        '##FORMAT=<ID=AF,Number=A,Type=Float,Description="f">',
        '##FORMAT=<ID=AD,Number=R,Type=Integer,Description="d">',
        '##FORMAT=<ID=FREQ,Number=1,Type=String,Description="f">',
        *(f'##FORMAT=<ID={base}U,Number=2,Type=Integer,Description="u">' for base in "ACGT"),
        '##FORMAT=<ID=TAR,Number=2,Type=Integer,Description="r">',
        '##FORMAT=<ID=TIR,Number=2,Type=Integer,Description="i">',
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t{samples}",
    ]
)


def write_vcf(path: Path, records: list[str], samples: str = "NORMAL TUMOR", extra: str = "") -> Path:
    lines = [HEADER.format(extra=extra, samples=samples.replace(" ", "\t")), *(line.replace(" ", "\t") for line in records)]
    path.write_text("\n".join(lines) + "\n")
    return path


def loaded(path: Path, folder: Path):
    load_genotypes([path], folder, assembly=Assembly.GRCH37)
    return open_store(folder)


def test_fractions_of_mutect2_are_those_of_the_tumour(tmp_path: Path) -> None:
    records = [
        "1 1000 . A G . PASS . GT:AF:AD 0/0:0.01:99,1 0/1:0.25:75,25",
        "1 2000 . C T,G . PASS . GT:AD 0/0:9,0,0 0/1/2:50,30,20",
        "1 3000 . CAA CA . weak . GT:AF 0/0:0 0/1:0.5",
        "1 4000 . C T . PASS . GT:FREQ 0/0:0% 0/1:12.5%",
        "1 5000 . C T . PASS . GT:AF 0/0:0 0/0:0.002",
    ]
    records[1] = records[1].replace("0/1/2", "1/2")
    path = write_vcf(tmp_path / "m.vcf", records, "P1N P1T", "##tumor_sample=P1T\n##normal_sample=P1N\n")
    assert tumour_columns([path]) == {"P1T"}
    store = loaded(path, tmp_path / "s")
    found = read_fractions([path], store, tumours=frozenset({"P1T"}))
    assert [(d.row, d.sample, round(d.fraction, 4), d.zygosity) for d in found.details] == [
        (0, 1, 0.25, None),
        (1, 1, 0.3, None),
        (2, 1, 0.2, None),
        (3, 1, 0.5, None),
        (4, 1, 0.125, None),
    ]


def test_strelkas_calls_without_genotypes_are_carried_by_the_tumour(tmp_path: Path) -> None:
    records = [
        "1 1000 . A G . PASS . AU:CU:GU:TU 40,41:0,0:0,0:0,0 30,30:0,0:10,12:0,0",
        "1 2000 . AT A . PASS . TAR:TIR 40,41:0,0 15,15:5,5",
        "1 3000 . C T . weak . AU:CU:GU:TU 0,0:9,9:0,0:0,0 0,0:9,9:0,0:1,1",
    ]
    path = write_vcf(tmp_path / "s.vcf", records)
    assert tumour_columns([path]) == {"TUMOR"}
    store = loaded(path, tmp_path / "s")
    found = read_fractions([path], store, tumours=frozenset({"TUMOR"}))
    assert found.details == (
        CallDetail(0, 1, 0.25, "unknown", "somatic"),
        CallDetail(1, 1, 0.25, "unknown", "somatic"),
        CallDetail(2, 1, 0.1, "unknown", "somatic"),
    )
    packed = tmp_path / "s.vcf.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert tumour_columns([packed]) == {"TUMOR"}
    assert read_fractions([packed], store, tumours=frozenset({"TUMOR"})) == found
    passing = read_fractions([path], store, tumours=frozenset({"TUMOR"}), passing_only=True)
    assert [detail.row for detail in passing.details] == [0, 1]


def test_heteroplasmy_is_kept_of_everybody_on_mt_alone(tmp_path: Path) -> None:
    records = [
        "1 1000 . A G . PASS . GT:AF 0/1:0.5 0/1:0.5",
        "MT 3243 . A G . PASS . GT:AF 0/1:0.37 1:0.99",
        "MT 8993 . T C,G . PASS . GT:AD 0/2:60,0,40 0:9,0,0",
    ]
    path = write_vcf(tmp_path / "mt.vcf", records, "P1 P2")
    assert not tumour_columns([path])
    found = read_fractions([path], loaded(path, tmp_path / "s"), tumours=frozenset())
    assert [(d.row, d.sample, round(d.fraction, 4)) for d in found.details] == [(1, 0, 0.37), (1, 1, 0.99), (3, 0, 0.4)]


def test_details_come_back_and_follow_new_numbers(tmp_path: Path) -> None:
    unplaced = ReportedCall("b", "", 0, "", "", gene="FLT3", hgvs=("p.D835Y",), origin="somatic")
    details = [CallDetail(7, 2, 0.5, None, "somatic"), CallDetail(3, 1, None, "unknown", None), CallDetail(3, 0, 0.25)]
    write_cases(details, [(2, unplaced)], {"T", "GONE"}, tmp_path / "a")
    opened = CallDetails.open(tmp_path / "a")
    assert opened.of(3) == {0: CallDetail(3, 0, 0.25), 1: CallDetail(3, 1, None, "unknown")}
    assert opened.of(4) == {}
    assert opened.tumours == {"T", "GONE"}
    assert (opened.unplaced[0].sample, opened.unplaced[0].gene, opened.unplaced[0].hgvs) == (2, "FLT3", ("p.D835Y",))
    rows = np.arange(8) - 3
    row_of = np.where(rows >= 0, rows, -1)
    rewrite_cases(tmp_path / "a", tmp_path / "b", sample_of=np.array([-1, 1, 0]), row_of=row_of, names=("T", "N"))
    again = CallDetails.open(tmp_path / "b")
    assert again.tumours == {"T"}
    assert not any(b"GONE" in path.read_bytes() for path in (tmp_path / "b").iterdir())
    assert again.of(0) == {1: CallDetail(0, 1, None, "unknown")}
    assert again.of(4) == {0: CallDetail(4, 0, 0.5, None, "somatic")}
    assert [call.sample for call in again.unplaced] == [0]
    assert CallDetails.open(tmp_path / "absent").of(0) == {}


def test_repeated_calls_are_one_and_calls_without_a_place_are_kept(tmp_path: Path) -> None:
    calls = [
        ReportedCall("b", "1", 99, "CA", "CT", gene="G"),
        ReportedCall("b", "chr1", 100, "A", "T", zygosity="homozygous", allele_fraction=0.5),
        ReportedCall("a", "1", 100, "a", "t", zygosity="heterozygous"),
        ReportedCall("c", "X", 5, "A", "AG", zygosity="hemizygous"),
        ReportedCall("d", "", 0, "", "", gene="H"),
    ]
    made = load_reported(calls, tmp_path / "s", assembly=Assembly.GRCH38)
    store = open_store(tmp_path / "s")
    assert [str(store.key(row)) for row in range(2)] == ["1-101-A-T", "X-6-A-AG"]
    assert store.info.samples == ("b", "a", "c", "d")
    counts = store.allele_counts(range(2))
    assert (counts.an.tolist(), counts.ac.tolist(), counts.hemi.tolist(), counts.missing.tolist()) == (
        [4, 1],
        [3, 1],
        [0, 1],
        [2, 3],
    )
    assert made.rows[0][0].gene == "G"
    assert (made.rows[0][0].zygosity, made.rows[0][0].allele_fraction) == ("homozygous", 0.5)
    assert [(column, call.gene) for column, call in made.unplaced] == [(3, "H")]
    assert any("1 calls repeat" in warning for warning in made.report.warnings)


@pytest.mark.parametrize(
    "call",
    [
        ReportedCall("a", "1", -1, "A", "T", line="packet 7"),
        ReportedCall("a", "1", 300_000_000, "A", "T", line="packet 7"),
        ReportedCall("a", "99", 1, "A", "T", line="packet 7"),
        ReportedCall("a", "1", 1, "A", "A", line="packet 7"),
        ReportedCall("a", "1", 1, "", "", line="packet 7"),
    ],
)
def test_a_call_that_cannot_be_meant_is_refused_with_its_place(tmp_path: Path, call: ReportedCall) -> None:
    with pytest.raises(BadFile, match="packet 7"):
        load_reported([call], tmp_path / "s", assembly=Assembly.GRCH38)


@pytest.mark.parametrize(
    ("alt", "mate"),
    [
        ("G]17:198982]", Mate("17", 198981)),
        ("]13:123456]T", Mate("13", 123455)),
        ("[chrX:5[A", Mate("X", 4)),
        ("C[<HLA-A*01:01>:7[", Mate("HLA-A*01:01", 6)),
        ("G]17:0]", None),
        ("G.", None),
        ("<DEL>", None),
        ("T", None),
    ],
)
def test_a_mate_is_read_from_alt(alt: str, mate: Mate | None) -> None:
    assert mate_of(alt) == mate


def test_types_of_symbolic_alleles() -> None:
    for alt, wanted, not_wanted in (
        ("<DEL>", {"DEL", "SV"}, {"CNV"}),
        ("<DUP:TANDEM>", {"DUP", "DUP:TANDEM"}, {"DEL"}),
        ("<CN0>", {"CNV", "DEL", "CN0"}, {"DUP"}),
        ("<CN3>", {"CNV", "DUP"}, {"DEL"}),
        ("<CN1>", {"CNV"}, {"DEL", "DUP"}),
        ("<STR27>", {"STR", "STR27", "SV"}, {"CNV"}),
        ("<CNV:TR>", {"CNV", "STR", "TR"}, {"DEL"}),
        ("<INS:ME:ALU>", {"INS"}, {"DEL"}),
        ("G]17:1]", {"BND", "SV"}, {"DEL"}),
        ("G.", {"BND"}, set()),
    ):
        found = types_of(alt)
        assert wanted <= found
        assert not not_wanted & found
    assert {types_of(alt) for alt in ("ACG", ".", "*", "<NON_REF>", "<*>")} == {frozenset()}


def test_breakends_are_found_from_the_far_side(tmp_path: Path) -> None:
    records = [
        "1 1000 . A A[2:5000[ . PASS SVTYPE=BND GT 0/1",
        "1 2000 . A G . PASS . GT 0/1",
        "1 3000 . A ]2:7000]A . PASS SVTYPE=BND GT 0/1",
        "2 5000 . C ]1:1000]C . PASS SVTYPE=BND GT 0/1",
    ]
    store = loaded(write_vcf(tmp_path / "b.vcf", records, "P1"), tmp_path / "s")
    assert write_mates(tmp_path / "s", tmp_path / "cases") == 3
    mates = Mates.open(tmp_path / "cases")
    assert mates.rows_within(Region("2", 4999, 5000)).tolist() == [0]
    assert mates.rows_within(Region("2", 0, 10_000)).tolist() == [0, 2]
    assert mates.rows_with("1").tolist() == [3]
    assert not mates.rows_within(Region("7", 0, 10_000)).size
    assert store.info.n_variants == 4
    assert write_mates(tmp_path / "s", tmp_path / "cases") == 3
