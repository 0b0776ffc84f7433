"""Applications in SQL: events are added one transaction at a time, and what was acknowledged is on disk."""

from __future__ import annotations

import hashlib
import json
import math
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
from pydantic import ValidationError
from sqlalchemy.engine import Connection, Engine

from cohelix.access.applications import Acting, Alarm, Application, Rules, Stage, admit, alarms, due, evolve, replay, timers
from cohelix.access.notify import notices_of
from cohelix.access.outbox import Outbox
from cohelix.access.statements import check_statement, read_statement
from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import BadQuestion, Conflict, NotAuthentic, NotFound
from cohelix.db import serialised
from cohelix.db.tables import APPLICATION_EVENTS, APPLICATIONS
from cohelix.wire.applications import EVENTS, Event, Identity, canonical, read_event
from cohelix.wire.history import links

_REQUEST: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LISTED_MAX: Final = 1000
DRAFTS_MAX: Final = 100  # of one person
Told = Callable[[str, Application, Sequence[Event]], None]
"""Is told of events after they are on disk: the application, its state then, and the new events."""


@dataclass(frozen=True, slots=True)
class ApplicationLine:
    """An application in a list; `changed_at` and `due_at` are moments in UTC."""

    id: str
    applicant: Identity
    title: str
    stage: Stage
    version: int
    changed_at: datetime
    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class History:
    """An application's events as documents, byte for byte as they were kept; statements by number of the event, from 1."""

    application: str
    documents: tuple[dict[str, Any], ...]
    statements: dict[int, str]

    @property
    def head(self) -> str:
        """The link after the last event (`wire.history`)."""
        return links(self.application, self.documents)[-1]


class ApplicationStore:
    """The applications of one hub.

    Parameters
    ----------
    told
        Told of new events once they are kept: the audit log. It is told again of nothing.
    outbox
        Where the notices of an event are written, in its own transaction.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        rules: Rules | None = None,
        clock: Clock | None = None,
        told: Told | None = None,
        outbox: Outbox | None = None,
    ) -> None:
        self._engine, self._clock = engine, clock or SystemClock()
        self._rules, self._told, self._outbox = rules or Rules(), told, outbox

    @property
    def rules(self) -> Rules:
        """What the federation has agreed on."""
        return self._rules

    def create(self, acting: Acting, form: dict[str, Any], *, request: str | None = None) -> tuple[str, Application]:
        """Begin an application; the same `request` of the same person begins one only."""
        name = f"{acting.who.issuer}\n{acting.who.subject}\n{request}" if request else secrets.token_hex(16)
        identifier = f"A-{_digest(name)}"
        return identifier, self._add(identifier, acting, {"event": "created", "form": form}, request or "created")

    def add(
        self,
        identifier: str,
        acting: Acting,
        wanted: dict[str, Any],
        *,
        request: str | None = None,
        statement: str | None = None,
    ) -> Application:
        """Make something happen, as a document of `wire.applications` without time and person.

        Parameters
        ----------
        request
            The sender's own name for this: what was done under it before is not done again, and its state is given;
            it is a conflict if that was something else, or somebody else's.
        statement
            The event as the person has signed it, for this application and after its last event (`access.statements`).

        Raises
        ------
        NotFound
            If there is no such application.
        BadQuestion
            If it is no event, or the statement is not of it.
        NotPermitted, Conflict
            As of `applications.admit`; and where something else has happened since the statement was signed.
        """
        if wanted.get("event") == "created":
            raise BadQuestion("an application is created once")
        return self._add(identifier, acting, wanted, request, statement)

    def get(self, identifier: str) -> Application:
        """An application as it is now, with the clocks that have ended applied; raises `NotFound`."""
        with self._engine.begin() as connection:
            serialised(connection, identifier)
            state, new = self._now(connection, identifier)
        self._tell(identifier, state, new)
        return state

    def events(self, identifier: str) -> tuple[Event, ...]:
        """All that happened, in order; raises `NotFound`."""
        with self._engine.connect() as connection:
            found = _events(connection, identifier)
        if not found:
            raise NotFound("there is no such application")
        return found

    def history(self, identifier: str) -> History:
        """All that happened as it is kept, with what was signed; raises `NotFound`."""
        with self._engine.connect() as connection:
            found = _history(connection, identifier)
        if not found.documents:
            raise NotFound("there is no such application")
        return found

    def run_clocks(self, *, most: int = _LISTED_MAX) -> int:
        """Apply clocks that have ended, in applications that nobody has looked at since; gives how many events that made."""
        with self._engine.connect() as connection:
            ended = APPLICATIONS.c.due_at <= math.floor(self._clock.now().timestamp())
            names = connection.scalars(
                sa.select(APPLICATIONS.c.id).where(ended).order_by(APPLICATIONS.c.due_at).limit(most)
            ).all()
        made = 0
        for name in names:
            before = self._version(name)
            made += self.get(name).version - before
        return made

    def alarms(self) -> list[Alarm]:
        """Clocks of all applications that end soon or have passed (`applications.alarms`); by name and moment nobody's."""
        now, found = self._clock.now(), list[Alarm]()
        with self._engine.connect() as connection:
            waiting = APPLICATIONS.c.stage.in_([Stage.REVIEW.value, Stage.DECIDED.value])
            for name in connection.scalars(sa.select(APPLICATIONS.c.id).where(waiting).limit(_LISTED_MAX)).all():
                found += alarms(replay(_events(connection, name)), self._rules, now)
        return found

    def listed(
        self, *, applicant: Identity | None = None, stages: Sequence[Stage] = (), most: int = _LISTED_MAX
    ) -> list[ApplicationLine]:
        """Applications, the last changed first: of a person, or in some stages, or all."""
        wanted = sa.select(APPLICATIONS).order_by(APPLICATIONS.c.changed_at.desc(), APPLICATIONS.c.id).limit(most)
        if applicant is not None:
            wanted = wanted.where(APPLICATIONS.c.subject == applicant.subject, APPLICATIONS.c.issuer == applicant.issuer)
        if stages:
            wanted = wanted.where(APPLICATIONS.c.stage.in_([stage.value for stage in stages]))
        with self._engine.connect() as connection:
            return [_line(row) for row in connection.execute(wanted).mappings()]

    def _add(
        self, identifier: str, acting: Acting, wanted: dict[str, Any], request: str | None, statement: str | None = None
    ) -> Application:
        if request is not None and not _REQUEST.fullmatch(request):
            raise BadQuestion("a request's name has 1 to 64 letters, digits, dots, dashes and underscores")
        with self._engine.begin() as connection:
            serialised(connection, identifier)
            now = self._clock.now().astimezone(UTC)
            try:
                event = EVENTS.validate_python({**wanted, "at": now, "by": acting.who})
            except ValidationError as error:
                place = ".".join(str(step) for step in error.errors()[0]["loc"][1:])
                raise BadQuestion(f"{place or 'the event'}: {error.errors()[0]['msg']}") from None
            if _holds_nul(event.model_dump(mode="json")):  # PostgreSQL keeps no such text
                raise BadQuestion("a text holds the character NUL")
            if wanted["event"] == "created":
                state, new = self._begin(connection, identifier, event, acting, request)
            else:
                state, new = self._follow(connection, identifier, event, acting, request, statement=statement)
        self._tell(identifier, state, new)
        return state

    def _begin(
        self, connection: Connection, identifier: str, event: Event, acting: Acting, request: str | None
    ) -> tuple[Application, list[Event]]:
        before = _events(connection, identifier)
        if before:  # the same request came before
            return replay(before), []
        admit(None, event, acting, self._rules)
        own = sa.and_(APPLICATIONS.c.subject == acting.who.subject, APPLICATIONS.c.issuer == acting.who.issuer)
        drafts = sa.select(sa.func.count()).where(own, APPLICATIONS.c.stage == Stage.DRAFT.value)
        if (connection.scalar(drafts) or 0) >= DRAFTS_MAX:
            raise Conflict(f"you have {DRAFTS_MAX} drafts: hand in or withdraw one before you begin another")
        state = evolve(None, event)
        connection.execute(APPLICATIONS.insert().values(id=identifier, **self._row(state, event.at)))
        self._keep(connection, identifier, None, state, event, request=request)
        return state, [event]

    def _follow(
        self,
        connection: Connection,
        identifier: str,
        event: Event,
        acting: Acting,
        request: str | None,
        *,
        statement: str | None,
    ) -> tuple[Application, list[Event]]:
        state, new = self._now(connection, identifier)
        if request is not None and (done := _done(connection, identifier, request)) is not None:
            if done != event.model_copy(update={"at": done.at}):
                raise Conflict("this name of a request was given to another one before: nothing was done")
            return state, new
        admit(state, event, acting, self._rules)
        if statement is not None:
            try:
                signed = read_statement(statement)
                check_statement(signed, identifier, event)
            except NotAuthentic as error:
                raise BadQuestion(f"statement: {error.detail}") from None
            if signed.after != _history(connection, identifier).head:
                raise Conflict("something else has happened to the application meanwhile: read it, and sign anew")
        before, state = state, evolve(state, event)
        self._keep(connection, identifier, before, state, event, request=request, statement=statement)
        connection.execute(APPLICATIONS.update().where(APPLICATIONS.c.id == identifier).values(**self._row(state, event.at)))
        return state, [*new, event]

    def _now(self, connection: Connection, identifier: str) -> tuple[Application, list[Event]]:
        """The present state; clocks that have ended are applied and kept first."""
        before = _events(connection, identifier)
        if not before:
            raise NotFound("there is no such application")
        state, new = replay(before), list[Event]()
        while (event := due(state, self._rules, self._clock.now())) is not None:
            earlier, state = state, evolve(state, event)
            self._keep(connection, identifier, earlier, state, event, request=None)
            new.append(event)
        if new:
            row = self._row(state, new[-1].at)
            connection.execute(APPLICATIONS.update().where(APPLICATIONS.c.id == identifier).values(**row))
        return state, new

    def _keep(
        self,
        connection: Connection,
        identifier: str,
        before: Application | None,
        state: Application,
        event: Event,
        *,
        request: str | None,
        statement: str | None = None,
    ) -> None:
        """Write an event down, and who has to know of it."""
        row = {
            "application": identifier,
            "number": state.version,
            "request": request,
            "content": canonical(event),
            "statement": statement,
        }
        connection.execute(APPLICATION_EVENTS.insert().values(**row))
        if self._outbox is not None:
            self._outbox.keep(connection, identifier, state, event, notices_of(before, state, event, self._rules))

    def _row(self, state: Application, changed: datetime) -> dict[str, Any]:
        running = timers(state, self._rules)
        return {
            "subject": state.applicant.subject,
            "issuer": state.applicant.issuer,
            "title": state.form.title,
            "stage": state.stage.value,
            "changed_at": math.floor(changed.timestamp()),
            "due_at": math.ceil(running[0].at.timestamp()) if running else None,
            "version": state.version,
        }

    def _version(self, identifier: str) -> int:
        with self._engine.connect() as connection:
            return int(connection.scalar(sa.select(APPLICATIONS.c.version).where(APPLICATIONS.c.id == identifier)) or 0)

    def _tell(self, identifier: str, state: Application, new: Sequence[Event]) -> None:
        if new and self._told is not None:
            self._told(identifier, state, new)


def _events(connection: Connection, identifier: str) -> tuple[Event, ...]:
    wanted = (
        sa.select(APPLICATION_EVENTS.c.content)
        .where(APPLICATION_EVENTS.c.application == identifier)
        .order_by(APPLICATION_EVENTS.c.number)
    )
    return tuple(read_event(content) for content in connection.scalars(wanted))


def _history(connection: Connection, identifier: str) -> History:
    kept = APPLICATION_EVENTS.c
    wanted = sa.select(kept.number, kept.content, kept.statement).where(kept.application == identifier).order_by(kept.number)
    rows = connection.execute(wanted).all()
    statements = {row.number: row.statement for row in rows if row.statement is not None}
    return History(identifier, tuple(json.loads(row.content) for row in rows), statements)


def _done(connection: Connection, identifier: str, request: str) -> Event | None:
    """What was done under a request's name."""
    named = sa.and_(APPLICATION_EVENTS.c.application == identifier, APPLICATION_EVENTS.c.request == request)
    content = connection.scalar(sa.select(APPLICATION_EVENTS.c.content).where(named))
    return None if content is None else read_event(content)


def _holds_nul(value: object) -> bool:
    if isinstance(value, dict):
        return any(_holds_nul(one) for pair in value.items() for one in pair)
    if isinstance(value, list):
        return any(map(_holds_nul, value))
    return isinstance(value, str) and "\0" in value


def _line(row: Any) -> ApplicationLine:
    return ApplicationLine(
        id=row["id"],
        applicant=Identity(subject=row["subject"], issuer=row["issuer"]),
        title=row["title"],
        stage=Stage(row["stage"]),
        version=row["version"],
        changed_at=datetime.fromtimestamp(row["changed_at"], UTC),
        due_at=None if row["due_at"] is None else datetime.fromtimestamp(row["due_at"], UTC),
    )


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:32]
