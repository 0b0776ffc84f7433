"""A seeded sample of `validation/membership` on a quarter of the real people: the node answers what the attacks reckon with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from validation.membership.__main__ import compare
from validation.membership.attacks import Attacker, mean_of
from validation.membership.cohort import halves


@pytest.fixture(scope="module")
def attacked(shared_data: Path, tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    path = next((shared_data / "kg3-chr22-cen").glob("*.bcf"))
    return halves(tmp_path_factory.mktemp("membership"), [path], seed=2504, people=1200)


def test_what_is_reckoned_with_is_what_the_node_answers(attacked) -> None:  # type: ignore[no-untyped-def]
    assert compare(attacked, Attacker(attacked), np.random.default_rng(1), accounts=4) == 0


def test_attacks_within_the_budget_stay_below_the_bound_and_without_it_they_do_not(attacked) -> None:  # type: ignore[no-untyped-def]
    attacker, rng = Attacker(attacked), np.random.default_rng(2)
    common = np.flatnonzero(attacker.told & (attacker.price == 1))
    within = mean_of([attacker.likelihood_ratio(attacker.within_budget(rng.permutation(common))).auc for _ in range(20)])
    assert within.auc + within.half_width <= 0.55
    assert attacker.raw_beacon(50, floor=1).auc > 0.6
