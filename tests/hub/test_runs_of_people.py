"""Whose run it is: two people and two reviewers over HTTP; what is one person's is nobody else's, whoever guesses its id."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.hub.people_help import Browser, HubWithPeople, hub_with_people

from cohelix.access.actor import Role
from cohelix.access.roles import Roles
from cohelix.federation.run_store import RunStore, StoredRun
from cohelix.hub.identity import open_broker
from cohelix.hub.settings import open_hub_database, read_settings

GUARDED = {"contributors": ["FI"], "terms": {"FI": {"openData": False}}, "files": ["results.tsv"], "summing": "shares"}
OPEN = {**GUARDED, "terms": {"FI": {"openData": True}}}
RUN = StoredRun(
    id="",
    state="held",
    plan={"project": "test", "datasets": ["FI:x"]},
    plan_hash="0" * 64,
    proposed_at="2026-01-01T00:00:00.000Z",
    deadline="2099-01-02T00:00:00.000Z",
)


class Town:
    """A hub, its runs, and people who have logged in."""

    def __init__(self, hub: HubWithPeople) -> None:
        self.hub, engine = hub, open_hub_database(hub.folder)
        accounts = open_broker(hub.folder, read_settings(hub.folder), engine).accounts
        self.store, self._made = RunStore(engine), 0
        self.people = {name: {"subject": accounts.named(name).subject, "issuer": hub.issuer} for name in hub.first}
        for name in ("reva", "revi"):
            Roles(engine).grant(Role.OUTPUT_REVIEWER, **self.people[name])
        self.browsers = {name: Browser(hub.url) for name in ("", *hub.first)}
        for name in hub.first:
            self.browsers[name].log_in(name)

    def run(self, by: str, state: Any = "held", settled: dict[str, Any] = GUARDED) -> str:
        """A run that a person has proposed, in some state."""
        self._made += 1
        identifier = f"{self._made:016x}"
        details = {**settled, **({"proposer": self.people[by]} if by else {})}
        self.store.add(replace(RUN, id=identifier, state=state, details=details), waiting_max=1_000)
        place = self.hub.folder / "runs" / identifier
        place.mkdir(parents=True)
        (place / "results.tsv").write_text("chromosome\n", encoding="utf-8")
        return identifier

    def post(self, who: str, address: str, **document: Any) -> httpx.Response:
        """What a person's browser sends; without a name somebody unknown."""
        browser = self.browsers[who]
        return browser.post(f"/api/v1/analyses{address}", json=document or None, headers={"origin": self.hub.url})

    def review(self, who: str, run: str, decision: str = "release", **more: str) -> httpx.Response:
        """A reviewer's word."""
        return self.post(who, f"/{run}/review", decision=decision, **more)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder: Path = tmp_path_factory.mktemp("people") / "hub"
    with hub_with_people(folder, names=("ada", "eve", "reva", "revi")) as hub:
        yield Town(hub)


def test_nobody_else_cancels_a_run(town: Town) -> None:
    run = town.run("ada", "running")
    for other in ("", "eve", "reva"):
        answer = town.post(other, f"/{run}/cancel")
        assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (403, "not-permitted"), other
        assert not town.store.get(run).cancel_wanted
    assert town.post("ada", f"/{run}/cancel").status_code == 200
    assert town.store.get(run).cancel_wanted


def test_a_run_of_nobody_in_particular_is_cancelled_by_anybody(town: Town) -> None:
    assert town.post("", f"/{town.run('', 'running', OPEN)}/cancel").status_code == 200


@pytest.mark.parametrize(
    "address",
    [
        "files/results.tsv",
        "files/nothing.tsv",
        "summary",
        "pictures/qq.png",
        "pictures/manhattan.svg",
        "pictures/forest.svg",
        "tiles/22/3/0",
        "lines?region=22:1-5",
        "estimates",
    ],
)
def test_results_are_for_whoever_proposed_them_and_for_reviewers(town: Town, address: str) -> None:
    run = town.run("ada", "released")
    for other in ("", "eve"):
        assert town.browsers[other].get(f"/api/v1/analyses/{run}/{address}").status_code == 403, other
    for own in ("ada", "reva"):
        assert town.browsers[own].get(f"/api/v1/analyses/{run}/{address}").status_code in (200, 404), own
    assert town.browsers["ada"].get(f"/api/v1/analyses/{run}/files/results.tsv").text == "chromosome\n"


def test_results_over_open_data_are_everybodys(town: Town) -> None:
    run = town.run("ada", "released", OPEN)
    assert town.browsers[""].get(f"/api/v1/analyses/{run}/files/results.tsv").status_code == 200


def test_a_runs_page_shows_its_results_to_nobody_else(town: Town) -> None:
    run = town.run("ada", "released")
    for other in ("", "eve"):
        page = town.browsers[other].get(f"/analyses/{run}")
        assert page.status_code == 403 and "chromosome" not in page.text


def test_two_reviewers_release_and_one_of_them_twice_does_not(town: Town) -> None:
    run = town.run("ada")
    assert town.review("", run).status_code == 401
    assert town.review("eve", run).status_code == 403
    assert town.review("ada", run).status_code == 403
    assert town.review("reva", run).json()["state"] == "held"
    assert town.review("reva", run).status_code == 409
    assert town.review("revi", run).json()["state"] == "released"
    said = town.store.reviews(run)
    assert len({one.role for one in said}) == 2
    assert not any(person["subject"] in one.role for one in said for person in town.people.values())
    assert town.review("revi", run).status_code == 409


def test_the_page_of_output_checks_says_what_the_api_does(town: Town) -> None:
    run, own, bad = town.run("ada"), town.run("reva"), town.run("ada")
    verdicts = [{"file": "results.tsv", "verdict": "fail", "reasons": ["<b>too few</b>"]}]
    (town.hub.folder / "runs" / bad / "verdicts.json").write_text(json.dumps(verdicts))
    assert town.browsers[""].get("/checks").status_code == 303
    assert town.browsers["ada"].get("/checks").status_code == 403
    assert town.browsers["ada"].get("/api/v1/analyses/held").status_code == 403
    assert town.browsers[""].get("/api/v1/analyses/held").status_code == 401

    waiting = {one["run"]["id"]: one for one in town.browsers["reva"].get("/api/v1/analyses/held").json()["runs"]}
    assert waiting[own]["mine"] and not waiting[run]["mine"] and waiting[bad]["verdicts"] == verdicts
    assert waiting[run]["needed"] == 2 and waiting[run]["reviews"] == []

    def panel(who: str, which: str) -> str:
        parts = town.browsers[who].get("/checks").text.split('<section class="panel stack" aria-labelledby="run-')
        return next((part for part in parts if part.startswith(which)), "")

    assert "Agree to the release" in panel("reva", run) and "<b>0</b> of 2 have agreed" in panel("reva", run)
    assert "others review it" in panel("reva", own) and "Agree" not in panel("reva", own)
    assert "breaks a rule" in panel("reva", bad) and "&lt;b&gt;too few" in panel("reva", bad).lower()
    assert "Agree to the release" not in panel("reva", bad) and "Refuse" in panel("reva", bad)

    def speak(who: str, which: str, decision: str, **more: str) -> int:
        browser = town.browsers[who]
        key = re.search(r'name="form_key" value="([^"]+)"', browser.get("/checks").text)
        form = {"form_key": key[1] if key else "", "decision": decision, "reason": "", **more}
        return browser.post(f"/checks/{which}", data=form, headers={"origin": town.hub.url}).status_code

    assert speak("reva", run, "release", form_key="x") == 403
    assert speak("reva", own, "release") == 403 and speak("reva", bad, "release") == 403
    assert speak("reva", run, "refuse") == 400  # without a reason
    assert speak("reva", run, "release") == 303 and speak("reva", run, "release") == 409
    assert "another person has to agree" in panel("reva", run) and "<b>1</b> of 2 have agreed" in panel("revi", run)
    assert speak("revi", run, "release") == 303 and town.store.get(run).state == "released"
    assert panel("revi", run) == ""
    assert speak("revi", bad, "refuse", reason="too few") == 303 and town.store.get(bad).state == "refused"


def test_a_reviewer_does_not_review_a_run_of_their_own(town: Town) -> None:
    assert town.review("reva", town.run("reva")).status_code == 403


def test_a_refusal_needs_its_reason_and_ends_the_run(town: Town) -> None:
    run = town.run("ada")
    assert town.review("reva", run, "refuse").status_code == 400
    assert town.review("reva", run, "maybe").status_code in (400, 422)
    assert town.review("reva", run, "refuse", reason="too few cases").json()["state"] == "refused"
    assert town.review("revi", run).status_code == 409


def test_what_failed_the_automatic_check_is_released_by_nobody(town: Town) -> None:
    run = town.run("ada")
    verdicts = '[{"file": "results.tsv", "verdict": "fail", "reasons": ["a count of one"]}]'
    (town.hub.folder / "runs" / run / "verdicts.json").write_text(verdicts, encoding="utf-8")
    assert town.review("reva", run).status_code == 403
    assert town.store.get(run).state == "held"


def test_reviews_and_cancellations_from_another_sites_page_are_refused(town: Town) -> None:
    run = town.run("ada")
    browser, words = town.browsers["reva"], {"decision": "release"}
    for headers in ({"origin": "http://elsewhere.example"}, {}):
        answer = browser.post(f"/api/v1/analyses/{run}/review", json=words, headers=headers)
        assert answer.status_code in (400, 403), headers
    assert not town.store.reviews(run)


def test_somebody_unknown_proposes_nothing_over_data_that_are_not_known_to_be_open(town: Town) -> None:
    plan = {
        "project": "p",
        "assembly": "GRCh37",
        "datasets": ["FI:x"],
        "trait": {"measurement": "height"},
        "variants": {"region": "22:1-1000"},
        "method": "linear",
    }
    answer = town.post("", "", **plan)
    assert answer.status_code == 401 and answer.json()["detail"].startswith("login-required: ")


def test_people_are_told_nothing_of_runs_that_do_not_exist(town: Town) -> None:
    for who in ("", "eve", "reva"):
        assert town.post(who, "/ffffffffffffffff/cancel").status_code == 404
        assert town.browsers[who].get("/api/v1/analyses/ffffffffffffffff/files/results.tsv").status_code == 404
