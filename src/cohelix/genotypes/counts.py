"""Counts of each variant in each group of people, computed once from a store and looked up in microseconds.

A table is a folder: `counts.json` and one `sections` file for every 65,536 rows of the store. Most cells say "nobody
here carries it and everybody is called", so a file holds, per row, which of up to eight *usual* vectors of AN (one AN
per group; autosome, X outside PAR, …) it has, and the cells that differ from "AN as usual, the rest 0":

section          dtype      meaning
---------------  ---------  ------------------------------------------------------------
usual            i64 (k, G) AN of each of G groups, of up to eight usual vectors
which            u8 (n)     the row's usual vector; absent where k is 1
starts           u32 (n+1)  cells of row i are starts[i]:starts[i + 1]
group            smallest   group of a cell, ascending within a row
ac, hom, hemi,   smallest   of a cell; absent where all are 0
missing
an_less          smallest   usual AN less AN
half_alt         smallest   AC less het less 2 hom less hemi: ALT alleles of half-called people
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson

from cohelix.core.arrays import ByteArray, IntArray
from cohelix.core.errors import CohelixError, Conflict, Damaged, ShapeMismatch
from cohelix.genotypes.loops import kernels
from cohelix.genotypes.model import Cohort
from cohelix.genotypes.sections import SectionFile, check_file, sha256_of, smallest, sync_folder, write_sections
from cohelix.genotypes.shard_layout import COUNT_SECTIONS
from cohelix.genotypes.store import GenotypeStore

FORMAT, FORMAT_VERSION = "cohelix-counts", 1
READABLE_VERSIONS = (1,)
COUNTS_MAGIC = b"COHELIXC"
INDEX_NAME = "counts.json"
PART_ROWS = 1 << 16
# Rows counted at a time: 1,024 rows of 52 groups are 2.5 MB of counts, which stay in a core's cache.
_STEP_ROWS = 1024
_USUAL_MOST = 8
_CELL_COLUMNS = ("ac", "hom", "hemi", "missing", "an_less", "half_alt")


class CountsInfo(NamedTuple):
    """What a table holds: groups and how many people each has, and rows."""

    groups: tuple[str, ...]
    sizes: tuple[int, ...]
    n_rows: int


class PartRecord(NamedTuple):
    """One file of a table."""

    file: str
    rows: int
    bytes: int
    sha256: str


def write_counts(store: GenotypeStore, groups: Mapping[str, Cohort], folder: Path) -> CountsInfo:
    """Count every row of a store in every group, and write the table. The bytes depend on store and groups only.

    Raises
    ------
    Conflict
        If the folder has something in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise Conflict(f"{folder} is not empty; a table of counts is written into a folder of its own")
    info = CountsInfo(tuple(groups), tuple(cohort.size for cohort in groups.values()), store.info.n_variants)
    cohorts, parts = list(groups.values()), []
    with ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="counts") as pool:
        for start in range(0, info.n_rows, PART_ROWS):
            rows = range(start, min(start + PART_ROWS, info.n_rows))
            parts.append(_write_part(store, cohorts, rows, folder / f"{start // PART_ROWS:05d}.counts", pool))
    sync_folder(folder)
    partial = folder / f"{INDEX_NAME}.partial"
    with partial.open("wb") as file:
        file.write(_index_document(info, parts))
        file.flush()
        os.fsync(file.fileno())
    partial.rename(folder / INDEX_NAME)
    sync_folder(folder)
    return info


def open_counts(folder: Path) -> CountTable:
    """The table in a folder, memory-mapped.

    Raises
    ------
    Damaged
        If it is absent, cut off or of another format version.
    """
    info, parts = _read_index(folder)
    return CountTable(folder, info, parts)


class CountTable:
    """Looked-up counts. Safe to read from many threads at once."""

    def __init__(self, folder: Path, info: CountsInfo, parts: tuple[PartRecord, ...]) -> None:
        self._folder, self._parts = folder, parts
        self.groups: tuple[str, ...] = info.groups
        self.sizes: tuple[int, ...] = info.sizes
        self.n_rows = info.n_rows
        self._files = [SectionFile(folder / part.file, magic=COUNTS_MAGIC, versions=READABLE_VERSIONS) for part in parts]
        self._tocs = []
        for part, file in zip(parts, self._files, strict=True):
            if (file.n_rows, file.n_samples, file.buffer.size) != (part.rows, len(info.groups), part.bytes):
                raise Damaged(f"{file.path} is not the file that the index describes")
            self._tocs.append(_toc(file))
        self._checked = [False] * len(parts)

    def row(self, row: int) -> IntArray:
        """Counts of one row, (groups, 6) int64: an, ac, het, hom, hemi, missing.

        Raises
        ------
        ShapeMismatch
            If the row is outside the table.
        """
        if not 0 <= row < self.n_rows:
            raise ShapeMismatch(f"row {row} is outside the table")
        part, local = divmod(row, PART_ROWS)
        if not self._checked[part]:
            self._check(part)
        counts = np.empty((1, len(self.groups), 6), np.int64)
        kernels.expand_counts(self._files[part].buffer, self._tocs[part], local, counts)
        found: IntArray = counts[0]
        return found

    def rows(self, rows: range) -> IntArray:
        """Counts of consecutive rows, (rows, groups, 6) int64."""
        counts = np.empty((len(rows), len(self.groups), 6), np.int64)
        if not rows:
            return counts
        if rows.step != 1 or rows.start < 0 or rows.stop > self.n_rows:
            raise ShapeMismatch(f"rows {rows.start}…{rows.stop - 1} are not consecutive rows of this table")
        for part in range(rows.start // PART_ROWS, (rows.stop - 1) // PART_ROWS + 1):
            base = part * PART_ROWS
            start, stop = max(rows.start, base), min(rows.stop, base + PART_ROWS)
            if not self._checked[part]:
                self._check(part)
            kernels.expand_counts(
                self._files[part].buffer, self._tocs[part], start - base, counts[start - rows.start : stop - rows.start]
            )
        return counts

    def _check(self, part: int) -> None:
        """Read every byte of a part before the first answer from it."""
        check_file(self._files[part].path, self._parts[part].sha256)
        self._checked[part] = True

    def verify(self) -> None:
        """Check every file of the table against its checksum.

        Raises
        ------
        Damaged
            Naming the file.
        """
        _read_index(self._folder)
        for part in self._parts:
            path = self._folder / part.file
            if not path.is_file() or sha256_of(path) != part.sha256:
                raise Damaged(f"{path} is not what was written: its checksum differs")


def _write_part(store: GenotypeStore, cohorts: list[Cohort], rows: range, path: Path, pool: ThreadPoolExecutor) -> PartRecord:
    usual = _usual_vectors(store, cohorts, rows)
    chunks = [rows[start : start + _STEP_ROWS] for start in range(0, len(rows), _STEP_ROWS)]
    folded = list(pool.map(lambda chunk: _folded(store, cohorts, chunk, usual), chunks))
    which, lengths, cells = (np.concatenate(column) for column in zip(*folded, strict=True))
    # `an_less` may be negative where a usual vector is not the one of this row's ploidy.
    columns = {
        name: smallest(cells[:, i + 1], signed=name == "an_less") if cells[:, i + 1].any() else cells[:0, 0]
        for i, name in enumerate(_CELL_COLUMNS)
    }
    sections = {
        "usual": usual.astype("<i8"),
        "which": which if len(usual) > 1 else which[:0],
        "starts": np.concatenate([[0], np.cumsum(lengths)]).astype("<u4"),
        "group": smallest(cells[:, 0]),
        **columns,
    }
    written = write_sections(
        path, sections, magic=COUNTS_MAGIC, version=FORMAT_VERSION, n_rows=len(rows), n_samples=len(cohorts)
    )
    return PartRecord(path.name, len(rows), written.bytes, written.sha256)


def _folded(store: GenotypeStore, cohorts: list[Cohort], rows: range, usual: IntArray) -> tuple[ByteArray, IntArray, IntArray]:
    """Of a chunk of rows: usual vector and number of cells of each row, and the cells (see `kernels.fold_counts`)."""
    counts = np.empty((len(rows), len(cohorts), 6), np.int64)
    for i, cohort in enumerate(cohorts):
        counts[:, i, :] = np.stack(store.allele_counts(rows, cohort), axis=1)
    which, lengths = np.empty(len(rows), np.uint8), np.empty(len(rows), np.int64)
    cells = np.empty((len(rows) * len(cohorts), 1 + len(_CELL_COLUMNS)), np.int64)
    n_cells = kernels.fold_counts(counts, usual, which, lengths, cells)
    return which, lengths, cells[:n_cells].copy()


def _usual_vectors(store: GenotypeStore, cohorts: list[Cohort], rows: range) -> IntArray:
    """The most frequent vectors of AN among up to 1,024 rows spread over the part, the most frequent first."""
    sample = np.unique(np.linspace(rows.start, rows.stop - 1, min(len(rows), 1024)).astype(np.int64))
    vectors = np.stack([store.allele_counts(sample, cohort).an for cohort in cohorts], axis=1) if cohorts else None
    if vectors is None:
        return np.zeros((1, 0), np.int64)
    found, times = np.unique(vectors, axis=0, return_counts=True)
    order = np.argsort(-times, kind="stable")[:_USUAL_MOST]
    # What one row alone has is no usual vector, unless there is nothing better.
    kept = [i for i in order.tolist() if times[i] > 1] or order[:1].tolist()
    return found[kept]


def _toc(file: SectionFile) -> IntArray:
    """Where the sections lie, for the kernel: (groups, 0), then (byte offset, bytes of an element, 0 if absent)."""
    entries = [(file.n_samples, 0)]
    for name in COUNT_SECTIONS:
        array = file.array(name)
        entries.append((int(file.places([name])[0, 0]), array.itemsize if array.size else 0))
    return np.array(entries, np.int64)


def _index_document(info: CountsInfo, parts: list[PartRecord]) -> bytes:
    document: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "groups": list(info.groups),
        "sizes": list(info.sizes),
        "rows": info.n_rows,
        "parts": [part._asdict() for part in parts],
    }
    document["sha256"] = hashlib.sha256(orjson.dumps(document)).hexdigest()
    return orjson.dumps(document)


def _read_index(folder: Path) -> tuple[CountsInfo, tuple[PartRecord, ...]]:
    path = folder / INDEX_NAME
    try:
        document: dict[str, Any] = orjson.loads(path.read_bytes())
        if document["format"] != FORMAT or document["format_version"] not in READABLE_VERSIONS:
            raise Damaged(f"{path} has format {document['format']} {document['format_version']}, which is not read here")
        if document.pop("sha256") != hashlib.sha256(orjson.dumps(document)).hexdigest():
            raise Damaged(f"{path} is not what was written: its checksum differs")
        parts = tuple(PartRecord(**part) for part in document["parts"])
        return CountsInfo(tuple(document["groups"]), tuple(document["sizes"]), document["rows"]), parts
    except CohelixError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise Damaged(f"{path} is absent or not an index of a table of counts") from problem
