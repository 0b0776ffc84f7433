"""What a dataset's answers would tell an attacker about who is in it: predicted power, simulated attacks, prices (pure).

Power is the area under the ROC curve (AUC) of an attacker who holds somebody's whole genome, knows the population's
frequencies, and says whether the person is in the dataset: 0.5 is guessing, 1 is certainty.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cohelix.core.arrays import BoolArray, FloatArray, IntArray

REGISTERED_POWER_MAX: Final = 0.55  # the AUC that all answers to one registered person may add up to
ORGANISATION_POWER_MAX: Final = 0.60  # all people of one organisation together: what everybody might be told
COMMON_FREQUENCY: Final = 0.04  # an allele that is at least so frequent costs the unit: 5 % less what a small dataset may miss
REGISTERED_FREQUENCY: Final = 0.03  # below it, registered people are told of no allele
# The price of an answer that withholds, and of every rare allele: what the rarest that is told tells about its carriers.
WITHHELD: Final = (1 - 2 * REGISTERED_FREQUENCY) ** 2 / (2 * REGISTERED_FREQUENCY * (1 - REGISTERED_FREQUENCY))
_SQUARED_CORRELATION_MAX: Final = 0.2  # two variants above it are one, as in pruning for components
_CERTAIN: Final = 12.0  # of the statistic's mean over its deviation: the AUC is 1 to double precision
_SMALLEST: Final = 1e-3

_NORMAL = NormalDist()


class Item(NamedTuple):
    """Something that an answer tells: a name that is the same for the same content, and its price in independent variants."""

    name: str
    price: float


class Simulated(NamedTuple):
    """An attack that was tried: its AUC, and half the width of its 95 % confidence interval."""

    auc: float
    half_width: float


def power(n_independent: float, n_people: int) -> float:
    """AUC Φ(√(m / 2n)) of the likelihood ratio on exact frequencies of m independent variants among n people.

    References
    ----------
    Sankararaman, Obozinski, Jordan and Halperin 2009, Nat Genet 41:965.
    """
    if n_independent <= 0:
        return 0.5
    if n_people <= 0:
        return 1.0
    return _NORMAL.cdf(min(math.sqrt(n_independent / (2 * n_people)), _CERTAIN))


def power_of_spending(spent: float) -> float:
    """AUC after answers of `spent` independent variants for each person."""
    return _NORMAL.cdf(min(math.sqrt(max(spent, 0.0) / 2), _CERTAIN))


def spending_at(power_max: float) -> float:
    """How many independent variants for each person may be told until the AUC is `power_max`; the inverse of `power`."""
    return 2.0 * _NORMAL.inv_cdf(power_max) ** 2 if power_max > 0.5 else 0.0


def price(allele_count: IntArray, allele_number: IntArray) -> FloatArray:
    """What it costs to be told of variants, in independent variants: a function of the told counts alone.

    A common variant tells 1/n of the squared distance on average over people, which is the unit. Of a rarer one somebody may
    ask because a certain person carries it: it costs what it tells about a carrier, (1 - 2p)² / 2pq times as much. Answers that
    withhold cost as much as the dearest that tells (`WITHHELD`), so neither an answer nor its cost tells more than was paid.

    Parameters
    ----------
    allele_count, allele_number
        (variants,) int64.

    Returns
    -------
    (variants,) float64, 1 or `WITHHELD`.
    """
    common = (allele_number > 0) & (allele_count >= COMMON_FREQUENCY * allele_number)
    return np.where(common, 1.0, WITHHELD)


def told_to_registered(allele_count: IntArray, allele_number: IntArray) -> BoolArray:
    """(variants,) bool: whose ALT is frequent enough for registered people to be told of it. All others are one answer."""
    return np.asarray((allele_number > 0) & (allele_count >= REGISTERED_FREQUENCY * allele_number))


def independent_share(dosages: NDArray[np.floating], *, window: int = 200) -> float:
    """The share of neighbouring variants that is left when each may correlate with no kept one before it (r² < 0.2).

    Parameters
    ----------
    dosages
        (variants, people) copies of ALT in the order of the genome, NaN where missing; neighbours within `window` variants
        are compared. Variants that do not vary take no part.

    Returns
    -------
    Share in (0, 1]; 1 where nothing varies.
    """
    filled = np.asarray(dosages, np.float64)
    known = ~np.isnan(filled)
    means = np.where(known, filled, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    centred = np.where(known, filled - means[:, None], 0.0)
    lengths = np.sqrt((centred**2).sum(axis=1))
    centred = centred[lengths > _SMALLEST] / lengths[lengths > _SMALLEST, None]
    if not len(centred):
        return 1.0
    kept: list[int] = []
    for row in range(len(centred)):
        near = [other for other in kept if row - other < window]
        if not near or float(((centred[near] @ centred[row]) ** 2).max()) < _SQUARED_CORRELATION_MAX:
            kept.append(row)
    return len(kept) / len(centred)


def auc(inside: FloatArray, outside: FloatArray) -> Simulated:
    """Area under the ROC curve of scores of people inside and outside, ties half, with its 95 % interval.

    References
    ----------
    DeLong, DeLong and Clarke-Pearson 1988, Biometrics 44:837.
    """
    if not len(inside) or not len(outside):
        return Simulated(0.5, 0.5)
    by_inside = _below(inside, outside) / len(outside)
    by_outside = 1 - _below(outside, inside) / len(inside)
    area = float(by_inside.mean())
    variance = _variance_of_mean(by_inside) + _variance_of_mean(by_outside)
    return Simulated(area, 1.96 * math.sqrt(variance))


def beacon_attack(copies: IntArray, floor: int, *, queries: int, seed: int) -> Simulated:
    """Rare-first Beacon attack on own genotypes: half of the people are the Beacon, the others are not in it.

    For each person the attacker asks for the person's rarest alleles, where there is a floor those whose answer the person may
    turn, by the frequency among the others without the person; the log likelihood ratios of the answers with and without the
    person are added up. A Beacon of half the people leaks more than the whole, so the figure errs to the careful side.

    Parameters
    ----------
    copies
        (variants, people) int64, 0…2; missing calls as 0.
    floor
        Alleles of fewer carriers are answered like absent ones; below 1 counts as 1.
    queries
        The most that are asked for one person.
    seed
        Of the choice of the half.

    References
    ----------
    Shringarpure and Bustamante 2015, AJHG 97:631; Raisaro et al. 2017, JAMIA 24:799.
    """
    n_people, least = copies.shape[1], max(floor, 1)
    chosen = np.random.default_rng(seed).permutation(n_people)
    half = n_people // 2
    inside, outside = chosen[:half], chosen[half:]
    carried = copies > 0
    answers = carried[:, inside].sum(axis=1) >= least
    reference, n_reference = carried[:, outside].sum(axis=1), len(outside)
    scores, among = np.empty(n_people), np.zeros(n_people, np.bool_)
    among[inside] = True
    for person in range(n_people):
        own = np.flatnonzero(carried[:, person])
        without = reference[own] - (not among[person])
        rate = (without + 0.5) / (n_reference + 1)
        order = np.argsort(np.abs(half * rate - (least - 0.5)) if least > 1 else rate, kind="stable")[:queries]
        mean = np.maximum(half * rate[order], _SMALLEST)
        absent = np.clip(_at_least(mean, least), 1e-9, 1 - 1e-9)
        present = np.clip(_at_least(mean * (half - 1) / max(half, 1), least - 1), 1e-9, 1 - 1e-9)
        told = answers[own[order]]
        terms = np.where(told, np.log(present / absent), np.log((1 - present) / (1 - absent)))
        scores[person] = terms.sum()
    return auc(scores[inside], scores[outside])


def _at_least(mean: FloatArray, least: int) -> FloatArray:
    """Poisson probability of `least` or more."""
    below, term = np.zeros_like(mean), np.exp(-mean)
    for number in range(least):
        below += term
        term = term * mean / (number + 1)
    return 1 - below


def _below(scores: FloatArray, others: FloatArray) -> FloatArray:
    """(scores,) how many of the others are below each score, ties half."""
    ordered = np.sort(others)
    return (np.searchsorted(ordered, scores, side="left") + np.searchsorted(ordered, scores, side="right")) / 2


def _variance_of_mean(values: FloatArray) -> float:
    return float(values.var(ddof=1)) / len(values) if len(values) > 1 else 0.25
