"""Accounts of the embedded issuer: names, scrypt-hashed passwords, accepted terms; and the brake on guessing."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import secrets
import threading
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Engine, Row
from sqlalchemy.exc import IntegrityError

from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import BadUsage, Conflict, NotFound, NotPermitted
from cohelix.db import serialised
from cohelix.db.tables import BROKER_ACCOUNTS, THROTTLES

# OWASP's password storage sheet: scrypt with N = 2**15, r = 8, p = 3, 32 MB.
COST: Final = (15, 8, 3)  # log2 N, r, p; kept with each hash
PASSWORD_MIN: Final = 12  # NIST SP 800-63B-4 asks for length, not for kinds of characters
PASSWORD_MAX: Final = 256
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_HASHING = threading.BoundedSemaphore(2)  # each takes 32 MB and a core for a while


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody whom the embedded issuer knows.

    Attributes
    ----------
    subject
        The `sub` of tokens; never used again for somebody else.
    name, shown
        What is typed at sign-in, and what pages call the person.
    temporary
        Whether the password is the first one, which must be changed before anything else.
    researcher_since, accepted_at
        Since when the operator says that this is a researcher, and when the person has accepted the terms: seconds since
        1970, None for never.
    closed
        Whether nobody may sign in with it any more.
    """

    subject: str
    name: str
    shown: str
    temporary: bool
    researcher_since: int | None
    accepted_at: int | None
    closed: bool


class Accounts:
    """The accounts in one database."""

    def __init__(self, engine: Engine, clock: Clock | None = None) -> None:
        self._engine, self._clock = engine, clock or SystemClock()

    def add(self, name: str, *, shown: str = "", researcher: bool = False, password: str | None = None) -> tuple[Account, str]:
        """Make an account; returns it with its first password, which is told once and kept nowhere.

        Parameters
        ----------
        password
            The person's own, which is then not the first of two.

        Raises
        ------
        BadUsage
            If the name is none, or the password is none.
        Conflict
            If somebody has it.
        """
        if not _NAME.fullmatch(name):
            raise BadUsage(f"{name!r} is not an account's name: use 1 to 64 of a-z, 0-9, '.', '_' and '-'")
        if password is not None:
            _check_password(name, password)
        now, first = self._now(), password or secrets.token_urlsafe(12)
        values = {
            "subject": secrets.token_hex(12),
            "name": name,
            "shown": shown or name,
            "password": hash_password(first),
            "temporary": password is None,
            "researcher_since": now if researcher else None,
            "accepted_at": None,
            "closed": False,
            "made_at": now,
        }
        try:
            with self._engine.begin() as connection:
                connection.execute(BROKER_ACCOUNTS.insert().values(values))
        except IntegrityError:
            raise Conflict(f"there is an account {name!r} already") from None
        return self.named(name), first

    def all(self) -> tuple[Account, ...]:
        """Every account, by name."""
        with self._engine.begin() as connection:
            rows = connection.execute(sa.select(BROKER_ACCOUNTS).order_by(BROKER_ACCOUNTS.c.name)).all()
        return tuple(_account(row) for row in rows)

    def named(self, name: str) -> Account:
        """The account of that name; `NotFound` where there is none."""
        row = self._row(BROKER_ACCOUNTS.c.name == name)
        if row is None:
            raise NotFound(f"there is no account {name!r}")
        return _account(row)

    def of(self, subject: str) -> Account | None:
        """The account of a subject, if it may sign in."""
        row = self._row(BROKER_ACCOUNTS.c.subject == subject)
        return None if row is None or row.closed else _account(row)

    def check(self, name: str, password: str) -> Account | None:
        """The account if the password is its own; takes as long for a name that nobody has."""
        row = self._row(BROKER_ACCOUNTS.c.name == name.strip().lower())
        right = verify_password(password, row.password if row is not None else _nobodys())
        return _account(row) if row is not None and right and not row.closed else None

    def set_password(self, account: Account, password: str) -> None:
        """Replace the first password by the person's own; `BadUsage` says what is wrong with it."""
        _check_password(account.name, password)
        self._change(account.subject, password=hash_password(password), temporary=False)

    def renew(self, name: str) -> str:
        """A new first password for somebody who has lost theirs."""
        password = secrets.token_urlsafe(12)
        self._change(self.named(name).subject, password=hash_password(password), temporary=True)
        return password

    def accept(self, subject: str) -> None:
        """Write down that the person has accepted the terms, now."""
        self._change(subject, accepted_at=self._now())

    def say_researcher(self, name: str, is_one: bool) -> None:
        """Say that a person is a researcher, or no longer."""
        self._change(self.named(name).subject, researcher_since=self._now() if is_one else None)

    def close(self, name: str) -> None:
        """Let nobody sign in with an account any more; its subject stays taken."""
        self._change(self.named(name).subject, closed=True)

    def _change(self, subject: str, **values: object) -> None:
        with self._engine.begin() as connection:
            connection.execute(BROKER_ACCOUNTS.update().where(BROKER_ACCOUNTS.c.subject == subject).values(**values))

    def _row(self, condition: sa.ColumnElement[bool]) -> Row[Any] | None:
        with self._engine.begin() as connection:
            return connection.execute(sa.select(BROKER_ACCOUNTS).where(condition)).one_or_none()

    def _now(self) -> int:
        return int(self._clock.now().timestamp())


class Throttle:
    """Counts attempts by what was tried and by who tried; too many within a time, and there is a pause."""

    def __init__(self, engine: Engine, *, failures_max: int, seconds: int, clock: Clock | None = None) -> None:
        self._engine, self._clock = engine, clock or SystemClock()
        self._max, self._seconds = failures_max, seconds

    def attempt(self, *keys: str) -> None:
        """Count one attempt for each key, before it is known whether it fails.

        Raises
        ------
        NotPermitted
            With the time to wait, where one of the keys has been tried too often; that attempt may not go on.
        """
        now, hashes = self._now(), [_hash(key) for key in keys]
        with self._engine.begin() as connection:
            serialised(connection, "throttles")
            connection.execute(THROTTLES.delete().where(THROTTLES.c.ends_at <= now))
            rows = connection.execute(sa.select(THROTTLES).where(THROTTLES.c.key.in_(hashes))).all()
            waits = [row.ends_at - now for row in rows if row.failures >= self._max]
            for key in hashes if not waits else ():
                counted = THROTTLES.update().where(THROTTLES.c.key == key).values(failures=THROTTLES.c.failures + 1)
                if not connection.execute(counted).rowcount:
                    connection.execute(THROTTLES.insert().values(key=key, failures=1, ends_at=now + self._seconds))
        if waits:
            raise NotPermitted(f"too many attempts failed: try again in {-(-max(waits) // 60)} minutes")

    def forget(self, *keys: str) -> None:
        """Begin anew after a success."""
        with self._engine.begin() as connection:
            connection.execute(THROTTLES.delete().where(THROTTLES.c.key.in_(map(_hash, keys))))

    def _now(self) -> int:
        return int(self._clock.now().timestamp())


def hash_password(password: str) -> str:
    """A password as it is kept: salt and scrypt hash."""
    salt = os.urandom(16)
    return f"scrypt${','.join(map(str, COST))}${_text(salt)}${_text(_scrypt(password, salt, COST))}"


def verify_password(password: str, kept: str) -> bool:
    """Whether a password is the one that is kept."""
    _, cost, salt, wanted = kept.split("$")
    log_n, r, p = (int(one) for one in cost.split(","))
    found = _scrypt(password[:PASSWORD_MAX], base64.b64decode(salt), (log_n, r, p))
    return hmac.compare_digest(found, base64.b64decode(wanted))


def _scrypt(password: str, salt: bytes, cost: tuple[int, int, int]) -> bytes:
    log_n, r, p = cost
    with _HASHING:
        return hashlib.scrypt(password.encode(), salt=salt, dklen=32, n=2**log_n, r=r, p=p, maxmem=64 * 2**20)


def _account(row: Row[Any]) -> Account:
    return Account(
        subject=row.subject,
        name=row.name,
        shown=row.shown,
        temporary=row.temporary,
        researcher_since=row.researcher_since,
        accepted_at=row.accepted_at,
        closed=row.closed,
    )


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _nobodys() -> str:
    """What a password is compared with where nobody has the name: it takes as long."""
    return f"scrypt${','.join(map(str, COST))}${_text(bytes(16))}${_text(bytes(32))}"


def _check_password(name: str, password: str) -> None:
    if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
        raise BadUsage(f"a password has {PASSWORD_MIN} to {PASSWORD_MAX} characters")
    if name in password.lower():
        raise BadUsage("a password does not hold the account's name")
