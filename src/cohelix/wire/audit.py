"""Messages about audit logs: checkpoints that hub and members show each other, and the proofs that the endpoints give."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from cohelix.wire.federation import Message, Succession
from cohelix.wire.frequency import Wire

Note = Annotated[str, Field(max_length=16 * 1024)]
Proof = Annotated[tuple[Annotated[str, Field(max_length=64)], ...], Field(max_length=64)]
"""Hashes of a proof (RFC 9162), hexadecimal."""


class ShownCheckpoint(Wire):
    """A checkpoint of another log, the proof that it continues the one of `since` entries, and how its keys followed."""

    origin: str = Field(max_length=200)
    note: Note
    since: int = 0
    proof: Proof = ()
    successions: tuple[Succession, ...] = Field(default=(), max_length=100)


class Cosigned(Wire):
    """A witness's line under a checkpoint of some log."""

    origin: str = Field(max_length=200)
    witness: str = Field(max_length=200)
    note: Note
    line: str = Field(max_length=500)


class WitnessAlarm(Wire):
    """Why a checkpoint was not believed."""

    origin: str = Field(max_length=200)
    reason: str = Field(max_length=500)


class AskWitness(Message):
    """Hub to node: `POST /federation/v1/audit-witness`, answered with a `WitnessAnswer`.

    `proofs_from` asks for proofs that the node's checkpoint of `proofs_to` entries continues those of these sizes;
    `shown` are other logs' checkpoints to witness; `cosigned` are witnesses' lines under the node's own.
    """

    proofs_from: tuple[int, ...] = Field(default=(), max_length=1000)
    proofs_to: int = Field(default=0, ge=0)
    shown: tuple[ShownCheckpoint, ...] = Field(default=(), max_length=1000)
    cosigned: tuple[Cosigned, ...] = Field(default=(), max_length=1000)


class WitnessAnswer(Message):
    """Node to hub: its newest checkpoint, proofs by the size they start from, the sizes it has seen of other logs, its
    lines under what was shown, and alarms that stand."""

    note: Note = ""
    proofs: dict[str, Proof] = Field(default_factory=dict, max_length=1000)
    seen: dict[str, int] = Field(default_factory=dict, max_length=2000)
    cosigned: tuple[Cosigned, ...] = Field(default=(), max_length=1000)
    alarms: tuple[WitnessAlarm, ...] = Field(default=(), max_length=1000)


class CheckpointAnswer(Wire):
    """The log's newest checkpoint as a note, and what it says; `witnesses` have signed exactly it."""

    origin: str
    size: int
    root: str
    at: str
    key: str
    note: str
    witnesses: tuple[str, ...] = ()


class InclusionAnswer(Wire):
    """Proof that an entry is in the log: hashes only."""

    number: int
    size: int
    proof: Proof


class ConsistencyAnswer(Wire):
    """Proof that the log of `old` entries begins the log of `new` entries."""

    old: int
    new: int
    proof: Proof


class EntryRecord(Wire):
    """An entry as its readers see it: `who` is a pseudonym or a server's name, empty for somebody unknown."""

    number: int
    at: str
    event: str
    by: str
    who: str
    data: dict[str, Any]


class EntriesAnswer(Wire):
    """Entries of a log, newest first; `next` asks for those before them."""

    entries: tuple[EntryRecord, ...]
    next: int | None = None


class WitnessedLog(Wire):
    """What is known of another member's log, and at which size of ours that member has signed it as seen."""

    origin: str
    size: int
    seen_at: str
    alarm: str | None = None
    signed_ours: int | None = None


class LogState(Wire):
    """A log's newest checkpoint, and what its server has seen of the others'."""

    size: int
    root: str
    at: str
    key: str
    logs: tuple[WitnessedLog, ...] = ()
