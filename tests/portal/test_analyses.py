"""Pages of analyses: every state in words, nothing of a result before its release, and what a released one found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from tests.portal.conftest import run

from cohelix.portal.analyses import STATE_WORDS
from cohelix.portal.findings import curves
from cohelix.wire.analysis import RunEvent, RunState

TOP = {
    "chromosome": "22", "position": 50313359, "effect_allele": "A", "other_allele": "G", "trait": "ENSG00000184164.10",
    "beta": -1.14337, "standard_error": 0.07, "effect_allele_frequency": 0.22, "neg_log10_p": 44.12, "n": 358,
}  # fmt: skip
SUMMARY = {
    "lines": 3421,
    "tested": 3421,
    "lambda": 1.02,
    "contigs": {},
    "cells": {},
    "top": [TOP],
    "loci": [TOP],
    "quantiles": [],
}


@pytest.fixture
def site(make_app: Callable[..., FastAPI], stage: Any) -> tuple[FastAPI, TestClient]:
    app = make_app(stage)
    return app, TestClient(app)


@pytest.mark.parametrize("state", get_args(RunState))
def test_every_state_is_said_in_words(site: tuple[FastAPI, TestClient], state: RunState) -> None:
    app, client = site
    app.state.board.runs["abc12345"] = run(
        state, reason="a member\u2019s own words" if state in ("refused", "aborted") else None, files=["results.parquet"]
    )
    app.state.board.summaries["abc12345"] = SUMMARY
    page = client.get("/analyses/abc12345", headers={"accept": "text/html"})
    assert page.status_code == 200
    assert STATE_WORDS[state] in page.text
    assert ("results.parquet" in page.text) == (state == "released")
    assert ("22-50313359-G-A" in page.text) == (state == "released")
    assert ('http-equiv="refresh"' in page.text) == (state in ("proposed", "checking", "open", "frozen", "running", "combined"))
    if state in ("refused", "aborted"):
        assert "own words" in page.text
    assert STATE_WORDS[state] in client.get("/analyses").text


def test_what_has_happened_is_told_and_the_part_that_changes_comes_by_itself(site: tuple[FastAPI, TestClient]) -> None:
    app, client = site
    app.state.board.runs["abc12345"] = run("running", fraction=0.25, seconds_left=12.4)
    told = [("state", None, {"state": "proposed"}), ("accepted", "FI", {}), ("lost", "GB", {"reason": "<b>no</b> road"})]
    app.state.board.happened = [
        RunEvent(number=number, at="2026-11-23T09:12:32.038Z", event=event, node=node, document=document)
        for number, (event, node, document) in enumerate([*told, ("progress", None, {"fraction": 0.25})], 1)
    ]
    page = client.get("/analyses/abc12345").text
    part = client.get("/analyses/abc12345/live").text
    assert 'data-last="3"' in page and part.strip() in page and "data-going" in part
    assert "25 % of the table" in part and "About 12 s" in part and 'aria-current="step">Computes.' in part
    assert "<b>FI</b> takes part" in part and "&lt;b&gt;no&lt;/b&gt; road" in part and part.count("<time") == 3
    app.state.board.runs["abc12345"] = run("held")
    assert "data-going" not in client.get("/analyses/abc12345/live").text  # so that the page's script loads the whole page
    assert client.get("/analyses/nothing/live").status_code == 404


def test_names_from_a_plan_are_text_and_no_markup(site: tuple[FastAPI, TestClient]) -> None:
    app, client = site
    held = run("held")
    plan = {**held.plan, "project": "<script>alert(1)</script>", "trait": {"measurement": "<img src=x>"}}
    app.state.board.runs["abc12345"] = held.model_copy(update={"plan": plan})
    for page in ("/analyses", "/analyses/abc12345"):
        text = client.get(page).text
        assert "<script>alert" not in text
        assert "<img src=x>" not in text


@pytest.mark.parametrize("name", ["nothing", "..%2f..%2fetc", "a" * 50])
def test_an_analysis_that_is_not_there(site: tuple[FastAPI, TestClient], name: str) -> None:
    answer = site[1].get(f"/analyses/{name}", headers={"accept": "text/html"})
    assert answer.status_code == httpx.codes.NOT_FOUND


def test_no_analysis_yet(site: tuple[FastAPI, TestClient]) -> None:
    assert "No analysis yet" in site[1].get("/analyses").text


ESTIMATE = {"beta": 0.25, "standardError": 0.125, "low": 0.005, "high": 0.495}
LOCUS = {
    "variant": "22-50313359-G-A",
    "nodes": [{"node": "FI", **ESTIMATE}, {"node": "IT", **ESTIMATE}],
    "silent": ["GB"],
    "together": {**ESTIMATE, "q": 1.5, "qNegLog10P": 0.66, "iSquared": 0.33},
}


@pytest.mark.parametrize("part", ["estimates", "region/22:50000000-51000000"])
def test_nothing_from_nearer_before_the_release(site: tuple[FastAPI, TestClient], part: str) -> None:
    app, client = site
    app.state.board.runs["abc12345"] = run("held")
    assert client.get(f"/analyses/abc12345/{part}").status_code == httpx.codes.FORBIDDEN


@pytest.mark.parametrize(("state", "why"), [("not-asked", "did not ask"), ("not-agreed", "not every member’s policy agreed")])
def test_estimates_of_nodes_that_are_not_released_are_said_to_be_so(
    site: tuple[FastAPI, TestClient], state: str, why: str
) -> None:
    app, client = site
    app.state.board.runs["abc12345"], app.state.board.summaries["abc12345"] = run("released"), SUMMARY
    app.state.board.node_estimates = {"state": state, "trait": "BMI", "loci": []}
    page = client.get("/analyses/abc12345/estimates").text
    assert "Not released." in page and why in page and "<svg viewBox" not in page.partition("<main")[2]
    assert why in client.get("/analyses/abc12345").text


def test_a_forest_plot_has_its_words_and_its_table(site: tuple[FastAPI, TestClient]) -> None:
    app, client = site
    app.state.board.runs["abc12345"], app.state.board.summaries["abc12345"] = run("released"), SUMMARY
    app.state.board.node_estimates = {"state": "released", "trait": "BMI", "loci": [LOCUS]}
    page = client.get("/analyses/abc12345/estimates?locus=22-50313359-G-A").text
    assert "2 members. Together: effect 0.25 (95 % interval 0.005 to 0.495)." in page
    assert "Q = 1.5, −log₁₀ p = 0.66, I² = 33 %." in page and "no estimate: GB." in page
    assert page.count("<svg viewBox") >= 3 and page.count('class="weight"') == 2
    assert client.get("/analyses/abc12345/estimates?locus=1-1-A-C").status_code == httpx.codes.NOT_FOUND


def test_a_region_of_a_table_leads_to_the_windows_beside_it(site: tuple[FastAPI, TestClient]) -> None:
    app, client = site
    app.state.board.runs["abc12345"], app.state.board.summaries["abc12345"] = run("released"), SUMMARY
    page = client.get("/analyses/abc12345/region/22:50000001-51000000?trait=%3Cb%3E").text
    assert "1 test in 22:50,000,001–51,000,000." in page and ">22-50313359-G-A</a>" in page
    for window in ("22:49500001-50500000", "22:50500001-51500000", "22:50250001-50750000"):
        assert f'href="/analyses/abc12345/region/{window}?trait=%3Cb%3E"' in page, window
    assert "pictures/region.png?scheme=dark&amp;region=22" in page and "<b></b>" not in page and "<b><b>" not in page
    assert client.get("/analyses/abc12345/region/22").status_code == httpx.codes.BAD_REQUEST


def test_curves_are_read_between_their_points() -> None:
    told = {"quantiles": [[3.2, 9.0], [1.2, 1.4], [0.8, 1.0], [0.0, 0.0]], "strata": [{"quantiles": [[1.0, 2.0], [0.0, 0.0]]}]}
    found = dict(curves(told))
    assert found[0.5] == [pytest.approx(0.625), pytest.approx(1.0)] and found[1.0] == [pytest.approx(1.2), pytest.approx(2.0)]
    assert found[3.0] == [pytest.approx(8.24), None] and 3.5 not in found
    assert curves({"quantiles": []}) == []


def test_lines_of_a_meta_analysis_have_their_heterogeneity(site: tuple[FastAPI, TestClient]) -> None:
    app, client = site
    lead = {**TOP, "studies": 3, "q": 2.5, "i_squared": 0.2}
    app.state.board.runs["abc12345"] = run("released")
    app.state.board.summaries["abc12345"] = {**SUMMARY, "loci": [lead], "top": [lead]}
    for address in ("/analyses/abc12345", "/analyses/abc12345/region/22:50000001-51000000"):
        page = client.get(address).text
        assert '<td class="number">3</td><td class="number">2.5</td><td class="number">20 %</td>' in page
