"""The proof that sums tell of nobody, against the definition: the fewest people of any combination, found by trying."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from pyroaring import BitMap

from cohelix.core.arrays import FloatArray
from cohelix.disclosure.combinations import Combinations, Row


def _fewest(matrix: FloatArray, up_to: int) -> int:
    """The fewest people of a combination of rows, at most `up_to`: people without whom the rows lose rank."""
    people = range(matrix.shape[1])
    whole = np.linalg.matrix_rank(matrix)
    for number in range(1, up_to):
        for gone in combinations(people, number):
            if np.linalg.matrix_rank(np.delete(matrix, gone, axis=1)) < whole:
                return number
    return up_to


@pytest.mark.parametrize("seed", range(12))
def test_what_is_admitted_keeps_every_combination_at_k_people(seed: int) -> None:
    random = np.random.default_rng(seed)
    told, now = np.zeros((0, 14)), Combinations.empty(3)
    standings = []
    for _ in range(7):
        values = (random.random(14) < random.uniform(0.2, 0.9)).astype(float)
        if random.random() < 0.4:
            values *= random.integers(1, 4, 14) / 4
        people = BitMap(np.flatnonzero(values).astype(np.uint32))
        standing, now = now.admit(Row.weighted(people, values[values != 0]))
        standings.append(standing)
        more = np.vstack([told, values])
        if standing == "refused":
            continue
        assert standing != "known" or np.linalg.matrix_rank(more) == np.linalg.matrix_rank(told)
        told = more
        assert _fewest(told, 3) == 3
    assert "new" in standings


@pytest.mark.parametrize("seed", range(6))
def test_what_is_refused_though_it_might_be_told_is_rare(seed: int) -> None:
    """Random halves of 60 people stay far apart: the first eight are all told, whatever was told before."""
    random = np.random.default_rng(seed)
    now = Combinations.empty(5)
    for _ in range(8):
        standing, now = now.admit(Row(BitMap(np.flatnonzero(random.random(60) < 0.5).astype(np.uint32))))
        assert standing == "new"
    some = now.rows[0].people
    for change in range(1, 5):
        close = some ^ BitMap(range(change))
        assert now.admit(Row(close)).standing == "refused"
    assert now.admit(Row(some)).standing == "known"
    assert now.admit(Row(BitMap())).standing == "known"


def test_what_follows_from_what_was_told_is_known() -> None:
    women, men, ill = BitMap(range(50)), BitMap(range(50, 100)), BitMap(range(20, 70))
    now = Combinations.empty(10)
    for people in (women, men, ill):
        now = now.admit(Row(people)).after
    for people in (women | men, (women | men) - ill):
        assert now.admit(Row(people)).standing == "known"
    assert now.admit(Row.weighted(women, np.full(50, -2.5))).standing == "known"
    assert now.admit(Row(women & ill)).standing == "new"
    assert len(now.rows) == 3


def test_the_proof_is_kept_and_checked() -> None:
    random = np.random.default_rng(3)
    now = Combinations.empty(4)
    for _ in range(5):
        now = now.admit(Row.weighted(BitMap(range(100)), random.normal(size=100))).after
    again = Combinations.kept(now.rows, now.witnesses)
    assert again is not None and np.array_equal(again.inverses, now.inverses)
    doubled = now.witnesses.copy()
    doubled[1] = doubled[0]
    assert Combinations.kept(now.rows, doubled) is None
    assert Combinations.kept([*now.rows[:4], now.rows[0]], now.witnesses) is None
    anew = Combinations.proved(now.rows, 7)
    assert anew is not None and anew.witnesses.shape == (7, 5)
    assert Combinations.closed(now.rows, 50).admit(Row(BitMap(range(60)))).standing == "refused"


def test_a_million_people_are_quick() -> None:
    random = np.random.default_rng(1)
    now = Combinations.empty(10)
    for _ in range(5):
        people = BitMap(np.flatnonzero(random.random(1_000_000) < 0.3).astype(np.uint32))
        assert now.admit(Row(people)).standing == "new"
        now = now.admit(Row(people)).after
    assert now.admit(Row(now.rows[2].people - BitMap([now.rows[2].people[4]]))).standing == "refused"
