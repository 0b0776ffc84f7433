"""Plots as inline SVG: no script, no font and no picture from elsewhere; every one has a title and a description in words."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from cohelix.core.arrays import FloatArray

WIDTH, HEIGHT = 460, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 12, 44
_TICKS = 5
_DESCRIBED_MOST = 6  # kinds of points whose numbers stand in words
# Eight colours that people with colour-blindness tell apart (Okabe and Ito 2008), repeated with other marks.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6b4c9a", "#4d4d4d")
_FLAGGED = "#b00020"
_MARKS = ("circle", "square", "triangle", "diamond")


class Series(NamedTuple):
    """Points of one kind: their places, and how they are called in the legend; flagged ones are drawn large, on top."""

    name: str
    x: Sequence[float | None]
    y: Sequence[float | None]
    flagged: bool = False


class Line(NamedTuple):
    """A threshold: across (`at` on x) or along (`at` on y)."""

    at: float
    axis: str
    name: str


def histogram(title: str, values: Sequence[float | None], *, label: str, lines: Sequence[Line] = ()) -> str:
    """How many call sets have which value."""
    known = np.array([value for value in values if value is not None], np.float64)
    if not known.size:
        return ""
    low, high = _extent([known, np.array([line.at for line in lines], np.float64)])
    counts, edges = np.histogram(known, bins=min(60, max(8, int(known.size**0.5))), range=(low, high))
    frame = _Frame(low, high, 0, float(counts.max()) * 1.06)
    bars = [
        f'<rect x="{frame.x(a):.1f}" y="{frame.y(n):.1f}" width="{max(frame.x(b) - frame.x(a) - 0.6, 0.6):.1f}" '
        f'height="{frame.y(0) - frame.y(n):.1f}"/>'
        for n, a, b in zip(counts.tolist(), edges[:-1].tolist(), edges[1:].tolist(), strict=True)
        if n
    ]
    described = f"{known.size:,} values from {known.min():.4g} to {known.max():.4g}, median {np.median(known):.4g}."
    return frame.drawn(
        f'<g fill="{COLOURS[0]}">{"".join(bars)}</g>', words=(title, described), labels=(label, "call sets"), lines=lines
    )


def scatter(
    title: str, series: Sequence[Series], *, x_label: str, y_label: str, lines: Sequence[Line] = (), diagonal: bool = False
) -> str:
    """Points of several kinds, the flagged ones large and on top."""
    pairs = [_known(one) for one in series]
    if not any(len(x) for x, _ in pairs):
        return ""
    across: list[FloatArray] = [np.array([line.at for line in lines if line.axis == "x"], np.float64)]
    along: list[FloatArray] = [np.array([line.at for line in lines if line.axis == "y"], np.float64)]
    frame = _Frame(*_extent([x for x, _ in pairs] + across), *_extent([y for _, y in pairs] + along))
    body = []
    if diagonal:
        low, high = max(frame.x_low, frame.y_low), min(frame.x_high, frame.y_high)
        ends = f'x1="{frame.x(low):.1f}" y1="{frame.y(low):.1f}" x2="{frame.x(high):.1f}" y2="{frame.y(high):.1f}"'
        body.append(f'<line class="diagonal" {ends}/>')
    for index, (one, (x, y)) in sorted(enumerate(zip(series, pairs, strict=True)), key=lambda item: item[1][0].flagged):
        size = 3.6 if one.flagged else 2.2
        marks = "".join(
            _mark(index, frame.x(a), frame.y(b), size, one.flagged) for a, b in zip(x.tolist(), y.tolist(), strict=True)
        )
        body.append(f'<g fill="{_colour(index, one.flagged)}" fill-opacity="{0.95 if one.flagged else 0.6}">{marks}</g>')
    sizes = [(one.name, len(x)) for one, (x, _) in zip(series, pairs, strict=True) if len(x)]
    described = " ".join(f"{name}: {n:,} points." for name, n in sizes)
    if len(sizes) > _DESCRIBED_MOST:
        described = f"{sum(n for _, n in sizes):,} points of {len(sizes)} groups."
    drawn = frame.drawn("".join(body), words=(title, described), labels=(x_label, y_label), lines=lines)
    shown = [(index, one) for index, one in enumerate(series) if len(pairs[index][0])]
    if len(shown) < 2:
        return drawn
    items = "".join(
        f'<li><svg width="12" height="12" aria-hidden="true"><g fill="{_colour(i, one.flagged)}">'
        f"{_mark(i, 6, 6, 4, one.flagged)}</g></svg>{escape(one.name)}</li>"
        for i, one in shown
    )
    return f'{drawn}<ul class="legend">{items}</ul>'


class _Frame:
    """Axes: from values to places on the paper."""

    def __init__(self, x_low: float, x_high: float, y_low: float, y_high: float) -> None:
        self.x_low, self.x_high, self.y_low, self.y_high = x_low, x_high, y_low, y_high

    def x(self, value: float) -> float:
        return _LEFT + (value - self.x_low) / (self.x_high - self.x_low) * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - _BOTTOM - (value - self.y_low) / (self.y_high - self.y_low) * (HEIGHT - _TOP - _BOTTOM)

    def drawn(self, body: str, *, words: tuple[str, str], labels: tuple[str, str], lines: Sequence[Line]) -> str:
        """The whole plot with axes, thresholds, and a title and description in words."""
        (title, described), (x_label, y_label) = words, labels
        parts = []
        for tick in _ticks(self.x_low, self.x_high):
            x = self.x(tick)
            parts.append(f'<line class="grid" x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{HEIGHT - _BOTTOM}"/>')
            parts.append(f'<text x="{x:.1f}" y="{HEIGHT - _BOTTOM + 16}" text-anchor="middle">{tick:g}</text>')
        for tick in _ticks(self.y_low, self.y_high):
            y = self.y(tick)
            parts.append(f'<line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{WIDTH - _RIGHT}" y2="{y:.1f}"/>')
            parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
        parts.append(f'<text x="{(WIDTH + _LEFT) / 2:.0f}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x_label)}</text>')
        middle = (HEIGHT - _BOTTOM + _TOP) / 2
        parts.append(f'<text transform="translate(13 {middle:.0f}) rotate(-90)" text-anchor="middle">{escape(y_label)}</text>')
        parts.append(body)
        for line in lines:
            if line.axis == "x":
                ends = f'x1="{self.x(line.at):.1f}" y1="{_TOP}" x2="{self.x(line.at):.1f}" y2="{HEIGHT - _BOTTOM}"'
            else:
                ends = f'x1="{_LEFT}" y1="{self.y(line.at):.1f}" x2="{WIDTH - _RIGHT}" y2="{self.y(line.at):.1f}"'
            parts.append(f'<line class="threshold" {ends}><title>{escape(line.name)}</title></line>')
        limits = " ".join(f"{line.name}." for line in lines)
        told = escape(f"{described} {limits}".strip())
        return (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}. {told}">'
            f'{"".join(parts)}</svg><p class="described">{told}</p>'
        )


def _known(series: Series) -> tuple[FloatArray, FloatArray]:
    pairs = [(x, y) for x, y in zip(series.x, series.y, strict=True) if x is not None and y is not None]
    both = np.array(pairs, np.float64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _extent(columns: Sequence[FloatArray]) -> tuple[float, float]:
    """From the least to the largest, with a margin."""
    values = np.concatenate(columns)
    low, high = float(values.min()), float(values.max())
    margin = (high - low) * 0.04 or max(abs(high) * 0.05, 1e-3)
    return low - margin, high + margin


def _ticks(low: float, high: float) -> list[float]:
    """Round values between two."""
    rough = (high - low) / _TICKS
    power = 10 ** np.floor(np.log10(rough))
    step = next(step * power for step in (1, 2, 5, 10) if step * power >= rough)
    return [round(float(value), 12) + 0.0 for value in np.arange(np.ceil(low / step) * step, high + step / 1e6, step)]


def _colour(index: int, flagged: bool) -> str:
    return _FLAGGED if flagged else COLOURS[index % len(COLOURS)]


def _mark(index: int, x: float, y: float, size: float, flagged: bool) -> str:
    kind = "diamond" if flagged else _MARKS[index // len(COLOURS) % len(_MARKS)]
    if kind == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size}"/>'
    if kind == "square":
        return f'<rect x="{x - size:.1f}" y="{y - size:.1f}" width="{2 * size}" height="{2 * size}"/>'
    if kind == "triangle":
        return f'<path d="M{x:.1f} {y - size:.1f}l{size} {2 * size}h{-2 * size}z"/>'
    step = 1.3 * size
    corners = f"l{step:.1f} {step:.1f}l{-step:.1f} {step:.1f}l{-step:.1f} {-step:.1f}z"
    return f'<path d="M{x:.1f} {y - step:.1f}{corners}"/>'
