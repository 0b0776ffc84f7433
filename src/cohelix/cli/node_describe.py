"""`cohelix node describe`: what the federation's catalogue shows of a dataset, and who decides about applications for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cohelix.cli.groups import add_group, node_app


def register(app: typer.Typer) -> None:
    """Add the command to `cohelix node`."""
    node_app.command("describe")(describe)
    add_group(app, node_app)


def describe(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The node's folder.")],
    *,
    dataset: Annotated[str, typer.Option("--dataset", metavar="ID", help="The dataset's id within the node.")],
    title: Annotated[
        str | None, typer.Option("--title", metavar="TEXT", help="In place of the one it was loaded with.")
    ] = None,
    description: Annotated[str | None, typer.Option("--description", metavar="TEXT", help="A paragraph for people.")] = None,
    country: Annotated[
        str | None, typer.Option("--country", metavar="CC", help="Whose national point may veto; the node's if left out.")
    ] = None,
    dataset_type: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="externally-governed, 1mg-compliant or 1mg-cohort.")
    ] = None,
    duo: Annotated[
        list[str] | None,
        typer.Option(
            "--duo",
            metavar="CODE",
            help="What the data may be used for, as GRU or 'DS(MONDO:0004992)'; may repeat; takes the place of all before.",
        ),
    ] = None,
    authority: Annotated[
        str | None, typer.Option("--authority", metavar="ID", help="The committee that decides about applications.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Say what a dataset may be used for and who decides; without an option, show it. A running server follows at once."""
    from pydantic import ValidationError

    from cohelix.access.authority import all_authorities
    from cohelix.access.clauses import clause_text, read_clause
    from cohelix.audit.events import DatasetDescribed
    from cohelix.bank.description import Description, description_of
    from cohelix.bank.description import describe as keep
    from cohelix.cli.audit_log import node_log, note
    from cohelix.core.errors import BadUsage
    from cohelix.core.ids import dataset_id
    from cohelix.node.settings import read_settings

    settings = read_settings(folder)
    name = dataset_id(dataset)
    before = description_of(folder, name)
    given = {
        "title": title,
        "description": description,
        "country": country,
        "dataset_type": dataset_type,
        "duo": None if duo is None else [read_clause(one) for one in duo],
        "authority": authority,
    }
    said = {field: value for field, value in given.items() if value is not None}
    if authority is not None:
        federation_id = f"{settings.id}:{name}"
        mine = {one.id: one for one in all_authorities(folder)}
        if authority in mine and not mine[authority].decides(federation_id):
            raise BadUsage(
                f"authority {authority} decides about {', '.join(mine[authority].datasets)}, and not {federation_id}"
            )
    if said:
        try:
            new = Description.model_validate({**before.model_dump(), **said})
        except ValidationError as error:
            fault = error.errors()[0]
            option = {"dataset_type": "type"}.get(str(fault["loc"][0]), str(fault["loc"][0]))
            raise BadUsage(f"--{option}: {fault['msg']}") from None
        keep(folder, name, new)
        if new != before:
            note(node_log(folder), [DatasetDescribed(f"{settings.id}:{name}", tuple(sorted(said)))])
        before = new
    document = {
        "dataset": f"{settings.id}:{name}",
        "title": before.title,
        "description": before.description,
        "country": before.country or settings.country,
        "type": before.dataset_type,
        "duo": [clause_text(one) for one in before.duo],
        "authority": before.authority,
    }
    if as_json:
        typer.echo(json.dumps(document))
        return
    for field, value in document.items():
        shown = ", ".join(value) if isinstance(value, list) else value
        typer.echo(f"{field:<12} {shown or '–'}")
    if not before.authority:
        typer.echo("nobody can apply for it: say who decides with --authority", err=True)
    if not before.duo:
        typer.echo("nobody is advised that a use is permitted: say what it may be used for with --duo", err=True)
