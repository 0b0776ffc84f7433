"""Saddlepoint p-values and Firth's estimates of variants that need them, from few sums over all nodes.

Both look for a point on the same function of a variant, the cumulants of its score under the null model, so that both are
found in the same rounds: the two tails' saddlepoints, and Firth's estimate of the effect with the covariates held.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from cohelix.analysis.basis import slack
from cohelix.analysis.case_control import Null, Tested, local_whitened
from cohelix.analysis.data import Genotypes, LocalData
from cohelix.analysis.steps import AnyArray, Ask, Statistic, Summer, Sums, local_step
from cohelix.core.arrays import FloatArray, IntArray
from cohelix.stats.saddlepoint import CUMULANTS, Roots, cumulants, cutoffs, firth_gain, firth_score, log_tail

ROWS_BYTES = 16 * 1024 * 1024  # of genotypes that a step holds at once
_ROUNDS_MAX = 60
_UPPER, _LOWER, _EFFECT = range(3)
# With Σa² ≤ A: K ≤ t²A/8 (Hoeffding), |K'| ≤ |t|A/4, K'' ≤ A/4, |K'''| ≤ A^1.5·√3/18, |K''''| ≤ A²/8; parts obey them, too.
_BOUND = slack(1) / 4


class Corrected(NamedTuple):
    """Of some variants, (variants,) each.

    `log_p` natural logarithm of the two-sided saddlepoint p-value, NaN where it was not found; `beta`, `standard_error` by
    Firth's penalised likelihood with the covariates held, NaN where not asked or not found; `gain` the penalised
    likelihood-ratio statistic of β, chi² with one degree of freedom.
    """

    log_p: FloatArray
    beta: FloatArray
    standard_error: FloatArray
    gain: FloatArray


def correct(summer: Summer, null: Null, tested: Tested, *, effects: bool, lattice: bool = True) -> Corrected:
    """Saddlepoint p-values of variants, and Firth's effects where asked.

    Parameters
    ----------
    tested
        Variants with a finite score.
    lattice
        Whether the correction for values that lie a step apart is made.
    """
    many = len(tested)
    step = tested.step() if lattice else np.zeros(many)
    upper, lower = cutoffs(tested.score, step)
    target = np.column_stack([upper, lower, tested.score if effects else np.full(many, np.nan)]).ravel()
    variance = np.repeat(tested.variance, 3)
    start = np.sign(target) * np.log1p(np.abs(target) / variance)  # exact for a Poisson score
    tail = np.tile([True, True, False], many)
    # The tails' function is 0 at 0 and rises: the sign of its root is known.
    low = np.where(tail & (target > 0), 0.0, -np.inf)
    high = np.where(tail & (target < 0), 0.0, np.inf)
    roots = Roots(start, low, high)
    sums = np.full((many, 3, CUMULANTS), np.nan)
    for _ in range(_ROUNDS_MAX):
        if not roots.open.any():
            break
        wanted = roots.open.reshape(many, 3)
        asked = np.flatnonzero(wanted.any(axis=1))
        points = np.where(wanted, roots.at.reshape(many, 3), np.nan)[asked]
        answer = _cumulants(summer, null, tested.taken(asked), points)
        sums[asked] = np.where(np.isnan(points)[:, :, None], sums[asked], answer)
        which = np.flatnonzero(roots.open)
        here, goal, tails = sums.reshape(-1, CUMULANTS)[which], target[which], tail[which]
        value, slope = firth_score(goal, here)
        value, slope = np.where(tails, here[:, 1] - goal, value), np.where(tails, here[:, 2], slope)
        roots.step(which, value, slope, np.sqrt(np.maximum(here[:, 2], 0.0)))
    found, at = roots.found.reshape(many, 3), roots.at.reshape(many, 3)
    logs = []
    for number, cutoff in ((_UPPER, upper), (_LOWER, lower)):
        tails_log = log_tail(at[:, number], cutoff, sums[:, number], step, upper=number == _UPPER)
        logs.append(np.where(found[:, number], tails_log, -np.inf))
    near = np.where(tested.score > 0, found[:, _UPPER], found[:, _LOWER])  # the other tail may be empty, this one not
    log_p = np.where(near, np.minimum(0.0, np.logaddexp(*logs)), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        error = 1 / np.sqrt(sums[:, _EFFECT, 2])
    gain = firth_gain(tested.score, at[:, _EFFECT], sums[:, _EFFECT], tested.variance)
    kept = found[:, _EFFECT]
    return Corrected(log_p, *(np.where(kept, column, np.nan) for column in (at[:, _EFFECT], error, gain)))


def _cumulants(summer: Summer, null: Null, tested: Tested, points: FloatArray) -> FloatArray:
    """(variants, points, `CUMULANTS`) cumulants of the scores at these points, over all nodes."""
    size = tested.length_squared(null)
    per_variant = {
        "points": points,
        "slope": tested.slope,
        "mean": tested.counts.mean,
        "size": size,
    }
    statistics = (Statistic("cumulants", (points.shape[1], CUMULANTS), _BOUND),)
    ask = Ask("case-control-cumulants", statistics, null.broadcast(), tested.rows, per_variant)
    out = np.concatenate([sums["cumulants"] for _, sums in summer.blocks(ask)])
    return out * _scales(points, size)


def _scales(points: FloatArray, size: FloatArray) -> FloatArray:
    """What cumulants are divided by for their journey, so that one bound holds for all: (variants, points, `CUMULANTS`)."""
    t, a = np.abs(np.nan_to_num(points)), np.broadcast_to(size[:, None], points.shape)
    return np.stack([t * t * a, t * a, a, a**1.5, a**2], axis=2)


def residual_genotypes(
    genotypes: Genotypes, rows: IntArray, mean: FloatArray, slope: FloatArray, z: FloatArray
) -> Iterator[tuple[slice, FloatArray, np.ndarray]]:
    """Genotypes after the covariates were taken out, some rows at a time: (which, (variants, people) g − Z·slope, missing)."""
    few = max(1, ROWS_BYTES // (8 * max(1, len(z))))
    for start in range(0, len(rows), few):
        cut = slice(start, min(len(rows), start + few))
        dosages = genotypes.dosages(rows[cut])
        missing = np.isnan(dosages)
        yield cut, np.where(missing, mean[cut, None], dosages) - slope[cut] @ z.T, missing


@local_step("case-control-cumulants")
def _local_cumulants(
    data: LocalData, broadcast: Mapping[str, AnyArray], rows: IntArray | None, more: Mapping[str, AnyArray]
) -> Sums:
    assert rows is not None
    people = local_whitened(data, broadcast)
    points = more["points"]
    out = np.zeros((len(rows), points.shape[1], CUMULANTS))
    for cut, a, _ in residual_genotypes(data.genotypes, rows, more["mean"], more["slope"], people.z):
        out[cut] = cumulants(a, people.mu, points[cut])
    scales = _scales(points, more["size"])
    return {"cumulants": np.divide(out, scales, out=np.zeros_like(out), where=scales > 0)}
