"""Nodes' doors in one process, and a hub that puts questions to them: one by one, or by its own `SecureSummer`."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from sqlalchemy.engine import Engine

from cohelix.access.gate import Conditions, Gate
from cohelix.analysis.steps import AnyArray, Ask, Statistic, Summer
from cohelix.analysis.variants import VariantList, pack_stretch, unpack_stretch
from cohelix.audit.events import Event, Keyed, Person
from cohelix.core.errors import CohelixError
from cohelix.db import open_database
from cohelix.disclosure.ledger import Ledger, ledger_key
from cohelix.federation.asking import ask_digest, block_arrays, block_digest, pack_ask
from cohelix.federation.conversation import Conversation
from cohelix.federation.door import Door, Reply
from cohelix.federation.joining import write_pinned
from cohelix.federation.node_runs import NodeRuns
from cohelix.federation.roster import Acceptance, FrozenRoster, Peer, RosterSignature, make_roster
from cohelix.federation.run_access import RunAccess
from cohelix.federation.run_doors import RunDoors
from cohelix.federation.run_party import Party, Stance
from cohelix.federation.run_store import RunStore, StoredRun, SumStore
from cohelix.federation.secure_sum import Added, Header, Opening, Partial, Place
from cohelix.federation.signing import PublicKey, load_identity, sign_request
from cohelix.federation.summer import SecureSummer
from cohelix.federation.transport import PATH, Arrival, content_type_of
from cohelix.federation.worker import Workers
from cohelix.node.settings import read_settings
from cohelix.testing.analyses import AnalysisFederation
from cohelix.wire.federation import Member, PinnedHub
from cohelix.wire.packed import Packed, pack, unpack
from cohelix.wire.plan import parse_plan, plan_hash

_Result = TypeVar("_Result")


_database = functools.cache(open_database)


def sums_database(made: AnalysisFederation) -> Engine:
    """Where hubs keep rows of opened sums (`Hub.run_method`)."""
    return _database(made.folder / "hub" / "sums.sqlite")


def people_ask(bound: float) -> Ask:
    """The first ask of every run."""
    return Ask("people", (Statistic("n", bound=bound, integer=True),))


class Noted:
    """What a node has written down since it was made anew, in the place of its audit log."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def record(self, event: Event, *, by: Person | str | None = None, wait: bool = False) -> None:
        """Keep an event."""
        self.events.append(event)

    def keyed(self, *name: str) -> Keyed:
        """The name itself: nobody reads this log but tests."""
        return Keyed(" ".join(name))


class Node:
    """A node's doors over its folder; made anew, as after a kill, they know only what is on the disk."""

    def __init__(self, folder: Path, clock: Any = None, workers: Workers | None = None) -> None:
        self.folder, self.settings = folder, read_settings(folder)
        self.door = Door(folder)
        self.policy = self.settings.analysis
        engine = _database(folder / "node.sqlite")
        self.runs = NodeRuns(folder, lambda: engine, clock=clock)
        ledger = self.ledger = Ledger(engine, ledger_key(folder))
        peers = {one.id: Peer(PublicKey(one.key), one.aggregator) for one in self.settings.peers}
        self.noted = Noted()
        gate = Gate(lambda: Conditions(projects=frozenset(self.policy.projects)), log=self.noted)
        party = Party(
            folder,
            self.settings.id,
            self.door,
            self.runs,
            stance=lambda: Stance(self.policy, peers, self.settings.aggregator),
            ledger=lambda: ledger,
            access=RunAccess(gate, self.settings.id),
        )
        RunDoors(party, workers or Workers(1)).open()


class Hub:
    """Puts a run's questions to nodes, one by one, as a hub or as somebody who plays one."""

    def __init__(self, made: AnalysisFederation, run: str, plan: Mapping[str, Any], clock: Any = None) -> None:
        self.made, self.run = made, run
        self.identity = load_identity(made.folder / "hub")
        self.plan = parse_plan(plan)
        self.deadline = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        self.nodes = {name: Node(made.folder / name, clock) for name in made.members}
        self.digests: dict[int, str] = {}
        self.listed = ""

    def revive(self, name: str) -> None:
        """The node was killed and serves again."""
        self.nodes[name] = Node(self.nodes[name].folder)

    def put(
        self, name: str, question: str, document: Mapping[str, Any], arrays: Mapping[str, AnyArray] | None = None
    ) -> Packed:
        """The packed answer; raises the problem's detail where it is none."""
        reply = self.reply(name, question, document, arrays)
        if reply.status != 200:
            raise CohelixError(f"{reply.status} {reply.body.decode()}")
        return unpack(reply.body)

    def reply(
        self, name: str, question: str, document: Mapping[str, Any], arrays: Mapping[str, AnyArray] | None = None
    ) -> Reply:
        return asyncio.run(self.reply_to(name, question, pack({"run": self.run, **document}, arrays)))

    async def reply_to(self, name: str, question: str, body: bytes) -> Reply:
        """What a node says to a message of the hub."""
        headers = sign_request(
            self.identity,
            method="POST",
            url=f"http://{name}.example{PATH}/{question}",
            body=body,
            content_type=content_type_of(question),
        )

        async def read() -> bytes:
            return body

        return await self.nodes[name].door.reply(question, headers, read)

    def open(self, name: str) -> Packed:
        plan = self.plan.model_dump(mode="json")
        return self.put(name, "analysis-open", {"plan": plan, "plan_hash": plan_hash(self.plan), "deadline": self.deadline})

    def roster(self, names: Sequence[str] = ()) -> Any:
        accepted = [Acceptance.model_validate(self.open(name).document["acceptance"]) for name in names or self.nodes]
        return make_roster(
            self.run,
            plan_hash(self.plan),
            accepted,
            aggregators=list(self.made.members),
            coordinator=self.identity.public,
        )

    def freeze(self) -> FrozenRoster:
        """Have the roster signed and agreed to by everybody."""
        roster = self.roster()
        told = {"roster": roster.model_dump(mode="json")}
        signed = [self.put(name, "analysis-roster", told).document["signature"] for name in roster.aggregators]
        self.frozen = FrozenRoster(roster=roster, signatures=tuple(RosterSignature.model_validate(one) for one in signed))
        for name in self.nodes:
            answer = self.put(name, "analysis-roster", {**told, "signatures": signed})
            assert answer.document["agreed"], answer.document
        return self.frozen

    def list_variants(self) -> VariantList:
        tables = []
        for name in self.nodes:
            answer = self.put(name, "analysis-sites", {"start": 0})
            assert answer.document["next"] is None
            tables.append(unpack_stretch(answer.arrays["stretch"].tobytes()))
        self.variants = VariantList.merged(tables)
        self.listed = self.variants.digest()
        for name in self.nodes:
            assert self.send_variants(name, 0, len(self.variants)) == len(self.variants)
        return self.variants

    def send_variants(self, name: str, start: int, stop: int, digest: str | None = None) -> int:
        document = {"start": start, "total": len(self.variants), "digest": digest or self.variants.digest()}
        body = pack_stretch(self.variants.table(start, stop))
        return int(self.put(name, "analysis-variants", document, {"stretch": np.frombuffer(body, np.uint8)}).document["held"])

    def begin(self, name: str, number: int, ask: Ask, *openings: Opening) -> dict[str, Any]:
        packed = pack_ask(ask, self.listed)
        self.digests[number] = ask_digest(packed)
        arrays = {"ask": np.frombuffer(packed, np.uint8)}
        for opening in openings:
            place = opening.headers[0].place
            arrays[f"opening.{place.ask}.{place.block}"] = np.frombuffer(opening.packed(), np.uint8)
        return self.put(name, "analysis-ask", {"ask": number, "digest": self.digests[number]}, arrays).document

    def step(self, name: str, number: int, ask: Ask, block: int = 0, **changes: Any) -> Packed:
        stretch = ask.blocks()[block] if ask.rows is not None else None
        arrays = block_arrays(ask, stretch)
        digest = ask_digest(pack_ask(ask, self.listed))
        document = {
            "roster": self.frozen.roster.digest(),
            "ask": number,
            "block": block,
            "digest": digest,
            "asked": block_digest(digest, block, arrays),
        }
        return self.put(name, "analysis-step", {**document, **changes}, arrays)

    def aggregate(self, name: str, number: int, block: int, steps: Mapping[str, Packed], **changes: Any) -> Packed:
        headers = [step.document["header"] for step in steps.values()]
        first = Header.model_validate(headers[0])
        arrays = {
            f"payload.{node}": step.arrays[f"payload.{name}"]
            for node, step in steps.items()
            if f"payload.{name}" in step.arrays
        }
        document = {
            "roster": self.frozen.roster.digest(),
            "ask": number,
            "block": block,
            "asked": first.ask_digest,
            "headers": headers,
        }
        return self.put(name, "analysis-aggregate", {**document, **changes}, arrays)

    def opening(self, number: int, ask: Ask, block: int = 0) -> tuple[Opening, Place]:
        """All headers and partial sums of a block; the ask was begun."""
        steps = {name: self.step(name, number, ask, block) for name in self.nodes}
        added = []
        for name in self.frozen.roster.aggregators:
            answer = self.aggregate(name, number, block, steps)
            added.append(Added(Partial.model_validate(answer.document["partial"]), answer.arrays["words"]))
        headers = tuple(Header.model_validate(step.document["header"]) for step in steps.values())
        return Opening(headers, tuple(added)), headers[0].place

    def first_sum(self) -> Opening:
        """Have everybody counted."""
        ask = self.people
        for name in self.nodes:
            assert self.begin(name, 0, ask)["refusal"] is None
        return self.opening(0, ask)[0]

    @property
    def people(self) -> Ask:
        """The first ask: its bound is of what contributors have signed."""
        return people_ask(float(sum(one.people_bound for one in self.frozen.roster.contributors())))

    def counted(self) -> tuple[Opening, Opening]:
        """The openings of the two asks that come before the counts of a plan of this method."""
        first, ask = self.first_sum(), Ask("column-totals", self.people.statistics)
        for name in self.nodes:
            assert self.begin(name, 1, ask, first)["refusal"] is None
        return first, self.opening(1, ask)[0]

    def run_method(self, method: Callable[[Summer], _Result], sums: Path) -> _Result:
        """Run a method over the hub's own `SecureSummer`; the run must stand ready, and be run once; `sums` is a new folder."""
        engine = sums_database(self.made)
        plan, hashed, proposed = self.plan.model_dump(mode="json"), plan_hash(self.plan), "2026-01-01T00:00:00Z"
        stored = StoredRun(self.run, "running", plan, hashed, proposed, self.deadline)
        RunStore(engine).add(stored, waiting_max=10_000)

        async def go() -> _Result:
            conversation = Conversation(_DoorRoad(self), datetime.now(UTC) + timedelta(seconds=120))
            members = {name: Member(id=name, state="active") for name in self.nodes}
            kept = SumStore(engine, sums, self.run)
            summer = SecureSummer(conversation, self.frozen, members, kept, identity=self.identity, listed=self.listed)
            try:
                return await asyncio.to_thread(method, summer)
            finally:
                summer.stop()

        return asyncio.run(go())


class _DoorRoad:
    """A `Transport` to doors of this process."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def ask(self, member: Member, question: str, body: bytes) -> Arrival:
        reply = await self._hub.reply_to(member.id, question, body)
        if reply.status != 200:
            return Arrival("faulty", reply.body.decode())
        return Arrival("answered", body=reply.body)

    async def close(self) -> None:
        """Nothing to end."""


def pin_hub(made: AnalysisFederation) -> None:
    """Make the hub known to every node's folder, though neither serves."""
    key = load_identity(made.folder / "hub").public
    for name in made.members:
        pinned = PinnedHub(hub_url=made.url, hub_key=key, node_url=f"http://{name}.example", joined_at="2026-01-01")
        write_pinned(made.folder / name, pinned)
