"""Every benchmark runs, small, so that it stays alive; the figures of record are made by `make bench`."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.__main__ import run
from benchmarks.scale import SMALL


def test_every_benchmark_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COHELIX_BENCH_DATA", str(tmp_path))
    rows = run(SMALL)
    assert {row.promise[:2] for row in rows} >= {"Q1", "Q2", "Q3", "Q4", "Q5", "Q6", "Si", "Mi"}
    assert all(row.text().count("|") == 8 for row in rows)
