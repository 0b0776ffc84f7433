"""What a result table looks like from afar: bins for a Manhattan plot, quantiles, genomic inflation, and the top loci.

Two passes, in memory that does not grow with the table: the first reads where and how strong each line is, the second the
strongest lines whole. Ten million variants become some hundred thousand cells in less than two seconds.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cohelix.analysis.files import TablePart, table_parts
from cohelix.core.arrays import FloatArray, IntArray

SIGNIFICANT = 7.30103  # −log10 of 5 × 10⁻⁸, the genome-wide threshold (Pe'er et al. 2008)
LOCUS_BASES = 500_000  # a locus reaches this far to each side of its lead variant
_CELL_BASES_LEAST = 1 << 10  # doubled until the table's contigs have no more than so many columns of cells
_COLUMNS_MOST = 3_000
CELL_STEPS = 80  # cells are a tenth of −log10 p high; what is stronger than the highest is kept exactly
_EXACT_MOST = 10_000  # strongest lines that are drawn as themselves
_TOLD_MOST = 2_000  # of them in JSON
_LEADS_MOST = 100  # of loci that a drawing names
_HISTOGRAM_STEP = 1e-4
_HISTOGRAM_STEPS = 400_000
_STEPS_A_CELL = 1_000
_WORKERS = 2
_QUANTILES = 400
_CHI2_MEDIAN = 0.454936423119572  # of one degree of freedom
_COLUMNS = (
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
)


class Top(NamedTuple):
    """One line of the table; what the table does not have is None."""

    chromosome: str
    position: int
    effect_allele: str
    other_allele: str
    trait: str | None
    beta: float | None
    standard_error: float | None
    effect_allele_frequency: float | None
    neg_log10_p: float
    n: int | None

    @property
    def name(self) -> str:
        """The variant as people write it."""
        return f"{self.chromosome}-{self.position}-{self.other_allele}-{self.effect_allele}"


@dataclass(frozen=True)
class Summary:
    """A table from afar.

    Attributes
    ----------
    lines, tested
        Lines of the table; lines with a p-value.
    contigs
        In the order of the table, with the first and last position.
    cell_bases
        How wide a cell is: a power of two; 2²⁰ for a whole genome, less for a part of one.
    cells
        For each contig (cells, 2) int64: number of the column, and −log10 p in tenths; cells that hold a variant, by column.
    top
        The strongest lines, strongest first.
    loci
        Of the lines below the genome-wide threshold, the lead of each locus, strongest first.
    quantiles
        (points, 2) float64: expected and observed −log10 p.
    inflation
        λ: the median of χ² over that of no association; None where nothing was tested.
    """

    lines: int
    tested: int
    contigs: dict[str, tuple[int, int]]
    cell_bases: int
    cells: dict[str, IntArray]
    top: tuple[Top, ...]
    loci: tuple[Top, ...]
    quantiles: FloatArray
    inflation: float | None

    @property
    def is_whole(self) -> bool:
        """Whether `top` holds every test, so that no cell is needed."""
        return len(self.top) == self.tested

    def document(self) -> dict[str, Any]:
        """As JSON, for pages and for the command line."""
        return {
            "lines": self.lines,
            "tested": self.tested,
            "lambda": None if self.inflation is None else round(self.inflation, 4),
            "contigs": {name: list(extent) for name, extent in self.contigs.items()},
            "cellBases": self.cell_bases,
            "cells": {name: cells.tolist() for name, cells in self.cells.items()},
            "top": [one._asdict() for one in self.top[:_TOLD_MOST]],
            "loci": [one._asdict() for one in self.loci],
            "quantiles": np.round(self.quantiles, 4).tolist(),
        }

    def drawing(self) -> dict[str, Any]:
        """What a browser draws, in some 100 kB for any number of variants.

        `contigs` has of each contig its `cells` as a bitmap in base64 (most significant bit first; a column is 80 bits, from
        the weakest up; the first column is `column`), and of its strong lines the positions, each as the distance from the
        one before, and the strengths in hundredths. `leads` names the loci, or the strongest lines where there is none.
        """
        strong = [one for number, one in enumerate(self.top) if number < _TOLD_MOST or one.neg_log10_p >= CELL_STEPS / 10]
        leads = (self.loci or self.top[:20])[:_LEADS_MOST]
        return {
            "lines": self.lines,
            "tested": self.tested,
            "lambda": None if self.inflation is None else round(self.inflation, 4),
            "threshold": SIGNIFICANT,
            "cellBases": self.cell_bases,
            "cellSteps": CELL_STEPS,
            "contigs": [
                {"name": name, "first": extent[0], "last": extent[1]}
                | _bitmap(self.cells[name])
                | _deltas(sorted((one.position, one.neg_log10_p) for one in strong if one.chromosome == name))
                for name, extent in self.contigs.items()
            ],
            "leads": [
                {"variant": one.name, "trait": one.trait, "contig": one.chromosome, "position": one.position}
                | {"strength": round(one.neg_log10_p, 3), "beta": one.beta}
                for one in leads
            ],
            "quantiles": np.round(self.quantiles, 3).tolist(),
        }


def _bitmap(cells: IntArray) -> dict[str, Any]:
    first, last = (int(cells[:, 0].min()), int(cells[:, 0].max())) if len(cells) else (0, -1)
    grid = np.zeros((last - first + 1, CELL_STEPS), np.bool_)
    grid[cells[:, 0] - first, cells[:, 1]] = True
    return {"column": first, "cells": b64encode(np.packbits(grid).tobytes()).decode()}


def _deltas(points: Sequence[tuple[int, float]]) -> dict[str, Any]:
    positions = np.array([position for position, _ in points], np.int64)
    return {
        "positions": np.diff(positions, prepend=0).tolist(),
        "strengths": [round(100 * strength) for _, strength in points],
    }


@dataclass
class _Gathering:
    """What the first pass keeps of one part of the table."""

    trait: str | None
    cell_bases: int = _CELL_BASES_LEAST
    lines: int = 0
    contigs: dict[str, tuple[int, int]] = field(default_factory=dict)
    grids: dict[str, npt.NDArray[np.bool_]] = field(default_factory=dict)  # (columns × CELL_STEPS,) flat
    histogram: IntArray = field(default_factory=lambda: np.zeros(_HISTOGRAM_STEPS + 1, np.int64))
    strength: FloatArray = field(default_factory=lambda: np.empty(0))  # of the strongest lines, in the table's order
    rows: IntArray = field(default_factory=lambda: np.empty(0, np.int64))

    def add(self, block: pa.RecordBatch, first_row: int) -> None:
        rows = np.arange(first_row, first_row + block.num_rows)
        if self.trait is not None and "trait" in block.schema.names:
            chosen = pc.equal(block.column("trait"), self.trait)
            block, rows = block.filter(chosen), rows[np.asarray(chosen.to_numpy(zero_copy_only=False), bool)]
        if not block.num_rows:
            return
        self.lines += block.num_rows
        strength = _numbers(block, "neg_log10_p")
        known = np.isfinite(strength)
        steps = np.minimum(np.where(known, strength, 0.0) / _HISTOGRAM_STEP, _HISTOGRAM_STEPS).astype(np.int64)
        self.histogram += np.bincount(steps if known.all() else steps[known], minlength=_HISTOGRAM_STEPS + 1)
        column = block.column("chromosome")
        contigs, numbers = column.dictionary.to_pylist(), column.indices.to_numpy()
        positions = block.column("base_pair_location").to_numpy()
        starts = np.flatnonzero(np.append(True, numbers[1:] != numbers[:-1]))
        for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(numbers)], strict=True):
            drawn = known[start:stop] & (steps[start:stop] < CELL_STEPS * _STEPS_A_CELL)
            self._add_contig(contigs[numbers[start]], positions[start:stop], steps[start:stop], drawn)
        self._keep_top(strength, known, rows)

    def _add_contig(self, contig: str, positions: IntArray, steps: IntArray, drawn: npt.NDArray[np.bool_]) -> None:
        first, last = int(positions.min()), int(positions.max())
        low, high = self.contigs.get(contig, (first, last))
        self.contigs[contig] = (min(low, first), max(high, last))
        self.coarsen(self._width())
        self._grid(contig, (last // self.cell_bases + 1) * CELL_STEPS)
        cells = positions // self.cell_bases * CELL_STEPS + steps // _STEPS_A_CELL
        self.grids[contig][cells[drawn]] = True

    def _width(self) -> int:
        """How wide cells have to be for the contigs so far."""
        covered, width = sum(high - low for low, high in self.contigs.values()), self.cell_bases
        while covered > width * _COLUMNS_MOST:
            width *= 2
        return width

    def coarsen(self, cell_bases: int) -> None:
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

    def _keep_top(self, strength: FloatArray, known: npt.NDArray[np.bool_], rows: IntArray) -> None:
        if len(self.rows) >= _EXACT_MOST:
            known = known & (strength > np.partition(self.strength, -_EXACT_MOST)[-_EXACT_MOST])
        self.strength = np.append(self.strength, strength[known])
        self.rows = np.append(self.rows, rows[known])
        if len(self.rows) > 4 * _EXACT_MOST:
            self.prune()

    def prune(self) -> None:
        """Forget all but the strongest lines; of equals the earlier is kept."""
        if len(self.rows) > _EXACT_MOST:
            kept = np.sort(np.argsort(-self.strength, kind="stable")[:_EXACT_MOST])
            self.strength, self.rows = self.strength[kept], self.rows[kept]

    def join(self, later: _Gathering) -> None:
        """Add what was gathered of a later part."""
        self.lines += later.lines
        self.histogram += later.histogram
        for contig, (low, high) in later.contigs.items():
            known_low, known_high = self.contigs.get(contig, (low, high))
            self.contigs[contig] = (min(low, known_low), max(high, known_high))
        width = max(self._width(), later.cell_bases)
        self.coarsen(width)
        later.coarsen(width)
        for contig in later.contigs:
            self._grid(contig, len(later.grids[contig]))[: len(later.grids[contig])] |= later.grids[contig]
        self.strength, self.rows = np.append(self.strength, later.strength), np.append(self.rows, later.rows)


def summarise(folder: Path, *, trait: str | None = None) -> Summary:
    """Summarise the table of a result folder, or its lines of one trait."""
    parts = table_parts(folder, _WORKERS)

    def gathered(part: TablePart) -> _Gathering:
        found = _Gathering(trait)
        for first_row, block in part.blocks(("chromosome", "base_pair_location", "trait", "neg_log10_p")):
            found.add(block, first_row)
        return found

    whole, *others = _by_part(gathered, parts)
    for other in others:
        whole.join(other)
    whole.prune()
    top = _top(parts, whole)
    return Summary(
        lines=whole.lines,
        tested=int(whole.histogram.sum()),
        contigs=whole.contigs,
        cell_bases=whole.cell_bases,
        cells={name: np.column_stack(np.divmod(np.flatnonzero(grid), CELL_STEPS)) for name, grid in whole.grids.items()},
        top=top,
        loci=_loci(top),
        quantiles=_quantiles(whole.histogram, top),
        inflation=_inflation(whole.histogram),
    )


_T = TypeVar("_T")


def _by_part(work: Callable[[TablePart], _T], parts: Sequence[TablePart]) -> list[_T]:
    """The work on every part, in the parts' order; reading and counting leave the interpreter free for each other."""
    if len(parts) == 1:
        return [work(parts[0])]
    with ThreadPoolExecutor(len(parts)) as pool:
        return list(pool.map(work, parts))


def _top(parts: Sequence[TablePart], gathered: _Gathering) -> tuple[Top, ...]:
    """The strongest lines whole, strongest first; of equals the earlier."""
    strength, rows = gathered.strength, gathered.rows

    def read(part: TablePart) -> list[Top]:
        found = []
        for block in part.lines(rows, _COLUMNS):
            columns = [
                block.column(name).to_pylist() if name in block.schema.names else [None] * block.num_rows for name in _COLUMNS
            ]
            found += [Top(*line) for line in zip(*columns, strict=True)]
        return found

    lines = [one for found in _by_part(read, parts) for one in found]
    return tuple(lines[at] for at in np.argsort(-strength, kind="stable").tolist())


def _numbers(block: pa.RecordBatch, name: str) -> FloatArray:
    if name not in block.schema.names:
        return np.full(block.num_rows, np.nan)
    return np.asarray(block.column(name).to_numpy(zero_copy_only=False), np.float64)


def _loci(top: Sequence[Top]) -> tuple[Top, ...]:
    leads: list[Top] = []
    for one in top:
        if one.neg_log10_p < SIGNIFICANT:
            break
        near = any(
            one.chromosome == lead.chromosome and one.trait == lead.trait and abs(one.position - lead.position) <= LOCUS_BASES
            for lead in leads
        )
        if not near:
            leads.append(one)
    return tuple(leads)


def _upper(histogram: IntArray) -> IntArray:
    """How many lines are at least as strong as each step's lower edge."""
    return np.asarray(histogram[::-1].cumsum()[::-1])


def _quantiles(histogram: IntArray, top: Sequence[Top]) -> FloatArray:
    """Expected and observed −log10 p, thinned: the strongest exactly, the others evenly in expectation."""
    tested = int(histogram.sum())
    if not tested:
        return np.empty((0, 2))
    exact = np.array([one.neg_log10_p for one in top[:_QUANTILES]])
    points = [np.column_stack([-np.log10((np.arange(len(exact)) + 0.5) / tested), exact])]
    if tested > len(exact):
        above = _upper(histogram)
        expected = np.linspace(0, -np.log10((len(exact) + 0.5) / tested), _QUANTILES)
        ranks = 10.0**-expected * tested  # so many are at least as strong
        steps = len(above) - np.searchsorted(above[::-1], ranks, side="left") - 1
        points.append(np.column_stack([expected, np.maximum(steps, 0) * _HISTOGRAM_STEP])[::-1])
    return np.concatenate(points)


def _inflation(histogram: IntArray) -> float | None:
    tested = int(histogram.sum())
    if not tested:
        return None
    below = histogram.cumsum()
    step = int(np.searchsorted(below, tested / 2))
    before = int(below[step - 1]) if step else 0
    inside = (tested / 2 - before) / max(1, int(histogram[step]))
    median = (step + inside) * _HISTOGRAM_STEP
    from scipy.special import gammainccinv  # χ² of one degree of freedom; scipy.stats would take a second to import

    return float(2 * gammainccinv(0.5, 10.0**-median) / _CHI2_MEDIAN)
