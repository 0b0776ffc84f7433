"""Individuals, biosamples, runs and analyses: records of open datasets, counts of people of floored ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

import orjson

from cohelix.bank.entries import EntryKind
from cohelix.bank.questions import Chosen, Criterion, PeopleQuery
from cohelix.bank.view import DatasetView
from cohelix.beacon.addresses import Address
from cohelix.beacon.desk import Desk, Plan, check_gene, local_id, silent, variant_queries
from cohelix.beacon.entry_types import EntryType
from cohelix.beacon.filters import ROW_FILTERS, of_entry, people_criteria, variant_filters
from cohelix.beacon.granularity import DatasetAnswer, result_sets_answer, returned
from cohelix.beacon.query import VariantAsk, parse_variants
from cohelix.core.errors import BadQuestion
from cohelix.wire.beacon import BeaconFilter, BeaconQuestion, Granularity
from cohelix.wire.frequency import DatasetStatus

KINDS: Final[Mapping[EntryType, EntryKind]] = {
    "individual": "individual",
    "biosample": "biosample",
    "run": "run",
    "analysis": "analysis",
}


def entries_plan(desk: Desk, question: BeaconQuestion, address: Address) -> Plan:
    """One entry type of people: who meets the filters and carries the variant, in each dataset."""
    kind = KINDS[address.entry]
    given = parse_variants(question.parameters)
    target = desk.target(address, given.datasets)
    ask = given
    if target.variant is not None:
        if not given.whole or given.assembly:
            raise BadQuestion("an address with a variant's id takes no other variant parameters")
        ask = target.variant
    filters = variant_filters(map(_of_people, (*target.filters, *of_entry(question.filters, address.entry))))
    ask = ask.with_members(filters.variants)
    check_gene(target.views, ask)
    views = target.views
    criteria = people_criteria(filters.people, [desk.words(view) for view in views])
    most: Granularity = "record" if any(view.levels.records for view in views) else "count"
    granularity = returned(question.granularity, address.default, most=most)

    def answer() -> dict[str, Any]:
        asked = [_query(view, target.chosen, each, ask) for view, each in zip(views, criteria, strict=True)]
        answers = [
            silent(view, *unanswered)
            if unanswered
            else desk.ask(view, partial(_answered, view, kind, query, question, granularity))
            for view, (query, unanswered) in zip(views, asked, strict=True)
        ]
        total: int | None = None
        if kind == "individual" and granularity != "boolean" and len(views) > 1:
            # A person of several datasets counts once.
            queries = {
                local_id(view.record.id): query
                for view, (query, _), said in zip(views, asked, answers, strict=True)
                if said.exists
            }
            total = desk.bank.count_people(queries).count if queries else 0
        meta = desk.meta(question, granularity, address, ask.echo)
        return result_sets_answer(meta, [*answers, *target.silent], granularity, question.include, total)

    return Plan(answer)


def _of_people(wanted: BeaconFilter) -> BeaconFilter:
    """`sexFilter` and `countryFilter` choose people here, whatever their scope: there are no rows of frequencies."""
    return replace(wanted, scope="individual") if wanted.scope == "population" or wanted.id in ROW_FILTERS else wanted


def _query(
    view: DatasetView, chosen: Chosen, criteria: tuple[Criterion, ...], ask: VariantAsk
) -> tuple[PeopleQuery, tuple[DatasetStatus, str] | None]:
    """The people meant, in the dataset's own coordinates, or why the dataset has no answer."""
    if ask.whole:
        return PeopleQuery(criteria, None, chosen), None
    queries, unanswered = variant_queries(view, ask)
    return PeopleQuery(criteria, queries[0] if queries else None, chosen), unanswered


def _answered(
    view: DatasetView,
    kind: EntryKind,
    query: PeopleQuery,
    question: BeaconQuestion,
    granularity: Granularity,
) -> DatasetAnswer:
    limit = question.limit if granularity == "record" else 0
    page = view.entries(kind, query, skip=question.first, limit=limit)
    if page.status != "answered":
        return silent(view, page.status, page.reason, floor=view.record.floors.people)
    return DatasetAnswer(
        view.record.id, "answered", None, page.total, [orjson.Fragment(document) for document in page.documents]
    )
