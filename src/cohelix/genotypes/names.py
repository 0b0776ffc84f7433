"""Names of many rows at once, as Arrow columns: for lists of variants, where one by one would take too long."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cohelix.core.errors import ShapeMismatch
from cohelix.core.genome import Region
from cohelix.genotypes.hybrid_store import BASES, LONG, HybridStore, Shard
from cohelix.genotypes.store import GenotypeStore

_LETTERS = [chr(base) for base in BASES]
_REF = pa.array([*(ref for ref in _LETTERS for _ in _LETTERS), ""], pa.large_string())
_ALT = pa.array([*(alt for _ in _LETTERS for alt in _LETTERS), ""], pa.large_string())


def name_columns(store: GenotypeStore, rows: range) -> pa.Table:
    """Columns position (uint32, 0-based), ref and alt (large_string) of consecutive rows of one contig.

    Raises
    ------
    ShapeMismatch
        If the rows are not of this store, or of another kind of store.
    """
    if not isinstance(store, HybridStore) or rows.step != 1 or rows.start < 0 or rows.stop > store.info.n_variants:
        raise ShapeMismatch(f"rows {rows.start}…{rows.stop - 1} are not consecutive rows of a store of shards")
    parts = []
    for number, held in enumerate(store.shard_rows()):
        start, stop = max(rows.start, held.start), min(rows.stop, held.stop)
        if start < stop:
            parts.append(_of_shard(store.shard(number), start - held.start, stop - held.start))
    if not parts:
        return pa.table([pa.array([], pa.uint32()), _REF[:0], _ALT[:0]], names=["position", "ref", "alt"])
    return pa.concat_tables(parts)


def rows_in(store: GenotypeStore, regions: tuple[Region, ...] | None) -> list[tuple[str, range]]:
    """Contig and rows of each region, by trimmed position; of all contigs where none is given. None twice."""
    if regions is None:
        return [(contig, store.contig_rows(contig)) for contig in store.info.contigs]
    found: list[tuple[str, range]] = []
    for contig in store.info.contigs:
        end = -1
        for region in sorted(one for one in regions if one.contig == contig):
            rows = store.rows_starting(region)
            rows = range(max(rows.start, end), max(rows.stop, end, rows.start))
            if rows:
                found.append((contig, rows))
                end = rows.stop
    return found


def _of_shard(shard: Shard, start: int, stop: int) -> pa.Table:
    codes = np.minimum(shard.allele[start:stop], len(_REF) - 1)
    ref, alt = (letters.take(pa.array(codes)) for letters in (_REF, _ALT))
    is_long = shard.allele[start:stop] == LONG
    if is_long.any():
        first, last = np.searchsorted(shard.long_rows, np.array([start, stop], np.uint32))
        texts = [shard.text("long", entry).split("\t") for entry in range(int(first), int(last))]
        mask = pa.array(is_long)
        ref = pc.replace_with_mask(ref, mask, pa.array([text[0] for text in texts], pa.large_string()))
        alt = pc.replace_with_mask(alt, mask, pa.array([text[1] for text in texts], pa.large_string()))
    return pa.table([pa.array(np.asarray(shard.position[start:stop])), ref, alt], names=["position", "ref", "alt"])
