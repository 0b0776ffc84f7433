"""The embedded issuer's addresses below `/broker`: discovery, tokens, and plain pages to sign in and to allow a program."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import anyio.to_thread
from fastapi import APIRouter
from sqlalchemy.engine import Engine
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from cohelix.access.accounts import PASSWORD_MIN, Account, Throttle
from cohelix.access.actor import REGISTERED_ACCESS
from cohelix.access.broker import Authorisation, Broker
from cohelix.access.broker_clients import Client
from cohelix.access.dpop import verify_dpop
from cohelix.access.sessions import Once, Session, Sessions
from cohelix.audit.events import AccountChanged, LoginDone, LoginRefused, PassportIssued, Person, TermsAccepted
from cohelix.audit.log import AuditLog
from cohelix.core.clock import SystemClock
from cohelix.core.errors import BadQuestion, BadUsage, IssuerRefused, NotAuthentic, NotPermitted
from cohelix.portal.pages import page_route, render
from cohelix.web.forms import FORM_KEY, Cookie, read_form, require_own_origin

VISIT_SECONDS: Final = 600  # from the first page of a sign-in to its last
SIGN_IN_FAILURES: Final = 10
ADDRESS_FAILURES: Final = 100
CODE_FAILURES: Final = 20
FAILURE_SECONDS: Final = 900
_NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_Handler = Callable[[Request], Awaitable[Response]]


@dataclasses.dataclass(frozen=True, slots=True)
class Brakes:
    """What keeps guessing slow: of one account's password, of passwords from one address, of the codes of programs."""

    names: Throttle
    addresses: Throttle
    codes: Throttle

    @classmethod
    def of(cls, engine: Engine) -> Brakes:
        """In a database that all processes of the server share."""
        name, address, code = (
            Throttle(engine, failures_max=most, seconds=FAILURE_SECONDS)
            for most in (SIGN_IN_FAILURES, ADDRESS_FAILURES, CODE_FAILURES)
        )
        return cls(name, address, code)


class BrokerPages:
    """One embedded issuer over HTTP. It keeps no session beyond one sign-in: every login asks for the password.

    Parameters
    ----------
    visits
        Sessions of realm `broker` that last some minutes, one for each sign-in.
    """

    def __init__(self, broker: Broker, visits: Sessions, once: Once, brakes: Brakes, log: AuditLog) -> None:
        self._broker, self._visits, self._once, self._log = broker, visits, once, log
        self._brakes = brakes
        self._cookie = Cookie("cohelix-broker", broker.issuer, path="/broker")
        self._clock = SystemClock()

    def router(self) -> APIRouter:
        """Everything below `/broker`."""
        router = APIRouter(prefix="/broker")
        documents: tuple[tuple[str, str, _Handler], ...] = (
            ("GET", "/.well-known/openid-configuration", self.discovery),
            ("GET", "/jwks.json", self.jwks),
            ("POST", "/token", self.token),
            ("POST", "/device_authorization", self.device_authorization),
            ("GET", "/userinfo", self.userinfo),
            ("POST", "/userinfo", self.userinfo),
            ("POST", "/revoke", self.revoke),
        )
        for method, path, handler in documents:
            router.add_api_route(path, _oauth(handler), methods=[method], include_in_schema=False, response_model=None)
        for path, page, methods in (
            ("/broker/authorize", self.authorize, ("GET", "POST")),
            ("/broker/device", self.device, ("GET", "POST")),
            ("/broker/sign-in", self.sign_in, ("GET", "POST")),
        ):
            router.routes.append(page_route(path, page, methods=methods))
        return router

    # Documents

    async def discovery(self, _request: Request) -> Response:
        """OpenID Connect Discovery 1.0."""
        return JSONResponse(self._broker.metadata(), headers={"Cache-Control": "public, max-age=300"})

    async def jwks(self, _request: Request) -> Response:
        """The keys to verify with."""
        return JSONResponse(self._broker.keys.published(), headers={"Cache-Control": "public, max-age=60"})

    async def token(self, request: Request) -> Response:
        """Codes, device codes, refresh tokens and access tokens in, tokens and passports out."""
        fields = await read_form(request)
        client = await self._client(request, fields)
        jkt = await self._proof(request, "token")
        answer = await anyio.to_thread.run_sync(self._broker.token, client, fields, jkt)
        if "issued_token_type" in answer:
            self._note_passport(client, fields)
        elif fields.get("grant_type", "").endswith("device_code"):
            claims = await anyio.to_thread.run_sync(self._broker.access_claims, answer["access_token"])
            if claims:
                by = Person(claims["sub"], self._broker.issuer)
                self._log.record(LoginDone(issuer=self._broker.issuer, way="device"), by=by)
        return JSONResponse(answer, headers=_NO_STORE)

    async def device_authorization(self, request: Request) -> Response:
        """Begin a login of a program without a browser (RFC 8628)."""
        fields = await read_form(request)
        client = await self._client(request, fields)
        jkt = await self._proof(request, "device_authorization")
        if not jkt:
            raise IssuerRefused("invalid_dpop_proof", "this client proves a key of its own with every request (RFC 9449)")
        answer = await anyio.to_thread.run_sync(self._broker.begin_device, client, fields, jkt)
        return JSONResponse(answer, headers=_NO_STORE)

    async def userinfo(self, request: Request) -> Response:
        """Who the person of an access token is, with the visas."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        claims = await anyio.to_thread.run_sync(self._broker.access_claims, token.strip())
        jkt = (claims or {}).get("cnf", {}).get("jkt")
        if jkt and (scheme.lower() != "dpop" or await self._proof(request, "userinfo", token.strip()) != jkt):
            claims = None
        if claims is None or scheme.lower() not in ("dpop", "bearer"):
            error = {"error": "invalid_token", "error_description": "the access token does not hold"}
            challenge = 'DPoP error="invalid_token", algs="ES256 RS256"'
            return JSONResponse(error, HTTPStatus.UNAUTHORIZED, {**_NO_STORE, "WWW-Authenticate": challenge})
        return JSONResponse(await anyio.to_thread.run_sync(self._broker.userinfo, claims), headers=_NO_STORE)

    async def revoke(self, request: Request) -> Response:
        """End a login (RFC 7009)."""
        fields = await read_form(request)
        client = await self._client(request, fields)
        await anyio.to_thread.run_sync(self._broker.revoke, client, fields.get("token", ""))
        return JSONResponse({}, headers=_NO_STORE)

    # Pages

    async def authorize(self, request: Request) -> Response:
        """Begin a login of a browser; what is wrong is told to the client only at an address that is its own."""
        if request.method == "POST":
            asked = await read_form(request)
        else:
            asked = dict(request.query_params)
            if len(asked) < len(request.query_params.multi_items()):
                raise BadQuestion("a parameter stands in the request twice")
        await anyio.to_thread.run_sync(self._broker.client_and_redirect, asked)
        try:
            authorisation = await anyio.to_thread.run_sync(self._broker.authorisation, asked)
        except IssuerRefused as error:
            bare = Authorisation(asked["client_id"], asked["redirect_uri"], "", "", "", asked.get("state", "")[:1024], "")
            return _go(self._broker.redirect(bare, {"error": error.error, "error_description": error.detail}))
        return await self._visit({"login": dataclasses.asdict(authorisation)})

    async def device(self, request: Request) -> Response:
        """Take the code that a program shows."""
        if request.method == "GET":
            visit = await anyio.to_thread.run_sync(self._visits.begin, {})
            typed = request.query_params.get("user_code", "")[:20]
            answer = render(request, "broker_device.html", form_key=visit.form_key, code_typed=typed, fault="")
            self._cookie.write(answer, visit.key)
            return answer
        visit, fields = await self._form(request)
        typed = fields.get("user_code", "")[:20]
        try:
            await anyio.to_thread.run_sync(self._brakes.codes.attempt, f"code {_address(request)}")
        except NotPermitted as error:
            return self._device_again(request, visit, typed, error.detail, HTTPStatus.TOO_MANY_REQUESTS)
        found = await anyio.to_thread.run_sync(self._broker.find_device, typed)
        if found is None:
            fault = "No program waits with this code. It may have ended: codes last ten minutes and work once."
            return self._device_again(request, visit, typed, fault, HTTPStatus.BAD_REQUEST)
        content = {"device": {"key": found.key, "client": found.client, "user_code": found.user_code}}
        await anyio.to_thread.run_sync(self._visits.keep, visit, content)
        return _go("/broker/sign-in")

    async def sign_in(self, request: Request) -> Response:
        """One step after another: password, a password of one's own, the terms, and for a program whether it may."""
        visit = await self._session(request)
        if visit is None or not ({"login", "device"} & set(visit.content)):
            raise BadQuestion("this sign-in was not begun in this browser, or took too long: begin again where you came from")
        if request.method == "GET":
            return await self._step(request, visit)
        _, fields = await self._form(request)
        if fields.get("step") == "cancel":
            return await self._cancel(request, visit)
        if fields.get("step") == "password":
            return await self._check_password(request, visit, fields)
        account = await self._account(visit)
        if account is not None:
            answer = await self._answered(request, visit, account, fields)
            if answer is not None:
                return answer
        return _go("/broker/sign-in")

    # Steps

    async def _answered(self, request: Request, visit: Session, account: Account, fields: Mapping[str, str]) -> Response | None:
        """Take the answer to a step of somebody who has signed in; None where the next step follows."""
        step, answer = fields.get("step"), fields.get("answer")
        if account.temporary:
            return await self._own_password(request, visit, account, fields) if step == "new-password" else None
        if step == "device" and "device" in visit.content:
            return await self._allow(request, visit, account, allow=answer == "allow")
        if step == "terms":
            if answer == "accept":
                await anyio.to_thread.run_sync(self._broker.accounts.accept, account.subject)
                self._log.record(TermsAccepted(document=REGISTERED_ACCESS), by=self._person(account))
            await anyio.to_thread.run_sync(self._visits.keep, visit, {**visit.content, "terms": True})
        return None

    async def _step(self, request: Request, visit: Session) -> Response:
        account = await self._account(visit)
        if account is None:
            return self._page(request, visit, "broker_sign_in.html", fault="", name="")
        if account.temporary:
            return self._page(request, visit, "broker_password.html", fault="", least=PASSWORD_MIN)
        if account.accepted_at is None and not visit.content.get("terms"):
            return self._page(request, visit, "broker_terms.html", document=REGISTERED_ACCESS, person=account)
        if "device" in visit.content:
            return self._page(request, visit, "broker_allow.html", device=visit.content["device"], person=account)
        authorisation = Authorisation(**visit.content["login"])
        give = partial(self._broker.code, authorisation, account.subject, int(visit.content["auth_time"]))
        code = await anyio.to_thread.run_sync(give)
        return await self._leave(visit, _go(self._broker.redirect(authorisation, {"code": code})))

    async def _check_password(self, request: Request, visit: Session, fields: Mapping[str, str]) -> Response:
        name = fields.get("name", "").strip().lower()[:64]
        by_name = f"name {name}"
        try:
            await anyio.to_thread.run_sync(self._brakes.addresses.attempt, f"sign-in {_address(request)}")
            await anyio.to_thread.run_sync(self._brakes.names.attempt, by_name)
        except NotPermitted as error:
            self._log.record(LoginRefused(issuer=self._broker.issuer, reason="throttled"))
            status = HTTPStatus.TOO_MANY_REQUESTS
            return self._page(request, visit, "broker_sign_in.html", status, fault=error.detail.capitalize(), name=name)
        account = await anyio.to_thread.run_sync(self._broker.accounts.check, name, fields.get("password", "")[:1024])
        if account is None:
            self._log.record(LoginRefused(issuer=self._broker.issuer, reason="password"))
            fault = "The name or the password is not right."
            return self._page(request, visit, "broker_sign_in.html", HTTPStatus.BAD_REQUEST, fault=fault, name=name)
        await anyio.to_thread.run_sync(self._brakes.names.forget, by_name)
        await anyio.to_thread.run_sync(self._visits.end, visit.key)
        return await self._visit({**visit.content, "subject": account.subject, "auth_time": int(time.time())})

    async def _own_password(self, request: Request, visit: Session, account: Account, fields: Mapping[str, str]) -> Response:
        given = fields.get("new_password", "")
        try:
            if given != fields.get("again", ""):
                raise BadUsage("the two passwords are not the same")
            await anyio.to_thread.run_sync(self._broker.accounts.set_password, account, given)
        except BadUsage as error:
            return self._page(
                request,
                visit,
                "broker_password.html",
                HTTPStatus.BAD_REQUEST,
                fault=error.detail.capitalize(),
                least=PASSWORD_MIN,
            )
        self._log.record(AccountChanged(whose=self._person(account), change="own password"), by=self._person(account))
        return _go("/broker/sign-in")

    async def _allow(self, request: Request, visit: Session, account: Account, *, allow: bool) -> Response:
        answer = partial(
            self._broker.answer_device, visit.content["device"]["key"], account, int(visit.content["auth_time"]), allow=allow
        )
        waited = await anyio.to_thread.run_sync(answer)
        outcome = "ended" if not waited else "allowed" if allow else "denied"
        return await self._leave(visit, self._page(request, visit, "broker_done.html", outcome=outcome))

    async def _cancel(self, request: Request, visit: Session) -> Response:
        if "login" in visit.content:
            authorisation = Authorisation(**visit.content["login"])
            refusal = {"error": "access_denied", "error_description": "the person has cancelled the login"}
            return await self._leave(visit, _go(self._broker.redirect(authorisation, refusal)))
        return await self._leave(visit, self._page(request, visit, "broker_done.html", outcome="cancelled"))

    # What steps share

    def _page(
        self, request: Request, visit: Session, template: str, status: HTTPStatus = HTTPStatus.OK, **values: Any
    ) -> Response:
        leads_to = ""
        if "login" in visit.content:
            parts = urlsplit(visit.content["login"]["redirect"])
            leads_to = f"{parts.scheme}://{parts.netloc}"
        return render(request, template, status, leads_to=leads_to, form_key=visit.form_key, **values)

    def _device_again(self, request: Request, visit: Session, typed: str, fault: str, status: HTTPStatus) -> Response:
        return render(
            request, "broker_device.html", status, form_key=visit.form_key, code_typed=typed, fault=fault.capitalize()
        )

    async def _visit(self, content: Mapping[str, Any]) -> Response:
        """Begin a sign-in, or go on with it, with a new key."""
        visit = await anyio.to_thread.run_sync(self._visits.begin, content)
        answer = _go("/broker/sign-in")
        self._cookie.write(answer, visit.key)
        return answer

    async def _leave(self, visit: Session, answer: Response) -> Response:
        await anyio.to_thread.run_sync(self._visits.end, visit.key)
        self._cookie.clear(answer)
        return answer

    async def _session(self, request: Request) -> Session | None:
        return await anyio.to_thread.run_sync(self._visits.find, self._cookie.read(request))

    async def _form(self, request: Request) -> tuple[Session, dict[str, str]]:
        """A form of this sign-in, sent from one of its own pages."""
        require_own_origin(request, self._broker.issuer)
        visit, fields = await self._session(request), await read_form(request)
        if visit is None or not visit.owns_form(fields.get(FORM_KEY, "")):
            raise NotPermitted("the form is not of this sign-in: begin again where you came from")
        return visit, fields

    async def _account(self, visit: Session) -> Account | None:
        subject = visit.content.get("subject")
        return await anyio.to_thread.run_sync(self._broker.accounts.of, subject) if subject else None

    async def _client(self, request: Request, fields: Mapping[str, str]) -> Client:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                name, _, secret = base64.b64decode(given, validate=True).decode().partition(":")
            except (binascii.Error, ValueError):
                raise IssuerRefused("invalid_client", "the client's secret cannot be read") from None
            return await anyio.to_thread.run_sync(self._broker.clients.proven, unquote(name), unquote(secret))
        return await anyio.to_thread.run_sync(
            self._broker.clients.proven, fields.get("client_id", ""), fields.get("client_secret")
        )

    async def _proof(self, request: Request, where: str, token: str | None = None) -> str:
        """The thumbprint of the key of a request's proof; empty where it brings none."""
        proofs = request.headers.getlist("dpop")
        if not proofs:
            return ""
        if len(proofs) > 1:
            raise IssuerRefused("invalid_dpop_proof", "a request brings one proof")
        check = partial(
            verify_dpop,
            proofs[0],
            method=request.method,
            url=f"{self._broker.issuer}/{where}",
            now=self._clock.now(),
            access_token=token,
            first=self._once.first,
        )
        try:
            return await anyio.to_thread.run_sync(check)
        except NotAuthentic as error:
            raise IssuerRefused("invalid_dpop_proof", error.detail) from None

    def _note_passport(self, client: Client, fields: Mapping[str, str]) -> None:
        claims = self._broker.access_claims(fields.get("subject_token", ""))
        if claims:
            event = PassportIssued(audience=fields.get("audience") or client.audience, visas=())
            self._log.record(event, by=Person(claims["sub"], self._broker.issuer))

    def _person(self, account: Account) -> Person:
        return Person(account.subject, self._broker.issuer)


def _oauth(handler: _Handler) -> _Handler:
    """Answers refusals in OAuth's own form (RFC 6749, section 5.2)."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except IssuerRefused as error:
            body, status, headers = {"error": error.error, "error_description": error.detail}, 400, dict(_NO_STORE)
            if error.error == "invalid_client":
                status, headers["WWW-Authenticate"] = 401, 'Basic realm="broker"'
            return JSONResponse(body, status, headers)
        except BadQuestion as error:
            return JSONResponse({"error": "invalid_request", "error_description": error.detail}, 400, _NO_STORE)

    return answer


def _go(address: str) -> Response:
    return RedirectResponse(address, HTTPStatus.SEE_OTHER, headers=dict(_NO_STORE))


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
