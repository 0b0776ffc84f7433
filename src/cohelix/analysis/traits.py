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
from cohelix.analysis.basis import Basis, derived, fit_basis, intercept_basis, local_basis, mean_deviation, slack
from cohelix.analysis.data import LocalData, Study
from cohelix.analysis.steps import AnyArray, Ask, Statistic, Summer, Sums, local_step
from cohelix.core.arrays import FloatArray, IntArray
from cohelix.core.errors import NotPermitted
from cohelix.wire.plan import VALUE_MAX, Transformation

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
    basis, many = fit_basis(study, summer), len(study.traits)
    n = basis.n
    if n <= basis.p:
        raise NotPermitted("the plan has as many covariates as there are people, or more")
    told, unit = _standardised(study, summer, n)
    if transformation == "zscore":
        unit = np.full(many, np.sqrt((n - 1) / n))
    elif transformation == "rank":
        cells = ranks.pooled_cells(summer, "value-cells", told, n=n, traits=many, rank_cell=rank_cell)
        told, unit = {**told, **cells.broadcast()}, cells.sd
    fitted, residual = _fitted(study.traits, summer, basis, told)
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


def _standardised(study: Study, summer: Summer, n: int) -> tuple[dict[str, AnyArray], FloatArray]:
    """What nodes are told to give each trait mean 0 and unit variance over everybody, and by what it is divided."""
    many = (len(study.traits),)
    totals = Ask("trait-totals", (Statistic("y", many, bound=slack(n) * VALUE_MAX),))
    mean = np.asarray(summer.sum(totals)["y"] / n, np.float64)
    labels = [f"the trait {name}" for name in study.traits]
    deviation = mean_deviation(summer, "trait-deviations", mean, n, labels=labels)
    told: dict[str, AnyArray] = {"trait_n": np.array(n), "trait_mean": mean, "trait_sd": deviation}
    # Deviations that add up to n have squares that add up to n² at most.
    squares = summer.sum(Ask("trait-squares", (Statistic("yy", many, bound=slack(n) * n),), told))["yy"]
    sd = deviation * np.sqrt(squares / n)
    return {**told, "trait_sd": sd}, sd


def _fitted(
    names: Sequence[str], summer: Summer, basis: Basis, told: Mapping[str, AnyArray]
) -> tuple[dict[str, AnyArray], FloatArray]:
    """What nodes are told to free the traits of the covariates, and the residuals' standard deviations.

    The second pass takes what rounding of the first one left along Q.
    """
    n, many = basis.n, len(names)
    coefficients, squares = np.zeros((basis.p, many)), np.ones(many)
    along = Statistic("qy", (basis.p, many), bound=float(np.sqrt(slack(n))))
    fitted: dict[str, AnyArray] = {}
    for _ in range(2):
        fitted = {**told, **basis.broadcast(), "trait_coefficients": coefficients, "trait_residual": np.ones(many)}
        sums = summer.sum(Ask("trait-products", (along, Statistic("rr", (many,), bound=slack(n))), fitted))
        coefficients = coefficients + sums["qy"]
        squares = (sums["rr"] - (sums["qy"] ** 2).sum(axis=0)) / n
    followed = ~(squares > _DETERMINED)
    if followed.any():
        raise NotPermitted(f"the trait {names[int(np.flatnonzero(followed)[0])]} follows from the covariates")
    residual = np.sqrt(squares)
    return {**fitted, "trait_coefficients": coefficients, "trait_residual": residual}, residual


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
    values = (data.traits - broadcast["trait_mean"]) / broadcast["trait_sd"]
    if "cell_trait" in broadcast:
        return ranks.cell_values(ranks.grid_points(values, int(broadcast["trait_n"])), broadcast)
    return np.asarray(values, np.float64)


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


@local_step("trait-totals")
def _totals(data: LocalData, _broadcast: Mapping[str, AnyArray], _rows: IntArray | None, _more: Mapping[str, AnyArray]) -> Sums:
    return {"y": data.traits.sum(axis=0)}


@local_step("trait-deviations")
def _deviations(
    data: LocalData, broadcast: Mapping[str, AnyArray], _rows: IntArray | None, _more: Mapping[str, AnyArray]
) -> Sums:
    return {"deviations": np.abs(data.traits - broadcast["mean"]).sum(axis=0)}


@local_step("trait-squares")
def _squares(data: LocalData, broadcast: Mapping[str, AnyArray], _rows: IntArray | None, _more: Mapping[str, AnyArray]) -> Sums:
    return {"yy": (_local_values(data, broadcast) ** 2).sum(axis=0)}


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
