"""Case/control tests of one variant at a time over pooled people, from the definitions; nothing here imports the house."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import statsmodels.api as sm
from scipy import optimize, special, stats

Array = npt.NDArray[Any]


class Null(NamedTuple):
    """A null model: (people, p) design with intercept, and (people,) fitted probabilities, by statsmodels."""

    design: Array
    mu: Array
    y: Array


def null_model(y: Array, covariates: Array) -> Null:
    """The logistic fit of cases on covariates alone."""
    design = np.column_stack([np.ones(len(y)), _scaled(covariates)])
    fit = sm.GLM(y, design, family=sm.families.Binomial()).fit(tol=1e-14, maxiter=200)
    return Null(design, np.asarray(fit.fittedvalues), y)


def filled(dosage: Array) -> Array:
    """Missing dosages as the mean of the others."""
    return np.where(np.isnan(dosage), np.nanmean(dosage), dosage)


class Score(NamedTuple):
    """Score, its variance, and (people,) the genotype after the covariates were taken out."""

    score: float
    variance: float
    left: Array


def score(null: Null, dosage: Array) -> Score:
    """The score statistic of one variant."""
    g, w = filled(dosage), null.mu * (1 - null.mu)
    root = np.sqrt(w)[:, None]
    left = g - null.design @ np.linalg.lstsq(null.design * root, g * root[:, 0], rcond=None)[0]
    return Score(float(left @ (null.y - null.mu)), float(w @ left**2), left)


def saddlepoint(null: Null, dosage: Array) -> float:
    """−log10 of the two-sided saddlepoint p-value, corrected for the lattice of allele copies."""
    found = score(null, dosage)
    a, mu, s = found.left, null.mu, abs(found.score)
    step = 2.0 if not (dosage == 1).any() else 1.0
    side = np.sign(found.score)
    far = s - step * np.ceil(2 * s / step - 1e-7)  # the first value of the lattice at or beyond −s
    near_tail = _log_tail(side * a, mu, s - step / 2, step, upper=True)
    far_tail = _log_tail(side * a, mu, far + step / 2, step, upper=False)
    return float(-min(0.0, np.logaddexp(near_tail, far_tail)) / np.log(10))


def _log_tail(a: Array, mu: Array, cutoff: float, step: float, *, upper: bool) -> float:
    """log P(S ≥ cutoff), or log P(S ≤ cutoff)."""

    def slope(t: float) -> float:
        return float(a @ (special.expit(special.logit(mu) + t * a) - mu)) - cutoff

    end = 40.0 * np.sign(cutoff)
    if slope(end) * np.sign(cutoff) < 0:
        return -np.inf
    t = optimize.brentq(slope, 0.0, end, xtol=1e-14, rtol=1e-14)
    pi = special.expit(special.logit(mu) + t * a)
    k0 = np.log1p(mu * np.expm1(t * a)).sum() - t * (a @ mu)
    k2 = a**2 @ (pi * (1 - pi))
    w = np.sign(t) * np.sqrt(2 * (t * cutoff - k0))
    u = 2 / step * np.sinh(step * t / 2) * np.sqrt(k2)
    r = w + np.log(u / w) / w
    return float(stats.norm.logsf(r) if upper else stats.norm.logcdf(r))


def permutation_p(dosage: Array, y: Array) -> float:
    """The exact two-sided p-value without covariates: who is a case is drawn anew, as many cases as there are.

    P(|S − E S| ≥ |s − E S|) for the copies S that cases carry, summed over all tables of cases with no, one and two copies.
    """
    n0, n1, n2 = ((dosage == copies).sum() for copies in range(3))
    cases, observed = int(y.sum()), float(dosage @ y)
    mean = cases * dosage.mean()
    one, two = np.meshgrid(np.arange(n1 + 1), np.arange(n2 + 1))
    none = cases - one - two
    possible = (none >= 0) & (none <= n0)
    one, two, none = one[possible], two[possible], none[possible]
    chance = _log_choose(n0, none) + _log_choose(n1, one) + _log_choose(n2, two) - _log_choose(n0 + n1 + n2, cases)
    beyond = np.abs(one + 2 * two - mean) >= abs(observed - mean) - 1e-9
    return float(min(1.0, np.exp(special.logsumexp(chance[beyond]))))


def _log_choose(n: Any, k: Any) -> Any:
    return special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)


class Fit(NamedTuple):
    """Effect, standard error, and likelihood-ratio statistic."""

    beta: float
    standard_error: float
    ratio: float


def wald(y: Array, covariates: Array, dosage: Array) -> Fit:
    """The logistic regression on covariates and genotype, by statsmodels."""
    design = np.column_stack([np.ones(len(y)), _scaled(covariates), dosage])
    full, less = (
        sm.GLM(y, columns, family=sm.families.Binomial()).fit(tol=1e-14, maxiter=200) for columns in (design, design[:, :-1])
    )
    return Fit(float(full.params[-1]), float(full.bse[-1]), float(2 * (full.llf - less.llf)))


def firth(y: Array, covariates: Array, dosage: Array) -> Fit:
    """Firth's logistic regression, and its penalised likelihood ratio (Heinze and Schemper 2002)."""
    sd = dosage.std()
    design = np.column_stack([np.ones(len(y)), _scaled(covariates), (dosage - dosage.mean()) / sd])
    q = design.shape[1]
    beta, inverse, most = _firth(design, y, q)
    _, _, least = _firth(design, y, q - 1)
    return Fit(float(beta[-1] / sd), float(np.sqrt(inverse[-1, -1]) / sd), 2 * (most - least))


def firth_held(null: Null, dosage: Array) -> Fit:
    """Firth's estimate of the genotype's effect with the covariates' effects held, on the genotype that they leave."""
    found = score(null, dosage)
    offset = special.logit(null.mu)
    beta, inverse, most = _firth(found.left[:, None], null.y, 1, offset)
    least = _penalised(found.left[:, None], null.y, np.zeros(1), offset)
    return Fit(float(beta[0]), float(np.sqrt(inverse[0, 0])), 2 * (most - least))


def _firth(design: Array, y: Array, free: int, offset: Array | float = 0.0) -> tuple[Array, Array, float]:
    """Maximum of the penalised likelihood over the first `free` coefficients, by quasi-Newton from the score."""
    beta = np.zeros(design.shape[1])
    for _ in range(300):
        pi = special.expit(design @ beta + offset)
        w = pi * (1 - pi)
        inverse = np.linalg.inv((design.T * w) @ design)
        h = w * np.einsum("ij,jk,ik->i", design, inverse, design)
        gradient = design.T @ (y - pi + h * (0.5 - pi))
        step = np.linalg.solve(((design.T * (w * (1 + h))) @ design)[:free, :free], gradient[:free])
        size, before = 1.0, _penalised(design, y, beta, offset)
        move = np.concatenate([step, np.zeros(len(beta) - free)])
        while size > 1e-6 and _penalised(design, y, beta + size * move, offset) < before - 1e-9:
            size /= 2
        beta = beta + size * move
        if np.abs(step).max() < 1e-12:
            break
    return beta, inverse, _penalised(design, y, beta, offset)


def _penalised(design: Array, y: Array, beta: Array, offset: Array | float) -> float:
    eta = design @ beta + offset
    pi = special.expit(eta)
    information = (design.T * (pi * (1 - pi))) @ design
    return float((y * eta - np.logaddexp(0, eta)).sum() + np.linalg.slogdet(information)[1] / 2)


def _scaled(covariates: Array) -> Array:
    return np.asarray((covariates - covariates.mean(axis=0)) / covariates.std(axis=0)) if covariates.size else covariates
