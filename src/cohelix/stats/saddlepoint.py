"""Tail probabilities of a score by saddlepoint, and the roots that it and Firth's estimate of one effect need.

Under the null model the score S = Σ a(y − μ) has the cumulant function K(t) = Σ log(1 − μ + μ·e^{ta}) − t·Σ aμ. A tail
probability needs K, K' and K'' where K' equals the cutoff (Lugannani and Rice 1980; Barndorff-Nielsen's form). A genotype
counts copies, so S moves in steps; Daniels' second correction for lattices is made (Daniels 1987, Int Stat Rev 55:37).
The same sums fit one effect β with the covariates held: the log-likelihood gained is β·S − K(β), its information K''(β),
and Firth's penalised score S − K'(β) + K'''(β)/(2K''(β)).
"""

# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# The types of the compiled loop stand in its Numba signature.

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import types
from scipy.special import log_ndtr

from cohelix.core.arrays import BoolArray, FloatArray, IntArray
from cohelix.stats.compiled import kernel
from cohelix.stats.numba_start import njit
from cohelix.stats.thresholds import limit

CUMULANTS = 5  # K, K', K'', K''', K''''
_T_MAX = 40.0  # e^40 for each copy: whoever is beyond it has a tail that is nothing
_CLOSE = 1e-9  # of a standard deviation
_matrix = types.Array(types.float64, 2, "C", readonly=True)
_vector = types.Array(types.float64, 1, "C", readonly=True)
_ints = types.Array(types.int64, 1, "C", readonly=True)


@njit(inline="always", nogil=True)
def _tilted(x, m, at):
    """(1 − μ + μ·e^{tx}, the probability that it leads to)."""
    grown = m * np.exp(min(max(at * x, -150.0), 150.0))
    total = 1.0 - m + grown
    return total, grown / total


@kernel(types.void(_matrix, _vector, _matrix, types.float64[:, :, ::1]))
def _cumulants(a, mu, t, out):
    for row in range(a.shape[0]):
        for point in range(t.shape[1]):
            at = t[row, point]
            if np.isnan(at):
                continue
            logs = centre = k1 = k2 = k3 = k4 = 0.0
            product = 1.0
            for person in range(a.shape[1]):
                x = a[row, person]
                m = mu[person]
                total, pi = _tilted(x, m, at)
                # Four factors of at most e^150 each stay within float64; one logarithm then does for them all.
                product *= total
                if person & 3 == 3:
                    logs += np.log(product)
                    product = 1.0
                w = pi * (1.0 - pi)
                centre += x * m
                k1 += x * (pi - m)
                xx = x * x
                k2 += xx * w
                k3 += xx * x * w * (1.0 - 2.0 * pi)
                k4 += xx * xx * w * (1.0 - 6.0 * w)
            out[row, point, 0] = logs + np.log(product) - at * centre
            out[row, point, 1] = k1
            out[row, point, 2] = k2
            out[row, point, 3] = k3
            out[row, point, 4] = k4


@kernel(types.void(_ints, _ints, _vector, _matrix, _matrix, _vector, _matrix, types.float64[:, :, ::1]))
def _carriers(starts, people, copies, slope, z, mu, t, out):  # noqa: PLR0917 - a compiled loop takes its arrays one by one
    for row in range(t.shape[0]):
        for entry in range(starts[row], starts[row + 1]):
            person = people[entry]
            m = mu[person]
            taken = 0.0
            for column in range(z.shape[1]):
                taken += z[person, column] * slope[row, column]
            x = copies[entry] - taken
            for point in range(t.shape[1]):
                at = t[row, point]
                if np.isnan(at):
                    continue
                total, pi = _tilted(x, m, at)
                other, rho = _tilted(-taken, m, at)
                v, w = rho * (1.0 - rho), pi * (1.0 - pi)
                xx, uu = x * x, taken * taken
                out[row, point, 0] += np.log(total / other) - at * copies[entry] * m
                out[row, point, 1] += x * (pi - m) + taken * (rho - m)
                out[row, point, 2] += xx * w - uu * v
                out[row, point, 3] += xx * x * w * (1.0 - 2.0 * pi) + uu * taken * v * (1.0 - 2.0 * rho)
                out[row, point, 4] += xx * xx * w * (1.0 - 6.0 * w) - uu * uu * v * (1.0 - 6.0 * v)


def cumulants(a: FloatArray, mu: FloatArray, t: FloatArray) -> FloatArray:
    """K and its first four derivatives.

    Parameters
    ----------
    a
        (variants, people) what a case adds to the score.
    mu
        (people,) probability of being a case under the null model.
    t
        (variants, points); NaN where nothing is wanted.

    Returns
    -------
    (variants, points, `CUMULANTS`) float64; 0 where t is NaN.
    """
    out = np.zeros((*t.shape, CUMULANTS))
    _cumulants(np.ascontiguousarray(a), np.ascontiguousarray(mu), np.ascontiguousarray(t), out)
    return out


class Carriers(NamedTuple):
    """Who has copies of the rarer allele of some variants, or no call.

    `starts` (variants + 1,) int64 into `people` (entries,) int64 and `copies` (entries,) float64, a missing call as what it
    counts for.
    """

    starts: IntArray
    people: IntArray
    copies: FloatArray


@kernel(types.int64(_matrix, types.int64[::1], types.int64[::1], types.float64[::1]))
def _list(dosages, starts, people, copies):
    at = 0
    for row in range(dosages.shape[0]):
        for person in range(dosages.shape[1]):
            if dosages[row, person] != 0.0:  # NaN is not 0
                if at < people.size:
                    people[at] = person
                    copies[at] = dosages[row, person]
                at += 1
        starts[row + 1] = at
    return at


def list_carriers(dosages: FloatArray) -> Carriers:
    """Who is not 0 in (variants, people) dosages; a missing call is listed as NaN."""
    starts = np.zeros(len(dosages) + 1, np.int64)
    room = dosages.size // 16
    while True:
        people, copies = np.empty(room, np.int64), np.empty(room)
        found = _list(dosages, starts, people, copies)
        if found <= room:
            return Carriers(starts, people[:found], copies[:found])
        room = found


def carrier_cumulants(carriers: Carriers, slope: FloatArray, z: FloatArray, mu: FloatArray, t: FloatArray) -> FloatArray:
    """What carriers add to the cumulants that everybody would have without a copy (`bare_cumulants`).

    Parameters
    ----------
    slope, z
        (variants, p) and (people, p): a = copies − z·slope.
    mu, t
        As in `cumulants`, and so is what is returned.
    """
    out = np.zeros((*t.shape, CUMULANTS))
    slope, z, mu, t = (np.ascontiguousarray(one) for one in (slope, z, mu, t))
    _carriers(carriers.starts, carriers.people, carriers.copies, slope, z, mu, t, out)
    return out


def bare_cumulants(slope: FloatArray, t: FloatArray, third: FloatArray, fourth: FloatArray) -> FloatArray:
    """Cumulants of the score of a variant without a carrier, a = −z·slope, to the fourth order in t·slope.

    Parameters
    ----------
    slope
        (variants, p) on covariates z whose information under the null is the identity.
    third, fourth
        (p(p+1)/2, p) Σ κ₃·zz·z and (p(p+1)/2, p(p+1)/2) Σ κ₄·zz·zz over people, pairs in the order of an upper triangle; κ
        are the cumulants of a person's being a case.
    """
    rows, columns = np.triu_indices(slope.shape[1])
    pairs = slope[:, rows] * slope[:, columns] * np.where(rows == columns, 1.0, 2.0)
    c2 = (slope**2).sum(axis=1)[:, None]
    c3 = -((pairs @ third) * slope).sum(axis=1)[:, None]
    c4 = ((pairs @ fourth) * pairs).sum(axis=1)[:, None]
    return np.stack(
        [
            t**2 * (c2 / 2 + t * (c3 / 6 + t * c4 / 24)),
            t * (c2 + t * (c3 / 2 + t * c4 / 6)),
            c2 + t * (c3 + t * c4 / 2),
            c3 + t * c4,
            np.broadcast_to(c4, t.shape),
        ],
        axis=2,
    )


class Roots:
    """Newton's steps, held within a bracket, for many roots of one rising function each; the caller evaluates it.

    Parameters
    ----------
    start
        (roots,) first guesses.
    low, high
        (roots,) where the root cannot lie below and above; infinite where that is not known.

    Attributes
    ----------
    at
        (roots,) where to evaluate next; of those that were found, the root.
    open
        (roots,) still looked for.
    found
        (roots,) found; neither open nor found where the function does not reach 0 within ±40.
    """

    def __init__(self, start: FloatArray, low: FloatArray, high: FloatArray) -> None:
        self.at = np.clip(start, -_T_MAX, _T_MAX)
        self._low, self._high = low.copy(), high.copy()
        self.open: BoolArray = np.isfinite(start)
        self.found: BoolArray = np.zeros(len(start), np.bool_)

    def step(self, which: np.ndarray, value: FloatArray, slope: FloatArray, scale: FloatArray) -> None:
        """Go on from the function's value and slope at `at[which]`; a value of less than 1e-9 of `scale` is 0."""
        at, low, high = self.at[which], self._low[which], self._high[which]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            reached = np.abs(value) <= limit(_CLOSE, 1e-4) * scale
            low, high = np.where(value < 0, at, low), np.where(value > 0, at, high)
            newton = at - value / slope
            # Where one end is open, a step may double the distance from the middle, no more.
            newton = np.clip(newton, np.maximum(-2 * np.abs(at) - 1, -_T_MAX), np.minimum(2 * np.abs(at) + 1, _T_MAX))
            middle = np.where(np.isfinite(low) & np.isfinite(high), (low + high) / 2, np.where(value < 0, at + 1, at - 1))
            outside = ~((newton > low) & (newton < high))
            following = np.where(outside, middle, newton)
        lost = ~reached & (((at >= _T_MAX) & (value < 0)) | ((at <= -_T_MAX) & (value > 0)) | ~np.isfinite(value))
        spent = (
            ~reached & np.isfinite(low) & np.isfinite(high) & (high - low <= limit(4e-16, 0.5) * np.maximum(1.0, np.abs(at)))
        )
        done = reached | lost | spent
        self.found[which] = reached | (spent & ~lost)
        self.open[which] = ~done
        self._low[which], self._high[which] = low, high
        self.at[which] = np.where(done, at, np.clip(following, -_T_MAX, _T_MAX))


def firth_score(score: FloatArray, sums: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(value, slope) of K'(β) − S − K'''/(2K''), which rises through 0 at Firth's estimate; sums (n, `CUMULANTS`)."""
    k1, k2, k3, k4 = (sums[:, number] for number in range(1, CUMULANTS))
    with np.errstate(divide="ignore", invalid="ignore"):
        value = k1 - score - k3 / (2 * k2)
        slope = k2 - (k4 / k2 - (k3 / k2) ** 2) / 2
    return value, np.where(slope > limit(0.2) * k2, slope, k2)


def firth_gain(score: FloatArray, at: FloatArray, sums: FloatArray, variance: FloatArray) -> FloatArray:
    """Penalised likelihood-ratio statistic of β = `at` against 0; `variance` is K''(0)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(2 * (at * score - sums[:, 0]) + np.log(sums[:, 2] / variance), np.float64)


def cutoffs(score: FloatArray, step: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Where the two tails begin, half a lattice step before the first value that counts.

    Parameters
    ----------
    score
        (n,) observed S, itself a value of the lattice.
    step
        (n,) distance of neighbouring values of the lattice; 0 for none.

    Returns
    -------
    (upper, lower), (n,) each: P(S ≥ |s|) begins at upper, P(S ≤ −|s|) ends at lower.
    """
    size, side = np.abs(score), np.where(score < 0, -1.0, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Values that equal −s but for rounding count with it.
        beyond = np.where(step > 0, step * np.ceil(2 * size / step - 1e-7), 2 * size)
    near, far = side * (size - step / 2), side * (size - beyond + step / 2)
    return np.where(score < 0, far, near), np.where(score < 0, near, far)


def log_tail(t: FloatArray, cutoff: FloatArray, sums: FloatArray, step: FloatArray, *, upper: bool) -> FloatArray:
    """Natural logarithm of P(S ≥ cutoff), or of P(S ≤ cutoff) where not `upper`.

    Parameters
    ----------
    t
        (n,) where K'(t) = cutoff.
    sums
        (n, `CUMULANTS`) there.
    step
        (n,) of the lattice; 0 for none.
    """
    k0, k2, k3 = sums[:, 0], sums[:, 2], sums[:, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        w = np.sign(t) * np.sqrt(np.maximum(0.0, 2 * (t * cutoff - k0)))
        half = step * t / 2
        stretched = np.where(np.abs(half) > 1e-8, t * np.sinh(half) / half, t)
        u = stretched * np.sqrt(k2)
        r = np.where(np.abs(w) > 1e-4, w + np.log(u / w) / w, w - k3 / (6 * k2**1.5))
    return np.asarray(log_ndtr(-r if upper else r), np.float64)
