"""The scan: sums and gaps of the wanted variants, in order, however they are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from cohelix.analysis import scan as scanning
from cohelix.analysis import steps
from cohelix.analysis.data import ArrayGenotypes, LocalData
from cohelix.analysis.pooled import PlainSummer
from cohelix.analysis.scan import Column, Counts, Scan, Scanned, Table, scan, scan_part
from cohelix.analysis.steps import Ask, Sums, local_step
from cohelix.core.errors import ShapeMismatch

PEOPLE, VARIANTS = 40, 150


@local_step("test-scan")
def _step(data: LocalData, _broadcast: Mapping[str, Any], rows: Any, _more: Mapping[str, Any]) -> Sums:
    return scan_part(data, rows, Table.of({"c": data.covariates, "t": data.traits}), Table.of({"w": data.traits[:, :1]}))


class Noting(PlainSummer):
    """Sums in the clear, and notes what was asked."""

    def __init__(self, parts: list[LocalData]) -> None:
        super().__init__(parts)
        self.asks: list[Ask] = []

    def blocks(self, ask: Ask) -> Any:
        self.asks.append(ask)
        return super().blocks(ask)


def scanned(gaps: float, keep: Any, *, closing: bool = False) -> tuple[Any, LocalData, list[Scanned], Noting, list[Any]]:
    random = np.random.default_rng(int(gaps * 100))
    dosages = random.integers(0, 3, (VARIANTS, PEOPLE)).astype(float)
    dosages[(random.random((VARIANTS, 1)) < gaps) & (random.random(dosages.shape) < 0.3)] = np.nan
    data = LocalData(random.normal(size=(PEOPLE, 2)), random.normal(size=(PEOPLE, 3)), ArrayGenotypes(dosages))
    norms = [float(np.linalg.norm(column, axis=0).max()) for column in (data.covariates, data.traits)]
    columns = (Column("c", 2, norms[0]), Column("t", 3, norms[1]), Column("w", 1, norms[1], squared=True))
    summer, asked = Noting([data]), []

    def keeping(counts: Counts, rows: Any) -> Any:
        asked.append(rows)
        return keep(counts, rows)

    plan = Scan("test-scan", {}, PEOPLE, columns, closing=closing)
    parts = list(scan(summer, np.arange(VARIANTS), plan, keeping))
    return dosages, data, parts, summer, asked


@pytest.mark.parametrize("closing", [False, True])
@pytest.mark.parametrize("gaps", [0.0, 0.005, 0.1, 1.0])
def test_every_wanted_variant_comes_once_and_in_order(gaps: float, closing: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "BLOCK_VARIANTS", 16)
    monkeypatch.setattr(scanning, "_STRETCH_NUMBERS", 16 * 3 * 12)
    dosages, data, parts, summer, asked = scanned(gaps, lambda counts, rows: rows % 7 != 3, closing=closing)
    rows = np.concatenate([part.rows for part in parts])
    assert (rows == np.flatnonzero(np.arange(VARIANTS) % 7 != 3)).all()
    assert (np.concatenate(asked) == np.arange(VARIANTS)).all()
    chosen = dosages[rows]
    mean = np.nanmean(chosen, axis=1)
    imputed = np.where(np.isnan(chosen), mean[:, None], chosen)
    expected = {"c": imputed @ data.covariates, "t": imputed @ data.traits}
    for name, value in expected.items():
        assert np.concatenate([part.imputed(name) for part in parts]) == pytest.approx(value, abs=1e-12)
    weighted = np.concatenate([part.imputed_squared("w") for part in parts])
    assert weighted == pytest.approx(imputed**2 @ data.traits[:, :1], abs=1e-12)
    assert np.concatenate([part.imputed_squares() for part in parts]) == pytest.approx((imputed**2).sum(axis=1))
    assert (np.concatenate([part.counts.called for part in parts]) == (~np.isnan(chosen)).sum(axis=1)).all()
    # Gaps are asked for where there are some, and along with the rest where most variants have some.
    both = [ask for ask in summer.asks if len(ask.statistics) == 9]
    gap_rows = [ask.rows for ask in summer.asks if ask.statistics[0].name == "missing_c"]
    with_gaps = rows[np.isnan(chosen).any(axis=1)]
    if gaps == 1.0:
        assert len(both) >= 2 and len(gap_rows) == 1
    else:
        assert not both and (np.concatenate([np.zeros(0, int), *gap_rows]) == with_gaps).all()


@pytest.mark.parametrize("gaps", [0.0, 0.3])
def test_a_closing_pass_asks_on_before_the_last_lines_of_a_stretch(gaps: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "BLOCK_VARIANTS", 16)
    dosages = np.random.default_rng(5).integers(0, 3, (48, PEOPLE)).astype(float)
    dosages[:4][np.random.default_rng(6).random((4, PEOPLE)) < gaps] = np.nan
    data = LocalData(np.ones((PEOPLE, 2)), np.ones((PEOPLE, 3)), ArrayGenotypes(dosages))
    columns = (Column("c", 2, 7.0), Column("t", 3, 7.0), Column("w", 1, 7.0, squared=True))
    for closing in (True, False):
        summer = Noting([data])
        plan = Scan("test-scan", {}, PEOPLE, columns, closing=closing)
        parts = scan(summer, np.arange(48), plan, lambda counts, rows: np.ones(len(rows), bool))
        next(parts)  # all of the first stretch
        # The first stretch, its gaps where it has some, and the second.
        assert len(summer.asks) == 1 + (gaps > 0) + closing
        list(parts)
        assert len(summer.asks) == 2 + (gaps > 0)


def test_bounds_hold_for_the_worst_genotypes() -> None:
    column = np.abs(np.random.default_rng(1).normal(size=(PEOPLE, 1)))
    norm = float(np.linalg.norm(column))
    for squared, copies in ((False, 2.0), (True, 4.0)):
        called, missing = Column("x", 1, norm, squared).statistics(PEOPLE)
        assert copies * column.sum() <= called.bound and column.sum() <= missing.bound
    constant = Column("x", 1, 1.0).statistics(PEOPLE)[0]  # equality in Cauchy-Schwarz, up to the room for rounding
    assert 2 * np.sqrt(PEOPLE) <= constant.bound <= 2.01 * np.sqrt(PEOPLE)


def test_pieces_and_no_variants() -> None:
    _, _, parts, _, _ = scanned(0.1, lambda counts, rows: np.ones(len(rows), bool))
    pieces = [piece for part in parts for piece in part.pieces(13)]
    assert max(len(piece.rows) for piece in pieces) == 13
    assert (np.concatenate([piece.sums["t"] for piece in pieces]) == np.concatenate([part.sums["t"] for part in parts])).all()
    _, _, nothing, summer, _ = scanned(1.0, lambda counts, rows: np.zeros(len(rows), bool))
    assert all(len(part.rows) == 0 for part in nothing) and len(summer.asks) == 1


def test_a_scan_needs_variants() -> None:
    data = LocalData(np.zeros((2, 1)), np.zeros((2, 1)), ArrayGenotypes(np.zeros((1, 2))))
    with pytest.raises(ShapeMismatch, match="over variants"):
        scan_part(data, None, Table.of({"c": data.covariates}))


def test_wide_asks_have_short_blocks() -> None:
    widths = {width: steps.block_variants([steps.Statistic("x", (width,))]) for width in (1, 256, 600, 5000, 10**6)}
    assert widths == {1: 16384, 256: 4096, 600: 1024, 5000: 128, 10**6: 64}
