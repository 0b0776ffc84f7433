"""The null model of every trait: transformed, freed of the covariates over all nodes, and of unit variance over everybody.

Residuals r = y − QQ'y are scaled so that Σ r² = n; every Σ r·g then lies within ±2n, whatever the trait's unit. Means and
mean deviations come first, and squares only of what is scaled, so that nothing cancels. Transformations:

`none`, `zscore`  the trait itself; effects in its unit, or in its pooled standard deviations.
`rank`            normal quantiles Φ⁻¹((r − 0.5)/n) of the pooled ranks, then the covariates.
`residual-rank`   normal quantiles of the pooled ranks of the residuals, then an intercept only: n − 2 degrees of freedom.
`residual-rank-within-node`  the same with ranks within each node: another estimator, which depends on the split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cohelix.analysis import ranks
from cohelix.analysis.basis import (
    Basis,
    derived,
    fit_basis_with_traits,
    intercept_basis,
    local_basis,
    slack,
    standardised_traits,
)
from cohelix.analysis.data import LocalData, Study
from cohelix.analysis.steps import AnyArray, Ask, Statistic, Summer, Sums, local_step
from cohelix.core.arrays import FloatArray, IntArray
from cohelix.core.errors import NotPermitted
from cohelix.wire.plan import Transformation

_DETERMINED = 1e-10  # least share of a trait's variance that covariates must leave over
_QUANTILE_MAX = 8.0  # no normal quantile of a rank is larger, of up to 10^15 people
_RESIDUAL_CELLS = "residual_"  # prefix of the cells of residuals


@dataclass(frozen=True)
class NullTraits:
    """Fitted traits of a study.

    Attributes
    ----------
    basis
        What genotypes are freed of, too; the intercept alone after ranks of residuals.
    unit
        (traits,) float64: one unit of r in the unit of the reported effects.
    broadcast
        What nodes need to form their rows of Q and r (`local_design`).
    """

    basis: Basis
    unit: FloatArray
    broadcast: Mapping[str, AnyArray]


def fit_traits(study: Study, summer: Summer, *, transformation: Transformation = "none", rank_cell: int = 10) -> NullTraits:
    """Basis and residuals of all traits of a study.

    Raises
    ------
    NotPermitted
        If nobody takes part, there are too few people for the covariates, or a trait or a covariate is constant or follows
        from the covariates.
    """
    (basis, moments), many = fit_basis_with_traits(study, summer), len(study.traits)
    n = basis.n
    if n <= basis.p:
        raise NotPermitted("the plan has as many covariates as there are people, or more")
    told, unit, along = moments.told, moments.sd, moments.along
    if transformation == "zscore":
        unit = np.full(many, np.sqrt((n - 1) / n))
    elif transformation == "rank":
        cells = ranks.pooled_cells(summer, "value-cells", told, n=n, traits=many, rank_cell=rank_cell)
        told, unit = {**told, **cells.broadcast()}, cells.sd
        along = _along(summer, basis, told, many)
    fitted, residual = _fitted(study.traits, summer, basis, told, along)
    if transformation == "residual-rank":
        cells = ranks.pooled_cells(summer, "residual-cells", fitted, n=n, traits=many, rank_cell=rank_cell)
        ranked = {f"{_RESIDUAL_CELLS}{name}": array for name, array in cells.broadcast().items()}
        return NullTraits(intercept_basis(n), cells.sd, {**fitted, **ranked})
    if transformation == "residual-rank-within-node":
        return _within_nodes(summer, n, fitted, many)
    return NullTraits(basis, unit * residual, fitted)


def local_design(data: LocalData, broadcast: Mapping[str, AnyArray]) -> tuple[FloatArray, FloatArray]:
    """A node's rows of Q, (people, p), and of r, (people, traits), both float64."""
    fitted = _local_residuals(data, broadcast)
    n = int(broadcast["trait_n"])
    constant = np.full((data.n, 1), 1 / np.sqrt(n))
    if f"{_RESIDUAL_CELLS}cell_trait" in broadcast:
        cells = {name: broadcast[f"{_RESIDUAL_CELLS}{name}"] for name in ranks.VALUES}
        return constant, ranks.cell_values(ranks.grid_points(fitted, n), cells)
    if "within_mean" in broadcast:
        return constant, (ranks.ranks_within(fitted) - broadcast["within_mean"]) / broadcast["within_sd"]
    return local_basis(data, broadcast), fitted


def _along(summer: Summer, basis: Basis, told: Mapping[str, AnyArray], many: int) -> FloatArray:
    """(p, traits) Q'y of values that were not known when the basis was made."""
    return _residual_products(summer, basis, told, np.zeros((basis.p, many)))[1]["qy"]


def _fitted(
    names: Sequence[str], summer: Summer, basis: Basis, told: Mapping[str, AnyArray], along: FloatArray
) -> tuple[dict[str, AnyArray], FloatArray]:
    """What nodes are told to free the traits of the covariates, and the residuals' standard deviations.

    This pass takes what rounding of `along` left along Q.
    """
    fitted, sums = _residual_products(summer, basis, told, along)
    squares = (sums["rr"] - (sums["qy"] ** 2).sum(axis=0)) / basis.n
    followed = ~(squares > _DETERMINED)
    if followed.any():
        raise NotPermitted(f"the trait {names[int(np.flatnonzero(followed)[0])]} follows from the covariates")
    residual = np.sqrt(squares)
    return {**fitted, "trait_coefficients": along + sums["qy"], "trait_residual": residual}, residual


def _residual_products(
    summer: Summer, basis: Basis, told: Mapping[str, AnyArray], coefficients: FloatArray
) -> tuple[dict[str, AnyArray], Sums]:
    """What nodes are told to take `coefficients` (p, traits) of Q off the traits, and what is left: Q'r and r'r."""
    n, many = basis.n, coefficients.shape[1]
    fitted = {**told, **basis.broadcast(), "trait_coefficients": coefficients, "trait_residual": np.ones(many)}
    along = Statistic("qy", (basis.p, many), bound=float(np.sqrt(slack(n))))
    return fitted, summer.sum(Ask("trait-products", (along, Statistic("rr", (many,), bound=slack(n))), fitted))


def _within_nodes(summer: Summer, n: int, fitted: Mapping[str, AnyArray], many: int) -> NullTraits:
    statistics = (
        Statistic("v", (many,), bound=slack(n) * _QUANTILE_MAX),
        Statistic("vv", (many,), bound=slack(n) * _QUANTILE_MAX**2),
    )
    sums = summer.sum(Ask("within-node-ranks", statistics, fitted))
    mean = sums["v"] / n
    sd = np.sqrt(sums["vv"] / n - mean**2)  # the mean is 0 but for rounding: quantiles of ranks are symmetric
    return NullTraits(intercept_basis(n), sd, {**fitted, "within_mean": mean, "within_sd": sd})


def _local_values(data: LocalData, broadcast: Mapping[str, AnyArray]) -> FloatArray:
    """A node's traits with mean 0 and unit variance over everybody, (people, traits): values, or quantiles of ranks."""
    values = standardised_traits(data, broadcast)
    if "cell_trait" in broadcast:
        return ranks.cell_values(ranks.grid_points(values, int(broadcast["trait_n"])), broadcast)
    return values


def _local_residuals(data: LocalData, broadcast: Mapping[str, AnyArray]) -> FloatArray:
    """A node's residuals of the covariate fit, (people, traits)."""
    basis, coefficients = local_basis(data, broadcast), broadcast["trait_coefficients"]
    values = _local_values(data, broadcast).copy()
    # Column by column and not as one product: equal people have equal residuals, wherever they are.
    for column in range(basis.shape[1]):
        values -= basis[:, column, None] * coefficients[column]
    return np.asarray(values / broadcast["trait_residual"], np.float64)


def _sorted_points(data: LocalData, broadcast: Mapping[str, AnyArray], values: FloatArray) -> IntArray:
    return np.asfortranarray(np.sort(ranks.grid_points(values, int(broadcast["trait_n"])), axis=0))


def _told(broadcast: Mapping[str, AnyArray]) -> list[str]:
    """Names of what defines the values, not of the cells that are split in this round."""
    return sorted(set(broadcast) - set(ranks.SPLIT))


@local_step("trait-products")
def _products(
    data: LocalData, broadcast: Mapping[str, AnyArray], _rows: IntArray | None, _more: Mapping[str, AnyArray]
) -> Sums:
    residuals = _local_residuals(data, broadcast)
    return {"qy": local_basis(data, broadcast).T @ residuals, "rr": (residuals**2).sum(axis=0)}


@local_step("value-cells")
def _value_cells(
    data: LocalData, broadcast: Mapping[str, AnyArray], _rows: IntArray | None, _more: Mapping[str, AnyArray]
) -> Sums:
    def points() -> IntArray:
        return _sorted_points(data, broadcast, _local_values(data, broadcast))

    return {"cells": ranks.count_cells(derived(data, "points", broadcast, _told(broadcast), points), broadcast)}


@local_step("residual-cells")
def _residual_cells(
    data: LocalData, broadcast: Mapping[str, AnyArray], _rows: IntArray | None, _more: Mapping[str, AnyArray]
) -> Sums:
    def points() -> IntArray:
        return _sorted_points(data, broadcast, _local_residuals(data, broadcast))

    return {"cells": ranks.count_cells(derived(data, "points", broadcast, _told(broadcast), points), broadcast)}


@local_step("within-node-ranks")
def _within(data: LocalData, broadcast: Mapping[str, AnyArray], _rows: IntArray | None, _more: Mapping[str, AnyArray]) -> Sums:
    values = ranks.ranks_within(_local_residuals(data, broadcast))
    return {"v": values.sum(axis=0), "vv": (values**2).sum(axis=0)}
