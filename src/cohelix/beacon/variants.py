"""Genomic variants: exact questions, which are most of all, and searches by place, gene, annotation, people and cohort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from cohelix.bank.answers import FoundVariant
from cohelix.bank.questions import Groups, PeopleQuery, exact_query
from cohelix.bank.view import NO_GROUPS, DatasetView
from cohelix.beacon.addresses import Address
from cohelix.beacon.desk import Desk, Plan, Target, check_gene, silent, variant_queries
from cohelix.beacon.filters import of_entry, people_criteria, variant_filters
from cohelix.beacon.granularity import DatasetAnswer, result_sets_answer, returned
from cohelix.beacon.query import VariantAsk, parse_variants
from cohelix.beacon.records import variant_record
from cohelix.core.errors import BadQuestion, Damaged
from cohelix.core.variant import VariantKey
from cohelix.wire.beacon import BeaconQuestion, Granularity
from cohelix.wire.frequency import DatasetStatus

# Call sets of one variant that a record shows; its people are listed in full at /g_variants/{id}/individuals.
_CASES_MAX = 100


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A question of variants: what was asked, how much of it is shown, and which rows of the frequencies.

    `with_cases` says whether carriers of germline variants are shown, too: of single variants, and of chosen people.
    """

    question: BeaconQuestion
    ask: VariantAsk
    granularity: Granularity
    groups: Groups
    with_cases: bool

    @property
    def shows_record(self) -> bool:
        """Whether the one record of an exact question is on the page."""
        return self.granularity == "record" and not self.question.first


def variants_plan(desk: Desk, question: BeaconQuestion, address: Address) -> Plan:
    """Variants of everybody, of one variant's id, or of the people whom the address and the filters choose."""
    given = parse_variants(question.parameters)
    target = desk.target(address, given.datasets)
    ask = given
    if target.variant is not None:
        if not given.whole or given.assembly:
            raise BadQuestion("an address with a variant's id takes no other variant parameters")
        ask = target.variant
    filters = variant_filters((*target.filters, *of_entry(question.filters, address.entry)))
    ask = ask.with_members(filters.variants)
    check_gene(target.views, ask)
    among = _among(desk, target, filters.people)
    granularity = returned(question.granularity, address.default)
    single = target.variant is not None
    wanted = _Wanted(question, ask, granularity, filters.groups, single or bool(among))
    key = ask.query.exact if ask.query and not among else None

    def answer() -> dict[str, Any]:
        if key is not None:
            answers = _exactly(desk, target.views, wanted, key)
        else:
            answers = [desk.ask(view, partial(_searched, view, wanted, among.get(view.record.id))) for view in target.views]
        meta = desk.meta(question, granularity, address, ask.echo)
        return result_sets_answer(meta, [*answers, *target.silent], granularity, question.include)

    return Plan(answer, quick=key is not None and not single)


def _among(desk: Desk, target: Target, filters: tuple[Any, ...]) -> Mapping[str, PeopleQuery]:
    """The people whose variants are meant, by dataset; empty where everybody's are."""
    anybody = target.chosen == PeopleQuery().chosen
    if anybody and not filters:
        return {}
    criteria = people_criteria(filters, [desk.words(view) for view in target.views])
    return {view.record.id: PeopleQuery(each, None, target.chosen) for view, each in zip(target.views, criteria, strict=True)}


def _exactly(desk: Desk, views: Sequence[DatasetView], wanted: _Wanted, key: VariantKey) -> list[DatasetAnswer]:
    """Every dataset's answer about one variant; those that have no record to show are done with at a glance."""
    seen: list[tuple[DatasetStatus, str] | None] = [None] * len(views)
    if wanted.groups == NO_GROUPS:
        with suppress(Damaged):  # each is asked by itself then
            assembly = wanted.ask.assembly
            seen = [view.glance(key, assembly) for view in views]
    answers = []
    for view, said in zip(views, seen, strict=True):
        if said is not None and said[0] != "answered":
            answers.append(silent(view, *said))
        elif said is not None and not wanted.shows_record:
            answers.append(DatasetAnswer(view.record.id, "answered", None, 1))
        else:
            answers.append(desk.ask(view, partial(_exact, view, wanted, key)))
    return answers


def _exact(view: DatasetView, wanted: _Wanted, key: VariantKey) -> DatasetAnswer:
    """One variant: first whether it is there to be told, which half of all questions ask in vain; then why not."""
    if wanted.groups == NO_GROUPS:
        page = view.exact(key, assembly=wanted.ask.assembly, with_item=wanted.shows_record)
    else:
        page = view.variants(
            exact_query(key), limit=int(wanted.shows_record), groups=wanted.groups, observed=True, assembly=wanted.ask.assembly
        )
    if page.total:
        return DatasetAnswer(view.record.id, "answered", None, 1, [_record(view, item, wanted, None) for item in page.items])
    if page.status != "answered":
        return silent(view, page.status, page.reason)
    said = view.frequency(key, wanted.groups)
    if said.status != "answered":
        return silent(view, said.status, said.reason)
    total = said.populations[0]
    details = {"alleleCount": total.allele_count, "alleleNumber": total.allele_number}
    return DatasetAnswer(view.record.id, "answered", None, 0, (), details)


def _searched(view: DatasetView, wanted: _Wanted, among: PeopleQuery | None) -> DatasetAnswer:
    """Range, bracket, gene, annotation, chosen people, or everything: the total of all contigs asked, and the page."""
    record, question = view.record, wanted.question
    queries, unanswered = variant_queries(view, wanted.ask)
    if unanswered:
        return silent(view, *unanswered)
    if among is not None and among.criteria and not view.levels.records:
        return silent(view, "refused", "a floored dataset does not tell which variants a part of its people have")
    total, items = 0, list[FoundVariant]()
    for query in queries:
        left = question.limit - len(items) if wanted.granularity == "record" else 0
        page = view.variants(
            query, skip=max(0, question.first - total), limit=left, groups=wanted.groups, observed=True, among=among
        )
        if page.status != "answered":
            return silent(view, page.status, page.reason)
        total += page.total
        items.extend(page.items)
        if wanted.granularity == "boolean" and total:
            break
    if not total and view.levels.genomic == "floored":
        return silent(view, "below_floor", "nothing there that reaches the floor")
    return DatasetAnswer(record.id, "answered", None, total, [_record(view, item, wanted, among) for item in items])


def _record(view: DatasetView, found: FoundVariant, wanted: _Wanted, among: PeopleQuery | None) -> dict[str, Any]:
    cases = view.case_level(found.row, among, limit=_CASES_MAX, germline=wanted.with_cases)
    return variant_record(found, view.annotations(found.row), cases, view.record)
