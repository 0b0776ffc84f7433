"""Logistic regression as sums over people: score tests of many variants, and fits of many small designs at once.

Firth's penalty (Firth 1993, Biometrika 80:27; Heinze and Schemper 2002, Stat Med 21:2409) enters a person's part of the
sums only through the pooled information, so that sums over several banks give what all people together would give.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import expit

from cohelix.core.arrays import BoolArray, FloatArray

ETA_MAX = 40.0  # beyond it a probability differs from 0 or 1 by less than float64 can tell
_PEOPLE = 2048  # of one step through memory
_NO_VARIATION = 1e-9  # a variance below this share of the raw sum of squares is rounding


def log_likelihood(eta: FloatArray, y: FloatArray) -> FloatArray:
    """y·η − log(1 + e^η) of each person, with η held within ±`ETA_MAX`: never below −`ETA_MAX` − 1."""
    held = np.clip(eta, -ETA_MAX, ETA_MAX)
    return np.asarray(y * held - np.logaddexp(0.0, held), np.float64)


class Scores(NamedTuple):
    """Score statistics of a block of variants against one null model.

    `score` and `variance` (variants,) are U and V of the genotype that is left after the covariates were taken out; NaN
    where nothing is left. `slope` (variants, p) is what was taken out: g − Z·slope, Z the whitened covariates.
    """

    score: FloatArray
    variance: FloatArray
    slope: FloatArray


def score_statistics(
    products: FloatArray, weighted: FloatArray, squares: FloatArray, *, root: FloatArray, residual: FloatArray
) -> Scores:
    """Score statistics from sums over people.

    Parameters
    ----------
    products
        (variants,) Σ g(y − μ).
    weighted
        (variants, p) Σ g·w·q.
    squares
        (variants,) Σ g²·w.
    root
        (p, p) M with M·M' the inverse information of the null model.
    residual
        (p,) Σ q(y − μ) of the null model: next to nothing; its first-order effect is taken out.
    """
    slope = weighted @ root
    variance = squares - (slope**2).sum(axis=1)
    variance = np.where(variance > _NO_VARIATION * squares, variance, np.nan)
    score = np.where(np.isnan(variance), np.nan, products - slope @ (root.T @ residual))
    return Scores(score, variance, slope)


class DesignSums(NamedTuple):
    """Sums of `fits` logistic fits for each of some variants; matrices as their upper triangle, row by row.

    `information` (variants, fits, q(q+1)/2) Σ w·x·x'; `curvature` the same with w(1 + h), the slope of Firth's score but for
    the change of h; `score` (variants, fits, q) Σ x(y − π + h(½ − π)); `gain` (variants, fits) the log-likelihood less that
    of the null model. x = (covariates, genotype), q = p + 1; h = 0 without a penalty.
    """

    information: FloatArray
    curvature: FloatArray
    score: FloatArray
    gain: FloatArray


def design_sums(
    covariates: FloatArray,
    eta: FloatArray,
    y: FloatArray,
    genotype: FloatArray,
    counted: BoolArray,
    *,
    coefficients: FloatArray,
    inverse: FloatArray | None,
) -> DesignSums:
    """One evaluation of logistic fits.

    Parameters
    ----------
    covariates
        (people, p) float64.
    eta, y
        (people,) linear predictor of the null model, and 1 for cases, 0 for controls.
    genotype
        (variants, people) float64, finite.
    counted
        (variants, people): who takes part in a variant's fit.
    coefficients
        (variants, fits, p + 1), in addition to the null model; NaN where a fit is not wanted, its sums are 0.
    inverse
        (variants, fits, q(q+1)/2) inverse information for Firth's penalty; None for none.
    """
    people, p = covariates.shape
    first, second = np.triu_indices(p)
    whole_first, _ = upper(p + 1)
    n_variants, fits = coefficients.shape[:2]
    size = len(whole_first)
    information, curvature = np.zeros((n_variants, fits, size)), np.zeros((n_variants, fits, size))
    score, gain = np.zeros((n_variants, fits, p + 1)), np.zeros((n_variants, fits))
    wanted = np.asarray(np.isfinite(coefficients).all(axis=2), np.bool_)
    at_pairs, at_cross = _places(p)
    for start in range(0, people, _PEOPLE):
        cut = slice(start, start + _PEOPLE)
        z, null, cases = covariates[cut], eta[cut], y[cut]
        pairs = z[:, first] * z[:, second]
        null_gain = log_likelihood(null, cases)
        for fit in range(fits):
            rows = np.flatnonzero(wanted[:, fit])
            if not len(rows):
                continue
            a, here = genotype[rows, cut], counted[rows, cut]
            b = coefficients[rows, fit]
            total = null + b[:, :p] @ z.T + b[:, p:] * a
            pi = expit(total)
            w = pi * (1 - pi) * here
            error = cases - pi

            def matrix(weights: FloatArray, a: FloatArray = a, z: FloatArray = z, pairs: FloatArray = pairs) -> FloatArray:
                part = np.empty((len(weights), size))
                part[:, at_pairs] = weights @ pairs
                part[:, at_cross] = (weights * a) @ z
                part[:, -1] = (weights * a * a).sum(axis=1)
                return part

            plain = matrix(w)
            information[rows, fit] += plain
            if inverse is None:
                curvature[rows, fit] += plain
            else:
                known = inverse[rows, fit]
                twice = known[:, at_pairs] * np.where(first == second, 1.0, 2.0)
                leverage = twice @ pairs.T + 2 * a * (known[:, at_cross] @ z.T) + known[:, -1:] * a * a
                h = np.clip(w * leverage, 0.0, 1.0)
                curvature[rows, fit] += matrix(w * (1 + h))
                error += h * (0.5 - pi)
            error *= here
            score[rows, fit, :p] += error @ z
            score[rows, fit, p] += (error * a).sum(axis=1)
            gain[rows, fit] += ((log_likelihood(total, cases) - null_gain) * here).sum(axis=1)
    return DesignSums(information, curvature, score, gain)


def upper(q: int) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of each entry of a packed upper triangle of a (q, q) matrix."""
    rows, columns = np.triu_indices(q)
    return rows, columns


def unpacked(triangles: FloatArray, q: int) -> FloatArray:
    """(…, q(q+1)/2) upper triangles as (…, q, q) symmetric matrices."""
    rows, columns = upper(q)
    full = np.empty((*triangles.shape[:-1], q, q))
    full[..., rows, columns] = triangles
    full[..., columns, rows] = triangles
    return full


def _places(p: int) -> tuple[np.ndarray, np.ndarray]:
    """Where pairs of covariates, and covariates with the genotype, stand in the packed triangle of p + 1."""
    rows, columns = upper(p + 1)
    return np.flatnonzero(columns < p), np.flatnonzero((columns == p) & (rows < p))
