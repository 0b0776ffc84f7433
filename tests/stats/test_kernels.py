"""The pure kernels beside their naive twins."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from cohelix.core.errors import ShapeMismatch
from cohelix.stats import (
    GenotypePlanes,
    contamination_estimates,
    fit_components,
    group_distances,
    hwe_p_values,
    project,
    related_pairs,
    robust_z,
)


def naive_hwe(het: int, ref: int, alt: int) -> float:
    """Sum over all tables with these allele counts that are no more likely than the observed one."""
    n, a = het + ref + alt, het + 2 * alt
    weight = {}
    for h in range(a % 2, min(a, 2 * n - a) + 1, 2):
        second = (a - h) // 2
        weight[h] = 2**h * comb(n, h) * comb(n - h, second)
    return sum(w for w in weight.values() if w <= weight[het]) / sum(weight.values())


def test_hwe_equals_its_definition() -> None:
    chance = np.random.default_rng(4)
    tables = [tuple(chance.integers(0, top, 3)) for top in (4, 30, 120) for _ in range(60)]
    tables += [(0, 200, 100), (150, 0, 0), (0, 0, 40), (1, 0, 0), (90, 5, 5)]
    tables = [table for table in tables if sum(table)]
    het, ref, alt = (np.array(column, np.int64) for column in zip(*tables, strict=True))
    expected = [naive_hwe(*map(int, table)) for table in tables]
    np.testing.assert_allclose(hwe_p_values(het, ref, alt), expected, rtol=1e-9)
    assert (hwe_p_values(het, ref, alt, mid_p=True) <= hwe_p_values(het, ref, alt) + 1e-12).all()


def test_hwe_of_nobody_is_not_a_number_and_shapes_must_fit() -> None:
    none = np.zeros(1, np.int64)
    assert np.isnan(hwe_p_values(none, none, none)).all()
    with pytest.raises(ShapeMismatch):
        hwe_p_values(none, none, np.zeros(2, np.int64))


def naive_kinship(a: np.ndarray, b: np.ndarray) -> float:
    both = ~np.isnan(a) & ~np.isnan(b)
    a, b = a[both], b[both]
    het_a, het_b = (a == 1).sum(), (b == 1).sum()
    return 0.5 - ((a - b) ** 2).sum() / (4 * min(het_a, het_b))


@pytest.mark.parametrize("margin", [None, 0.06])
@pytest.mark.parametrize("threads", [1, 3])
def test_kinship_equals_its_definition(margin: float | None, threads: int) -> None:
    chance = np.random.default_rng(5)
    dosages = chance.binomial(2, 0.4, (5000, 40)).astype(np.float32)
    dosages[:, 7] = dosages[:, 3]
    dosages[:2500, 9] = dosages[:2500, 30]
    dosages[chance.random(dosages.shape) < 0.02] = np.nan
    planes = GenotypePlanes(40, 5000)
    for start in range(0, 5000, 700):
        planes.add(dosages[start : start + 700])
    found = related_pairs(planes, kinship_min=0.0884, threads=threads, screen_margin=margin)
    assert list(zip(found.first.tolist(), found.second.tolist(), strict=True)) == [(3, 7), (9, 30)]
    for first, second, value in zip(found.first, found.second, found.kinship, strict=True):
        assert value == pytest.approx(naive_kinship(dosages[:, first], dosages[:, second]), abs=1e-12)
    assert found.n_more == 0
    everybody = related_pairs(planes, kinship_min=-1, threads=threads, screen_margin=None)
    assert len(everybody.first) == 40 * 39 // 2
    with pytest.raises(ShapeMismatch):
        planes.add(dosages[:1])


def test_components_part_two_populations_and_place_those_who_were_not_fitted() -> None:
    chance = np.random.default_rng(6)
    frequency = np.where(np.arange(2) == 0, 0.3, 0.6)
    group = np.arange(80) % 2
    X = chance.binomial(2, frequency[group], (1000, 80)).astype(np.float32)
    X[chance.random(X.shape) < 0.05] = np.nan
    axes = fit_components(X[:, :60], 3, np.random.default_rng(1))
    exact = np.linalg.svd(
        np.nan_to_num((X[:, :60] - axes.mean[:, None]) / axes.scale[:, None]), full_matrices=False, compute_uv=False
    )
    np.testing.assert_allclose(axes.values[0], exact[0], rtol=1e-4)
    places = project(X, axes)
    distances = group_distances(places[:, :2], group, 2)
    assert (distances.argmin(axis=1) == group).all()
    assert np.median(distances[np.arange(80), group]) < 2


def test_few_bad_values_do_not_move_the_middle() -> None:
    values = np.array([1.0, 1.1, 0.9, 1.05, 0.95, 50, np.nan])
    z = robust_z(values)
    assert abs(z[:5]).max() < 3 < z[5] and np.isnan(z[6])
    assert robust_z(np.ones(4)).tolist() == [0, 0, 0, 0]


def test_contamination_needs_sites() -> None:
    told = contamination_estimates(np.array([3.0, 3.0]), np.array([100, 5], np.int64), sites_min=50)
    assert told[0] == pytest.approx(0.03) and np.isnan(told[1])
