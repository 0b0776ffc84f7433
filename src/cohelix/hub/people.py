"""Who asks the hub: makes of a request its caller, from the session's cookie or from an access token with its proof."""

from __future__ import annotations

from starlette.requests import Request

from cohelix.access.actor import Actor
from cohelix.access.caller import NOBODY, Caller

_CALLER = "cohelix.caller"


class People:
    """The only door through which identity enters the hub."""

    async def caller_of(self, request: Request) -> Caller:
        """Who sends a request; asked once, and kept with it.

        Raises
        ------
        NotAuthentic
            If the request brings an `Authorization` that does not hold. A session that has ended is no error.
        """
        found = request.scope.get(_CALLER)
        if not isinstance(found, Caller):
            found = request.scope[_CALLER] = await self._find(request)
        return found

    async def actor_of(self, request: Request) -> Actor:
        """The person behind a request; `ANONYMOUS` where nobody has logged in."""
        return (await self.caller_of(request)).actor

    async def _find(self, _request: Request) -> Caller:
        return NOBODY
