"""The form of a new analysis: an address is a draft, a draft a plan, and the plan's own reader says what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from fastapi import FastAPI
from starlette.datastructures import QueryParams
from starlette.testclient import TestClient

from cohelix.portal.wizard import METHOD_WORDS, MISSING_WORDS, TRANSFORMATION_WORDS, read_draft
from cohelix.wire.plan import parse_plan, plan_hash, plan_schema

GOOD = "project=demo&dataset=FI:a&dataset=GB:a&dataset=IT:a&traits=BMI&covariates=sex, PC1, component 2&region=22:1-900"


@pytest.fixture
def site(make_app: Callable[..., FastAPI], stage: Any) -> tuple[FastAPI, TestClient]:
    app = make_app(stage)
    return app, TestClient(app, follow_redirects=False)


def test_an_address_is_a_plan() -> None:
    draft = read_draft(QueryParams(GOOD + "&cohort=sex=female&transformation=residual-rank&maf_min=0.05&missing=complete-case"))
    assert draft.document == {
        "project": "demo",
        "datasets": ["FI:a", "GB:a", "IT:a"],
        "cohort": "sex=female",
        "trait": {"measurement": "BMI"},
        "covariates": ["sex", {"measurement": "PC1"}, {"component": 2}],
        "transformation": "residual-rank",
        "variants": {"region": "22:1-900", "maf_min": 0.05},
        "missing": "complete-case",
        "method": "linear",
        "options": {"components": 10},
    }
    assert not draft.mistake and draft.hash == plan_hash(parse_plan(yaml.safe_load(draft.yaml())))
    assert read_draft(QueryParams(draft.query)) == draft


def test_cases_and_controls_are_a_plan() -> None:
    draft = read_draft(QueryParams(GOOD + "&method=firth&case=disease=OMIM:1&control=not disease=OMIM:1"))
    assert not draft.mistake and "trait" not in draft.document
    assert (draft.document["case"], draft.document["control"]) == ("disease=OMIM:1", "not disease=OMIM:1")


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ("&cohort=sex=mle", "cohort"),
        ("&maf_min=7", "maf_min"),
        ("&maf_min=few", "maf_min"),
        ("&region=22:a", "region"),
        ("&method=magic", "method"),
        ("&method=firth&case=sex=male", "control"),
        ("&node_level=yes", "loci"),
    ],
)
def test_a_mistake_is_said_at_its_field(site: tuple[FastAPI, TestClient], more: str, field: str) -> None:
    draft = read_draft(QueryParams(GOOD + more))
    assert draft.mistake and draft.wrong == field and not draft.hash
    page = site[1].get(f"/analyses/new?{GOOD}{more}").text
    assert re.search(rf'id="{field}"[^>]*aria-invalid="true"', page) and 'role="alert"' in page
    assert "Start the analysis" not in page
    assert site[1].get(f"/analyses/new/plan.yaml?{GOOD}{more}").status_code == 400


def test_every_choice_of_a_plan_is_offered() -> None:
    properties = plan_schema()["properties"]
    offered = {"method": METHOD_WORDS, "transformation": TRANSFORMATION_WORDS, "missing": MISSING_WORDS}
    assert {name: set(properties[name]["enum"]) for name in offered} == {name: set(words) for name, words in offered.items()}


def test_members_are_asked_and_a_run_begins(site: tuple[FastAPI, TestClient]) -> None:
    app, client = site
    assert not app.state.board.asked
    page = client.get(f"/analyses/new?{GOOD}&do=check").text
    (asked,) = app.state.board.asked
    assert asked["trait"] == {"measurement": "BMI"} and "It cannot run." in page and "&lt;b&gt;not&lt;/b&gt; allowed" in page
    plan = re.search(r'name="plan" value="([^"]+)"', page)
    assert plan
    sent = {"plan": plan[1].replace("&amp;", "&"), "form_key": ""}
    assert client.post("/analyses/new", data=sent, headers={"origin": "https://elsewhere.example"}).status_code == 403
    begun = client.post("/analyses/new", data=sent, headers={"origin": "http://testserver"})
    assert begun.status_code == 303 and begun.headers["location"] == "/analyses/new12345"
    assert app.state.board.asked[-1] == asked
    file = client.get(f"/analyses/new/plan.yaml?{GOOD}")
    assert yaml.safe_load(file.text) == asked and "attachment" in file.headers["content-disposition"]
