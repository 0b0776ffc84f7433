"""A region that is exported equals what bcftools takes out of the source."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cohelix.core.errors import BadUsage
from cohelix.core.genome import Assembly, Region, parse_region
from cohelix.genotypes.export import write_region
from cohelix.genotypes.load import load_genotypes
from cohelix.genotypes.store import open_store
from cohelix.testing.hard_calls import hard_call_sections

_spec = importlib.util.spec_from_file_location("test_load", Path(__file__).with_name("test_load.py"))
assert _spec is not None and _spec.loader is not None
made = importlib.util.module_from_spec(_spec)
sys.modules["test_load"] = made
_spec.loader.exec_module(made)

SITE_AND_CALLS = "%CHROM\t%POS\t%ID\t%REF\t%ALT[\t%GT]\n"


def records(bcftools: str, path: Path, region: str | None = None) -> list[list[str]]:
    """Records as bcftools prints them, with unphased calls low allele first and missing ones as `./.`."""
    some = ["-r", region] if region else []
    done = subprocess.run([bcftools, "query", *some, "-f", SITE_AND_CALLS, path], capture_output=True, text=True, check=True)
    lines = []
    for line in done.stdout.splitlines():
        fields = line.split("\t")
        lines.append(fields[:5] + [_plain(call) for call in fields[5:]])
    return lines


def _plain(call: str) -> str:
    if set(call) <= set("./|"):
        return "./." if len(call) > 1 else "."
    if "/" in call and "." not in call:
        return "/".join(sorted(call.split("/"), key=int))
    return call


@pytest.mark.parametrize("form", ["vcf.gz", "bcf"])
def test_random_records_come_back(form: str, tmp_path: Path, referee: Callable[[str], str]) -> None:
    bcftools = referee("bcftools")
    # Phase of calls that are not heterozygous is kept for a record as a whole, so records here are of one manner.
    lines = [line for line in made.random_lines(21, 70) if ("|" in line.split("\t", 9)[9]) != ("/" in line.split("\t", 9)[9])]
    # "Any other allele" beside variants is not kept, so calls that name it do not come back.
    lines = [made._as_diploid(line) for line in lines if not {"<*>", "<NON_REF>"} & set(line.split("\t")[4].split(","))]
    source = tmp_path / "x.bcf"
    text = made.vcf([f"S{i}" for i in range(70)], lines)
    subprocess.run([bcftools, "view", "-Ob", "-o", source, "-"], input=text, text=True, check=True, capture_output=True)
    subprocess.run([bcftools, "index", source], check=True)
    load_genotypes([source], tmp_path / "store", assembly=Assembly.GRCH37)
    store = open_store(tmp_path / "store")
    first = int(lines[0].split("\t")[1])
    for region in (f"1:{first}-{first + 9000}", f"1:{first + 20}-{first + 100}", f"1:{first + 31}-{first + 31}", "22:1-5000"):
        out = tmp_path / f"out.{form}"
        n = write_region(store, parse_region(region), out)
        ours = records(bcftools, out)
        # bcftools counts END and deletions as well, of sequence alleles too; the store keeps END of symbolic ones.
        theirs = [
            fields
            for fields in records(bcftools, source, region)
            if "<" in fields[4] or int(fields[1]) + len(fields[3]) > parse_region(region).start + 1
        ]
        assert n == len(ours)
        assert {tuple(fields[:5]) for fields in theirs} <= {tuple(fields[:5]) for fields in ours}
        if region.startswith("22") or region.endswith(str(first + 9000)):
            assert [_unphased_where_loose(fields) for fields in ours] == [_unphased_where_loose(fields) for fields in theirs]


def _unphased_where_loose(fields: list[str]) -> list[str]:
    """Calls that are not het carry no phase that means anything."""
    return fields[:5] + [
        call.replace("|", "/") if len(set(call.replace("|", "/").split("/"))) == 1 or "." in call else call
        for call in fields[5:]
    ]


@pytest.mark.parametrize("form", ["vcf.gz", "bcf"])
def test_haploid_and_mixed_calls_come_back(form: str, tmp_path: Path, referee: Callable[[str], str]) -> None:
    bcftools = referee("bcftools")
    lines = [
        "X\t2700000\ta\tA\tG\t.\t.\tAC=1\tGT\t0\t1\t0/1\t1|0\t0/0",
        "X\t2700001\tb\tAC\tA,ACC\t.\t.\tAC=1\tGT\t2\t1\t1/2\t2|1\t./2",
        "X\t2700003\tc\tC\t<DEL>\t.\t.\tEND=2700900\tGT\t0\t1\t./.\t1/1\t0/0",
        "X\t2700500\td\tC\t.\t.\t.\tAC=1\tGT\t0\t.\t./.\t0/0\t0/0",
    ]
    (tmp_path / "x.vcf").write_text(made.vcf(list("ABCDE"), lines))
    load_genotypes([tmp_path / "x.vcf"], tmp_path / "store", assembly=Assembly.GRCH37)
    out = tmp_path / f"x.{form}"
    assert write_region(open_store(tmp_path / "store"), Region("X", 2_699_000, 2_701_000), out) == 4
    ours = records(bcftools, out)
    assert ours == records(bcftools, tmp_path / "x.vcf")
    assert write_region(open_store(tmp_path / "store"), Region("X", 2_700_600, 2_700_601), out) == 1
    assert [fields[2] for fields in records(bcftools, out)] == ["c"]
    subprocess.run([bcftools, "index", out], check=True)


@pytest.mark.parametrize(
    ("name", "region"), [("kg3-chr22-cen", "22:16050000-16120000"), ("kg3-chr22-tel", "22:50313000-50323000")]
)
def test_real_regions_equal_what_bcftools_takes_out(
    name: str, region: str, tmp_path: Path, shared_data: Path, referee: Callable[[str], str]
) -> None:
    bcftools = referee("bcftools")
    source = next((shared_data / name).glob("*.bcf"))
    small = tmp_path / "around.bcf"  # wider than the region, so that its edges are tested
    contig, span = region.split(":")
    start, end = map(int, span.split("-"))
    around = f"{contig}:{start - 20_000}-{end + 20_000}"
    subprocess.run([bcftools, "view", "-r", around, "-Ob", "-o", small, source], check=True)
    load_genotypes([small], tmp_path / "store", assembly=Assembly.GRCH37)
    for form in ("bcf", "vcf.gz"):
        out = tmp_path / f"out.{form}"
        assert write_region(open_store(tmp_path / "store"), parse_region(region), out) > 100
        assert records(bcftools, out) == records(bcftools, source, region)
        listed = subprocess.run([bcftools, "query", "-l", out], capture_output=True, text=True, check=True).stdout
        assert listed == subprocess.run([bcftools, "query", "-l", source], capture_output=True, text=True, check=True).stdout


def test_an_empty_region_is_a_file_without_records(tmp_path: Path, referee: Callable[[str], str]) -> None:
    (tmp_path / "x.vcf").write_text(made.vcf(["A"], ["1\t5\t.\tA\tG\t.\t.\t.\tGT\t0/1"]))
    load_genotypes([tmp_path / "x.vcf"], tmp_path / "store", assembly=Assembly.GRCH37)
    for form in ("bcf", "vcf.gz"):
        assert write_region(open_store(tmp_path / "store"), Region("22", 0, 10), tmp_path / f"x.{form}") == 0
        assert records(referee("bcftools"), tmp_path / f"x.{form}") == []


def test_a_name_without_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.vcf").write_text(made.vcf(["A"], ["1\t5\t.\tA\tG\t.\t.\t.\tGT\t0/1"]))
    load_genotypes([tmp_path / "x.vcf"], tmp_path / "store", assembly=Assembly.GRCH37)
    with pytest.raises(BadUsage, match=r"\.vcf\.gz or \.bcf"):
        write_region(open_store(tmp_path / "store"), Region("1", 0, 10), tmp_path / "x.txt")


@pytest.mark.parametrize("form", ["vcf.gz", "bcf"])
def test_export_load_export_is_identical(form: str, tmp_path: Path, referee: Callable[[str], str]) -> None:
    source = tmp_path / "x.vcf"
    source.write_text(made.vcf([f"S{i}" for i in range(40)], made.random_lines(9, 40, men=set(range(0, 40, 2)))))
    load_genotypes([source], tmp_path / "first", assembly=Assembly.GRCH37)
    for contig in ("1", "X", "MT"):
        region = Region(contig, 0, 1 << 28)
        once, twice = tmp_path / f"once-{contig}.{form}", tmp_path / f"twice-{contig}.{form}"
        assert write_region(open_store(tmp_path / "first"), region, once) == 120
        again = tmp_path / f"again-{contig}"
        load_genotypes([once], again, assembly=Assembly.GRCH37)
        write_region(open_store(again), region, twice)
        printed = [
            subprocess.run([referee("bcftools"), "view", "-H", path], capture_output=True, check=True).stdout
            for path in (once, twice)
        ]
        assert printed[0] == printed[1] and printed[0]
        third = tmp_path / f"third-{contig}"
        load_genotypes([twice], third, assembly=Assembly.GRCH37)
        assert hard_call_sections(third) == hard_call_sections(again)


@pytest.mark.parametrize("name", ["kg3-chr22-cen", "kg3-exome-common"])
def test_bcftools_stats_agree_with_the_source(
    name: str, tmp_path: Path, shared_data: Path, referee: Callable[[str], str]
) -> None:
    bcftools = referee("bcftools")
    source = next((shared_data / name).glob("*GRCh37.bcf"))
    # Without INFO, so that bcftools counts frequencies from the calls, as it has to in what is exported.
    plain = tmp_path / "source.bcf"
    region = "22:1-51304566"
    taken = [bcftools, "annotate", "-x", "INFO,QUAL,FILTER", "-r", region, "-Ob", "-o", plain, source]
    subprocess.run(taken, check=True, capture_output=True)
    load_genotypes([plain], tmp_path / "store", assembly=Assembly.GRCH37)
    write_region(open_store(tmp_path / "store"), parse_region(region), tmp_path / "out.bcf")
    ours, theirs = (_sections(bcftools, path) for path in (tmp_path / "out.bcf", plain))
    assert ours == theirs
    assert len(ours) > 100


def _sections(bcftools: str, path: Path) -> list[str]:
    """SN, TSTV and AF of `bcftools stats`, with frequencies counted from the calls."""
    filled = path.with_name(f"filled-{path.name}")
    fill = [bcftools, "+fill-tags", path, "-Ob", "-o", filled, "--", "-t", "AC,AN,AF"]
    subprocess.run(fill, check=True, capture_output=True)
    done = subprocess.run([bcftools, "stats", filled], capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if line.startswith(("SN\t", "TSTV\t", "AF\t"))]
