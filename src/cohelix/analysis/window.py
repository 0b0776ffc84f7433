"""A stretch of a result table from near: tiles that a plot draws as it is zoomed, and the strongest lines of a region.

Only the row groups that the file's own statistics place there are read, so the answer takes as long as the stretch is, and
not as the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cohelix.analysis.files import table_around
from cohelix.analysis.gathering import (
    CELL_STEPS,
    COLUMNS,
    HISTOGRAM_STEP,
    STEPS_A_CELL,
    Strongest,
    cells_of,
    contig_stretches,
    numbers,
)
from cohelix.analysis.summary import Top, bitmap, deltas, lines_of
from cohelix.core.arrays import FloatArray, IntArray
from cohelix.core.errors import BadQuestion
from cohelix.core.genome import Region

TILE_COLUMNS = 512
LEVEL_MOST = 22  # a tile of it is wider than any contig
_POINTS_MOST = 2_500  # lines of a tile that are drawn one by one
_STRONG_MOST = 1_000  # of more lines, those that no cell is high enough for
_PLACES = ("chromosome", "base_pair_location", "trait", "neg_log10_p")


class NearLines(NamedTuple):
    """The strongest lines of a region, strongest first, of how many lines and tests."""

    lines: int
    tested: int
    strongest: tuple[Top, ...]


def blocks_within(folder: Path, region: Region, columns: Sequence[str], trait: str | None = None) -> Iterator[pa.RecordBatch]:
    """The lines of a region, block by block in the table's order, of one trait if named."""
    for block in table_around(folder, region.contig, region.start + 1, region.end).blocks(columns):
        place = block.column("base_pair_location").to_numpy()
        chosen = (place > region.start) & (place <= region.end)
        here = np.zeros(block.num_rows, np.bool_)
        for contig, lines in contig_stretches(block):
            here[lines] = contig == region.contig
        chosen &= here
        if trait is not None and "trait" in block.schema.names:
            chosen &= np.asarray(pc.equal(block.column("trait"), trait).to_numpy(zero_copy_only=False), bool)
        if chosen.any():
            yield block.filter(pa.array(chosen))


def tile(folder: Path, contig: str, level: int, number: int, *, trait: str | None = None) -> dict[str, Any]:
    """What a browser draws of one tile: columns of 2^`level` bases, the tile's first at `number` × 512 of them.

    Of up to 2,500 tests each is told as itself; of more, cells as a `bitmap` and what is stronger than the highest.

    Raises
    ------
    BadQuestion
        If there are no such tiles.
    """
    width = TILE_COLUMNS << level if 0 <= level <= LEVEL_MOST else 0
    if not width or not 0 <= number * width < 1 << 40:
        raise BadQuestion(f"there is no tile {number} of level {level}: levels are from 0 to {LEVEL_MOST}")
    grid = np.zeros(TILE_COLUMNS * CELL_STEPS, np.bool_)
    first_column, tested = number * TILE_COLUMNS, 0
    points, strong = Strongest(_POINTS_MOST), Strongest(_STRONG_MOST)
    for block in blocks_within(folder, Region(contig, max(0, number * width - 1), (number + 1) * width - 1), _PLACES, trait):
        strength = numbers(block, "neg_log10_p")
        positions, strength = (
            block.column("base_pair_location").to_numpy()[np.isfinite(strength)],
            strength[np.isfinite(strength)],
        )
        tested += len(strength)
        steps = np.minimum(strength / HISTOGRAM_STEP, CELL_STEPS * STEPS_A_CELL).astype(np.int64)
        low = steps < CELL_STEPS * STEPS_A_CELL
        grid[cells_of(positions[low], steps[low], 1 << level) - first_column * CELL_STEPS] = True
        places = pa.table({"position": positions})
        points.add(strength, places)
        strong.add(np.where(low, np.nan, strength), places)
    kept = points if tested <= _POINTS_MOST else strong
    cells = np.column_stack(np.divmod(np.flatnonzero(grid), CELL_STEPS)) if kept is strong else np.empty((0, 2), np.int64)
    lines = kept.lines.column("position").to_pylist() if len(kept.strength) else []
    return {
        "contig": contig,
        "cellBases": 1 << level,
        "cellSteps": CELL_STEPS,
        "tested": tested,
        **bitmap(cells + np.array([first_column, 0])),
        **deltas(sorted(zip(lines, kept.strength.tolist(), strict=True))),
    }


def strongest_within(folder: Path, region: Region, most: int, *, trait: str | None = None) -> NearLines:
    """The strongest lines of a region."""
    found, lines, tested = Strongest(most), 0, 0
    for block in blocks_within(folder, region, COLUMNS, trait):
        strength = numbers(block, "neg_log10_p")
        lines, tested = lines + block.num_rows, tested + int(np.isfinite(strength).sum())
        found.add(strength, block)
    found.prune()
    told = lines_of(found.lines)
    return NearLines(lines, tested, tuple(told[at] for at in np.argsort(-found.strength, kind="stable").tolist()))


def lines_around(folder: Path, region: Region, *, trait: str | None = None) -> tuple[IntArray, FloatArray]:
    """1-based positions and −log10 p of the lines in a region, in the table's order, of one trait if named."""
    positions: list[IntArray] = [np.empty(0, np.int64)]
    strengths: list[FloatArray] = [np.empty(0)]
    for block in blocks_within(folder, region, _PLACES, trait):
        positions.append(block.column("base_pair_location").to_numpy().astype(np.int64))
        strengths.append(numbers(block, "neg_log10_p"))
    return np.concatenate(positions), np.concatenate(strengths)
