"""A cohort has the same members in each of its shapes."""

import numpy as np
import pytest

from cohelix.core.errors import ShapeMismatch
from cohelix.genotypes.model import Cohort


@pytest.mark.parametrize("n_samples", [1, 31, 32, 33, 63, 64, 65, 500])
def test_flags_bits_and_pairs_agree(n_samples: int) -> None:
    chosen = np.random.default_rng(n_samples).random(n_samples) < 0.4
    cohort = Cohort.of(n_samples, chosen)
    assert cohort.size == chosen.sum()
    for sample in range(n_samples):
        assert int(cohort.bits[sample // 64]) >> (sample % 64) & 1 == chosen[sample]
        assert int(cohort.pairs[sample // 32]) >> (2 * (sample % 32)) & 3 == chosen[sample]
    assert (Cohort.of(n_samples, np.flatnonzero(chosen)).bits == cohort.bits).all()
    assert Cohort.of(n_samples).size == n_samples


def test_indexes_outside_the_store_are_refused() -> None:
    with pytest.raises(ShapeMismatch):
        Cohort.of(4, np.array([4]))
    with pytest.raises(ShapeMismatch):
        Cohort.of(4, np.ones(5, np.bool_))
