"""The hub shows members the applications that are for their data, and writes down what they granted and ended.

Whoever holds an authority's keys decides by the events what is granted (`federation.granting`); the hub grants nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Final

import anyio.to_thread
import structlog

from cohelix.access.actor import Role
from cohelix.access.application_store import ApplicationStore
from cohelix.access.applications import Acting, Application, LineStage, LineState, Stage
from cohelix.access.approval import agreed
from cohelix.core.errors import CohelixError
from cohelix.federation.fan_out import Asked, ask_all
from cohelix.federation.transport import Transport
from cohelix.hub.applications import DecidedBy
from cohelix.hub.central import CentralGrants
from cohelix.wire.applications import Identity, Line
from cohelix.wire.federation import Member
from cohelix.wire.grants import APPLICATIONS_MAX, QUESTION, ApplicationShown, AskGrants, GrantsTold, GrantTold

ROUND_SECONDS: Final = 15.0
_WHOLE_ROUNDS: Final = 40  # every so many rounds everything is shown once more: an authority may have revoked by itself
_DEADLINE_SECONDS: Final = 10.0
_HERE: Final = ""  # the hub itself, which is no member
_SHOWN_BYTES_MAX: Final = 1 << 20  # of events in one question
_log = structlog.get_logger("cohelix.hub")


class HubGrants:
    """Shows members applications until they have done what these say.

    Parameters
    ----------
    store
        The applications.
    members
        The active members.
    central
        The hub's own authorities, and who tells which committee and country are a dataset's.
    """

    def __init__(
        self,
        store: ApplicationStore,
        transport: Transport,
        members: Callable[[], tuple[Member, ...]],
        *,
        central: tuple[CentralGrants, DecidedBy] | None = None,
    ) -> None:
        self._store, self._transport, self._members, self._central = store, transport, members, central
        self._done: dict[tuple[str, str], int] = {}  # by member and application, the version after which nothing was left
        self._own: frozenset[str] = frozenset()  # the hub's own authorities
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Show and write down while the context lasts."""
        self._loop = asyncio.get_running_loop()
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def wake(self) -> None:
        """Something happened to an application: the next round begins at once. From any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)

    async def round(self) -> None:
        """Show every member once what it has not dealt with."""
        if self._central is not None:
            await self._centrally(*self._central)
        bodies: list[tuple[Member, bytes]] = []
        for member in self._members():
            shown = await anyio.to_thread.run_sync(self._to_show, member.id)
            bodies += [(member, AskGrants(applications=part).model_dump_json().encode()) for part in _parts(shown)]
        asked: Asked[GrantsTold]
        async for asked in ask_all(self._transport, QUESTION, bodies, _read, deadline_seconds=_DEADLINE_SECONDS):
            if asked.answer is not None:
                await anyio.to_thread.run_sync(self._take, asked.member.id, asked.answer.lines)

    async def _centrally(self, central: CentralGrants, decided_by: DecidedBy) -> None:
        """Let the hub's own authorities do what the applications say that are before them."""
        self._own = frozenset(await anyio.to_thread.run_sync(central.data.authorities))
        if not self._own:
            return
        shown = await anyio.to_thread.run_sync(self._to_show, _HERE)
        names = {line["dataset"] for one in shown for event in one.events for line in event.get("form", {}).get("lines", ())}
        central.data.known = await decided_by(sorted(names))
        for one in shown:
            try:
                told = await anyio.to_thread.run_sync(central.take, one)
            except CohelixError as error:
                _log.warning("the hub's own authority does not grant", application=one.id, reason=error.detail[:300])
                continue
            await anyio.to_thread.run_sync(self._take, _HERE, told)

    async def _run(self) -> None:
        number = 0
        while True:
            self._wake.clear()
            try:
                await self.round()
            except Exception:  # whatever one member says, the others hear of revocations
                _log.exception("applications not shown to members")
            number += 1
            if number % _WHOLE_ROUNDS == 0:
                self._done.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), ROUND_SECONDS)

    def _to_show(self, member: str) -> list[ApplicationShown]:
        found = []
        stages = (Stage.REVIEW, Stage.DECIDED, Stage.CLOSED, Stage.WITHDRAWN)
        for line in self._store.listed(stages=stages):
            if self._done.get((member, line.id)) == line.version:
                continue
            state = self._store.get(line.id)
            if any(self._answers(member, one.line) and _waits(state, one) for one in state.lines.values()):
                kept = self._store.history(line.id)
                found.append(ApplicationShown(id=line.id, events=kept.documents, statements=kept.statements))
            else:
                self._done[member, line.id] = state.version
        return found

    def _take(self, member: str, lines: Sequence[GrantTold]) -> None:
        """Write down what a member says of its own datasets; what it says of others counts for nothing."""
        by_application: dict[str, list[GrantTold]] = {}
        for told in lines:
            if member == _HERE or told.dataset.partition(":")[0] == member:
                by_application.setdefault(told.application, []).append(told)
        for name, mine in by_application.items():
            try:
                state = self._store.get(name)
                for told in mine:
                    state = self._write(member, state, told)
            except (CohelixError, ValueError, OverflowError) as error:
                reason = error.detail if isinstance(error, CohelixError) else str(error)
                _log.warning("a member's word of its grants", member=member, application=name, reason=reason[:300])
                continue
            if not any(told.state in ("waits", "refused") for told in mine):
                self._done[member, name] = state.version
            for told in mine:
                if told.state == "refused":
                    _log.warning("a member does not grant", member=member, dataset=told.dataset, reason=told.why[:300])

    def _answers(self, member: str, line: Line) -> bool:
        """Whether a member, or the hub itself, has the keys of a dataset's committee."""
        if line.authority in self._own:
            return member == _HERE
        return line.dataset.partition(":")[0] == member

    def _write(self, member: str, state: Application, told: GrantTold) -> Application:
        line = state.lines.get(told.dataset)
        if line is None or state.begun is not Stage.REVIEW or not self._answers(member, line.line):
            return state
        by = (
            self._central[0].acting(line.line.authority)
            if self._central and member == _HERE
            else Acting(
                Identity(subject=member, issuer=f"urn:cohelix:node:{member}"),
                frozenset({Role.DATA_HOLDER}),
                nodes=frozenset({member}),
            )
        )
        if told.state == "granted" and line.stage is LineStage.CONFIRMED and agreed(state, line) and told.until:
            until = datetime.fromtimestamp(told.until, UTC).isoformat()
            event = {"event": "granted", "dataset": told.dataset, "visas": list(told.visas), "until": until}
        elif told.state == "ended" and (line.stage is LineStage.GRANTED or line.running is not None):
            event = {"event": "revoked", "dataset": told.dataset, "reason": "The authority has revoked its visas."}
        else:
            return state
        return self._store.add(told.application, by, event)


def _waits(state: Application, line: LineState) -> bool:
    """Whether somebody has, or had, to grant a dataset of an application."""
    return bool(line.visas) or (line.stage is LineStage.CONFIRMED and agreed(state, line))


def _parts(shown: Sequence[ApplicationShown]) -> Iterator[tuple[ApplicationShown, ...]]:
    """Applications in questions that are not too large."""
    part: list[ApplicationShown] = []
    size = 0
    for one in shown:
        length = len(one.model_dump_json())
        if part and (len(part) == APPLICATIONS_MAX or size + length > _SHOWN_BYTES_MAX):
            yield tuple(part)
            part, size = [], 0
        part.append(one)
        size += length
    if part:
        yield tuple(part)


def _read(_member: Member, body: bytes) -> GrantsTold:
    return GrantsTold.model_validate_json(body)
