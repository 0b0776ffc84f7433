"""Queries for variants against a scan by hand: exact, overlap, start, bracket, type, length, wildcards; pages and regions."""

from __future__ import annotations

import random

import pytest

from cohelix.bank.questions import Groups, VariantQuery
from cohelix.core.errors import NotFound
from cohelix.core.genome import Assembly, Region
from cohelix.core.ids import DatasetId
from cohelix.core.variant import is_sequence
from cohelix.disclosure.rules import FREQUENCY_FLOOR as K

TYPES = ["SNP", "INDEL", "DEL", "INS", "SV", "MNP"]


def listed(cohort, *, floored=False, observed=False):
    """(key, calls) that a dataset lists, ascending by key."""
    found = {}
    for key, calls in cohort.rows():
        found.setdefault(key, calls)
    if floored:
        found = {
            key: calls
            for key, calls in found.items()
            if sum(c[0] > 0 for c in calls) >= K and sum(c[3] and c[0] == 0 for c in calls) >= K
        }
    if observed:
        found = {key: calls for key, calls in found.items() if sum(c[0] for c in calls) > 0}
    return sorted(found.items())


def kind(key):
    if not is_sequence(key.alt):
        return {"DEL", "SV"}
    if len(key.ref) == len(key.alt):
        return {"SNP"} if len(key.ref) == 1 else {"MNP"}
    return {"INDEL", "INS" if len(key.alt) > len(key.ref) else "DEL"}


def spelled(pattern, allele):
    return len(pattern) == len(allele) and all(p in ("N", b) for p, b in zip(pattern, allele, strict=True))


def length(key):
    # A symbolic ALT's POS is the base before it, so that nothing but that base is 0 long.
    return key.end - key.position - 1 if not is_sequence(key.alt) else abs(len(key.alt) - len(key.ref)) or len(key.ref)


def meets(query, key):
    return (
        key.contig == query.contig
        and (query.start is None or query.start[0] <= key.position < query.start[1])
        and (query.end is None or query.end[0] <= key.end < query.end[1])
        and (query.overlaps is None or (key.position < query.overlaps.end and key.end > query.overlaps.start))
        and (query.ref is None or spelled(query.ref, key.ref))
        and (query.alt is None or query.alt == key.alt or spelled(query.alt, key.alt))
        and (query.variant_type is None or query.variant_type in kind(key))
        and (query.min_length is None or length(key) >= query.min_length)
        and (query.max_length is None or length(key) <= query.max_length)
    )


def queries(cohort, rng, n):
    keys = [key for key, _ in cohort.rows()]
    for _ in range(n):
        key = rng.choice(keys)
        low = key.position - rng.randint(0, 60)
        high = key.position + rng.randint(1, 60)
        yield rng.choice(
            [
                VariantQuery(key.contig, start=(key.position, key.position + 1), ref=key.ref, alt=key.alt),
                VariantQuery(key.contig, start=(key.position + 1, key.position + 2), ref=key.ref, alt=key.alt),
                VariantQuery(key.contig, start=(key.position, key.position + 1), ref="N", alt="N"),
                VariantQuery(key.contig, start=(key.position, key.position + 1), alt=key.alt),
                VariantQuery(key.contig, overlaps=Region(key.contig, low, high)),
                VariantQuery(key.contig, overlaps=Region(key.contig, low, high), variant_type=rng.choice(TYPES)),
                VariantQuery(key.contig, start=(low, high), end=(low, high), variant_type=rng.choice([None, "DEL"])),
                VariantQuery(key.contig, start=(low, high), overlaps=Region(key.contig, low, high)),
                VariantQuery(key.contig, end=(key.end, key.end + 3)),
                VariantQuery(
                    key.contig,
                    overlaps=Region(key.contig, low, high),
                    min_length=rng.randint(1, 2),
                    max_length=rng.randint(1, 3),
                ),
                VariantQuery(key.contig, variant_type="INS"),
                VariantQuery(key.contig),
                VariantQuery("7"),
            ]
        )


@pytest.mark.parametrize("dataset", ["open", "floored"])
@pytest.mark.parametrize("observed", [False, True])
def test_queries_equal_a_scan(loaded, dataset, observed):
    rng = random.Random(3)
    view = loaded.bank.view(DatasetId(dataset))
    truth = listed(loaded.cohort, floored=dataset == "floored", observed=observed)
    hits = 0
    for query in queries(loaded.cohort, rng, 250):
        expected = [key for key, _ in truth if meets(query, key)]
        skip, limit = rng.choice([(0, 1000), (0, 3), (2, 4), (len(expected), 5), (0, 0)])
        page = view.variants(query, skip=skip, limit=limit, observed=observed)
        assert page.total == len(expected), query
        assert [found.key for found in page.items] == expected[skip : skip + limit], query
        for found in page.items:
            direct = view.frequency(found.key)
            assert found.populations == direct.populations
        if observed:
            assert view.exists(query) == bool(expected)
        hits += bool(expected)
    assert hits > 60


def test_pages_cover_everything_once_and_in_order(loaded):
    for dataset in ("open", "floored"):
        view = loaded.bank.view(DatasetId(dataset))
        query = VariantQuery("22", overlaps=Region("22", 19_000_000, 21_000_000))
        whole = [found.key for found in view.variants(query, limit=10_000).items]
        assert whole == sorted(whole)
        for size in (1, 7, 50):
            paged = [
                found.key for skip in range(0, len(whole), size) for found in view.variants(query, skip=skip, limit=size).items
            ]
            assert paged == whole


@pytest.mark.parametrize("limit", [1, 5, 33])
def test_region_pages_of_a_node_continue_after_the_last_variant(loaded, limit):
    region = Region("22", 19_000_000, 21_000_000)
    after, seen, more, rounds = None, {}, True, 0
    while more:
        page = loaded.bank.region(region, Assembly.GRCH37, limit=limit, after=after)
        more, rounds = page.more, rounds + 1
        names = [variant.variant for dataset in page.datasets for variant in dataset.variants]
        assert len(set(names)) <= limit
        for dataset in page.datasets:
            seen.setdefault(dataset.id, []).extend(variant.variant for variant in dataset.variants)
        keys = [key for key, _ in listed(loaded.cohort) if str(key) in set(names)]
        assert keys
        after = max(keys)
        assert rounds < 500
    expected = [str(key) for key, _ in listed(loaded.cohort) if key.contig == "22"]
    assert seen["FI:open"] == expected
    assert seen["FI:floored"] == [str(key) for key, _ in listed(loaded.cohort, floored=True) if key.contig == "22"]
    assert seen["FI:closed"] == []


def test_region_statuses(loaded):
    page = loaded.bank.region(Region("22", 19_000_000, 21_000_000), Assembly.GRCH38, limit=5)
    assert {dataset.id: dataset.status for dataset in page.datasets} == {
        "FI:closed": "refused",
        "FI:floored": "other_assembly",
        "FI:joint": "other_assembly",
        "FI:open": "other_assembly",
    }
    assert not page.more


def test_groups_on_a_floored_dataset_list_only_what_the_group_may_be_told(complete):
    view = complete.bank.view(DatasetId("floored"))
    query = VariantQuery("22", overlaps=Region("22", 19_000_000, 21_000_000))
    everything = view.variants(query, limit=1_000)
    of_group = view.variants(query, limit=1_000, groups=Groups(populations=frozenset({"AAA"}), sexes=frozenset({"male"})))
    men = ("AAA", "male")
    told = [found.key for found in everything.items if any((r.population, r.sex) == men for r in found.populations)]
    assert [found.key for found in of_group.items] == told
    assert 0 < of_group.total < everything.total


def test_a_dataset_that_is_not_there(loaded):
    with pytest.raises(NotFound, match="no dataset nothing"):
        loaded.bank.view(DatasetId("nothing"))
