"""A table from afar: bins, top lines, loci, quantiles and inflation, against the whole table in memory."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from cohelix.analysis.files import TableWriter
from cohelix.analysis.gathering import MAF_EDGES
from cohelix.analysis.summary import KEPT, SIGNIFICANT, Summary, keep_summary, summarise, summary_of
from cohelix.analysis.variants import VariantList
from cohelix.core.variant import VariantKey


def _written(folder: Path, strength: np.ndarray, block: int, **columns: np.ndarray) -> VariantList:
    per_contig = -(-len(strength) // 3)
    keys = [VariantKey(str(1 + i // per_contig), 1000 * (i % per_contig), "A", "C") for i in range(len(strength))]
    variants = VariantList.of(keys)
    writer = TableWriter(folder, variants, ["t"], metadata={})
    for start in range(0, len(strength), block):
        rows = np.arange(start, min(start + block, len(strength)))
        writer.write(
            rows, {"neg_log10_p": strength[rows], "beta": strength[rows] / 10} | {n: c[rows] for n, c in columns.items()}
        )
    writer.close()
    return variants


@pytest.mark.parametrize("block", [7_000, 100_000])
def test_summary_equals_the_table(tmp_path: Path, block: int) -> None:
    rng = np.random.default_rng(8)
    z = rng.normal(size=30_000) * 1.1
    strength = -np.log10(stats.chi2.sf(z**2, 1))
    strength[[100, 150, 12_000]] = [40.0, 30.0, 9.0]
    strength[5] = np.nan
    _written(tmp_path, strength, block)
    summary = summarise(tmp_path)
    known = strength[np.isfinite(strength)]
    assert (summary.lines, summary.tested) == (30_000, 29_999)
    chi2 = stats.chi2.isf(10.0**-known, 1)
    assert summary.inflation == pytest.approx(np.median(chi2) / stats.chi2.ppf(0.5, 1), abs=2e-3)
    assert [one.neg_log10_p for one in summary.top] == sorted(known, reverse=True)[:10_000]
    assert not summary.is_whole
    assert len(summary.document()["top"]) == 2000
    assert [one.name for one in summary.loci] == ["1-100001-A-C", "2-2000001-A-C"]
    assert all(one.neg_log10_p >= SIGNIFICANT for one in summary.loci)
    assert summary.cell_bases == 1 << 14, "thirty million bases in at most 3,000 columns"
    drawn = {(name, int(column), int(tenth)) for name, cells in summary.cells.items() for column, tenth in cells}
    naive = {
        (str(1 + i // 10_000), (1000 * (i % 10_000) + 1) // summary.cell_bases, int(value / 0.1))
        for i, value in enumerate(strength.tolist())
        if np.isfinite(value) and value < 8
    }
    assert drawn == naive
    ordered = np.sort(known)[::-1]
    for expected, observed in summary.quantiles[::40].tolist():
        rank = int(np.clip(round(10.0**-expected * len(known) - 0.5), 0, len(known) - 1))
        assert observed == pytest.approx(ordered[rank], abs=0.01)


def test_strata_equal_those_of_the_table(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    frequency = rng.choice([0.0004, 0.004, 0.04, 0.4, 0.001, 0.01, 0.05, 0.5, np.nan], 40_000)
    frequency = np.where(rng.random(40_000) < 0.5, frequency, 1 - frequency)
    minor = np.minimum(frequency, 1 - frequency)
    z = rng.normal(size=40_000) * np.where(minor < 0.01, 1.3, 0.9)
    strength = -np.log10(stats.chi2.sf(z**2, 1))
    _written(tmp_path, strength, 9_000, effect_allele_frequency=frequency)
    strata = summarise(tmp_path).strata
    edges = [0.0, *MAF_EDGES, np.inf]
    assert [(one.low, one.high) for one in strata] == [(0.0, 0.001), (0.001, 0.01), (0.01, 0.05), (0.05, 0.5)]
    for one, low, high in zip(strata, edges, edges[1:], strict=False):
        inside = (minor >= low) & (minor < high)
        assert one.tested == np.count_nonzero(inside)
        assert one.inflation == pytest.approx(np.median(z[inside] ** 2) / stats.chi2.ppf(0.5, 1), abs=2e-3)
        ordered = np.sort(strength[inside])[::-1]
        for expected, observed in one.quantiles.tolist():
            rank = int(np.clip(round(10.0**-expected * len(ordered) - 0.5), 0, len(ordered) - 1))
            assert observed == pytest.approx(ordered[rank], abs=0.02)


def test_a_kept_summary_is_the_same_until_the_table_changes(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    _written(tmp_path, -np.log10(rng.random(12_000)) * 2, 5_000, effect_allele_frequency=rng.random(12_000))
    made = summarise(tmp_path)
    keep_summary(tmp_path, made)
    (tmp_path / "results.parquet").rename(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").rename(tmp_path / "results.parquet")
    assert _told(summary_of(tmp_path)) == _told(made)
    (tmp_path / KEPT).write_text("half a fi")
    assert _told(summary_of(tmp_path)) == _told(made), "what was damaged is made again"
    _written(tmp_path, np.full(10, 3.0), 10)
    assert summary_of(tmp_path).lines == 10, "of the table as it is now"


def _told(summary: Summary) -> tuple[object, ...]:
    return summary.document(), summary.drawing(), summary.top


def test_nothing_tested_is_said(tmp_path: Path) -> None:
    _written(tmp_path, np.full(10, np.nan), 10)
    summary = summarise(tmp_path)
    assert (summary.tested, summary.inflation, summary.top, summary.quantiles.shape) == (0, None, (), (0, 2))


def test_a_drawing_says_the_same_in_fewer_bytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    strength = -np.log10(rng.random(30_000))
    strength[12_000:12_300] = 9.0 + np.arange(300) / 100
    _written(tmp_path, strength, 4_000)
    summary = summarise(tmp_path)
    drawing = summary.drawing()
    assert len(json.dumps(drawing)) < 80_000
    for contig in drawing["contigs"]:
        bits = np.unpackbits(np.frombuffer(b64decode(contig["cells"]), np.uint8)).reshape(-1, drawing["cellSteps"])
        cells = np.argwhere(bits) + np.array([contig["column"], 0])
        assert np.array_equal(cells, summary.cells[contig["name"]])
    told = {
        (one["name"], position, hundredths)
        for one in drawing["contigs"]
        for position, hundredths in zip(np.cumsum(one["positions"]).tolist(), one["strengths"], strict=True)
    }
    assert told == {(one.chromosome, one.position, round(100 * one.neg_log10_p)) for one in summary.top[:2000]}
    assert [one["variant"] for one in drawing["leads"]] == [one.name for one in summary.loci]
