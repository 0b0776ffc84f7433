"""Saddlepoint p-values and Firth's estimates of variants that need them, from few sums over all nodes.

Both look for a point on the same function of a variant, the cumulants of its score under the null model, so that both are
found in the same rounds: the two tails' saddlepoints, and Firth's estimate of the effect with the covariates held.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cohelix.analysis.basis import derived, slack
from cohelix.analysis.case_control import Null, Tested, local_whitened
from cohelix.analysis.data import Genotypes, LocalData
from cohelix.analysis.steps import AnyArray, Ask, Statistic, Summer, Sums, local_step
from cohelix.core.arrays import BoolArray, FloatArray, IntArray
from cohelix.stats.saddlepoint import (
    CUMULANTS,
    Carriers,
    Roots,
    bare_cumulants,
    carrier_cumulants,
    cumulants,
    cutoffs,
    firth_gain,
    firth_score,
    list_carriers,
    log_tail,
)
from cohelix.stats.thresholds import limit

ROWS_BYTES = 16 * 1024 * 1024  # of genotypes that a step holds at once
_PEOPLE = 2048  # of one step through memory
_ROUNDS_MAX = 60
_UPPER, _LOWER, _EFFECT = range(3)
# With Σa² ≤ A: K ≤ t²A/8 (Hoeffding), |K'| ≤ |t|A/4, K'' ≤ A/4, |K'''| ≤ A^1.5·√3/18, |K''''| ≤ A²/8; parts obey them, too.
# What carriers add is a difference of two such sums.
_BOUND = slack(1) / 2
_MOMENTS_COVARIATES = 32
# The fifth-order term of people without a copy is below this, over 120, in the logarithm of p.
_FIFTH_ORDER = 3e-5
_LISTED_MOST = 2_000_000  # carriers kept for the next rounds: 32 MB
_LISTED_ROW = 25  # a row takes as much memory as so many carriers, however few it has
_CARRIERS_SHARE = 0.25  # of all people; with more it is as fast to go through everybody
_ODD_SIGNS = np.array([1.0, -1.0, 1.0, -1.0, 1.0])


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


@dataclass(frozen=True)
class Moments:
    """Higher cumulants of the null model: what people without a copy add to a rare variant's score.

    `third` and `fourth` as in `stats.saddlepoint.bare_cumulants`; empty where there are too many covariates for them.
    """

    third: FloatArray
    fourth: FloatArray


def fit_moments(summer: Summer, null: Null) -> Moments:
    """The moments of a null model, one sum over people."""
    pairs = null.p * (null.p + 1) // 2
    if null.p > _MOMENTS_COVARIATES:
        return Moments(np.zeros((0, null.p)), np.zeros((0, pairs)))
    # |κ₃|, |κ₄| ≤ w; Σ w·z² = 1 and no |z| is longer than its column, which Q makes as long as M's.
    longest = float(np.sqrt((null.root**2).sum(axis=0)).max())
    statistics = (
        Statistic("third", (pairs, null.p), slack(1) * longest),
        Statistic("fourth", (pairs, pairs), slack(1) * longest**2),
    )
    sums = summer.sum(Ask("case-control-moments", statistics, null.broadcast()))
    return Moments(sums["third"], sums["fourth"])


def correct(summer: Summer, null: Null, moments: Moments, tested: Tested, *, effects: bool, lattice: bool = True) -> Corrected:
    """Saddlepoint p-values of variants, and Firth's effects where asked.

    Parameters
    ----------
    moments
        Of the null model.
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
        answer = _cumulants(summer, null, moments, tested.taken(asked), points)
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


def _cumulants(summer: Summer, null: Null, moments: Moments, tested: Tested, points: FloatArray) -> FloatArray:
    """(variants, points, `CUMULANTS`) cumulants of the scores at these points, over all nodes."""
    out = np.empty((*points.shape, CUMULANTS))
    few = _by_carriers(null, moments, tested, points)
    for chosen, step in ((few, "case-control-carriers"), (~few, "case-control-cumulants")):
        if not chosen.any():
            continue
        # Counted is the rarer allele; the other one's score has the same cumulants but for the sign.
        turned = tested.counts.mean[chosen] > 1
        some = tested.taken(chosen).turned(turned, null)
        t = np.where(turned[:, None], -points[chosen], points[chosen])
        size = some.length_squared(null)
        per_variant = {
            "points": t,
            "slope": some.slope,
            "mean": some.counts.mean,
            "size": size,
            "turned": turned.astype(np.int64),
        }
        statistics = (Statistic("cumulants", (points.shape[1], CUMULANTS), _BOUND),)
        ask = Ask(step, statistics, null.broadcast(), some.rows, per_variant)
        sums = np.concatenate([opened["cumulants"] for _, opened in summer.blocks(ask)]) * _scales(t, size)
        if step == "case-control-carriers":
            sums += bare_cumulants(some.slope, t, moments.third, moments.fourth)
        sums[turned] *= _ODD_SIGNS
        out[chosen] = sums
    return out


def _by_carriers(null: Null, moments: Moments, tested: Tested, points: FloatArray) -> BoolArray:
    """(variants,) bool: where carriers and moments suffice, what they leave out being far below what p-values can show."""
    counts = tested.counts
    if not len(moments.third):
        return np.zeros(len(tested), np.bool_)
    rarer = tested.turned(counts.mean > 1, null)
    reach = np.nanmax(np.abs(points), axis=1) * np.sqrt((rarer.slope**2).sum(axis=1))
    listed = counts.n - rarer.counts.n0
    return np.asarray((reach**5 <= limit(_FIFTH_ORDER) * null.weight**1.5) & (listed < _CARRIERS_SHARE * counts.n), np.bool_)


def _scales(points: FloatArray, size: FloatArray) -> FloatArray:
    """What cumulants are divided by for their journey, so that one bound holds for all: (variants, points, `CUMULANTS`)."""
    t, a = np.abs(np.nan_to_num(points)), np.broadcast_to(size[:, None], points.shape)
    return np.stack([t * t * a, t * a, a, a**1.5, a**2], axis=2)


def _pieces(rows: int, people: int) -> Iterator[slice]:
    """Stretches of rows whose dosages memory holds."""
    few = max(1, ROWS_BYTES // (8 * max(1, people)))
    for start in range(0, rows, few):
        yield slice(start, min(rows, start + few))


def _scaled(sums: FloatArray, more: Mapping[str, AnyArray]) -> FloatArray:
    """Cumulants as they travel; 0 where nothing is asked."""
    scales = _scales(more["points"], more["size"])
    return np.divide(sums, scales, out=np.zeros_like(sums), where=scales > 0)


def residual_genotypes(
    genotypes: Genotypes, rows: IntArray, more: Mapping[str, AnyArray], z: FloatArray
) -> Iterator[tuple[slice, FloatArray, BoolArray]]:
    """Genotypes after the covariates were taken out, some rows at a time.

    `more` has, for each row, its `slope` on z, the `mean` that missing dosages count as, and whether it is `turned`.

    Yields
    ------
    Which of the rows, (rows, people) g − z·slope, and (rows, people) who has no call.
    """
    for cut in _pieces(len(rows), len(z)):
        dosages = _dosages(genotypes, rows[cut], more["turned"][cut])
        missing = np.asarray(np.isnan(dosages), np.bool_)
        yield cut, np.where(missing, more["mean"][cut, None], dosages) - more["slope"][cut] @ z.T, missing


def _dosages(genotypes: Genotypes, rows: IntArray, turned: IntArray) -> FloatArray:
    """(rows, people) copies of ALT, or of REF where `turned`; NaN where missing."""
    dosages = genotypes.dosages(rows)
    dosages[turned > 0] = 2 - dosages[turned > 0]
    return dosages


class _Listed:
    """Carriers of variants that a node was asked for, kept for the next rounds: oldest go first. Safe for many threads."""

    def __init__(self) -> None:
        self._rows: dict[int, tuple[IntArray, FloatArray]] = {}
        self._entries = 0
        self._lock = threading.Lock()

    def carriers(self, genotypes: Genotypes, rows: IntArray, mean: FloatArray, turned: IntArray) -> Carriers:
        """Carriers of the rarer allele, which is REF where `turned`, and people without a call as the mean."""
        keys = (2 * rows + turned).tolist()
        with self._lock:
            known = {key: self._rows[key] for key in keys if key in self._rows}
        new = np.flatnonzero([key not in known for key in keys])
        if len(new):
            listed = list_carriers(_dosages(genotypes, rows[new], turned[new]))
            for number, place in enumerate(new.tolist()):
                cut = slice(listed.starts[number], listed.starts[number + 1])
                known[keys[place]] = listed.people[cut], listed.copies[cut]
            self._keep({keys[place]: known[keys[place]] for place in new.tolist()})
        found = [known[key] for key in keys]
        starts = np.concatenate([[0], np.cumsum([len(people) for people, _ in found])]).astype(np.int64)
        people, copies = (np.concatenate([one[part] for one in found]) for part in (0, 1))
        return Carriers(starts, people, np.where(np.isnan(copies), np.repeat(mean, np.diff(starts)), copies))

    def _keep(self, rows: Mapping[int, tuple[IntArray, FloatArray]]) -> None:
        with self._lock:
            for key, (people, copies) in rows.items():
                if key not in self._rows:
                    self._rows[key] = people.copy(), copies.copy()
                    self._entries += len(people) + _LISTED_ROW
            while self._entries > _LISTED_MOST:
                oldest = next(iter(self._rows))
                self._entries -= len(self._rows.pop(oldest)[0]) + _LISTED_ROW


@local_step("case-control-carriers")
def _local_carriers(
    data: LocalData, broadcast: Mapping[str, AnyArray], rows: IntArray | None, more: Mapping[str, AnyArray]
) -> Sums:
    assert rows is not None
    people = local_whitened(data, broadcast)
    listed = derived(data, "carriers", {}, (), _Listed)
    out = np.zeros((*more["points"].shape, CUMULANTS))
    for cut in _pieces(len(rows), data.n):
        carriers = listed.carriers(data.genotypes, rows[cut], more["mean"][cut], more["turned"][cut])
        out[cut] = carrier_cumulants(carriers, more["slope"][cut], people.z, people.mu, more["points"][cut])
    return {"cumulants": _scaled(out, more)}


@local_step("case-control-moments")
def _local_moments(
    data: LocalData, broadcast: Mapping[str, AnyArray], _rows: IntArray | None, _more: Mapping[str, AnyArray]
) -> Sums:
    people = local_whitened(data, broadcast)
    p = people.z.shape[1]
    first, second = np.triu_indices(p)
    third, fourth = np.zeros((len(first), p)), np.zeros((len(first), len(first)))
    for start in range(0, data.n, _PEOPLE):
        z, mu = people.z[start : start + _PEOPLE], people.mu[start : start + _PEOPLE]
        w = mu * (1 - mu)
        pairs = z[:, first] * z[:, second]
        third += pairs.T @ (z * (w * (1 - 2 * mu))[:, None])
        fourth += pairs.T @ (pairs * (w * (1 - 6 * w))[:, None])
    return {"third": third, "fourth": fourth}


@local_step("case-control-cumulants")
def _local_cumulants(
    data: LocalData, broadcast: Mapping[str, AnyArray], rows: IntArray | None, more: Mapping[str, AnyArray]
) -> Sums:
    assert rows is not None
    people = local_whitened(data, broadcast)
    points = more["points"]
    out = np.zeros((len(rows), points.shape[1], CUMULANTS))
    for cut, a, _ in residual_genotypes(data.genotypes, rows, more, people.z):
        out[cut] = cumulants(a, people.mu, points[cut])
    return {"cumulants": _scaled(out, more)}
