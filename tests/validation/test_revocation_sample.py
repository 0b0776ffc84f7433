"""A sample of the revocation proof with a clock that is set by hand: lists that are late, lost, unsigned and shown again."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cohelix.access.actor import Actor, Visa, VisaKind
from cohelix.access.authority import init_authority
from cohelix.access.grants import Grants
from cohelix.access.jose import Key, read_key_set
from cohelix.access.policy import NO_PURPOSE, Terms, decide
from cohelix.access.revocation import compose, document_of, sign
from cohelix.core.errors import NotAuthentic
from cohelix.db import open_database
from cohelix.federation.revocations import RevocationWatch
from cohelix.wire.federation import PinnedHub

HUB = "https://hub.example"
BOUND_SECONDS = 60.0
MAKE_SECONDS, FETCH_SECONDS, ROAD_SECONDS = 5, (6, 10), 3  # of a federation in which nothing is wrong
START = datetime(2027, 3, 1, 12, tzinfo=UTC)
SECONDS = 600


@dataclass
class _Clock:
    """The node's: its wall clock differs from everybody else's, and may be set; the other hand goes on."""

    tick: float = 0.0
    differs: float = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.tick + self.differs)

    def monotonic(self) -> float:
        return 1000.0 + self.tick


@dataclass
class _Told:
    """When a visa was revoked, and when it opened something last."""

    visa: Visa
    revoked: float | None = None
    opened: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)


def _federation(folder: Path, clock: _Clock) -> tuple[RevocationWatch, Grants, Any, Any]:
    """A node with a committee of its own, which also trusts one abroad."""
    (folder / "node").mkdir(parents=True)
    (folder / "abroad").mkdir()
    made = {"name": "A committee", "hub_url": HUB, "datasets": ("FI:*",)}
    own = init_authority(folder / "node", authority="FI-DAC", **made)  # type: ignore[arg-type]
    other = init_authority(folder / "abroad", authority="GB-DAC", **made)  # type: ignore[arg-type]
    keys: dict[tuple[str, str], Key] = {
        (one.issuer, kid): key for one in (own, other) for kid, key in read_key_set(one.keys.published()).items()
    }
    grants = Grants(open_database(folder / "node" / "node.sqlite"), clock)
    pinned = PinnedHub(hub_url=HUB, hub_key="k", node_url="http://node", joined_at="")
    watch = RevocationWatch(folder / "node", lambda: grants, lambda _named: keys, lambda: pinned, clock=clock)
    return watch, grants, own, other


def _visa(identifier: str, issuer: str) -> Visa:
    kind, ends = VisaKind.CONTROLLED_ACCESS_GRANTS, START + timedelta(days=30)
    return Visa(identifier, kind, f"{HUB}/datasets/FI:x", issuer, "dac", issuer, "somebody", START, ends)


def _hour(folder: Path, seed: int, *, hostile: bool) -> dict[str, _Told]:
    """Ten minutes of a federation, second by second: what two visas opened, one of which ends on the way."""
    chance, clock = random.Random(seed), _Clock(differs=random.Random(seed).uniform(-60, 60))
    watch, grants, own, other = _federation(folder, clock)
    until = START + timedelta(days=30)
    at_home = grants.grant(own, hub_url=HUB, dataset="FI:x", subject="somebody", subject_issuer=f"{HUB}/broker", until=until)
    told = {"own": _Told(_visa(at_home.identifier, own.issuer)), "abroad": _Told(_visa("GB-DAC:1", other.issuer))}
    ends = {name: chance.randrange(60, SECONDS - 100) for name in told} if hostile else {}
    terms = Terms("FI:x", "closed", visa_value=f"{HUB}/datasets/FI:x", authorities=frozenset((own.issuer, other.issuer)))
    road: list[tuple[float, dict[str, Any]]] = []  # lists on their way, with the second of their arrival
    newest: dict[str, Any] | None = None
    fetch_at, away_until = 0.0, 0.0
    for second in range(SECONDS):
        clock.tick = float(second)
        for name, moment in ends.items():
            if moment == second:
                told[name].revoked = float(second)
                if name == "own":
                    grants.revoke(at_home.identifier)
        if hostile and chance.random() < 0.002:
            away_until = second + chance.randrange(10, 150)  # the hub, or the road to it
        holding = hostile and seed % 2 and told["abroad"].revoked is not None  # shows what it has, and asks nobody any more
        if second % MAKE_SECONDS == 0 and second >= away_until and not holding:
            named = [one.visa.identifier for one in told.values() if one.revoked is not None]
            encoded = compose(HUB, named, START + timedelta(seconds=second)).encoded()
            signing = [one for one in (own, other) if not hostile or chance.random() < 0.98]
            newest = document_of(encoded, [sign(encoded, one.issuer, one.keys.current()) for one in signing])
            watch.asked(encoded)
        if second >= fetch_at and second >= away_until and newest is not None:
            fetch_at = second + chance.uniform(*FETCH_SECONDS)
            road.append((second + chance.uniform(0, 50 if hostile and chance.random() < 0.2 else ROAD_SECONDS), newest))
            if hostile and chance.random() < 0.2:
                road.append((second + chance.uniform(0, 200), newest))  # shown again
        for one in [one for one in road if one[0] <= second]:
            road.remove(one)
            try:
                watch.take(one[1])
            except NotAuthentic:
                assert hostile
        known, now = watch.known(), clock.now()
        for state in told.values():
            actor = Actor("somebody", f"{HUB}/broker", visas=(state.visa,), expires=until)
            found = decide(actor, terms, NO_PURPOSE, now, revocations=known)
            (state.opened if found.records else state.refused).append(float(second))
    return told


@pytest.mark.parametrize("seed", range(6))
def test_no_visa_opens_a_minute_after_its_end_whatever_happens_to_the_lists(tmp_path: Path, seed: int) -> None:
    told = _hour(tmp_path, seed, hostile=True)
    for name, state in told.items():
        assert state.revoked is not None and state.opened, (name, state)
        last = max(state.opened)
        assert last - state.revoked <= (1.0 if name == "own" else BOUND_SECONDS), (name, last, state.revoked)


@pytest.mark.parametrize("seed", range(100, 102))
def test_where_nothing_is_wrong_a_visa_never_stops_opening(tmp_path: Path, seed: int) -> None:
    for name, state in _hour(tmp_path, seed, hostile=False).items():
        assert max(state.refused, default=0.0) <= ROAD_SECONDS + 1, (name, state.refused)
        assert len(state.opened) >= SECONDS - ROAD_SECONDS - 1
