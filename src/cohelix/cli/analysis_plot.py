"""`cohelix analysis plot`: pictures and a summary of a result folder."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cohelix.cli.groups import add_group, analysis_app


class Kind(StrEnum):
    """What can be drawn."""

    MANHATTAN = "manhattan"
    QQ = "qq"
    REGION = "region"


def register(app: typer.Typer) -> None:
    """Add the command to `cohelix analysis`."""
    add_group(app, analysis_app)
    analysis_app.command("plot")(plot)


def plot(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of results, as `analysis run --out DIR` made it.")],
    *,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.(png|svg)", help="Where to write the picture; without, only words.")
    ] = None,
    kind: Annotated[Kind, typer.Option("--kind", help="What to draw.")] = Kind.MANHATTAN,
    trait: Annotated[str | None, typer.Option("--trait", metavar="NAME", help="One of several traits.")] = None,
    region: Annotated[
        str | None, typer.Option("--region", metavar="CHR:FROM-TO", help="The region to draw; else that of the strongest line.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Draw a result table, and say its strongest loci and its genomic inflation."""
    from cohelix.analysis.files import TABLE
    from cohelix.analysis.pictures import picture
    from cohelix.analysis.summary import summarise
    from cohelix.core.errors import BadUsage, NotFound
    from cohelix.core.genome import parse_region

    if not (folder / TABLE).is_file():
        raise NotFound(f"{folder} has no {TABLE}: name a folder that `cohelix analysis run --out` made")
    if out is not None and (out.suffix not in (".png", ".svg") or not out.absolute().parent.is_dir()):
        raise BadUsage(f"{out} cannot be written: name a .png or .svg file in a folder that exists")
    summary = summarise(folder, trait=trait)
    if trait is not None and not summary.lines:
        raise NotFound(f"the table has no line of trait {trait[:80]!r}")
    if out is not None:
        place = None if region is None else parse_region(region)
        out.write_bytes(picture(folder, summary, kind.value, trait=trait, region=place, svg=out.suffix == ".svg"))
    if as_json:
        typer.echo(json.dumps({**summary.document(), "picture": None if out is None else str(out)}, ensure_ascii=False))
        return
    inflation = "–" if summary.inflation is None else f"{summary.inflation:.3f}"
    typer.echo(f"{summary.lines:,} lines, {summary.tested:,} tests, λ = {inflation}, {len(summary.loci):,} genome-wide loci")
    for stratum in summary.strata:
        if stratum.tested:
            typer.echo(f"  {stratum.name}: {stratum.tested:,} tests, λ = {stratum.inflation:.3f}")
    for one in (summary.loci or summary.top)[:10]:
        told = "" if one.trait is None else f"  {one.trait}"
        effect = "" if one.beta is None else f"  effect {one.beta:.6g}"
        typer.echo(f"  {one.name}{told}{effect}  −log10 p {one.neg_log10_p:.2f}")
    if out is not None:
        typer.echo(f"picture in {out}", err=True)
