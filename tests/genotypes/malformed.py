"""Malformed genotype files, each made out of a good one: what was done to it, and what the refusal has to say.

`cases()` yields them; `pytest tests/genotypes/test_malformed.py` loads each. The table part is the bank's.
"""

from __future__ import annotations

import gzip
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

SAMPLES = ("A1", "B2", "C3", "D4")
CONTIGS = (("1", 249_250_621), ("22", 51_304_566), ("X", 155_270_560), ("MT", 16_569))
END_MARK = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


class Case(NamedTuple):
    """A malformed file: its name says what is wrong; `place` and `says` must stand in the refusal."""

    name: str
    files: tuple[tuple[str, bytes], ...]
    place: str
    says: str
    error: str = "BadFile"
    reference: bytes | None = None


def header(*, samples: tuple[str, ...] = SAMPLES, contigs: tuple[tuple[str, int], ...] = CONTIGS) -> str:
    lines = ["##fileformat=VCFv4.2"]
    lines += [f"##contig=<ID={name},length={length}>" for name, length in contigs]
    lines += [
        '##INFO=<ID=END,Number=1,Type=Integer,Description="End">',
        '##INFO=<ID=SVLEN,Number=A,Type=Integer,Description="Length">',
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">',
        '##FORMAT=<ID=DP,Number=1,Type=Integer,Description="Depth">',
    ]
    columns = ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *samples]
    return "\n".join(lines) + "\n" + "\t".join(columns) + "\n"


HEADER = header()
HEADER_LINES = HEADER.count("\n")
RECORDS = (
    "1\t1000\trs1\tA\tG\t.\tPASS\t.\tGT\t0/0\t0/1\t1/1\t./.\n",
    "1\t2000\t.\tC\tT,G\t.\tPASS\t.\tGT:DP\t0|2:3\t1|2:4\t0|0:5\t.:0\n",
    "22\t16050075\t.\tAT\tA\t9\tPASS\tDP=3\tGT\t0/0\t0/1\t1/1\t./1\n",
    "22\t16050200\t.\tG\t<DEL>\t9\tPASS\tEND=16050300\tGT\t0/0\t0/1\t0\t1\n",
)


def good() -> bytes:
    """The file that all cases start from: it loads."""
    return (HEADER + "".join(RECORDS)).encode()


def bgzf(data: bytes, *, block: int = 0xFF00, end: bytes = END_MARK) -> bytes:
    """BGZF, written with zlib."""
    out = []
    for start in range(0, len(data), block):
        part = data[start : start + block]
        squeezer = zlib.compressobj(6, zlib.DEFLATED, -15)
        deflated = squeezer.compress(part) + squeezer.flush()
        out.append(struct.pack("<4BI2BH2B2H", 31, 139, 8, 4, 0, 0, 255, 6, 66, 67, 2, len(deflated) + 25))
        out.append(deflated + struct.pack("<2I", zlib.crc32(part), len(part)))
    return b"".join(out) + end


def _line(number: int, column: int, text: str) -> bytes:
    """The good file with one column of one record replaced; records and columns count from 0."""
    lines = list(RECORDS)
    fields = lines[number].rstrip("\n").split("\t")
    fields[column] = text
    lines[number] = "\t".join(fields) + "\n"
    return (HEADER + "".join(lines)).encode()


def _records(*lines: str) -> bytes:
    return (HEADER + "".join(lines)).encode()


def _place(record: int) -> str:
    return f"line {HEADER_LINES + record + 1}"


def cases() -> Iterator[Case]:
    """Every malformed file."""
    yield from _columns()
    yield from _genotypes()
    yield from _order()
    yield from _headers()
    yield from _assemblies()
    yield from _compression()
    yield from _several_files()
    yield from _bcf()
    yield from _references()
    yield from _plink()


def _vcf(name: str, content: bytes, place: str, says: str, error: str = "BadFile") -> Case:
    return Case(name, ((f"{name}.vcf", content),), place, says, error)


def _columns() -> Iterator[Case]:
    for i, text in enumerate(["", "x", "-5", "1e6", "1.5", " 1000", "99999999999999999999", "0x10", "1000 ", "+7", "²"]):
        yield _vcf(f"pos-not-a-number-{i}", _line(0, 1, text), _place(0), "POS is not a whole number")
    yield _vcf("pos-zero", _line(0, 1, "0"), _place(0), "POS is 0")
    for i, text in enumerate(["249250622", "4294967295", "9999999999"]):
        yield _vcf(f"pos-beyond-contig-{i}", _line(1, 1, text), _place(1), "beyond the end of contig 1")
    yield _vcf("ref-over-contig-end", _records("MT\t16569\t.\tAC\tA\t.\t.\t.\tGT\t0\t0\t0\t0\n"), _place(0), "beyond the end")
    for i, text in enumerate(["", ".", "*", "X", "A C", "<DEL>", "R", "A,C", "AÅ", "1", "-", "ACGU"]):
        yield _vcf(f"ref-bad-{i}", _line(0, 3, text), _place(0), "REF is empty or has other characters")
    alts = [
        "",
        "X",
        "A,",
        ",A",
        "A,,C",
        "<DEL",
        "DEL>",
        "<>",
        "G,.",
        "A C",
        "[1:5",
        "]1:5[A",
        "A[[",
        "A]1:5]C",
        "..",
        "G*",
        "<D,L>",
        "-",
        "ü",
    ]
    for i, text in enumerate(alts):
        yield _vcf(f"alt-bad-{i}", _line(0, 4, text), _place(0), "ALT")
    yield _vcf("id-empty", _line(0, 2, ""), _place(0), "the ID is empty")
    yield _vcf("id-endless", _line(0, 2, "r" * 70_000), _place(0), "too long")
    yield _vcf("end-not-a-number", _line(3, 7, "END=far"), _place(3), "INFO/END is not a whole number")
    yield _vcf("end-negative", _line(3, 7, "END=-1"), _place(3), "INFO/END is not a whole number")
    for keep in range(1, 13):
        lines = list(RECORDS)
        lines[1] = "\t".join(lines[1].rstrip("\n").split("\t")[:keep]) + "\n"
        yield _vcf(f"columns-cut-{keep:02}", _records(*lines), _place(1), "columns")
    yield _vcf("columns-one-more", _records(RECORDS[0][:-1] + "\t0/0\n"), _place(0), "columns")
    yield _vcf("columns-many-more", _records(RECORDS[0][:-1] + "\t0/0" * 900 + "\n"), _place(0), "columns")
    yield _vcf("columns-more-without-gt", _records("1\t5\t.\tA\tG\t.\t.\t.\tDP\t1\t2\t3\t4\t5\n"), _place(0), "columns")
    yield _vcf("columns-by-spaces", _records(RECORDS[0].replace("\t", " ")), _place(0), "columns")
    yield _vcf("line-empty", _records(RECORDS[0], "\n", RECORDS[1]), _place(1), "an empty line")
    yield _vcf("line-empty-crlf", _records(RECORDS[0], "\r\n", RECORDS[1]), _place(1), "an empty line")
    yield _vcf(
        "line-header-among-records", _records(RECORDS[0], "##source=x\n", RECORDS[1]), _place(1), "a header line stands among"
    )
    yield _vcf(
        "line-header-again", (HEADER + RECORDS[0] + HEADER + RECORDS[1]).encode(), _place(1), "a header line stands among"
    )
    yield _vcf("line-cut-at-end", good()[:-9], _place(3), "columns")
    yield _vcf("line-zeros", good() + b"\0" * 64, _place(4), "columns")
    yield _vcf("alts-too-many", _line(0, 4, ",".join(["G"] * 70_000)), _place(0), "too many alleles")
    yield _vcf("alts-too-heavy", _line(0, 4, ",".join(["G" * 2000] * 500)), _place(0), "too many alleles, or too long")
    yield _vcf("ref-too-long", _line(0, 3, "A" * (5 << 20)), _place(0), "too many alleles, or too long")
    yield _vcf("info-too-long", _line(0, 7, "X" * (5 << 20)), _place(0), "longer than this many samples can need")
    yield _vcf("sample-too-long", _line(1, 9, "0|0:" + "7" * (5 << 20)), _place(1), "longer than this many samples can need")


def _genotypes() -> Iterator[Case]:
    bad = [
        "",
        "0/",
        "/",
        "|",
        "0//1",
        "a/b",
        "0:1/1:",
        "0\\1",
        "0-1",
        "-1/0",
        "0/1/",
        "A/A",
        "0 1",
        "0/.x",
        "+1/0",
        "//0",
        "0;1",
        "./x",
    ]
    for i, text in enumerate(bad):
        if text == "0:1/1:":
            continue
        yield _vcf(f"gt-text-{i:02}", _line(0, 10, text), _place(0), "column 11: a genotype is not written as GT is")
    for i, text in enumerate(["0/0/0", "0|1|1", "./././.", "1/1/1/1/1", "0/0/"[:4] + "1"]):
        yield _vcf(f"gt-polyploid-{i}", _line(0, 11, text), _place(0), "column 12: a genotype has more than two alleles")
    for i, text in enumerate(["0/2", "2/0", "2", "9|0", "10/0", "0/99999999999999999999", "./2", "2/."]):
        yield _vcf(f"gt-allele-range-{i}", _line(0, 12, text), _place(0), "column 13: a genotype names an allele")
    yield _vcf("gt-alt-of-none", _line(0, 4, "."), _place(0), "a genotype names an allele")
    yield _vcf("gt-last-column-empty", _line(0, 12, ""), _place(0), "columns")
    yield _vcf("gt-not-first", _line(1, 8, "DP:GT"), _place(1), "GT is not the first")
    wide = header(samples=tuple(f"S{i}" for i in range(200)))
    for column in (0, 1, 15, 16, 63, 64, 127, 198, 199):
        cells = ["0|0"] * 200
        cells[column] = "0|7"
        content = wide + "1\t10\t.\tA\tG\t.\t.\t.\tGT\t" + "\t".join(cells) + "\n"
        yield _vcf(
            f"gt-wide-{column:03}",
            content.encode(),
            f"line {wide.count(chr(10)) + 1}",
            f"column {column + 10}: a genotype names",
        )


def _order() -> Iterator[Case]:
    yield _vcf("order-positions", _records(RECORDS[1], RECORDS[0]), _place(1), "the records are not sorted")
    yield _vcf("order-positions-later", _records(*RECORDS, RECORDS[2]), _place(4), "the records are not sorted")
    yield _vcf("order-contig-returns", _records(RECORDS[0], RECORDS[2], RECORDS[1]), _place(2), "contig 1 comes back")
    renamed = RECORDS[1].replace("1\t2000", "chr1\t2000")
    yield _vcf("order-contig-under-another-name", _records(RECORDS[0], renamed), _place(1), "contig 1 comes back")
    for i, name in enumerate(["23", "chr99", "II", "", "chr", "1 ", "NC_000099.1", "scaffold_7", "22_KI270879v1_fake"]):
        says = "columns" if name == "" else "has no contig"
        yield _vcf(f"contig-unknown-{i}", _line(2, 0, name), _place(2), says)
    many = "".join(f"{1 + i % 2}\t{1000 + i}\t.\tA\tG\t.\t.\t.\tGT\t0/0\t0/0\t0/0\t0/1\n" for i in range(50_000))
    yield _vcf("order-alternating-contigs", (HEADER + many).encode(), _place(2), "contig 1 comes back")
    block = "".join(f"1\t{1000 + i}\t.\tA\tG\t.\t.\t.\tGT\t0/0\t0/0\t0/0\t0/1\n" for i in range(300_000))
    yield _vcf("order-over-blocks", (HEADER + block + RECORDS[0]).encode(), _place(300_000), "the records are not sorted")
    back = HEADER + block + RECORDS[2] + RECORDS[1]
    yield _vcf("order-contig-returns-over-blocks", back.encode(), _place(300_001), "contig 1 comes back")


def _headers() -> Iterator[Case]:
    body = "".join(RECORDS)
    last = f"line {HEADER_LINES}"
    yield _vcf("empty", b"", "byte 0", "the file is empty")
    yield _vcf("text", b"hello\n", "byte 0", "neither VCF nor BCF")
    yield _vcf("binary", random.Random(1).randbytes(5000), "byte 0", "neither VCF nor BCF")
    yield _vcf("html", b"<!DOCTYPE html><html>404</html>", "byte 0", "neither VCF nor BCF")
    yield _vcf("records-only", body.encode(), "byte 0", "neither VCF nor BCF")
    yield _vcf("header-only", HEADER.encode(), last, "the file has no record")
    yield _vcf("header-only-no-newline", HEADER[:-1].encode(), last, "the file has no record")
    yield _vcf("header-no-fileformat", good().replace(b"##fileformat=VCFv4.2\n", b""), "byte 0", "neither VCF nor BCF")
    yield _vcf("header-other-format", good().replace(b"VCFv4.2", b"GVFv1"), "byte 0", "neither VCF nor BCF")
    cut = "\n".join(line for line in HEADER.splitlines() if not line.startswith("#CHROM"))
    yield _vcf("header-no-columns", (cut + "\n" + body).encode(), f"line {HEADER_LINES}", "no #CHROM line")
    yield _vcf("header-only-meta", (cut + "\n").encode(), "header", "no #CHROM line")
    yield _vcf("header-no-samples", good().replace(("\t" + "\t".join(SAMPLES)).encode(), b""), last, "no sample columns")
    sites = "".join("\t".join(line.rstrip("\n").split("\t")[:8]) + "\n" for line in RECORDS)
    only = HEADER.replace("\tFORMAT\t" + "\t".join(SAMPLES), "")
    yield _vcf("sites-only", (only + sites).encode(), last, "no sample columns")
    for i, names in enumerate([("A1", "B2", "A1", "D4"), ("A1", "A1", "C3", "D4"), ("D4", "B2", "C3", "D4")]):
        yield _vcf(f"samples-repeated-{i}", (header(samples=names) + body).encode(), last, "repeats a sample name")
    for i, names in enumerate([("A1", "", "C3", "D4"), ("A1", "B2", "C3", ""), (" ", "B2", "C3", "D4")]):
        yield _vcf(f"samples-empty-{i}", (header(samples=names) + body).encode(), last, "empty sample name")
    for i, (old, new) in enumerate(
        [("\tPOS\t", "\tpos\t"), ("ID\tREF", "REF\tID"), ("\tINFO", ""), ("#CHROM\tPOS", "#CHROM POS")]
    ):
        yield _vcf(
            f"columns-named-otherwise-{i}",
            good().replace(old.encode(), new.encode(), 1),
            last,
            "the column names are not VCF's",
        )
    yield _vcf("header-no-format", good().replace(b"\tFORMAT\t", b"\tGT\t", 1), last, "the ninth column is not FORMAT")
    for i, raw in enumerate([b"\xff", b"\xc3", b"\xe9t\xe9", b"\xf0\x9f"]):
        content = good().replace(b'Description="Genotype"', b'Description="' + raw + b'"')
        yield _vcf(f"header-not-utf8-{i}", content, "line 8", "not UTF-8")
    yield _vcf("header-sample-not-utf8", good().replace(b"B2", b"B\xe4"), last, "not UTF-8")
    yield _vcf("header-plain-line", good().replace(b"##INFO=<ID=END", b"INFO=<ID=END"), "line", "")
    yield _vcf("header-contig-length", good().replace(b"length=249250621", b"length=long"), "line 2", "is not a whole number")
    yield _vcf("header-contig-no-id", good().replace(b"<ID=22,", b"<"), "line 3", "has no ID")
    yield _vcf("header-endless", b"##fileformat=VCFv4.2\n" + b"##x=" + b"y" * (70 << 20), "header", "does not end")


def _assemblies() -> Iterator[Case]:
    body = "".join(RECORDS)
    other = (("1", 248_956_422), ("22", 50_818_468), ("X", 156_040_895))
    for i, keep in enumerate([other, other[:1], other[1:2], CONTIGS[:1] + other[1:]]):
        yield _vcf(f"assembly-lengths-{i}", (header(contigs=keep) + body).encode(), "header", "GRCh38's", "AssemblyMismatch")
    odd = (("1", 249_250_620),)
    yield _vcf("assembly-odd-length", (header(contigs=odd) + body).encode(), "header", "not the 249250621", "AssemblyMismatch")
    bare = header(contigs=())
    first = f"line {bare.count(chr(10)) + 1}"
    record = RECORDS[2].replace("22\t", "NC_000022.11\t")
    yield _vcf("assembly-accession", (bare + record).encode(), first, "is of GRCh38", "AssemblyMismatch")
    said = bare.replace("##INFO=<ID=END", "##contig=<ID=22,assembly=GRCh38>\n##INFO=<ID=END")
    yield _vcf("assembly-said", (said + RECORDS[2]).encode(), "header", "declared as GRCh38", "AssemblyMismatch")
    hg19 = header(contigs=(("chrM", 16_571), ("chr1", 249_250_621)))
    mito = "chrM\t16500\t.\tA\tG\t.\t.\t.\tGT\t0\t0\t1\t0\n"
    yield _vcf("assembly-hg19-chrm", (hg19 + mito).encode(), f"line {hg19.count(chr(10)) + 1}", "hg19's chrM")


def _compression() -> Iterator[Case]:
    whole = bgzf(good(), block=200)
    for i, size in enumerate([len(whole) - 1, len(whole) - 28, len(whole) - 29, len(whole) // 2, len(whole) // 3, 100, 19]):
        yield Case(f"bgzf-cut-{i}", (("x.vcf.gz", whole[:size]),), "byte", "")
    yield Case("bgzf-no-end-mark", (("x.vcf.gz", bgzf(good(), end=b"")),), "byte", "end mark is missing")
    chooser = random.Random(7)
    for i in range(12):
        at = chooser.randrange(18, len(whole) - 40)
        damaged = bytearray(whole)
        damaged[at] ^= 1 << chooser.randrange(8)
        yield Case(f"bgzf-bit-{i:02}", (("x.vcf.gz", bytes(damaged)),), "byte", "")
    block = int.from_bytes(whole[16:18], "little") + 1
    for name, at in (("crc", block - 8), ("size", block - 4)):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        yield Case(f"bgzf-{name}", (("x.vcf.gz", bytes(damaged)),), "byte 0", "checksum")
    damaged = bytearray(whole)
    damaged[block - 1] = 200
    yield Case("bgzf-size-huge", (("x.vcf.gz", bytes(damaged)),), "byte 0", "claims")
    yield Case(
        "bgzf-trailing-junk", (("x.vcf.gz", whole + b"junk after the end, more than a header"),), f"byte {len(whole)}", ""
    )
    plain = gzip.compress(good(), mtime=0)
    for i, size in enumerate([len(plain) - 1, len(plain) - 5, len(plain) // 2, 12]):
        yield Case(f"gzip-cut-{i}", (("x.vcf.gz", plain[:size]),), "byte", "")
    damaged = bytearray(plain)
    damaged[-6] ^= 8
    yield Case("gzip-crc", (("x.vcf.gz", bytes(damaged)),), "byte 0", "damaged")
    damaged = bytearray(plain)
    damaged[len(plain) // 2] ^= 255
    yield Case("gzip-bit", (("x.vcf.gz", bytes(damaged)),), "byte", "")
    yield Case("gzip-trailing-junk", (("x.vcf.gz", plain + b"junk"),), f"byte {len(plain)}", "behind the end")
    yield Case("gzip-second-member-cut", (("x.vcf.gz", plain + gzip.compress(b"1\t9")[:-3]),), "byte", "cut off")
    yield Case("bgzf-then-gzip-cut", (("x.vcf.gz", whole + plain[:40]),), "byte", "")


def _several_files() -> Iterator[Case]:
    body = "".join(RECORDS)
    for i, names in enumerate([("A1", "B2", "C3"), ("A1", "B2", "C3", "E5"), (*SAMPLES, "E5")]):
        lines = []
        for line in RECORDS:
            fields = line.rstrip("\n").split("\t")
            lines.append("\t".join([*fields[:9], *(["0/0"] * len(names))]) + "\n")
        second = (header(samples=names) + "".join(lines)).encode()
        yield Case(
            f"files-other-samples-{i}",
            (("a.vcf", good()), ("b.vcf", second)),
            "b.vcf",
            "its sample columns are not those of a.vcf",
        )
    other = (header(contigs=(("1", 248_956_422),)) + body).encode()
    yield Case("files-other-assembly", (("a.vcf", good()), ("b.vcf", other)), "b.vcf", "GRCh38's", "AssemblyMismatch")
    yield Case("files-second-empty", (("a.vcf", good()), ("b.vcf", b"")), "b.vcf", "the file is empty")
    yield Case("files-second-unsorted", (("a.vcf", good()), ("b.vcf", _records(RECORDS[1], RECORDS[0]))), "b.vcf", "not sorted")


GT_CALLS = b"\x11\x03\x21"  # key 3, GT; two int8 for each sample


def bcf_record(
    contig: int = 0, position: int = 999, *, alleles: tuple[bytes, ...] = (b"A", b"G"), n: int = 2, **change: bytes
) -> bytes:
    """A BCF record of `n` samples; `change` replaces parts of its bytes by name (the lengths come out right)."""
    parts = {
        "fixed": struct.pack("<iiiIHHI", contig, position, 1, 0x7F800001, 0, len(alleles), 1 << 24 | n),
        "id": b"\x17.",
        "spelled": b"".join(bytes((len(allele) << 4 | 7,)) + allele for allele in alleles),
        "filter": b"\x11\x00",
        "info": b"",
    }
    calls = change.pop("calls", GT_CALLS + b"\x02\x02\x02\x04")
    lengths = change.pop("lengths", None)
    shared = b"".join((parts | change).values())
    return (lengths or struct.pack("<II", len(shared), len(calls))) + shared + calls


BCF_HEADER = header(samples=("A1", "B2")).replace("##contig=<ID=X,length=155270560>\n##contig=<ID=MT,length=16569>\n", "")


def bcf(*records: bytes, text: str = BCF_HEADER) -> bytes:
    """An uncompressed BCF; keys: PASS 0, END 1, SVLEN 2 → here GT 3, DP 4 as in `header`."""
    raw = text.encode() + b"\0"
    return b"BCF\x02\x02" + struct.pack("<I", len(raw)) + raw + b"".join(records)


def _bcf() -> Iterator[Case]:
    start = len(bcf())
    one = f"record 1 (byte offset {start})"

    def case(name: str, *records: bytes, place: str = one, says: str = "", compress: Callable[[bytes], bytes] = bgzf) -> Case:
        return Case(f"bcf-{name}", (("x.bcf", compress(bcf(*records))),), place, says)

    whole = bcf_record()
    yield case("no-record", place="header", says="the file has no record")
    for i, size in enumerate([4, 8, 20, len(whole) // 2, len(whole) - 1]):
        yield case(f"record-cut-{i}", whole[:size], says="lengths do not fit")
        yield case(f"second-record-cut-{i}", whole, whole[:size], place="record 2", says="lengths do not fit")
    for i, lengths in enumerate([(0, 10), (23, 7), (1 << 31, 7), (40, 1 << 31), (len(whole) - 15, 0)]):
        yield case(f"lengths-{i}", bcf_record(lengths=struct.pack("<II", *lengths)), says="lengths do not fit")
    for i, lengths in enumerate([((1 << 31) - 1, 7), (40, (1 << 31) - 1), (60 << 20, 60 << 20)]):
        yield case(
            f"lengths-huge-{i}", bcf_record(lengths=struct.pack("<II", *lengths)), says="longer than this many samples can need"
        )
    for contig in (-1, 2, 99, 1 << 30):
        yield case(f"contig-{contig}", bcf_record(contig), says="contig number")
    yield case("position-negative", bcf_record(position=-1), says="POS is 0")
    yield case("position-beyond", bcf_record(position=249_250_621), says="beyond the end")
    yield case("samples", bcf_record(n=3, calls=GT_CALLS + b"\x02\x02\x02\x04\x02\x02"), says="another number of samples")
    yield case("alleles-none", bcf_record(alleles=(), calls=GT_CALLS + b"\2\2\2\2"), says="no REF allele")
    yield case("ref-empty", bcf_record(alleles=(b"", b"G"), calls=GT_CALLS + b"\2\2\2\2"), says="REF is empty")
    yield case("alt-bad", bcf_record(alleles=(b"A", b"?"), calls=GT_CALLS + b"\2\2\2\2"), says="ALT 1")
    yield case("alleles-one-short", bcf_record(spelled=b"\x17A"), says="lengths do not fit")
    yield case("alleles-no-text", bcf_record(spelled=b"\x11\x01\x17G"), says="lengths do not fit")
    yield case("allele-length-lies", bcf_record(spelled=b"\x17A\xf7\x13\xff\xff\xff\x7f"), says="lengths do not fit")
    yield case("allele-length-negative", bcf_record(spelled=b"\x17A\xf7\x11\xf0"), says="lengths do not fit")
    yield case("id-not-text", bcf_record(id=b"\x13\1\0\0\0"), says="lengths do not fit")
    yield case("filter-key", bcf_record(filter=b"\x11\x63"), says="dictionary does not have")
    yield case("filter-type", bcf_record(filter=b"\x15\0\0\0\0"), says="lengths do not fit")
    info = struct.pack("<iiiIHHI", 0, 999, 1, 0x7F800001, 1, 2, 1 << 24 | 2)
    yield case("info-key", bcf_record(fixed=info, info=b"\x11\x63\x11\x01"), says="dictionary does not have")
    yield case("info-type", bcf_record(fixed=info, info=b"\x11\x01\x1b\x01"), says="unknown type")
    yield case("info-short", bcf_record(fixed=info, info=b"\x11\x01\x13\x01"), says="lengths do not fit")
    yield case("info-absent", bcf_record(fixed=info), says="lengths do not fit")
    yield case("info-left-over", bcf_record(info=b"\x11\x01\x11\x01"), says="lengths do not fit")
    yield case("format-key", bcf_record(calls=b"\x11\x63\x21\2\2\2\4"), says="dictionary does not have")
    yield case("format-type", bcf_record(calls=b"\x11\x03\x26\2\2\2\4"), says="unknown type")
    yield case("format-short", bcf_record(calls=GT_CALLS + b"\2\2\2"), says="lengths do not fit")
    yield case("format-long", bcf_record(calls=GT_CALLS + b"\2\2\2\2\2"), says="lengths do not fit")
    yield case("format-count-lies", bcf_record(calls=b"\x11\x03\xf1\x13\xff\xff\xff\x7f\2\2\2\2"), says="lengths do not fit")
    yield case("gt-text", bcf_record(calls=b"\x11\x03\x370/00/1"), says="GT is not stored as integers")
    yield case("gt-float", bcf_record(calls=b"\x11\x03\x15" + b"\0" * 8), says="GT is not stored as integers")
    two = struct.pack("<iiiIHHI", 0, 999, 1, 0x7F800001, 0, 2, 2 << 24 | 2)
    yield case("gt-twice", bcf_record(fixed=two, calls=(GT_CALLS + b"\2\2\2\2") * 2), says="GT twice")
    for i, raw in enumerate(
        [b"\2\6\2\2", b"\2\2\x7f\2", b"\6\x81\2\2", b"\xff\2\2\2", b"\2\2\2\xff", b"\x82\x81\2\2", b"\2\x88\2\2"]
    ):
        yield case(f"gt-allele-{i}", bcf_record(calls=GT_CALLS + raw), says="a genotype names an allele")
    yield case("gt-allele-int16", bcf_record(calls=b"\x11\x03\x22" + struct.pack("<4h", 2, 2, 600, 2)), says="names an allele")
    yield case("gt-negative-int16", bcf_record(calls=b"\x11\x03\x22" + struct.pack("<4h", 2, 2, -5, 2)), says="names an allele")
    yield case("gt-triploid", bcf_record(calls=b"\x11\x03\x31\2\2\2\2\2\4"), says="more than two alleles")
    later = bcf_record(position=10, calls=GT_CALLS + b"\2\2\2\2")
    yield case("unsorted", whole, later, place=f"record 2 (byte offset {start + len(whole)})", says="not sorted")
    back = bcf_record(contig=1, position=16_050_074, calls=GT_CALLS + b"\2\2\2\2")
    yield case("contig-returns", whole, back, whole, place="record 3", says="contig 1 comes back")
    yield Case("bcf-version", (("x.bcf", bgzf(b"BCF\x01\x01" + bcf(whole)[5:])),), "byte offset 3", "not version 2")
    yield Case("bcf-header-length", (("x.bcf", bgzf(b"BCF\x02\x02\xff\xff\xff\xff")),), "byte offset 5", "claims")
    yield Case("bcf-header-cut", (("x.bcf", bgzf(bcf()[:100])),), "header", "ends within its header")
    shares = BCF_HEADER.replace('Number=1,Type=Integer,Description="End"', "IDX=2").replace("ID=SVLEN,", "ID=SVLEN,IDX=2,")
    yield Case("bcf-dictionary-shared", (("x.bcf", bgzf(bcf(whole, text=shares))),), "line", "share IDX=2")
    contigs = BCF_HEADER.replace("length=249250621", "length=249250621,IDX=0").replace(
        "length=51304566", "length=51304566,IDX=0"
    )
    yield Case("bcf-contigs-shared", (("x.bcf", bgzf(bcf(whole, text=contigs))),), "line 3", "two contigs share IDX=0")
    raw = BCF_HEADER.replace("IDX", "").replace("<ID=22,", "<ID=22,IDX=x,")
    yield Case("bcf-idx-text", (("x.bcf", bgzf(bcf(whole, text=raw))),), "line 3", "is not a whole number")
    yield Case("bcf-plain-cut", (("x.bcf", bcf(whole)[:-2]),), "record 1", "lengths do not fit")


def _references() -> Iterator[Case]:
    length = 16_569
    sequence = ("ACGT" * (length // 4 + 1))[:length]
    lines = "\n".join(sequence[i : i + 60] for i in range(0, length, 60))
    fasta = f">MT test\n{lines}\n".encode()
    right = header() + "MT\t5\t.\tA\tG\t.\t.\t.\tGT\t0\t0\t1\t0\n"
    wrong = header() + "MT\t5\t.\tC\tG\t.\t.\t.\tGT\t0\t0\t1\t0\n"
    yield Case("reference-differs", (("x.vcf", wrong.encode()),), _place(0), "A at MT:5", reference=fasta)
    yield Case("reference-no-contig", (("x.vcf", good()),), "", "has no contig 1", reference=fasta)
    yield Case("reference-not-fasta", (("x.vcf", right.encode()),), "byte 0", "does not begin with '>'", reference=b"ACGT\n")
    yield Case("reference-gzip", (("x.vcf", right.encode()),), "byte 0", "compressed", reference=gzip.compress(fasta))
    yield Case(
        "reference-ragged", (("x.vcf", right.encode()),), "line 3", "differ in length", reference=b">MT\nACG\nACGTA\nAC\n"
    )
    yield Case("reference-short", (("x.vcf", right.encode()),), "sequences", "has 4 bases", "AssemblyMismatch", b">MT\nACGT\n")


FAM = b"".join(b"0 %s 0 0 %d -9\n" % (name.encode(), 1 + i % 2) for i, name in enumerate(SAMPLES))
PSAM = b"#IID\tSEX\n" + b"".join(b"%s\t%d\n" % (name.encode(), 1 + i % 2) for i, name in enumerate(SAMPLES))
BIM = b"MT\tv1\t0\t1\tG\tA\nMT\tv2\t0\t3\tT\tC\nMT\tv3\t0\t5\tA\tT\n"
PVAR = b"##a\n#CHROM\tPOS\tID\tREF\tALT\n1\t10\tv1\tA\tG\n1\t20\tv2\tC\tT,G\n22\t16050075\tv3\tA\tC\n"
BED = bytes((0x6C, 0x1B, 1, 0b11000011, 0b01000011, 0b00000011))
# Storage mode 0x02: 2-bit calls of fixed width; a multi-allelic variant cannot stand in it, so PVAR_TWO goes with it.
PGEN = bytes((0x6C, 0x1B, 2)) + struct.pack("<II", 3, len(SAMPLES)) + bytes((0x40, 0b00011000, 0b11000100, 0b00000001))
PVAR_TWO = PVAR.replace(b"T,G", b"T")
MT_FASTA = b">MT\n" + b"ATCGTAGGAT" + b"N" * (16_569 - 10) + b"\n"


def _bed(name: str, place: str, says: str, *, bed: bytes = BED, bim: bytes | None = BIM, fam: bytes | None = FAM) -> Case:
    files = [("companion.bed", bed), ("companion.bim", bim), ("companion.fam", fam)]
    return _beside(f"bed-{name}", files, place, says)._replace(reference=MT_FASTA)


def _pgen(
    name: str, place: str, says: str, *, pgen: bytes = PGEN, pvar: bytes | None = PVAR_TWO, psam: bytes | None = PSAM
) -> Case:
    return _beside(f"pgen-{name}", [("companion.pgen", pgen), ("companion.pvar", pvar), ("companion.psam", psam)], place, says)


def _beside(name: str, files: list[tuple[str, bytes | None]], place: str, says: str) -> Case:
    """The first file is named, the others stand beside it; None: one is not there."""
    return Case(name, tuple((file, content) for file, content in files if content is not None), place, says)


def _plink() -> Iterator[Case]:
    yield _bed("magic", "companion.bed, byte 0", "not a PLINK .bed", bed=b"\x6c\x1b\x00" + BED[3:])
    yield _bed("text", "companion.bed, byte 0", "not a PLINK .bed", bed=b"chr1\t5\t9\n")
    yield _bed("empty", "companion.bed, byte 0", "not a PLINK .bed", bed=b"")
    yield _bed("short", "companion.bed, byte 5", "3 variants of 4 samples take 6", bed=BED[:-1])
    yield _bed("long", "companion.bed, byte 6", "3 variants of 4 samples take 6", bed=BED + b"\0")
    yield _bed("no-bim", "companion.bed", "no companion.bim beside it", bim=None)
    yield _bed("no-fam", "companion.bed", "no companion.fam beside it", fam=None)
    yield _bed("fam-one-less", "companion.bed, byte", "of 3 samples", fam=FAM[: FAM.rindex(b"0 D4")], bed=BED + b"\0")
    yield _bed("bim-empty", "companion.bim, line 1", "no variant", bim=b"")
    for i, line in enumerate([b"MT v 0 1 G", b"MT v 0 1 G A x", b"", b"MT\tv\t0\t1\tG\tA\t"]):
        says = "an empty line" if not line else "more columns" if i in (1, 3) else "too few columns"
        yield _bed(f"bim-columns-{i}", "companion.bim, line 2", says, bim=BIM[:14] + line + b"\n" + BIM[14:])
    for i, position in enumerate([b"x", b"-3", b"1.5", b"99999999999", b"3000000000"]):
        bad = BIM.replace(b"\t3\t", b"\t" + position + b"\t")
        yield _bed(f"bim-position-{i}", "companion.bim, line 2", "not a whole number", bim=bad)
    yield _bed("bim-position-zero", "companion.bim, line 1", "allele", bim=BIM.replace(b"\t1\t", b"\t0\t"))
    yield _bed("bim-beyond", "companion.bim, line 3", "allele", bim=BIM.replace(b"\t5\t", b"\t99999\t"))
    yield _bed("bim-unsorted", "companion.bim, line 3", "not sorted", bim=BIM.replace(b"\t5\tA\tT", b"\t2\tA\tT"))
    yield _bed("bim-contig", "companion.bim, line 3", "no contig", bim=BIM.replace(b"MT\tv3", b"77\tv3"))
    yield _bed(
        "bim-alleles", "companion.bim, line 2", "neither allele is what the reference has", bim=BIM.replace(b"T\tC", b"G\tA")
    )
    yield _bed("bim-no-alleles", "companion.bim, line 2", "neither allele", bim=BIM.replace(b"T\tC", b"0\t0"))
    yield _bed("bim-odd-alleles", "companion.bim, line 2", "allele", bim=BIM.replace(b"T\tC", b"1\t2"))
    yield _bed("fam-columns", "companion.fam, line 2", "5 columns, not 6", fam=FAM.replace(b"B2 0 0 2 -9", b"B2 0 0 2"))
    yield _bed("fam-twice", "companion.fam, line 3", "stands in line 1", fam=FAM.replace(b"C3", b"A1"))
    yield _bed("fam-empty", "companion.fam, line 1", "no sample", fam=b"")
    yield _bed("fam-not-text", "companion.fam, byte 2", "not UTF-8", fam=FAM.replace(b"A1", b"\xff\xfe"))
    yield _beside("bim-named", [("x.bim", BIM)], "x.bim", "the file has no calls")
    yield _beside("psam-named", [("x.psam", PSAM)], "x.psam", "the file has no calls")
    yield _pgen("magic", "companion.pgen, byte 0", "not a PLINK .pgen", pgen=b"\x6c\x1c" + PGEN[2:])
    yield _pgen("header", "companion.pgen, byte 7", "ends within its header", pgen=PGEN[:7])
    for mode in (0, 1, 0x20, 0x21, 0x30, 0xFF):
        bad = PGEN[:2] + bytes((mode,)) + PGEN[3:]
        yield _pgen(f"mode-{mode}", "companion.pgen, byte 2", "storage mode", pgen=bad)
    yield _pgen("variants", "companion.pgen, byte 3", "2 variants of 4", pgen=PGEN[:3] + struct.pack("<I", 2) + PGEN[7:])
    yield _pgen("samples", "companion.pgen, byte 3", "of 9 samples", pgen=PGEN[:7] + struct.pack("<I", 9) + PGEN[11:])
    yield _pgen("short", "companion.pgen", "pgenlib", pgen=PGEN[:-2])
    yield _pgen("ordinary-short", "companion.pgen", "pgenlib", pgen=PGEN[:2] + b"\x10" + PGEN[3:])
    yield _pgen("no-pvar", "companion.pgen", "no companion.pvar or companion.pvar.zst beside it", pvar=None)
    yield _pgen("no-psam", "companion.pgen", "no companion.psam beside it", psam=None)
    yield _pgen("pvar-empty", "companion.pvar, line 1", "no line of column names", pvar=b"")
    yield _pgen("pvar-headless", "companion.pvar, line 1", "line of column names", pvar=b"1\t10\tv1\tA\tG\n")
    yield _pgen("pvar-no-alt", "companion.pvar, line 2", "no ALT", pvar=PVAR_TWO.replace(b"\tALT", b"\tOTHER"))
    yield _pgen("pvar-no-variant", "companion.pvar, line 3", "no variant", pvar=PVAR[: PVAR.index(b"1\t10")])
    yield _pgen("pvar-ref", "companion.pvar, line 4", "REF is empty", pvar=PVAR_TWO.replace(b"C\tT", b".\tT"))
    yield _pgen("pvar-alt", "companion.pvar, line 4", "ALT allele", pvar=PVAR_TWO.replace(b"C\tT", b"C\t?"))
    yield _pgen("pvar-unsorted", "companion.pvar, line 4", "not sorted", pvar=PVAR_TWO.replace(b"\t20\t", b"\t5\t"))
    yield _pgen(
        "pvar-back", "companion.pvar, line 5", "comes back", pvar=PVAR_TWO.replace(b"1\t20", b"2\t20").replace(b"22\t", b"1\t")
    )
    yield _pgen("psam-no-iid", "companion.psam, line 1", "no IID", psam=PSAM.replace(b"#IID", b"#FID"))
    yield _pgen("psam-header-late", "companion.psam, line 6", "header line stands among", psam=PSAM + b"#IID\n")
    yield _pgen("psam-columns", "companion.psam, line 5", "1 columns, not 2", psam=PSAM[: PSAM.rindex(b"\t")] + b"\n")


def write(case: Case, folder: Path) -> tuple[list[Path], Path | None]:
    """Write a case's files; returns them and the reference."""
    paths = []
    for name, content in case.files:
        path = folder / name
        path.write_bytes(content)
        if not name.startswith("companion.") or name.endswith((".bed", ".pgen")):
            paths.append(path)  # the other companions are found beside it
    reference = None
    if case.reference is not None:
        reference = folder / "reference.fa"
        reference.write_bytes(case.reference)
    return paths, reference
