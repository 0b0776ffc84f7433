"""Calls that fail a rule become missing and are counted: GQ, DP, FILTER, in VCF and BCF, against a naive twin; gVCF blocks."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cohelix.core.genome import Assembly
from cohelix.genotypes import CallFilters
from cohelix.genotypes.load import load_genotypes
from cohelix.genotypes.store import open_store
from cohelix.testing.hard_calls import hard_call_sections

META = """##fileformat=VCFv4.2
##contig=<ID=1,length=249250621>
##contig=<ID=X,length=155270560>
##FILTER=<ID=q10,Description="q">
##FILTER=<ID=s50,Description="s">
##INFO=<ID=END,Number=1,Type=Integer,Description="e">
##FORMAT=<ID=GT,Number=1,Type=String,Description="g">
##FORMAT=<ID=GQ,Number=1,Type={kind},Description="q">
##FORMAT=<ID=DP,Number=1,Type=Integer,Description="d">
##FORMAT=<ID=AD,Number=R,Type=Integer,Description="a">
"""
COLUMNS = ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT"]


def vcf(lines: list[str], n: int, kind: str = "Integer") -> str:
    return META.format(kind=kind) + "\t".join([*COLUMNS, *(f"S{i}" for i in range(n))]) + "\n" + "\n".join(lines) + "\n"


def random_lines(seed: int, n: int, *, kind: str) -> list[str]:
    """Records with GQ and DP of every width (small, above 127, above 32,767), missing, absent, and left out at the end."""
    chooser = random.Random(seed)
    lines = []
    for i in range(120):
        contig = "1" if i < 80 else "X"
        n_alts = chooser.choice([1, 1, 2])
        fmt = chooser.choice(["GT", "GT:GQ", "GT:DP:GQ", "GT:AD:GQ:DP", "GT:DP"])
        scale = chooser.choice([30, 300, 70_000])
        cells = []
        for sample in range(n):
            one = contig == "X" and sample % 2 == 0

            def allele(top: int = n_alts) -> str:
                return chooser.choice(["0", "0", "0", ".", str(chooser.randint(1, top))])

            values = {
                "GT": allele() if one else allele() + chooser.choice("/|") + allele(),
                "GQ": chooser.choice([".", str(chooser.randrange(40)), str(chooser.randrange(scale))]),
                "DP": chooser.choice([".", str(chooser.randrange(20)), str(chooser.randrange(scale))]),
                "AD": chooser.choice([".", ",".join(["3"] * (n_alts + 1))]),
            }
            if kind == "Float" and values["GQ"] != ".":
                values["GQ"] += chooser.choice(["", ".5"])
            parts = [values[key] for key in fmt.split(":")]
            while len(parts) > 1 and chooser.random() < 0.1:
                parts.pop()  # trailing fields may be left out
            cells.append(":".join(parts))
        alts = ",".join(["C", "G"][:n_alts])
        passed = chooser.choice(["PASS", ".", "PASS", "q10", "q10;s50"])
        lines.append("\t".join([contig, str(1000 + 3 * i), ".", "A", alts, "9", passed, ".", fmt, *cells]))
    return lines


def naively(lines: list[str], rules: CallFilters) -> tuple[list[str], dict[str, int]]:
    """The lines with failing calls written as missing, and how many called ones there were by reason."""
    made, failed = [], {"filter": 0, "gq": 0, "dp": 0}
    for line in lines:
        fields = line.split("\t")
        names = fields[8].split(":")
        for column in range(9, len(fields)):
            values = dict(zip(names, fields[column].split(":"), strict=False))
            reason = None
            if rules.filter_policy == "pass" and fields[6] not in ("PASS", "."):
                reason = "filter"
            for name, least in (("DP", rules.min_dp), ("GQ", rules.min_gq)):
                value = values.get(name, ".")
                if reason != "filter" and least is not None and value != "." and float(value) < least:
                    reason = name.lower()
            call = values["GT"]
            if reason and set(call) & set("0123456789"):
                failed[reason] += 1
            fields[column] = call if not reason else "." if len(call) == 1 else "./."
        fields[6], fields[8] = "PASS", "GT"
        made.append("\t".join(fields))
    return made, failed


@pytest.mark.parametrize(
    "rules", [CallFilters(20), CallFilters(None, 10), CallFilters(20, 10, "pass"), CallFilters(min_gq=400)]
)
@pytest.mark.parametrize("kind", ["Integer", "Float"])
def test_failing_calls_are_missing_and_counted(
    rules: CallFilters, kind: str, tmp_path: Path, referee: Callable[[str], str]
) -> None:
    n = 21
    lines = random_lines(5, n, kind=kind)
    (tmp_path / "x.vcf").write_text(vcf(lines, n, kind))
    convert = [referee("bcftools"), "view", "-Ob", "-o", tmp_path / "x.bcf", tmp_path / "x.vcf"]
    subprocess.run(convert, check=True, capture_output=True)
    made, failed = naively(lines, rules)
    (tmp_path / "twin.vcf").write_text(vcf(made, n))
    load_genotypes([tmp_path / "twin.vcf"], tmp_path / "twin", assembly=Assembly.GRCH37)
    for name in ("x.vcf", "x.bcf"):
        report = load_genotypes([tmp_path / name], tmp_path / f"store-{name}", assembly=Assembly.GRCH37, filters=rules)
        assert {"filter": report.failed_filter, "gq": report.failed_gq, "dp": report.failed_dp} == failed
        assert sum(failed.values()) > 20
        assert hard_call_sections(tmp_path / f"store-{name}") == hard_call_sections(tmp_path / "twin")


def test_a_file_without_the_figure_is_taken_with_a_warning(tmp_path: Path) -> None:
    text = vcf(["1\t100\t.\tA\tC\t.\t.\t.\tGT\t0/1"], 1).replace("ID=GQ", "ID=QQ")
    (tmp_path / "x.vcf").write_text(text)
    rules = CallFilters(min_gq=20)
    report = load_genotypes([tmp_path / "x.vcf"], tmp_path / "store", assembly=Assembly.GRCH37, filters=rules)
    assert report.failed_gq == 0 and any("no FORMAT GQ" in warning for warning in report.warnings)


def test_sums_of_a_record_that_finds_its_batch_full_count_once(tmp_path: Path, referee: Callable[[str], str]) -> None:
    # 65,536 variants fill a batch; the next record is read twice.
    n = 65_600
    lines = "\n".join(f"1\t{1000 + i}\t.\tA\tC\t.\tq10\t.\tGT\t0/1" for i in range(n))
    (tmp_path / "x.vcf").write_text(vcf([lines], 1))
    convert = [referee("bcftools"), "view", "-Ob", "-o", tmp_path / "x.bcf", tmp_path / "x.vcf"]
    subprocess.run(convert, check=True, capture_output=True)
    report = load_genotypes([tmp_path / "x.bcf"], tmp_path / "store", assembly=Assembly.GRCH37)
    assert report.sample_het.tolist() == [n]
    rules = CallFilters(filter_policy="pass")
    report = load_genotypes([tmp_path / "x.bcf"], tmp_path / "strict", assembly=Assembly.GRCH37, filters=rules)
    assert report.failed_filter == n and report.call_rate == 0


GVCF = [
    "1\t101\t.\tA\t<NON_REF>\t.\t.\tEND=200\tGT:DP\t0/0:30\t0/0:3",
    "1\t201\trs1\tC\tT,<NON_REF>\t50\tPASS\t.\tGT:DP\t0/1:30\t0/0:31",
    "1\t202\t.\tG\t<*>\t.\t.\tEND=300\tGT:DP\t0/0:30\t./.:0",
    "1\t301\t.\tT\t.\t.\t.\tEND=350\tGT:DP\t0/0:30\t0/0:9",
    "1\t351\t.\tT\tA,C,<NON_REF>\t.\tPASS\t.\tGT:DP\t1/3:30\t0/2:9",
    "1\t352\t.\tT\t.\t.\tPASS\t.\tGT:DP\t0/0:30\t0/0:9",
]


@pytest.mark.parametrize("form", ["vcf", "bcf"])
def test_reference_blocks_are_rows_of_one_name_and_no_variants(
    form: str, tmp_path: Path, referee: Callable[[str], str]
) -> None:
    (tmp_path / "x.vcf").write_text(vcf(GVCF, 2))
    path = tmp_path / f"x.{form}"
    if form == "bcf":
        subprocess.run([referee("bcftools"), "view", "-Ob", "-o", path, tmp_path / "x.vcf"], check=True, capture_output=True)
    report = load_genotypes([path], tmp_path / "store", assembly=Assembly.GRCH37)
    store = open_store(tmp_path / "store")
    table = store.table(range(store.info.n_variants))
    rows = list(zip((table.position + 1).tolist(), table.end.tolist(), table.ref, table.alt, strict=True))
    assert rows == [
        (101, 200, "A", "<NON_REF>"),
        (201, 201, "C", "T"),
        (202, 300, "G", "<NON_REF>"),
        (301, 350, "T", "<NON_REF>"),
        (351, 351, "T", "A"),
        (351, 351, "T", "C"),
        (352, 352, "T", "."),
    ]
    assert report.reference_blocks == 3 and report.records == 6 and report.multiallelic == 1
    # "Any other allele" is called, and neither ALT.
    calls = store.calls(np.arange(4, 6)).alleles
    assert calls[0].tolist() == [[0, 1], [0, 0]] and calls[1].tolist() == [[0, 0], [0, 1]]
    assert store.calls(np.arange(2, 3)).alleles[0].tolist() == [[0, 0], [-1, -1]]
