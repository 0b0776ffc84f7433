"""The page of an operator: how a node or the hub is, in one look. The node's needs no script and has its own door."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from cohelix.access.caller import Caller, CallerOf, known_caller
from cohelix.core.errors import BadQuestion, CohelixError, NotPermitted
from cohelix.core.genome import Assembly
from cohelix.portal.code_door import CodeDoor
from cohelix.portal.pages import page_route, redirect, render
from cohelix.web import name_route, note_refusal
from cohelix.wire.operation import Operation

NODE_PAGE: Final = "/operate"
HUB_PAGE: Final = "/operate"
LEVEL_WORDS: Final = {"fault": "at fault", "warning": "to look at", "ok": "in order"}
STATE_WORDS: Final = {
    "published": "published",
    "hidden": "hidden",
    "retired": "retired",
    "damaged": "damaged",
    "active": "active",
    "invited": "invited",
    "observer": "observer",
    "suspended": "suspended",
}
QUALITY_WORDS: Final = {
    "accept": "accepted",
    "accept with exclusions": "accepted with exclusions",
    "refuse": "refused",
    "not assessed": "not assessed",
}
WAITING_WORDS: Final = {
    "runs": "Analyses under way",
    "reviews": "Results that wait for their check",
    "decisions": "Decisions due within two days",
    "grants": "Applications whose grants wait",
    "visas": "Visas that the hub has not taken yet",
    "mails": "Mails to be sent",
}
OVERDUE_WORDS: Final = {"decisions": "overdue", "mails": "given up"}
ENDING_WORDS: Final = {"certificate": "Certificate", "visa": "Visa for"}
_STALE_SECONDS: Final = 300
_STANDING: Final = {"fault": "refused", "warning": "asked", "ok": "accepted"}
State = Callable[[], Awaitable[Operation]]


class HubDesk(Protocol):
    """What the hub's page needs: the state, for whoever may see it."""

    async def state(self, caller: Caller) -> Operation:
        """How the hub is; `NotPermitted` for others than its operators."""


def hub_operator_pages(desk: HubDesk, caller_of: CallerOf) -> list[BaseRoute]:
    """`/operate` of the hub, to be mounted before the portal's pages."""

    async def operate(request: Request) -> Response:
        """How the hub is."""
        caller = known_caller(request)
        if not caller.actor.known:
            return redirect(f"/login?next={HUB_PAGE}")
        return render(request, "operate.html", HTTPStatus.OK, assembly=Assembly.GRCH38, **page_words(await desk.state(caller)))

    return [page_route(HUB_PAGE, operate, caller_of)]


@dataclass(frozen=True, slots=True)
class NodeOperatorPages:
    """The page of a node, behind a door of one-time codes."""

    state: State
    door: CodeDoor
    name: str

    def routes(self) -> list[Route]:
        """What the node mounts."""
        return [
            self._route(NODE_PAGE, self.show, "GET"),
            self._route(f"{NODE_PAGE}/state.json", self.document, "GET"),
            self._route(f"{NODE_PAGE}/sign-in", self.door.sign_in, "POST"),
            self._route(f"{NODE_PAGE}/sign-out", self.door.sign_out, "POST"),
        ]

    async def show(self, request: Request) -> Response:
        """How the node is; the place for the code for whoever has not signed in."""
        session = await self.door.session(request)
        if session is None:
            return self._page(request)
        return self._page(request, wide=True, form_key=session.form_key, **page_words(await self.state()))

    async def document(self, request: Request) -> Response:
        """The same as JSON."""
        await self.door.signed_in(request)
        return JSONResponse((await self.state()).model_dump(mode="json"), headers={"cache-control": "no-store"})

    def _page(self, request: Request, status: HTTPStatus = HTTPStatus.OK, **values: Any) -> Response:
        return render(request, "operate_node.html", status, node=self.name, **{"form_key": "", "fault": "", **values})

    def _route(self, path: str, handler: Callable[[Request], Awaitable[Response]], method: str) -> Route:
        async def answer(request: Request) -> Response:
            name_route(request.scope, path)
            try:
                return await handler(request)
            except (NotPermitted, BadQuestion) as error:
                return self._failed(request, error)
            except CohelixError as error:
                if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                    return self._failed(request, error)
                raise

        return Route(path, answer, methods=[method], name=handler.__name__)

    def _failed(self, request: Request, error: CohelixError) -> Response:
        note_refusal(request.scope, error.slug)
        return self._page(request, HTTPStatus(error.status), fault=error.detail)


def page_words(state: Operation) -> dict[str, Any]:
    """What the templates show of a state: findings by how grave they are, and the words for the rest."""
    grave = {"fault": 0, "warning": 1, "ok": 2}
    return {
        "state": state,
        "stale": _is_stale(state),
        "findings": sorted(state.findings, key=lambda one: grave[one.level]),
        "faults": sum(one.level == "fault" for one in state.findings),
        "warnings": sum(one.level == "warning" for one in state.findings),
        "standing": _STANDING,
        "level_words": LEVEL_WORDS,
        "state_words": STATE_WORDS,
        "quality_words": QUALITY_WORDS,
        "waiting_words": WAITING_WORDS,
        "overdue_words": OVERDUE_WORDS,
        "ending_words": ENDING_WORDS,
    }


def _is_stale(state: Operation) -> bool:
    """Whether the doctor's last look is so old that later ones must have failed, or hang."""
    if state.looked_at is None:
        return False
    return (datetime.fromisoformat(state.at) - datetime.fromisoformat(state.looked_at)).total_seconds() > _STALE_SECONDS
