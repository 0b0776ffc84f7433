"""The compiled loops of the genotype store: masked counts, carriers, decoding, and packing of batches into shards.

Every kernel has one explicit signature, so that it is compiled once, when it is first called or by `warm`, and read from
Numba's cache afterwards; no later call can meet a shape that is not compiled yet. All release the GIL.

A shard reaches a kernel as `buf`, the mapped file, and `toc`, which says where its sections lie:
`toc[0]` is (samples, bytes of a listed sample: 2 or 4), `toc[1 + SECTIONS.index(name)]` is (byte offset, elements).
"""

# ruff: noqa: PLR0911, PLR0912, PLR0915, PLR0917 - a loop that is compiled whole takes its arrays one by one.
# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# The types of kernels stand in their Numba signatures.

from __future__ import annotations

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from cohelix.genotypes.shard_layout import (
    ID_NAMED,
    ID_NONE,
    ID_TEXT,
    ROW_HALF,
    ROW_HIGH,
    ROW_LOW,
    ROW_MISSING,
    ROW_PHASE_SHIFT,
    SECTIONS,
)
from cohelix.stats.compiled import compile_all, kernel
from cohelix.stats.numba_start import njit

(
    _FLAGS,
    _PATTERN,
    _PLOIDY,
    _CARRIER_STARTS,
    _CARRIERS,
    _PLANE_ROWS,
    _PLANE_STARTS,
    _PLANES,
    _MISSING_ROWS,
    _MISSING_STARTS,
    _MISSING,
    _HALF_ROWS,
    _HALF_STARTS,
    _HALF,
    _PHASE_STARTS,
    _PHASE,
) = range(1, 1 + len(SECTIONS))

_bytes_in = types.Array(types.uint8, 1, "C", readonly=True)
_words_in = types.Array(types.uint64, 1, "C", readonly=True)
_table_in = types.Array(types.uint64, 2, "C", readonly=True)
_ints_in = types.Array(types.int64, 1, "C", readonly=True)
_toc_in = types.Array(types.int64, 2, "C", readonly=True)
_u32_in = types.Array(types.uint32, 1, "C", readonly=True)
_i32_in = types.Array(types.int32, 1, "C", readonly=True)
_floats_in = {"float32": types.float32[:, ::1], "float64": types.float64[:, ::1]}


@intrinsic
def popcount(_context, word):
    """Number of set bits of a uint64: one instruction (POPCNT; VPOPCNTQ in a vector loop)."""

    def generate(_context, builder, _signature, arguments):
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


@intrinsic
def _trailing_zeros(_context, word):
    """Index of the lowest set bit of a uint64 that is not zero (TZCNT)."""

    def generate(_context, builder, _signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


# ---- sections of a shard, as arrays


@njit(nogil=True, inline="always")
def _u8(buf, toc, section):
    return buf[toc[section, 0] : toc[section, 0] + toc[section, 1]]


@njit(nogil=True, inline="always")
def _u16(buf, toc, section):
    return buf[toc[section, 0] : toc[section, 0] + 2 * toc[section, 1]].view(np.uint16)


@njit(nogil=True, inline="always")
def _u32(buf, toc, section):
    return buf[toc[section, 0] : toc[section, 0] + 4 * toc[section, 1]].view(np.uint32)


@njit(nogil=True, inline="always")
def _u64(buf, toc, section):
    return buf[toc[section, 0] : toc[section, 0] + 8 * toc[section, 1]].view(np.uint64)


@njit(nogil=True)
def _find(rows, row, hint):
    """Where `row` stands in `rows` (ascending, and it is there); first looks at `hint` and after it."""
    if hint < rows.size and rows[hint] == row:
        return hint
    if hint + 1 < rows.size and rows[hint + 1] == row:
        return hint + 1
    low, high = 0, rows.size
    while low < high:
        middle = (low + high) >> 1
        if rows[middle] < row:
            low = middle + 1
        else:
            high = middle
    return low


@njit(nogil=True, inline="always")
def _bit(words, sample):
    return (words[sample >> 6] >> np.uint64(sample & 63)) & np.uint64(1)


# ---- masked counts


@njit(nogil=True)
def _plane_counts(low, high, members):
    """Of the members: low bits, high bits, both (low bits alone are one copy, high two, both missing)."""
    n_low, n_high, n_both = np.uint64(0), np.uint64(0), np.uint64(0)
    for i in range(members.size):
        a = low[i] & members[i]
        b = high[i] & members[i]
        n_low += popcount(a)
        n_high += popcount(b)
        n_both += popcount(a & b)
    return np.int64(n_low), np.int64(n_high), np.int64(n_both)


@njit(nogil=True)
def _and_count(words, members):
    total = np.uint64(0)
    for i in range(members.size):
        total += popcount(words[i] & members[i])
    return np.int64(total)


@njit(nogil=True)
def _haploid_plane_counts(low, high, haploid, members):
    """Of the haploid members: one copy, missing."""
    n_one, n_missing = np.uint64(0), np.uint64(0)
    for i in range(members.size):
        a = low[i] & members[i] & haploid[i]
        n_one += popcount(a & ~high[i])
        n_missing += popcount(a & high[i])
    return np.int64(n_one), np.int64(n_missing)


@njit(nogil=True)
def _listed_counts(carriers, start, stop, flags):
    """Members with one copy and with two, of a list of carriers."""
    one, two = np.uint32(0), np.uint32(0)
    for j in range(start, stop):
        entry = np.uint32(carriers[j])
        member = np.uint32(flags[entry >> np.uint32(1)])
        both = member & entry
        two += both
        one += member - both
    return np.int64(one), np.int64(two)


@njit(nogil=True)
def _listed_members(samples, start, stop, flags):
    total = np.uint32(0)
    for j in range(start, stop):
        total += np.uint32(flags[samples[j]])
    return np.int64(total)


@njit(nogil=True)
def _count(buf, toc, carriers, missing, rows, flags, bits, size, out):
    row_flags, pattern, ploidy = _u8(buf, toc, _FLAGS), _u16(buf, toc, _PATTERN), _u64(buf, toc, _PLOIDY)
    starts = _u32(buf, toc, _CARRIER_STARTS)
    plane_rows, plane_starts, planes = _u32(buf, toc, _PLANE_ROWS), _u32(buf, toc, _PLANE_STARTS), _u64(buf, toc, _PLANES)
    missing_rows, missing_starts = _u32(buf, toc, _MISSING_ROWS), _u32(buf, toc, _MISSING_STARTS)
    half_rows, half_starts, half_list = _u32(buf, toc, _HALF_ROWS), _u32(buf, toc, _HALF_STARTS), _u32(buf, toc, _HALF)
    words = bits.size
    haploid_members = np.full(ploidy.size // words + 1, -1, np.int64)
    at_plane, at_missing, at_half = 0, 0, 0
    for k in range(rows.size):
        row = rows[k]
        kind = row_flags[row]
        one, two, hemi, full, full_haploid, half, half_alt, n_haploid = 0, 0, 0, 0, 0, 0, 0, 0
        which = np.int64(pattern[row]) if pattern.size else 0
        haploid = ploidy[max(which - 1, 0) * words : max(which, 1) * words]
        if which:
            if haploid_members[which] < 0:
                haploid_members[which] = _and_count(haploid, bits)
            n_haploid = haploid_members[which]
        start, stop = np.int64(starts[row]), np.int64(starts[row + 1])
        if stop > start:
            one, two = _listed_counts(carriers, start, stop, flags)
            if which and one:
                for j in range(start, stop):
                    sample = np.int64(carriers[j] >> 1)
                    hemi += np.int64(_bit(haploid, sample) & flags[sample])
        if kind & ROW_LOW:
            at_plane = _find(plane_rows, row, at_plane)
            place = np.int64(plane_starts[at_plane]) * words
            low = planes[place : place + words]
            if kind & ROW_HIGH:
                high = planes[place + words : place + 2 * words]
                one, two, full = _plane_counts(low, high, bits)
                one -= full
                two -= full
                if which:
                    hemi, full_haploid = _haploid_plane_counts(low, high, haploid, bits)
            else:
                one = _and_count(low, bits)
                if which:
                    for i in range(words):
                        hemi += np.int64(popcount(low[i] & haploid[i] & bits[i]))
        if kind & ROW_MISSING:
            at_missing = _find(missing_rows, row, at_missing)
            start, stop = np.int64(missing_starts[at_missing]), np.int64(missing_starts[at_missing + 1])
            full = _listed_members(missing, start, stop, flags)
            if which and full:
                for j in range(start, stop):
                    sample = np.int64(missing[j])
                    full_haploid += np.int64(_bit(haploid, sample) & flags[sample])
        if kind & ROW_HALF:
            at_half = _find(half_rows, row, at_half)
            for j in range(np.int64(half_starts[at_half]), np.int64(half_starts[at_half + 1])):
                member = np.int64(flags[half_list[j] >> 4])
                half += member
                half_alt += member & np.int64(half_list[j] >> 1)
            if kind & ROW_HIGH:  # planes mark half-called samples as missing, too
                full -= half
        out[k, 0] = 2 * size - n_haploid - 2 * full + full_haploid - half
        out[k, 1] = one + 2 * two + half_alt
        out[k, 2] = one - hemi
        out[k, 3] = two
        out[k, 4] = hemi
        out[k, 5] = full + half


@kernel(types.void(_bytes_in, _toc_in, _ints_in, _bytes_in, _words_in, types.int64, types.int64[:, ::1]))
def count_rows(buf, toc, rows, flags, bits, size, out):
    """Fill `out` (rows, 6) with an, ac, het, hom, hemi, missing of a shard's rows among a cohort's members."""
    if toc[0, 1] == 2:
        _count(buf, toc, _u16(buf, toc, _CARRIERS), _u16(buf, toc, _MISSING), rows, flags, bits, size, out)
    else:
        _count(buf, toc, _u32(buf, toc, _CARRIERS), _u32(buf, toc, _MISSING), rows, flags, bits, size, out)


# ---- who carries an ALT


@njit(nogil=True)
def _carriers(buf, toc, listed, row, flags, words, samples, copies):
    starts = _u32(buf, toc, _CARRIER_STARTS)
    kind = _u8(buf, toc, _FLAGS)[row]
    j, stop = np.int64(starts[row]), np.int64(starts[row + 1])
    n = 0
    if kind & ROW_LOW:
        planes = _u64(buf, toc, _PLANES)
        place = np.int64(_u32(buf, toc, _PLANE_STARTS)[_find(_u32(buf, toc, _PLANE_ROWS), row, 0)]) * words
        for i in range(words):
            low = planes[place + i]
            high = planes[place + words + i] if kind & ROW_HIGH else np.uint64(0)
            left = low ^ high
            while left:
                bit = _trailing_zeros(left)
                left &= left - np.uint64(1)
                sample = i * 64 + np.int64(bit)
                while j < stop and np.int64(listed[j] >> 1) < sample:
                    samples[n] = listed[j] >> 1
                    copies[n] = 1 + (listed[j] & 1)
                    n += flags[samples[n]]
                    j += 1
                samples[n] = sample
                copies[n] = 1 + ((high >> bit) & np.uint64(1))
                n += flags[sample]
    while j < stop:
        samples[n] = listed[j] >> 1
        copies[n] = 1 + (listed[j] & 1)
        n += flags[samples[n]]
        j += 1
    return n


@kernel(types.int64(_bytes_in, _toc_in, types.int64))
def carriers_most(buf, toc, row):
    """Most carriers that a row can have, to make room for them."""
    starts = _u32(buf, toc, _CARRIER_STARTS)
    most = np.int64(starts[row + 1]) - np.int64(starts[row])
    kind = _u8(buf, toc, _FLAGS)[row]
    if kind & ROW_LOW:
        words = -(-toc[0, 0] // 64)
        planes = _u64(buf, toc, _PLANES)
        place = np.int64(_u32(buf, toc, _PLANE_STARTS)[_find(_u32(buf, toc, _PLANE_ROWS), row, 0)]) * words
        for i in range(words):
            high = planes[place + words + i] if kind & ROW_HIGH else np.uint64(0)
            most += np.int64(popcount(planes[place + i] ^ high))
    return most


@kernel(types.int64(_bytes_in, _toc_in, types.int64, _bytes_in, types.int64[::1], types.uint8[::1]))
def list_carriers(buf, toc, row, flags, samples, copies):
    """Write a row's carriers who are members, ascending; returns how many. The room needed is `carriers_most` + 1."""
    words = -(-toc[0, 0] // 64)
    if toc[0, 1] == 2:
        return _carriers(buf, toc, _u16(buf, toc, _CARRIERS), row, flags, words, samples, copies)
    return _carriers(buf, toc, _u32(buf, toc, _CARRIERS), row, flags, words, samples, copies)


# ---- tables of counts


@njit(nogil=True, inline="always")
def _number(buf, place, width, index):
    """Element of a column of 0 (absent), 1, 2, 4 or 8 bytes, little-endian, unsigned."""
    value = np.int64(0)
    for i in range(width):
        value |= np.int64(buf[place + index * width + i]) << (8 * i)
    return value


@kernel(types.void(_bytes_in, _toc_in, types.int64, types.int64[:, :, ::1]))
def expand_counts(buf, toc, first, out):
    """Fill `out` (rows, groups, 6) with the rows from `first` on of a file of `counts`."""
    n_groups = toc[0, 0]
    for k in range(out.shape[0]):
        row = first + k
        which = _number(buf, toc[2, 0], toc[2, 1], row)
        for g in range(n_groups):
            out[k, g, 0] = _number(buf, toc[1, 0], 8, which * n_groups + g)
            out[k, g, 1:] = 0
        for cell in range(_number(buf, toc[3, 0], 4, row), _number(buf, toc[3, 0], 4, row + 1)):
            g = _number(buf, toc[4, 0], toc[4, 1], cell)
            ac = _number(buf, toc[5, 0], toc[5, 1], cell)
            hom = _number(buf, toc[6, 0], toc[6, 1], cell)
            hemi = _number(buf, toc[7, 0], toc[7, 1], cell)
            width = toc[9, 1]
            an_less = _number(buf, toc[9, 0], width, cell)
            if 0 < width < 8 and an_less >> (8 * width - 1):  # the only signed column
                an_less -= np.int64(1) << (8 * width)
            out[k, g, 0] -= an_less
            out[k, g, 1] = ac
            out[k, g, 2] = ac - 2 * hom - hemi - _number(buf, toc[10, 0], toc[10, 1], cell)
            out[k, g, 3] = hom
            out[k, g, 4] = hemi
            out[k, g, 5] = _number(buf, toc[8, 0], toc[8, 1], cell)


@kernel(
    types.int64(
        types.Array(types.int64, 3, "C", readonly=True), _toc_in, types.uint8[::1], types.int64[::1], types.int64[:, ::1]
    )
)
def fold_counts(counts, usual, which, lengths, cells):
    """Compare counts (rows, groups, 6) with the usual vectors of AN (k, groups), and list the cells that differ.

    Fills, of each row, `which` vector fits best and how many cells (`lengths`) differ; of each cell, in `cells`
    (room, 7): group, ac, hom, hemi, missing, an_less, half_alt. Returns the number of cells.
    """
    n = 0
    for row in range(counts.shape[0]):
        best, least = 0, counts.shape[1] + 1
        for v in range(usual.shape[0]):
            differ = 0
            for g in range(counts.shape[1]):
                differ += counts[row, g, 0] != usual[v, g]
            if differ < least:
                best, least = v, differ
        which[row] = best
        first = n
        for g in range(counts.shape[1]):
            an_less = usual[best, g] - counts[row, g, 0]
            ac, hom, hemi, missing = counts[row, g, 1], counts[row, g, 3], counts[row, g, 4], counts[row, g, 5]
            if an_less | ac | missing:
                cells[n, 0], cells[n, 1], cells[n, 2], cells[n, 3] = g, ac, hom, hemi
                cells[n, 4], cells[n, 5] = missing, an_less
                cells[n, 6] = ac - counts[row, g, 2] - 2 * hom - hemi
                n += 1
        lengths[row] = n - first
    return n


# ---- decoding


@njit(nogil=True)
def _codes(buf, toc, carriers, missing, row, hints, codes):
    """2-bit codes (`model.CODE_…`) of every sample; `codes` has room for whole words of 64."""
    kind = _u8(buf, toc, _FLAGS)[row]
    words = -(-toc[0, 0] // 64)
    if kind & ROW_LOW:
        planes = _u64(buf, toc, _PLANES)
        hints[0] = _find(_u32(buf, toc, _PLANE_ROWS), row, hints[0])
        place = np.int64(_u32(buf, toc, _PLANE_STARTS)[hints[0]]) * words
        for i in range(words):
            low = planes[place + i]
            high = planes[place + words + i] if kind & ROW_HIGH else np.uint64(0)
            for b in range(64):
                codes[i * 64 + b] = ((low >> np.uint64(b)) & np.uint64(1)) | (
                    ((high >> np.uint64(b)) & np.uint64(1)) << np.uint64(1)
                )
    else:
        codes[:] = 0
    starts = _u32(buf, toc, _CARRIER_STARTS)
    for j in range(np.int64(starts[row]), np.int64(starts[row + 1])):
        codes[carriers[j] >> 1] = 1 + (carriers[j] & 1)
    if kind & ROW_MISSING:
        hints[1] = _find(_u32(buf, toc, _MISSING_ROWS), row, hints[1])
        starts = _u32(buf, toc, _MISSING_STARTS)
        for j in range(np.int64(starts[hints[1]]), np.int64(starts[hints[1] + 1])):
            codes[missing[j]] = 3
    if kind & ROW_HALF:
        hints[2] = _find(_u32(buf, toc, _HALF_ROWS), row, hints[2])
        starts, half = _u32(buf, toc, _HALF_STARTS), _u32(buf, toc, _HALF)
        for j in range(np.int64(starts[hints[2]]), np.int64(starts[hints[2] + 1])):
            codes[half[j] >> 4] = 3


@njit(nogil=True)
def _row_codes(buf, toc, row, hints, codes):
    if toc[0, 1] == 2:
        _codes(buf, toc, _u16(buf, toc, _CARRIERS), _u16(buf, toc, _MISSING), row, hints, codes)
    else:
        _codes(buf, toc, _u32(buf, toc, _CARRIERS), _u32(buf, toc, _MISSING), row, hints, codes)


@njit(nogil=True)
def _dosages(buf, toc, rows, samples, everybody, of_code, out):
    codes = np.empty(-(-toc[0, 0] // 64) * 64, np.uint8)
    hints = np.zeros(3, np.int64)
    for k in range(rows.size):
        _row_codes(buf, toc, rows[k], hints, codes)
        if everybody:
            for i in range(out.shape[1]):
                out[k, i] = of_code[codes[i]]
        else:
            for i in range(out.shape[1]):
                out[k, i] = of_code[codes[samples[i]]]


@kernel(types.void(_bytes_in, _toc_in, _ints_in, _ints_in, types.boolean, types.float32[::1], types.float32[:, ::1]))
def dosages_float32(buf, toc, rows, samples, everybody, of_code, out):
    """Fill `out` (rows, samples) with `of_code[code]`; `samples` is not read where `everybody` is asked for."""
    _dosages(buf, toc, rows, samples, everybody, of_code, out)


@kernel(types.void(_bytes_in, _toc_in, _ints_in, _ints_in, types.boolean, types.float64[::1], types.float64[:, ::1]))
def dosages_float64(buf, toc, rows, samples, everybody, of_code, out):
    """As `dosages_float32`."""
    _dosages(buf, toc, rows, samples, everybody, of_code, out)


@kernel(types.void(_bytes_in, _toc_in, _ints_in, types.int8[:, :, ::1], types.boolean[:, ::1]))
def decode_calls(buf, toc, rows, alleles, phased):
    """Fill every sample's two alleles and phase (see `Calls`)."""
    n_samples = toc[0, 0]
    words = -(-n_samples // 64)
    codes = np.empty(words * 64, np.uint8)
    hints = np.zeros(3, np.int64)
    pattern, ploidy = _u16(buf, toc, _PATTERN), _u64(buf, toc, _PLOIDY)
    phase_starts, phase = _u32(buf, toc, _PHASE_STARTS), _u8(buf, toc, _PHASE)
    half_starts, half = _u32(buf, toc, _HALF_STARTS), _u32(buf, toc, _HALF)
    for k in range(rows.size):
        row = rows[k]
        _row_codes(buf, toc, row, hints, codes)
        kind = _u8(buf, toc, _FLAGS)[row]
        state = (kind >> ROW_PHASE_SHIFT) & 3
        which = np.int64(pattern[row]) if pattern.size else 0
        haploid = ploidy[max(which - 1, 0) * words : max(which, 1) * words]
        bit = 8 * np.int64(phase_starts[row]) if state else 0
        for i in range(n_samples):
            code = codes[i]
            first, second, joined = 0, 0, state == 1
            if which and _bit(haploid, i):
                first, second, joined = code, -2, False
                if code == 3:
                    first = -1
            elif code == 3:
                first, second, joined = -1, -1, False
            elif code == 2:
                first, second = 1, 1
            elif code == 1:
                swapped = True  # an unphased het reads 0/1
                if state:
                    if state == 2:
                        joined = (phase[bit >> 3] >> (bit & 7)) & 1 == 1
                        bit += 1
                    written = (phase[bit >> 3] >> (bit & 7)) & 1 == 1
                    bit += 1
                    if joined:
                        swapped = written
                first, second = (0, 1) if swapped else (1, 0)
            alleles[k, i, 0] = first
            alleles[k, i, 1] = second
            phased[k, i] = joined
        if kind & ROW_HALF:
            for j in range(np.int64(half_starts[hints[2]]), np.int64(half_starts[hints[2] + 1])):
                i = np.int64(half[j] >> 4)
                alt = np.int8((half[j] >> 1) & 1)
                is_second = (half[j] >> 2) & 1 == 1
                alleles[k, i, 0] = -1 if is_second else alt
                alleles[k, i, 1] = alt if is_second else -1
                phased[k, i] = (half[j] >> 3) & 1 == 1


# ---- packing: from an `EncodedBatch` to a shard's columns, and back


@kernel(types.void(_bytes_in, _u32_in, _ints_in, _table_in, _u32_in, _ints_in, types.int64[:, ::1]))
def measure_batch(flags, carriers, carrier_offsets, rows, missing, missing_offsets, out):
    """Fill `out` (n, 4): samples with one copy, two copies, nothing called, half a call, of each variant of a batch."""
    dense = 0
    for v in range(flags.size):
        one, two, full, half = 0, 0, 0, 0
        for j in range(missing_offsets[v], missing_offsets[v + 1]):
            half += np.int64(missing[j] & 1)
        if flags[v] & 1:
            low_bits = np.uint64(0x5555555555555555)
            n_low, n_high, n_both = np.uint64(0), np.uint64(0), np.uint64(0)
            for i in range(rows.shape[1]):
                low = rows[dense, i] & low_bits
                high = (rows[dense, i] >> np.uint64(1)) & low_bits
                n_low += popcount(low)
                n_high += popcount(high)
                n_both += popcount(low & high)
            one, two, full = np.int64(n_low - n_both), np.int64(n_high - n_both), np.int64(n_both) - half
            dense += 1
        else:
            for j in range(carrier_offsets[v], carrier_offsets[v + 1]):
                two += np.int64(carriers[j] & 1)
            one = carrier_offsets[v + 1] - carrier_offsets[v] - two
            full = missing_offsets[v + 1] - missing_offsets[v] - half
        out[v, 0], out[v, 1], out[v, 2], out[v, 3] = one, two, full, half


@njit(nogil=True, inline="always")
def _even_bits(word):
    """The 32 bits at even places, pressed together."""
    word &= np.uint64(0x5555555555555555)
    word = (word | (word >> np.uint64(1))) & np.uint64(0x3333333333333333)
    word = (word | (word >> np.uint64(2))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    word = (word | (word >> np.uint64(4))) & np.uint64(0x00FF00FF00FF00FF)
    word = (word | (word >> np.uint64(8))) & np.uint64(0x0000FFFF0000FFFF)
    return (word | (word >> np.uint64(16))) & np.uint64(0x00000000FFFFFFFF)


@kernel(
    types.void(
        _bytes_in, _u32_in, _ints_in, _table_in, _u32_in, _ints_in,
        _bytes_in, types.uint32[::1], types.uint64[:, ::1], types.uint32[::1], types.uint32[::1],
    )
)  # fmt: skip
def pack_batch(
    flags, carriers, carrier_offsets, rows, missing, missing_offsets, kinds, out_carriers, planes, out_missing, out_half
):
    """Write a batch's calls in the forms that `kinds` (n,) chooses: ROW_LOW, ROW_LOW | ROW_HIGH, or neither."""
    words = planes.shape[1]
    dense, n_carriers, plane, n_missing, n_half = 0, 0, 0, 0, 0
    for v in range(flags.size):
        low_plane, high_plane = kinds[v] & ROW_LOW, kinds[v] & ROW_HIGH
        if flags[v] & 1:
            if high_plane:
                for i in range(words):
                    first = rows[dense, 2 * i]
                    second = rows[dense, 2 * i + 1] if 2 * i + 1 < rows.shape[1] else np.uint64(0)
                    planes[plane, i] = _even_bits(first) | (_even_bits(second) << np.uint64(32))
                    planes[plane + 1, i] = _even_bits(first >> np.uint64(1)) | (
                        _even_bits(second >> np.uint64(1)) << np.uint64(32)
                    )
            else:
                j = missing_offsets[v]
                if low_plane:
                    planes[plane, :] = 0
                for i in range(rows.shape[1]):
                    left = (rows[dense, i] | (rows[dense, i] >> np.uint64(1))) & np.uint64(0x5555555555555555)
                    while left:
                        bit = _trailing_zeros(left)
                        left &= left - np.uint64(1)
                        sample = i * 32 + np.int64(bit >> np.uint64(1))
                        code = (rows[dense, i] >> bit) & np.uint64(3)
                        if code == 3:
                            while j < missing_offsets[v + 1] and np.int64(missing[j] >> 4) < sample:
                                j += 1
                            if not (j < missing_offsets[v + 1] and np.int64(missing[j] >> 4) == sample):
                                out_missing[n_missing] = sample
                                n_missing += 1
                        elif code == 1 and low_plane:
                            planes[plane, sample >> 6] |= np.uint64(1) << np.uint64(sample & 63)
                        else:
                            out_carriers[n_carriers] = (sample << 1) | np.int64(code == 2)
                            n_carriers += 1
            for j in range(missing_offsets[v], missing_offsets[v + 1]):
                out_half[n_half] = missing[j]
                n_half += 1
            dense += 1
        else:
            if low_plane:
                planes[plane, :] = 0
            if high_plane:
                planes[plane + 1, :] = 0
            for j in range(carrier_offsets[v], carrier_offsets[v + 1]):
                sample = np.int64(carriers[j] >> 1)
                bit = np.uint64(1) << np.uint64(sample & 63)
                if high_plane:
                    planes[plane + np.int64(carriers[j] & 1), sample >> 6] |= bit
                elif low_plane and not carriers[j] & 1:
                    planes[plane, sample >> 6] |= bit
                else:
                    out_carriers[n_carriers] = carriers[j]
                    n_carriers += 1
            for j in range(missing_offsets[v], missing_offsets[v + 1]):
                sample = np.int64(missing[j] >> 4)
                if high_plane:
                    bit = np.uint64(1) << np.uint64(sample & 63)
                    planes[plane, sample >> 6] |= bit
                    planes[plane + 1, sample >> 6] |= bit
                if missing[j] & 1:
                    out_half[n_half] = missing[j]
                    n_half += 1
                elif not high_plane:
                    out_missing[n_missing] = sample
                    n_missing += 1
        plane += 2 if high_plane else 1 if low_plane else 0


@kernel(types.int64(_bytes_in, _toc_in, types.int64, types.int64, types.uint32[::1], types.uint64[::1], types.uint32[::1],
                  types.int64[:, ::1]))  # fmt: skip
def unpack_row(buf, toc, row, limit, carriers, dense_row, missing, sizes):
    """One row back in the form of an `EncodedBatch`; `sizes[0]` gets entries of `carriers` and `missing`.

    Returns 1 where the row is dense (more than `limit` entries; then `dense_row` holds it), else 0.
    """
    n_samples = toc[0, 0]
    codes = np.empty(-(-n_samples // 64) * 64, np.uint8)
    hints = np.zeros(3, np.int64)
    _row_codes(buf, toc, row, hints, codes)
    half_starts, half = _u32(buf, toc, _HALF_STARTS), _u32(buf, toc, _HALF)
    j, stop = 0, 0
    if _u8(buf, toc, _FLAGS)[row] & ROW_HALF:
        j, stop = np.int64(half_starts[hints[2]]), np.int64(half_starts[hints[2] + 1])
    entries = 0
    for i in range(n_samples):
        entries += codes[i] != 0
    dense = entries > limit
    dense_row[:] = 0
    n_carriers, n_missing = 0, 0
    for i in range(n_samples):
        code = codes[i]
        if code == 0:
            continue
        is_half = code == 3 and j < stop and np.int64(half[j] >> 4) == i
        if dense:
            dense_row[i >> 5] |= np.uint64(code) << np.uint64(2 * (i & 31))
        elif code < 3:
            carriers[n_carriers] = (i << 1) | np.int64(code == 2)
            n_carriers += 1
        if code == 3 and (is_half or not dense):
            missing[n_missing] = half[j] if is_half else np.uint32(i << 4)
            n_missing += 1
        j += is_half
    sizes[0, 0], sizes[0, 1] = n_carriers, n_missing
    return np.int64(dense)


# ---- identifiers


@njit(nogil=True)
def _is_named(text, contig, position, alleles, separator, prefix):
    """Whether `text` is contig, position (1-based) and alleles, joined by `separator`."""
    len_digits = _digits(position)
    if text.size != prefix.size + contig.size + alleles.size + len_digits + 2:
        return False
    at = 0
    for byte in prefix:
        if text[at] != byte:
            return False
        at += 1
    for byte in contig:
        if text[at] != byte:
            return False
        at += 1
    if text[at] != separator or text[at + 1 + len_digits] != separator:
        return False
    left = position
    for i in range(len_digits):
        if text[at + len_digits - i] != 48 + left % 10:
            return False
        left //= 10
    at += 2 + len_digits
    for byte in alleles:
        if text[at] != (separator if byte == 9 else byte):
            return False
        at += 1
    return True


@njit(nogil=True)
def _digits(number):
    n = 1
    while number >= 10:
        number //= 10
        n += 1
    return n


@kernel(types.void(_bytes_in, _ints_in, _bytes_in, _u32_in, _bytes_in, _ints_in, _bytes_in, _bytes_in, types.uint32[::1]))
def classify_ids(heap, offsets, contig, position, alleles, allele_offsets, prefix, separators, out):
    """One number for each identifier: none, an rs number, the variant's own name in one of the usual forms, or text."""
    for v in range(position.size):
        text = heap[offsets[v] : offsets[v + 1]]
        out[v] = ID_TEXT
        if text.size == 0:
            out[v] = ID_NONE
        elif 3 <= text.size <= 12 and text[0] == 114 and text[1] == 115 and 49 <= text[2] <= 57:
            number, plain = np.int64(0), True
            for i in range(2, text.size):
                plain = plain and 48 <= text[i] <= 57
                number = number * 10 + np.int64(text[i]) - 48
            if plain and number < ID_TEXT:
                out[v] = number
        else:
            own = alleles[allele_offsets[v] : allele_offsets[v + 1]]
            for s in range(separators.size):
                for with_prefix in range(2):
                    if _is_named(text, contig, np.int64(position[v]) + 1, own, separators[s], prefix[: 3 * with_prefix]):
                        out[v] = ID_NAMED + 2 * s + with_prefix


def warm() -> None:
    """Have every kernel compiled, or read from Numba's cache, before the first question comes."""
    compile_all(globals())
