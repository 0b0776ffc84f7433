"""Random Beacon questions over HTTP equal the naive scan; 10,000 of them are `python -m validation.beacon`."""

from __future__ import annotations

from pathlib import Path

from validation.beacon.experiment import run, synthetic_part


def test_random_questions_equal_the_naive_scan(tmp_path: Path) -> None:
    part = synthetic_part(tmp_path, people=150, per_contig=150)
    outcome = run(part, 320, seed=3)
    assert outcome.questions == 320 and set(outcome.kinds) == {"exact", "range", "bracket", "gene"}
    assert outcome.absent == 160 and outcome.hits > 60 and outcome.indels > 10
    assert outcome.differences == []
