"""Sums over people of a store's genotypes against columns of numbers: Σ g·T, Σ g²·S, and the sums of who has no call.

Rare variants cost their carriers. Bitmaps of common ones are decoded in tiles that stay in registers and the first cache,
and multiplied there: for few columns several times as fast as decoding for BLAS, for many as fast. All is
float64, on the caller's thread: callers run many blocks side by side.
"""

from __future__ import annotations

import numpy as np

from cohelix.core.arrays import FloatArray, IntArray
from cohelix.core.errors import ShapeMismatch
from cohelix.core.genome import HAPLOID_CONTIGS
from cohelix.genotypes.hybrid_store import HybridStore, Shard
from cohelix.genotypes.loops import kernels, product_kernels
from cohelix.genotypes.model import Cohort
from cohelix.genotypes.shard_layout import ROW_LOW
from cohelix.genotypes.store import GenotypeStore

NOT_ASSESSED, ALL_REFERENCE = -1, -2  # instead of a store's row: nobody has a call; everybody is homozygous for REF
# Common rows at a time: their bitmaps take a mebibyte, but enough rows share the reading of a table.
_BITMAP_BYTES, _ROWS_LEAST, _ROWS_MOST = 1 << 20, 64, 512


class Totals:
    """Sums that the parts of a study add to.

    Attributes
    ----------
    counts
        (variants, 3) int64: people with dosage 1, with dosage 2, and without a call.
    products, squares, missing, missing_squares
        (variants, columns) float64: Σ g·T and Σ g²·S over people with a call; Σ T and Σ S over the others.
    """

    def __init__(self, n_variants: int, columns: int, square_columns: int = 0) -> None:
        self.counts: IntArray = np.zeros((n_variants, 3), np.int64)
        self.products, self.missing = np.zeros((2, n_variants, columns))
        self.squares, self.missing_squares = np.zeros((2, n_variants, square_columns))


class GenotypePart:
    """Some people of a study, who are columns of one store. Safe for many threads.

    Parameters
    ----------
    samples
        (people,) int64 columns of the store, each at most once, in any order.
    people
        (people,) int64: the number of each in the study, that is the row of tables.
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
        self._samples, self.people, self._rows = (np.ascontiguousarray(one, np.int64) for one in (samples, people, rows))
        if len(self._samples) != len(self.people):
            raise ShapeMismatch(f"{len(self._samples)} samples are not {len(self.people)} people")
        if self._rows.size and (self._rows.min() < ALL_REFERENCE or self._rows.max() >= store.info.n_variants):
            raise ShapeMismatch("rows reach outside the store")
        self._members = Cohort.of(len(store.info.samples), self._samples)
        if self._members.size != len(self._samples):
            raise ShapeMismatch("a sample is named twice")
        self._person_of: IntArray = np.full(64 * len(self._members.bits), -1, np.int64)
        self._person_of[self._samples] = self.people

    @property
    def n_variants(self) -> int:
        """How long the study's list of variants is."""
        return len(self._rows)

    def add_products(self, variants: IntArray, table: FloatArray, squares: FloatArray, totals: Totals) -> None:
        """Add this part's people to the sums of some variants.

        Parameters
        ----------
        table, squares
            (people of the study, columns) float64 in C order.
        """
        rows = self._rows[variants]
        for shard, local, places in self._known(rows):
            two_copies = self._haploid_two and shard.record.contig in HAPLOID_CONTIGS
            common = shard.file.array("flags")[local] & ROW_LOW > 0
            product_kernels.add_listed(
                shard.buffer, shard.toc, local[~common], places[~common], self._person_of, two_copies,
                table, squares, totals.counts, totals.products, totals.squares,
            )  # fmt: skip
            self._add_common(shard, local[common], places[common], (table, squares), totals, two_copies=two_copies)
        self._add_missing(rows, table, squares, totals)

    def add_missing(self, variants: IntArray, table: FloatArray, totals: Totals) -> None:
        """Add this part's people without a call to `totals.missing` and their number, and nothing else."""
        self._add_missing(self._rows[variants], table, table[:, :0], totals)

    def fill_dosages(self, variants: IntArray, out: FloatArray) -> None:
        """Fill this part's people in (variants, people of the study) float64; NaN where missing."""
        rows = self._rows[variants]
        dosages = np.zeros((len(rows), len(self.people)))
        dosages[rows == NOT_ASSESSED] = np.nan
        of_code = np.array([0, 1, 2, np.nan])
        for shard, local, places in self._known(rows):
            found = np.empty((len(local), len(self.people)))
            kernels.dosages_float64(shard.buffer, shard.toc, local, self._samples, False, of_code, found)
            if self._haploid_two and shard.record.contig in HAPLOID_CONTIGS:
                for row, of_row in zip(local.tolist(), found, strict=True):
                    of_row[shard.haploid(row)[self._samples] & (of_row == 1)] = 2
            dosages[places] = found
        out[:, self.people] = dosages

    def _known(self, rows: IntArray) -> list[tuple[Shard, IntArray, IntArray]]:
        """Those of the rows that the store has, by shard: its rows, and their places among `rows`."""
        places = np.flatnonzero(rows >= 0)
        return [(self._store.shard(at), local, places[out]) for at, local, out in self._store.pieces(rows[places])]

    def _add_missing(self, rows: IntArray, table: FloatArray, squares: FloatArray, totals: Totals) -> None:
        absent = np.flatnonzero(rows == NOT_ASSESSED)
        if absent.size:
            totals.counts[absent, 2] += len(self.people)
            totals.missing[absent] += table[self.people].sum(axis=0)
            totals.missing_squares[absent] += squares[self.people].sum(axis=0)
        for shard, local, places in self._known(rows):
            product_kernels.add_missing(
                shard.buffer, shard.toc, local, places, self._person_of,
                table, squares, totals.counts, totals.missing, totals.missing_squares,
            )  # fmt: skip

    def _add_common(
        self,
        shard: Shard,
        rows: IntArray,
        places: IntArray,
        tables: tuple[FloatArray, FloatArray],
        totals: Totals,
        *,
        two_copies: bool,
    ) -> None:
        """Add rows with planes, as many at a time as stay in the cache."""
        members = self._members.bits
        most = max(_ROWS_LEAST, min(_ROWS_MOST, _BITMAP_BYTES // (16 * len(members))))
        for start in range(0, len(rows), most):
            some, where = rows[start : start + most], places[start : start + most]
            whole_tiles = -(-len(some) // product_kernels.TILE_ROWS) * product_kernels.TILE_ROWS
            one, two = np.zeros((2, whole_tiles, len(members)), np.uint64)
            product_kernels.bitmaps(shard.buffer, shard.toc, some, where, members, two_copies, totals.counts, one, two)
            for of_two, table, out in ((2.0, tables[0], totals.products), (4.0, tables[1], totals.squares)):
                width = table.shape[1]
                if width:
                    sums = np.zeros((whole_tiles, -(-width // product_kernels.COLUMNS) * product_kernels.COLUMNS))
                    product_kernels.multiply_bitmaps(one, two, of_two, self._person_of, table, sums)
                    out[where] += sums[: len(some), :width]
