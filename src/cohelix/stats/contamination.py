"""Contamination of a sample by another person's DNA, from reads of REF where the sample is homozygous for ALT."""

from __future__ import annotations

import numpy as np

from cohelix.core.arrays import FloatArray, IntArray


def contamination_estimates(scaled_ref_share: FloatArray, n_sites: IntArray, *, sites_min: int) -> FloatArray:
    """Share of foreign reads, (people,) float64 in [0, 1]; NaN where a person has fewer than `sites_min` sites.

    Parameters
    ----------
    scaled_ref_share
        (people,) sum over the sites where the person is homozygous for ALT of (reads of REF / all reads) / frequency of
        REF: a foreign read shows REF with that frequency.
    n_sites
        (people,) how many sites were summed.

    References
    ----------
    Lu et al. 2023, Am J Hum Genet 110:2068 (CHARR).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        estimates = np.where(n_sites >= max(sites_min, 1), scaled_ref_share / n_sites, np.nan)
    return np.clip(estimates, 0, 1)
