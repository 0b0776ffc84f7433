"""The embedded issuer of identities: OpenID Connect, device flow, token exchange to GA4GH Passports. No HTTP in here.

Who may have what: a code or a device's answer begins a *family*, one login at one client. Its refresh tokens end with it,
and one that comes back after it was used ends the family, since somebody has a copy.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, Row

from cohelix.access.accounts import Account, Accounts
from cohelix.access.broker_clients import CLI_CLIENT, BrokerClients, Client
from cohelix.access.broker_keys import ALGORITHM, BrokerKeys
from cohelix.access.issuers import ACCESS_TYPE, GRANT_EXCHANGE, NODE_AUDIENCE, PASSPORT_SCOPE, PASSPORT_TYPE
from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import IssuerRefused
from cohelix.db.tables import BROKER_GRANTS

ACCESS_SECONDS: Final = 600
PASSPORT_SECONDS: Final = 300
CODE_SECONDS: Final = 60
DEVICE_SECONDS: Final = 600
LOGIN_SECONDS: Final = 7 * 86_400  # from the login to the end of its last refresh token
POLL_SECONDS: Final = 5
SCOPES: Final = ("openid", "profile", PASSPORT_SCOPE, "offline_access")
GRANT_CODE: Final = "authorization_code"
GRANT_REFRESH: Final = "refresh_token"
GRANT_DEVICE: Final = "urn:ietf:params:oauth:grant-type:device_code"
_LETTERS: Final = "BCDFGHJKLMNPQRSTVWXZ"  # RFC 8628, section 6.1: no vowels, so no words; 20**8 codes
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_FORGOTTEN_SECONDS: Final = 600  # for so long an ended device code is told from one that never was

VisasOf = Callable[[Account], Sequence[str]]
"""Signed visas that are to stand in a person's passport."""
MakePassport = Callable[[Mapping[str, Any], Sequence[str]], str]


@dataclass(frozen=True, slots=True)
class Authorisation:
    """A request for a login that holds: of which client, where the answer goes, and what it is bound to."""

    client: str
    redirect: str
    challenge: str
    scope: str
    audience: str
    state: str
    nonce: str


@dataclass(frozen=True, slots=True)
class DeviceAsk:
    """A program that waits for somebody to allow it a login."""

    key: str
    client: str
    user_code: str


class Broker:
    """What the embedded issuer knows and gives out.

    Parameters
    ----------
    issuer
        Its address, `HUB_URL/broker`.
    hub_url
        The audience of tokens for which none is asked.
    visas_of
        What stands in a person's passport.
    make_passport
        Signs a passport's claims together with its visas.
    """

    def __init__(
        self,
        engine: Engine,
        keys: BrokerKeys,
        *,
        issuer: str,
        hub_url: str,
        visas_of: VisasOf,
        make_passport: MakePassport,
        clock: Clock | None = None,
    ) -> None:
        self._engine, self._clock = engine, clock or SystemClock()
        self.issuer, self.hub_url, self.keys = issuer, hub_url, keys
        self.accounts = Accounts(engine, self._clock)
        self.clients = BrokerClients(engine, hub_url)
        self._visas_of, self._make_passport = visas_of, make_passport

    def metadata(self) -> dict[str, Any]:
        """The discovery document (OpenID Connect Discovery 1.0, RFC 8414)."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "jwks_uri": f"{self.issuer}/jwks.json",
            "device_authorization_endpoint": f"{self.issuer}/device_authorization",
            "revocation_endpoint": f"{self.issuer}/revoke",
            "scopes_supported": list(SCOPES),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": [GRANT_CODE, GRANT_REFRESH, GRANT_DEVICE, GRANT_EXCHANGE],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
            "code_challenge_methods_supported": ["S256"],
            "dpop_signing_alg_values_supported": ["ES256", "RS256"],
            "claims_supported": ["sub", "name", "preferred_username", PASSPORT_SCOPE],
            "authorization_response_iss_parameter_supported": True,
            "request_parameter_supported": False,
            "request_uri_parameter_supported": False,
        }

    # Code flow

    def authorisation(self, asked: Mapping[str, str]) -> Authorisation:
        """Check a request for a login.

        Raises
        ------
        IssuerRefused
            What is wrong. Only where `client_and_redirect` holds may the client be told by a redirect.
        """
        client = self.client_and_redirect(asked)
        if asked.get("response_type") != "code":
            raise IssuerRefused("unsupported_response_type", "only response_type=code is answered")
        if "request" in asked or "request_uri" in asked:
            raise IssuerRefused("request_not_supported", "parameters stand in the request itself")
        if asked.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(asked.get("code_challenge", "")):
            raise IssuerRefused("invalid_request", "PKCE is required, with code_challenge_method=S256")
        return Authorisation(
            client=client.id,
            redirect=asked["redirect_uri"],
            challenge=asked["code_challenge"],
            scope=_scope(asked.get("scope", "")),
            audience=self._audience(client, asked.get("resource", "")),
            state=asked.get("state", "")[:1024],
            nonce=asked.get("nonce", "")[:1024],
        )

    def client_and_redirect(self, asked: Mapping[str, str]) -> Client:
        """The client of a request, whose address for the answer is exactly one that it has registered."""
        client = self.clients.get(asked.get("client_id", ""))
        if client is None:
            raise IssuerRefused("invalid_client", "nobody has registered this client")
        if asked.get("redirect_uri") not in client.redirects:
            raise IssuerRefused("invalid_request", "the client has not registered this redirect_uri")
        return client

    def redirect(self, authorisation: Authorisation, values: Mapping[str, str]) -> str:
        """Where the browser goes with an answer; it says who answers (RFC 9207)."""
        state = {"state": authorisation.state} if authorisation.state else {}
        joint = "&" if "?" in authorisation.redirect else "?"
        return authorisation.redirect + joint + urlencode({**values, **state, "iss": self.issuer})

    def code(self, authorisation: Authorisation, subject: str, auth_time: int) -> str:
        """A code for a client, of somebody who has signed in; it lasts a minute and works once."""
        code = secrets.token_urlsafe(32)
        details = {
            "redirect": authorisation.redirect,
            "challenge": authorisation.challenge,
            "nonce": authorisation.nonce,
            "scope": authorisation.scope,
            "audience": authorisation.audience,
            "auth_time": auth_time,
        }
        with self._engine.begin() as connection:
            self._put(
                connection,
                "code",
                code,
                family=secrets.token_hex(16),
                client=authorisation.client,
                subject=subject,
                details=details,
                seconds=CODE_SECONDS,
            )
        return code

    # Device flow (RFC 8628)

    def begin_device(self, client: Client, asked: Mapping[str, str], jkt: str) -> dict[str, Any]:
        """Codes for a program without a browser: one for itself, one for its person."""
        if not client.public:
            raise IssuerRefused("unauthorized_client", "this client does not use the device flow")
        device, user_code = secrets.token_urlsafe(32), "".join(secrets.choice(_LETTERS) for _ in range(8))
        details = {
            "scope": _scope(asked.get("scope", "")),
            "audience": self._audience(client, asked.get("resource", "")),
            "jkt": jkt,
            "interval": POLL_SECONDS,
        }
        with self._engine.begin() as connection:
            self._put(
                connection,
                "device",
                device,
                family=secrets.token_hex(16),
                client=client.id,
                details=details,
                seconds=DEVICE_SECONDS,
                state="pending",
                user_code=user_code,
            )
        shown = f"{user_code[:4]}-{user_code[4:]}"
        return {
            "device_code": device,
            "user_code": shown,
            "verification_uri": f"{self.issuer}/device",
            "verification_uri_complete": f"{self.issuer}/device?{urlencode({'user_code': shown})}",
            "expires_in": DEVICE_SECONDS,
            "interval": POLL_SECONDS,
        }

    def find_device(self, user_code: str) -> DeviceAsk | None:
        """The program that shows this code, if it still waits; spaces, hyphens and small letters do not matter."""
        code = re.sub(r"[\s-]", "", user_code).upper()
        wanted = sa.select(BROKER_GRANTS).where(BROKER_GRANTS.c.user_code == _hash(code), BROKER_GRANTS.c.state == "pending")
        with self._engine.begin() as connection:
            row = connection.execute(wanted).one_or_none()
        if row is None or row.ends_at <= self._now():
            return None
        return DeviceAsk(row.key, row.client, f"{code[:4]}-{code[4:]}")

    def answer_device(self, key: str, account: Account, auth_time: int, *, allow: bool) -> bool:
        """Allow or deny a waiting program its login; False where it does not wait any more. A user code is used once."""
        waits = BROKER_GRANTS.c.key == key, BROKER_GRANTS.c.state == "pending", BROKER_GRANTS.c.ends_at > self._now()
        with self._engine.begin() as connection:
            row = connection.execute(sa.select(BROKER_GRANTS).where(*waits)).one_or_none()
            if row is None:
                return False
            values = {
                "state": "approved" if allow else "denied",
                "subject": account.subject,
                "details": {**row.details, "auth_time": auth_time},
                "user_code": None,
            }
            return bool(connection.execute(BROKER_GRANTS.update().where(*waits).values(values)).rowcount)

    # Tokens

    def token(self, client: Client, asked: Mapping[str, str], jkt: str) -> dict[str, Any]:
        """The answer of the token endpoint; `jkt` is the thumbprint of the key of the request's proof, empty without one."""
        if client.public and not jkt:
            raise IssuerRefused("invalid_dpop_proof", "this client proves a key of its own with every request (RFC 9449)")
        match asked.get("grant_type"):
            case "authorization_code":
                return self._redeem_code(client, asked, jkt)
            case "refresh_token":
                return self._redeem_refresh(client, asked, jkt)
            case kind if kind == GRANT_DEVICE:
                return self._redeem_device(client, asked, jkt)
            case kind if kind == GRANT_EXCHANGE:
                return self._exchange(client, asked)
        raise IssuerRefused("unsupported_grant_type", "this grant_type is not one of those that discovery names")

    def access_claims(self, token: str) -> dict[str, Any] | None:
        """The claims of an access token of this issuer that still holds, of somebody who may still sign in."""
        claims = self.keys.read(token, "at+jwt")
        now = self._now()
        if claims is None or claims.get("iss") != self.issuer or not claims["iat"] - 60 <= now < claims["exp"]:
            return None
        return claims if self.accounts.of(claims["sub"]) else None

    def userinfo(self, claims: Mapping[str, Any]) -> dict[str, Any]:
        """What the userinfo endpoint tells for an access token."""
        account = self._account(claims["sub"])
        scopes = claims["scope"].split()
        told: dict[str, Any] = {"sub": account.subject}
        if "profile" in scopes:
            told |= {"name": account.shown, "preferred_username": account.name}
        if PASSPORT_SCOPE in scopes:
            told[PASSPORT_SCOPE] = list(self._visas_of(account))
        return told

    def revoke(self, client: Client, token: str) -> None:
        """End the login that a refresh token belongs to (RFC 7009); nothing happens for one that is not known."""
        with self._engine.begin() as connection:
            row = self._row(connection, "refresh", token)
            if row is not None and row.client == client.id:
                self._end_family(connection, row.family)

    def end_logins(self, subject: str) -> None:
        """End every login of a person at every client."""
        with self._engine.begin() as connection:
            connection.execute(BROKER_GRANTS.delete().where(BROKER_GRANTS.c.subject == subject))

    def _redeem_code(self, client: Client, asked: Mapping[str, str], jkt: str) -> dict[str, Any]:
        row = self._spend("code", asked.get("code", ""), client)
        given = row.details
        if given["redirect"] != asked.get("redirect_uri"):
            raise IssuerRefused("invalid_grant", "redirect_uri is another than the code was asked with")
        verifier = asked.get("code_verifier", "")
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        if not _VERIFIER.fullmatch(verifier) or not hmac.compare_digest(challenge, given["challenge"]):
            raise IssuerRefused("invalid_grant", "code_verifier does not fit the code's challenge")
        return self._tokens(client, row, {**given, "jkt": jkt}, given["audience"])

    def _redeem_refresh(self, client: Client, asked: Mapping[str, str], jkt: str) -> dict[str, Any]:
        token = asked.get("refresh_token", "")
        with self._engine.begin() as connection:
            row = self._row(connection, "refresh", token)
        if row is None or row.client != client.id or row.ends_at <= self._now():
            raise IssuerRefused("invalid_grant", "this login has ended")
        if row.details["jkt"] != jkt:
            raise IssuerRefused("invalid_grant", "the refresh token is bound to another key")
        audience = self._audience(client, asked["resource"]) if asked.get("resource") else row.details["audience"]
        if client.public:  # a client with a secret proves itself: its token need not change
            row = self._spend("refresh", token, client)
        return self._tokens(client, row, row.details, audience, None if client.public else token)

    def _redeem_device(self, client: Client, asked: Mapping[str, str], jkt: str) -> dict[str, Any]:
        device, now = asked.get("device_code", ""), self._now()
        with self._engine.begin() as connection:
            row = self._row(connection, "device", device)
            if row is None or row.client != client.id or row.details["jkt"] != jkt:
                refused = IssuerRefused("invalid_grant", "there is no such device code for this program and key")
            elif row.ends_at <= now:
                refused = IssuerRefused("expired_token", "nobody allowed this login in time: begin anew")
            elif row.state == "denied":
                refused = IssuerRefused("access_denied", "the login was denied on the page")
            else:
                fast = now - row.polled_at < row.details["interval"]
                details = {**row.details, "interval": row.details["interval"] + 5 * fast}
                changed = BROKER_GRANTS.update().where(BROKER_GRANTS.c.key == row.key)
                connection.execute(changed.values(polled_at=now, details=details))
                word = "slow_down" if fast else "authorization_pending"
                refused = IssuerRefused(word, "the login waits for its person")
        if row is None or row.state not in ("approved", "used") or refused.error in ("invalid_grant", "expired_token"):
            raise refused
        row = self._spend("device", device, client, fresh="approved")
        return self._tokens(client, row, row.details, row.details["audience"])

    def _exchange(self, client: Client, asked: Mapping[str, str]) -> dict[str, Any]:
        """A passport for one audience in exchange for an access token that is meant for the asking client (RFC 8693)."""
        if client.public:
            raise IssuerRefused("unauthorized_client", "a token is exchanged only by a client that has a secret")
        if asked.get("requested_token_type") != PASSPORT_TYPE or asked.get("subject_token_type") != ACCESS_TYPE:
            raise IssuerRefused("invalid_request", f"an access token is exchanged for a {PASSPORT_TYPE}")
        if asked.get("actor_token"):
            raise IssuerRefused("invalid_request", "actor_token is not understood")
        claims = self.access_claims(asked.get("subject_token", ""))
        if claims is None or PASSPORT_SCOPE not in claims["scope"].split():
            raise IssuerRefused("invalid_request", f"subject_token does not hold, or is without the scope {PASSPORT_SCOPE}")
        if claims["aud"] != client.audience:
            raise IssuerRefused("invalid_request", "subject_token is meant for somebody else")
        audience = asked.get("audience") or asked.get("resource") or client.audience
        if not client.may_ask_for(audience):
            raise IssuerRefused("invalid_target", f"this client gets no passport for {audience[:200]}")
        account, now = self._account(claims["sub"]), self._now()
        passport = self._make_passport(
            {
                "iss": self.issuer,
                "sub": account.subject,
                "aud": audience,
                "iat": now,
                "exp": now + PASSPORT_SECONDS,
                "jti": secrets.token_hex(16),
            },
            self._visas_of(account),
        )
        return {
            "access_token": passport,
            "issued_token_type": PASSPORT_TYPE,
            "token_type": "N_A",
            "expires_in": PASSPORT_SECONDS,
        }

    def _tokens(
        self, client: Client, row: Row[Any], details: Mapping[str, Any], audience: str, kept: str | None = None
    ) -> dict[str, Any]:
        """Access token, id token and, unless one is kept, a new refresh token of the same login."""
        account, now = self._account(row.subject), self._now()
        scope, jkt = details["scope"], details.get("jkt", "")
        access = {
            "iss": self.issuer,
            "sub": account.subject,
            "aud": audience,
            "client_id": client.id,
            "scope": scope,
            "auth_time": details["auth_time"],
            "iat": now,
            "exp": now + ACCESS_SECONDS,
            "jti": secrets.token_hex(16),
            **({"cnf": {"jkt": jkt}} if jkt else {}),
        }
        identity = {
            "iss": self.issuer,
            "sub": account.subject,
            "aud": client.id,
            "name": account.shown,
            "preferred_username": account.name,
            "auth_time": details["auth_time"],
            "iat": now,
            "exp": now + ACCESS_SECONDS,
            **({"nonce": details["nonce"]} if details.get("nonce") else {}),
        }
        refresh = kept or secrets.token_urlsafe(32)
        if kept is None:
            ends_at = details.get("ends_at", details["auth_time"] + LOGIN_SECONDS)
            lasting = {name: details[name] for name in ("scope", "auth_time")}
            lasting |= {"audience": details["audience"], "jkt": jkt, "ends_at": ends_at}
            with self._engine.begin() as connection:
                self._put(
                    connection,
                    "refresh",
                    refresh,
                    family=row.family,
                    client=client.id,
                    subject=account.subject,
                    details=lasting,
                    seconds=ends_at - now,
                )
        return {
            "access_token": self.keys.sign(access, "at+jwt"),
            "token_type": "DPoP" if jkt else "Bearer",
            "expires_in": ACCESS_SECONDS,
            "scope": scope,
            "refresh_token": refresh,
            "id_token": self.keys.sign(identity, "JWT"),
        }

    # The table of grants

    def _spend(self, kind: str, secret: str, client: Client, fresh: str = "fresh") -> Row[Any]:
        """Use a code or token up. One that was used before ends its whole family: somebody has a copy of it."""
        with self._engine.begin() as connection:
            row = self._row(connection, kind, secret)
            mine = row is not None and row.client == client.id and row.ends_at > self._now()
            once = (
                BROKER_GRANTS.update()
                .where(BROKER_GRANTS.c.key == _hash(secret), BROKER_GRANTS.c.state == fresh)
                .values(state="used")
            )
            spent = mine and bool(connection.execute(once).rowcount)
            if mine and not spent and row is not None:
                self._end_family(connection, row.family)
        if row is None or not spent:
            raise IssuerRefused("invalid_grant", f"the {kind} is not known, has ended or was used before")
        return row

    def _put(
        self,
        connection: Connection,
        kind: str,
        secret: str,
        *,
        family: str,
        client: str,
        details: Mapping[str, Any],
        seconds: int,
        subject: str = "",
        state: str = "fresh",
        user_code: str | None = None,
    ) -> None:
        now = self._now()
        connection.execute(BROKER_GRANTS.delete().where(BROKER_GRANTS.c.ends_at <= now - _FORGOTTEN_SECONDS))
        connection.execute(
            BROKER_GRANTS.insert().values(
                key=_hash(secret),
                kind=kind,
                family=family,
                state=state,
                user_code=_hash(user_code) if user_code else None,
                client=client,
                subject=subject,
                details=dict(details),
                polled_at=0,
                ends_at=now + seconds,
            )
        )

    def _row(self, connection: Connection, kind: str, secret: str) -> Row[Any] | None:
        wanted = sa.select(BROKER_GRANTS).where(BROKER_GRANTS.c.key == _hash(secret), BROKER_GRANTS.c.kind == kind)
        return connection.execute(wanted).one_or_none()

    def _end_family(self, connection: Connection, family: str) -> None:
        connection.execute(BROKER_GRANTS.delete().where(BROKER_GRANTS.c.family == family))

    def _account(self, subject: str) -> Account:
        account = self.accounts.of(subject)
        if account is None:
            raise IssuerRefused("invalid_grant", "the account is closed")
        return account

    def _audience(self, client: Client, resource: str) -> str:
        """Whom a token is for: the client's own audience, or for the command line a node that it asks directly."""
        if not resource or resource == client.audience:
            return client.audience
        if client.id == CLI_CLIENT and resource.startswith(NODE_AUDIENCE):
            return resource
        raise IssuerRefused("invalid_target", "no token is given for this resource")

    def _now(self) -> int:
        return int(self._clock.now().timestamp())


def _scope(asked: str) -> str:
    wanted = asked.split()
    if "openid" not in wanted:
        raise IssuerRefused("invalid_scope", "the scope holds openid")
    return " ".join(dict.fromkeys(one for one in wanted if one in SCOPES))


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
