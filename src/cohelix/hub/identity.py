"""Wires identity into the hub: its own issuer where that is switched on, the configured ones, sessions, login, account."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import anyio.to_thread
import httpx
from fastapi import APIRouter, FastAPI, Response
from sqlalchemy.engine import Engine
from starlette.requests import Request

from cohelix.access.accounts import Account
from cohelix.access.actor import REGISTERED_ACCESS, VisaKind
from cohelix.access.broker import Broker
from cohelix.access.broker_clients import CLI_CLIENT, HUB_CLIENT
from cohelix.access.broker_keys import SIGNED_SECONDS_MAX, BrokerKeys
from cohelix.access.caller import Caller
from cohelix.access.door import TokenDoor
from cohelix.access.issuers import IssuerSettings, read_secret
from cohelix.access.oidc import OWN_PASSPORT_SECONDS, Issuer, open_issuer, unverified
from cohelix.access.outbox import Outbox
from cohelix.access.roles import Roles
from cohelix.access.sessions import Once, Session, Sessions
from cohelix.access.visas import sign_visa
from cohelix.audit.log import AuditLog
from cohelix.core.errors import CohelixError, NotAuthentic, NotFound
from cohelix.federation.behalf import behalf_of
from cohelix.federation.questions import Federation
from cohelix.hub.broker import VISIT_SECONDS, Brakes, BrokerPages
from cohelix.hub.login import ATTEMPT_SECONDS, Login
from cohelix.hub.people import People
from cohelix.hub.settings import HubSettings
from cohelix.portal.account import AccountPages
from cohelix.portal.pages import page_route
from cohelix.wire.federation import DatasetsAnswer
from cohelix.wire.identity import HeldVisa, LoginPoint, Me

BROKER_FOLDER: Final = "broker"
_SECRET_FILE: Final = "hub.secret"
VisasInStore = Callable[[str, str], Sequence[str]]
"""The granted visas of a subject of an issuer, as their authorities signed them."""


def open_broker(folder: Path, settings: HubSettings, engine: Engine, visas_in_store: VisasInStore | None = None) -> Broker:
    """The embedded issuer of a hub's folder, beside a hub that may be serving."""
    (folder / BROKER_FOLDER).mkdir(mode=0o700, exist_ok=True)
    issuer, keys = f"{settings.url}/broker", BrokerKeys(folder / BROKER_FOLDER / "keys")

    def visas_of(account: Account) -> Sequence[str]:
        stored = visas_in_store(account.subject, issuer) if visas_in_store else ()
        return (*_own_visas(account, settings.url, keys, issuer), *stored)

    def make_passport(claims: Mapping[str, Any], visas: Sequence[str]) -> str:
        return keys.sign({**claims, "ga4gh_passport_v1": list(visas)}, "vnd.ga4gh.passport+jwt")

    return Broker(engine, keys, issuer=issuer, hub_url=settings.url, visas_of=visas_of, make_passport=make_passport)


def _own_visas(account: Account, hub_url: str, keys: BrokerKeys, issuer: str) -> list[str]:
    """What the issuer itself says of a person: a researcher, as its operator says; accepted terms, as the person says."""
    said = (
        (VisaKind.RESEARCHER_STATUS, account.researcher_since, "system"),
        (VisaKind.ACCEPTED_TERMS_AND_POLICIES, account.accepted_at, "self"),
    )
    now = datetime.fromtimestamp(keys.now(), UTC)
    return [
        sign_visa(
            keys.current(),
            issuer=issuer,
            jwks=f"{issuer}/jwks.json",
            identifier=secrets.token_hex(16),
            subject=account.subject,
            subject_issuer=issuer,
            kind=kind,
            value=REGISTERED_ACCESS,
            source=hub_url,
            by=by,
            asserted=datetime.fromtimestamp(since, UTC),
            issued=now,
            expires=now + timedelta(seconds=SIGNED_SECONDS_MAX),
        )
        for kind, since, by in said
        if since is not None
    ]


@dataclass(frozen=True, slots=True)
class Identity:
    """What the hub's app holds: who asks, and what is to be closed."""

    people: People
    issuers: tuple[Issuer, ...]

    async def close(self) -> None:
        """End the connections to issuers."""
        for issuer in self.issuers:
            await issuer.close()

    def visas_changed(self) -> None:
        """Passports that are made from now on hold a visa that has just been handed in."""
        for issuer in self.issuers:
            issuer.forget_passports()


def install_identity(
    app: FastAPI,
    folder: Path,
    settings: HubSettings,
    engine: Engine,
    log: AuditLog,
    *,
    federation: Federation,
    visas_in_store: VisasInStore | None = None,
    outbox: Outbox | None = None,
) -> Identity:
    """Mount login, account and, where it is switched on, the embedded issuer; call it before the portal's routes."""
    issuers: dict[str, Issuer] = {}
    once = Once(engine)
    if settings.broker.embedded:
        broker = open_broker(folder, settings, engine, visas_in_store)
        visits = Sessions(engine, "broker", idle_seconds=VISIT_SECONDS, absolute_seconds=VISIT_SECONDS)
        app.include_router(BrokerPages(broker, visits, once, Brakes.of(engine), log).router())
        own = IssuerSettings(
            issuer=broker.issuer, name=f"{settings.name} (embedded)", client_id=HUB_CLIENT, cli_client_id=CLI_CLIENT
        )
        # The hub reaches its own issuer without the network: proxies and certificates of its public address do not matter.
        http = httpx.AsyncClient(transport=httpx.ASGITransport(app), timeout=30.0)
        secret = _hub_secret(folder, broker, settings.url)
        issuers[broker.issuer] = Issuer(own, secret, http=http, passport_seconds=OWN_PASSPORT_SECONDS)
    for one in settings.issuers:
        issuers[one.issuer] = open_issuer(folder, one)
    door = TokenDoor(issuers, settings.url, once, bearer=settings.accept_bearer)
    sessions = Sessions(engine, "hub", idle_seconds=settings.session_idle_seconds, absolute_seconds=settings.session_seconds)
    people = People(sessions, Roles(engine), issuers, door, hub_url=settings.url, outbox=outbox)
    attempts = Sessions(engine, "login", idle_seconds=ATTEMPT_SECONDS, absolute_seconds=ATTEMPT_SECONDS)
    app.router.routes.extend(Login(people, attempts, log).routes())
    desk = _Desk(people, federation)
    account = AccountPages(desk, people.form_of, settings.url)
    app.router.routes.append(page_route("/account", account.account, people.caller_of))
    app.router.routes.append(page_route("/account/end-session", account.end_session, people.caller_of, methods=("POST",)))
    app.include_router(_router(people, desk))
    return Identity(people, tuple(issuers.values()))


def _router(people: People, desk: _Desk) -> APIRouter:
    """`/api/v1/identity` and `/api/v1/me`."""
    router = APIRouter(prefix="/api/v1", tags=["identity"])

    @router.get("/identity", response_model=LoginPoint, summary="Where a program logs in its person")
    async def identity() -> LoginPoint:
        for one in people.issuers.values():
            if one.settings.cli_client_id:
                return LoginPoint(issuer=one.settings.issuer, client_id=one.settings.cli_client_id)
        return LoginPoint()

    @router.get("/me", response_model=Me, summary="Whom the hub takes you for")
    async def me(request: Request, answer: Response) -> Me:
        caller = await people.caller_of(request)
        if caller.way == "unknown":
            raise NotAuthentic("nobody has logged in")
        visas, trouble = await desk.visas(request)
        answer.headers["Cache-Control"] = "no-store"
        actor = caller.actor
        return Me(
            subject=actor.subject,
            issuer=actor.issuer,
            name=caller.name,
            way=caller.way,
            roles=tuple(sorted(actor.roles)),
            visas=visas,
            trouble=trouble,
        )

    return router


class _Desk:
    """What the account's page asks of the hub."""

    def __init__(self, people: People, federation: Federation) -> None:
        self._people, self._federation = people, federation

    async def visas(self, request: Request) -> tuple[tuple[HeldVisa, ...], str]:
        try:
            found = await self._people.visas_of(request)
        except CohelixError as error:
            return (), f"the visas cannot be told now: {error.detail}"
        return tuple(held for token in found if (held := _held(token))), ""

    async def datasets(self, request: Request) -> DatasetsAnswer:
        return await self._federation.datasets(behalf_of(await self._people.caller_of(request), request.headers))

    async def sessions(self, caller: Caller) -> Sequence[Session]:
        return await anyio.to_thread.run_sync(self._people.sessions.of, caller.actor.subject, caller.actor.issuer)

    async def end_session(self, caller: Caller, handle: str) -> None:
        end = self._people.sessions.end_of
        if not await anyio.to_thread.run_sync(end, caller.actor.subject, caller.actor.issuer, handle):
            raise NotFound("you have no such session any more")


def _hub_secret(folder: Path, broker: Broker, hub_url: str) -> str:
    """The hub's secret at its own issuer: made when it is first needed, in a file for its keeper only."""
    path = folder / BROKER_FOLDER / _SECRET_FILE
    if not path.is_file():
        broker.clients.remove(HUB_CLIENT)
        secret = broker.clients.add(HUB_CLIENT, audience=hub_url, redirects=(f"{hub_url}/login/callback",))
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(secret)
    return read_secret(folder / BROKER_FOLDER, _SECRET_FILE)


def _held(token: str) -> HeldVisa | None:
    """A visa to show: the issuer has just handed it out; nodes verify it when it is used."""
    claims = unverified(token)
    says = claims.get("ga4gh_visa_v1")
    if not isinstance(says, dict) or not isinstance(claims.get("exp"), int):
        return None
    return HeldVisa(
        kind=str(says.get("type")), value=str(says.get("value")), issuer=str(claims.get("iss")), expires=claims["exp"]
    )
