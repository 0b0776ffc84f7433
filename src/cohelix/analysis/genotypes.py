"""The genotypes of a node's analysed people, who may be columns of several stores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cohelix.analysis.data import Products
from cohelix.core.arrays import FloatArray, IntArray
from cohelix.core.errors import ShapeMismatch
from cohelix.genotypes import GenotypePart, Totals


class StoreGenotypes:
    """`Genotypes` over parts that together hold everybody once, numbered 0…n_people − 1. Safe for many threads.

    Raises
    ------
    ShapeMismatch
        If somebody is in no part or in two, or the parts differ in their lists of variants.
    """

    def __init__(self, parts: Sequence[GenotypePart], n_people: int) -> None:
        everybody = np.concatenate([np.empty(0, np.int64), *(part.people for part in parts)])
        if not np.array_equal(np.sort(everybody), np.arange(n_people)):
            raise ShapeMismatch("each person is a column of exactly one part")
        if len({part.n_variants for part in parts}) > 1:
            raise ShapeMismatch("the parts have lists of variants of different lengths")
        self._parts, self._n_people = tuple(parts), n_people

    def products(self, rows: IntArray, table: FloatArray, squares: FloatArray | None = None) -> Products:
        table = self._table(table)
        second = np.empty((self._n_people, 0)) if squares is None else self._table(squares)
        totals = Totals(len(rows), table.shape[1], second.shape[1])
        for part in self._parts:
            part.add_products(rows, table, second, totals)
        n1, n2, gone = totals.counts.T.copy()
        n0 = self._n_people - n1 - n2 - gone
        return Products(n0, n1, n2, totals.products, totals.squares, totals.missing, totals.missing_squares)

    def missing_products(self, rows: IntArray, table: FloatArray) -> FloatArray:
        table = self._table(table)
        totals = Totals(len(rows), table.shape[1])
        for part in self._parts:
            part.add_missing(rows, table, totals)
        return totals.missing

    def dosages(self, rows: IntArray) -> FloatArray:
        dosages: FloatArray = np.empty((len(rows), self._n_people))
        for part in self._parts:
            part.fill_dosages(rows, dosages)
        return dosages

    def _table(self, table: FloatArray) -> FloatArray:
        if table.ndim != 2 or len(table) != self._n_people:
            raise ShapeMismatch(f"a table of shape {table.shape} has no row for each of {self._n_people} people")
        return np.ascontiguousarray(table, np.float64)
