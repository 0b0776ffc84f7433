"""A node in a run: it answers a repeated question alike, after a kill too, and refuses what must not be."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cohelix.analysis.linear import linear
from cohelix.analysis.methods import count_people
from cohelix.analysis.pooled import PlainSummer
from cohelix.analysis.steps import AnyArray, Ask, Statistic
from cohelix.analysis.variants import VariantList, pack_stretch, unpack_stretch
from cohelix.core.errors import CohelixError
from cohelix.db import open_database
from cohelix.disclosure.ledger import Ledger, ledger_key
from cohelix.federation.asking import ask_digest, block_arrays, block_digest, pack_ask
from cohelix.federation.door import Door, Reply
from cohelix.federation.joining import write_pinned
from cohelix.federation.node_runs import NodeRuns
from cohelix.federation.roster import Acceptance, FrozenRoster, Peer, RosterSignature, make_roster
from cohelix.federation.run_doors import RunDoors, Stance
from cohelix.federation.secure_sum import Added, Header, Opening, Partial, Place, open_sum, receiver
from cohelix.federation.signing import create_identity, load_identity, sign_request
from cohelix.federation.transport import PATH, content_type_of
from cohelix.federation.worker import StepTask, Workers, compute_task
from cohelix.node.settings import read_settings
from cohelix.stats.secret_sharing import Layout
from cohelix.testing.analyses import AnalysisFederation, load_again, make_folders
from cohelix.wire.federation import PinnedHub
from cohelix.wire.packed import Packed, pack, unpack
from cohelix.wire.plan import parse_plan, plan_hash

MEMBERS = {"FI": 60, "GB": 80, "IT": 70}
PEOPLE = Ask("people", (Statistic("n", bound=1024.0, integer=True),))
ZERO = {"threshold": np.array(0.0)}
COUNTS = (Statistic("n0", bound=1024.0, integer=True), Statistic("n1", bound=1024.0, integer=True))


class Node:
    """A node's doors over its folder; made anew, as after a kill, they know only what is on the disk."""

    def __init__(self, folder: Path, clock: Any = None, workers: Workers | None = None) -> None:
        self.folder, self.settings = folder, read_settings(folder)
        self.door = Door(folder)
        self.policy = self.settings.analysis
        engine = open_database(folder / "node.sqlite")
        self.runs = NodeRuns(folder, lambda: engine, clock=clock)
        ledger = Ledger(engine, ledger_key(folder))
        peers = {one.id: Peer(one.key, one.aggregator) for one in self.settings.peers}
        doors = RunDoors(
            folder,
            self.settings.id,
            self.door,
            self.runs,
            stance=lambda: Stance(self.policy, peers, self.settings.aggregator),
            ledger=lambda: ledger,
            workers=workers or Workers(1),
        )
        doors.open()


class Hub:
    """Puts a run's questions to nodes, one by one, as a hub or as somebody who plays one."""

    def __init__(self, made: AnalysisFederation, run: str, plan: Mapping[str, Any], clock: Any = None) -> None:
        self.made, self.run = made, run
        self.identity = load_identity(made.folder / "hub")
        self.plan = parse_plan(plan)
        self.deadline = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        self.nodes = {name: Node(made.folder / name, clock) for name in made.members}
        self.digests: dict[int, str] = {}

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
        body = pack({"run": self.run, **document}, arrays)
        headers = sign_request(
            self.identity,
            method="POST",
            url=f"http://{name}.example{PATH}/{question}",
            body=body,
            content_type=content_type_of(question),
        )

        async def read() -> bytes:
            return body

        return asyncio.run(self.nodes[name].door.reply(question, headers, read))

    def open(self, name: str) -> Packed:
        plan = self.plan.model_dump(mode="json")
        return self.put(name, "analysis-open", {"plan": plan, "plan_hash": plan_hash(self.plan), "deadline": self.deadline})

    def roster(self, names: Sequence[str] = tuple(MEMBERS)) -> Any:
        accepted = [Acceptance.model_validate(self.open(name).document["acceptance"]) for name in names]
        return make_roster(
            self.run,
            plan_hash(self.plan),
            accepted,
            aggregators=list(MEMBERS),
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
        for name in self.nodes:
            assert self.send_variants(name, 0, len(self.variants)) == len(self.variants)
        return self.variants

    def send_variants(self, name: str, start: int, stop: int, digest: str | None = None) -> int:
        document = {"start": start, "total": len(self.variants), "digest": digest or self.variants.digest()}
        body = pack_stretch(self.variants.table(start, stop))
        return int(self.put(name, "analysis-variants", document, {"stretch": np.frombuffer(body, np.uint8)}).document["held"])

    def begin(self, name: str, number: int, ask: Ask, opening: Opening | None = None) -> dict[str, Any]:
        packed = pack_ask(ask)
        self.digests[number] = ask_digest(packed)
        arrays = {"ask": np.frombuffer(packed, np.uint8)}
        if opening is not None:
            arrays["opening"] = np.frombuffer(opening.packed(), np.uint8)
        return self.put(name, "analysis-ask", {"ask": number, "digest": self.digests[number]}, arrays).document

    def step(self, name: str, number: int, ask: Ask, block: int = 0, **changes: Any) -> Packed:
        stretch = ask.blocks()[block] if ask.rows is not None else None
        arrays = block_arrays(ask, stretch)
        document = {
            "roster": self.frozen.roster.digest(),
            "ask": number,
            "block": block,
            "digest": ask_digest(pack_ask(ask)),
            "asked": block_digest(ask_digest(pack_ask(ask)), block, arrays),
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
        for name in self.nodes:
            assert self.begin(name, 0, PEOPLE)["refusal"] is None
        return self.opening(0, PEOPLE)[0]


def refusal(answer: Packed) -> str:
    found = answer.document["refusal"]
    assert found is not None, answer.document
    return str(found["rule"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> AnalysisFederation:
    made = make_folders(tmp_path_factory.mktemp("runs"), MEMBERS, variants=80)
    key = load_identity(made.folder / "hub").public
    for name in MEMBERS:
        pinned = PinnedHub(hub_url=made.url, hub_key=key, node_url=f"http://{name}.example", joined_at="2026-01-01")
        write_pinned(made.folder / name, pinned)
    return made


@pytest.fixture
def hub(whole: AnalysisFederation, request: pytest.FixtureRequest) -> Hub:
    number = abs(hash(request.node.name)) % 10**12
    plan = whole.plan()
    # Components as covariates call for most steps: counts, and one that changes the data for later ones.
    plan = {**plan, "covariates": [*plan["covariates"], {"component": 1}], "options": {"components": 1}}
    return Hub(whole, f"run{number:013d}", plan)


@pytest.fixture
def ready(hub: Hub) -> Hub:
    hub.freeze()
    hub.list_variants()
    return hub


def test_a_run_from_the_first_question_to_the_last(ready: Hub) -> None:
    first = ready.first_sum()
    layout = Layout.of(PEOPLE.statistics, None, 3)
    assert open_sum(first, first.headers[0].place, layout, ready.frozen)["n"] == sum(MEMBERS.values())
    rows = np.arange(0, len(ready.variants), 2)
    ask = Ask("counts", COUNTS, ZERO, rows=rows)
    for name in ready.nodes:
        assert ready.begin(name, 1, ask, first)["refusal"] is None
    opening, place = ready.opening(1, ask)
    sums = open_sum(opening, place, Layout.of(COUNTS, len(rows), 3), ready.frozen)
    alleles = ready.made.cohort.alleles.sum(axis=2)[rows]
    assert np.array_equal(sums["n0"], (alleles == 0).sum(axis=1)) and np.array_equal(sums["n1"], (alleles == 1).sum(axis=1))
    for name in ready.nodes:
        folder = ready.nodes[name].folder / "runs" / ready.run
        assert (folder / "session.key").stat().st_mode & 0o077 == 0
        ready.put(name, "analysis-end", {"outcome": "combined"})
        assert not folder.exists()
        assert refusal(ready.open(name)) == "not-permitted"  # a run that has ended never begins again
        assert refusal(ready.step(name, 1, ask)) == "not-permitted"


def test_after_a_kill_the_same_question_has_the_same_answer(hub: Hub) -> None:
    accepted = hub.open("FI")
    hub.revive("FI")
    assert hub.open("FI").document == accepted.document
    hub.freeze()
    hub.revive("FI")
    hub.list_variants()
    first = hub.first_sum()
    rows = np.arange(len(hub.variants))
    ask = Ask("counts", COUNTS, ZERO, rows=rows)
    for name in hub.nodes:
        hub.begin(name, 1, ask, first)
    before = {name: hub.step(name, 1, ask) for name in hub.nodes}
    partial = hub.aggregate("FI", 1, 0, before)
    for name in hub.nodes:
        hub.revive(name)
    after = {name: hub.step(name, 1, ask) for name in hub.nodes}
    for name in hub.nodes:
        assert after[name].document == before[name].document
        ((receiving, sealed),) = after[name].arrays.items()
        assert receiving == f"payload.{receiver(hub.frozen.roster, name, Place(1, 0, ''))}"
        assert np.array_equal(sealed, before[name].arrays[receiving])
    again = hub.aggregate("FI", 1, 0, after)
    assert again.document == partial.document and np.array_equal(again.arrays["words"], partial.arrays["words"])


def test_nothing_is_computed_before_the_roster_was_checked(hub: Hub) -> None:
    roster = hub.roster()
    hub.frozen = FrozenRoster(roster=roster, signatures=())
    assert refusal(hub.step("FI", 0, PEOPLE)) == "foreign-roster"
    assert hub.begin("FI", 0, PEOPLE)["refusal"]["rule"] == "conflict"
    signature = hub.put("GB", "analysis-roster", {"roster": roster.model_dump(mode="json")}).document["signature"]
    short = {"roster": roster.model_dump(mode="json"), "signatures": [signature]}
    assert refusal(hub.put("FI", "analysis-roster", short)) == "unsigned-roster"
    assert refusal(hub.step("FI", 0, PEOPLE)) == "foreign-roster"


def test_one_roster_for_each_run(ready: Hub) -> None:
    other = make_roster(
        ready.run,
        plan_hash(ready.plan),
        ready.frozen.roster.acceptances,
        aggregators=["GB", "FI", "IT"],
        coordinator=ready.identity.public,
    )
    ready.revive("FI")
    assert refusal(ready.put("FI", "analysis-roster", {"roster": other.model_dump(mode="json")})) == "second-roster"
    assert refusal(ready.step("FI", 0, PEOPLE, roster=other.digest())) == "foreign-roster"
    fewer = ready.frozen.roster.model_copy(update={"acceptances": ready.frozen.roster.acceptances[:2]})
    assert refusal(ready.put("FI", "analysis-roster", {"roster": fewer.model_dump(mode="json")})) == "too-few-contributors"


def test_another_question_under_the_same_number_is_refused(ready: Hub) -> None:
    first = ready.first_sum()
    ask = Ask("counts", COUNTS, ZERO, rows=np.arange(10))
    other = Ask("counts", COUNTS[:1], ZERO, rows=np.arange(10))
    for name in ready.nodes:
        ready.begin(name, 1, ask, first)
    ready.step("FI", 1, ask)
    ready.revive("FI")
    assert ready.begin("FI", 1, other)["refusal"]["rule"] == "second-ask"
    assert refusal(ready.step("FI", 1, other)) == "second-ask"
    assert refusal(ready.step("FI", 1, replace(ask, rows=np.arange(1, 11)))) == "second-ask"  # other rows in the same block
    assert refusal(ready.step("FI", 1, ask, asked="0" * 64)) == "split-ask"
    assert ready.begin("FI", 2, Ask("counts", COUNTS, ZERO, rows=np.arange(10, 20)))["refusal"] is None


@pytest.mark.parametrize(
    ("rows", "per_variant"),
    [
        (np.array([3, 2]), {}),
        (np.array([2, 2]), {}),
        (np.array([-1, 2]), {}),
        (np.array([5, 10**6]), {}),
        (np.arange(3.0), {}),
        (np.arange(3), {"weights": np.ones(2)}),
    ],
)
def test_rows_that_are_not_the_runs_are_refused(ready: Hub, rows: AnyArray, per_variant: dict[str, AnyArray]) -> None:
    first = ready.first_sum()
    ask = Ask("counts", COUNTS, ZERO, rows, per_variant)
    ready.begin("FI", 1, ask, first)
    assert refusal(ready.step("FI", 1, ask)) == "bad-question"


def test_only_built_in_steps_run_and_figures_keep_their_bounds(ready: Hub) -> None:
    first = ready.first_sum()
    found = ready.begin("FI", 1, Ask("os.system", COUNTS, rows=np.arange(3)), first)["refusal"]
    assert found["rule"] == "bad-question" and "built-in" in found["reason"]
    senseless = Ask("counts", COUNTS, rows=np.arange(30))
    assert ready.begin("FI", 2, senseless, first)["refusal"] is None
    assert refusal(ready.step("FI", 2, senseless)) == "shape-mismatch"
    assert ready.begin("GB", 0, Ask("counts", COUNTS, ZERO, rows=np.arange(3)))["refusal"]["rule"] == "foreign-first-sum"


def test_steps_of_other_methods_are_refused(ready: Hub) -> None:
    """Histograms of residuals that the plan does not rank would tell each value."""
    first = ready.first_sum()
    for step in ("residual-cells", "value-cells", "node-estimates", "case-control-null"):
        assert ready.begin("FI", 1, Ask(step, COUNTS, ZERO), first)["refusal"]["rule"] == "foreign-step"
    assert ready.begin("FI", 1, Ask("trait-totals", (Statistic("y", (1,), bound=1e12),)), first)["refusal"] is None


def test_a_node_estimates_at_the_loci_of_the_plan_only(whole: AnalysisFederation) -> None:
    first = Hub(whole, "run00loci0", whole.plan())
    first.freeze()
    names = first.list_variants().names(np.array([3, 8]))
    texts = [
        f"{contig}-{position + 1}-{ref}-{alt}"
        for contig, position, ref, alt in zip(names.contig, names.position.tolist(), names.ref, names.alt, strict=True)
    ]
    hub = Hub(whole, "run00loci1", whole.plan(release={"node_level": True, "loci": texts}))
    hub.freeze()
    hub.list_variants()
    opening = hub.first_sum()
    for number, (rows, allowed) in enumerate([([3, 4], False), ([3, 8], True), ([8], True)], 1):
        ask = Ask("node-estimates", (Statistic("told", (3, len(rows), 1), 1, True),), {"rows": np.array(rows)})
        answer = hub.begin("FI", number, ask, opening)["refusal"]
        assert (answer is None) == allowed and (allowed or answer["rule"] == "foreign-step")
    assert hub.begin("FI", 4, Ask("node-estimates", COUNTS, {}), opening)["refusal"]["rule"] == "foreign-step"


def test_a_bound_that_a_figure_exceeds_is_told_once(ready: Hub) -> None:
    """Else a hub would find every figure of one node by halving bounds, past the secure sum."""
    first = ready.first_sum()
    for number, bound in ((1, 1.0), (2, 50.0)):
        tight = Ask("counts", (Statistic("n0", bound=bound, integer=True),), ZERO, rows=np.arange(30))
        answer = ready.begin("FI", number, tight, first)["refusal"]
        if number == 1:
            assert answer is None and refusal(ready.step("FI", number, tight)) == "shape-mismatch"
            ready.revive("FI")
    assert answer["rule"] == "shape-mismatch"  # it has left
    fair = Ask("counts", COUNTS, ZERO, rows=np.arange(30))
    assert refusal(ready.step("FI", 1, fair)) == "shape-mismatch"
    assert ready.begin("GB", 1, fair, first)["refusal"] is None


def test_a_lost_ask_is_asked_for_and_the_first_sum_comes_before_the_second(ready: Hub) -> None:
    ask = Ask("counts", COUNTS, ZERO, rows=np.arange(3))
    assert ready.step("FI", 1, ask).document["needs"] == "ask"
    for name in ready.nodes:
        ready.begin(name, 0, PEOPLE)
    assert ready.begin("FI", 1, ask)["refusal"]["rule"] in ("foreign-first-sum", "bad-question")
    opening, _ = ready.opening(0, PEOPLE)
    forged = opening._replace(added=(opening.added[0]._replace(words=opening.added[0].words + 1), *opening.added[1:]))
    assert ready.begin("FI", 1, ask, forged)["refusal"]["rule"] == "changed-partial"
    assert ready.begin("FI", 1, ask, opening)["refusal"] is None


def test_a_node_leaves_for_good_where_too_few_others_take_part(ready: Hub) -> None:
    first = ready.first_sum()
    ask = Ask("counts", COUNTS, ZERO, rows=np.arange(3))
    ready.nodes["FI"].policy = ready.nodes["FI"].policy.model_copy(update={"contributors_min": 4})
    assert ready.begin("FI", 1, ask, first)["refusal"]["rule"] == "contributors"
    ready.revive("FI")
    for answer in (ready.step("FI", 1, ask), ready.step("FI", 0, PEOPLE)):
        assert refusal(answer) == "contributors"
    assert ready.begin("FI", 1, ask, first)["refusal"]["rule"] == "contributors"


def test_an_aggregator_adds_a_block_once(ready: Hub) -> None:
    first = ready.first_sum()
    ask = Ask("counts", COUNTS, ZERO, rows=np.arange(10))
    for name in ready.nodes:
        ready.begin(name, 1, ask, first)
    steps = {name: ready.step(name, 1, ask) for name in ready.nodes}
    two = {name: steps[name] for name in ("FI", "GB")}
    assert refusal(ready.aggregate("GB", 1, 0, two)) == "missing-contributor"
    assert refusal(ready.aggregate("GB", 1, 0, steps, roster="0" * 64)) == "foreign-roster"
    ready.aggregate("GB", 1, 0, steps)
    ready.revive("GB")
    zeroth = {name: ready.step(name, 0, PEOPLE) for name in ready.nodes}
    assert refusal(ready.aggregate("GB", 1, 0, zeroth)) in ("foreign-header", "split-ask")


def test_data_that_changed_end_the_nodes_part(ready: Hub) -> None:
    first = ready.first_sum()
    ask = Ask("counts", COUNTS, ZERO, rows=np.arange(10))
    for name in ready.nodes:
        ready.begin(name, 1, ask, first)
    load_again(ready.made, "FI")
    assert refusal(ready.step("FI", 1, ask)) == "versions"
    ready.revive("FI")
    assert refusal(ready.step("FI", 1, ask)) == "versions"  # it has left


def test_the_list_of_variants_may_break_off_and_must_be_the_one_named(hub: Hub) -> None:
    hub.freeze()
    tables = [unpack_stretch(hub.put(name, "analysis-sites", {"start": 0}).arrays["stretch"].tobytes()) for name in hub.nodes]
    hub.variants = VariantList.merged(tables)
    total = len(hub.variants)
    assert hub.send_variants("FI", 0, 30) == 30
    hub.revive("FI")
    assert hub.send_variants("FI", 0, 30) == 30  # sent twice, taken once
    assert hub.send_variants("FI", 50, 30) == 30  # not the next one
    with pytest.raises(CohelixError, match="not the one that its digest names"):
        hub.send_variants("FI", 30, total, digest="0" * 64)
    assert hub.send_variants("FI", 0, total) == total
    assert hub.send_variants("FI", 0, total) == total


def test_a_run_is_over_at_its_deadline_and_its_files_go_later(whole: AnalysisFederation, clock: Any) -> None:
    hub = Hub(whole, "run0deadline", whole.plan(), clock)
    hub.freeze()
    folder = whole.folder / "FI" / "runs" / hub.run
    clock.off = timedelta(minutes=61)
    assert refusal(hub.open("FI")) == "not-permitted"
    hub.nodes["FI"].runs.clear()
    assert folder.exists()
    clock.off = timedelta(hours=3)
    hub.nodes["FI"].runs.clear()
    assert not folder.exists()
    clock.off = timedelta(0)
    assert refusal(hub.open("FI")) == "not-permitted"


@pytest.mark.parametrize("deadline", ["soon", "2026-11-23T00:00:00", "2999-01-01T00:00:00+00:00", ""])
def test_a_deadline_that_is_none_or_too_far_is_refused(hub: Hub, deadline: str) -> None:
    hub.deadline = deadline
    assert refusal(hub.open("FI")) == "bad-question"


def test_the_policy_refuses_and_an_aggregator_still_adds_up(tmp_path: Path) -> None:
    made = make_folders(tmp_path, {"FI": 30}, variants=20, disclosure="floored")
    key = load_identity(made.folder / "hub").public
    pinned = PinnedHub(hub_url=made.url, hub_key=key, node_url="http://FI.example", joined_at="2026-01-01")
    write_pinned(made.folder / "FI", pinned)
    hub = Hub(made, "run0policy", made.plan())
    check = hub.put("FI", "analysis-check", {"plan": hub.plan.model_dump(mode="json")}).document
    assert check["refusal"]["rule"] == "project" and check["people"] is None and not check["takesPart"]
    answer = hub.open("FI").document
    assert answer["refusal"]["rule"] == "project" and answer["terms"]["peopleBound"] == 0
    assert not answer["acceptance"]["contributor"] and answer["acceptance"]["aggregator"]
    hub.frozen = FrozenRoster(
        roster=make_roster(hub.run, plan_hash(hub.plan), [], aggregators=[], coordinator=key), signatures=()
    )
    assert refusal(hub.step("FI", 0, PEOPLE)) == "not-permitted"
    elsewhere = Hub(made, "run0elsewhere", {**made.plan(), "datasets": ["XX:sim"]})
    assert elsewhere.open("FI").document["acceptance"]["contributor"] is False


@pytest.fixture
def tasks(ready: Hub) -> tuple[Hub, Callable[[int], StepTask]]:
    """Tasks of a run that stands ready, by block."""
    first = ready.first_sum()
    rows = np.arange(len(ready.variants))
    ask = Ask("counts", COUNTS, ZERO, rows=rows)
    ready.begin("FI", 1, ask, first)
    folder = ready.nodes["FI"].folder

    def task(number: int) -> StepTask:
        arrays = {"rows": rows[number * 8 : number * 8 + 8]}
        return StepTask(str(folder), str(folder / "runs" / ready.run), 1, pack({}, arrays))

    return ready, task


def test_threads_and_processes_compute_the_same_bytes_and_a_killed_worker_is_replaced(
    tasks: tuple[Hub, Callable[[int], StepTask]],
) -> None:
    _, task = tasks
    expected = [compute_task(task(number)) for number in range(6)]

    async def go() -> None:
        threads, processes = Workers(1), Workers(2)
        try:
            assert [await threads.compute(task(number)) for number in range(6)] == expected
            assert await asyncio.gather(*(processes.compute(task(number)) for number in range(6))) == expected
            pool: Any = processes._executor
            for process in list(pool._processes.values()):
                process.kill()
            assert await asyncio.gather(*(processes.compute(task(number)) for number in range(6))) == expected
        finally:
            threads.close()
            processes.close()

    asyncio.run(go())


def test_dask_with_a_scheduler_and_two_workers_computes_the_same_bytes(
    tasks: tuple[Hub, Callable[[int], StepTask]], dask_cluster: str
) -> None:
    _, task = tasks
    expected = [compute_task(task(number)) for number in range(6)]

    async def go() -> None:
        workers = Workers(dask=dask_cluster)
        try:
            assert await asyncio.gather(*(workers.compute(task(number)) for number in range(6))) == expected
        finally:
            await asyncio.to_thread(workers.close)

    asyncio.run(go())


def test_a_step_that_changes_the_data_holds_for_later_ones_whoever_opens_them(ready: Hub) -> None:
    first = ready.first_sum()
    node = ready.nodes["FI"]
    folder = node.folder / "runs" / ready.run
    usable = np.arange(20)
    told = {
        "rows": usable,
        "mean": np.full(20, 1.0),
        "scale": np.full(20, 1.0),
        "loadings": np.ones((20, 1)),
    }
    kept = Ask("components-set", (Statistic("n", bound=1024.0, integer=True),), told)
    width = 2
    totals = Ask("covariate-totals", (Statistic("x", (width + 1,), bound=1e12),))
    before = Ask("covariate-totals", (Statistic("x", (width,), bound=1e12),))
    ready.begin("FI", 1, before, first)
    ready.begin("FI", 2, kept)
    ready.begin("FI", 3, totals)
    tasks = [StepTask(str(node.folder), str(folder), number, b"", (2,) if number == 3 else ()) for number in (1, 2, 3)]
    assert node.runs.running(ready.run).lasting_asks(3) == (2,)
    found = [unpack(compute_task(task)).arrays for task in (tasks[2], tasks[1], tasks[0], tasks[2])]
    assert found[0]["x"].shape == (3,) and np.array_equal(found[0]["x"], found[3]["x"])
    assert np.array_equal(found[2]["x"], found[0]["x"][:2])


def test_a_whole_method_over_three_nodes_equals_plain_sums(whole: AnalysisFederation) -> None:
    """The doors' answers, opened, are what the method gets from sums in the clear."""
    from cohelix.analysis.local import local_data, study_of
    from cohelix.federation.secure_sum import opening_of

    ready = Hub(whole, "run0method", whole.plan())
    ready.freeze()
    ready.list_variants()
    parts = [local_data(node.folder, node.folder / "runs" / ready.run / "local") for node in ready.nodes.values()]
    study = study_of(ready.plan, ready.variants, list(MEMBERS), people_max=1024)

    class DoorSummer:
        def __init__(self) -> None:
            self.number, self.first = 0, None

        def _opened(self, ask: Ask, block: int, lead: int | None) -> dict[str, AnyArray]:
            opening, place = ready.opening(self.number - 1, ask, block)
            if self.number == 1:
                self.first = opening_of(opening.packed())
            return dict(open_sum(opening, place, Layout.of(ask.statistics, lead, 3), ready.frozen))

        def _begin(self, ask: Ask) -> None:
            for name in ready.nodes:
                assert ready.begin(name, self.number, ask, self.first)["refusal"] is None
            self.number += 1

        def sum(self, ask: Ask) -> dict[str, AnyArray]:
            self._begin(ask)
            return self._opened(ask, 0, None)

        def blocks(self, ask: Ask) -> Iterator[tuple[range, dict[str, AnyArray]]]:
            self._begin(ask)
            for number, block in enumerate(ask.blocks()):
                yield block, self._opened(ask, number, len(block))

    class Kept:
        def __init__(self) -> None:
            self.columns: dict[str, list[AnyArray]] = {}

        def write(self, rows: AnyArray, columns: Mapping[str, AnyArray]) -> None:
            for name, values in {"rows": rows, **columns}.items():
                self.columns.setdefault(name, []).append(np.asarray(values))

    plain, secure = Kept(), Kept()
    oracle = PlainSummer(parts)
    assert count_people(study, oracle) == 210
    linear(ready.plan, study, oracle, plain)
    summer = DoorSummer()
    assert count_people(study, summer) == 210
    linear(ready.plan, study, summer, secure)
    assert plain.columns.keys() == secure.columns.keys() and len(np.concatenate(plain.columns["rows"])) > 10
    for name in plain.columns:
        one, other = (np.concatenate([np.ravel(part) for part in kept.columns[name]]) for kept in (plain, secure))
        if one.dtype.kind in "US":
            assert np.array_equal(one, other)
            continue
        np.testing.assert_allclose(other, one, rtol=1e-9, atol=1e-12, err_msg=name)


def test_an_identity_of_another_hub_gets_nothing(ready: Hub, tmp_path: Path) -> None:
    ready.identity = create_identity(tmp_path)
    with pytest.raises(CohelixError, match="unknown key"):
        ready.step("FI", 0, PEOPLE)
    shutil.rmtree(tmp_path / "identity")
