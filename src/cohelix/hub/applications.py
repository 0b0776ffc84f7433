"""Applications at the hub: who may read and do what, files that are attached, agreements."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import Any, Final

import anyio.to_thread
import sqlalchemy as sa
import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy.engine import Engine

from cohelix.access.actor import Role
from cohelix.access.application_store import ApplicationLine, ApplicationStore
from cohelix.access.applications import Acting, Alarm, Application, LineStage, Rules, Stage
from cohelix.access.caller import Caller
from cohelix.access.committee_conditions import check_conditions, enforced
from cohelix.access.mail import plain
from cohelix.access.outbox import Outbox
from cohelix.access.roles import SCOPE_OF, Roles
from cohelix.audit.events import ApplicationChanged, Person
from cohelix.audit.log import AuditLog
from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import BadQuestion, Conflict, Damaged, NotAuthentic, NotFound, NotPermitted, TooLarge
from cohelix.core.private_files import replace_private
from cohelix.db.tables import AGREEMENT_TEXTS
from cohelix.wire.applications import Event, Form, Identity

ATTACHMENT_BYTES_MAX: Final = 16 * 1024 * 1024
CLOCK_SECONDS: Final = 30.0
KEY_FILE: Final = "attachments.key"
_FOLDER: Final = "attachments"
_FILES_BYTES_MAX: Final = 256 * 1024 * 1024  # of one application, with those that others have taken the place of
_AGREEMENT_LINE_MAX: Final = 20_000
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,119}")
# What a committee can open without harm: extension → how such a file begins, and its media type.
_KINDS: Final = {
    ".pdf": ((b"%PDF-",), "application/pdf"),
    ".png": ((b"\x89PNG\r\n\x1a\n",), "image/png"),
    ".jpg": ((b"\xff\xd8\xff",), "image/jpeg"),
    ".jpeg": ((b"\xff\xd8\xff",), "image/jpeg"),
    ".docx": ((b"PK\x03\x04",), "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ".odt": ((b"PK\x03\x04",), "application/vnd.oasis.opendocument.text"),
    ".txt": ((), "text/plain; charset=utf-8"),
    ".csv": ((), "text/plain; charset=utf-8"),
    ".yaml": ((), "text/plain; charset=utf-8"),
}
_log = structlog.get_logger("cohelix.hub")
DecidedBy = Callable[[Sequence[str]], Awaitable[Mapping[str, tuple[str | None, str | None]]]]
"""Who decides about datasets, and of which country they are, as far as their members have said."""


class Applications:
    """The hub's applications, for whoever may read and change them (`portal.application_desk.ApplicationDesk`).

    Parameters
    ----------
    folder
        The hub's, in which attached files lie, encrypted with a key of its own.
    log
        Where every event is written down; who reads an application's truth reads its events, not the log.
    decided_by
        Tells who decides: an applicant's own word for it is not enough when an application is handed in.
    outbox
        Where notices to people are written.
    """

    def __init__(
        self,
        folder: Path,
        engine: Engine,
        log: AuditLog | None = None,
        *,
        rules: Rules | None = None,
        clock: Clock | None = None,
        decided_by: DecidedBy | None = None,
        outbox: Outbox | None = None,
    ) -> None:
        self._engine, self._log, self._clock = engine, log, clock or SystemClock()
        self._decided_by, self._figures = decided_by, _counted(())
        self._changed: list[Callable[[], None]] = []
        self.store = ApplicationStore(engine, rules=rules, clock=self._clock, told=self._told, outbox=outbox)
        self._roles, self._files = Roles(engine, self._clock), _Files(folder)

    def figures(self) -> dict[str, float]:
        """For Prometheus: clocks of committees and countries that end within two days or have passed, and grants that end.

        As they were when clocks last ran, at most half a minute ago.
        """
        return dict(self._figures)

    def watched_by(self, changed: Callable[[], None]) -> None:
        """Call this whenever something has happened to an application; it may be called from any thread."""
        self._changed.append(changed)

    @property
    def rules(self) -> Rules:
        """What the federation has agreed on."""
        return self.store.rules

    async def acting(self, caller: Caller) -> Acting:
        """The caller's duties, with what they are for; `NotAuthentic` where nobody has logged in."""
        return await anyio.to_thread.run_sync(self._acting, caller)

    async def create(self, caller: Caller, form: Mapping[str, Any], request: str | None) -> str:
        """Begin an application; gives its id."""
        acting = await self.acting(caller)
        return (await anyio.to_thread.run_sync(lambda: self.store.create(acting, dict(form), request=request)))[0]

    async def add(self, caller: Caller, identifier: str, event: Mapping[str, Any], request: str | None) -> Application:
        """Make something happen; errors as of `applications.admit`, and `NotFound` for whoever may not read it.

        The event's `statement`, where it has one, is the event as the person has signed it.
        """
        acting = await self.acting(caller)
        wanted = dict(event)
        statement = wanted.pop("statement", None)
        if statement is not None and not isinstance(statement, str):
            raise BadQuestion("statement: the event as you have signed it, a text")
        if event.get("event") == "proposed" and isinstance(event.get("conditions"), list | tuple):
            check_conditions([one for one in event["conditions"] if isinstance(one, str)])
        if event.get("event") == "signing-asked":
            await self._check_deciders(acting, identifier)

        def work() -> Application:
            self._readable(acting, identifier)
            if event.get("event") == "agreement-drawn":
                raise BadQuestion("an agreement is drawn by the hub: ask it to")
            changed = self.store.add(identifier, acting, wanted, request=request, statement=statement)
            # Whoever repeats another's request, or has heard an appeal, is not told what people wrote.
            return changed if _reads_texts(acting, changed) else _without_texts(changed, ())[0]

        return await anyio.to_thread.run_sync(work)

    async def read(self, caller: Caller, identifier: str) -> tuple[Application, Sequence[Event]]:
        """An application and all that happened to it; `NotFound` for whoever may not read it."""
        acting = await self.acting(caller)

        def work() -> tuple[Application, Sequence[Event]]:
            state = self._readable(acting, identifier)
            events = self.store.events(identifier)
            return (state, events) if _reads_texts(acting, state) else _without_texts(state, events)

        return await anyio.to_thread.run_sync(work)

    async def head(self, identifier: str) -> str:
        """The link after an application's last event, which whoever signs the next one names (`wire.history`)."""
        return (await anyio.to_thread.run_sync(self.store.history, identifier)).head

    async def listed(self, caller: Caller) -> Sequence[ApplicationLine]:
        """What the caller may read, the last changed first."""
        acting = await self.acting(caller)

        def work() -> list[ApplicationLine]:
            if not acting.roles - {Role.RESEARCHER, Role.CITIZEN}:
                mine = self.store.listed(applicant=acting.who)
                known = {line.id for line in mine}
                others = [line for line in self.store.listed() if line.id not in known and self._is_member(acting, line.id)]
                return sorted([*mine, *others], key=lambda line: line.changed_at, reverse=True)
            return [line for line in self.store.listed() if may_read(acting, self.store.get(line.id))]

        return await anyio.to_thread.run_sync(work)

    async def attach(self, caller: Caller, identifier: str, name: str, content: bytes) -> None:
        """Attach a file to a draft, in place of one of the same name.

        Raises
        ------
        BadQuestion
            If its name, or what it begins with, is not that of a document which a committee can open.
        TooLarge
            If it is larger than `ATTACHMENT_BYTES_MAX`.
        """
        acting = await self.acting(caller)

        def work() -> None:
            state = self._readable(acting, identifier)
            # What may not be attached is not kept either, or anybody could fill the hub's disk.
            if acting.who != state.applicant:
                raise NotPermitted("only the applicant may do this")
            if state.stage not in (Stage.DRAFT, Stage.RETURNED):
                raise Conflict("only to a draft, or to an application that was returned, files are attached")
            _check_file(name, content)
            digest = hashlib.sha256(content).hexdigest()
            self._files.write(identifier, digest, content)
            form = state.form.model_dump(mode="json")
            form["attachments"] = {**form["attachments"], name: digest}
            self.store.add(identifier, acting, {"event": "edited", "form": form})

        await anyio.to_thread.run_sync(work)

    async def attachment(self, caller: Caller, identifier: str, name: str) -> tuple[bytes, str]:
        """An attached file and its media type."""
        acting = await self.acting(caller)

        def work() -> tuple[bytes, str]:
            state = self._readable(acting, identifier)
            digest = state.form.attachments.get(name)
            if digest is None or not _reads_texts(acting, state):
                raise NotFound("there is no such file")
            return self._files.read(identifier, digest), _KINDS[Path(name).suffix.lower()][1]

        return await anyio.to_thread.run_sync(work)

    async def draw_agreement(self, caller: Caller, identifier: str, datasets: Sequence[str]) -> None:
        """Write the agreement on confirmed datasets, ready to be signed."""
        acting = await self.acting(caller)

        def work() -> None:
            state = self._readable(acting, identifier)
            unknown = [name for name in datasets if name not in state.lines]
            if unknown or not datasets:
                raise BadQuestion(f"the application is not for {unknown[0][:100]}" if unknown else "name the datasets")
            text = agreement_text(identifier, state, sorted(set(datasets)))
            sha256 = hashlib.sha256(text.encode()).hexdigest()
            with self._engine.begin() as connection:
                named = sa.and_(AGREEMENT_TEXTS.c.application == identifier, AGREEMENT_TEXTS.c.sha256 == sha256)
                if connection.execute(sa.select(AGREEMENT_TEXTS.c.sha256).where(named)).first() is None:
                    row = {"application": identifier, "sha256": sha256, "text": text}
                    connection.execute(AGREEMENT_TEXTS.insert().values(**row))
            wanted = {"event": "agreement-drawn", "datasets": sorted(set(datasets)), "sha256": sha256}
            self.store.add(identifier, acting, wanted)

        await anyio.to_thread.run_sync(work)

    async def agreement(self, caller: Caller, identifier: str, sha256: str) -> str:
        """The text of an agreement, which is what was signed."""
        acting = await self.acting(caller)

        def work() -> str:
            state = self._readable(acting, identifier)
            named = sa.and_(AGREEMENT_TEXTS.c.application == identifier, AGREEMENT_TEXTS.c.sha256 == sha256)
            with self._engine.connect() as connection:
                text = connection.scalar(sa.select(AGREEMENT_TEXTS.c.text).where(named))
            if text is None or sha256 not in state.agreements or not _reads_texts(acting, state):
                raise NotFound("there is no such agreement")
            if hashlib.sha256(str(text).encode()).hexdigest() != sha256:
                raise Damaged("the text of the agreement is not the one that was signed")
            return str(text)

        return await anyio.to_thread.run_sync(work)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Clocks run for applications that nobody looks at."""

        async def tick() -> None:
            while True:
                await asyncio.sleep(CLOCK_SECONDS)
                await self.run_clocks()

        task = asyncio.create_task(tick())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def run_clocks(self) -> None:
        """Apply clocks that have ended, and count those that ring."""
        try:
            await anyio.to_thread.run_sync(self.store.run_clocks)
            self._figures = _counted(await anyio.to_thread.run_sync(self.store.alarms))
        except Exception:
            _log.exception("clocks of applications")

    async def _check_deciders(self, acting: Acting, identifier: str) -> None:
        """Refuse lines that name another committee or country than their dataset's; `Conflict` says which."""
        state = await anyio.to_thread.run_sync(self._readable, acting, identifier)
        if self._decided_by is None:
            return
        known = await self._decided_by([line.dataset for line in state.form.lines])
        for line in state.form.lines:
            authority, country = known.get(line.dataset, (None, None))
            if (authority or line.authority) != line.authority or (country or line.country) != line.country:
                raise Conflict(
                    f"{line.dataset} is decided by {authority or line.authority}, and {country or line.country} may veto: "
                    "take it out of the basket, and put it in again"
                )

    def _acting(self, caller: Caller) -> Acting:
        actor = caller.actor
        if not actor.known:
            raise NotAuthentic("log in: applications are for people who are known")
        for_what: dict[str, set[str]] = {}
        for role, name in self._roles.scopes(actor.subject, actor.issuer):
            for_what.setdefault(SCOPE_OF[role], set()).add(name)
        return Acting(
            Identity(subject=actor.subject, issuer=actor.issuer),
            actor.roles,
            frozenset(for_what.get("authority", ())),
            next(iter(sorted(for_what.get("country", ()))), None),
            next(iter(sorted(for_what.get("organisation", ()))), None),
            frozenset(for_what.get("node", ())),
        )

    def _readable(self, acting: Acting, identifier: str) -> Application:
        state = self.store.get(identifier)
        if not may_read(acting, state):
            raise NotFound("there is no such application")
        return state

    def _is_member(self, acting: Acting, identifier: str) -> bool:
        return acting.who in self.store.get(identifier).form.members

    def _told(self, identifier: str, _state: Application, new: Sequence[Event]) -> None:
        """Write every event down, after it is kept; who made it happen, and nothing of what was written in it."""
        for tell in self._changed:
            tell()
        if self._log is None:
            return
        for event in new:
            by = Person(event.by.subject, event.by.issuer) if event.by else "hub"
            changed = ApplicationChanged(application=identifier, what=event.event, dataset=getattr(event, "dataset", ""))
            self._log.record(changed, by=by)


def _counted(ringing: Sequence[Alarm]) -> dict[str, float]:
    return {
        "cohelix_application_clocks_passed": sum(one.passed for one in ringing),
        "cohelix_application_clocks_soon": sum(not one.passed and one.office != "grant" for one in ringing),
        "cohelix_application_grants_ending": sum(not one.passed and one.office == "grant" for one in ringing),
    }


def may_read(acting: Acting, state: Application) -> bool:  # noqa: PLR0911 - one reason after another
    """Whether somebody may know that an application is there: who works on it, decides about it, or audits."""
    if acting.who == state.applicant or acting.who in state.form.members:
        return True
    if state.begun is Stage.DRAFT:
        return False
    if Role.SIGNING_OFFICIAL in acting.roles and acting.organisation == state.form.organisation:
        return True
    if state.begun is Stage.SIGNING:
        return False
    if Role.AUDITOR in acting.roles:
        return True
    if Role.DAC_CHAIR in acting.roles and any(line.stage is LineStage.APPEALED for line in state.lines.values()):
        return True  # an appeal is heard by a chair of another committee
    return any(
        (acting.roles & {Role.DAC_MEMBER, Role.DAC_CHAIR} and line.authority in acting.authorities)
        or (Role.NATIONAL_COORDINATION_POINT in acting.roles and acting.country == line.country)
        or (Role.DATA_HOLDER in acting.roles and line.dataset.partition(":")[0] in acting.nodes)
        for line in state.form.lines
    )


def _reads_texts(acting: Acting, state: Application) -> bool:
    """Whether somebody reads what people wrote; an auditor who is nothing else sees what happened only."""
    others = Acting(
        acting.who, acting.roles - {Role.AUDITOR}, acting.authorities, acting.country, acting.organisation, acting.nodes
    )
    return may_read(others, state)


_TEXTS: Final = ("text", "reason", "comment")


def _without_texts(state: Application, events: Sequence[Event]) -> tuple[Application, Sequence[Event]]:
    blank = Form(lines=state.form.lines, track=state.form.track)
    shown = [
        event.model_copy(
            update={name: "(not shown)" for name in _TEXTS if hasattr(event, name)}
            | ({"form": blank} if hasattr(event, "form") else {})
        )
        for event in events
    ]
    lines = {name: replace(line, proposed=None) for name, line in state.lines.items()}
    return replace(state, form=blank, lines=lines), shown


def agreement_text(identifier: str, state: Application, datasets: Sequence[str]) -> str:
    """The agreement on some datasets of an application, as both sides sign it."""
    # What an applicant or a committee has written is one line each: nobody writes clauses of the agreement in it.
    form = state.form
    people = "\n".join(f"  - {_line_of(one.subject)} ({_line_of(one.issuer)})" for one in (state.applicant, *form.members))
    parts = []
    for name in datasets:
        line = state.lines[name]
        held = enforced(line.conditions)
        conditions = "".join(
            [f"\n      condition, held by the visa: {_line_of(text)}" for text in held.in_visa]
            + [f"\n      condition, held by this agreement: {_line_of(text)}" for text in held.in_agreement]
        )
        conditions = conditions or "\n      no further conditions"
        # The moment makes the text of a renewal another one than that of what it renews.
        confirmed = line.since.astimezone(UTC).isoformat(timespec="seconds")
        parts.append(f"  - {name}, decided by {line.line.authority}, {line.line.country}, confirmed {confirmed}{conditions}")
    months = f"{form.months} months" if form.months else "as long as the visas hold"
    return f"""DATA USE AGREEMENT

Application: {identifier}
Project: {_line_of(form.title)}
User: {_line_of(form.organisation)}
Persons who may use the data:
{people}

1. Data
{chr(10).join(parts)}

2. Purpose
The data are used for this purpose alone: {_line_of(", ".join(form.investigations))}.
Diseases: {_line_of(", ".join(form.diseases)) or "none in particular"}. Commercial use: {_said(form.commercial)}.

3. Time
{months.capitalize()}. Access ends with the visas; it may be suspended or revoked at any time.

4. Duties
Nobody tries to find out who a person is. Nothing but reviewed results leaves the federation. Every use is written down,
and the people whose data are used may see for what. Incidents are reported within 24 hours.
"""


def _line_of(text: str) -> str:
    """A text of somebody's in the agreement."""
    return plain(text, most=_AGREEMENT_LINE_MAX)


def _said(answer: bool | None) -> str:
    return {True: "yes", False: "no", None: "not said"}[answer]


class _Files:
    """Attached files, each encrypted for its application with the hub's own key (AES-256-GCM)."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._key_path = folder / _FOLDER, folder / KEY_FILE

    def write(self, application: str, digest: str, content: bytes) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        kept = sum(file.stat().st_size for file in self._folder.glob(f"{application}-*"))
        if kept + len(content) > _FILES_BYTES_MAX:
            raise TooLarge(f"the files of one application may have {_FILES_BYTES_MAX:,} bytes, former versions included")
        nonce = secrets.token_bytes(12)
        sealed = nonce + AESGCM(self._key()).encrypt(nonce, content, f"{application}/{digest}".encode())
        replace_private(self._folder / f"{application}-{digest}", sealed)

    def read(self, application: str, digest: str) -> bytes:
        try:
            sealed = (self._folder / f"{application}-{digest}").read_bytes()
            return AESGCM(self._key()).decrypt(sealed[:12], sealed[12:], f"{application}/{digest}".encode())
        except FileNotFoundError:
            raise NotFound("there is no such file") from None
        except InvalidTag:
            raise Damaged("an attached file is not what was written") from None

    def _key(self) -> bytes:
        try:
            return self._key_path.read_bytes()
        except FileNotFoundError:
            with suppress(FileExistsError):
                descriptor = os.open(self._key_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(AESGCM.generate_key(256))
                    file.flush()
                    os.fsync(file.fileno())
            return self._key_path.read_bytes()


def _check_file(name: str, content: bytes) -> None:
    kind = _KINDS.get(Path(name).suffix.lower())
    if not _NAME.fullmatch(name) or kind is None:
        raise BadQuestion(f"an attached file is named NAME with one of {', '.join(_KINDS)}")
    if len(content) > ATTACHMENT_BYTES_MAX:
        raise TooLarge(f"an attached file may have {ATTACHMENT_BYTES_MAX:,} bytes")
    beginnings, media_type = kind
    text = media_type.startswith("text/")
    if not content or (beginnings and not content.startswith(beginnings)) or (text and not _is_text(content)):
        raise BadQuestion(f"{name} is not what its name says")


def _is_text(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return b"\0" not in content
