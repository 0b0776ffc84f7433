"""`/api/v1/applications…` and `/api/v1/catalogue…`: applying, deciding and reading, for people and their programs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final

import anyio.to_thread
from fastapi import APIRouter, Header
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cohelix.access.application_store import ApplicationLine
from cohelix.access.applications import Acting, Application, Rules, timers
from cohelix.access.caller import Caller, CallerOf
from cohelix.access.clauses import clause_text
from cohelix.access.duo import Match, Purpose, read_investigation
from cohelix.core.errors import BadQuestion, NotFound
from cohelix.federation.run_store import RunStore
from cohelix.hub.applications import Applications
from cohelix.hub.reports import five_safes
from cohelix.portal.application_desk import Catalogue
from cohelix.portal.application_views import insider
from cohelix.portal.application_words import INSIDE_EVENTS
from cohelix.portal.report_page import ReportOf
from cohelix.wire.application_documents import (
    AgreementDocument,
    ApplicationDocument,
    ApplicationLineDocument,
    ApplicationsDocument,
    CatalogueDocument,
    CatalogueLine,
    ClockDocument,
    EventsDocument,
    FindingDocument,
    LineDocument,
    PurposeAsked,
)
from cohelix.wire.applications import EVENTS, Form
from cohelix.wire.dataset import DatasetRecord
from cohelix.wire.frequency import Wire

_Key = Annotated[str | None, Header(alias="idempotency-key", max_length=64, description="Your own name for this request")]
_NOT_KEPT: Final = {"cache-control": "no-store"}


def catalogue_router(catalogue: Catalogue) -> APIRouter:
    """The catalogue, and what the data-use codes say of a purpose, before anybody applies; for everybody."""
    router = APIRouter(prefix="/api/v1/catalogue", tags=["applications"])

    @router.get("", response_model=CatalogueDocument, summary="The datasets that one may apply for, and their uses")
    async def listed() -> Response:
        records = await catalogue.records()
        return _answer(CatalogueDocument(datasets=tuple(_line(records[name]) for name in sorted(records))))

    @router.post("/advice", response_model=CatalogueDocument, summary="What the data-use codes say of a purpose")
    async def advise(asked: PurposeAsked) -> Response:
        purpose = Purpose(
            investigations=frozenset(read_investigation(name) for name in asked.investigations),
            **asked.model_dump(by_alias=False, exclude={"investigations", "datasets"}),
        )
        records = await catalogue.records()
        for name in asked.datasets:
            if name not in records:
                raise NotFound(f"no member tells of a dataset {name[:120]}")
        names = asked.datasets or sorted(records)
        found = (_line(records[name], catalogue.advise(records[name], purpose)) for name in names)
        return _answer(CatalogueDocument(datasets=tuple(found)))

    return router


def five_safes_of(desk: Applications, catalogue: Catalogue, runs: RunStore) -> ReportOf:
    """Makes the Five Safes of an application, for whoever may read it: the one way for programs and pages."""

    async def report_of(caller: Caller, application: str) -> Mapping[str, Any]:
        state, events = await desk.read(caller, application)
        records = await catalogue.records()
        return await anyio.to_thread.run_sync(lambda: five_safes(application, state, events, records=records, runs=runs))

    return report_of


def reports_router(report_of: ReportOf, caller_of: CallerOf) -> APIRouter:
    """The Five Safes of one application."""
    router = APIRouter(tags=["applications"])

    @router.get("/api/v1/applications/{application}/report", summary="The Five Safes of a project: people, project, data …")
    async def five(request: Request, application: str) -> Response:
        return JSONResponse(await report_of(await caller_of(request), application), headers=_NOT_KEPT)

    return router


def applications_router(desk: Applications, caller_of: CallerOf) -> APIRouter:
    """Applications, for people who have logged in."""
    router = APIRouter(prefix="/api/v1/applications", tags=["applications"])
    one = "/{application}"

    async def body_of(request: Request) -> dict[str, Any]:
        try:
            found = await request.json()
        except ValueError:
            raise BadQuestion("the body is not a JSON document") from None
        if not isinstance(found, dict):
            raise BadQuestion("the body is not a JSON object")
        return found

    async def told(caller: Caller, identifier: str) -> ApplicationDocument:
        state, _ = await desk.read(caller, identifier)
        return document_of(identifier, state, await desk.acting(caller), desk.rules, await desk.head(identifier))

    @router.get("", response_model=ApplicationsDocument, summary="The applications that you may read")
    async def listed(request: Request) -> Response:
        found = await desk.listed(await caller_of(request))
        return _answer(ApplicationsDocument(applications=tuple(_listed(line) for line in found)))

    @router.post("", response_model=ApplicationDocument, status_code=201, summary="Begin an application: {form: {...}}")
    async def create(request: Request, idempotency_key: _Key = None) -> Response:
        caller, body = await caller_of(request), await body_of(request)
        identifier = await desk.create(caller, _form(body.get("form", {})), idempotency_key)
        return _answer(await told(caller, identifier), 201)

    @router.get(one, response_model=ApplicationDocument, summary="One application: its form, its datasets and their clocks")
    async def read(request: Request, application: str) -> Response:
        return _answer(await told(await caller_of(request), application))

    @router.get(
        one + "/events",
        response_model=EventsDocument,
        summary="What happened to it; what a committee does among itself is told to those who decide",
    )
    async def events(request: Request, application: str) -> Response:
        caller = await caller_of(request)
        state, found = await desk.read(caller, application)
        acting = await desk.acting(caller)
        shown = (
            event
            for event in found
            if event.event not in INSIDE_EVENTS or insider(state, acting, str(getattr(event, "dataset", "")))
        )
        return _answer(EventsDocument(events=tuple(EVENTS.dump_python(event, mode="json") for event in shown)))

    @router.post(
        one + "/events", response_model=ApplicationDocument, summary="Make something happen: an event without time and person"
    )
    async def happen(request: Request, application: str, idempotency_key: _Key = None) -> Response:
        caller = await caller_of(request)
        state = await desk.add(caller, application, await body_of(request), idempotency_key)
        # Not read again: a chair who has heard an appeal may read it no more.
        head = await desk.head(application)
        return _answer(document_of(application, state, await desk.acting(caller), desk.rules, head))

    @router.put(one + "/form", response_model=ApplicationDocument, summary="Save the form of a draft")
    async def save(request: Request, application: str) -> Response:
        caller, form = await caller_of(request), _form(await body_of(request))
        await desk.add(caller, application, {"event": "edited", "form": form}, None)
        return _answer(await told(caller, application))

    @router.post(
        one + "/copy",
        response_model=ApplicationDocument,
        status_code=201,
        summary="Begin a new application with the form of this one",
    )
    async def copy(request: Request, application: str, idempotency_key: _Key = None) -> Response:
        caller = await caller_of(request)
        state, _ = await desk.read(caller, application)
        form = state.form.model_dump(mode="json") | {"copy_of": application, "attachments": {}}
        return _answer(await told(caller, await desk.create(caller, form, idempotency_key)), 201)

    @router.put(one + "/attachments/{name}", status_code=204, response_model=None, summary="Attach a file")
    async def attach(request: Request, application: str, name: str) -> Response:
        await desk.attach(await caller_of(request), application, name, await request.body())
        return Response(status_code=204)

    @router.get(one + "/attachments/{name}", response_class=Response, summary="An attached file")
    async def attachment(request: Request, application: str, name: str) -> Response:
        content, media_type = await desk.attachment(await caller_of(request), application, name)
        return Response(content, media_type=media_type, headers={"content-disposition": "attachment"})

    @router.post(
        one + "/agreements",
        response_model=ApplicationDocument,
        summary="Draw the agreement on confirmed datasets: {datasets: [...]}",
    )
    async def draw(request: Request, application: str) -> Response:
        caller, body = await caller_of(request), await body_of(request)
        datasets = body.get("datasets")
        if not isinstance(datasets, list) or not all(isinstance(name, str) for name in datasets):
            raise BadQuestion("datasets: a list of NODE:DATASET")
        await desk.draw_agreement(caller, application, datasets)
        return _answer(await told(caller, application))

    @router.get(one + "/agreements/{sha256}", response_class=Response, summary="The text of an agreement")
    async def agreement(request: Request, application: str, sha256: str) -> Response:
        text = await desk.agreement(await caller_of(request), application, sha256)
        return Response(text, media_type="text/plain; charset=utf-8")

    return router


def document_of(identifier: str, state: Application, acting: Acting, rules: Rules, head: str) -> ApplicationDocument:
    """An application as it is told to somebody: votes and proposals to those who decide about the dataset."""
    inside = {name for name in state.lines if insider(state, acting, name)}
    lines = (
        LineDocument(
            dataset=name,
            authority=line.line.authority,
            country=line.line.country,
            stage=line.stage.value,
            since=_time(line.since),
            votes=tuple(sorted(line.votes.values())) if name in inside else (),
            proposed=line.proposed.decision if line.proposed and name in inside else None,
            conditions=line.conditions,
            agreement=line.agreement,
            visas=line.visas,
            until=_time(line.until),
            running=_time(line.running),
        )
        for name, line in state.lines.items()
    )
    return ApplicationDocument(
        id=identifier,
        applicant=state.applicant,
        stage=state.stage.value,
        version=state.version,
        head=head,
        unanswered=state.unanswered,
        form=state.form,
        lines=tuple(lines),
        agreements=tuple(
            AgreementDocument(sha256=sha256, datasets=one.datasets, signed=tuple(sorted(one.sides)))
            for sha256, one in state.agreements.items()
        ),
        clocks=tuple(
            ClockDocument(at=one.at.isoformat(), event=one.event.event, dataset=getattr(one.event, "dataset", None))
            for one in timers(state, rules)
        ),
    )


def _form(given: object) -> dict[str, Any]:
    """A form that can be one; `BadQuestion` names the field that cannot."""
    try:
        return Form.model_validate(given).model_dump(mode="json")
    except ValidationError as error:
        place = ".".join(str(step) for step in error.errors()[0]["loc"])
        raise BadQuestion(f"form{'.' if place else ''}{place}: {error.errors()[0]['msg']}") from None


def _line(record: DatasetRecord, match: Match | None = None) -> CatalogueLine:
    advice: Mapping[str, Any] = {}
    if match is not None:
        findings = tuple(
            FindingDocument.model_validate({"clause": one.clause, "advice": one.advice.name.lower(), "reason": one.reason})
            for one in match.findings
        )
        advice = {"advice": match.advice.name.lower(), "findings": findings}
    return CatalogueLine(record=record, uses=tuple(clause_text(one) for one in record.duo), **advice)


def _listed(line: ApplicationLine) -> ApplicationLineDocument:
    return ApplicationLineDocument(
        id=line.id,
        title=line.title,
        applicant=line.applicant,
        stage=line.stage.value,
        version=line.version,
        changed_at=line.changed_at.isoformat(),
        due_at=_time(line.due_at),
    )


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _answer(document: Wire, status: int = 200) -> Response:
    return JSONResponse(document.model_dump(mode="json"), status, headers=_NOT_KEPT)
