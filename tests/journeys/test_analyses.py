"""A researcher runs a federated analysis over a hub and four nodes, each a process of its own; servers die in between."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import polars as pl
import pytest
import yaml
from playwright.sync_api import sync_playwright

from cohelix.core.errors import BadQuestion, Conflict, NotPermitted
from cohelix.sdk import AsyncClient, connect
from cohelix.sdk.analyses import Analyses, Analysis, Check, Event
from cohelix.testing.analyses import AnalysisFederation, analysis_federation
from validation.processes import inside, said

MEMBERS = {"FI": 60, "GB": 70, "IT": 60, "CEU": 50}


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnalysisFederation]:
    """Four members of open, simulated data."""
    with analysis_federation(
        tmp_path_factory.mktemp("analyses"), MEMBERS, variants=400, hub_settings="run_open_seconds = 5.0\n"
    ) as made:
        yield made


def test_a_plan_is_checked_run_reviewed_and_fetched(federation: AnalysisFederation, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(yaml.safe_dump(federation.plan()))
    with inside():
        checked = said("analysis", "check", plan, "--hub", federation.url, "--json")
        assert checked.status == 0
        told = json.loads(checked.out)
        assert told["possible"] and told["people"] == 240 and {one["node"] for one in told["nodes"]} == set(MEMBERS)

        held = said("analysis", "run", plan, "--hub", federation.url, "--out", tmp_path / "out", "--json")
        assert held.status == 3, held.err
        run = json.loads(held.out)
        assert run["state"] == "held" and run["people"] == 240 and not (tmp_path / "out").exists()
        assert "running" in held.err

        early = said("analysis", "result", run["id"], "--hub", federation.url, "--out", tmp_path / "early")
        assert early.status == 3 and not (tmp_path / "early").exists()
        assert httpx.get(f"{federation.url}/api/v1/analyses/{run['id']}/files/results.parquet").status_code == 403

        reviewed = said("hub", "review", federation.folder / "hub", run["id"], "--by", "data officer", "--release", "--json")
        assert reviewed.status == 0, reviewed.err
        assert json.loads(reviewed.out)["run"]["state"] == "released"  # one suffices: all data are open

        fetched = said("analysis", "result", run["id"], "--hub", federation.url, "--out", tmp_path / "out", "--json")
        assert fetched.status == 0, fetched.err
    names = {path.name for path in (tmp_path / "out").iterdir()}
    wanted = {"results.parquet", "results.tsv.gz", "results.tsv.gz.tbi", "metadata.yaml", "manifest.json", "report.html"}
    assert names == wanted
    _agrees(federation, pl.read_parquet(tmp_path / "out" / "results.parquet"))


def test_a_hub_and_a_node_that_are_killed_in_the_middle_go_on(federation: AnalysisFederation, tmp_path: Path) -> None:
    done = threading.Event()

    def say(event: Event) -> None:
        if not done.is_set() and event.event == "state" and event.document["state"] == "running":
            done.set()
            for name in ("hub", "GB"):
                federation.kill(name)
            for name in ("hub", "GB"):
                federation.serve(name)

    with connect(federation.url) as client:
        run = client.analyses.run(federation.plan(), say=say)
        assert done.is_set() and isinstance(run, Analysis) and run.state == "held", run
        states: list[str] = []
        client.analyses.wait(run.id, say=lambda event: states.append(str(event.document.get("state"))))
        assert [one for one in states if one != "None"][-3:] == ["running", "combined", "held"]
        with inside():
            assert said("hub", "review", federation.folder / "hub", run.id, "--by", "officer", "--release").status == 0
        result = client.analyses.result(run.id, tmp_path / "out")
    assert "<table>" in result._repr_html_()
    _agrees(federation, result.to_polars())


def test_fewer_than_three_are_refused(federation: AnalysisFederation) -> None:
    plan = federation.plan(datasets=["FI:sim", "GB:sim"])
    with connect(federation.url) as client:
        check = client.analyses.check(plan)
        assert not check.possible and "fewer than 3" in str(check.reason)
        run = client.analyses.run(plan)
        assert isinstance(run, Analysis) and run.state == "refused"
        assert "fewer than three" in str(run.reason)
        with pytest.raises(NotPermitted):
            client.analyses.result(run.id, "nowhere")


def test_a_plan_that_cannot_be_meant_is_not_taken(federation: AnalysisFederation) -> None:
    groups = {"trait": None, "case": {"sex": "female"}, "control": {"sex": "male"}, "covariates": []}
    with connect(federation.url) as client:
        for wrong in (
            federation.plan(datasets=["FI:sim", "GB:sim", "XX:sim"]),
            federation.plan(options={"summing": "openly"}),
            federation.plan(options={"all_nodes": "yes"}),
            federation.plan(method="logistic", **groups, options={"no_such_option": 1}),
        ):
            with pytest.raises(BadQuestion):
                client.analyses.propose(wrong)
            with pytest.raises(BadQuestion):
                client.analyses.check(wrong)


def test_the_asynchronous_client_says_the_same(federation: AnalysisFederation, tmp_path: Path) -> None:
    async def ask() -> tuple[Check, Analysis, Analyses]:
        async with AsyncClient(federation.url) as client:
            plan = federation.plan(datasets=["FI:sim", "GB:sim"])
            run = await client.analyses.run(plan, tmp_path / "out")
            assert isinstance(run, Analysis)
            with pytest.raises(NotPermitted):
                await client.analyses.result(run.id, tmp_path / "out")
            with pytest.raises(Conflict):
                await client.analyses.cancel(run.id)
            return await client.analyses.check(plan), run, await client.analyses.list(1)

    check, run, newest = asyncio.run(ask())
    assert not check.possible and run.state == "refused" and newest.runs[0].id == run.id


def test_a_run_is_cancelled(federation: AnalysisFederation) -> None:
    with connect(federation.url) as client:
        begun = client.analyses.propose(federation.plan())
        assert client.analyses.cancel(begun.id).state == "cancelled"
        assert client.analyses.wait(begun.id).state == "cancelled"
        with pytest.raises(Conflict):
            client.analyses.cancel(begun.id)
        assert begun.id in {one.id for one in client.analyses.list().runs}


def test_a_member_that_is_away_before_freezing_is_left_out(federation: AnalysisFederation) -> None:
    federation.kill("CEU")
    with connect(federation.url) as client, ThreadPoolExecutor(1) as pool:
        begun = threading.Event()
        running = pool.submit(client.analyses.run, federation.plan(), say=lambda _event: begun.set())
        assert begun.wait(30)
        _watched(federation)
        run = running.result()
        assert isinstance(run, Analysis) and run.state == "held", run
        assert run.people == 190
        assert {one.node for one in run.nodes if one.contributor} == {"FI", "GB", "IT"}
        (absent,) = [one for one in run.nodes if one.status == "absent"]
        assert absent.node == "CEU" and absent.reason
        whole = client.analyses.run(federation.plan(options={"all_nodes": True}))
        assert isinstance(whole, Analysis) and whole.state == "refused" and "CEU" in str(whole.reason)


def _watched(federation: AnalysisFederation) -> None:
    """The page of the newest run in a browser: it follows without being loaded again, until the run is held."""
    newest = httpx.get(f"{federation.url}/api/v1/analyses").json()["runs"][0]["id"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        page = browser.new_page()
        loads: list[str] = []
        page.on("load", lambda loaded: loads.append(loaded.url))
        page.goto(f"{federation.url}/analyses/{newest}")
        status = page.locator("#live [role=status]")
        first = status.inner_text()
        page.wait_for_function("told => document.querySelector('#live [role=status]').textContent.trim() !== told", arg=first)
        assert len(loads) == 1
        page.get_by_text("The results wait for their reviewers.").wait_for()
        assert len(loads) == 2 and page.locator("[data-going]").count() == 0
        assert page.get_by_text("is away and left out").count() == 1
        browser.close()


def _agrees(federation: AnalysisFederation, table: pl.DataFrame) -> None:
    """Every line against a least-squares fit of all people together."""
    cohort = federation.cohort
    dosage = cohort.alleles.sum(axis=2).astype(float)
    sex = np.array([name == "male" for name in cohort.sexes], float)
    others = np.column_stack([np.ones(len(sex)), federation.covariate, sex])
    place = {int(position) + 1: number for number, position in enumerate(cohort.positions)}
    frequency = dosage.mean(axis=1) / 2
    assert len(table) == int((np.minimum(frequency, 1 - frequency) >= 0.01).sum()) > 100
    for line in table.iter_rows(named=True):
        g = dosage[place[line["base_pair_location"]]]
        X = np.column_stack([others, g])
        beta, rest, *_ = np.linalg.lstsq(X, cohort.trait, rcond=None)
        variance = rest[0] / (len(g) - X.shape[1]) * np.linalg.inv(X.T @ X)[-1, -1]
        assert line["n"] == len(g)
        assert abs(line["beta"] - beta[-1]) <= 1e-8 * np.sqrt(variance)
        assert line["standard_error"] == pytest.approx(np.sqrt(variance), rel=1e-8)
