"""The hub gathers signatures over the list of revoked visas, and publishes it; members' authorities stand in its register."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import anyio.to_thread
import sqlalchemy as sa
import structlog
from fastapi import APIRouter
from sqlalchemy.engine import Engine
from starlette.responses import JSONResponse, Response

from cohelix.access.authority import AUTHORITIES, all_authorities
from cohelix.access.grants import Grants
from cohelix.access.revocation import MEDIA_TYPE, Payload, compose, document_of, sign
from cohelix.access.trust import Trusted
from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import CohelixError, NotFound
from cohelix.db.tables import MEMBER_AUTHORITIES
from cohelix.federation.fan_out import Asked, ask_all
from cohelix.federation.revocations import ADDRESS, QUESTION
from cohelix.federation.transport import Transport
from cohelix.wire.federation import Member
from cohelix.wire.revocations import AskRevocations, AuthorityShown, RevocationsSigned

GATHER_SECONDS: Final = 5.0
_LEARN_SECONDS: Final = (
    2.0  # somebody unknown may bring a visa of an unknown authority: members are not asked more often for it
)
_DEADLINE_SECONDS: Final = 4.0
_ROUNDS_MAX: Final = 3
_log = structlog.get_logger("cohelix.hub")


class HubRevocations:
    """The list of now, renewed long before it ends; an authority that does not answer keeps nobody else from signing.

    Parameters
    ----------
    folder
        The hub's, with the authorities that it holds itself.
    members
        The active members.
    """

    def __init__(
        self,
        folder: Path,
        engine: Engine,
        transport: Transport,
        members: Callable[[], tuple[Member, ...]],
        *,
        hub_url: str,
        clock: Clock | None = None,
    ) -> None:
        self._folder, self._engine, self._transport, self._members = folder, engine, transport, members
        self._hub_url, self._clock = hub_url.rstrip("/"), clock or SystemClock()
        self._grants = Grants(engine, self._clock)
        self._revoked: dict[str, frozenset[str]] = {}  # by member, as it last said
        self._document: dict[str, Any] | None = None
        self._gathering, self._gathered = asyncio.Lock(), float("-inf")
        self._shown: dict[str, tuple[str, AuthorityShown]] = {}
        self._trusted: dict[str, Trusted] = {}
        for row in self._rows():
            self._keep(row.member, AuthorityShown.model_validate(row.shown))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Gather while the context lasts."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def document(self) -> dict[str, Any]:
        """The newest list; raises `NotFound` before there is one."""
        if self._document is None:
            raise NotFound("there is no list of revocations yet: it is being gathered")
        return self._document

    def authorities(self) -> tuple[Trusted, ...]:
        """Who decides about which data: the hub's own authorities, and members' about their own datasets."""
        return (*(one.trusted() for one in all_authorities(self._folder)), *self._trusted.values())

    def key_set(self, authority: str) -> dict[str, Any]:
        """The public keys of an authority as a JWK set; raises `NotFound` where nobody has shown one of this id."""
        issuer = f"{self._hub_url}/{AUTHORITIES}/{authority}"
        for one in self.authorities():
            if one.issuer == issuer:
                return {"keys": list(one.keys)}
        raise NotFound("the federation knows no such authority")

    async def gather(self) -> dict[str, Any]:
        """Ask every authority to sign the list of now; the list with the signatures that came."""
        async with self._gathering:
            for _ in range(_ROUNDS_MAX):
                payload = compose(self._hub_url, await anyio.to_thread.run_sync(self._all_revoked), self._clock.now())
                signatures, complete = await self._signatures(payload)
                if complete:
                    break
            self._document, self._gathered = document_of(payload.encoded(), signatures), self._clock.monotonic()
            return self._document

    async def learn(self, issuer: str) -> None:
        """Ask the members which authorities they have, where one that should be of this federation is not known yet."""
        if not issuer.startswith(f"{self._hub_url}/{AUTHORITIES}/"):
            return
        known = await anyio.to_thread.run_sync(self.authorities)
        if all(one.issuer != issuer for one in known) and self._clock.monotonic() - self._gathered >= _LEARN_SECONDS:
            await self.gather()

    async def _run(self) -> None:
        while True:
            try:
                await self.gather()
            except (CohelixError, sa.exc.SQLAlchemyError, OSError):
                _log.exception("list of revocations not gathered")
            await asyncio.sleep(GATHER_SECONDS)

    def _all_revoked(self) -> frozenset[str]:
        return frozenset[str]().union(*self._grants.revoked().values(), *self._revoked.values())

    async def _signatures(self, payload: Payload) -> tuple[list[dict[str, str]], bool]:
        """Signatures over a payload; and False where a member has revoked a visa that is not in it."""
        encoded = payload.encoded()
        own = await anyio.to_thread.run_sync(all_authorities, self._folder)
        signatures = [sign(encoded, one.issuer, one.keys.current()) for one in own]
        body = AskRevocations(payload=encoded).model_dump_json().encode()
        complete = True
        asked: Asked[RevocationsSigned]
        bodies = [(member, body) for member in self._members()]
        async for asked in ask_all(self._transport, QUESTION, bodies, _read, deadline_seconds=_DEADLINE_SECONDS):
            if asked.answer is None:
                continue
            member, answer = asked.member.id, asked.answer
            await anyio.to_thread.run_sync(self._note_authorities, member, answer.authorities)
            mine = {one.id for owner, one in self._shown.values() if owner == member}
            # Nobody revokes what another authority granted: an identifier begins with its authority's.
            revoked = frozenset(one for one in answer.revoked if one.partition(":")[0] in mine)
            self._revoked[member] = revoked
            complete = complete and revoked <= payload.revoked
            signatures += [one.model_dump() for one in answer.signatures]
            if answer.refused and revoked <= payload.revoked:
                _log.warning("a member did not sign the list of revocations", member=member, reason=answer.refused)
        return signatures, complete

    def _note_authorities(self, member: str, shown: tuple[AuthorityShown, ...]) -> None:
        """Keep what a member shows of its authorities; an id belongs to whoever showed it first, and data to their member."""
        own = {one.id for one in all_authorities(self._folder)}
        for one in shown:
            owner, before = self._shown.get(one.id, (member, None))
            issuer = f"{self._hub_url}/{AUTHORITIES}/{one.id}"
            if owner != member or one.id in own or one.issuer != issuer:
                _log.warning("an authority of another member, or of another federation", member=member, authority=one.id)
                continue
            if one != before and self._keep(member, one):
                with self._engine.begin() as connection:
                    connection.execute(MEMBER_AUTHORITIES.delete().where(MEMBER_AUTHORITIES.c.id == one.id))
                    connection.execute(
                        MEMBER_AUTHORITIES.insert().values(id=one.id, member=member, shown=one.model_dump(mode="json"))
                    )

    def _keep(self, member: str, one: AuthorityShown) -> bool:
        datasets = tuple(name for name in one.datasets if name.startswith(f"{member}:"))
        try:
            trusted = Trusted(
                issuer=one.issuer, role="authority", jwks=f"{one.issuer}/jwks.json", keys=one.keys, datasets=datasets
            )
        except ValueError:
            _log.warning("an authority shows keys or datasets that cannot be its", member=member, authority=one.id)
            return False
        self._shown[one.id], self._trusted[one.issuer] = (member, one), trusted
        return True

    def _rows(self) -> list[Any]:
        with self._engine.begin() as connection:
            return list(connection.execute(sa.select(MEMBER_AUTHORITIES)))


class _Jws(JSONResponse):
    media_type = MEDIA_TYPE


def revocations_router(revocations: HubRevocations) -> APIRouter:
    """The list, and the public keys of the authorities that sign it."""
    router = APIRouter(tags=["access"])

    @router.get(ADDRESS, response_class=_Jws, summary="The revoked visas, signed by each deciding authority")
    async def revoked() -> Response:
        return _Jws(revocations.document(), headers={"cache-control": "no-store"})

    @router.get(f"/{AUTHORITIES}/{{authority}}/jwks.json", summary="An authority's public keys")
    async def keys(authority: str) -> Response:
        found = await anyio.to_thread.run_sync(revocations.key_set, authority)
        return JSONResponse(found, headers={"cache-control": "max-age=300"})

    return router


def _read(_member: Member, body: bytes) -> RevocationsSigned:
    return RevocationsSigned.model_validate_json(body)
