"""Pictures of a result folder, as the command line and the pages ask for them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import yaml

from cohelix.analysis.drawing import manhattan, quantiles, region_plot, rendered
from cohelix.analysis.files import METADATA, read_blocks
from cohelix.analysis.summary import LOCUS_BASES, Summary
from cohelix.core.arrays import FloatArray, IntArray
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
    traits = {one.trait for one in summary.top}
    title = trait or (str(next(iter(traits))) if len(traits) == 1 else "all traits")
    if kind == "manhattan":
        return rendered(manhattan(summary, title=title), suffix, dark=dark)
    if kind == "qq":
        return rendered(quantiles(summary, title=title), suffix, dark=dark)
    if region is None:
        if not summary.top:
            raise NotFound("nothing was tested: there is no region to draw")
        lead = summary.top[0]
        region = Region(lead.chromosome, max(0, lead.position - 1 - LOCUS_BASES), lead.position + LOCUS_BASES)
        trait = lead.trait
    positions, strength = lines_around(folder, region.contig, region.start + 1, region.end, trait=trait)
    if not np.isfinite(strength).any():
        raise NotFound(f"the table has no test in {region}")
    title = f"{region} {trait or ''}".strip()
    strongest = int(np.nanargmax(strength))
    drawn = region_plot(positions, strength, region, assembly_of(folder), title=title, lead=strongest)
    return rendered(drawn, suffix, dark=dark)


def assembly_of(folder: Path) -> Assembly:
    """The assembly of a result folder, from its metadata; `Damaged` where they are not there."""
    try:
        return Assembly(yaml.safe_load((folder / METADATA).read_text(encoding="utf-8"))["genome_assembly"])
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise Damaged(f"{METADATA} does not say the assembly ({error})", path=str(folder / METADATA)) from None


def lines_around(folder: Path, contig: str, start: int, end: int, *, trait: str | None = None) -> tuple[IntArray, FloatArray]:
    """1-based positions and −log10 p of the lines in a stretch (1-based, inclusive) of the table, of one trait if named."""
    positions, strengths = [np.empty(0, np.int64)], [np.empty(0)]
    for block in read_blocks(folder, ("chromosome", "base_pair_location", "trait", "neg_log10_p")):
        if not block.num_rows:
            continue
        place = block.column("base_pair_location").to_numpy()
        chosen = (place >= start) & (place <= end)
        if not chosen.any():
            continue
        chosen &= np.array([name == contig for name in block.column("chromosome").to_pylist()], np.bool_)
        if trait is not None and "trait" in block.schema.names:
            chosen &= np.array([name == trait for name in block.column("trait").to_pylist()], np.bool_)
        positions.append(place[chosen].astype(np.int64))
        strengths.append(np.asarray(block.column("neg_log10_p").to_numpy(zero_copy_only=False), np.float64)[chosen])
    return np.concatenate(positions), np.concatenate(strengths)
