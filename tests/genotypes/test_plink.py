"""PLINK 1 and 2 as sources: the same calls give the same shards in every format; REF, copies of X, Y and MT; refusals."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cohelix.core.errors import BadFile
from cohelix.core.genome import Assembly
from cohelix.genotypes.load import load_genotypes
from cohelix.genotypes.store import open_store
from cohelix.testing.hard_calls import hard_call_sections

N = 37
SAMPLES = [f"S{i}" for i in range(N)]
MEN = set(range(0, N, 2))
# X twice: within PAR#1 of GRCh37, where men have two copies, and outside.
STRETCHES = (("1", 1000), ("22", 16_050_000), ("X", 100_000), ("X", 3_000_000), ("Y", 5_000_000), ("MT", 100))
LENGTHS = {"1": 249_250_621, "22": 51_304_566, "X": 155_270_560, "Y": 59_373_566, "MT": 16_569}


def vcf_of(seed: int, *, alts_max: int, phased: bool, records: int = 25) -> str:
    """Records with missing calls, one-copy calls where people have one copy, and up to `alts_max` ALTs."""
    chooser = random.Random(seed)
    lines = ["##fileformat=VCFv4.2", *(f"##contig=<ID={name},length={length}>" for name, length in LENGTHS.items())]
    lines.append('##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">')
    lines.append("\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *SAMPLES]))
    for contig, base in STRETCHES:
        position = base
        for _ in range(records):
            position += chooser.choice([1, 7, 30])
            ref = "".join(chooser.choice("ACGT") for _ in range(chooser.choice([1, 1, 3])))
            pool = ["A", "C", "G", "T", ref + "T", ref + "GA", "<DEL>"]
            alts = chooser.sample([alt for alt in pool if alt != ref], chooser.randint(1, alts_max))
            common = chooser.choice([0.0, 0.02, 0.3, 0.95])
            mark = "|" if phased else "/"

            def allele(n: int = len(alts), q: float = common) -> str:
                return str(chooser.randint(1, n)) if chooser.random() < q else "0"

            cells = []
            for sample in range(N):
                man, in_par = sample in MEN, base == 100_000
                one_copy = contig == "MT" or (man and (contig == "Y" or (contig == "X" and not in_par)))
                absent = contig == "Y" and not man
                if absent or chooser.random() < 0.04:
                    cells.append("." if one_copy or absent else "./.")
                else:
                    cells.append(allele() if one_copy else allele() + mark + allele())
            site = [contig, str(position), f"v{position}", ref, ",".join(alts), ".", "PASS", ".", "GT"]
            lines.append("\t".join([*site, *cells]))
    return "\n".join(lines) + "\n"


def run(*words: object) -> None:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def in_all_formats(folder: Path, text: str, referee: Callable[[str], str], *, bed: bool) -> dict[str, Path]:
    """The same calls as VCF, BCF, pgen (plain and compressed pvar), and bed."""
    bcftools, plink2 = referee("bcftools"), referee("plink2")
    (folder / "x.vcf").write_text(text)
    (folder / "sex.psam").write_text("#IID\tSEX\n" + "".join(f"S{i}\t{1 if i in MEN else 2}\n" for i in range(N)))
    run(bcftools, "view", "-Ob", "-o", folder / "x.bcf", folder / "x.vcf")
    made = ["--vcf", folder / "x.vcf", "--psam", folder / "sex.psam"]
    run(plink2, *made, "--make-pgen", "--out", folder / "plain")
    run(plink2, *made, "--make-pgen", "vzs", "--out", folder / "zipped")
    files = {name: folder / name for name in ("x.vcf", "x.bcf", "plain.pgen", "zipped.pgen")}
    if bed:
        run(plink2, *made, "--make-bed", "--out", folder / "y")
        files["y.bed"] = folder / "y.bed"
    return files


def loaded(path: Path, folder: Path, reference: Path | None = None) -> dict[tuple[str, str], bytes]:
    ref_allele = "a2" if path.suffix == ".bed" and reference is None else None
    load_genotypes([path], folder, assembly=Assembly.GRCH37, ref_allele=ref_allele, reference=reference)
    return hard_call_sections(folder)


@pytest.mark.parametrize(("alts_max", "phased"), [(1, False), (1, True), (3, True), (3, False)])
def test_every_format_of_the_same_calls_gives_the_same_shards(
    alts_max: int, phased: bool, tmp_path: Path, referee: Callable[[str], str]
) -> None:
    text = vcf_of(alts_max * 2 + phased, alts_max=alts_max, phased=phased)
    files = in_all_formats(tmp_path, text, referee, bed=alts_max == 1)
    stores = {name: loaded(path, tmp_path / f"store-{name}") for name, path in files.items()}
    expected = stores.pop("x.vcf")
    assert len(expected) > 40
    for name, sections in stores.items():
        assert sections == expected, (name, sorted(key for key in expected if sections.get(key) != expected[key]))
    ids = {name: open_store(tmp_path / f"store-{name}").table(range(25)).id for name in files}
    assert all(each == ids["x.vcf"] for each in ids.values())


def test_real_genomes_give_the_same_shards(tmp_path: Path, shared_data: Path, referee: Callable[[str], str]) -> None:
    source = next((shared_data / "kg3-chr22-cen").glob("*.bcf"))
    run(referee("plink2"), "--bcf", source, "--make-pgen", "--out", tmp_path / "p")
    assert loaded(tmp_path / "p.pgen", tmp_path / "pgen") == loaded(source, tmp_path / "bcf")
    # A .bim has one ALT and no END.
    run(referee("bcftools"), "view", "-M2", "-e", 'ALT~"<"', "-Ob", "-o", tmp_path / "two.bcf", source)
    run(referee("plink2"), "--bcf", tmp_path / "two.bcf", "--make-bed", "--out", tmp_path / "b")
    assert loaded(tmp_path / "b.bed", tmp_path / "bed") == loaded(tmp_path / "two.bcf", tmp_path / "two")


def plain_bed(folder: Path, bim: str, calls: bytes, *, sexes: str = "12") -> Path:
    """A `.bed` of as many people as there are sexes (at most four), one byte a variant."""
    (folder / "t.fam").write_text("".join(f"0 P{i} 0 0 {sex} -9\n" for i, sex in enumerate(sexes)))
    (folder / "t.bim").write_text(bim)
    (folder / "t.bed").write_bytes(bytes((0x6C, 0x1B, 1)) + calls)
    return folder / "t.bed"


def fasta(folder: Path) -> Path:
    """A reference whose MT begins GATCACAGGT and goes on with N."""
    path = folder / "ref.fa"
    path.write_text(">MT\n" + "GATCACAGGT" + "N" * (16_569 - 10) + "\n")
    return path


def test_a_bed_without_a_stated_ref_is_refused(tmp_path: Path) -> None:
    bed = plain_bed(tmp_path, "MT . 0 1 G A\n", b"\x0e")
    with pytest.raises(BadFile, match="which allele is REF") as refusal:
        load_genotypes([bed], tmp_path / "store", assembly=Assembly.GRCH37)
    assert "--ref-allele" in refusal.value.expected and "--reference" in refusal.value.expected


def test_the_reference_says_which_allele_is_ref(tmp_path: Path) -> None:
    # Two people: the codes 10 (het: not a call of MT) and 11, 00, 01 (missing): second allele twice, first twice.
    bim = "".join(
        f"26 v{i} 0 {position} {a1} {a2}\n"
        for i, (position, a1, a2) in enumerate([(1, "G", "A"), (2, "C", "A"), (3, "0", "C"), (4, "0", "C"), (9, "G", "GT")])
    )
    bed = plain_bed(tmp_path, bim, bytes((0b1100, 0b1110, 0b1111, 0b1111, 0b0011)))
    report = load_genotypes([bed], tmp_path / "store", assembly=Assembly.GRCH37, reference=fasta(tmp_path))
    store = open_store(tmp_path / "store")
    table = store.table(range(5))
    assert list(zip(table.ref, table.alt, strict=True)) == [("G", "A"), ("A", "C"), ("T", "C"), ("C", "."), ("GT", "G")]
    calls = store.calls(range(5)).alleles
    assert calls[:, :, 1].tolist() == [[-2, -2]] * 5 or (calls[:, :, 1] < 0).all()
    assert calls[:, :, 0].tolist() == [[0, 1], [-1, 0], [1, 1], [0, 0], [0, 1]]
    text = " ".join(report.warnings)
    assert "the first allele (A1) in 2 of 5" in text and "1 lines both alleles fit" in text and "1 heterozygous calls" in text


def test_the_stated_allele_is_ref(tmp_path: Path) -> None:
    bed = plain_bed(tmp_path, "1 a 0 5 A C\n", bytes((0b1000,)), sexes="12")
    for which, ref, first in (("a1", "A", [[0, 0], [0, 1]]), ("a2", "C", [[1, 1], [0, 1]])):
        folder = tmp_path / which
        load_genotypes([bed], folder, assembly=Assembly.GRCH37, ref_allele=which)
        store = open_store(folder)
        assert store.table(range(1)).ref == [ref]
        assert store.calls(range(1)).alleles[0].tolist() == first


def test_who_has_how_many_copies(tmp_path: Path) -> None:
    # A man, a woman, somebody of unknown sex; homozygous for A1 (ALT by --ref-allele a2), in each.
    lines = [("23", 100_000), ("X", 3_000_000), ("XY", 155_000_000), ("24", 5_000_000), ("26", 100)]
    bed = plain_bed(tmp_path, "".join(f"{name} . 0 {at} C A\n" for name, at in lines), bytes(5), sexes="120")
    report = load_genotypes([bed], tmp_path / "s", assembly=Assembly.GRCH37, ref_allele="a2")
    assert [row.tolist() for row in open_store(tmp_path / "s").calls(range(5)).alleles] == [
        [[1, 1], [1, 1], [1, 1]],
        [[1, -2], [1, 1], [1, 1]],
        [[1, 1], [1, 1], [1, 1]],
        [[1, -2], [-1, -1], [1, -2]],
        [[1, -2], [1, -2], [1, -2]],
    ]
    text = " ".join(report.warnings)
    assert "1 calls on Y of women" in text and "1 samples have no sex" in text
    assert report.sex == ("male", "female", "")


def test_a_pgen_whose_companions_are_of_another_file_is_refused(tmp_path: Path, referee: Callable[[str], str]) -> None:
    files = in_all_formats(tmp_path, vcf_of(1, alts_max=1, phased=False, records=5), referee, bed=False)
    pgen = files["plain.pgen"]
    shutil.copy(tmp_path / "zipped.pvar.zst", tmp_path / "other.pvar.zst")
    lines = (tmp_path / "plain.pvar").read_text().splitlines(keepends=True)
    (tmp_path / "plain.pvar").write_text("".join(lines[:-1]))
    with pytest.raises(BadFile, match="29 and 37") as refusal:
        load_genotypes([pgen], tmp_path / "store", assembly=Assembly.GRCH37)
    assert refusal.value.path == str(pgen)
    (tmp_path / "plain.psam").unlink()
    with pytest.raises(BadFile, match=r"no plain\.psam beside it"):
        load_genotypes([pgen], tmp_path / "store", assembly=Assembly.GRCH37)
