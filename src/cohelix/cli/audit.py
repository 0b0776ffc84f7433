"""The commands of `cohelix audit`: what a log proves, and to whom; alarms about others, and requests for erasure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cohelix.cli.groups import add_group

if TYPE_CHECKING:
    from cohelix.audit.bundle import Trust
    from cohelix.audit.checkpoint import Checkpoint
    from cohelix.audit.store import LogStore
    from cohelix.audit.verify import Verified

audit_app = typer.Typer(name="audit", help="The audit log: verify it, prove an entry, take entries out.", no_args_is_help=True)

_Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A node's or a hub's folder.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
_Known = Annotated[
    list[Path] | None,
    typer.Option(
        "--checkpoint", exists=True, dir_okay=False, help="A checkpoint of this log that somebody else holds; may be repeated."
    ),
]
_Key = Annotated[str | None, typer.Option("--key", help="The log's public key, as 'cohelix node peers' prints it.")]
_Since = Annotated[
    str, typer.Option("--from", metavar="WHEN", help="First entry: a number, or a time as 2026-11-23 or RFC 3339.")
]
_Until = Annotated[str, typer.Option("--to", metavar="WHEN", help="Where to stop, in the same way; the log's end if left out.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (verify, prove, export, incident, checkpoint, settle, forget):
        audit_app.command(command.__name__)(command)
    add_group(app, audit_app)


def verify(
    where: Annotated[
        Path | None, typer.Argument(metavar="DIR_OR_EXPORT", help="A node's or hub's folder, or a folder that was exported.")
    ] = None,
    *,
    proof: Annotated[
        Path | None, typer.Option("--proof", exists=True, dir_okay=False, help="Verify the proof of one entry instead.")
    ] = None,
    known: _Known = None,
    key: _Key = None,
    as_json: _Json = False,
) -> None:
    """Verify a log from its first entry to its last; the first that does not fit is named, and the exit status is 3."""
    from cohelix.audit.bundle import ENTRIES_FILE, EntryProof, Trust, read_document, verify_export, verify_proof
    from cohelix.core.errors import BadUsage

    if (where is None) == (proof is None):
        raise BadUsage("name a folder, or a proof with --proof")
    trust = Trust([_read_checkpoint(path) for path in known or ()], key)
    if proof is not None:
        document = read_document(proof, EntryProof)
        found = verify_proof(document, trust)
        said = {"entry": document.number, "origin": found.origin, "size": found.size, "at": found.at, "key": found.key}
        words = (
            f"entry {document.number} is in the log of {found.origin} under its checkpoint of {found.at} ({found.size} entries)"
        )
        typer.echo(
            json.dumps({"ok": True, **said, "trusted": _trusted(trust)})
            if as_json
            else f"{words}\n{_trust_words(trust, found.key)}"
        )
        return
    assert where is not None
    if (where / ENTRIES_FILE).exists():
        _tell(verify_export(where, trust), trust, as_json)
        return
    _tell(*_verified_folder(where, trust), as_json)


def prove(
    folder: _Folder,
    *,
    entry: Annotated[int, typer.Option("--entry", min=0, metavar="N", help="The entry's number.")],
    out: Annotated[Path | None, typer.Option("--out", help="Write the proof to this file.")] = None,
    as_json: _Json = False,
) -> None:
    """The proof that an entry is in the log, as JSON that `cohelix audit verify --proof` checks anywhere."""
    from cohelix.audit.bundle import prove as proof_of

    text = proof_of(_store(folder), entry).model_dump_json(indent=None if as_json else 1)
    if out is None:
        typer.echo(text)
    else:
        out.write_text(text + "\n", encoding="utf-8")
        typer.echo(f"proof of entry {entry} in {out}", err=True)


def export(
    folder: _Folder,
    *,
    out: Annotated[Path, typer.Option("--out", help="A new folder for entries, checkpoint and proof.")],
    since: _Since = "0",
    until: _Until = "",
    people: Annotated[
        bool, typer.Option("--people", help="Also write who the pseudonyms are: only for those who may know.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Take entries out with a signed checkpoint and a proof, to be verified anywhere; the log says that it was done."""
    from cohelix.audit.bundle import export as write_export
    from cohelix.audit.bundle import people_of
    from cohelix.audit.events import LogExported
    from cohelix.cli.audit_log import note, server_log
    from cohelix.core.errors import Conflict

    store = _store(folder)
    first, end = _range(store, since, until)
    try:
        write_export(store, first, end, out)
    except FileExistsError:
        raise Conflict(f"{out} is there already: name a new folder") from None
    if people:
        people_of(store, out)
    note(server_log(folder), [LogExported("entries", since, until, end - first)])
    said = {"out": str(out), "first": first, "entries": end - first}
    typer.echo(json.dumps(said) if as_json else f"{end - first:,} entries from {first} on in {out}")


def incident(
    folder: _Folder,
    *,
    since: _Since,
    until: _Until = "",
    out: Annotated[Path, typer.Option("--out", help="A new folder for the reports.")],
    people: Annotated[
        bool, typer.Option("--people", help="Name people instead of pseudonyms: only for those who may know.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Material for the early warning (24 hours) and the notice (72 hours) of an incident: who, what, refusals, timeline."""
    from cohelix.audit.events import LogExported
    from cohelix.audit.incident import report, write_reports
    from cohelix.cli.audit_log import note, server_log
    from cohelix.core.clock import SystemClock
    from cohelix.core.errors import Conflict

    store = _store(folder)
    first, end = _range(store, since, until)
    found = report(store, first, end, since=since, until=until, now=SystemClock().now(), people=people)
    try:
        files = write_reports(found, out)
    except FileExistsError:
        raise Conflict(f"{out} is there already: name a new folder") from None
    note(server_log(folder), [LogExported("incident", since, until, end - first)])
    if as_json:
        typer.echo(json.dumps({"out": str(out), "files": files, "entries": end - first}))
    else:
        typer.echo(f"{end - first:,} entries; reports in {out}: {', '.join(files)}")


def checkpoint(
    folder: _Folder,
    *,
    of: Annotated[
        str | None, typer.Option("--of", metavar="ORIGIN", help="The last one seen of another log: hub, or node/ID.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write it to this file.")] = None,
    as_json: _Json = False,
) -> None:
    """The log's newest signed checkpoint, or the last that this server has seen of another's; keep it where they cannot."""
    from cohelix.audit.witnessed import Witnessed
    from cohelix.core.errors import NotFound

    store = _store(folder)
    held = None if of is None else Witnessed(store).last(of)
    found = store.head() if of is None else held.checkpoint if held else None
    if found is None:
        raise NotFound("the log is empty" if of is None else f"no checkpoint of {of} was seen yet")
    alarm = held.alarm if held else None
    if out is not None:
        out.write_text(found.note(), encoding="utf-8")
    if as_json:
        said = {"origin": found.origin, "size": found.size, "at": found.at, "key": found.key, "alarm": alarm}
        typer.echo(json.dumps({**said, "note": found.note()}))
        return
    if out is None:
        typer.echo(found.note(), nl=False)
    if alarm:
        typer.echo(f"ALARM: {alarm}", err=True)


def settle(
    folder: _Folder,
    *,
    of: Annotated[str, typer.Option("--of", metavar="ORIGIN", help="Whose log raised the alarm: hub, or node/ID.")],
    reason: Annotated[str, typer.Option("--reason", help="What was found, and who agreed; the log keeps it.")],
    out: Annotated[Path, typer.Option("--out", help="Keep the checkpoint that was held in this new file, as evidence.")],
    as_json: _Json = False,
) -> None:
    """End the alarm about another server's log once its operator has explained it: the next checkpoint counts as the first."""
    from cohelix.audit.events import CheckpointSettled
    from cohelix.audit.witnessed import Witnessed
    from cohelix.cli.audit_log import note, server_log
    from cohelix.core.errors import BadUsage, Conflict, NotFound

    if not reason.strip():
        raise BadUsage("say what was found: --reason is kept in the log")
    witnessed = Witnessed(_store(folder))
    held = witnessed.last(of)
    if held is None:
        raise NotFound(f"no checkpoint of {of} was seen yet")
    if held.alarm is None:
        raise Conflict(f"there is no alarm about the log of {of}: what is held of it stays")
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(held.checkpoint.note())
    except FileExistsError:
        raise Conflict(f"{out} is there already: name a new file") from None
    root = held.checkpoint.root.hex()
    note(server_log(folder), [CheckpointSettled(of, held.checkpoint.size, root, held.alarm, reason)])
    if not witnessed.settle(of, held):
        raise Conflict(f"the log of {of} was seen again meanwhile: look at it once more")
    said = {"origin": of, "size": held.checkpoint.size, "root": root, "alarm": held.alarm, "out": str(out)}
    words = f"the alarm about the log of {of} is settled; what was held of it ({held.checkpoint.size:,} entries) is in {out}"
    typer.echo(json.dumps(said) if as_json else words)


def forget(
    folder: _Folder,
    *,
    subject: Annotated[str, typer.Option("--subject", help="The person, as the issuer names them.")],
    issuer: Annotated[str, typer.Option("--issuer", help="Who names them; 'os' for accounts of the machine.")],
    as_json: _Json = False,
) -> None:
    """Answer a request for erasure: entries stay, and nobody can tell any more whose this person's pseudonym was."""
    from cohelix.audit.events import Person, PersonUnlinked
    from cohelix.cli.audit_log import note, server_log
    from cohelix.core.errors import NotFound

    pseudonym = _store(folder).unlink(Person(subject, issuer))
    if pseudonym is None:
        raise NotFound("no entry names this person")
    note(server_log(folder), [PersonUnlinked(pseudonym)])
    typer.echo(json.dumps({"pseudonym": pseudonym}) if as_json else f"{pseudonym} is nobody's name any more")


def _verified_folder(folder: Path, trust: Trust) -> tuple[Verified, Trust]:
    """A server's own log: its key is the folder's identity, unless another was named."""
    from dataclasses import replace

    from cohelix.audit.bundle import verify_store
    from cohelix.federation.signing import load_identity

    given = trust if trust.key else replace(trust, key=load_identity(folder).public)
    return verify_store(_store(folder), given), given


def _store(folder: Path) -> LogStore:
    from cohelix.cli.audit_log import server_log

    return server_log(folder).store()


def _read_checkpoint(path: Path) -> Checkpoint:
    from cohelix.audit.checkpoint import read_note
    from cohelix.core.errors import BadFile, NotAuthentic

    try:
        return read_note(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, NotAuthentic) as error:
        raise BadFile(str(path), "", str(error), "a checkpoint as 'cohelix audit checkpoint' prints it") from None


def _range(store: LogStore, since: str, until: str) -> tuple[int, int]:
    """Numbers of entries from numbers or times."""
    from cohelix.core.errors import BadUsage

    head = store.head()
    size = head.size if head else 0
    first, end = _number(store, since, size), _number(store, until, size) if until else size
    if first > end:
        raise BadUsage(f"--from ({since}) lies after --to ({until or 'the end'}): the log has {size} entries")
    return first, end


def _number(store: LogStore, when: str, size: int) -> int:
    from datetime import UTC, datetime

    from cohelix.audit.checkpoint import time_text
    from cohelix.core.errors import BadUsage

    if when.isascii() and when.isdigit() and len(when) < 12:
        return min(int(when), size)
    try:
        moment = datetime.fromisoformat(when)
    except ValueError:
        raise BadUsage(f"{when!r} is neither an entry's number nor a time as 2026-11-23 or 2026-11-23T08:00:00Z") from None
    return store.number_at(time_text(moment if moment.tzinfo else moment.replace(tzinfo=UTC))) if size else 0


def _tell(found: Verified, trust: Trust, as_json: bool) -> None:
    """Print what a verification found; exit status 3 where something does not fit."""
    misfit = found.misfit
    said: dict[str, Any] = {
        "ok": misfit is None,
        "origin": found.origin,
        "size": found.size,
        "root": found.root.hex(),
        "key": found.key,
        "at": found.at,
        "checkpoints": found.checkpoints,
        "trusted": _trusted(trust),
    }
    if misfit:
        said["misfit"] = {"first": misfit.first, "last": misfit.last, "problem": misfit.problem}
    if as_json:
        typer.echo(json.dumps(said))
    if misfit:
        place = f"entry {misfit.first}" if misfit.first >= misfit.last else f"one of entries {misfit.first} to {misfit.last}"
        typer.echo(f"The log of {found.origin or 'this folder'} does NOT hold: {place}: {misfit.problem}", err=True)
        raise typer.Exit(3)
    if not as_json:
        typer.echo(f"the log of {found.origin} holds: {found.size:,} entries, {found.checkpoints:,} signed checkpoints")
        typer.echo(f"newest checkpoint {found.at or '-'}, root {found.root.hex()}")
        typer.echo(_trust_words(trust, found.key))


def _trusted(trust: Trust) -> str:
    return "checkpoint" if trust.known else "key" if trust.key else "nothing"


def _trust_words(trust: Trust, key: str) -> str:
    if trust.known:
        return "it continues the checkpoint that you gave"
    if trust.key:
        return f"signed by the known key {key}; give --checkpoint of a witness to find a history that its keeper signed anew"
    return f"signed by {key}: give --key or --checkpoint, or a forger's key is as good as the log's"
