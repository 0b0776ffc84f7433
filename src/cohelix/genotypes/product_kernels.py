"""The compiled loops of sums over people: listed carriers, and bitmaps of common variants.

Shards reach them as they reach the kernels of the store. Tables have a row for each sample of the store, zeros for
samples that are not members, so that no index is looked up on the way.
"""

# ruff: noqa: PLR0912, PLR0917 - a loop that is compiled whole takes its arrays one by one.
# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# The types of kernels stand in their Numba signatures.

from __future__ import annotations

import numpy as np
from numba import njit, types

from cohelix.genotypes import kernels as k

_bytes_in = types.Array(types.uint8, 1, "C", readonly=True)
_words_in = types.Array(types.uint64, 1, "C", readonly=True)
_planes_in = types.Array(types.uint64, 2, "C", readonly=True)
_ints_in = types.Array(types.int64, 1, "C", readonly=True)
_toc_in = types.Array(types.int64, 2, "C", readonly=True)
_table_in = types.Array(types.float64, 2, "C", readonly=True)
_sums = types.float64[:, ::1]


@njit(nogil=True, inline="always")
def _haploid_of(buf, toc, row, words):
    """Bitmap of a row's haploid samples; empty where everybody is diploid."""
    pattern, ploidy = k._u16(buf, toc, k._PATTERN), k._u64(buf, toc, k._PLOIDY)
    which = np.int64(pattern[row]) if pattern.size else 0
    return ploidy[max(which - 1, 0) * words : which * words]


@njit(nogil=True)
def _listed(buf, toc, listed, listed_missing, rows, places, flags, two_copies, table, squares, out):
    n, sums, square_sums, missing, missing_squares = out
    words = -(-toc[0, 0] // 64)
    kinds, starts = k._u8(buf, toc, k._FLAGS), k._u32(buf, toc, k._CARRIER_STARTS)
    missing_rows, missing_starts = k._u32(buf, toc, k._MISSING_ROWS), k._u32(buf, toc, k._MISSING_STARTS)
    half_rows, half_starts = k._u32(buf, toc, k._HALF_ROWS), k._u32(buf, toc, k._HALF_STARTS)
    half = k._u32(buf, toc, k._HALF)
    at_missing, at_half = 0, 0
    width, second = table.shape[1], squares.shape[1]
    for number in range(rows.size):
        row, place = rows[number], places[number]
        haploid = _haploid_of(buf, toc, row, words)
        one, two, gone = 0, 0, 0
        for j in range(np.int64(starts[row]), np.int64(starts[row + 1])):
            i = np.int64(listed[j] >> 1)
            if not flags[i]:
                continue
            copies = 1.0
            if listed[j] & 1 or (two_copies and haploid.size and k._bit(haploid, i)):
                copies = 2.0
                two += 1
            else:
                one += 1
            for column in range(width):
                sums[place, column] += copies * table[i, column]
            for column in range(second):
                square_sums[place, column] += copies * copies * squares[i, column]
        if kinds[row] & k.ROW_MISSING:
            at_missing = k._find(missing_rows, row, at_missing)
            for j in range(np.int64(missing_starts[at_missing]), np.int64(missing_starts[at_missing + 1])):
                gone += _add_missing(np.int64(listed_missing[j]), place, flags, table, squares, missing, missing_squares)
        if kinds[row] & k.ROW_HALF:
            at_half = k._find(half_rows, row, at_half)
            for j in range(np.int64(half_starts[at_half]), np.int64(half_starts[at_half + 1])):
                gone += _add_missing(np.int64(half[j] >> 4), place, flags, table, squares, missing, missing_squares)
        n[place, 0] += one
        n[place, 1] += two
        n[place, 2] += gone


@njit(nogil=True)
def _add_missing(i, place, flags, table, squares, missing, missing_squares):
    if not flags[i]:
        return 0
    for column in range(table.shape[1]):
        missing[place, column] += table[i, column]
    for column in range(squares.shape[1]):
        missing_squares[place, column] += squares[i, column]
    return 1


@njit(
    types.void(_bytes_in, _toc_in, _ints_in, _ints_in, _bytes_in, types.boolean, _table_in, _table_in,
               types.int64[:, ::1], _sums, _sums, _sums, _sums),
    nogil=True, cache=True,
)  # fmt: skip
def add_listed(buf, toc, rows, places, flags, two_copies, table, squares, n, sums, square_sums, missing, missing_squares):
    """Add rows that list their carriers: to `n` (one copy, two, missing) and the sums, at `places`."""
    out = (n, sums, square_sums, missing, missing_squares)
    if toc[0, 1] == 2:
        listed, gone = k._u16(buf, toc, k._CARRIERS), k._u16(buf, toc, k._MISSING)
        _listed(buf, toc, listed, gone, rows, places, flags, two_copies, table, squares, out)
    else:
        wide, gone_wide = k._u32(buf, toc, k._CARRIERS), k._u32(buf, toc, k._MISSING)
        _listed(buf, toc, wide, gone_wide, rows, places, flags, two_copies, table, squares, out)


@njit(nogil=True, inline="always")
def _set(words, i):
    words[i >> 6] |= np.uint64(1) << np.uint64(i & 63)


@njit(nogil=True)
def _bitmaps(buf, toc, listed, listed_missing, rows, bits, two_copies, n, one, two, gone):
    words = bits.size
    kinds, starts = k._u8(buf, toc, k._FLAGS), k._u32(buf, toc, k._CARRIER_STARTS)
    plane_rows, plane_starts, planes = (
        k._u32(buf, toc, k._PLANE_ROWS),
        k._u32(buf, toc, k._PLANE_STARTS),
        k._u64(buf, toc, k._PLANES),
    )
    missing_rows, missing_starts = k._u32(buf, toc, k._MISSING_ROWS), k._u32(buf, toc, k._MISSING_STARTS)
    half_rows, half_starts = k._u32(buf, toc, k._HALF_ROWS), k._u32(buf, toc, k._HALF_STARTS)
    half = k._u32(buf, toc, k._HALF)
    at_plane, at_missing, at_half = 0, 0, 0
    for number in range(rows.size):
        row = rows[number]
        at_plane = k._find(plane_rows, row, at_plane)
        start = np.int64(plane_starts[at_plane]) * words
        low = planes[start : start + words]
        if kinds[row] & k.ROW_HIGH:
            high = planes[start + words : start + 2 * words]
            for i in range(words):
                one[number, i] = low[i] & ~high[i]
                two[number, i] = high[i] & ~low[i]
                gone[number, i] = low[i] & high[i]
        else:
            for i in range(words):
                one[number, i] = low[i]
                two[number, i] = 0
                gone[number, i] = 0
        for j in range(np.int64(starts[row]), np.int64(starts[row + 1])):
            _set(two[number] if listed[j] & 1 else one[number], np.int64(listed[j] >> 1))
        if kinds[row] & k.ROW_MISSING:
            at_missing = k._find(missing_rows, row, at_missing)
            for j in range(np.int64(missing_starts[at_missing]), np.int64(missing_starts[at_missing + 1])):
                _set(gone[number], np.int64(listed_missing[j]))
        if kinds[row] & k.ROW_HALF:
            at_half = k._find(half_rows, row, at_half)
            for j in range(np.int64(half_starts[at_half]), np.int64(half_starts[at_half + 1])):
                _set(gone[number], np.int64(half[j] >> 4))
        haploid = _haploid_of(buf, toc, row, words)
        n_one, n_two, n_gone = np.uint64(0), np.uint64(0), np.uint64(0)
        if two_copies and haploid.size:
            for i in range(words):
                doubled = one[number, i] & haploid[i]
                one[number, i] ^= doubled
                two[number, i] |= doubled
        for i in range(words):
            one[number, i] &= bits[i]
            two[number, i] &= bits[i]
            gone[number, i] &= bits[i]
            n_one += k.popcount(one[number, i])
            n_two += k.popcount(two[number, i])
            n_gone += k.popcount(gone[number, i])
        n[number, 0], n[number, 1], n[number, 2] = n_one, n_two, n_gone


@njit(
    types.void(_bytes_in, _toc_in, _ints_in, _words_in, types.boolean, types.int64[:, ::1],
               types.uint64[:, ::1], types.uint64[:, ::1], types.uint64[:, ::1]),
    nogil=True, cache=True,
)  # fmt: skip
def bitmaps(buf, toc, rows, bits, two_copies, n, one, two, gone):
    """Fill bitmaps (rows, words) of the members with one copy, two, and no call, of rows with planes; `n` counts them."""
    if toc[0, 1] == 2:
        listed, missing = k._u16(buf, toc, k._CARRIERS), k._u16(buf, toc, k._MISSING)
        _bitmaps(buf, toc, listed, missing, rows, bits, two_copies, n, one, two, gone)
    else:
        wide, missing_wide = k._u32(buf, toc, k._CARRIERS), k._u32(buf, toc, k._MISSING)
        _bitmaps(buf, toc, wide, missing_wide, rows, bits, two_copies, n, one, two, gone)


@njit(types.void(_planes_in, _planes_in, types.int64, types.float64, _sums), nogil=True, cache=True)
def decode(one, two, first, of_two, out):
    """Fill `out` (rows, 64 × words) from word `first` on: 1 where `one` has a bit, `of_two` where `two` has."""
    for row in range(out.shape[0]):
        for i in range(out.shape[1] // 64):
            a, b = one[row, first + i], two[row, first + i]
            for bit in range(64):
                shift = np.uint64(bit)
                out[row, 64 * i + bit] = np.float64((a >> shift) & np.uint64(1)) + of_two * np.float64(
                    (b >> shift) & np.uint64(1)
                )
