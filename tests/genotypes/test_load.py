"""Loading against a naive twin, against bcftools and plink2, and within its bounds of memory and time."""

from __future__ import annotations

import gzip
import random
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from cohelix.core.errors import AssemblyMismatch, BadFile
from cohelix.core.genome import Assembly
from cohelix.core.variant import is_sequence, trim
from cohelix.genotypes.encode import encode_calls
from cohelix.genotypes.load import GenotypeReport, load_genotypes
from cohelix.genotypes.store import GenotypeStore, open_store
from cohelix.genotypes.writer import StoreWriter

META = """##fileformat=VCFv4.2
##contig=<ID=1,length=249250621>
##contig=<ID=22,length=51304566>
##contig=<ID=X,length=155270560>
##contig=<ID=MT,length=16569>
##ALT=<ID=DEL,Description="d">
##ALT=<ID=CN0,Description="c">
##ALT=<ID=INS,Description="i">
##ALT=<ID=NON_REF,Description="n">
##ALT=<ID=*,Description="n">
##INFO=<ID=END,Number=1,Type=Integer,Description="e">
##INFO=<ID=SVLEN,Number=A,Type=Integer,Description="l">
##INFO=<ID=AC,Number=A,Type=Integer,Description="c">
##FORMAT=<ID=GT,Number=1,Type=String,Description="g">
##FORMAT=<ID=DP,Number=1,Type=Integer,Description="d">
##FORMAT=<ID=AD,Number=R,Type=Integer,Description="a">
"""


def vcf(samples: list[str], lines: list[str]) -> str:
    columns = ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *samples]
    return META + "\t".join(columns) + "\n" + "".join(line + "\n" for line in lines)


def random_lines(seed: int, n: int, *, men: set[int] | None = None) -> list[str]:
    """Records of every kind; with `men`, those are haploid on X and everybody is on MT."""
    chooser = random.Random(seed)
    lines = []
    for contig in ("1", "22") if men is None else ("1", "X", "MT"):
        position = chooser.randrange(100, 1000)
        for _ in range(120):
            position += chooser.choice([0, 1, 1, 5, 70])
            ref = "".join(chooser.choice("ACGTacgtN") for _ in range(chooser.choice([1, 1, 1, 2, 3, 9])))
            n_alts = chooser.choice([1, 1, 1, 1, 2, 3, 13])
            alts = [_random_alt(chooser, ref) for _ in range(n_alts)]
            if chooser.random() < 0.04:
                alts = ["."]
            info = ";".join(
                ["AC=1"] + [f"END={position + 50}"] * (chooser.random() < 0.5) + ["SVLEN=-70"] * (chooser.random() < 0.5)
            )
            fmt, rest = chooser.choice([("GT", ""), ("GT", ""), ("GT:DP", ":12"), ("GT:AD:DP", ":3,4:.")])
            rarity = chooser.choice([0.0, 0.005, 0.05, 0.5, 1.0])
            missing = chooser.choice([0.0, 0.0, 0.01, 0.3])
            mark = chooser.choice(["/", "|", None])
            manner = Manner(0 if alts == ["."] else len(alts), rarity, missing, mark)
            cells = []
            for sample in range(n):
                haploid = contig == "MT" or (contig == "X" and men is not None and sample in men)
                cells.append(_random_call(chooser, manner, haploid) + rest)
            name = chooser.choice([".", f"rs{position}", "a;b"])
            lines.append("\t".join([contig, str(position), name, ref, ",".join(alts), ".", "PASS", info, fmt, *cells]))
    return lines


def _random_alt(chooser: random.Random, ref: str) -> str:
    kind = chooser.random()
    if kind < 0.04:
        return "*"
    if kind < 0.14:
        return chooser.choice(["<DEL>", "<CN0>", "<INS>", "<NON_REF>", "<*>"])
    if kind < 0.18:
        return chooser.choice(["G]22:5000]", "[1:77[T", "A[X:5[", "CAT.", ".G"])
    if kind < 0.5:
        return ref + "".join(chooser.choice("ACGT") for _ in range(chooser.choice([1, 2, 12])))
    if kind < 0.6 and len(ref) > 1:
        return ref[: chooser.randrange(1, len(ref))]
    return "".join(chooser.choice("ACGTacgt") for _ in range(chooser.choice([1, 1, 1, 4])))


class Manner(NamedTuple):
    """How a record's calls are written: highest allele, how often ALT and missing, and the separator (None: any)."""

    top: int
    rarity: float
    missing: float
    mark: str | None


def _random_call(chooser: random.Random, manner: Manner, haploid: bool) -> str:
    def allele() -> str:
        if chooser.random() < manner.missing:
            return "."
        return str(chooser.randrange(1, manner.top + 1)) if manner.top and chooser.random() < manner.rarity else "0"

    if haploid or (manner.missing and chooser.random() < 0.02):
        return allele() if haploid else "."
    return allele() + (manner.mark or chooser.choice("/|")) + allele()


class Row(NamedTuple):
    """One ALT of one record, as a plain reading of the specification has it."""

    contig: str
    position: int
    end: int
    ref: str
    alt: str
    id: str
    record: int
    alt_index: int
    n_alts: int
    source: str
    alleles: list[tuple[int, int]]
    phased: list[bool]


def naive_rows(lines: list[str]) -> Iterator[Row]:
    """Split, trim and decode with str.split."""
    for record, line in enumerate(lines):
        contig, pos, name, ref, alt, _, _, info, fmt, *cells = line.split("\t")
        assert fmt.startswith("GT")
        alts = alt.split(",")
        tags = dict(tag.split("=") for tag in info.split(";"))
        calls = [cell.split(":")[0] for cell in cells]
        unseen = {one for one in alts if one in ("<*>", "<NON_REF>")}
        for index, one in enumerate(alts):
            if one in unseen and not set(alts) <= unseen:
                continue  # "any other allele" beside variants is no variant
            spelled = one.upper() if is_sequence(one.upper()) else one
            position, left, right = trim(int(pos) - 1, ref.upper(), spelled)
            end = position + len(left)
            if one in unseen or (one == "." and int(tags.get("END", 0)) > end):
                right = "<NON_REF>"  # a reference block, whatever the file calls it
            if right.startswith("<"):
                if "END" in tags:
                    end = int(tags["END"])
                elif "SVLEN" in tags and one in ("<DEL>", "<CN0>"):
                    end = int(pos) + abs(int(tags["SVLEN"].split(",")[0]))
            same = (position + 1, left, right) == (int(pos), ref, alt)
            alleles, phased = [], []
            for call in calls:
                marks = [-1 if part == "." else int(int(part) == index + 1) for part in call.replace("|", "/").split("/")]
                alleles.append((marks[0], marks[1] if len(marks) > 1 else -2))
                phased.append("|" in call)
            yield Row(
                contig,
                position,
                end,
                left,
                right,
                "" if name == "." else name,
                record,
                index,
                len(alts),
                "" if same else f"{pos}\t{ref}\t{alt}",
                alleles,
                phased,
            )


def twin_store(rows: list[Row], samples: list[str], folder: Path) -> GenotypeStore:
    """The rows through the reference encoder."""
    with StoreWriter(folder, assembly=Assembly.GRCH37, samples=samples) as writer:
        for contig in dict.fromkeys(row.contig for row in rows):
            some = [row for row in rows if row.contig == contig]
            columns = list(zip(*some, strict=True))
            alleles, phased = np.array(columns[10], np.int8), np.array(columns[11], np.bool_)
            writer.add(encode_calls(contig, *columns[1:10], alleles, phased), 0)
    return open_store(folder)


def load(path: Path, folder: Path, assembly: Assembly = Assembly.GRCH37, reference: Path | None = None) -> GenotypeReport:
    return load_genotypes([path], folder, assembly=assembly, reference=reference)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("n_samples", [1, 37, 130, 700])
@pytest.mark.parametrize("form", ["vcf", "vcf.gz", "bcf"])
def test_the_compiled_encoder_writes_what_the_naive_twin_writes(
    n_samples: int, form: str, tmp_path: Path, referee: Callable[[str], str]
) -> None:
    samples = [f"S{i}" for i in range(n_samples)]
    lines = [line for line in random_lines(n_samples, n_samples) if n_samples > 1 or "\t." not in line[-3:]]
    source = tmp_path / f"x.{form}"
    source.write_text(vcf(samples, lines))
    if form != "vcf":
        flag = "-Ob" if form == "bcf" else "-Oz"
        text = source.read_text()
        subprocess.run(
            [referee("bcftools"), "view", flag, "-o", source, "-"], input=text, text=True, check=True, capture_output=True
        )
    report = load(source, tmp_path / "ours")
    lines = [_as_diploid(line) for line in lines]
    rows = list(naive_rows(lines))
    twin_store(rows, samples, tmp_path / "twin")
    assert report.variants == len(rows)
    ours, twin = content(tmp_path / "ours"), content(tmp_path / "twin")
    assert ours.keys() == twin.keys()
    assert all(ours[name] == twin[name] for name in ours), [name for name in ours if ours[name] != twin[name]]


def _as_diploid(line: str) -> str:
    """A lone `.` makes no ploidy pattern: among diploid calls it is `./.`."""
    fields = line.split("\t")
    return "\t".join(fields[:9] + ["./" + cell if cell.split(":")[0] == "." else cell for cell in fields[9:]])


@pytest.mark.parametrize("form", ["vcf", "bcf"])
def test_men_are_haploid_on_x_and_share_a_pattern(form: str, tmp_path: Path, referee: Callable[[str], str]) -> None:
    samples = [f"S{i}" for i in range(150)]
    men = set(range(0, 150, 2))
    lines = random_lines(5, 150, men=men)
    source = tmp_path / f"x.{form}"
    source.write_text(vcf(samples, lines))
    if form == "bcf":
        text = source.read_text()
        subprocess.run(
            [referee("bcftools"), "view", "-Ob", "-o", source, "-"], input=text, text=True, check=True, capture_output=True
        )
    load(source, tmp_path / "ours")
    store = open_store(tmp_path / "ours")
    rows = sorted(
        naive_rows(lines), key=lambda row: (("1", "X", "MT").index(row.contig), row.position, row.record, row.alt_index)
    )
    calls, counts = store.calls(range(len(rows))), store.allele_counts(range(len(rows)))
    patterns = 0
    for i, row in enumerate(rows):
        ours, theirs = calls.alleles[i].copy(), np.array(row.alleles, np.int8)
        absent = (theirs < 0).all(axis=1)
        assert (ours[absent] < 0).all()
        ours[absent] = theirs[absent] = -1
        # Which of two unphased alleles comes first is not kept.
        loose = ~np.array(row.phased) & (theirs >= 0).all(axis=1)
        ours[loose], theirs[loose] = np.sort(ours[loose], axis=1), np.sort(theirs[loose], axis=1)
        assert (ours == theirs).all(), row[:8]
        assert (counts.an[i], counts.ac[i], counts.missing[i]) == _naive_counts(row)
        patterns += bool(i and row.contig == "X" and ((calls.alleles[i] == -2) != (calls.alleles[i - 1] == -2)).any())
    assert patterns < 4


def _naive_counts(row: Row) -> tuple[int, int, int]:
    called = [[a for a in pair if a >= 0] for pair in row.alleles]
    full = [len(a) == sum(b != -2 for b in pair) for a, pair in zip(called, row.alleles, strict=True)]
    return sum(map(len, called)), sum(map(sum, called)), full.count(False)


def test_columns_in_another_order_are_put_in_the_first_files_order(tmp_path: Path) -> None:
    samples = [f"S{i}" for i in range(90)]
    lines = random_lines(9, 90)
    first = [line for line in lines if line.startswith("1\t")]
    second = [line for line in lines if line.startswith("22\t")]
    order = list(range(90))
    random.Random(3).shuffle(order)
    shuffled = ["\t".join([*fields[:9], *(fields[9 + i] for i in order)]) for fields in (line.split("\t") for line in second)]
    (tmp_path / "a.vcf").write_text(vcf(samples, first))
    (tmp_path / "b.vcf").write_text(vcf(samples, second))
    (tmp_path / "c.vcf").write_text(vcf([samples[i] for i in order], shuffled))
    for name in "bc":
        paths = [tmp_path / "a.vcf", tmp_path / f"{name}.vcf"]
        report = load_genotypes(paths, tmp_path / f"store-{name}", assembly=Assembly.GRCH37)
        assert report.samples == tuple(samples)
    assert content(tmp_path / "store-b") == content(tmp_path / "store-c")


def test_bytes_depend_on_the_records_alone(tmp_path: Path) -> None:
    """Plain, gzip and BGZF of several members and block sizes, CRLF, no last line end, chr names: one store."""
    lines = random_lines(4, 60)
    text = vcf([f"S{i}" for i in range(60)], lines)
    raw = text.encode()
    stores = []
    variants = {
        "a.vcf": raw,
        "b.vcf": raw[:-1],
        "d.vcf.gz": gzip.compress(raw),
        "e.vcf.gz": gzip.compress(raw[:5000]) + gzip.compress(raw[5000:5001]) + gzip.compress(b"") + gzip.compress(raw[5001:]),
        "f.vcf.gz": _bgzf(raw, 300),
        "g.vcf.gz": _bgzf(raw[:9000], 60_000) + _bgzf(raw[9000:], 999),
        "h.vcf.gz": _bgzf(raw[:9000], 60_000) + gzip.compress(raw[9000:]),
        "i.vcf": text.replace("\n1\t", "\nchr1\t").replace("\n22\t", "\nNC_000022.10\t").encode(),
    }
    for name, data in variants.items():
        (tmp_path / name).write_bytes(data)
        load(tmp_path / name, tmp_path / f"store-{name}")
        stores.append(content(tmp_path / f"store-{name}"))
    assert all(store == stores[0] for store in stores), [name for name, store in zip(variants, stores) if store != stores[0]]  # noqa: B905
    (tmp_path / "crlf.vcf").write_bytes(raw.replace(b"\n", b"\r\n"))
    load(tmp_path / "crlf.vcf", tmp_path / "store-crlf")
    assert content(tmp_path / "store-crlf") == stores[0]


def _bgzf(data: bytes, block: int) -> bytes:
    import struct

    out = []
    for start in range(0, len(data), block):
        squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
        part = squeezer.compress(data[start : start + block]) + squeezer.flush()
        out.append(struct.pack("<4BI2BH2B2H", 31, 139, 8, 4, 0, 0, 255, 6, 66, 67, 2, len(part) + 25) + part)
        out.append(struct.pack("<2I", zlib.crc32(data[start : start + block]), len(data[start : start + block])))
    return b"".join(out) + bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


def test_left_alignment_is_that_of_bcftools_norm(tmp_path: Path, referee: Callable[[str], str]) -> None:
    chooser = random.Random(11)
    # Repeats of short units, so that indels have far to go; the sequence is MT's length.
    sequence = ""
    while len(sequence) < 16_569:
        unit = "".join(chooser.choice("ACGT") for _ in range(chooser.choice([1, 1, 2, 3, 5])))
        sequence += unit * chooser.choice([1, 1, 2, 6, 20])
    sequence = sequence[:16_569]
    fasta = tmp_path / "mt.fa"
    fasta.write_text(">MT\n" + "\n".join(sequence[i : i + 50] for i in range(0, len(sequence), 50)) + "\n")
    lines = []
    for position in sorted(chooser.randrange(2, 16_400) for _ in range(1500)):
        kind = chooser.random()
        length = chooser.choice([1, 1, 2, 3, 4, 6, 10])
        here = sequence[position : position + length + 1]
        if kind < 0.4:
            ref, alt = here, here[0]
        elif kind < 0.6:
            ref, alt = here[0], here
        elif kind < 0.8:
            ref, alt = here[0], here[0] + "".join(chooser.choice("ACGT") for _ in range(length))
        elif kind < 0.9:
            ref, alt = here + here[:0], here[-1]
        else:
            ref, alt = here, "".join(chooser.choice("ACGT") for _ in range(length))
        if ref != alt:
            lines.append(f"MT\t{position + 1}\t{len(lines)}\t{ref}\t{alt}\t.\t.\t.\tGT\t0|1\t0|0")
    source = tmp_path / "x.vcf"
    source.write_text(vcf(["A", "B"], lines))
    report = load(source, tmp_path / "store", reference=fasta)
    table = (store := open_store(tmp_path / "store")).table(store.contig_rows("MT"))
    ours = {table.id[i]: (int(table.position[i]) + 1, table.ref[i], table.alt[i]) for i in range(len(lines))}
    normed = subprocess.run(
        [referee("bcftools"), "norm", "-f", fasta, "-w", "20000", source], capture_output=True, text=True, check=True
    ).stdout
    theirs = {}
    for line in normed.splitlines():
        if not line.startswith("#"):
            _, pos, name, ref, alt, *_ = line.split("\t")
            theirs[name] = (int(pos), ref, alt)
    differ = [(name, ours[name], theirs[name]) for name in theirs if ours[name] != theirs[name]]
    assert not differ, differ[:5]
    assert report.left_aligned > 200


@pytest.mark.parametrize("name", ["kg3-chr22-cen", "kg3-aims", "kg3-chr22-tel"])
def test_real_records_count_as_bcftools_counts_them(
    name: str, tmp_path: Path, shared_data: Path, referee: Callable[[str], str]
) -> None:
    source = next(path for path in (shared_data / name).iterdir() if path.suffix in (".bcf", ".gz"))
    if name == "kg3-chr22-tel":  # a slice; the proof loads all
        small = tmp_path / "slice.bcf"
        region = ["-t", "22:50300000-50340000"]
        subprocess.run([referee("bcftools"), "view", *region, "-Ob", "-o", small, source], check=True)
        source = small
    report = load(source, tmp_path / "store")
    split = subprocess.run([referee("bcftools"), "norm", "-m-", "-Ou", source], capture_output=True, check=True).stdout
    tags = [referee("bcftools"), "+fill-tags", "-Ou", "-", "--", "-t", "AN,AC,AC_Het,AC_Hom"]
    filled = subprocess.run(tags, input=split, capture_output=True, check=True).stdout
    query = "%POS\t%REF\t%ALT\t%AN\t%AC\t%AC_Het\t%AC_Hom\n"
    told = subprocess.run([referee("bcftools"), "query", "-f", query, "-"], input=filled, capture_output=True, check=True)
    expected = []
    for line in told.stdout.decode().splitlines():
        pos, ref, alt, an, ac, het, hom = line.split("\t")
        position, ref, alt = trim(int(pos) - 1, ref, alt)
        expected.append((position, ref, alt, int(an), int(ac), int(het), int(hom) // 2))
    store = open_store(tmp_path / "store")
    ours = []
    for contig in store.info.contigs:
        rows = store.contig_rows(contig)
        table, counts = store.table(rows), store.allele_counts(rows)
        columns = (counts.an, counts.ac, counts.het, counts.hom)
        ours += list(zip(table.position.tolist(), table.ref, table.alt, *(c.tolist() for c in columns), strict=True))
    assert sorted(ours) == sorted(expected)
    assert report.variants == len(expected)
    assert report.call_rate == 1.0
    if name == "kg3-aims":
        assert (report.sample_het.sum(), report.sample_hom.sum()) == _psc(source, referee)


def _psc(source: Path, referee: Callable[[str], str]) -> tuple[int, int]:
    """Het and hom ALT calls of all records, as bcftools prints them."""
    query = [referee("bcftools"), "query", "-f", "[%GT\n]", source]
    calls = Counter(subprocess.run(query, capture_output=True, text=True, check=True).stdout.split())
    pairs = [(call.replace("|", "/").split("/"), count) for call, count in calls.items()]
    het = sum(count for (a, b), count in pairs if a != b)
    return het, sum(count for (a, b), count in pairs if a == b != "0")


def test_a_file_of_the_other_build_is_known_by_its_bases(
    tmp_path: Path, shared_data: Path, referee: Callable[[str], str]
) -> None:
    for stated, other in ((Assembly.GRCH37, Assembly.GRCH38), (Assembly.GRCH38, Assembly.GRCH37)):
        source = shared_data / "kg3-exome-common" / f"kg3.exome-common.{other}.bcf"
        few = tmp_path / f"{other}.vcf"
        text = subprocess.run(
            [referee("bcftools"), "view", "-t", "22:20000000-45000000", source], capture_output=True, text=True, check=True
        ).stdout
        few.write_text("\n".join(line for line in text.split("\n") if not line.startswith("##contig")))
        with pytest.raises(AssemblyMismatch, match=f"common variants at their {other} positions"):
            load(few, tmp_path / f"wrong-{other}", stated)
        assert load(few, tmp_path / f"right-{other}", other).records > 100


def test_records_without_gt_are_not_called_and_the_report_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.vcf").write_text(
        vcf(["A", "B"], ["1\t5\t.\tA\tG\t.\t.\t.\tDP\t3\t4", "1\t6\t.\tA\tG\t.\t.\t.\tGT\t0/1\t0/0"])
    )
    report = load(tmp_path / "x.vcf", tmp_path / "store")
    counts = open_store(tmp_path / "store").allele_counts(range(2))
    assert counts.an.tolist() == [0, 4] and counts.missing.tolist() == [2, 0]
    assert report.warnings == ("1 records have no GT: everybody is not called there",)
    assert report.call_rate == 0.5


@pytest.mark.parametrize("table_rows", [1, 2, 3, 1000])
def test_the_report_lists_records_of_one_key(table_rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cohelix.genotypes.load._TABLE_ROWS", table_rows)  # keys may lie across the blocks looked at
    lines = [
        "1\t100\t.\tCA\tC\t.\t.\t.\tGT\t0/1",
        "1\t100\t.\tCAA\tCA,C\t.\t.\t.\tGT\t1/2",
        "1\t101\t.\tA\tG\t.\t.\t.\tGT\t0/0",
    ]
    (tmp_path / "x.vcf").write_text(vcf(["A"], lines))
    (tmp_path / "y.vcf").write_text(vcf(["A"], lines[2:]))
    report = load_genotypes([tmp_path / "x.vcf", tmp_path / "y.vcf"], tmp_path / "store", assembly=Assembly.GRCH37)
    assert [(one.variant, one.rows) for one in report.duplicates] == [("1-100-CA-C", 2), ("1-101-A-G", 2)]
    assert (report.duplicate_variants, report.multiallelic, report.trimmed) == (2, 1, 1)
    assert (report.transitions, report.transversions, report.ti_tv) == (2, 0, None)
    assert report.het_hom is None


MEASURED = """
import re, sys
from pathlib import Path
from cohelix.core.errors import BadFile
from cohelix.core.genome import Assembly
from cohelix.genotypes.load import load_genotypes
told = []
try:
    report = load_genotypes([Path(sys.argv[1])], Path(sys.argv[2]), assembly=Assembly.GRCH37, progress=told.append)
    print("records", report.records, report.variants)
except BadFile as error:
    print("refused", error.detail[-200:])
assert all(a.bytes_done <= b.bytes_done <= b.bytes_total for a, b in zip(told, told[1:]))
print("MiB", int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


def _measured(source: Path, folder: Path) -> tuple[str, int]:
    """Load in a process of its own: what it says, and its peak memory in MiB."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, source, folder], capture_output=True, text=True, check=True, timeout=120
    )
    said, memory = done.stdout.strip().split("\n")
    return said, int(memory.split()[1])


def _compressed(path: Path, head: bytes, body: bytes, times: int, tail: bytes, *, bgzf: bool) -> None:
    """Write `head`, `times` copies of `body` and `tail`, compressed, without holding them."""
    with path.open("wb") as file:
        if bgzf:
            end = 28
            file.write(_bgzf(head, 0xFF00)[:-end])
            file.write(_bgzf(body, 0xFF00)[:-end] * times)
            file.write(_bgzf(tail, 0xFF00))
        else:
            with gzip.GzipFile("", "wb", 6, file, mtime=0) as out:
                out.write(head)
                for _ in range(times):
                    out.write(body)
                out.write(tail)


def test_homozygous_reference_lines_of_a_gigabyte_load_in_bounded_memory(tmp_path: Path) -> None:
    """Hundreds to one is honest here: nobody carries anything, which is what most records of a large cohort are like."""
    n = 10_000
    head = vcf([f"S{i}" for i in range(n)], []).encode()
    line = b"1\t1000\t.\tA\tG\t.\t.\t.\tGT" + b"\t0|0" * n + b"\n"
    path = tmp_path / "bomb.vcf.gz"
    _compressed(path, head, line * 50, 500, b"", bgzf=True)
    assert path.stat().st_size * 300 < 25_000 * len(line)
    said, memory = _measured(path, tmp_path / "store")
    assert said == "records 25000 25000"
    assert memory < 1024


@pytest.mark.parametrize("bgzf", [True, False])
def test_a_line_without_end_is_refused_in_bounded_memory(bgzf: bool, tmp_path: Path) -> None:
    head = vcf(["A", "B"], []).encode()
    path = tmp_path / "bomb.vcf.gz"
    _compressed(path, head + b"1\t1000\t.\tA\tG\t.\t.\t.\tGT\t0|0\t0|0", b"0" * 0xFF00 * 16, 200, b"\n", bgzf=bgzf)
    said, memory = _measured(path, tmp_path / "store")
    assert said.startswith("refused") and "longer than this many samples can need" in said
    assert memory < 1024


def test_many_alleles_that_nobody_is_called_for_stay_in_bounded_memory(tmp_path: Path) -> None:
    """Each ALT of a record with missing calls is a packed row: a small record can become a large batch."""
    n = 20_000
    alts = ",".join(
        "ACGT"[i & 3] + "ACGT"[i >> 2 & 3] + "ACGT"[i >> 4 & 3] + "ACGT"[i >> 6 & 3] + "A" for i in range(256)
    ).split(",")
    lines = [f"1\t{1000 + i}\t.\tC\t{','.join(alts)}\t.\t.\t.\tGT" + "\t./." * n for i in range(60)]
    path = tmp_path / "wide.vcf"
    path.write_text(vcf([f"S{i}" for i in range(n)], lines))
    said, memory = _measured(path, tmp_path / "store")
    assert said == f"records 60 {60 * 256}"
    assert memory < 1024


def test_progress_is_told_and_ends_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "x.vcf"
    path.write_text(vcf([f"S{i}" for i in range(60)], random_lines(1, 60)))
    again = tmp_path / "again.vcf"
    again.write_bytes(path.read_bytes())
    told = []
    load_genotypes([path, again], tmp_path / "store", assembly=Assembly.GRCH37, progress=told.append)
    assert told[-1].bytes_done == told[-1].bytes_total == 2 * path.stat().st_size
    assert told[-1].records == 480


def test_no_file_is_a_refusal(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="there is no such file"):
        load(tmp_path / "absent.vcf", tmp_path / "store")


def test_a_file_given_twice_is_a_refusal(tmp_path: Path) -> None:
    path = tmp_path / "x.vcf"
    path.write_text(vcf(["A"], ["1\t100\t.\tC\tT\t.\t.\t.\tGT\t0/1"]))
    with pytest.raises(BadFile, match="given twice; expected each genotype file once"):
        load_genotypes([path, tmp_path / "." / "x.vcf"], tmp_path / "store", assembly=Assembly.GRCH37)
