"""Filters of variants by pooled counts, each against its definition."""

from __future__ import annotations

import numpy as np

from cohelix.analysis.filters import VariantFilters
from cohelix.analysis.scan import Counts
from cohelix.stats import hwe_p_values
from cohelix.wire.plan import VariantFilter

#                 not assessed, gaps, AC 3, AC 398, AC 30, no heterozygote, the same on X, ordinary
N0 = np.array([0, 60, 197, 0, 170, 100, 100, 100])
N1 = np.array([0, 20, 3, 2, 30, 0, 0, 90])
N2 = np.array([0, 10, 0, 198, 0, 100, 100, 10])
COUNTS = Counts(N0, N1, N2, 200)
HAPLOID = [False] * 6 + [True, False]


def kept(floor: int = 0, **plan: float) -> tuple[list[int], dict[str, int]]:
    filters = VariantFilters(VariantFilter.model_validate(plan), HAPLOID, floor)
    rows = np.flatnonzero(filters(COUNTS, np.arange(8)))
    assert filters.tested == len(rows) and len(rows) + sum(filters.left_out.values()) == 8
    return rows.tolist(), filters.left_out


def test_each_filter_leaves_out_what_it_names() -> None:
    assert kept() == ([1, 2, 3, 4, 5, 6, 7], {"not_assessed": 1})
    assert kept(call_rate_min=0.5)[1] == {"not_assessed": 1, "call_rate_min": 1}
    assert kept(mac_min=3)[0] == [1, 2, 4, 5, 6, 7]  # two copies of REF are as few as two of ALT
    assert kept(maf_min=0.0075)[0] == [1, 2, 4, 5, 6, 7]
    assert kept(maf_min=0.0076)[0] == [1, 4, 5, 6, 7]
    assert kept(floor=31) == ([1, 5, 6, 7], {"not_assessed": 1, "mac_floor": 3})


def test_one_person_without_alt_is_below_the_floor_however_haploid_calls_are_coded() -> None:
    """200 people of whom all but one have ALT on MT: 199 copies as `haploid-one` has it, and 201 that are nobody's."""
    counts = Counts(np.array([1]), np.array([199]), np.array([0]), 200)
    for copies in (1, 2):
        coded = Counts(counts.n0, counts.n1 * (copies == 1), counts.n1 * (copies == 2), 200)
        assert not VariantFilters(VariantFilter(), [True], 20)(coded, np.arange(1)).any()
        assert VariantFilters(VariantFilter(), [True], 0)(coded, np.arange(1)).all()


def test_hardy_weinberg_is_exact_and_not_asked_of_haploid_rows() -> None:
    rows, left_out = kept(hwe_min=1e-6)
    assert 5 not in rows and 6 in rows and left_out == {"not_assessed": 1, "hwe_min": 1}
    p_value = hwe_p_values(N1[7:], N0[7:], N2[7:])[0]
    assert 7 in kept(hwe_min=p_value)[0] and 7 not in kept(hwe_min=np.nextafter(p_value, 1))[0]


def test_the_first_filter_that_leaves_a_variant_out_counts_it() -> None:
    assert kept(call_rate_min=0.5, mac_min=100, maf_min=0.2)[1] == {"not_assessed": 1, "call_rate_min": 1, "mac_min": 3}


def test_blocks_add_up() -> None:
    filters = VariantFilters(VariantFilter(mac_min=50), HAPLOID)
    for block in (slice(0, 3), slice(3, 8)):
        filters(COUNTS.taken(block), np.arange(8)[block])
    assert (filters.tested, filters.left_out) == (3, {"not_assessed": 1, "mac_min": 4})
