"""What a result table looks like from afar: bins for a Manhattan plot, quantiles, genomic inflation, and the top loci.

One pass over the table, in memory that does not grow with it: ten million variants become some ten thousand cells.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from cohelix.analysis.files import read_blocks
from cohelix.core.arrays import FloatArray, IntArray

SIGNIFICANT = 7.30103  # −log10 of 5 × 10⁻⁸, the genome-wide threshold (Pe'er et al. 2008)
LOCUS_BASES = 500_000  # a locus reaches this far to each side of its lead variant
_BIN_BASES = 1_000_000
_BIN_HEIGHT = 0.1  # of −log10 p, up to _BINNED_MOST; what is above is kept exactly
_BINNED_MOST = 8.0
_EXACT_MOST = 10_000  # strongest lines that are drawn as themselves
_TOLD_MOST = 2_000  # of them in JSON
_HISTOGRAM_STEP = 1e-4
_HISTOGRAM_STEPS = 400_000
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
    cells
        For each contig (cells, 2) int64: megabase, and −log10 p in tenths; cells that hold a variant.
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
            "cells": {name: cells.tolist() for name, cells in self.cells.items()},
            "top": [one._asdict() for one in self.top[:_TOLD_MOST]],
            "loci": [one._asdict() for one in self.loci],
            "quantiles": np.round(self.quantiles, 4).tolist(),
        }


@dataclass
class _Gathering:
    lines: int = 0
    contigs: dict[str, tuple[int, int]] = field(default_factory=dict)
    cells: dict[str, set[tuple[int, int]]] = field(default_factory=dict)
    histogram: IntArray = field(default_factory=lambda: np.zeros(_HISTOGRAM_STEPS + 1, np.int64))
    top: list[tuple[float, int, Top]] = field(default_factory=list)

    def add(self, block: pa.RecordBatch) -> None:
        names = block.schema.names
        count = block.num_rows
        if not count:
            return
        strength = _numbers(block, "neg_log10_p") if "neg_log10_p" in names else np.full(count, np.nan)
        contigs = np.asarray(block.column("chromosome").to_pylist(), object)
        positions = block.column("base_pair_location").to_numpy()
        known = np.isfinite(strength)
        steps = np.minimum(strength[known] / _HISTOGRAM_STEP, _HISTOGRAM_STEPS).astype(np.int64)
        self.histogram += np.bincount(steps, minlength=_HISTOGRAM_STEPS + 1)
        starts = np.flatnonzero(np.append(True, contigs[1:] != contigs[:-1]))
        for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), count], strict=True):
            self._add_contig(str(contigs[start]), positions[start:stop], strength[start:stop])
        self._keep_top(block, strength, known)
        self.lines += count

    def _add_contig(self, contig: str, positions: IntArray, strength: FloatArray) -> None:
        low, high = self.contigs.get(contig, (int(positions[0]), int(positions[0])))
        self.contigs[contig] = (min(low, int(positions.min())), max(high, int(positions.max())))
        known = np.isfinite(strength) & (strength < _BINNED_MOST)
        tenths = (strength[known] / _BIN_HEIGHT).astype(np.int64)
        found = np.unique(np.column_stack([positions[known] // _BIN_BASES, tenths]), axis=0)
        self.cells.setdefault(contig, set()).update(map(tuple, found.tolist()))

    def _keep_top(self, block: pa.RecordBatch, strength: FloatArray, known: np.ndarray) -> None:
        least = self.top[0][0] if len(self.top) >= _EXACT_MOST else -np.inf
        candidates = np.flatnonzero(known & (np.nan_to_num(strength, nan=-1.0) > least))
        if len(candidates) > _EXACT_MOST:
            candidates = candidates[np.argpartition(-strength[candidates], _EXACT_MOST)[:_EXACT_MOST]]
        taken = block.take(pa.array(np.sort(candidates)))
        columns = [
            taken.column(name).to_pylist() if name in taken.schema.names else [None] * taken.num_rows for name in _COLUMNS
        ]
        for number, line in enumerate(zip(*columns, strict=True)):
            one = Top(*line)
            # Of equals the earlier line is kept, so that the summary does not depend on how blocks were cut.
            item = (one.neg_log10_p, -(self.lines + int(np.sort(candidates)[number])), one)
            if len(self.top) < _EXACT_MOST:
                heapq.heappush(self.top, item)
            else:
                heapq.heappushpop(self.top, item)


def summarise(folder: Path, *, trait: str | None = None) -> Summary:
    """Summarise the table of a result folder, or its lines of one trait."""
    blocks: Iterable[pa.RecordBatch] = read_blocks(folder, _COLUMNS)
    gathering = _Gathering()
    for block in blocks:
        chosen = block
        if trait is not None and "trait" in block.schema.names:
            chosen = block.filter(pa.array([name == trait for name in block.column("trait").to_pylist()]))
        gathering.add(chosen)
    top = tuple(one for _, _, one in sorted(gathering.top, key=lambda item: (-item[0], -item[1])))
    tested = int(gathering.histogram.sum())
    return Summary(
        lines=gathering.lines,
        tested=tested,
        contigs=gathering.contigs,
        cells={name: np.array(sorted(cells), np.int64).reshape(-1, 2) for name, cells in gathering.cells.items()},
        top=top,
        loci=_loci(top),
        quantiles=_quantiles(gathering.histogram, top),
        inflation=_inflation(gathering.histogram),
    )


def _numbers(block: pa.RecordBatch, name: str) -> FloatArray:
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
    from scipy.stats import chi2

    return float(chi2.isf(10.0**-median, 1) / _CHI2_MEDIAN)
