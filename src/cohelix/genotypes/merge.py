"""Stores made of stores: without some samples, or two side by side with the columns of both; sources are not needed.

Where two stores are put side by side, a row that only one of them has says of the other's samples what the other knows of
the place: a record there with a fitting REF says who is called (and has no copy of this ALT); without one they are missing,
or have the reference, as their dataset declares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cohelix.core.arrays import AlleleArray, BoolArray, IntArray
from cohelix.core.errors import AssemblyMismatch, BadUsage
from cohelix.core.genome import Region, contig_order
from cohelix.genotypes.encode import encode_calls
from cohelix.genotypes.model import EncodedBatch, StoreInfo, VariantTable
from cohelix.genotypes.store import GenotypeStore
from cohelix.genotypes.writer import StoreWriter

_WINDOW_BYTES = 48 << 20  # decoded calls of one window: three bytes for each
_ROWS_MOST = 4096
_END = 1 << 32
# Copies of a place that each sample of a store has, (samples,) 0, 1 or 2, where no record says so.
Ploidy = Callable[[str, int], IntArray]


class Joined(NamedTuple):
    """A store of two: what it holds, and (rows,) int64 which row of the first and of the second each row is, -1 for none."""

    info: StoreInfo
    first: IntArray
    second: IntArray


def keep_samples(store: GenotypeStore, keep: IntArray, folder: Path) -> StoreInfo:
    """Write a store of some samples of another, ascending indexes `keep`; every row stays, with its number."""
    names = [store.info.samples[index] for index in keep.tolist()]
    step = _rows_at_once(len(store.info.samples))
    with StoreWriter(folder, assembly=store.info.assembly, samples=names) as writer:
        for contig in store.info.contigs:
            rows = store.contig_rows(contig)
            for start in range(rows.start, rows.stop, step):
                block = range(start, min(start + step, rows.stop))
                table, calls = store.table(block), store.calls(block)
                writer.add(_encoded(table, calls.alleles[:, keep], calls.phased[:, keep]))
        return writer.close()


def join_samples(
    first: GenotypeStore, second: GenotypeStore, folder: Path, *, absent: tuple[Ploidy | None, Ploidy | None] = (None, None)
) -> Joined:
    """Write a store with the samples of two, and every variant of either.

    Parameters
    ----------
    first, second
        Stores of one assembly, which share no sample name.
    folder
        Empty or new.
    absent
        For each store, how many reference copies a sample has where the store has no record; None: its calls are missing.

    Raises
    ------
    AssemblyMismatch
        If the builds differ.
    BadUsage
        If a sample name is in both.
    """
    if first.info.assembly != second.info.assembly:
        raise AssemblyMismatch(
            "the added genotypes", "", f"they are of {second.info.assembly}", f"{first.info.assembly}, as the dataset is"
        )
    shared = set(first.info.samples) & set(second.info.samples)
    if shared:
        raise BadUsage(f"{len(shared)} genotype columns are in the dataset already, {sorted(shared)[0]} say; add new ones only")
    parts = (first, second)
    places: tuple[list[int], list[int]] = ([], [])
    samples = (*first.info.samples, *second.info.samples)
    with StoreWriter(folder, assembly=first.info.assembly, samples=samples) as writer:
        records = _Records()
        for contig in sorted({*first.info.contigs, *second.info.contigs}, key=contig_order):
            records.enter(tuple(part.table(part.contig_rows(contig)) for part in parts))
            for region in _windows(parts, contig):
                rows = [part.rows_starting(region) for part in parts]
                tables = [part.table(of_part) for part, of_part in zip(parts, rows, strict=True)]
                lines = sorted(_lines(tables, records), key=lambda line: (line.position, line.record, line.alt_index))
                sides = [_Side(parts[which], rows[which], tables[which], absent[which]) for which in (0, 1)]
                writer.add(_batch(contig, lines, sides))
                for which in (0, 1):
                    base = rows[which].start
                    places[which].extend(-1 if (at := line.pair[which]) is None else base + at for line in lines)
        info = writer.close()
    return Joined(info, np.array(places[0], np.int64), np.array(places[1], np.int64))


# Index of a row in the window's table of the first and of the second store.
_Pair = tuple[int | None, int | None]


class _Line(NamedTuple):
    """A joined row: its name, its record, and where it comes from."""

    position: int
    end: int
    ref: str
    alt: str
    id: str
    record: int
    alt_index: int
    n_alts: int
    source: str
    pair: _Pair


class _Records:
    """Numbers of joined source records. A split record stays one only where both stores split it alike, or one has it alone."""

    def __init__(self) -> None:
        self._next = 0
        self._offsets = [0, 0]
        self._whole: list[set[int]] = [set(), set()]

    def enter(self, tables: Sequence[VariantTable]) -> None:
        """Look at the names of a contig."""
        ends = [int(table.record.max()) + 1 if len(table.record) else 0 for table in tables]
        self._offsets = [self._next, self._next + ends[0]]
        self._next += sum(ends)
        states: list[dict[int, set[int]]] = [{}, {}]
        for pair in _pairs(tables):
            first, second = pair
            alike = first is not None and second is not None and tables[0].source[first] == tables[1].source[second]
            for which, index in enumerate(pair):
                if index is None or tables[which].n_alts[index] < 2:
                    continue
                other = pair[1 - which]
                # -1: this store alone; -2: another shape there; else the other store's record.
                state = -1 if other is None else int(tables[1 - which].record[other]) if alike else -2
                states[which].setdefault(int(tables[which].record[index]), set()).add(state)
        self._whole = [{record for record, found in part.items() if len(found) == 1 and -2 not in found} for part in states]

    def line(self, tables: Sequence[VariantTable], pair: _Pair) -> _Line:
        """The line of a pair, named as the first store that has it names it."""
        which = 0 if pair[0] is not None else 1
        table, index = tables[which], pair[which]
        assert index is not None  # a pair has a row
        record, n_alts = int(table.record[index]), int(table.n_alts[index])
        name = (int(table.position[index]), int(table.end[index]), table.ref[index], table.alt[index], table.id[index])
        if n_alts > 1 and record not in self._whole[which]:
            self._next += 1
            return _Line(*name, self._next - 1, 0, 1, "", pair)
        return _Line(*name, self._offsets[which] + record, int(table.alt_index[index]), n_alts, table.source[index], pair)


class _Side:
    """One store's calls in a window of joined rows."""

    def __init__(self, store: GenotypeStore, rows: range, table: VariantTable, absent: Ploidy | None) -> None:
        self._table, self._absent = table, absent
        self._n_samples = len(store.info.samples)
        calls = store.calls(rows)
        self._alleles, self._phased = calls.alleles, calls.phased
        self._at: dict[int, list[int]] = {}
        for index, position in enumerate(table.position.tolist()):
            self._at.setdefault(position, []).append(index)

    def calls(self, contig: str, line: _Line, index: int | None) -> tuple[AlleleArray, BoolArray]:
        """Alleles (samples, 2) and phase (samples,) of a joined row."""
        if index is not None:
            return self._alleles[index], self._phased[index]
        fitting = [
            other
            for other in self._at.get(line.position, ())
            if self._table.ref[other].startswith(line.ref) or line.ref.startswith(self._table.ref[other])
        ]
        if fitting:
            chosen = min(fitting, key=lambda other: (self._table.ref[other] != line.ref, other))
            return np.minimum(self._alleles[chosen], 0), self._phased[chosen]
        alleles = np.full((self._n_samples, 2), -1, np.int8)
        if self._absent is not None:
            copies = self._absent(contig, line.position)
            alleles[copies > 0, 0] = 0
            alleles[copies == 2, 1] = 0
            alleles[copies == 1, 1] = -2
        return alleles, np.zeros(self._n_samples, np.bool_)


def _lines(tables: Sequence[VariantTable], records: _Records) -> Iterator[_Line]:
    for pair in _pairs(tables):
        yield records.line(tables, pair)


def _pairs(tables: Sequence[VariantTable]) -> Iterator[_Pair]:
    """Rows of the same name in both, the first with the first; then what only the second has."""
    first, second = tables
    waiting: dict[tuple[int, str, str], list[int]] = {}
    for index, name in enumerate(zip(second.position.tolist(), second.ref, second.alt, strict=True)):
        waiting.setdefault(name, []).append(index)
    for index, name in enumerate(zip(first.position.tolist(), first.ref, first.alt, strict=True)):
        same = waiting.get(name)
        yield index, same.pop(0) if same else None
    for left in waiting.values():
        for index in left:
            yield None, index


def _batch(contig: str, lines: Sequence[_Line], sides: Sequence[_Side]) -> EncodedBatch:
    found = [[side.calls(contig, line, line.pair[which]) for which, side in enumerate(sides)] for line in lines]
    alleles = np.stack([np.concatenate([calls[0] for calls in row]) for row in found])
    phased = np.stack([np.concatenate([calls[1] for calls in row]) for row in found])
    table = VariantTable(
        contig,
        np.array([line.position for line in lines], np.uint32),
        np.array([line.end for line in lines], np.uint32),
        [line.ref for line in lines],
        [line.alt for line in lines],
        [line.id for line in lines],
        np.array([line.record for line in lines], np.int64),
        np.array([line.alt_index for line in lines], np.int64),
        np.array([line.n_alts for line in lines], np.int64),
        [line.source for line in lines],
    )
    return _encoded(table, alleles, phased)


def _windows(parts: Sequence[GenotypeStore], contig: str) -> Iterator[Region]:
    """Stretches of a contig that hold some rows of either store, each a bounded number but for rows of one place."""
    step = _rows_at_once(sum(len(part.info.samples) for part in parts))
    cuts = set()
    for part in parts:
        rows = part.contig_rows(contig)
        cuts |= {part.key(row).position for row in range(rows.start + step, rows.stop, step)}
    bounds = [0, *sorted(cuts - {0}), _END]
    for start, stop in pairwise(bounds):
        region = Region(contig, start, stop)
        if any(part.rows_starting(region) for part in parts):
            yield region


def _rows_at_once(n_samples: int) -> int:
    return max(1, min(_ROWS_MOST, _WINDOW_BYTES // (3 * max(1, n_samples))))


def _encoded(table: VariantTable, alleles: AlleleArray, phased: BoolArray) -> EncodedBatch:
    return encode_calls(
        table.contig,
        table.position.tolist(),
        table.end.tolist(),
        table.ref,
        table.alt,
        table.id,
        table.record.tolist(),
        table.alt_index.tolist(),
        table.n_alts.tolist(),
        table.source,
        alleles,
        phased,
    )
