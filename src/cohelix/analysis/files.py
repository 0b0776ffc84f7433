"""Result files of a run: the table as Parquet, written block by block, and as GWAS-SSF with its index and metadata.

GWAS-SSF: Hayhurst et al. 2022, bioRxiv 10.1101/2022.07.15.500230; the standard's version 1.0.0. X, Y and MT are 23, 24 and
25 there. `p_value` is written from its logarithm, so that it never becomes 0.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pysam
import yaml

from cohelix.analysis.variants import VariantList
from cohelix.core.arrays import FloatArray
from cohelix.core.errors import Damaged, ShapeMismatch

TABLE, SSF, INDEX, METADATA = "results.parquet", "results.tsv.gz", "results.tsv.gz.tbi", "metadata.yaml"
_SSF_NUMBERS = {"X": "23", "Y": "24", "MT": "25"}
_FIRST = (
    "chromosome",
    "base_pair_location",
    "effect_allele",
    "other_allele",
    "beta",
    "standard_error",
    "effect_allele_frequency",
    "neg_log10_p",
)
# Rule 3 of the interface: genotype counts of data that are not open are told together above a floor or not at all; here not
# at all, and no figure that gives them away beside n and the frequency.
GENOTYPE_COLUMNS = frozenset({"n0", "n1", "n2", "hwe_p"})
_READ_ROWS = 65_536
AnyArray = npt.NDArray[Any]


class TableWriter:
    """Writes a run's table; blocks arrive in the order of the variants, and memory holds one block.

    The file appears under its name when `close` has written all of it.
    """

    def __init__(
        self,
        folder: Path,
        variants: VariantList,
        traits: Sequence[str],
        *,
        metadata: Mapping[str, str],
        without: Collection[str] = (),
    ) -> None:
        """`without` names columns that methods hand over and the table must not have."""
        self._folder, self._variants, self._traits = folder, variants, tuple(traits)
        self._metadata, self._without = dict(metadata), frozenset(without)
        self._part = folder / f".{TABLE}.part"
        self._writer: pq.ParquetWriter | None = None
        self._schema: pa.Schema | None = None
        self.rows = 0

    def write(self, rows: AnyArray, columns: Mapping[str, AnyArray]) -> None:
        """Add lines: `rows` (lines,) numbers in the list of variants; of columns, (lines,) each, `trait` is a number.

        Raises
        ------
        ShapeMismatch
            If columns differ in length or from those of the first block.
        """
        if any(len(column) != len(rows) for column in columns.values()):
            raise ShapeMismatch("the columns of a block differ in length")
        if not len(rows):
            return
        names = self._variants.names(rows)
        named: dict[str, Any] = {
            "chromosome": pa.array(names.contig, pa.string()),
            "base_pair_location": pa.array(names.position.astype(np.int64) + 1),
            "effect_allele": pa.array(names.alt, pa.string()),
            "other_allele": pa.array(names.ref, pa.string()),
        }
        for name, column in columns.items():
            if name in self._without:
                continue
            if name == "trait":
                named["trait"] = pa.array([self._traits[number] for number in np.asarray(column).tolist()], pa.string())
            else:
                named[name] = pa.array(column)
        ordered = [name for name in _FIRST if name in named] + [name for name in named if name not in _FIRST]
        table = pa.table({name: named[name] for name in ordered})
        if self._writer is None:
            self._schema = table.schema.with_metadata(self._metadata)
            self._writer = pq.ParquetWriter(self._part, self._schema, compression="zstd")
        if table.schema.names != (self._schema.names if self._schema is not None else []):
            raise ShapeMismatch("a block has other columns than the first one")
        self._writer.write_table(table.cast(self._schema))
        self.rows += table.num_rows

    def close(self) -> Path:
        """End the file and give it its name; a table without a line has the leading columns only."""
        if self._writer is None:
            kinds = (pa.string(), pa.int64(), pa.string(), pa.string(), *[pa.float64()] * 4)
            schema = pa.schema(list(zip(_FIRST, kinds, strict=True)), metadata=self._metadata)
            self._writer = pq.ParquetWriter(self._part, schema, compression="zstd")
        self._writer.close()
        self._writer = None
        self._part.replace(self._folder / TABLE)
        return self._folder / TABLE

    def abandon(self) -> None:
        """Leave nothing behind."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._part.unlink(missing_ok=True)


def read_blocks(folder: Path, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The table of a result folder, block by block; `Damaged` where it is not one."""
    try:
        with pq.ParquetFile(folder / TABLE) as file:
            known = set(file.schema_arrow.names)
            wanted = None if columns is None else [name for name in columns if name in known]
            yield from file.iter_batches(_READ_ROWS, columns=wanted)
    except (OSError, pa.ArrowException) as error:
        raise Damaged(f"{TABLE} cannot be read ({error})", path=str(folder / TABLE)) from None


class TablePart:
    """A stretch of a result table that one thread reads; texts that repeat come as dictionaries."""

    _NAMED = ("chromosome", "effect_allele", "other_allele", "trait")
    _ROWS = 65_536

    def __init__(self, path: Path, groups: Sequence[int], names: Collection[str]) -> None:
        self._path, self._groups, self._names = path, tuple(groups), frozenset(names)

    def blocks(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Its lines, block by block; of the columns those that the table has."""
        wanted = [name for name in columns if name in self._names]
        try:
            named = [name for name in self._NAMED if name in self._names]
            with pq.ParquetFile(self._path, read_dictionary=named, memory_map=True) as file:
                yield from file.iter_batches(self._ROWS, row_groups=list(self._groups), columns=wanted, use_threads=False)
        except (OSError, pa.ArrowException) as error:
            raise Damaged(f"{TABLE} cannot be read ({error})", path=str(self._path)) from None


def table_parts(folder: Path, most: int) -> tuple[TablePart, ...]:
    """The table of a result folder in at most so many parts of about the same length; `Damaged` where it is not one."""
    metadata = _about(folder)
    ends = np.cumsum([0, *(metadata.row_group(number).num_rows for number in range(metadata.num_row_groups))])
    cuts = sorted({0, *(int(np.searchsorted(ends, ends[-1] * one / most)) for one in range(1, most)), len(ends) - 1})
    spans = list(pairwise(cuts)) or [(0, 0)]
    names = metadata.schema.to_arrow_schema().names
    return tuple(TablePart(folder / TABLE, range(first, last), names) for first, last in spans)


def table_around(folder: Path, contig: str, start: int, end: int) -> TablePart:
    """The part of the table that has all lines of a stretch (1-based, inclusive), by the file's own statistics, and others."""
    metadata = _about(folder)
    names = metadata.schema.to_arrow_schema().names
    columns = [(names.index("chromosome"), contig, contig), (names.index("base_pair_location"), start, end)]

    def may_have(number: int) -> bool:
        group = metadata.row_group(number)
        told = [(group.column(at).statistics, low, high) for at, low, high in columns]
        return all(one is None or not one.has_min_max or (one.min <= high and low <= one.max) for one, low, high in told)

    return TablePart(folder / TABLE, [number for number in range(metadata.num_row_groups) if may_have(number)], names)


def _about(folder: Path) -> pq.FileMetaData:
    path = folder / TABLE
    try:
        return pq.read_metadata(path)
    except (OSError, pa.ArrowException) as error:
        raise Damaged(f"{TABLE} cannot be read ({error})", path=str(path)) from None


def write_ssf(folder: Path) -> Path:
    """`results.tsv.gz` (bgzip) and its tabix index, from the Parquet table in the folder."""
    place, part = folder / SSF, folder / f".{SSF}.part"

    def write(path: int) -> None:
        with os.fdopen(path, "wb") as pipe:
            for number, block in enumerate(read_blocks(folder)):
                header, lines = _ssf_lines(block)
                pipe.write((header + lines if number == 0 else lines).encode())
            if has_no_line(folder):
                pipe.write(("\t".join((*_FIRST[:-1], "p_value")) + "\n").encode())

    _compressed(write, part)
    part.replace(place)
    pysam.tabix_index(str(place), seq_col=0, start_col=1, end_col=1, line_skip=1, force=True)
    return place


def has_no_line(folder: Path) -> bool:
    """Whether the table has no line."""
    with pq.ParquetFile(folder / TABLE) as file:
        return int(file.metadata.num_rows) == 0


def write_metadata(folder: Path, document: Mapping[str, Any]) -> Path:
    """`metadata.yaml` of GWAS-SSF beside the table."""
    path = folder / METADATA
    path.write_text(yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


def p_value_texts(neg_log10_p: FloatArray) -> list[str]:
    """P-values as text from −log10 p, (n,) float64: five significant digits, however small."""
    exponents = np.floor(-neg_log10_p)
    mantissas = 10.0 ** (-neg_log10_p - exponents)
    texts = []
    for value, mantissa, exponent in zip(neg_log10_p.tolist(), mantissas.tolist(), exponents.tolist(), strict=True):
        if not np.isfinite(value):
            texts.append("#NA")
        elif value < 4:
            texts.append(f"{10.0**-value:.6g}")
        else:
            written = f"{mantissa:.5f}"
            texts.append(f"1.00000e{int(exponent) + 1:+03d}" if written.startswith("10") else f"{written}e{int(exponent):+03d}")
    return texts


def _compressed(write: Callable[[int], None], part: Path) -> None:
    """Run `write` into a pipe that is compressed as BGZF into a file: nothing is kept whole in memory."""
    source, sink = os.pipe()
    failure: list[BaseException] = []

    def writing() -> None:
        try:
            write(sink)
        except BaseException as error:  # handed to the caller's thread below
            failure.append(error)

    thread = threading.Thread(target=writing, name="gwas-ssf")
    thread.start()
    try:
        with os.fdopen(source, "rb") as pipe, pysam.BGZFile(str(part), "wb", None) as out:
            while piece := pipe.read(1 << 20):
                out.write(piece)
    finally:
        thread.join()
    if failure:
        part.unlink(missing_ok=True)
        raise failure[0]


def _ssf_lines(block: pa.RecordBatch) -> tuple[str, str]:
    """The header line, and the lines of a block."""
    names = [name for name in _FIRST if name in block.schema.names and name != "neg_log10_p"]
    others = [name for name in block.schema.names if name not in _FIRST]
    columns = [_texts(name, block.column(name)) for name in names]
    header = list(names)
    if "neg_log10_p" in block.schema.names:
        columns.append(p_value_texts(block.column("neg_log10_p").to_numpy(zero_copy_only=False).astype(np.float64)))
        header.append("p_value")
    columns += [_texts(name, block.column(name)) for name in others]
    header += others
    lines = "\n".join("\t".join(line) for line in zip(*columns, strict=True))
    return "\t".join(header) + "\n", lines + "\n" if lines else ""


def _texts(name: str, column: pa.Array) -> list[str]:
    values = column.to_pylist()
    if name == "chromosome":
        return [_SSF_NUMBERS.get(value, value) for value in values]
    if pa.types.is_floating(column.type):
        return ["#NA" if value is None or not np.isfinite(value) else f"{value:.9g}" for value in values]
    return ["#NA" if value is None else str(value) for value in values]
