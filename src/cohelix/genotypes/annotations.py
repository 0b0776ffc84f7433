"""What a variant means: gene, consequence, names in HGVS, clinical significance; kept by row, found by any of them.

A folder holds `annotations.arrow`, the entries in order of row, and one index file for each thing that may be asked
for: pairs (value in lower case, row), ascending. All are Arrow files without compression, and are memory-mapped.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from cohelix.core.arrays import IntArray
from cohelix.core.errors import Damaged
from cohelix.genotypes.hgvs import amino_acid_short_form

ENTRIES_FILE = "annotations.arrow"
_SPILL_ENTRIES = 200_000


class Annotation(NamedTuple):
    """One thing that a source says of a variant; empty where it says nothing.

    Attributes
    ----------
    gene, gene_id
        Symbol, and the source's id of the gene (`ENSG…`, or NCBI's number).
    consequence
        Terms of the Sequence Ontology, joined by `&`.
    hgvs_c, hgvs_p, hgvs_g
        Names on a transcript, a protein, the genome.
    amino_acid
        Short form of the change in the protein, `V600E`.
    significance, condition
        Clinical significance and the conditions that it is about, as the source words them.
    source
        `VEP`, `SnpEff`, `ClinVar`, or whose word it is.
    """

    gene: str = ""
    gene_id: str = ""
    consequence: str = ""
    hgvs_c: str = ""
    hgvs_p: str = ""
    hgvs_g: str = ""
    amino_acid: str = ""
    significance: str = ""
    condition: str = ""
    source: str = ""


FIELDS: Final = Annotation._fields
_INDEXES: Final = ("gene", "hgvs", "amino_acid", "consequence", "significance")
_ENTRY: Final = pa.schema({"row": pa.int64(), **dict.fromkeys(FIELDS, pa.large_string())})
_INDEX_ENTRY: Final = pa.schema({"value": pa.large_string(), "row": pa.int64()})


class Annotations:
    """The annotations of a store's rows. Safe for many threads."""

    def __init__(self, entries: pa.Table, indexes: dict[str, pa.Table]) -> None:
        self._entries, self._indexes = entries, indexes

    @classmethod
    def open(cls, folder: Path) -> Annotations:
        """Map a folder that `write_annotations` wrote; raises `Damaged` where a file is missing or broken."""
        return cls(_mapped(folder / ENTRIES_FILE), {name: _mapped(folder / _index_file(name)) for name in _INDEXES})

    @classmethod
    def none(cls) -> Annotations:
        """Of a store without annotations."""
        return cls(_ENTRY.empty_table(), dict.fromkeys(_INDEXES, _INDEX_ENTRY.empty_table()))

    def __len__(self) -> int:
        return int(self._entries.num_rows)

    def of(self, row: int) -> tuple[Annotation, ...]:
        """What is said of a row, in the order of the sources."""
        start, stop = np.searchsorted(self._rows, [row, row + 1])
        return tuple(Annotation(*entry.values()) for entry in self._texts.slice(start, stop - start).to_pylist())

    def rows_of(
        self,
        *,
        gene: str | None = None,
        hgvs: str | None = None,
        amino_acid: str | None = None,
        consequence: str | None = None,
        significance: str | None = None,
    ) -> IntArray:
        """Rows of which one annotation says all that is given (significance may be another's), ascending int64; none: no row.

        `gene` is a symbol or an id; `hgvs` a whole name, or one without its transcript (`c.1799T>A`) or with the gene's
        symbol instead (`BRAF:p.Val600Glu`); `amino_acid` a short form, also as `p.V600E` or `p.Val600Glu`;
        `consequence` and `significance` one term. What one gene's entry says and what another's says do not add up.
        """
        asked = {
            "gene": gene,
            "hgvs": hgvs,
            "amino_acid": amino_acid_short_form(amino_acid) if amino_acid else amino_acid,
            "consequence": consequence,
            "significance": significance,
        }
        wanted = {name: _normal(value) for name, value in asked.items() if value is not None}
        if not wanted:
            return np.empty(0, np.int64)
        rows, *others = (self._find(name, value) for name, value in wanted.items())
        for other in others:
            rows = np.intersect1d(rows, other, assume_unique=True)
        # Significance is the variant's, whoever else says its gene and its change in the protein.
        named = {name: value for name, value in wanted.items() if name != "significance"}
        return self._in_one_entry(rows, named) if len(named) > 1 and rows.size else rows

    def _in_one_entry(self, rows: IntArray, wanted: dict[str, str]) -> IntArray:
        """Those of ascending rows of which a single entry says everything."""
        from cohelix.genotypes.annotation_indexes import rows_saying

        first, stop = np.searchsorted(self._rows, rows), np.searchsorted(self._rows, rows, side="right")
        lengths = stop - first
        places = np.arange(lengths.sum()) + np.repeat(first - (np.cumsum(lengths) - lengths), lengths)
        return rows_saying(self._entries, places, wanted)

    def values(self, name: str) -> tuple[str, ...]:
        """All values of an index (`gene`, `consequence`, …) in lower case, ascending: what filtering terms are made of."""
        return tuple(self._indexes[name]["value"].unique().to_pylist())

    @cached_property
    def _rows(self) -> IntArray:
        return np.asarray(self._entries["row"].to_numpy(), np.int64)

    @cached_property
    def _texts(self) -> pa.Table:
        return self._entries.select(list(FIELDS))

    def _find(self, name: str, value: str) -> IntArray:
        index = self._indexes[name]
        values = index["value"]
        start = _first(values, lambda text: text >= value)
        stop = _first(values, lambda text: text > value)
        return np.asarray(index["row"].slice(start, stop - start).to_numpy(), np.int64)


def write_annotations(entries: Iterable[tuple[int, Annotation]], folder: Path) -> int:
    """Write what is said of rows of a store, in any order, into an empty or new folder; returns how many entries.

    Memory is bounded: entries go to the disk in pieces and are sorted there. The same entry of a row is kept once.
    """
    from cohelix.genotypes.annotation_indexes import write_piece, write_sorted

    folder.mkdir(parents=True, exist_ok=True)
    pieces = folder / "pieces"
    pieces.mkdir()
    try:
        stream = iter(entries)
        number = 0
        while piece := list(islice(stream, _SPILL_ENTRIES)):
            columns: dict[str, Any] = {"row": [row for row, _ in piece]}
            columns |= dict(zip(FIELDS, zip(*(entry for _, entry in piece), strict=True), strict=True))
            write_piece(columns, pieces / f"{number:06d}.arrow")
            number += 1
        if not number:
            write_piece({name: [] for name in _ENTRY.names}, pieces / "000000.arrow")
        write_sorted(pieces, folder / ENTRIES_FILE, {name: folder / _index_file(name) for name in _INDEXES})
    finally:
        shutil.rmtree(pieces)
    return int(_mapped(folder / ENTRIES_FILE).num_rows)


def _normal(value: str) -> str:
    """A value as the indexes spell it: in lower case, `_` as a space."""
    return value.strip().lower().replace("_", " ")


def _index_file(name: str) -> str:
    return f"by_{name}.arrow"


def _mapped(path: Path) -> pa.Table:
    try:
        with pa.memory_map(str(path)) as source:
            return pa.ipc.open_file(source).read_all()
    except (OSError, pa.ArrowException) as error:
        raise Damaged(f"{path.name}: cannot be read ({error})") from None


def _first(values: pa.ChunkedArray, holds: Any) -> int:
    """The first place of ascending values where `holds` is true."""
    low, high = 0, len(values)
    while low < high:
        middle = (low + high) // 2
        if holds(values[middle].as_py()):
            high = middle
        else:
            low = middle + 1
    return low
