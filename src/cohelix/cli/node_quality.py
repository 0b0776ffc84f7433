"""`cohelix node quality`: how good a dataset is, for the operator alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cohelix.cli.groups import add_group, node_app


def register(app: typer.Typer) -> None:
    """Add the command to `cohelix node`."""
    add_group(app, node_app)
    node_app.command("quality")(quality)


def quality(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The node's folder.")],
    dataset: Annotated[str, typer.Option("--dataset", metavar="ID", help="The dataset's id within the node.")],
    *,
    thresholds: Annotated[
        Path | None, typer.Option("--thresholds", metavar="YAML", help="Other thresholds than the defaults.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE.html", help="Where to write a page with plots.")] = None,
    names: Annotated[
        bool, typer.Option("--names/--no-names", help="Name call sets on the page; without, it names numbers only.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Assess the published version of a dataset and say the verdict; changes nothing. Exit 0 whatever the verdict is."""
    from cohelix.bank.quality_page import write_page
    from cohelix.bank.quality_published import assess_published
    from cohelix.core.errors import BadUsage
    from cohelix.core.ids import dataset_id
    from cohelix.node.settings import read_settings

    read_settings(folder)
    if out is not None and (out.is_dir() or not out.parent.is_dir()):
        raise BadUsage(f"{out} cannot be written: it is a folder, or its folder is not there")
    version, report = assess_published(folder, dataset_id(dataset), thresholds)
    if out is not None:
        write_page(report.document, version.manifest, out, names=names)
    document = {"dataset": dataset, "version": version.manifest.version, **report.document}
    typer.echo(json.dumps(document, ensure_ascii=False) if as_json else f"dataset {dataset}\n{report.text()}")
    if out is not None:
        typer.echo(f"page in {out}", err=True)
