"""Leverage against its definition, and what it finds: columns, and differences of columns, that are one person."""

from __future__ import annotations

import numpy as np
import pytest

from cohelix.stats.dominance import dominance


def _naive(covariates: np.ndarray, traits: np.ndarray) -> float:
    largest = 0.0
    for trait in traits.T if traits.size else [np.zeros(len(covariates))]:
        X = np.column_stack([np.ones(len(covariates)), covariates, trait])
        largest = max(largest, float(np.diag(X @ np.linalg.pinv(X.T @ X) @ X.T).max()))
    return largest


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_largest_leverage(seed: int) -> None:
    random = np.random.default_rng(seed)
    covariates, traits = random.normal(size=(60, 4)), random.normal(size=(60, 70))
    assert dominance(covariates, traits) == pytest.approx(_naive(covariates, traits), abs=1e-9)
    assert dominance(covariates, traits[:, :0]) == pytest.approx(_naive(covariates, traits[:, :0]), abs=1e-9)
    order = random.permutation(60)
    assert dominance(covariates[order] * 1e6, traits[order]) == pytest.approx(dominance(covariates, traits))


def test_one_person_is_found_in_a_column_and_between_columns() -> None:
    random = np.random.default_rng(1)
    one = np.zeros(200)
    one[7] = 1
    smooth, traits = random.normal(size=200), random.normal(size=(200, 2))
    assert dominance(one[:, None], traits) == pytest.approx(1)
    assert dominance(np.column_stack([smooth, smooth + one]), traits) == pytest.approx(1)
    assert dominance(smooth[:, None], one[:, None]) > 0.95
    assert dominance(smooth[:, None], traits) < 0.2


def test_columns_that_say_nothing_here_are_no_direction() -> None:
    random = np.random.default_rng(2)
    covariates = np.column_stack([np.ones(100), random.normal(size=100), np.zeros(100)])
    assert dominance(covariates, np.full((100, 1), 3.0)) < 0.2
    assert dominance(np.empty((0, 2)), np.empty((0, 1))) == 0
