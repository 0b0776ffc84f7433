"""Linear regression of one variant at a time over pooled people, from the definition: QR of the whole design."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import integrate, stats

Array = npt.NDArray[Any]


class Line(NamedTuple):
    """One variant and trait."""

    beta: float
    standard_error: float
    neg_log10_p: float
    df: int


def regress(dosage: Array, trait: Array, covariates: Array, *, complete_case: bool) -> Line:
    """The regression of `trait` (people,) on `dosage` (people,), NaN where missing, and `covariates` (people, c)."""
    dosage, called = dosage.astype(float), ~np.isnan(dosage)
    if not complete_case:
        dosage = np.where(called, dosage, dosage[called].mean())
        called = np.ones(len(dosage), bool)
    design = np.column_stack([np.ones(len(dosage)), _scaled(covariates), dosage])[called]
    keep = [column for column in range(1, design.shape[1]) if np.ptp(design[:, column]) > 0]
    q, r = np.linalg.qr(design[:, [0, *keep]])
    effects = q.T @ trait[called]
    residuals = trait[called] - q @ effects
    df = len(residuals) - r.shape[0]
    beta = effects[-1] / r[-1, -1]
    standard_error = np.sqrt(residuals @ residuals / df) / abs(r[-1, -1])
    return Line(beta, standard_error, neg_log10_p(abs(beta / standard_error), df), df)


def neg_log10_p(t: float, df: float) -> float:
    """−log10 of Student's two-sided tail beyond t ≥ 0, by integrating its density, relative to that at t."""
    if t < 1:  # the density is no smaller to the right of here: integrate the middle instead
        return float(-np.log10(1 - 2 * integrate.quad(stats.t.pdf, 0, t, args=(df,), epsabs=1e-15)[0]))
    unit = t * (1 + df / t**2) / (df + 1)  # the density falls by about a factor e within it

    def density(steps: float) -> float:
        return float(np.exp(-(df + 1) / 2 * (np.log1p((t + steps * unit) ** 2 / df) - np.log1p(t**2 / df))))

    area = integrate.quad(density, 0, np.inf, epsrel=1e-12)[0] * unit
    return float(-(np.log(2 * area) + stats.t.logpdf(t, df)) / np.log(10))


def transformed(trait: Array, covariates: Array, node: Array, transformation: str) -> tuple[Array, Array]:
    """The trait and the covariates that are regressed on, after a transformation with ranks of single people."""
    n = len(trait)
    if transformation == "none":
        return trait, covariates
    if transformation == "zscore":
        return (trait - trait.mean()) / trait.std(ddof=1), covariates
    if transformation == "rank":
        return stats.norm.ppf((stats.rankdata(trait) - 0.5) / n), covariates
    q, _ = np.linalg.qr(np.column_stack([np.ones(n), _scaled(covariates)]))
    scaled = (trait - trait.mean()) / trait.std()
    residuals = scaled - q @ (q.T @ scaled)
    groups = np.zeros(n, int) if transformation == "residual-rank" else node
    ranked = np.empty(n)
    for group in np.unique(groups):
        mine = groups == group
        ranked[mine] = stats.norm.ppf((stats.rankdata(residuals[mine]) - 0.5) / mine.sum())
    return ranked, np.zeros((n, 0))


def _scaled(covariates: Array) -> Array:
    return np.asarray((covariates - covariates.mean(axis=0)) / covariates.std(axis=0)) if covariates.size else covariates
