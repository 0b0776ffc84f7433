"""A store written again with other names for its rows, in their order: what a lift-over leaves behind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cohelix.core.arrays import IntArray
from cohelix.core.genome import Assembly, contig_order
from cohelix.genotypes.encode import pack_strings
from cohelix.genotypes.hybrid_store import HybridStore
from cohelix.genotypes.model import EncodedBatch, Strings
from cohelix.genotypes.writer import StoreWriter

_ROWS = 4096


class NewKey(NamedTuple):
    """A row's new name; `end` is the end of the reference that it covers."""

    contig: str
    position: int
    end: int
    ref: str
    alt: str


def write_lifted(store: HybridStore, folder: Path, keys: Sequence[NewKey], rows: Sequence[int], assembly: Assembly) -> IntArray:
    """Write the store's `rows` under their new `keys` into `folder`; returns the source row of each row written."""
    order = sorted(range(len(keys)), key=lambda i: (contig_order(keys[i].contig), keys[i].position, rows[i]))
    source_rows = np.array([rows[i] for i in order], np.int64)
    contigs = [keys[i].contig for i in order]
    with StoreWriter(folder, assembly=assembly, samples=store.info.samples) as writer:
        for start, stop in _stretches(store, source_rows, contigs):
            named = [keys[i] for i in order[start:stop]]
            writer.add(_renamed(store, int(source_rows[start]), named, start))
    return source_rows


def _stretches(store: HybridStore, rows: IntArray, contigs: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Places start…stop - 1 whose rows stand one after another in one shard, and stay together on one contig."""
    ends = {shard.stop for shard in store.shard_rows()}
    start = 0
    for place in range(1, len(rows) + 1):
        if (
            place == len(rows)
            or rows[place] != rows[place - 1] + 1
            or int(rows[place]) in ends
            or contigs[place] != contigs[place - 1]
            or place - start == _ROWS
        ):
            yield start, place
            start = place


def _renamed(store: HybridStore, row: int, named: Sequence[NewKey], first: int) -> EncodedBatch:
    """The rows from `row` on, under other names; the source's own way of writing them does not hold any more."""
    index = next(number for number, rows in enumerate(store.shard_rows()) if row in rows)
    local = row - store.shard_rows()[index].start
    n = len(named)
    return replace(
        store.shard(index).batch(local, local + n),
        contig=named[0].contig,
        position=np.array([key.position for key in named], np.uint32),
        end=np.array([key.end for key in named], np.uint32),
        alleles=pack_strings([f"{key.ref}\t{key.alt}" for key in named]),
        source=Strings(np.zeros(n + 1, np.int64), b""),
        record=first + np.arange(n, dtype=np.int64),
        alt_index=np.zeros(n, np.uint16),
        n_alts=np.ones(n, np.uint16),
    )
