"""Makes a log in SQLite, and tampers with copies of it as somebody would who may write the database, or has the key too.

Each tampering is of a kind, at a random place, and of a depth: how much the forger mends so that it is not seen. Deep ones sign
anew with the log's own key: those only a checkpoint shows that another member holds.
"""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cohelix.audit.bundle import Trust, verify_store
from cohelix.audit.checkpoint import Checkpoint, public_text, read_note, signed
from cohelix.audit.events import Decided, LoginDone, LogoutDone, Person, QuestionAnswered, QuestionRefused
from cohelix.audit.log import AuditLog
from cohelix.audit.merkle import Peaks, leaf_hash
from cohelix.audit.names import open_names
from cohelix.audit.store import KEPT_LEVEL, LogStore
from cohelix.audit.verify import Misfit
from cohelix.db import open_database

ORIGIN: Final = "node/FI"
KINDS: Final = ("flip", "delete", "insert", "reorder", "truncate", "fork", "key swap")
# How deep a forger goes: the rows alone; numbers and hashes beside them too; the signed checkpoints too, with the log's
# own key.
DEPTHS: Final = ("rows", "hashes", "signed anew")


@dataclass(frozen=True)
class Made:
    """A sound log in a file, its key, and checkpoints of it that another member holds."""

    path: Path
    key: Ed25519PrivateKey
    known: tuple[Checkpoint, ...]
    size: int


def make_log(folder: Path, entries: int, seed: int) -> Made:
    """A log of so many entries of several people, with kept checkpoints, and what a witness has seen of it."""
    dice = random.Random(seed)
    (folder / "identity").mkdir(parents=True)
    path, key = folder / "audit.sqlite", Ed25519PrivateKey.generate()
    known = []
    with AuditLog(folder, ORIGIN, database=lambda: open_database(path), signer=lambda: key) as log:
        for number in range(entries):
            person = Person(f"person {dice.randrange(7)}", "https://broker.example")
            log.record(_event(dice, log), by=person, wait=number % 97 == 0)
        log.record(LogoutDone(), wait=True)
        head = log.store().head()
        assert head is not None
        known += [head, *(read_note(note) for _size, note in log.store().kept())]
    return Made(path, key, tuple(known), known[0].size)


def store_of(path: Path, folder: Path) -> LogStore:
    """The log of a file, to verify."""
    return LogStore(open_database(path), ORIGIN, open_names(folder))


def tamper(made: Made, path: Path, seed: int) -> tuple[str, str, int]:
    """Tamper with a copy of the log at `path`; the kind, the depth, and the first entry that is another one than before."""
    dice = random.Random(seed)
    kind, depth = dice.choice(KINDS), dice.choice(DEPTHS)
    shutil.copy(made.path, path)
    with sqlite3.connect(path, isolation_level=None) as log:
        log.execute("PRAGMA synchronous = OFF")
        log.execute("BEGIN")
        place = _CHANGES[kind](log, made, dice, depth)
        log.execute("COMMIT")
    log.close()
    return kind, depth, place


def detected(path: Path, folder: Path, made: Made, *, with_witness: bool) -> Misfit | None:
    """What `cohelix audit verify` finds: with the key that is known, and with what a witness holds where it is given."""
    store = store_of(path, folder)
    try:
        return verify_store(store, Trust(made.known if with_witness else (), public_text(made.key))).misfit
    finally:
        store.engine.dispose()


def _event(dice: random.Random, log: AuditLog) -> Any:
    if dice.random() < 0.1:
        return LoginDone("https://broker.example", "browser")
    if dice.random() < 0.1:
        return QuestionRefused("beacon", "direct", "login-required")
    decided = Decided("FI:cohort", "answered", "controlled", visas=(f"visa-{dice.randrange(9)}",))
    return QuestionAnswered("frequency", "hub", log.keyed(str(dice.random())), "research", (decided,))


def _flip(log: sqlite3.Connection, made: Made, dice: random.Random, depth: str) -> int:
    """One character of one entry is another."""
    number = dice.randrange(made.size)
    (content,) = log.execute("SELECT content FROM audit_entries WHERE number = ?", (number,)).fetchone()
    at = dice.randrange(len(content))
    other = dice.choice([sign for sign in '0123456789abcdefxyz{}",:' if sign != content[at]])
    log.execute("UPDATE audit_entries SET content = ? WHERE number = ?", (content[:at] + other + content[at + 1 :], number))
    return _mended(log, made, depth, number)


def _delete(log: sqlite3.Connection, made: Made, dice: random.Random, depth: str) -> int:
    """One entry is gone; deeper, those after it close the gap."""
    number = dice.randrange(made.size - 1)
    log.execute("DELETE FROM audit_entries WHERE number = ?", (number,))
    if depth != "rows":
        _renumber(log, number + 1, -1)
    return _mended(log, made, depth, number)


def _insert(log: sqlite3.Connection, made: Made, dice: random.Random, depth: str) -> int:
    """An entry that never was stands between others, or at the end."""
    number = dice.randrange(1, made.size + 1)
    if depth != "rows":
        _renumber(log, number, 1)
    else:
        log.execute("UPDATE audit_entries SET number = -number - 1 WHERE number >= ?", (number,))
        log.execute("UPDATE audit_entries SET number = -number WHERE number < 0")
    source = dice.randrange(made.size)
    row = log.execute("SELECT content, event, person FROM audit_entries WHERE number >= ? LIMIT 1", (source,)).fetchone()
    row = row or log.execute("SELECT content, event, person FROM audit_entries WHERE number = 1").fetchone()
    document = {**json.loads(row[0]), "n": number, "at": "2026-01-01T00:00:00.000Z"}
    content = json.dumps(document, separators=(",", ":"))
    values = (ORIGIN, number, leaf_hash(content.encode()), content, row[1], row[2])
    log.execute("INSERT INTO audit_entries (log, number, leaf, content, event, person) VALUES (?, ?, ?, ?, ?, ?)", values)
    return _mended(log, made, depth, number)


def _reorder(log: sqlite3.Connection, made: Made, dice: random.Random, depth: str) -> int:
    """Two entries change places."""
    first, second = sorted(dice.sample(range(made.size), 2))
    columns = "leaf, content, event, person"
    rows = [log.execute(f"SELECT {columns} FROM audit_entries WHERE number = ?", (one,)).fetchone() for one in (first, second)]
    for number, row in zip((second, first), rows, strict=True):
        content = row[1]
        if depth != "rows":
            content = json.dumps({**json.loads(content), "n": number}, separators=(",", ":"))
        changed = (row[0], content, row[2], row[3], number)
        log.execute("UPDATE audit_entries SET leaf = ?, content = ?, event = ?, person = ? WHERE number = ?", changed)
    return _mended(log, made, depth, first)


def _truncate(log: sqlite3.Connection, made: Made, dice: random.Random, depth: str) -> int:
    """The last entries are gone; deeper, the log is put back to an older state of its own that it once signed."""
    kept = [size for (size,) in log.execute("SELECT size FROM audit_checkpoints WHERE size < ? ORDER BY size", (made.size,))]
    size = dice.randrange(1, made.size) if depth == "rows" else dice.choice(kept)
    log.execute("DELETE FROM audit_entries WHERE number >= ?", (size,))
    if depth != "rows":
        log.execute("DELETE FROM audit_checkpoints WHERE size > ?", (size,))
        (note,) = log.execute("SELECT note FROM audit_checkpoints WHERE size = ?", (size,)).fetchone()
        _rebuild(log, note)
    return size


def _fork(log: sqlite3.Connection, made: Made, dice: random.Random, depth: str) -> int:
    """Everything from some entry on is replaced by another history."""
    number = dice.randrange(1, made.size)
    for (later,) in log.execute("SELECT number FROM audit_entries WHERE number >= ?", (number,)).fetchall():
        document = {
            "n": later,
            "at": "2026-01-01T00:00:00.000Z",
            "event": "logout:done",
            "by": "unknown",
            "who": "",
            "data": {},
        }
        content = json.dumps(document, separators=(",", ":"))
        log.execute(
            "UPDATE audit_entries SET content = ?, event = ?, person = NULL WHERE number = ?", (content, "logout:done", later)
        )
    return _mended(log, made, depth, number)


def _swap_key(log: sqlite3.Connection, made: Made, dice: random.Random, depth: str) -> int:
    """Checkpoints are signed by another key; deeper, the log says that it was so from its first entry on."""
    thief = Ed25519PrivateKey.generate()
    if depth == "rows":
        size, note = dice.choice(log.execute("SELECT size, note FROM audit_checkpoints").fetchall())
        changed = signed(read_note(note), thief).note()
        log.execute("UPDATE audit_checkpoints SET note = ? WHERE size = ?", (changed, size))
        return 0
    (content,) = log.execute("SELECT content FROM audit_entries WHERE number = 0").fetchone()
    document = json.loads(content)
    document["data"]["key"] = public_text(thief)
    log.execute("UPDATE audit_entries SET content = ? WHERE number = 0", (json.dumps(document, separators=(",", ":")),))
    return _mended(log, replace(made, key=thief), "signed anew", 0)


def _mended(log: sqlite3.Connection, made: Made, depth: str, place: int) -> int:
    """What the forger makes fit again, by depth."""
    if depth == "rows":
        return place
    for number, content in log.execute("SELECT number, content FROM audit_entries").fetchall():
        log.execute("UPDATE audit_entries SET leaf = ? WHERE number = ?", (leaf_hash(content.encode()), number))
    if depth == "signed anew":
        _sign_anew(log, made.key)
    return place


def _sign_anew(log: sqlite3.Connection, key: Ed25519PrivateKey) -> None:
    """Sign every checkpoint again, of what stands there now."""
    kept = {size: read_note(note) for size, note in log.execute("SELECT size, note FROM audit_checkpoints")}
    (note,) = log.execute("SELECT note FROM audit_heads").fetchone()
    peaks = Peaks()
    log.execute("DELETE FROM audit_checkpoints")
    for (leaf,) in log.execute("SELECT leaf FROM audit_entries ORDER BY number"):
        peaks.add(leaf)
        if peaks.size in kept:
            forged = signed(replace(kept[peaks.size], root=peaks.root()), key).note()
            log.execute("INSERT INTO audit_checkpoints VALUES (?, ?, ?)", (ORIGIN, peaks.size, forged))
    _rebuild(log, signed(replace(read_note(note), size=peaks.size, root=peaks.root()), key).note())


def _rebuild(log: sqlite3.Connection, note: str) -> None:
    """Head and hashes of subtrees as they belong to the entries that stand there."""
    peaks = Peaks()
    log.execute("DELETE FROM audit_nodes")
    for (leaf,) in log.execute("SELECT leaf FROM audit_entries ORDER BY number").fetchall():
        for node, made in peaks.add(leaf):
            if node.level >= KEPT_LEVEL:
                log.execute("INSERT INTO audit_nodes VALUES (?, ?, ?, ?)", (ORIGIN, node.level, node.number, made))
    log.execute("UPDATE audit_heads SET size = ?, peaks = ?, note = ?", (peaks.size, peaks.pack(), note))


def _renumber(log: sqlite3.Connection, first: int, by: int) -> None:
    """Entries from `first` on move by one, and say so themselves."""
    rows = log.execute("SELECT number, content FROM audit_entries WHERE number >= ? ORDER BY number", (first,)).fetchall()
    for number, content in rows if by < 0 else reversed(rows):
        moved = json.dumps({**json.loads(content), "n": number + by}, separators=(",", ":"))
        log.execute("UPDATE audit_entries SET number = ?, content = ? WHERE number = ?", (number + by, moved, number))


_CHANGES: Final[dict[str, Callable[[sqlite3.Connection, Made, random.Random, str], int]]] = {
    "flip": _flip,
    "delete": _delete,
    "insert": _insert,
    "reorder": _reorder,
    "truncate": _truncate,
    "fork": _fork,
    "key swap": _swap_key,
}
