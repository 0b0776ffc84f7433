"""A node is believed only what can be true, and pages of many nodes merge into the pages of one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohelix.core.errors import BadInput
from cohelix.core.genome import parse_region
from cohelix.core.variant import VariantKey
from cohelix.federation.answers import checked_datasets, checked_frequency, checked_region, merge_region, pool, variant_of_name
from cohelix.wire.federation import Member, NodeDatasets, Road
from cohelix.wire.frequency import (
    DatasetFrequency,
    DatasetRegion,
    NodeFrequency,
    NodeRegion,
    PooledCounts,
    PopulationCounts,
    VariantFrequency,
)

FI = Member(id="FI", state="active")
REGION = parse_region("22:1-1000")


def row(count: int | None = 3, number: int | None = 10, **changes: object) -> PopulationCounts:
    given_row = {
        "population": "all",
        "sex": "all",
        "allele_count": count,
        "allele_number": number,
        "allele_frequency": count / number if count is not None and number else None,
        "homozygotes": 1 if count and count > 1 else 0,
        "heterozygotes": 1 if count and count > 2 else 0,
        "hemizygotes": 0,
    }
    return PopulationCounts(**{**given_row, **changes})


def dataset(name: str = "FI:a", *rows: PopulationCounts, **changes: object) -> DatasetFrequency:
    return DatasetFrequency(**{"id": name, "status": "answered", "populations": rows or (row(),), **changes})


def pooled(count: int = 3, number: int = 10, homozygotes: int | None = 1) -> PooledCounts:
    return PooledCounts(
        allele_count=count, allele_number=number, allele_frequency=count / number if number else None, homozygotes=homozygotes
    )


def test_what_can_be_true_is_believed() -> None:
    hidden = row(None, None, population="P", sex="male", homozygotes=None, heterozygotes=None, hemizygotes=None)
    answers = [
        NodeFrequency(node="FI", datasets=(dataset(),), pooled=pooled()),
        NodeFrequency(node="FI", datasets=(dataset(), dataset("FI:b")), pooled=pooled(4, 15)),
        NodeFrequency(node="FI", datasets=(dataset("FI:a", row(), hidden),), pooled=pooled(homozygotes=None)),
        NodeFrequency(node="FI", datasets=(DatasetFrequency(id="FI:a", status="below_floor", reason="below 5"),)),
        NodeFrequency(node="FI", datasets=()),
    ]
    for answer in answers:
        assert checked_frequency(FI, answer) == answer


LIES: dict[str, NodeFrequency] = {
    "another node": NodeFrequency(node="GB", datasets=()),
    "another's dataset": NodeFrequency(node="FI", datasets=(dataset("GB:a"),), pooled=pooled()),
    "a prefix only": NodeFrequency(node="FI", datasets=(dataset("FI:"),), pooled=pooled()),
    "a longer name": NodeFrequency(node="FI", datasets=(dataset("FIN:a"),), pooled=pooled()),
    "twice": NodeFrequency(node="FI", datasets=(dataset(), dataset()), pooled=pooled()),
    "no total row": NodeFrequency(node="FI", datasets=(dataset("FI:a", row(population="P")),), pooled=pooled()),
    "a total withheld": NodeFrequency(
        node="FI", datasets=(dataset("FI:a", row(None, None, homozygotes=None)),), pooled=pooled()
    ),
    "AC above AN": NodeFrequency(node="FI", datasets=(dataset("FI:a", row(11, 10)),), pooled=pooled()),
    "negative": NodeFrequency(node="FI", datasets=(dataset("FI:a", row(hemizygotes=-1)),), pooled=pooled()),
    "too many carriers": NodeFrequency(node="FI", datasets=(dataset("FI:a", row(heterozygotes=2)),), pooled=pooled()),
    "huge": NodeFrequency(node="FI", datasets=(dataset("FI:a", row(1, 2**60)),), pooled=pooled()),
    "a wrong ratio": NodeFrequency(node="FI", datasets=(dataset("FI:a", row(allele_frequency=0.9)),), pooled=pooled()),
    "no ratio": NodeFrequency(node="FI", datasets=(dataset("FI:a", row(allele_frequency=None)),), pooled=pooled()),
    "a group above the whole": NodeFrequency(
        node="FI", datasets=(dataset("FI:a", row(), row(4, 10, population="P")),), pooled=pooled()
    ),
    "a row twice": NodeFrequency(
        node="FI", datasets=(dataset("FI:a", row(), row(1, 2, population="P"), row(1, 2, population="P")),), pooled=pooled()
    ),
    "half a withheld row": NodeFrequency(
        node="FI", datasets=(dataset("FI:a", row(), row(None, None, population="P", homozygotes=1)),), pooled=pooled()
    ),
    "counts without an answer": NodeFrequency(node="FI", datasets=(dataset(status="below_floor"),)),
    "a terminal's command": NodeFrequency(
        node="FI", datasets=(dataset("FI:a", status="refused", populations=(), reason="\x1b[2J"),)
    ),
    "a novel": NodeFrequency(node="FI", datasets=(dataset("FI:a", status="refused", populations=(), reason="x" * 501),)),
    "no sum": NodeFrequency(node="FI", datasets=(dataset(),)),
    "a sum of nothing": NodeFrequency(node="FI", datasets=(), pooled=pooled()),
    "a sum above its parts": NodeFrequency(node="FI", datasets=(dataset(),), pooled=pooled(4, 10)),
    "a sum of more people": NodeFrequency(node="FI", datasets=(dataset(),), pooled=pooled(3, 11)),
    "too many homozygotes": NodeFrequency(node="FI", datasets=(dataset(),), pooled=pooled(3, 10, 2)),
}


@pytest.mark.parametrize("what", LIES)
def test_what_cannot_be_true_is_not_believed(what: str) -> None:
    with pytest.raises(BadInput):
        checked_frequency(FI, LIES[what])


def test_the_pool_sums_the_nodes_own_sums() -> None:
    overlapping = Member(id="GB", state="active", may_overlap=True)
    one = NodeFrequency(node="FI", datasets=(), pooled=pooled(3, 10))
    two = NodeFrequency(node="GB", datasets=(), pooled=pooled(1, 30, None))
    found = pool([(FI, one), (overlapping, two), (Member(id="IT", state="active"), NodeFrequency(node="IT", datasets=()))])
    assert (found.allele_count, found.allele_number, found.allele_frequency) == (4, 40, 0.1)
    assert (found.homozygotes, found.nodes, found.may_overlap) == (None, ("FI", "GB"), True)
    assert pool([]).allele_count is None


def variants(*texts: str, name: str = "FI:a") -> DatasetRegion:
    listed = tuple(VariantFrequency(variant=text, populations=(row(),)) for text in texts)
    return DatasetRegion(id=name, status="answered", variants=listed)


def test_a_page_of_a_region_is_checked() -> None:
    good = NodeRegion(node="FI", datasets=(variants("22-5-A-C", "22-5-A-G", "22-9-A-<DEL>"), variants("22-7-A-C", name="FI:b")))
    assert checked_region(FI, good, REGION, limit=4, after=VariantKey("22", 3, "A", "T")) == good
    for page, limit, after in (
        (good, 3, None),
        (good, 4, VariantKey("22", 4, "A", "C")),
        (NodeRegion(node="FI", datasets=(variants("22-9-A-C", "22-5-A-C"),)), 9, None),
        (NodeRegion(node="FI", datasets=(variants("22-5-A-C", "22-5-A-C"),)), 9, None),
        (NodeRegion(node="FI", datasets=(variants("21-5-A-C"),)), 9, None),
        (NodeRegion(node="FI", datasets=(variants("22-1001-A-C"),)), 9, None),
        (NodeRegion(node="FI", datasets=(variants("nonsense"),)), 9, None),
        (NodeRegion(node="GB", datasets=()), 9, None),
    ):
        with pytest.raises(BadInput):
            checked_region(FI, page, REGION, limit=limit, after=after)


@given(
    st.dictionaries(st.sampled_from(["FI", "GB", "IT"]), st.sets(st.integers(1, 40), max_size=25), min_size=1),
    st.integers(1, 9),
)
def test_pages_of_many_nodes_give_each_variant_once_and_in_order(held: dict[str, set[int]], limit: int) -> None:
    """The naive twin: all variants of all nodes, sorted; and every node that has a variant is named with it."""

    def page(member: str, after: int) -> NodeRegion:
        left = sorted(position for position in held[member] if position > after)
        listed = variants(*(f"22-{position}-A-C" for position in left[:limit]), name=f"{member}:a")
        return NodeRegion(node=member, datasets=(listed,), more=len(left) > limit)

    found: list[tuple[int, list[str]]] = []
    after = 0
    for _ in range(200):
        pages = [
            (Member(id=name, state="active"), Road(node=name, status="answered", elapsed_ms=1), page(name, after))
            for name in sorted(held)
        ]
        answer = merge_region("22:1-1000", "GRCh37", pages, limit=limit)
        assert len(answer.variants) <= limit
        found += [(int(one.variant.split("-")[1]), [entry.node for entry in one.datasets]) for one in answer.variants]
        if answer.next is None:
            break
        after = variant_of_name(answer.next).position + 1
    everything = sorted(set().union(*held.values()))
    assert found == [(position, [name for name in sorted(held) if position in held[name]]) for position in everything]


def test_a_variant_in_two_datasets_of_a_node_is_not_summed() -> None:
    page = NodeRegion(node="FI", datasets=(variants("22-5-A-C"), variants("22-5-A-C", "22-6-A-C", name="FI:b")))
    answer = merge_region("22:1-1000", "GRCh37", [(FI, Road(node="FI", status="answered", elapsed_ms=1), page)], limit=10)
    assert [one.pooled is None for one in answer.variants] == [True, False]


def test_datasets_are_the_nodes_own() -> None:
    with pytest.raises(BadInput):
        checked_datasets(FI, NodeDatasets(node="GB", datasets=()))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("22-100-A-G", VariantKey("22", 99, "A", "G")),
        ("chr22-100-AT-GT", VariantKey("22", 99, "A", "G")),
        ("22-100-A-<DEL>", VariantKey("22", 99, "A", "<DEL>")),
        ("22-100-A-]13:123456]T", VariantKey("22", 99, "A", "]13:123456]T")),
        ("HLA-A*01:01:01:01-100-A-G", None),
        ("22-100-A", None),
        ("22-x-A-G", None),
        ("", None),
    ],
)
def test_names_of_variants(text: str, key: VariantKey | None) -> None:
    if key is None and not text.startswith("HLA"):
        with pytest.raises(BadInput):
            variant_of_name(text)
    elif key is None:
        assert variant_of_name(text).contig == "HLA-A*01:01:01:01"
    else:
        assert variant_of_name(text) == key
