"""The compiled loops of sums over people: listed carriers, bitmaps of common variants, and people without a call.

Shards reach them as they reach the kernels of the store. `index` (samples, rounded up to 64) int64 is the row of a table
that belongs to a sample, or -1 where it is nobody's.
"""

# ruff: noqa: PLR0917 - a loop that is compiled whole takes its arrays one by one.
# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# The types of kernels stand in their Numba signatures.

from __future__ import annotations

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from llvmlite.binding import get_host_cpu_features  # type: ignore[import-untyped]
from numba import types
from numba.core.cgutils import get_or_insert_function
from numba.extending import intrinsic

from cohelix.genotypes import kernels as k
from cohelix.stats.compiled import kernel
from cohelix.stats.numba_start import njit

_LANES = COLUMNS = 8  # float64 numbers of a vector of AVX-512; other processors work on it in parts
# Rows and vectors of a tile of sums, as many as the registers hold: 32 of 8 numbers with AVX-512, else 16 of 4.
TILE_ROWS, _VECTORS = (8, 2) if get_host_cpu_features().get("avx512f") else (4, 1)

_bytes_in = types.Array(types.uint8, 1, "C", readonly=True)
_words_in = types.Array(types.uint64, 1, "C", readonly=True)
_ints_in = types.Array(types.int64, 1, "C", readonly=True)
_toc_in = types.Array(types.int64, 2, "C", readonly=True)
_table_in = types.Array(types.float64, 2, "C", readonly=True)
_bits = types.uint64[:, ::1]
_counts = types.int64[:, ::1]
_sums = types.float64[:, ::1]


# ---- rows that list their carriers


@njit(nogil=True, inline="always")
def _haploid_of(buf, toc, row, words):
    """Bitmap of a row's haploid samples; empty where everybody is diploid."""
    pattern, ploidy = k._u16(buf, toc, k._PATTERN), k._u64(buf, toc, k._PLOIDY)
    which = np.int64(pattern[row]) if pattern.size else 0
    return ploidy[max(which - 1, 0) * words : which * words]


@njit(nogil=True)
def _add_people(people, factors, table, sums):
    """Add to `sums` (columns,) the table's rows of some people, each times a factor."""
    whole = table.shape[1] // COLUMNS * COLUMNS
    for c in range(0, whole, COLUMNS):  # eight sums in registers, written out so that they become one vector
        s0, s1, s2, s3, s4, s5, s6, s7 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for j in range(people.size):
            row, factor = table[people[j]], factors[j]
            s0 += factor * row[c]
            s1 += factor * row[c + 1]
            s2 += factor * row[c + 2]
            s3 += factor * row[c + 3]
            s4 += factor * row[c + 4]
            s5 += factor * row[c + 5]
            s6 += factor * row[c + 6]
            s7 += factor * row[c + 7]
        sums[c] += s0
        sums[c + 1] += s1
        sums[c + 2] += s2
        sums[c + 3] += s3
        sums[c + 4] += s4
        sums[c + 5] += s5
        sums[c + 6] += s6
        sums[c + 7] += s7
    for c in range(whole, table.shape[1]):
        total = 0.0
        for j in range(people.size):
            total += factors[j] * table[people[j], c]
        sums[c] += total


@njit(nogil=True)
def _listed(buf, toc, listed, rows, places, index, two_copies, table, squares, n, sums, square_sums):
    words = -(-toc[0, 0] // 64)
    starts = k._u32(buf, toc, k._CARRIER_STARTS)
    people, copies = np.empty(64 * words, np.int64), np.empty(64 * words)
    for number in range(rows.size):
        row, place = rows[number], places[number]
        start, stop = np.int64(starts[row]), np.int64(starts[row + 1])
        if start == stop:
            continue
        haploid = _haploid_of(buf, toc, row, words)
        size, twos = 0, 0
        for j in range(start, stop):
            sample = np.int64(listed[j] >> 1)
            two = np.int64(listed[j] & 1)
            if two_copies and haploid.size:
                two |= np.int64(k._bit(haploid, sample))
            people[size] = index[sample]
            copies[size] = 1.0 + two
            here = np.int64(index[sample] >= 0)
            size += here
            twos += here & two
        n[place, 0] += size - twos
        n[place, 1] += twos
        _add_people(people[:size], copies[:size], table, sums[place])
        if squares.shape[1]:
            for j in range(size):
                copies[j] *= copies[j]
            _add_people(people[:size], copies[:size], squares, square_sums[place])


@kernel(
    types.void(_bytes_in, _toc_in, _ints_in, _ints_in, _ints_in, types.boolean, _table_in, _table_in, _counts, _sums, _sums)
)  # fmt: skip
def add_listed(buf, toc, rows, places, index, two_copies, table, squares, n, sums, square_sums):
    """Add rows that list their carriers, at `places` of the sums: columns 0, 1 of `n` count those with one copy, two."""
    if toc[0, 1] == 2:
        _listed(buf, toc, k._u16(buf, toc, k._CARRIERS), rows, places, index, two_copies, table, squares, n, sums, square_sums)
    else:
        _listed(buf, toc, k._u32(buf, toc, k._CARRIERS), rows, places, index, two_copies, table, squares, n, sums, square_sums)


# ---- people without a call


@njit(nogil=True)
def _missing(buf, toc, listed, rows, places, index, table, squares, n, missing, missing_squares):
    words = -(-toc[0, 0] // 64)
    kinds = k._u8(buf, toc, k._FLAGS)
    plane_rows, plane_starts = k._u32(buf, toc, k._PLANE_ROWS), k._u32(buf, toc, k._PLANE_STARTS)
    planes = k._u64(buf, toc, k._PLANES)
    missing_rows, missing_starts = k._u32(buf, toc, k._MISSING_ROWS), k._u32(buf, toc, k._MISSING_STARTS)
    half_rows, half_starts = k._u32(buf, toc, k._HALF_ROWS), k._u32(buf, toc, k._HALF_STARTS)
    half = k._u32(buf, toc, k._HALF)
    at_plane, at_missing, at_half = 0, 0, 0
    found, ones = np.empty(64 * words, np.int64), np.ones(64 * words)
    for number in range(rows.size):
        row, place = rows[number], places[number]
        size = 0
        if kinds[row] & k.ROW_HIGH:  # planes mark half-called samples as missing, too
            at_plane = k._find(plane_rows, row, at_plane)
            start = np.int64(plane_starts[at_plane]) * words
            for i in range(words):
                left = planes[start + i] & planes[start + words + i]
                while left:
                    found[size] = 64 * i + np.int64(k._trailing_zeros(left))
                    left &= left - np.uint64(1)
                    size += 1
        else:
            if kinds[row] & k.ROW_MISSING:
                at_missing = k._find(missing_rows, row, at_missing)
                for j in range(np.int64(missing_starts[at_missing]), np.int64(missing_starts[at_missing + 1])):
                    found[size] = listed[j]
                    size += 1
            if kinds[row] & k.ROW_HALF:
                at_half = k._find(half_rows, row, at_half)
                for j in range(np.int64(half_starts[at_half]), np.int64(half_starts[at_half + 1])):
                    found[size] = half[j] >> 4
                    size += 1
        here = 0
        for j in range(size):
            found[here] = index[found[j]]
            here += np.int64(found[here] >= 0)
        n[place, 2] += here
        if here:
            _add_people(found[:here], ones[:here], table, missing[place])
            _add_people(found[:here], ones[:here], squares, missing_squares[place])


@kernel(types.void(_bytes_in, _toc_in, _ints_in, _ints_in, _ints_in, _table_in, _table_in, _counts, _sums, _sums))  # fmt: skip
def add_missing(buf, toc, rows, places, index, table, squares, n, missing, missing_squares):
    """Add the people without a call in rows of any form, at `places` of the sums; column 2 of `n` counts them."""
    if toc[0, 1] == 2:
        _missing(buf, toc, k._u16(buf, toc, k._MISSING), rows, places, index, table, squares, n, missing, missing_squares)
    else:
        _missing(buf, toc, k._u32(buf, toc, k._MISSING), rows, places, index, table, squares, n, missing, missing_squares)


# ---- rows with planes


@njit(nogil=True)
def _bitmaps(buf, toc, listed, rows, places, members, two_copies, n, one, two):
    words = members.size
    kinds, starts = k._u8(buf, toc, k._FLAGS), k._u32(buf, toc, k._CARRIER_STARTS)
    plane_rows, plane_starts = k._u32(buf, toc, k._PLANE_ROWS), k._u32(buf, toc, k._PLANE_STARTS)
    planes = k._u64(buf, toc, k._PLANES)
    at_plane = 0
    for number in range(rows.size):
        row = rows[number]
        at_plane = k._find(plane_rows, row, at_plane)
        start = np.int64(plane_starts[at_plane]) * words
        of_one, of_two = one[number], two[number]
        if kinds[row] & k.ROW_HIGH:
            for i in range(words):
                low, high = planes[start + i], planes[start + words + i]
                of_one[i] = low & ~high
                of_two[i] = high & ~low
        else:
            of_one[:] = planes[start : start + words]
            of_two[:] = 0
        for j in range(np.int64(starts[row]), np.int64(starts[row + 1])):
            sample = np.int64(listed[j] >> 1)
            bit = np.uint64(1) << np.uint64(sample & 63)
            if listed[j] & 1:
                of_two[sample >> 6] |= bit
            else:
                of_one[sample >> 6] |= bit
        haploid = _haploid_of(buf, toc, row, words)
        if two_copies and haploid.size:
            for i in range(words):
                doubled = of_one[i] & haploid[i]
                of_one[i] ^= doubled
                of_two[i] |= doubled
        n_one, n_two = np.uint64(0), np.uint64(0)
        for i in range(words):
            of_one[i] &= members[i]
            of_two[i] &= members[i]
            n_one += k.popcount(of_one[i])
            n_two += k.popcount(of_two[i])
        n[places[number], 0] += np.int64(n_one)
        n[places[number], 1] += np.int64(n_two)


@kernel(types.void(_bytes_in, _toc_in, _ints_in, _ints_in, _words_in, types.boolean, _counts, _bits, _bits))  # fmt: skip
def bitmaps(buf, toc, rows, places, members, two_copies, n, one, two):
    """Fill bitmaps (rows, words) of the members with one copy and with two, of rows with planes; columns 0, 1 of `n` count."""
    if toc[0, 1] == 2:
        _bitmaps(buf, toc, k._u16(buf, toc, k._CARRIERS), rows, places, members, two_copies, n, one, two)
    else:
        _bitmaps(buf, toc, k._u32(buf, toc, k._CARRIERS), rows, places, members, two_copies, n, one, two)


_VECTOR, _MASK = ir.VectorType(ir.DoubleType(), _LANES), ir.VectorType(ir.IntType(1), _LANES)
_UNDEFINED = ir.Constant(_VECTOR, ir.Undefined)


def _number(value):
    return ir.Constant(ir.IntType(64), value)


def _splat(builder, value):
    """A vector of one value."""
    first = builder.insert_element(_UNDEFINED, value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, _UNDEFINED, ir.Constant(ir.VectorType(ir.IntType(32), _LANES), [0] * _LANES))


def _vector_at(builder, numbers, place):
    return builder.bitcast(builder.gep(numbers, [place]), _VECTOR.as_pointer())


@intrinsic
def _decode_word(_context, _one, _two, _of_two, dosages, _at):
    """Write 64 people from `at` on: 1 where `one` has a bit, `of_two` where `two` has; eight people by one instruction."""

    def generate(context, builder, signature, arguments):
        one, two, of_two, array, at = arguments
        out = context.make_array(signature.args[3])(context, builder, array).data
        zeros, ones = (ir.Constant(_VECTOR, [value] * _LANES) for value in (0.0, 1.0))
        twos = _splat(builder, of_two)
        for first in range(0, 64, _LANES):
            is_one, is_two = (
                builder.bitcast(builder.trunc(builder.lshr(word, _number(first)), ir.IntType(_LANES)), _MASK)
                for word in (one, two)
            )
            decoded = builder.select(is_two, twos, builder.select(is_one, ones, zeros))
            builder.store(decoded, _vector_at(builder, out, builder.add(at, _number(first))), align=8)
        return context.get_dummy_value()

    return types.void(types.uint64, types.uint64, types.float64, dosages, types.int64), generate


def _tile_product(vectors):
    """The product of a few rows of 64 dosages with `vectors` × 8 columns, whose sums stay in registers."""

    @intrinsic
    def multiply(_context, dosages, table, _column, _width, sums, _at):
        def generate(context, builder, signature, arguments):
            array, factors, column, width, totals, at = arguments
            left, right, out = (
                context.make_array(signature.args[i])(context, builder, one).data
                for i, one in ((0, array), (1, factors), (4, totals))
            )
            multiply_add = get_or_insert_function(
                builder.module, ir.FunctionType(_VECTOR, [_VECTOR] * 3), f"llvm.fmuladd.v{_LANES}f64"
            )
            before = builder.block
            body, after = (builder.function.append_basic_block(name) for name in ("body", "after"))
            places = [
                _vector_at(builder, out, builder.add(builder.add(at, builder.mul(width, _number(row))), _number(_LANES * i)))
                for row in range(TILE_ROWS)
                for i in range(vectors)
            ]
            started = [builder.load(place, align=8) for place in places]
            builder.branch(body)

            builder.position_at_end(body)
            person = builder.phi(ir.IntType(64))
            person.add_incoming(_number(0), before)
            running = [builder.phi(_VECTOR) for _ in places]
            for total, start in zip(running, started, strict=True):
                total.add_incoming(start, before)
            row_of_table = builder.add(column, builder.mul(person, width))
            values = [
                builder.load(_vector_at(builder, right, builder.add(row_of_table, _number(_LANES * i))), align=8)
                for i in range(vectors)
            ]
            added = []
            for row in range(TILE_ROWS):
                dosage = _splat(builder, builder.load(builder.gep(left, [builder.add(person, _number(64 * row))])))
                added += [builder.call(multiply_add, [dosage, values[i], running[row * vectors + i]]) for i in range(vectors)]
            following = builder.add(person, _number(1))
            person.add_incoming(following, body)
            for total, new in zip(running, added, strict=True):
                total.add_incoming(new, body)
            builder.cbranch(builder.icmp_signed("<", following, _number(64)), body, after)

            builder.position_at_end(after)
            for new, place in zip(added, places, strict=True):
                builder.store(new, place, align=8)
            return context.get_dummy_value()

        integer = types.int64
        return types.void(dosages, table, integer, integer, sums, integer), generate

    return multiply


_multiply_wide, _multiply_narrow = _tile_product(_VECTORS), _tile_product(1)


@kernel(types.void(_bits, _bits, types.float64, _ints_in, _table_in, _sums))
def multiply_bitmaps(one, two, of_two, index, table, sums):
    """Add bitmaps times a table to `sums`: a person counts 1 in `one` and `of_two` in `two`.

    Rows are a multiple of `TILE_ROWS`; the columns of `sums` are those of the table, rounded up to `COLUMNS`. 64 people at a
    time: their rows of the table are gathered once, in the order of samples, and their dosages decoded tile by tile, so that
    neither is ever written further than the cache.
    """
    n_rows, words = one.shape
    width, padded = table.shape[1], sums.shape[1]
    dosages, people = np.empty(TILE_ROWS * 64), np.zeros((64, padded))
    for word in range(words):
        for i in range(64):
            person = index[64 * word + i]
            if person < 0:
                people[i, :] = 0
            else:
                people[i, :width] = table[person]
        for first in range(0, n_rows, TILE_ROWS):
            for row in range(TILE_ROWS):
                _decode_word(one[first + row, word], two[first + row, word], of_two, dosages, 64 * row)
            column = 0
            while column + COLUMNS * _VECTORS <= padded:
                _multiply_wide(dosages, people, column, padded, sums, first * padded + column)
                column += COLUMNS * _VECTORS
            while column < padded:
                _multiply_narrow(dosages, people, column, padded, sums, first * padded + column)
                column += COLUMNS
