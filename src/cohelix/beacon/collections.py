"""Datasets and cohorts: the entry types that are answered as collections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cohelix.bank.questions import PeopleQuery
from cohelix.bank.view import DatasetView
from cohelix.beacon.addresses import Address
from cohelix.beacon.cohorts import SavedCohort
from cohelix.beacon.desk import Desk, Plan, local_id, need_no_filter
from cohelix.beacon.filters import people_criteria
from cohelix.beacon.granularity import collections_answer, returned
from cohelix.beacon.query import parse_variants
from cohelix.core.errors import BadQuestion, NotFound
from cohelix.wire.beacon import BeaconQuestion


def datasets_plan(desk: Desk, question: BeaconQuestion, address: Address) -> Plan:
    """The datasets, or one."""
    views = _views(desk, question, address)
    if address.root:
        views = desk.target(address, frozenset()).views
    return _plan(desk, question, address, [_showing(view) for view in views])


def cohorts_plan(desk: Desk, question: BeaconQuestion, address: Address) -> Plan:
    """The cohorts, or one: each dataset is a cohort of its own, and each saved query another."""
    views = _views(desk, question, address)
    asked = {view.record.id for view in views}
    cohorts: list[tuple[str, Callable[[], dict[str, Any]]]] = []
    for view in views:
        cohorts.append((view.record.id, _of_dataset(view)))
    for saved in desk.cohorts.read():
        identifier = f"{desk.bank.node}:{saved.id}"
        if identifier in asked or not any(view.record.id in asked for view in desk.cohort_views(saved)):
            continue
        cohorts.append((identifier, _of_saved(desk, saved, identifier)))
    if address.root:
        wanted = {address.identifier, f"{desk.bank.node}:{address.identifier}"}
        cohorts = [(identifier, show) for identifier, show in cohorts if identifier in wanted]
        if not cohorts:
            raise NotFound("there is no cohort of this id")
    return _plan(desk, question, address, [show for _, show in cohorts], quick=False)


def _plan(
    desk: Desk, question: BeaconQuestion, address: Address, shown: Sequence[Callable[[], dict[str, Any]]], *, quick: bool = True
) -> Plan:
    granularity = returned(question.granularity, address.default)

    def answer() -> dict[str, Any]:
        page = shown[question.first : question.first + question.limit] if granularity == "record" else ()
        meta = desk.meta(question, granularity, address)
        return collections_answer(meta, [show() for show in page], len(shown), granularity)

    return Plan(answer, quick)


def _views(desk: Desk, question: BeaconQuestion, address: Address) -> tuple[DatasetView, ...]:
    need_no_filter(question.filters, address.entry + "s")
    if address.root and question.parameters:
        raise BadQuestion(f"an address with a {address.entry}'s id takes no request parameters")
    ask = parse_variants(question.parameters)
    if not ask.whole or ask.assembly:
        raise BadQuestion(
            f"{address.entry}s are not searched by variant: ask /g_variants, whose result sets name their dataset"
        )
    return desk.views(ask.datasets)


def _showing(view: DatasetView) -> Callable[[], dict[str, Any]]:
    return lambda: _dataset(view)


def _dataset(view: DatasetView) -> dict[str, Any]:
    record = view.record
    return {
        "id": record.id,
        "name": record.title or record.id,
        "description": record.open_release_note or f"{record.disclosure} dataset on {record.assembly}",
        "version": f"{record.version}.{record.release}",
        "info": record.model_dump(mode="json", exclude={"id", "title", "measurements"}),
    }


def _of_dataset(view: DatasetView) -> Callable[[], dict[str, Any]]:
    def show() -> dict[str, Any]:
        record = view.record
        size = record.n_individuals
        return {
            "id": record.id,
            "name": record.title or record.id,
            "cohortType": "study-defined",
            **({} if size is None else {"cohortSize": size}),
            "info": {"datasets": [record.id], "disclosure": record.disclosure},
        }

    return show


def _of_saved(desk: Desk, saved: SavedCohort, identifier: str) -> Callable[[], dict[str, Any]]:
    def show() -> dict[str, Any]:
        views = desk.cohort_views(saved)
        info: dict[str, Any] = {
            "datasets": [view.record.id for view in views],
            "filters": [wanted.document() for wanted in saved.filters],
        }
        document: dict[str, Any] = {"id": identifier, "name": saved.name, "cohortType": "beacon-defined"}
        if saved.description:
            info["description"] = saved.description
        try:
            criteria = people_criteria(saved.filters, [desk.words(view) for view in views])
        except BadQuestion as error:
            info["status"], info["reason"] = "not_assessed", error.detail
        else:
            queries = {local_id(view.record.id): PeopleQuery(each) for view, each in zip(views, criteria, strict=True)}
            said = desk.bank.count_people(queries)
            if said.count is not None:
                document["cohortSize"] = said.count
            else:
                info["status"], info["reason"] = said.status, said.reason
        return {**document, "info": info}

    return show
