"""Ancestry components from sums over nodes, against the singular vectors of the pooled matrix."""

from __future__ import annotations

import numpy as np
import pytest

from cohelix.analysis.components import fit_ancestry, local_scores
from cohelix.analysis.data import ArrayGenotypes, LocalData
from cohelix.analysis.pooled import PlainSummer
from cohelix.core.arrays import FloatArray
from cohelix.core.errors import NotPermitted


def _genotypes(seed: int, n: int, m: int) -> FloatArray:
    """Three populations that drifted apart; some calls missing."""
    rng = np.random.default_rng(seed)
    ancestral = rng.uniform(0.1, 0.9, m)
    groups = [np.clip(rng.normal(ancestral, 0.12 * (1 + i)), 0.02, 0.98) for i in range(3)]
    who = rng.integers(0, 3, n)
    dosages = np.array([rng.binomial(2, groups[one]) for one in who], np.float64).T
    dosages[rng.random(dosages.shape) < 0.01] = np.nan
    return dosages


def _parts(dosages: FloatArray, cuts: list[int]) -> list[LocalData]:
    pieces = np.split(np.arange(dosages.shape[1]), cuts)
    return [LocalData(np.zeros((len(p), 0)), np.zeros((len(p), 1)), ArrayGenotypes(dosages[:, p])) for p in pieces]


def _pooled(dosages: FloatArray, mean: FloatArray) -> tuple[FloatArray, FloatArray]:
    Z = (dosages - mean[:, None]) / np.sqrt(mean * (1 - mean / 2))[:, None]
    Z[np.isnan(Z)] = 0
    U, values, _ = np.linalg.svd(Z, full_matrices=False)
    return U, values**2 / len(Z)


@pytest.mark.parametrize("cuts", [[], [40, 90], [7, 20, 50, 51, 120]])
def test_components_are_those_of_the_pooled_matrix(cuts: list[int]) -> None:
    dosages = _genotypes(4, 160, 600)
    mean = np.nanmean(dosages, axis=1)
    parts = _parts(dosages, cuts)
    found = fit_ancestry(PlainSummer(parts), np.arange(600), mean, n=160, k=2)
    U, values = _pooled(dosages, mean)
    assert found.converged
    assert found.separated.all()
    cosine = np.abs((found.loadings * U[:, :2]).sum(axis=0))
    assert (1 - cosine <= 1e-10).all()
    assert found.values == pytest.approx(values[:2], rel=1e-10)
    broadcast = {"rows": found.rows, "mean": mean, "scale": found.scale, "loadings": found.loadings}
    scores = np.concatenate([local_scores(part, broadcast) for part in parts])
    assert (
        np.corrcoef(scores[:, 0], (U[:, 0] @ np.nan_to_num((dosages - mean[:, None]) / found.scale[:, None])))[0, 1] ** 2
        > 1 - 1e-9
    )


def test_components_in_the_noise_are_said_not_to_be_separated() -> None:
    rng = np.random.default_rng(5)
    dosages = rng.binomial(2, 0.3, (400, 120)).astype(np.float64)
    found = fit_ancestry(
        PlainSummer(_parts(dosages, [30, 60])), np.arange(400), dosages.mean(axis=1), n=120, k=5, tolerance=1e-3
    )
    assert not found.separated.all()


def test_too_few_variants_are_refused() -> None:
    dosages = _genotypes(6, 30, 5)
    with pytest.raises(NotPermitted, match="variants and people"):
        fit_ancestry(PlainSummer(_parts(dosages, [10, 20])), np.arange(5), np.nanmean(dosages, axis=1), n=30, k=5)
