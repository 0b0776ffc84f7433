"""Sums over people of a store's genotypes against columns of numbers: Σ g·T, Σ g²·S, and the sums of who has no call.

Rare variants cost their carriers. Common ones are decoded in tiles that stay in the cache and multiplied as matrices,
all in float64. One thread; callers run many blocks side by side.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np

from cohelix.core.arrays import FloatArray, IntArray, WordArray
from cohelix.core.errors import ShapeMismatch
from cohelix.genotypes import product_kernels
from cohelix.genotypes.hybrid_store import HybridStore, Shard
from cohelix.genotypes.kernels import ROW_LOW
from cohelix.genotypes.model import Cohort
from cohelix.genotypes.store import GenotypeStore

NOT_ASSESSED, ALL_REFERENCE = -1, -2  # instead of a store's row: nobody has a call; everybody is homozygous for REF
_TILE_ROWS, _TILE_WORDS = 64, 16  # a tile of 64 variants x 1,024 people in float64 is 512 KiB
_TABLES_KEPT = 4
HAPLOID_CONTIGS = frozenset({"X", "Y", "MT"})


class Totals:
    """Sums that parts of a study add to.

    Attributes
    ----------
    counts
        (variants, 4) int64: people with dosage 0, 1, 2, and without a call.
    products, squares, missing, missing_squares
        (variants, columns) float64: Σ g·T, Σ g²·S over people with a call; Σ T, Σ S over the others.
    """

    def __init__(self, n_variants: int, columns: int, square_columns: int) -> None:
        self.counts = np.zeros((n_variants, 4), np.int64)
        self.products, self.missing = np.zeros((n_variants, columns)), np.zeros((n_variants, columns))
        self.squares, self.missing_squares = np.zeros((n_variants, square_columns)), np.zeros((n_variants, square_columns))


class GenotypePart:
    """Some people of a study, who are columns of one store. Safe for many threads.

    Parameters
    ----------
    samples
        (people,) int64 columns of the store, each at most once, in any order.
    people
        (people,) int64: the number of each in the study, the row of tables.
    rows
        (variants of the study,) int64: the store's row of each variant, `NOT_ASSESSED` or `ALL_REFERENCE`.
    haploid_two
        Whether a haploid ALT call on X, Y or MT is dosage 2 instead of 1.

    Raises
    ------
    ShapeMismatch
        If samples or rows reach outside the store, or a sample is named twice.
    """

    def __init__(self, store: GenotypeStore, samples: IntArray, people: IntArray, rows: IntArray, *, haploid_two: bool) -> None:
        if not isinstance(store, HybridStore):
            raise ShapeMismatch("sums over people are taken from a store of shards")
        self._store, self._haploid_two = store, haploid_two
        self._samples, self._people, self._rows = (np.ascontiguousarray(one, np.int64) for one in (samples, people, rows))
        if len(self._samples) != len(self._people):
            raise ShapeMismatch(f"{len(self._samples)} samples are not {len(self._people)} people")
        if self._rows.size and (self._rows.min() < ALL_REFERENCE or self._rows.max() >= store.info.n_variants):
            raise ShapeMismatch("rows reach outside the store")
        self._members = Cohort.of(len(store.info.samples), self._samples)
        if self._members.size != len(self._samples):
            raise ShapeMismatch("a sample is named twice")
        self._spread: list[tuple[FloatArray, FloatArray]] = []
        self._lock = threading.Lock()

    @property
    def people(self) -> IntArray:
        """(people,) int64: their numbers in the study."""
        return self._people

    @property
    def n_variants(self) -> int:
        """How long the study's list of variants is."""
        return len(self._rows)

    def add_products(self, variants: IntArray, table: FloatArray, squares: FloatArray, totals: Totals) -> None:
        """Add this part's people to the sums of some variants.

        Parameters
        ----------
        table, squares
            (people of the study, columns) float64; they must not change afterwards, as they are kept rearranged.
        """
        rows = self._rows[variants]
        absent, reference = rows == NOT_ASSESSED, rows == ALL_REFERENCE
        totals.counts[absent, 3] += len(self._people)
        totals.counts[reference, 0] += len(self._people)
        totals.missing[absent] += table[self._people].sum(axis=0)
        totals.missing_squares[absent] += squares[self._people].sum(axis=0)
        self._add_known(rows, np.flatnonzero(rows >= 0), (table, squares), totals)

    def add_missing(self, variants: IntArray, table: FloatArray, missing: FloatArray) -> None:
        """Add to `missing` (variants, columns) the sum of `table` over this part's people without a call."""
        rows = self._rows[variants]
        missing[rows == NOT_ASSESSED] += table[self._people].sum(axis=0)
        places = np.flatnonzero(rows >= 0)
        gaps = places[self._store.allele_counts(rows[places], self._members).missing > 0]
        totals = Totals(len(variants), table.shape[1], 0)
        self._add_known(rows, gaps, (table, table[:, :0]), totals)
        missing += totals.missing

    def fill_dosages(self, variants: IntArray, out: FloatArray) -> None:
        """Fill this part's people in (variants, people of the study) float64; NaN where missing."""
        rows = self._rows[variants]
        found = np.zeros((len(rows), len(self._people)))
        found[rows == NOT_ASSESSED] = np.nan
        known = np.flatnonzero(rows >= 0)
        found[known] = self._store.dosages(rows[known], self._samples, "float64")
        if self._haploid_two:
            for number, local, places in self._store.pieces(rows[known]):
                shard = self._store.shard(number)
                if shard.record.contig in HAPLOID_CONTIGS:
                    for row, place in zip(local, known[places], strict=True):
                        haploid = shard.haploid(int(row))[self._samples]
                        found[place, haploid & (found[place] == 1)] = 2
        out[:, self._people] = found

    def _add_known(self, rows: IntArray, places: IntArray, tables: tuple[FloatArray, FloatArray], totals: Totals) -> None:
        """Add the rows at `places`, which the store has."""
        table, squares = (self._by_sample(one) for one in tables)
        for number, local, out in self._store.pieces(rows[places]):
            shard = self._store.shard(number)
            two_copies = self._haploid_two and shard.record.contig in HAPLOID_CONTIGS
            common = shard.file.array("flags")[local] & ROW_LOW > 0
            n = np.zeros((len(rows), 3), np.int64)
            product_kernels.add_listed(
                shard.buffer, shard.toc, local[~common], places[out][~common], self._members.flags, two_copies, table, squares,
                n, totals.products, totals.squares, totals.missing, totals.missing_squares,
            )  # fmt: skip
            chosen, where = local[common], places[out][common]
            for start in range(0, len(chosen), _TILE_ROWS):
                tile = slice(start, start + _TILE_ROWS)
                bits = self._bitmaps(shard, chosen[tile], two_copies=two_copies)
                n[where[tile]] = bits.counts
                _add_common(bits, where[tile], table, squares, totals)
            totals.counts[:, 1:] += n
            totals.counts[places[out], 0] += self._members.size - n[places[out]].sum(axis=1)

    def _bitmaps(self, shard: Shard, rows: IntArray, *, two_copies: bool) -> _Bitmaps:
        one, two, gone = np.empty((3, len(rows), len(self._members.bits)), np.uint64)
        counts = np.empty((len(rows), 3), np.int64)
        product_kernels.bitmaps(shard.buffer, shard.toc, rows, self._members.bits, two_copies, counts, one, two, gone)
        return _Bitmaps(one, two, gone, counts)

    def _by_sample(self, table: FloatArray) -> FloatArray:
        """A table with a row for each sample of the store, and zeros for those who are not here."""
        with self._lock:
            for known, spread in self._spread:
                if known is table:
                    return spread
        spread = np.zeros((64 * len(self._members.bits), table.shape[1]))
        spread[self._samples] = table[self._people]
        with self._lock:
            self._spread = [*self._spread[1 - _TABLES_KEPT :], (table, spread)]
        return spread


class _Bitmaps(NamedTuple):
    """Members with one copy, two, and no call, (rows, words) bits, and how many they are: `counts` (rows, 3)."""

    one: WordArray
    two: WordArray
    gone: WordArray
    counts: IntArray


def _add_common(bits: _Bitmaps, where: IntArray, table: FloatArray, squares: FloatArray, totals: Totals) -> None:
    """Add a tile of rows with planes to the sums at `where`."""
    gaps = np.flatnonzero(bits.counts[:, 2])
    gone = bits.gone[gaps]
    nobody = np.zeros_like(gone)
    totals.products[where] += _product(bits.one, bits.two, 2.0, table)
    totals.missing[where[gaps]] += _product(gone, nobody, 0.0, table)
    if squares.shape[1]:
        totals.squares[where] += _product(bits.one, bits.two, 4.0, squares)
        totals.missing_squares[where[gaps]] += _product(gone, nobody, 0.0, squares)


def _product(one: WordArray, two: WordArray, of_two: float, table: FloatArray) -> FloatArray:
    """(rows, columns): the table's rows times 1 where `one` has a bit and `of_two` where `two` has, summed."""
    total = np.zeros((len(one), table.shape[1]))
    tile = np.empty((len(one), 64 * _TILE_WORDS))
    for first in range(0, one.shape[1], _TILE_WORDS):
        people = slice(64 * first, min(64 * (first + _TILE_WORDS), len(table)))
        if people.stop - people.start < tile.shape[1]:
            tile = np.empty((len(one), people.stop - people.start))
        product_kernels.decode(one, two, first, of_two, tile)
        total += tile @ table[people]
    return total
