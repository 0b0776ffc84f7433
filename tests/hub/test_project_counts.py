"""Counts for a project over HTTP: floored datasets take any expression, and the ledger decides."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from cohelix.cli.main import app
from cohelix.testing.federation import PEOPLE, RunningFederation


@pytest.fixture
def allowed(federation: RunningFederation) -> None:
    folder = federation.folders["GB"]
    ended = CliRunner().invoke(app, ["node", "projects", str(folder), "--allow", "liver"])
    assert ended.exit_code == 0


def _gb(client: httpx.Client, expression: Any, project: str = "liver") -> tuple[str, int | None, str | None]:
    question = {"expression": expression, "datasets": ["GB:sim"], "project": project}
    answer = client.post("/api/v1/cohorts/count", json=question)
    assert answer.status_code == 200, answer.text
    one = answer.json()["nodes"][0]["datasets"][0]
    return one["status"], one["count"], one["reason"]


@pytest.mark.usefixtures("allowed")
def test_a_project_counts_by_any_expression_and_is_booked(federation: RunningFederation, client: httpx.Client) -> None:
    males = federation.cohorts["GB"].sexes.count("male")
    assert _gb(client, "sex=male") == ("answered", males // 10 * 10, None)
    assert _gb(client, "sex=male or sex=female")[:2] == ("answered", PEOPLE // 10 * 10)
    assert _gb(client, "sex=male") == ("answered", males // 10 * 10, None)


@pytest.mark.usefixtures("allowed")
def test_another_project_is_refused_and_without_one_rule_3_holds(client: httpx.Client) -> None:
    status, count, reason = _gb(client, "sex=male", "heart")
    assert (status, count) == ("refused", None) and reason is not None and "has not allowed the project" in reason
    assert _gb(client, "sex=male or sex=female", "")[0] == "refused"
