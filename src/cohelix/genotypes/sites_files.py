"""Files of sites as pieces of one contig: VCF and BCF without samples, and tables; alleles trimmed, figures by column."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pysam

from cohelix.core.arrays import BoolArray, ByteArray, IntArray, WordArray
from cohelix.core.errors import BadFile
from cohelix.core.genome import Assembly, Contig
from cohelix.genotypes import count_lines as scan
from cohelix.genotypes.header import Header, resolve_contig
from cohelix.genotypes.model import Strings
from cohelix.genotypes.source import Source, open_source

TABLE_ENDINGS: Final = (".parquet", ".tsv", ".tsv.gz", ".csv", ".csv.gz")
_LINE_BYTES = 1 << 22
_INFO = re.compile(rb"^##INFO=<ID=([^,>]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Piece:
    """Entries of one contig, one for each ALT, in the order of the file.

    Attributes
    ----------
    position, end
        (n,) 0-based trimmed start, and end of the reference covered.
    alleles, ids
        `REF\\tALT`, trimmed; the source's ids.
    fingerprint
        (n,) of the alleles.
    values
        (n, keys) int64 figures, -1 where not given.
    lines
        (n,) line or row of the file.
    last_position
        0-based position, untrimmed, of the last record: nothing that follows begins before it.
    """

    contig: str
    position: IntArray
    end: IntArray
    alleles: Strings
    ids: Strings
    fingerprint: WordArray
    values: IntArray
    lines: IntArray
    last_position: int
    unit: str

    @property
    def no_alt(self) -> BoolArray:
        """(n,) whether the record has no ALT (`.`)."""
        heap = np.frombuffer(self.alleles.heap, np.uint8)
        ends = self.alleles.offsets[1:]
        return np.asarray((heap[ends - 1] == ord(".")) & (heap[ends - 2] == 9), np.bool_)

    def place(self, row: int) -> str:
        """An entry's place in its file, in words."""
        return f"{self.unit} {self.lines[row]}"


class PiecesOf(NamedTuple):
    """An opened file: the names of what it may count, its pieces for chosen keys, and words for its end."""

    names: tuple[str, ...]
    pieces: Callable[[Sequence[str]], Iterator[Piece]]
    header: Header | None
    end_place: str


def is_table(path: Path) -> bool:
    """Whether the name is that of a table of counts."""
    return path.name.lower().endswith(TABLE_ENDINGS)


def has_no_samples(path: Path) -> bool:
    """Whether it is a VCF or BCF without sample columns; False for anything that cannot be told."""
    if not path.is_file():
        return False
    try:
        with ThreadPoolExecutor(1) as pool:
            return not open_source(path, pool, sites=True).header.samples
    except BadFile:
        return False


def open_pieces(path: Path, pool: ThreadPoolExecutor, assembly: Assembly) -> PiecesOf:
    """Open a VCF or BCF of sites; `sites_tables.open_table` opens tables.

    Raises
    ------
    BadFile
        Where it is none.
    """
    source = open_source(path, pool, sites=True)
    names = tuple(found.decode("utf-8", "replace") for found in _INFO.findall(header_text(source)))
    if source.header.samples:
        raise BadFile(str(path), f"line {source.header.n_lines}", "it has sample columns", "sites only, or genotype files only")

    def pieces(keys: Sequence[str]) -> Iterator[Piece]:
        lines = _vcf_buffers(source, pool) if source.format == "vcf" else _bcf_buffers(source)
        return _scanned(source, lines, keys, assembly)

    return PiecesOf(names, pieces, source.header, f"line {source.header.n_lines}")


def header_text(source: Source) -> bytes:
    """The header's lines, as the file has them."""
    if source.format == "bcf":
        with pysam.VariantFile(str(source.path)) as file:
            return str(file.header).encode()
    with _opened(source.path) as file:
        return bytes(file.read(source.records_at))


def _opened(path: Path) -> Any:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if packed else path.open("rb")


def _vcf_buffers(source: Source, pool: ThreadPoolExecutor) -> Iterator[tuple[ByteArray, int]]:
    for block in source.blocks(pool, 4, lambda _: None):
        yield block.joined(), block.size


def _bcf_buffers(source: Source) -> Iterator[tuple[ByteArray, int]]:
    """The records as lines of VCF."""
    with pysam.VariantFile(str(source.path)) as file:
        held, size = [], 0
        for record in file:
            text = str(record).encode()
            held.append(text)
            size += len(text)
            if size >= _LINE_BYTES:
                yield np.frombuffer(b"".join(held), np.uint8), size
                held, size = [], 0
        if held:
            yield np.frombuffer(b"".join(held), np.uint8), size


def _scanned(
    source: Source, buffers: Iterable[tuple[ByteArray, int]], keys: Sequence[str], assembly: Assembly
) -> Iterator[Piece]:
    wanted = scan.keys_of([*keys, "END"])
    out = scan.new_entries(len(keys) + 1, source.record_bytes)
    state = np.zeros(16, np.int64)
    lines = source.header.n_lines
    name, contig = "", Contig("", 0)
    for buffer, size in buffers:
        state[scan.S_OFFSET] = state[scan.S_RECORDS] = 0
        while state[scan.S_OFFSET] < size:
            scan.scan_lines(
                buffer, size, np.frombuffer(name.encode(), np.uint8), contig.length, len(keys),
                wanted.slots, wanted.hashes, wanted.text, wanted.offsets,
                out.position, out.end, out.record, out.fingerprint, out.allele_offsets, out.alleles,
                out.id_offsets, out.ids, out.values, state,
            )  # fmt: skip
            if state[scan.S_ENTRIES]:
                yield _piece(contig.name, out, state, lines, len(keys))
            if state[scan.S_STOP] == scan.STOP_ERROR:
                place = f"line {lines + int(state[scan.S_RECORDS]) + 1}"
                raise refused(source.path, place, state, contig, [*keys, "END"])
            if state[scan.S_STOP] == scan.STOP_CONTIG:
                offset = int(state[scan.S_OFFSET])
                place = f"line {lines + int(state[scan.S_RECORDS]) + 1}"
                name = bytes(buffer[offset : offset + 1024]).split(b"\t", 1)[0].decode("utf-8", "replace")
                contig = resolve_contig(source.path, place, name, source.header, assembly)
                state[scan.S_LAST] = 0
        lines += int(state[scan.S_RECORDS])


def _piece(contig: str, out: scan.Entries, state: IntArray, lines: int, n_keys: int) -> Piece:
    n = int(state[scan.S_ENTRIES])
    return Piece(
        contig,
        out.position[:n].astype(np.int64),
        out.end[:n].astype(np.int64),
        Strings(out.allele_offsets[: n + 1].copy(), out.alleles[: out.allele_offsets[n]].tobytes()),
        Strings(out.id_offsets[: n + 1].copy(), out.ids[: out.id_offsets[n]].tobytes()),
        out.fingerprint[:n].copy(),
        out.values[:n, :n_keys].astype(np.int64),
        lines + 1 + out.record[:n],
        int(state[scan.S_LAST]),
        "line",
    )


def refused(path: Path, place: str, state: IntArray, contig: Contig, keys: Sequence[str]) -> BadFile:
    code = int(state[scan.S_ERROR])
    problem, expected = scan.ERRORS[code]
    if code in (5, 6):
        problem = f"{problem}: {contig.name}:{state[scan.S_DETAIL]}"
    elif code in (9, 10):
        problem = f"{keys[int(state[scan.S_DETAIL])]}: {problem}"
    return BadFile(str(path), place, problem, expected)
