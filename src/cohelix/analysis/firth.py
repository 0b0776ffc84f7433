"""Logistic regression of each variant with the covariates fitted anew: Firth's penalised likelihood, or the plain one.

A round sums, for each variant, the information and the score at the present coefficients. Firth's penalty enters a person's
score through h = w·x'I⁻¹x, for which nodes are told the pooled inverse information of the round before: when coefficients
stand still, so does it, and the fit is the one of all people together. Rare variants, where a carrier's h is large, come to
rest sooner with a round in between that only renews it. Designs are the whitened covariates Z and the
genotype that is left after them, in units in which its score under the null has variance 1; estimates do not depend on that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from cohelix.analysis.basis import slack
from cohelix.analysis.case_control import Null, Tested, local_whitened
from cohelix.analysis.data import LocalData
from cohelix.analysis.saddlepoint import residual_genotypes
from cohelix.analysis.steps import AnyArray, Ask, Statistic, Summer, Sums, local_step
from cohelix.core.arrays import BoolArray, FloatArray, IntArray
from cohelix.stats.logistic import ETA_MAX, design_sums, unpacked, upper
from cohelix.stats.thresholds import limit

_ROUNDS_MAX = {True: 80, False: 30}  # penalised or not; whose likelihood has no maximum needs the most
_CLOSE = 1e-9  # of a standard error, what the next step would move
_STEP_MAX = 20.0  # standard errors under the null
_NOTHING = 1e-10  # information of a direction about which people with a call say nothing
_CHUNK_NUMBERS = 1 << 22  # of the informations of the variants that are fitted together: 32 MiB
_WORSE = 1e-7  # a likelihood that falls by less has not fallen
_LEAST_VARIANCE = 1e-7  # of the score, for each unit of Σ a²: with less, carriers have no chance to be either
# Expected copies of the rarer allele in the smaller group: with fewer, h is renewed before each step; else after some rounds.
_RENEWED_COPIES, _RENEWED_ROUNDS = 30, 15
_FREE, _RESTRICTED = range(2)


class Fitted(NamedTuple):
    """Of some variants, (variants,) each; NaN where the fit did not come to rest (a likelihood without a maximum).

    `gain` is the (penalised) likelihood-ratio statistic against no effect, chi² with one degree of freedom; NaN where not
    asked.
    """

    beta: FloatArray
    standard_error: FloatArray
    gain: FloatArray


def fit_variants(summer: Summer, null: Null, tested: Tested, *, penalised: bool, ratio: bool, complete_case: bool) -> Fitted:
    """Fit every variant together with the covariates.

    Parameters
    ----------
    penalised
        Firth's likelihood; else the plain one (Wald's tests).
    ratio
        Whether the restricted fit is made, too, for the likelihood ratio.
    complete_case
        People without a call are left out of this variant's fit; else they count as the mean.
    """
    q = null.p + 1
    few = max(64, _CHUNK_NUMBERS // (q * q))
    parts = []
    for at in range(0, len(tested), few):
        some = tested.taken(np.arange(at, min(len(tested), at + few)))
        parts.append(_fit_some(summer, null, some, penalised=penalised, ratio=ratio, complete_case=complete_case))
    none = np.zeros(0)
    return (
        Fitted(*(np.concatenate([none, *columns]) for columns in zip(*parts, strict=True)))
        if parts
        else Fitted(none, none, none)
    )


def _fit_some(summer: Summer, null: Null, tested: Tested, *, penalised: bool, ratio: bool, complete_case: bool) -> Fitted:
    """`fit_variants` of so many as memory holds."""
    q, fits = null.p + 1, 2 if ratio else 1
    # Counted is the rarer allele: nothing cancels when the constant is taken out of it.
    turned = tested.counts.mean > 1
    tested = tested.turned(turned, null)
    size = tested.length_squared(null)
    able = tested.variance > limit(_LEAST_VARIANCE, 1e-6) * size
    smaller = min(null.cases, null.n - null.cases) / null.n
    renewed = penalised & (tested.minor_copies * smaller < limit(_RENEWED_COPIES))
    search = _Search(fits, q, able, renewed, lagging=penalised)
    scale = np.where(able, 1 / np.sqrt(np.where(able, tested.variance, 1.0)), 0.0)
    longest = max(float(np.sqrt((null.root**2).sum(axis=0)).max()), float((scale * np.sqrt(size)).max(initial=0.0)))
    for _ in range(_ROUNDS_MAX[penalised]):
        asked = np.flatnonzero(search.open.any(axis=1))
        if not len(asked):
            break
        per_variant = {
            "coefficients": np.where(search.open[:, :, None], search.at, np.nan)[asked],
            "slope": tested.slope[asked],
            "mean": tested.counts.mean[asked],
            "scale": scale[asked],
            "turned": turned[asked].astype(np.int64),
        }
        if penalised:
            per_variant["inverse"] = search.inverse[asked]
        ask = Ask(
            "case-control-fit",
            _statistics(null, q, fits, longest),
            null.broadcast() | {"complete_case": np.asarray(int(complete_case), np.int64)},
            tested.rows[asked],
            per_variant,
        )
        blocks = [sums for _, sums in summer.blocks(ask)]
        sums = {name: np.concatenate([one[name] for one in blocks]) for name in blocks[0]}
        search.step(asked, sums, penalised=penalised)
    return search.fitted(scale, np.where(turned, -1.0, 1.0), ratio=ratio)


def _statistics(null: Null, q: int, fits: int, longest: float) -> tuple[Statistic, ...]:
    """What a round sums, `longest` being the length of the longest column of a design.

    A weight is at most ¼, h at most 1, and |y − π + h(½ − π)| at most 1.5.
    """
    packed = q * (q + 1) // 2
    square = longest**2 * slack(1)
    return (
        Statistic("information", (fits, packed), square / 4),
        Statistic("curvature", (fits, packed), square / 2),
        Statistic("score", (fits, q), 1.5 * longest * np.sqrt(slack(null.n))),
        Statistic("gain", (fits,), null.n * (ETA_MAX + 1)),
    )


class _Search:
    """Newton's steps of many fits, halved where the likelihood falls."""

    def __init__(self, fits: int, q: int, able: BoolArray, renewed: BoolArray, *, lagging: bool) -> None:
        many = len(able)
        self._q = q
        self._stale = np.repeat(renewed[:, None], fits, axis=1)
        self._renewed, self._lagging = renewed, lagging
        self.at = np.zeros((many, fits, q))
        self.open: BoolArray = np.repeat(able[:, None], fits, axis=1)
        self._found: BoolArray = np.zeros((many, fits), np.bool_)
        self._best = np.full((many, fits), -np.inf)
        self._kept, self._move = np.zeros((many, fits, q)), np.zeros((many, fits, q))
        self._error = np.full((many, fits), np.nan)
        # Until the first sums are open: the information of the null model, which is 1 in this basis.
        rows, columns = upper(q)
        self.inverse = np.tile((rows == columns).astype(np.float64), (many, fits, 1))
        self._rounds = np.zeros((many, fits), np.int64)

    def step(self, asked: IntArray, sums: Sums, *, penalised: bool) -> None:
        """Go on from what a round summed."""
        for fit in range(self.at.shape[1]):
            inside = np.flatnonzero(self.open[asked, fit])
            if len(inside):
                self._step(fit, asked[inside], {name: array[inside, fit] for name, array in sums.items()}, penalised)

    def _step(self, fit: int, which: IntArray, sums: Mapping[str, FloatArray], penalised: bool) -> None:
        q = self._q
        free = q if fit == _FREE else q - 1
        information, curvature = unpacked(sums["information"], q), unpacked(sums["curvature"], q)
        inverse, logarithm, told = _pseudo_inverse(information)
        worth = sums["gain"] + (logarithm / 2 if penalised else 0.0)
        at = self.at[which, fit]
        # A step that made things worse is halved, from where it began.
        fallen = (worth < self._best[which, fit] - limit(_WORSE, 1e-3) * (1 + np.abs(worth))) | ~told
        move = np.zeros((len(which), q))
        score = sums["score"][:, :free]
        move[:, :free] = (_pseudo_inverse(curvature[:, :free, :free])[0] @ score[:, :, None])[:, :, 0]
        left = np.sqrt(np.maximum(0.0, (move[:, :free] * score).sum(axis=1)))
        # Steps of a few standard errors are Newton's own; longer ones leave the region that the information describes.
        move *= np.minimum(1.0, _STEP_MAX / np.maximum(left, 1e-300))[:, None]
        move = np.where(fallen[:, None], self._move[which, fit] / 2, move)
        kept = np.where(fallen[:, None], self._kept[which, fit], at)
        rows, columns = upper(q)
        good = ~fallen
        self.inverse[which[good], fit] = inverse[good][:, rows, columns]
        self._error[which[good], fit] = np.sqrt(inverse[good, -1, -1])
        self._best[which[good], fit] = worth[good]
        waiting = good & self._stale[which, fit]  # the same place once more, now that its information is known
        slow = self._rounds[which, fit] >= _RENEWED_ROUNDS
        self._stale[which, fit] = (self._renewed[which] | (slow & self._lagging)) & ~waiting
        move[waiting] = 0.0
        self._kept[which, fit], self._move[which, fit] = kept, move
        self._rounds[which, fit] += 1
        # The information that h rests on is of the round before: it must have stood still, too, which two rounds tell.
        found = good & ~waiting & (left < limit(_CLOSE, 1e-6)) & (self._rounds[which, fit] > 2)
        lost = fallen & (np.abs(move).max(axis=1) < limit(1e-12, 1e-3))
        self._found[which[found], fit] = True
        self.open[which[found | lost], fit] = False
        self.at[which, fit] = np.where(found[:, None], at, kept + move)

    def fitted(self, scale: FloatArray, sign: FloatArray, *, ratio: bool) -> Fitted:
        """The fits that came to rest, in units of the dosage; `sign` is −1 where REF was counted."""
        rest = self._found.all(axis=1)
        beta = np.where(rest, self.at[:, _FREE, -1] * scale * sign, np.nan)
        error = np.where(rest, self._error[:, _FREE] * scale, np.nan)
        gain = np.full(len(beta), np.nan)
        if ratio:
            gain[rest] = 2 * (self._best[rest, _FREE] - self._best[rest, _RESTRICTED])
        return Fitted(beta, error, gain)


def _pseudo_inverse(matrices: FloatArray) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Of (n, q, q) informations: inverses and log-determinants over the directions about which there is information, and
    whether the last column, the genotype, is not among the others.

    A covariate that marks the people of one node says nothing of a variant that this node does not have.
    """
    finite = np.asarray(np.isfinite(matrices).all(axis=(1, 2)), np.bool_)
    values, vectors = np.linalg.eigh(np.where(finite[:, None, None], matrices, 0.0))
    kept = values > limit(_NOTHING, 1e-3)
    inverse = np.where(kept, 1 / np.where(kept, values, 1.0), 0.0)
    logarithm = np.where(kept, np.log(np.where(kept, values, 1.0)), 0.0).sum(axis=1)
    inverses = vectors @ (inverse[:, :, None] * vectors.transpose(0, 2, 1))
    return inverses, logarithm, np.asarray(finite & ((np.abs(vectors[:, -1, :]) < limit(1e-5, 1e-6)) | kept).all(axis=1))


@local_step("case-control-fit")
def _fit(data: LocalData, broadcast: Mapping[str, AnyArray], rows: IntArray | None, more: Mapping[str, AnyArray]) -> Sums:
    assert rows is not None
    people = local_whitened(data, broadcast)
    complete_case = bool(broadcast["complete_case"])
    parts = []
    for cut, a, missing in residual_genotypes(data.genotypes, rows, more, people.z):
        parts.append(
            design_sums(
                people.z,
                people.eta,
                people.y,
                a * more["scale"][cut, None],
                ~missing if complete_case else np.ones_like(missing),
                coefficients=more["coefficients"][cut],
                inverse=more["inverse"][cut] if "inverse" in more else None,
            )
        )
    return {name: np.concatenate([getattr(one, name) for one in parts]) for name in parts[0]._fields}
