"""Members of a run in one process: keys, roster and secure sums without servers, for tests, proofs and benchmarks."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cohelix.analysis.data import LocalData
from cohelix.analysis.steps import Ask, Sums, compute_part
from cohelix.federation.asking import ask_digest, block_arrays, block_digest, pack_ask
from cohelix.federation.roster import (
    HUB,
    Acceptance,
    FrozenRoster,
    Mode,
    Peer,
    Roster,
    accept,
    make_roster,
    sign_as,
    sign_roster,
)
from cohelix.federation.secure_sum import Opening, Place, Sealed, aggregate, open_sum, seal
from cohelix.federation.signing import Identity, PublicKey
from cohelix.stats.secret_sharing import Layout
from cohelix.wire.analysis import Terms

RUN, PLAN_HASH = "run0000001", hashlib.sha256(b"plan").hexdigest()


def identity_of(name: str) -> Identity:
    """An identity that is always the same for a name: never for a real member."""
    private = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"identity {name}".encode()).digest())
    raw = private.public_key().public_bytes_raw()
    return Identity(private, PublicKey(base64.urlsafe_b64encode(raw).decode().rstrip("=")))


@dataclass
class Parties:
    """Contributors, three aggregators among the members, and a hub.

    Attributes
    ----------
    contributors
        Names of those who bring figures.
    aggregators
        Names of those who add up; they may be contributors as well.
    terms
        What every contributor says of itself.
    """

    contributors: Sequence[str] = ("CEU", "FI", "GB", "IT")
    aggregators: Sequence[str] = ("FI", "GB", "IT")
    mode: Mode = "shares"
    run: str = RUN
    plan_hash: str = PLAN_HASH
    terms: Terms = field(default_factory=Terms)
    identities: dict[str, Identity] = field(init=False)
    sessions: dict[str, bytes] = field(init=False)
    acceptances: dict[str, Acceptance] = field(init=False)
    peers: dict[str, Peer] = field(init=False)
    roster: Roster = field(init=False)
    frozen: FrozenRoster = field(init=False)

    def __post_init__(self) -> None:
        if self.mode != "shares":
            self.aggregators = ()
        names = sorted({*self.contributors, *self.aggregators})
        self.identities = {name: identity_of(name) for name in (*names, HUB)}
        self.sessions = {name: hashlib.sha256(f"session {self.run} {name}".encode()).digest() for name in names}
        self.acceptances = {name: self.acceptance(name) for name in names}
        self.peers = {name: Peer(self.identities[name].public, name in self.aggregators) for name in names}
        self.roster = self.make()
        self.frozen = self.freeze(self.roster)

    def acceptance(self, name: str) -> Acceptance:
        """The member's own word."""
        return accept(
            self.run,
            self.plan_hash,
            node=name,
            frozen=f"fingerprint {name}",
            session=self.sessions[name],
            contributor=name in self.contributors,
            aggregator=name in self.aggregators,
            identity=self.identities[name],
            terms=self.terms,
        )

    def make(self, acceptances: Iterable[Acceptance] | None = None) -> Roster:
        """The roster of these acceptances, or of all."""
        return make_roster(
            self.run,
            self.plan_hash,
            self.acceptances.values() if acceptances is None else acceptances,
            aggregators=self.aggregators,
            coordinator=self.identities[HUB].public,
            mode=self.mode,
        )

    def freeze(self, roster: Roster) -> FrozenRoster:
        """The roster with the signatures of those who add up."""
        if roster.mode != "shares":
            return FrozenRoster(roster=roster, signatures=(sign_as(HUB, roster.digest(), self.identities[HUB]),))
        signatures = [
            sign_roster(
                roster,
                own=self.acceptances[name],
                peers=self.peers,
                coordinator=self.identities[HUB].public,
                identity=self.identities[name],
            )
            for name in roster.aggregators
        ]
        return FrozenRoster(roster=roster, signatures=tuple(signatures))

    def seal(self, node: str, part: Sums, place: Place, layout: Layout) -> Sealed:
        """One contributor's answer."""
        own = {"node": node, "session": self.sessions[node], "identity": self.identities[node]}
        return seal(part, place, layout, self.frozen, **own)  # type: ignore[arg-type]

    def open(self, sealed: Mapping[str, Sealed], place: Place) -> Opening:
        """What the hub has when all aggregators have answered."""
        headers = tuple(one.header for one in sealed.values())
        added = tuple(
            aggregate(
                place,
                headers,
                {node: one.payloads[name] for node, one in sealed.items() if name in one.payloads},
                self.frozen,
                node=name,
                session=self.sessions.get(name, b""),
                identity=self.identities[name],
            )
            for name in self.roster.receivers()
        )
        return Opening(headers, added)


class KeptOpenings:
    """Opened blocks in memory, as `federation.transcript.Openings`."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int], Opening] = {}

    def get(self, ask: int, block: int) -> tuple[str, bytes] | None:
        kept = self._kept.get((ask, block))
        return None if kept is None else (kept.headers[0].ask_digest, kept.packed())

    def blocks(self) -> Iterable[tuple[int, int]]:
        return sorted(self._kept)

    def opening(self, ask: int, block: int) -> Opening:
        """One of them."""
        return self._kept[ask, block]

    def put(self, ask: int, block: int, opening: Opening) -> None:
        """Keep a block, or something else in its place, as a dishonest hub would."""
        self._kept[ask, block] = opening

    def forget(self, ask: int, block: int) -> None:
        """Lose a block."""
        del self._kept[ask, block]


class SecureTestSummer:
    """A `Summer` of the parties' own data; what it opened is in `kept`.

    Parameters
    ----------
    data
        Each contributor's.
    listed
        The digest of the run's list of variants, which every ask names.
    """

    def __init__(self, parties: Parties, data: Mapping[str, LocalData], listed: str = "") -> None:
        self._parties, self._data, self._listed = parties, dict(data), listed
        self.kept = KeptOpenings()
        self._asks = 0

    def sum(self, ask: Ask) -> Sums:
        return self._opened(ask, self._next(), 0, None)

    def blocks(self, ask: Ask) -> Iterator[tuple[range, Sums]]:
        number = self._next()
        return ((block, self._opened(ask, number, index, block)) for index, block in enumerate(ask.blocks()))

    def _next(self) -> int:
        self._asks += 1
        return self._asks - 1

    def _opened(self, ask: Ask, number: int, index: int, block: range | None) -> Sums:
        place = Place(number, index, block_digest(ask_digest(pack_ask(ask, self._listed)), index, block_arrays(ask, block)))
        layout = Layout.of(ask.statistics, None if block is None else len(block), len(self._data))
        sealed = {
            name: self._parties.seal(name, compute_part(data, ask, block), place, layout) for name, data in self._data.items()
        }
        opening = self._parties.open(sealed, place)
        self.kept.put(number, index, opening)
        return open_sum(opening, place, layout, self._parties.frozen)
