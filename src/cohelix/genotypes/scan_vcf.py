"""Compiled loop over raw VCF lines."""

# ruff: noqa: PLR0912, PLR0915, PLR0917, PLR1714, SIM109
# A compiled parser is one long loop: calls that return many values, and sets of characters, are not compiled well.

from __future__ import annotations

from typing import Any

import numpy as np

from cohelix.genotypes.scan_calls import emit_record, mask_calls
from cohelix.genotypes.scan_layout import (
    ALTS_MAX,
    FAILED_DP,
    FAILED_FILTER,
    FAILED_GQ,
    ID_BYTES,
    MISSING,
    NO_SECOND,
    P_FILTERED,
    P_MIN_DP,
    P_MIN_GQ,
    P_PASS_ONLY,
    P_RECORD_BYTES,
    P_SAMPLES,
    S_DETAIL,
    S_ERROR,
    S_OFFSET,
    S_REF_UNPHASED,
    S_STOP,
    STOP_CONTIG,
    STOP_END,
    STOP_ERROR,
    STOP_FULL,
)
from cohelix.genotypes.scan_sites import (
    BAR,
    BLOCK,
    COLON,
    COMMA,
    DOT,
    HASH,
    NEWLINE,
    NINE,
    NONE,
    RETURN,
    SLASH,
    SYMBOLIC,
    TAB,
    ZERO,
    check_site,
    has_passed,
    info_of,
    note_block,
    note_record,
)
from cohelix.stats.numba_start import njit

_HOM_REF_BAR = np.uint64(0x09307C3009307C30)  # "0|0\t0|0\t", little-endian
_HOM_REF_SLASH = np.uint64(0x09302F3009302F30)


@njit(nogil=True)
def _vcf_field(buf: Any, p: Any, n: Any) -> Any:
    """Where the field at p ends: at a tab, a line end, or n."""
    while p < n and buf[p] != TAB and buf[p] != NEWLINE:
        p += 1
    return p


@njit(nogil=True)
def _vcf_genotype(buf: Any, p: Any, n: Any) -> Any:
    """Read one GT at p: (end, first, second, phased, error); the end is at its terminator."""
    first, second, phased, count = np.int64(MISSING), np.int64(NO_SECOND), False, 0
    if p < n and (buf[p] == SLASH or buf[p] == BAR):  # VCF 4.4: a leading mark of phase
        p += 1
    while True:
        if p >= n:
            return p, first, second, phased, 13
        if buf[p] == DOT:
            allele = np.int64(MISSING)
            p += 1
        elif ZERO <= buf[p] <= NINE:
            allele = np.int64(0)
            while p < n and ZERO <= buf[p] <= NINE:
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
        if p >= n or buf[p] == TAB or buf[p] == NEWLINE or buf[p] == COLON or buf[p] == RETURN:
            return p, first, second, phased, 0
        if buf[p] == BAR:
            phased = True
        elif buf[p] != SLASH:
            return p, first, second, phased, 13
        p += 1


@njit(nogil=True)
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
                    one_is = one == DOT or ZERO <= one <= NINE
                    two_is = two == DOT or ZERO <= two <= NINE
                    if not (tab == TAB and (mark == BAR or mark == SLASH) and one_is and two_is):
                        regular = False
                        i += 2 * w + half
                        p += 8 * w + 4 * half
                        break
                    one = np.int64(MISSING) if one == DOT else one - ZERO
                    two = np.int64(MISSING) if two == DOT else two - ZERO
                    if one | two:
                        if one > n_alts or two > n_alts:
                            state[S_DETAIL] = i + 2 * w + half
                            return k, p, 15
                        scratch.sample[k], scratch.first[k], scratch.second[k] = i + 2 * w + half, one, two
                        scratch.phased[k] = mark == BAR
                        k += 1
                    elif mark == SLASH:
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
                at_end = start >= n or buf[start] == NEWLINE or buf[start] == RETURN
                return k, p, (3 if at_end and start == p else error)
            if one > n_alts or two > n_alts:
                state[S_DETAIL] = i
                return k, p, 15
            if one != 0 or two != 0:
                scratch.sample[k], scratch.first[k], scratch.second[k], scratch.phased[k] = i, one, two, phased
                k += 1
            elif not phased:
                state[S_REF_UNPHASED] = 1
            while p < n and buf[p] != TAB and buf[p] != NEWLINE:
                if buf[p] == RETURN and (p + 1 == n or buf[p + 1] == NEWLINE):
                    break
                p += 1
            i += 1
            if p >= n or buf[p] == NEWLINE or buf[p] == RETURN:
                if i != samples:
                    return k, p, 3
                if p < n and buf[p] == RETURN:
                    p += 1
                return k, min(p + 1, n), 0
            p += 1
            if i == samples:
                return k, p, 3


@njit(nogil=True)
def _vcf_failed(buf: Any, fmt: Any, fmt_end: Any, n: Any, settings: Any, failed: Any) -> None:
    """Which samples of a well-formed line have a GQ or DP below the settings'; FORMAT is at fmt, the samples follow it."""
    gq, dp, field = -1, -1, 0
    for i in range(fmt, fmt_end):
        if buf[i] == COLON:
            field += 1
        elif (i + 2 == fmt_end or (i + 2 < fmt_end and buf[i + 2] == COLON)) and (i == fmt or buf[i - 1] == COLON):
            if buf[i] == 71 and buf[i + 1] == 81:
                gq = field if settings[P_MIN_GQ] >= 0 else -1
            elif buf[i] == 68 and buf[i + 1] == 80:
                dp = field if settings[P_MIN_DP] >= 0 else -1
    failed[:] = 0
    if gq < 0 and dp < 0:
        return
    p = fmt_end + 1
    for sample in range(settings[P_SAMPLES]):
        field = 0
        while p < n and buf[p] != TAB and buf[p] != NEWLINE:
            if buf[p] == COLON:
                field += 1
            elif (field == gq or field == dp) and buf[p - 1] == COLON:
                value, digits = np.int64(0), 0
                negative = buf[p] == 45
                at = p + negative
                while at < n and ZERO <= buf[at] <= NINE and digits < 18:
                    value = value * 10 + (np.int64(buf[at]) - ZERO)
                    digits += 1
                    at += 1
                if digits > 0:
                    value = -value if negative else value
                    if field == gq and value < settings[P_MIN_GQ]:
                        failed[sample] = FAILED_GQ
                    elif field == dp and value < settings[P_MIN_DP] and failed[sample] == 0:
                        failed[sample] = FAILED_DP
            p += 1
        p += 1


@njit(nogil=True)
def encode_lines(
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
        if buf[p] == HASH:
            error = 1
        elif buf[p] == NEWLINE or (buf[p] == RETURN and p + 1 < n and buf[p + 1] == NEWLINE):
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
        info, info_stop, fmt, fmt_end, passed = stop, stop, stop, stop, True
        for column in range(8):
            if error:
                break
            if stop >= n or buf[stop] != TAB:
                error = 3
                break
            start = stop + 1
            stop = _vcf_field(buf, start, n)
            if column == 0:
                if stop == start or stop - start > 10:
                    error = 4
                for i in range(start, stop):
                    if not ZERO <= buf[i] <= NINE:
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
            elif column == 5:
                passed = has_passed(buf, start, stop)
            elif column == 6:
                info, info_stop = start, stop
            elif column == 7:
                fmt, fmt_end = start, stop
        if error == 0 and (stop >= n or buf[stop] != TAB):
            error = 3
        n_alts = 0
        if error == 0:
            start = alt
            for i in range(alt, alt_end + 1):
                if i == alt_end or buf[i] == COMMA:
                    if n_alts == ALTS_MAX:
                        error = 10
                        break
                    scratch.alt_offset[n_alts], scratch.alt_length[n_alts] = start, i - start
                    n_alts += 1
                    start = i + 1
        if error == 0:
            error = check_site(buf, position, ref, ref_end - ref, n_alts, fasta, settings, scratch, state)
        info_end, n_svlen = np.int64(-1), 0
        if error == 0:
            n_called = n_alts if scratch.alt_kind[0] != NONE else 0
            spans = False
            for i in range(n_alts):
                spans = spans or scratch.alt_kind[i] == SYMBOLIC or scratch.alt_kind[i] == BLOCK or scratch.alt_kind[i] == NONE
            if spans:
                info_end, n_svlen, error = info_of(buf, info, info_stop, scratch)
                note_block(position, ref_end - ref, info_end, scratch)
        k, following, without_gt, by_filter, by_gq, by_dp = 0, stop + 1, 0, 0, 0, 0
        if error == 0:
            has_gt = (
                fmt_end - fmt >= 2 and buf[fmt] == 71 and buf[fmt + 1] == 84 and (fmt_end - fmt == 2 or buf[fmt + 2] == COLON)
            )
            if has_gt:
                k, following, error = _vcf_genotypes(buf, stop + 1, n, n_called, settings, scratch, state)
                if error == 0 and settings[P_FILTERED] == 1:
                    if settings[P_PASS_ONLY] == 1 and not passed:
                        scratch.failed[:] = FAILED_FILTER
                    else:
                        _vcf_failed(buf, fmt, fmt_end, n, settings, scratch.failed)
                    k, by_filter, by_gq, by_dp = mask_calls(k, scratch, settings)
            else:
                for i in range(fmt + 1, fmt_end - 2):
                    last = i + 3 == fmt_end or buf[i + 3] == COLON
                    if buf[i] == COLON and buf[i + 1] == 71 and buf[i + 2] == 84 and last:
                        error = 12
                without_gt = 1
                columns, following = 1, stop + 1
                while following < n and buf[following] != NEWLINE:
                    columns += buf[following] == TAB
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
        if not emit_record(
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
        note_record(position, without_gt, by_filter, by_gq, by_dp, state)
        state[S_OFFSET] = following
