"""What a genotype's code cannot say of a call: allele fraction, a zygosity or an origin that is its own, a tumour's column.

A folder of *cases* stands beside a store:

`calls.arrow`     `row`, `sample` (ascending by both), `fraction` (null where not known), `zygosity` (empty: as the genotype
                  says), `origin` (empty: as the column's biosample). A call with a zygosity is carried whatever the
                  genotype says: callers of tumours (Strelka) write none. The schema's metadata names the tumour columns.
`unplaced.arrow`  calls that have no place in the genome, by gene and HGVS.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from cohelix.core.arrays import IntArray
from cohelix.core.errors import Damaged
from cohelix.core.reported import Origin, ReportedCall, Zygosity

CALLS_FILE, UNPLACED_FILE = "calls.arrow", "unplaced.arrow"
_CALLS = pa.schema(
    [
        ("row", pa.int64()),
        ("sample", pa.int64()),
        ("fraction", pa.float32()),
        ("zygosity", pa.string()),
        ("origin", pa.string()),
    ]
)
_UNPLACED = pa.schema(
    [
        ("sample", pa.int64()),
        ("gene", pa.string()),
        ("hgvs", pa.list_(pa.string())),
        ("consequence", pa.string()),
        ("significance", pa.string()),
        ("zygosity", pa.string()),
        ("origin", pa.string()),
    ]
)


class CallDetail(NamedTuple):
    """One call: the store's row and column, and what is known besides the genotype (None and empty: nothing)."""

    row: int
    sample: int
    fraction: float | None = None
    zygosity: Zygosity | None = None
    origin: Origin | None = None


class UnplacedCall(NamedTuple):
    """A call without a place in the genome; `sample` is a column of the store."""

    sample: int
    gene: str
    hgvs: tuple[str, ...]
    consequence: str
    significance: str
    zygosity: Zygosity
    origin: Origin


def write_cases(
    details: Iterable[CallDetail], unplaced: Iterable[tuple[int, ReportedCall]], tumours: Iterable[str], folder: Path
) -> None:
    """Write a folder of cases (made here); a call that comes twice keeps its first detail."""
    folder.mkdir(parents=True, exist_ok=True)
    by_call: dict[tuple[int, int], CallDetail] = {}
    for detail in details:
        by_call.setdefault((detail.row, detail.sample), detail)
    ordered = [by_call[call] for call in sorted(by_call)]
    columns = list(zip(*ordered, strict=True)) if ordered else [()] * len(_CALLS)
    table = pa.table([pa.array(column, kind) for column, kind in zip(columns, _CALLS.types, strict=True)], schema=_CALLS)
    _write(table.replace_schema_metadata({"tumours": json.dumps(sorted(tumours))}), folder / CALLS_FILE)
    rows = [
        {
            "sample": sample,
            "gene": call.gene,
            "hgvs": list(call.hgvs),
            "consequence": call.consequence,
            "significance": call.significance,
            "zygosity": call.zygosity,
            "origin": call.origin,
        }
        for sample, call in unplaced
    ]
    _write(pa.Table.from_pylist(rows, schema=_UNPLACED), folder / UNPLACED_FILE)


def rewrite_cases(source: Path, target: Path, *, sample_of: IntArray, row_of: IntArray, names: Sequence[str]) -> None:
    """Copy a folder of cases for a store whose columns and rows were numbered anew.

    `sample_of` (old columns,) and `row_of` (old rows,) are the new numbers, -1 for what was taken out; `names` are all
    columns that the new store has: the name of a tumour that left goes, too.
    """
    import pyarrow.compute as pc

    target.mkdir(parents=True, exist_ok=True)
    calls, unplaced = _read(source / CALLS_FILE), _read(source / UNPLACED_FILE)
    rows, samples = row_of[calls["row"].to_numpy()], sample_of[calls["sample"].to_numpy()]
    calls = calls.set_column(0, "row", pa.array(rows, pa.int64())).set_column(1, "sample", pa.array(samples, pa.int64()))
    tumours = sorted(set(json.loads((calls.schema.metadata or {}).get(b"tumours", b"[]"))).intersection(names))
    calls = calls.replace_schema_metadata({"tumours": json.dumps(tumours)})
    calls = calls.filter(pa.array((rows >= 0) & (samples >= 0)))
    _write(calls.take(pc.sort_indices(calls, sort_keys=[("row", "ascending"), ("sample", "ascending")])), target / CALLS_FILE)
    samples = sample_of[unplaced["sample"].to_numpy()]
    kept = unplaced.set_column(0, "sample", pa.array(samples, pa.int64())).filter(pa.array(samples >= 0))
    _write(kept, target / UNPLACED_FILE)


@dataclass(frozen=True)
class CallDetails:
    """A folder of cases, memory-mapped; safe for many threads."""

    calls: pa.Table
    unplaced_calls: pa.Table
    tumours: frozenset[str]

    @classmethod
    def open(cls, folder: Path) -> CallDetails:
        """Open the folder; where it holds no calls, nothing is known beyond the genotypes.

        Raises
        ------
        Damaged
            If a file of it cannot be read.
        """
        if not (folder / CALLS_FILE).is_file():  # mates of breakends may be alone there
            return cls(_CALLS.empty_table(), _UNPLACED.empty_table(), frozenset())
        calls, unplaced = _read(folder / CALLS_FILE), _read(folder / UNPLACED_FILE)
        try:
            tumours = json.loads((calls.schema.metadata or {}).get(b"tumours", b"[]"))
        except ValueError:
            raise Damaged(f"{CALLS_FILE} does not say which columns are tumours") from None
        return cls(calls, unplaced, frozenset(tumours))

    def of(self, row: int) -> dict[int, CallDetail]:
        """The details of a row's calls, by column."""
        first, last = np.searchsorted(self._rows, [row, row + 1])
        found = self.calls.slice(int(first), int(last - first)).to_pylist()
        return {item["sample"]: CallDetail(**item) for item in found}

    @cached_property
    def unplaced(self) -> tuple[UnplacedCall, ...]:
        """The calls without a place."""
        return tuple(UnplacedCall(**(item | {"hgvs": tuple(item["hgvs"])})) for item in self.unplaced_calls.to_pylist())

    @cached_property
    def _rows(self) -> IntArray:
        return cast("IntArray", self.calls["row"].to_numpy())


def _write(table: Any, path: Path) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def _read(path: Path) -> Any:
    try:
        with pa.memory_map(str(path)) as source:
            return pa.ipc.open_file(source).read_all()
    except (OSError, pa.ArrowException) as error:
        raise Damaged(f"{path.name} cannot be read ({error})") from None
