"""Encoded batches to a finished store: put in row order, packed into shards, index written last.

Each source of a contig becomes a *run* of shards in the order of its rows. Where the runs of a contig's sources do not
overlap, they are the contig; where they do, they are read back and merged into new shards. What is on the disk depends
on the variants handed over, not on how they were cut into batches. Memory: about three shards (64 MiB) of each source
that is open at the same time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cohelix.core.arrays import IntArray, UintArray
from cohelix.core.errors import Conflict, ShapeMismatch
from cohelix.core.genome import Assembly, contig_order
from cohelix.genotypes.batches import join, slice_batch, take, take_strings
from cohelix.genotypes.hybrid_store import (
    BASES,
    FORMAT_VERSION,
    INDEX_NAME,
    LONG,
    SHARD_MAGIC,
    Shard,
    ShardRecord,
    index_document,
    listed_bytes,
)
from cohelix.genotypes.loops import kernels
from cohelix.genotypes.model import PHASE_MASK, PHASE_SHIFT, EncodedBatch, StoreInfo, Strings
from cohelix.genotypes.sections import smallest, sync_folder, write_sections
from cohelix.genotypes.shard_layout import ID_SEPARATORS, ID_TEXT, ROW_HALF, ROW_HIGH, ROW_LOW, ROW_MISSING, ROW_PHASE_SHIFT

# A shard closes before the row that would take it beyond either. 16 MiB are two seconds' work to read back and check
# on a slow disk, and small enough that several sources can be open at once; row numbers and patterns fit 16 bits.
SHARD_ROWS = 1 << 16
SHARD_BYTES = 16 << 20
# Variants read at a time from each run in a merge.
MERGE_ROWS = 4096
_EVERYTHING = 1 << 32

AnyArray = npt.NDArray[Any]


class StoreWriter:
    """Writes one store into an empty folder; nothing there is a store until `close` has returned."""

    def __init__(
        self,
        folder: Path,
        *,
        assembly: Assembly,
        samples: Sequence[str],
        shard_rows: int = SHARD_ROWS,
        shard_bytes: int = SHARD_BYTES,
    ) -> None:
        """Begin a store. Shards close before they exceed `shard_rows` (at most 65,536) or `shard_bytes`.

        Raises
        ------
        Conflict
            If the folder has something in it.
        """
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise Conflict(f"{folder} is not empty; a store is written into a folder of its own")
        self._folder, self._assembly, self._samples = folder, assembly, tuple(samples)
        self._limits = _Limits(min(shard_rows, SHARD_ROWS), shard_bytes, len(self._samples))
        self._open: dict[int, _Run] = {}
        self._finished: list[_Run] = []
        self._info: StoreInfo | None = None

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.close()

    def add(self, batch: EncodedBatch, complete_before: int | None = None, *, source: int = 0) -> None:
        """Hand over the next variants of a source.

        Parameters
        ----------
        batch
            Variants of one contig, in any order. A source's batches of a contig come one after another.
        complete_before
            0-based; no later batch of this source and contig has a variant below. None: batches ascend, that is,
            none has a variant below the largest position so far.
        source
            Number of the source file; sources may cover the same stretch.

        Raises
        ------
        ShapeMismatch
            If the batch has other samples, or a variant that an earlier call excluded.
        """
        if batch.n_samples != len(self._samples):
            raise ShapeMismatch(f"a batch of {batch.n_samples} samples does not fit a store of {len(self._samples)}")
        run = self._open.get(source)
        if run is None or run.contig != batch.contig:
            self.finish_source(source)
            if any(done.contig == batch.contig and done.source == source for done in self._finished):
                raise ShapeMismatch(f"source {source} comes back to contig {batch.contig}")
            name = f"run-{source:05d}-{len(self._finished):05d}"
            run = self._open[source] = _Run(self._folder, batch.contig, source, name, self._limits)
        run.add(batch, complete_before)

    def finish_source(self, source: int) -> None:
        """Say that no batch of this source follows, so that what is held of it can be written and let go."""
        run = self._open.pop(source, None)
        if run is not None:
            self._finished.append(run.finish())

    def close(self) -> StoreInfo:
        """Finish the store, bring it to the disk, and say what it holds. Closing twice is closing once."""
        if self._info is not None:
            return self._info
        self._finished += [run.finish() for run in self._open.values()]
        self._open = {}
        records: list[ShardRecord] = []
        contigs = sorted({run.contig for run in self._finished}, key=contig_order)
        for number, contig in enumerate(contigs):
            runs = sorted((run for run in self._finished if run.contig == contig), key=_start)
            if not _in_order(runs):
                runs = [self._merge(runs, f"merged-{number:05d}")]
            shards = [shard for run in runs for shard in run.shards]
            for place, shard in enumerate(shards):
                name = f"{number:04d}-{place:05d}.shard"
                (self._folder / shard.file).rename(self._folder / name)
                records.append(shard._replace(file=name))
        self._info = StoreInfo(
            self._assembly, self._samples, sum(shard.rows for shard in records), tuple(contigs), FORMAT_VERSION
        )
        sync_folder(self._folder)
        self._write_index(index_document(self._info, records))
        return self._info

    def _write_index(self, document: bytes) -> None:
        """The index appears whole or not at all, after everything that it names."""
        partial = self._folder / f"{INDEX_NAME}.partial"
        with partial.open("wb") as file:
            file.write(document)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(self._folder / INDEX_NAME)
        sync_folder(self._folder)

    def _merge(self, runs: list[_Run], name: str) -> _Run:
        merged = _Run(self._folder, runs[0].contig, 0, name, self._limits)
        readers = [_RunReader(run, self._folder, self._limits) for run in runs]
        while True:
            # The reader that has got least far bounds what is complete.
            behind = min(readers, key=lambda reader: reader.reached)
            if behind.reached == _EVERYTHING:
                break
            batch = behind.next()
            if batch is not None:
                merged.add(batch, min(reader.reached for reader in readers), behind.run.source)
        merged.finish()
        for run in runs:
            for shard in run.shards:
                (self._folder / shard.file).unlink()
        return merged


class _Limits(NamedTuple):
    """How large a shard may be, and how many samples its rows have."""

    rows: int
    bytes: int
    n_samples: int


def _start(run: _Run) -> tuple[int, int]:
    return (run.shards[0].first if run.shards else 0, run.source)


def _in_order(runs: Sequence[_Run]) -> bool:
    """Whether runs, one after another, are in row order: by position, then source."""
    filled = [run for run in runs if run.shards]
    return all(
        (before.shards[-1].last, before.source) < (after.shards[0].first, after.source) for before, after in pairwise(filled)
    )


class _RunReader:
    """A finished run, read back in batches."""

    def __init__(self, run: _Run, folder: Path, limits: _Limits) -> None:
        self.run = run
        # Every variant below this position has been read.
        self.reached = run.shards[0].first if run.shards else _EVERYTHING
        self._pieces = self._read(folder, limits)

    def next(self) -> EncodedBatch | None:
        """The next variants; None, once, where there are no more."""
        piece = next(self._pieces, None)
        if piece is None:
            self.reached = _EVERYTHING
        return piece

    def _read(self, folder: Path, limits: _Limits) -> Iterator[EncodedBatch]:
        for record in self.run.shards:
            shard = Shard(folder / record.file, record, limits.n_samples, check=False)
            # Half a shard's bytes at most, in the wider form of a batch.
            step = max(1, min(MERGE_ROWS, limits.bytes // 2 // max(1, record.bytes // record.rows)))
            for start in range(0, record.rows, step):
                piece = shard.batch(start, min(start + step, record.rows))
                self.reached = int(piece.position[-1])
                yield piece


class _Run:
    """One source's variants of one contig: brought into order, then cut into shards."""

    def __init__(self, folder: Path, contig: str, source: int, name: str, limits: _Limits) -> None:
        self.contig, self.source = contig, source
        self.shards: list[ShardRecord] = []
        self._folder, self._name, self._limits = folder, name, limits
        self._pending: EncodedBatch | None = None
        self._pending_source = np.empty(0, np.int64)
        self._complete = 0
        self._shard = _ShardBuilder(limits)

    def add(self, batch: EncodedBatch, complete_before: int | None, source: int = 0) -> None:
        if len(batch):
            lowest = int(batch.position.min())
            if lowest < self._complete:
                raise ShapeMismatch(f"{self.contig}:{lowest + 1} comes after {self.contig}:{self._complete} was complete")
            sources = np.full(len(batch), source, np.int64)
            self._pending_source = sources if self._pending is None else np.concatenate([self._pending_source, sources])
            self._pending = batch if self._pending is None else join([self._pending, batch])
        if complete_before is None and self._pending is not None:
            complete_before = int(self._pending.position.max())
        if complete_before is not None and complete_before > self._complete:
            self._complete = complete_before
            self._release()

    def finish(self) -> _Run:
        self._complete = _EVERYTHING
        self._release()
        if self._shard.rows:
            self._close_shard()
        return self

    def _release(self) -> None:
        """Pass on, in row order, the pending variants that nothing can precede any more."""
        pending = self._pending
        if pending is None:
            return
        position = pending.position.astype(np.int64)
        order = np.lexsort((pending.alt_index, pending.record, self._pending_source, position))
        n_ready = int((position < self._complete).sum())
        if not n_ready:
            return
        if (np.diff(order) == 1).all():
            ready, rest = slice_batch(pending, 0, n_ready), slice_batch(pending, n_ready, len(pending))
        else:
            ready, rest = take(pending, order[:n_ready]), take(pending, order[n_ready:])
        self._pending_source = self._pending_source[order[n_ready:]]
        self._pending = rest if len(rest) else None
        self._pack(ready)

    def _pack(self, batch: EncodedBatch) -> None:
        """Put ordered variants into shards; where a shard ends depends on its rows alone."""
        start = 0
        packed = _Packed(batch)
        while start < len(batch):
            n_more = self._shard.room(packed, start)
            self._shard.add(packed.part(start, start + n_more))
            start += n_more
            if start < len(batch):
                self._close_shard()

    def _close_shard(self) -> None:
        file = f"{self._name}-{len(self.shards):05d}"
        self.shards.append(self._shard.write(self._folder / file, self.contig))
        self._shard = _ShardBuilder(self._limits)


class _Packed:
    """A batch whose rows have chosen their form; `weight` is each row's bytes in a shard, ploidy bitmaps apart."""

    def __init__(self, batch: EncodedBatch) -> None:
        self.batch = batch
        width, words = listed_bytes(batch.n_samples), -(-batch.n_samples // 64)
        measured = np.empty((len(batch), 4), np.int64)
        kernels.measure_batch(*_calls_of(batch), measured)
        one, two, full, half = measured.T
        # The smallest form; the first of equals.
        sizes = np.stack([width * (one + two + full), 8 * words + width * (two + full), np.full(len(batch), 16 * words)])
        choice = sizes.argmin(axis=0)
        self.planes = choice
        self.kinds = np.array([0, ROW_LOW, ROW_LOW | ROW_HIGH], np.uint8)[choice]
        self.n_carriers = np.select([choice == 0, choice == 1], [one + two, two], 0)
        self.n_missing = np.where(choice < 2, full, 0)
        self.n_half = half
        text_bytes = sum(np.diff(texts.offsets) for texts in (batch.alleles, batch.ids, batch.source))
        phase_bytes = np.diff(batch.phase_offsets)
        self.weight: IntArray = 24 + sizes.min(axis=0) + 4 * half + text_bytes + phase_bytes

    def part(self, start: int, stop: int) -> _Packed:
        """Rows start…stop - 1."""
        if (start, stop) == (0, len(self.batch)):
            return self
        part = object.__new__(_Packed)
        part.batch = slice_batch(self.batch, start, stop)
        for name in ("planes", "kinds", "n_carriers", "n_missing", "n_half", "weight"):
            setattr(part, name, getattr(self, name)[start:stop])
        return part

    def calls(self) -> tuple[UintArray, AnyArray, UintArray, UintArray]:
        """Listed carriers, planes (planes, W), listed missing and half-called samples, in row order."""
        n_samples = self.batch.n_samples
        carriers, missing = np.empty(self.n_carriers.sum(), np.uint32), np.empty(self.n_missing.sum(), np.uint32)
        half, planes = np.empty(self.n_half.sum(), np.uint32), np.empty((self.planes.sum(), -(-n_samples // 64)), np.uint64)
        kernels.pack_batch(*_calls_of(self.batch), self.kinds, carriers, planes, missing, half)
        return carriers, planes, missing, half


def _calls_of(batch: EncodedBatch) -> tuple[AnyArray, AnyArray, AnyArray, AnyArray, AnyArray, AnyArray]:
    whole = np.ascontiguousarray
    return (
        whole(batch.flags),
        whole(batch.carriers),
        whole(batch.carrier_offsets),
        whole(batch.rows),
        whole(batch.missing),
        whole(batch.missing_offsets),
    )


class _ShardBuilder:
    """Collects packed rows, and writes them as one shard."""

    def __init__(self, limits: _Limits) -> None:
        self.rows = 0
        self._limits, self._n_samples = limits, limits.n_samples
        self._bytes = 0
        self._patterns: dict[bytes, int] = {}
        self._columns: dict[str, list[AnyArray]] = {}

    def room(self, packed: _Packed, start: int) -> int:
        """How many of the rows from `start` on still belong to this shard; at least one where it is empty."""
        batch, weight = packed.batch, packed.weight[start:].copy()
        numbers, first = np.unique(batch.pattern[start:], return_index=True)
        for number, row in zip(numbers.tolist(), first.tolist(), strict=True):
            if batch.ploidy[number].tobytes() not in self._patterns:
                weight[row] += batch.ploidy[number].nbytes
        fits = int(np.searchsorted(np.cumsum(weight), self._limits.bytes - self._bytes, side="right"))
        return max(min(fits, self._limits.rows - self.rows), 0 if self.rows else 1)

    def add(self, packed: _Packed) -> None:
        """Append rows, for which there is `room`."""
        batch = packed.batch
        if not len(batch):
            return
        carriers, planes, missing, half = packed.calls()
        alleles = np.frombuffer(batch.alleles.heap, np.uint8)
        code = _allele_codes(batch, alleles)
        # A pattern counts from its first row here on.
        used = np.unique(batch.pattern)
        local = np.zeros(int(used.max()) + 1, np.uint16)
        for number in used.tolist():
            bitmap = batch.ploidy[number]
            if bitmap.any():
                key = bitmap.tobytes()
                if key not in self._patterns:
                    self._patterns[key] = len(self._patterns) + 1
                    self._bytes += len(key)
                local[number] = self._patterns[key]
        ids = np.empty(len(batch), np.uint32)
        kernels.classify_ids(
            np.frombuffer(batch.ids.heap, np.uint8),
            batch.ids.offsets,
            np.frombuffer(batch.contig.encode(), np.uint8),
            np.ascontiguousarray(batch.position),
            alleles,
            batch.alleles.offsets,
            np.frombuffer(b"chr", np.uint8),
            np.frombuffer(ID_SEPARATORS.encode(), np.uint8),
            ids,
        )
        state = (batch.flags & PHASE_MASK) >> PHASE_SHIFT
        flags = packed.kinds | state << ROW_PHASE_SHIFT
        flags = flags | ROW_MISSING * (packed.n_missing > 0) | ROW_HALF * (packed.n_half > 0)
        listed = np.uint16 if listed_bytes(self._n_samples) == 2 else np.uint32
        fixed = {
            "flags": flags.astype(np.uint8),
            "position": batch.position,
            "end": batch.end,
            "allele": code,
            "pattern": local[batch.pattern],
            "id": ids,
            "record": batch.record,
            "alt_index": batch.alt_index,
            "n_alts": batch.n_alts,
        }
        lists: dict[str, tuple[AnyArray, AnyArray]] = {
            "carriers": (packed.n_carriers, carriers.astype(listed)),
            "planes": (packed.planes, planes),
            "missing": (packed.n_missing, missing.astype(listed)),
            "half": (packed.n_half, half),
            "phase": (np.diff(batch.phase_offsets), batch.phase),
            "long": _texts_where(batch.alleles, code == LONG),
            "id": _texts_where(batch.ids, ids == ID_TEXT),
            "source": _texts_where(batch.source, np.diff(batch.source.offsets) > 0),
        }
        for name, column in fixed.items():
            self._put(f"{name}.fixed", column)
        for name, (lengths, values) in lists.items():
            self._put(f"{name}.lengths", lengths)
            self._put(f"{name}.values", values)
        self.rows += len(batch)
        self._bytes += int(packed.weight.sum())

    def write(self, path: Path, contig: str) -> ShardRecord:
        """Write the shard, and say what the index must know of it."""
        position, end, long = self._get("position.fixed"), self._get("end.fixed"), self._get("allele.fixed") == LONG
        pattern, ids = self._get("pattern.fixed"), self._get("id.fixed")
        phased = (self._get("flags.fixed") >> ROW_PHASE_SHIFT & 3).any()
        sections: dict[str, AnyArray] = {
            "flags": self._get("flags.fixed"),
            "pattern": pattern if pattern.any() else pattern[:0],
            "ploidy": np.frombuffer(b"".join(self._patterns), np.uint64),
            **self._starts("carrier", "carriers", every_row=True),
            "carriers": self._get("carriers.values"),
            **self._starts("plane", "planes"),
            "planes": self._get("planes.values"),
            **self._starts("missing", "missing"),
            "missing": self._get("missing.values"),
            **self._starts("half", "half"),
            "half": self._get("half.values"),
            **(self._starts("phase", "phase", every_row=True) if phased else {}),
            "phase": self._get("phase.values"),
            "position": position,
            "allele": self._get("allele.fixed"),
            **self._starts("long", "long"),
            "long_text": self._get("long.values"),
            "long_end": end[long],
            "id": _shared(ids),
            **self._starts("id", "id"),
            "id_text": self._get("id.values"),
            "record": _shared(smallest(self._get("record.fixed") - np.arange(self.rows), signed=True)),
            "alt_index": _shared(smallest(self._get("alt_index.fixed"))),
            "n_alts": _shared(smallest(self._get("n_alts.fixed"))),
            **self._starts("source", "source"),
            "source_text": self._get("source.values"),
        }
        written = write_sections(
            path, sections, magic=SHARD_MAGIC, version=FORMAT_VERSION, n_rows=self.rows, n_samples=self._n_samples
        )
        return ShardRecord(
            file=path.name,
            contig=contig,
            rows=self.rows,
            first=int(position[0]),
            last=int(position[-1]),
            end=int(end.max()),
            bytes=written.bytes,
            sha256=written.sha256,
        )

    def _put(self, name: str, column: AnyArray) -> None:
        self._columns.setdefault(name, []).append(column)

    def _get(self, name: str) -> AnyArray:
        column = self._columns[name]
        if len(column) > 1:
            column[:] = [np.concatenate(column)]
        return column[0]

    def _starts(self, name: str, column: str, *, every_row: bool = False) -> dict[str, AnyArray]:
        """Where each row's list starts (and the last ends): of every row, or of those that have one."""
        lengths = self._get(f"{column}.lengths")
        rows = np.arange(self.rows) if every_row else np.flatnonzero(lengths)
        if not rows.size:
            return {}
        starts = np.concatenate([[0], np.cumsum(lengths[rows])]).astype(np.uint32)
        return {f"{name}_starts": starts} if every_row else {f"{name}_rows": rows.astype(np.uint32), f"{name}_starts": starts}


def _allele_codes(batch: EncodedBatch, heap: AnyArray) -> AnyArray:
    """`REF << 2 | ALT` of single-base changes whose end is theirs, LONG of everything else."""
    code = np.full(len(batch), LONG, np.uint8)
    starts = batch.alleles.offsets[:-1]
    short = np.flatnonzero((np.diff(batch.alleles.offsets) == 3) & (batch.end == batch.position + np.uint32(1)))
    of_base = np.full(256, LONG, np.uint8)
    of_base[list(BASES)] = range(4)
    ref, alt = of_base[heap[starts[short]]], of_base[heap[starts[short] + 2]]
    plain = (ref != LONG) & (alt != LONG)
    code[short[plain]] = ref[plain] << 2 | alt[plain]
    return code


def _texts_where(texts: Strings, chosen: AnyArray) -> tuple[AnyArray, AnyArray]:
    """Lengths and bytes of the chosen strings; the others have none."""
    taken = take_strings(texts, np.flatnonzero(chosen))
    return np.where(chosen, np.diff(texts.offsets), 0), np.frombuffer(taken.heap, np.uint8)


def _shared(column: AnyArray) -> AnyArray:
    """One element where all are the same; none where all are 0."""
    if column.size and (column == column[0]).all():
        return column[: 1 if column[0] else 0]
    return column
