"""Counts without genotypes: told only where the floor holds whatever the genotypes are."""

from __future__ import annotations

import numpy as np
import pytest

from cohelix.disclosure.rules import tell_frequencies, tell_given_frequencies
from cohelix.disclosure.telling import LEVEL_TOTAL

PEOPLE = np.array([14])
LEVELS = np.array([LEVEL_TOTAL])


def given(an: int, ac: int, het: int = 0, hom: int = 0) -> np.ndarray:
    called = max((an + 1) // 2, het + hom)
    return np.array([[[an, ac, het, hom, 0, int(PEOPLE[0]) - called]]])


@pytest.mark.parametrize("floor", [2, 3, 5])
def test_what_is_told_holds_for_all_genotypes(floor: int) -> None:
    """Every way in which so many copies can lie in so many fully called people."""
    told_once = False
    for called in range(1, 15):
        for copies in range(2 * called + 1):
            told = tell_given_frequencies(given(2 * called, copies), PEOPLE, LEVELS, floor=floor)
            possible = [(copies - 2 * hom, hom) for hom in range(copies // 2 + 1) if copies - hom <= called]
            worst = min(min(het + hom, called - het - hom) for het, hom in possible)
            assert bool(told.counts[0, 0]) == (worst >= floor)
            assert copies == 0 or not told.genotypes[0, 0]
            told_once |= bool(told.counts[0, 0])
    assert told_once or floor == 5


def test_known_genotypes_are_told_as_ever() -> None:
    counts = given(28, 9, het=5, hom=2)
    ours, ordinary = (tell(counts, PEOPLE, LEVELS, floor=2) for tell in (tell_given_frequencies, tell_frequencies))
    assert [part.tolist() for part in ours] == [part.tolist() for part in ordinary] == [[[True]], [[True]]]


def test_unknown_genotypes_are_not_told_in_the_open() -> None:
    told = tell_given_frequencies(given(28, 9), PEOPLE, LEVELS, floor=0)
    assert (told.counts.tolist(), told.genotypes.tolist()) == ([[True]], [[False]])
