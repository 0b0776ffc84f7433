"""A genotype file as blocks of whole records: VCF or BCF, plain or compressed, told apart by content."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from cohelix.core.arrays import ByteArray
from cohelix.core.errors import BadFile
from cohelix.genotypes import scan
from cohelix.genotypes.bgzf import pieces
from cohelix.genotypes.header import HEADER_BYTES, Header, parse_header
from cohelix.genotypes.scan_layout import ERRORS, TAIL

# Longest record that is taken: so much for the site (alleles and INFO), and so much for each sample's FORMAT fields
# (the likelihoods of 20 alleles fit four times), and never more than the last, which bounds the loader's memory.
SITE_BYTES, SAMPLE_BYTES, RECORD_BYTES_MAX = 4 << 20, 4 << 10, 128 << 20

_FIRST_BYTES = 64 << 10  # as much as most headers have; pieces double from there


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive whole records: their bytes in parts, how many bytes, and where they stand in the inflated content."""

    parts: list[bytes | memoryview]
    size: int
    at: int

    def joined(self) -> ByteArray:
        """The bytes in one array, and `TAIL` behind them."""
        buffer = np.empty(self.size + len(TAIL), np.uint8)
        buffer[self.size :] = np.frombuffer(TAIL, np.uint8)
        at = 0
        for part in self.parts:
            buffer[at : at + len(part)] = np.frombuffer(part, np.uint8)
            at += len(part)
        return buffer


@dataclass(frozen=True, slots=True)
class Source:
    """A file that is ready to be read: the format of its records, its header, and where its records start (inflated)."""

    path: Path
    format: Literal["vcf", "bcf"]
    header: Header
    records_at: int

    @property
    def record_bytes(self) -> int:
        """Longest record that this header's samples allow."""
        return min(SITE_BYTES + SAMPLE_BYTES * len(self.header.samples), RECORD_BYTES_MAX)

    @property
    def size(self) -> int:
        """Bytes of the file as it lies on the disk, the unit of progress."""
        return self.path.stat().st_size

    @property
    def header_place(self) -> str:
        """Where the header ends, for a refusal of the file as a whole."""
        return f"line {self.header.n_lines}" if self.format == "vcf" else "header"

    def place(self, record: int, byte_offset: int) -> tuple[str, str]:
        """The file and the place in it of a record, counted from 0."""
        line, number = f"line {self.header.n_lines + record + 1}", f"record {record + 1} (byte offset {byte_offset})"
        return str(self.path), line if self.format == "vcf" else number

    def blocks(self, pool: ThreadPoolExecutor, ahead: int, on_read: Callable[[int], None]) -> Iterator[Block]:
        """The file's records in blocks of about `bgzf.PIECE_BYTES`, some of them read ahead by the pool.

        Raises
        ------
        BadFile
            Where a record does not end within the bound, or the file ends within one.
        """
        stream = _after(self.records_at, pieces(self.path, pool, ahead, on_read))
        return _lines(self, stream) if self.format == "vcf" else _records(self, stream)


def open_source(path: Path, pool: ThreadPoolExecutor, *, sites: bool = False) -> Source:
    """Read a file's header; with `sites`, a file without sample columns will do.

    Raises
    ------
    BadFile
        Where it is neither VCF nor BCF, or its header is not as it should be.
    """
    if not path.is_file():
        problem = "it is a folder, a pipe or a device" if path.exists() else "there is no such file"
        raise BadFile(str(path), "", problem, "a VCF, VCF.gz or BCF file")
    content = b""
    for piece in pieces(path, pool, 0, lambda _: None, first_bytes=_FIRST_BYTES):
        content += piece
        found = _header(path, content, sites=sites)
        if found is not None:
            return found
        if len(content) > HEADER_BYTES:
            raise BadFile(str(path), "header", "the header does not end", f"a header of at most {HEADER_BYTES >> 20} MiB")
    if not content:
        raise BadFile(str(path), "byte 0", "the file is empty", "a header and records")
    if content[:3] == b"BCF":
        raise BadFile(str(path), "header", "the file ends within its header", "the whole file")
    found = _header(path, content + b"\n", sites=sites)  # a header line without line end: no record follows
    if found is None:
        raise BadFile(str(path), "header", "the header has no #CHROM line", "the line of column names before the records")
    raise BadFile(str(path), f"line {found.header.n_lines}", "the file has no record", "at least one record")


def _after(skip: int, stream: Iterator[bytes]) -> Iterator[bytes]:
    for piece in stream:
        if skip < len(piece):
            yield piece[skip:] if skip else piece
        skip = max(0, skip - len(piece))


def _lines(source: Source, stream: Iterator[bytes]) -> Iterator[Block]:
    held: list[bytes | memoryview] = []
    size, at, lines = 0, source.records_at, source.header.n_lines
    for piece in stream:
        cut = piece.rfind(b"\n") + 1
        if cut:
            block = Block([*held, memoryview(piece)[:cut]], size + cut, at)
            yield block
            lines += piece.count(b"\n")
            at += block.size
            held, size = [], 0
        if cut < len(piece):
            held.append(piece[cut:])
            size += len(piece) - cut
        if size > source.record_bytes:
            problem, expected = ERRORS[11]
            raise BadFile(str(source.path), f"line {lines + 1}", problem, f"{expected}: {source.record_bytes:,} bytes")
    if size:
        yield Block(held, size, at)


def _records(source: Source, stream: Iterator[bytes]) -> Iterator[Block]:
    held: list[bytes | memoryview] = []  # the begin of a record that goes on in the next piece
    size, at, records = 0, source.records_at, 0

    def refuse(code: int, offset: int, before: int) -> BadFile:
        problem, expected = ERRORS[code]
        place = f"record {records + before + 1} (byte offset {offset})"
        return BadFile(str(source.path), place, problem, expected)

    for piece in stream:
        head = b"".join(bytes(part[:8]) for part in held[:8])[:8]
        head += piece[: 8 - len(head)]
        start = 0
        if size:
            if len(head) < 8:
                held.append(piece)
                size += len(piece)
                continue
            shared, calls = (int.from_bytes(head[i : i + 4], "little", signed=True) for i in (0, 4))
            if shared < 24 or calls < 0:
                raise refuse(20, at, 0)
            if shared + calls + 8 > source.record_bytes:
                raise refuse(11, at, 0)
            start = shared + calls + 8 - size
            if start > len(piece):
                held.append(piece)
                size += len(piece)
                continue
        whole, n, error = scan.walk_bcf(np.frombuffer(piece, np.uint8), start, len(piece), source.record_bytes)
        n += 1 if size else 0
        if whole > 0 or size:
            block = Block([*held, memoryview(piece)[:whole]], size + whole, at)
            if n:
                yield block
            at += block.size
            held, size = [], 0
        if error:
            raise refuse(error, at, n)
        records += n
        if whole < len(piece):
            held, size = [piece[whole:]], len(piece) - whole
    if size:
        raise refuse(20, at, 0)


def _header(path: Path, content: bytes, *, sites: bool) -> Source | None:
    """The parsed header, or None where more of the file is needed."""
    if content[:3] == b"BCF":
        if len(content) < 9:
            return None
        if content[3:5] not in (b"\x02\x01", b"\x02\x02"):
            raise BadFile(str(path), "byte offset 3", "this is not version 2 of BCF", "BCF 2.1 or 2.2")
        length = int.from_bytes(content[5:9], "little")
        if length > HEADER_BYTES:
            raise BadFile(str(path), "byte offset 5", f"the header claims {length} bytes", f"at most {HEADER_BYTES >> 20} MiB")
        if len(content) < 9 + length:
            return None
        return Source(path, "bcf", parse_header(path, content[9 : 9 + length].rstrip(b"\0"), sites=sites), 9 + length)
    if not content.startswith(b"##fileformat=VCF"[: len(content)]):
        raise BadFile(str(path), "byte 0", "the file is neither VCF nor BCF", "VCF (plain or gzip), or BCF")
    at = 0
    while True:
        end = content.find(b"\n", at)
        if end < 0:
            return None
        if not content.startswith(b"##", at):
            return Source(path, "vcf", parse_header(path, content[: end + 1], sites=sites), end + 1)
        at = end + 1
