"""The log in SQL: one transaction appends a batch of entries with its signed checkpoint; pages, proofs and people are read.

Processes of one server, and servers on one PostgreSQL, append one after another; long reads keep nobody waiting.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

import sqlalchemy as sql
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cohelix import __version__
from cohelix.audit.checkpoint import Checkpoint, public_text, read_note, signed, time_text
from cohelix.audit.entries import By, Encoding, persons_of, read_entry
from cohelix.audit.events import Event, LogOpened, Person
from cohelix.audit.merkle import Node, Peaks, consistency_parts, inclusion_parts, leaf_hash, nodes_of, proof_of, root_of
from cohelix.audit.names import Names
from cohelix.core.errors import BadQuestion, Damaged
from cohelix.db import reading, serialised
from cohelix.db.tables import (
    AUDIT_CHECKPOINTS,
    AUDIT_COSIGNATURES,
    AUDIT_ENTRIES,
    AUDIT_HEADS,
    AUDIT_NODES,
    AUDIT_PEOPLE,
    AUDIT_WRITERS,
)

KEPT_LEVEL: Final = 5  # hashes of subtrees of at least 2**5 leaves are kept; smaller ones are hashed anew
KEPT_EVERY: Final = 256  # entries from one kept checkpoint to the next, at most
PAGE: Final = 20_000


class Line(NamedTuple):
    """What is to be appended: the event, who did it, and when."""

    event: Event
    by: By
    at: datetime


class Written(NamedTuple):
    """An entry as it stands in the log, with the copies that are searched by."""

    number: int
    leaf: bytes
    content: str
    event: str
    person: str | None


class Outline(NamedTuple):
    """A log's head and bookkeeping: what a verification compares its entries with."""

    note: str
    size: int
    peaks: bytes
    entries: int
    last: int
    nodes: dict[Node, bytes]


@dataclass(frozen=True, slots=True)
class Batch:
    """What one append takes.

    Attributes
    ----------
    lines
        Entries to be, in order.
    writer, public
        Which process appends, and how many of the lines are of its public answers.
    recovered
        Writers of processes that have ended, whose losses are among the lines.
    keep
        Whether the checkpoint is to be kept for good though few entries came since the last kept one.
    """

    lines: Sequence[Line]
    writer: str = ""
    public: int = 0
    recovered: Sequence[str] = ()
    keep: bool = False


class LogStore:
    """One log of a database.

    Parameters
    ----------
    engine
        The database (`db.open_database`).
    origin
        Whose log: `node/FI` or `hub`.
    names
        Its keyed hashes.
    """

    def __init__(self, engine: sql.Engine, origin: str, names: Names) -> None:
        self.engine, self._reading, self.origin, self._names = engine, reading(engine), origin, names

    def append(self, batch: Batch, signer: Ed25519PrivateKey, now: datetime) -> Checkpoint:
        """Append entries in one transaction, and sign the new state of the log.

        Raises
        ------
        Damaged
            If the log's head is not what was written.
        """
        with self.engine.begin() as connection:
            serialised(connection, f"audit {self.origin}")
            head = connection.execute(sql.select(AUDIT_HEADS).where(AUDIT_HEADS.c.log == self.origin)).one_or_none()
            try:
                peaks = Peaks(head.size, head.peaks) if head else Peaks()
            except ValueError as error:
                raise Damaged("the head of the audit log is not what was written") from error
            opened = [Line(LogOpened(self.origin, public_text(signer), __version__), self._server(), now)]
            rows, nodes = self._rows(connection, peaks, [*([] if head else opened), *batch.lines])
            _insert(connection, AUDIT_ENTRIES, rows)
            _insert(connection, AUDIT_NODES, nodes)
            checkpoint = signed(Checkpoint(self.origin, peaks.size, peaks.root(), time_text(now), ""), signer)
            kept = head.kept if head else 0
            if batch.keep or not head or peaks.size - kept >= KEPT_EVERY:
                kept = peaks.size
                _insert(connection, AUDIT_CHECKPOINTS, [{"log": self.origin, "size": kept, "note": checkpoint.note()}])
            state = {"size": peaks.size, "peaks": peaks.pack(), "note": checkpoint.note(), "kept": kept}
            if head:
                connection.execute(sql.update(AUDIT_HEADS).where(AUDIT_HEADS.c.log == self.origin).values(state))
            else:
                _insert(connection, AUDIT_HEADS, [{"log": self.origin, **state}])
            self._count(connection, batch)
        return checkpoint

    def register(self, writer: str) -> None:
        """Begin to count what a process writes of public answers."""
        with self.engine.begin() as connection:
            _insert(connection, AUDIT_WRITERS, [{"log": self.origin, "writer": writer, "written": 0}])

    def forget_writer(self, writer: str) -> None:
        """A process has ended and left nothing behind."""
        with self.engine.begin() as connection:
            connection.execute(sql.delete(AUDIT_WRITERS).where(*self._writer(writer)))

    def written_by(self, writer: str) -> int | None:
        """How many entries of public answers a process has written; None for one that is not counted any more."""
        with self._reading.begin() as connection:
            found = connection.execute(sql.select(AUDIT_WRITERS.c.written).where(*self._writer(writer))).scalar()
        return None if found is None else int(found)

    def head(self) -> Checkpoint | None:
        """The newest checkpoint, with the lines of witnesses that have seen exactly it; None for an empty log."""
        with self._reading.begin() as connection:
            note = connection.execute(sql.select(AUDIT_HEADS.c.note).where(AUDIT_HEADS.c.log == self.origin)).scalar()
        return None if note is None else read_note(note)

    def note_at(self, size: int) -> str | None:
        """The kept or newest checkpoint of exactly this size, as a note."""
        tables = (AUDIT_CHECKPOINTS, AUDIT_HEADS)
        chosen = [sql.select(one.c.note).where(one.c.log == self.origin, one.c.size == size) for one in tables]
        with self._reading.begin() as connection:
            found = [connection.execute(one).scalar() for one in chosen]
        return next((note for note in found if note is not None), None)

    def kept(self) -> list[tuple[int, str]]:
        """Every kept checkpoint: its size and note, by size."""
        chosen = sql.select(AUDIT_CHECKPOINTS.c.size, AUDIT_CHECKPOINTS.c.note).where(AUDIT_CHECKPOINTS.c.log == self.origin)
        with self._reading.begin() as connection:
            return [(size, note) for size, note in connection.execute(chosen.order_by(AUDIT_CHECKPOINTS.c.size))]

    def entries(self, first: int = 0, end: int | None = None) -> Iterator[Written]:
        """Entries in order of their numbers, from `first` up to `end`, read in pages."""
        while end is None or first < end:
            chosen = self._entries().where(AUDIT_ENTRIES.c.number >= first)
            if end is not None:
                chosen = chosen.where(AUDIT_ENTRIES.c.number < end)
            with self._reading.begin() as connection:
                page = connection.execute(chosen.order_by(AUDIT_ENTRIES.c.number).limit(PAGE)).all()
            yield from map(_written, page)
            if len(page) < PAGE:
                return
            first = page[-1].number + 1

    def search(
        self,
        *,
        before: int | None = None,
        person: str | None = None,
        events: Sequence[str] = (),
        holding: str = "",
        limit: int = 50,
    ) -> list[Written]:
        """The newest entries before a number, of a pseudonym and of events where these are given; newest first.

        `holding` is a text that their content has to hold.
        """
        chosen = self._entries()
        if before is not None:
            chosen = chosen.where(AUDIT_ENTRIES.c.number < before)
        if person is not None:
            chosen = chosen.where(AUDIT_ENTRIES.c.person == person)
        if events:
            chosen = chosen.where(AUDIT_ENTRIES.c.event.in_(events))
        if holding:
            chosen = chosen.where(AUDIT_ENTRIES.c.content.contains(holding, autoescape=True))
        with self._reading.begin() as connection:
            return [_written(row) for row in connection.execute(chosen.order_by(AUDIT_ENTRIES.c.number.desc()).limit(limit))]

    def inclusion(self, number: int, size: int | None = None) -> tuple[Written, Checkpoint, list[bytes]]:
        """An entry, the checkpoint of a size (the newest if none is given), and the proof that it is in that tree.

        Raises
        ------
        BadQuestion
            If there is no such entry or checkpoint.
        """
        checkpoint = self._checkpoint(size)
        if not 0 <= number < checkpoint.size:
            raise BadQuestion(f"the log has no entry {number} at size {checkpoint.size}")
        with self._reading.begin() as connection:
            proof = self._proof(connection, inclusion_parts(number, checkpoint.size))
            row = connection.execute(self._entries().where(AUDIT_ENTRIES.c.number == number)).one_or_none()
        if row is None:
            raise Damaged(f"entry {number} of the audit log is missing")
        return _written(row), checkpoint, proof

    def consistency(self, old: int, new: int) -> list[bytes]:
        """The proof that the log's first `old` entries begin its first `new` ones.

        Raises
        ------
        BadQuestion
            If the log never had these sizes.
        """
        head = self.head()
        if not head or not 0 < old <= new <= head.size:
            raise BadQuestion(f"the log did not grow from {old} to {new} entries")
        with self._reading.begin() as connection:
            return self._proof(connection, consistency_parts(old, new))

    def around(self, first: int, end: int) -> tuple[Checkpoint, list[bytes]]:
        """The newest checkpoint, and the hashes of all that lies before and after some entries: a proof of the whole range.

        Raises
        ------
        BadQuestion
            If the log has no such entries.
        """
        checkpoint = self._checkpoint(None)
        if not 0 <= first <= end <= checkpoint.size:
            raise BadQuestion(f"the log has no entries {first} to {end} at size {checkpoint.size}")
        around = [[node] for node in (*nodes_of(0, first), *nodes_of(end, checkpoint.size))]
        with self._reading.begin() as connection:
            return checkpoint, self._proof(connection, around)

    def outline(self) -> Outline | None:
        """The log's head and bookkeeping, of one moment; None for an empty log.

        Raises
        ------
        Damaged
            If there are entries without a head.
        """
        table = AUDIT_ENTRIES.c
        counted = sql.select(sql.func.count(), sql.func.max(table.number)).where(table.log == self.origin)
        with self._reading.begin() as connection:
            head = connection.execute(sql.select(AUDIT_HEADS).where(AUDIT_HEADS.c.log == self.origin)).one_or_none()
            entries, last = connection.execute(counted).one()
            table = AUDIT_NODES.c
            chosen = sql.select(table.level, table.number, table.hash).where(table.log == self.origin)
            nodes = {Node(row.level, row.number): bytes(row.hash) for row in connection.execute(chosen)}
        if head is None:
            if entries:
                raise Damaged("the audit log has entries and no head")
            return None
        return Outline(head.note, head.size, bytes(head.peaks), entries, last, nodes)

    def number_at(self, moment: str) -> int:
        """The first entry of a time or later, found by halving: clocks of processes may differ by moments."""
        low, high = 0, self._checkpoint(None).size
        while low < high:
            middle = (low + high) // 2
            entry = next(self.entries(middle, middle + 1), None)
            if entry is None:
                raise Damaged(f"entry {middle} of the audit log is missing")
            low, high = (middle + 1, high) if read_entry(entry.content.encode()).at < moment else (low, middle)
        return low

    def pseudonym_of(self, person: Person) -> str | None:
        """By what a person is named in this log; None for somebody whom no entry names."""
        with self._reading.begin() as connection:
            digest = self._names.digest_of(person)
            found = connection.execute(sql.select(AUDIT_PEOPLE.c.pseudonym).where(*self._person(digest))).scalar()
        return None if found is None else str(found)

    def people(self, pseudonyms: Sequence[str]) -> dict[str, Person]:
        """Who these pseudonyms are; those that were unlinked are missing."""
        table = AUDIT_PEOPLE.c
        chosen = sql.select(table.pseudonym, table.subject, table.issuer)
        with self._reading.begin() as connection:
            found = connection.execute(chosen.where(table.log == self.origin, table.pseudonym.in_(pseudonyms)))
            return {row.pseudonym: Person(row.subject, row.issuer) for row in found}

    def unlink(self, person: Person) -> str | None:
        """Forget whose pseudonym this person's is, and return it; None for somebody whom no entry names."""
        digest = self._names.digest_of(person)
        with self.engine.begin() as connection:
            serialised(connection, f"audit {self.origin}")
            found = connection.execute(sql.select(AUDIT_PEOPLE.c.pseudonym).where(*self._person(digest))).scalar()
            connection.execute(sql.delete(AUDIT_PEOPLE).where(*self._person(digest)))
        return None if found is None else str(found)

    def keep_cosignature(self, witness: str, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint of ours with a witness's line under it, in place of that witness's older one."""
        table = AUDIT_COSIGNATURES.c
        with self.engine.begin() as connection:
            serialised(connection, f"audit {self.origin}")
            connection.execute(sql.delete(AUDIT_COSIGNATURES).where(table.log == self.origin, table.witness == witness))
            row = {"log": self.origin, "witness": witness, "size": checkpoint.size, "note": checkpoint.note()}
            _insert(connection, AUDIT_COSIGNATURES, [row])

    def cosignatures(self) -> dict[str, Checkpoint]:
        """The newest checkpoint of ours that each witness signed, by its name."""
        table = AUDIT_COSIGNATURES.c
        with self._reading.begin() as connection:
            found = connection.execute(sql.select(table.witness, table.note).where(table.log == self.origin)).all()
        return {row.witness: read_note(row.note) for row in found}

    def _rows(
        self, connection: sql.Connection, peaks: Peaks, lines: Sequence[Line]
    ) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
        """Entries and completed subtrees as rows; the peaks grow."""
        pseudonym = self._pseudonyms(connection, {one for line in lines for one in persons_of(line.event, line.by)})
        encoding, rows, nodes = Encoding(pseudonym), [], []
        for event, by, at in lines:
            number = peaks.size
            content = encoding.entry(number, time_text(at), event, by)
            leaf = leaf_hash(content)
            person = pseudonym(by) if isinstance(by, Person) else None
            found = {"number": number, "leaf": leaf, "content": content.decode("ascii"), "event": event.tag, "person": person}
            rows.append({"log": self.origin, **found})
            for node, made in peaks.add(leaf):
                if node.level >= KEPT_LEVEL:
                    nodes.append({"log": self.origin, "level": node.level, "number": node.number, "hash": made})
        return rows, nodes

    def _pseudonyms(self, connection: sql.Connection, people: set[Person]) -> Callable[[Person], str]:
        """What the people of a batch are called; who was not known yet gets a name that nobody can guess."""
        if not people:
            return lambda person: ""
        digests = {person: self._names.digest_of(person) for person in people}
        table = AUDIT_PEOPLE.c
        chosen = sql.select(table.digest, table.pseudonym).where(table.log == self.origin, table.digest.in_(digests.values()))
        known = {row.digest: row.pseudonym for row in connection.execute(chosen)}
        new = []
        for person, digest in digests.items():
            if digest not in known:
                known[digest] = f"p-{secrets.token_hex(12)}"
                named = {"issuer": _storable(person.issuer), "subject": _storable(person.subject)}
                new.append({"log": self.origin, "digest": digest, "pseudonym": known[digest], **named})
        _insert(connection, AUDIT_PEOPLE, new)
        return lambda person: known[digests[person]]

    def _count(self, connection: sql.Connection, batch: Batch) -> None:
        """What the process has written of public answers, in the same transaction as the entries."""
        if batch.public:
            written = AUDIT_WRITERS.c.written + batch.public
            connection.execute(sql.update(AUDIT_WRITERS).where(*self._writer(batch.writer)).values(written=written))
        for writer in batch.recovered:
            connection.execute(sql.delete(AUDIT_WRITERS).where(*self._writer(writer)))

    def _checkpoint(self, size: int | None) -> Checkpoint:
        note = self.note_at(size) if size is not None else None
        found = read_note(note) if note else self.head() if size is None else None
        if found is None:
            raise BadQuestion("the log has no such checkpoint")
        return found

    def _proof(self, connection: sql.Connection, parts: list[list[Node]]) -> list[bytes]:
        """A proof from its parts: kept hashes in one query, smaller subtrees from their leaves."""
        wanted = [node for part in parts for node in part]
        found = self._kept_hashes(connection, [node for node in wanted if node.level >= KEPT_LEVEL])
        found |= self._small_hashes(connection, [node for node in wanted if node.level < KEPT_LEVEL])
        return proof_of(parts, found.__getitem__)

    def _kept_hashes(self, connection: sql.Connection, nodes: list[Node]) -> dict[Node, bytes]:
        table = AUDIT_NODES.c
        if not nodes:
            return {}
        chosen = sql.select(table.level, table.number, table.hash).where(table.log == self.origin)
        # Levels and numbers apart, of which the index makes single look-ups: of pairs SQLite makes a scan.
        levels, numbers = {one.level for one in nodes}, {one.number for one in nodes}
        chosen = chosen.where(table.level.in_(levels), table.number.in_(numbers))
        rows, wanted = connection.execute(chosen), set(nodes)
        found = {node: bytes(row.hash) for row in rows if (node := Node(row.level, row.number)) in wanted}
        if len(found) != len(set(nodes)):
            raise Damaged("hashes of the audit log are missing")
        return found

    def _small_hashes(self, connection: sql.Connection, nodes: list[Node]) -> dict[Node, bytes]:
        """Each run of 2**5 leaves that is wanted is read once."""
        table = AUDIT_ENTRIES.c
        leaves: dict[int, bytes] = {}
        for run in {node.number << node.level >> KEPT_LEVEL for node in nodes}:
            chosen = sql.select(table.number, table.leaf).where(table.log == self.origin, table.number >= run << KEPT_LEVEL)
            chosen = chosen.where(table.number < run + 1 << KEPT_LEVEL)
            leaves |= {row.number: bytes(row.leaf) for row in connection.execute(chosen)}
        try:
            return {
                node: root_of(leaves[one] for one in range(node.number << node.level, node.number + 1 << node.level))
                for node in nodes
            }
        except KeyError as error:
            raise Damaged("entries of the audit log are missing") from error

    def _entries(self) -> sql.Select[tuple[int, bytes, str, str, str | None]]:
        table = AUDIT_ENTRIES.c
        return sql.select(table.number, table.leaf, table.content, table.event, table.person).where(table.log == self.origin)

    def _person(self, digest: str) -> tuple[sql.ColumnElement[bool], ...]:
        return AUDIT_PEOPLE.c.log == self.origin, AUDIT_PEOPLE.c.digest == digest

    def _writer(self, writer: str) -> tuple[sql.ColumnElement[bool], ...]:
        return AUDIT_WRITERS.c.log == self.origin, AUDIT_WRITERS.c.writer == writer

    def _server(self) -> str:
        return self.origin.replace("/", ":")


def _storable(text: str) -> str:
    """A name from outside as every database takes it."""
    return text[:1000].replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _written(row: sql.Row[Any]) -> Written:
    return Written(row.number, bytes(row.leaf), row.content, row.event, row.person)


def _insert(connection: sql.Connection, table: sql.Table, rows: Sequence[dict[str, object]]) -> None:
    if rows:
        connection.execute(sql.insert(table), rows)
