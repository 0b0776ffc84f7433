"""Notices in SQL: written in the transaction of the event that they tell of, read in the portal, and sent by e-mail.

A notice is one row for one person and one event, so that nobody finds it twice. Its mail goes out at least once: it is
claimed before it is sent and settled after, and it bears the same Message-ID each time.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from cohelix.access.applications import Application
from cohelix.access.notify import Duty, Matter, Notice
from cohelix.access.roles import SCOPE_OF
from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import BadQuestion
from cohelix.db import reading
from cohelix.db.tables import CONTACTS, NOTICES, ROLE_SCOPES, ROLES
from cohelix.wire.applications import Event, Identity

TRIES_MAX: Final = 14  # with the pauses below about two days
MAILS_A_DAY: Final = 100  # to one person; what is more is in the portal alone
UNREAD_SHOWN: Final = 99
KEPT_SECONDS: Final = 400 * 86_400
_TOLD_MAX: Final = 500  # people whom one event is told
_FIRST_PAUSE: Final = 60
_LONGEST_PAUSE: Final = 6 * 3600
_DAY: Final = 86_400
_UNKNOWN: Final = "no address is known"
_UNWANTED: Final = "mail is not wanted"
_UNSENT: Final = (_UNKNOWN, _UNWANTED)
_FAULTS_SHOWN: Final = 10
_PLACE_MAX: Final = 100_000
# RFC 5321 allows more; this is what mail servers take, and nothing in it can end a header.
_ADDRESS: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63}){0,10}")
_ID: Final = re.compile(r"N-[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Told:
    """A notice as its reader has it.

    Attributes
    ----------
    id
        The same for ever; a mail's Message-ID is made of it.
    title
        The application's when the event happened; empty where the reader is not told.
    due, at
        By when there is something to do, and when the event happened, in UTC.
    """

    id: str
    application: str
    matter: Matter
    dataset: str
    title: str
    due: datetime | None
    at: datetime
    read: bool


@dataclass(frozen=True, slots=True)
class Letter:
    """A notice that is to be sent, to which address and in which language; `tries` counts this one."""

    notice: Told
    address: str
    tries: int
    language: str = ""


@dataclass(frozen=True, slots=True)
class Contact:
    """Where somebody's mail goes.

    Attributes
    ----------
    by_operator
        Whether the hub's operator has said so: a login does not change it.
    wanted
        Whether the person wants notices by e-mail.
    language
        In which the person is written to, as BCP 47; empty for English.
    """

    issuer: str
    subject: str
    address: str
    by_operator: bool
    wanted: bool
    language: str = ""


@dataclass(frozen=True, slots=True)
class Mails:
    """How the mails are that have not gone out: those to be tried, those given up, and what was said of both, how often."""

    waiting: int
    given_up: int
    faults: tuple[tuple[str, int], ...]


class Outbox:
    """The notices of one hub.

    Parameters
    ----------
    mailing
        Whether new notices are to be sent by e-mail; what was written before that stays in the portal alone.
    """

    def __init__(self, engine: Engine, clock: Clock | None = None, *, mailing: bool = False) -> None:
        self._engine, self._clock, self._mailing = engine, clock or SystemClock(), mailing

    def keep(
        self, connection: Connection, application: str, state: Application, event: Event, notices: Iterable[Notice]
    ) -> None:
        """Write down an event's notices, in the transaction that writes the event."""
        rows = dict[Identity, dict[str, Any]]()
        for notice in notices:
            for person in _readers(connection, notice.to, state, event):
                rows.setdefault(person, self._row(application, state, event, notice, person))
        if rows:
            connection.execute(NOTICES.insert(), list(rows.values())[:_TOLD_MAX])

    def of(self, person: Identity, *, start: int = 0, most: int = 50, unread: bool = False) -> list[Told]:
        """A person's notices, the newest first."""
        if not 0 <= start <= _PLACE_MAX:
            raise BadQuestion(f"a place in a list is a number up to {_PLACE_MAX}")
        newest = (NOTICES.c.made_at.desc(), NOTICES.c.application, NOTICES.c.number.desc())
        wanted = sa.select(NOTICES).where(*_of(NOTICES, person)).order_by(*newest).offset(start).limit(most)
        if unread:
            wanted = wanted.where(NOTICES.c.read_at.is_(None))
        with reading(self._engine).connect() as connection:
            return [_told(row) for row in connection.execute(wanted).mappings()]

    def unread(self, person: Identity) -> int:
        """How many of them the person has not read; `UNREAD_SHOWN` + 1 for more."""
        some = sa.select(NOTICES.c.id).where(*_of(NOTICES, person), NOTICES.c.read_at.is_(None)).limit(UNREAD_SHOWN + 1)
        with reading(self._engine).connect() as connection:
            return len(connection.execute(some).all())

    def mark_read(self, person: Identity, ids: Sequence[str] | None = None) -> None:
        """Remember that a person has read these of their own notices, or all; others' stay as they are."""
        if ids is not None and not all(_ID.fullmatch(one) for one in ids):
            raise BadQuestion("a notice's id is N- and 32 hexadecimal digits")
        mine = sa.and_(*_of(NOTICES, person), NOTICES.c.read_at.is_(None))
        wanted = mine if ids is None else sa.and_(mine, NOTICES.c.id.in_(ids))
        with self._engine.begin() as connection:
            connection.execute(NOTICES.update().where(wanted).values(read_at=self._now()))

    def forget_old(self) -> int:
        """Delete notices of more than `KEPT_SECONDS` ago: what they tell is in the applications' events."""
        with self._engine.begin() as connection:
            return connection.execute(NOTICES.delete().where(NOTICES.c.made_at < self._now() - KEPT_SECONDS)).rowcount

    def claim(self, most: int = 20) -> list[Letter]:
        """Mails that are due: nobody else gets them, and they come again after a pause unless they are settled.

        What has no address, or is not wanted, or is too much for one person and day, is settled here.
        """
        now, letters = self._now(), list[Letter]()
        waiting = sa.select(NOTICES).where(NOTICES.c.mail_at <= now).order_by(NOTICES.c.mail_at, NOTICES.c.id).limit(most)
        with self._engine.begin() as connection:
            for row in connection.execute(waiting).mappings().all():
                address, language, fault = _address_of(connection, row, now)
                tries = row["mail_tries"] + 1
                again = None if fault else now + pause(tries)
                mine = sa.and_(NOTICES.c.id == row["id"], NOTICES.c.mail_at == row["mail_at"])
                changed = NOTICES.update().where(mine).values(mail_at=again, mail_tries=tries, mail_fault=fault)
                if connection.execute(changed).rowcount and not fault:
                    letters.append(Letter(_told(row), address, tries, language))
        return letters

    def sent(self, letter: Letter) -> None:
        """Settle a mail that the server has taken."""
        self._settle(letter, mail_at=None, mailed_at=self._now(), mail_fault="")

    def failed(self, letter: Letter, fault: str, *, for_good: bool) -> None:
        """Remember why a mail did not go; it is tried again unless that makes no sense, or was done often enough."""
        over = for_good or letter.tries >= TRIES_MAX
        again = None if over else self._now() + pause(letter.tries)
        self._settle(letter, mail_at=again, mail_fault=fault[:200])

    def mails(self) -> Mails:
        """How it is with the mails; those for which there is no address are not counted."""
        number = sa.func.count()
        gone = sa.and_(NOTICES.c.mail_at.is_(None), NOTICES.c.mailed_at.is_(None), NOTICES.c.mail_tries > 0)
        tried = NOTICES.c.mail_fault.not_in(["", *_UNSENT])
        faults = sa.select(NOTICES.c.mail_fault, number).where(tried).group_by(NOTICES.c.mail_fault).order_by(number.desc())
        with reading(self._engine).connect() as connection:
            waiting = connection.scalar(sa.select(number).where(NOTICES.c.mail_at.is_not(None)))
            given_up = connection.scalar(sa.select(number).where(gone, tried))
            said = connection.execute(faults.limit(_FAULTS_SHOWN)).all()
        return Mails(waiting or 0, given_up or 0, tuple((row[0], row[1]) for row in said))

    def contact(self, person: Identity) -> Contact | None:
        """Where a person's mail goes; None where that is not known."""
        with reading(self._engine).connect() as connection:
            row = connection.execute(sa.select(CONTACTS).where(*_of(CONTACTS, person))).one_or_none()
        return None if row is None else _contact(row)

    def contacts(self) -> list[Contact]:
        """Everybody's, by person."""
        wanted = sa.select(CONTACTS).order_by(CONTACTS.c.issuer, CONTACTS.c.subject)
        with reading(self._engine).connect() as connection:
            rows = connection.execute(wanted).all()
        return [_contact(row) for row in rows]

    def set_contact(self, person: Identity, address: str, *, by_operator: bool, language: str = "") -> bool:
        """Keep a person's address, and the language if one is given; False where a login brings another address than the
        operator has said.

        Raises
        ------
        BadQuestion
            If it is none that mail can be sent to.
        """
        if not is_address(address):
            raise BadQuestion("that is not an e-mail address: NAME@HOST in plain letters, without a display name")
        mine = sa.and_(*_of(CONTACTS, person))
        with self._engine.begin() as connection:
            known = connection.execute(sa.select(CONTACTS).where(mine)).one_or_none()
            if known is not None and language and known.language != language:
                connection.execute(CONTACTS.update().where(mine).values(language=language[:20]))
            if known is not None and known.by_operator and not by_operator:
                return bool(known.address == address)
            values = {"address": address, "by_operator": by_operator, "changed_at": self._now()}
            if known is None:
                person_row = {"issuer": person.issuer, "subject": person.subject}
                connection.execute(CONTACTS.insert().values(**person_row, wanted=True, language=language[:20], **values))
            elif (known.address, known.by_operator) != (address, by_operator):
                connection.execute(CONTACTS.update().where(mine).values(**values))
        return True

    def want_mail(self, person: Identity, wanted: bool) -> None:
        """Remember whether a person wants notices by e-mail; nothing where no address is known."""
        with self._engine.begin() as connection:
            connection.execute(CONTACTS.update().where(*_of(CONTACTS, person)).values(wanted=wanted))

    def forget_contact(self, person: Identity) -> bool:
        """Forget a person's address; False where none was known."""
        with self._engine.begin() as connection:
            return bool(connection.execute(CONTACTS.delete().where(*_of(CONTACTS, person))).rowcount)

    def _row(self, application: str, state: Application, event: Event, notice: Notice, person: Identity) -> dict[str, Any]:
        return {
            "id": notice_id(application, state.version, person),
            "application": application,
            "number": state.version,
            "issuer": person.issuer,
            "subject": person.subject,
            "matter": notice.matter.value,
            "dataset": notice.dataset,
            "title": state.form.title if notice.titled else "",
            "due_at": None if notice.due is None else math.ceil(notice.due.timestamp()),
            "made_at": math.floor(event.at.timestamp()),
            "read_at": None,
            "mail_at": self._now() if self._mailing else None,
            "mail_tries": 0,
            "mailed_at": None,
            "mail_fault": "",
        }

    def _settle(self, letter: Letter, **values: Any) -> None:
        with self._engine.begin() as connection:
            connection.execute(NOTICES.update().where(NOTICES.c.id == letter.notice.id).values(**values))

    def _now(self) -> int:
        return math.floor(self._clock.now().timestamp())


def notice_id(application: str, number: int, person: Identity) -> str:
    """The id of what one person is told of one event of an application."""
    name = f"{application}\n{number}\n{person.issuer}\n{person.subject}"
    return f"N-{hashlib.sha256(name.encode()).hexdigest()[:32]}"


def pause(tries: int) -> int:
    """Seconds until a mail is tried again after so many tries."""
    return int(min(_FIRST_PAUSE * 2 ** (tries - 1), _LONGEST_PAUSE))


def is_address(text: str) -> bool:
    """Whether mail can be sent there: one address in ASCII, without a name beside it."""
    return len(text) <= 254 and _ADDRESS.fullmatch(text) is not None and not any(one in text for one in ("..", "=?"))


def _readers(connection: Connection, to: Identity | Duty, state: Application, event: Event) -> Iterator[Identity]:
    """Who is meant by a notice, without whoever made the event happen."""
    if isinstance(to, Identity):
        yield from (one for one in (to,) if one != event.by)
        return
    apart = {event.by, state.applicant, *state.form.members, *to.but}
    yield from (one for one in _with_duty(connection, to) if one not in apart)


def _with_duty(connection: Connection, duty: Duty) -> list[Identity]:
    table = ROLE_SCOPES if duty.what else ROLES
    wanted = [table.c.role.in_([role.value for role in duty.roles])]
    if duty.what:
        wanted.append(table.c.scope.in_([f"{kind}:{duty.what}" for kind in sorted({SCOPE_OF[role] for role in duty.roles})]))
    person = table.c.issuer, table.c.subject
    people = sa.select(*person).distinct().where(*wanted).order_by(*person).limit(_TOLD_MAX)
    return [Identity(subject=row.subject, issuer=row.issuer) for row in connection.execute(people)]


def _contact(row: Any) -> Contact:
    return Contact(row.issuer, row.subject, row.address, row.by_operator, row.wanted, row.language)


def _address_of(connection: Connection, row: Any, now: int) -> tuple[str, str, str]:
    """Where and in which language a notice is sent, or why it is not."""
    person = Identity(subject=row["subject"], issuer=row["issuer"])
    contact = connection.execute(sa.select(CONTACTS).where(*_of(CONTACTS, person))).one_or_none()
    if contact is None:
        return "", "", _UNKNOWN
    if not contact.wanted:
        return "", "", _UNWANTED
    waiting = sa.and_(NOTICES.c.mail_tries > 0, NOTICES.c.mail_at.is_not(None), NOTICES.c.id != row["id"])
    counted = sa.or_(NOTICES.c.mailed_at > now - _DAY, waiting)
    today = sa.select(sa.func.count()).where(*_of(NOTICES, person), counted)
    if (connection.scalar(today) or 0) >= MAILS_A_DAY:
        return "", "", "too many in a day"
    return contact.address, contact.language, ""


def _of(table: sa.Table, person: Identity) -> tuple[sa.ColumnElement[bool], ...]:
    return table.c.issuer == person.issuer, table.c.subject == person.subject


def _told(row: Any) -> Told:
    return Told(
        id=row["id"],
        application=row["application"],
        matter=Matter(row["matter"]),
        dataset=row["dataset"],
        title=row["title"],
        due=None if row["due_at"] is None else datetime.fromtimestamp(row["due_at"], UTC),
        at=datetime.fromtimestamp(row["made_at"], UTC),
        read=row["read_at"] is not None,
    )
