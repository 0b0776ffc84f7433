"""Reads a result table once, and keeps what a summary needs: cells, histograms by allele frequency, and the strongest lines.

Memory does not grow with the table; each half of it is read by a thread, which leaves the interpreter free for the other.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cohelix.analysis.files import TablePart, table_parts
from cohelix.core.arrays import FloatArray, IntArray

CELL_STEPS = 80  # cells are a tenth of −log10 p high; what is stronger than the highest is kept exactly
MAF_EDGES = (0.001, 0.01, 0.05)  # between strata of minor allele frequency
HISTOGRAM_STEP = 1e-3
COLUMNS = (
    "chromosome",
    "base_pair_location",
    "effect_allele",
    "other_allele",
    "trait",
    "beta",
    "standard_error",
    "effect_allele_frequency",
    "neg_log10_p",
    "n",
    "studies",
    "q",
    "i_squared",
)
_CELL_BASES_LEAST = 1 << 10  # doubled until the table's contigs have no more than so many columns of cells
_COLUMNS_MOST = 3_000
_EXACT_MOST = 10_000  # strongest lines that are drawn as themselves
_HISTOGRAM_STEPS = 40_000
STEPS_A_CELL = 100
_STRATA = len(MAF_EDGES) + 2  # the last: lines whose frequency is not told
_WORKERS = 2


def stratum_of(frequency: FloatArray) -> IntArray:
    """The number of the stratum of each allele frequency, NaN in the last."""
    minor = np.minimum(frequency, 1 - frequency)
    found = np.isnan(minor) * np.int64(_STRATA - 1)
    for edge in MAF_EDGES:
        found += minor >= edge
    return np.asarray(found)


class Strongest:
    """The strongest lines of blocks that come one after the other, in the table's order; of equals the earlier is kept."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._strengths: list[FloatArray] = []
        self._lines: list[pa.Table] = []
        self._weakest = -np.inf  # no line that is not stronger is among them

    @property
    def strength(self) -> FloatArray:
        """−log10 p of the lines kept; a few more than wanted until `prune`."""
        return np.concatenate(self._strengths) if self._strengths else np.empty(0)

    @property
    def lines(self) -> pa.Table:
        """The lines kept, whole."""
        return pa.concat_tables(self._lines) if self._lines else pa.table({})

    def add(self, strength: FloatArray, block: pa.RecordBatch | pa.Table) -> None:
        """Take in the next lines; those that were not tested are never kept."""
        rows = np.flatnonzero(np.isfinite(strength) & (strength > self._weakest))
        rows = rows[_strongest(strength[rows], self._most)]
        if len(rows):
            self._strengths.append(strength[rows])
            self._lines.append(_plain(block.take(pa.array(rows))))
        if sum(map(len, self._strengths)) > 4 * self._most:
            self.prune()

    def join(self, later: Strongest) -> None:
        """Add those of a later part."""
        self._strengths += later._strengths
        self._lines += later._lines

    def prune(self) -> None:
        """Forget all but the strongest."""
        strength = self.strength
        if len(strength) > self._most:
            kept = _strongest(strength, self._most)
            self._lines, self._strengths = [self.lines.take(pa.array(kept)).combine_chunks()], [strength[kept]]
            self._weakest = float(strength[kept].min())


@dataclass
class Gathering:
    """What is kept of a table, or of one part of it.

    Attributes
    ----------
    grids
        By contig, whether a cell holds a test: (columns × CELL_STEPS,) flat.
    histogram
        (strata, steps) tests by −log10 p.
    frequencies
        Whether the table tells allele frequencies.
    top
        The strongest lines.
    """

    trait: str | None
    cell_bases: int = _CELL_BASES_LEAST
    lines: int = 0
    contigs: dict[str, tuple[int, int]] = field(default_factory=dict)
    grids: dict[str, npt.NDArray[np.bool_]] = field(default_factory=dict)
    histogram: IntArray = field(default_factory=lambda: np.zeros((_STRATA, _HISTOGRAM_STEPS + 1), np.int64))
    frequencies: bool = False
    top: Strongest = field(default_factory=lambda: Strongest(_EXACT_MOST))

    def add(self, block: pa.RecordBatch) -> None:
        """Take in the next lines."""
        if self.trait is not None and "trait" in block.schema.names:
            block = block.filter(pc.equal(block.column("trait"), self.trait))
        if not block.num_rows:
            return
        self.lines += block.num_rows
        strength = numbers(block, "neg_log10_p")
        known = np.isfinite(strength)
        steps = np.minimum(np.where(known, strength, 0.0) * (1 / HISTOGRAM_STEP), _HISTOGRAM_STEPS).astype(np.int64)
        self.frequencies |= "effect_allele_frequency" in block.schema.names
        place = stratum_of(numbers(block, "effect_allele_frequency")) * (_HISTOGRAM_STEPS + 1) + steps
        counted = np.bincount(place if known.all() else place[known], minlength=self.histogram.size)
        self.histogram += counted.reshape(self.histogram.shape)
        for contig, lines in contig_stretches(block):
            drawn = known[lines] & (steps[lines] < CELL_STEPS * STEPS_A_CELL)
            self._add_contig(contig, block.column("base_pair_location").to_numpy()[lines], steps[lines], drawn)
        self.top.add(strength, block)

    def _add_contig(self, contig: str, positions: IntArray, steps: IntArray, drawn: npt.NDArray[np.bool_]) -> None:
        first, last = int(positions.min()), int(positions.max())
        low, high = self.contigs.get(contig, (first, last))
        self.contigs[contig] = (min(low, first), max(high, last))
        self._coarsen(self._width())
        self._grid(contig, (last // self.cell_bases + 1) * CELL_STEPS)
        cells = cells_of(positions, steps, self.cell_bases)
        self.grids[contig][cells if drawn.all() else cells[drawn]] = True

    def _width(self) -> int:
        """How wide cells have to be for the contigs so far."""
        covered, width = sum(high - low for low, high in self.contigs.values()), self.cell_bases
        while covered > width * _COLUMNS_MOST:
            width *= 2
        return width

    def _coarsen(self, cell_bases: int) -> None:
        """Draw with cells of that width instead, unless they are as wide already."""
        times = cell_bases // self.cell_bases
        if times > 1:
            for contig, grid in self.grids.items():
                columns = grid.reshape(-1, CELL_STEPS)
                columns = np.append(columns, np.zeros((-len(columns) % times, CELL_STEPS), np.bool_), axis=0)
                self.grids[contig] = columns.reshape(-1, times, CELL_STEPS).any(axis=1).ravel()
            self.cell_bases = cell_bases

    def _grid(self, contig: str, size: int) -> npt.NDArray[np.bool_]:
        """The contig's grid, with at least so many cells."""
        grid = self.grids.get(contig, np.zeros(0, np.bool_))
        if len(grid) < size:
            grid = np.append(grid, np.zeros(size - len(grid), np.bool_))
        self.grids[contig] = grid
        return grid

    def join(self, later: Gathering) -> None:
        """Add what was gathered of a later part."""
        self.lines += later.lines
        self.histogram += later.histogram
        self.frequencies |= later.frequencies
        for contig, (low, high) in later.contigs.items():
            known_low, known_high = self.contigs.get(contig, (low, high))
            self.contigs[contig] = (min(low, known_low), max(high, known_high))
        width = max(self._width(), later.cell_bases)
        self._coarsen(width)
        later._coarsen(width)
        for contig in later.contigs:
            self._grid(contig, len(later.grids[contig]))[: len(later.grids[contig])] |= later.grids[contig]
        self.top.join(later.top)


def gather(folder: Path, trait: str | None = None) -> Gathering:
    """Read the table of a result folder, or its lines of one trait."""

    def gathered(part: TablePart) -> Gathering:
        found = Gathering(trait)
        for block in part.blocks(COLUMNS):
            found.add(block)
        return found

    parts = table_parts(folder, _WORKERS)
    if len(parts) == 1:
        whole, others = gathered(parts[0]), []
    else:
        with ThreadPoolExecutor(len(parts)) as pool:
            whole, *others = pool.map(gathered, parts)
    for other in others:
        whole.join(other)
    whole.top.prune()
    return whole


def numbers(block: pa.RecordBatch, name: str) -> FloatArray:
    """A column as float64, NaN where there is no number, or no such column."""
    if name not in block.schema.names:
        return np.full(block.num_rows, np.nan)
    return np.asarray(block.column(name).to_numpy(zero_copy_only=False), np.float64)


def contig_stretches(block: pa.RecordBatch) -> list[tuple[str, slice]]:
    """The contigs of a block whose names came as a dictionary, each with its lines, in order."""
    column = block.column("chromosome")
    names, indices = column.dictionary.to_pylist(), column.indices.to_numpy()
    starts = np.flatnonzero(np.append(True, indices[1:] != indices[:-1])).tolist() if len(indices) else []
    return [
        (names[indices[start]], slice(start, stop)) for start, stop in zip(starts, [*starts[1:], len(indices)], strict=True)
    ]


def cells_of(positions: IntArray, steps: IntArray, cell_bases: int) -> IntArray:
    """The flat number of each line's cell, columns first; `cell_bases` is a power of two."""
    return np.asarray((positions >> (cell_bases.bit_length() - 1)) * CELL_STEPS + steps // STEPS_A_CELL)


def _strongest(strength: FloatArray, most: int) -> IntArray:
    """Indices of the strongest, ascending; of equals the earlier."""
    if len(strength) <= most:
        return np.arange(len(strength))
    return np.sort(np.argsort(-strength, kind="stable")[:most])


def _plain(block: pa.RecordBatch | pa.Table) -> pa.Table:
    """The lines with texts as texts: blocks have dictionaries of their own."""
    table = pa.Table.from_batches([block]) if isinstance(block, pa.RecordBatch) else block
    kinds = zip(table.schema.names, table.schema.types, strict=True)
    return table.cast(pa.schema([(name, pa.string() if pa.types.is_dictionary(kind) else kind) for name, kind in kinds]))
