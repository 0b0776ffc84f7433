"""Consent at a serving node: brings datasets in step with what people say, and answers the pages where they say it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import anyio.to_thread
import structlog
from sqlalchemy.engine import Engine

from cohelix.access.accounts import Throttle
from cohelix.access.grants import Grants
from cohelix.access.sessions import Sessions
from cohelix.audit.events import ConsentChanged, ReleasePublished
from cohelix.audit.log import AuditLog
from cohelix.bank import Bank
from cohelix.bank.consent import CONSENT, ConsentBook, ConsentMode, Consents, scope_named
from cohelix.bank.life import follow_consent, modes_of, out_of_step
from cohelix.bank.publish import published
from cohelix.core.errors import CohelixError, Conflict
from cohelix.core.ids import DatasetId, NodeId, federation_dataset_id
from cohelix.node.uses import Uses
from cohelix.phenotypes.consents import SCOPES
from cohelix.portal.code_door import CodeDoor
from cohelix.portal.consent import (
    CODE_SECONDS,
    FAILURES_MAX,
    IDLE_SECONDS,
    PAGE,
    PAUSE_SECONDS,
    SESSION_SECONDS,
    ConsentPages,
)

LOOK_SECONDS: Final = 1.0
_AGAIN_SECONDS: Final = 5.0
HOLD_SECONDS: Final = 30.0
"""After so long out of step a dataset answers nothing until it is in step: half of the minute that people are promised."""
_log = structlog.get_logger("cohelix.node")


class ConsentFollower:
    """Looks whether somebody has said something new, or a load has published what it read before, and follows.

    Where a dataset cannot follow because a long load holds it, it answers nothing until it can.
    """

    def __init__(self, folder: Path, node: NodeId, bank: Bank, log: AuditLog) -> None:
        self._folder, self._node, self._bank, self._audit = folder, node, bank, log
        self._seen: object = None
        self._waiting_since: float | None = None
        self._again = 0.0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow while the context lasts."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                await anyio.to_thread.run_sync(self.look, loop.time())
            except (CohelixError, OSError):
                _log.exception("consent not followed")
            await asyncio.sleep(LOOK_SECONDS)

    def look(self, now: float) -> None:
        """Follow what has changed since the last look; `now` is monotonic."""
        seen = _mark(self._folder), published(self._folder)
        if seen == self._seen or now < self._again:
            return
        try:
            steps = follow_consent(self._folder)
        except Conflict as error:
            self._again = now + _AGAIN_SECONDS
            self._waiting_since = now if self._waiting_since is None else self._waiting_since
            if now - self._waiting_since >= HOLD_SECONDS:
                self._hold(error)
            return
        self._waiting_since = None
        for step in steps:
            self._audit.record(
                ReleasePublished(
                    dataset=federation_dataset_id(self._node, step.dataset),
                    version=str(step.version),
                    release=step.release,
                    cause="consent",
                ),
                by=f"node:{self._node}",
            )
        # What was published by following is seen; what somebody said meanwhile is not.
        self._seen = seen[0], published(self._folder)

    def _hold(self, error: Conflict) -> None:
        consents = ConsentBook(self._folder).read()
        for dataset in published(self._folder):
            if out_of_step(self._folder, dataset, consents) and self._bank.hold(dataset):
                _log.warning("dataset answers nothing until it follows consent", dataset=dataset, reason=error.detail)


class Desk:
    """What the pages ask and say."""

    def __init__(self, folder: Path, log: AuditLog, uses: Uses) -> None:
        self._folder, self._audit, self._uses = folder, log, uses

    def choices(self, individual: str) -> Mapping[str, bool]:
        """What a person's data may be used for: as was said, or as the datasets have it that the person is in."""
        consents: Consents = ConsentBook(self._folder).read()
        modes: dict[DatasetId, ConsentMode] = modes_of(self._folder, individual)
        mode: ConsentMode = "opt-out" if "opt-out" in modes.values() else "opt-in"
        return {scope: consents.given(individual, scope, mode) for scope in SCOPES}

    def choose(self, individual: str, choices: Mapping[str, bool]) -> None:
        """Write down in the audit log, and then in the book, what differs from now."""
        now = self.choices(individual)
        changed = {scope_named(scope): given for scope, given in choices.items() if now[scope] != given}
        for said in (False, True):
            scopes = tuple(scope for scope, given in changed.items() if given is said)
            if scopes:
                event = ConsentChanged(individual=self._audit.keyed(individual), scopes=scopes, given=said)
                self._audit.record(event, by="individual", wait=True)
        ConsentBook(self._folder).take({individual: changed})

    def uses(self, individual: str) -> list[dict[str, Any]]:
        """Who used a person's data."""
        return [line.document() for line in self._uses.of(individual)]

    def proof(self, individual: str, number: int) -> dict[str, Any]:
        """The proof of an entry of a person's ledger."""
        return self._uses.proof(individual, number)


def codes(engine: Engine) -> Sessions:
    """One-time codes: the database knows their hashes, and whom each stands for only together with the code."""
    return Sessions(engine, "consent-code", idle_seconds=CODE_SECONDS, absolute_seconds=CODE_SECONDS)


def consent_pages(
    folder: Path, node: NodeId, engine: Callable[[], Engine], log: AuditLog, *, name: str, url: str
) -> ConsentPages:
    """The pages of the node in a folder."""
    uses = Uses(folder, node, log.store, lambda: Grants(engine()), log.keyed)
    door = CodeDoor(
        PAGE,
        "consent",
        codes=lambda: codes(engine()),
        sessions=lambda: Sessions(engine(), "consent", idle_seconds=IDLE_SECONDS, absolute_seconds=SESSION_SECONDS),
        throttle=lambda: Throttle(engine(), failures_max=FAILURES_MAX, seconds=PAUSE_SECONDS),
        url=url,
        refusal="this code is not known, was used already, or has ended: ask the biobank for a new one",
    )
    return ConsentPages(lambda: Desk(folder, log, uses), door, name)


def _mark(folder: Path) -> object:
    """Changes whenever somebody has said something."""
    try:
        state = (folder / CONSENT / "choices").stat()
    except FileNotFoundError:
        return None
    return state.st_ino, state.st_mtime_ns
