"""Compiled loops over raw BCF records."""

# ruff: noqa: PLR0911, PLR0912, PLR0915, PLR0917, PLR1714, SIM108
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
    P_CONTIG,
    P_DP,
    P_END,
    P_FILTERED,
    P_GQ,
    P_GT,
    P_KEYS,
    P_MIN_DP,
    P_MIN_DP_BITS,
    P_MIN_GQ,
    P_MIN_GQ_BITS,
    P_PASS_ONLY,
    P_SAMPLES,
    P_SVLEN,
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
from cohelix.genotypes.scan_sites import NONE, check_site, note_block, note_record
from cohelix.stats.numba_start import njit

_BCF_HOM_REF = np.uint64(0x0202020202020202)  # allele 0 is (0 + 1) << 1; the lowest bit is the phase
_BCF_ALLELES = np.uint64(0xFEFEFEFEFEFEFEFE)
_BCF_PHASES = np.uint64(0x0100010001000100)  # of each second allele
_BCF_NOT_FIRST_PHASE = np.uint64(0xFFFFFFFFFFFFFEFF)


@njit(nogil=True)
def _int32(buf: Any, p: Any) -> Any:
    raw = np.int64(buf[p]) | (np.int64(buf[p + 1]) << 8) | (np.int64(buf[p + 2]) << 16) | (np.int64(buf[p + 3]) << 24)
    return raw - (np.int64(1) << 32) if raw >= (np.int64(1) << 31) else raw


@njit(nogil=True)
def _width(kind: Any) -> Any:
    """Bytes of one value of a BCF type; -1 for a type that there is not."""
    if kind == 0:
        return 0
    if kind == 1 or kind == 7:
        return 1
    if kind == 2:
        return 2
    return 4 if kind == 3 or kind == 5 else -1


@njit(nogil=True)
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


@njit(nogil=True)
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


@njit(nogil=True)
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


@njit(nogil=True)
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


@njit(nogil=True)
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


@njit(nogil=True)
def _bcf_failed(buf: Any, p: Any, kind: Any, count: Any, least: Any, least_bits: Any, reason: Any, failed: Any) -> None:
    """Note the samples whose first value of a FORMAT field at p is below; nothing without the field or the rule."""
    if p < 0 or least < 0 or count == 0:
        return
    width = _width(kind)
    for sample in range(failed.shape[0]):
        at = p + sample * count * width
        if kind == 1 or kind == 2 or kind == 3:
            value = _bcf_int(buf, at, kind)
            if value > -(np.int64(1) << 40) and value < least:
                failed[sample] = reason
        elif kind == 5 and _int32(buf, at) < least_bits:
            # Bits of floats that are not negative ascend with the floats; the marks of missing stand above infinity.
            failed[sample] = reason


@njit(nogil=True)
def walk_records(buf: Any, p: Any, n: Any, record_bytes: Any) -> Any:
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


@njit(nogil=True)
def encode_records(buf: Any, n: Any, permutation: Any, fasta: Any, settings: Any, scratch: Any, out: Any, state: Any) -> None:
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
            error = check_site(buf, position, ref, ref_length, n_alts, fasta, settings, scratch, state)
        passed = True
        if error == 0:  # FILTER
            p, kind, count = _bcf_type(buf, p, end)
            if kind < 0 or kind == 5 or kind == 7 or p + count * _width(kind) > end:
                error = 20
            else:
                for i in range(count):
                    key = _bcf_int(buf, p + i * _width(kind), kind) if kind != 0 else np.int64(0)
                    if key < 0 or key >= settings[P_KEYS]:
                        error = 22
                    passed = passed and key == 0
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
        gq, gq_kind, gq_count = np.int64(-1), np.int64(0), np.int64(0)
        dp, dp_kind, dp_count = np.int64(-1), np.int64(0), np.int64(0)
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
                elif key == settings[P_GQ]:
                    gq, gq_kind, gq_count = p, kind, count
                elif key == settings[P_DP]:
                    dp, dp_kind, dp_count = p, kind, count
                p += count * _width(kind) * samples
            if error == 0 and p != following:
                error = 20
        k: Any = 0
        without_gt, by_filter, by_gq, by_dp = 0, 0, 0, 0
        if error == 0:
            n_called = n_alts if scratch.alt_kind[0] != NONE else 0
            note_block(position, ref_length, info_end, scratch)
            if gt >= 0 and gt_count > 0:
                k, error = _bcf_genotypes(buf, gt, gt_kind, gt_count, n_called, settings, scratch, state)
                if error == 0 and settings[P_FILTERED] == 1:
                    failed = scratch.failed
                    failed[:] = FAILED_FILTER if settings[P_PASS_ONLY] == 1 and not passed else 0
                    if failed[0] == 0:
                        # GQ last: its reason stands where both apply.
                        least, bits = settings[P_MIN_DP], settings[P_MIN_DP_BITS]
                        _bcf_failed(buf, dp, dp_kind, dp_count, least, bits, FAILED_DP, failed)
                        least, bits = settings[P_MIN_GQ], settings[P_MIN_GQ_BITS]
                        _bcf_failed(buf, gq, gq_kind, gq_count, least, bits, FAILED_GQ, failed)
                    k, by_filter, by_gq, by_dp = mask_calls(k, scratch, settings)
            else:
                without_gt = 1
                for i in range(samples):
                    scratch.sample[i], scratch.first[i], scratch.second[i], scratch.phased[i] = i, MISSING, MISSING, 0
                k = samples
        if error:
            state[S_ERROR], state[S_STOP] = error, STOP_ERROR
            return
        if not emit_record(
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
        note_record(position, without_gt, by_filter, by_gq, by_dp, state)
        state[S_OFFSET] = following
