"""The hub's members: who was invited, joined, observes or is suspended, with which key, and when last seen.

One JSON document in the hub's folder, replaced atomically under a file lock, so that `cohelix hub invite` may run
beside a hub that serves. What a member last declared and when it was last seen is written at most once a minute.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import json
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import structlog
from pydantic import Field, ValidationError

from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import BadUsage, Conflict, Damaged, NotFound, NotPermitted
from cohelix.core.ids import node_id
from cohelix.core.private_files import replace_private
from cohelix.wire.federation import JoinRequest, Member, MemberState
from cohelix.wire.frequency import Wire

INVITATION_DAYS = 7
_TOKEN_PREFIX = "cohelix-join-"
_WRITE_SEEN_SECONDS = 60.0
_log = structlog.get_logger("cohelix.federation")
_COUNTRY = re.compile(r"[A-Z]{2}")


class JoinToken(NamedTuple):
    """What a one-time token holds: the hub's address and key, the member it is for, and the secret itself."""

    hub_url: str
    hub_key: str
    member: str
    secret: str

    def __str__(self) -> str:
        """One word that survives being copied."""
        text = json.dumps(list(self), separators=(",", ":"))
        return _TOKEN_PREFIX + base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_token(text: str) -> JoinToken:
    """Read a token as `hub invite` printed it; `BadUsage` if it is not one, or was cut."""
    word = text.strip()
    try:
        if not word.startswith(_TOKEN_PREFIX):
            raise ValueError("another prefix")
        code = word.removeprefix(_TOKEN_PREFIX)
        fields = json.loads(base64.urlsafe_b64decode(code + "=" * (-len(code) % 4)))
        if not isinstance(fields, list) or len(fields) != 4 or not all(isinstance(field, str) for field in fields):
            raise ValueError("other fields")
    except (ValueError, binascii.Error) as error:
        raise BadUsage(
            "this is not a token, or a part of it is missing: copy the whole line that `hub invite` printed"
        ) from error
    return JoinToken(*fields)


class _Invitation(Wire):
    member: str
    secret_sha256: str
    expires: datetime
    spent: bool = False


class _Document(Wire):
    format: int = 1
    members: dict[str, Member] = Field(default_factory=dict)
    invitations: tuple[_Invitation, ...] = ()


class Registry:
    """The members of one hub, kept in its folder; safe to use from several processes at once."""

    def __init__(self, folder: Path, *, clock: Clock | None = None) -> None:
        self._path = folder / "members.json"
        self._lock = folder / "members.lock"
        self._clock = clock or SystemClock()
        self._read_of: tuple[int, int, int] | None = None
        self._document = _Document()
        self._seen: dict[str, str] = {}
        self._declared: dict[str, tuple[str, ...]] = {}
        self._flushed_at = self._clock.monotonic()

    def members(self) -> tuple[Member, ...]:
        """All members by id, as they are now."""
        found = self._current().members
        return tuple(self._fresh(found[name]) for name in sorted(found))

    def member(self, name: str) -> Member:
        """One member; `NotFound` if there is none of that id."""
        found = self._current().members.get(name)
        if found is None:
            raise NotFound(f"there is no member {name}")
        return self._fresh(found)

    def invite(self, name: str, *, hub_url: str, hub_key: str, days: float = INVITATION_DAYS) -> JoinToken:
        """Make a one-time token for a member; earlier ones for it no longer hold.

        A member that joined before may be invited again, to give a new address; its key stays the one it joined with.
        """
        member = node_id(name)
        token = JoinToken(hub_url, hub_key, member, secrets.token_urlsafe(24))
        invitation = _Invitation(
            member=member, secret_sha256=_digest(token.secret), expires=self._clock.now() + timedelta(days=days)
        )
        with self._changing() as change:
            kept = tuple(one for one in change.document.invitations if one.member != member or one.spent)
            members = {member: Member(id=member, state="invited"), **change.document.members}
            change.document = change.document.model_copy(update={"members": members, "invitations": (*kept, invitation)})
        return token

    def join(self, request: JoinRequest) -> Member:
        """Spend the request's token and bind the member's id to its key.

        The caller has checked that the request was signed with the key it names.

        Raises
        ------
        NotPermitted
            The token is unknown, expired, or of another member; or the id is bound to another key.
        Conflict
            The token was spent; or the key or the address is another member's.
        """
        now = self._clock.now()
        country = request.country.upper()
        if not _COUNTRY.fullmatch(country):
            raise BadUsage(f"{request.country!r} is not a country: write its two letters")
        with self._changing() as change:
            document = change.document
            invitation = next(
                (one for one in document.invitations if secrets.compare_digest(one.secret_sha256, _digest(request.token))), None
            )
            if invitation is None:
                raise NotPermitted("this hub has no such invitation: it is of another hub, or was replaced by a newer one")
            if invitation.spent:
                raise Conflict("this token was used already; a token joins once, ask the hub for a new one")
            if invitation.expires < now:
                raise NotPermitted("this token has expired; ask the hub for a new one")
            if invitation.member != request.node:
                raise NotPermitted(f"this token is for member {invitation.member}, not for {request.node}")
            before = document.members[request.node]
            if before.key and before.key != request.key:
                raise NotPermitted(f"member {request.node} is bound to another key")
            for other in document.members.values():
                if other.id != request.node and (other.key == request.key or (other.url and other.url == request.url)):
                    raise Conflict(f"member {other.id} has this key or this address already")
            member = Member(
                id=request.node,
                state="active" if before.state == "invited" else before.state,
                name=request.name,
                country=country,
                url=request.url,
                key=request.key,
                may_overlap=request.may_overlap,
                dials_out=request.dials_out,
                protocol=request.protocol,
                datasets=tuple(name for name in request.datasets if name.startswith(f"{request.node}:")),
                joined_at=_text(now),
            )
            spent = invitation.model_copy(update={"spent": True})
            change.document = document.model_copy(
                update={
                    "members": {**document.members, member.id: member},
                    "invitations": tuple(spent if one is invitation else one for one in document.invitations),
                }
            )
        return member

    def set_state(self, name: str, state: MemberState) -> Member:
        """Make a member active, an observer, or suspended; `Conflict` for one that has not joined."""
        with self._changing() as change:
            member = change.document.members.get(name)
            if member is None:
                raise NotFound(f"there is no member {name}")
            if not member.key:
                raise Conflict(f"member {name} has not joined yet")
            member = member.model_copy(update={"state": state})
            change.document = change.document.model_copy(update={"members": {**change.document.members, name: member}})
        return member

    def set_key(self, name: str, old: str, new: str) -> Member:
        """Bind a member's id to the key that follows its key; the caller has checked that the old key signed it.

        Raises
        ------
        NotPermitted
            If the member's key is another than the old one.
        Conflict
            If the new key is another member's.
        """
        with self._changing() as change:
            members = change.document.members
            if name not in members or members[name].key not in (old, new):
                raise NotPermitted(f"the key that gives way is not the one that {name} is bound to")
            if any(other.id != name and other.key == new for other in members.values()):
                raise Conflict("this is the key of another member")
            member = members[name].model_copy(update={"key": new})
            change.document = change.document.model_copy(update={"members": {**members, name: member}})
        return member

    def seen(self, name: str) -> None:
        """Note that a member has just answered."""
        self._seen[name] = _text(self._clock.now())
        if self._clock.monotonic() - self._flushed_at > _WRITE_SEEN_SECONDS:
            try:
                self.flush()
            except (OSError, Damaged):  # a full disk must not keep answers from those who asked
                _log.exception("who was seen could not be written down")

    def declare(self, name: str, datasets: tuple[str, ...]) -> None:
        """Note which datasets a member has just declared."""
        self._declared[name] = datasets

    def flush(self) -> None:
        """Write down who was seen and what was declared."""
        self._flushed_at = self._clock.monotonic()
        if not self._seen and not self._declared:
            return
        with self._changing() as change:
            members = {name: self._fresh(member) for name, member in change.document.members.items()}
            change.document = change.document.model_copy(update={"members": members})
        self._seen.clear()
        self._declared.clear()

    def _fresh(self, member: Member) -> Member:
        seen, declared = self._seen.get(member.id), self._declared.get(member.id)
        if seen is None and declared is None:
            return member
        return member.model_copy(
            update={
                "last_seen": max(seen or "", member.last_seen or "") or None,
                "datasets": member.datasets if declared is None else declared,
            }
        )

    def _current(self) -> _Document:
        """The document as it stands on disk; read again only when the file is another."""
        try:
            state = self._path.stat()
        except FileNotFoundError:
            self._read_of, self._document = None, _Document()
            return self._document
        version = (state.st_ino, state.st_mtime_ns, state.st_size)
        if version != self._read_of:
            self._document = self._load()
            self._read_of = version
        return self._document

    def _load(self) -> _Document:
        try:
            document = _Document.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return _Document()
        except ValidationError as error:
            raise Damaged(f"{self._path} is not a list of members") from error
        if document.format != 1:
            raise Damaged(f"{self._path} has format {document.format}; this version reads 1")
        return document

    @contextmanager
    def _changing(self) -> Iterator[_Change]:
        """Read, let the caller change, write: under the lock, and nothing is written when an error passes."""
        with self._lock.open("a", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            change = _Change(self._load())
            yield change
            replace_private(self._path, change.document.model_dump_json(indent=1).encode())


class _Change:
    def __init__(self, document: _Document) -> None:
        self.document = document


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
