"""The relying party's side of OpenID Connect: one configured issuer, asked by discovery for logins, tokens and passports."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import ssl
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import httpx

from cohelix.access.issuers import ACCESS_TYPE, GRANT_EXCHANGE, PASSPORT_TYPE, IssuerSettings, read_secret
from cohelix.access.jose import Key, check_times, check_token, read_key_set, read_token
from cohelix.access.passport import verify_access_token
from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import BadUsage, IssuerRefused, NotAuthentic, Unreachable
from cohelix.wire.passport import AccessTokenClaims

DOCUMENT_BYTES_MAX: Final = 1 << 20
TIMEOUT_SECONDS: Final = 10.0
_METADATA_SECONDS: Final = 3600.0
_KEYS_SECONDS: Final = 30.0  # an unknown key id does not make us ask more often than this
_ID_TOKEN_TYPES: Final = ("JWT", None)  # OpenID Connect Core does not ask for a type
_SUBJECT_MAX: Final = 255
# How long a passport is kept: AAI 1.2.1 has others' issuers asked once an hour; the hub's own is asked often, so that a
# visa that has been granted meanwhile is seen.
PASSPORT_SECONDS: Final = 3600
OWN_PASSPORT_SECONDS: Final = 15
_PASSPORTS_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class Tokens:
    """What an issuer gave for a login, and when the access token ends (seconds since 1970)."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    ends_at: int
    identity: str = field(default="", repr=False)

    def kept(self) -> dict[str, Any]:
        """As a session keeps them."""
        return {"access": self.access, "refresh": self.refresh, "ends_at": self.ends_at}


@dataclass(frozen=True, slots=True)
class Attempt:
    """A login that a browser has begun: what its answer must fit."""

    state: str
    nonce: str
    verifier: str = field(repr=False)

    @classmethod
    def new(cls) -> Attempt:
        """With new random values."""
        return cls(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48))

    @property
    def challenge(self) -> str:
        """Of PKCE, S256."""
        return base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()


class Issuer:
    """One issuer, asked as the client that the settings name; keeps its metadata, keys, and passports that still last.

    Parameters
    ----------
    http
        With which it is asked; the hub gives one that reaches its own embedded issuer without the network.
    passport_seconds
        How long a passport is handed out again before another one is asked for; half of its life at most.
    """

    def __init__(
        self,
        settings: IssuerSettings,
        secret: str,
        *,
        http: httpx.AsyncClient | None = None,
        passport_seconds: int = PASSPORT_SECONDS,
        clock: Clock | None = None,
    ) -> None:
        self.passport_seconds = passport_seconds
        self.settings, self._secret, self._clock = settings, secret, clock or SystemClock()
        loopback = (urlsplit(settings.issuer).hostname or "") in ("127.0.0.1", "::1", "localhost")
        self._http = http or httpx.AsyncClient(timeout=TIMEOUT_SECONDS, follow_redirects=False, trust_env=not loopback)
        self._metadata: tuple[float, dict[str, Any]] | None = None
        self._keys: tuple[float, dict[str, Key]] | None = None
        self._passports: dict[str, tuple[int, str]] = {}

    async def close(self) -> None:
        """End its connections."""
        await self._http.aclose()

    async def metadata(self) -> dict[str, Any]:
        """Its discovery document, at most an hour old; it must name the issuer itself, and addresses no less safe."""
        now = self._clock.monotonic()
        if self._metadata is None or now - self._metadata[0] > _METADATA_SECONDS:
            address = self.settings.issuer.rstrip("/") + "/.well-known/openid-configuration"
            found = await self._document("GET", address)
            if found.get("issuer") != self.settings.issuer:
                raise NotAuthentic(f"the discovery document of {self.settings.issuer} names another issuer")
            for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                if not str(found.get(name, "")).startswith(("https://", _origin(self.settings.issuer) + "/")):
                    raise NotAuthentic(f"the {name} of {self.settings.issuer} is not an https address")
            self._metadata = now, found
        return self._metadata[1]

    async def keys(self, *, fresh: bool = False) -> dict[str, Key]:
        """Its keys by id; `fresh` asks again where the last answer is older than half a minute."""
        now = self._clock.monotonic()
        age = now - self._keys[0] if self._keys else float("inf")
        if self._keys is None or age > _METADATA_SECONDS or (fresh and age > _KEYS_SECONDS):
            self._keys = now, read_key_set(await self._document("GET", (await self.metadata())["jwks_uri"]))
        return self._keys[1]

    async def login_address(self, attempt: Attempt, redirect: str) -> str:
        """Where a browser goes to log in."""
        asked = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": redirect,
            "scope": self.settings.scopes,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": attempt.challenge,
            "code_challenge_method": "S256",
        }
        address = str((await self.metadata())["authorization_endpoint"])
        return f"{address}{'&' if '?' in address else '?'}{urlencode(asked)}"

    async def redeem(self, code: str, attempt: Attempt, redirect: str) -> tuple[Tokens, dict[str, Any]]:
        """Tokens for a code, and the claims of the id token, which is of this login.

        Raises
        ------
        IssuerRefused
            If the issuer does not take the code.
        NotAuthentic
            If what it answers does not hold.
        """
        asked = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect, "code_verifier": attempt.verifier}
        tokens = await self._tokens(asked)
        claims = await self.verified(tokens.identity, audience=self.settings.client_id, types=_ID_TOKEN_TYPES)
        if not secrets.compare_digest(str(claims.get("nonce", "")), attempt.nonce):
            raise NotAuthentic("the id token is of another login")
        return tokens, claims

    async def refresh(self, refresh_token: str) -> Tokens:
        """New tokens; `IssuerRefused` where the login has ended at the issuer."""
        return await self._tokens({"grant_type": "refresh_token", "refresh_token": refresh_token}, refresh_token)

    async def userinfo(self, access_token: str) -> dict[str, Any]:
        """What the issuer tells of the person of an access token."""
        address = (await self.metadata()).get("userinfo_endpoint")
        if not address:
            return {}
        return await self._document("GET", address, headers={"authorization": f"Bearer {access_token}"})

    async def passport(self, access_token: str, audience: str) -> str | None:
        """A passport for an audience in exchange for a person's access token; None where the issuer gives none at all.

        Raises
        ------
        IssuerRefused
            If the token does not hold, or the audience is refused.
        """
        key = hashlib.sha256(f"{audience}\n{access_token}".encode()).hexdigest()
        now = int(self._clock.now().timestamp())
        kept = self._passports.get(key)
        if kept and kept[0] > now:
            return kept[1]
        metadata = await self.metadata()
        if GRANT_EXCHANGE not in metadata.get("grant_types_supported", ()):
            return None
        asked = {
            "grant_type": GRANT_EXCHANGE,
            "requested_token_type": PASSPORT_TYPE,
            "subject_token": access_token,
            "subject_token_type": ACCESS_TYPE,
            "audience": audience,
        }
        answer = await self._ask_tokens(asked)
        self._passports = {name: one for name, one in self._passports.items() if one[0] > now}
        if len(self._passports) < _PASSPORTS_MAX:
            ends = now + min(self.passport_seconds, int(answer.get("expires_in", 0)) // 2)
            self._passports[key] = ends, str(answer["access_token"])
        return str(answer["access_token"])

    def forget_passports(self) -> None:
        """Ask for every passport anew: somebody's visas have changed."""
        self._passports = {}

    async def revoke(self, refresh_token: str) -> None:
        """End a login at the issuer, where it offers that; whether it hears does not matter to ours."""
        with suppress(Unreachable, IssuerRefused, NotAuthentic):
            address = (await self.metadata()).get("revocation_endpoint")
            if address and refresh_token:
                headers, form = self._proof({"token": refresh_token, "token_type_hint": "refresh_token"})
                await self._document("POST", address, headers=headers, form=form)

    async def verified(
        self, token: str, *, audience: str, types: Collection[str | None], what: str = "id token"
    ) -> dict[str, Any]:
        """The claims of a JWT that this issuer has signed for an audience and that holds now; `NotAuthentic` otherwise."""
        read = read_token(token, what=what)
        key = await self._key(read.kid)
        if key is None:
            raise NotAuthentic(f"the {what} names a key that its issuer does not publish")
        check_token(token, read, key, what=what, types=types)
        claims = read.claims
        meant = claims.get("aud")
        if claims.get("iss") != self.settings.issuer or not (
            meant == audience or (isinstance(meant, list) and audience in meant)
        ):
            raise NotAuthentic(f"the {what} is not of this issuer for this server")
        if isinstance(meant, list) and len(meant) > 1 and claims.get("azp", audience) != audience:
            raise NotAuthentic(f"the {what} was issued to another client")
        times = [claims.get(name) for name in ("iat", "exp")] + [claims.get("nbf", 0)]
        subject = claims.get("sub")
        if any(isinstance(time, bool) or not isinstance(time, int | float) for time in times):
            raise NotAuthentic(f"the {what} does not say when it holds")
        if not isinstance(subject, str) or not 0 < len(subject) <= _SUBJECT_MAX:
            raise NotAuthentic(f"the {what} does not say whose it is")
        issued, expires, not_before = (float(time) for time in times if time is not None)
        check_times(what, self._clock.now(), issued=issued, expires=expires, not_before=not_before)
        return dict(claims)

    async def access_claims(self, token: str, audience: str) -> AccessTokenClaims:
        """The claims of an access token of this issuer for an audience; `NotAuthentic` where it does not hold."""
        kid = read_token(token, what="access token").kid
        key = await self._key(kid)
        keys = {(self.settings.issuer, kid): key} if key else {}
        return verify_access_token(token, issuer=self.settings.issuer, audience=audience, keys=keys, now=self._clock.now())

    async def _key(self, kid: str) -> Key | None:
        return (await self.keys()).get(kid) or (await self.keys(fresh=True)).get(kid)

    async def _tokens(self, asked: Mapping[str, str], before: str = "") -> Tokens:
        answer = await self._ask_tokens(asked)
        ends_at = int(self._clock.now().timestamp()) + int(answer.get("expires_in", 300))
        refresh = str(answer.get("refresh_token") or before)
        return Tokens(str(answer["access_token"]), refresh, ends_at, str(answer.get("id_token", "")))

    async def _ask_tokens(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """Ask the token endpoint, with the client's secret in the header (RFC 6749, section 2.3.1)."""
        metadata = await self.metadata()
        headers, form = self._proof(asked)
        answer = await self._document("POST", metadata["token_endpoint"], headers=headers, form=form)
        if not isinstance(answer.get("access_token"), str):
            raise NotAuthentic(f"{self.settings.issuer} answered without a token")
        return answer

    def _proof(self, asked: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
        """Headers and form of a request with the client's secret, in the way that the issuer takes it."""
        methods = self._metadata[1].get("token_endpoint_auth_methods_supported", []) if self._metadata else []
        name = self.settings.client_id
        if "client_secret_post" in methods and "client_secret_basic" not in methods:
            return {}, {**asked, "client_id": name, "client_secret": self._secret}
        pair = f"{quote(name, safe='')}:{quote(self._secret, safe='')}"
        return {"authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}, dict(asked)

    async def _document(
        self, method: str, address: str, *, headers: Mapping[str, str] | None = None, form: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        try:
            async with self._http.stream(method, address, headers=dict(headers or {}), data=form) as answer:
                body = b""
                async for part in answer.aiter_bytes():
                    body += part
                    if len(body) > DOCUMENT_BYTES_MAX:
                        raise NotAuthentic(f"{self.settings.issuer} answered without an end")
            found = httpx.Response(answer.status_code, content=body).json()
        except httpx.HTTPError as error:
            raise Unreachable(f"the issuer {self.settings.issuer} does not answer ({type(error).__name__})") from error
        except ValueError:
            found = None
        if not isinstance(found, dict) or answer.status_code >= 500:
            raise Unreachable(f"the issuer {self.settings.issuer} answered with HTTP {answer.status_code}, and no document")
        if answer.status_code != 200:
            words = str(found.get("error_description") or found.get("detail") or f"HTTP {answer.status_code}")
            raise IssuerRefused(str(found.get("error", "invalid_request"))[:100], words[:500])
        return found


def open_issuer(folder: Path, settings: IssuerSettings, *, hub_url: str = "") -> Issuer:
    """The issuer of a node's or hub's settings, with the secret and the certificates of its folder.

    Parameters
    ----------
    hub_url
        Of the hub that a node has joined: an issuer below it is asked for passports as often as the hub itself asks it, so
        that a grant opens within seconds.

    Raises
    ------
    NotFound, BadUsage
        If a file is not there, may be read by others, or holds no certificates.
    """
    secret = read_secret(folder, settings.client_secret_file)
    own = bool(hub_url) and settings.issuer.startswith(f"{hub_url.rstrip('/')}/")
    seconds = OWN_PASSPORT_SECONDS if own else PASSPORT_SECONDS
    if not settings.tls_ca:
        return Issuer(settings, secret, passport_seconds=seconds)
    try:
        context = ssl.create_default_context(cafile=folder / settings.tls_ca)
    except (OSError, ssl.SSLError) as error:
        raise BadUsage(f"{folder / settings.tls_ca} does not hold certificates of an authority: {error}") from None
    http = httpx.AsyncClient(timeout=TIMEOUT_SECONDS, verify=context)
    return Issuer(settings, secret, http=http, passport_seconds=seconds)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def unverified(token: str) -> dict[str, Any]:
    """What a JWT claims, before anything is verified: to choose whose keys to verify with, or to show; empty for none."""
    try:
        part = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, IndexError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}
