"""Sessions of browsers, kept on the server: the cookie is a key to them and says nothing itself.

The database knows a cookie's hash only. What a session keeps (tokens among it) is sealed with a key that is made of the
cookie, so that whoever reads the database can neither take over a session nor use its tokens.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError

from cohelix.core.clock import Clock, SystemClock
from cohelix.db.tables import SESSIONS, USED_ONCE

IDLE_SECONDS: Final = 30 * 60
ABSOLUTE_SECONDS: Final = 8 * 3600
_SEEN_SECONDS: Final = 60  # how often a session's last use is written down
_KEY_LENGTH: Final = 43  # 32 random bytes, base64url


@dataclass(frozen=True, slots=True)
class Session:
    """One browser's session.

    Attributes
    ----------
    key
        The cookie's value; empty where the session was found without it.
    handle
        What pages name it by.
    issuer, subject
        Whose it is; empty before somebody has logged in.
    content
        What the server keeps with it; empty where it was found without its key.
    made_at, seen_at, ends_at
        Seconds since 1970: begin, last use (to a minute), and the end that no use puts off.
    """

    key: str = field(repr=False)
    handle: str
    issuer: str
    subject: str
    content: Mapping[str, Any] = field(repr=False)
    made_at: int
    seen_at: int
    ends_at: int

    @property
    def form_key(self) -> str:
        """What every form of this session must send back."""
        return _derived(self.key, "form").hex()

    def owns_form(self, given: str) -> bool:
        """Whether a form was made for this session."""
        return bool(self.key) and hmac.compare_digest(self.form_key.encode(), given.encode())


class Sessions:
    """The sessions of one realm (`hub`, `broker`) in a database; they end when idle for a time, and after a time at all."""

    def __init__(
        self,
        engine: Engine,
        realm: str,
        *,
        idle_seconds: int = IDLE_SECONDS,
        absolute_seconds: int = ABSOLUTE_SECONDS,
        clock: Clock | None = None,
    ) -> None:
        self._engine, self._realm, self._clock = engine, realm, clock or SystemClock()
        self._idle, self._absolute = idle_seconds, absolute_seconds

    def begin(self, content: Mapping[str, Any], *, subject: str = "", issuer: str = "") -> Session:
        """A new session with a new key: at every login, whatever cookie the browser had before."""
        key, now = secrets.token_urlsafe(32), self._now()
        session = Session(key, secrets.token_hex(8), issuer, subject, content, now, now, now + self._absolute)
        with self._engine.begin() as connection:
            connection.execute(SESSIONS.delete().where(SESSIONS.c.ends_at <= now))
            connection.execute(
                SESSIONS.insert().values(
                    id=_hash(key),
                    handle=session.handle,
                    realm=self._realm,
                    issuer=issuer,
                    subject=subject,
                    content=_seal(key, content),
                    made_at=now,
                    seen_at=now,
                    ends_at=session.ends_at,
                )
            )
        return session

    def find(self, key: str) -> Session | None:
        """The session of a cookie, if it still lasts."""
        if len(key) != _KEY_LENGTH:
            return None
        now = self._now()
        with self._engine.begin() as connection:
            row = connection.execute(sa.select(SESSIONS).where(SESSIONS.c.id == _hash(key))).one_or_none()
            if row is None or row.realm != self._realm:
                return None
            if row.ends_at <= now or row.seen_at + self._idle <= now:
                connection.execute(SESSIONS.delete().where(SESSIONS.c.id == row.id))
                return None
            if now - row.seen_at >= _SEEN_SECONDS:
                connection.execute(SESSIONS.update().where(SESSIONS.c.id == row.id).values(seen_at=now))
        content = _unseal(key, row.content)
        if content is None:
            return None
        return Session(key, row.handle, row.issuer, row.subject, content, row.made_at, now, row.ends_at)

    def keep(self, session: Session, content: Mapping[str, Any]) -> None:
        """Keep other content with a session."""
        with self._engine.begin() as connection:
            connection.execute(
                SESSIONS.update().where(SESSIONS.c.id == _hash(session.key)).values(content=_seal(session.key, content))
            )

    def end(self, key: str) -> bool:
        """End the session of a cookie; whether there was one, which is true of one caller only."""
        mine = SESSIONS.c.id == _hash(key), SESSIONS.c.realm == self._realm
        with self._engine.begin() as connection:
            return bool(connection.execute(SESSIONS.delete().where(*mine)).rowcount)

    def end_of(self, subject: str, issuer: str, handle: str) -> bool:
        """End one of a person's own sessions; False where there is none of that handle."""
        mine = (*self._of(subject, issuer), SESSIONS.c.handle == handle)
        with self._engine.begin() as connection:
            return bool(connection.execute(SESSIONS.delete().where(*mine)).rowcount)

    def of(self, subject: str, issuer: str) -> tuple[Session, ...]:
        """A person's sessions that still last, the newest first; without their keys and contents."""
        now = self._now()
        lasting = (*self._of(subject, issuer), SESSIONS.c.ends_at > now, SESSIONS.c.seen_at > now - self._idle)
        with self._engine.begin() as connection:
            rows = connection.execute(sa.select(SESSIONS).where(*lasting).order_by(SESSIONS.c.made_at.desc())).all()
        return tuple(Session("", r.handle, r.issuer, r.subject, {}, r.made_at, r.seen_at, r.ends_at) for r in rows)

    def _of(self, subject: str, issuer: str) -> tuple[sa.ColumnElement[bool], ...]:
        return SESSIONS.c.realm == self._realm, SESSIONS.c.issuer == issuer, SESSIONS.c.subject == subject

    def _now(self) -> int:
        return int(self._clock.now().timestamp())


class Once:
    """What may be used once: identifiers of proofs, values of `state`; shared by all processes of a server."""

    def __init__(self, engine: Engine, clock: Clock | None = None) -> None:
        self._engine, self._clock = engine, clock or SystemClock()

    def first(self, key: str, seconds: int) -> bool:
        """Whether this is the first use; it is remembered for so many seconds."""
        now = int(self._clock.now().timestamp())
        try:
            with self._engine.begin() as connection:
                connection.execute(USED_ONCE.delete().where(USED_ONCE.c.ends_at <= now))
                connection.execute(USED_ONCE.insert().values(key=_hash(key), ends_at=now + seconds))
        except IntegrityError:
            return False
        return True


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _derived(key: str, what: str) -> bytes:
    return hmac.new(key.encode(), what.encode(), "sha256").digest()


def _seal(key: str, content: Mapping[str, Any]) -> bytes:
    nonce = os.urandom(12)
    return nonce + AESGCM(_derived(key, "content")).encrypt(nonce, json.dumps(content).encode(), None)


def _unseal(key: str, sealed: bytes) -> dict[str, Any] | None:
    try:
        opened: dict[str, Any] = json.loads(AESGCM(_derived(key, "content")).decrypt(sealed[:12], sealed[12:], None))
    except InvalidTag:
        return None
    return opened
