"""The pages of desks: what waits for a duty, agreements to draw and sign, grants."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from cohelix.access.application_store import ApplicationLine
from cohelix.access.applications import LineStage, Stage
from cohelix.access.caller import known_caller
from cohelix.core.errors import Conflict, NotFound
from cohelix.portal import application_views as views
from cohelix.portal.loop import LoopPages, application_path, decides, plain_text
from cohelix.portal.pages import redirect

TASKS: Final = 30
READ_MOST: Final = 200  # applications that a desk looks into
AGREEMENT_SHOWN: Final = 10_000
DUTIES: Final = {
    "signing": "To sign for the organisation",
    "committee": "Before my committee",
    "national": "Before my country",
    "agreements": "Agreements",
    "appeals": "Appeals",
}
_GRANTS: Final = (LineStage.GRANTED, LineStage.SUSPENDED, LineStage.EXPIRED, LineStage.REVOKED)
_BEFORE_GRANTS: Final = (Stage.DRAFT, Stage.SIGNING, Stage.RETURNED)


class DeskPages(LoopPages):
    """One method a page; each form is one event."""

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
            passed=sum(task.alarm == "passed" for task in shown),
            soon=sum(task.alarm == "soon" for task in shown),
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
            desk_side=decides(state, acting),
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
        return plain_text(await self.desk.agreement(known_caller(request), identifier, sha256))
