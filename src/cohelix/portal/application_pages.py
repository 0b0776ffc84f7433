"""The pages of the governance loop: catalogue, basket, application, desks, agreement, grants; each form is one event."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response

from cohelix.access.application_store import ApplicationLine
from cohelix.access.applications import Acting, Application, LineStage, Stage
from cohelix.access.caller import Caller, known_caller
from cohelix.access.duo import Advice
from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import BadQuestion, CohelixError, Conflict, NotFound
from cohelix.portal import application_forms as forms
from cohelix.portal import application_views as views
from cohelix.portal import catalogue
from cohelix.portal.application_desk import ApplicationDesk, Catalogue
from cohelix.portal.application_words import (
    ADVICE_WORDS,
    CHECKLIST,
    INVESTIGATION_WORDS,
    LINE_WORDS,
    STAGE_WORDS,
    TYPE_WORDS,
)
from cohelix.portal.pages import redirect, render
from cohelix.web.forms import files_of
from cohelix.wire.applications import Form

TOLD: Final = 12
LINES: Final = 30
BASKET_LINES: Final = 15
TASKS: Final = 30
READ_MOST: Final = 200  # applications that a desk looks into
SUMMARY_SHOWN: Final = 2_000
AGREEMENT_SHOWN: Final = 10_000
DUTIES: Final = {
    "signing": "To sign for the organisation",
    "committee": "Before my committee",
    "national": "Before my country",
    "agreements": "Agreements",
    "appeals": "Appeals",
}
_GRANTS: Final = (LineStage.GRANTED, LineStage.SUSPENDED, LineStage.EXPIRED, LineStage.REVOKED)
_PLAIN: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
FormOf = Callable[[Request], Awaitable[dict[str, str]]]


def application_path(identifier: str, dataset: str = "", step: str = "") -> str:
    """The page of an application, of one of its datasets, or a step of it."""
    path = f"/applications/{quote(identifier, safe='')}"
    if dataset:
        return f"{path}/datasets/{quote(dataset, safe=':')}"
    return f"{path}/{step}" if step else path


@dataclass(frozen=True, slots=True)
class ApplicationPages:
    """One method a page; `form_of` reads a form of the caller's session."""

    desk: ApplicationDesk
    catalogue: Catalogue
    form_of: FormOf
    clock: Clock = field(default_factory=SystemClock)

    async def browse(self, request: Request) -> Response:
        """The catalogue, narrowed by facets, with advice where a purpose is stated."""
        given = dict(request.query_params)
        purpose = forms.purpose_fields(given)
        stated = forms.purpose_of(purpose)
        records = await self.catalogue.records()
        advise = (lambda one: self.catalogue.advise(one, stated)) if catalogue.said(stated) else None
        found, facets = catalogue.narrowed(catalogue.entries(records.values(), advise), given, given.get("words", "")[:200])
        start = _number(given.get("from", "0"))
        shown = found[start : start + catalogue.PAGE_DATASETS]
        kept = {name: value for name, value in given.items() if name != "from" and value}
        after = start + catalogue.PAGE_DATASETS
        return self._page(
            request,
            "catalogue.html",
            entries=shown,
            total=len(found),
            start=start,
            facets=facets,
            words=given.get("words", "")[:200],
            purpose=purpose,
            chosen=_chosen(purpose),
            stated=catalogue.said(stated),
            later=f"/catalogue?{urlencode({**kept, 'from': after})}" if after < len(found) else "",
            earlier=f"/catalogue?{urlencode({**kept, 'from': max(0, start - catalogue.PAGE_DATASETS)})}" if start else "",
            basket=await self._basket(known_caller(request)) if known_caller(request).actor.known else None,
        )

    async def fill_basket(self, request: Request) -> Response:
        """Put chosen datasets into the basket: the newest draft, or a new one with the purpose that was stated."""
        fields, caller = await self.form_of(request), known_caller(request)
        wanted = [name.removeprefix("pick:") for name, value in fields.items() if name.startswith("pick:") and value == "yes"]
        if not wanted:
            raise BadQuestion("no dataset was chosen: tick at least one, then put it into the basket")
        lines = catalogue.lines_of(catalogue.entries((await self.catalogue.records()).values()), wanted)
        basket = await self._basket(caller)
        if basket is None:
            form = {**forms.purpose_fields(fields), "lines": tuple(line.model_dump() for line in lines)}
            await self.desk.create(caller, form, fields.get("request") or None)
            return redirect("/basket")
        identifier, state = basket
        await self._edit(caller, identifier, state.form, forms.with_lines(state.form, lines), fields)
        return redirect("/basket")

    async def basket(self, request: Request) -> Response:
        """What is in the basket, by authority."""
        caller = known_caller(request)
        if not caller.actor.known:
            return redirect("/login?next=/basket")
        found = await self._basket(caller)
        if found is None:
            return self._page(request, "basket.html", id="", form=None, groups={}, advice={}, later_lines=None, begun=0)
        identifier, state = found
        return self._page(request, "basket.html", id=identifier, form=state.form, **await self._lines(request, state.form))

    async def empty_basket(self, request: Request) -> Response:
        """Take datasets out of the basket."""
        fields, caller = await self.form_of(request), known_caller(request)
        found = await self._basket(caller)
        if found is None:
            raise NotFound("the basket is empty")
        identifier, state = found
        lines = [line.model_dump() for line in state.form.lines if fields.get(f"remove:{line.dataset}") != "yes"]
        await self._edit(caller, identifier, state.form, {**state.form.model_dump(), "lines": lines}, fields)
        return redirect("/basket")

    async def mine(self, request: Request) -> Response:
        """The reader's applications."""
        caller = known_caller(request)
        if not caller.actor.known:
            return redirect("/login?next=/applications")
        acting, rules, now = await self.desk.acting(caller), self.desk.rules, self.clock.now()
        rows = []
        for line in [one for one in await self.desk.listed(caller) if one.applicant == acting.who][:TASKS]:
            state, _ = await self.desk.read(caller, line.id)
            rows.append({"line": line, "state": state, "waits": views.waits(state, acting, rules, now)[:3]})
        return self._page(request, "applications.html", rows=rows, moment=views.moment)

    async def begin(self, request: Request) -> Response:
        """A new application, empty or as a copy of another one."""
        fields, caller = await self.form_of(request), known_caller(request)
        form: Mapping[str, Any] = {}
        if fields.get("copy_of"):
            state, _ = await self.desk.read(caller, fields["copy_of"])
            form = forms.copied(state.form, fields["copy_of"])
        identifier = await self.desk.create(caller, form, fields.get("request") or None)
        return redirect(application_path(identifier, step="edit"))

    async def one(self, request: Request) -> Response:
        """An application: where it is, what waits for whom, and what happened."""
        if not known_caller(request).actor.known:
            return redirect("/login?next=/applications")
        return await self._one(request)

    async def _one(
        self, request: Request, fault: str = "", typed: Mapping[str, str] | None = None, status: int = 200
    ) -> Response:
        caller, identifier = known_caller(request), request.path_params["application"]
        state, events = await self.desk.read(caller, identifier)
        acting, rules, now = await self.desk.acting(caller), self.desk.rules, self.clock.now()
        before = _number(request.query_params["before"]) if "before" in request.query_params else None
        start = _number(request.query_params.get("from", "0"))
        shown, older = views.told(events, state, acting, before=before, most=TOLD)
        ends = views.line_ends(state, rules)
        kinds = ("edited", "signing-asked", "signed", "asked", "answered", "returned", "withdrawn")
        extra: dict[str, dict[str, Any]] = {"edited": {"form": state.form}}
        lines = [
            {"state": line, "end": views.last_day(ends[name], line.line.country) if name in ends else ""}
            for name, line in state.lines.items()
        ]
        return self._page(
            request,
            "application.html",
            HTTPStatus(status),
            id=identifier,
            state=state,
            mine=acting.who == state.applicant,
            desk_side=_decides(state, acting),
            waits=views.waits(state, acting, rules, now),
            lines=lines[start : start + LINES],
            more_lines=start + LINES if start + LINES < len(lines) else None,
            groups=catalogue.by_authority(state.form.lines[:LINES]),
            told=shown,
            older=older,
            can={kind: views.may(state, kind, acting, rules, now, **extra.get(kind, {})) for kind in kinds},
            delays=[
                name
                for name in sorted(acting.authorities)
                if views.may(state, "delayed", acting, rules, now, authority=name, until=now.date())
            ],
            earliest=views.earliest_delay(now),
            drawable=views.drawable(state, acting, rules, now),
            fault=fault,
            entered=typed or {},
            names=[views.name_of(one, acting.who) for one in state.form.members],
            investigations=[
                INVESTIGATION_WORDS[one] for one in sorted(forms.purpose_of(state.form.model_dump()).investigations)
            ],
        )

    async def dataset(self, request: Request) -> Response:
        """One dataset of an application: the committee's, the country's and the applicant's forms about it."""
        if not known_caller(request).actor.known:
            return redirect("/login?next=/applications")
        return await self._dataset(request, request.path_params["dataset"])

    async def _dataset(
        self, request: Request, name: str, fault: str = "", typed: Mapping[str, str] | None = None, status: int = 200
    ) -> Response:
        caller, identifier = known_caller(request), request.path_params["application"]
        state, events = await self.desk.read(caller, identifier)
        line = state.lines.get(name)
        if line is None:
            raise NotFound("the application is not for this dataset, or it was not handed in yet")
        acting, rules, now = await self.desk.acting(caller), self.desk.rules, self.clock.now()
        end = views.line_ends(state, rules).get(name)
        kinds = ("checked", "voted", "confirmed", "vetoed", "suspended", "revoked", "renewal-asked", "appealed")
        can = {one: views.may(state, one, acting, rules, now, dataset=name) for one in (*kinds, "appeal-dismissed")}
        refused = {
            decision: views.refusal(state, "proposed", acting, rules, now, dataset=name, decision=decision)
            for decision in ("approve", "deny")
        }
        proposed = line.proposed
        seconds = (
            views.refusal(state, "decided", acting, rules, now, dataset=name, decision=proposed.decision) if proposed else None
        )
        record = (await self.catalogue.records()).get(name)
        purpose = forms.purpose_of(state.form.model_dump())
        return self._page(
            request,
            "application_dataset.html",
            HTTPStatus(status),
            id=identifier,
            state=state,
            desk_side=_decides(state, acting),
            name=name,
            line=line,
            until=views.last_day(end, line.line.country) if end else "",
            left=views.left(end, now) if end else "",
            inside=views.insider(state, acting, name),
            opinions=views.opinions(events, name, line.since, acting.who),
            can=can,
            refused={one: str(why) if why else "" for one, why in refused.items()},
            seconds=str(seconds) if seconds else "",
            proposer=views.name_of(proposed.by, acting.who) if proposed and proposed.by else "",
            advice=self.catalogue.advise(record, purpose) if record else None,
            since=views.moment(line.since),
            grant_until=views.moment(line.until) if line.until else "",
            fault=fault,
            entered=typed or {},
        )

    async def happen(self, request: Request) -> Response:
        """Make happen what a form asks for; where it cannot, its page comes again with the reason and what was typed."""
        fields, caller = await self.form_of(request), known_caller(request)
        identifier, dataset = request.path_params["application"], fields.get("dataset", "")
        try:
            await self.desk.add(caller, identifier, forms.event_of(fields), fields.get("request") or None)
        except NotFound:
            raise
        except CohelixError as error:
            if dataset:
                return await self._dataset(request, dataset, error.detail, fields, error.status)
            return await self._one(request, error.detail, fields, error.status)
        if fields.get("back") == "agreement":
            return redirect(application_path(identifier, step=f"agreements/{quote(fields.get('sha256', ''), safe='')}"))
        return redirect(application_path(identifier, dataset))

    async def edit(self, request: Request) -> Response:
        """The application's form."""
        if not known_caller(request).actor.known:
            return redirect("/login?next=/applications")
        caller, identifier = known_caller(request), request.path_params["application"]
        state, _ = await self.desk.read(caller, identifier)
        return await self._edit_page(request, state, state.form, saved=request.query_params.get("saved") == "yes")

    async def save(self, request: Request) -> Response:
        """Keep the form; a script that saves while somebody types gets the page, whose advice it shows."""
        fields, caller = await self.form_of(request), known_caller(request)
        identifier = request.path_params["application"]
        state, _ = await self.desk.read(caller, identifier)
        try:
            form = forms.edited(state.form, fields, caller.actor.issuer)
            same = Form.model_validate(form) == state.form
            if not same and fields.get("version") != str(state.version):
                raise Conflict("the draft was changed in another window meanwhile: open it again, then type your changes")
            if not same:
                state = await self.desk.add(
                    caller, identifier, {"event": "edited", "form": form}, fields.get("request") or None
                )
        except (CohelixError, ValueError) as error:
            detail = error.detail if isinstance(error, CohelixError) else _first_fault(error)
            status = error.status if isinstance(error, CohelixError) else HTTPStatus.BAD_REQUEST
            return await self._edit_page(request, state, state.form, fault=detail, typed=fields, status=status)
        if request.headers.get("x-autosave"):
            return await self._edit_page(request, state, state.form, saved=True)
        if fields.get("then") == "sign":
            return await self._ask_signature(request, identifier)
        return redirect(f"{application_path(identifier, step='edit')}?saved=yes")

    async def _ask_signature(self, request: Request, identifier: str) -> Response:
        caller = known_caller(request)
        try:
            await self.desk.add(caller, identifier, {"event": "signing-asked"}, None)
        except Conflict as error:
            state, _ = await self.desk.read(caller, identifier)
            return await self._edit_page(
                request, state, state.form, fault=f"it is saved, but {error.detail}", status=error.status
            )
        return redirect(application_path(identifier))

    async def _edit_page(
        self,
        request: Request,
        state: Application,
        form: Form,
        *,
        saved: bool = False,
        fault: str = "",
        typed: Mapping[str, str] | None = None,
        status: int = 200,
    ) -> Response:
        caller = known_caller(request)
        if state.stage not in (Stage.DRAFT, Stage.RETURNED):
            return redirect(application_path(request.path_params["application"]))
        shown: dict[str, Any] = {
            **form.model_dump(),
            "members": forms.members_text(form.members, caller.actor.issuer),
            "diseases": "\n".join(form.diseases),
            "does": forms.chosen_investigations(form),
        }
        if typed:
            shown |= {name: typed.get(name, "") for name in ("title", "summary", "organisation", "plan", "members", "diseases")}
        return self._page(
            request,
            "application_edit.html",
            HTTPStatus(status),
            id=request.path_params["application"],
            state=state,
            form=form,
            shown=shown,
            saved=saved,
            saved_at=views.moment(self.clock.now()),
            fault=fault,
            now_version=state.version,
            **await self._lines(request, form),
        )

    async def attach(self, request: Request) -> Response:
        """Attach a file to the form."""
        await self.form_of(request)
        caller, identifier = known_caller(request), request.path_params["application"]
        try:
            found = [one for one in files_of(request) if one.name]
            if len(found) != 1:
                raise BadQuestion("choose one file, then attach it")
            await self.desk.attach(caller, identifier, found[0].name, found[0].content)
        except (BadQuestion, Conflict) as error:
            state, _ = await self.desk.read(caller, identifier)
            return await self._edit_page(request, state, state.form, fault=error.detail, status=error.status)
        return redirect(f"{application_path(identifier, step='edit')}?saved=yes")

    async def attachment(self, request: Request) -> Response:
        """An attached file, to be kept and never to be shown in the page's place."""
        name = request.path_params["name"]
        content, media_type = await self.desk.attachment(known_caller(request), request.path_params["application"], name)
        disposition = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
        return Response(content, media_type=media_type, headers={**_PLAIN, "Content-Disposition": disposition})

    async def words(self, request: Request) -> Response:
        """What somebody wrote with an event, whole, as plain text."""
        caller = known_caller(request)
        state, events = await self.desk.read(caller, request.path_params["application"])
        number = _number(request.path_params["number"])
        acting = await self.desk.acting(caller)
        whole, _ = views.told(events[:number], state, acting, before=None, most=1)
        if not whole or whole[0].number != number:
            raise NotFound("there is no such event, or it is not for you to read")
        return _text(views.event_text(events[number - 1]))

    async def form_text(self, request: Request) -> Response:
        """The form's long texts, whole, as plain text."""
        state, _ = await self.desk.read(known_caller(request), request.path_params["application"])
        return _text(f"{state.form.title}\n\n{state.form.summary}\n\nAnalysis plan\n\n{state.form.plan}\n")

    async def draw(self, request: Request) -> Response:
        """Draw the agreement on the datasets that wait for it."""
        await self.form_of(request)
        caller, identifier = known_caller(request), request.path_params["application"]
        state, _ = await self.desk.read(caller, identifier)
        acting = await self.desk.acting(caller)
        datasets = views.drawable(state, acting, self.desk.rules, self.clock.now())
        if not datasets:
            raise Conflict("no dataset waits for an agreement that you may draw")
        await self.desk.draw_agreement(caller, identifier, datasets)
        return redirect(application_path(identifier))

    async def agreement(self, request: Request) -> Response:
        """The agreement's text, its hash, who has signed, and the forms for whoever may."""
        if not known_caller(request).actor.known:
            return redirect("/login?next=/applications")
        caller, identifier = known_caller(request), request.path_params["application"]
        sha256 = request.path_params["sha256"]
        state, events = await self.desk.read(caller, identifier)
        agreement = state.agreements.get(sha256)
        if agreement is None:
            raise NotFound("there is no such agreement")
        acting, now = await self.desk.acting(caller), self.clock.now()
        signed = {
            event.side: views.moment(event.at)
            for event in events
            if event.event == "agreement-signed" and event.sha256 == sha256
        }
        return self._page(
            request,
            "agreement.html",
            id=identifier,
            state=state,
            desk_side=_decides(state, acting),
            sha256=sha256,
            agreement=agreement,
            signed=signed,
            text=await self.desk.agreement(caller, identifier, sha256),
            text_shown=AGREEMENT_SHOWN,
            sides=views.sides_to_sign(state, sha256, acting, self.desk.rules, now),
        )

    async def agreement_text(self, request: Request) -> Response:
        """The agreement's text, whole, byte for byte as it was hashed."""
        identifier, sha256 = request.path_params["application"], request.path_params["sha256"]
        return _text(await self.desk.agreement(known_caller(request), identifier, sha256))

    async def tasks(self, request: Request) -> Response:
        """What waits for the reader's duties: all of it, or one duty's desk."""
        caller, duty = known_caller(request), request.path_params.get("duty", "")
        if not caller.actor.known:
            return redirect("/login?next=/desk")
        if duty and duty not in DUTIES:
            raise NotFound("there is no such desk")
        acting, rules, now = await self.desk.acting(caller), self.desk.rules, self.clock.now()
        found: list[views.Task] = []
        active = (Stage.SIGNING, Stage.REVIEW, Stage.DECIDED)
        listed = [one for one in await self.desk.listed(caller) if one.stage in active]
        for one in listed[:READ_MOST]:
            state, _ = await self.desk.read(caller, one.id)
            found += views.tasks(one.id, state, acting, rules, now)
        counts = {name: sum(task.duty == name for task in found) for name in DUTIES}
        shown = sorted(
            (task for task in found if duty in ("", task.duty)),
            key=lambda task: (task.ends is None, task.ends.timestamp() if task.ends else 0.0, task.application, task.dataset),
        )
        return self._page(
            request,
            "desk.html",
            duty=duty,
            duties=DUTIES,
            counts=counts,
            tasks=shown[:TASKS],
            total=len(shown),
            acting=acting,
            more=max(0, len(listed) - READ_MOST),
        )

    async def grants(self, request: Request) -> Response:
        """Grants that the reader may see: the reader's own, and those that the reader may end."""
        caller = known_caller(request)
        if not caller.actor.known:
            return redirect("/login?next=/grants")
        acting, rows = await self.desk.acting(caller), []
        listed: list[ApplicationLine] = [one for one in await self.desk.listed(caller) if one.stage not in _BEFORE_GRANTS]
        for one in listed[:READ_MOST]:
            state, _ = await self.desk.read(caller, one.id)
            for name, line in state.lines.items():
                if line.stage in _GRANTS or line.visas:
                    until = views.moment(line.until) if line.until else ""
                    mine = acting.who == state.applicant or acting.who in state.form.members
                    rows.append({"id": one.id, "title": one.title, "dataset": name, "line": line, "until": until, "mine": mine})
        return self._page(request, "grants.html", rows=rows[: 2 * TASKS], total=len(rows))

    async def _basket(self, caller: Caller) -> tuple[str, Application] | None:
        """The newest draft of a person."""
        acting = await self.desk.acting(caller)
        for one in await self.desk.listed(caller):
            if one.stage is Stage.DRAFT and one.applicant == acting.who:
                state, _ = await self.desk.read(caller, one.id)
                return one.id, state
        return None

    async def _edit(
        self, caller: Caller, identifier: str, before: Form, form: Mapping[str, Any], fields: Mapping[str, str]
    ) -> None:
        if Form.model_validate(form) != before:
            await self.desk.add(caller, identifier, {"event": "edited", "form": form}, fields.get("request") or None)

    async def _lines(self, request: Request, form: Form) -> dict[str, Any]:
        """A page of a basket by authority, with the advice on each dataset whose record is known."""
        start = _number(request.query_params.get("from", "0"))
        ordered = [line for group in catalogue.by_authority(form.lines).values() for line in group]
        shown = ordered[start : start + BASKET_LINES]
        after = start + BASKET_LINES if start + BASKET_LINES < len(ordered) else None
        purpose, records = forms.purpose_of(form.model_dump()), await self.catalogue.records()
        advice = {
            line.dataset: self.catalogue.advise(records[line.dataset], purpose) for line in shown if line.dataset in records
        }
        titles = {line.dataset: records[line.dataset].title for line in shown if line.dataset in records}
        return {
            "groups": catalogue.by_authority(shown),
            "advice": advice,
            "titles": titles,
            "later_lines": after,
            "begun": start,
        }

    def _page(self, request: Request, template: str, status: HTTPStatus = HTTPStatus.OK, **values: Any) -> Response:
        return render(
            request,
            template,
            status,
            **{
                "application_path": application_path,
                "request_name": forms.request_name,
                "stage_words": STAGE_WORDS,
                "line_words": LINE_WORDS,
                "advice_words": ADVICE_WORDS,
                "investigation_words": INVESTIGATION_WORDS,
                "type_words": TYPE_WORDS,
                "checklist": CHECKLIST,
                "Advice": Advice,
                "summary_shown": SUMMARY_SHOWN,
                "rules": self.desk.rules,
                "form_key": known_caller(request).form_key,
                "titles": {},
                "desk_side": False,
                **values,
            },
        )


_BEFORE_GRANTS: Final = (Stage.DRAFT, Stage.SIGNING, Stage.RETURNED)


def _chosen(purpose: Mapping[str, Any]) -> frozenset[str]:
    return forms.chosen_investigations(Form(investigations=purpose["investigations"]))


def _decides(state: Application, acting: Acting) -> bool:
    """Whether the reader is on the other side of the desk."""
    return acting.who != state.applicant and acting.who not in state.form.members


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise BadQuestion("a place in a list is a number")
    return int(text)


def _first_fault(error: ValueError) -> str:
    """What a form's document is refused for, in a line."""
    faults = getattr(error, "errors", None)
    if faults is None:
        return "the form cannot be read"
    first = faults()[0]
    return f"{first['loc'][0] if first['loc'] else 'the form'}: {first['msg']}"


def _text(words: str) -> Response:
    return Response(words, media_type="text/plain; charset=utf-8", headers=_PLAIN)
