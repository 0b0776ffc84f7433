"""What a result table looks like from afar: bins for a Manhattan plot, quantiles, genomic inflation, and the top loci.

`gathering` reads the table, once; a run's folder keeps the summary beside its table, so that no page waits for it.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import orjson
import pyarrow as pa

from cohelix.analysis.files import TABLE
from cohelix.analysis.gathering import (
    CELL_STEPS,
    COLUMNS,
    HISTOGRAM_STEP,
    MAF_EDGES,
    Gathering,
    gather,
    stratum_of,
)
from cohelix.core.arrays import FloatArray, IntArray

KEPT = "summary.json"  # beside the table, for this program alone
SIGNIFICANT = 7.30103  # −log10 of 5 × 10⁻⁸, the genome-wide threshold (Pe'er et al. 2008)
LOCUS_BASES = 500_000  # a locus reaches this far to each side of its lead variant
_TOLD_MOST = 2_000  # strongest lines in JSON
_LEADS_MOST = 100  # of loci that a drawing names
_QUANTILES, _QUANTILES_OF_STRATUM = 400, 60
_SMALL = 1e-300  # p-values below it are not told apart in a median
_CHI2_MEDIAN = 0.454936423119572  # of one degree of freedom
_KEPT_FORM = 1  # of the kept file; another one is made anew
_OF_META = ("studies", "q", "i_squared")


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
    studies: int | None = None
    q: float | None = None
    i_squared: float | None = None

    @property
    def name(self) -> str:
        """The variant as people write it."""
        return f"{self.chromosome}-{self.position}-{self.other_allele}-{self.effect_allele}"

    def document(self) -> dict[str, Any]:
        """As JSON; what a meta-analysis alone tells is not there for other methods."""
        told = self._asdict()
        return told if self.studies is not None else {name: told[name] for name in told if name not in _OF_META}


class Stratum(NamedTuple):
    """The tests of variants whose minor allele frequency is in [low, high); 0.5 belongs to the last one.

    `quantiles` and `inflation` are as those of a `Summary`.
    """

    low: float
    high: float
    tested: int
    inflation: float | None
    quantiles: FloatArray

    @property
    def name(self) -> str:
        """`MAF 1–5 %`, `MAF ≥ 5 %`."""
        return f"MAF ≥ {100 * self.low:g} %" if self.high == 0.5 else f"MAF {100 * self.low:g}–{100 * self.high:g} %"

    def document(self, digits: int) -> dict[str, Any]:
        """As JSON."""
        told = {"low": self.low, "high": self.high, "tested": self.tested, "lambda": _rounded(self.inflation)}
        return told | {"quantiles": np.round(self.quantiles, digits).tolist()}


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
    strata
        The same by minor allele frequency, the rarest first; empty where the table tells no frequencies.
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
    strata: tuple[Stratum, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether `top` holds every test, so that no cell is needed."""
        return len(self.top) == self.tested

    def document(self) -> dict[str, Any]:
        """As JSON, for pages and for the command line."""
        return {
            "lines": self.lines,
            "tested": self.tested,
            "lambda": _rounded(self.inflation),
            "contigs": {name: list(extent) for name, extent in self.contigs.items()},
            "cellBases": self.cell_bases,
            "cells": {name: cells.tolist() for name, cells in self.cells.items()},
            "top": [one.document() for one in self.top[:_TOLD_MOST]],
            "loci": [one.document() for one in self.loci],
            "quantiles": np.round(self.quantiles, 4).tolist(),
            "strata": [one.document(4) for one in self.strata],
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
            "lambda": _rounded(self.inflation),
            "threshold": SIGNIFICANT,
            "cellBases": self.cell_bases,
            "cellSteps": CELL_STEPS,
            "contigs": [
                {"name": name, "first": extent[0], "last": extent[1]}
                | bitmap(self.cells[name])
                | deltas(sorted((one.position, one.neg_log10_p) for one in strong if one.chromosome == name))
                for name, extent in self.contigs.items()
            ],
            "leads": [
                {"variant": one.name, "trait": one.trait, "contig": one.chromosome, "position": one.position}
                | {"strength": round(one.neg_log10_p, 3), "beta": one.beta}
                for one in leads
            ],
            "quantiles": np.round(self.quantiles, 3).tolist(),
            "strata": [one.document(3) for one in self.strata],
        }


def bitmap(cells: IntArray) -> dict[str, Any]:
    """Cells, (cells, 2) number of the column and step, as a drawing tells them."""
    first, last = (int(cells[:, 0].min()), int(cells[:, 0].max())) if len(cells) else (0, -1)
    grid = np.zeros((last - first + 1, CELL_STEPS), np.bool_)
    grid[cells[:, 0] - first, cells[:, 1]] = True
    return {"column": first, "cells": b64encode(np.packbits(grid).tobytes()).decode()}


def deltas(points: Sequence[tuple[int, float]]) -> dict[str, Any]:
    """Positions, ascending, with −log10 p, as a drawing tells them."""
    positions = np.array([position for position, _ in points], np.int64)
    return {
        "positions": np.diff(positions, prepend=0).tolist(),
        "strengths": [round(100 * strength) for _, strength in points],
    }


def _rounded(inflation: float | None) -> float | None:
    return None if inflation is None else round(inflation, 4)


def summarise(folder: Path, *, trait: str | None = None) -> Summary:
    """Summarise the table of a result folder, or its lines of one trait."""
    found = gather(folder, trait)
    top_lines = lines_of(found.top.lines)
    top = tuple(top_lines[at] for at in np.argsort(-found.top.strength, kind="stable").tolist())
    whole = found.histogram.sum(axis=0)
    return Summary(
        lines=found.lines,
        tested=int(whole.sum()),
        contigs=found.contigs,
        cell_bases=found.cell_bases,
        cells={name: np.column_stack(np.divmod(np.flatnonzero(grid), CELL_STEPS)) for name, grid in found.grids.items()},
        top=top,
        loci=_loci(top),
        quantiles=_quantiles(whole, top, _QUANTILES),
        inflation=_inflation(whole),
        strata=_strata(found, top),
    )


def lines_of(table: pa.Table) -> list[Top]:
    """Lines of a result table as such; what it has no column of, or no number for, is None."""
    known = set(table.schema.names)
    columns = []
    for name in COLUMNS:
        values = table.column(name).to_pylist() if name in known else [None] * table.num_rows
        columns.append([None if value != value else value for value in values])  # noqa: PLR0124 (NaN is not itself)
    return [Top(*line) for line in zip(*columns, strict=True)]


def summary_of(folder: Path) -> Summary:
    """The summary that a folder keeps of its whole table; made and kept if it keeps none of this table."""
    try:
        document = orjson.loads((folder / KEPT).read_bytes())
        if document["form"] == _KEPT_FORM and document["table"] == _stamp(folder):
            return _read(document)
    except (OSError, ValueError, KeyError, TypeError):
        pass  # none, or one that another version or a full disk left: it is made again
    return keep_summary(folder, summarise(folder))


def keep_summary(folder: Path, summary: Summary) -> Summary:
    """Keep the summary of a folder's whole table beside it, and give it back; a folder that cannot be written keeps none."""
    document = {
        "form": _KEPT_FORM,
        "table": _stamp(folder),
        "lines": summary.lines,
        "tested": summary.tested,
        "contigs": summary.contigs,
        "cellBases": summary.cell_bases,
        "cells": {name: bitmap(cells) for name, cells in summary.cells.items()},
        "top": [tuple(one) for one in summary.top],
        "loci": [tuple(one) for one in summary.loci],
        "quantiles": summary.quantiles.tolist(),
        "lambda": summary.inflation,
        "strata": [{**one._asdict(), "quantiles": one.quantiles.tolist()} for one in summary.strata],
    }
    part = folder / f".{KEPT}.part"
    try:
        part.write_bytes(orjson.dumps(document))
        part.replace(folder / KEPT)
    except OSError:
        part.unlink(missing_ok=True)
    return summary


def _stamp(folder: Path) -> list[int]:
    """What changes with a table."""
    about = (folder / TABLE).stat()
    return [about.st_size, about.st_mtime_ns]


def _read(document: Mapping[str, Any]) -> Summary:
    return Summary(
        lines=document["lines"],
        tested=document["tested"],
        contigs={name: (low, high) for name, (low, high) in document["contigs"].items()},
        cell_bases=document["cellBases"],
        cells={name: _cells(told) for name, told in document["cells"].items()},
        top=tuple(Top(*one) for one in document["top"]),
        loci=tuple(Top(*one) for one in document["loci"]),
        quantiles=np.array(document["quantiles"], np.float64).reshape(-1, 2),
        inflation=document["lambda"],
        strata=tuple(
            Stratum(**{**one, "quantiles": np.array(one["quantiles"], np.float64).reshape(-1, 2)}) for one in document["strata"]
        ),
    )


def _cells(told: Mapping[str, Any]) -> IntArray:
    """The cells of a `bitmap`."""
    grid = np.unpackbits(np.frombuffer(b64decode(told["cells"]), np.uint8)).reshape(-1, CELL_STEPS)
    return np.asarray(np.argwhere(grid) + np.array([told["column"], 0]), np.int64)


def _strata(found: Gathering, top: Sequence[Top]) -> tuple[Stratum, ...]:
    if not found.frequencies:
        return ()
    frequency = np.array([np.nan if one.effect_allele_frequency is None else one.effect_allele_frequency for one in top])
    place = stratum_of(frequency).tolist()
    edges = (0.0, *MAF_EDGES, 0.5)
    return tuple(
        Stratum(
            edges[number],
            edges[number + 1],
            int(histogram.sum()),
            _inflation(histogram),
            _quantiles(histogram, [one for one, at in zip(top, place, strict=True) if at == number], _QUANTILES_OF_STRATUM),
        )
        for number, histogram in enumerate(found.histogram[:-1])
    )


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


def _quantiles(histogram: IntArray, top: Sequence[Top], most: int) -> FloatArray:
    """Expected and observed −log10 p, thinned: the strongest exactly, the others evenly in expectation."""
    tested = int(histogram.sum())
    if not tested:
        return np.empty((0, 2))
    exact = np.array([one.neg_log10_p for one in top[:most]])
    points = [np.column_stack([-np.log10((np.arange(len(exact)) + 0.5) / tested), exact])]
    if tested > len(exact):
        above = _upper(histogram)
        expected = np.linspace(0, -np.log10((len(exact) + 0.5) / tested), most)
        ranks = 10.0**-expected * tested  # so many are at least as strong
        steps = len(above) - np.searchsorted(above[::-1], ranks, side="left") - 1
        points.append(np.column_stack([expected, np.maximum(steps, 0) * HISTOGRAM_STEP])[::-1])
    return np.concatenate(points)


def _inflation(histogram: IntArray) -> float | None:
    tested = int(histogram.sum())
    if not tested:
        return None
    below = histogram.cumsum()
    step = int(np.searchsorted(below, tested / 2))
    before = int(below[step - 1]) if step else 0
    inside = (tested / 2 - before) / max(1, int(histogram[step]))
    median = (step + inside) * HISTOGRAM_STEP
    # χ² of one degree of freedom is a squared normal; scipy would take as long to import as the table takes to read.
    return NormalDist().inv_cdf(max(10.0**-median / 2, _SMALL)) ** 2 / _CHI2_MEDIAN
