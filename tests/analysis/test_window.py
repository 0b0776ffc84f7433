"""A table from near: tiles and the strongest lines of a region, against the whole table in memory; and estimates together."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from cohelix.analysis.drawing import Estimate
from cohelix.analysis.estimates import together
from cohelix.analysis.files import TableWriter
from cohelix.analysis.variants import VariantList
from cohelix.analysis.window import TILE_COLUMNS, strongest_within, tile
from cohelix.core.errors import BadQuestion
from cohelix.core.genome import Region
from cohelix.core.variant import VariantKey

LINES = 24_000  # on three contigs


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[str, int, float]]]:
    """A table in blocks that do not end where contigs do, and its lines: contig, 1-based position, −log10 p."""
    folder, rng = tmp_path_factory.mktemp("table"), np.random.default_rng(11)
    strength = -np.log10(rng.random(LINES))
    strength[rng.integers(0, LINES, 300)] += 8
    strength[::97] = np.nan
    places = np.sort(rng.choice(3_000_000, LINES // 3, replace=False))
    keys = [VariantKey(("2", "10", "X")[at // len(places)], int(places[at % len(places)]), "A", "C") for at in range(LINES)]
    writer = TableWriter(folder, VariantList.of(keys), ["t"], metadata={})
    for rows in np.array_split(np.arange(LINES), 7):
        writer.write(rows, {"neg_log10_p": strength[rows], "beta": strength[rows] / 10})
    writer.close()
    return folder, [(key.contig, key.position + 1, float(one)) for key, one in zip(keys, strength, strict=True)]


def _told(answer: dict[str, Any]) -> tuple[set[tuple[int, int]], list[tuple[int, float]]]:
    bits = np.unpackbits(np.frombuffer(b64decode(answer["cells"]), np.uint8)).reshape(-1, answer["cellSteps"])
    cells = {(int(column) + answer["column"], int(step)) for column, step in np.argwhere(bits)}
    return cells, list(zip(np.cumsum(answer["positions"]).tolist(), [s / 100 for s in answer["strengths"]], strict=True))


@pytest.mark.parametrize(("contig", "level", "number"), [("10", 12, 0), ("X", 12, 1), ("2", 10, 3), ("10", 6, 44), ("Y", 3, 0)])
def test_a_tile_is_the_tables_own_lines(
    table: tuple[Path, list[tuple[str, int, float]]], contig: str, level: int, number: int
) -> None:
    folder, lines = table
    width = TILE_COLUMNS << level
    here = [(p, s) for c, p, s in lines if c == contig and p // width == number and np.isfinite(s)]
    answer = tile(folder, contig, level, number)
    cells, points = _told(answer)
    assert answer["tested"] == len(here)
    if len(here) <= 2_500:
        assert not cells and points == [(p, pytest.approx(s, abs=0.0051)) for p, s in here]
    else:
        assert cells == {(p >> level, int(s * 10)) for p, s in here if s < 8}
        assert points == [(p, pytest.approx(s, abs=0.0051)) for p, s in here if s >= 8]


@pytest.mark.parametrize(("level", "number"), [(-1, 0), (23, 0), (3, -1), (20, 1 << 40)])
def test_there_is_no_such_tile(table: tuple[Path, list[tuple[str, int, float]]], level: int, number: int) -> None:
    with pytest.raises(BadQuestion):
        tile(table[0], "10", level, number)


@pytest.mark.parametrize("region", [Region("10", 0, 3_000_000), Region("X", 1_000_000, 1_010_000), Region("Y", 0, 10)])
def test_the_strongest_lines_of_a_region(table: tuple[Path, list[tuple[str, int, float]]], region: Region) -> None:
    folder, lines = table
    here = [(p, s) for c, p, s in lines if c == region.contig and region.start < p <= region.end]
    tested = sorted(((p, s) for p, s in here if np.isfinite(s)), key=lambda one: -one[1])
    found = strongest_within(folder, region, 50)
    assert (found.lines, found.tested) == (len(here), len(tested))
    assert [(one.position, one.neg_log10_p) for one in found.strongest] == tested[:50]


def test_estimates_together_are_the_weighted_mean_with_cochrans_q() -> None:
    nodes = [Estimate("A", 0.3, 0.1), Estimate("B", 0.1, 0.05), Estimate("C", -0.2, 0.2)]
    w = [1 / one.standard_error**2 for one in nodes]
    mean = sum(a * one.beta for a, one in zip(w, nodes, strict=True)) / sum(w)
    q = sum(a * (one.beta - mean) ** 2 for a, one in zip(w, nodes, strict=True))
    found = together(nodes)
    assert found is not None
    assert (found["beta"], found["standardError"], found["q"]) == pytest.approx((mean, sum(w) ** -0.5, q))
    assert found["qNegLog10P"] == pytest.approx(-np.log10(stats.chi2.sf(q, 2)))
    assert found["iSquared"] == pytest.approx((q - 2) / q)
    assert found["high"] - found["low"] == pytest.approx(2 * stats.norm.isf(0.025) * sum(w) ** -0.5)
    alone = together(nodes[:1])
    assert alone is not None and (alone["beta"], alone["q"], alone["iSquared"]) == (pytest.approx(0.3), None, None)
    assert together([]) is None
