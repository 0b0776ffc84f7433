"""Encoded batches cut, joined and put in another order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cohelix.core.arrays import IntArray
from cohelix.core.errors import ShapeMismatch
from cohelix.genotypes.model import FLAG_DENSE, EncodedBatch, Strings

AnyArray = npt.NDArray[Any]


def slice_batch(batch: EncodedBatch, start: int, stop: int) -> EncodedBatch:
    """Variants start…stop - 1, without copying calls."""

    def cut(values: AnyArray, offsets: IntArray) -> tuple[AnyArray, IntArray]:
        first, last = int(offsets[start]), int(offsets[stop])
        return values[first:last], offsets[start : stop + 1] - first

    def cut_text(texts: Strings) -> Strings:
        first, last = int(texts.offsets[start]), int(texts.offsets[stop])
        return Strings(texts.offsets[start : stop + 1] - first, texts.heap[first:last])

    dense = np.concatenate([[0], np.cumsum(batch.flags & FLAG_DENSE, dtype=np.int64)])
    carriers, carrier_offsets = cut(batch.carriers, batch.carrier_offsets)
    missing, missing_offsets = cut(batch.missing, batch.missing_offsets)
    phase, phase_offsets = cut(batch.phase, batch.phase_offsets)
    rows = slice(start, stop)
    return EncodedBatch(
        contig=batch.contig,
        n_samples=batch.n_samples,
        position=batch.position[rows],
        end=batch.end[rows],
        alleles=cut_text(batch.alleles),
        ids=cut_text(batch.ids),
        record=batch.record[rows],
        alt_index=batch.alt_index[rows],
        n_alts=batch.n_alts[rows],
        source=cut_text(batch.source),
        flags=batch.flags[rows],
        pattern=batch.pattern[rows],
        ploidy=batch.ploidy,
        carriers=carriers,
        carrier_offsets=carrier_offsets,
        rows=batch.rows[int(dense[start]) : int(dense[stop])],
        missing=missing,
        missing_offsets=missing_offsets,
        phase=phase,
        phase_offsets=phase_offsets,
    )


def take(batch: EncodedBatch, order: IntArray) -> EncodedBatch:
    """The variants `order`, in that order."""
    rank = np.cumsum(batch.flags & FLAG_DENSE, dtype=np.int64) - 1
    dense = order[(batch.flags[order] & FLAG_DENSE) == FLAG_DENSE]
    carriers, carrier_offsets = take_lists(batch.carriers, batch.carrier_offsets, order)
    missing, missing_offsets = take_lists(batch.missing, batch.missing_offsets, order)
    phase, phase_offsets = take_lists(batch.phase, batch.phase_offsets, order)
    return EncodedBatch(
        contig=batch.contig,
        n_samples=batch.n_samples,
        position=batch.position[order],
        end=batch.end[order],
        alleles=take_strings(batch.alleles, order),
        ids=take_strings(batch.ids, order),
        record=batch.record[order],
        alt_index=batch.alt_index[order],
        n_alts=batch.n_alts[order],
        source=take_strings(batch.source, order),
        flags=batch.flags[order],
        pattern=batch.pattern[order],
        ploidy=batch.ploidy,
        carriers=carriers,
        carrier_offsets=carrier_offsets,
        rows=batch.rows[rank[dense]],
        missing=missing,
        missing_offsets=missing_offsets,
        phase=phase,
        phase_offsets=phase_offsets,
    )


def join(batches: Sequence[EncodedBatch]) -> EncodedBatch:
    """Batches of one contig, one after another.

    Raises
    ------
    ShapeMismatch
        If they differ in contig or samples, or if there is none.
    """
    if len(batches) == 1:
        return batches[0]
    if len({(batch.contig, batch.n_samples) for batch in batches}) != 1:
        raise ShapeMismatch("only batches of one contig and of the same samples can be joined")

    def column(name: str) -> AnyArray:
        return np.concatenate([getattr(batch, name) for batch in batches])

    def offsets(name: str) -> IntArray:
        return _joined_offsets([getattr(batch, name) for batch in batches])

    def text(name: str) -> Strings:
        columns: list[Strings] = [getattr(batch, name) for batch in batches]
        return Strings(_joined_offsets([texts.offsets for texts in columns]), b"".join(bytes(texts.heap) for texts in columns))

    known: dict[bytes, int] = {}
    patterns = []
    for batch in batches:
        numbers = [known.setdefault(bitmap.tobytes(), len(known)) for bitmap in batch.ploidy]
        patterns.append(np.array(numbers, np.int32)[batch.pattern])
    return EncodedBatch(
        contig=batches[0].contig,
        n_samples=batches[0].n_samples,
        position=column("position"),
        end=column("end"),
        alleles=text("alleles"),
        ids=text("ids"),
        record=column("record"),
        alt_index=column("alt_index"),
        n_alts=column("n_alts"),
        source=text("source"),
        flags=column("flags"),
        pattern=np.concatenate(patterns),
        ploidy=np.frombuffer(b"".join(known), np.uint64).reshape(len(known), -1),
        carriers=column("carriers"),
        carrier_offsets=offsets("carrier_offsets"),
        rows=column("rows"),
        missing=column("missing"),
        missing_offsets=offsets("missing_offsets"),
        phase=column("phase"),
        phase_offsets=offsets("phase_offsets"),
    )


def take_lists(values: AnyArray, offsets: IntArray, order: IntArray) -> tuple[AnyArray, IntArray]:
    """The lists `order` of a column of lists, and their offsets."""
    lengths = offsets[order + 1] - offsets[order]
    taken = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    places = np.arange(taken[-1]) + np.repeat(offsets[order] - taken[:-1], lengths)
    return values[places], taken


def take_strings(texts: Strings, order: IntArray) -> Strings:
    """The strings `order` of a column of strings."""
    heap, offsets = take_lists(np.frombuffer(texts.heap, np.uint8), texts.offsets, order)
    return Strings(offsets, heap.tobytes())


def _joined_offsets(columns: Sequence[IntArray]) -> IntArray:
    """Offsets of columns of lists put one after another; each column starts at 0."""
    lengths = [np.diff(offsets) for offsets in columns]
    return np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
