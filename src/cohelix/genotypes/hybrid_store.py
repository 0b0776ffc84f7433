"""The genotype store on disk: memory-mapped shards that list the carriers of rare variants and pack common ones.

A store is a folder: `store.json` (samples, assembly, shards with extent and checksum) and one file per shard, a
stretch of one contig in row order. A shard is a `sections` file; n rows, N samples, W = ceil(N / 64):

section                      dtype        meaning
---------------------------  -----------  -------------------------------------------------------------------------
flags                        u8 (n)       ROW_LOW, ROW_HIGH, phase state << 2, ROW_MISSING, ROW_HALF
carrier_starts, carriers     u32, c       listed carriers of row i: `sample << 1 | two copies`, starts[i]:starts[i+1]
plane_rows, plane_starts,    u32, u32,    bitmaps of W words: the low bits of the row's 2-bit codes, then the high
planes                       u64          bits where ROW_HIGH. `plane_starts` counts bitmaps.
missing_rows, missing_starts u32, u32,    samples without a call, of rows that list some
missing                      c
half_rows, half_starts, half u32 each     half-called samples: `sample << 4 | kind`
phase_starts, phase          u32, u8      phase bits, as in `EncodedBatch`; absent where nothing is phased
pattern, ploidy              u16, u64     ploidy pattern of each row, 0 all diploid; bitmaps of patterns 1, 2, …
position                     u32 (n)
allele                       u8 (n)       REF << 2 | ALT for a single-base change (A C G T), else 255 and:
long_rows, long_starts,      u32, u32,    `REF\\tALT` and end of the other rows
long_text, long_end          u8, u32
id, id_…                     u32, …       see `kernels.classify_ids`; texts in id_rows, id_starts, id_text
record, alt_index, n_alts    smallest     `record` less the row number; one element where all rows have the same
source_rows, …_starts, …_text             text of the source record, where it differs

c is u16 where 2N fits, else u32. Each row takes the smallest of three forms: *listed* (carriers and missing listed),
*low plane* (one-copy carriers in a bitmap, the others listed), *both planes* (everything in two bitmaps; missing is
both bits). A bitmap of N bits is half a packed row: most common variants have few homozygotes.
"""

from __future__ import annotations

import hashlib
import os
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson

from cohelix.core.arrays import AlleleCounts, BoolArray, ByteArray, FloatArray, IntArray, UintArray
from cohelix.core.errors import CohelixError, Damaged, ShapeMismatch
from cohelix.core.genome import Assembly, Region
from cohelix.core.variant import VariantKey
from cohelix.genotypes.loops import kernels
from cohelix.genotypes.model import (
    FLAG_DENSE,
    PHASE_SHIFT,
    Calls,
    Carriers,
    Cohort,
    DosageType,
    EncodedBatch,
    StoreInfo,
    Strings,
    VariantTable,
    sparse_limit,
)
from cohelix.genotypes.sections import AnyArray, SectionFile, check_file, sha256_of
from cohelix.genotypes.shard_layout import ID_NAMED, ID_NONE, ID_SEPARATORS, ID_TEXT, ROW_PHASE_SHIFT, SECTIONS

FORMAT, FORMAT_VERSION = "cohelix-genotypes", 1
READABLE_VERSIONS = (1,)
SHARD_MAGIC = b"COHELIXG"
INDEX_NAME = "store.json"
BASES = b"ACGT"
LONG = 255  # `allele` of a row whose alleles are spelled out
# A request is cut into pieces for threads when it touches more bytes than a few hand-overs are worth.
_PARALLEL_BYTES = 1 << 21
_EMPTY = np.empty(0, np.int64)
_RS_DIGITS = 10  # of an rs number; a longer id is kept as text


class ShardRecord(NamedTuple):
    """What the index says of one shard: where it lies in the genome, and its file."""

    file: str
    contig: str
    rows: int
    first: int  # position of the first row
    last: int  # position of the last row
    end: int  # largest end
    bytes: int
    sha256: str


class Shard:
    """One mapped shard; rows are numbered from 0 within it."""

    def __init__(self, path: Path, record: ShardRecord, n_samples: int, *, check: bool = True) -> None:
        """Map the shard; with `check`, every byte of it is read first, so that no answer comes from a damaged one.

        Raises
        ------
        Damaged
            If the file is not the one that the index describes.
        """
        self.record = record
        if check:
            check_file(path, record.sha256)
        self.file = SectionFile(path, magic=SHARD_MAGIC, versions=READABLE_VERSIONS)
        if (self.file.n_rows, self.file.n_samples, self.file.buffer.size) != (record.rows, n_samples, record.bytes):
            raise Damaged(f"{path} is not the shard that the index describes")
        self.n_rows, self.n_samples = record.rows, n_samples
        self.buffer = self.file.buffer
        self.toc = np.concatenate([[[n_samples, listed_bytes(n_samples)]], self.file.places(SECTIONS)])
        self.position: UintArray = self.file.array("position", np.uint32)
        self.allele: ByteArray = self.file.array("allele")
        # For questions of one row: an element of an array takes ten times as long.
        self._positions, self._codes = self.position.data, self.allele.data
        if not len(self.position) == len(self.allele) == int(self.toc[1, 1]) == self.n_rows:
            raise Damaged(f"{path} has columns of different lengths")

    # ---- names

    @cached_property
    def long_rows(self) -> UintArray:
        """Rows that are not single-base changes, ascending."""
        return self.file.array("long_rows", np.uint32)

    @cached_property
    def long_end(self) -> UintArray:
        """Ends of `long_rows`."""
        return self.file.array("long_end", np.uint32)

    @cached_property
    def _long_reach(self) -> UintArray:
        """Running maximum of `long_end`: ascending, so that a search finds the first row that may reach a place."""
        return np.maximum.accumulate(self.long_end) if self.long_end.size else self.long_end

    @cached_property
    def _long_text(self) -> tuple[UintArray, AnyArray]:
        return self.file.array("long_starts", np.uint32), self.file.array("long_text")

    def rows_at(self, position: int) -> Sequence[int]:
        """Rows of this trimmed position."""
        positions, n_rows = self._positions, self.n_rows
        first = last = bisect_left(positions, position)
        while last < n_rows and positions[last] == position:
            last += 1
        return range(first, last) if last > first else ()

    def alleles(self, row: int) -> tuple[str, str]:
        """REF and ALT."""
        code = self._codes[row]
        if code != LONG:
            return _BASE_PAIRS[code]
        ref, alt = self.text("long", int(np.searchsorted(self.long_rows, np.uint32(row)))).split("\t")
        return ref, alt

    def alleles_between(self, start: int, stop: int) -> list[tuple[str, str]]:
        """REF and ALT of each row."""
        codes = self.allele[start:stop]
        pairs = [_BASE_PAIRS[code] for code in np.minimum(codes, len(_BASE_PAIRS) - 1).tolist()]
        spelled = np.flatnonzero(codes == LONG).tolist()
        if spelled:
            first = int(np.searchsorted(self.long_rows, np.uint32(start)))
            for row, text in zip(spelled, self._long_between(first, first + len(spelled)), strict=True):
                ref, alt = text.split("\t")
                pairs[row] = (ref, alt)
        return pairs

    def _long_between(self, first: int, last: int) -> list[str]:
        starts, heap = self._long_text
        cuts = (starts[first : last + 1].astype(np.int64) - int(starts[first])).tolist()
        whole = bytes(heap[starts[first] : starts[last]])
        if not whole.isascii():  # a sign may be several bytes
            return [self.text("long", entry) for entry in range(first, last)]
        text = whole.decode("ascii")
        return [text[start:stop] for start, stop in pairwise(cuts)]

    def text(self, column: str, entry: int) -> str:
        """Entry of a text column (`long`, `id`, `source`), counted among its own rows."""
        starts, heap = self._long_text if column == "long" else self._texts(column)
        return bytes(heap[starts[entry] : starts[entry + 1]]).decode("utf-8", "surrogateescape")

    def _texts(self, column: str) -> tuple[AnyArray, AnyArray]:
        return self.file.array(f"{column}_starts", np.uint32), self.file.array(f"{column}_text")

    def column(self, name: str, start: int, stop: int, default: int = 0) -> IntArray:
        """A number per row, where one stored element stands for all and none for `default`."""
        stored = self.file.array(name)
        if stored.size == 0:
            return np.full(stop - start, default, np.int64)
        if stored.size == 1:
            return np.full(stop - start, stored[0], np.int64)
        return stored[start:stop].astype(np.int64)

    def ends(self, start: int, stop: int) -> UintArray:
        """End of each row."""
        ends = self.position[start:stop] + np.uint32(1)
        first, last = np.searchsorted(self.long_rows, np.array([start, stop], np.uint32))
        ends[self.long_rows[first:last] - np.uint32(start)] = self.long_end[first:last]
        return ends

    def end(self, row: int) -> int:
        """End of one row."""
        at = int(self.long_rows.searchsorted(np.uint32(row)))
        is_long = at < len(self.long_rows) and self.long_rows[at] == row
        return int(self.long_end[at]) if is_long else int(self.position[row]) + 1

    def texts(self, column: str, start: int, stop: int) -> list[str]:
        """A text per row, empty where the column has none for it."""
        found = [""] * (stop - start)
        rows = self.file.array(f"{column}_rows", np.uint32)
        first, last = np.searchsorted(rows, np.array([start, stop], np.uint32))
        for entry in range(int(first), int(last)):
            found[int(rows[entry]) - start] = self.text(column, entry)
        return found

    def ids(self, start: int, stop: int) -> list[str]:
        """Identifier of each row."""
        numbers = self.column("id", start, stop)
        if not numbers.any():
            return [""] * (stop - start)
        found = self.texts("id", start, stop)
        alleles, first = self.alleles_between(start, stop), self.position[start:stop].tolist()
        for i, number in enumerate(numbers.tolist()):
            if number >= ID_NAMED:
                style, prefixed = divmod(number - ID_NAMED, 2)
                name = ID_SEPARATORS[style].join((self.record.contig, str(first[i] + 1), *alleles[i]))
                found[i] = f"chr{name}" if prefixed else name
            elif ID_NONE < number < ID_TEXT:
                found[i] = f"rs{number}"
        return found

    def named(self, identifier: str) -> IntArray:
        """Rows with this id of the source, ascending; where a row has several, they stand with `;` between them."""
        numbers = self.file.array("id")
        rows = _EMPTY
        if (number := _rs_number(identifier)) and numbers.size:
            rows = np.flatnonzero(numbers == number).astype(np.int64) if numbers.size == self.n_rows else rows
            if numbers.size == 1 and numbers[0] == number:
                rows = np.arange(self.n_rows, dtype=np.int64)
        starts, heap = self._texts("id")
        wanted, text = identifier.encode("utf-8", "surrogateescape"), heap.tobytes() if heap.size else b""
        entries: list[int] = []
        at = text.find(wanted) if wanted else -1
        while at >= 0:
            entry = int(np.searchsorted(starts, at, side="right")) - 1
            if identifier in self.text("id", entry).split(";"):
                entries.append(entry)
            at = text.find(wanted, int(starts[entry + 1]))
        spelled = self.file.array("id_rows", np.uint32)[entries].astype(np.int64)
        return np.union1d(rows, spelled) if spelled.size else rows

    def overlapping(self, start: int, end: int) -> IntArray:
        """Rows whose [position, end) shares a base with [start, end); an empty stretch shares none."""
        first, last = np.searchsorted(self.position, np.array([start, end], np.int64).astype(np.uint32))
        inside = np.arange(first, last, dtype=np.int64)
        # Rows that begin before and reach in: single-base changes cannot.
        before = int(np.searchsorted(self.long_rows, np.uint32(first)))
        reaching = int(np.searchsorted(self._long_reach[:before], np.uint32(start), side="right"))
        earlier = self.long_rows[reaching:before][self.long_end[reaching:before] > start].astype(np.int64)
        return np.concatenate([earlier, inside]) if earlier.size else inside

    # ---- calls

    def haploid(self, row: int) -> BoolArray:
        """(samples,) bool: whose call of this row is haploid."""
        pattern = self.file.array("pattern", np.uint16)
        if not pattern.size or not pattern[row]:
            return np.zeros(self.n_samples, np.bool_)
        bits = self.file.array("ploidy", np.uint64).reshape(-1, -(-self.n_samples // 64))[pattern[row] - 1]
        return np.unpackbits(bits.view(np.uint8), count=self.n_samples, bitorder="little").astype(np.bool_)

    def batch(self, start: int, stop: int) -> EncodedBatch:
        """Rows in the form in which they were handed to the writer."""
        n, words = stop - start, -(-self.n_samples // 64)
        limit = sparse_limit(self.n_samples)
        carriers, missing = np.empty(limit + 1, np.uint32), np.empty(self.n_samples + 1, np.uint32)
        dense_row, sizes = np.empty(2 * words, np.uint64), np.empty((1, 2), np.int64)
        all_carriers, all_missing, rows = [], [], []
        row_flags = self.file.array("flags")[start:stop]
        flags: ByteArray = (((row_flags >> ROW_PHASE_SHIFT) & 3) << PHASE_SHIFT).astype(np.uint8)
        for row in range(start, stop):
            if kernels.unpack_row(self.buffer, self.toc, row, limit, carriers, dense_row, missing, sizes):
                flags[row - start] |= FLAG_DENSE
                rows.append(dense_row[: -(-self.n_samples // 32)].copy())
                sizes[0, 0] = 0
            all_carriers.append(carriers[: sizes[0, 0]].copy())
            all_missing.append(missing[: sizes[0, 1]].copy())
        phase_starts = self.file.array("phase_starts", np.uint32)[start : stop + 1].astype(np.int64)
        if not phase_starts.size:
            phase_starts = np.zeros(n + 1, np.int64)
        pattern = self.file.array("pattern", np.uint16)[start:stop].astype(np.int32)
        ploidy = self.file.array("ploidy", np.uint64).reshape(-1, words)
        return EncodedBatch(
            contig=self.record.contig,
            n_samples=self.n_samples,
            position=self.position[start:stop],
            end=self.ends(start, stop),
            alleles=_strings([f"{ref}\t{alt}" for ref, alt in self.alleles_between(start, stop)]),
            ids=_strings(self.ids(start, stop)),
            record=self.column("record", start, stop) + np.arange(start, stop),
            alt_index=self.column("alt_index", start, stop).astype(np.uint16),
            n_alts=self.column("n_alts", start, stop).astype(np.uint16),
            source=_strings(self.texts("source", start, stop)),
            flags=flags,
            pattern=pattern if pattern.size else np.zeros(n, np.int32),
            ploidy=np.concatenate([np.zeros((1, words), np.uint64), ploidy]),
            carriers=np.concatenate([np.empty(0, np.uint32), *all_carriers]),
            carrier_offsets=np.cumsum([0, *map(len, all_carriers)], dtype=np.int64),
            rows=np.array(rows, np.uint64).reshape(len(rows), -(-self.n_samples // 32)),
            missing=np.concatenate([np.empty(0, np.uint32), *all_missing]),
            missing_offsets=np.cumsum([0, *map(len, all_missing)], dtype=np.int64),
            phase=self.file.array("phase")[phase_starts[0] : phase_starts[-1]],
            phase_offsets=phase_starts - phase_starts[0],
        )


def _rs_number(identifier: str) -> int:
    """The number of `rs671` as the column of ids holds it; 0 for any other id."""
    digits = identifier.removeprefix("rs")
    plain = digits != identifier and digits.isascii() and digits.isdigit() and len(digits) <= _RS_DIGITS and digits[0] != "0"
    return int(digits) if plain and int(digits) < ID_TEXT else 0


class HybridStore:
    """`GenotypeStore` over a folder of shards, mapped when first asked."""

    def __init__(self, folder: Path, info: StoreInfo, shards: tuple[ShardRecord, ...]) -> None:
        self._folder, self._info, self._records = folder, info, shards
        self._lasts = [record.last for record in shards]
        self._shards: list[Shard | None] = [None] * len(shards)
        self._lock = threading.Lock()
        self._first_rows = [0]
        self._of_contig: dict[str, range] = {}
        for i, shard in enumerate(shards):
            self._first_rows.append(self._first_rows[-1] + shard.rows)
            self._of_contig[shard.contig] = range(self._of_contig.get(shard.contig, range(i, i)).start, i + 1)
        self._everybody = Cohort.of(len(info.samples))

    @classmethod
    def open(cls, folder: Path) -> HybridStore:
        """Open a store: reads the index and looks at the shards' sizes; shards are mapped when first asked.

        Raises
        ------
        Damaged
            If the index or a shard is absent, cut off or of another format version.
        """
        info, shards = read_index(folder)
        for shard in shards:
            path = folder / shard.file
            if not path.is_file() or path.stat().st_size != shard.bytes:
                raise Damaged(f"{path} is absent or has another size than the index says")
        return cls(folder, info, shards)

    @property
    def info(self) -> StoreInfo:
        """Samples, assembly and extent."""
        return self._info

    # ---- rows and names

    def shard_rows(self) -> list[range]:
        """The rows of each shard, in order."""
        return [range(first, last) for first, last in pairwise(self._first_rows)]

    def contig_rows(self, contig: str) -> range:
        """All rows of a contig; empty where it has none."""
        shards = self._of_contig.get(contig)
        if shards is None:
            return range(0)
        return range(self._first_rows[shards.start], self._first_rows[shards.stop])

    def rows_starting(self, region: Region) -> range:
        """Rows whose trimmed position lies in the region (half-open)."""
        shards = self._of_contig.get(region.contig)
        if shards is None or region.end <= region.start:
            return range(0)
        return range(self._row_from(shards, region.start), self._row_from(shards, region.end))

    def rows_overlapping(self, region: Region) -> IntArray:
        """Rows whose [position, end) shares a base with the region, ascending int64."""
        shards = self._of_contig.get(region.contig)
        if shards is None or region.end <= region.start:
            return _EMPTY
        found = [
            self.shard(i).overlapping(max(region.start, 0), min(region.end, 0xFFFFFFFF)) + self._first_rows[i]
            for i in shards
            if self._records[i].first < region.end and self._records[i].end > region.start
        ]
        return np.concatenate(found) if found else _EMPTY

    def rows_of(self, key: VariantKey) -> list[int]:
        """Rows with exactly this position, REF and ALT, in file order; usually none or one."""
        contig, position, ref, alt = key
        shards = self._of_contig.get(contig)
        if shards is None or not 0 <= position <= 0xFFFFFFFF:
            return []
        found = []
        at = bisect_left(self._lasts, position, shards.start, shards.stop)
        while at < shards.stop and self._records[at].first <= position:
            shard = self._shards[at] or self.shard(at)
            first = self._first_rows[at]
            for row in shard.rows_at(position):
                if shard.alleles(row) == (ref, alt):
                    found.append(first + row)
            at += 1
        return found

    def rows_named(self, identifier: str) -> IntArray:
        """Rows to which the source gave this id (`rs671`), alone or as one of several, ascending int64.

        An id that only says contig, position and alleles again names no row. There is no index: 10^8 rows are 0.4 GB.
        """
        found = [self.shard(i).named(identifier) + first for i, first in enumerate(self._first_rows[:-1])]
        return np.concatenate(found) if found else _EMPTY

    def key(self, row: int) -> VariantKey:
        """A row's name."""
        at = self._shard_of(row)
        shard, local = self.shard(at), row - self._first_rows[at]
        return VariantKey(shard.record.contig, int(shard.position[local]), *shard.alleles(local))

    def name(self, row: int) -> tuple[VariantKey, int, str]:
        """A row's key, its end and its id; empty where the source had none."""
        at = self._shard_of(row)
        shard, local = self.shard(at), row - self._first_rows[at]
        return self.key(row), shard.end(local), shard.ids(local, local + 1)[0]

    def table(self, rows: range) -> VariantTable:
        """Names of consecutive rows of one contig.

        Raises
        ------
        ShapeMismatch
            If the rows span more than one contig or reach outside the store.
        """
        if not rows:
            return VariantTable("", np.empty(0, np.uint32), np.empty(0, np.uint32), [], [], [], _EMPTY, _EMPTY, _EMPTY, [])
        if rows.step != 1 or rows.start < 0 or rows.stop > self._first_rows[-1]:
            raise ShapeMismatch(f"rows {rows.start}…{rows.stop - 1} are not consecutive rows of this store")
        pieces = [(self.shard(i), local.start, local.stop) for i, local in self._pieces_of_range(rows)]
        contigs = {shard.record.contig for shard, _, _ in pieces}
        if len(contigs) > 1:
            raise ShapeMismatch(f"rows {rows.start}…{rows.stop - 1} are of several contigs")
        alleles = [pair for shard, start, stop in pieces for pair in shard.alleles_between(start, stop)]
        return VariantTable(
            contig=contigs.pop(),
            position=np.concatenate([shard.position[start:stop] for shard, start, stop in pieces]),
            end=np.concatenate([shard.ends(start, stop) for shard, start, stop in pieces]),
            ref=[ref for ref, _ in alleles],
            alt=[alt for _, alt in alleles],
            id=[text for shard, start, stop in pieces for text in shard.ids(start, stop)],
            record=np.concatenate(
                [shard.column("record", start, stop) + np.arange(start, stop) for shard, start, stop in pieces]
            ),
            alt_index=np.concatenate([shard.column("alt_index", start, stop) for shard, start, stop in pieces]),
            n_alts=np.concatenate([shard.column("n_alts", start, stop) for shard, start, stop in pieces]),
            source=[text for shard, start, stop in pieces for text in shard.texts("source", start, stop)],
        )

    # ---- calls

    def allele_counts(self, rows: range | IntArray, cohort: Cohort | None = None) -> AlleleCounts:
        """Counts of each row's ALT among a cohort's samples (None: everybody), by rule 1 of the interface."""
        who = self._everybody if cohort is None else self._checked(cohort)
        counts = np.empty((len(rows), 6), np.int64)

        def count(shard: Shard, local: IntArray, out: slice) -> None:
            kernels.count_rows(shard.buffer, shard.toc, local, who.flags, who.bits, who.size, counts[out])

        self._run(rows, count)
        return AlleleCounts(*(counts[:, i] for i in range(6)))

    def carriers(self, row: int, cohort: Cohort | None = None) -> Carriers:
        """Fully called samples with one or two copies of the row's ALT (haploid: one)."""
        who = self._everybody if cohort is None else self._checked(cohort)
        at = self._shard_of(row)
        shard, local = self.shard(at), row - self._first_rows[at]
        room = kernels.carriers_most(shard.buffer, shard.toc, local) + 1
        samples, copies = np.empty(room, np.int64), np.empty(room, np.uint8)
        n = kernels.list_carriers(shard.buffer, shard.toc, local, who.flags, samples, copies)
        return Carriers(samples[:n], copies[:n])

    def dosages(self, rows: range | IntArray, samples: IntArray | None = None, dtype: DosageType = "float32") -> FloatArray:
        """Copies of ALT, (rows, samples); NaN where missing or half-called; a haploid ALT call is 1."""
        everybody = samples is None
        chosen = _EMPTY if samples is None else np.ascontiguousarray(samples, np.int64)
        if chosen.size and (chosen.min() < 0 or chosen.max() >= len(self._info.samples)):
            raise ShapeMismatch(f"sample indexes reach outside 0…{len(self._info.samples) - 1}")
        of_code = np.array([0, 1, 2, np.nan], dtype)
        decode = kernels.dosages_float32 if dtype == "float32" else kernels.dosages_float64
        dosages = np.empty((len(rows), len(self._info.samples) if everybody else len(chosen)), dtype)

        def fill(shard: Shard, local: IntArray, out: slice) -> None:
            decode(shard.buffer, shard.toc, local, chosen, everybody, of_code, dosages[out])

        self._run(rows, fill, bytes_per_row=dosages.itemsize * dosages.shape[1])
        return dosages

    def calls(self, rows: range | IntArray) -> Calls:
        """Every sample's alleles and phase, as the source had them (an unphased het reads 0/1)."""
        n_samples = len(self._info.samples)
        alleles, phased = np.empty((len(rows), n_samples, 2), np.int8), np.empty((len(rows), n_samples), np.bool_)

        def decode(shard: Shard, local: IntArray, out: slice) -> None:
            kernels.decode_calls(shard.buffer, shard.toc, local, alleles[out], phased[out])

        self._run(rows, decode, bytes_per_row=3 * n_samples)
        return Calls(alleles, phased)

    def verify(self) -> None:
        """Check every stored file against its checksum.

        Raises
        ------
        Damaged
            Naming the file.
        """
        read_index(self._folder)

        def check(record: ShardRecord) -> None:
            path = self._folder / record.file
            if not path.is_file() or sha256_of(path) != record.sha256:
                raise Damaged(f"{path} is not what was written: its checksum differs")

        for done in [_pool().submit(check, record) for record in self._records]:
            done.result()

    def shard(self, index: int) -> Shard:
        """A shard, mapped now if it was not yet."""
        found = self._shards[index]
        if found is None:
            with self._lock:
                found = self._shards[index]
                if found is None:
                    record = self._records[index]
                    found = Shard(self._folder / record.file, record, len(self._info.samples))
                    self._shards[index] = found
        return found

    # ---- helpers

    def _checked(self, cohort: Cohort) -> Cohort:
        if cohort.n_samples != len(self._info.samples):
            raise ShapeMismatch(f"a cohort of {cohort.n_samples} samples does not fit a store of {len(self._info.samples)}")
        return cohort

    def _shard_of(self, row: int) -> int:
        if not 0 <= row < self._first_rows[-1]:
            raise ShapeMismatch(f"row {row} is outside the store")
        return bisect_right(self._first_rows, row) - 1

    def _row_from(self, shards: range, position: int) -> int:
        """First row of a contig (or the row after its last) whose position is not below this one."""
        at = bisect_left(self._lasts, position, shards.start, shards.stop)
        if at == shards.stop or position <= self._records[at].first:
            return self._first_rows[at]
        return self._first_rows[at] + int(self.shard(at).position.searchsorted(np.uint32(position)))

    def _pieces_of_range(self, rows: range) -> Iterable[tuple[int, range]]:
        at = self._shard_of(rows.start)
        start = rows.start
        while start < rows.stop:
            first, stop = self._first_rows[at], min(rows.stop, self._first_rows[at + 1])
            yield at, range(start - first, stop - first)
            start, at = stop, at + 1

    def pieces(self, rows: range | IntArray) -> list[tuple[int, IntArray, slice]]:
        """A request, by shard: (shard, rows within it, their place in the answer)."""
        if len(rows) == 0:
            return []
        if isinstance(rows, range) and rows.step == 1:
            if rows.start < 0 or rows.stop > self._first_rows[-1]:
                raise ShapeMismatch(f"rows {rows.start}…{rows.stop - 1} reach outside the store")
            pieces, done = [], 0
            for at, local in self._pieces_of_range(rows):
                pieces.append((at, np.arange(local.start, local.stop), slice(done, done + len(local))))
                done += len(local)
            return pieces
        chosen = np.ascontiguousarray(rows, np.int64)
        if chosen.ndim != 1 or chosen.min() < 0 or chosen.max() >= self._first_rows[-1]:
            raise ShapeMismatch("rows reach outside the store")
        of_shard = np.searchsorted(self._first_rows, chosen, side="right") - 1
        # Runs of rows of one shard, so that rows in any order are answered in that order.
        bounds = [0, *(np.flatnonzero(np.diff(of_shard)) + 1).tolist(), len(chosen)]
        return [
            (int(of_shard[start]), chosen[start:stop] - self._first_rows[int(of_shard[start])], slice(start, stop))
            for start, stop in pairwise(bounds)
        ]

    def _run(self, rows: range | IntArray, work: Callable[[Shard, IntArray, slice], None], *, bytes_per_row: int = 0) -> None:
        """Do `work` over the rows of a request: at once where it is small, on all cores where it is large."""
        pieces = self.pieces(rows)
        touched = len(rows) * bytes_per_row
        for at, local, _ in pieces:
            record = self._records[at]
            touched += record.bytes * len(local) // record.rows
        if touched < _PARALLEL_BYTES or _n_threads() == 1:
            for at, local, out in pieces:
                work(self.shard(at), local, out)
            return
        # Common variants cluster and weigh a hundred times as much: several chunks for each thread even that out.
        chunk = max(16, len(rows) // (8 * _n_threads()))
        jobs = []
        for at, local, out in pieces:
            shard = self.shard(at)
            for start in range(0, len(local), chunk):
                part = local[start : start + chunk]
                place = slice(out.start + start, out.start + start + len(part))
                jobs.append(_pool().submit(work, shard, part, place))
        for job in jobs:
            job.result()


def listed_bytes(n_samples: int) -> int:
    """Bytes of a listed sample: 2 where `sample << 1 | 1` fits, else 4."""
    return 2 if 2 * n_samples <= 1 << 16 else 4


def index_document(info: StoreInfo, shards: Iterable[ShardRecord]) -> bytes:
    """The text of `store.json`, with a checksum of itself."""
    document = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "assembly": str(info.assembly),
        "samples": list(info.samples),
        "shards": [shard._asdict() for shard in shards],
    }
    document["sha256"] = hashlib.sha256(orjson.dumps(document)).hexdigest()
    return orjson.dumps(document)


def read_index(folder: Path) -> tuple[StoreInfo, tuple[ShardRecord, ...]]:
    """What `store.json` says.

    Raises
    ------
    Damaged
        If it is absent, not what was written, or of a format version that this program does not read.
    """
    path = folder / INDEX_NAME
    try:
        document: dict[str, Any] = orjson.loads(path.read_bytes())
        if document["format"] != FORMAT or document["format_version"] not in READABLE_VERSIONS:
            raise Damaged(
                f"{path} has format {document['format']} {document['format_version']}; this program reads {FORMAT} "
                + ", ".join(map(str, READABLE_VERSIONS))
            )
        if document.pop("sha256") != hashlib.sha256(orjson.dumps(document)).hexdigest():
            raise Damaged(f"{path} is not what was written: its checksum differs")
        shards = tuple(ShardRecord(**shard) for shard in document["shards"])
        info = StoreInfo(
            assembly=Assembly(document["assembly"]),
            samples=tuple(document["samples"]),
            n_variants=sum(shard.rows for shard in shards),
            contigs=tuple(dict.fromkeys(shard.contig for shard in shards)),
            format_version=document["format_version"],
        )
    except CohelixError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise Damaged(f"{path} is absent or not an index of a genotype store") from problem
    return info, shards


_BASE_PAIRS = [(chr(BASES[(code >> 2) & 3]), chr(BASES[code & 3])) for code in range(16)]


def _strings(texts: list[str]) -> Strings:
    encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
    return Strings(np.cumsum([0, *map(len, encoded)], dtype=np.int64), b"".join(encoded))


@cache
def _n_threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_n_threads(), thread_name_prefix="genotypes")
