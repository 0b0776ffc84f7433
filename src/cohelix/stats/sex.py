"""Inbreeding coefficient F from heterozygosity: near 1 on the X of a man, near 0 of a woman."""

from __future__ import annotations

import numpy as np

from cohelix.core.arrays import FloatArray, IntArray


def inbreeding(observed_het: IntArray | FloatArray, expected_het: FloatArray) -> FloatArray:
    """F = 1 - observed / expected heterozygous calls, (people,) float64; NaN where none is expected.

    Both are sums over the variants at which the person is called; expected is 2p(1-p) of each (plink 1.9 `--check-sex`,
    `--het`).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(expected_het > 0, 1 - observed_het / expected_het, np.nan)
