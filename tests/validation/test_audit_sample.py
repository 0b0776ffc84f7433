"""A seeded sample of `validation/audit`: no tampering with a log goes unseen, and the first entry that it touched is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from validation.audit.tampering import DEPTHS, KINDS, Made, detected, make_log, tamper

SEEDS = range(50_000, 50_080)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_log(tmp_path_factory.mktemp("log"), 700, seed=1)


def test_the_log_is_sound_before(made: Made) -> None:
    assert detected(made.path, made.path.parent, made, with_witness=True) is None


def test_every_tampering_is_seen(made: Made, tmp_path: Path) -> None:
    met = set()
    for seed in SEEDS:
        kind, depth, place = tamper(made, tmp_path / "tampered.sqlite", seed)
        met.add((kind, depth))
        misfit = detected(tmp_path / "tampered.sqlite", made.path.parent, made, with_witness=True)
        assert misfit is not None, (seed, kind, depth)
        if kind != "key swap":
            assert misfit.first - 1 <= place <= misfit.last + 1, (seed, kind, depth, place, misfit)
    assert len(met) >= len(KINDS) * len(DEPTHS) - 2, "the sample has nearly every kind in every depth"


def test_a_forger_with_the_key_is_seen_only_by_what_others_hold(made: Made, tmp_path: Path) -> None:
    unseen = 0
    for seed in SEEDS[:25]:
        _kind, depth, _place = tamper(made, tmp_path / "tampered.sqlite", seed)
        misfit = detected(tmp_path / "tampered.sqlite", made.path.parent, made, with_witness=False)
        unseen += depth == "signed anew" and misfit is None
    assert unseen, "without a witness such a forgery is sound in itself"
