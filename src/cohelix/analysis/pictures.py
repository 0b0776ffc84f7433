"""Pictures of a result folder, as the command line and the pages ask for them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import yaml

from cohelix.analysis.drawing import manhattan, quantiles, region_plot, rendered
from cohelix.analysis.files import METADATA
from cohelix.analysis.summary import LOCUS_BASES, Summary, Top
from cohelix.analysis.window import lines_around
from cohelix.core.errors import Damaged, NotFound
from cohelix.core.genome import Assembly, Region

Kind = Literal["manhattan", "qq", "region"]


def picture(
    folder: Path,
    summary: Summary,
    kind: Kind,
    *,
    trait: str | None = None,
    region: Region | None = None,
    svg: bool = False,
    dark: bool = False,
) -> bytes:
    """A PNG or SVG of the table that `summary` is of, for a light or a dark page; of the strongest line's region unless named.

    Raises
    ------
    NotFound
        If there is nothing to draw.
    """
    suffix: Literal["png", "svg"] = "svg" if svg else "png"
    traits = {one.trait for one in summary.top if one.trait}
    title = trait or ("all traits" if len(traits) > 1 else "".join(traits))
    if kind == "manhattan":
        return rendered(manhattan(summary, title=title), suffix, dark=dark)
    if kind == "qq":
        return rendered(quantiles(summary, title=title), suffix, dark=dark)
    if region is None:
        if not summary.top:
            raise NotFound("nothing was tested: there is no region to draw")
        region, trait = region_of(summary.top[0]), summary.top[0].trait
    positions, strength = lines_around(folder, region, trait=trait)
    if not np.isfinite(strength).any():
        raise NotFound(f"the table has no test in {region}")
    title = f"{region} {trait or ''}".strip()
    strongest = int(np.nanargmax(strength))
    drawn = region_plot(positions, strength, region, assembly_of(folder), title=title, lead=strongest)
    return rendered(drawn, suffix, dark=dark)


def region_of(lead: Top) -> Region:
    """The region of a locus: so far to each side of its lead variant."""
    return Region(lead.chromosome, max(0, lead.position - 1 - LOCUS_BASES), lead.position + LOCUS_BASES)


def assembly_of(folder: Path) -> Assembly:
    """The assembly of a result folder, from its metadata; `Damaged` where they are not there."""
    try:
        return Assembly(yaml.safe_load((folder / METADATA).read_text(encoding="utf-8"))["genome_assembly"])
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise Damaged(f"{METADATA} does not say the assembly ({error})", path=str(folder / METADATA)) from None
