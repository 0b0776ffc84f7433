"""Does this variant meet that query: places, annotations, types, lengths, brackets, mates and wildcard bases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from cohelix.bank.questions import VariantQuery
from cohelix.core.arrays import IntArray
from cohelix.core.genes import find_gene
from cohelix.core.genome import Region
from cohelix.core.reported import UNKNOWN_BASE
from cohelix.core.variant import VariantKey, is_sequence
from cohelix.genotypes.annotations import Annotations
from cohelix.genotypes.store import GenotypeStore
from cohelix.genotypes.structural import Mates, mate_of, types_of

_GAP_ROWS = 512  # rows further apart than this are read as two stretches
_STRETCH_ROWS = 16_384
_FOREVER = 2**31 - 1  # past the end of every contig


class Name(NamedTuple):
    """One row's name: row number, key, end and the source's id."""

    row: int
    key: VariantKey
    end: int
    id: str


def candidate_rows(
    store: GenotypeStore,
    query: VariantQuery,
    annotations: Annotations | None = None,
    mates: Mates | None = None,
    *,
    genes_by_place: bool = True,
) -> IntArray:
    """Rows that the query's place and annotations allow, ascending; what else it asks is `matches`' question.

    A breakend is at both of its ends. A gene is its place and what is annotated with it; with `genes_by_place` off (case
    reports and mutation lists, which name the gene that they mean), the annotation alone where there is any.
    """
    key = query.exact
    if key is not None:
        return np.array(_rows_of(store, key)[:1], np.int64)
    if query.source_id is not None:
        rows = store.rows_named(query.source_id)
        rows = rows if query.contig is None else _both(rows, _at_place(store, query, mates))
    else:
        rows = _numbers(range(store.info.n_variants)) if query.contig is None else _at_place(store, query, mates)
    wanted = {
        "hgvs": query.hgvs,
        "amino_acid": query.amino_acid,
        "consequence": query.consequence,
        "significance": query.significance,
    }
    asked = {name: text for name, text in wanted.items() if text is not None}
    if query.gene is None:
        return _both(rows, _annotated(annotations, asked)) if asked else rows
    gene = find_gene(query.gene, store.info.assembly)
    names = {query.gene, gene.symbol} if gene is not None else {query.gene}
    named = _union([_annotated(annotations, asked | {"gene": name}) for name in names])
    if gene is not None and (genes_by_place or annotations is None):
        within = store.rows_overlapping(gene.region)
        named = _union([named, _both(within, _annotated(annotations, asked)) if asked else within])
    return _both(rows, named)


def _at_place(store: GenotypeStore, query: VariantQuery, mates: Mates | None) -> IntArray:
    """Rows of the query's contig at the place that it names."""
    contig = str(query.contig)
    if query.overlaps is not None:
        rows = store.rows_overlapping(query.overlaps)
        if mates is not None:
            rows = _union([rows, mates.rows_within(query.overlaps)])
        if query.start is None:
            return rows
        within = store.rows_starting(Region(contig, *query.start))
        return rows[(rows >= within.start) & (rows < within.stop)]
    if query.start is not None:
        return _numbers(store.rows_starting(Region(contig, *query.start)))
    if query.end is not None:
        # A variant ends after it begins, so it begins before the bracket's last place.
        return _numbers(store.rows_starting(Region(contig, 0, query.end[1])))
    rows = _numbers(store.contig_rows(contig))
    return rows if mates is None else _union([rows, mates.rows_with(contig)])


def _rows_of(store: GenotypeStore, key: VariantKey) -> list[int]:
    """Rows of a variant; of an insertion or deletion, also where the source did not know the base before it (`N`)."""
    rows = store.rows_of(key)
    if not rows and len(key.ref) != len(key.alt) and key.ref[0] == key.alt[0] and is_sequence(key.alt):
        rows = store.rows_of(key._replace(ref=UNKNOWN_BASE + key.ref[1:], alt=UNKNOWN_BASE + key.alt[1:]))
    return rows


def _annotated(annotations: Annotations | None, asked: dict[str, str]) -> IntArray:
    return np.empty(0, np.int64) if annotations is None else annotations.rows_of(**asked)


def _both(first: IntArray, second: IntArray) -> IntArray:
    return np.asarray(np.intersect1d(first, second, assume_unique=True), np.int64)


def _union(parts: list[IntArray]) -> IntArray:
    return np.unique(np.concatenate(parts)).astype(np.int64)


def needs_names(query: VariantQuery) -> bool:
    """Whether the query asks more than a place, so that each candidate has to be looked at."""
    if query.exact is not None:
        return False
    wanted = (query.end, query.ref, query.alt, query.variant_type, query.min_length, query.max_length, query.mate_contig)
    return any(criterion is not None for criterion in wanted)


def read_names(store: GenotypeStore, rows: IntArray) -> Iterator[Name]:
    """The names of ascending rows, stretch by stretch."""
    if not rows.size:
        return
    ends = np.array([store.contig_rows(contig).stop for contig in store.info.contigs])
    contig = np.searchsorted(ends, rows, side="right")
    cuts = np.flatnonzero((np.diff(rows) > _GAP_ROWS) | (np.diff(contig) > 0)) + 1
    for near in np.split(rows, cuts):
        for start in range(0, len(near), _STRETCH_ROWS):
            part = near[start : start + _STRETCH_ROWS]
            first = int(part[0])
            table = store.table(range(first, int(part[-1]) + 1))
            for row, index in zip(part.tolist(), (part - first).tolist(), strict=True):
                key = VariantKey(table.contig, int(table.position[index]), table.ref[index], table.alt[index])
                yield Name(row, key, int(table.end[index]), table.id[index])


def matches(query: VariantQuery, name: Name) -> bool:
    """Whether a variant at an allowed place meets the rest of the query."""
    key = name.key
    fits = (
        (query.end is None or query.end[0] <= name.end < query.end[1])
        and (query.ref is None or _spells(query.ref, key.ref))
        and (query.alt is None or _spells(query.alt, key.alt))
        and (query.variant_type is None or is_of_type(key, query.variant_type))
        and (query.mate_contig is None or _joins(key, query.contig, query.mate_contig))
    )
    if not fits or (query.min_length is None and query.max_length is None):
        return fits
    length = variant_length(key, name.end)
    return (query.min_length is None or length >= query.min_length) and (query.max_length is None or length <= query.max_length)


def is_of_type(key: VariantKey, wanted: str) -> bool:
    """Whether a variant is a SNP (SNV), MNP, INDEL, INS, DEL, DUP, INV, CNV, BND, SV, or of a symbolic ALT's own name."""
    wanted = wanted.upper().strip("<>")
    ref, alt = key.ref, key.alt
    if is_sequence(alt):
        if len(ref) == len(alt):
            return wanted in ({"SNP", "SNV"} if len(ref) == 1 else {"MNP"})
        return wanted in {"INDEL", "INS" if len(alt) > len(ref) else "DEL"}
    return wanted in types_of(alt)


def variant_length(key: VariantKey, end: int) -> int:
    """Bases that change: |len(ALT) - len(REF)|, of a substitution len(REF), of a symbolic ALT the reference covered after
    the base before it: |SVLEN| of a deletion, duplication or inversion."""
    if not is_sequence(key.alt):
        return max(0, end - key.position - 1)
    return abs(len(key.alt) - len(key.ref)) or len(key.ref)


def first_row_from(store: GenotypeStore, contig: str, position: int) -> int:
    """The first row of the contig at or after a position."""
    return store.rows_starting(Region(contig, position, _FOREVER)).start


def _joins(key: VariantKey, contig: str | None, mate_contig: str) -> bool:
    """Whether a variant is a breakend between these contigs, in either order."""
    mate = mate_of(key.alt)
    if mate is None:
        return False
    ends = (key.contig, mate.contig)
    return mate_contig in ends if contig is None else ends in ((contig, mate_contig), (mate_contig, contig))


def _spells(pattern: str, allele: str) -> bool:
    if pattern == allele:
        return True
    if "N" not in pattern or len(pattern) != len(allele) or not is_sequence(allele):
        return False
    return all(wanted in ("N", base) for wanted, base in zip(pattern, allele, strict=True))


def _numbers(rows: range) -> IntArray:
    return np.arange(rows.start, rows.stop, dtype=np.int64)
