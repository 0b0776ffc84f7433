"""What an annotation says that may be asked for, as Polars expressions: the indexes are written by them, and entries sifted.

A room of its own, since Polars takes a third of a second to import: most commands ask nothing of annotations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa

from cohelix.core.arrays import IntArray

_LISTS: Final = "&/|,;"  # what separates several values of one field
_SEVERAL: Final = frozenset({"consequence", "significance"})  # fields that hold several terms


def rows_saying(entries: pa.Table, places: IntArray, wanted: Mapping[str, str]) -> IntArray:
    """Rows of which one entry, of those at the places, says everything that is wanted (by index, as the indexes spell it).

    Ascending int64.
    """
    frame = pl.DataFrame(pl.from_arrow(entries))[places]
    kept = frame.filter(pl.all_horizontal([_says(name, value) for name, value in wanted.items()]))
    return np.asarray(kept["row"].unique().sort().to_numpy(), np.int64)


def write_piece(columns: Mapping[str, Sequence[int] | Sequence[str]], path: Path) -> None:
    """Write entries as an Arrow file, the same one once: `row` is int64, all else text."""
    schema = {name: pl.Int64 if name == "row" else pl.String for name in columns}
    pl.DataFrame(columns, schema=schema).unique(maintain_order=True).write_ipc(path)


def write_sorted(pieces: Path, entries: Path, indexes: Mapping[str, Path]) -> None:
    """Sort pieces by row into one file, and write each index of it; memory is bounded."""
    pl.scan_ipc(pieces / "*.arrow").sort("row", maintain_order=True).sink_ipc(entries, compression="uncompressed")
    whole = pl.scan_ipc(entries)
    for name, path in indexes.items():
        pairs = pl.concat([_pairs(whole, expression, split=name in _SEVERAL) for expression in _told(name)])
        pairs.unique().sort("value", "row").sink_ipc(path, compression="uncompressed")


def _told(name: str) -> list[pl.Expr]:
    """What an entry says that an index is of, as the index spells it."""
    column = pl.col(name if name != "hgvs" else "hgvs_g")
    told = [column]
    if name == "gene":
        told += [pl.col("gene_id"), pl.col("gene_id").str.replace(r"\.\d+$", "")]
    if name == "hgvs":
        for of_gene in (pl.col("hgvs_c"), pl.col("hgvs_p")):
            bare = of_gene.str.replace(r"^.*:", "")
            told += [of_gene, bare, pl.col("gene") + ":" + bare]
    return [text.str.to_lowercase().str.replace_all("_", " ").str.strip_chars() for text in told]


def _parts(text: pl.Expr) -> pl.Expr:
    """The several values of one field, as a list."""
    return text.str.replace_all(f"[{_LISTS}]", "&").str.split("&").list.eval(pl.element().str.strip_chars())


def _says(name: str, value: str) -> pl.Expr:
    """Whether an entry says it."""
    told = _told(name)
    is_it = [text == value for text in told]
    if name in _SEVERAL:
        is_it += [_parts(text).list.contains(value) for text in told]
    return pl.any_horizontal(is_it)


def _pairs(entries: pl.LazyFrame, told: pl.Expr, *, split: bool) -> pl.LazyFrame:
    pairs = entries.select(value=told, row=pl.col("row"))
    if split:
        pairs = pl.concat([pairs, pairs.with_columns(_parts(pl.col("value"))).explode("value")])
    return pairs.filter((pl.col("value") != "") & ~pl.col("value").str.ends_with(":"))
