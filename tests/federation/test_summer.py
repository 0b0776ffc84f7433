"""A method that is repeated gets the sums that are kept; one that asks something else than before stops the run."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from cohelix.analysis.steps import Ask, Statistic
from cohelix.db import open_database
from cohelix.federation.asking import ask_digest, block_arrays, block_digest, pack_ask
from cohelix.federation.conversation import Conversation, RunStopped
from cohelix.federation.roster import HUB, FrozenRoster, accept, make_roster, new_session, sign_as
from cohelix.federation.run_store import RunStore, StoredRun, SumStore
from cohelix.federation.secure_sum import Opening, Place, aggregate, seal
from cohelix.federation.signing import Identity, create_identity
from cohelix.federation.summer import SecureSummer
from cohelix.federation.transport import Arrival
from cohelix.stats.secret_sharing import Layout
from cohelix.wire.federation import Member

RUN, PLAN = "a" * 16, "0" * 64
NODES = ("FI", "GB", "IT")
ASK = Ask("people", (Statistic("n", bound=100.0, integer=True),))


class NoRoad:
    """Nobody is reached."""

    async def ask(self, member: Member, question: str, body: bytes) -> Arrival:
        raise AssertionError(f"{member.id} was asked {question} although the sum is kept")

    async def close(self) -> None:
        """Nothing to end."""


@pytest.fixture
def kept(tmp_path: Path) -> tuple[SumStore, FrozenRoster, Identity]:
    """A store in which the count of 3 × 7 people is opened, in plain sums; its roster; the hub."""
    identities = {}
    for name in (*NODES, HUB):
        (tmp_path / name).mkdir()
        identities[name] = create_identity(tmp_path / name)
    sessions = {name: new_session() for name in NODES}
    role = {"frozen": "f", "contributor": True, "aggregator": False}
    acceptances = [accept(RUN, PLAN, node=name, session=sessions[name], identity=identities[name], **role) for name in NODES]
    roster = make_roster(RUN, PLAN, acceptances, aggregators=(), coordinator=identities[HUB].public, mode="plain")
    frozen = FrozenRoster(roster=roster, signatures=(sign_as(HUB, roster.digest(), identities[HUB]),))
    place = Place(0, 0, block_digest(ask_digest(pack_ask(ASK)), 0, block_arrays(ASK, None)))
    layout = Layout.of(ASK.statistics, None, 3)
    sealed = [
        seal({"n": np.array(7)}, place, layout, frozen, node=name, session=sessions[name], identity=identities[name])
        for name in NODES
    ]
    headers = [one.header for one in sealed]
    payloads = {one.header.node: one.payloads[HUB] for one in sealed}
    added = aggregate(place, headers, payloads, frozen, node=HUB, session=b"", identity=identities[HUB])
    engine = open_database(tmp_path / "hub.sqlite")
    times = {"proposed_at": "2026-01-01T00:00:00Z", "deadline": "2026-01-02T00:00:00Z"}
    RunStore(engine).add(StoredRun(id=RUN, state="running", plan={}, plan_hash=PLAN, **times), waiting_max=1)
    sums = SumStore(engine, tmp_path, RUN)
    sums.put(0, 0, place.ask_digest, Opening(tuple(headers), (added,)).packed())
    return sums, frozen, identities[HUB]


async def _summed(kept: tuple[SumStore, FrozenRoster, Identity], ask: Ask, *, stopped: bool = False) -> int:
    sums, frozen, hub = kept
    conversation = Conversation(NoRoad(), datetime.now(UTC) + timedelta(seconds=60))
    members = {name: Member(id=name, state="active") for name in NODES}
    summer = SecureSummer(conversation, frozen, members, sums, identity=hub)
    if stopped:
        summer.stop()
    return int((await asyncio.to_thread(summer.sum, ask))["n"])


def test_a_kept_sum_is_opened_without_asking_anybody(kept: tuple[SumStore, FrozenRoster, Identity]) -> None:
    assert asyncio.run(_summed(kept, ASK)) == 21


def test_another_question_than_before_stops_the_run(kept: tuple[SumStore, FrozenRoster, Identity]) -> None:
    other = Ask("people", (Statistic("n", bound=101.0, integer=True),))
    with pytest.raises(RunStopped, match="another question"):
        asyncio.run(_summed(kept, other))


def test_a_stopped_run_gives_no_more_sums(kept: tuple[SumStore, FrozenRoster, Identity]) -> None:
    with pytest.raises(RunStopped, match="was stopped"):
        asyncio.run(_summed(kept, ASK, stopped=True))
