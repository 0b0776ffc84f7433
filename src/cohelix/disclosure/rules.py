"""How much an answer may tell: minimum counts, rounding and complementary suppression, as pure functions.

Rules 3 and 5 of the interface, read as in `docs/decisions/0003-disclosure-engine.md`. Floors act on people: carriers are
people with at least one called copy of the ALT; non-carriers are fully called people without it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cohelix.core.arrays import BoolArray, IntArray
from cohelix.disclosure.telling import AC, HEMI, HET, HOM, LEVEL_SEX, LEVEL_TOTAL, MISSING, tell_rows

FREQUENCY_FLOOR = 5  # rule 3 of the interface: k for frequencies
PEOPLE_FLOOR = 10  # rule 3: k for counts of people, and the step that they are rounded down to


class Told(NamedTuple):
    """What may be told, each (variants, rows) bool: `counts` is AC, AN and their quotient; `genotypes` is het, hom and hemi."""

    counts: BoolArray
    genotypes: BoolArray


def tell_frequencies(counts: IntArray, people: IntArray, levels: IntArray, *, floor: int, haploid_contig: bool = False) -> Told:
    """Which rows of a frequency answer may be told, and in which of them the genotypes too.

    Parameters
    ----------
    counts
        (variants, rows, 6) an, ac, het, hom, hemi, missing of each row's people. Row 0 is the total. A level that is
        present must partition the total: people of unknown sex or population have a row of their own in it.
    people
        (rows,) how many people each row is about; a row without people takes no part.
    levels
        (rows,) LEVEL_TOTAL, LEVEL_SEX, LEVEL_POPULATION or LEVEL_CELL.
    floor
        k; 0 for an open dataset, where everything is told.
    haploid_contig
        Whether the variants are of X, Y or MT, where haploid people are to be reckoned with though counts do not show
        them: half-called diploid people can hide them.

    Returns
    -------
    `counts` holds where carriers >= k and non-carriers >= k in this row and in every row of its level.

    `genotypes` holds where, moreover, each of het, hom and hemi that can occur is >= k in every row of the level. While
    {population x sex} tells counts, it, {sex} and {population} tell genotypes together or not at all. The total tells
    them only where AC, AN and its own het do not pin down those that a level withholds, and none is told without the total's.
    """
    if floor <= 0:
        everything = np.empty(counts.shape[:2], np.bool_)
        everything[:] = people > 0
        return Told(everything, everything)
    told_counts, told_genotypes = np.zeros(counts.shape[:2], np.bool_), np.zeros(counts.shape[:2], np.bool_)
    given = (np.ascontiguousarray(counts, np.int64), np.ascontiguousarray(people, np.int64))
    tell_rows(*given, np.ascontiguousarray(levels, np.int64), floor, haploid_contig, told_counts, told_genotypes)
    return Told(told_counts, told_genotypes)


def tell_given_frequencies(
    counts: IntArray, people: IntArray, levels: IntArray, *, floor: int, haploid_contig: bool = False
) -> Told:
    """`tell_frequencies` of counts that somebody else has made, whose genotypes may be unknown.

    They are unknown where het + 2 hom + hemi is not AC. Then a row passes only if it would with any genotypes: AC copies are
    of at least ceil(AC / 2) people, and of the fully called at most AC carry it. Genotypes that are unknown are never told;
    in the level of a row with unknown genotypes, nobody's are (docs/decisions/0010-counts-of-others.md).
    """
    unknown = counts[..., HET] + 2 * counts[..., HOM] + counts[..., HEMI] != counts[..., AC]
    copies = counts[..., AC]
    called = people - counts[..., MISSING]
    worst = counts.copy()
    worst[..., HOM] = np.where(unknown, copies // 2, counts[..., HOM])
    worst[..., HET] = np.where(unknown, copies % 2, counts[..., HET])
    worst[..., HEMI] = np.where(unknown, 0, counts[..., HEMI])
    free = np.maximum(called - copies, 0)
    worst[..., MISSING] = np.where(unknown, people - free - worst[..., HET] - worst[..., HOM], counts[..., MISSING])
    told = tell_frequencies(worst, people, levels, floor=floor, haploid_contig=haploid_contig)
    return Told(told.counts, told.genotypes & ~unknown)


def tell_parts(
    first: IntArray, second: IntArray, people: tuple[int, int], *, floor: int, haploid_contig: bool = False
) -> tuple[bool, bool]:
    """Whether one dataset's counts may be told in two parts, and whether their genotypes may: (counts, genotypes).

    Each part is (6,) counts. People who are in two datasets make such parts of the later one: those already
    counted, and the remainder that is added. Both have to pass, for the whole is told as well.
    """
    told = tell_frequencies(
        np.stack([first + second, first, second])[None],
        np.array([sum(people), *people]),
        np.array([LEVEL_TOTAL, LEVEL_SEX, LEVEL_SEX]),
        floor=floor,
        haploid_contig=haploid_contig,
    )
    return bool(told.counts[0, 1:].all()), bool(told.genotypes[0, 1:].all())


def tell_count(count: int, everybody: int, *, floor: int, asked: bool) -> int | None:
    """A number of people as it may be told: rounded down to a multiple of the floor, or None if below it.

    `asked` says that the number is of a part of `everybody`; then the rest has to reach the floor too, or be
    nobody's to tell. With floor 0 (open) the number comes back as it is.
    """
    if floor <= 0:
        return count
    if count < floor or (asked and everybody - count < floor):
        return None
    return count - count % floor


def alike_groups(sizes: IntArray, pairs: IntArray, *, floor: int) -> IntArray:
    """Which of nested sets of people have to be answered alike, so that no difference between two shows a few people.

    Parameters
    ----------
    sizes
        (sets,) how many people each set has.
    pairs
        (pairs, 2) numbers of two sets of which the first contains the second.
    floor
        k.

    Returns
    -------
    (sets,) int64, the number of each set's group, a set of the group. Two sets that may both be told (k people or more), one
    inside the other and fewer than k people apart, are of one group, and so are those that hang together through others.
    """
    groups = np.arange(len(sizes))

    def first(number: int) -> int:
        while groups[number] != number:
            groups[number] = groups[groups[number]]
            number = int(groups[number])
        return number

    if len(pairs):
        outer, inner = pairs[:, 0], pairs[:, 1]
        close = (sizes[inner] >= floor) & (sizes[outer] - sizes[inner] < floor)
        for one, other in pairs[close].tolist():
            groups[first(one)] = first(other)
    return np.array([first(number) for number in range(len(sizes))], np.int64)
