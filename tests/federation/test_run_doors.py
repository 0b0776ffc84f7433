"""A node in a run: it answers a repeated question alike, after a kill too, and refuses what must not be."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from cohelix.analysis.counts import NODE_HWE
from cohelix.analysis.steps import AnyArray, Ask, Statistic
from cohelix.analysis.variants import VariantList, unpack_stretch
from cohelix.audit.events import RunRefused
from cohelix.core.errors import CohelixError
from cohelix.db import open_database
from cohelix.db.tables import LEDGER_ENTRIES, LEDGER_REFUSALS
from cohelix.federation.asking import pack_ask
from cohelix.federation.joining import write_pinned
from cohelix.federation.roster import FrozenRoster, make_roster
from cohelix.federation.secure_sum import Place, open_sum, receiver
from cohelix.federation.signing import create_identity, load_identity
from cohelix.federation.worker import StepTask, Workers, compute_task
from cohelix.stats.secret_sharing import Layout
from cohelix.testing.analyses import AnalysisFederation, load_again, make_folders
from cohelix.testing.run_parties import Hub, Node, people_ask, pin_hub
from cohelix.wire.federation import PinnedHub
from cohelix.wire.packed import Packed, pack, unpack
from cohelix.wire.plan import plan_hash

MEMBERS = {"FI": 60, "GB": 80, "IT": 70}
PEOPLE = people_ask(320.0)  # powers of two: 64, 128 and 128
TOLD = {"threshold": np.array(NODE_HWE)}
COUNTS = (
    *(Statistic(name, bound=210, integer=True) for name in ("n0", "n1", "n2")),
    Statistic("hwe_departing_nodes", bound=3, integer=True),
)


def refusal(answer: Packed) -> str:
    found = answer.document["refusal"]
    assert found is not None, answer.document
    return str(found["rule"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> AnalysisFederation:
    made = make_folders(tmp_path_factory.mktemp("runs"), MEMBERS, variants=80)
    pin_hub(made)
    return made


@pytest.fixture
def hub(whole: AnalysisFederation, request: pytest.FixtureRequest) -> Hub:
    number = abs(hash(request.node.name)) % 10**12
    plan = {name: value for name, value in whole.plan(method="counts").items() if name not in ("trait", "covariates")}
    return Hub(whole, f"run{number:013d}", plan)


@pytest.fixture
def ready(hub: Hub) -> Hub:
    hub.freeze()
    hub.list_variants()
    return hub


def test_a_run_from_the_first_question_to_the_last(ready: Hub) -> None:
    first, totals = ready.counted()
    layout = Layout.of(PEOPLE.statistics, None, 3)
    assert open_sum(first, first.headers[0].place, layout, ready.frozen)["n"] == sum(MEMBERS.values())
    rows = np.arange(0, len(ready.variants), 2)
    ask = Ask("counts", COUNTS, TOLD, rows=rows)
    for name in ready.nodes:
        assert ready.begin(name, 2, ask, totals)["refusal"] is None
    opening, place = ready.opening(2, ask)
    sums = open_sum(opening, place, Layout.of(COUNTS, len(rows), 3), ready.frozen)
    alleles = ready.made.cohort.alleles.sum(axis=2)[rows]
    assert np.array_equal(sums["n0"], (alleles == 0).sum(axis=1)) and np.array_equal(sums["n1"], (alleles == 1).sum(axis=1))
    for name in ready.nodes:
        folder = ready.nodes[name].folder / "runs" / ready.run
        assert (folder / "session.key").stat().st_mode & 0o077 == 0
        ready.put(name, "analysis-end", {"outcome": "combined"})
        assert not folder.exists()
        assert refusal(ready.open(name)) == "not-permitted"  # a run that has ended never begins again
        assert refusal(ready.step(name, 2, ask)) == "not-permitted"
        # What was asked stays, though headers go.
        asked = ready.nodes[name].runs.asked(ready.run)
        assert [(number, step) for number, _, step in asked] == [(0, "people"), (1, "column-totals"), (2, "counts")]
        assert all(digest == ready.digests[number] for number, digest, _ in asked)


def test_after_a_kill_the_same_question_has_the_same_answer(hub: Hub) -> None:
    accepted = hub.open("FI")
    hub.revive("FI")
    assert hub.open("FI").document == accepted.document
    hub.freeze()
    hub.revive("FI")
    hub.list_variants()
    openings = hub.counted()
    rows = np.arange(len(hub.variants))
    ask = Ask("counts", COUNTS, TOLD, rows=rows)
    for name in hub.nodes:
        hub.begin(name, 2, ask, *openings)
    before = {name: hub.step(name, 2, ask) for name in hub.nodes}
    partial = hub.aggregate("FI", 2, 0, before)
    for name in hub.nodes:
        hub.revive(name)
        # It follows the sums from the beginning, once more.
        assert hub.step(name, 2, ask).document["needs"] == "ask"
        assert hub.begin(name, 2, ask)["needs"] == [[0, 0]]
        assert hub.begin(name, 2, ask, openings[0])["needs"] == [[1, 0]]
        assert hub.begin(name, 2, ask, openings[1]) == {"digest": hub.digests[2], "needs": [], "refusal": None}
    after = {name: hub.step(name, 2, ask) for name in hub.nodes}
    for name in hub.nodes:
        assert after[name].document == before[name].document
        ((receiving, sealed),) = after[name].arrays.items()
        assert receiving == f"payload.{receiver(hub.frozen.roster, name, Place(2, 0, ''))}"
        assert np.array_equal(sealed, before[name].arrays[receiving])
    again = hub.aggregate("FI", 2, 0, after)
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
    openings = ready.counted()
    ask = Ask("counts", COUNTS, TOLD, rows=np.arange(10))
    other = Ask("counts", COUNTS[:1], TOLD, rows=np.arange(10))
    for name in ready.nodes:
        ready.begin(name, 2, ask, *openings)
    ready.step("FI", 2, ask)
    ready.revive("FI")
    assert ready.begin("FI", 2, other)["refusal"]["rule"] == "second-ask"
    assert refusal(ready.step("FI", 2, other)) == "second-ask"
    ready.begin("FI", 2, ask, openings[0])
    ready.begin("FI", 2, ask, openings[1])
    assert refusal(ready.step("FI", 2, replace(ask, rows=np.arange(1, 11)))) == "second-ask"  # other rows in the same block
    assert refusal(ready.step("FI", 2, ask, asked="0" * 64)) == "split-ask"
    assert ready.begin("FI", 3, Ask("counts", COUNTS, TOLD, rows=np.arange(10, 20)))["refusal"] is None
    assert ready.begin("FI", 5, Ask("counts", COUNTS, TOLD, rows=np.arange(10, 20)))["refusal"]["rule"] == "bad-question"


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
    _, totals = ready.counted()
    ask = Ask("counts", COUNTS, TOLD, rows, per_variant)
    ready.begin("FI", 2, ask, totals)
    assert refusal(ready.step("FI", 2, ask)) == "bad-question"


def test_only_built_in_steps_run(ready: Hub) -> None:
    first = ready.first_sum()
    found = ready.begin("FI", 1, Ask("os.system", COUNTS, rows=np.arange(3)), first)["refusal"]
    assert found["rule"] == "bad-question" and "built-in" in found["reason"]
    assert ready.begin("GB", 0, Ask("counts", COUNTS, TOLD, rows=np.arange(3)))["refusal"]["rule"] == "foreign-first-sum"


def test_steps_of_other_methods_are_refused(ready: Hub) -> None:
    """Histograms of residuals that the plan does not rank would tell each value."""
    first = ready.first_sum()
    for step in ("residual-cells", "value-cells", "node-estimates", "case-control-null"):
        assert ready.begin("FI", 1, Ask(step, COUNTS, TOLD), first)["refusal"]["rule"] == "foreign-step"
    assert ready.begin("FI", 1, Ask("column-totals", PEOPLE.statistics), first)["refusal"] is None


def test_a_lost_ask_is_asked_for_and_the_first_sum_comes_before_the_second(ready: Hub) -> None:
    ask = Ask("column-totals", PEOPLE.statistics)
    assert ready.step("FI", 1, ask).document["needs"] == "ask"
    for name in ready.nodes:
        ready.begin(name, 0, PEOPLE)
    assert ready.begin("FI", 1, ask)["refusal"]["rule"] in ("foreign-first-sum", "bad-question")
    opening, _ = ready.opening(0, PEOPLE)
    forged = opening._replace(added=(opening.added[0]._replace(words=opening.added[0].words + 1), *opening.added[1:]))
    assert ready.begin("FI", 1, ask, forged)["refusal"]["rule"] == "changed-partial"
    assert ready.begin("FI", 1, ask, opening)["refusal"] is None


def test_a_node_leaves_for_good_where_too_few_others_take_part(ready: Hub) -> None:
    first, ask = ready.first_sum(), Ask("column-totals", PEOPLE.statistics)
    ready.nodes["FI"].policy = ready.nodes["FI"].policy.model_copy(update={"contributors_min": 4})
    assert ready.begin("FI", 1, ask, first)["refusal"]["rule"] == "contributors"
    ready.revive("FI")
    for answer in (ready.step("FI", 1, ask), ready.step("FI", 0, PEOPLE)):
        assert refusal(answer) == "contributors"
    assert ready.begin("FI", 1, ask, first)["refusal"]["rule"] == "contributors"


def test_an_aggregator_adds_a_block_once(ready: Hub) -> None:
    _, totals = ready.counted()
    ask = Ask("counts", COUNTS, TOLD, rows=np.arange(10))
    for name in ready.nodes:
        ready.begin(name, 2, ask, totals)
    steps = {name: ready.step(name, 2, ask) for name in ready.nodes}
    two = {name: steps[name] for name in ("FI", "GB")}
    assert refusal(ready.aggregate("GB", 2, 0, two)) == "missing-contributor"
    assert refusal(ready.aggregate("GB", 2, 0, steps, roster="0" * 64)) == "foreign-roster"
    ready.aggregate("GB", 2, 0, steps)
    ready.revive("GB")
    zeroth = {name: ready.step(name, 0, PEOPLE) for name in ready.nodes}
    assert refusal(ready.aggregate("GB", 2, 0, zeroth)) in ("foreign-header", "split-ask")


def test_data_that_changed_end_the_nodes_part(ready: Hub) -> None:
    _, totals = ready.counted()
    ask = Ask("counts", COUNTS, TOLD, rows=np.arange(10))
    for name in ready.nodes:
        ready.begin(name, 2, ask, totals)
    load_again(ready.made, "FI")
    assert refusal(ready.step("FI", 2, ask)) == "versions"
    left = [event.reason for event in ready.nodes["FI"].noted.events if isinstance(event, RunRefused)]
    assert left == ["versions"]  # that it leaves is written down, and once
    ready.revive("FI")
    assert refusal(ready.step("FI", 2, ask)) == "versions"  # it has left


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
    _, totals = ready.counted()
    rows = np.arange(len(ready.variants))
    ask = Ask("counts", COUNTS, TOLD, rows=rows)
    ready.begin("FI", 2, ask, totals)
    folder = ready.nodes["FI"].folder

    def task(number: int) -> StepTask:
        arrays = {"rows": rows[number * 8 : number * 8 + 8]}
        return StepTask(str(folder), str(folder / "runs" / ready.run), 2, pack({}, arrays))

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


def test_a_step_that_changes_the_data_holds_for_later_ones_whoever_opens_them(whole: AnalysisFederation) -> None:
    ready = Hub(whole, "run0lasting", whole.plan())
    ready.freeze()
    ready.list_variants()
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
    totals = Ask("column-totals", (Statistic("x", (width + 1,), bound=1e12),))
    before = Ask("column-totals", (Statistic("x", (width,), bound=1e12),))
    run = node.runs.running(ready.run)
    for number, ask in enumerate((before, kept, totals), 1):
        run.keep_ask(number, pack_ask(ask), lasting=ask is kept)
    tasks = [StepTask(str(node.folder), str(folder), number, b"", (2,) if number == 3 else ()) for number in (1, 2, 3)]
    assert run.lasting_asks(3) == (2,)
    found = [unpack(compute_task(task)).arrays for task in (tasks[2], tasks[1], tasks[0], tasks[2])]
    assert found[0]["x"].shape == (3,) and np.array_equal(found[0]["x"], found[3]["x"])
    assert np.array_equal(found[2]["x"], found[0]["x"][:2])


def test_an_identity_of_another_hub_gets_nothing(ready: Hub, tmp_path: Path) -> None:
    ready.identity = create_identity(tmp_path)
    with pytest.raises(CohelixError, match="unknown key"):
        ready.step("FI", 0, PEOPLE)
    shutil.rmtree(tmp_path / "identity")


def test_a_region_without_variants_is_told_and_nothing_is_booked(tmp_path: Path) -> None:
    made = make_folders(tmp_path, {"FI": 60}, variants=20, disclosure="floored", analysis='projects = ["test"]')
    pin_hub(made)
    empty = Hub(made, "run0empty", made.plan(variants={"region": "22:40000001-40000100"}))
    said = empty.put("FI", "analysis-check", {"plan": empty.plan.model_dump(mode="json")}).document
    assert said["refusal"]["rule"] == "no-variants" and said["people"] is None
    with open_database(made.folder / "FI" / "node.sqlite").connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(LEDGER_ENTRIES)).scalar() == 0


def test_a_figure_beyond_its_bound_counts_as_a_refusal(tmp_path: Path) -> None:
    made = make_folders(tmp_path, {"FI": 60}, variants=20, disclosure="floored", analysis='projects = ["test"]')
    ledger = Node(made.folder / "FI").ledger
    for _ in range(2):
        ledger.note_leave("test", "run0bound")
    with open_database(made.folder / "FI" / "node.sqlite").connect() as connection:
        assert connection.execute(sa.select(LEDGER_REFUSALS.c.question)).scalars().all() == ["left/run0bound"]
