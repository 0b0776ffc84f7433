"""A seeded sample of `validation/ledger`: nobody is determined with the ledger on, and somebody is with it off."""

from __future__ import annotations

from pathlib import Path

from cohelix.db import open_database
from cohelix.disclosure.ledger import Ledger
from validation.ledger.sequences import K, attack, run

SEEDS = range(20_000, 20_008)


def test_the_attack_finds_nobody_with_the_ledger_and_somebody_without(tmp_path: Path) -> None:
    ledger = Ledger(open_database(tmp_path / "node.sqlite"), bytes(32))
    guarded = [attack(*run(seed, ledger, project=f"p{seed}")) for seed in SEEDS]
    assert [found.determined for found in guarded] == [0] * len(SEEDS)
    assert min(found.fewest for found in guarded) >= K
    assert max(found.leverage for found in guarded) < 0.999
    unguarded = [attack(*run(seed, None)) for seed in SEEDS]
    assert sum(found.determined for found in unguarded) == sum(found.right for found in unguarded) > 0
    assert min(found.fewest for found in unguarded) == 1


def test_honest_questions_are_mostly_answered(tmp_path: Path) -> None:
    ledger = Ledger(open_database(tmp_path / "node.sqlite"), bytes(32))
    told = [run(seed, ledger, project=f"p{seed}")[1] for seed in SEEDS]
    unguarded = [run(seed, None)[1] for seed in SEEDS]
    assert sum(one.accepted[True] for one in told) > 0.6 * sum(one.accepted[True] for one in unguarded)
