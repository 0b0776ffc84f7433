"""The reference encoder: calls to an `EncodedBatch` in plain NumPy, one variant after another, straight from `model`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cohelix.core.arrays import AlleleArray, BoolArray, ByteArray, IntArray, UintArray, WordArray
from cohelix.core.errors import ShapeMismatch
from cohelix.genotypes.model import (
    CODE_MISSING,
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
    EncodedBatch,
    Strings,
    sparse_limit,
)


def encode_calls(  # noqa: PLR0917 - the columns of a variant, in the order of EncodedBatch
    contig: str,
    positions: Sequence[int],
    ends: Sequence[int],
    refs: Sequence[str],
    alts: Sequence[str],
    ids: Sequence[str],
    records: Sequence[int],
    alt_indexes: Sequence[int],
    n_alts: Sequence[int],
    sources: Sequence[str],
    alleles: AlleleArray,
    phased: BoolArray,
) -> EncodedBatch:
    """Encode calls of biallelic variants, as `EncodedBatch` describes.

    Parameters
    ----------
    contig, positions, ends, refs, alts, ids, records, alt_indexes, n_alts, sources
        One entry per variant; see `EncodedBatch`.
    alleles
        (variants, N, 2) int8: 0 not this ALT, 1 this ALT, -1 not called, -2 no second allele.
    phased
        (variants, N) bool: whether the call is written with `|`. Kept of hets and half-called samples. A variant
        without a het is PHASE_ALL where every fully called diploid sample is phased (and there is one), so that
        phased files come back phased; otherwise PHASE_NONE.

    Raises
    ------
    ShapeMismatch
        If the columns differ in length or the calls in shape.
    """
    n = len(positions)
    columns = (ends, refs, alts, ids, records, alt_indexes, n_alts, sources, alleles, phased)
    if any(len(column) != n for column in columns):
        raise ShapeMismatch(f"columns of {[len(column) for column in columns]} entries do not name {n} variants")
    if alleles.ndim != 3 or alleles.shape[2] != 2 or phased.shape != alleles.shape[:2]:
        raise ShapeMismatch(f"calls of shape {alleles.shape} and phase of shape {phased.shape} do not fit")
    n_samples = alleles.shape[1]
    patterns: dict[bytes, int] = {np.zeros(-(-n_samples // 64), np.uint64).tobytes(): 0}
    calls = [_encode_variant(alleles[i], phased[i], patterns) for i in range(n)]
    ploidy = np.frombuffer(b"".join(patterns), np.uint64).reshape(len(patterns), -1)
    carriers = [call.carriers for call in calls]
    missing = [call.missing for call in calls]
    phase = [call.phase for call in calls]
    rows = [call.row for call in calls if call.row is not None]
    return EncodedBatch(
        contig=contig,
        n_samples=n_samples,
        position=np.asarray(positions, np.uint32),
        end=np.asarray(ends, np.uint32),
        alleles=pack_strings([f"{ref}\t{alt}" for ref, alt in zip(refs, alts, strict=True)]),
        ids=pack_strings(ids),
        record=np.asarray(records, np.int64),
        alt_index=np.asarray(alt_indexes, np.uint16),
        n_alts=np.asarray(n_alts, np.uint16),
        source=pack_strings(sources),
        flags=np.array([call.flags for call in calls], np.uint8),
        pattern=np.array([call.pattern for call in calls], np.int32),
        ploidy=ploidy,
        carriers=np.concatenate([np.empty(0, np.uint32), *carriers]),
        carrier_offsets=_offsets(carriers),
        rows=np.array(rows, np.uint64).reshape(len(rows), -(-n_samples // 32)),
        missing=np.concatenate([np.empty(0, np.uint32), *missing]),
        missing_offsets=_offsets(missing),
        phase=np.concatenate([np.empty(0, np.uint8), *phase]),
        phase_offsets=_offsets(phase),
    )


def pack_strings(texts: Sequence[str]) -> Strings:
    """A column of strings, UTF-8."""
    encoded = [text.encode() for text in texts]
    return Strings(_offsets(encoded), b"".join(encoded))


class _Call:
    """One encoded variant."""

    __slots__ = ("carriers", "flags", "missing", "pattern", "phase", "row")

    flags: int
    pattern: int
    carriers: UintArray
    missing: UintArray
    phase: ByteArray
    row: WordArray | None


def _encode_variant(alleles: AlleleArray, phased: BoolArray, patterns: dict[bytes, int]) -> _Call:
    first, second = alleles[:, 0], alleles[:, 1]
    haploid = second == -2
    copies = (first == 1).astype(np.int64) + (second == 1)
    complete = (first >= 0) & (haploid | (second >= 0))
    half = ~haploid & ((first >= 0) != (second >= 0))
    het = complete & ~haploid & (copies == 1)
    carrier = complete & (copies > 0)
    kinds = np.where(
        half, KIND_HALF | KIND_ALT * copies | KIND_SECOND * (half & (second >= 0)) | KIND_PHASED * (half & phased), 0
    ).astype(np.uint32)

    call = _Call()
    call.pattern = patterns.setdefault(_bitmap(haploid), len(patterns))
    dense = int((carrier | ~complete).sum()) > sparse_limit(len(copies))
    listed = np.flatnonzero(half if dense else ~complete).astype(np.uint32)
    call.missing = listed << np.uint32(MISSING_SHIFT) | kinds[listed]
    if dense:
        codes = np.where(complete, copies, CODE_MISSING).astype(np.uint64)
        padded = np.zeros((-(-len(codes) // 32), 32), np.uint64)
        padded.reshape(-1)[: len(codes)] = codes
        call.row = np.bitwise_or.reduce(padded << np.arange(0, 64, 2, dtype=np.uint64), axis=1)
        call.carriers = np.empty(0, np.uint32)
    else:
        samples = np.flatnonzero(carrier)
        call.row = None
        call.carriers = (samples << 1 | (copies[samples] == 2)).astype(np.uint32)

    het_phased, het_second = phased[het], (second == 1)[het]
    diploid_phased = phased[complete & ~haploid]
    if het_phased.size:
        state = PHASE_ALL if het_phased.all() else PHASE_MIXED if het_phased.any() else PHASE_NONE
    else:
        state = PHASE_ALL if diploid_phased.size and diploid_phased.all() else PHASE_NONE
    bits = {
        PHASE_NONE: het_second[:0],
        PHASE_ALL: het_second,
        PHASE_MIXED: np.stack([het_phased, het_phased & het_second], axis=1).reshape(-1),
    }[state]
    call.phase = np.packbits(bits, bitorder="little")
    call.flags = (FLAG_DENSE if dense else 0) | state << PHASE_SHIFT
    return call


def _bitmap(flags: BoolArray) -> bytes:
    packed = np.zeros(-(-len(flags) // 64) * 8, np.uint8)
    packed[: -(-len(flags) // 8)] = np.packbits(flags, bitorder="little")
    return packed.tobytes()


def _offsets(lists: Sequence[UintArray] | Sequence[ByteArray] | Sequence[bytes]) -> IntArray:
    return np.cumsum([0, *map(len, lists)], dtype=np.int64)
