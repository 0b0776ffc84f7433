"""Pooled ranks from sums alone: histograms over all nodes, refined until no cell holds more than `rank_cell` people.

Values lie in [−√n, √n], since they have unit variance over everybody. They are put on a grid of 2^48 points, on which cells
are split again and again: only cells with too many people, each into a power of two of equal parts. Everyone in a cell has its
mid-rank; people on one grid point share theirs, as ties do. All edges follow from sums that are open to everybody. A
`rank_cell` of 1 tells the coordinator each value; greater ones tell as much as a histogram with cells of that size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import special

from cohelix.analysis.steps import AnyArray, Ask, Statistic, Summer
from cohelix.core.arrays import FloatArray, IntArray
from cohelix.core.errors import NotPermitted, ShapeMismatch

_GRID_BITS = 48
_FIRST_BITS = 10  # a cell is split into 2^10 parts at most
_MESSAGE_CELLS = 1 << 17  # counts of one sum: 1 MiB
SPLIT = (
    "split_trait",
    "split_low",
    "split_bits",
    "split_parts",
)  # cells of a round: trait, first point, log2 of size, of parts
VALUES = ("cell_trait", "cell_low", "cell_value")


@dataclass(frozen=True)
class Cells:
    """The cells of all traits that hold anybody, by trait and place.

    `trait`, `low` (cells,) int64: which trait, and the cell's first grid point; `value` (cells,) float64: the normal
    quantile of its people, scaled to mean 0 and unit variance over everybody; `sd` (traits,) float64: by what it was scaled.
    """

    trait: IntArray
    low: IntArray
    value: FloatArray
    sd: FloatArray

    def broadcast(self) -> dict[str, AnyArray]:
        """What nodes need to give their people the values."""
        return dict(zip(VALUES, (self.trait, self.low, self.value), strict=True))


def grid_points(values: FloatArray, n: int) -> IntArray:
    """Grid points of values of unit variance over `n` people; any shape, int64."""
    top = 1 << _GRID_BITS
    points = np.clip(np.floor((values / np.sqrt(n) + 1) * (top / 2)), 0, top - 1)
    return np.asarray(points, np.int64)


def normal_quantiles(ranks: FloatArray, n: int) -> FloatArray:
    """Φ⁻¹((r − 0.5)/n)."""
    return np.asarray(special.ndtri((ranks - 0.5) / n), np.float64)


def pooled_cells(summer: Summer, step: str, broadcast: Mapping[str, AnyArray], *, n: int, traits: int, rank_cell: int) -> Cells:
    """Refine the cells of all traits together.

    Parameters
    ----------
    step
        A local step that gives `cells` for the arrays `SPLIT` (`count_cells`), from the values that `broadcast` defines.
    rank_cell
        No cell holds more people in the end, except where their values are the same.

    Raises
    ------
    NotPermitted
        If one cell may hold everybody.
    """
    if rank_cell >= n:
        raise NotPermitted("a rank_cell of as many people as take part leaves no ranks")
    trait, low = np.arange(traits), np.zeros(traits, np.int64)
    bits, count = np.full(traits, _GRID_BITS), np.full(traits, n)
    done: list[tuple[IntArray, IntArray, IntArray]] = []
    while len(trait):
        full = (count > rank_cell) & (bits > 0)
        done.append((trait[~full], low[~full], count[~full]))
        trait, low, bits, count = trait[full], low[full], bits[full], count[full]
        parts = np.minimum(bits, _split_bits(count, rank_cell))
        found = [_split(summer, step, broadcast, (trait[cut], low[cut], bits[cut], parts[cut]), n) for cut in _messages(parts)]
        split = [np.concatenate(columns) for columns in zip(*found, strict=True)] if found else [trait] * 4
        held = split[3] > 0
        trait, low, bits, count = (column[held] for column in split)
    columns = [np.concatenate(parts) for parts in zip(*done, strict=True)]
    order = np.lexsort((columns[1], columns[0]))
    return _valued(*(column[order] for column in columns), n=n, traits=traits)


def count_cells(points: IntArray, broadcast: Mapping[str, AnyArray]) -> IntArray:
    """People in each part of the cells that are split; (Σ 2^parts,) int64.

    Parameters
    ----------
    points
        (people, traits) int64, the node's people on the grid, ascending in each column.
    """
    trait, low, bits, parts = (np.asarray(broadcast[name]) for name in SPLIT)
    most = max(_MESSAGE_CELLS, 1 << _FIRST_BITS)
    if ((parts < 0) | (parts > _FIRST_BITS)).any() or (1 << parts).sum() > most:
        raise ShapeMismatch("cells are split into more parts than one message has")
    counts = []
    for number in np.unique(trait):
        mine = trait == number
        edges = [
            start + (np.arange((1 << part) + 1) << (size - part))
            for start, size, part in zip(low[mine].tolist(), bits[mine].tolist(), parts[mine].tolist(), strict=True)
        ]
        places = np.searchsorted(points[:, number], np.concatenate(edges)) if edges else np.zeros(0, np.int64)
        inner = np.ones(len(places) - 1, np.bool_)
        inner[np.cumsum([len(one) for one in edges])[:-1] - 1] = False  # from one cell's end to the next one's start
        counts.append(np.diff(places)[inner])
    return np.concatenate(counts).astype(np.int64)


def cell_values(points: IntArray, broadcast: Mapping[str, AnyArray]) -> FloatArray:
    """The values of a node's people, (people, traits) float64, by the cells they are in."""
    trait, low, value = (np.asarray(broadcast[name]) for name in VALUES)
    starts = np.searchsorted(trait, np.arange(points.shape[1] + 1))
    values = np.empty(points.shape, np.float64)
    for number in range(points.shape[1]):
        cut = slice(starts[number], starts[number + 1])
        places = np.searchsorted(low[cut], points[:, number], side="right") - 1
        values[:, number] = value[cut][np.maximum(places, 0)]
    return values


def ranks_within(values: FloatArray) -> FloatArray:
    """Normal quantiles of the mid-ranks within each column, (people, traits) float64: the other estimator, of one node."""
    from scipy.stats import rankdata  # loaded where it is used: it takes longer than a node's start may

    people = len(values)
    return normal_quantiles(rankdata(values, axis=0), people) if people else np.zeros(values.shape)


def _split_bits(count: IntArray, rank_cell: int) -> IntArray:
    """Into 2 to the power of what each cell is split: finer where single people are sought, in fewer rounds."""
    more = 3 if rank_cell == 1 else 1
    wanted = np.ceil(np.log2(count / rank_cell)).astype(np.int64) + more
    return np.clip(wanted, 1, _FIRST_BITS)


def _messages(parts: IntArray) -> list[slice]:
    """Stretches of the cells whose parts fit into one sum."""
    cuts, start, total = [], 0, 0
    for place, size in enumerate((1 << parts).tolist()):
        if total and total + size > _MESSAGE_CELLS:
            cuts.append(slice(start, place))
            start, total = place, 0
        total += size
    return [*cuts, slice(start, len(parts))] if len(parts) else []


def _split(
    summer: Summer, step: str, broadcast: Mapping[str, AnyArray], cells: tuple[IntArray, IntArray, IntArray, IntArray], n: int
) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Trait, first point, size and people of each part of these cells."""
    trait, low, bits, parts = cells
    repeats = 1 << parts
    statistic = Statistic("cells", (int(repeats.sum()),), bound=n, integer=True)
    count = summer.sum(Ask(step, (statistic,), {**broadcast, **dict(zip(SPLIT, cells, strict=True))}))["cells"]
    which = np.repeat(np.arange(len(trait)), repeats)
    place = np.arange(len(which)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    size = bits[which] - parts[which]
    return trait[which], low[which] + (place << size), size, np.asarray(count, np.int64)


def _valued(trait: IntArray, low: IntArray, count: IntArray, *, n: int, traits: int) -> Cells:
    before = np.cumsum(count) - count - n * trait  # every trait has n people, and cells are in order
    value = normal_quantiles(before + (count + 1) / 2, n)
    mean = np.bincount(trait, weights=count * value, minlength=traits) / n
    value = value - mean[trait]
    sd = np.sqrt(np.bincount(trait, weights=count * value**2, minlength=traits) / n)
    return Cells(trait, low, value / sd[trait], sd)
