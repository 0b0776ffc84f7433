"""`cohelix node ontologies` and `cohelix hub ontologies`: which ontologies a server knows, and how one is added."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cohelix.cli.groups import add_group, hub_app, node_app

_Add = Annotated[
    Path | None, typer.Option("--add", metavar="FILE", help="An ontology to add: OBO, OWL (RDF/XML), or a table of codes.")
]
_Prefix = Annotated[
    str | None, typer.Option("--prefix", metavar="P", help="With --add: take the codes of this prefix (MONDO, ICD10, …).")
]
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


def register(app: typer.Typer) -> None:
    """Add the command to `cohelix node` and to `cohelix hub`."""
    node_app.command("ontologies")(of_node)
    hub_app.command("ontologies")(of_hub)
    add_group(app, node_app)
    add_group(app, hub_app)


def of_node(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The node's folder.")],
    *,
    add: _Add = None,
    prefix: _Prefix = None,
    as_json: _Json = False,
) -> None:
    """List the node's ontologies; with --add, bring one in first. Loads from then on use it; HPO comes with the package."""
    from cohelix.node.settings import read_settings

    read_settings(folder)
    _ontologies(folder, add, prefix, as_json=as_json)


def of_hub(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The hub's folder.")],
    *,
    add: _Add = None,
    prefix: _Prefix = None,
    as_json: _Json = False,
) -> None:
    """List the ontologies by which the hub knows kinds of diseases; with --add, bring one in first. Then start it anew."""
    from cohelix.hub.settings import read_settings

    read_settings(folder)
    _ontologies(folder, add, prefix, as_json=as_json)


def _ontologies(folder: Path, add: Path | None, prefix: str | None, *, as_json: bool) -> None:
    from cohelix.cli.tables import show_table
    from cohelix.core.errors import BadUsage
    from cohelix.phenotypes.ontology import Ontologies
    from cohelix.phenotypes.ontology_files import add_ontology

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
