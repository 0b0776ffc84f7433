"""What a node's steps compute from: the people of the plan's cohort, their traits and covariates, and their genotypes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from cohelix.core.arrays import FloatArray, IntArray


class Products(NamedTuple):
    """Sums over people of a block of variants.

    `n0`, `n1`, `n2` (variants,) int64 are people with dosage 0, 1 and 2 (a haploid ALT call counts by the plan's coding);
    the others are missing. `products` (variants, columns) float64 is Σ g·T over called people, `squares` (variants,
    columns of the squares' table) Σ g²·S, `missing` Σ T over people who are missing and `missing_squares` Σ S.
    """

    n0: IntArray
    n1: IntArray
    n2: IntArray
    products: FloatArray
    squares: FloatArray
    missing: FloatArray
    missing_squares: FloatArray


class Genotypes(Protocol):
    """The genotypes of a node's analysed people, numbered 0…n−1, at the study's variants; rows of variants that a dataset
    does not have are missing for its people."""

    def products(self, rows: IntArray, table: FloatArray, squares: FloatArray | None = None) -> Products:
        """Sums over people against the columns of `table` (people, columns) and `squares` (people, columns)."""

    def dosages(self, rows: IntArray) -> FloatArray:
        """(variants, people) float64 dosages, NaN where missing; for few variants at a time."""

    def missing_products(self, rows: IntArray, table: FloatArray) -> FloatArray:
        """(variants, columns) float64: the sum of `table` (people, columns) over the people without a call."""


@dataclass
class LocalData:
    """A node's part of a study. Nothing of it changes, but that `set_components` adds covariates.

    Attributes
    ----------
    covariates
        (people, covariates) float64, complete, without an intercept; names in `Study.covariates`.
    traits
        (people, traits) float64, complete; case/control as 1 and 0.
    genotypes
        The people's genotypes, numbered as the rows here.
    place
        The node's number among those that take part.
    node_level
        Whether the plan asked for estimates of each node, and this node's policy agreed.
    mac_floor
        Least minor allele count of the node's own people that such an estimate needs.
    cache
        What steps derive from broadcasts and use again in the next block, by digest; never larger than a few entries.
    """

    covariates: FloatArray
    traits: FloatArray
    genotypes: Genotypes
    place: int = 0
    node_level: bool = False
    mac_floor: int = 0
    cache: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._own_covariates = self.covariates.shape[1]

    @property
    def n(self) -> int:
        """How many people."""
        return len(self.traits)

    def set_components(self, scores: FloatArray) -> None:
        """Make people's scores (people, components) the last covariates, in place of any that were set before."""
        self.covariates = np.column_stack([self.covariates[:, : self._own_covariates], scores])
        self.cache.clear()


class ArrayGenotypes:
    """`Genotypes` of a matrix in memory: for tests and small oracles. (variants, people) dosages, NaN where missing."""

    def __init__(self, dosages: FloatArray) -> None:
        self._dosages = np.asarray(dosages, np.float64)

    def dosages(self, rows: IntArray) -> FloatArray:
        return self._dosages[rows]

    def missing_products(self, rows: IntArray, table: FloatArray) -> FloatArray:
        return np.isnan(self._dosages[rows]).astype(np.float64) @ table

    def products(self, rows: IntArray, table: FloatArray, squares: FloatArray | None = None) -> Products:
        dosages = self._dosages[rows]
        absent = np.isnan(dosages)
        known, gone = np.where(absent, 0.0, dosages), absent.astype(np.float64)
        second = np.zeros((dosages.shape[1], 0)) if squares is None else squares
        n0, n1, n2 = (np.asarray((dosages == copies).sum(axis=1), np.int64) for copies in (0, 1, 2))
        return Products(n0, n1, n2, known @ table, known**2 @ second, gone @ table, gone @ second)


@dataclass(frozen=True)
class Study:
    """What the coordinator knows of a study before the first sum.

    Attributes
    ----------
    n_variants
        How long the list of variants is.
    covariates, traits
        Names; `intercept` is not among the covariates.
    binary
        Whether traits are case/control.
    nodes
        How many nodes take part.
    people_max
        Public bound on how many people take part, over all nodes; bounds of statistics come from it.
    haploid
        (variants,) bool: rows of X, Y and MT, where the coding of haploid calls matters; Hardy-Weinberg is not tested there.
    mac_floor
        Least minor allele count of a row that may be written: the strictest of the taking part nodes' policies.
    """

    n_variants: int
    covariates: tuple[str, ...]
    traits: tuple[str, ...]
    binary: bool
    nodes: int
    people_max: int
    haploid: Sequence[bool] = ()
    mac_floor: int = 0
