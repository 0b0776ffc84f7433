"""A region of a store as VCF.gz or BCF: source records joined again, with the source's alleles and sample names."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cohelix.core.arrays import ByteArray, IntArray
from cohelix.core.errors import BadUsage
from cohelix.core.genome import Region, known_contig
from cohelix.genotypes.bgzf import END_OF_FILE, compress_block, split_blocks
from cohelix.genotypes.model import StoreInfo, VariantTable
from cohelix.genotypes.scan_layout import LEFT_ALIGN_BASES
from cohelix.genotypes.store import GenotypeStore
from cohelix.stats.numba_start import njit

# Records of one piece of work, in bytes of their calls.
_PIECE_BYTES = 4 << 20
# A record may begin before, or reach behind, the trimmed variants that it was split into. Left-alignment moves a
# variant by no more than this either.
_MARGIN = LEFT_ALIGN_BASES
_INT8_ALTS_MAX = 62  # (allele + 1) << 1 | 1 has to stay below 128


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """A record as its source had it, and the store rows of its ALTs.

    Attributes
    ----------
    record
        Ordinal of the record in the load.
    position, end
        0-based start of REF; 0-based end of what the record covers (INFO/END of a symbolic ALT included).
    ref, alts, id
        As in the source; an empty `id` is `.`.
    rows, alt_numbers
        Store rows, and which allele number each is.
    """

    record: int
    position: int
    end: int
    ref: str
    alts: tuple[str, ...]
    id: str
    rows: tuple[int, ...]
    alt_numbers: tuple[int, ...]


def write_region(store: GenotypeStore, region: Region, out: Path, *, keep: IntArray | None = None) -> int:
    """Write every record that overlaps a region to a `.vcf.gz` (BGZF) or `.bcf` file, as `bcftools view -r` selects.

    Parameters
    ----------
    store
        Where the genotypes are.
    region
        0-based, half-open.
    out
        The file; it appears under its name when it is complete.
    keep
        The sample indexes that are written, ascending; None for all.

    Returns
    -------
    How many records were written.

    Raises
    ------
    BadUsage
        If the name of the file does not say its format.

    Notes
    -----
    Kept: POS, ID, REF, ALT, END of symbolic alleles, GT with phase. An unphased call is written with the lower allele
    first, a missing one as `./.`. QUAL, FILTER and other fields are not in the store.
    """
    if not out.name.endswith((".vcf.gz", ".bcf")):
        raise BadUsage(f"{out.name} does not say its format: use a name that ends in .vcf.gz or .bcf")
    info = store.info
    records = source_records(store, region)
    symbols = sorted({alt[1:-1] for record in records for alt in record.alts if alt.startswith("<")})
    samples = info.samples if keep is None else tuple(info.samples[column] for column in keep.tolist())
    header = _header_text(info, samples, symbols).encode()
    form: _Vcf | _Bcf
    if out.name.endswith(".bcf"):
        form = _Bcf(info.contigs.index(region.contig) if records else 0)
        header = b"BCF\x02\x02" + struct.pack("<I", len(header) + 1) + header + b"\0"
    else:
        form = _Vcf(region.contig)
    n_threads = max(1, min(8, os.cpu_count() or 1))
    partial = out.with_name(out.name + ".partial")
    with ThreadPoolExecutor(n_threads, "export") as pool, partial.open("wb") as file:
        file.writelines(compress_block(block) for block in split_blocks(header))
        pieces = _pieces(records, 2 * len(samples))

        def make(piece: Sequence[SourceRecord]) -> list[bytes]:
            return [compress_block(block) for block in split_blocks(_format(store, piece, form, keep))]

        # A few pieces for each thread at a time, so that a large region is not held as a whole.
        for some in _batched(pieces, 4 * n_threads):
            for blocks in pool.map(make, some):
                file.writelines(blocks)
        file.write(END_OF_FILE)
    partial.replace(out)
    return len(records)


def source_records(store: GenotypeStore, region: Region) -> list[SourceRecord]:
    """The source's records that share a base with a region, by position, then in source order."""
    wide = Region(region.contig, max(0, region.start - _MARGIN), region.end + _MARGIN)
    entries: dict[int, _Entry] = {}
    near = store.rows_starting(wide)
    _enter(store.table(near) if len(near) else None, near, entries)
    for row in store.rows_overlapping(region).tolist():  # long ones that begin far before
        if row not in near:
            _enter(store.table(range(row, row + 1)), range(row, row + 1), entries)
    by_record: dict[int, list[_Entry]] = {}
    for entry in entries.values():
        by_record.setdefault(entry.record, []).append(entry)
    found = []
    for siblings in by_record.values():
        first = siblings[0]
        if len(siblings) < first.n_alts:
            around = Region(region.contig, max(0, first.position - _MARGIN), first.position + len(first.ref) + 1)
            rows = store.rows_starting(around)
            more: dict[int, _Entry] = {}
            _enter(store.table(rows), rows, more)
            siblings = [entry for entry in more.values() if entry.record == first.record]  # noqa: PLW2901
        siblings.sort(key=lambda entry: entry.alt_number)
        end = max(first.position + len(first.ref), *(entry.end for entry in siblings if entry.symbolic), 0)
        if first.position < region.end and end > region.start:
            found.append(
                SourceRecord(
                    first.record,
                    first.position,
                    end,
                    first.ref,
                    first.alts,
                    first.id,
                    tuple(entry.row for entry in siblings),
                    tuple(entry.alt_number for entry in siblings),
                )
            )
    return sorted(found, key=lambda record: (record.position, record.record))


class _Entry(NamedTuple):
    """A store row with the source record that it came from."""

    row: int
    record: int
    alt_number: int
    n_alts: int
    position: int
    ref: str
    alts: tuple[str, ...]
    id: str
    end: int
    symbolic: bool


def _enter(table: VariantTable | None, rows: range, entries: dict[int, _Entry]) -> None:
    if table is None:
        return
    for i, row in enumerate(rows):
        if table.source[i]:
            position, ref, alts = table.source[i].split("\t")
            start, names = int(position) - 1, tuple(alts.split(","))
        else:
            start, ref, names = int(table.position[i]), table.ref[i], (table.alt[i],)
        alt_number = int(table.alt_index[i]) + 1
        symbolic = names[alt_number - 1].startswith("<")
        entries[row] = _Entry(
            row,
            int(table.record[i]),
            alt_number,
            int(table.n_alts[i]),
            start,
            ref,
            names,
            table.id[i],
            int(table.end[i]),
            symbolic,
        )


def _pieces(records: Sequence[SourceRecord], record_bytes: int) -> Iterator[list[SourceRecord]]:
    piece: list[SourceRecord] = []
    rows = 0
    for record in records:
        piece.append(record)
        rows += len(record.rows)
        if rows * record_bytes >= _PIECE_BYTES:
            yield piece
            piece, rows = [], 0
    if piece:
        yield piece


def _batched(pieces: Iterable[list[SourceRecord]], size: int) -> Iterator[list[list[SourceRecord]]]:
    some: list[list[SourceRecord]] = []
    for piece in pieces:
        some.append(piece)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some


def _header_text(info: StoreInfo, samples: Sequence[str], symbols: Sequence[str]) -> str:
    lines = ["##fileformat=VCFv4.2", '##FILTER=<ID=PASS,Description="All filters passed">', f"##reference={info.assembly}"]
    for name in info.contigs:
        contig = known_contig(name, info.assembly)
        length = f",length={contig.length}" if contig is not None and contig.length else ""
        lines.append(f"##contig=<ID={name}{length}>")
    lines += [f'##ALT=<ID={symbol},Description="Symbolic allele of the source">' for symbol in symbols]
    lines.append('##INFO=<ID=END,Number=1,Type=Integer,Description="End position of the variant">')
    lines.append('##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">')
    columns = ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *samples]
    return "\n".join(lines) + "\n" + "\t".join(columns) + "\n"


def _end_told(record: SourceRecord) -> bool:
    return record.end != record.position + len(record.ref)


class _Vcf(NamedTuple):
    """Records as lines of text."""

    contig: str

    def site(self, record: SourceRecord, n_samples: int) -> bytes:
        info = f"END={record.end}" if _end_told(record) else "."
        fields = (
            self.contig,
            str(record.position + 1),
            record.id or ".",
            record.ref,
            ",".join(record.alts),
            ".",
            ".",
            info,
            "GT",
        )
        return ("\t".join(fields) + "\t").encode()

    def call_bytes(self, record: SourceRecord) -> int:
        return 2 * len(str(len(record.alts))) + 2


class _Bcf(NamedTuple):
    """Records as BCF 2.2; keys are PASS 0, END 1, GT 2."""

    contig_index: int

    def site(self, record: SourceRecord, n_samples: int) -> bytes:
        alleles = [record.ref, *(alt for alt in record.alts if alt != ".")]
        info = b"\x11\x01" + b"\x13" + struct.pack("<i", record.end) if _end_told(record) else b""
        shared = struct.pack(
            "<iiiIHHI",
            self.contig_index,
            record.position,
            record.end - record.position,
            0x7F800001,  # QUAL is missing
            1 if info else 0,
            len(alleles),
            1 << 24 | n_samples,
        )
        shared += b"".join(_typed_text(text) for text in (record.id or ".", *alleles)) + b"\0" + info
        genotypes = b"\x11\x02" + (b"\x21" if self.call_bytes(record) == 2 else b"\x22")
        return struct.pack("<II", len(shared), len(genotypes) + n_samples * self.call_bytes(record)) + shared + genotypes

    def call_bytes(self, record: SourceRecord) -> int:
        return 2 if len(record.alts) <= _INT8_ALTS_MAX else 4


def _typed_text(text: str) -> bytes:
    raw = text.encode()
    if len(raw) < 15:
        return bytes((len(raw) << 4 | 7,)) + raw
    kind, form = (1, "<b") if len(raw) < 128 else (2, "<h") if len(raw) < 1 << 15 else (3, "<i")
    return bytes((0xF7, 0x10 | kind)) + struct.pack(form, len(raw)) + raw


def _format(store: GenotypeStore, records: Sequence[SourceRecord], form: _Vcf | _Bcf, keep: IntArray | None) -> memoryview:
    """The bytes of some records."""
    n_samples = len(store.info.samples) if keep is None else len(keep)
    rows = np.array(sorted({row for record in records for row in record.rows}), np.int64)
    calls = store.calls(rows)
    alleles, phased = calls.alleles, calls.phased.view(np.uint8)
    if keep is not None:
        alleles, phased = np.ascontiguousarray(alleles[:, keep]), np.ascontiguousarray(phased[:, keep])
    sites = [form.site(record, n_samples) for record in records]
    size = sum(map(len, sites)) + n_samples * sum(map(form.call_bytes, records))
    buffer = np.empty(size, np.uint8)
    joined = np.empty((3, n_samples), np.int16)
    at = 0
    for record, site in zip(records, sites, strict=True):
        buffer[at : at + len(site)] = np.frombuffer(site, np.uint8)
        at += len(site)
        local = np.searchsorted(rows, np.array(record.rows, np.int64))
        numbers = np.array(record.alt_numbers, np.int64)
        width = form.call_bytes(record)
        if isinstance(form, _Bcf) and width == 2 and record.alt_numbers == (1,):
            _put_biallelic(alleles[local[0]], phased[local[0]], buffer, at)
            at += 2 * n_samples
            continue
        _join(alleles, phased, local, numbers, joined)
        at = _put_text(joined, buffer, at) if isinstance(form, _Vcf) else _put_typed(joined, buffer, at, width // 2)
    return buffer[:at].data


def compile_kernels() -> None:
    """Compile the kernels, or read them from Numba's cache; a first export otherwise waits for it (some seconds)."""
    alleles, phased, out = np.zeros((1, 1, 2), np.int8), np.zeros((1, 1), np.uint8), np.empty(8, np.uint8)
    nothing, joined = np.zeros(1, np.int64), np.empty((3, 1), np.int16)
    _join(alleles, phased, nothing, nothing, joined)
    _put_text(joined, out, 0)
    _put_typed(joined, out, 0, 1)
    _put_biallelic(alleles[0], phased[0], out, 0)


@njit(nogil=True, cache=True)
def _join(alleles: Any, phased: Any, rows: IntArray, numbers: IntArray, joined: Any) -> None:
    """Join a record's rows: per sample the first and second allele (-1 not called, -2 none) and whether phased."""
    for s in range(joined.shape[1]):
        first, second = np.int64(alleles[rows[0], s, 0]), np.int64(alleles[rows[0], s, 1])
        if first > 0:
            first = numbers[0]
        if second > 0:
            second = numbers[0]
        het_phased, het, all_phased, low, high, found = True, False, True, np.int64(0), np.int64(0), 0
        for i in range(rows.shape[0]):
            a, b, number = alleles[rows[i], s, 0], alleles[rows[i], s, 1], numbers[i]
            all_phased = all_phased and phased[rows[i], s] != 0
            if a > 0:
                first = number
            if b > 0:
                second = number
            if b >= 0 and a >= 0 and (a > 0) != (b > 0):
                het = True
                het_phased = het_phased and phased[rows[i], s] != 0
                low, high = (high, number) if found else (np.int64(0), number)
                found += 1
        is_phased = het_phased if het else all_phased
        if het and not is_phased:
            # Rows of an unphased call all read 0/1: which stands first is the allele number's order.
            first, second = min(low, high), max(low, high)
        if second == -2 or (first < 0 and second < 0):
            is_phased = False
        joined[0, s], joined[1, s], joined[2, s] = first, second, is_phased


@njit(nogil=True, cache=True)
def _put_biallelic(alleles: Any, phased: Any, out: ByteArray, at: Any) -> None:
    """BCF's int8 calls of a record with one ALT."""
    for s in range(alleles.shape[0]):
        first, second = np.int64(alleles[s, 0]), np.int64(alleles[s, 1])
        out[at + 2 * s] = (first + 1) << 1
        called = first >= 0 or second >= 0
        out[at + 2 * s + 1] = 0x81 if second == -2 else ((second + 1) << 1) | (phased[s] if called else 0)


@njit(nogil=True, cache=True)
def _put_typed(joined: Any, out: ByteArray, at: Any, width: Any) -> Any:
    """BCF calls of one or two bytes; returns where they end."""
    for s in range(joined.shape[1]):
        first = (np.int64(joined[0, s]) + 1) << 1
        second = ((np.int64(joined[1, s]) + 1) << 1) | np.int64(joined[2, s])
        if joined[1, s] == -2:
            second = np.int64(0x81) if width == 1 else np.int64(0x8001)
        out[at] = first & 255
        if width == 2:
            out[at + 1] = first >> 8
        out[at + width] = second & 255
        if width == 2:
            out[at + 3] = second >> 8
        at += 2 * width
    return at


@njit(nogil=True, cache=True)
def _put_allele(allele: Any, out: ByteArray, at: Any) -> Any:
    if allele < 0:
        out[at] = 46
        return at + 1
    if allele < 10:
        out[at] = 48 + allele
        return at + 1
    digits, rest = 1, allele
    while rest >= 10:
        rest //= 10
        digits += 1
    rest = allele
    for i in range(digits):
        out[at + digits - 1 - i] = 48 + rest % 10
        rest //= 10
    return at + digits


@njit(nogil=True, cache=True)
def _put_text(joined: Any, out: ByteArray, at: Any) -> Any:
    """VCF's calls with their separators, the last one a line end; returns where they end."""
    for s in range(joined.shape[1]):
        at = _put_allele(np.int64(joined[0, s]), out, at)
        if joined[1, s] != -2:
            out[at] = 124 if joined[2, s] else 47
            at = _put_allele(np.int64(joined[1, s]), out, at + 1)
        out[at] = 9
        at += 1
    out[at - 1] = 10
    return at
