"""Who asks the hub: makes of a request its caller, from the session's cookie or from an access token with its proof."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import anyio.to_thread
import structlog
from starlette.requests import HTTPConnection, Request

from cohelix.access.actor import Actor, Role
from cohelix.access.caller import Caller, keep_caller, known_caller
from cohelix.access.door import TokenDoor, path_of
from cohelix.access.issuers import NODE_AUDIENCE, PASSPORT_SCOPE
from cohelix.access.oidc import Issuer, unverified
from cohelix.access.outbox import Outbox
from cohelix.access.roles import Roles
from cohelix.access.sessions import Session, Sessions
from cohelix.core.errors import IssuerRefused, NotAuthentic, NotPermitted, Unreachable
from cohelix.web.forms import FORM_KEY, Cookie, read_form, require_own_origin
from cohelix.wire.applications import Identity

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_REFRESH_SECONDS: Final = 60
_log = structlog.get_logger("cohelix.hub")


class People:
    """The only door through which identity enters the hub."""

    def __init__(
        self,
        sessions: Sessions,
        roles: Roles,
        issuers: Mapping[str, Issuer],
        door: TokenDoor,
        *,
        hub_url: str,
        outbox: Outbox | None = None,
    ) -> None:
        self.sessions, self.roles, self.issuers, self._door = sessions, roles, dict(issuers), door
        self.hub_url, self.outbox = hub_url, outbox
        self.cookie = Cookie("cohelix-session", hub_url)
        self._refreshing: dict[str, asyncio.Lock] = {}

    async def caller_of(self, request: HTTPConnection) -> Caller:
        """Who sends a request; found once, and kept with it.

        Raises
        ------
        NotAuthentic
            If the request brings an `Authorization` that does not hold. A session that has ended is no error.
        NotPermitted
            If a request that changes something comes with a session's cookie, but from a page of somebody else.
        """
        found = known_caller(request)
        if "cohelix.asked" in request.scope:
            return found
        request.scope["cohelix.asked"] = True
        if request.headers.get("authorization"):
            return keep_caller(request, await self._by_token(request))
        return keep_caller(request, await self._by_session(request))

    async def actor_of(self, request: HTTPConnection) -> Actor:
        """The person behind a request; `ANONYMOUS` where nobody has logged in."""
        return (await self.caller_of(request)).actor

    async def form_of(self, request: Request) -> dict[str, str]:
        """The fields of a form that was made for the caller's session; `NotPermitted` for any other."""
        await self.caller_of(request)
        fields = await read_form(request)
        session = await self.session_of(request)
        if session is None or not session.owns_form(fields.get(FORM_KEY, "")):
            raise NotPermitted("the form is not of your present session: open its page again")
        return fields

    async def session_of(self, request: HTTPConnection) -> Session | None:
        """The session of a request's cookie, if it lasts."""
        key = self.cookie.read(request)
        return await anyio.to_thread.run_sync(self.sessions.find, key) if key else None

    async def access_token(self, session: Session) -> str | None:
        """A session's access token, renewed where it is about to end; None where the login at the issuer has ended."""
        issuer = self.issuers.get(session.issuer)
        if issuer is None:
            return None
        async with self._refreshing.setdefault(session.handle, asyncio.Lock()):
            now = await anyio.to_thread.run_sync(self.sessions.find, session.key)
            if now is None:
                return None
            if now.content["ends_at"] - _REFRESH_SECONDS > now.seen_at:
                return str(now.content["access"])
            if not now.content["refresh"]:
                return None
            try:
                tokens = await issuer.refresh(now.content["refresh"])
            except IssuerRefused:
                await anyio.to_thread.run_sync(self.sessions.end, session.key)
                return None
            finally:
                if len(self._refreshing) > 10_000:
                    self._refreshing.clear()
            await anyio.to_thread.run_sync(self.sessions.keep, now, {**now.content, **tokens.kept()})
            return tokens.access

    async def visas_of(self, request: HTTPConnection) -> tuple[str, ...]:
        """The visas in the caller's passport for the hub, or where the issuer gives none in its userinfo; not verified.

        Raises
        ------
        NotAuthentic
            If the login has ended at the issuer.
        Unreachable
            If the issuer does not answer.
        """
        caller = await self.caller_of(request)
        session = await self.session_of(request) if caller.way == "session" else None
        token = await self.access_token(session) if session else request.headers.get("authorization", "").partition(" ")[2]
        issuer = self.issuers.get(caller.actor.issuer)
        if issuer is None or not token:
            raise NotAuthentic("the login at the issuer has ended: log in again")
        passport = await issuer.passport(token, self.hub_url)
        told = (unverified(passport) if passport else await issuer.userinfo(token)).get(PASSPORT_SCOPE, ())
        return tuple(visa for visa in told if isinstance(visa, str)) if isinstance(told, list) else ()

    async def _by_token(self, request: HTTPConnection) -> Caller:
        person = await self._door.person(request.headers, request.scope.get("method", "GET"), self.hub_url + path_of(request))

        async def passport_for(node: str) -> str | None:
            return await self._passport(person.issuer, person.token, NODE_AUDIENCE + node)

        roles = await anyio.to_thread.run_sync(self.roles.of, person.subject, person.issuer.settings.issuer)
        actor = Actor(person.subject, person.issuer.settings.issuer, roles, (), person.expires)
        return Caller(actor, "token", person.subject, passport_for=passport_for, may_log_in=True)

    async def _by_session(self, request: HTTPConnection) -> Caller:
        session = await self.session_of(request)
        nobody = Caller(may_log_in=bool(self.issuers))
        if session is None or not session.subject:
            return nobody
        if request.scope.get("method", "GET") not in SAFE_METHODS:
            require_own_origin(request, self.hub_url)

        async def passport_for(node: str) -> str | None:
            return await self._session_passport(session, NODE_AUDIENCE + node)

        shown = request.scope.get("method") == "GET" and "text/html" in request.headers.get("accept", "")

        def known() -> tuple[frozenset[Role], int | None]:
            person = Identity(subject=session.subject, issuer=session.issuer)
            unread = self.outbox.unread(person) if self.outbox is not None and shown else None
            return self.roles.of(session.subject, session.issuer), unread

        roles, unread = await anyio.to_thread.run_sync(known)
        actor = Actor(session.subject, session.issuer, roles)
        name = str(session.content.get("name") or session.subject)
        return Caller(actor, "session", name, session.handle, session.form_key, passport_for, may_log_in=True, unread=unread)

    async def _session_passport(self, session: Session, audience: str) -> str | None:
        issuer = self.issuers.get(session.issuer)
        try:
            token = await self.access_token(session)
        except (Unreachable, NotAuthentic) as error:
            _log.warning("no token for a session", issuer=session.issuer, detail=error.detail)
            return None
        return await self._passport(issuer, token, audience) if issuer and token else None

    async def _passport(self, issuer: Issuer, token: str, audience: str) -> str | None:
        try:
            return await issuer.passport(token, audience)
        except (IssuerRefused, Unreachable, NotAuthentic) as error:
            # The question goes on as one of somebody unknown; a node says what that does not open.
            _log.warning("no passport", issuer=issuer.settings.issuer, audience=audience, detail=error.detail)
            return None
