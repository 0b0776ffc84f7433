"""A node's pages for its own people: sign in with a one-time code, see what one's data may be used for, and change it.

Nobody is named: the code stands for the individual's id, which no page shows. The pages need no script.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Protocol

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cohelix.access.sessions import Session
from cohelix.core.errors import BadQuestion, CohelixError, NotPermitted
from cohelix.portal.assets import asset
from cohelix.portal.code_door import CodeDoor
from cohelix.portal.pages import redirect, render
from cohelix.web import name_route

PAGE: Final = "/consent"
CODE_SECONDS: Final = 7 * 86_400
IDLE_SECONDS, SESSION_SECONDS = 15 * 60, 3600
FAILURES_MAX, PAUSE_SECONDS = 20, 900
_NOT_KEPT: Final = {"cache-control": "no-store"}
USE_WORDS: Final = {
    "analysis": "A research analysis",
    "counts": "Counts, by permission",
    "people": "Questions about people, by permission",
}
SWITCH_WORDS: Final = {
    "frequencies": (
        "Frequencies",
        "Your genome is counted when somebody asks how common a variant is. Only totals over many people are told.",
    ),
    "individual-queries": (
        "Questions about people",
        "You are counted when somebody asks how many people have a trait or a disease, and people whom this biobank has "
        "allowed may see your record without your name.",
    ),
    "secondary-use": (
        "Research",
        "Your data take part in research analyses, and in copies that this biobank makes for approved research.",
    ),
}


class ConsentDesk(Protocol):
    """What the pages need of the node."""

    def choices(self, individual: str) -> Mapping[str, bool]:
        """What a person's data may be used for, by scope."""

    def choose(self, individual: str, choices: Mapping[str, bool]) -> None:
        """Write down what a person says; it takes effect within a minute."""

    def uses(self, individual: str) -> list[dict[str, Any]]:
        """Who used a person's data, a document for each line."""

    def proof(self, individual: str, number: int) -> dict[str, Any]:
        """The proof of an entry of a person's ledger; `NotFound` for any other."""


@dataclass(frozen=True, slots=True)
class ConsentPages:
    """The pages and their three forms.

    Attributes
    ----------
    desk
        What people have said.
    door
        Where one-time codes become sessions.
    name
        The node's name.
    """

    desk: Callable[[], ConsentDesk]
    door: CodeDoor
    name: str

    def routes(self) -> list[Route]:
        """What the node mounts."""
        return [
            self._route(PAGE, self.show, "GET"),
            self._route(f"{PAGE}/uses", self.uses, "GET"),
            self._route(f"{PAGE}/uses.json", self.uses_document, "GET"),
            self._route(f"{PAGE}/uses/{{number:int}}/proof.json", self.proof, "GET"),
            self._route(f"{PAGE}/sign-in", self.door.sign_in, "POST"),
            self._route(f"{PAGE}/choices", self.choose, "POST"),
            self._route(f"{PAGE}/sign-out", self.door.sign_out, "POST"),
            Route("/static/{digest}/{name}", asset, methods=["GET"]),
        ]

    async def show(self, request: Request) -> Response:
        """The three switches of whoever has signed in; the place for the code for everybody else."""
        session = await self.door.session(request)
        if session is None:
            return self._page(request)
        individual = str(session.content["individual"])
        choices = await anyio.to_thread.run_sync(lambda: self.desk().choices(individual))
        return self._page(request, session=session, choices=choices, saved=request.query_params.get("saved") == "1")

    async def uses(self, request: Request) -> Response:
        """Who used the data of whoever has signed in."""
        session = await self.door.session(request)
        if session is None:
            return redirect(PAGE)
        found = await self._uses(session)
        lines = [
            {
                "title": USE_WORDS[line["what"]],
                "purpose": line["purpose"],
                "dataset": line["dataset"],
                "by": line["decidedBy"],
                "application": line["application"],
                "first": line["first"][:10],
                "last": line["last"][:10],
                "times": line["times"],
                "number": line["entries"][0],
            }
            for line in found
        ]
        return render(request, "consent_uses.html", HTTPStatus.OK, node=self.name, uses=lines)

    async def uses_document(self, request: Request) -> Response:
        """The same as JSON."""
        return JSONResponse({"uses": await self._uses(await self.door.signed_in(request))}, headers=_NOT_KEPT)

    async def proof(self, request: Request) -> Response:
        """The proof of one line, to be kept and verified anywhere."""
        individual = str((await self.door.signed_in(request)).content["individual"])
        number = int(request.path_params["number"])
        found = await anyio.to_thread.run_sync(lambda: self.desk().proof(individual, number))
        return JSONResponse(found, headers=_NOT_KEPT)

    async def _uses(self, session: Session) -> list[dict[str, Any]]:
        individual = str(session.content["individual"])
        return await anyio.to_thread.run_sync(lambda: self.desk().uses(individual))

    async def choose(self, request: Request) -> Response:
        """Write down what was chosen."""
        session, fields = await self.door.form(request)
        choices = {scope: scope in fields for scope in SWITCH_WORDS}
        individual = str(session.content["individual"])
        await anyio.to_thread.run_sync(lambda: self.desk().choose(individual, choices))
        return redirect(f"{PAGE}?saved=1")

    def _page(
        self,
        request: Request,
        status: HTTPStatus = HTTPStatus.OK,
        *,
        session: Session | None = None,
        choices: Mapping[str, bool] | None = None,
        saved: bool = False,
        fault: str = "",
    ) -> Response:
        switches = [
            {"scope": scope, "title": title, "words": words, "given": (choices or {}).get(scope, False)}
            for scope, (title, words) in SWITCH_WORDS.items()
        ]
        return render(
            request,
            "consent.html",
            status,
            node=self.name,
            form_key=session.form_key if session else "",
            switches=switches if session else (),
            saved=saved,
            fault=fault,
        )

    def _route(self, path: str, handler: Callable[[Request], Awaitable[Response]], method: str) -> Route:
        async def answer(request: Request) -> Response:
            name_route(request.scope, path)
            try:
                return await handler(request)
            except (NotPermitted, BadQuestion) as error:
                return self._page(request, HTTPStatus(error.status), fault=error.detail)
            except CohelixError as error:
                if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                    return self._page(request, HTTPStatus(error.status), fault=f"nothing was changed: {error.detail}")
                raise

        return Route(path, answer, methods=[method], name=handler.__name__)
