"""What leaves a log to be verified elsewhere: the proof of one entry, and a folder of exported entries with theirs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from cohelix.audit.checkpoint import Checkpoint, read_note
from cohelix.audit.entries import read_entry
from cohelix.audit.merkle import Peaks, inclusion_holds, leaf_hash, nodes_of
from cohelix.audit.store import KEPT_LEVEL, LogStore
from cohelix.audit.verify import Copy, Misfit, Verified, copies_of, verify
from cohelix.core.errors import BadFile, Damaged, NotAuthentic

ENTRIES_FILE: Final = "entries.ndjson"
CHECKPOINT_FILE: Final = "checkpoint.txt"
PROOF_FILE: Final = "proof.json"
PEOPLE_FILE: Final = "people.json"
FORMAT: Final = 1

_Document = TypeVar("_Document", bound=BaseModel)


class EntryProof(BaseModel):
    """One entry, a signed checkpoint, and the hashes between the two (RFC 9162, hexadecimal)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    number: int
    entry: str
    proof: tuple[str, ...]
    checkpoint: str


class RangeProof(BaseModel):
    """What surrounds exported entries: hashes of the subtrees before and after them, and the log's kept checkpoints."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    first: int
    end: int
    hashes: tuple[str, ...]
    checkpoints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trust:
    """What the verifier knows of a log from elsewhere.

    Attributes
    ----------
    known
        Checkpoints that others hold.
    key
        The key that must be in force.
    origin
        Whose log it must be.
    """

    known: Sequence[Checkpoint] = ()
    key: str | None = None
    origin: str | None = None


def verify_store(store: LogStore, trust: Trust) -> Verified:
    """Verify the log of a database, its bookkeeping included."""
    try:
        outline = store.outline()
    except Damaged as error:
        return _broken(store.origin, error.detail)
    if outline is None:
        held = max(trust.known, key=lambda one: one.size, default=None)
        gone = Misfit(0, 0, f"the log is empty; a signed checkpoint counts {held.size} entries") if held else None
        return Verified(store.origin, 0, Peaks().root(), "", 0, "", gone)
    kept = [note for size, note in store.kept() if size <= outline.size]
    found = verify(
        copies_of(store.entries(0, outline.size)),
        kept,
        head=outline.note,
        known=[*trust.known, *store.cosignatures().values()],
        key=trust.key,
        nodes=outline.nodes.get,
        expected_origin=store.origin,
    )
    if found.misfit is None:
        found = _with(found, _bookkeeping(outline.size, outline.peaks, outline.last, len(outline.nodes), found))
    return found


def prove(store: LogStore, number: int) -> EntryProof:
    """The proof of one entry, to be verified by anybody who knows the log's key."""
    entry, checkpoint, proof = store.inclusion(number)
    return EntryProof(
        number=number, entry=entry.content, proof=tuple(one.hex() for one in proof), checkpoint=_note(store, checkpoint)
    )


def verify_proof(proof: EntryProof, trust: Trust) -> Checkpoint:
    """The checkpoint that an entry is proved to lie under.

    Raises
    ------
    NotAuthentic
        With what does not hold.
    """
    checkpoint = read_note(proof.checkpoint)
    try:
        hashes = [bytes.fromhex(one) for one in proof.proof]
        content = proof.entry.encode("ascii")
        said = read_entry(content).number
    except (ValueError, Damaged) as error:
        raise NotAuthentic("this is not a proof of an entry") from error
    if said != proof.number:
        raise NotAuthentic(f"the entry was written as entry {said}, and is shown as {proof.number}")
    if not inclusion_holds(leaf_hash(content), proof.number, checkpoint.size, checkpoint.root, hashes):
        raise NotAuthentic("the entry is not in the log under this checkpoint")
    _check_trust(checkpoint, trust)
    return checkpoint


def export(store: LogStore, first: int, end: int, folder: Path) -> RangeProof:
    """Write the entries `first` up to `end` with the newest checkpoint and a proof into a new folder.

    Raises
    ------
    FileExistsError
        If the folder is there already.
    """
    checkpoint, hashes = store.around(first, end)
    folder.mkdir(parents=True)
    with (folder / ENTRIES_FILE).open("w", encoding="ascii", newline="\n") as file:
        file.writelines(f"{row.content}\n" for row in store.entries(first, end))
    inside = tuple(note for size, note in store.kept() if first == 0 and size <= end)
    proof = RangeProof(first=first, end=end, hashes=tuple(one.hex() for one in hashes), checkpoints=inside)
    (folder / CHECKPOINT_FILE).write_text(_note(store, checkpoint), encoding="utf-8")
    (folder / PROOF_FILE).write_text(proof.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return proof


def verify_export(folder: Path, trust: Trust) -> Verified:
    """Verify a folder of exported entries against its checkpoint, and against what is known of the log from elsewhere.

    Raises
    ------
    BadFile
        If it is not such a folder.
    """
    proof = read_document(folder / PROOF_FILE, RangeProof)
    try:
        note = (folder / CHECKPOINT_FILE).read_text(encoding="utf-8")
        lines = (folder / ENTRIES_FILE).read_text(encoding="ascii").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(str(folder), "", f"it cannot be read ({error})", "a folder of 'cohelix audit export'") from None
    try:
        checkpoint = read_note(note)
        hashes = [bytes.fromhex(one) for one in proof.hashes]
    except (NotAuthentic, ValueError):
        return _broken(trust.origin or "", "the checkpoint or the proof is not sound", proof.first)
    if lines[-1]:
        return _broken(checkpoint.origin, "the last line is cut", proof.end - 1)
    copies = [Copy(proof.first + at, line) for at, line in enumerate(lines[:-1])]
    if proof.first == 0 and proof.end == checkpoint.size:
        return verify(copies, proof.checkpoints, head=note, known=trust.known, key=trust.key, expected_origin=trust.origin)
    misfit = _range_misfit(copies, proof, checkpoint, hashes)
    if misfit is None:
        try:
            _check_trust(checkpoint, trust)
        except NotAuthentic as error:
            misfit = Misfit(proof.first, proof.end, error.detail)
    return Verified(checkpoint.origin, checkpoint.size, checkpoint.root, checkpoint.key, 1, checkpoint.at, misfit)


def read_document(path: Path, kind: type[_Document]) -> _Document:
    """A proof from a file; `BadFile` for another file."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BadFile(str(path), "", f"it cannot be read ({error.strerror})", "a file that 'cohelix audit' wrote") from None
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(step) for step in fault["loc"])
        raise BadFile(str(path), place, fault["msg"], "a document as 'cohelix audit' writes it") from None


def people_of(store: LogStore, folder: Path) -> None:
    """Write beside exported entries who their pseudonyms are: for the eyes of those who may know."""
    lines = (folder / ENTRIES_FILE).read_text(encoding="ascii").splitlines()
    named = {name for line in lines for name in _pseudonyms(json.loads(line))}
    people = {name: {"subject": who.subject, "issuer": who.issuer} for name, who in store.people(sorted(named)).items()}
    (folder / PEOPLE_FILE).write_text(json.dumps(people, indent=1) + "\n", encoding="utf-8")


def _pseudonyms(document: dict[str, Any]) -> list[str]:
    values = [document["who"], *document["data"].values()]
    return [one for one in values if isinstance(one, str) and one.startswith("p-")]


def _range_misfit(copies: Sequence[Copy], proof: RangeProof, checkpoint: Checkpoint, hashes: Sequence[bytes]) -> Misfit | None:
    """Why some entries are not those of a log under a checkpoint; None where they are."""
    if len(copies) != proof.end - proof.first or not 0 <= proof.first <= proof.end <= checkpoint.size:
        return Misfit(proof.first + len(copies), proof.end, "there are more or fewer entries than the proof is about")
    for copy in copies:
        try:
            said = read_entry(copy.content.encode()).number
        except Damaged:
            return Misfit(copy.number, copy.number, "this is not an entry")
        if said != copy.number:
            return Misfit(copy.number, copy.number, f"the entry was written as entry {said}")
    before, after = nodes_of(0, proof.first), nodes_of(proof.end, checkpoint.size)
    if len(hashes) != len(before) + len(after):
        return Misfit(proof.first, proof.end, "the proof has not as many hashes as it needs")
    peaks, given = Peaks(), iter(hashes)
    for node in before:
        peaks.add(next(given), node.level)
    for copy in copies:
        peaks.add(leaf_hash(copy.content.encode()))
    for node in after:
        peaks.add(next(given), node.level)
    if peaks.root() == checkpoint.root:
        return None
    return Misfit(proof.first, max(proof.first, proof.end - 1), "the entries are not those under the signed checkpoint")


def _bookkeeping(size: int, peaks: bytes, last: int, nodes: int, found: Verified) -> Misfit | None:
    """What beside the entries does not fit: it would hinder the next entry, or a proof."""
    if last != size - 1:
        return Misfit(size, last, "entries follow that no checkpoint signs")
    try:
        fits = Peaks(size, peaks).root() == found.root
    except ValueError:
        fits = False
    if not fits:
        return Misfit(size, size, "the head of the log is not that of its entries")
    if nodes != sum(size >> level for level in range(KEPT_LEVEL, size.bit_length())):
        return Misfit(size, size, "hashes of subtrees are missing, or too many")
    return None


def _check_trust(checkpoint: Checkpoint, trust: Trust) -> None:
    """Whether a checkpoint is of the log, and of no other state of it, than what is known from elsewhere."""
    if trust.origin and checkpoint.origin != trust.origin:
        raise NotAuthentic(f"this is the log of {checkpoint.origin}")
    if trust.key and checkpoint.key != trust.key:
        raise NotAuthentic("the checkpoint is signed by another key than the one that is known")
    for one in trust.known:
        if (one.origin, one.key) != (checkpoint.origin, checkpoint.key):
            raise NotAuthentic("the checkpoint that is known is of another log or key")
        if one.size == checkpoint.size and one.root != checkpoint.root:
            raise NotAuthentic(f"the checkpoint that is known at {one.size} entries has another root")
        if one.size > checkpoint.size:
            raise NotAuthentic(f"the checkpoint that is known counts {one.size} entries, this one {checkpoint.size}")


def _note(store: LogStore, checkpoint: Checkpoint) -> str:
    """A checkpoint with the lines of all witnesses who signed exactly it."""
    lines = [one.signatures[-1] for one in store.cosignatures().values() if one.text() == checkpoint.text()]
    return checkpoint.note() + "".join(f"{line}\n" for line in lines)


def _with(found: Verified, misfit: Misfit | None) -> Verified:
    return Verified(found.origin, found.size, found.root, found.key, found.checkpoints, found.at, misfit)


def _broken(origin: str, problem: str, at: int = 0) -> Verified:
    return Verified(origin, 0, b"", "", 0, "", Misfit(at, at, problem))
