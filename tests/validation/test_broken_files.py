"""Randomly broken files are loaded or refused, nothing else; more of them are `python -m validation.malformed`."""

from __future__ import annotations

from pathlib import Path

import pytest

from validation.malformed import bombs, fuzz

SIZE = 60_000_000


def test_randomly_broken_files_are_refused_in_words() -> None:
    cases = fuzz.run(0, 60)
    assert len(cases) == 60
    assert [case for case in cases if case.outcome not in ("loaded", "refused")] == []
    assert sum(case.outcome == "refused" for case in cases) > 20


@pytest.mark.parametrize(
    "name", ["a record longer than the header's samples allow", "an endless INFO", "one BCF record of 2 GiB"]
)
def test_a_bomb_is_refused_within_bounds(name: str, tmp_path: Path) -> None:
    pieces, expected = bombs.bombs(SIZE)[name]
    outcome = bombs.try_bomb(name, pieces, expected, tmp_path, seconds=60)
    assert outcome.good, outcome
    assert "bomb" in outcome.said
