"""Fixed-effect meta-analysis from sums over studies: weights, heterogeneity, and their tests."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cohelix.core.arrays import FloatArray, IntArray


class Combined(NamedTuple):
    """Inverse-variance estimates, each (variants,) float64, NaN where no study has one.

    `q` is Cochran's Q with `studies` − 1 degrees of freedom, `i_squared` in [0, 1]; both NaN where fewer than two
    studies have an estimate.
    """

    beta: FloatArray
    standard_error: FloatArray
    q: FloatArray
    i_squared: FloatArray


def inverse_variance(weights: FloatArray, weighted: FloatArray, weighted_squares: FloatArray, studies: IntArray) -> Combined:
    """Combine studies from Σ w, Σ wβ, Σ wβ² with w = 1 / se², and how many studies have an estimate; (variants,) each.

    References
    ----------
    Cochran 1954, Biometrics 10:101; Higgins and Thompson 2002, Statistics in Medicine 21:1539.
    """
    known = (studies > 0) & (weights > 0)
    total = np.where(known, weights, np.nan)
    beta = weighted / total
    several = known & (studies > 1)
    # Rounding must not make a sum of squares negative.
    q = np.where(several, np.maximum(weighted_squares - weighted * beta, 0.0), np.nan)
    freedom = studies - 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        i_squared = np.where(several, np.where(q > freedom, 1 - freedom / q, 0.0), np.nan)
    return Combined(beta, 1 / np.sqrt(total), q, i_squared)
