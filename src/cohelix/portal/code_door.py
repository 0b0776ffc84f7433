"""Sessions at a node that begin with a one-time code: who has the code may come in, once, and nobody says a name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from cohelix.access.accounts import Throttle
from cohelix.access.sessions import Session, Sessions
from cohelix.core.errors import NotPermitted
from cohelix.portal.pages import redirect
from cohelix.web.forms import FORM_KEY, Cookie, read_form, require_own_origin


@dataclass(frozen=True, slots=True)
class CodeDoor:
    """The door of one kind of page.

    Attributes
    ----------
    page
        Where people arrive; the cookie is sent to this address and below it only.
    name
        Of the cookie, and of those who are slowed down.
    codes, sessions
        One-time codes that the operator made, and the sessions that they begin.
    throttle
        Slows down whoever tries codes.
    url
        The node's own address; empty to take it from each request.
    refusal
        What somebody is told whose code is none.
    """

    page: str
    name: str
    codes: Callable[[], Sessions]
    sessions: Callable[[], Sessions]
    throttle: Callable[[], Throttle]
    url: str
    refusal: str

    async def sign_in(self, request: Request) -> Response:
        """Take a code, once, for a session."""
        require_own_origin(request, self._url(request))
        code = "".join((await read_form(request)).get("code", "").split())
        tried_by = request.client.host if request.client else ""
        session = await anyio.to_thread.run_sync(self._begin, code, f"{self.name} {tried_by}")
        answer = redirect(self.page)
        self._cookie(request).write(answer, session.key)
        return answer

    async def sign_out(self, request: Request) -> Response:
        """End the session."""
        session, _ = await self.form(request)
        await anyio.to_thread.run_sync(self.sessions().end, session.key)
        answer = redirect(self.page)
        self._cookie(request).clear(answer)
        return answer

    async def session(self, request: Request) -> Session | None:
        """The session of a request, if it lasts."""
        key = self._cookie(request).read(request)
        return await anyio.to_thread.run_sync(lambda: self.sessions().find(key)) if key else None

    async def signed_in(self, request: Request) -> Session:
        """The session of a request; `NotPermitted` where there is none."""
        session = await self.session(request)
        if session is None:
            raise NotPermitted("sign in with your code first")
        return session

    async def form(self, request: Request) -> tuple[Session, dict[str, str]]:
        """A form of the request's session, and the session; `NotPermitted` for any other."""
        require_own_origin(request, self._url(request))
        session, fields = await self.session(request), await read_form(request)
        if session is None or not session.owns_form(fields.get(FORM_KEY, "")):
            raise NotPermitted("your session has ended, or the form is of another one: sign in again")
        return session, fields

    def _begin(self, code: str, tried_by: str) -> Session:
        throttle = self.throttle()
        throttle.attempt(tried_by)
        found = self.codes().find(code)
        if found is None or not self.codes().end(code):
            raise NotPermitted(self.refusal)
        throttle.forget(tried_by)
        return self.sessions().begin(found.content)

    def _cookie(self, request: Request) -> Cookie:
        return Cookie(f"cohelix-{self.name}", self._url(request), path=self.page)

    def _url(self, request: Request) -> str:
        return self.url or str(request.base_url).rstrip("/")
