"""Logging in to the hub by a browser: out to an issuer, back with a code, and a session from then on."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from cohelix.access.oidc import Attempt, Issuer
from cohelix.access.outbox import is_address
from cohelix.access.sessions import Sessions
from cohelix.audit.events import LoginDone, LoginRefused, LogoutDone, Person
from cohelix.audit.log import AuditLog
from cohelix.core.errors import BadQuestion, IssuerRefused, NotAuthentic, NotFound, Unreachable
from cohelix.hub.people import People
from cohelix.portal.languages import language_of
from cohelix.portal.pages import page_route, redirect, render
from cohelix.web.forms import Cookie
from cohelix.wire.applications import Identity

ATTEMPT_SECONDS: Final = 600
_PATH: Final = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]{0,2000}")


class Login:
    """The pages and addresses of login and logout."""

    def __init__(self, people: People, attempts: Sessions, log: AuditLog) -> None:
        self._people, self._attempts, self._log = people, attempts, log
        self._cookie = Cookie("cohelix-login", people.hub_url, path="/login")
        self._redirect = f"{people.hub_url}/login/callback"

    def routes(self) -> list[BaseRoute]:
        """What the hub mounts before the portal."""
        who = self._people.caller_of
        return [
            page_route("/login", self.choose, who),
            page_route("/login/begin", self.begin, who),
            page_route("/login/callback", self.callback),
            page_route("/logout", self.logout, who, methods=("POST",)),
        ]

    async def choose(self, request: Request) -> Response:
        """The issuers to choose from; with one alone there is nothing to choose."""
        issuers = list(self._people.issuers.values())
        if not issuers:
            raise NotFound("nobody can log in here: the hub's operator has not named an issuer")
        if len(issuers) == 1 and "ended" not in request.query_params:
            return await self._begin(issuers[0], request)
        path = local_path(request.query_params.get("next", ""))
        ended = "ended" in request.query_params
        return render(request, "login.html", issuers=[one.settings for one in issuers], next=path, ended=ended)

    async def begin(self, request: Request) -> Response:
        """Send the browser to an issuer."""
        issuer = self._people.issuers.get(request.query_params.get("issuer", ""))
        if issuer is None:
            raise NotFound("this hub does not know that issuer")
        return await self._begin(issuer, request)

    async def callback(self, request: Request) -> Response:
        """Take the issuer's answer: of this browser, of this attempt, from that issuer; and begin a session with a new key."""
        given = request.query_params
        key = self._cookie.read(request)
        attempt = await anyio.to_thread.run_sync(self._attempts.find, key) if key else None
        if attempt is None or not secrets.compare_digest(
            str(attempt.content["state"]).encode(), given.get("state", "").encode()
        ):
            raise BadQuestion("this login was not begun in this browser, or too long ago: begin it again")
        await anyio.to_thread.run_sync(self._attempts.end, key)
        issuer = self._people.issuers[str(attempt.content["issuer"])]
        name = issuer.settings.issuer
        try:
            await _check_sender(issuer, given.get("iss"))
            if "error" in given:
                raise IssuerRefused(given["error"][:100], (given.get("error_description") or given["error"])[:300])
            begun = Attempt(*(str(attempt.content[one]) for one in ("state", "nonce", "verifier")))
            tokens, claims = await issuer.redeem(given.get("code", ""), begun, self._redirect)
            address = await verified_address(issuer, tokens.access, claims)
            shown = await _shown_name(issuer, tokens.access, claims)
        except (IssuerRefused, NotAuthentic) as error:
            self._log.record(LoginRefused(issuer=name, reason=error.slug))
            raise
        content = {**tokens.kept(), "name": shown}

        def begin() -> str:
            self._people.sessions.end(self._people.cookie.read(request))
            if self._people.outbox is not None and address:
                person, language = Identity(subject=claims["sub"], issuer=name), language_of(request).tag
                self._people.outbox.set_contact(person, address, by_operator=False, language=language)
            return self._people.sessions.begin(content, subject=claims["sub"], issuer=name).key

        session = await anyio.to_thread.run_sync(begin)
        self._log.record(LoginDone(issuer=name, way="browser"), by=Person(claims["sub"], name))
        answer = redirect(str(attempt.content["next"]) or "/account")
        self._people.cookie.write(answer, session)
        self._cookie.clear(answer)
        return answer

    async def logout(self, request: Request) -> Response:
        """End the session here, and its login at the issuer."""
        await self._people.form_of(request)
        session = await self._people.session_of(request)
        if session is not None:
            await anyio.to_thread.run_sync(self._people.sessions.end, session.key)
            issuer = self._people.issuers.get(session.issuer)
            if issuer is not None:
                await issuer.revoke(str(session.content["refresh"]))
            self._log.record(LogoutDone(), by=Person(session.subject, session.issuer))
        answer = redirect("/login?ended=1")
        self._people.cookie.clear(answer)
        return answer

    async def _begin(self, issuer: Issuer, request: Request) -> Response:
        attempt = Attempt.new()
        content = {
            "state": attempt.state,
            "nonce": attempt.nonce,
            "verifier": attempt.verifier,
            "issuer": issuer.settings.issuer,
            "next": local_path(request.query_params.get("next", "")),
        }
        address = await issuer.login_address(attempt, self._redirect)
        kept = await anyio.to_thread.run_sync(self._attempts.begin, content)
        answer = RedirectResponse(address, HTTPStatus.SEE_OTHER, headers={"Cache-Control": "no-store"})
        self._cookie.write(answer, kept.key)
        return answer


def local_path(text: str) -> str:
    """An address of this server to go on to; empty for anything that might lead elsewhere."""
    return text if _PATH.fullmatch(text) else ""


def login_path(path: str) -> str:
    """Where somebody logs in, to come back to a page."""
    return f"/login?{urlencode({'next': path})}"


async def _shown_name(issuer: Issuer, access: str, claims: Mapping[str, Any]) -> str:
    """What the person is called: by the id token, or by what the issuer tells apart from it, as most do; empty for nothing."""
    told = claims
    if not (claims.get("name") or claims.get("preferred_username")):
        with suppress(Unreachable, NotAuthentic, IssuerRefused):  # a login does not fail for want of a name
            told = await issuer.userinfo(access)
    name = told.get("name") or told.get("preferred_username")
    return name[:200] if isinstance(name, str) and told.get("sub") == claims["sub"] else ""


async def verified_address(issuer: Issuer, access: str, claims: Mapping[str, Any]) -> str:
    """The person's e-mail address, where the issuer was asked for it and has verified it; empty otherwise."""
    if "email" not in issuer.settings.scopes.split():
        return ""
    told = claims
    if "email" not in claims:
        with suppress(Unreachable, NotAuthentic, IssuerRefused):  # a login does not fail for want of an address
            told = await issuer.userinfo(access)
    address = told.get("email")
    verified = told.get("email_verified") is True and told.get("sub") == claims["sub"]
    return address if verified and isinstance(address, str) and is_address(address) else ""


async def _check_sender(issuer: Issuer, said: str | None) -> None:
    """The answer names who sends it (RFC 9207), so that one issuer cannot send another's."""
    always = (await issuer.metadata()).get("authorization_response_iss_parameter_supported")
    if said != issuer.settings.issuer and (said is not None or always):
        raise NotAuthentic("the login's answer comes from another issuer than it was begun at")
