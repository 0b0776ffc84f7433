"""Access tokens at a server's door: which issuer signed one, whether it is meant for here, and who may use it (DPoP)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import anyio.to_thread
from starlette.requests import HTTPConnection

from cohelix.access.dpop import verify_dpop
from cohelix.access.jose import read_token
from cohelix.access.oidc import Issuer, unverified
from cohelix.access.sessions import Once
from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import NotAuthentic

TOKEN_MAX = 8192


def path_of(request: HTTPConnection) -> str:
    """A request's path as its sender wrote it, percent signs included: proofs of a key name it so."""
    raw: bytes = request.scope.get("raw_path") or request.url.path.encode()
    return raw.decode("ascii", "replace").partition("?")[0]


@dataclass(frozen=True, slots=True)
class TokenPerson:
    """The person of an access token that holds, and the issuer that can exchange it."""

    subject: str
    issuer: Issuer
    expires: datetime
    token: str = field(repr=False)


class TokenDoor:
    """Verifies the `Authorization` of requests.

    Parameters
    ----------
    issuers
        Whose tokens count, by address.
    audience
        Whom tokens must be meant for: the hub's address, or `urn:cohelix:node:ID`.
    bearer
        Whether a token without a key of its own is taken: whoever has seen it can use it.
    """

    def __init__(
        self,
        issuers: Mapping[str, Issuer],
        audience: str,
        once: Once,
        *,
        bearer: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self._issuers, self._audience, self._once, self._bearer = dict(issuers), audience, once, bearer
        self._clock = clock or SystemClock()

    async def person(self, headers: Mapping[str, str], method: str, url: str) -> TokenPerson:
        """Whose token a request brings, at the address as its sender knows it.

        Raises
        ------
        NotAuthentic
            If the token or the proof of its key does not hold.
        """
        given = [name.lower() for name in headers if name.lower() in ("authorization", "dpop")]
        if len(given) > len(set(given)):  # RFC 9449, section 4.3: which of two was meant cannot be told
            raise NotAuthentic("send one access token, and one proof of its key")
        scheme, _, token = headers.get("authorization", "").partition(" ")
        token = token.strip()
        bound = scheme.lower() == "dpop"
        if not bound and scheme.lower() != "bearer":
            raise NotAuthentic("send the access token as `Authorization: DPoP TOKEN`")
        if not 0 < len(token) <= TOKEN_MAX:
            raise NotAuthentic("the access token is missing, or too long")
        issuer = self._issuers.get(read_token(token, what="access token", characters_max=TOKEN_MAX).issuer)
        if issuer is None:
            raise NotAuthentic("the access token is of an issuer that is not trusted here")
        claims = await issuer.access_claims(token, self._audience)
        wanted = (claims.cnf or {}).get("jkt")
        if bound and isinstance(wanted, str):
            await anyio.to_thread.run_sync(self._prove, headers.get("dpop", ""), method, url, token, wanted)
        elif wanted is not None or not self._bearer:
            raise NotAuthentic("the access token is bound to a key: send it as `Authorization: DPoP`, with its proof")
        return TokenPerson(claims.sub, issuer, datetime.fromtimestamp(claims.exp, UTC), token)

    async def passport_of(self, headers: Mapping[str, str], method: str, url: str) -> str | None:
        """A passport for this server in exchange for a request's token; None where it brings none.

        Raises
        ------
        NotAuthentic
            If the token or the proof of its key does not hold, or the issuer gives a passport of another person.
        IssuerRefused, Unreachable
            If it gives none now.
        """
        if not headers.get("authorization"):
            return None
        person = await self.person(headers, method, url)
        passport = await person.issuer.passport(person.token, self._audience)
        if passport is not None:
            said = unverified(passport)  # the gate verifies it; who has proven the key is known here alone
            if (said.get("sub"), said.get("iss")) != (person.subject, person.issuer.settings.issuer):
                raise NotAuthentic("the passport that the issuer gave is of another person than the access token")
        return passport

    async def close(self) -> None:
        """End the connections to issuers."""
        for issuer in self._issuers.values():
            await issuer.close()

    def _prove(self, proof: str, method: str, url: str, token: str, wanted: str) -> None:
        now = self._clock.now()
        verify_dpop(proof, method=method, url=url, now=now, first=self._once.first, access_token=token, jkt=wanted)
