"""How much an answer may tell: minimum counts, rounding and complementary suppression, as pure functions.

Rules 3 and 5 of the interface, read as in `docs/decisions/0003-disclosure-engine.md`. Floors act on people: carriers are
people with at least one called copy of the ALT; non-carriers are fully called people without it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from cohelix.core.arrays import BoolArray, IntArray

FREQUENCY_FLOOR = 5  # rule 3 of the interface: k for frequencies
PEOPLE_FLOOR = 10  # rule 3: k for counts of people, and the step that they are rounded down to
# Columns of an array of counts, in the order of `AlleleCounts`.
AN, AC, HET, HOM, HEMI, MISSING = range(6)
# Levels of an answer's rows; the cells of one level are told all together or not at all.
LEVEL_TOTAL, LEVEL_SEX, LEVEL_POPULATION, LEVEL_CELL = range(4)


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
    row_counts = (carriers(counts) >= floor) & (non_carriers(counts, people) >= floor)
    row_genotypes = row_counts & _genotypes_pass(counts, people, floor, haploid_contig)
    told_counts, told_genotypes = np.zeros_like(row_counts), np.zeros_like(row_counts)
    rows_of = _rows_of(tuple(levels.tolist()), tuple((people > 0).tolist()))
    for rows in rows_of.values():
        told_counts[:, rows] = row_counts[:, rows].all(axis=1, keepdims=True)
        told_genotypes[:, rows] = row_genotypes[:, rows].all(axis=1, keepdims=True)
    cells = rows_of.get(LEVEL_CELL)
    if cells is not None and cells.size:
        told_genotypes[:, 1:] &= ~told_counts[:, cells[:1]] | told_genotypes[:, cells[:1]]
    total = told_genotypes[:, 0].copy()
    for level, rows in rows_of.items():
        if level != LEVEL_TOTAL and rows.size:
            withheld = told_counts[:, rows[0]] & ~told_genotypes[:, rows[0]]
            if not withheld.any():
                continue
            diploid = ~_haploid(counts[:, 0], people[0], haploid_contig)
            total &= ~withheld | (diploid & _loose(counts[:, 0], counts[:, rows], floor))
    return Told(told_counts, told_genotypes & total[:, None])


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


@lru_cache(maxsize=256)  # a dataset's layout does not change: nearly every question finds its own here
def _rows_of(levels: tuple[int, ...], peopled: tuple[bool, ...]) -> dict[int, IntArray]:
    """The rows of each level that have people, by level."""
    given, counted = np.array(levels), np.array(peopled)
    return {level: np.flatnonzero((given == level) & counted) for level in sorted(set(levels))}


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


def carriers(counts: IntArray) -> IntArray:
    """People with at least one called copy of the ALT, half-called ones included.

    AC is het + 2 hom + hemi + (half-called with the ALT), so it counts every carrier once, and a homozygote twice.
    """
    return np.asarray(counts[..., AC] - counts[..., HOM])


def non_carriers(counts: IntArray, people: IntArray) -> IntArray:
    """Fully called people without the ALT; `people` broadcasts over the counts' leading axes."""
    return np.asarray(people - counts[..., MISSING] - counts[..., HET] - counts[..., HOM] - counts[..., HEMI])


def _loose(total: IntArray, rows: IntArray, floor: int) -> BoolArray:
    """(variants,) bool: whether a level's withheld genotypes stay open though its AC and AN and the total's het are told.

    For diploid people only. Het has AC's parity and is at most the copies of either allele; the rows' het sum up to the
    total's. That leaves each row an interval of het, and of hom = (AC - het) / 2; none may lie within 1 … k - 1.
    """
    copies, others = rows[..., AC], rows[..., AN] - rows[..., AC]
    low, high = copies % 2, np.minimum(copies, others)
    het = total[:, HET, None]
    least = np.maximum(low, het - (high.sum(axis=1, keepdims=True) - high))
    most = np.minimum(high, het - (low.sum(axis=1, keepdims=True) - low))
    pinned = (least >= 1) & (most < floor)
    pinned |= ((copies - most) // 2 >= 1) & ((copies - least) // 2 < floor)
    return np.asarray(~pinned.any(axis=1))


def _genotypes_pass(counts: IntArray, people: IntArray, floor: int, haploid_contig: bool) -> BoolArray:
    """Whether each genotype count that can occur reaches the floor; without haploid (diploid) people it cannot occur."""
    het, hom, hemi = counts[..., HET], counts[..., HOM], counts[..., HEMI]
    called = people - counts[..., MISSING]
    haploid = _haploid(counts, people, haploid_contig)
    diploid = (het + hom > 0) | (counts[..., AN] > called)
    diploid_pass = ~diploid | ((het >= floor) & (hom >= floor))
    return np.asarray(diploid_pass & (~haploid | (hemi >= floor)))


def _haploid(counts: IntArray, people: IntArray, haploid_contig: bool) -> BoolArray:
    """Whether anybody is, or may be, haploid. A fully called diploid person adds two to AN, a haploid or half-called one."""
    called = people - counts[..., MISSING]
    hidden = counts[..., MISSING] if haploid_contig else 0  # each missing person may be half-called
    return np.asarray((counts[..., HEMI] > 0) | (2 * called + hidden > counts[..., AN]))
