"""Principal components of genotypes: fitted on some people, and everybody placed on them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cohelix.core.arrays import FloatArray
from cohelix.core.errors import ShapeMismatch

_OVERSAMPLING, _ITERATIONS = 10, 6


class Components(NamedTuple):
    """Axes of a cohort: `loadings` (markers, k), `mean` and `scale` (markers,), `values` (k,) singular values, float64."""

    loadings: FloatArray
    mean: FloatArray
    scale: FloatArray
    values: FloatArray


def fit_components(X: FloatArray, k: int, chance: np.random.Generator) -> Components:
    """The k leading components of standardised genotypes, by randomised subspace iteration.

    Parameters
    ----------
    X
        (markers, people) copies of ALT, 0 to 2; NaN where missing, which counts as the marker's mean.
    chance
        Draws the starting subspace; the same generator gives the same components.

    References
    ----------
    Patterson, Price and Reich 2006, PLoS Genet 2:e190, for the standardisation; Halko, Martinsson and Tropp 2011, SIAM
    Review 53:217, for the iteration.
    """
    k = min(k, *X.shape)
    if k < 1:
        raise ShapeMismatch(f"genotypes of shape {X.shape} have no components")
    called = ~np.isnan(X)
    mean = np.where(called, X, 0).sum(axis=1, dtype=np.float64) / np.maximum(called.sum(axis=1), 1)
    frequency = mean / 2
    scale = np.sqrt(np.maximum(2 * frequency * (1 - frequency), 1e-12))
    Z = _standardised(X, mean, scale)
    Q = chance.standard_normal((X.shape[1], min(k + _OVERSAMPLING, *X.shape))).astype(Z.dtype)
    for _ in range(_ITERATIONS):
        Q = np.linalg.qr(Z @ Q)[0]
        Q = np.linalg.qr(Z.T @ Q)[0]
    Q = np.linalg.qr(Z @ Q)[0]
    U, values, _ = np.linalg.svd(Q.T @ Z, full_matrices=False)
    return Components((Q @ U)[:, :k].astype(np.float64), mean, scale, values[:k].astype(np.float64))


def project(X: FloatArray, components: Components) -> FloatArray:
    """Places of people on the components: (people, k) float64.

    A person's missing markers count as the mean; the place is scaled up by the share of markers that are called, so that
    people with few calls are not drawn to the centre. NaN where nothing is called.
    """
    if len(X) != len(components.mean):
        raise ShapeMismatch(f"{len(X)} markers do not fit components of {len(components.mean)}")
    share = (~np.isnan(X)).mean(axis=0)
    placed = _standardised(X, components.mean, components.scale).T @ components.loadings
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(share[:, None] > 0, placed / share[:, None], np.nan)


def _standardised(X: FloatArray, mean: FloatArray, scale: FloatArray) -> FloatArray:
    Z = (X - mean[:, None].astype(X.dtype)) / scale[:, None].astype(X.dtype)
    Z[np.isnan(Z)] = 0
    return np.asarray(Z)
