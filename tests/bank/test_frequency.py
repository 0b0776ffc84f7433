"""Frequencies of a node's datasets against counting by hand: present, absent, floored, closed, of other builds."""

from __future__ import annotations

import pytest

from cohelix.bank.questions import Groups
from cohelix.core.genome import Assembly
from cohelix.core.variant import VariantKey
from cohelix.disclosure.rules import FREQUENCY_FLOOR

K = FREQUENCY_FLOOR
ROWS = [("all", "all"), *(("all", sex) for sex in ("male", "female")), *((p, "all") for p in ("AAA", "BBB"))]
ROWS += [(population, sex) for population in ("AAA", "BBB") for sex in ("male", "female")]


def first_rows(cohort):
    """Each key with the calls of its first row in file order."""
    found = {}
    for key, calls in cohort.rows():
        found.setdefault(key, calls)
    return found


EVERYBODY = Groups()


def answer(bank, dataset, key, groups=EVERYBODY, assembly=Assembly.GRCH37):
    return next(a for a in bank.frequency(key, assembly, groups).datasets if a.id == f"FI:{dataset}")


def frequent(cohort):
    """A variant that about a third of the people carry."""
    return next(key for key, calls in first_rows(cohort).items() if 20 < sum(call[0] > 0 for call in calls) < 60)


def as_table(frequency):
    return {
        (row.population, row.sex): (row.allele_number, row.allele_count, row.heterozygotes, row.homozygotes, row.hemizygotes)
        for row in frequency.populations
    }


def test_open_is_exact_for_every_variant_and_group(loaded):
    checked = 0
    for key, calls in first_rows(loaded.cohort).items():
        given = answer(loaded.bank, "open", key)
        assert given.status == "answered"
        assert (given.populations[0].population, given.populations[0].sex) == ("all", "all")
        expected = {
            (population, sex): tuple(loaded.cohort.count(calls, loaded.cohort.members(population, sex))[:5])
            for population, sex in ROWS
        }
        assert as_table(given) == expected
        for row in given.populations:
            assert row.allele_frequency == (row.allele_count / row.allele_number if row.allele_number else None)
        checked += 1
    assert checked > 150


def passing(cohort, calls, population, sex):
    """(counts told, genotypes told) of a row by itself, from the words of rule 3."""
    columns = cohort.members(population, sex)
    _, _, het, hom, hemi, _ = cohort.count(calls, columns)
    carriers = sum(calls[column][0] > 0 for column in columns)
    without = sum(calls[column][3] and calls[column][0] == 0 for column in columns)
    ploidies = {calls[column][2] for column in columns if calls[column][3]}
    parts = ([het, hom] if 2 in ploidies else []) + ([hemi] if 1 in ploidies else [])
    told = carriers >= K and without >= K
    return told, told and all(part >= K for part in parts)


def test_people_of_whom_nothing_is_known_keep_the_levels_closed(loaded):
    """Two columns without a person, three people of unknown sex: fewer than the floor, so only the total is ever told."""
    statuses = set()
    for key, calls in first_rows(loaded.cohort).items():
        given = answer(loaded.bank, "floored", key)
        statuses.add(given.status)
        if not passing(loaded.cohort, calls, "all", "all")[0]:
            assert (given.status, given.populations) == ("below_floor", ())
            continue
        expected = tuple(loaded.cohort.count(calls, loaded.cohort.members("all", "all"))[:2])
        assert {row: counts[:2] for row, counts in as_table(given).items()} == {("all", "all"): expected}
    assert statuses == {"answered", "below_floor"}


def test_floored_tells_what_the_rule_allows_and_nothing_else(complete):
    """AC and AN level by level; het, hom and hemi never where the words forbid them, and exact where they are told."""
    shapes, withheld, given_genotypes = set(), 0, 0
    for key, calls in first_rows(complete.cohort).items():
        given = as_table(answer(complete.bank, "floored", key))
        passes = {row: passing(complete.cohort, calls, *row) for row in ROWS}
        levels = {}
        for row in ROWS:
            levels.setdefault((row[0] == "all", row[1] == "all"), []).append(row)
        told = {row for rows in levels.values() if all(passes[row][0] for row in rows) for row in rows}
        assert set(given) == told
        shapes.add(len(told))
        for row, counts in given.items():
            exact = tuple(complete.cohort.count(calls, complete.cohort.members(*row))[:5])
            assert counts[:2] == exact[:2]
            if counts[2] is None:
                withheld += 1
                assert counts[2:] == (None, None, None)
            else:
                given_genotypes += 1
                assert counts[2:] == exact[2:]
                level = levels[row[0] == "all", row[1] == "all"]
                assert all(passes[other][1] for other in level)
    assert {0, 1, 9} <= shapes
    assert withheld > 20
    assert given_genotypes > 20


def test_closed_refuses_and_says_why(loaded):
    key = loaded.cohort.rows()[0][0]
    given = answer(loaded.bank, "closed", key)
    assert (given.status, given.populations) == ("refused", ())
    assert "visa" in given.reason


def test_another_build_is_not_lifted_over(loaded):
    key = loaded.cohort.rows()[0][0]
    for dataset in ("open", "floored", "joint"):
        assert answer(loaded.bank, dataset, key, assembly=Assembly.GRCH38).status == "other_assembly"


def test_an_absent_allele_at_a_site_takes_the_records_an(loaded):
    present = first_rows(loaded.cohort)
    for key, calls in first_rows(loaded.cohort).items():
        if len(key.ref) != 1 or key.alt.startswith("<"):
            continue
        absent = key._replace(alt=next(base for base in "ACGT" if base not in (key.ref, key.alt)))
        if absent in present:
            continue
        given = answer(loaded.bank, "open", absent)
        assert given.status == "answered"
        row = given.populations[0]
        an = loaded.cohort.count(calls, loaded.cohort.members("all", "all"))[0]
        assert (row.allele_count, row.allele_number, row.homozygotes, row.heterozygotes) == (0, an, 0, 0)
        assert answer(loaded.bank, "floored", absent).status == "below_floor"


def test_a_reference_that_does_not_fit_is_not_assessed(loaded):
    key = next(key for key in first_rows(loaded.cohort) if key.ref == "A" and key.alt == "G")
    assert answer(loaded.bank, "open", key._replace(ref="C", alt="T")).status == "not_assessed"
    assert answer(loaded.bank, "open", key._replace(ref="AC", alt="A")).status == "answered"


def test_a_site_without_a_record(loaded):
    absent = VariantKey("22", 30_000_000, "A", "G")
    assert answer(loaded.bank, "open", absent).status == "not_assessed"
    assert answer(loaded.bank, "floored", absent).status == "below_floor"
    everybody = len(loaded.cohort.columns)
    row = answer(loaded.bank, "joint", absent).populations[0]
    assert (row.allele_count, row.allele_number) == (0, 2 * everybody)


def test_hom_ref_on_x_follows_sex_and_the_pseudoautosomal_regions(loaded):
    everybody, men = len(loaded.cohort.columns), len(loaded.cohort.members("all", "male"))
    for position, an in ((30_000_000, 2 * everybody - men), (100_000, 2 * everybody), (155_000_000, 2 * everybody)):
        row = answer(loaded.bank, "joint", VariantKey("X", position, "A", "G")).populations[0]
        assert (row.allele_count, row.allele_number) == (0, an)


@pytest.mark.parametrize("dataset", ["open", "floored", "joint"])
def test_a_contig_without_records_is_not_assessed(loaded, dataset):
    assert answer(loaded.bank, dataset, VariantKey("7", 30_000_000, "A", "G")).status == "not_assessed"


def test_below_the_floor_and_not_there_are_one_answer(loaded):
    rare = next(
        key
        for key, calls in first_rows(loaded.cohort).items()
        if 0 < sum(call[0] > 0 for call in calls) < K and key.contig == "22"
    )
    absent = VariantKey("22", 30_000_000, "A", "G")
    first, second = answer(loaded.bank, "floored", rare), answer(loaded.bank, "floored", absent)
    assert first == second


def test_groups_bring_their_rows_and_the_sums(loaded):
    key = frequent(loaded.cohort)
    table = as_table(answer(loaded.bank, "open", key, Groups(frozenset({"AAA"}), frozenset({"male"}))))
    assert set(table) == {("all", "all"), ("all", "male"), ("AAA", "all"), ("AAA", "male")}
    assert set(as_table(answer(loaded.bank, "open", key, Groups(populations=frozenset({"BBB"}))))) == {
        ("all", "all"),
        ("all", "male"),
        ("all", "female"),
        ("BBB", "all"),
        ("BBB", "male"),
        ("BBB", "female"),
    }


def test_a_group_without_people_is_empty_on_open_and_below_on_floored(loaded):
    key = frequent(loaded.cohort)
    nobody = Groups(populations=frozenset({"CCC"}))
    assert answer(loaded.bank, "open", key, nobody).status == "empty"
    assert answer(loaded.bank, "floored", key, nobody).status == "below_floor"
    assert answer(loaded.bank, "floored", key, Groups(populations=frozenset({"AAA"}))).status == "below_floor"


def test_records_of_one_key_answer_with_the_first(loaded):
    keys = [key for key, _ in loaded.cohort.rows()]
    repeated = next(key for key in keys if keys.count(key) == 2)
    first = next(calls for key, calls in loaded.cohort.rows() if key == repeated)
    expected = loaded.cohort.count(first, loaded.cohort.members("all", "all"))
    assert list(as_table(answer(loaded.bank, "open", repeated))["all", "all"])[:2] == expected[:2]
