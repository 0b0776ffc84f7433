"""An OpenID provider of another kind than ours: RS256, opaque tokens, secrets in the form, names at userinfo alone, no refresh.

For programs it signs access tokens that are bound to a key, and exchanges those for passports where it `exchanges`.

It is strict: whatever a client sends that OpenID Connect Core 1.0, RFC 7636 or RFC 6749 does not allow is a fault, and each
code works once.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

_LOGIN = {"response_type", "client_id", "redirect_uri", "scope", "state", "nonce", "code_challenge", "code_challenge_method"}
_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_PASSPORT = "urn:ga4gh:params:oauth:token-type:passport"
_EXCHANGED = {
    *("grant_type", "requested_token_type", "subject_token", "subject_token_type", "audience", "client_id", "client_secret")
}
_REDEEM = {"grant_type", "code", "redirect_uri", "code_verifier", "client_id", "client_secret"}


@dataclass
class StrictProvider:
    """Knows one client and one person, who is signed in already; `claims` changes what the next id token says."""

    url: str
    redirect: str
    client_id: str = "hub@strict"
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(16) + "%+ä")
    subject: str = "8f14e45f-ceea-467f-a4b1"
    claims: dict[str, Any] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    keys: list[tuple[str, RSAKey]] = field(default_factory=list)
    exchanges: bool = False
    exchanged: int = 0
    visas: list[str] = field(default_factory=list)
    passport_claims: dict[str, Any] = field(default_factory=dict)
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)
    _tokens: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.rotate()

    def rotate(self) -> None:
        """Sign with a new key at once; the old one is no longer published."""
        self.keys = [(secrets.token_hex(20).upper(), RSAKey.generate_key(2048))]

    def app(self) -> Starlette:
        """Its endpoints, below a path of its own as tenants have one."""
        return Starlette(
            routes=[
                Route("/realms/genomes/.well-known/openid-configuration", self._discovery),
                Route("/realms/genomes/certs", self._certs),
                Route("/realms/genomes/authorize", self._authorize),
                Route("/realms/genomes/token", self._token, methods=["POST"]),
                Route("/realms/genomes/me", self._me),
            ]
        )

    @property
    def issuer(self) -> str:
        return f"{self.url}/realms/genomes"

    def signed(self, kind: str, **claims: Any) -> str:
        """A document of the person that it signs with its present key, for ten minutes."""
        kid, key = self.keys[0]
        now = int(time.time())
        header = {"alg": "RS256", "kid": kid, "typ": kind} | ({"jku": f"{self.issuer}/certs"} if "visa" in kind else {})
        claims = {"iss": self.issuer, "sub": self.subject, "iat": now, "exp": now + 600, "jti": secrets.token_hex(8)} | claims
        return jwt.encode(header, claims, key, algorithms=["RS256"])

    async def _discovery(self, _request: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize?prompt_style=plain",
                "token_endpoint": f"{self.issuer}/token",
                "userinfo_endpoint": f"{self.issuer}/me",
                "jwks_uri": f"{self.issuer}/certs",
                "response_types_supported": ["code"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "token_endpoint_auth_methods_supported": ["client_secret_post"],
                "grant_types_supported": ["authorization_code", *([_EXCHANGE] if self.exchanges else [])],
                "code_challenge_methods_supported": ["S256"],
            }
        )

    async def _certs(self, _request: Request) -> Response:
        signing = [{**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": "RS256"} for kid, key in self.keys]
        other = {**RSAKey.generate_key(2048).as_dict(private=False), "kid": "for-encryption", "use": "enc", "alg": "RSA-OAEP"}
        return JSONResponse({"keys": [other, *signing]})

    async def _authorize(self, request: Request) -> Response:
        given = dict(request.query_params)
        style = given.pop("prompt_style", "")
        self._expect(style == "plain" and set(given) == _LOGIN, f"a login asked with {sorted(given)}")
        self._expect(len(request.query_params.multi_items()) == len(given) + 1, "a parameter came twice")
        self._expect(given["redirect_uri"] == self.redirect and given["client_id"] == self.client_id, "another client")
        self._expect("openid" in given["scope"].split() and given["response_type"] == "code", "no OpenID login")
        self._expect(given["code_challenge_method"] == "S256" and len(given["code_challenge"]) == 43, "no PKCE")
        code = secrets.token_urlsafe(60)
        self._codes[code] = given
        return RedirectResponse(f"{self.redirect}?{urlencode({'state': given['state'], 'code': code})}", 302)

    async def _token(self, request: Request) -> Response:
        given = dict(parse_qsl((await request.body()).decode(), strict_parsing=True, keep_blank_values=True))
        self._expect("authorization" not in request.headers, "the secret came in a header, which is not offered")
        if given.get("grant_type") == _EXCHANGE:
            return self._exchange(given)
        self._expect(set(given) == _REDEEM, f"the token endpoint was sent {sorted(given)}")
        begun = self._codes.pop(given.get("code", ""), None)
        right = (given.get("client_id"), given.get("client_secret")) == (self.client_id, self.secret)
        proof = base64.urlsafe_b64encode(hashlib.sha256(given.get("code_verifier", "").encode()).digest()).rstrip(b"=").decode()
        if begun is None or not right or proof != begun["code_challenge"] or given["redirect_uri"] != self.redirect:
            return JSONResponse({"error": "invalid_grant"}, 400)
        now, access = int(time.time()), secrets.token_urlsafe(20)
        self._tokens.add(access)
        kid, key = self.keys[0]
        claims = {
            "iss": self.issuer,
            "sub": self.subject,
            "aud": [self.client_id, "https://portal.example"],
            "azp": self.client_id,
            "iat": now,
            "auth_time": now - 3000,
            "exp": now + 60,
            "nonce": begun["nonce"],
            "at_hash": "unused",
        } | self.claims
        identity = jwt.encode({"alg": "RS256", "kid": kid}, claims, key, algorithms=["RS256"])
        return JSONResponse({"access_token": access, "token_type": "bearer", "expires_in": 1, "id_token": identity})

    def _exchange(self, given: dict[str, str]) -> Response:
        self._expect(self.exchanges, "an exchange was asked for, which is not offered")
        self._expect(set(given) == _EXCHANGED, f"an exchange was asked with {sorted(given)}")
        self._expect(given["requested_token_type"] == _PASSPORT, f"an exchange for {given['requested_token_type']}")
        if (given["client_id"], given["client_secret"]) != (self.client_id, self.secret):
            return JSONResponse({"error": "invalid_client"}, 401)
        self.exchanged += 1
        meant = {"aud": [given["audience"], "https://portal.example"], "ga4gh_passport_v1": self.visas}
        passport = self.signed("vnd.ga4gh.passport+jwt", **(meant | self.passport_claims))
        found = {"access_token": passport, "issued_token_type": _PASSPORT, "token_type": "N_A", "expires_in": 600}
        return JSONResponse(found)

    async def _me(self, request: Request) -> Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or token not in self._tokens:
            return JSONResponse({"error": "invalid_token"}, 401)
        return JSONResponse({"sub": self.subject, "name": "The Visitor", "email": "v@strict.example", "email_verified": True})

    def _expect(self, holds: bool, fault: str) -> None:
        if not holds:
            self.faults.append(fault)
