"""Fixed-point sums and shares, against Python's whole numbers of any size."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohelix.core.errors import ShapeMismatch
from cohelix.stats.secret_sharing import Layout, Ring, Words, fraction_bits, last_share, summed

STATISTICS = (("count", (), 1e6, True), ("narrow", (2,), 1e4, False), ("wide", (3,), 1e18, False))
WORDS = st.integers(0, 2**64 - 1)


def _parts(rng: np.random.Generator, lead: int) -> dict[str, np.ndarray]:
    scale = 10.0 ** rng.integers(-12, 18, (lead, 3)).astype(np.float64)
    return {
        "count": rng.integers(0, 200_000, lead),
        "narrow": rng.normal(size=(lead, 2)) * 1000,
        "wide": np.clip(rng.normal(size=(lead, 3)), -5, 5) * scale / 5,
    }


def _naive(number: float, fraction: int) -> int:
    """round(x · 2^f), halves to even, in whole numbers."""
    return round(Fraction(float(number)) * 2**fraction)


def _random(rng: np.random.Generator, ring: Ring) -> Words:
    return rng.integers(0, 2**64, ring.words, np.uint64)


def test_fraction_bits_leave_room_for_the_sum() -> None:
    for bound, contributors in itertools.product((1.0, 2.0**20, 3e6), (3, 4, 20)):
        fraction, wide = fraction_bits(bound, contributors)
        assert not wide and fraction == 62 - math.ceil(math.log2(contributors * bound))
    fraction, wide = fraction_bits(1e12, 4)
    assert wide and fraction == 126 - math.ceil(math.log2(4e12))
    assert fraction_bits(1e9, 20, integer=True) == (0, False)
    assert fraction_bits(0.0, 3)[0] > 0


@pytest.mark.parametrize("bound", [math.inf, math.nan, -1.0, 1e40])
def test_a_bound_that_no_sum_can_keep_is_refused(bound: float) -> None:
    with pytest.raises(ShapeMismatch):
        fraction_bits(bound, 3)
    with pytest.raises(ShapeMismatch, match=r"bound|finite"):
        fraction_bits(bound, 3, integer=True)


def test_words_are_the_rounded_numbers_in_twos_complement() -> None:
    rng = np.random.default_rng(1)
    layout, parts = Layout.of(STATISTICS, 40, 4), _parts(rng, 40)
    words = [int(word) for word in layout.encode(parts)]
    narrow, wide = layout.ring
    assert words[:40] == [int(count) for count in parts["count"]]
    (_, narrow_fraction), (_, wide_fraction) = (("narrow", fraction_bits(1e4, 4)[0]), ("wide", fraction_bits(1e18, 4)[0]))
    expected = [_naive(x, narrow_fraction) % 2**64 for x in parts["narrow"].ravel()]
    assert words[40:narrow] == expected
    low, high = words[narrow : narrow + wide], words[narrow + wide :]
    both = [a + (b << 64) for a, b in zip(low, high, strict=True)]
    assert both == [_naive(x, wide_fraction) % 2**128 for x in parts["wide"].ravel()]


@given(st.lists(st.tuples(WORDS, WORDS, WORDS, WORDS, WORDS, WORDS), min_size=1, max_size=8))
def test_adding_and_taking_away_carry_as_whole_numbers_do(rows: list[tuple[int, ...]]) -> None:
    ring = Ring(len(rows), len(rows))
    first, second = (np.array([row[part] for part in order for row in rows], np.uint64) for order in ((0, 1, 2), (3, 4, 5)))
    added, taken = first.copy(), first.copy()
    ring.add(added, second)
    ring.subtract(taken, second)
    for at, row in enumerate(rows):
        a, b = row[1] + (row[2] << 64), row[4] + (row[5] << 64)
        for found, sign in ((added, 1), (taken, -1)):
            assert int(found[at]) == (row[0] + sign * row[3]) % 2**64
            whole = int(found[len(rows) + at]) + (int(found[2 * len(rows) + at]) << 64)
            assert whole == (a + sign * b) % 2**128


@given(st.integers(0, 2**32 - 1), st.integers(3, 20), st.randoms(use_true_random=False))
def test_the_sum_is_bit_exact_for_any_order_partition_and_shares(seed, contributors, shuffled) -> None:  # type: ignore[no-untyped-def]
    """The opened sum is that of whole numbers; nothing depends on who adds what first, nor on the random shares."""
    rng = np.random.default_rng(seed)
    layout = Layout.of(STATISTICS, 5, contributors)
    parts = [_parts(rng, 5) for _ in range(contributors)]
    encoded = [layout.encode(part) for part in parts]
    vectors = []
    for words in encoded:
        streams = [_random(rng, layout.ring), _random(rng, layout.ring)]
        vectors += [*streams, last_share(layout.ring, words, streams)]
    shuffled.shuffle(vectors)
    cut = shuffled.randrange(len(vectors))
    halves = [summed(layout.ring, vectors[:cut]), summed(layout.ring, vectors[cut:])]
    total = summed(layout.ring, halves)
    np.testing.assert_array_equal(total, summed(layout.ring, encoded))
    opened = layout.decode(total)
    for name, shape, bound, integer in STATISTICS:
        fraction = fraction_bits(bound, contributors, integer=integer)[0]
        rows = np.array([np.ravel(part[name]) for part in parts])
        exact = [Fraction(sum(_naive(x, fraction) for x in column), 2**fraction) for column in rows.T]
        true = [sum(map(Fraction, map(float, column)), Fraction(0)) for column in rows.T]
        assert opened[name].shape == (5, *shape)
        for found, whole, real in zip(opened[name].ravel(), exact, true, strict=True):
            assert abs(Fraction(float(found)) - whole) <= abs(whole) * Fraction(1, 2**52)  # of float64 alone
            assert abs(whole - real) <= Fraction(layout.error(name, contributors))


@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_people_may_be_split_over_nodes_in_any_way(seed: int, cut: int) -> None:
    """Products of genotypes and fixed-point weights: the very same bits, wherever each person is."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(-(2**20), 2**20, 40) / 2.0**30  # exact in 36 bits, as a part's sum is too
    genotypes = rng.integers(0, 3, (6, 40)).astype(np.float64)
    layout = Layout.of((("gr", (), 80.0, False),), 6, 3)
    order = rng.permutation(40)
    groups = [order[:cut], order[cut:], order[:0]]
    parts = [layout.encode({"gr": genotypes[:, group] @ weights[group]}) for group in groups]
    whole = layout.encode({"gr": genotypes @ weights})
    np.testing.assert_array_equal(summed(layout.ring, parts), whole)


def test_a_part_that_is_not_as_declared_is_refused() -> None:
    layout = Layout.of(STATISTICS, 2, 3)
    good = _parts(np.random.default_rng(3), 2)
    layout.encode(good)
    worse = {"narrow": np.full((2, 2), 1.1e4)}, {"narrow": np.full((2, 2), np.nan)}, {"wide": np.zeros((2, 2))}
    for part in (*worse, {"count": np.array([0, 2_000_000])}):
        with pytest.raises(ShapeMismatch):
            layout.encode({**good, **part})
    with pytest.raises(ShapeMismatch, match="bytes"):
        layout.ring.words_of(bytes(8))
    with pytest.raises(ShapeMismatch, match="words"):
        layout.decode(np.zeros(3, np.uint64))
    with pytest.raises(ShapeMismatch, match="words"):
        layout.ring.add(layout.ring.zeros(), np.zeros(3, np.uint64))
