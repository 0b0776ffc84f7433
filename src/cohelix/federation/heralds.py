"""Tells members whose key gives way to which: the hub tells everybody and changes its own key, a node keeps what it is told."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path

import structlog
from pydantic import ValidationError

from cohelix.audit.events import KeyRotated
from cohelix.audit.log import AuditLog
from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import CohelixError, NotPermitted
from cohelix.federation.door import Answering, Door, json_answering
from cohelix.federation.fan_out import DEADLINE_SECONDS
from cohelix.federation.registry import Registry
from cohelix.federation.signing import PublicKey
from cohelix.federation.successions import (
    SuccessionBook,
    complete_succession,
    forget_former_keys,
    known_of,
    pending_succession,
    succession_content,
)
from cohelix.federation.transport import Transport
from cohelix.wire.federation import Member, Succession, SuccessionsNoted, SuccessionTaken, TellSuccessions
from cohelix.wire.frequency import Wire

_LOOK_SECONDS = 2.0
_AGAIN_SECONDS = 10.0  # a member that was not there, or is of a version that knows no successions
_TOLD_MAX = 1000
_log = structlog.get_logger("cohelix.federation")


class Herald:
    """Keeps the members' keys as they give way to others, and tells every active member of all of them.

    Parameters
    ----------
    folder
        The hub's, with its own identity; `cohelix keys rotate` announces there while the hub serves.
    log
        The hub's audit log, where each member's new key is written down.
    """

    def __init__(
        self,
        folder: Path,
        registry: Registry,
        transport: Transport,
        book: SuccessionBook,
        *,
        log: AuditLog,
        clock: Clock | None = None,
    ) -> None:
        self._folder = folder
        self._audit = log
        self._registry, self._transport, self._book = registry, transport, book
        self._clock = clock or SystemClock()
        self._told: dict[str, str] = {}  # member → digest of what it has noted
        self._tried: dict[str, float] = {}
        self._one = asyncio.Lock()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Tell whoever has not been told, and change the hub's own key when all know it, while the context lasts."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def member_of(self, key: str) -> str:
        """The member that one of whose keys this is; `NotPermitted` where there is none, or it is suspended."""
        for member in self._registry.members():
            if member.key and member.state != "suspended" and key in self._book.keys(member.key, member.id):
                return member.id
        raise NotPermitted("this is no member's key")

    async def take(self, member: str, one: Succession) -> SuccessionTaken:
        """Bind a member to its next key, and tell the others.

        Raises
        ------
        NotPermitted, NotAuthentic, Conflict
            If the document is not this member's, does not hold, or another key follows already.
        """
        if one.who != member:
            raise NotPermitted("a member announces its own key only")
        await asyncio.to_thread(self._bind, member, one)
        await self._audit.recorded(key_rotated(one, f"node/{member}"), by=f"node:{member}")
        _log.info("member's key gives way to another", node=member, old=one.old, new=one.new)
        await self.tell(every=True)
        names = sorted(one.id for one in self._active())
        told = tuple(name for name in names if self._told.get(name) == self._digest())
        return SuccessionTaken(told=told, untold=tuple(name for name in names if name not in told))

    def _bind(self, member: str, one: Succession) -> None:
        now = self._registry.member(member).key
        if now not in (one.old, one.new):
            raise NotPermitted(f"the key that gives way is not the one that {member} is bound to")
        self._book.add(one)
        self._registry.set_key(member, one.old, one.new)

    async def tell(self, *, every: bool = False) -> None:
        """Tell those members who have not noted all of it; those who did not answer lately only with `every`."""
        async with self._one:
            digest, now = self._digest(), self._clock.monotonic()
            waiting = [member for member in self._active() if self._told.get(member.id) != digest]
            due = [one for one in waiting if every or now - self._tried.get(one.id, -_AGAIN_SECONDS) >= _AGAIN_SECONDS]
            if not self._all() or not due:
                return
            body = TellSuccessions(successions=self._all()).model_dump_json().encode()
            for member, noted in zip(due, await asyncio.gather(*(self._ask(one, body) for one in due)), strict=True):
                self._tried[member.id] = now
                if noted:
                    self._told[member.id] = digest

    async def _ask(self, member: Member, body: bytes) -> bool:
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                arrival = await self._transport.ask(member, "successions", body)
        except TimeoutError:
            return False
        if arrival.status != "answered":
            return False
        try:
            SuccessionsNoted.model_validate_json(arrival.body)
        except ValidationError:
            return False
        return True

    async def _run(self) -> None:
        await asyncio.to_thread(forget_former_keys, self._folder, clock=self._clock)
        while True:
            try:
                await self.tell()
                await asyncio.to_thread(self._change_own)
            except (CohelixError, OSError):
                _log.exception("keys that give way could not be told")
            await asyncio.sleep(_LOOK_SECONDS)

    def _change_own(self) -> None:
        """The announced key signs from when every active member knows it, or else from half of the time that both hold."""
        own = pending_succession(self._folder)
        if own is None:
            return
        digest = self._digest()
        untold = [member.id for member in self._active() if self._told.get(member.id) != digest]
        at, until = datetime.fromisoformat(own.at), datetime.fromisoformat(own.until)
        if untold and self._clock.now() < at + (until - at) / 2:
            return
        complete_succession(
            self._folder, note=lambda one: self._audit.record(key_rotated(one, "hub"), by="hub", wait=True), clock=self._clock
        )
        _log.info("the hub's key gives way to another", old=own.old, new=own.new, untold=untold)

    def _active(self) -> list[Member]:
        return [member for member in self._registry.members() if member.state == "active"]

    def _all(self) -> tuple[Succession, ...]:
        own = pending_succession(self._folder)
        known = self._book.all()
        return (*known, *((own,) if own is not None and own not in known else ()))[-_TOLD_MAX:]

    def _digest(self) -> str:
        return hashlib.sha256("\n".join(one.by_new for one in self._all()).encode()).hexdigest()


def key_rotated(one: Succession, origin: str) -> KeyRotated:
    """The entry of an audit log that a key gave way to another; `origin` is the log of whose server it is."""
    document = succession_content(one).decode()
    return KeyRotated(owner=origin, old=one.old, new=one.new, document=document, signature=one.by_old)


def noting(door: Door, peers: Callable[[], dict[str, str]]) -> Answering:
    """A node's answer to the hub's `successions`: keeps those of the hub itself, and of members on the node's own list.

    Parameters
    ----------
    peers
        The key of each member whom the operator of this node knows, by id.
    """

    async def note(message: TellSuccessions) -> Wire:
        hub = door.pinned()
        known = {**peers(), **({hub.hub_url: hub.hub_key} if hub is not None else {})}
        noted = await asyncio.to_thread(known_of, message.successions, known, door.successions)
        return SuccessionsNoted(noted=noted)

    return json_answering(TellSuccessions, note)


def keys_of(book: SuccessionBook) -> Callable[[Member], tuple[PublicKey, ...]]:
    """By which keys a hub knows its members now; also those of an entry that was read before a key gave way."""
    return lambda member: book.keys(member.key, member.id)
