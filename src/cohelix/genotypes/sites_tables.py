"""Tables of counts, Parquet, TSV and CSV, as pieces of one contig."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from cohelix.core.arrays import IntArray
from cohelix.core.errors import BadFile
from cohelix.core.genome import Assembly, Contig, known_contig
from cohelix.genotypes import count_lines as scan
from cohelix.genotypes.aggregate_groups import SitesMapping
from cohelix.genotypes.count_names import parse_population
from cohelix.genotypes.model import Strings
from cohelix.genotypes.sites_files import Piece, PiecesOf, refused

_ROWS: Final = 1 << 15
# Parquet is read by Arrow: a broken file makes Polars panic, or end the process. Its names need not be UTF-8.
_UNREADABLE: Final = (
    *(OSError, UnicodeDecodeError),
    *(pa.ArrowException, pl.exceptions.PolarsError, pl.exceptions.PanicException),
)
_SEX_LETTERS: Final = {"male": "M", "m": "M", "xy": "M", "1": "M", "female": "F", "f": "F", "xx": "F", "2": "F"}
# Column names of tables, in lower case without `_` and `#`.
_PLACES: Final = {
    "contig": ("contig", "chrom", "chr", "chromosome", "referencename"),
    "pos": ("pos", "position", "start"),
    "ref": ("ref", "reference", "referencebases"),
    "alt": ("alt", "alternate", "alternatebases"),
    "population": ("population", "pop", "cohort"),
    "sex": ("sex",),
    "id": ("id", "rsid"),
}
# `allele-freq-chr3.4.parquet`, as GDI's mini-node names its stretches: contig in the name, and POS counted from 0.
_MINI_NODE: Final = re.compile(r"chr(?P<contig>[0-9XYMT]+)\.\d+\.parquet$", re.IGNORECASE)


def open_table(path: Path, assembly: Assembly, mapping: SitesMapping) -> PiecesOf:
    """Open a table of counts; `BadFile` where it is none."""
    if not path.is_file():
        problem = "it is a folder, a pipe or a device" if path.exists() else "there is no such file"
        raise BadFile(str(path), "", problem, "a table of counts (Parquet or TSV)")
    columns = _columns(path)
    place = _place_columns(path, columns)
    long = "population" in place or "sex" in place
    figures = [name for name in columns if name not in place.values()]
    keys = _long_keys(path, place, figures, mapping) if long else dict.fromkeys(figures, "")
    unit = "row" if path.name.endswith(".parquet") else "line"

    def pieces(wanted: Sequence[str]) -> Iterator[Piece]:
        first = 1 if unit == "row" else 2
        frames = _wide_frames(path, place, figures, mapping, wanted) if long else _plain_frames(path, place, wanted)
        return _table_pieces(path, frames, place, wanted, assembly, (unit, first))

    return PiecesOf(tuple(keys), pieces, None, f"{unit} 1")


def _columns(path: Path) -> list[str]:
    try:
        if path.name.lower().endswith(".parquet"):
            return list(pq.read_schema(path).names)
        return pl.read_csv(path, separator=_separator(path), n_rows=0, infer_schema=False).columns
    except _UNREADABLE as error:
        raise BadFile(str(path), "", f"it cannot be read ({str(error).splitlines()[0]})", "a table of counts") from None


def _separator(path: Path) -> str:
    return "," if ".csv" in path.name.lower() else "\t"


def _place_columns(path: Path, columns: Sequence[str]) -> dict[str, str]:
    """Which column is contig, pos, ref, alt, id, and, in long form, population and sex."""
    plain = {name.lower().replace("_", "").lstrip("#"): name for name in columns}
    place = {meaning: plain[found] for meaning, names in _PLACES.items() for found in names if found in plain}
    missing = [name for name in ("contig", "pos", "ref", "alt") if name not in place]
    if missing == ["contig"] and _MINI_NODE.search(path.name):
        return place
    if missing:
        raise BadFile(str(path), "header", f"there is no column {missing[0]}", "columns contig, pos, ref, alt and counts")
    return place


def _scan(path: Path, columns: Sequence[str]) -> pl.LazyFrame:
    if path.name.lower().endswith(".parquet"):
        table = pq.read_table(path, columns=list(dict.fromkeys(columns)))
        table.validate(full=True)  # text that is not UTF-8 makes Polars panic
        return pl.DataFrame(table).lazy()
    return pl.scan_csv(path, separator=_separator(path), infer_schema=False).select(columns)


def _long_keys(path: Path, place: dict[str, str], figures: Sequence[str], mapping: SitesMapping) -> dict[str, str]:
    """In long form, the key of each measure of each group: `ac_LU_M`."""
    groups = [place[name] for name in ("population", "sex") if name in place]
    found = _collected(path, lambda: _scan(path, groups).unique(maintain_order=True))
    measures: dict[str, str] = {}
    for figure in figures:
        if (meaning := mapping.of(figure)) is not None and measures.setdefault(meaning.measure, figure) != figure:
            problem = f"columns {measures[meaning.measure]} and {figure} are both {meaning.measure}"
            raise BadFile(str(path), "header", problem, "one column for each measure, beside population and sex")
    spelled: dict[str, dict[str, Any]] = {}
    for row in found.iter_rows(named=True):
        suffix = _suffix(row.get(place.get("population", ""), None), row.get(place.get("sex", ""), None))
        if spelled.setdefault(suffix, row) is not row:
            problem = f"{spelled[suffix]} and {row} are the same group"
            raise BadFile(str(path), "", problem[:300], "one spelling of each group")
    return {f"{measure}{suffix}": figure for suffix in spelled for measure, figure in measures.items()}


def _suffix(population: Any, sex: Any) -> str:
    label = "" if population is None else str(population)
    named, of_label = parse_population(label) if label else ("all", "all")
    letter = {"male": "M", "m": "M", "xy": "M", "1": "M", "female": "F", "f": "F", "xx": "F", "2": "F"}.get(
        str(sex).lower(), ""
    )
    letter = letter or {"male": "M", "female": "F"}.get(of_label, "")
    words = [*([] if named == "all" else [named]), *([letter] if letter else [])]
    return "".join(f"_{word}" for word in words)


def _collected(path: Path, scan: Callable[[], pl.LazyFrame]) -> pl.DataFrame:
    try:
        return scan().collect()
    except _UNREADABLE as error:
        raise BadFile(str(path), "", f"it cannot be read ({str(error).splitlines()[0]})", "a table of counts") from None


def _plain_frames(path: Path, place: dict[str, str], wanted: Sequence[str]) -> Iterator[pl.DataFrame]:
    columns = list(dict.fromkeys([*(place[name] for name in ("contig", "pos", "ref", "alt", "id") if name in place), *wanted]))
    if path.name.lower().endswith(".parquet"):
        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(_ROWS, columns=columns):
                    batch.validate(full=True)
                    yield pl.DataFrame(batch)
        except _UNREADABLE as error:
            raise BadFile(str(path), "", f"it cannot be read ({str(error).splitlines()[0]})", "a whole Parquet file") from None
        return
    start, whole = 0, _collected(path, lambda: _scan(path, columns))
    while start < len(whole):
        yield whole.slice(start, _ROWS)
        start += _ROWS


def _wide_frames(
    path: Path, place: dict[str, str], figures: Sequence[str], mapping: SitesMapping, wanted: Sequence[str]
) -> Iterator[pl.DataFrame]:
    """A long table with one row for each variant: rows of one position are kept together between pieces."""
    meanings = {name: meaning.measure for name in figures if (meaning := mapping.of(name)) is not None}
    names = [place[name] for name in ("contig", "pos", "ref", "alt", "id", "population", "sex") if name in place]
    held: pl.DataFrame | None = None
    contig = place.get("contig")
    where = [place["pos"], *([contig] if contig else [])]
    for number, frame in enumerate(_plain_frames(path, place, [*names[4 if contig else 3 :], *meanings])):
        numbered = frame.with_row_index("__line", offset=number * _ROWS)
        joined = numbered if held is None else pl.concat([held, numbered])
        if not len(joined):
            continue
        last = joined.select(where).row(-1)
        matches = pl.all_horizontal(pl.col(name) == value for name, value in zip(where, last, strict=True))
        held, ready = joined.filter(matches), joined.filter(~matches)
        if len(ready):
            yield _widened(path, ready, place, meanings, wanted)
    if held is not None and len(held):
        yield _widened(path, held, place, meanings, wanted)


def _widened(
    path: Path, frame: pl.DataFrame, place: dict[str, str], meanings: Mapping[str, str], wanted: Sequence[str]
) -> pl.DataFrame:
    key = [place[name] for name in ("contig", "pos", "ref", "alt") if name in place]
    groups = [place[name] for name in ("population", "sex") if name in place]
    again = frame.select([*key, *groups]).is_duplicated()
    if again.any():
        row = int(frame.filter(again)["__line"][1])
        first = 1 if path.name.endswith(".parquet") else 2
        unit = "row" if first == 1 else "line"
        raise BadFile(
            str(path), f"{unit} {row + first}", "a group of a variant stands twice", "one row for each variant and group"
        )
    whole = frame.group_by(key, maintain_order=True).agg(
        pl.col("__line").first(), *([pl.col(place["id"]).first()] if "id" in place else [])
    )
    for values, part in frame.group_by(groups):
        named = dict(zip(groups, values, strict=True))
        suffix = _suffix(named.get(place.get("population", "")), named.get(place.get("sex", "")))
        renamed = part.select(*key, *(pl.col(name).alias(f"{measure}{suffix}") for name, measure in meanings.items()))
        whole = whole.join(renamed, on=key, how="left", maintain_order="left")
    absent = [pl.lit(None, pl.Int64).alias(name) for name in wanted if name not in whole.columns]
    return whole.with_columns(absent)


def _table_pieces(  # noqa: PLR0917 - a table's parts, in the order in which they were found
    path: Path,
    frames: Iterator[pl.DataFrame],
    place: dict[str, str],
    wanted: Sequence[str],
    assembly: Assembly,
    unit: tuple[str, int],
) -> Iterator[Piece]:
    from_name = _MINI_NODE.search(path.name)
    zero_based = "contig" not in place and from_name is not None
    state = np.zeros(16, np.int64)
    current, rows_before = "", 0
    for frame in frames:
        lines = (
            frame["__line"].to_numpy().astype(np.int64) if "__line" in frame.columns else rows_before + np.arange(len(frame))
        )
        lines = lines + unit[1]
        rows_before += len(frame)
        names = (
            frame[place["contig"]].cast(pl.String)
            if "contig" in place
            else pl.Series([from_name["contig"]] * len(frame) if from_name else [])
        )
        ids = names.rle_id().to_numpy()
        cuts = [0, *(np.flatnonzero(np.diff(ids)) + 1).tolist(), len(frame)]
        for start, stop in pairwise(cuts):
            if start == stop:
                continue
            where = f"{unit[0]} {lines[start]}"
            contig = known_contig(str(names[start]), assembly)
            if contig is None:
                raise BadFile(
                    str(path), where, f"{assembly} has no contig {str(names[start])[:60]!r}", f"contig names of {assembly}"
                )
            if contig.name != current:
                current, state[scan.S_LAST] = contig.name, 0
            yield _table_piece(
                path,
                frame.slice(start, stop - start),
                place,
                wanted,
                contig,
                lines[start:stop],
                unit[0],
                state,
                zero_based=zero_based,
            )


def _table_piece(  # noqa: PLR0917 - as above
    path: Path, frame: pl.DataFrame, place: dict[str, str], wanted: Sequence[str], contig: Contig,
    lines: IntArray, unit: str, state: IntArray, *, zero_based: bool,
) -> Piece:  # fmt: skip
    position = _numbers(path, frame[place["pos"]], place["pos"], lines, unit)
    position = position if zero_based else position - 1
    ref, alt = (_text(path, frame[place[name]], name, lines, unit) for name in ("ref", "alt"))
    n, room = len(frame), len(ref.heap) + len(alt.heap) + len(frame)
    alleles, offsets = np.empty(room, np.uint8), np.zeros(n + 1, np.int64)
    state[scan.S_ENTRIES] = 0
    starts, ends = np.empty(n, np.uint32), np.empty(n, np.uint32)
    order, prints = np.empty(n, np.int64), np.empty(n, np.uint64)
    scan.scan_columns(
        position, np.frombuffer(ref.heap or b"\0", np.uint8), ref.offsets,
        np.frombuffer(alt.heap or b"\0", np.uint8), alt.offsets,
        contig.length, starts, ends, order, prints, offsets, alleles, state,
    )  # fmt: skip
    if state[scan.S_STOP] == scan.STOP_ERROR:
        raise refused(path, f"{unit} {lines[int(state[scan.S_ENTRIES])]}", state, contig, wanted)
    values = np.empty((n, len(wanted)), np.int64)
    for column, name in enumerate(wanted):
        values[:, column] = _numbers(path, frame[name], name, lines, unit)
    ids = _text(path, frame[place["id"]], "id", lines, unit) if "id" in place else Strings(np.zeros(n + 1, np.int64), b"")
    return Piece(
        contig.name, starts.astype(np.int64), ends.astype(np.int64), Strings(offsets, alleles[: offsets[n]].tobytes()), ids,
        prints, values, lines, int(position[-1]), unit,
    )  # fmt: skip


def _numbers(path: Path, column: pl.Series, name: str, lines: IntArray, unit: str) -> IntArray:
    """Whole numbers from 0; -1 where the table has none."""
    if column.dtype == pl.String:
        column = column.replace(["", ".", "NA"], [None, None, None])
        numbers = column.cast(pl.Int64, strict=False)
    elif column.dtype.is_float():
        numbers = column.fill_nan(None).cast(pl.Int64, strict=False)
        column = column.fill_nan(None)
        wrong = (numbers.cast(pl.Float64) != column).fill_null(False)
        numbers = numbers.set(wrong, None) if wrong.any() else numbers
    else:
        numbers = column.cast(pl.Int64, strict=False)
    bad = (numbers.is_null() & column.is_not_null()) | (numbers < 0).fill_null(False) | (numbers > 2**31 - 1).fill_null(False)
    if bad.any():
        row = int(bad.arg_max() or 0)
        raise BadFile(str(path), f"{unit} {lines[row]}", f"{name} is {column[row]!r}", "a whole number from 0")
    return numbers.fill_null(-1).to_numpy().astype(np.int64)


def _text(path: Path, column: pl.Series, name: str, lines: IntArray, unit: str) -> Strings:
    if name != "id" and column.null_count():
        row = int(column.is_null().arg_max() or 0)
        raise BadFile(str(path), f"{unit} {lines[row]}", f"{name} is empty", "an allele")
    array = column.cast(pl.String).fill_null("").to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.large_string())
    _, offsets, heap = array.buffers()
    first, n = array.offset, len(array)
    places = np.frombuffer(offsets, np.int64)[first : first + n + 1]
    data = heap.to_pybytes()[int(places[0]) : int(places[-1])] if heap is not None else b""
    return Strings(places - places[0], data)
