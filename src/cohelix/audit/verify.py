"""Verifies a whole log: every entry, every signed checkpoint, every key; names the first entry that does not fit.

What can be checked offline is checked from entries and notes alone. A log that its own keeper rewrote and signed anew
from its first entry on is sound in itself: only a checkpoint that somebody else holds tells (`known`).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from cohelix.audit.checkpoint import Checkpoint, read_note
from cohelix.audit.entries import Entry, read_entry
from cohelix.audit.events import EVENTS, KeyRotated, LogOpened
from cohelix.audit.merkle import Node, Peaks, leaf_hash
from cohelix.core.errors import Damaged, NotAuthentic

SUCCESSION_KIND: Final = b"cohelix-succession-1"  # as `federation/successions.py` signs it
_FIELDS: Final = {tag: frozenset(one.name for one in fields(kind)) for tag, kind in EVENTS.items()}


@dataclass(frozen=True, slots=True)
class Copy:
    """An entry as a source holds it: the bytes, and what the source says of them beside (None where it says nothing)."""

    number: int
    content: str
    leaf: bytes | None = None
    event: str | None = None
    person: str | None = None


@dataclass(frozen=True, slots=True)
class Misfit:
    """What does not fit: the first entry that may be wrong, the last one that the first wrong one may be, and why."""

    first: int
    last: int
    problem: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification found.

    Attributes
    ----------
    origin, size, root, key
        The log as it was read: its entries, their root, and the key in force at its end.
    checkpoints
        How many signed checkpoints hold.
    at
        When the newest of them was signed.
    misfit
        None where everything fits.
    """

    origin: str
    size: int
    root: bytes
    key: str
    checkpoints: int
    at: str
    misfit: Misfit | None = None


class _Stop(Exception):
    """The first misfit was found."""

    def __init__(self, first: int, last: int, problem: str) -> None:
        super().__init__(problem)
        self.misfit = Misfit(first, last, problem)


def verify(
    copies: Iterable[Copy],
    notes: Sequence[str],
    *,
    head: str,
    known: Sequence[Checkpoint] = (),
    key: str | None = None,
    nodes: Callable[[Node], bytes | None] | None = None,
    expected_origin: str | None = None,
) -> Verified:
    """Check a log from its first entry to its last.

    Parameters
    ----------
    copies
        Its entries in order.
    notes, head
        Its kept checkpoints, and its newest one.
    known
        Checkpoints of this log that others hold; their signatures were checked when they were read.
    key
        The key that must be in force at the end, where the reader knows it.
    nodes
        What the source keeps of hashes of subtrees; None for one that keeps none.
    expected_origin
        Whose log it must be, where the reader knows it.
    """
    run = _Run(known, expected_origin, nodes)
    try:
        run.read_notes([*notes, head])
        for copy in copies:
            run.take(copy)
        run.end(head, key)
    except _Stop as stop:
        return run.found(stop.misfit)
    return run.found(None)


class _Run:
    """One pass over a log."""

    def __init__(
        self, known: Sequence[Checkpoint], expected_origin: str | None, nodes: Callable[[Node], bytes | None] | None
    ) -> None:
        self._peaks = Peaks()
        self._origin, self._nodes = expected_origin or "", nodes
        self._known = {size: list(found) for size, found in groupby(sorted(known, key=_size), key=_size)}
        self._due: dict[int, list[Checkpoint]] = {}
        self._keys: list[str] = []  # the one in force, and before the first checkpoint by it also the one before
        self._sound = self._held = 0  # entries under the last checkpoint that held; checkpoints that held
        self._at = ""

    def read_notes(self, notes: Sequence[str]) -> None:
        for note in notes:
            try:
                found = read_note(note)
            except NotAuthentic as error:
                raise _Stop(0, 0, f"a checkpoint of the log is not sound: {error.detail}") from None
            self._due.setdefault(found.size, []).append(found)

    def take(self, copy: Copy) -> None:
        """One more entry."""
        number = self._peaks.size
        entry = self._read(copy, number)
        leaf = leaf_hash(copy.content.encode("ascii"))
        if copy.leaf is not None and copy.leaf != leaf:
            raise _Stop(number, number, "the entry is not the one whose hash was written")
        if number == 0:
            self._open(entry)
        elif entry.event == LogOpened.tag:
            raise _Stop(number, number, "the log begins a second time")
        if entry.event == KeyRotated.tag and entry.data["owner"] == self._origin:
            self._rotate(number, entry.data)
        completed = self._peaks.add(leaf)
        for node, made in completed if self._nodes else ():
            kept = self._nodes(node) if self._nodes else None
            if kept is not None and kept != made:
                raise _Stop(max(self._sound, node.number << node.level), number, "a hash over these entries is another")
        self._compare(number + 1)

    def end(self, head: str, key: str | None) -> None:
        """No more entries come."""
        size = self._peaks.size
        newest = read_note(head)
        later = sorted(one for one in {*self._due, *self._known} if one > size)
        if later:
            raise _Stop(self._sound, size, f"the log ends before entry {size}; a signed checkpoint counts {later[-1]} entries")
        if newest.size != size:
            raise _Stop(newest.size, newest.size, f"no checkpoint signs the entries from {newest.size} on")
        if key is not None and key not in self._keys:
            raise _Stop(0, 0, "the log is signed by another key than the one that is known")

    def found(self, misfit: Misfit | None) -> Verified:
        key = self._keys[-1] if self._keys else ""
        return Verified(self._origin, self._peaks.size, self._peaks.root(), key, self._held, self._at, misfit)

    def _read(self, copy: Copy, number: int) -> Entry:
        if copy.number != number:
            what = f"entry {number} is missing" if copy.number > number else f"entry {copy.number} stands there twice"
            raise _Stop(number, number, what)
        try:
            entry = read_entry(copy.content.encode("ascii"))
        except (Damaged, UnicodeEncodeError):
            raise _Stop(number, number, "this is not an entry") from None
        if entry.number != number:
            raise _Stop(number, number, f"the entry was written as entry {entry.number}")
        if _FIELDS.get(entry.event) != entry.data.keys():
            raise _Stop(number, number, "no event of the closed list has these fields")
        if copy.event is not None and (copy.event, copy.person) != (entry.event, entry.person):
            raise _Stop(number, number, "what the entry is found by differs from what it says")
        return entry

    def _open(self, entry: Entry) -> None:
        if entry.event != LogOpened.tag:
            raise _Stop(0, 0, "the log does not begin with the entry that opens it")
        if self._origin and entry.data["origin"] != self._origin:
            raise _Stop(0, 0, f"this is the log of {entry.data['origin']}")
        self._origin, self._keys = entry.data["origin"], [entry.data["key"]]

    def _rotate(self, number: int, data: Mapping[str, Any]) -> None:
        if self._keys == [data["old"], data["new"]]:
            return  # a rotation that a crash cut short was written down again
        if data["old"] != self._keys[-1] or not rotation_holds(data):
            raise _Stop(number, number, "the key was changed without the old key's signature")
        self._keys = [self._keys[-1], data["new"]]

    def _compare(self, size: int) -> None:
        due, known = self._due.get(size, ()), self._known.get(size, ())
        if not due and not known:
            return
        root = self._peaks.root()
        for one in due:
            self._check(one, root, size, "a signed checkpoint of the log")
            self._held += 1
            self._at = max(self._at, one.at)
            if one.key == self._keys[-1]:
                self._keys = [one.key]
        for one in known:
            self._check(one, root, size, "the checkpoint that is known")
        self._sound = size

    def _check(self, one: Checkpoint, root: bytes, size: int, what: str) -> None:
        if one.origin != self._origin:
            raise _Stop(self._sound, size - 1, f"{what} at {size} entries is of {one.origin}")
        if one.root != root:
            raise _Stop(self._sound, size - 1, f"{what} at {size} entries has another root")
        if one.key not in self._keys:
            raise _Stop(self._sound, size - 1, f"{what} at {size} entries is signed by another key")


def rotation_holds(data: Mapping[str, Any]) -> bool:
    """Whether the old key of a rotation signed that the new one follows it."""
    try:
        old = base64.urlsafe_b64decode(data["old"] + "=")
        signature = base64.urlsafe_b64decode(data["signature"] + "==")
        Ed25519PublicKey.from_public_bytes(old).verify(signature, SUCCESSION_KIND + b"\n" + data["document"].encode())
        said = json.loads(data["document"])
        return bool((said["old"], said["new"]) == (data["old"], data["new"]))
    except (InvalidSignature, ValueError, TypeError, KeyError):
        return False


def _size(checkpoint: Checkpoint) -> int:
    return checkpoint.size


def copies_of(rows: Iterable[Any]) -> Iterator[Copy]:
    """Entries of a database (`LogStore.entries`) as copies."""
    for row in rows:
        yield Copy(row.number, row.content, row.leaf, row.event, row.person)
