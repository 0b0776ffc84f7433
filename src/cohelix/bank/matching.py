"""Does this variant meet that query: types, lengths, brackets and wildcard bases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from cohelix.bank.questions import VariantQuery
from cohelix.core.arrays import IntArray
from cohelix.core.genome import Region
from cohelix.core.variant import VariantKey, is_sequence
from cohelix.genotypes.store import GenotypeStore

_GAP_ROWS = 512  # rows further apart than this are read as two stretches
_STRETCH_ROWS = 16_384
_FOREVER = 2**31 - 1  # past the end of every contig


class Name(NamedTuple):
    """One row's name: row number, key, end and the source's id."""

    row: int
    key: VariantKey
    end: int
    id: str


def candidate_rows(store: GenotypeStore, query: VariantQuery) -> IntArray:
    """Rows that the query's place allows, ascending; what else it asks is `matches`' question."""
    key = query.exact
    if key is not None:
        return np.array(store.rows_of(key)[:1], np.int64)
    if query.overlaps is not None:
        rows = store.rows_overlapping(query.overlaps)
        if query.start is None:
            return rows
        within = store.rows_starting(Region(query.contig, *query.start))
        return rows[(rows >= within.start) & (rows < within.stop)]
    if query.start is not None:
        return _numbers(store.rows_starting(Region(query.contig, *query.start)))
    if query.end is not None:
        # A variant ends after it begins, so it begins before the bracket's last place.
        return _numbers(store.rows_starting(Region(query.contig, 0, query.end[1])))
    return _numbers(store.contig_rows(query.contig))


def needs_names(query: VariantQuery) -> bool:
    """Whether the query asks more than a place, so that each candidate has to be looked at."""
    if query.exact is not None:
        return False
    wanted = (query.end, query.ref, query.alt, query.variant_type, query.min_length, query.max_length)
    return any(criterion is not None for criterion in wanted)


def read_names(store: GenotypeStore, rows: IntArray) -> Iterator[Name]:
    """The names of ascending rows of one contig, stretch by stretch."""
    if not rows.size:
        return
    cuts = np.flatnonzero(np.diff(rows) > _GAP_ROWS) + 1
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
    if query.end is not None and not query.end[0] <= name.end < query.end[1]:
        return False
    if query.ref is not None and not _spells(query.ref, key.ref):
        return False
    if query.alt is not None and not _spells(query.alt, key.alt):
        return False
    if query.variant_type is not None and not is_of_type(key, query.variant_type):
        return False
    if query.min_length is None and query.max_length is None:
        return True
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
    if "[" in alt or "]" in alt:
        return wanted in {"BND", "SV"}
    if not alt.startswith("<"):
        return False
    name = alt.strip("<>").upper()
    # 1000 Genomes writes copy numbers as <CN0>, <CN2>, …: VCF 4.3, section 5.
    family = "CNV" if name.startswith("CN") and name[2:].isdigit() else name.split(":", 1)[0]
    return wanted in {"SV", name, family}


def variant_length(key: VariantKey, end: int) -> int:
    """Bases that change: |len(ALT) - len(REF)|, of a substitution len(REF), of a symbolic ALT the reference covered."""
    if not is_sequence(key.alt):
        return end - key.position
    return abs(len(key.alt) - len(key.ref)) or len(key.ref)


def first_row_from(store: GenotypeStore, contig: str, position: int) -> int:
    """The first row of the contig at or after a position."""
    return store.rows_starting(Region(contig, position, _FOREVER)).start


def _spells(pattern: str, allele: str) -> bool:
    if pattern == allele:
        return True
    if "N" not in pattern or len(pattern) != len(allele) or not is_sequence(allele):
        return False
    return all(wanted in ("N", base) for wanted, base in zip(pattern, allele, strict=True))


def _numbers(rows: range) -> IntArray:
    return np.arange(rows.start, rows.stop, dtype=np.int64)
