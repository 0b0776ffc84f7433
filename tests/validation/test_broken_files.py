"""Randomly broken files are loaded or refused, nothing else; more of them are `python -m validation.malformed`."""

from __future__ import annotations

from pathlib import Path

import pytest

from validation.malformed import bombs, fuzz
from validation.malformed.forms import FORMS

SIZE = 60_000_000


@pytest.mark.parametrize("kind", FORMS)
def test_randomly_broken_files_of_every_form_are_refused_in_words(kind: str) -> None:
    form = FORMS[kind]
    valid = form.good()
    assert fuzz.outcome_of(form, valid) == ("loaded", "")
    outcomes = [fuzz.outcome_of(form, fuzz.broken(form, valid, seed)) for seed in range(12)]
    assert [found for found in outcomes if found[0] not in fuzz.FINE] == []
    assert sum(outcome == "refused" for outcome, _ in outcomes) >= 3


@pytest.mark.parametrize(
    ("kind", "seed"),
    [("sites-parquet", 247), ("sites-parquet", 312), ("sites-parquet", 637), ("sites-parquet", 1392), ("omop-parquet", 970)],
)
def test_parquet_that_makes_readers_panic_is_refused(kind: str, seed: int) -> None:
    form = FORMS[kind]
    assert fuzz.outcome_of(form, fuzz.broken(form, form.good(), seed))[0] == "refused"


def test_broken_files_are_read_by_processes_of_their_own() -> None:
    cases = fuzz.run("bcf-inside", 12, 24)
    assert [case.seed for case in cases] == list(range(12, 24))
    assert [case for case in cases if case.outcome not in fuzz.FINE] == []


@pytest.mark.parametrize(
    "name", ["a record longer than the header's samples allow", "an endless INFO", "one BCF record of 2 GiB"]
)
def test_a_bomb_is_refused_within_bounds(name: str, tmp_path: Path) -> None:
    pieces, expected = bombs.bombs(SIZE)[name]
    outcome = bombs.try_bomb(name, pieces, expected, tmp_path, seconds=60)
    assert outcome.good, outcome
    assert "bomb" in outcome.said
