"""KING-robust kinship between all pairs of a cohort, from genotypes as bits."""

# ruff: noqa: PLR0917 - a loop that is compiled whole takes its arrays one by one.
# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# The types of compiled loops stand in their Numba signatures.

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numba import types

from cohelix.core.arrays import FloatArray, IntArray, WordArray
from cohelix.core.errors import ShapeMismatch
from cohelix.stats.bits import popcount
from cohelix.stats.compiled import kernel
from cohelix.stats.numba_start import njit

# Kinship above which two samples are the same person (or identical twins), parent and child or full siblings, and
# relatives of the second degree: powers of 1/2 half-way between the expected values (Manichaikul 2010, table 1).
DUPLICATE, FIRST_DEGREE, SECOND_DEGREE = 2**-1.5, 2**-2.5, 2**-3.5
# A pair whose kinship over the first quarter of the markers is so far below the threshold is not looked at further:
# over 4,096 markers the estimate's standard error is about 0.01.
SCREEN_MARGIN = 0.06
SCREEN_WORDS_MIN = 64
_TILE = 8  # people whose bits stay in a core's first cache while the others pass by


class GenotypePlanes:
    """Genotypes of people at biallelic markers, three bits each: heterozygous, homozygous REF, homozygous ALT.

    A missing genotype has none of the three. `planes` is (3, people, words) uint64.
    """

    def __init__(self, n_people: int, n_markers: int) -> None:
        self.n_people, self.n_markers, self._filled = n_people, n_markers, 0
        self.planes: WordArray = np.zeros((3, n_people, -(-n_markers // 64)), np.uint64)

    def add(self, dosages: FloatArray) -> None:
        """Append markers: (markers, people) float32 copies of ALT, NaN where missing.

        Raises
        ------
        ShapeMismatch
            If the people are others, or there are more markers than were announced.
        """
        if dosages.shape[1] != self.n_people or self._filled + len(dosages) > self.n_markers:
            raise ShapeMismatch(f"dosages of shape {dosages.shape} do not fit {self.n_people} people")
        _set_bits(np.ascontiguousarray(dosages, np.float32), self._filled, self.planes)
        self._filled += len(dosages)


class RelatedPairs(NamedTuple):
    """Pairs at or above a kinship, ascending by first and second person; each (pairs,).

    `first`, `second` are people numbers, `markers` those called in both, `ibs0` markers without a shared allele, `het_het`
    markers heterozygous in both, int64; `kinship` float64. `n_more` pairs were found and are not listed.
    """

    first: IntArray
    second: IntArray
    markers: IntArray
    het_het: IntArray
    ibs0: IntArray
    kinship: FloatArray
    n_more: int


def related_pairs(
    genotypes: GenotypePlanes,
    *,
    kinship_min: float,
    threads: int = 1,
    screen_margin: float | None = SCREEN_MARGIN,
    listed_max: int = 100_000,
) -> RelatedPairs:
    """Every pair whose KING-robust kinship, between families, is at least `kinship_min`.

    Parameters
    ----------
    screen_margin
        How far below `kinship_min` a pair's kinship over a quarter of the markers may lie for it to be looked at in
        full; None looks at all pairs in full.
    listed_max
        Most pairs that each thread lists.

    References
    ----------
    Manichaikul et al. 2010, Bioinformatics 26:2867, equation 11.
    """
    het, ref, alt = _spread(genotypes.planes)
    words = het.shape[1]
    screen = words if screen_margin is None else min(words, max(SCREEN_WORDS_MIN, words // 4))
    screened = kinship_min - (screen_margin or 0.0)
    bounds = _even_bounds(genotypes.n_people, max(1, threads) * 4)
    room = max(1, min(listed_max, genotypes.n_people * (genotypes.n_people - 1) // 2))

    def work(first: int, last: int) -> tuple[IntArray, FloatArray, int]:
        found, kinship = np.empty((room, 5), np.int64), np.empty(room, np.float64)
        total = _pairs(het, ref, alt, first, last, screen, screened, kinship_min, found, kinship)
        return found[: min(total, room)].copy(), kinship[: min(total, room)].copy(), max(0, total - room)

    with ThreadPoolExecutor(max(1, threads), "kinship") as pool:
        parts = list(pool.map(work, bounds[:-1], bounds[1:]))
    found = np.concatenate([part[0] for part in parts])
    kinship = np.concatenate([part[1] for part in parts])
    order = np.lexsort((found[:, 1], found[:, 0]))
    found = found[order]
    n_more = sum(part[2] for part in parts)
    return RelatedPairs(found[:, 0], found[:, 1], found[:, 2], found[:, 3], found[:, 4], kinship[order], n_more)


def _spread(planes: WordArray) -> tuple[WordArray, WordArray, WordArray]:
    """The planes with their words in strides, so that the first quarter of them is of the whole genome."""
    order = np.concatenate([np.arange(start, planes.shape[2], 4) for start in range(4)])
    het, ref, alt = (np.ascontiguousarray(plane[:, order]) for plane in planes)
    return het, ref, alt


def _even_bounds(n: int, parts: int) -> list[int]:
    """Cuts of 0…n such that each part's people have about as many partners after them."""
    shares = n - np.sqrt(np.linspace(1, 0, parts + 1)) * n
    return sorted({0, *np.round(shares).astype(int).tolist(), n}) if n else [0, 0]


_plane = types.uint64[:, ::1]


@kernel(types.void(types.float32[:, ::1], types.int64, types.uint64[:, :, ::1]))
def _set_bits(dosages, at, planes):
    for k in range(dosages.shape[0]):
        word, bit = (at + k) >> 6, np.uint64(1) << np.uint64((at + k) & 63)
        for i in range(dosages.shape[1]):
            copies = dosages[k, i]
            if copies == 1:
                planes[0, i, word] |= bit
            elif copies == 0:
                planes[1, i, word] |= bit
            elif copies == 2:
                planes[2, i, word] |= bit


@njit(nogil=True)
def _compare(het, ref, alt, i, j, start, stop, sums):
    """Add to `sums`: markers het in both, without a shared allele, het in i and hom in j, the reverse."""
    both, ibs0, first, second = np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0)
    for w in range(start, stop):
        het_i, het_j = het[i, w], het[j, w]
        ref_i, ref_j, alt_i, alt_j = ref[i, w], ref[j, w], alt[i, w], alt[j, w]
        both += popcount(het_i & het_j)
        ibs0 += popcount((ref_i & alt_j) | (alt_i & ref_j))
        first += popcount(het_i & (ref_j | alt_j))
        second += popcount(het_j & (ref_i | alt_i))
    sums[0] += np.int64(both)
    sums[1] += np.int64(ibs0)
    sums[2] += np.int64(first)
    sums[3] += np.int64(second)


@njit(nogil=True)
def _kinship(sums):
    """Of one pair; NaN where the one with fewer heterozygous markers has none."""
    fewer = sums[0] + min(sums[2], sums[3])
    return 0.5 - (4.0 * sums[1] + sums[2] + sums[3]) / (4.0 * fewer) if fewer else np.nan


@kernel(
    types.int64(_plane, _plane, _plane, types.int64, types.int64, types.int64, types.float64, types.float64,
                types.int64[:, ::1], types.float64[::1]),
)  # fmt: skip
def _pairs(het, ref, alt, first, last, screen, screened, least, found, kinship):
    """List the pairs of people first…last - 1 with those after them; returns how many there are, listed or not."""
    n_people, words = het.shape
    sums = np.zeros(4, np.int64)
    total = 0
    for tile in range(first, last, _TILE):
        for j in range(tile + 1, n_people):
            for i in range(tile, min(tile + _TILE, last, j)):
                sums[:] = 0
                _compare(het, ref, alt, i, j, 0, screen, sums)
                if screen < words:
                    if not _kinship(sums) >= screened:
                        continue
                    _compare(het, ref, alt, i, j, screen, words, sums)
                value = _kinship(sums)
                if not value >= least:
                    continue
                if total < kinship.size:
                    both = 0
                    for w in range(words):
                        called_i, called_j = het[i, w] | ref[i, w] | alt[i, w], het[j, w] | ref[j, w] | alt[j, w]
                        both += np.int64(popcount(called_i & called_j))
                    found[total, 0], found[total, 1], found[total, 2] = i, j, both
                    found[total, 3], found[total, 4] = sums[0], sums[1]
                    kinship[total] = value
                total += 1
    return total
