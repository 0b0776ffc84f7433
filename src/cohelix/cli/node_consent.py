"""`cohelix node consent` and `node citizen`: what people have agreed to, and the codes with which they say it themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cohelix.cli.groups import add_group, node_app
from cohelix.cli.tables import show_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cohelix.phenotypes.consents import Scope

_Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The node's folder.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `cohelix node`."""
    node_app.command("consent")(consent)
    node_app.command("citizen")(citizen)
    node_app.command("uses")(uses)
    add_group(app, node_app)


def consent(
    folder: _Folder,
    *,
    individual: Annotated[str | None, typer.Option("--individual", metavar="ID", help="Who has said it.")] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            "--scope", metavar="SCOPE", help="frequencies, individual-queries or secondary-use; may repeat. All if left out."
        ),
    ] = None,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="The person no longer agrees.")] = False,
    give: Annotated[bool, typer.Option("--give", help="The person agrees, or agrees again.")] = False,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="TSV", help="Many people: individual_id and a column for each scope, yes, no or empty."),
    ] = None,
    list_all: Annotated[bool, typer.Option("--list", help="What everybody has said.")] = False,
    as_json: _Json = False,
) -> None:
    """Write down what people agree to, scope by scope; every answer, analysis and export follows, without a reload."""
    from cohelix.bank.consent import ConsentBook, read_choices, scope_named
    from cohelix.core.errors import BadUsage
    from cohelix.node.settings import read_settings
    from cohelix.phenotypes.consents import SCOPES

    read_settings(folder)
    if list_all:
        _list(ConsentBook(folder).read().choices, individual, as_json)
        return
    if (individual is None) == (file is None):
        raise BadUsage("say who with --individual ID, or give a table with --file; --list shows what was said")
    if file is not None:
        if withdraw or give or scope:
            raise BadUsage("a table says of each person and scope yes or no: leave out --withdraw, --give and --scope")
        said: Mapping[str, Mapping[Scope, bool]] = read_choices(file)
    else:
        if withdraw == give:
            raise BadUsage("say --withdraw or --give")
        scopes = [scope_named(name) for name in scope] if scope else list(SCOPES)
        said = {str(individual): dict.fromkeys(scopes, give)}
    _follow(folder, said, as_json)


def citizen(
    folder: _Folder,
    *,
    individual: Annotated[str, typer.Option("--individual", metavar="ID", help="For whom the code is.")],
    as_json: _Json = False,
) -> None:
    """Make a code with which one person signs in once at the node's /consent page; it holds for a week."""
    from cohelix.audit.events import CitizenInvited
    from cohelix.cli.audit_log import node_log, operator
    from cohelix.db import open_database
    from cohelix.node.consent import codes
    from cohelix.node.settings import database_of, read_settings
    from cohelix.portal.consent import CODE_SECONDS

    settings = read_settings(folder)
    _check_known(folder, [individual])
    code = codes(open_database(database_of(folder, settings))).begin({"individual": individual}).key
    with node_log(folder) as log:
        log.record(CitizenInvited(individual=log.keyed(individual)), by=operator(), wait=True)
    page = f"{settings.url.rstrip('/')}/consent" if settings.url else "the node's address, /consent"
    if as_json:
        typer.echo(json.dumps({"code": code, "page": page, "days": CODE_SECONDS // 86_400}))
        return
    typer.echo(code)
    typer.echo(f"works once, within {CODE_SECONDS // 86_400} days, at {page}; whoever has it can change the choices", err=True)


def uses(
    folder: _Folder,
    *,
    individual: Annotated[str, typer.Option("--individual", metavar="ID", help="Whose data.")],
    as_json: _Json = False,
) -> None:
    """Who used one person's data: analyses and answers by permission, for what, by whose decision; you looking is logged."""
    from cohelix.access.grants import Grants
    from cohelix.audit.events import LogRead
    from cohelix.cli.audit_log import node_log, operator
    from cohelix.db import open_database
    from cohelix.node.settings import database_of, read_settings
    from cohelix.node.uses import Uses

    settings = read_settings(folder)
    _check_known(folder, [individual])
    with node_log(folder) as log:
        grants = Grants(open_database(database_of(folder, settings)))
        found = [line.document() for line in Uses(folder, settings.node, log.store, lambda: grants, log.keyed).of(individual)]
        log.record(LogRead(first=0, entries=sum(line["times"] for line in found)), by=operator(), wait=True)
    if as_json:
        typer.echo(json.dumps({"items": found}))
        return
    if not found:
        typer.echo("nobody has used the data in a way that is about single people")
        return
    columns = ("what", "purpose", "dataset", "decidedBy", "application", "times", "last")
    show_table(columns, [tuple("" if line[name] is None else str(line[name]) for name in columns) for line in found])


def _follow(folder: Path, said: Mapping[str, Mapping[Scope, bool]], as_json: bool) -> None:
    """Write it down in the audit log, then in the book, then in new releases."""
    from cohelix.audit.events import ConsentChanged
    from cohelix.bank.consent import ConsentBook
    from cohelix.bank.life import follow_consent
    from cohelix.cli.audit_log import node_log, operator
    from cohelix.core.errors import Conflict

    _check_known(folder, said)
    book = ConsentBook(folder)
    before = book.read().choices
    with node_log(folder) as log:
        for name, choices in said.items():
            for given in (False, True):
                scopes = tuple(
                    scope for scope, yes in choices.items() if yes is given and before.get(name, {}).get(scope) is not given
                )
                if scopes:
                    event = ConsentChanged(individual=log.keyed(name), scopes=scopes, given=given)
                    log.record(event, by=operator(), wait=True)
    changed = book.take(said)
    waiting = ""
    steps: list[dict[str, Any]] = []
    try:
        steps = [step.document() for step in follow_consent(folder, stage=_say)]
    except Conflict as error:
        waiting = f"{error.detail}; the node that serves follows by itself, and answers nothing of it after half a minute"
    document = {"changed": len(changed), "releases": steps, "waiting": bool(waiting)}
    if as_json:
        typer.echo(json.dumps(document))
        if waiting:
            typer.echo(waiting, err=True)
        return
    typer.echo(f"{len(changed)} people have said something new")
    for step in steps:
        typer.echo(f"{step['dataset']}: release {step['release']}, {step['released']:,} people in frequencies")
    if waiting:
        typer.echo(waiting, err=True)


def _check_known(folder: Path, names: Any) -> None:
    from cohelix.bank.life import people_known
    from cohelix.core.errors import BadUsage

    known = people_known(folder)
    unknown = sorted(name for name in names if name not in known)
    if unknown:
        shown = ", ".join(unknown[:5]) + (", …" if len(unknown) > 5 else "")
        raise BadUsage(f"{len(unknown)} individuals are in no dataset of this node: {shown}")


def _list(choices: Mapping[str, Mapping[Scope, bool]], individual: str | None, as_json: bool) -> None:
    from cohelix.phenotypes.consents import SCOPES

    found = {name: said for name, said in sorted(choices.items()) if individual in (None, name)}
    if as_json:
        typer.echo(json.dumps({"items": [{"individual": name, **said} for name, said in found.items()]}))
        return
    if not found:
        typer.echo("nobody has said anything: each dataset's own rule holds")
        return
    words = {True: "yes", False: "no", None: "not said"}
    show_table(("individual", *SCOPES), [(name, *(words[said.get(scope)] for scope in SCOPES)) for name, said in found.items()])


def _say(stage: str) -> None:
    typer.echo(stage, err=True)
