"""Predicted power against a simulation, prices that tell nothing, attacks on data whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from cohelix.disclosure.membership import (
    REGISTERED_FREQUENCY,
    WITHHELD,
    auc,
    beacon_attack,
    independent_share,
    power,
    power_of_spending,
    price,
    spending_at,
    told_to_registered,
)


def _people(variants: int, n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    frequency = rng.uniform(0.05, 0.5, variants)
    return rng.binomial(2, frequency[:, None], (variants, n)), frequency


@pytest.mark.parametrize(("variants", "n"), [(100, 500), (400, 500), (1000, 400)])
def test_predicted_power_is_what_a_likelihood_ratio_reaches(variants: int, n: int) -> None:
    """Within 0.04: 1,000 people on each side leave 0.025, and the formula is for many people."""
    copies, frequency = _people(variants, 2 * n, seed=variants)
    told = np.clip(copies[:, :n].mean(axis=1) / 2, 1e-3, 1 - 1e-3)[:, None]
    p = frequency[:, None]
    scores = (copies * np.log(told / p) + (2 - copies) * np.log((1 - told) / (1 - p))).sum(axis=0)
    assert auc(scores[:n], scores[n:]).auc == pytest.approx(power(variants, n), abs=0.04)


def test_power_and_spending_are_inverse_and_end_where_they_must() -> None:
    for bound in (0.51, 0.55, 0.6, 0.9):
        assert power_of_spending(spending_at(bound)) == pytest.approx(bound)
    assert spending_at(0.55) == pytest.approx(0.0316, abs=1e-4)  # the table of the threat model says 0.032
    assert (power(0, 100), power(10, 0), power(10**9, 1)) == (0.5, 1.0, pytest.approx(1.0))
    assert spending_at(0.5) == 0


def test_what_is_withheld_costs_as_much_as_the_dearest_that_is_told() -> None:
    number = np.full(2001, 2000)
    count = np.arange(2001)
    prices, told = price(count, number), told_to_registered(count, number)
    assert set(prices[~told].tolist()) == {WITHHELD}
    assert prices.max() == WITHHELD
    p = count[told & (prices > 1)] / 2000
    assert ((1 - 2 * p) ** 2 / (2 * p * (1 - p)) <= WITHHELD + 1e-9).all()
    assert told[int(REGISTERED_FREQUENCY * 2000)]
    assert prices[200:].max() == 1
    assert price(np.array([0]), np.array([0]))[0] == WITHHELD


def test_linked_variants_count_once() -> None:
    rng = np.random.default_rng(1)
    single = rng.binomial(2, 0.3, (50, 400)).astype(float)
    assert independent_share(single) > 0.95
    copied = np.repeat(single, 4, axis=0)
    copied[rng.random(copied.shape) < 0.01] = np.nan
    assert independent_share(copied) == pytest.approx(0.25, abs=0.03)
    assert independent_share(np.zeros((3, 10))) == 1


def test_auc_counts_ties_half() -> None:
    assert auc(np.array([1.0, 2.0]), np.array([1.0, 0.0])).auc == pytest.approx((0.5 + 1 + 1 + 1) / 4)
    assert auc(np.array([]), np.array([1.0])).auc == 0.5


def test_a_beacon_of_rare_alleles_betrays_and_a_high_floor_hides() -> None:
    rng = np.random.default_rng(3)
    rare = rng.binomial(2, rng.uniform(0.001, 0.01, 1500)[:, None], (1500, 400))
    raw = beacon_attack(rare, 0, queries=500, seed=0)
    assert raw.auc - raw.half_width > 0.7
    hidden = beacon_attack(rare, 100, queries=500, seed=0)
    assert abs(hidden.auc - 0.5) < 0.1
