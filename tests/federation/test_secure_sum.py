"""The secure sum: exact, hidden from hub and any two aggregators, and the same bytes whenever it is asked again."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cohelix.core.errors import Deviation
from cohelix.federation.roster import HUB, Mode
from cohelix.federation.secure_sum import (
    Place,
    Sealed,
    check_first_sum,
    contributor_keys,
    open_sum,
    opening_of,
    receiver,
    seal,
    unsealed,
)
from cohelix.federation.secure_sum import stream as stream_of
from cohelix.federation.sum_audit import check_partial, disclose
from cohelix.stats.secret_sharing import Layout, summed
from cohelix.testing.sum_parties import Parties

STATISTICS = (("n", (), 1e6, True), ("gr", (3,), 1e5, False), ("xx", (2,), 1e20, False))
PLACE = Place(4, 2, "ab" * 32)
# Chance that a sound run of the uniformity tests fails somewhere: each test is held to this level.
LEVEL = 1e-6


def _part(rng: np.random.Generator, lead: int) -> dict[str, np.ndarray]:
    return {
        "n": rng.integers(0, 1000, lead),
        "gr": rng.normal(size=(lead, 3)) * 50,
        "xx": rng.normal(size=(lead, 2)) * 1e15,
    }


def _sealed(parties: Parties, parts: dict[str, dict[str, np.ndarray]], layout: Layout) -> dict[str, Sealed]:
    return {name: parties.seal(name, part, PLACE, layout) for name, part in parts.items()}


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 9), st.sampled_from(["shares", "masks", "plain"]), st.data())
def test_the_opened_sum_is_that_of_whole_numbers(seed: int, count: int, mode: Mode, data: st.DataObject) -> None:
    """For any contributors, of whom some dropped out before the roster was frozen, in any order, in each mode."""
    rng = np.random.default_rng(seed)
    names = [f"N{number}" for number in range(count)]
    stayed = data.draw(st.lists(st.sampled_from(names), min_size=3, max_size=count, unique=True))
    parties = Parties(contributors=stayed, aggregators=("A1", stayed[0], "A2"), mode=mode)
    layout = Layout.of(STATISTICS, 3, len(stayed))
    parts = {name: _part(rng, 3) for name in stayed}
    sealed = _sealed(parties, parts, layout)
    order = data.draw(st.permutations(stayed))
    opening = opening_of(parties.open({name: sealed[name] for name in order}, PLACE).packed())
    found = open_sum(opening, PLACE, layout, parties.frozen)
    plain = layout.decode(summed(layout.ring, [layout.encode(part) for part in parts.values()]))
    for name, array in plain.items():
        np.testing.assert_array_equal(found[name], array)


def test_the_same_figures_give_the_same_bytes_and_others_other_keys() -> None:
    parties, layout, rng = Parties(), Layout.of(STATISTICS, 4, 4), np.random.default_rng(5)
    part = _part(rng, 4)
    first = parties.seal("FI", part, PLACE, layout)
    assert parties.seal("FI", part, PLACE, layout) == first
    changed = {**part, "n": part["n"] + 1}
    second = parties.seal("FI", changed, PLACE, layout)
    assert second.header.salt != first.header.salt
    keys = [contributor_keys(one.header, parties.roster, parties.sessions["FI"]) for one in (first, second)]
    elsewhere = parties.seal("FI", part, PLACE._replace(block=3), layout)
    keys.append(contributor_keys(elsewhere.header, parties.roster, parties.sessions["FI"]))
    every = [key for some in keys for key in some.values()]
    assert len(set(every)) == len(every)


def test_the_sealed_share_rotates_evenly() -> None:
    parties = Parties()
    for ask in range(3):
        got = [receiver(parties.roster, name, Place(ask, block, "")) for name in parties.contributors for block in range(3)]
        assert {got.count(name) for name in parties.aggregators} == {4}
    alone = {receiver(parties.roster, "CEU", Place(ask, 0, "")) for ask in range(3)}
    assert alone == set(parties.aggregators), "asks of one block rotate, too"


def _views(parties: Parties, sealed: Sealed, without: str) -> dict[str, np.ndarray]:
    """What of a contributor's block the hub and all aggregators but one can find out: shares as words."""
    header, ring = sealed.header, sealed.header.ring
    keys = contributor_keys(header, parties.roster, parties.sessions[header.node])
    to = receiver(parties.roster, header.node, header.place)
    seen = {f"sealed for {to}": np.frombuffer(sealed.payloads[to], np.uint8)}
    for name in parties.aggregators:
        if name != without:
            words = (
                ring.words_of(unsealed(header, sealed.payloads[to], keys[name], to))
                if name == to
                else stream_of(keys[name], ring)
            )
            seen[f"share of {name}"] = words.view(np.uint8)
    return seen


def _p_values(content: np.ndarray) -> list[float]:
    """Uniformity of bytes, of each bit, and of the words' place in each eighth."""
    counts = np.bincount(content, minlength=256)
    bits = np.unpackbits(content).reshape(-1, 8).sum(axis=0)
    by_place = content[: len(content) // 8 * 8].reshape(-1, 8)
    return [
        float(stats.chisquare(counts).pvalue),
        *(float(stats.binomtest(int(ones), len(content)).pvalue) for ones in bits),
        *(float(stats.chisquare(np.bincount(by_place[:, place] >> 4, minlength=16)).pvalue) for place in range(8)),
    ]


INPUTS = {
    "zeros": {"n": np.zeros(2000, np.int64), "gr": np.zeros((2000, 3)), "xx": np.zeros((2000, 2))},
    "large": {"n": np.full(2000, 999_999), "gr": np.full((2000, 3), -99_999.0), "xx": np.full((2000, 2), 9.9e19)},
}


@pytest.mark.parametrize("given_input", list(INPUTS))
@pytest.mark.parametrize("honest", ["FI", "GB", "IT"])
def test_hub_and_two_aggregators_see_uniform_words(given_input: str, honest: str) -> None:
    """Whatever the figures, all that three of the four see of a contributor passes for random, alone and added up."""
    parties, layout = Parties(), Layout.of(STATISTICS, 2000, 4)
    for block in range(3):
        sealed = parties.seal("CEU", INPUTS[given_input], PLACE._replace(block=block), layout)
        seen = _views(parties, sealed, honest)
        shares = [array.view(np.uint64) for name, array in seen.items() if name.startswith("share")]
        seen["their sum"] = summed(layout.ring, shares).view(np.uint8)
        for name, content in seen.items():
            assert min(_p_values(content)) > LEVEL, f"{name} of block {block} is not uniform"


@pytest.mark.parametrize("given_input", list(INPUTS))
def test_with_the_third_aggregator_the_figures_are_there(given_input: str) -> None:
    """The tests above can fail: all three shares add up to the figures, which are not uniform at all."""
    parties, layout = Parties(), Layout.of(STATISTICS, 2000, 4)
    sealed = parties.seal("CEU", INPUTS[given_input], PLACE, layout)
    shares = [array for name, array in _views(parties, sealed, "nobody").items() if name.startswith("share")]
    total = summed(layout.ring, [array.view(np.uint64) for array in shares])
    np.testing.assert_array_equal(layout.decode(total)["gr"], INPUTS[given_input]["gr"])
    assert min(_p_values(total.view(np.uint8))) < LEVEL


def test_a_colluding_view_does_not_depend_on_the_figures() -> None:
    """Two samples of the view, of very different figures, are alike: of other runs, as the same run never seals twice."""
    layout, seen = Layout.of(STATISTICS, 2000, 4), {}
    for number, (name, part) in enumerate(INPUTS.items()):
        parties = Parties(run=f"run{number:08d}")
        views = _views(parties, parties.seal("CEU", part, PLACE, layout), "IT")
        seen[name] = np.concatenate(list(views.values()))
    tables = np.array([np.bincount(content, minlength=256) for content in seen.values()])
    assert float(stats.chi2_contingency(tables).pvalue) > LEVEL


@pytest.mark.parametrize("mode", ["shares", "masks"])
def test_no_message_holds_a_figure(mode: Mode) -> None:
    """Neither as it is, nor in fixed point, in any message; in plain mode, where it must be, the same search finds it."""
    layout, rng = Layout.of(STATISTICS, 50, 4), np.random.default_rng(8)
    parts = {name: _part(rng, 50) for name in ("CEU", "FI", "GB", "IT")}
    needles = [
        row.tobytes()
        for part in parts.values()
        for array in (*part.values(), layout.encode(part))
        for row in np.ascontiguousarray(array).reshape(-1, 1)
        if row[0] not in (0,) and abs(float(row[0])) > 1e4
    ]
    needles += [str(float(part["gr"][0, 0])).encode() for part in parts.values()]

    def messages(of: Mode) -> bytes:
        parties = Parties(mode=of)
        sealed = _sealed(parties, parts, layout)
        sent = [one.header.model_dump_json().encode() for one in sealed.values()]
        sent += [payload for one in sealed.values() for payload in one.payloads.values()]
        return b"".join(
            [*sent, *(bytes([0]) + one.partial.model_dump_json().encode() for one in parties.open(sealed, PLACE).added)]
        )

    assert len(needles) > 400
    hidden, plain = messages(mode), messages("plain")
    assert not any(needle in hidden for needle in needles)
    assert sum(needle in plain for needle in needles) > 200


def test_masks_cancel_only_over_all_contributors() -> None:
    parties, layout, rng = Parties(mode="masks"), Layout.of(STATISTICS, 2000, 4), np.random.default_rng(9)
    sealed = _sealed(parties, {name: _part(rng, 2000) for name in parties.contributors}, layout)
    for left_out in range(1, 4):
        for some in itertools.combinations(sealed.values(), 4 - left_out):
            words = [layout.ring.words_of(one.payloads[HUB]) for one in some]
            assert min(_p_values(summed(layout.ring, words).view(np.uint8))) > LEVEL


def test_a_node_counts_the_others_itself() -> None:
    parties = Parties()
    layout, first = Layout.of((("n", (), 1e6, True),), None, 4), Place(0, 0, "cd" * 32)
    people = {"CEU": 90, "FI": 3, "GB": 4, "IT": 2}
    sealed = {name: parties.seal(name, {"n": np.int64(n)}, first, layout) for name, n in people.items()}
    opening = opening_of(parties.open(sealed, first).packed())

    def check(name: str, floor: int) -> int:
        return check_first_sum(opening, layout, parties.frozen, own=sealed[name].header, people=people[name], floor=floor)

    assert check("FI", 10) == 99
    assert check("CEU", 9) == 99
    with pytest.raises(Deviation, match="too-few-others"):
        check("CEU", 10)


def test_an_aggregator_can_be_audited_without_the_figures() -> None:
    parties, layout, rng = Parties(), Layout.of(STATISTICS, 4, 4), np.random.default_rng(11)
    sealed = _sealed(parties, {name: _part(rng, 4) for name in parties.contributors}, layout)
    opening = parties.open(sealed, PLACE)
    for of in parties.aggregators:
        keys = {name: disclose(one.header, parties.frozen, of, session=parties.sessions[name]) for name, one in sealed.items()}
        payloads = {name: one.payloads[of] for name, one in sealed.items() if of in one.payloads}
        check_partial(opening, of, keys, payloads, parties.frozen)


def test_what_was_sealed_before_is_given_again() -> None:
    parties, layout, rng = Parties(), Layout.of(STATISTICS, 4, 4), np.random.default_rng(12)
    part = _part(rng, 4)
    first = parties.seal("GB", part, PLACE, layout)
    again = seal(
        part,
        PLACE,
        layout,
        parties.frozen,
        node="GB",
        session=parties.sessions["GB"],
        identity=parties.identities["GB"],
        earlier=first.header,
    )
    assert again == first
