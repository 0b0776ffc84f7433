"""Sites with counts and no person: what files say comes out again, unknown stays unknown, nonsense is refused by line."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pysam
import pytest

from cohelix.core.arrays import IntArray
from cohelix.core.errors import AssemblyMismatch, BadFile, BadUsage
from cohelix.core.genome import Assembly
from cohelix.core.variant import VariantKey, trim
from cohelix.genotypes.aggregate import SitesReport, is_sites, load_sites
from cohelix.genotypes.count_names import CountName, is_frequency, parse_count_name
from cohelix.genotypes.counts import open_counts
from cohelix.genotypes.store import open_store

HEAD = "##fileformat=VCFv4.3\n##contig=<ID=22>\n##contig=<ID=X>\n{info}#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"


def vcf(path: Path, *records: str, keys: str = "AC AN") -> Path:
    info = "".join(f'##INFO=<ID={key},Number=A,Type=Integer,Description="count">\n' for key in keys.split())
    path.write_text(HEAD.format(info=info) + "".join(record.replace(" ", "\t") + "\n" for record in records), encoding="ascii")
    return path


def loaded(*files: Path, folder: Path, **options: object) -> tuple[SitesReport, dict[str, dict[str, IntArray]]]:
    """The report, and by variant and group the counts."""
    report = load_sites(files, folder / "genotypes", folder / "counts", assembly=Assembly.GRCH37, **options)  # type: ignore[arg-type]
    store, counts = open_store(folder / "genotypes"), open_counts(folder / "counts")
    rows = range(store.info.n_variants)
    return report, {str(store.key(row)): dict(zip(counts.groups, counts.row(row), strict=True)) for row in rows}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("AC", CountName("ac", "all", "all")),
        ("AN_nfe_XX", CountName("an", "NFE", "female")),
        ("nhomalt_nfe_male", CountName("hom", "NFE", "male")),
        ("AC_LU_M_Het", CountName("het", "LU", "male")),
        ("Hemi_AFR", CountName("hemi", "AFR", "all")),
        ("AC_Hom_NFE", CountName("hom", "NFE", "all")),
        ("AC_XY", CountName("ac", "all", "male")),
        ("AC_raw", None),
        ("non_cancer_AC_nfe", None),
        ("EUR_AF", None),
    ],
)
def test_names_of_counts_in_the_common_dialects(name: str, expected: CountName | None) -> None:
    assert parse_count_name(name) == expected
    assert is_frequency("EUR_AF")
    assert is_frequency("AF_nfe")
    assert not is_frequency("nhomalt")


def test_a_split_and_trimmed_record_keeps_each_alleles_counts(tmp_path: Path) -> None:
    file = vcf(
        tmp_path / "s.vcf",
        "chr22 100 rs1 CAA C,CA . PASS AC=3,5;AN=200;nhomalt=1,0;EUR_AF=0.1,0.2;DP=7",
        "chr22 101 . a t . PASS AC=4;AN=10;nhomalt=.",
        keys="AC AN nhomalt EUR_AF DP",
    )
    assert is_sites(file)
    report, counts = loaded(file, folder=tmp_path)
    assert (report.variants, report.records, report.genotypes_unknown) == (3, 3, 1)
    assert report.ignored == {"a frequency is no count": ("EUR_AF",)}
    first, second, third = (counts[name]["all\tall"].tolist() for name in ("22-100-CAA-C", "22-100-CA-C", "22-101-A-T"))
    assert first == [200, 3, 1, 1, 0, 0]
    assert second == [200, 5, 5, 0, 0, 0]
    assert third == [10, 4, 0, 0, 0, 95]  # genotypes unknown: they do not add up to AC, and five people are called
    assert report.groups[0].people == 100


def test_genotypes_of_one_copy_follow_and_others_stay_unknown(tmp_path: Path) -> None:
    file = vcf(
        tmp_path / "x.vcf",
        "X 5000000 . A G . . AC=30;AN=150;AC_M=10;AN_M=50;AC_F=20;AN_F=100;nhomalt_F=4;nhomalt=4",
        "X 100000 . A G . . AC=3;AN=200;AC_M=1;AN_M=100;AC_F=2;AN_F=100",
        "MT 300 . T C . . AC=7;AN=100;AC_M=3;AN_M=50;AC_F=4;AN_F=50",
        keys="AC AN AC_M AN_M AC_F AN_F nhomalt nhomalt_F",
    )
    with pytest.raises(BadFile, match=r"line 14.*position comes before"):
        loaded(file, folder=tmp_path / "unsorted")
    lines = file.read_text(encoding="ascii").splitlines(keepends=True)
    file.write_text("".join([*lines[:-3], lines[-2], lines[-3], lines[-1]]), encoding="ascii")
    _, counts = loaded(file, folder=tmp_path)
    assert counts["X-5000000-A-G"]["all\tmale"][2:5].tolist() == [0, 0, 10]
    assert counts["X-5000000-A-G"]["all\tfemale"][2:5].tolist() == [12, 4, 0]
    assert counts["X-5000000-A-G"]["all\tall"][2:5].tolist() == [12, 4, 10]
    assert counts["X-100000-A-G"]["all\tmale"][2:5].tolist() == [0, 0, 0]  # pseudoautosomal: two copies, genotypes unknown
    assert counts["MT-300-T-C"]["all\tall"].tolist() == [100, 7, 0, 0, 7, 0]


def test_counts_of_alleles_and_of_people_are_told_apart(tmp_path: Path) -> None:
    file = vcf(
        tmp_path / "h.vcf",
        "22 10 . A G . . AC=9;AN=100;AC_Het=5;AC_Hom=4;AC_Hemi=0",  # bcftools +fill-tags: alleles
        "22 11 . A G . . AC=9;AN=100;AC_Het=5;AC_Hom=2;AC_Hemi=0",  # ExAC: people
        keys="AC AN AC_Het AC_Hom AC_Hemi",
    )
    _, counts = loaded(file, folder=tmp_path)
    assert [counts[name]["all\tall"][2:5].tolist() for name in ("22-10-A-G", "22-11-A-G")] == [[5, 2, 0], [5, 2, 0]]


def test_who_is_left_over_has_groups_and_overlaps_are_refused(tmp_path: Path) -> None:
    keys = "AC AN AC_FI AN_FI AC_EE AN_EE AC_M AN_M AC_F AN_F"
    fine = vcf(
        tmp_path / "a.vcf",
        "22 10 . A G . . AC=30;AN=100;AC_FI=10;AN_FI=40;AC_EE=15;AN_EE=50;AC_M=10;AN_M=50;AC_F=20;AN_F=50",
        keys=keys,
    )
    report, counts = loaded(fine, folder=tmp_path / "a")
    assert counts["22-10-A-G"]["\tall"][:2].tolist() == [10, 5]
    assert [group.population for group in report.groups] == ["all", "all", "all", "EE", "FI", ""]
    over = vcf(
        tmp_path / "b.vcf",
        "22 10 . A G . . AC=30;AN=100;AC_FI=20;AN_FI=60;AC_EE=15;AN_EE=50;AC_M=10;AN_M=50;AC_F=20;AN_F=50",
        keys=keys,
    )
    with pytest.raises(BadFile, match="populations overlap"):
        loaded(over, folder=tmp_path / "b")
    report, _ = loaded(over, folder=tmp_path / "c", with_rest=False)
    assert [group.population for group in report.groups] == ["all", "all", "all", "EE", "FI"]


def table_of(path: Path) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "contig": ["chr22"] * 4 + ["chrX"] * 2,
            "pos": [5, 5, 7, 7, 9, 9],
            "ref": ["CAA", "CAA", "G", "G", "T", "T"],
            "alt": ["CA", "CA", "A", "A", "C", "C"],
            "population": ["FI", "EE"] * 3,
            "ac": [1, 2, 0, 4, 3, 3],
            "an": [20, 30, 20, 30, 20, 30],
            "hom": [0, 1, None, 1, None, None],
        }
    )


@pytest.mark.parametrize("ending", ["parquet", "tsv", "csv.gz"])
def test_long_tables_come_out_as_wide_ones(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t.{ending}"
    frame = table_of(path)
    if ending == "parquet":
        frame.write_parquet(path)
    elif ending == "tsv":
        frame.write_csv(path, separator="\t")
    else:
        path.write_bytes(gzip.compress(frame.write_csv().encode()))
    report, counts = loaded(path, folder=tmp_path)
    assert [(group.population, group.sex) for group in report.groups] == [("all", "all"), ("EE", "all"), ("FI", "all")]
    assert counts["22-5-CA-C"]["all\tall"].tolist() == [50, 3, 1, 1, 0, 0]
    assert counts["22-5-CA-C"]["EE\tall"][:4].tolist() == [30, 2, 0, 1]
    assert counts["22-7-G-A"]["FI\tall"][:4].tolist() == [20, 0, 0, 0]
    assert counts["X-9-T-C"]["all\tall"][:5].tolist() == [50, 6, 0, 0, 0]
    wide = frame.pivot("population", index=["contig", "pos", "ref", "alt"], values=["ac", "an", "hom"])
    wide.write_parquet(tmp_path / "wide.parquet")
    _, again = loaded(tmp_path / "wide.parquet", folder=tmp_path / "wide")
    assert {key: {g: c.tolist() for g, c in groups.items()} for key, groups in counts.items()} == {
        key: {g: c.tolist() for g, c in groups.items()} for key, groups in again.items()
    }


def test_stretches_of_the_genome_of_europes_small_node_are_read(tmp_path: Path) -> None:
    rows = [(45_864_730, "T", "C", "SNP", label, 7, 1, 3, 0, 100) for label in ("LU", "LU_M")]
    names = ["POS", "REF", "ALT", "VT", "POPULATION", "AC", "AC_HET", "AC_HOM", "AC_HEMI", "AN"]
    pl.DataFrame(rows, names, orient="row").write_parquet(tmp_path / "allele-freq-chr3.4.parquet")
    report, counts = loaded(tmp_path / "allele-freq-chr3.4.parquet", folder=tmp_path, with_rest=False)
    assert counts["3-45864731-T-C"]["LU\tall"].tolist() == [100, 7, 1, 3, 0, 0]
    assert report.groups[0].people == 50


def test_a_mapping_names_people_populations_and_columns(tmp_path: Path) -> None:
    file = vcf(
        tmp_path / "m.vcf", "22 10 . A G . . n=3;of=20;AC_X=1;AN_X=10;AC_Y1=1;AN_Y1=8", keys="n of AC_X AN_X AC_Y1 AN_Y1"
    )
    mapping = tmp_path / "m.yaml"
    mapping.write_text(
        "people: {Total: 12, Finland: 6}\npopulations: {X: Finland, Y1: null}\n"
        "columns: {n: {measure: ac}, of: {measure: an}}\n",
        encoding="ascii",
    )
    report, counts = loaded(file, folder=tmp_path / "a", mapping=mapping)
    assert [(group.population, group.people) for group in report.groups] == [("all", 12), ("Finland", 6), ("", 5)]
    assert counts["22-10-A-G"]["all\tall"].tolist() == [20, 3, 0, 0, 0, 2]
    mapping.write_text("people: {Total: 9}\ncolumns: {n: {measure: ac}, of: {measure: an}}\n", encoding="ascii")
    with pytest.raises(BadFile, match="more than the 9 people"):
        loaded(file, folder=tmp_path / "b", mapping=mapping)


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (["22 10 . A G . . AC=5;AN=4"], "line 7.*above its AN"),
        (["22 10 . A G . . AC=-5;AN=4"], "line 7.*not a whole number"),
        (["22 10 . A G . . AC=1.5;AN=4"], "line 7.*not a whole number"),
        (["22 10 . A G,T . . AC=1,2,3;AN=9"], "line 7.*neither one value"),
        (["22 10 . A G . . AC=1"], "line 7.*without AN"),
        (["22 10 . A G . . AN=4"], "line 7.*without AC"),
        (["22 10 . A G . . AC=1;AN=4", "22 9 . A G . . AC=1;AN=4"], "line 8.*before that of the record above"),
        (["22 10 . A G . . AC=1;AN=4", "22 10 . A G . . AC=1;AN=4"], "line 8.*stands twice"),
        (["22 10 . CA CT . . AC=1;AN=4", "22 11 . A T . . AC=1;AN=4"], "line 8.*stands twice"),
        (["22 10 . A G . . AC=1;AN=4", "X 9 . A G . . AC=1;AN=4", "22 11 . A G . . AC=1;AN=4"], "line 9.*comes back"),
        (["22 0 . A G . . AC=1;AN=4"], "line 7.*POS"),
        (["22 99999999 . A G . . AC=1;AN=4"], "line 7.*beyond the end"),
        (["22 10 . Q G . . AC=1;AN=4"], "line 7.*REF"),
        (["22 10 . A  . . AC=1;AN=4"], "line 7.*ALT"),
        (["nowhere 10 . A G . . AC=1;AN=4"], "line 7.*no contig"),
        (["22 10 . A"], "line 7.*fewer than eight"),
        (["22 10 . A G . . AC=5;AN=40;nhomalt=9"], "line 7.*do not add up"),
        ([""], "line 7.*empty"),
        (["#22 10"], "line 7.*header line"),
        ([], "no record"),
    ],
)
def test_nonsense_is_refused_with_its_line(tmp_path: Path, records: list[str], message: str) -> None:
    file = vcf(tmp_path / "bad.vcf", *records)
    if any("nhomalt" in record for record in records):
        info = '##INFO=<ID=nhomalt,Number=A,Type=Integer,Description="count">\n'
        file.write_text(file.read_text(encoding="ascii").replace("##contig=<ID=X>\n", info), encoding="ascii")
    with pytest.raises(BadFile, match=f"(?s){message}"):
        loaded(file, folder=tmp_path)
    assert not (tmp_path / "counts").exists() or not any((tmp_path / "counts").iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.with_columns(ac=pl.lit(40)), "row 1.*above its AN"),
        (lambda frame: frame.with_columns(ac=-pl.col("ac")), "ac.* is -"),
        (lambda frame: frame.with_columns(ac=pl.lit(0.5)), "whole number"),
        (lambda frame: frame.reverse(), "comes before"),
        (lambda frame: pl.concat([frame[:2], frame[:2]]), "stands twice"),
        (lambda frame: frame.with_columns(ref=pl.lit("")), "row 1.*REF"),
        (lambda frame: frame.with_columns(alt=pl.lit(None, pl.String)), "row 1.*alt is empty"),
        (lambda frame: frame.drop("ref"), "no column ref"),
        (lambda frame: frame.drop("an"), "no AC with its AN"),
        (lambda frame: frame[:0], "no AC with its AN"),
    ],
)
def test_nonsense_in_tables_is_refused(tmp_path: Path, change: Callable[[pl.DataFrame], pl.DataFrame], message: str) -> None:
    change(table_of(tmp_path)[:4]).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(BadFile, match=f"(?s){message}"):
        loaded(tmp_path / "t.parquet", folder=tmp_path)


def test_broken_files_are_refused(tmp_path: Path) -> None:
    cut = tmp_path / "cut.parquet"
    table_of(tmp_path).write_parquet(cut)
    cut.write_bytes(cut.read_bytes()[:-20])
    for path in (cut, tmp_path / "absent.parquet"):
        with pytest.raises(BadFile):
            loaded(path, folder=tmp_path / f"of-{path.name}")
    with pytest.raises(BadUsage):
        loaded(folder=tmp_path / "none")
    twice = vcf(tmp_path / "s.vcf", "22 10 . A G . . AC=1;AN=4")
    with pytest.raises(BadFile, match="given twice"):
        loaded(twice, twice, folder=tmp_path / "twice")
    other = tmp_path / "length.vcf"
    other.write_text(twice.read_text(encoding="ascii").replace("ID=22>", "ID=22,length=50818468>"), encoding="ascii")
    with pytest.raises(AssemblyMismatch):
        loaded(other, folder=tmp_path / "length")


def test_a_simulated_table_equals_a_naive_reading(tmp_path: Path) -> None:
    """Ten plain lines over pysam's records, for VCF.gz and BCF."""
    rng = np.random.default_rng(1)
    lines = []
    for position in np.sort(rng.choice(100_000, 3_000, replace=False)).tolist():
        ref = "".join(rng.choice(list("ACGT"), 1 + rng.integers(3)))
        alts = sorted(
            {ref[:1] + "".join(rng.choice(list("ACGT"), rng.integers(1, 4))) for _ in range(1 + rng.integers(3))} - {ref}
        )
        if not alts:
            continue
        counts = rng.integers(0, 50, len(alts)).tolist()
        lines.append(f"22 {position + 1} . {ref} {','.join(alts)} . . AC={','.join(map(str, counts))};AN=400")
    file = vcf(tmp_path / "big.vcf", *lines)
    file.write_text(file.read_text(encoding="ascii").replace("ID=AN,Number=A", "ID=AN,Number=1"), encoding="ascii")
    packed = tmp_path / "big.vcf.gz"
    pysam.tabix_compress(str(file), str(packed))
    with (
        pysam.VariantFile(str(file)) as source,
        pysam.VariantFile(str(tmp_path / "big.bcf"), "wb", header=source.header) as bcf,
    ):
        for record in source:
            bcf.write(record)
    expected: dict[str, list[int]] = {}
    repeated = False
    with pysam.VariantFile(str(file)) as source:
        for record in source:
            for alt, ac in zip(record.alts or (), record.info["AC"], strict=True):
                key = str(VariantKey("22", *trim(record.pos - 1, record.ref or "", alt)))
                repeated |= key in expected
                expected[key] = [record.info["AN"], ac]
    for path in (file, packed, tmp_path / "big.bcf"):
        if repeated:
            with pytest.raises(BadFile, match="stands twice"):
                loaded(path, folder=tmp_path / path.suffix)
            continue
        _, counts = loaded(path, folder=tmp_path / path.suffix)
        assert {key: groups["all\tall"][:2].tolist() for key, groups in counts.items()} == expected


def test_gnomads_own_records_equal_a_naive_reading(tmp_path: Path, shared_data: Path) -> None:
    source = shared_data / "reference/gnomad.exomes.r2.1.1.chr1.sample.vcf.gz"
    _, counts = loaded(source, folder=tmp_path)
    plain = tmp_path / "plain.vcf"
    plain.write_bytes(gzip.decompress(source.read_bytes()))
    with pysam.VariantFile(str(plain)) as file:
        for record in file:
            for index, alt in enumerate(record.alts or ()):
                groups = counts[str(VariantKey("1", *trim(record.pos - 1, record.ref or "", alt)))]
                for group, suffix in (
                    ("all\tall", ""),
                    ("NFE\tall", "_nfe"),
                    ("AFR\tfemale", "_afr_female"),
                    ("all\tmale", "_male"),
                ):
                    an, ac, het, hom, hemi, _ = groups[group].tolist()
                    assert (ac, hom, hemi) == (record.info[f"AC{suffix}"][index], record.info[f"nhomalt{suffix}"][index], 0)
                    assert an == record.info[f"AN{suffix}"]
                    assert het == ac - 2 * hom


def test_people_whom_nobody_counts_are_refused_with_the_mapping(tmp_path: Path) -> None:
    file = vcf(tmp_path / "s.vcf", "22 10 . A G . . AC=30;AN=100;AC_FI=10;AN_FI=40", keys="AC AN AC_FI AN_FI")
    mapping = tmp_path / "counts.yaml"
    mapping.write_text("people: {EE: 20}\n", encoding="ascii")
    with pytest.raises(BadFile, match=r"counts\.yaml, people: it names people of EE.*expected.*FI"):
        loaded(file, folder=tmp_path, mapping=mapping)
    mapping.write_text(f"people: {{FI: {10**30}}}\n", encoding="ascii")
    with pytest.raises(BadFile, match=r"counts\.yaml.*people of FI is 1000.*expected a whole number"):
        loaded(file, folder=tmp_path, mapping=mapping)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.with_columns(AC=pl.col("ac")), "columns ac and AC are both ac"),
        (lambda frame: frame.with_columns(population=pl.Series(["FI", "fi"] * 2)), "are the same group"),
    ],
)
def test_long_tables_have_one_column_and_one_spelling(
    tmp_path: Path, change: Callable[[pl.DataFrame], pl.DataFrame], message: str
) -> None:
    change(table_of(tmp_path)[:4]).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(BadFile, match=message):
        loaded(tmp_path / "t.parquet", folder=tmp_path)


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    table_of(tmp_path)[:4].write_parquet(tmp_path / "t.parquet", compression="uncompressed", use_pyarrow=True)
    content = (tmp_path / "t.parquet").read_bytes()
    assert b"FI" in content
    (tmp_path / "t.parquet").write_bytes(content.replace(b"\2\0\0\0FI", b"\2\0\0\0F\xff"))
    with pytest.raises(BadFile, match=r"t\.parquet.*UTF"):
        loaded(tmp_path / "t.parquet", folder=tmp_path)
