"""Plots of a result table as PNG and SVG: Manhattan, quantiles, a region with its genes, and estimates of each node."""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from cohelix.analysis.summary import SIGNIFICANT, Summary
from cohelix.core.arrays import FloatArray, IntArray
from cohelix.core.genes import genes_in
from cohelix.core.genome import Assembly, Region

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PictureFormat = Literal["png", "svg"]
_ONE_AT_A_TIME = threading.Lock()
# Two colours that people with colour-blindness tell apart, alternating by contig (Okabe and Ito 2008).
_COLOURS = ("#0072b2", "#56b4e9")
_LEAD, _LIMIT, _GENE = "#d55e00", "#b00020", "#4d4d4d"
# The same on a dark page: its surface, its ink, and the colours that would not stand out from it.
_DARK_PAPER, _DARK_INK = "#152026", "#dfe8ec"
# Strata of allele frequency, the rarest first.
_STRATA = (("#a4460b", "s"), ("#8a5aa8", "^"), ("#2b7a3e", "D"), (_COLOURS[0], "o"))
_ON_DARK = {
    _COLOURS[0]: "#56b4e9",
    _COLOURS[1]: "#a9d8f5",
    _LEAD: "#ff9d4d",
    _LIMIT: "#ff8a9a",
    _GENE: "#a2b3bc",
    "#a4460b": "#f0975a",
    "#8a5aa8": "#c49be0",
    "#2b7a3e": "#7fcf92",
}
_LABELLED_MOST = 12
_LANES_MOST = 5
_GAP_BASES = 10_000_000
REACH = 1.959963984540054  # of a 95 % confidence interval, in standard errors


class Estimate(NamedTuple):
    """One line of a forest plot."""

    name: str
    beta: float
    standard_error: float


def manhattan(summary: Summary, *, title: str) -> Figure:
    """Strength of association along the genome; the strongest variants are drawn as themselves, the others as cells."""
    figure, axes = _paper(10, 4)
    offset, ticks, places = 0, [], {}
    for number, (contig, (low, high)) in enumerate(summary.contigs.items()):
        places[contig] = offset - low if len(summary.contigs) > 1 else 0
        colour = _COLOURS[number % len(_COLOURS)]
        cells = np.empty((0, 2), np.int64) if summary.is_whole else summary.cells[contig]
        middle = np.clip((cells[:, 0] + 0.5) * summary.cell_bases, low, high) + places[contig]
        axes.scatter(middle, cells[:, 1] / 10 + 0.05, s=3, color=colour, linewidths=0, rasterized=True)
        strong = [one for one in summary.top if one.chromosome == contig]
        axes.scatter(
            [one.position + places[contig] for one in strong],
            [one.neg_log10_p for one in strong],
            s=7,
            color=colour,
            linewidths=0,
        )
        ticks.append((offset + (high - low) / 2, contig))
        offset += high - low + _GAP_BASES
    for lead in summary.loci[:_LABELLED_MOST]:
        place = lead.position + places[lead.chromosome]
        axes.scatter([place], [lead.neg_log10_p], s=22, color=_LEAD, marker="D", zorder=3)
        axes.annotate(
            lead.name if len(lead.name) < 30 else f"{lead.name[:27]}…",
            (place, lead.neg_log10_p),
            textcoords="offset points",
            xytext=(5, 3),
            fontsize=7,
        )
    if len(summary.contigs) == 1:
        contig = next(iter(summary.contigs))
        axes.set_xlabel(f"position on {contig} (megabases)")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1e6:g}")
    else:
        axes.set_xticks([place for place, _ in ticks], [name for _, name in ticks], fontsize=8)
        axes.set_xlabel("chromosome")
    axes.axhline(SIGNIFICANT, color=_LIMIT, linewidth=0.8, linestyle="--")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("−log₁₀ p")
    axes.set_title(title, fontsize=10)
    return figure


def quantiles(summary: Summary, *, title: str) -> Figure:
    """Observed against expected strength, with genomic inflation."""
    figure, axes = _paper(4.5, 4.5)
    points = summary.quantiles
    axes.scatter(points[:, 0], points[:, 1], s=6, color=_GENE, linewidths=0)
    for stratum, (colour, marker) in zip(summary.strata, _STRATA, strict=True) if summary.strata else ():
        if stratum.tested:
            label = f"{stratum.name}, λ {stratum.inflation:.3f}"
            axes.scatter(*stratum.quantiles.T, s=10, color=colour, marker=marker, linewidths=0, label=label)
    if summary.strata:
        axes.legend(fontsize=7, frameon=False, loc="upper left")
    end = float(points.max()) if len(points) else 1.0
    edge = min(end, float(points[:, 0].max()) if len(points) else 1.0)
    axes.plot([0, edge], [0, edge], color=_GENE, linewidth=0.8)
    axes.set_xlabel("expected −log₁₀ p")
    axes.set_ylabel("observed −log₁₀ p")
    inflation = "" if summary.inflation is None else f"λ = {summary.inflation:.3f}"
    axes.set_title(", ".join(filter(None, (title, inflation))), fontsize=10)
    return figure


def region_plot(
    positions: IntArray, strength: FloatArray, region: Region, assembly: Assembly, *, title: str, lead: int | None = None
) -> Figure:
    """Every variant of a region, and the genes below; positions (lines,) are 1-based, `lead` indexes them."""
    figure, axes = _paper(9, 4.5)
    axes.scatter(positions / 1e6, strength, s=9, color=_COLOURS[0], linewidths=0)
    if lead is not None:
        axes.scatter([positions[lead] / 1e6], [strength[lead]], s=30, color=_LEAD, marker="D", zorder=3)
    top = max(float(np.nanmax(strength)) if len(strength) else 1.0, SIGNIFICANT)
    lane_ends = [-np.inf] * _LANES_MOST
    width = region.end - region.start
    for gene in genes_in(region, assembly):
        start, end = max(gene.region.start, region.start), min(gene.region.end, region.end)
        lane = next((number for number, taken in enumerate(lane_ends) if start > taken), None)
        if lane is None:
            continue
        lane_ends[lane] = max(end, start + width * 0.012 * (len(gene.symbol) + 2))
        depth = -top * 0.07 * (lane + 1)
        axes.plot([start / 1e6, end / 1e6], [depth, depth], color=_GENE, linewidth=2, solid_capstyle="butt")
        axes.text(start / 1e6, depth + top * 0.012, gene.symbol, fontsize=6, style="italic")
    axes.axhline(SIGNIFICANT, color=_LIMIT, linewidth=0.8, linestyle="--")
    axes.axhline(0, color=_GENE, linewidth=0.5)
    axes.set_xlim(region.start / 1e6, region.end / 1e6)
    axes.set_yticks([tick for tick in axes.get_yticks() if tick >= 0])
    axes.set_xlabel(f"position on {region.contig} of {assembly} (megabases)")
    axes.set_ylabel("−log₁₀ p")
    axes.set_title(title, fontsize=10)
    return figure


def forest(estimates: Sequence[Estimate], *, title: str) -> Figure:
    """Estimates with their 95 % confidence intervals, one below the other."""
    figure, axes = _paper(6, 1.2 + 0.35 * len(estimates))
    for line, one in enumerate(reversed(estimates)):
        reach = REACH * one.standard_error
        axes.plot([one.beta - reach, one.beta + reach], [line, line], color=_COLOURS[0])
        axes.scatter([one.beta], [line], color=_COLOURS[0], marker="s", s=25)
    axes.set_yticks(range(len(estimates)), [one.name for one in reversed(estimates)])
    axes.axvline(0, color=_GENE, linewidth=0.8)
    axes.set_xlabel("effect (95 % confidence interval)")
    axes.set_title(title, fontsize=10)
    return figure


def rendered(figure: Figure, kind: PictureFormat, *, dark: bool = False) -> bytes:
    """The picture's bytes, on white or for a dark page; the same for the same data, without a date in them."""
    import matplotlib

    if dark:
        _darken(figure)

    out = io.BytesIO()
    metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {"Software": None}
    # Settings of Matplotlib are the process's: two threads that draw at once would take them from each other.
    with _ONE_AT_A_TIME, matplotlib.rc_context({"svg.hashsalt": "cohelix", "svg.fonttype": "none"}):
        figure.savefig(out, format=kind, dpi=150, metadata=metadata)
    return out.getvalue()


def _darken(figure: Figure) -> None:
    """Change every colour of a figure to its counterpart on dark paper."""
    from matplotlib.collections import PathCollection
    from matplotlib.colors import to_hex
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

    figure.set_facecolor(_DARK_PAPER)
    for axes in figure.axes:
        axes.set_facecolor(_DARK_PAPER)
        axes.tick_params(colors=_DARK_INK)
        for edge in axes.spines.values():
            edge.set_color(_DARK_INK)
    for one in figure.findobj():
        if isinstance(one, Text):
            one.set_color(_DARK_INK)
        elif isinstance(one, PathCollection):
            one.set_color([_ON_DARK.get(to_hex(colour), to_hex(colour)) for colour in np.atleast_2d(one.get_facecolor())])
        elif isinstance(one, Line2D):
            one.set_color(_ON_DARK.get(to_hex(one.get_color()), to_hex(one.get_color())))


def _paper(width: float, height: float) -> tuple[Figure, Any]:
    # Figures are made without pyplot, which keeps every one of them and is not for servers' threads.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as NewFigure

    figure = NewFigure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
