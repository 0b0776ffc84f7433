"""The demo's governance loop: an application to four banks, a veto, visas, an analysis with them, and what stops the next."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import httpx

from cohelix.cli.demo_access import GUARDED, as_person, audit, until
from cohelix.cli.demo_analysis import analysed, plan_of
from cohelix.cli.demo_journeys import DemoFederation, Detail, expect
from cohelix.core.errors import CohelixError
from cohelix.testing.browser import Browser

ORGANISATION: Final = "Demo institute"
VETOES: Final = "IT"
_POINTS: Final = {"The purpose is described and fits the data-use conditions": True, "Ethics approval is attached": True}


def apply(federation: DemoFederation) -> Detail:
    """The researcher is advised, applies to all four banks in one application, and has it signed."""
    datasets = [f"{node}:{GUARDED}" for node in federation.folders]
    purpose = ("--investigation", "genetic", "--not-commercial", "--non-profit")
    named = [word for name in datasets for word in ("--dataset", name)]
    with as_person("researcher", federation):
        found = federation.ask("apply", "catalogue", *named, *purpose)
        advice = {one["record"]["id"]: one["advice"] for one in found["datasets"]}
        expect("the advice", set(advice), set(datasets))
        words = ("--title", "Expression near CRELD2", "--summary", "Which variants change how much of a gene is read?")
        begun = federation.ask("apply", "new", *named, *words, *purpose, "--organisation", ORGANISATION, "--months", "6")
        federation.application = begun["id"]
        federation.ask("apply", "submit", federation.application)
    with person("signing-official", federation) as official:
        official.do("signed")
    return {"application": federation.application, "advice": advice}


def decide(federation: DemoFederation) -> Detail:
    """Committees vote, check, propose and second; three countries confirm, one vetoes; it is asked once more and confirms."""
    application = federation.application
    _approve(federation, [f"{node}:{GUARDED}" for node in federation.folders])
    for node, country in countries(federation).items():
        with person(f"national-{country.lower()}", federation) as national:
            if node == VETOES:
                national.do("vetoed", dataset=f"{node}:{GUARDED}", reason="The consent forms are being looked at.")
            else:
                national.do("confirmed", dataset=f"{node}:{GUARDED}")
    stages = _stages(federation)
    vetoed = [name for name, stage in stages.items() if stage == "vetoed"]
    with as_person("researcher", federation):
        again = federation.ask("apply", "copy", application)["id"]
        federation.ask("apply", "edit", again, *[word for name in vetoed for word in ("--dataset", name)])
        federation.ask("apply", "submit", again)
    federation.application = again
    with person("signing-official", federation) as official:
        official.do("signed")
    _approve(federation, vetoed)
    with person(f"national-{countries(federation).get(VETOES, VETOES).lower()}", federation) as national:
        for name in vetoed:
            national.do("confirmed", dataset=name)
    federation.applications = (application, again)
    return {"first": stages, "second": _stages(federation)}


def visas(federation: DemoFederation) -> Detail:
    """Agreements are drawn and signed by both sides; each member's own committee then signs its visas."""
    for application in federation.applications:
        federation.application = application
        confirmed = [name for name, stage in _stages(federation).items() if stage == "confirmed"]
        with person("data-holder", federation) as holder, person("signing-official", federation) as official:
            [agreement] = holder.send("/agreements", {"datasets": confirmed})["agreements"]
            official.do("agreement-signed", side="user", sha256=agreement["sha256"])
            holder.do("agreement-signed", side="holder", sha256=agreement["sha256"])

    def held() -> list[str]:
        with as_person("researcher", federation):
            return sorted(
                one["value"].rpartition("/")[2] for one in federation.ask("whoami")["visas"] if GUARDED in one["value"]
            )

    seconds, found = until(held, lambda names: len(set(names)) == len(federation.folders), "there is a visa of every bank")
    return {"visas": sorted(set(found)), "seconds": round(seconds, 1)}


def guarded_gwas(federation: DemoFederation) -> Detail:
    """The federated analysis runs on guarded data by the researcher's visas, and two reviewers release it."""
    asked = analysed(federation)
    if asked is None:
        return {"asked": "nothing: the members' people have no measurement"}
    folder = federation.hub_folder.parent / "guarded-analysis"
    folder.mkdir()
    plan = plan_of(federation, asked._replace(covariates=asked.covariates[:2]), GUARDED) | {
        "transformation": "none",
        "rank_cell": 10,
    }
    federation.plan = folder / "plan.yaml"
    federation.plan.write_text(json.dumps(plan, indent=1), encoding="utf-8")
    with as_person("researcher", federation):
        held = federation.ask_analysis("run", str(federation.plan), "--out", str(folder / "early"), ended=(3,))
    expect("the run's state before a review", held["state"], "held")
    for reviewer in ("output-reviewer", "second-reviewer"):
        words = ("hub", "review", str(federation.hub_folder), held["id"], "--by", reviewer, "--release", "--json")
        reviewed = json.loads(federation.processes.run("review", *words))
    expect("the run's state after two reviews", reviewed["run"]["state"], "released")
    with as_person("researcher", federation):
        federation.ask_analysis("result", held["id"], "--out", str(folder / "results"))
    return {"run": held["id"], "nodes": sum(one["contributor"] for one in reviewed["run"]["nodes"])}


def stopped(federation: DemoFederation) -> Detail:
    """One country suspends its grant: within a minute its visas open nothing, and the next analysis is refused there."""
    if federation.plan is None:
        return {"asked": "nothing: there was no analysis"}
    node, country = next(iter(countries(federation).items()))
    federation.application = federation.applications[0]
    with person(f"national-{country.lower()}", federation) as national:
        national.do("suspended", dataset=f"{node}:{GUARDED}", reason="A complaint is being looked into.")

    def refused() -> list[str]:
        with as_person("researcher", federation):
            check = federation.ask_analysis("check", str(federation.plan), ended=(0, 3))
        return [one["node"] for one in check["nodes"] if one["refusal"]]

    seconds, nodes = until(refused, lambda found: node in found, "the next analysis is refused")
    return {"refused": nodes, "seconds": round(seconds, 1)}


def ledger(federation: DemoFederation) -> Detail:
    """A citizen signs in at the node with a one-time code, sees who used their data, and keeps a proof for anybody to check."""
    node = next(iter(federation.folders))
    folder, server = str(federation.folders[node]), federation.servers[node]
    share = next(share for share in federation.shares.shares if share.member.id == node)
    individual = share.people.read_text(encoding="utf-8").splitlines()[1].split("\t")[0]
    code = json.loads(federation.processes.run("citizen", "node", "citizen", folder, "--individual", individual, "--json"))[
        "code"
    ]
    with Browser(server.url) as browser:
        browser.visit("/consent")
        browser.submit("/consent/sign-in", code=code)
        uses = browser.get("/consent/uses.json").json()["uses"]
        by_visa = [one for one in uses if one["application"] in federation.applications]
        if federation.plan is not None and not by_visa:
            raise CohelixError(f"no use of the application's visas in the ledger: {uses}")
        proof = federation.hub_folder.parent / "use.proof.json"
        proof.write_text(browser.get(f"/consent/uses/{uses[0]['entries'][0]}/proof.json").text, encoding="utf-8")
    federation.processes.run("audit", "audit", "verify", "--proof", str(proof), "--json")
    return {"uses": len(uses), "by application": sorted({one["what"] for one in by_visa}), "proof": "verified"}


GOVERNANCE_JOURNEYS: Final[tuple[tuple[str, Callable[[DemoFederation], Detail]], ...]] = (
    ("apply", apply),
    ("decide", decide),
    ("visas", visas),
    ("guarded-gwas", guarded_gwas),
    ("suspension", stopped),
    ("ledger", ledger),
    ("audit", audit),
)


class Person:
    """Somebody with a role, in a browser: what they do about the application that is looked at."""

    def __init__(self, browser: Browser, federation: DemoFederation) -> None:
        self._browser, self._federation = browser, federation

    def do(self, event: str, **fields: Any) -> dict[str, Any]:
        """Make something happen."""
        return self.send("/events", {"event": event, **fields})

    def send(self, place: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send a document to the application's address."""
        path = f"/api/v1/applications/{self._federation.application}{place}"
        answer = self._browser.post(path, json=body, headers={"origin": self._federation.hub.url})
        if answer.status_code not in (httpx.codes.OK, httpx.codes.CREATED):
            raise CohelixError(f"{body.get('event', place)}: HTTP {answer.status_code}: {answer.text[:300]}")
        return dict(answer.json())


@contextmanager
def person(name: str, federation: DemoFederation) -> Iterator[Person]:
    """Somebody who has logged in; the login is kept for the next time."""
    browser = federation.browsers.get(name)
    if browser is None:
        browser = federation.browsers[name] = Browser(federation.hub.url)
        browser.log_in(name, federation.passwords[name])
    yield Person(browser, federation)


def countries(federation: DemoFederation) -> dict[str, str]:
    """The country of each member."""
    return {share.member.id: share.member.country for share in federation.shares.shares}


def _approve(federation: DemoFederation, datasets: Sequence[str]) -> None:
    with person("dac-member", federation) as member, person("dac-chair", federation) as chair:
        for name in datasets:
            member.do("voted", dataset=name, vote="approve")
            chair.do("voted", dataset=name, vote="approve")
            member.do("checked", dataset=name, points=_POINTS)
            member.do("proposed", dataset=name, decision="approve", reason="The purpose fits the consent.")
            chair.do("decided", dataset=name, decision="approve")


def _stages(federation: DemoFederation) -> dict[str, str]:
    with as_person("researcher", federation):
        return {one["dataset"]: one["stage"] for one in federation.ask("apply", "show", federation.application)["lines"]}
