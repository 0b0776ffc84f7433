"""`cohelix hub report` and `processing`: the Five Safes of a project, and the records of a data protection officer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cohelix.cli.groups import add_group, hub_app

if TYPE_CHECKING:
    from cohelix.access.application_store import ApplicationStore

_Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The hub's folder.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
_Out = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write it to a new file instead.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `cohelix hub`."""
    hub_app.command("report")(report)
    hub_app.command("processing")(processing)
    add_group(app, hub_app)


def report(
    folder: _Folder,
    *,
    application: Annotated[str, typer.Option("--application", metavar="ID", help="Its id, A-….")],
    out: _Out = None,
    as_json: _Json = False,
) -> None:
    """The Five Safes of a project as JSON: people, project, settings, data, outputs, with every decision and its reasons."""
    from cohelix.hub.reports import five_safes
    from cohelix.hub.settings import open_runs

    store = _store(folder)
    state, events = store.get(application), store.events(application)
    found = five_safes(application, state, events, records={}, runs=open_runs(folder))
    text = json.dumps(found, ensure_ascii=False) if as_json else json.dumps(found, indent=1, ensure_ascii=False)
    _write(text + "\n", out)


def processing(folder: _Folder, *, out: _Out = None, as_json: _Json = False) -> None:
    """Records of processing (GDPR, Article 30) of all applications as CSV, one row for each dataset that was applied for."""
    from cohelix.hub.reports import processing_csv, processing_records

    store = _store(folder)
    lines = store.listed(most=100_000)
    rows = processing_records(((one.id, store.get(one.id), store.events(one.id)) for one in lines), {})
    _write(json.dumps({"items": rows}) + "\n" if as_json else processing_csv(rows), out)


def _store(folder: Path) -> ApplicationStore:
    from cohelix.access.application_store import ApplicationStore
    from cohelix.hub.settings import open_hub_database, read_settings

    return ApplicationStore(open_hub_database(folder), rules=read_settings(folder).applications)


def _write(text: str, out: Path | None) -> None:
    from cohelix.core.errors import Conflict

    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        with out.open("x", encoding="utf-8", newline="") as file:
            file.write(text)
    except FileExistsError:
        raise Conflict(f"{out} is there already: name a new file") from None
    typer.echo(f"written to {out}", err=True)
