"""Checks what a node answered, and merges the answers of many (pure).

A node is believed about its own people only: its answer must be about the question, name its own datasets, and hold
figures that can be true. Anything else raises `BadInput`, which makes the member `faulty`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

from cohelix.core.errors import BadInput, BadQuestion
from cohelix.core.genome import Region, plain_contig
from cohelix.core.variant import VariantKey, trim
from cohelix.wire.federation import (
    DatasetState,
    DatasetVariant,
    Member,
    NodeDatasets,
    NodeRegionState,
    RegionAnswer,
    RegionVariant,
    Road,
)
from cohelix.wire.frequency import (
    DatasetFrequency,
    NodeFrequency,
    NodeRegion,
    PooledCounts,
    PopulationCounts,
)

_TEXT_MAX = 500
_NAME_MAX = 1_000_000  # alleles may be of any length
_NAME = re.compile(r"(?P<contig>[A-Za-z0-9_.*:-]{1,80}?)-(?P<position>\d{1,10})-(?P<ref>[^-]+)-(?P<alt>.+)", re.DOTALL)
_DATASETS_MAX, _ROWS_MAX = 1000, 2000
_COUNT_MAX = 2**53  # beyond it JSON numbers are not exact


def checked_frequency(member: Member, answer: NodeFrequency) -> NodeFrequency:
    """The node's answer, if it can be true: own datasets, once each, and counts within their bounds."""
    check_node(member, answer.node)
    check_datasets(member, [dataset.id for dataset in answer.datasets])
    for dataset in answer.datasets:
        check_text(dataset.reason)
        _check_rows(dataset.populations, answered=dataset.status == "answered")
    _check_pooled(answer)
    return answer


def checked_region(member: Member, answer: NodeRegion, region: Region, *, limit: int, after: VariantKey | None) -> NodeRegion:
    """The node's page of a region, if it can be true: as for a frequency, in order, after `after`, at most `limit`."""
    check_node(member, answer.node)
    check_datasets(member, [dataset.id for dataset in answer.datasets])
    distinct = set()
    for dataset in answer.datasets:
        check_text(dataset.reason)
        if dataset.variants and dataset.status != "answered":
            raise BadInput("a dataset that did not answer has variants")
        before = _order(after) if after else None
        for variant in dataset.variants:
            _check_rows(variant.populations, answered=True)
            key = variant_of_name(variant.variant)
            if key.contig != region.contig or key.position >= region.end:
                raise BadInput("a variant is not of the region")
            place = _order(key)
            if before is not None and place <= before:
                raise BadInput("its variants are not in order")
            before = place
            distinct.add(place)
    if len(distinct) > limit:
        raise BadInput("more variants than were asked for")
    return answer


def checked_datasets(member: Member, answer: NodeDatasets) -> NodeDatasets:
    """The node's own description, if its datasets are its own."""
    check_node(member, answer.node)
    check_datasets(member, [record.id for record in answer.datasets])
    for record in answer.datasets:
        for text in (record.title, record.open_release_note, *record.populations, *record.measurements, *record.contigs):
            check_text(text)
    check_text(answer.name)
    return answer


def pool(answers: Iterable[tuple[Member, NodeFrequency]]) -> PooledCounts:
    """Sums over the nodes' own sums, in which each person counts once; all None where no dataset answered."""
    summed = [(member, answer.pooled) for member, answer in answers if answer.pooled is not None]
    return _sum(
        [counts for _, counts in summed if counts is not None],
        nodes=tuple(sorted(member.id for member, _ in summed)),
        may_overlap=any(member.may_overlap or (counts is not None and counts.may_overlap) for member, counts in summed),
    )


def merge_region(
    region: str,
    assembly: str,
    pages: Sequence[tuple[Member, Road, NodeRegion | None]],
    *,
    limit: int,
) -> RegionAnswer:
    """One page out of the nodes' pages: variants in order, up to where every node that has more has told all.

    Parameters
    ----------
    pages
        Every member's result; the page is None unless the road's status is `answered`.
    limit
        Most variants on the merged page.
    """
    found: dict[tuple[int, str, str], list[tuple[Member, DatasetVariant]]] = {}
    names: dict[tuple[int, str, str], str] = {}
    horizon: tuple[int, str, str] | None = None
    for member, _, page in pages:
        last: tuple[int, str, str] | None = None
        for dataset in page.datasets if page else ():
            for variant in dataset.variants:
                key = variant_of_name(variant.variant)
                place = _order(key)
                names[place] = str(key)
                entry = DatasetVariant(node=member.id, id=dataset.id, populations=variant.populations)
                found.setdefault(place, []).append((member, entry))
                last = place if last is None else max(last, place)
        if page and page.more and last is not None:
            horizon = last if horizon is None else min(horizon, last)
    places = sorted(place for place in found if horizon is None or place <= horizon)
    shown = places[:limit]
    more = len(places) > limit or horizon is not None
    return RegionAnswer(
        region=region,
        assembly=assembly,
        variants=tuple(_region_variant(names[place], found[place]) for place in shown),
        nodes=tuple(_region_state(road, page) for _, road, page in pages),
        next=names[shown[-1]] if more and shown else None,
    )


def _region_state(road: Road, page: NodeRegion | None) -> NodeRegionState:
    states = tuple(
        DatasetState(id=dataset.id, status=dataset.status, reason=dataset.reason) for dataset in (page.datasets if page else ())
    )
    return NodeRegionState(**road.model_dump(by_alias=False), datasets=states)


def _region_variant(name: str, entries: list[tuple[Member, DatasetVariant]]) -> RegionVariant:
    entries = sorted(entries, key=lambda entry: (entry[0].id, entry[1].id))
    nodes = [member.id for member, _ in entries]
    pooled = None
    if len(set(nodes)) == len(nodes):
        totals = [_counts_of(dataset.populations[0]) for _, dataset in entries]
        pooled = _sum(totals, nodes=tuple(nodes), may_overlap=any(member.may_overlap for member, _ in entries))
    return RegionVariant(variant=name, pooled=pooled, datasets=tuple(dataset for _, dataset in entries))


def _counts_of(row: PopulationCounts) -> PooledCounts:
    return PooledCounts(
        allele_count=row.allele_count,
        allele_number=row.allele_number,
        allele_frequency=row.allele_frequency,
        homozygotes=row.homozygotes,
    )


def _sum(parts: Sequence[PooledCounts], *, nodes: tuple[str, ...], may_overlap: bool) -> PooledCounts:
    count, number = _total([part.allele_count for part in parts]), _total([part.allele_number for part in parts])
    return PooledCounts(
        allele_count=count,
        allele_number=number,
        allele_frequency=count / number if count is not None and number else None,
        homozygotes=_total([part.homozygotes for part in parts]),
        nodes=nodes,
        may_overlap=may_overlap,
    )


def _total(numbers: Sequence[int | None]) -> int | None:
    """The sum; None where there is nothing to sum or one number is withheld: a sum of the rest would be no sum."""
    told = [number for number in numbers if number is not None]
    return sum(told) if told and len(told) == len(numbers) else None


def check_node(member: Member, node: str) -> None:
    """Refuse an answer that speaks for another member."""
    if node != member.id:
        raise BadInput("it speaks for another member")


def check_datasets(member: Member, ids: Sequence[str]) -> None:
    """Refuse datasets that are not the member's own, or come twice."""
    if len(ids) > _DATASETS_MAX:
        raise BadInput("too many datasets")
    if len(set(ids)) != len(ids):
        raise BadInput("a dataset is named twice")
    for name in ids:
        check_text(name)
        if not name.startswith(f"{member.id}:") or len(name) == len(member.id) + 1:
            raise BadInput("a dataset is not its own")


def check_text(text: str | None) -> None:
    """Refuse a text that no page could show."""
    if text is not None and (len(text) > _TEXT_MAX or not text.isprintable()):
        raise BadInput("a text is too long or not printable")


def _check_rows(rows: Sequence[PopulationCounts], *, answered: bool) -> None:
    if not answered:
        if any(row.allele_count is not None or row.allele_number is not None for row in rows):
            raise BadInput("a dataset that did not answer has counts")
        return
    if not rows or (rows[0].population, rows[0].sex) != ("all", "all"):
        raise BadInput("the total row is missing")
    if len(rows) > _ROWS_MAX or len({(row.population, row.sex) for row in rows}) != len(rows):
        raise BadInput("too many rows, or one twice")
    total = rows[0]
    if total.allele_count is None or total.allele_number is None:
        raise BadInput("an answered dataset withholds its total")
    for row in rows:
        check_text(row.population)
        _check_counts(row)
        if (row.allele_count or 0) > total.allele_count or (row.allele_number or 0) > total.allele_number:
            raise BadInput("a group counts more than the whole")


def _check_counts(row: PopulationCounts) -> None:
    count, number = row.allele_count, row.allele_number
    told = [row.homozygotes, row.heterozygotes, row.hemizygotes]
    if (count is None) != (number is None):
        raise BadInput("a count is told without its number")
    if any(value is not None and not 0 <= value <= _COUNT_MAX for value in (count, number, *told)):
        raise BadInput("a count is negative or too large")
    if count is None or number is None:
        if any(value is not None for value in (*told, row.allele_frequency)):
            raise BadInput("a withheld row tells a part of itself")
        return
    carried = 2 * (row.homozygotes or 0) + (row.heterozygotes or 0) + (row.hemizygotes or 0)
    if count > number or carried > count:
        raise BadInput("counts contradict each other")
    _check_ratio(count, number, row.allele_frequency)


def _check_ratio(count: int, number: int, frequency: float | None) -> None:
    if (frequency is None) != (number == 0):
        raise BadInput("a frequency is missing or out of place")
    if frequency is not None and not math.isclose(frequency, count / number, rel_tol=1e-6, abs_tol=1e-9):
        raise BadInput("a frequency is not its counts' ratio")


def _check_pooled(answer: NodeFrequency) -> None:
    """A node's own sum counts each person once, so it is at most the sum of its datasets."""
    answered = [dataset for dataset in answer.datasets if dataset.status == "answered"]
    pooled = answer.pooled
    if (pooled is None) != (not answered):
        raise BadInput("its sum is missing or out of place")
    if pooled is None:
        return
    count, number, homozygotes = pooled.allele_count, pooled.allele_number, pooled.homozygotes
    if count is None or number is None or not 0 <= count <= number:
        raise BadInput("its sum contradicts itself")
    if count > _column(answered, "allele_count") or number > _column(answered, "allele_number"):
        raise BadInput("its sum is greater than the sum of its datasets")
    if homozygotes is not None and not 0 <= 2 * homozygotes <= count:
        raise BadInput("its sum contradicts itself")
    _check_ratio(count, number, pooled.allele_frequency)


def _column(answered: Sequence[DatasetFrequency], name: str) -> int:
    return sum(getattr(dataset.populations[0], name) or 0 for dataset in answered)


def variant_of_name(text: str) -> VariantKey:
    """A variant's key from its name in an answer; takes symbolic alleles too, which people do not type.

    Raises
    ------
    BadQuestion
        If it is not a variant's name.
    """
    found = _NAME.fullmatch(text) if len(text) <= _NAME_MAX and text.isprintable() else None
    if found is None:
        raise BadQuestion("a variant's name is not contig-position-ref-alt")
    start, ref, alt = trim(int(found["position"]) - 1, found["ref"], found["alt"])
    return VariantKey(plain_contig(found["contig"]), start, ref, alt)


def _order(key: VariantKey) -> tuple[int, str, str]:
    """How variants of one region are sorted everywhere: by position, then by alleles."""
    return key.position, key.ref, key.alt
