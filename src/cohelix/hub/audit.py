"""The hub's own log for its readers: everybody reads their own entries, auditors all of them, and that they did is an entry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import anyio.to_thread
from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute

from cohelix.access.actor import Actor, Role
from cohelix.access.caller import Caller, CallerOf
from cohelix.audit.bundle import EntryProof, prove
from cohelix.audit.entries import read_entry
from cohelix.audit.events import EVENTS, LogRead, Person
from cohelix.audit.log import AuditLog
from cohelix.audit.store import LogStore, Written
from cohelix.audit.witnessed import Witnessed
from cohelix.core.errors import BadQuestion, NotAuthentic, NotFound, NotPermitted
from cohelix.portal.audit import AuditPages
from cohelix.portal.pages import page_route
from cohelix.wire.audit import EntriesAnswer, EntryRecord, LogState, WitnessedLog

ENTRIES_MAX: Final = 500
_NO_ENTRY: Final = "you have no such entry under a signed checkpoint"
_Number = Annotated[int, Path(ge=0, le=2**62, description="The entry's number")]
_Mine = Annotated[bool, Query(description="Only your own entries, which everybody may read who is logged in")]
_Before = Annotated[int | None, Query(ge=0, le=2**62, description="`next` of the page before")]
_Events = Annotated[tuple[str, ...], Query(alias="event", max_length=len(EVENTS), description="Only these events")]
_Limit = Annotated[int, Query(ge=1, le=ENTRIES_MAX, description="Most entries on a page")]


class Desk:
    """Reads the hub's log for whoever may."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log

    async def entries(
        self, caller: Caller, *, mine: bool, before: int | None, events: Sequence[str], limit: int
    ) -> EntriesAnswer:
        """Entries, newest first: one's own, or all for an auditor, who is written down as their reader first."""
        actor = caller.actor
        if not actor.known:
            raise NotAuthentic("log in to read entries of the audit log")
        if not mine and Role.AUDITOR not in actor.roles:
            raise NotPermitted("only an auditor reads entries of others; ask for your own with mine=true")
        unknown = [one for one in events if one not in EVENTS]
        if unknown:
            raise BadQuestion(f"there is no event {unknown[0][:60]!r}")
        person = Person(actor.subject, actor.issuer)
        store = await anyio.to_thread.run_sync(self._log.store)

        def read() -> list[Written]:
            pseudonym = store.pseudonym_of(person) if mine else None
            if mine and pseudonym is None:
                return []
            return store.search(before=before, person=pseudonym, events=events, limit=limit + 1)

        found = await anyio.to_thread.run_sync(read)
        shown = found[:limit]
        if not mine and shown:
            await self._log.recorded(LogRead(shown[-1].number, len(shown)), by=person)
        more = shown[-1].number if len(found) > limit else None
        return EntriesAnswer(entries=tuple(map(_record, shown)), next=more)

    async def proof(self, caller: Caller, number: int) -> EntryProof:
        """The proof of an entry that the caller may read: one's own, or any for an auditor, who is written down first.

        Raises
        ------
        NotFound
            If there is no such entry under a signed checkpoint, or it is somebody else's.
        """
        actor = caller.actor
        if not actor.known:
            raise NotAuthentic("log in to read entries of the audit log")
        person = Person(actor.subject, actor.issuer)
        store = await anyio.to_thread.run_sync(self._log.store)

        def read() -> tuple[EntryProof, bool]:
            found = prove(store, number)
            entry = read_entry(found.entry.encode())
            return found, entry.by == "person" and entry.who == store.pseudonym_of(person)

        try:
            found, own = await anyio.to_thread.run_sync(read)
        except BadQuestion:
            raise NotFound(_NO_ENTRY) from None
        if not own:
            if Role.AUDITOR not in actor.roles:
                raise NotFound(_NO_ENTRY)
            await self._log.recorded(LogRead(number, 1), by=person)
        return found

    async def state(self) -> LogState:
        """The log's checkpoint, its witnesses, and what the hub has seen of the members' logs."""
        return await anyio.to_thread.run_sync(lambda: _state(self._log.store()))


def audit_entries_router(desk: Desk, caller_of: CallerOf) -> APIRouter:
    """`/api/v1/audit/entries`."""
    router = APIRouter(prefix="/api/v1/audit", tags=["audit"])

    @router.get(
        "/entries", response_model=EntriesAnswer, summary="Entries of the hub's audit log: your own, or all for an auditor"
    )
    async def entries(
        request: Request, mine: _Mine = False, before: _Before = None, event: _Events = (), limit: _Limit = 50
    ) -> JSONResponse:
        caller = await caller_of(request)
        found = await desk.entries(caller, mine=mine, before=before, events=event, limit=limit)
        return JSONResponse(found.model_dump(mode="json"), headers={"cache-control": "no-store"})

    @router.get(
        "/entries/{number}/proof", response_model=EntryProof, summary="The proof of an entry that you may read, to be verified"
    )
    async def proof(request: Request, number: _Number) -> JSONResponse:
        found = await desk.proof(await caller_of(request), number)
        return JSONResponse(found.model_dump(mode="json"), headers={"cache-control": "no-store"})

    return router


def audit_pages(desk: Desk, caller_of: CallerOf) -> list[BaseRoute]:
    """The page `/audit`, to be mounted before the portal's."""
    return [page_route("/audit", AuditPages(desk).audit, caller_of)]


def person_of(actor: Actor) -> Person | None:
    """Whom an entry names; None for somebody unknown."""
    return Person(actor.subject, actor.issuer) if actor.known else None


def _record(row: Written) -> EntryRecord:
    entry = read_entry(row.content.encode())
    return EntryRecord(number=entry.number, at=entry.at, event=entry.event, by=entry.by, who=entry.who, data=entry.data)


def _state(store: LogStore) -> LogState:
    head, signed = store.head(), store.cosignatures()
    logs = tuple(
        WitnessedLog(
            origin=origin,
            size=held.checkpoint.size,
            seen_at=held.seen_at,
            alarm=held.alarm,
            signed_ours=signed[origin].size if origin in signed else None,
        )
        for origin, held in sorted(Witnessed(store).all().items())
    )
    if head is None:
        return LogState(size=0, root="", at="", key="", logs=logs)
    return LogState(size=head.size, root=head.root.hex(), at=head.at, key=head.key, logs=logs)
