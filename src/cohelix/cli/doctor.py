"""`cohelix doctor DIR`: looks at the set-up of a node or a hub, and says what to mend."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A node's or a hub's folder.")],
    *,
    backup: Annotated[
        Path | None, typer.Option("--backup", help="The last backup, or a folder of backups: its age is looked at too.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Do not read every byte of datasets and of the audit log.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Look at a node's or a hub's set-up; exit status 2 where something is at fault. It may serve meanwhile."""
    from cohelix.cli.doctor_checks import examine

    findings = examine(folder, backup=backup, quick=quick)
    faults = sum(one.level == "fault" for one in findings)
    if as_json:
        typer.echo(json.dumps({"ok": not faults, "findings": [one.document() for one in findings]}, ensure_ascii=False))
    else:
        for one in findings:
            typer.echo(f"{one.level:8} {one.slug}: {one.says}")
            if one.mend:
                typer.echo(f"{'':9}{one.mend}")
        warnings = sum(one.level == "warning" for one in findings)
        typer.echo(f"{faults} at fault, {warnings} to look at; docs/guides/doctor.md explains each")
    if faults:
        raise typer.Exit(2)
