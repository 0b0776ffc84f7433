"""Federated answers arranged as the pages show them: members by name, rows without repetition, bars on one axis."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from math import sqrt

from cohelix.wire.dataset import DatasetRecord
from cohelix.wire.federation import Member, NodeRegionState, RegionAnswer, RegionVariant
from cohelix.wire.frequency import DatasetStatus, FrequencyAnswer, NodeAnswer, PooledCounts, PopulationCounts

_Z95 = 1.959963984540054  # of the normal distribution
_AXIS_ENDS = (0.001, 0.002, 0.004, 0.01, 0.02, 0.04, 0.06, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True, slots=True)
class Bar:
    """One line of the bar picture.

    Attributes
    ----------
    population
        As the dataset names it; None where the line is the whole dataset.
    share
        Length as per cent of the axis, 0 to 100; None where there is no frequency to draw.
    interval, interval_shares
        The 95 % interval of the frequency (Wilson's), as frequencies and as per cent of the axis; None without counts.
    status
        Why there is none: a dataset's status, `withheld`, `undefined` where no allele was called, or, with `dataset`
        empty, why the member is absent, or `waiting` while it is asked.
    """

    node: str
    dataset: str
    population: str | None
    frequency: float | None
    share: float | None
    status: str
    interval: tuple[float, float] | None = None
    interval_shares: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class DatasetPart:
    """What one dataset said, with what its record promises; `record` is None where the catalogue was not to be had."""

    id: str
    status: DatasetStatus
    reason: str | None
    rows: tuple[PopulationCounts, ...]
    record: DatasetRecord | None

    @property
    def withheld(self) -> bool:
        """Whether a number is missing from an answered row because it may not be told."""
        return any(None in (r.allele_count, r.homozygotes, r.heterozygotes, r.hemizygotes) for r in self.rows)


@dataclass(frozen=True, slots=True)
class MemberPart:
    """One member's line: how the road went, and its datasets."""

    answer: NodeAnswer
    name: str
    country: str
    datasets: tuple[DatasetPart, ...]
    waiting: bool = False  # still asked: then the answer says nothing yet


@dataclass(frozen=True, slots=True)
class FrequencyView:
    """A frequency answer for the eye.

    Attributes
    ----------
    parts
        Every member that was asked.
    bars
        A line a population (a dataset, where it has only one), in the members' order.
    ticks
        Frequencies at which the bars' common axis is labelled, beginning with 0; empty where nothing is drawn.
    hemizygotes
        Whether the column of hemizygotes says anything.
    """

    parts: tuple[MemberPart, ...]
    bars: tuple[Bar, ...]
    ticks: tuple[float, ...]
    hemizygotes: bool

    @property
    def answered(self) -> tuple[MemberPart, ...]:
        """Members whose answer arrived."""
        return tuple(part for part in self.parts if part.answer.status == "answered")

    @property
    def absent(self) -> tuple[MemberPart, ...]:
        """Members whose answer did not arrive, or could not be used."""
        return tuple(part for part in self.parts if part.answer.status != "answered" and not part.waiting)

    @property
    def waiting(self) -> tuple[MemberPart, ...]:
        """Members that are still asked."""
        return tuple(part for part in self.parts if part.waiting)

    @property
    def datasets(self) -> tuple[DatasetPart, ...]:
        """All datasets that said something."""
        return tuple(dataset for part in self.parts for dataset in part.datasets)


def frequency_view(
    answer: FrequencyAnswer,
    members: Iterable[Member],
    records: Mapping[str, DatasetRecord],
    waiting: Collection[str] = (),
) -> FrequencyView:
    """Arrange a frequency answer; `records` are by federation id, `waiting` are members that are still asked."""
    known = {member.id: member for member in members}
    nodes = sorted((*answer.nodes, *map(_still_asked, waiting)), key=lambda node: node.node)
    parts = tuple(_part(node, known.get(node.node), records, waiting=node.node in waiting) for node in nodes)
    lines = [line for part in parts for dataset in part.datasets for line in _bar_rows(part.answer.node, dataset)]
    absent = [part for part in parts if part.answer.status != "answered"]
    highest = max((end for *_, row in lines if row and (end := _highest(row)) is not None), default=None)
    end = next((end for end in _AXIS_ENDS if highest is not None and highest <= end), 1.0)
    bars = [_bar(node, dataset, population, row, end) for node, dataset, population, row in lines]
    bars += [Bar(p.answer.node, "", None, None, None, "waiting" if p.waiting else p.answer.status) for p in absent]
    ticks = () if highest is None else tuple(end * step / 4 for step in range(5))
    rows = [row for part in parts for dataset in part.datasets for row in dataset.rows]
    return FrequencyView(parts, tuple(sorted(bars, key=lambda bar: bar.node)), ticks, any(row.hemizygotes for row in rows))


def _still_asked(node: str) -> NodeAnswer:
    return NodeAnswer(node=node, status="late", elapsed_ms=0.0)


def _part(answer: NodeAnswer, member: Member | None, records: Mapping[str, DatasetRecord], *, waiting: bool) -> MemberPart:
    datasets = tuple(
        DatasetPart(d.id, d.status, d.reason, _without_repetition(d.populations), records.get(d.id)) for d in answer.datasets
    )
    name, country = (member.name, member.country) if member else ("", "")
    return MemberPart(answer, name, country, datasets, waiting)


def _without_repetition(rows: tuple[PopulationCounts, ...]) -> tuple[PopulationCounts, ...]:
    """A dataset of one population says everything twice, as a whole and as that population; keep the population."""
    named = {row.population for row in rows if row.population != "all"}
    if len(named) != 1:
        return rows
    own = tuple(row for row in rows if row.population in named)
    same = {_figures(row) for row in own} == {_figures(row) for row in rows if row.population == "all"}
    return own if same else rows


def _figures(row: PopulationCounts) -> tuple[str, int | None, int | None, int | None, int | None, int | None]:
    return row.sex, row.allele_count, row.allele_number, row.homozygotes, row.heterozygotes, row.hemizygotes


_Line = tuple[str, DatasetPart, str | None, PopulationCounts | None]


def _bar_rows(node: str, dataset: DatasetPart) -> list[_Line]:
    both_sexes = [row for row in dataset.rows if row.sex == "all"]
    populations = [row for row in both_sexes if row.population != "all"]
    if dataset.status != "answered" or not both_sexes:
        return [(node, dataset, None, None)]
    if not populations:
        return [(node, dataset, None, both_sexes[0])]
    return [(node, dataset, row.population, row) for row in populations]


def _bar(node: str, dataset: DatasetPart, population: str | None, row: PopulationCounts | None, end: float) -> Bar:
    if row is None or row.allele_frequency is None:
        missing = row is not None and row.allele_number == 0
        status = "undefined" if missing else dataset.status if row is None else "withheld"
        return Bar(node, dataset.id, population, None, None, status)
    told = _interval(row)
    shares = (100 * told[0] / end, 100 * told[1] / end) if told else None
    return Bar(node, dataset.id, population, row.allele_frequency, 100 * row.allele_frequency / end, "answered", told, shares)


def _highest(row: PopulationCounts) -> float | None:
    """The upper end of what is drawn of a row."""
    told = _interval(row)
    return told[1] if told else row.allele_frequency


def _interval(row: PopulationCounts) -> tuple[float, float] | None:
    return wilson(row.allele_count, row.allele_number) if row.allele_count is not None and row.allele_number else None


def wilson(copies: int, called: int) -> tuple[float, float]:
    """The 95 % score interval of a frequency; alleles count as drawn independently (Wilson 1927, J Am Stat Assoc 22:209)."""
    z2 = _Z95 * _Z95
    centre, width = copies + z2 / 2, _Z95 * sqrt(copies * (called - copies) / called + z2 / 4)
    return max(0.0, (centre - width) / (called + z2)), min(1.0, (centre + width) / (called + z2))


@dataclass(frozen=True, slots=True)
class RegionColumn:
    """A dataset's column of a region table; `status` says why it is empty, where it is."""

    id: str
    status: DatasetStatus
    reason: str | None
    record: DatasetRecord | None


@dataclass(frozen=True, slots=True)
class RegionLine:
    """A variant of a region: `totals` has the total row of each column's dataset, None where it does not tell of it."""

    variant: str
    pooled: PooledCounts | None
    totals: tuple[PopulationCounts | None, ...]


@dataclass(frozen=True, slots=True)
class RegionView:
    """A region answer for the eye."""

    columns: tuple[RegionColumn, ...]
    lines: tuple[RegionLine, ...]
    answered: tuple[NodeRegionState, ...]
    absent: tuple[NodeRegionState, ...]
    names: Mapping[str, str]

    @property
    def silent(self) -> tuple[RegionColumn, ...]:
        """Datasets that told nothing, with the reason."""
        return tuple(column for column in self.columns if column.status != "answered")


def region_view(answer: RegionAnswer, members: Iterable[Member], records: Mapping[str, DatasetRecord]) -> RegionView:
    """Arrange a region answer; `records` are by federation id."""
    columns = tuple(
        RegionColumn(dataset.id, dataset.status, dataset.reason, records.get(dataset.id))
        for node in answer.nodes
        for dataset in node.datasets
    )
    shown = [column.id for column in columns if column.status == "answered"]
    lines = tuple(_line(variant, shown) for variant in answer.variants)
    answered = tuple(node for node in answer.nodes if node.status == "answered")
    absent = tuple(node for node in answer.nodes if node.status != "answered")
    return RegionView(columns, lines, answered, absent, {member.id: member.name for member in members})


def _line(variant: RegionVariant, shown: list[str]) -> RegionLine:
    totals = {
        dataset.id: next((row for row in dataset.populations if (row.population, row.sex) == ("all", "all")), None)
        for dataset in variant.datasets
    }
    return RegionLine(variant.variant, variant.pooled, tuple(map(totals.get, shown)))
