"""Reads TSV, CSV and Parquet tables, plain or gzipped, as blocks of text cells with the line of each row."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from cohelix.core.errors import BadFile

BLOCK_ROWS = 8_192
_CHUNK_BYTES = 1 << 20
_LINE_BYTES_MAX = 16 << 20  # a header of 100,000 columns is far below
_TABLE_BYTES_MAX = 8 << 30  # expanded; a million people with a thousand measurements
_ROWS_MAX = 2_000_000  # people of one node; twice the goal of 1+MG
_CELLS_MAX = 64_000_000  # of a Parquet file: what its footer promises is believed up to here
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_SEPARATORS = {"tab": "\t", "comma": ",", "semicolon": ";"}
_EXPECTED = "a table of people as TSV, CSV or Parquet, in UTF-8"


class Block(NamedTuple):
    """Consecutive rows: `columns[c][r]` is a cell, stripped of blanks; `lines[r]` the line (Parquet: row) that it is on."""

    columns: list[list[str]]
    lines: list[int]


class Table:
    """A table that is open for reading once: `header` in column order, and `blocks()`; `unit` is what its rows are counted in.

    Raises
    ------
    BadFile
        On opening or reading: empty, another encoding, a ragged row, a broken archive or Parquet file. Names the line.
    """

    def __init__(self, path: Path, separator: str | None = None) -> None:
        self.path = path
        if path.exists() and not path.is_file() and not path.is_dir():  # opening a pipe waits for its writer
            raise BadFile(str(path), "", "it is a pipe or a device, which can be read once only", _EXPECTED)
        try:
            with path.open("rb") as file:
                magic = file.read(4)
        except OSError as error:
            raise BadFile(str(path), "", f"cannot be read ({error.strerror})", _EXPECTED) from None
        if magic == b"PAR1":
            self.unit = "row"
            self._parquet = _open_parquet(path)
            self.header = tuple(str(name).strip() for name in self._parquet.schema_arrow.names)
            self._separator = ""
        else:
            self.unit = "line"
            self._parquet = None
            self._lines = _text_lines(path, magic)
            self.header, self._header_line, self._separator = self._read_header(separator)
        if not any(self.header):
            raise self.refusal(1, "no column has a name", "a header line with column names")

    def blocks(self) -> Iterator[Block]:
        """The rows, up to `BLOCK_ROWS` at a time; blank lines are passed over."""
        yield from _parquet_blocks(self) if self._parquet is not None else self._text_blocks()

    def refusal(self, line: int, problem: str, expected: str) -> BadFile:
        """A refusal of this file at a line (row)."""
        return BadFile(str(self.path), f"{self.unit} {line}", problem, expected)

    def _read_header(self, separator: str | None) -> tuple[tuple[str, ...], int, str]:
        for number, line in self._lines:
            if not line.strip() or line.startswith("##"):
                continue
            sign = _SEPARATORS[separator] if separator else next((sign for sign in "\t,;" if sign in line), "\t")
            if sign not in line and separator is None and len(line.split()) > 1:
                raise self.refusal(number, "the header's columns are separated by blanks", "tabs or commas between columns")
            cells = [cell.strip() for cell in self._split(line, number, sign)]
            # The published 1000 Genomes panel ends its header with empty columns that its rows do not have.
            while len(cells) > 1 and not cells[-1]:
                cells.pop()
            return tuple(cells), number, sign
        raise BadFile(str(self.path), "line 1", "the file has no header line", _EXPECTED)

    def _text_blocks(self) -> Iterator[Block]:
        rows: list[list[str]] = []
        lines: list[int] = []
        width, seen = len(self.header), 0
        for number, line in self._lines:
            if not line.strip():
                continue
            cells = self._split(line, number, self._separator)
            if len(cells) != width:
                if len(cells) > width and not any(cell.strip() for cell in cells[width:]):
                    del cells[width:]
                else:
                    raise self.refusal(number, f"{len(cells)} columns", f"{width} columns, as the header has")
            rows.append(cells)
            lines.append(number)
            seen += 1
            if seen > _ROWS_MAX:
                raise self.refusal(number, f"more than {_ROWS_MAX} rows", f"at most {_ROWS_MAX} people in a table")
            if len(rows) == BLOCK_ROWS or len(rows) * width > BLOCK_ROWS * 64:
                yield _block(rows, lines)
                rows, lines = [], []
        if rows:
            yield _block(rows, lines)

    def _split(self, line: str, number: int, separator: str) -> list[str]:
        if '"' not in line:
            return line.split(separator)
        try:
            return next(csv.reader([line], delimiter=separator, strict=True))
        except csv.Error as error:
            raise self.refusal(
                number, f"quoting is broken ({error})", "quotes closed on the same line, doubled inside"
            ) from None


def _block(rows: list[list[str]], lines: list[int]) -> Block:
    return Block([[cell.strip() for cell in column] for column in zip(*rows, strict=True)], lines)


def _text_lines(path: Path, magic: bytes) -> Iterator[tuple[int, str]]:
    """Numbered lines of a text file without their ends; refuses what is not text in UTF-8."""
    name = str(path)
    if not magic:
        raise BadFile(name, "line 1", "the file is empty", _EXPECTED)
    if magic.startswith(b"PK"):
        raise BadFile(name, "byte 0", "this is a ZIP archive or a spreadsheet", _EXPECTED)
    if magic.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise BadFile(name, "line 1", "the text is in UTF-16", "UTF-8; save the table as UTF-8")
    number = 0
    for number, raw in enumerate(raw_lines(path, magic), start=1):
        if number > 2 * _ROWS_MAX:
            raise BadFile(name, f"line {number}", "the file has too many lines", f"at most {_ROWS_MAX} people in a table")
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise BadFile(name, f"line {number}, byte {error.start + 1}", "the text is not in UTF-8", "UTF-8") from None
        line = line.removesuffix("\r")
        found = _CONTROL.search(line)
        if found:
            what = "a NUL byte" if found[0] == "\x00" else f"a control character (U+{ord(found[0]):04X})"
            raise BadFile(name, f"line {number}, character {found.start() + 1}", what, "plain text")
        yield number, line
    if number == 0:
        raise BadFile(name, "line 1", "the file is empty", _EXPECTED)


def raw_lines(path: Path, magic: bytes) -> Iterator[bytes]:
    """Lines of a plain or gzipped file without their ends; refuses a broken archive, a line or a file without end."""
    rest, expanded, number = b"", 0, 1
    opened = gzip.open if magic.startswith(b"\x1f\x8b") else open
    with opened(path, "rb") as file:
        while True:
            try:
                chunk = file.read(_CHUNK_BYTES)
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise BadFile(
                    str(path), f"line {number}", f"the gzip stream is broken ({error})", "a whole gzip file"
                ) from None
            except OSError as error:
                raise BadFile(str(path), "", f"cannot be read ({error.strerror or error})", _EXPECTED) from None
            if not chunk:
                break
            expanded += len(chunk)
            pieces = (rest + chunk).split(b"\n")
            rest = pieces.pop()
            number += len(pieces)
            yield from pieces
            if len(rest) > _LINE_BYTES_MAX:
                raise BadFile(str(path), f"line {number}", f"longer than {_LINE_BYTES_MAX} bytes", "one row a line")
            if expanded > _TABLE_BYTES_MAX:
                raise BadFile(str(path), f"line {number}", f"more than {_TABLE_BYTES_MAX} bytes", "a smaller table")
    if rest:
        yield rest


def _open_parquet(path: Path) -> pa.parquet.ParquetFile:
    try:
        file = pa.parquet.ParquetFile(path)
        meta = file.metadata
        n_rows, n_columns = meta.num_rows, meta.num_columns
        in_groups = sum(meta.row_group(group).num_rows for group in range(meta.num_row_groups))
        declared = sum(meta.row_group(group).total_byte_size for group in range(meta.num_row_groups))
    except (pa.ArrowException, OSError, ValueError, RuntimeError, MemoryError) as error:
        raise BadFile(str(path), "footer", f"not a Parquet file that can be read ({_short(error)})", _EXPECTED) from None
    if n_rows <= 0 or n_columns <= 0:
        raise BadFile(str(path), "footer", "the table has no rows", "a row for each biosample or person")
    if in_groups != n_rows or declared < 0:
        raise BadFile(str(path), "footer", f"{n_rows} rows promised, {in_groups} in its groups", "a footer that fits its rows")
    if n_rows > _ROWS_MAX or n_rows * n_columns > _CELLS_MAX or declared > _TABLE_BYTES_MAX:
        raise BadFile(str(path), "footer", f"{n_rows} rows of {n_columns} columns", f"at most {_ROWS_MAX} people in a table")
    return file


def _parquet_blocks(table: Table) -> Iterator[Block]:
    row = 1
    batches = table._parquet.iter_batches(batch_size=max(1, min(BLOCK_ROWS, _CELLS_MAX // 128 // len(table.header))))
    while True:
        try:
            batch = next(batches, None)
        except (pa.ArrowException, OSError, ValueError, RuntimeError, MemoryError) as error:
            raise table.refusal(row, f"the Parquet data is broken ({_short(error)})", "a whole Parquet file") from None
        if batch is None:
            break
        lines = list(range(row, row + batch.num_rows))
        yield Block([_cells(table, name, column, row) for name, column in zip(table.header, batch.columns, strict=True)], lines)
        row += batch.num_rows
    promised = table._parquet.metadata.num_rows
    if row - 1 != promised:
        raise table.refusal(row, f"the footer promises {promised} rows", "a footer that fits its rows")


def _cells(table: Table, name: str, column: pa.Array, row: int) -> list[str]:
    """A Parquet column as text; lists of codes are joined with `;`."""
    try:
        column.validate(full=True)
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
            column = pc.binary_join(column.cast(pa.list_(pa.string())), ";")
        if pa.types.is_boolean(column.type):
            column = column.cast(pa.uint8())
        texts = pc.fill_null(column.cast(pa.string()), "").to_pylist()
    except (pa.ArrowException, UnicodeDecodeError, ValueError) as error:
        raise table.refusal(
            row, f"column {name!r} cannot be read as text ({_short(error)})", "text, numbers or codes"
        ) from None
    for number, text in enumerate(texts):
        if _CONTROL.search(text):
            raise table.refusal(row + number, f"a control character in column {name!r}", "plain text")
    return [text.strip() for text in texts]


def _short(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
