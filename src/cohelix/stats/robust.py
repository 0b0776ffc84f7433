"""How far a value lies from most others: medians, which a few bad samples do not move."""

from __future__ import annotations

import numpy as np

from cohelix.core.arrays import FloatArray, IntArray

_NORMAL = 1.4826  # median absolute deviation to standard deviation, for normal values


def robust_z(values: FloatArray, *, spread_min: float = 0.0) -> FloatArray:
    """(n,) values to (value - median) / (1.4826 MAD); NaN stays. A spread below `spread_min` counts as that much."""
    known = values[~np.isnan(values)]
    if not known.size:
        return np.full(values.shape, np.nan)
    middle = float(np.median(known))
    spread = max(_NORMAL * float(np.median(np.abs(known - middle))), spread_min)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (values - middle) / spread
    return np.where(values == middle, 0.0, z)


def group_distances(places: FloatArray, group: IntArray, n_groups: int) -> FloatArray:
    """Distance of each person to the centre of each group, in units of that group's own spread.

    Parameters
    ----------
    places
        (people, k), for example on principal components; a person with NaN is at distance NaN.
    group
        (people,) int64 group number, -1 for none: such a person helps to make no centre.

    Returns
    -------
    (people, n_groups) float64: Euclidean distance after each axis was divided by the group's own spread along it (1.4826
    MAD, at least a hundredth of everybody's), over the square root of k: about 1 for an ordinary member.
    """
    k = places.shape[1]
    everybody = np.nanstd(places, axis=0) + 1e-12
    distances = np.full((len(places), n_groups), np.nan)
    for number in range(n_groups):
        members = places[(group == number) & ~np.isnan(places).any(axis=1)]
        if not len(members):
            continue
        centre = np.median(members, axis=0)
        spread = np.maximum(_NORMAL * np.median(np.abs(members - centre), axis=0), everybody / 100)
        distances[:, number] = np.sqrt((((places - centre) / spread) ** 2).sum(axis=1) / k)
    return distances
