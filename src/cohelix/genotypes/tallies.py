"""Sums per person over the rows of a store: genotypes by stretch of the genome and kind of variant, singletons.

The work is proportional to what is stored: a rare variant costs its carriers, a common one its people.
"""

# ruff: noqa: PLR0912, PLR0917 - a loop that is compiled whole takes its arrays one by one.
# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# The types of kernels stand in their Numba signatures.

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numba import types

from cohelix.core.arrays import ByteArray, FloatArray, IntArray
from cohelix.genotypes import kernels as k
from cohelix.genotypes.hybrid_store import HybridStore
from cohelix.stats.compiled import kernel
from cohelix.stats.numba_start import njit

# Stretches of the genome that behave alike; PAR belongs to `OTHER`, with MT and what is not placed.
AUTOSOME, X, Y, OTHER = range(4)
# Kinds of variants.
TRANSITION, TRANSVERSION, INDEL, OTHER_KIND = range(4)
HET, HOM, HEMI, MISSING = range(4)


class Tallies(NamedTuple):
    """Sums per person.

    Attributes
    ----------
    genotypes
        (4, 4, 4, people) int64: stretch, kind of variant, and het, hom ALT, haploid ALT, not fully called.
    singletons
        (people,) int64: rows where this person is the only fully called diploid one with an ALT (as bcftools counts them).
    rows
        (4, 4) int64: rows by stretch and kind.
    weight_missing
        (4, people) float64: by stretch, sum of the rows' weights over the person's missing calls.
    weight
        (4,) float64: by stretch, sum of the rows' weights.
    """

    genotypes: IntArray
    singletons: IntArray
    rows: IntArray
    weight_missing: FloatArray
    weight: FloatArray


class RowKinds(NamedTuple):
    """Of all rows of a store: `stretch` and `kind` (rows,) uint8; `weight` (rows,) float64, for expected heterozygotes."""

    stretch: ByteArray
    kind: ByteArray
    weight: FloatArray


def tally(store: HybridStore, kinds: RowKinds, threads: int) -> Tallies:
    """Sum up a whole store on `threads` cores; each holds its own sums, 264 bytes a person."""
    n_people = len(store.info.samples)
    bounds = store.shard_rows()

    def work(numbers: Sequence[int]) -> tuple[IntArray, IntArray, FloatArray]:
        sums, singletons = np.zeros((4, 4, 4, n_people), np.int64), np.zeros(n_people, np.int64)
        missing = np.zeros((4, n_people), np.float64)
        for number in numbers:
            shard, rows = store.shard(number), bounds[number]
            place = slice(rows.start, rows.stop)
            columns = (kinds.stretch[place], kinds.kind[place], kinds.weight[place])
            _tally(shard.buffer, shard.toc, *columns, sums, singletons, missing)
        return sums, singletons, missing

    with ThreadPoolExecutor(threads, "tallies") as pool:
        parts = list(pool.map(work, [range(first, len(bounds), threads) for first in range(threads)]))
    rows = np.bincount(kinds.stretch.astype(np.int64) * 4 + kinds.kind, minlength=16).reshape(4, 4)
    weight: FloatArray = np.bincount(kinds.stretch, kinds.weight, minlength=4).astype(np.float64)
    genotypes, singletons, missing = parts[0]
    for part in parts[1:]:
        genotypes, singletons, missing = genotypes + part[0], singletons + part[1], missing + part[2]
    return Tallies(genotypes, singletons, rows, missing, weight)


_bytes_in = types.Array(types.uint8, 1, "C", readonly=True)
_toc_in = types.Array(types.int64, 2, "C", readonly=True)
_floats_in = types.Array(types.float64, 1, "C", readonly=True)


@njit(nogil=True)
def _tally_rows(buf, toc, listed, listed_missing, stretch, kind, weight, sums, singletons, weight_missing):
    n_samples = toc[0, 0]
    words = -(-n_samples // 64)
    codes, hints = np.empty(words * 64, np.uint8), np.zeros(3, np.int64)
    flags, pattern, ploidy = k._u8(buf, toc, k._FLAGS), k._u16(buf, toc, k._PATTERN), k._u64(buf, toc, k._PLOIDY)
    starts = k._u32(buf, toc, k._CARRIER_STARTS)
    missing_rows, missing_starts = k._u32(buf, toc, k._MISSING_ROWS), k._u32(buf, toc, k._MISSING_STARTS)
    half_rows, half_starts = k._u32(buf, toc, k._HALF_ROWS), k._u32(buf, toc, k._HALF_STARTS)
    half = k._u32(buf, toc, k._HALF)
    at_missing, at_half = 0, 0
    for row in range(flags.size):
        place, sort, share = stretch[row], kind[row], weight[row]
        out = sums[place, sort]
        which = np.int64(pattern[row]) if pattern.size else 0
        haploid = ploidy[max(which - 1, 0) * words : max(which, 1) * words]
        carriers, last = 0, 0
        if flags[row] & k.ROW_LOW:
            k._row_codes(buf, toc, row, hints, codes)
            for i in range(n_samples):
                code = codes[i]
                if code == 0:
                    continue
                if code == 3:
                    out[MISSING, i] += 1
                    weight_missing[place, i] += share
                elif code == 1 and which and k._bit(haploid, i):
                    out[HEMI, i] += 1
                else:
                    out[code - 1, i] += 1
                    carriers += 1
                    last = i
        else:
            for j in range(np.int64(starts[row]), np.int64(starts[row + 1])):
                i, two = np.int64(listed[j] >> 1), np.int64(listed[j] & 1)
                if which and not two and k._bit(haploid, i):
                    out[HEMI, i] += 1
                else:
                    out[two, i] += 1
                    carriers += 1
                    last = i
            if flags[row] & k.ROW_MISSING:
                at_missing = k._find(missing_rows, row, at_missing)
                for j in range(np.int64(missing_starts[at_missing]), np.int64(missing_starts[at_missing + 1])):
                    i = np.int64(listed_missing[j])
                    out[MISSING, i] += 1
                    weight_missing[place, i] += share
            if flags[row] & k.ROW_HALF:
                at_half = k._find(half_rows, row, at_half)
                for j in range(np.int64(half_starts[at_half]), np.int64(half_starts[at_half + 1])):
                    i = np.int64(half[j] >> 4)
                    out[MISSING, i] += 1
                    weight_missing[place, i] += share
        if carriers == 1:
            singletons[last] += 1


@kernel(
    types.void(_bytes_in, _toc_in, _bytes_in, _bytes_in, _floats_in, types.int64[:, :, :, ::1], types.int64[::1],
               types.float64[:, ::1])
)  # fmt: skip
def _tally(buf, toc, stretch, kind, weight, sums, singletons, weight_missing):
    """Add a shard's rows to the sums."""
    if toc[0, 1] == 2:
        listed, missing = k._u16(buf, toc, k._CARRIERS), k._u16(buf, toc, k._MISSING)
        _tally_rows(buf, toc, listed, missing, stretch, kind, weight, sums, singletons, weight_missing)
    else:
        listed_wide, missing_wide = k._u32(buf, toc, k._CARRIERS), k._u32(buf, toc, k._MISSING)
        _tally_rows(buf, toc, listed_wide, missing_wide, stretch, kind, weight, sums, singletons, weight_missing)
