"""Compiled loops over a record's site: what its alleles are, whether they can be taken, trimmed and left-aligned."""

# ruff: noqa: PLR0911, PLR0912, PLR0915, PLR0917, PLR1714, SIM110
# A compiled parser is one long loop: calls that return many values, and sets of characters, are not compiled well.

from __future__ import annotations

from typing import Any

import numpy as np

from cohelix.genotypes.scan_layout import (
    ALTS_MAX,
    LEFT_ALIGN_BASES,
    P_CONTIG_LENGTH,
    P_FASTA,
    P_FASTA_LENGTH,
    P_FASTA_LINE_BASES,
    P_FASTA_LINE_BYTES,
    P_FASTA_OFFSET,
    RECORD_ALLELES_BYTES,
    S_ALLELES,
    S_BAD_END,
    S_DETAIL,
    S_FAILED_DP,
    S_FAILED_FILTER,
    S_FAILED_GQ,
    S_LAST_POSITION,
    S_LEFT_ALIGNED,
    S_RECORDS,
    S_TRIMMED,
    S_WITHOUT_GT,
    SITE_ALLELES_BYTES,
)
from cohelix.stats.numba_start import njit

TAB, NEWLINE, RETURN, COMMA, DOT, COLON, SEMICOLON, EQUALS = 9, 10, 13, 44, 46, 58, 59, 61
SLASH, BAR, ZERO, NINE, HASH = 47, 124, 48, 57, 35
# What an ALT is; BLOCK is `<NON_REF>` or `<*>`, which no variant is made of.
SEQUENCE, STAR, NONE, SYMBOLIC, BREAKEND, BLOCK, BAD = 0, 1, 2, 3, 4, 5, 9
_NON_REF = tuple(b"<NON_REF>")


@njit(nogil=True)
def upper(base: Any) -> Any:
    return base - 32 if 97 <= base <= 122 else base


@njit(nogil=True)
def is_bases(buf: Any, start: Any, length: Any) -> Any:
    if length < 1:
        return False
    for i in range(start, start + length):
        base = upper(np.int64(buf[i]))
        if not (base == 65 or base == 67 or base == 71 or base == 84 or base == 78):
            return False
    return True


@njit(nogil=True)
def _is_any_allele(buf: Any, start: Any, length: Any) -> Any:
    """Whether an ALT is `<*>` or `<NON_REF>`: any allele that was not seen."""
    if length == 3:
        return buf[start + 1] == 42
    if length != 9:
        return False
    for i in range(9):
        if buf[start + i] != _NON_REF[i]:
            return False
    return True


@njit(nogil=True)
def _alt_kind(buf: Any, start: Any, length: Any) -> Any:
    """What an ALT is: bases, `*`, `.`, symbolic, breakend, `<NON_REF>`, or not an allele."""
    if is_bases(buf, start, length):
        return SEQUENCE
    if length < 1:
        return BAD
    first, last = buf[start], buf[start + length - 1]
    if length == 1:
        return STAR if first == 42 else (NONE if first == DOT else BAD)
    if first == 60:  # <
        if last != 62 or length < 3:
            return BAD
        for i in range(start + 1, start + length - 1):
            if buf[i] <= 32 or buf[i] >= 127 or buf[i] == 60 or buf[i] == 62 or buf[i] == COMMA:
                return BAD
        return BLOCK if _is_any_allele(buf, start, length) else SYMBOLIC
    if first == DOT:
        return BREAKEND if is_bases(buf, start + 1, length - 1) else BAD
    if last == DOT:
        return BREAKEND if is_bases(buf, start, length - 1) else BAD
    left, right, brackets = -1, -1, 0
    for i in range(start, start + length):
        if buf[i] <= 32 or buf[i] >= 127:
            return BAD
        if buf[i] == 91 or buf[i] == 93:
            brackets += 1
            if left < 0:
                left = i
            else:
                right = i
    if brackets != 2 or buf[left] != buf[right] or right - left < 2:
        return BAD
    before, after = left - start, start + length - 1 - right
    if before == 0 and is_bases(buf, right + 1, after):
        return BREAKEND
    if after == 0 and is_bases(buf, start, before):
        return BREAKEND
    return BAD


@njit(nogil=True)
def reference_base(fasta: Any, settings: Any, position: Any) -> Any:
    line = position // settings[P_FASTA_LINE_BASES]
    column = position - line * settings[P_FASTA_LINE_BASES]
    return upper(np.int64(fasta[settings[P_FASTA_OFFSET] + line * settings[P_FASTA_LINE_BYTES] + column]))


@njit(nogil=True)
def ref_differs(buf: Any, start: Any, length: Any, position: Any, fasta: Any, settings: Any) -> Any:
    """First base of REF, counted from 0, that is not the reference's; -1 where all agree. N and IUPAC codes agree."""
    if position + length > settings[P_FASTA_LENGTH]:
        return np.int64(0)
    for i in range(length):
        base = upper(np.int64(buf[start + i]))
        there = reference_base(fasta, settings, position + i)
        known = there == 65 or there == 67 or there == 71 or there == 84
        if base != there and base != 78 and known:
            return np.int64(i)
    return np.int64(-1)


@njit(nogil=True)
def put_number(out: Any, at: Any, number: Any) -> Any:
    digits, rest = 1, number
    while rest >= 10:
        rest //= 10
        digits += 1
    rest = number
    for i in range(digits):
        out[at + digits - 1 - i] = 48 + rest % 10
        rest //= 10
    return at + digits


@njit(nogil=True)
def put_alleles(
    buf: Any,
    position: Any,
    ref: Any,
    ref_length: Any,
    alt: Any,
    alt_length: Any,
    kind: Any,
    fasta: Any,
    settings: Any,
    out: Any,
    state: Any,
) -> Any:
    """Write `REF\\tALT`, trimmed right then left (and left-aligned where a reference is given); returns the position."""
    at = state[S_ALLELES]
    heap = out.alleles
    if kind != SEQUENCE:
        for i in range(ref_length):
            heap[at + i] = upper(np.int64(buf[ref + i]))
        at += ref_length
        heap[at] = TAB
        at += 1
        for i in range(alt_length):
            heap[at + i] = buf[alt + i]
        state[S_ALLELES] = at + alt_length
        return position
    given_position, r, a = position, ref_length, alt_length
    while r > 1 and a > 1 and upper(np.int64(buf[ref + r - 1])) == upper(np.int64(buf[alt + a - 1])):
        r -= 1
        a -= 1
    if settings[P_FASTA] == 1 and r != a and (r == 1 or a == 1) and position > 0:
        last_same = upper(np.int64(buf[ref + r - 1])) == upper(np.int64(buf[alt + a - 1]))
        if last_same:
            # One allele is used up: the longer one is `extra` bases in front of the place `position`.
            long = alt if a > r else ref
            extra = max(a, r) - 1
            shift, bound = 0, min(position, LEFT_ALIGN_BASES)
            # The extra sequence stands before what was chopped off; rotating it moves the event to the left.
            while shift < bound:
                before = reference_base(fasta, settings, position - 1 - shift)
                back = shift % extra
                if before != upper(np.int64(buf[long + extra - 1 - back])):
                    break
                shift += 1
            if shift < position:
                anchor = reference_base(fasta, settings, position - 1 - shift)
                back = shift % extra
                length = extra + 1
                if a < r:  # deletion: REF is anchor and extra, ALT the anchor
                    heap[at] = anchor
                    for i in range(extra):
                        heap[at + 1 + i] = upper(np.int64(buf[long + (i - back) % extra]))
                    at += length
                    heap[at] = TAB
                    heap[at + 1] = anchor
                    at += 2
                else:
                    heap[at] = anchor
                    heap[at + 1] = TAB
                    heap[at + 2] = anchor
                    for i in range(extra):
                        heap[at + 3 + i] = upper(np.int64(buf[long + (i - back) % extra]))
                    at += 3 + extra
                state[S_ALLELES] = at
                state[S_LEFT_ALIGNED] += 1
                return position - 1 - shift
    left = 0
    while r - left > 1 and a - left > 1 and upper(np.int64(buf[ref + left])) == upper(np.int64(buf[alt + left])):
        left += 1
    for i in range(left, r):
        heap[at] = upper(np.int64(buf[ref + i]))
        at += 1
    heap[at] = TAB
    at += 1
    for i in range(left, a):
        heap[at] = upper(np.int64(buf[alt + i]))
        at += 1
    state[S_ALLELES] = at
    if r != ref_length or left > 0:
        state[S_TRIMMED] += 1
    return given_position + left


@njit(nogil=True)
def differs(out: Any, start: Any, buf: Any, ref: Any, ref_length: Any, alt: Any, alt_length: Any) -> Any:
    """Whether the written `REF\\tALT` is another text than the source's."""
    at = start
    for i in range(ref_length):
        if out[at + i] != buf[ref + i]:
            return True
    at += ref_length
    if out[at] != TAB:
        return True
    for i in range(alt_length):
        if out[at + 1 + i] != buf[alt + i]:
            return True
    return False


@njit(nogil=True)
def end_of(
    buf: Any,
    alt: Any,
    length: Any,
    index: Any,
    position: Any,
    ref_length: Any,
    info_end: Any,
    n_svlen: Any,
    scratch: Any,
    settings: Any,
    state: Any,
) -> Any:
    """0-based end of a symbolic ALT: INFO/END, else SVLEN of a deletion, duplication, inversion or copy number; else REF's."""
    own = position + ref_length
    found = np.int64(-1)
    if info_end >= 0:
        found = info_end
    elif n_svlen > 0 and length >= 5:
        name = (np.int64(buf[alt + 1]) << 16) | (np.int64(buf[alt + 2]) << 8) | np.int64(buf[alt + 3])
        # DEL, DUP, INV, CNV; the copy-number alleles <CN0>, <CN2> …
        spans = name == 0x44454C or name == 0x445550 or name == 0x494E56 or (name >> 8) == 0x434E
        if spans:
            at = index if index < n_svlen else n_svlen - 1
            if scratch.svlen[at] > 0:
                found = position + 1 + scratch.svlen[at]
    if found < 0:
        return own
    if found <= position or (settings[P_CONTIG_LENGTH] > 0 and found > settings[P_CONTIG_LENGTH]):
        state[S_BAD_END] += 1
        return own
    return found


@njit(nogil=True)
def check_site(
    buf: Any, position: Any, ref: Any, ref_length: Any, n_alts: Any, fasta: Any, settings: Any, scratch: Any, state: Any
) -> Any:
    """Checks that VCF and BCF share; returns an error code or 0. The kinds of the ALTs are left in the scratch."""
    if position < 0:
        return 5
    if settings[P_CONTIG_LENGTH] > 0 and position >= settings[P_CONTIG_LENGTH]:
        state[S_DETAIL] = position + 1
        return 6
    if position > 0xFFFFFFF0:
        return 6
    if position < state[S_LAST_POSITION]:
        state[S_DETAIL] = position + 1
        return 7
    if not is_bases(buf, ref, ref_length):
        return 8
    text = ref_length
    for i in range(n_alts):
        kind = _alt_kind(buf, scratch.alt_offset[i], scratch.alt_length[i])
        if kind == BAD or (kind == NONE and n_alts > 1):
            state[S_DETAIL] = i + 1
            return 9
        scratch.alt_kind[i] = kind
        text += scratch.alt_length[i] + 1
    if text > SITE_ALLELES_BYTES or text * n_alts > RECORD_ALLELES_BYTES:
        return 10
    if settings[P_CONTIG_LENGTH] > 0 and position + ref_length > settings[P_CONTIG_LENGTH]:
        state[S_DETAIL] = position + ref_length
        return 6
    if settings[P_FASTA] == 1:
        wrong = ref_differs(buf, ref, ref_length, position, fasta, settings)
        if wrong >= 0:
            state[S_DETAIL] = position + wrong
            return 16
    return 0


@njit(nogil=True)
def info_of(buf: Any, p: Any, end: Any, scratch: Any) -> Any:
    """(END as a 0-based end or -1, number of SVLENs, error) of an INFO column; the SVLENs go to the scratch."""
    info_end, n_svlen = np.int64(-1), 0
    while p < end:
        stop = p
        while stop < end and buf[stop] != SEMICOLON:
            stop += 1
        if stop - p > 4 and buf[p] == 69 and buf[p + 1] == 78 and buf[p + 2] == 68 and buf[p + 3] == EQUALS:  # END=
            value = np.int64(0)
            if stop - p == 5 and buf[p + 4] == DOT:
                value = np.int64(-1)
            else:
                for i in range(p + 4, stop):
                    if not ZERO <= buf[i] <= NINE or i - p > 16:
                        return info_end, n_svlen, 17
                    value = value * 10 + (np.int64(buf[i]) - 48)
            info_end = value
        elif (
            stop - p > 6
            and buf[p] == 83
            and buf[p + 1] == 86
            and buf[p + 2] == 76
            and buf[p + 3] == 69
            and buf[p + 4] == 78
            and buf[p + 5] == EQUALS
        ):  # SVLEN=
            value = np.int64(0)
            for i in range(p + 6, stop + 1):
                if i == stop or buf[i] == COMMA:
                    if n_svlen < ALTS_MAX:
                        scratch.svlen[n_svlen] = value
                        n_svlen += 1
                    value = np.int64(0)
                elif ZERO <= buf[i] <= NINE:
                    value = min(value * 10 + (np.int64(buf[i]) - 48), np.int64(1) << 40)
        p = stop + 1
    return info_end, n_svlen, 0


@njit(nogil=True)
def has_passed(buf: Any, start: Any, stop: Any) -> Any:
    """Whether a FILTER column is `PASS` or `.`."""
    if stop - start == 1:
        return buf[start] == DOT
    return stop - start == 4 and buf[start] == 80 and buf[start + 1] == 65 and buf[start + 2] == 83 and buf[start + 3] == 83


@njit(nogil=True)
def note_block(position: Any, ref_length: Any, info_end: Any, scratch: Any) -> None:
    """A record without ALT that reaches beyond REF is a reference block, too (`bcftools call --gvcf` writes them so)."""
    if scratch.alt_kind[0] == NONE and info_end > position + ref_length:
        scratch.alt_kind[0] = BLOCK


@njit(nogil=True)
def note_record(position: Any, without_gt: Any, by_filter: Any, by_gq: Any, by_dp: Any, state: Any) -> None:
    """Count a finished record."""
    state[S_LAST_POSITION] = position
    state[S_RECORDS] += 1
    state[S_WITHOUT_GT] += without_gt
    state[S_FAILED_FILTER] += by_filter
    state[S_FAILED_GQ] += by_gq
    state[S_FAILED_DP] += by_dp
