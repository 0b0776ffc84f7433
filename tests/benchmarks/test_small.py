"""Benchmarks run, small, so that they stay alive; the figures of record are made by `make bench`.

Three that start whole federations or clusters are left to `python -m benchmarks --small`: they take as long as all others.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.__main__ import run
from benchmarks.scale import SMALL

SUBJECTS = {
    "http_lookup",
    "frequency_tables",
    "cohort_counts",
    "lookups",
    "load_and_export",
    "association",
    "people_filters",
    "secure_sum",
    "manhattan",
}


def test_benchmarks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COHELIX_BENCH_DATA", str(tmp_path))
    rows = run(SMALL, SUBJECTS)
    assert {row.promise[:2] for row in rows} >= {"Q1", "Q2", "Q3", "Q4", "Q5", "Q6", "Si", "Mi"}
    assert all(row.text().count("|") == 8 for row in rows)
