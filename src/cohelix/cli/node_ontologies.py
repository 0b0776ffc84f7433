"""`cohelix node ontologies`: which ontologies a node's loads know, and how one is added."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cohelix.cli.groups import add_group, node_app


def register(app: typer.Typer) -> None:
    """Add the command to `cohelix node`."""
    node_app.command("ontologies")(ontologies)
    add_group(app, node_app)


def ontologies(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The node's folder.")],
    *,
    add: Annotated[
        Path | None,
        typer.Option("--add", metavar="FILE", help="An ontology to add: OBO, OWL (RDF/XML), or a table of codes."),
    ] = None,
    prefix: Annotated[
        str | None, typer.Option("--prefix", metavar="P", help="With --add: take the codes of this prefix (MONDO, ICD10, …).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """List the node's ontologies; with --add, bring one in first. Loads from then on use it; HPO comes with the package."""
    from cohelix.cli.tables import show_table
    from cohelix.core.errors import BadUsage
    from cohelix.node.settings import read_settings
    from cohelix.phenotypes.ontology import Ontologies
    from cohelix.phenotypes.ontology_files import add_ontology

    read_settings(folder)
    if prefix is not None and add is None:
        raise BadUsage("--prefix says which codes of a file are taken: give --add too")
    if add is not None:
        added = add_ontology(folder, add, prefix)
        typer.echo(f"added {added.prefix} from {add}: {len(added)} terms", err=True)
    known = Ontologies.of(folder)
    found = [ontology for ontology in map(known.get, known.prefixes()) if ontology is not None]
    rows = [(one.prefix, one.version, len(one), one.n_replaced, one.n_obsolete, one.source) for one in found]
    if as_json:
        keys = ("prefix", "version", "terms", "replaced", "obsolete", "source")
        typer.echo(json.dumps({"ontologies": [dict(zip(keys, row, strict=True)) for row in rows]}, ensure_ascii=False))
    else:
        show_table(("prefix", "version", "terms", "replaced codes", "obsolete codes", "source"), rows)
