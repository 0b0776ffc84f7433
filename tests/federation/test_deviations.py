"""Each way in which hub, aggregator or contributor can depart from the secure sum, done for real, and what finds it.

One function for each deviation of `docs/concepts/secure-sum.md`: it does the deed and calls what an honest member calls.
Deeds against a finished run are in `test_transcript.py`.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cohelix.analysis.steps import Ask, Statistic
from cohelix.core.errors import Deviation, ShapeMismatch
from cohelix.federation.asking import check_called_for, pack_ask
from cohelix.federation.derived_asks import DerivedAsks
from cohelix.federation.roster import (
    HUB,
    Acceptance,
    FrozenRoster,
    Mode,
    Roster,
    accept,
    check_acceptance,
    check_frozen,
    check_roster,
    same_roster,
    session_public,
    sign_as,
    sign_roster,
)
from cohelix.federation.secure_sum import (
    Added,
    Header,
    Opening,
    Place,
    Sealed,
    aggregate,
    check_first_sum,
    open_sum,
    receiver,
    seal,
)
from cohelix.federation.signing import sign_document
from cohelix.federation.sum_audit import check_partial, disclose
from cohelix.federation.sum_documents import words_digest
from cohelix.stats.secret_sharing import Layout
from cohelix.testing.sum_parties import PLAN_HASH, RUN, Parties, identity_of
from cohelix.wire.plan import parse_plan

STATISTICS = (("n", (), 1e6, True), ("gr", (2,), 1e5, False))
PLACE = Place(0, 0, "ab" * 32)
LAYOUT = Layout.of(STATISTICS, None, 4)


@dataclass
class World:
    """An honest run up to its first opened block."""

    parties: Parties
    parts: dict[str, dict[str, np.ndarray]]
    sealed: dict[str, Sealed]
    opening: Opening

    @property
    def headers(self) -> list[Header]:
        return [one.header for one in self.sealed.values()]

    def check(self, roster: Roster, who: str = "CEU", modes: tuple[Mode, ...] = ("shares",)) -> str:
        """An honest contributor looks at a roster."""
        own, hub = self.parties.acceptances[who], self.parties.identities[HUB].public
        return check_roster(roster, own=own, peers=self.parties.peers, coordinator=hub, modes=modes)

    def check_frozen(self, frozen: FrozenRoster, earlier: str | None = None) -> str:
        own, hub = self.parties.acceptances["CEU"], self.parties.identities[HUB].public
        return check_frozen(frozen, own=own, peers=self.parties.peers, coordinator=hub, earlier=earlier)

    def stranger(self, name: str, session: bytes | None = None, **roles: bool) -> Acceptance:
        """A member that the hub has made up."""
        given = {"contributor": True, "aggregator": False, **roles}
        secret = session or hashlib.sha256(name.encode()).digest()
        own = identity_of(name)
        return accept(RUN, PLAN_HASH, node=name, frozen="", session=secret, identity=own, **given)

    def with_acceptance(self, name: str, acceptance: Acceptance) -> Roster:
        """The roster with another acceptance in a member's place."""
        return self.parties.make({**self.parties.acceptances, name: acceptance}.values())

    def aggregate(self, headers: list[Header], to: str = "FI", **changes: Any) -> Added:
        """An honest aggregator adds up what the hub gives it."""
        payloads = {name: one.payloads[to] for name, one in self.sealed.items() if to in one.payloads}
        given = {"payloads": payloads, "frozen": self.parties.frozen, **changes}
        own = {"node": to, "session": self.parties.sessions[to], "identity": self.parties.identities[to]}
        return aggregate(PLACE, headers, **given, **own)

    def replaced(self, name: str, header: Header) -> list[Header]:
        return [header if one.node == name else one for one in self.headers]

    def resigned(self, name: str, **changes: Any) -> Header:
        """A contributor's header with other words in it, signed by itself all the same."""
        header = self.sealed[name].header.model_copy(update=changes)
        signature = sign_document(self.parties.identities[name], "cohelix-share-1", header.content())
        return header.model_copy(update={"signature": signature})

    def spoilt(self, name: str, words: np.ndarray, **changes: Any) -> Opening:
        """The opening with other words of an aggregator, signed by itself all the same."""
        old = next(one.partial for one in self.opening.added if one.partial.node == name)
        partial = old.model_copy(update={"words_digest": words_digest(words), **changes})
        signature = sign_document(self.parties.identities[name], "cohelix-partial-1", partial.content())
        return self.with_partial(name, Added(partial.model_copy(update={"signature": signature}), words))

    def with_partial(self, name: str, added: Added) -> Opening:
        return self.opening._replace(added=tuple(added if one.partial.node == name else one for one in self.opening.added))

    def added(self, name: str) -> Added:
        return next(one for one in self.opening.added if one.partial.node == name)

    def open(self, opening: Opening) -> object:
        """The honest hub, a node or any reader opens a block."""
        return open_sum(opening, PLACE, LAYOUT, self.parties.frozen)

    def audit(self, of: str, opening: Opening, **keys: str) -> None:
        """Contributors disclose one aggregator's shares, and anybody adds them up again."""
        told = {
            name: disclose(one.header, self.parties.frozen, of, session=self.parties.sessions[name])
            for name, one in self.sealed.items()
        }
        payloads = {name: one.payloads[of] for name, one in self.sealed.items() if of in one.payloads}
        check_partial(opening, of, {**told, **keys}, payloads, self.parties.frozen)


@pytest.fixture(scope="module")
def world() -> World:
    parties, rng = Parties(), np.random.default_rng(2)
    parts = {name: {"n": np.int64(100 + i), "gr": rng.normal(size=2)} for i, name in enumerate(parties.contributors)}
    sealed = {name: parties.seal(name, part, PLACE, LAYOUT) for name, part in parts.items()}  # type: ignore[arg-type]
    return World(parties, parts, sealed, parties.open(sealed, PLACE))  # type: ignore[arg-type]


Deed = Callable[[World], object]
DEEDS: dict[str, tuple[str, str, Deed]] = {}
"""Test's name → the deviation's name, who is named for it ("" where two are possible), the deed."""


def deed(name: str, member: str = HUB) -> Callable[[Deed], Deed]:
    def keep(function: Deed) -> Deed:
        DEEDS[function.__name__.strip("_")] = (name, member, function)
        return function

    return keep


# The roster: a dishonest hub, before anything is computed.


@deed("foreign-run")
def _roster_of_another_run(world: World) -> object:
    return world.check(Parties(run="run0000002").roster)


@deed("foreign-run", "GB")
def _acceptance_of_another_run(world: World) -> object:
    other = Parties(run="run0000002").acceptances["GB"]
    return check_acceptance(other, run=RUN, plan_hash=PLAN_HASH, node="GB", key=other.node_key)


@deed("foreign-run")
def _replayed_acceptance_in_the_roster(world: World) -> object:
    return world.check(world.with_acceptance("GB", Parties(run="run0000002").acceptances["GB"]))


@deed("foreign-plan")
def _roster_of_another_plan(world: World) -> object:
    return world.check(world.parties.roster.model_copy(update={"plan_hash": "f" * 64}))


@deed("foreign-coordinator")
def _another_hub(world: World) -> object:
    return world.check(world.parties.roster.model_copy(update={"coordinator": identity_of("other hub").public}))


@deed("weaker-mode")
def _sums_in_the_clear(world: World) -> object:
    return world.check(Parties(mode="plain").roster)


@deed("weaker-mode")
def _masks_where_shares_were_agreed(world: World) -> object:
    return world.check(Parties(mode="masks").roster)


@deed("missing-acceptance")
def _contributor_left_out_of_its_roster(world: World) -> object:
    return world.check(world.parties.make(one for name, one in world.parties.acceptances.items() if name != "CEU"))


@deed("changed-acceptance")
def _role_turned(world: World) -> object:
    return world.check(world.with_acceptance("CEU", world.parties.acceptances["CEU"].model_copy(update={"aggregator": True})))


@deed("changed-acceptance")
def _session_key_of_a_man_in_the_middle(world: World) -> object:
    key = session_public(bytes(range(32)))
    return world.check(world.with_acceptance("CEU", world.parties.acceptances["CEU"].model_copy(update={"session_key": key})))


@deed("forged-acceptance")
def _session_key_of_another_member_swapped(world: World) -> object:
    key = session_public(bytes(range(32)))
    return world.check(world.with_acceptance("GB", world.parties.acceptances["GB"].model_copy(update={"session_key": key})))


@deed("substituted-key")
def _member_played_by_the_hub(world: World) -> object:
    fake = accept(
        RUN,
        PLAN_HASH,
        node="GB",
        frozen="",
        session=bytes(range(32)),
        contributor=True,
        aggregator=True,
        identity=identity_of("x"),
    )
    return world.check(world.with_acceptance("GB", fake))


@deed("substituted-key", "GB")
def _acceptance_by_another_key(world: World) -> object:
    return check_acceptance(
        world.parties.acceptances["GB"], run=RUN, plan_hash=PLAN_HASH, node="GB", key=identity_of("x").public
    )


@deed("doubled-node")
def _same_member_twice(world: World) -> object:
    return world.check(world.parties.make([*world.parties.acceptances.values(), world.parties.acceptances["GB"]]))


@deed("doubled-node")
def _member_called_like_the_hub(world: World) -> object:
    return world.check(world.parties.make([*world.parties.acceptances.values(), world.stranger(HUB)]))


@deed("doubled-node-key")
def _one_member_under_two_names(world: World) -> object:
    twin = accept(
        RUN,
        PLAN_HASH,
        node="GB2",
        frozen="",
        session=bytes(range(32)),
        contributor=True,
        aggregator=False,
        identity=identity_of("GB"),
    )
    return world.check(world.parties.make([*world.parties.acceptances.values(), twin]))


@deed("doubled-session-key")
def _one_session_under_two_names(world: World) -> object:
    twin = world.stranger("GB2", session=world.parties.sessions["GB"])
    return world.check(world.parties.make([*world.parties.acceptances.values(), twin]))


@deed("weak-session-key", "GB2")
def _session_key_written_in_another_way(world: World) -> object:
    raw = bytearray(base64.urlsafe_b64decode(world.parties.acceptances["GB"].session_key + "="))
    raw[31] |= 0x80  # X25519 ignores this bit
    plain = world.stranger("GB2").model_copy(update={"session_key": base64.urlsafe_b64encode(raw).decode().rstrip("=")})
    signature = sign_document(identity_of("GB2"), "cohelix-acceptance-1", plain.content())
    twin = plain.model_copy(update={"signature": signature})
    return world.check(world.parties.make([*world.parties.acceptances.values(), twin]))


@deed("weak-session-key", "GB")
def _session_key_that_gives_everybody_the_same_secret(world: World) -> object:
    plain = world.parties.acceptances["GB"].model_copy(update={"session_key": "A" * 43})
    signature = sign_document(world.parties.identities["GB"], "cohelix-acceptance-1", plain.content())
    weak = FrozenRoster(roster=world.with_acceptance("GB", plain.model_copy(update={"signature": signature})), signatures=())
    own = {"session": world.parties.sessions["CEU"], "identity": world.parties.identities["CEU"]}
    return seal(world.parts["CEU"], PLACE, LAYOUT, weak, node="CEU", **own)  # type: ignore[arg-type]


@deed("too-few-contributors")
def _two_contributors(world: World) -> object:
    fewer = Parties(contributors=("CEU", "FI"))
    return world.check(fewer.roster)


@deed("too-few-contributors")
def _fake_dropout_down_to_two(world: World) -> object:
    """The hub says that FI and GB have gone; they stay as aggregators only."""
    silent = {
        name: world.stranger(name, session=world.parties.sessions[name], contributor=False, aggregator=True)
        for name in ("FI", "GB")
    }
    return world.check(world.parties.make({**world.parties.acceptances, **silent}.values()))


@deed("too-few-known-contributors")
def _invented_contributors(world: World) -> object:
    """All others that contribute are the hub's own inventions (a Sybil attack): their sum would be known to it."""
    invented = [world.stranger(f"S{number}") for number in range(6)]
    silent = [
        world.stranger(name, session=world.parties.sessions[name], contributor=False, aggregator=True)
        for name in ("FI", "GB", "IT")
    ]
    return world.check(world.parties.make([world.parties.acceptances["CEU"], *invented, *silent]))


@deed("wrong-aggregators")
def _two_aggregators(world: World) -> object:
    return world.check(world.parties.roster.model_copy(update={"aggregators": ("FI", "GB")}))


@deed("wrong-aggregators")
def _one_aggregator_twice(world: World) -> object:
    return world.check(world.parties.roster.model_copy(update={"aggregators": ("FI", "GB", "GB")}))


@deed("wrong-aggregators")
def _member_asked_to_sign_without_a_part(world: World) -> object:
    own, hub = world.parties.acceptances["CEU"], world.parties.identities[HUB].public
    identity = world.parties.identities["CEU"]
    return sign_roster(world.parties.roster, own=own, peers=world.parties.peers, coordinator=hub, identity=identity)


@deed("unknown-aggregator")
def _aggregator_of_the_hubs_choice(world: World) -> object:
    mine = world.stranger("S0", aggregator=True, contributor=False)
    roster = world.parties.make([*world.parties.acceptances.values(), mine])
    return world.check(roster.model_copy(update={"aggregators": ("FI", "GB", "S0")}))


@deed("unwilling-aggregator")
def _aggregator_that_did_not_accept(world: World) -> object:
    silent = world.stranger("IT", session=world.parties.sessions["IT"], aggregator=False)
    return world.check(world.with_acceptance("IT", silent))


@deed("unsigned-roster")
def _roster_without_a_signature(world: World) -> object:
    frozen = world.parties.frozen
    return world.check_frozen(frozen.model_copy(update={"signatures": frozen.signatures[1:]}))


@deed("split-roster")
def _aggregators_signed_different_rosters(world: World) -> object:
    """The split view: another roster for one aggregator."""
    other = world.parties.make([*world.parties.acceptances.values(), world.stranger("S0")])
    signed = sign_as("GB", other.digest(), world.parties.identities["GB"])
    some = [signed if one.node == "GB" else one for one in world.parties.frozen.signatures]
    return world.check_frozen(world.parties.frozen.model_copy(update={"signatures": tuple(some)}))


@deed("forged-roster-signature")
def _signature_made_by_the_hub(world: World) -> object:
    forged = sign_as("GB", world.parties.roster.digest(), world.parties.identities[HUB])
    some = [forged if one.node == "GB" else one for one in world.parties.frozen.signatures]
    return world.check_frozen(world.parties.frozen.model_copy(update={"signatures": tuple(some)}))


@deed("second-roster")
def _aggregator_asked_to_sign_again(world: World) -> object:
    fewer = world.parties.make(one for name, one in world.parties.acceptances.items() if name != "CEU")
    own, hub = world.parties.acceptances["FI"], world.parties.identities[HUB].public
    return sign_roster(
        fewer,
        own=own,
        peers=world.parties.peers,
        coordinator=hub,
        identity=world.parties.identities["FI"],
        earlier=world.parties.roster.digest(),
    )


@deed("second-roster")
def _contributor_moved_to_a_smaller_roster(world: World) -> object:
    """Re-opening for a subset: the difference of two sums would be the figures of who left."""
    return world.check_frozen(world.parties.frozen, earlier="e" * 64)


# Sealing: a dishonest hub asks a contributor, or a contributor is dishonest.


@deed("foreign-roster")
def _block_asked_before_a_roster_was_checked(world: World) -> object:
    return same_roster(None, world.parties.roster.digest())


@deed("foreign-roster")
def _block_asked_for_another_roster(world: World) -> object:
    other = world.parties.make([*world.parties.acceptances.values(), world.stranger("S0")])
    return same_roster(world.parties.frozen, other.digest())


@deed("no-contributor")
def _figures_of_a_mere_aggregator(world: World) -> object:
    parties = Parties(contributors=("CEU", "FI", "GB"))
    return parties.seal("IT", world.parts["IT"], PLACE, LAYOUT)  # type: ignore[arg-type]


@deed("second-ask")
def _block_asked_again_with_another_question(world: World) -> object:
    return _again(world, world.parts["CEU"], PLACE._replace(ask_digest="cd" * 32))


@deed("second-data", "CEU")
def _block_sealed_again_with_other_figures(world: World) -> object:
    return _again(world, {**world.parts["CEU"], "n": np.int64(7)}, PLACE)  # type: ignore[dict-item]


def _again(world: World, part: dict[str, np.ndarray], place: Place) -> Sealed:
    parties = world.parties
    own = {"session": parties.sessions["CEU"], "identity": parties.identities["CEU"], "node": "CEU"}
    return seal(part, place, LAYOUT, parties.frozen, earlier=world.sealed["CEU"].header, **own)  # type: ignore[arg-type]


# Adding: what the hub passes on to an aggregator.


@deed("missing-contributor")
def _contributor_left_out_of_a_block(world: World) -> object:
    return world.aggregate([one for one in world.headers if one.node != "GB"])


@deed("doubled-contributor")
def _contributor_counted_twice(world: World) -> object:
    return world.aggregate([*world.headers, world.sealed["GB"].header])


@deed("foreign-contributor")
def _contributor_from_outside(world: World) -> object:
    return world.aggregate([*world.headers, world.sealed["GB"].header.model_copy(update={"node": "S0"})])


@deed("forged-header")
def _header_changed_by_the_hub(world: World) -> object:
    return world.aggregate(world.replaced("GB", world.sealed["GB"].header.model_copy(update={"payload_digest": "0" * 64})))


@deed("forged-header")
def _header_of_one_member_under_anothers_name(world: World) -> object:
    return world.aggregate(world.replaced("GB", world.sealed["CEU"].header.model_copy(update={"node": "GB"})))


@deed("foreign-header")
def _header_of_another_block(world: World) -> object:
    other = world.parties.seal("GB", world.parts["GB"], PLACE._replace(block=1), LAYOUT)  # type: ignore[arg-type]
    return world.aggregate(world.replaced("GB", other.header))


@deed("foreign-header")
def _header_of_another_run(world: World) -> object:
    other = Parties(run="run0000002").seal("GB", world.parts["GB"], PLACE, LAYOUT)  # type: ignore[arg-type]
    return world.aggregate(world.replaced("GB", other.header))


@deed("split-ask", "")
def _contributors_asked_different_questions(world: World) -> object:
    """Model inconsistency: one contributor is asked what makes the others' part of the sum known."""
    other = world.parties.seal("GB", world.parts["GB"], PLACE._replace(ask_digest="cd" * 32), LAYOUT)  # type: ignore[arg-type]
    return world.aggregate(world.replaced("GB", other.header))


@deed("split-layout", "")
def _contributor_sends_a_longer_sum(world: World) -> object:
    longer = Layout.of((*STATISTICS, ("more", (), 1.0, False)), None, 4)
    other = world.parties.seal("GB", {**world.parts["GB"], "more": np.float64(0)}, PLACE, longer)  # type: ignore[dict-item]
    return world.aggregate(world.replaced("GB", other.header))


@deed("split-layout", "")
def _all_sums_of_another_shape(world: World) -> object:
    return open_sum(world.opening, PLACE, Layout.of(STATISTICS[:1], None, 4), world.parties.frozen)


@deed("missing-share")
def _sealed_share_withheld(world: World) -> object:
    return world.aggregate(world.headers, _whom(world, "CEU"), payloads={})


@deed("foreign-share")
def _sealed_share_for_another_aggregator(world: World) -> object:
    to = _whom(world, "CEU")
    other = next(name for name in world.parties.aggregators if name != to)
    return world.aggregate(world.headers, other, payloads={"CEU": world.sealed["CEU"].payloads[to]})


@deed("changed-share")
def _sealed_share_changed_on_the_way(world: World) -> object:
    to = _whom(world, "CEU")
    payload = bytearray(world.sealed["CEU"].payloads[to])
    payload[5] ^= 1
    return world.aggregate(world.headers, to, payloads={"CEU": bytes(payload)})


@deed("unreadable-share", "CEU")
def _contributor_seals_rubbish(world: World) -> object:
    rubbish = bytes(60)
    header = world.resigned("CEU", payload_digest=hashlib.sha256(rubbish).hexdigest())
    return world.aggregate(world.replaced("CEU", header), _whom(world, "CEU"), payloads={"CEU": rubbish})


@deed("wrong-commitment", "CEU")
def _contributor_commits_itself_to_other_keys(world: World) -> object:
    return world.aggregate(world.replaced("CEU", world.resigned("CEU", commitments=("0" * 64,) * 3)))


@deed("wrong-commitment", "CEU")
def _contributor_does_not_commit_itself(world: World) -> object:
    return world.aggregate(world.replaced("CEU", world.resigned("CEU", commitments=())))


@deed("second-opening")
def _block_added_again_from_other_shares(world: World) -> object:
    other = world.parties.seal("CEU", {**world.parts["CEU"], "n": np.int64(7)}, PLACE, LAYOUT)  # type: ignore[dict-item]
    earlier = world.added("FI").partial
    return world.aggregate(world.replaced("CEU", other.header), earlier=earlier)


def _whom(world: World, contributor: str) -> str:
    return receiver(world.parties.roster, contributor, PLACE)


# Opening: dishonest aggregators, or a dishonest hub before the nodes.


@deed("missing-partial")
def _opened_with_two_partial_sums(world: World) -> object:
    return world.open(world.opening._replace(added=world.opening.added[:2]))


@deed("missing-partial")
def _one_partial_sum_twice(world: World) -> object:
    return world.open(world.opening._replace(added=(*world.opening.added[:2], world.opening.added[0])))


@deed("forged-partial")
def _partial_sum_made_by_the_hub(world: World) -> object:
    partial, words = world.added("GB")
    signature = sign_document(world.parties.identities[HUB], "cohelix-partial-1", partial.content())
    return world.open(world.with_partial("GB", Added(partial.model_copy(update={"signature": signature}), words)))


@deed("forged-partial")
def _headers_signature_used_for_a_partial_sum(world: World) -> object:
    """Signatures of one kind never hold for another."""
    partial, words = world.added("GB")
    signature = sign_document(world.parties.identities["GB"], "cohelix-share-1", partial.content())
    return world.open(world.with_partial("GB", Added(partial.model_copy(update={"signature": signature}), words)))


@deed("foreign-partial")
def _partial_sum_of_another_block(world: World) -> object:
    place = PLACE._replace(block=1)
    sealed = {name: world.parties.seal(name, part, place, LAYOUT) for name, part in world.parts.items()}  # type: ignore[arg-type]
    other = next(one for one in world.parties.open(sealed, place).added if one.partial.node == "GB")
    return world.open(world.with_partial("GB", other))


@deed("split-headers", "")
def _aggregators_added_different_shares(world: World) -> object:
    other = world.parties.seal("CEU", {**world.parts["CEU"], "n": np.int64(7)}, PLACE, LAYOUT)  # type: ignore[dict-item]
    to = _whom(world, "CEU")
    strange = world.aggregate(
        world.replaced("CEU", other.header), to, payloads={**_given(world, to), "CEU": other.payloads[to]}
    )
    return world.open(world.with_partial(to, strange))


def _given(world: World, to: str) -> dict[str, bytes]:
    return {name: one.payloads[to] for name, one in world.sealed.items() if to in one.payloads}


@deed("changed-partial")
def _partial_sum_changed_on_the_way(world: World) -> object:
    partial, words = world.added("GB")
    return world.open(world.with_partial("GB", Added(partial, words + np.uint64(1))))


@deed("out-of-bounds", "")
def _contributor_counts_people_that_are_not_there(world: World) -> object:
    return world.open(_poisoned(world, 5_000_000))


@deed("impossible-counts", "")
def _contributor_counts_fewer_than_nobody(world: World) -> object:
    return world.open(_poisoned(world, -10_000))


@deed("impossible-counts", "")
def _more_genotypes_than_people(world: World) -> object:
    """AC > 2N: each count is within its bound, all together are not."""
    layout = Layout.of((("n0", (), 100, True), ("n1", (), 100, True), ("n2", (), 100, True)), 1, 4)
    part = {name: np.array([10]) for name in ("n0", "n1", "n2")}
    sealed = {name: world.parties.seal(name, part, PLACE, layout) for name in world.parties.contributors}
    return open_sum(world.parties.open(sealed, PLACE), PLACE, layout, world.parties.frozen)


@deed("out-of-bounds", "")
def _aggregator_adds_noise(world: World) -> object:
    words = np.random.default_rng(3).integers(0, 2**64, LAYOUT.ring.words, np.uint64)
    return world.open(world.spoilt("IT", words))


def _poisoned(world: World, count: int) -> Opening:
    """A contributor that does not keep its bound; its own layout lets it."""
    lawless = Layout.of((("n", (), 1e15, True), STATISTICS[1]), None, 4)
    sealed = dict(world.sealed)
    sealed["GB"] = world.parties.seal("GB", {**world.parts["GB"], "n": np.int64(count)}, PLACE, lawless)  # type: ignore[dict-item]
    return world.parties.open(sealed, PLACE)


# The node's own check of the first sum.


@deed("foreign-first-sum")
def _first_sum_that_counts_nobody(world: World) -> object:
    layout = Layout.of(STATISTICS[1:], None, 4)
    return check_first_sum(world.opening, layout, world.parties.frozen, own=world.sealed["CEU"].header, people=100, floor=10)


@deed("foreign-step")
def _histogram_of_a_trait_that_is_not_ranked(world: World) -> object:
    plan = {"project": "p", "datasets": ["FI:d"], "trait": {"measurement": "y"}, "method": "linear"}
    return check_called_for("residual-cells", parse_plan(plan))


@deed("foreign-ask")
def _question_that_does_not_follow(world: World) -> object:
    """Every attack with a step's own arrays is in `test_derived_asks.py`."""
    ask = Ask("people", (Statistic("n", (), 1e6, True),))
    following = DerivedAsks(lambda summer: summer.sum(ask), world.parties.frozen, "")
    try:
        return following.match(0, pack_ask(replace(ask, step="column-totals")))
    finally:
        following.close()


@deed("mixed-data")
def _open_data_beside_others(world: World) -> object:
    """Whoever has them takes them off every sum: fewer others are left than the roster has."""
    opened = world.parties.acceptances["GB"].model_copy(update={"open_data": True})
    signature = sign_document(world.parties.identities["GB"], "cohelix-acceptance-1", opened.content())
    return world.check(world.with_acceptance("GB", opened.model_copy(update={"signature": signature})))


@deed("dropped-contribution")
def _contribution_swapped_before_it_was_added(world: World) -> object:
    own = world.parties.seal("CEU", {**world.parts["CEU"], "n": np.int64(7)}, PLACE, LAYOUT).header  # type: ignore[dict-item]
    return check_first_sum(world.opening, LAYOUT, world.parties.frozen, own=own, people=7, floor=10)


@deed("too-few-others", "")
def _others_who_bring_nobody(world: World) -> object:
    own = world.sealed["CEU"].header
    return check_first_sum(world.opening, LAYOUT, world.parties.frozen, own=own, people=400, floor=10)


# Audits of an aggregator.


@deed("wrong-partial", "IT")
def _aggregator_adds_one(world: World) -> object:
    """Within all bounds: only the audit finds it."""
    opening = world.spoilt("IT", world.added("IT").words + np.uint64(1))
    world.open(opening)
    return world.audit("IT", opening)


@deed("false-disclosure", "GB")
def _contributor_discloses_another_key(world: World) -> object:
    return world.audit("IT", world.opening, GB="00" * 32)


@deed("second-disclosure")
def _shares_of_two_aggregators_wanted(world: World) -> object:
    return disclose(world.sealed["CEU"].header, world.parties.frozen, "IT", session=world.parties.sessions["CEU"], earlier="FI")


@pytest.mark.parametrize("title", list(DEEDS))
def test_a_deviation_ends_in_a_named_refusal(world: World, title: str) -> None:
    name, member, function = DEEDS[title]
    with pytest.raises(Deviation) as found:
        function(world)
    assert (found.value.name, found.value.member) == (name, member)
    assert str(found.value).startswith(f"{name}: ")
    assert not re.search(r"\d{3,}", found.value.detail), "a refusal tells no number"


def test_without_a_deviation_nothing_is_refused(world: World) -> None:
    """The deeds above start from a run in which everything passes."""
    assert world.check(world.parties.roster) == world.check_frozen(world.parties.frozen) == world.parties.roster.digest()
    assert world.check_frozen(world.parties.frozen, earlier=world.parties.roster.digest())
    for name in world.parties.aggregators:
        added = world.aggregate(world.headers, name, earlier=world.added(name).partial)
        assert added.partial == world.added(name).partial
        world.audit(name, world.opening)
    world.open(world.opening)
    for name, acceptance in world.parties.acceptances.items():
        check_acceptance(acceptance, run=RUN, plan_hash=PLAN_HASH, node=name, key=world.parties.peers[name].key)
    for mode in ("masks", "plain"):
        parties = Parties(mode=mode)  # type: ignore[arg-type]
        own, hub = parties.acceptances["CEU"], parties.identities[HUB].public
        assert check_frozen(parties.frozen, own=own, peers=parties.peers, coordinator=hub, modes=(mode,))  # type: ignore[arg-type]


def test_a_contributor_with_too_large_a_figure_refuses_itself(world: World) -> None:
    with pytest.raises(ShapeMismatch, match="bound"):
        world.parties.seal("GB", {**world.parts["GB"], "n": np.int64(2_000_000)}, PLACE, LAYOUT)  # type: ignore[dict-item]


def test_every_deviation_is_done_and_documented() -> None:
    """The names in the code, in the tests and in the table of the documentation are the same."""
    repository = Path(__file__).resolve().parents[2]
    code = "".join(path.read_text() for path in (repository / "src/cohelix/federation").glob("*.py"))
    raised = set(re.findall(r'(?:Deviation|Finding)\(\s*"([a-z-]+)"', code)) | {"doubled-node-key", "doubled-session-key"}
    of_transcripts = (repository / "tests/federation/test_transcript.py").read_text()
    done = (
        {name for name, _, _ in DEEDS.values()} | set(re.findall(r'"([a-z]+-[a-z]+)", "hub"', of_transcripts)) | {"other-ask"}
    )
    page = (repository / "docs/concepts/secure-sum.md").read_text()
    told = set(re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE))
    assert raised == told
    assert raised <= done
