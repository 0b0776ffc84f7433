"""Compiled loops that read raw VCF lines and BCF records and encode each ALT, by the layout of `EncodedBatch`.

One pass per record: the site is parsed and checked; the genotypes are compared eight bytes at a time with "everybody is
homozygous for REF", and only the exceptions are listed; each ALT is then encoded from that list. Every byte is read
inside checked bounds: a loop ends with an error code where a record is not as it should be (`ERRORS` has the words).

All kernels stand in this one file because Numba's cache is keyed by the file of the outermost function.
"""

# ruff: noqa: PLR0911, PLR0912, PLR0915, PLR0917, PLR1714, SIM108, SIM109, SIM110
# A compiled parser is one long loop: calls that return many values, and sets of characters, are not compiled well.

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from cohelix.core.arrays import ByteArray, IntArray, UintArray, WordArray
from cohelix.genotypes.model import (
    CODE_MISSING,
    CODE_ONE,
    CODE_TWO,
    FLAG_DENSE,
    KIND_ALT,
    KIND_HALF,
    KIND_PHASED,
    KIND_SECOND,
    MISSING_SHIFT,
    PHASE_ALL,
    PHASE_MIXED,
    PHASE_NONE,
    PHASE_SHIFT,
)

# Slots of the state array that a kernel reads and writes.
(
    S_OFFSET,  # next byte to read
    S_ALT,  # ALT of the record there at which to go on, 0 at its beginning
    S_RECORDS,  # records finished
    S_ERROR,  # an error code, or 0
    S_DETAIL,  # sample column, allele or position that the error is about
    S_STOP,  # why the kernel returned
    S_VARIANTS,
    S_CARRIERS,
    S_WORDS,
    S_MISSING,
    S_PHASE,
    S_ALLELES,
    S_IDS,
    S_SOURCES,
    S_PATTERNS,
    S_TRANSITIONS,
    S_TRANSVERSIONS,
    S_TRIMMED,
    S_LEFT_ALIGNED,
    S_MULTIALLELIC,
    S_WITHOUT_GT,
    S_BAD_END,
    S_LAST_POSITION,
    S_HALF_CALLS,
    S_REF_UNPHASED,  # 1 where a homozygous REF call of the record in hand is not phased
    S_SIZE,
) = range(26)
STOP_END, STOP_CONTIG, STOP_FULL, STOP_ERROR = range(4)

# Slots of the settings array.
(
    P_SAMPLES,
    P_PERMUTED,
    P_CONTIG_LENGTH,  # 0: not known
    P_RECORD_BYTES,
    P_FIRST_RECORD,
    P_FASTA,  # 1: a reference is given; its layout follows
    P_FASTA_OFFSET,
    P_FASTA_LINE_BASES,
    P_FASTA_LINE_BYTES,
    P_FASTA_LENGTH,
    P_CONTIG,  # BCF: index of the contig
    P_GT,  # BCF: dictionary index of FORMAT/GT, INFO/END, INFO/SVLEN; -1 without
    P_END,
    P_SVLEN,
    P_KEYS,  # BCF: size of the dictionary of strings
    P_SIZE,
) = range(16)

# A deletion or insertion moves left by at most so many bases, so that the writer's window is bounded.
LEFT_ALIGN_BASES = 10_000
# REF and all ALTs of one record together, and its ID.
SITE_ALLELES_BYTES, ID_BYTES = 4 << 20, 1 << 16
# What all ALTs of one record may weigh with a copy of the record's alleles each.
RECORD_ALLELES_BYTES = 64 << 20
ALTS_MAX = 65_535  # `EncodedBatch.n_alts` is uint16
MISSING, NO_SECOND = -1, -2  # an allele that is not called; no second allele (haploid)

ERRORS: dict[int, tuple[str, str]] = {
    1: ("a header line stands among the records", "all lines that start with '#' before the first record"),
    2: ("an empty line", "a record on every line"),
    3: ("the number of columns is not that of the header line", "9 columns and one for each sample, separated by tabs"),
    4: ("POS is not a whole number", "a 1-based position, in digits"),
    5: ("POS is 0", "a position from 1 on: telomere records are not taken"),
    6: ("the position is beyond the end of the contig", "a position within the contig of this assembly"),
    7: ("the records are not sorted", "ascending positions within a contig: sort the file, for example with bcftools sort"),
    8: ("REF is empty or has other characters", "one or more of A, C, G, T, N"),
    9: (
        "an ALT allele is empty or has other characters",
        "bases (A, C, G, T, N), '*', a symbolic allele such as <DEL>, a breakend, or a lone '.'",
    ),
    10: (
        "the record has too many alleles, or too long ones",
        "at most 65,535 ALTs, 4 MiB of alleles, and 64 MiB once it is split",
    ),
    11: ("the record is longer than this many samples can need", "records within the bound of the header's samples"),
    12: ("GT is not the first FORMAT field", "GT first, as the VCF specification has it"),
    13: ("a genotype is not written as GT is", "allele numbers or '.', separated by '/' or '|'"),
    14: ("a genotype has more than two alleles", "haploid and diploid calls"),
    15: ("a genotype names an allele that the record does not have", "allele numbers up to the number of ALTs"),
    16: ("REF is not what the reference has there", "the REF that the given reference sequence has"),
    17: ("INFO/END is not a whole number", "END as a 1-based position"),
    18: ("the ID is empty or too long", "an identifier of at most 65,536 bytes, or '.'"),
    20: ("the record's lengths do not fit its content", "lengths that agree with what they frame"),
    21: ("the record has another number of samples than the header", "as many samples as the header names"),
    22: ("the record uses a key that the header's dictionary does not have", "keys that the header declares"),
    23: ("a typed value has an unknown type", "the BCF types 0, 1, 2, 3, 5 and 7"),
    24: ("the record has no REF allele", "at least one allele"),
    25: ("GT is not stored as integers", "GT as a vector of int8, int16 or int32"),
    26: ("FORMAT names GT twice", "one GT"),
}


class Scratch(NamedTuple):
    """What a kernel works in, made once per thread: exceptions of the record in hand, its ALTs, sums per sample."""

    sample: IntArray
    first: IntArray
    second: IntArray
    phased: ByteArray
    sort: IntArray  # (4, N)
    alt_offset: IntArray
    alt_length: IntArray
    alt_kind: ByteArray
    svlen: IntArray
    haploid: WordArray
    absent: WordArray
    sums: IntArray  # (3, N): het, hom ALT, not fully called


class Output(NamedTuple):
    """Columns of the batch under construction, as `EncodedBatch` has them, each with room to spare."""

    position: UintArray
    end: UintArray
    record: IntArray
    alt_index: np.ndarray[tuple[int], np.dtype[np.uint16]]
    n_alts: np.ndarray[tuple[int], np.dtype[np.uint16]]
    flags: ByteArray
    pattern: np.ndarray[tuple[int], np.dtype[np.int32]]
    ploidy: WordArray
    diploid: WordArray  # union of the called diploids of every variant that uses a pattern
    carriers: UintArray
    carrier_offsets: IntArray
    rows: WordArray
    missing: UintArray
    missing_offsets: IntArray
    phase: ByteArray
    phase_offsets: IntArray
    alleles: ByteArray
    allele_offsets: IntArray
    ids: ByteArray
    id_offsets: IntArray
    sources: ByteArray
    source_offsets: IntArray


VARIANTS_MAX, PATTERNS_MAX = 1 << 16, 32
_ENTRIES, _WORDS, _TEXT = 1 << 21, 1 << 21, 16 << 20


def new_scratch(n_samples: int) -> Scratch:
    """Working memory for records of this many samples."""
    n, words = n_samples, -(-n_samples // 64)
    return Scratch(
        np.empty(n, np.int64),
        np.empty(n, np.int64),
        np.empty(n, np.int64),
        np.empty(n, np.uint8),
        np.empty((4, n), np.int64),
        np.empty(ALTS_MAX + 1, np.int64),
        np.empty(ALTS_MAX + 1, np.int64),
        np.empty(ALTS_MAX + 1, np.uint8),
        np.empty(ALTS_MAX + 1, np.int64),
        np.empty(words, np.uint64),
        np.empty(words, np.uint64),
        np.zeros((3, n), np.int64),
    )


def new_output(n_samples: int) -> Output:
    """An empty batch with room for at least one variant of any kind; pages are touched only where they are used."""
    n, words = n_samples, -(-n_samples // 64)
    offsets = [np.zeros(VARIANTS_MAX + 1, np.int64) for _ in range(6)]
    return Output(
        position=np.empty(VARIANTS_MAX, np.uint32),
        end=np.empty(VARIANTS_MAX, np.uint32),
        record=np.empty(VARIANTS_MAX, np.int64),
        alt_index=np.empty(VARIANTS_MAX, np.uint16),
        n_alts=np.empty(VARIANTS_MAX, np.uint16),
        flags=np.empty(VARIANTS_MAX, np.uint8),
        pattern=np.empty(VARIANTS_MAX, np.int32),
        ploidy=np.zeros((PATTERNS_MAX, words), np.uint64),
        diploid=np.zeros((PATTERNS_MAX, words), np.uint64),
        carriers=np.empty(_ENTRIES + n, np.uint32),
        carrier_offsets=offsets[0],
        rows=np.empty(_WORDS + -(-n // 32), np.uint64),
        missing=np.empty(_ENTRIES + n, np.uint32),
        missing_offsets=offsets[1],
        phase=np.empty(_ENTRIES + n, np.uint8),
        phase_offsets=offsets[2],
        alleles=np.empty(_TEXT, np.uint8),
        allele_offsets=offsets[3],
        ids=np.empty(_TEXT, np.uint8),
        id_offsets=offsets[4],
        sources=np.empty(_TEXT, np.uint8),
        source_offsets=offsets[5],
    )


def compile_kernels() -> None:
    """Compile the kernels, or read them from Numba's cache; a first load otherwise waits for it (half a minute)."""
    bytes_in, mapped = np.zeros(1, np.uint8), np.frombuffer(b"", np.uint8)
    scratch, out, state = new_scratch(1), new_output(1), np.zeros(S_SIZE, np.int64)
    settings, nobody = np.zeros(P_SIZE, np.int64), np.empty(0, np.int64)
    encode_vcf(bytes_in, 0, mapped, nobody, mapped, settings, scratch, out, state)
    encode_bcf(bytes_in, 0, nobody, mapped, settings, scratch, out, state)
    walk_bcf(mapped, 0, 0, 0)


# --------------------------------------------------------------------------------------------------------- alleles

_TAB, _NEWLINE, _RETURN, _COMMA, _DOT, _COLON, _SEMICOLON, _EQUALS = 9, 10, 13, 44, 46, 58, 59, 61
_SLASH, _BAR, _ZERO, _NINE, _HASH = 47, 124, 48, 57, 35
_SEQUENCE, _STAR, _NONE, _SYMBOLIC, _BREAKEND, _BAD = 0, 1, 2, 3, 4, 9


@njit(nogil=True, cache=True)
def _upper(base: Any) -> Any:
    return base - 32 if 97 <= base <= 122 else base


@njit(nogil=True, cache=True)
def _is_bases(buf: Any, start: Any, length: Any) -> Any:
    if length < 1:
        return False
    for i in range(start, start + length):
        base = _upper(np.int64(buf[i]))
        if not (base == 65 or base == 67 or base == 71 or base == 84 or base == 78):
            return False
    return True


@njit(nogil=True, cache=True)
def _alt_kind(buf: Any, start: Any, length: Any) -> Any:
    """What an ALT is: bases, `*`, `.`, symbolic, breakend, or not an allele."""
    if _is_bases(buf, start, length):
        return _SEQUENCE
    if length < 1:
        return _BAD
    first, last = buf[start], buf[start + length - 1]
    if length == 1:
        return _STAR if first == 42 else (_NONE if first == _DOT else _BAD)
    if first == 60:  # <
        if last != 62 or length < 3:
            return _BAD
        for i in range(start + 1, start + length - 1):
            if buf[i] <= 32 or buf[i] >= 127 or buf[i] == 60 or buf[i] == 62 or buf[i] == _COMMA:
                return _BAD
        return _SYMBOLIC
    if first == _DOT:
        return _BREAKEND if _is_bases(buf, start + 1, length - 1) else _BAD
    if last == _DOT:
        return _BREAKEND if _is_bases(buf, start, length - 1) else _BAD
    left, right, brackets = -1, -1, 0
    for i in range(start, start + length):
        if buf[i] <= 32 or buf[i] >= 127:
            return _BAD
        if buf[i] == 91 or buf[i] == 93:
            brackets += 1
            if left < 0:
                left = i
            else:
                right = i
    if brackets != 2 or buf[left] != buf[right] or right - left < 2:
        return _BAD
    before, after = left - start, start + length - 1 - right
    if before == 0 and _is_bases(buf, right + 1, after):
        return _BREAKEND
    if after == 0 and _is_bases(buf, start, before):
        return _BREAKEND
    return _BAD


@njit(nogil=True, cache=True)
def _reference_base(fasta: Any, settings: Any, position: Any) -> Any:
    line = position // settings[P_FASTA_LINE_BASES]
    column = position - line * settings[P_FASTA_LINE_BASES]
    return _upper(np.int64(fasta[settings[P_FASTA_OFFSET] + line * settings[P_FASTA_LINE_BYTES] + column]))


@njit(nogil=True, cache=True)
def _ref_differs(buf: Any, start: Any, length: Any, position: Any, fasta: Any, settings: Any) -> Any:
    """First base of REF, counted from 0, that is not the reference's; -1 where all agree. N and IUPAC codes agree."""
    if position + length > settings[P_FASTA_LENGTH]:
        return np.int64(0)
    for i in range(length):
        base = _upper(np.int64(buf[start + i]))
        there = _reference_base(fasta, settings, position + i)
        known = there == 65 or there == 67 or there == 71 or there == 84
        if base != there and base != 78 and known:
            return np.int64(i)
    return np.int64(-1)


@njit(nogil=True, cache=True)
def _put_number(out: Any, at: Any, number: Any) -> Any:
    digits, rest = 1, number
    while rest >= 10:
        rest //= 10
        digits += 1
    rest = number
    for i in range(digits):
        out[at + digits - 1 - i] = 48 + rest % 10
        rest //= 10
    return at + digits


@njit(nogil=True, cache=True)
def _put_alleles(
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
    if kind != _SEQUENCE:
        for i in range(ref_length):
            heap[at + i] = _upper(np.int64(buf[ref + i]))
        at += ref_length
        heap[at] = _TAB
        at += 1
        for i in range(alt_length):
            heap[at + i] = buf[alt + i]
        state[S_ALLELES] = at + alt_length
        return position
    given_position, r, a = position, ref_length, alt_length
    while r > 1 and a > 1 and _upper(np.int64(buf[ref + r - 1])) == _upper(np.int64(buf[alt + a - 1])):
        r -= 1
        a -= 1
    if settings[P_FASTA] == 1 and r != a and (r == 1 or a == 1) and position > 0:
        last_same = _upper(np.int64(buf[ref + r - 1])) == _upper(np.int64(buf[alt + a - 1]))
        if last_same:
            # One allele is used up: the longer one is `extra` bases in front of the place `position`.
            long = alt if a > r else ref
            extra = max(a, r) - 1
            shift, bound = 0, min(position, LEFT_ALIGN_BASES)
            # The extra sequence stands before what was chopped off; rotating it moves the event to the left.
            while shift < bound:
                before = _reference_base(fasta, settings, position - 1 - shift)
                back = shift % extra
                if before != _upper(np.int64(buf[long + extra - 1 - back])):
                    break
                shift += 1
            if shift < position:
                anchor = _reference_base(fasta, settings, position - 1 - shift)
                back = shift % extra
                length = extra + 1
                if a < r:  # deletion: REF is anchor and extra, ALT the anchor
                    heap[at] = anchor
                    for i in range(extra):
                        heap[at + 1 + i] = _upper(np.int64(buf[long + (i - back) % extra]))
                    at += length
                    heap[at] = _TAB
                    heap[at + 1] = anchor
                    at += 2
                else:
                    heap[at] = anchor
                    heap[at + 1] = _TAB
                    heap[at + 2] = anchor
                    for i in range(extra):
                        heap[at + 3 + i] = _upper(np.int64(buf[long + (i - back) % extra]))
                    at += 3 + extra
                state[S_ALLELES] = at
                state[S_LEFT_ALIGNED] += 1
                return position - 1 - shift
    left = 0
    while r - left > 1 and a - left > 1 and _upper(np.int64(buf[ref + left])) == _upper(np.int64(buf[alt + left])):
        left += 1
    for i in range(left, r):
        heap[at] = _upper(np.int64(buf[ref + i]))
        at += 1
    heap[at] = _TAB
    at += 1
    for i in range(left, a):
        heap[at] = _upper(np.int64(buf[alt + i]))
        at += 1
    state[S_ALLELES] = at
    if r != ref_length or left > 0:
        state[S_TRIMMED] += 1
    return given_position + left


@njit(nogil=True, cache=True)
def _differs(out: Any, start: Any, buf: Any, ref: Any, ref_length: Any, alt: Any, alt_length: Any) -> Any:
    """Whether the written `REF\\tALT` is another text than the source's."""
    at = start
    for i in range(ref_length):
        if out[at + i] != buf[ref + i]:
            return True
    at += ref_length
    if out[at] != _TAB:
        return True
    for i in range(alt_length):
        if out[at + 1 + i] != buf[alt + i]:
            return True
    return False


@njit(nogil=True, cache=True)
def _end_of(
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


# -------------------------------------------------------------------------------------------------------- encoding


@njit(nogil=True, cache=True)
def _pattern_of(k: Any, scratch: Any, out: Any, state: Any, settings: Any) -> Any:
    """Ploidy pattern of the record in hand; -1 where the batch has no room for another."""
    any_haploid = False
    for e in range(k):
        if scratch.second[e] == NO_SECOND and scratch.first[e] >= 0:
            any_haploid = True
            break
    if not any_haploid:
        return 0
    words = scratch.haploid.shape[0]
    scratch.haploid[:] = 0
    scratch.absent[:] = 0
    for e in range(k):
        s = scratch.sample[e]
        bit = np.uint64(1) << np.uint64(s & 63)
        if scratch.first[e] < 0 and scratch.second[e] < 0:
            scratch.absent[s >> 6] |= bit
        elif scratch.second[e] == NO_SECOND:
            scratch.haploid[s >> 6] |= bit
    n = settings[P_SAMPLES]
    found = -1
    for grow in range(2):
        for p in range(1, state[S_PATTERNS]):
            fits = True
            for w in range(words):
                pattern, haploid = out.ploidy[p, w], scratch.haploid[w]
                either = haploid | scratch.absent[w]
                if pattern & ~either or (haploid & ~pattern if grow == 0 else haploid & out.diploid[p, w]):
                    fits = False
                    break
            if fits:
                found = p
                break
        if found >= 0:
            break
    if found < 0:
        if state[S_PATTERNS] == PATTERNS_MAX:
            return -1
        found = state[S_PATTERNS]
        state[S_PATTERNS] += 1
        out.ploidy[found, :] = 0
        out.diploid[found, :] = 0
    for w in range(words):
        out.ploidy[found, w] |= scratch.haploid[w]
        everybody = ~np.uint64(0)
        if w == words - 1 and n & 63:
            everybody = (np.uint64(1) << np.uint64(n & 63)) - np.uint64(1)
        out.diploid[found, w] |= everybody & ~(scratch.haploid[w] | scratch.absent[w])
    return found


@njit(nogil=True, cache=True)
def _encode_alt(allele: Any, k: Any, pattern: Any, n: Any, scratch: Any, out: Any, state: Any) -> Any:
    """Encode one ALT (allele number) from the exceptions; False where the batch has no room for it."""
    first, second, phased, sample = scratch.first, scratch.second, scratch.phased, scratch.sample
    n_carriers, n_missing, n_half, n_het, n_phased, n_other, n_unphased = 0, 0, 0, 0, 0, 0, 0
    for e in range(k):
        a, b = first[e], second[e]
        if b == NO_SECOND:
            n_carriers += a == allele
            n_missing += a < 0
            n_other += 1
        elif a < 0 or b < 0:
            half = a >= 0 or b >= 0
            n_half += half
            n_missing += not half
            n_other += 1
        else:
            n_unphased += not phased[e]
            copies = (a == allele) + (b == allele)
            n_carriers += copies > 0
            if copies == 1:
                n_het += 1
                n_phased += phased[e]
    v = state[S_VARIANTS]
    dense = n_carriers + n_missing + n_half > n // 16
    row_words = (n + 31) // 32
    state_of_phase = PHASE_NONE
    if n_phased > 0:
        state_of_phase = PHASE_ALL if n_phased == n_het else PHASE_MIXED
    elif n_het == 0 and n_other < n and n_unphased == 0 and state[S_REF_UNPHASED] == 0:
        state_of_phase = PHASE_ALL  # nothing to phase, in a phased file
    phase_bytes = 0
    if state_of_phase == PHASE_ALL:
        phase_bytes = (n_het + 7) // 8
    elif state_of_phase == PHASE_MIXED:
        phase_bytes = (2 * n_het + 7) // 8
    c, w, m, h = state[S_CARRIERS], state[S_WORDS], state[S_MISSING], state[S_PHASE]
    listed = n_half if dense else n_half + n_missing
    if (
        v >= out.position.shape[0]
        or (not dense and c + n_carriers > out.carriers.shape[0])
        or (dense and w + row_words > out.rows.shape[0])
        or m + listed > out.missing.shape[0]
        or h + phase_bytes > out.phase.shape[0]
    ):
        return False
    if dense:
        for i in range(w, w + row_words):
            out.rows[i] = 0
    for i in range(h, h + phase_bytes):
        out.phase[i] = 0
    bit = 0
    for e in range(k):
        a, b, s = first[e], second[e], sample[e]
        code = 0
        if b == NO_SECOND:
            if a == allele:
                code = CODE_ONE
            elif a < 0:
                code = CODE_MISSING
                if not dense:
                    out.missing[m] = s << MISSING_SHIFT
                    m += 1
        elif a < 0 or b < 0:
            code = CODE_MISSING
            kind = 0
            if a >= 0 or b >= 0:
                kind = KIND_HALF
                if a == allele or b == allele:
                    kind |= KIND_ALT
                if a < 0:
                    kind |= KIND_SECOND
                if phased[e]:
                    kind |= KIND_PHASED
            if not dense or kind:
                out.missing[m] = (s << MISSING_SHIFT) | kind
                m += 1
        else:
            copies = (a == allele) + (b == allele)
            if copies == 2:
                code = CODE_TWO
            elif copies == 1:
                code = CODE_ONE
                if state_of_phase == PHASE_ALL:
                    if b == allele:
                        out.phase[h + (bit >> 3)] |= 1 << (bit & 7)
                    bit += 1
                elif state_of_phase == PHASE_MIXED:
                    if phased[e]:
                        out.phase[h + (bit >> 3)] |= 1 << (bit & 7)
                        if b == allele:
                            out.phase[h + ((bit + 1) >> 3)] |= 1 << ((bit + 1) & 7)
                    bit += 2
        if code == 0:
            continue
        if dense:
            out.rows[w + (s >> 5)] |= np.uint64(code) << np.uint64(2 * (s & 31))
        elif code != CODE_MISSING:
            out.carriers[c] = (s << 1) | (code == CODE_TWO)
            c += 1
    out.flags[v] = (FLAG_DENSE if dense else 0) | (state_of_phase << PHASE_SHIFT)
    out.pattern[v] = pattern
    state[S_CARRIERS], state[S_MISSING], state[S_PHASE] = c, m, h + phase_bytes
    if dense:
        state[S_WORDS] = w + row_words
    out.carrier_offsets[v + 1], out.missing_offsets[v + 1], out.phase_offsets[v + 1] = c, m, h + phase_bytes
    return True


@njit(nogil=True, cache=True)
def _sum_calls(k: Any, scratch: Any, state: Any) -> None:
    """Add the record's calls to the sums per sample: het (two different alleles), hom ALT, not fully called."""
    for e in range(k):
        a, b, s = scratch.first[e], scratch.second[e], scratch.sample[e]
        if b == NO_SECOND:
            if a < 0:
                scratch.sums[2, s] += 1
        elif a < 0 or b < 0:
            scratch.sums[2, s] += 1
            state[S_HALF_CALLS] += a >= 0 or b >= 0
        elif a != b:
            scratch.sums[0, s] += 1
        elif a > 0:
            scratch.sums[1, s] += 1


@njit(nogil=True, cache=True)
def _permute(k: Any, permutation: Any, scratch: Any) -> None:
    """Renumber the exceptions' samples from the file's column order to the load's, ascending again."""
    sort = scratch.sort
    for e in range(k):
        sort[0, e] = (permutation[scratch.sample[e]] << 32) | e
        sort[1, e], sort[2, e], sort[3, e] = scratch.first[e], scratch.second[e], scratch.phased[e]
    keys = sort[0, :k]
    keys.sort()
    for i in range(k):
        e = keys[i] & 0xFFFFFFFF
        scratch.sample[i] = keys[i] >> 32
        scratch.first[i], scratch.second[i], scratch.phased[i] = sort[1, e], sort[2, e], sort[3, e]


@njit(nogil=True, cache=True)
def _emit_record(
    buf: Any,
    position: Any,
    id_at: Any,
    id_length: Any,
    ref: Any,
    ref_length: Any,
    n_alts: Any,
    info_end: Any,
    n_svlen: Any,
    k: Any,
    permutation: Any,
    fasta: Any,
    settings: Any,
    scratch: Any,
    out: Any,
    state: Any,
) -> Any:
    """Encode the record's ALTs from `state[S_ALT]` on; False where the batch is full (go on there with an empty one)."""
    n = settings[P_SAMPLES]
    if settings[P_PERMUTED] == 1 and k > 0:
        _permute(k, permutation, scratch)
    pattern = _pattern_of(k, scratch, out, state, settings)
    if pattern < 0:
        return False
    if state[S_ALT] == 0:
        _sum_calls(k, scratch, state)
    lengths = ref_length + 16
    for i in range(n_alts):
        lengths += scratch.alt_length[i] + 1
    for index in range(state[S_ALT], n_alts):
        v = state[S_VARIANTS]
        alt, alt_length, kind = scratch.alt_offset[index], scratch.alt_length[index], scratch.alt_kind[index]
        state[S_ALT] = index
        if (
            state[S_ALLELES] + ref_length + alt_length + 8 > out.alleles.shape[0]
            or state[S_IDS] + id_length > out.ids.shape[0]
            or state[S_SOURCES] + lengths > out.sources.shape[0]
            or not _encode_alt(index + 1, k, pattern, n, scratch, out, state)
        ):
            return False
        start = state[S_ALLELES]
        moved = _put_alleles(buf, position, ref, ref_length, alt, alt_length, kind, fasta, settings, out, state)
        out.allele_offsets[v + 1] = state[S_ALLELES]
        out.position[v] = moved
        if kind == _SYMBOLIC:
            out.end[v] = _end_of(buf, alt, alt_length, index, position, ref_length, info_end, n_svlen, scratch, settings, state)
        else:
            tab = start
            while out.alleles[tab] != _TAB:
                tab += 1
            out.end[v] = moved + tab - start
        out.record[v] = settings[P_FIRST_RECORD] + state[S_RECORDS]
        out.alt_index[v], out.n_alts[v] = index, n_alts
        at = state[S_IDS]
        if not (id_length == 1 and buf[id_at] == _DOT):
            for i in range(id_length):
                out.ids[at + i] = buf[id_at + i]
            at += id_length
        state[S_IDS] = at
        out.id_offsets[v + 1] = at
        at = state[S_SOURCES]
        whole = state[S_ALLELES] - start == ref_length + 1 + alt_length
        if n_alts > 1 or moved != position or not whole or _differs(out.alleles, start, buf, ref, ref_length, alt, alt_length):
            at = _put_number(out.sources, at, position + 1)
            out.sources[at] = _TAB
            at += 1
            for i in range(ref_length):
                out.sources[at + i] = buf[ref + i]
            at += ref_length
            for other in range(n_alts):
                out.sources[at] = _TAB if other == 0 else _COMMA
                at += 1
                for i in range(scratch.alt_length[other]):
                    out.sources[at + i] = buf[scratch.alt_offset[other] + i]
                at += scratch.alt_length[other]
        state[S_SOURCES] = at
        out.source_offsets[v + 1] = at
        if kind == _SEQUENCE and ref_length == 1 and alt_length == 1:
            one, two = _upper(np.int64(buf[ref])), _upper(np.int64(buf[alt]))
            if one != two and one != 78 and two != 78:
                # A<->G and C<->T: the only pairs whose codes add up to 136 and 151.
                if one + two == 136 or one + two == 151:
                    state[S_TRANSITIONS] += 1
                else:
                    state[S_TRANSVERSIONS] += 1
        state[S_VARIANTS] = v + 1
    state[S_ALT] = 0
    if n_alts > 1:
        state[S_MULTIALLELIC] += 1
    return True


@njit(nogil=True, cache=True)
def _check_site(
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
    if not _is_bases(buf, ref, ref_length):
        return 8
    text = ref_length
    for i in range(n_alts):
        kind = _alt_kind(buf, scratch.alt_offset[i], scratch.alt_length[i])
        if kind == _BAD or (kind == _NONE and n_alts > 1):
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
        wrong = _ref_differs(buf, ref, ref_length, position, fasta, settings)
        if wrong >= 0:
            state[S_DETAIL] = position + wrong
            return 16
    return 0


# ------------------------------------------------------------------------------------------------------- VCF lines

_HOM_REF_BAR = np.uint64(0x09307C3009307C30)  # "0|0\t0|0\t", little-endian
_HOM_REF_SLASH = np.uint64(0x09302F3009302F30)


@njit(nogil=True, cache=True)
def _vcf_field(buf: Any, p: Any, n: Any) -> Any:
    """Where the field at p ends: at a tab, a line end, or n."""
    while p < n and buf[p] != _TAB and buf[p] != _NEWLINE:
        p += 1
    return p


@njit(nogil=True, cache=True)
def _vcf_genotype(buf: Any, p: Any, n: Any) -> Any:
    """Read one GT at p: (end, first, second, phased, error); the end is at its terminator."""
    first, second, phased, count = np.int64(MISSING), np.int64(NO_SECOND), False, 0
    if p < n and (buf[p] == _SLASH or buf[p] == _BAR):  # VCF 4.4: a leading mark of phase
        p += 1
    while True:
        if p >= n:
            return p, first, second, phased, 13
        if buf[p] == _DOT:
            allele = np.int64(MISSING)
            p += 1
        elif _ZERO <= buf[p] <= _NINE:
            allele = np.int64(0)
            while p < n and _ZERO <= buf[p] <= _NINE:
                allele = min(allele * 10 + (np.int64(buf[p]) - 48), np.int64(1_000_000))
                p += 1
        else:
            return p, first, second, phased, 13
        if count == 0:
            first = allele
        elif count == 1:
            second = allele
        else:
            return p, first, second, phased, 14
        count += 1
        if p >= n or buf[p] == _TAB or buf[p] == _NEWLINE or buf[p] == _COLON or buf[p] == _RETURN:
            return p, first, second, phased, 0
        if buf[p] == _BAR:
            phased = True
        elif buf[p] != _SLASH:
            return p, first, second, phased, 13
        p += 1


@njit(nogil=True, cache=True)
def _vcf_genotypes(buf: Any, p: Any, n: Any, n_alts: Any, settings: Any, scratch: Any, state: Any) -> Any:
    """List the exceptions of a line whose first sample is at p: (count, end of line, error)."""
    samples = settings[P_SAMPLES]
    k, i = 0, 0
    common = _HOM_REF_BAR
    state[S_REF_UNPHASED] = 0
    while True:
        # Whole cells of four bytes, `a|b<tab>`, as long as they last; the last sample ends with the line.
        words = buf[p : p + ((n - p) // 8) * 8].view(np.uint64)
        w, n_words = 0, min(words.shape[0], (samples - 1 - i) // 2)
        regular = True
        while w < n_words and regular:
            if w + 8 <= n_words:
                other = np.uint64(0)
                for j in range(8):
                    other |= words[w + j] ^ common
                if other == 0:
                    w += 8
                    state[S_REF_UNPHASED] |= common == _HOM_REF_SLASH
                    continue
            stop = min(w + 8, n_words)
            while w < stop:
                word = words[w]
                if word == _HOM_REF_SLASH or word == _HOM_REF_BAR:
                    common = word
                    state[S_REF_UNPHASED] |= word == _HOM_REF_SLASH
                    w += 1
                    continue
                for half in range(2):
                    cell = np.int64((word >> np.uint64(32 * half)) & np.uint64(0xFFFFFFFF))
                    one, mark, two, tab = cell & 255, (cell >> 8) & 255, (cell >> 16) & 255, cell >> 24
                    one_is = one == _DOT or _ZERO <= one <= _NINE
                    two_is = two == _DOT or _ZERO <= two <= _NINE
                    if not (tab == _TAB and (mark == _BAR or mark == _SLASH) and one_is and two_is):
                        regular = False
                        i += 2 * w + half
                        p += 8 * w + 4 * half
                        break
                    one = np.int64(MISSING) if one == _DOT else one - _ZERO
                    two = np.int64(MISSING) if two == _DOT else two - _ZERO
                    if one | two:
                        if one > n_alts or two > n_alts:
                            state[S_DETAIL] = i + 2 * w + half
                            return k, p, 15
                        scratch.sample[k], scratch.first[k], scratch.second[k] = i + 2 * w + half, one, two
                        scratch.phased[k] = mark == _BAR
                        k += 1
                    elif mark == _SLASH:
                        state[S_REF_UNPHASED] = 1
                if not regular:
                    break
                w += 1
        if regular:
            i += 2 * w
            p += 8 * w
        # One sample of any form, and in files with more fields all that follow it until the next regular stretch.
        steps = 64 if not regular else 4
        while steps > 0:
            steps -= 1
            start = p
            p, one, two, phased, error = _vcf_genotype(buf, p, n)
            if error:
                state[S_DETAIL] = i
                at_end = start >= n or buf[start] == _NEWLINE or buf[start] == _RETURN
                return k, p, (3 if at_end and start == p else error)
            if one > n_alts or two > n_alts:
                state[S_DETAIL] = i
                return k, p, 15
            if one != 0 or two != 0:
                scratch.sample[k], scratch.first[k], scratch.second[k], scratch.phased[k] = i, one, two, phased
                k += 1
            elif not phased:
                state[S_REF_UNPHASED] = 1
            while p < n and buf[p] != _TAB and buf[p] != _NEWLINE:
                if buf[p] == _RETURN and (p + 1 == n or buf[p + 1] == _NEWLINE):
                    break
                p += 1
            i += 1
            if p >= n or buf[p] == _NEWLINE or buf[p] == _RETURN:
                if i != samples:
                    return k, p, 3
                if p < n and buf[p] == _RETURN:
                    p += 1
                return k, min(p + 1, n), 0
            p += 1
            if i == samples:
                return k, p, 3


@njit(nogil=True, cache=True)
def _vcf_info(buf: Any, p: Any, end: Any, scratch: Any) -> Any:
    """(END as a 0-based end or -1, number of SVLENs, error) of an INFO column; the SVLENs go to the scratch."""
    info_end, n_svlen = np.int64(-1), 0
    while p < end:
        stop = p
        while stop < end and buf[stop] != _SEMICOLON:
            stop += 1
        if stop - p > 4 and buf[p] == 69 and buf[p + 1] == 78 and buf[p + 2] == 68 and buf[p + 3] == _EQUALS:  # END=
            value = np.int64(0)
            if stop - p == 5 and buf[p + 4] == _DOT:
                value = np.int64(-1)
            else:
                for i in range(p + 4, stop):
                    if not _ZERO <= buf[i] <= _NINE or i - p > 16:
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
            and buf[p + 5] == _EQUALS
        ):  # SVLEN=
            value = np.int64(0)
            for i in range(p + 6, stop + 1):
                if i == stop or buf[i] == _COMMA:
                    if n_svlen < ALTS_MAX:
                        scratch.svlen[n_svlen] = value
                        n_svlen += 1
                    value = np.int64(0)
                elif _ZERO <= buf[i] <= _NINE:
                    value = min(value * 10 + (np.int64(buf[i]) - 48), np.int64(1) << 40)
        p = stop + 1
    return info_end, n_svlen, 0


@njit(nogil=True, cache=True)
def encode_vcf(
    buf: Any, n: Any, contig: Any, permutation: Any, fasta: Any, settings: Any, scratch: Any, out: Any, state: Any
) -> None:
    """Encode the whole lines in `buf[:n]` from `state[S_OFFSET]` on, as long as CHROM is `contig` and the batch has room."""
    while True:
        line = state[S_OFFSET]
        if line >= n:
            state[S_STOP] = STOP_END
            return
        error = 0
        p = line
        if buf[p] == _HASH:
            error = 1
        elif buf[p] == _NEWLINE or (buf[p] == _RETURN and p + 1 < n and buf[p + 1] == _NEWLINE):
            error = 2
        stop = _vcf_field(buf, p, n)
        if error == 0:
            same = stop - p == contig.shape[0]
            if same:
                for i in range(contig.shape[0]):
                    if buf[p + i] != contig[i]:
                        same = False
                        break
            if not same:
                state[S_STOP] = STOP_CONTIG
                return
        # POS, ID, REF, ALT, QUAL, FILTER, INFO, FORMAT
        position, id_at, id_end, ref, ref_end, alt, alt_end = np.int64(0), stop, stop, stop, stop, stop, stop
        info, info_stop, fmt, fmt_end = stop, stop, stop, stop
        for column in range(8):
            if error:
                break
            if stop >= n or buf[stop] != _TAB:
                error = 3
                break
            start = stop + 1
            stop = _vcf_field(buf, start, n)
            if column == 0:
                if stop == start or stop - start > 10:
                    error = 4
                for i in range(start, stop):
                    if not _ZERO <= buf[i] <= _NINE:
                        error = 4
                    position = position * 10 + (np.int64(buf[i]) - 48) if error == 0 else position
                position -= 1
            elif column == 1:
                id_at, id_end = start, stop
                if stop == start or stop - start > ID_BYTES:
                    error = 18
            elif column == 2:
                ref, ref_end = start, stop
            elif column == 3:
                alt, alt_end = start, stop
            elif column == 6:
                info, info_stop = start, stop
            elif column == 7:
                fmt, fmt_end = start, stop
        if error == 0 and (stop >= n or buf[stop] != _TAB):
            error = 3
        n_alts = 0
        if error == 0:
            start = alt
            for i in range(alt, alt_end + 1):
                if i == alt_end or buf[i] == _COMMA:
                    if n_alts == ALTS_MAX:
                        error = 10
                        break
                    scratch.alt_offset[n_alts], scratch.alt_length[n_alts] = start, i - start
                    n_alts += 1
                    start = i + 1
        if error == 0:
            error = _check_site(buf, position, ref, ref_end - ref, n_alts, fasta, settings, scratch, state)
        info_end, n_svlen = np.int64(-1), 0
        if error == 0:
            symbolic = False
            for i in range(n_alts):
                symbolic = symbolic or scratch.alt_kind[i] == _SYMBOLIC
            if symbolic:
                info_end, n_svlen, error = _vcf_info(buf, info, info_stop, scratch)
        k, following = 0, stop + 1
        if error == 0:
            n_called = n_alts if scratch.alt_kind[0] != _NONE else 0
            has_gt = (
                fmt_end - fmt >= 2 and buf[fmt] == 71 and buf[fmt + 1] == 84 and (fmt_end - fmt == 2 or buf[fmt + 2] == _COLON)
            )
            if has_gt:
                k, following, error = _vcf_genotypes(buf, stop + 1, n, n_called, settings, scratch, state)
            else:
                for i in range(fmt + 1, fmt_end - 2):
                    last = i + 3 == fmt_end or buf[i + 3] == _COLON
                    if buf[i] == _COLON and buf[i + 1] == 71 and buf[i + 2] == 84 and last:
                        error = 12
                if error == 0 and state[S_ALT] == 0:
                    state[S_WITHOUT_GT] += 1
                columns, following = 1, stop + 1
                while following < n and buf[following] != _NEWLINE:
                    columns += buf[following] == _TAB
                    following += 1
                following = min(following + 1, n)
                if error == 0 and columns != settings[P_SAMPLES]:
                    error = 3
                for i in range(settings[P_SAMPLES]):
                    scratch.sample[i], scratch.first[i], scratch.second[i], scratch.phased[i] = i, MISSING, MISSING, 0
                k = settings[P_SAMPLES]
        if error == 0 and following - line > settings[P_RECORD_BYTES]:
            error = 11
        if error:
            state[S_ERROR], state[S_STOP] = error, STOP_ERROR
            return
        if not _emit_record(
            buf,
            position,
            id_at,
            id_end - id_at,
            ref,
            ref_end - ref,
            n_alts,
            info_end,
            n_svlen,
            k,
            permutation,
            fasta,
            settings,
            scratch,
            out,
            state,
        ):
            state[S_STOP] = STOP_FULL
            return
        state[S_LAST_POSITION] = position
        state[S_RECORDS] += 1
        state[S_OFFSET] = following


# ----------------------------------------------------------------------------------------------------- BCF records

_BCF_HOM_REF = np.uint64(0x0202020202020202)  # allele 0 is (0 + 1) << 1; the lowest bit is the phase
_BCF_ALLELES = np.uint64(0xFEFEFEFEFEFEFEFE)
_BCF_PHASES = np.uint64(0x0100010001000100)  # of each second allele
_BCF_NOT_FIRST_PHASE = np.uint64(0xFFFFFFFFFFFFFEFF)


@njit(nogil=True, cache=True)
def _int32(buf: Any, p: Any) -> Any:
    raw = np.int64(buf[p]) | (np.int64(buf[p + 1]) << 8) | (np.int64(buf[p + 2]) << 16) | (np.int64(buf[p + 3]) << 24)
    return raw - (np.int64(1) << 32) if raw >= (np.int64(1) << 31) else raw


@njit(nogil=True, cache=True)
def _width(kind: Any) -> Any:
    """Bytes of one value of a BCF type; -1 for a type that there is not."""
    if kind == 0:
        return 0
    if kind == 1 or kind == 7:
        return 1
    if kind == 2:
        return 2
    return 4 if kind == 3 or kind == 5 else -1


@njit(nogil=True, cache=True)
def _bcf_int(buf: Any, p: Any, kind: Any) -> Any:
    """A BCF integer; the missing and end marks come back as -1 << 40."""
    none = -(np.int64(1) << 40)
    if kind == 1:
        value = np.int64(np.int8(buf[p]))
        return none if value <= -121 else value
    if kind == 2:
        value = np.int64(buf[p]) | (np.int64(np.int8(buf[p + 1])) << 8)
        return none if value <= -32761 else value
    value = _int32(buf, p)
    return none if value <= -2147483641 else value


@njit(nogil=True, cache=True)
def _bcf_type(buf: Any, p: Any, end: Any) -> Any:
    """Read a type descriptor at p: (next byte, type, count); type -1 where it does not fit."""
    if p >= end:
        return p, -1, np.int64(0)
    kind, count = np.int64(buf[p]) & 15, np.int64(buf[p]) >> 4
    p += 1
    if _width(kind) < 0:
        return p, -1, np.int64(0)
    if count == 15:
        if p >= end:
            return p, -1, np.int64(0)
        length_kind = np.int64(buf[p]) & 15
        p += 1
        if (length_kind != 1 and length_kind != 2 and length_kind != 3) or p + _width(length_kind) > end:
            return p, -1, np.int64(0)
        count = _bcf_int(buf, p, length_kind)
        p += _width(length_kind)
        if count < 0:
            return p, -1, np.int64(0)
    return p, kind, count


@njit(nogil=True, cache=True)
def _bcf_exception(one: Any, two: Any, sample: Any, k: Any, n_alts: Any, scratch: Any, state: Any) -> Any:
    """Note a call given as raw GT values (-1 << 40: a mark; the caller folds an end mark to -2 << 40): (count, error)."""
    first = (one >> 1) - 1 if one >= 0 else np.int64(MISSING)
    if two == -(np.int64(2) << 40):
        second = np.int64(NO_SECOND)
    else:
        second = (two >> 1) - 1 if two >= 0 else np.int64(MISSING)
    if first > n_alts or second > n_alts:
        return k, 15
    if first == 0 and second == 0:
        state[S_REF_UNPHASED] |= (two & 1) == 0
        return k, 0
    scratch.sample[k], scratch.first[k], scratch.second[k], scratch.phased[k] = sample, first, second, two > 0 and two & 1
    return k + 1, 0


@njit(nogil=True, cache=True)
def _bcf_pair(buf: Any, p: Any, sample: Any, k: Any, n_alts: Any, scratch: Any, state: Any) -> Any:
    """Note the int8 pair at p."""
    none, end = -(np.int64(1) << 40), -(np.int64(2) << 40)
    one, two = np.int64(np.int8(buf[p])), np.int64(np.int8(buf[p + 1]))
    if one < -126 or two < -126:  # -128 is not called, -127 the end of the call
        two = end if two == -127 or one == -127 else (none if two == -128 else two)
        one = none if one < -126 else one
    if (one < 0 and one != none) or (two < 0 and two != none and two != end):
        return k, 15
    return _bcf_exception(one, two, sample, k, n_alts, scratch, state)


@njit(nogil=True, cache=True)
def _bcf_genotypes(buf: Any, p: Any, kind: Any, count: Any, n_alts: Any, settings: Any, scratch: Any, state: Any) -> Any:
    """List the exceptions of a GT block at p: (count, error)."""
    samples = settings[P_SAMPLES]
    k: Any = 0
    error: Any = 0
    state[S_REF_UNPHASED] = 0
    if kind == 1 and count == 2:
        phase = ~np.uint64(0)
        n_words = samples // 4
        words = buf[p : p + n_words * 8].view(np.uint64)
        w = 0
        while w < n_words:
            if w + 8 <= n_words:
                other = np.uint64(0)
                both = ~np.uint64(0)
                for j in range(8):
                    other |= (words[w + j] ^ _BCF_HOM_REF) & _BCF_ALLELES
                    both &= words[w + j]
                if other == 0:
                    w += 8
                    phase &= both
                    continue
            for v in range(w, min(w + 8, n_words)):
                other = (words[v] ^ _BCF_HOM_REF) & _BCF_ALLELES
                if other == 0:
                    phase &= words[v]
                    continue
                for cell in range(4):
                    if other & np.uint64(0xFFFF) == 0:
                        phase &= (words[v] >> np.uint64(16 * cell)) | _BCF_NOT_FIRST_PHASE
                    else:
                        sample = v * 4 + cell
                        k, error = _bcf_pair(buf, p + 2 * sample, sample, k, n_alts, scratch, state)
                        if error:
                            state[S_DETAIL] = sample
                            return k, error
                    other >>= np.uint64(16)
            w += 8
        for sample in range(n_words * 4, samples):
            k, error = _bcf_pair(buf, p + 2 * sample, sample, k, n_alts, scratch, state)
            if error:
                state[S_DETAIL] = sample
                return k, error
        if phase & _BCF_PHASES != _BCF_PHASES:
            state[S_REF_UNPHASED] = 1
        return k, 0
    width = _width(kind)
    end_mark = -127 if kind == 1 else (-32767 if kind == 2 else -2147483647)
    none, end = -(np.int64(1) << 40), -(np.int64(2) << 40)
    for sample in range(samples):
        one, two = none, end
        for j in range(count):
            at = p + (sample * count + j) * width
            if kind == 1:
                raw = np.int64(np.int8(buf[at]))
            elif kind == 2:
                raw = np.int64(buf[at]) | (np.int64(np.int8(buf[at + 1])) << 8)
            else:
                raw = _int32(buf, at)
            if raw == end_mark:
                break
            if raw < 0 and raw != end_mark - 1:  # the mark of a missing value is the one before
                state[S_DETAIL] = sample
                return k, 15
            if j == 0:
                one = none if raw < 0 else raw
            elif j == 1:
                two = none if raw < 0 else raw
            else:
                state[S_DETAIL] = sample
                return k, 14
        k, error = _bcf_exception(one, two, sample, k, n_alts, scratch, state)
        if error:
            state[S_DETAIL] = sample
            return k, error
    return k, 0


@njit(nogil=True, cache=True)
def walk_bcf(buf: Any, p: Any, n: Any, record_bytes: Any) -> Any:
    """Step over whole records in `buf[:n]` from p: (first byte of what is not whole, records, 0 or an error code)."""
    records = 0
    while p + 8 <= n:
        shared, calls = _int32(buf, p), _int32(buf, p + 4)
        if shared < 24 or calls < 0:
            return p, records, 20
        if shared + calls + 8 > record_bytes:
            return p, records, 11
        if p + 8 + shared + calls > n:
            break
        p += 8 + shared + calls
        records += 1
    return p, records, 0


@njit(nogil=True, cache=True)
def encode_bcf(buf: Any, n: Any, permutation: Any, fasta: Any, settings: Any, scratch: Any, out: Any, state: Any) -> None:
    """Encode the whole records in `buf[:n]` from `state[S_OFFSET]` on, as long as the contig is that of the settings."""
    while True:
        begin = state[S_OFFSET]
        if begin >= n:
            state[S_STOP] = STOP_END
            return
        error = 0
        if begin + 32 > n:
            state[S_ERROR], state[S_STOP] = 20, STOP_ERROR
            return
        shared, calls = _int32(buf, begin), _int32(buf, begin + 4)
        end, following = begin + 8 + shared, begin + 8 + shared + calls
        if shared < 24 or calls < 0 or following > n:
            state[S_ERROR], state[S_STOP] = 20, STOP_ERROR
            return
        if _int32(buf, begin + 8) != settings[P_CONTIG]:
            state[S_STOP] = STOP_CONTIG
            return
        position = _int32(buf, begin + 12)
        n_info = np.int64(buf[begin + 24]) | (np.int64(buf[begin + 25]) << 8)
        n_alleles = np.int64(buf[begin + 26]) | (np.int64(buf[begin + 27]) << 8)
        samples = np.int64(buf[begin + 28]) | (np.int64(buf[begin + 29]) << 8) | (np.int64(buf[begin + 30]) << 16)
        n_format = np.int64(buf[begin + 31])
        p = begin + 32
        if samples != settings[P_SAMPLES]:
            error = 21
        elif n_alleles < 1:
            error = 24
        id_at, id_length, ref, ref_length, n_alts = p, np.int64(0), p, np.int64(0), 0
        if error == 0:
            p, kind, count = _bcf_type(buf, p, end)
            if kind == 0 and count == 0:
                id_length = np.int64(0)
            elif kind != 7 or p + count > end:
                error = 20
            elif count > ID_BYTES:
                error = 18
            else:
                id_at, id_length = p, count
                while id_length > 0 and buf[id_at + id_length - 1] == 0:
                    id_length -= 1
                p += count
        for index in range(n_alleles):
            if error:
                break
            p, kind, count = _bcf_type(buf, p, end)
            if (kind != 7 and not (kind == 0 and count == 0)) or p + count > end:
                error = 20
            elif index == 0:
                ref, ref_length = p, count
            else:
                scratch.alt_offset[n_alts], scratch.alt_length[n_alts] = p, count
                n_alts += 1
            p += count
        if error == 0 and n_alts == 0:  # no other allele: VCF's `.`, which the caller has put behind the records
            scratch.alt_offset[0], scratch.alt_length[0] = n, 1
            n_alts = 1
        if error == 0:
            error = _check_site(buf, position, ref, ref_length, n_alts, fasta, settings, scratch, state)
        if error == 0:  # FILTER
            p, kind, count = _bcf_type(buf, p, end)
            if kind < 0 or kind == 5 or kind == 7 or p + count * _width(kind) > end:
                error = 20
            else:
                for i in range(count):
                    key = _bcf_int(buf, p + i * _width(kind), kind) if kind != 0 else np.int64(0)
                    if key < 0 or key >= settings[P_KEYS]:
                        error = 22
                p += count * _width(kind)
        info_end, n_svlen = np.int64(-1), 0
        for _ in range(n_info):
            if error:
                break
            p, kind, count = _bcf_type(buf, p, end)
            if (kind != 1 and kind != 2 and kind != 3) or count != 1 or p + _width(kind) > end:
                error = 20
                break
            key = _bcf_int(buf, p, kind)
            p += _width(kind)
            if key < 0 or key >= settings[P_KEYS]:
                error = 22
                break
            p, kind, count = _bcf_type(buf, p, end)
            if kind < 0:
                error = 23
                break
            if p + count * _width(kind) > end:
                error = 20
                break
            whole_number = kind == 1 or kind == 2 or kind == 3
            if whole_number and count > 0 and key == settings[P_END]:
                value = _bcf_int(buf, p, kind)
                info_end = value if value >= 0 else np.int64(-1)
            elif whole_number and key == settings[P_SVLEN]:
                for i in range(min(count, np.int64(ALTS_MAX))):
                    value = _bcf_int(buf, p + i * _width(kind), kind)
                    scratch.svlen[n_svlen] = abs(value) if value > -(np.int64(1) << 40) else 0
                    n_svlen += 1
            p += count * _width(kind)
        if error == 0 and p != end:
            error = 20
        gt, gt_kind, gt_count = np.int64(-1), np.int64(0), np.int64(0)
        if error == 0:
            for _ in range(n_format):
                p, kind, count = _bcf_type(buf, p, following)
                if (kind != 1 and kind != 2 and kind != 3) or count != 1 or p + _width(kind) > following:
                    error = 20
                    break
                key = _bcf_int(buf, p, kind)
                p += _width(kind)
                if key < 0 or key >= settings[P_KEYS]:
                    error = 22
                    break
                p, kind, count = _bcf_type(buf, p, following)
                if kind < 0:
                    error = 23
                    break
                if count * _width(kind) * samples > following - p:
                    error = 20
                    break
                if key == settings[P_GT]:
                    if gt >= 0:
                        error = 26
                        break
                    if kind != 1 and kind != 2 and kind != 3 and count > 0:
                        error = 25
                        break
                    gt, gt_kind, gt_count = p, kind, count
                p += count * _width(kind) * samples
            if error == 0 and p != following:
                error = 20
        k: Any = 0
        if error == 0:
            n_called = n_alts if scratch.alt_kind[0] != _NONE else 0
            if gt >= 0 and gt_count > 0:
                k, error = _bcf_genotypes(buf, gt, gt_kind, gt_count, n_called, settings, scratch, state)
            else:
                if state[S_ALT] == 0:
                    state[S_WITHOUT_GT] += 1
                for i in range(samples):
                    scratch.sample[i], scratch.first[i], scratch.second[i], scratch.phased[i] = i, MISSING, MISSING, 0
                k = samples
        if error:
            state[S_ERROR], state[S_STOP] = error, STOP_ERROR
            return
        if not _emit_record(
            buf,
            position,
            id_at,
            id_length,
            ref,
            ref_length,
            n_alts,
            info_end,
            n_svlen,
            k,
            permutation,
            fasta,
            settings,
            scratch,
            out,
            state,
        ):
            state[S_STOP] = STOP_FULL
            return
        state[S_LAST_POSITION] = position
        state[S_RECORDS] += 1
        state[S_OFFSET] = following
