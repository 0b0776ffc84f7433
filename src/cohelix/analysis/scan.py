"""One pass over the genotypes: what every single-variant test sums over nodes, and how people without a call are treated.

Each test has a table with a row for each person (the covariates' basis Q, residuals of traits, weights). Nodes sum counts of
genotypes and Σ g·T over people with a call. What people without a call add is asked only for variants that have such
people and pass the plan's filters: variants without gaps cost nothing more, and a second reading is avoided where most
variants have gaps. Two conventions:

`mean`          a missing dosage is the mean m over everybody who has one. All sums are affine in m, which follows from the
                counts, so Σ T over the people without a call suffices (REGENIE's convention; Mbatchou et al. 2021).
`complete-case` people without a call are left out of this variant's regression (plink2's convention).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from cohelix.analysis.basis import slack
from cohelix.analysis.data import LocalData
from cohelix.analysis.steps import AnyArray, Ask, Statistic, Summer, Sums, block_variants
from cohelix.core.arrays import BoolArray, FloatArray, IntArray
from cohelix.core.errors import ShapeMismatch

_STRETCH_NUMBERS = 1 << 23  # kept by the coordinator while it waits for the people without a call: 64 MiB
_STRETCH_BLOCKS = 64
_OFTEN = 0.4  # share of variants with gaps beyond which both kinds of sums are asked together


class Counts(NamedTuple):
    """People with dosage 0, 1 and 2 over all nodes, each (variants,) int64, and `n`, everybody."""

    n0: IntArray
    n1: IntArray
    n2: IntArray
    n: int

    @property
    def called(self) -> IntArray:
        """People with a call."""
        return self.n0 + self.n1 + self.n2

    @property
    def copies(self) -> IntArray:
        """Copies of ALT, as the plan codes haploid calls."""
        return self.n1 + 2 * self.n2

    @property
    def mean(self) -> FloatArray:
        """Mean dosage of the people with a call, 0 where there is nobody."""
        return np.asarray(self.copies / np.maximum(1, self.called), np.float64)

    @property
    def squares(self) -> IntArray:
        """Σ g² of the people with a call."""
        return self.n1 + 4 * self.n2

    def taken(self, chosen: AnyArray | slice) -> Counts:
        """The counts of some variants."""
        return Counts(self.n0[chosen], self.n1[chosen], self.n2[chosen], self.n)


class Column(NamedTuple):
    """A part of a test's table: its name among the sums, how many columns, and a bound on ‖T‖ of any of them.

    `squared` parts are summed against g² instead of g.
    """

    name: str
    width: int
    norm: float
    squared: bool = False

    def statistics(self, n: int) -> tuple[Statistic, Statistic]:
        """The sum over people with a call, and the one over people without: by Cauchy-Schwarz, as 0 ≤ g ≤ 2."""
        people, copies = np.sqrt(slack(n)), 4 if self.squared else 2
        bound = 1.001 * self.norm * people
        return Statistic(self.name, (self.width,), copies * bound), Statistic(f"missing_{self.name}", (self.width,), bound)


@dataclass(frozen=True)
class Scan:
    """A test's pass over the variants.

    Attributes
    ----------
    step
        Its local step; it gives what `scan_part` gives.
    broadcast
        What nodes need for their table.
    n
        How many people there are.
    columns
        The parts of its table.
    observed_step, observed
        Another step and its statistics that are asked for variants with gaps, instead of the sums of the table over
        people without a call.
    closing
        Whether nothing is asked afterwards that follows from its sums.
    """

    step: str
    broadcast: Mapping[str, AnyArray]
    n: int
    columns: Sequence[Column]
    observed_step: str = ""
    observed: tuple[Statistic, ...] = ()
    closing: bool = False

    def called_statistics(self) -> tuple[Statistic, ...]:
        """Counts, and sums over people with a call."""
        counts = tuple(Statistic(name, bound=self.n, integer=True) for name in ("n0", "n1", "n2"))
        return (*counts, *(column.statistics(self.n)[0] for column in self.columns))

    def missing_statistics(self) -> tuple[Statistic, ...]:
        """Sums over people without a call."""
        return self.observed or tuple(column.statistics(self.n)[1] for column in self.columns)

    def ask(self, rows: IntArray, *, called: bool = True, missing: bool = False) -> Ask:
        """One reading of some rows: of people with a call, of those without, or both."""
        together = (*self.called_statistics(), *self.missing_statistics())
        kinds = (
            (self.step, self.called_statistics()),
            (self.observed_step or self.step, self.missing_statistics()),
            (self.step, together),
        )
        step, statistics = kinds[2 if called and missing else 0 if called else 1]
        return Ask(step, statistics, self.broadcast, rows, closing=kinds if self.closing else None)


@dataclass(frozen=True)
class Scanned:
    """Opened sums of some variants: `rows` (variants,) in the list; `sums` and `missing` by name, (variants, width).

    `missing` is named without its prefix, and 0 where a variant has no gap.
    """

    rows: IntArray
    counts: Counts
    sums: Mapping[str, FloatArray]
    missing: Mapping[str, FloatArray] = field(default_factory=dict)

    def imputed(self, name: str) -> FloatArray:
        """Σ g̃·T where a missing dosage is the mean: (variants, width)."""
        return np.asarray(self.sums[name] + self.counts.mean[:, None] * self.missing[name], np.float64)

    def imputed_squared(self, name: str) -> FloatArray:
        """Σ g̃²·T where a missing dosage is the mean: (variants, width)."""
        return np.asarray(self.sums[name] + self.counts.mean[:, None] ** 2 * self.missing[name], np.float64)

    def imputed_squares(self) -> FloatArray:
        """Σ g̃² where a missing dosage is the mean: (variants,)."""
        counts = self.counts
        return np.asarray(counts.squares + counts.mean**2 * (counts.n - counts.called), np.float64)

    def taken(self, chosen: AnyArray | slice) -> Scanned:
        """Some of the variants."""
        return Scanned(
            self.rows[chosen],
            self.counts.taken(chosen),
            {name: array[chosen] for name, array in self.sums.items()},
            {name: array[chosen] for name, array in self.missing.items()},
        )

    def pieces(self, variants: int) -> Iterator[Scanned]:
        """The same in pieces of at most so many variants."""
        for start in range(0, len(self.rows), variants):
            yield self.taken(slice(start, start + variants))


class Table(NamedTuple):
    """Parts of a table side by side: (people, columns) float64, with the name and width of each part."""

    values: FloatArray
    parts: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, parts: Mapping[str, FloatArray]) -> Table:
        """The table of these parts, (people, width) each."""
        values = np.ascontiguousarray(np.column_stack(list(parts.values())), np.float64)
        return cls(values, tuple((name, part.shape[1]) for name, part in parts.items()))

    def split(self, sums: FloatArray) -> Iterator[tuple[str, FloatArray]]:
        """Name and sums of each part, from (variants, columns)."""
        at = 0
        for name, width in self.parts:
            yield name, sums[:, at : at + width]
            at += width


def scan_part(data: LocalData, rows: IntArray | None, table: Table, squared: Table | None = None) -> Sums:
    """What a node's step of a scan gives: counts, and for each part of the table its sums and `missing_` sums.

    `squared` holds the parts that are summed against g². Keep tables by `basis.derived`: they are the same for all blocks.
    """
    if rows is None:
        raise ShapeMismatch("a scan is over variants")
    found = data.genotypes.products(rows, table.values, None if squared is None else squared.values)
    sums: Sums = {"n0": found.n0, "n1": found.n1, "n2": found.n2}
    sums |= dict(table.split(found.products))
    sums |= {f"missing_{name}": part for name, part in table.split(found.missing)}
    if squared is not None:
        sums |= dict(squared.split(found.squares))
        sums |= {f"missing_{name}": part for name, part in squared.split(found.missing_squares)}
    return sums


def scan(summer: Summer, rows: IntArray, plan: Scan, keep: Callable[[Counts, IntArray], BoolArray]) -> Iterator[Scanned]:
    """Opened sums of all variants that `keep` wants, in the order of `rows`.

    Parameters
    ----------
    rows
        Ascending numbers in the list of variants.
    keep
        (counts, rows) of some variants → which of them are tested; it is called once for each variant, in order.
    """
    called, missing = plan.called_statistics(), plan.missing_statistics()
    block = block_variants(called)
    numbers = sum(int(np.prod(one.shape)) for one in called + missing)
    most = max(block, min(_STRETCH_BLOCKS * block, _STRETCH_NUMBERS // numbers // block * block))

    def begin(at: int, length: int, *, together: bool) -> _Stretch | None:
        some = rows[at : at + length]
        if not len(some):
            return None
        return _Stretch(some, at + len(some), together, summer.blocks(plan.ask(some, missing=together)))

    here = begin(0, block, together=False)  # the first block tells whether gaps are frequent
    while here is not None:
        following: list[_Stretch | None] = []

        def settled(gaps: int, stretch: _Stretch = here, following: list[_Stretch | None] = following) -> None:
            together = not plan.observed_step and gaps > _OFTEN * len(stretch.rows)
            following.append(begin(stretch.end, most, together=together))

        yield from (_read_together if here.together else _read_apart)(summer, here, plan, keep, settled)
        here = following[0]


class _Stretch(NamedTuple):
    """Rows whose sums are asked with one ask, where they end among all, and the sums, block by block."""

    rows: IntArray
    end: int
    together: bool
    blocks: Iterator[tuple[range, Sums]]


_Keep = Callable[[Counts, IntArray], BoolArray]
_Settled = Callable[[int], None]
"""Is told how many variants of a stretch have gaps, once nothing more is asked of it; it asks the next one. Of a closing pass
that is before the last lines are made: nodes compute meanwhile. Elsewhere whoever takes the parts may ask something itself."""


def _read_together(_summer: Summer, stretch: _Stretch, plan: Scan, keep: _Keep, settled: _Settled) -> Iterator[Scanned]:
    """Both kinds of sums in one reading, block by block."""
    gaps = 0
    for block, sums in stretch.blocks:
        counts, some = _counts(sums, plan.n), stretch.rows[block.start : block.stop]
        kept = keep(counts, some)
        gaps += int((kept & (counts.called < plan.n)).sum())
        found = Scanned(some, counts, _named(sums, plan.called_statistics()[3:]), _absent(sums, plan)).taken(kept)
        if plan.closing and block.stop == len(stretch.rows):
            settled(gaps)
        yield found
    if not plan.closing:
        settled(gaps)


def _read_apart(summer: Summer, stretch: _Stretch, plan: Scan, keep: _Keep, settled: _Settled) -> Iterator[Scanned]:
    """First the sums over people with a call; then, for wanted variants with gaps, those over people without."""
    held: list[tuple[Scanned, BoolArray]] = []
    for block, sums in stretch.blocks:
        counts, some = _counts(sums, plan.n), stretch.rows[block.start : block.stop]
        found = Scanned(some, counts, _named(sums, plan.called_statistics()[3:])).taken(keep(counts, some))
        held.append((found, found.counts.called < plan.n))
        if plan.closing and len(held) == 1 and not held[0][1].any():  # its lines need not wait for the other blocks
            held.clear()
            if block.stop == len(stretch.rows):
                settled(0)
            yield replace(found, missing=_nothing_absent(plan, len(found.rows)))
    if not held:
        return
    absent = _Absent(summer, np.concatenate([one.rows[gap] for one, gap in held]), plan)
    gaps = sum(int(gap.sum()) for _, gap in held)
    for number, (one, gap) in enumerate(held, 1):
        missing = absent.take(gap)
        if plan.closing and number == len(held):
            settled(gaps)
        yield replace(one, missing=missing)
    if not plan.closing:
        settled(gaps)


class _Absent:
    """The sums over people without a call, taken in order as they are opened; memory holds what is not taken yet."""

    def __init__(self, summer: Summer, rows: IntArray, plan: Scan) -> None:
        self._plan = plan
        self._blocks = summer.blocks(plan.ask(rows, called=False, missing=True)) if len(rows) else iter(())
        self._left = _nothing_absent(plan, 0)

    def take(self, gap: BoolArray) -> dict[str, FloatArray]:
        """Arrays for the next variants: zeros where `gap` is false."""
        count = int(gap.sum())
        while len(next(iter(self._left.values()))) < count:
            _, sums = next(self._blocks)
            more = _absent(sums, self._plan)
            self._left = {name: np.concatenate([array, more[name]]) for name, array in self._left.items()}
        taken = {}
        for name, array in self._left.items():
            spread = np.zeros((len(gap), *array.shape[1:]))
            spread[gap] = array[:count]
            taken[name] = spread
        self._left = {name: array[count:] for name, array in self._left.items()}
        return taken


def _nothing_absent(plan: Scan, variants: int) -> dict[str, FloatArray]:
    return _absent({one.name: np.zeros((variants, *one.shape)) for one in plan.missing_statistics()}, plan)


def _counts(sums: Sums, n: int) -> Counts:
    return Counts(sums["n0"], sums["n1"], sums["n2"], n)


def _named(sums: Sums, statistics: Sequence[Statistic]) -> dict[str, FloatArray]:
    return {one.name: sums[one.name] for one in statistics}


def _absent(sums: Sums, plan: Scan) -> dict[str, FloatArray]:
    return {one.name.removeprefix("missing_"): sums[one.name] for one in plan.missing_statistics()}
