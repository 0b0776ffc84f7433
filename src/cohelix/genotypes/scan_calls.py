"""Compiled loops over a record's calls, which are listed as exceptions from "homozygous for REF": rules, then encoding."""

# ruff: noqa: PLR0912, PLR0915, PLR0917, PLR1714, SIM109
# A compiled parser is one long loop: calls that return many values, and sets of characters, are not compiled well.

from __future__ import annotations

from typing import Any

import numpy as np

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
from cohelix.genotypes.scan_layout import (
    FAILED_DP,
    FAILED_FILTER,
    FAILED_GQ,
    MISSING,
    NO_SECOND,
    P_FIRST_RECORD,
    P_PERMUTED,
    P_SAMPLES,
    P_TAIL,
    PATTERNS_MAX,
    S_ALLELES,
    S_ALT,
    S_CARRIERS,
    S_HALF_CALLS,
    S_IDS,
    S_MISSING,
    S_MULTIALLELIC,
    S_PATTERNS,
    S_PHASE,
    S_RECORDS,
    S_REF_UNPHASED,
    S_REFERENCE_BLOCKS,
    S_SOURCES,
    S_TRANSITIONS,
    S_TRANSVERSIONS,
    S_VARIANTS,
    S_WORDS,
    TAIL,
)
from cohelix.genotypes.scan_sites import (
    BLOCK,
    COMMA,
    DOT,
    SEQUENCE,
    SYMBOLIC,
    TAB,
    differs,
    end_of,
    put_alleles,
    put_number,
    upper,
)
from cohelix.stats.numba_start import njit


@njit(nogil=True)
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


@njit(nogil=True)
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


@njit(nogil=True)
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


@njit(nogil=True)
def mask_calls(k: Any, scratch: Any, settings: Any) -> Any:
    """Make the failed calls of `scratch.failed` missing: (exceptions, called calls that failed by FILTER, GQ, DP)."""
    sort, by_filter, by_gq, by_dp = scratch.sort, 0, 0, 0
    e, made = 0, 0
    for s in range(settings[P_SAMPLES]):
        listed = e < k and scratch.sample[e] == s
        reason = scratch.failed[s]
        if reason != 0:
            if not listed or scratch.first[e] >= 0 or scratch.second[e] >= 0:
                by_filter += reason == FAILED_FILTER
                by_gq += reason == FAILED_GQ
                by_dp += reason == FAILED_DP
            sort[0, made], sort[1, made], sort[2, made], sort[3, made] = s, MISSING, MISSING, 0
            made += 1
        elif listed:
            sort[0, made], sort[1, made] = s, scratch.first[e]
            sort[2, made], sort[3, made] = scratch.second[e], scratch.phased[e]
            made += 1
        e += listed
    for i in range(made):
        scratch.sample[i], scratch.first[i], scratch.second[i], scratch.phased[i] = (
            sort[0, i],
            sort[1, i],
            sort[2, i],
            sort[3, i],
        )
    return made, by_filter, by_gq, by_dp


@njit(nogil=True)
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


@njit(nogil=True)
def emit_record(
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
    lengths, n_variants = ref_length + 16, 0
    for i in range(n_alts):
        lengths += scratch.alt_length[i] + 1
        n_variants += scratch.alt_kind[i] != BLOCK
    for index in range(state[S_ALT], n_alts):
        v = state[S_VARIANTS]
        alt, alt_length, kind = scratch.alt_offset[index], scratch.alt_length[index], scratch.alt_kind[index]
        state[S_ALT] = index
        if kind == BLOCK and n_variants > 0:
            continue  # "any other allele" beside variants is no variant
        # A reference block is a row of one name, whatever the file calls it; the source's own stands in `source`.
        name, name_length = (settings[P_TAIL] + 1, np.int64(len(TAIL) - 1)) if kind == BLOCK else (alt, alt_length)
        if (
            state[S_ALLELES] + ref_length + name_length + 8 > out.alleles.shape[0]
            or state[S_IDS] + id_length > out.ids.shape[0]
            or state[S_SOURCES] + lengths > out.sources.shape[0]
            or not _encode_alt(index + 1, k, pattern, n, scratch, out, state)
        ):
            return False
        start = state[S_ALLELES]
        moved = put_alleles(buf, position, ref, ref_length, name, name_length, kind, fasta, settings, out, state)
        out.allele_offsets[v + 1] = state[S_ALLELES]
        out.position[v] = moved
        if kind == SYMBOLIC or kind == BLOCK:
            state[S_REFERENCE_BLOCKS] += kind == BLOCK
            out.end[v] = end_of(buf, alt, alt_length, index, position, ref_length, info_end, n_svlen, scratch, settings, state)
        else:
            tab = start
            while out.alleles[tab] != TAB:
                tab += 1
            out.end[v] = moved + tab - start
        out.record[v] = settings[P_FIRST_RECORD] + state[S_RECORDS]
        out.alt_index[v], out.n_alts[v] = index, n_alts
        at = state[S_IDS]
        if not (id_length == 1 and buf[id_at] == DOT):
            for i in range(id_length):
                out.ids[at + i] = buf[id_at + i]
            at += id_length
        state[S_IDS] = at
        out.id_offsets[v + 1] = at
        at = state[S_SOURCES]
        whole = state[S_ALLELES] - start == ref_length + 1 + alt_length
        if n_alts > 1 or moved != position or not whole or differs(out.alleles, start, buf, ref, ref_length, alt, alt_length):
            at = put_number(out.sources, at, position + 1)
            out.sources[at] = TAB
            at += 1
            for i in range(ref_length):
                out.sources[at + i] = buf[ref + i]
            at += ref_length
            for other in range(n_alts):
                out.sources[at] = TAB if other == 0 else COMMA
                at += 1
                for i in range(scratch.alt_length[other]):
                    out.sources[at + i] = buf[scratch.alt_offset[other] + i]
                at += scratch.alt_length[other]
        state[S_SOURCES] = at
        out.source_offsets[v + 1] = at
        if kind == SEQUENCE and ref_length == 1 and alt_length == 1:
            one, two = upper(np.int64(buf[ref])), upper(np.int64(buf[alt]))
            if one != two and one != 78 and two != 78:
                # A<->G and C<->T: the only pairs whose codes add up to 136 and 151.
                if one + two == 136 or one + two == 151:
                    state[S_TRANSITIONS] += 1
                else:
                    state[S_TRANSVERSIONS] += 1
        state[S_VARIANTS] = v + 1
    state[S_ALT] = 0
    # Only now, when the record is finished: one that finds the batch full is read a second time.
    _sum_calls(k, scratch, state)
    state[S_MULTIALLELIC] += n_variants > 1
    return True
