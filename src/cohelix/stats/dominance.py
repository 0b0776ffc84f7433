"""How much of a model's columns one person is: leverage, the largest share of a sum of squares over all their combinations."""

from __future__ import annotations

import numpy as np

from cohelix.core.arrays import FloatArray

_COLUMNS_AT_ONCE = 64


def dominance(covariates: FloatArray, traits: FloatArray) -> float:
    """The largest share that one person has of Σ (X b)² over any combination b of intercept, covariates and one trait.

    Parameters
    ----------
    covariates
        (people, covariates) float64, complete, without an intercept.
    traits
        (people, traits) float64, complete.

    Returns
    -------
    Between 0 and 1: 1 where a combination is zero for all but one person. It is the largest leverage, max diag(X(X'X)⁻X'), of X
    with one of the traits as a further column; 0 of nobody.

    References
    ----------
    Hoaglin and Welsch 1978, Am Stat 32:17.
    """
    people = len(covariates)
    if not people:
        return 0.0
    scale = np.abs(covariates).max(axis=0, initial=0.0)
    columns = np.column_stack([np.ones(people), covariates / np.where(scale > 0, scale, 1.0)])
    left, sizes, _ = np.linalg.svd(columns, full_matrices=False)
    basis = left[:, sizes > sizes[0] * 1e-12]
    leverage = np.einsum("ij,ij->i", basis, basis)
    largest = float(leverage.max())
    for start in range(0, traits.shape[1], _COLUMNS_AT_ONCE):
        some = traits[:, start : start + _COLUMNS_AT_ONCE]
        residual = some - basis @ (basis.T @ some)
        squares = residual**2
        total = squares.sum(axis=0)
        # A trait that the covariates explain wholly adds no direction of its own.
        free = total > 1e-20 * (some**2).sum(axis=0)
        if free.any():
            largest = max(largest, float((leverage[:, None] + squares[:, free] / total[free]).max()))
    return min(largest, 1.0)
