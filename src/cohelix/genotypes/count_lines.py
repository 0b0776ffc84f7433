"""The compiled loop of sites files: lines of a VCF without samples to trimmed alleles and the counts in INFO."""

# ruff: noqa: PLR0912, PLR0915, PLR0917, PLR1714, SIM102 - a loop that is compiled whole takes its arrays one by one.
# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# The kernels see plain arrays only.

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from cohelix.core.arrays import ByteArray, IntArray, UintArray, WordArray
from cohelix.stats.numba_start import njit

ENTRIES_MOST: Final = 1 << 15  # entries of one batch, and bytes of its texts beside one record's
TEXT_BYTES: Final = 1 << 21
UNKNOWN: Final = -1
# Slots of `state`.
S_OFFSET, S_ENTRIES, S_RECORDS, S_ALLELES, S_IDS, S_LAST, S_ERROR, S_DETAIL, S_STOP = range(9)
STOP_ROOM, STOP_CONTIG, STOP_ERROR = 1, 2, 3
ERRORS: Final = {
    1: ("a header line stands among the records", "records only below the #CHROM line"),
    2: ("the line is empty", "one record a line"),
    3: ("the record has fewer than eight columns", "CHROM to INFO, separated by tabs"),
    4: ("POS is not a position", "a whole number from 1"),
    5: ("the position is beyond the end of the contig", "a position of this assembly"),
    6: ("the position comes before that of the record above", "records sorted by position"),
    7: ("REF is not spelled with A, C, G, T, N", "bases"),
    8: ("an ALT is empty or not an allele", "bases, `*`, `.`, a breakend or a symbol such as <DEL>"),
    9: ("a count is not a whole number", "digits, or `.` for unknown"),
    10: ("a count has neither one value nor one for each ALT", "Number=A, or Number=1 for AN"),
}

_FNV_OFFSET, _FNV_PRIME = np.uint64(14695981039346656037), np.uint64(1099511628211)


class Keys(NamedTuple):
    """INFO keys that are wanted: a hash table of slots (power of two; -1 empty), and their texts to compare with."""

    slots: IntArray
    hashes: WordArray
    text: ByteArray
    offsets: IntArray


class Entries(NamedTuple):
    """Room for the entries of a batch, one for each ALT."""

    position: UintArray
    end: UintArray
    record: IntArray  # ordinal of the record within the buffer
    fingerprint: WordArray  # of the trimmed alleles
    allele_offsets: IntArray
    alleles: ByteArray
    id_offsets: IntArray
    ids: ByteArray
    values: np.ndarray[tuple[int, int], np.dtype[np.int32]]  # (entries, keys), UNKNOWN where not given


def keys_of(names: list[str]) -> Keys:
    """The table of these keys, in their order."""
    size = 8
    while size < 4 * len(names):
        size *= 2
    slots, hashes = np.full(size, -1, np.int64), np.zeros(len(names), np.uint64)
    texts = [name.encode() for name in names]
    for number, text in enumerate(texts):
        value = int(_FNV_OFFSET)
        for byte in text:
            value = ((value ^ byte) * int(_FNV_PRIME)) & 0xFFFF_FFFF_FFFF_FFFF
        hashes[number] = value
        at = value & (size - 1)
        while slots[at] >= 0:
            at = (at + 1) & (size - 1)
        slots[at] = number
    offsets = np.cumsum([0, *map(len, texts)], dtype=np.int64)
    return Keys(slots, hashes, np.frombuffer(b"".join(texts) or b"\0", np.uint8).copy(), offsets)


def new_entries(n_keys: int, text_bytes: int) -> Entries:
    """Room for a batch whose longest record has `text_bytes`."""
    n, room = ENTRIES_MOST, TEXT_BYTES + text_bytes
    return Entries(
        np.empty(n, np.uint32),
        np.empty(n, np.uint32),
        np.empty(n, np.int64),
        np.empty(n, np.uint64),
        np.zeros(n + 1, np.int64),
        np.empty(room, np.uint8),
        np.zeros(n + 1, np.int64),
        np.empty(room, np.uint8),
        np.empty((n, max(n_keys, 1)), np.int32),
    )


@njit(nogil=True, cache=True)
def _base(byte):
    """A base in upper case; 0 for any other byte."""
    upper = byte & 0xDF
    if upper == 65 or upper == 67 or upper == 71 or upper == 84 or upper == 78:
        return upper
    return 0


@njit(nogil=True, cache=True)
def put_alleles(ref_buf, ref, ref_end, alt_buf, alt, alt_end, position, heap, at, placed):
    """Write `REF\\tALT`, trimmed right then left, from heap[at] on.

    `placed` becomes position, end of REF, whether ALT is spelled out. Returns the new place in the heap; -7 where REF,
    -8 where ALT is no allele.
    """
    if ref_end <= ref:
        return -7
    for i in range(ref, ref_end):
        if _base(ref_buf[i]) == 0:
            return -7
    if alt_end <= alt:
        return -8
    spelled = True
    for i in range(alt, alt_end):
        if _base(alt_buf[i]) == 0:
            spelled = False
            break
    first = alt_buf[alt]
    if not spelled:
        symbol = first == 60 and alt_buf[alt_end - 1] == 62 and alt_end - alt > 2
        single = alt_end - alt == 1 and (first == 42 or first == 46)
        mate = False
        for i in range(alt, alt_end):
            if alt_buf[i] == 91 or alt_buf[i] == 93:
                mate = True
        if alt_end - alt > 1 and (first == 46 or alt_buf[alt_end - 1] == 46):
            mate = True
        if not (symbol or single or mate):
            return -8
    else:
        while ref_end - ref > 1 and alt_end - alt > 1 and _base(ref_buf[ref_end - 1]) == _base(alt_buf[alt_end - 1]):
            ref_end -= 1
            alt_end -= 1
        while ref_end - ref > 1 and alt_end - alt > 1 and _base(ref_buf[ref]) == _base(alt_buf[alt]):
            ref += 1
            alt += 1
            position += 1
    for i in range(ref, ref_end):
        heap[at] = _base(ref_buf[i])
        at += 1
    heap[at] = 9
    at += 1
    for i in range(alt, alt_end):
        heap[at] = _base(alt_buf[i]) if spelled else alt_buf[i]
        at += 1
    placed[0], placed[1], placed[2] = position, position + ref_end - ref, spelled
    return at


@njit(nogil=True, cache=True)
def fingerprint_of(heap, start, stop):
    """FNV-1a of a stretch of bytes."""
    value = np.uint64(14695981039346656037)
    for i in range(start, stop):
        value = (value ^ np.uint64(heap[i])) * np.uint64(1099511628211)
    return value


@njit(nogil=True, cache=True)
def _whole_number(buf, start, stop):
    """The number in digits, UNKNOWN for `.`, -2 where it is neither or beyond 2**31 - 1."""
    if stop - start == 1 and buf[start] == 46:
        return -1
    if stop <= start or stop - start > 10:
        return -2
    value = 0
    for i in range(start, stop):
        digit = np.int64(buf[i]) - 48
        if digit < 0 or digit > 9:
            return -2
        value = value * 10 + digit
    return value if value < 2147483648 else -2


@njit(nogil=True, cache=True)
def _key(buf, start, stop, value, slots, hashes, text, offsets):
    """The number of a wanted key; -1 for any other."""
    mask = len(slots) - 1
    at = np.int64(value & np.uint64(mask))
    while slots[at] >= 0:
        number = slots[at]
        if hashes[number] == value and offsets[number + 1] - offsets[number] == stop - start:
            same = True
            for i in range(stop - start):
                if buf[start + i] != text[offsets[number] + i]:
                    same = False
                    break
            if same:
                return number
        at = (at + 1) & mask
    return -1


@njit(nogil=True, cache=True)
def scan_lines(
    buf, size, name, contig_length, end_key, slots, hashes, key_text, key_offsets,
    position, end, record, fingerprint, allele_offsets, alleles, id_offsets, ids, values, state,
):  # fmt: skip
    """Read lines from state[S_OFFSET] on while they are of contig `name` and there is room; see `Entries`.

    `end_key` is the number of INFO's END among the keys, or -1: it ends a symbolic ALT.
    """
    n, offset, records = 0, state[S_OFFSET], state[S_RECORDS]
    allele_at, id_at = 0, 0
    placed = np.zeros(3, np.int64)
    tabs = np.zeros(9, np.int64)
    state[S_STOP], state[S_ERROR] = 0, 0
    while offset < size:
        line_end = offset
        n_tabs = 0
        tabs[0] = offset
        while line_end < size and buf[line_end] != 10:
            if buf[line_end] == 9 and n_tabs < 8:
                n_tabs += 1
                tabs[n_tabs] = line_end + 1
            line_end += 1
        stop = line_end
        if stop > offset and buf[stop - 1] == 13:
            stop -= 1
        if n_tabs < 8:
            for i in range(n_tabs + 1, 9):
                tabs[i] = stop + 1
        error = 0
        if stop == offset:
            error = 2
        elif buf[offset] == 35:
            error = 1
        elif n_tabs < 7:
            error = 3
        if error:
            state[S_ERROR], state[S_STOP] = error, STOP_ERROR
            break
        same = tabs[1] - 1 - offset == len(name)
        if same:
            for i in range(len(name)):
                if buf[offset + i] != name[i]:
                    same = False
                    break
        if not same:
            state[S_STOP] = STOP_CONTIG
            break
        pos = _whole_number(buf, tabs[1], tabs[2] - 1)
        if pos < 1:
            state[S_ERROR], state[S_STOP] = 4, STOP_ERROR
            break
        if contig_length and pos > contig_length:
            state[S_ERROR], state[S_STOP], state[S_DETAIL] = 5, STOP_ERROR, pos
            break
        if pos - 1 < state[S_LAST]:
            state[S_ERROR], state[S_STOP], state[S_DETAIL] = 6, STOP_ERROR, pos
            break
        n_alts = 1
        for i in range(tabs[4], tabs[5] - 1):
            if buf[i] == 44:
                n_alts += 1
        text = (tabs[4] - tabs[3] + 1) * n_alts + tabs[5] - tabs[4] + (tabs[3] - tabs[2]) * n_alts
        if n_alts > len(position) or text > len(alleles):
            state[S_ERROR], state[S_STOP] = 8, STOP_ERROR
            break
        if n + n_alts > len(position) or allele_at + text > len(alleles) or id_at + text > len(ids):
            state[S_STOP] = STOP_ROOM
            break
        # INFO, once for all ALTs.
        for a in range(n_alts):
            for k in range(values.shape[1]):
                values[n + a, k] = -1
        info_end = min(tabs[8] - 1, stop)
        at = tabs[7]
        while at < info_end and not error:
            value = np.uint64(14695981039346656037)
            mark = at
            while mark < info_end and buf[mark] != 61 and buf[mark] != 59:
                value = (value ^ np.uint64(buf[mark])) * np.uint64(1099511628211)
                mark += 1
            number = -1
            if mark < info_end and buf[mark] == 61:
                number = _key(buf, at, mark, value, slots, hashes, key_text, key_offsets)
                mark += 1
                if number < 0:
                    while mark < info_end and buf[mark] != 59:
                        mark += 1
                else:
                    n_values, first = 0, mark
                    while True:
                        if mark == info_end or buf[mark] == 44 or buf[mark] == 59:
                            count = _whole_number(buf, first, mark)
                            if count == -2:
                                error = 9
                                state[S_DETAIL] = number
                                break
                            if n_values < n_alts:
                                values[n + n_values, number] = count
                            n_values += 1
                            first = mark + 1
                            if mark == info_end or buf[mark] == 59:
                                break
                        mark += 1
                    if not error and n_values != n_alts:
                        if n_values == 1:
                            for a in range(1, n_alts):
                                values[n + a, number] = values[n, number]
                        else:
                            error = 10
                            state[S_DETAIL] = number
            at = mark + 1
        if error:
            state[S_ERROR], state[S_STOP] = error, STOP_ERROR
            break
        # One entry for each ALT.
        alt = tabs[4]
        alts_end = tabs[5] - 1
        for a in range(n_alts):
            alt_end = alt
            while alt_end < alts_end and buf[alt_end] != 44:
                alt_end += 1
            placed_at = put_alleles(buf, tabs[3], tabs[4] - 1, buf, alt, alt_end, pos - 1, alleles, allele_at, placed)
            if placed_at < 0:
                error = -placed_at
                break
            entry = n + a
            allele_offsets[entry] = allele_at
            fingerprint[entry] = fingerprint_of(alleles, allele_at, placed_at)
            allele_at = placed_at
            allele_offsets[entry + 1] = allele_at
            position[entry], end[entry], record[entry] = placed[0], placed[1], records
            if placed[2] == 0 and end_key >= 0 and values[entry, end_key] >= placed[1]:
                if contig_length == 0 or values[entry, end_key] <= contig_length:
                    end[entry] = values[entry, end_key]
            if not (tabs[3] - 1 - tabs[2] == 1 and buf[tabs[2]] == 46):
                for i in range(tabs[2], tabs[3] - 1):
                    ids[id_at] = buf[i]
                    id_at += 1
            id_offsets[entry + 1] = id_at
            alt = alt_end + 1
        if error:
            state[S_ERROR], state[S_STOP] = error, STOP_ERROR
            break
        n += n_alts
        records += 1
        state[S_LAST] = pos - 1
        offset = line_end + 1
    state[S_OFFSET], state[S_ENTRIES], state[S_RECORDS] = offset, n, records
    state[S_ALLELES], state[S_IDS] = allele_at, id_at


@njit(nogil=True, cache=True)
def scan_columns(
    pos, ref_text, ref_offsets, alt_text, alt_offsets, contig_length,
    position, end, record, fingerprint, allele_offsets, alleles, state,
):  # fmt: skip
    """Trim the alleles of a table's rows (0-based `pos`, texts as Arrow has them); checks as for lines."""
    placed, at = np.zeros(3, np.int64), 0
    state[S_STOP], state[S_ERROR] = 0, 0
    for i in range(len(pos)):
        error = 0
        if pos[i] < 0:
            error = 4
        elif contig_length and pos[i] >= contig_length:
            error = 5
        elif pos[i] < state[S_LAST]:
            error = 6
        else:
            placed_at = put_alleles(
                ref_text, ref_offsets[i], ref_offsets[i + 1], alt_text, alt_offsets[i], alt_offsets[i + 1],
                pos[i], alleles, at, placed,
            )  # fmt: skip
            if placed_at < 0:
                error = -placed_at
        if error:
            state[S_ERROR], state[S_STOP], state[S_DETAIL] = error, STOP_ERROR, pos[i] + 1
            break
        allele_offsets[i] = at
        fingerprint[i] = fingerprint_of(alleles, at, placed_at)
        at = placed_at
        allele_offsets[i + 1] = at
        position[i], end[i], record[i] = placed[0], placed[1], i
        state[S_LAST] = pos[i]
        state[S_ENTRIES] = i + 1
    state[S_ALLELES] = at
