"""The pages of one application and of each of its datasets: where it is, what waits for whom, what happened."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from cohelix.access.caller import known_caller
from cohelix.core.errors import CohelixError, NotFound
from cohelix.portal import application_forms as forms
from cohelix.portal import application_views as views
from cohelix.portal import catalogue
from cohelix.portal.application_words import (
    INVESTIGATION_WORDS,
)
from cohelix.portal.loop import LoopPages, application_path, decides, plain_text, whole_number
from cohelix.portal.pages import redirect

TOLD: Final = 12
LINES: Final = 30
TASKS: Final = 30


class ApplicationPages(LoopPages):
    """One method a page; each form is one event."""

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
        before = whole_number(request.query_params["before"]) if "before" in request.query_params else None
        start = whole_number(request.query_params.get("from", "0"))
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
            desk_side=decides(state, acting),
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
            desk_side=decides(state, acting),
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

    async def words(self, request: Request) -> Response:
        """What somebody wrote with an event, whole, as plain text."""
        caller = known_caller(request)
        state, events = await self.desk.read(caller, request.path_params["application"])
        number = whole_number(request.path_params["number"])
        acting = await self.desk.acting(caller)
        whole, _ = views.told(events[:number], state, acting, before=None, most=1)
        if not whole or whole[0].number != number:
            raise NotFound("there is no such event, or it is not for you to read")
        return plain_text(views.event_text(events[number - 1]))

    async def form_text(self, request: Request) -> Response:
        """The form's long texts, whole, as plain text."""
        state, _ = await self.desk.read(known_caller(request), request.path_params["application"])
        return plain_text(f"{state.form.title}\n\n{state.form.summary}\n\nAnalysis plan\n\n{state.form.plan}\n")
