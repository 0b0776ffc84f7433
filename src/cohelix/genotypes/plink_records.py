"""Compiled loops that turn the lines of a `.bim` or `.pvar` and their calls into BCF records, for the loader's own kernels."""

# ruff: noqa: PLR0911, PLR0912, PLR0915, PLR0917
# A compiled parser is one long loop, and what it works on is handed over in one call.

from __future__ import annotations

from typing import Any

import numpy as np

from cohelix.core.arrays import ByteArray, WordArray
from cohelix.genotypes.scan_layout import P_FASTA_LENGTH
from cohelix.genotypes.scan_sites import (
    COMMA,
    DOT,
    NEWLINE,
    NINE,
    RETURN,
    TAB,
    ZERO,
    has_passed,
    info_of,
    is_bases,
    ref_differs,
    reference_base,
)
from cohelix.stats.numba_start import njit

# Columns of a site file, as indexes of its fields; -1 where the file has none.
COLUMNS = ("chrom", "position", "id", "ref", "alt", "filter", "info")
_CHROM, _POSITION, _ID, _REF, _ALT, _FILTER, _INFO = range(7)
# Columns of the array of parsed sites: start and length of each field in the text; then what follows.
S_VALUE, S_ALTS, S_NEW_CONTIG = 14, 15, 16
SITE_COLUMNS = 17
# The dictionary of the records that are written.
KEYS = {"PASS": 0, "FILTERED": 1, "GT": 2, "END": 3, "SVLEN": 4}
PROBLEMS: dict[int, tuple[str, str]] = {
    1: ("an empty line", "a variant on every line"),
    2: ("the line has too few columns", "the columns of the format, separated by tabs or spaces"),
    3: ("the position is not a whole number", "a 1-based position, in digits"),
    4: ("the line has more columns than the format", "the columns of the format, separated by tabs or spaces"),
    5: ("neither allele is known, or REF is not", "the allele that is REF, as bases"),
    6: ("neither allele is what the reference has there", "an allele that the given reference sequence has"),
    7: ("the line is too long", "lines of at most 16 MiB"),
    8: ("INFO/END is not a whole number", "END as a 1-based position"),
}
# What happens to the calls of a sample on a stretch that not everybody has two copies of.
DIPLOID, HAPLOID, ABSENT = 0, 1, 2
REF_A1, REF_A2, REF_OF_FASTA, REF_STATED = 1, 2, 3, 0
T_HET_HAPLOID, T_ABSENT, T_EITHER, T_SWAPPED = range(4)
TALLIES = 4
_ALTS_INT8 = 62  # (allele + 1) << 1 | 1 has to stay below 128


def bed_words() -> WordArray:
    """(2, 256) uint64: the four calls of a `.bed` byte as int8 pairs of BCF; with REF the second allele, and the first."""
    pair = np.zeros((2, 4), np.uint64)
    hom_ref, het, hom_alt = 0x0202, 0x0402, 0x0404  # little-endian: 0/0, 0/1, 1/1; ./. is 0
    pair[0] = hom_alt, 0, het, hom_ref  # the codes 00 both A1, 01 missing, 10 het, 11 both A2
    pair[1] = hom_ref, 0, het, hom_alt
    code = np.arange(256, dtype=np.uint64)
    words = np.zeros((2, 256), np.uint64)
    for place in range(4):
        words |= pair[:, (code >> np.uint64(2 * place)) & np.uint64(3)] << np.uint64(16 * place)
    return words


@njit(nogil=True, cache=True)
def _pack_genotypes(genotypes: Any, rows: Any) -> None:
    n, n_samples = genotypes.shape
    for v in range(n):
        for byte in range(rows.shape[1]):
            packed = np.uint8(0)
            for place in range(min(4, n_samples - 4 * byte)):
                copies = genotypes[v, 4 * byte + place]
                code = 3 if copies == 0 else (2 if copies == 1 else (0 if copies == 2 else 1))
                packed |= np.uint8(code << (2 * place))
            rows[v, byte] = packed


def packed_genotypes(genotypes: np.ndarray[tuple[int, int], np.dtype[np.int8]]) -> ByteArray:
    """(n, N) int8 copies of the first ALT, -9 where there is no call, as the bytes of a `.bed` whose second allele is REF."""
    rows = np.empty((len(genotypes), -(-genotypes.shape[1] // 4)), np.uint8)
    _pack_genotypes(genotypes, rows)
    flat = rows.ravel()
    flat.flags.writeable = False  # as the bytes of a file: one compiled kernel serves both
    return flat


@njit(nogil=True)
def parse_lines(text: Any, columns: Any, n_columns: Any, exact: Any, previous: Any, sites: Any) -> Any:
    """Parse whole lines: (lines, error code); `sites` gets a row each; `previous` is the CHROM before the first line."""
    p, n, line = 0, text.shape[0], 0
    before, before_length, before_is_text = 0, previous.shape[0], False
    while p < n:
        if text[p] == NEWLINE or text[p] == RETURN:
            return line, 1
        for i in range(14):
            sites[line, i] = 0
        field = 0
        while p < n and text[p] != NEWLINE and text[p] != RETURN:
            start = p
            while p < n and text[p] != TAB and text[p] != 32 and text[p] != NEWLINE and text[p] != RETURN:
                p += 1
            for which in range(7):
                if columns[which] == field:
                    sites[line, 2 * which], sites[line, 2 * which + 1] = start, p - start
            field += 1
            if p < n and text[p] == TAB:
                p += 1
                if p >= n or text[p] == NEWLINE or text[p] == RETURN:
                    field += 1
            else:
                while p < n and text[p] == 32:
                    p += 1
        if p < n and text[p] == RETURN:
            p += 1
        if p < n and text[p] == NEWLINE:
            p += 1
        if field < n_columns:
            return line, 2
        if exact and field > n_columns:
            return line, 4
        at, length = sites[line, 2 * _POSITION], sites[line, 2 * _POSITION + 1]
        value = np.int64(0)
        if length < 1 or length > 10:
            return line, 3
        for i in range(at, at + length):
            if text[i] < ZERO or text[i] > NINE:
                return line, 3
            value = value * 10 + np.int64(text[i]) - ZERO
        if value > 2_000_000_000:
            return line, 3
        sites[line, S_VALUE] = value
        n_alts = 1
        for i in range(sites[line, 2 * _ALT], sites[line, 2 * _ALT] + sites[line, 2 * _ALT + 1]):
            n_alts += text[i] == COMMA
        sites[line, S_ALTS] = n_alts
        at, length = sites[line, 2 * _CHROM], sites[line, 2 * _CHROM + 1]
        same = length == before_length
        if same:
            for i in range(length):
                if text[at + i] != (text[before + i] if before_is_text else previous[i]):
                    same = False
                    break
        sites[line, S_NEW_CONTIG] = not same
        before, before_length, before_is_text = at, length, True
        line += 1
    return line, 0


@njit(nogil=True)
def _put_int32(out: Any, at: Any, value: Any) -> Any:
    for i in range(4):
        out[at + i] = (value >> (8 * i)) & 255
    return at + 4


@njit(nogil=True)
def _put_length(out: Any, at: Any, kind: Any, count: Any) -> Any:
    """A type descriptor."""
    if count < 15:
        out[at] = (count << 4) | kind
        return at + 1
    out[at] = 0xF0 | kind
    out[at + 1] = 0x13
    return _put_int32(out, at + 2, count)


@njit(nogil=True)
def _put_text(out: Any, at: Any, text: Any, start: Any, length: Any) -> Any:
    at = _put_length(out, at, 7, length)
    for i in range(length):
        out[at + i] = text[start + i]
    return at + length


@njit(nogil=True)
def _unknown(text: Any, start: Any, length: Any) -> Any:
    """Whether an allele is written `0` or `.`: not known, because nobody has it."""
    return length == 0 or (length == 1 and (text[start] == ZERO or text[start] == DOT))


@njit(nogil=True)
def _fits(text: Any, start: Any, length: Any, position: Any, fasta: Any, settings: Any) -> Any:
    return is_bases(text, start, length) and position >= 0 and ref_differs(text, start, length, position, fasta, settings) < 0


@njit(nogil=True)
def _set_ploidy(out: Any, at: Any, width: Any, ploidy: Any, tallies: Any) -> None:
    """Haploid calls are written with one allele; a het among them, and a call of who has no copy, is not called."""
    for s in range(ploidy.shape[0]):
        if ploidy[s] == DIPLOID:
            continue
        p = at + 2 * width * s
        one = np.int64(out[p]) | (np.int64(out[p + 1]) << 8 if width == 2 else np.int64(0))
        q = p + width
        two = (np.int64(out[q]) | (np.int64(out[q + 1]) << 8 if width == 2 else np.int64(0))) & ~np.int64(1)
        if ploidy[s] == ABSENT:
            tallies[T_ABSENT] += one != 0
            one = np.int64(0)
        elif one != two:
            tallies[T_HET_HAPLOID] += 1
            one = np.int64(0)
        out[p] = one & 255
        if width == 2:
            out[p + 1] = one >> 8
            out[q], out[q + 1] = 0x01, 0x80
        else:
            out[q] = 0x81


@njit(nogil=True)
def write_bcf(
    text: Any,
    sites: Any,
    contig: Any,
    ploidy_class: Any,
    ploidies: Any,
    bed: Any,
    words: Any,
    alleles: Any,
    phased: Any,
    fasta: Any,
    layouts: Any,
    rule: Any,
    scratch: Any,
    tallies: Any,
    out: Any,
) -> Any:
    """Write a BCF record for each site: (bytes written, variants written, error code). Calls are of `bed` or of `alleles`."""
    at, n_samples = np.int64(0), ploidies.shape[1]
    row_bytes = (n_samples + 3) // 4
    for v in range(sites.shape[0]):
        site = sites[v]
        position = site[S_VALUE] - 1
        ref, ref_length = site[2 * _REF], site[2 * _REF + 1]
        alt, alt_length = site[2 * _ALT], site[2 * _ALT + 1]
        swapped, fasta_ref = 0, np.int64(0)
        settings = layouts[contig[v]]
        if rule == REF_A1:
            swapped = 1
        elif rule == REF_OF_FASTA:
            first = _fits(text, alt, alt_length, position, fasta, settings)
            second = _fits(text, ref, ref_length, position, fasta, settings)
            tallies[T_EITHER] += first and second
            if first and not second:
                swapped = 1
            elif not second:
                # An allele that nobody has may be left out; REF is then the reference's base, if that is the other one.
                if _unknown(text, alt, alt_length):
                    alt, alt_length, swapped = ref, ref_length, 1
                elif not _unknown(text, ref, ref_length):
                    return at, v, 6
                within = 0 <= position < settings[P_FASTA_LENGTH]
                if alt_length != 1 or not is_bases(text, alt, 1) or not within:
                    return at, v, 6
                fasta_ref = reference_base(fasta, settings, position)
                ref_length = np.int64(1)
        tallies[T_SWAPPED] += swapped
        if swapped == 1 and fasta_ref == 0:
            ref, ref_length, alt, alt_length = alt, alt_length, ref, ref_length
        no_alt = alt_length == 1 and text[alt] == DOT
        if rule != REF_STATED:
            no_alt = _unknown(text, alt, alt_length)
            if fasta_ref == 0 and _unknown(text, ref, ref_length):
                return at, v, 5
        n_alts = 0 if no_alt else (1 if rule != REF_STATED else site[S_ALTS])
        begin = at
        at += 8
        at = _put_int32(out, at, contig[v])
        at = _put_int32(out, at, position)
        at = _put_int32(out, at, ref_length)
        at = _put_int32(out, at, np.int64(0x7F800001))  # QUAL is missing
        end, n_svlen = np.int64(-1), 0
        if site[2 * _INFO + 1] > 0:
            end, n_svlen, error = info_of(text, site[2 * _INFO], site[2 * _INFO] + site[2 * _INFO + 1], scratch)
            if error:
                return at, v, 8
        n_info = (end >= 0) + (n_svlen > 0)
        at = _put_int32(out, at, n_info | ((n_alts + 1) << 16))
        at = _put_int32(out, at, n_samples | (1 << 24))
        at = _put_text(out, at, text, site[2 * _ID], site[2 * _ID + 1])
        if fasta_ref != 0:
            out[at], out[at + 1] = 0x17, fasta_ref
            at += 2
        else:
            at = _put_text(out, at, text, ref, ref_length)
        start = alt
        for i in range(alt, alt + alt_length + 1):
            if n_alts > 0 and (i == alt + alt_length or (rule == REF_STATED and text[i] == COMMA)):
                at = _put_text(out, at, text, start, i - start)
                start = i + 1
        passed = site[2 * _FILTER + 1] == 0 or has_passed(text, site[2 * _FILTER], site[2 * _FILTER] + site[2 * _FILTER + 1])
        if passed:
            out[at] = 0
            at += 1
        else:
            out[at], out[at + 1] = 0x11, 1
            at += 2
        if end >= 0:
            out[at], out[at + 1], out[at + 2] = 0x11, 3, 0x13
            at = _put_int32(out, at + 3, end)
        if n_svlen > 0:
            out[at], out[at + 1] = 0x11, 4
            at = _put_length(out, at + 2, 3, n_svlen)
            for i in range(n_svlen):
                at = _put_int32(out, at, min(scratch.svlen[i], np.int64(0x7FFFFFFF)))
        _put_int32(out, begin, at - begin - 8)
        calls_at = at
        width = 1 if n_alts <= _ALTS_INT8 else 2
        out[at], out[at + 1], out[at + 2] = 0x11, 2, 0x20 | width
        at += 3
        if bed.shape[0] > 0:
            whole = n_samples // 4
            cells = out[at : at + 8 * whole].view(np.uint64)
            row = bed[v * row_bytes : (v + 1) * row_bytes]
            for i in range(whole):
                cells[i] = words[swapped, row[i]]
            for s in range(4 * whole, n_samples):
                pair = words[swapped, row[whole]] >> np.uint64(16 * (s & 3))
                out[at + 2 * s], out[at + 2 * s + 1] = pair & np.uint64(255), (pair >> np.uint64(8)) & np.uint64(255)
        elif width == 1:
            for s in range(n_samples):
                first, second = alleles[v, 2 * s], alleles[v, 2 * s + 1]  # not called: -9
                out[at + 2 * s] = (first + 1) << 1 if first >= 0 else 0
                out[at + 2 * s + 1] = ((second + 1) << 1) | (phased[v, s] != 0) if second >= 0 else 0
        else:
            for s in range(n_samples):
                first, second = np.int64(alleles[v, 2 * s]), np.int64(alleles[v, 2 * s + 1])  # not called: -9
                one = (first + 1) << 1 if first >= 0 else np.int64(0)
                two = ((second + 1) << 1) | (phased[v, s] != 0) if second >= 0 else np.int64(0)
                p = at + 4 * s
                out[p], out[p + 1] = one & 255, (one >> 8) & 127
                out[p + 2], out[p + 3] = two & 255, (two >> 8) & 127
        if ploidy_class[v] > 0:
            _set_ploidy(out, at, width, ploidies[ploidy_class[v]], tallies)
        at += 2 * width * n_samples
        _put_int32(out, begin + 4, at - calls_at)
    return at, sites.shape[0], 0
