"""Counting people by an expression over HTTP: hub, nodes, client and command line."""

from __future__ import annotations

import json

import httpx
import pytest

from cohelix.core.errors import BadInput, BadQuestion, NotFound
from cohelix.federation.cohorts import checked_count
from cohelix.sdk import connect
from cohelix.testing.federation import PEOPLE, RunningFederation
from cohelix.wire.cohorts import DatasetCount, NodeCohortCount
from cohelix.wire.federation import Member
from cohelix.wire.plan import plan_schema
from validation.processes import said


def males(federation: RunningFederation, name: str) -> int:
    return federation.cohorts[name].sexes.count("male")


def counts_of(answer: dict) -> dict[str, tuple[str, int | None]]:
    return {one["id"]: (one["status"], one["count"]) for node in answer["nodes"] for one in node["datasets"]}


def test_an_expression_as_document_and_as_text(federation: RunningFederation, client: httpx.Client) -> None:
    posted = client.post("/api/v1/cohorts/count", json={"expression": {"all": [{"sex": "M"}]}})
    got = client.get("/api/v1/cohorts/count", params={"expression": "sex=male"})
    assert posted.status_code == got.status_code == 200
    answer = posted.json()
    assert counts_of(answer) == counts_of(got.json())
    fi, gb = males(federation, "FI"), males(federation, "GB")
    assert counts_of(answer) == {"FI:sim": ("answered", fi), "GB:sim": ("answered", gb // 10 * 10), "IT:sim": ("refused", None)}
    assert answer["pooled"] == {"count": fi + gb // 10 * 10, "nodes": ["FI", "GB"], "mayOverlap": False}
    assert (answer["text"], answer["expression"]) == ("sex=male", {"sex": "male"})


def test_a_floored_dataset_refuses_what_a_list_cannot_ask(federation: RunningFederation, client: httpx.Client) -> None:
    answer = client.post("/api/v1/cohorts/count", json={"expression": "sex=male or sex=female"}).json()
    told = counts_of(answer)
    assert told["FI:sim"] == ("answered", PEOPLE) and told["GB:sim"] == ("refused", None)
    assert answer["pooled"]["nodes"] == ["FI"]
    assert counts_of(client.post("/api/v1/cohorts/count", json={"expression": "not sex=female"}).json()) == counts_of(
        client.post("/api/v1/cohorts/count", json={"expression": {"sex": {"!=": "F"}}}).json()
    )


@pytest.mark.parametrize(
    ("question", "status", "said_"),
    [
        ({"expression": {"all": [{"sex": "x"}]}}, 400, "all[0].sex: 'x' is not a sex"),
        ({"expression": "sex=male", "extra": 1}, 400, "extra"),
        ({"expression": "sex=male", "datasets": ["sim"]}, 400, "NODE:DATASET"),
        ({"expression": "sex=male", "datasets": ["ZZ:sim"]}, 404, "no active member ZZ"),
        ({}, 400, "expression"),
    ],
)
def test_questions_that_are_refused(client: httpx.Client, question: dict, status: int, said_: str) -> None:
    answer = client.post("/api/v1/cohorts/count", json=question)
    assert answer.status_code == status and said_ in answer.text


def test_the_client_and_the_command_line(federation: RunningFederation) -> None:
    with connect(federation.hub.url) as hub:
        found = hub.cohort_count({"sex": "male"}, datasets=["FI:sim"])
        assert found.pooled.count == males(federation, "FI") and [node.node for node in found.nodes] == ["FI"]
        assert hub.cohort_count("sex=male").to_polars()["dataset"].to_list() == ["FI:sim", "GB:sim", "IT:sim"]
        assert found.caption() == f"sex=male: {found.pooled.count} people in FI"
        with pytest.raises(BadQuestion, match="NODE:DATASET"):
            hub.cohort_count("sex=male", datasets=["x"])
        with pytest.raises(NotFound, match="ZZ"):
            hub.cohort_count("sex=male", datasets=["ZZ:x"])
    ended = said("cohort", "count", "not sex=male", "--hub", federation.hub.url, "--json")
    assert ended.status == 0 and json.loads(ended.out)["text"] == "sex!=male"
    shown = said("cohort", "count", "sex=male", "--hub", federation.hub.url, "--dataset", "GB:sim")
    assert shown.status == 0 and "GB:sim" in shown.out and "pooled" in shown.out
    slip = said("cohort", "count", "sex=mal", "--hub", federation.hub.url)
    assert slip.status == 2 and "character 1" in slip.err


def test_the_schema_of_plans(client: httpx.Client) -> None:
    answer = client.get("/api/v1/plan-schema")
    assert answer.headers["content-type"] == "application/schema+json" and answer.json() == plan_schema()


@pytest.mark.parametrize(
    "wrong",
    [
        NodeCohortCount(node="GB", datasets=()),
        NodeCohortCount(node="FI", datasets=(DatasetCount(id="GB:x", status="answered", count=1),), count=1),
        NodeCohortCount(node="FI", datasets=(DatasetCount(id="FI:x", status="refused", count=1),), count=1),
        NodeCohortCount(node="FI", datasets=(DatasetCount(id="FI:x", status="answered"),)),
        NodeCohortCount(node="FI", datasets=(DatasetCount(id="FI:x", status="answered", count=-1),), count=-1),
        NodeCohortCount(node="FI", datasets=(DatasetCount(id="FI:x", status="answered", count=3),), count=4),
        NodeCohortCount(node="FI", datasets=(), count=4),
    ],
)
def test_a_node_is_believed_about_its_own_people_only(wrong: NodeCohortCount) -> None:
    with pytest.raises(BadInput):
        checked_count(Member(id="FI", state="active"), wrong)
