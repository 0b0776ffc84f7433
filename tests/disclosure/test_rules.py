"""The disclosure engine against its naive twin, and against attackers who try every table that fits what was told."""

from __future__ import annotations

from collections import defaultdict
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohelix.disclosure.rules import tell_count, tell_frequencies, tell_parts
from cohelix.disclosure.telling import AC, AN, HEMI, HET, HOM, LEVEL_CELL, LEVEL_POPULATION, LEVEL_SEX, LEVEL_TOTAL, MISSING


def layout(n_populations: int, n_sexes: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows, cells) sums and (rows,) levels of total, sexes, populations and cells."""
    cells = list(product(range(n_populations), range(n_sexes)))
    rows = [(LEVEL_TOTAL, [1] * len(cells))]
    rows += [(LEVEL_SEX, [int(s == sex) for _, s in cells]) for sex in range(n_sexes)]
    rows += [(LEVEL_POPULATION, [int(p == population) for p, _ in cells]) for population in range(n_populations)]
    rows += [(LEVEL_CELL, [int(cell == other) for other in cells]) for cell in cells]
    return np.array([row for _, row in rows]), np.array([level for level, _ in rows])


def counts_of(het: np.ndarray, hom: np.ndarray, none: np.ndarray) -> np.ndarray:
    """(variants, rows, 6) counts of diploid people without missing calls."""
    zero = np.zeros_like(het)
    return np.stack([2 * (het + hom + none), het + 2 * hom, het, hom, zero, zero], axis=-1)


def tell(tables: np.ndarray, sums: np.ndarray, levels: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts, and what may be told, of tables (variants, 3, cells) of het, hom and non-carriers.

    Every cell has as many people as the largest; those whom a table does not name have no call.
    """
    het, hom, none = (tables[:, part] @ sums.T for part in range(3))
    counts = counts_of(het, hom, none)
    people = sums.sum(axis=1) * int(tables.sum(axis=1).max())
    counts[..., MISSING] = people - het - hom - none
    told = tell_frequencies(counts, people, levels, floor=k)
    return counts, told.counts, told.genotypes


def naive(
    counts: np.ndarray, people: np.ndarray, levels: np.ndarray, k: int, *, x: bool = False
) -> tuple[list[bool], list[bool]]:
    """The rule for one variant, from its words; genotypes up to the total's, which has a test of its own."""
    rows = range(len(people))
    passes, trio = [], []
    for row in rows:
        an, ac, het, hom, hemi, missing = counts[row].tolist()
        called = int(people[row]) - missing
        half_called = missing if x else 0
        carriers = ac - hom
        without = people[row] - missing - het - hom - hemi
        passes.append(carriers >= k and without >= k)
        diploid_occurs = het + hom > 0 or an > called
        haploid_occurs = hemi > 0 or 2 * called + half_called > an
        reached = [het >= k and hom >= k] * diploid_occurs + [hemi >= k] * haploid_occurs
        trio.append(passes[-1] and all(reached))
    told = [people[r] > 0 and all(passes[s] for s in rows if levels[s] == levels[r] and people[s] > 0) for r in rows]
    genotypes = [told[r] and all(trio[s] for s in rows if levels[s] == levels[r] and people[s] > 0) for r in rows]
    cells = [r for r in rows if levels[r] == LEVEL_CELL and people[r] > 0]
    if cells and told[cells[0]] and not genotypes[cells[0]]:
        genotypes = [genotypes[0]] + [False] * (len(people) - 1)
    return told, genotypes


@settings(max_examples=300, deadline=None)
@given(
    st.integers(1, 3).flatmap(
        lambda p: st.tuples(st.just(p), st.lists(st.tuples(*[st.integers(0, 14)] * 3), min_size=2 * p, max_size=2 * p))
    )
)
def test_engine_equals_the_rule_in_words(table):
    n_populations, cells = table
    sums, levels = layout(n_populations, 2)
    cells = np.array(cells)
    counts = counts_of(*(sums @ cells[:, column] for column in range(3)))
    people = sums @ cells.sum(axis=1)
    told = tell_frequencies(counts[None], people, levels, floor=5)
    expected_counts, expected_genotypes = naive(counts, people, levels, 5)
    assert told.counts[0].tolist() == expected_counts
    if told.genotypes[0, 0]:
        assert told.genotypes[0].tolist() == expected_genotypes
    else:
        assert not told.genotypes.any()


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(*[st.one_of(st.just(0), st.integers(0, 14))] * 5, st.integers(0, 40)), min_size=4, max_size=4),
    st.booleans(),
)
def test_haploid_people_and_missing_calls_as_the_rule_in_words(cells, x):
    sums, levels = layout(2, 2)
    het, hom, hemi, half, missing, none = (sums @ np.array(cells)[:, column] for column in range(6))
    people = het + hom + hemi + half + missing + none
    an = 2 * (het + hom + none) + hemi + half
    counts = np.stack([an, het + 2 * hom + hemi + half, het, hom, hemi, missing + half], axis=-1)
    told = tell_frequencies(counts[None], people, levels, floor=5, haploid_contig=x)
    expected_counts, expected_genotypes = naive(counts, people, levels, 5, x=x)
    assert told.counts[0].tolist() == expected_counts
    assert told.genotypes[0].tolist() in (expected_genotypes, [False] * len(people))


def compositions(total: int, parts: int) -> np.ndarray:
    """All (…, parts) of non-negative integers that sum up to `total`."""
    if parts == 1:
        return np.array([[total]])
    rests = [(first, compositions(total - first, parts - 1)) for first in range(total + 1)]
    return np.concatenate([np.column_stack([np.full(len(rest), first), rest]) for first, rest in rests])


def test_an_attacker_who_knows_the_rule_cannot_find_a_small_group_of_carriers():
    """All 3 x 2 tables of up to 8 carriers (k = 2, non-carriers plenty): neither what is told, nor that the rest is not,
    pins a row that is not told to 1 … k - 1 carriers."""
    k = 2
    sums, levels = layout(3, 2)
    carrying = np.concatenate([compositions(n_carriers, 6) for n_carriers in range(9)])
    tables = np.stack([carrying, 0 * carrying, np.full_like(carrying, 50)], axis=1)
    counts, told, _ = tell(tables, sums, levels, k)
    groups = defaultdict(list)
    for number, (mask, values) in enumerate(zip(told, counts[:, :, AC], strict=True)):
        groups[mask.tobytes(), values[mask].tobytes()].append(number)
    assert len(groups) > 50
    for (mask, _), members in groups.items():
        values = counts[members][:, ~np.frombuffer(mask, bool), AC]
        assert not ((values.min(axis=0) >= 1) & (values.max(axis=0) <= k - 1)).any()


@pytest.mark.parametrize(("n_populations", "n_sexes", "people_most", "k"), [(1, 2, 15, 3), (1, 3, 10, 2), (2, 2, 7, 2)])
def test_no_table_that_fits_pins_a_withheld_number_to_a_small_group(n_populations, n_sexes, people_most, k):
    """All tables of het, hom and non-carriers of up to `people_most` people: over all tables with the same told numbers
    (AC, AN, and het and hom where told), no withheld het, hom or number of carriers lies within 1 … k - 1."""
    sums, levels = layout(n_populations, n_sexes)
    n_cells = sums.shape[1]
    pinned, told_somewhere, withheld_somewhere = 0, 0, 0
    for n_people in range(2 * k, people_most + 1):
        tables = compositions(n_people, 3 * n_cells)
        counts, told, genotypes = tell(tables.reshape(-1, 3, n_cells), sums, levels, k)
        numbers = np.concatenate([counts[:, :, AC], counts[:, :, AN], counts[:, :, HET], counts[:, :, HOM]], axis=1)
        known = np.concatenate([told, told, genotypes, genotypes], axis=1)
        hidden_values = np.concatenate([counts[:, :, HET], counts[:, :, HOM], counts[:, :, HET] + counts[:, :, HOM]], axis=1)
        hidden = np.concatenate([~genotypes, ~genotypes, ~told], axis=1)
        for mask in np.unique(known, axis=0):
            # The attacker does not use which rows were withheld, only the numbers that were told.
            _, group = np.unique(numbers[:, mask], axis=0, return_inverse=True)
            group = group.ravel()
            mine = np.flatnonzero((known == mask).all(axis=1))
            told_somewhere += int(mask.any())
            for column in range(hidden_values.shape[1]):
                if not hidden[mine[0], column]:
                    continue
                withheld_somewhere += 1
                least = np.full(group.max() + 1, 10_000)
                most = np.full(group.max() + 1, -1)
                np.minimum.at(least, group, hidden_values[:, column])
                np.maximum.at(most, group, hidden_values[:, column])
                pinned += int(((least[group[mine]] >= 1) & (most[group[mine]] <= k - 1)).sum())
    assert told_somewhere > 0
    assert withheld_somewhere > 0
    assert pinned == 0


def test_no_withheld_number_is_a_sum_or_difference_of_told_ones():
    """For every pattern of told and withheld that 20,000 random tables of 3 x 2 produce: each withheld AC, het and hom is
    linearly independent of what was told."""
    rng = np.random.default_rng(5)
    sums, levels = layout(3, 2)
    n_cells = sums.shape[1]
    tables = rng.poisson(rng.choice([3, 6, 9, 14], size=(20_000, 3, 1)), size=(20_000, 3, n_cells))
    _, told, genotypes = tell(tables, sums, levels, 5)
    blank = np.zeros_like(sums)
    functionals = {
        "ac": np.hstack([sums, 2 * sums, blank]),
        "an": np.hstack([2 * sums, 2 * sums, 2 * sums]),
        "het": np.hstack([sums, blank, blank]),
        "hom": np.hstack([blank, sums, blank]),
    }
    patterns = np.unique(np.hstack([told, genotypes]), axis=0)
    assert len(patterns) >= 6
    for pattern in patterns:
        told_rows, genotype_rows = pattern[: len(sums)], pattern[len(sums) :]
        told_functionals = (("ac", told_rows), ("an", told_rows), ("het", genotype_rows), ("hom", genotype_rows))
        known = np.vstack([functionals[name][rows] for name, rows in told_functionals])
        rank = np.linalg.matrix_rank(known) if known.size else 0
        for name, hidden in (("ac", ~told_rows), ("het", ~genotype_rows), ("hom", ~genotype_rows)):
            for row in functionals[name][hidden]:
                assert np.linalg.matrix_rank(np.vstack([known, row])) == rank + 1


def test_the_example_that_parity_would_give_away():
    """Total het 5; women's AC 7 leaves them 1 to 3 homozygotes: so the total's genotypes are withheld too."""
    sums, levels = layout(1, 2)
    rows = np.array([[3, 2], [2, 40], [50, 50]]) @ sums.T
    told = tell_frequencies(counts_of(*rows)[None], rows.sum(axis=0), levels, floor=5)
    assert told.counts[0, 0]
    assert not told.genotypes.any()


@pytest.mark.parametrize(
    ("counts", "people", "told", "genotypes"),
    [
        # an, ac, het, hom, hemi, missing
        ([200, 5, 5, 0, 0, 0], 100, True, False),  # five carriers, no homozygote
        ([200, 4, 4, 0, 0, 0], 100, False, False),
        ([200, 8, 0, 4, 0, 0], 100, False, False),  # eight copies, four people
        ([200, 15, 5, 5, 0, 0], 100, True, True),
        ([200, 196, 4, 96, 0, 0], 100, False, False),  # nobody without it
        ([28, 9, 9, 0, 0, 0], 14, True, False),
        ([18, 5, 5, 0, 0, 0], 9, False, False),  # four non-carriers
        ([100, 30, 0, 0, 30, 0], 100, True, True),  # mitochondrial: everybody haploid, het and hom cannot occur
        ([150, 40, 10, 10, 10, 0], 100, True, True),  # X: 50 men, 50 women
        ([150, 34, 10, 10, 4, 0], 100, True, False),
        ([150, 30, 10, 10, 0, 0], 100, True, False),  # men are there, and none has it
        ([201, 16, 5, 5, 0, 1], 101, True, True),  # one half-called carrier
        ([0, 0, 0, 0, 0, 100], 100, False, False),
    ],
)
def test_one_row(counts, people, told, genotypes):
    answer = tell_frequencies(np.array([[counts]]), np.array([people]), np.array([LEVEL_TOTAL]), floor=5)
    assert (bool(answer.counts[0, 0]), bool(answer.genotypes[0, 0])) == (told, genotypes)


def test_half_called_people_do_not_hide_haploid_ones_on_x():
    """Three men without the ALT and three half-called women: the counts look as if everybody were diploid."""
    counts = np.array([[[2 * 60 + 3 + 3, 30, 10, 10, 0, 3]]])
    people, level = np.array([66]), np.array([LEVEL_TOTAL])
    assert tell_frequencies(counts, people, level, floor=5).genotypes[0, 0]
    assert not tell_frequencies(counts, people, level, floor=5, haploid_contig=True).genotypes[0, 0]


def test_open_tells_everything():
    counts = np.array([[[2, 0, 0, 0, 0, 0], [2, 1, 1, 0, 0, 0]]])
    told = tell_frequencies(counts, np.array([1, 1]), np.array([0, 1]), floor=0)
    assert told.counts.all()
    assert told.genotypes.all()


def test_people_of_unknown_sex_are_a_cell_of_their_level():
    """Two people of unknown sex would be the difference between total and sexes: so the sexes are withheld."""
    levels = np.array([LEVEL_TOTAL, LEVEL_SEX, LEVEL_SEX, LEVEL_SEX])
    rows = [[204, 41, 41, 0, 0, 0], [100, 20, 20, 0, 0, 0], [100, 20, 20, 0, 0, 0], [4, 1, 1, 0, 0, 0]]
    told = tell_frequencies(np.array([rows]), np.array([102, 50, 50, 2]), levels, floor=5)
    assert told.counts[0].tolist() == [True, False, False, False]
    rows[3] = [0, 0, 0, 0, 0, 0]
    rows[0] = [200, 40, 40, 0, 0, 0]
    told = tell_frequencies(np.array([rows]), np.array([100, 50, 50, 0]), levels, floor=5)
    assert told.counts[0].tolist() == [True, True, True, False]


@given(st.lists(st.tuples(*[st.integers(0, 30)] * 3), min_size=4, max_size=4), st.permutations(range(4)))
def test_the_order_of_cells_does_not_matter(cells, order):
    sums, levels = layout(2, 2)
    cells = np.array(cells)
    rows = np.array([sums @ cells[:, part] for part in range(3)])
    told = tell_frequencies(counts_of(*rows)[None], rows.sum(axis=0), levels, floor=5)
    shuffled = [0, *(1 + np.array(order)), *range(5, len(levels))]
    levels_shuffled = levels[shuffled]
    again = tell_frequencies(counts_of(*rows)[None][:, shuffled], rows.sum(axis=0)[shuffled], levels_shuffled, floor=5)
    assert (again.counts == told.counts[:, shuffled]).all()
    assert (again.genotypes == told.genotypes[:, shuffled]).all()


def test_many_variants_are_told_as_each_alone():
    rng = np.random.default_rng(1)
    sums, levels = layout(3, 2)
    people = rng.integers(10, 60, size=6)
    het = rng.binomial(people, rng.beta(1, 4, (500, 1)))
    hom = rng.binomial(people - het, rng.beta(1, 6, (500, 1)))
    rows = [array @ sums.T for array in (het, hom, people - het - hom)]
    counts = counts_of(*rows)
    together = tell_frequencies(counts, sums @ people, levels, floor=5)
    for variant in range(len(counts)):
        alone = tell_frequencies(counts[[variant]], sums @ people, levels, floor=5)
        assert (together.counts[variant] == alone.counts[0]).all()
        assert (together.genotypes[variant] == alone.genotypes[0]).all()
    assert 0 < together.counts[:, 0].mean() < 1


@pytest.mark.parametrize(
    ("count", "everybody", "asked", "told"),
    [
        (9, 100, True, None),
        (10, 100, True, 10),
        (19, 100, True, 10),
        (91, 100, True, None),
        (90, 100, True, 90),
        (100, 100, False, 100),
        (0, 5, True, None),
        (9, 9, False, None),
    ],
)
def test_numbers_of_people(count, everybody, asked, told):
    assert tell_count(count, everybody, floor=10, asked=asked) == told
    assert tell_count(count, everybody, floor=0, asked=asked) == count


def test_parts_of_a_dataset_have_to_pass_both():
    part = np.array([100, 20, 20, 0, 0, 0])
    small = np.array([4, 1, 1, 0, 0, 0])
    assert tell_parts(part, part, (50, 50), floor=5) == (True, False)
    assert tell_parts(part, small, (50, 2), floor=5) == (False, False)
    assert tell_parts(small, part, (2, 50), floor=5) == (False, False)
    assert tell_parts(part, small, (50, 2), floor=0) == (True, True)


def test_columns_are_in_the_registry_order():
    assert (AN, AC, HET, HOM, HEMI, MISSING) == (0, 1, 2, 3, 4, 5)
