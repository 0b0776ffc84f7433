"""What a server has seen of the other logs: the last checkpoint of each, and the alarm where a later one does not continue it.

A checkpoint is believed only when a proof of consistency ties it to the last one that was believed. What was seen stays:
a log that was rewritten or forked is not believed again until an operator has looked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

import sqlalchemy as sql

from cohelix.audit.checkpoint import Checkpoint, read_note, time_text
from cohelix.audit.events import CheckpointAlarm, CheckpointPinned, Event
from cohelix.audit.merkle import consistency_holds
from cohelix.audit.store import LogStore
from cohelix.core.errors import NotAuthentic
from cohelix.db import serialised
from cohelix.db.tables import AUDIT_WITNESSED

_REASON_MAX: Final = 300


class Proof(NamedTuple):
    """A proof of consistency from a checkpoint of some size on."""

    since: int
    hashes: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Held:
    """The last checkpoint that was believed of a log, when it was shown last, and why a later one was not believed."""

    checkpoint: Checkpoint
    seen_at: str
    alarm: str | None


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of a checkpoint: whether it is believed now, why it contradicts the log, and what is to be written down."""

    believed: bool
    reason: str = ""
    event: Event | None = None


class Witnessed:
    """The checkpoints of other logs that a server holds.

    Parameters
    ----------
    store
        The server's own log, beside which they are kept.
    """

    def __init__(self, store: LogStore) -> None:
        self._engine, self._log = store.engine, store.origin

    def last(self, origin: str) -> Held | None:
        """The last checkpoint that was believed of a log; None before the first."""
        return self._all(AUDIT_WITNESSED.c.origin == origin).get(origin)

    def all(self) -> dict[str, Held]:
        """The last checkpoint that was believed of every log, by its origin."""
        return self._all(sql.true())

    def see(self, note: str, origin: str, proof: Proof, *, keys: Sequence[str], now: datetime, size_min: int = 0) -> Seen:
        """Compare a checkpoint with the last one of its log that was believed, and keep it where it continues that one.

        Parameters
        ----------
        origin
            Whose checkpoint it must be.
        proof
            That it continues the last one that was believed; of a first one nothing is asked. One that starts from
            another size proves nothing: somebody else has seen a later checkpoint meanwhile.
        keys
            Keys that the log may be signed with; the one of the first checkpoint where none are known.
        size_min
            How many entries it must have: what was seen before the log's own server was asked. An older one that
            somebody else passes on is no alarm.
        """
        with self._engine.begin() as connection:
            serialised(connection, f"audit witness {self._log}")
            row = connection.execute(sql.select(AUDIT_WITNESSED).where(*self._key(origin))).one_or_none()
            held = read_note(row.note) if row else None
            try:
                shown = _shown(note, origin, held, keys)
                found = _continuing(shown, held, proof, size_min)
            except NotAuthentic as error:
                return self._alarm(connection, row, note, error.detail)
            if found is None:
                return Seen(False)
            state = {"size": found.size, "note": found.note(), "key": found.key, "seen_at": time_text(now)}
            if held is None:
                connection.execute(sql.insert(AUDIT_WITNESSED).values(log=self._log, origin=origin, **state))
                return Seen(True, event=CheckpointPinned(origin, found.key, found.size))
            connection.execute(sql.update(AUDIT_WITNESSED).where(*self._key(origin)).values(**state))
        return Seen(True)

    def settle(self, origin: str, held: Held) -> bool:
        """Let go what was held of a log, its alarm included, once an operator has looked and that is written down.

        The next checkpoint that is shown is believed as a first one. Returns whether what was looked at was still held.
        """
        with self._engine.begin() as connection:
            serialised(connection, f"audit witness {self._log}")
            looked_at = AUDIT_WITNESSED.c.size == held.checkpoint.size, AUDIT_WITNESSED.c.alarm == held.alarm
            return connection.execute(sql.delete(AUDIT_WITNESSED).where(*self._key(origin), *looked_at)).rowcount > 0

    def _alarm(self, connection: sql.Connection, row: sql.Row[Any] | None, note: str, reason: str) -> Seen:
        """What is not believed of a log that is held raises the alarm, and is written down once."""
        words = reason[:_REASON_MAX]
        if row is None or row.alarm == words:
            return Seen(False, reason)
        connection.execute(sql.update(AUDIT_WITNESSED).where(*self._key(row.origin)).values(alarm=words))
        return Seen(False, reason, CheckpointAlarm(row.origin, words, row.size, _size_of(note)))

    def _all(self, condition: sql.ColumnElement[bool]) -> dict[str, Held]:
        with self._engine.begin() as connection:
            rows = connection.execute(sql.select(AUDIT_WITNESSED).where(AUDIT_WITNESSED.c.log == self._log, condition)).all()
        return {row.origin: Held(read_note(row.note), row.seen_at, row.alarm) for row in rows}

    def _key(self, origin: str) -> tuple[sql.ColumnElement[bool], ...]:
        return AUDIT_WITNESSED.c.log == self._log, AUDIT_WITNESSED.c.origin == origin


def _shown(note: str, origin: str, held: Checkpoint | None, keys: Sequence[str]) -> Checkpoint:
    """The checkpoint of a note; `NotAuthentic` where it is not signed by a key of the log."""
    found = read_note(note)
    if found.origin != origin:
        raise NotAuthentic(f"it is a checkpoint of {found.origin}")
    if found.key not in (keys or ([held.key] if held else [found.key])):
        raise NotAuthentic("it is signed by another key than the log's")
    return found


def _continuing(found: Checkpoint, held: Checkpoint | None, proof: Proof, size_min: int) -> Checkpoint | None:
    """The checkpoint where it continues the held one, None where that cannot be told; `NotAuthentic` where it does not."""
    if found.size < size_min:
        raise NotAuthentic(f"the log has become shorter: {size_min} entries were signed before")
    if held is None:
        return found
    if found.size == held.size and found.root != held.root:
        raise NotAuthentic(f"the log was forked: two checkpoints of {held.size} entries have different roots")
    if found.size == held.size:
        return found
    if found.size < held.size or proof.since != held.size:
        return None
    if not consistency_holds(held.size, found.size, held.root, found.root, proof.hashes):
        raise NotAuthentic(f"it does not continue the {held.size} entries that were signed before")
    return found


def _size_of(note: str) -> int:
    try:
        return read_note(note).size
    except NotAuthentic:
        return 0
