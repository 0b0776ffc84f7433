"""Tails by their logarithm: against integration of the density, closed forms and scipy, far beyond the smallest float."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cohelix.stats.tails import neg_log10_p_chi2, neg_log10_p_normal, neg_log10_p_t
from validation.linear import naive

LN10 = np.log(10)


@pytest.mark.parametrize("df", [1, 2, 3, 10, 56, 356, 5000, 1e6])
def test_t_against_the_integral_of_its_density(df: float) -> None:
    t = np.array([0, 1e-6, 0.01, 0.3, 0.99, 1, 2, 5, 12, 30, 35, 36, 37, 38, 45, 100, 1000])
    expected = np.array([naive.neg_log10_p(one, df) for one in t])
    found = neg_log10_p_t(t, df)
    assert np.abs(found - expected).max() <= 1e-8 * max(1, expected.max())
    near = expected <= 300
    assert np.abs(found - expected)[near].max() <= 1e-8
    assert (neg_log10_p_t(-t, df) == found).all()


def test_t_closed_forms() -> None:
    t = np.array([1e-8, 0.5, 3.0, 1e5, 1e80, 1e200])
    with np.errstate(divide="ignore", over="ignore"):
        cauchy = -np.log10(np.arctan2(1, t) * 2 / np.pi)
        two = np.where(t < 1e4, -np.log10(np.maximum(1 - t / np.sqrt(2 + t**2), 1e-300)), 2 * np.log10(t))
    assert np.abs(neg_log10_p_t(t, 1.0) - cauchy).max() < 1e-9
    assert np.abs(neg_log10_p_t(t, 2.0) - two).max() < 1e-9


def test_normal_and_chi_square() -> None:
    z = np.array([0, 0.1, -2, 10, 37, -38, 39, 100, 1e4])
    assert neg_log10_p_normal(z) == pytest.approx(-(stats.norm.logsf(np.abs(z)) + np.log(2)) / LN10, abs=1e-9, rel=1e-12)
    assert neg_log10_p_chi2(z**2, 1.0) == pytest.approx(neg_log10_p_normal(z), abs=1e-9, rel=1e-11)
    x = np.array([0.0, 0.5, 4, 50, 1200, 1500, 3000, 1e6])  # with two degrees of freedom the tail is exp(−x/2)
    assert neg_log10_p_chi2(x, 2.0) == pytest.approx(x / 2 / LN10, abs=1e-10, rel=1e-12)
    four = (x / 2 - np.log1p(x / 2)) / LN10
    assert neg_log10_p_chi2(x, 4.0) == pytest.approx(four, abs=1e-10, rel=1e-12)


def test_shapes_and_what_is_not_a_number() -> None:
    assert neg_log10_p_t(np.array([[1.0, np.nan], [500.0, 0.0]]), np.array([[10.0], [400.0]])).shape == (2, 2)
    assert np.isnan(neg_log10_p_t(np.array([np.nan]), 5.0))[0]
    assert neg_log10_p_t(np.array([]), 5.0).shape == (0,)
    assert neg_log10_p_t(np.float64(0.0), 3.0) == 0.0 and np.ndim(neg_log10_p_t(np.float64(2000.0), 300.0)) == 0
    assert not np.signbit(neg_log10_p_normal(np.zeros(1)))[0]


@pytest.mark.parametrize("df", [1.0, 7.5, 356.0, 19_990.0])
def test_many_statistics_at_once_are_told_as_single_ones(df: float) -> None:
    random = np.random.default_rng(4)
    t = np.concatenate([random.normal(size=20_000), random.uniform(-60, 60, 3000), [0, 1e-9, 40, np.nan]]).reshape(-1, 2)
    found = neg_log10_p_t(t, np.full((len(t), 1), df))
    single = np.concatenate([neg_log10_p_t(some, df) for some in np.array_split(t.ravel(), 8)]).reshape(-1, 2)
    assert np.nanmax(np.abs(found - single)) < 1e-10
    assert (np.isnan(found) == np.isnan(t)).all()
