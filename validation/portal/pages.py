"""A federation with a portal, people of every role, a released run and an application; and the address of every page."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi.routing import APIRoute
from starlette.routing import Route

from cohelix.access.actor import Role
from cohelix.access.roles import Roles
from cohelix.federation.signing import load_identity
from cohelix.hub.identity import open_broker
from cohelix.hub.settings import open_hub_database, read_settings
from cohelix.node.settings import PeerSettings, set_aggregator, set_peer
from cohelix.testing.browser import Browser
from cohelix.testing.federation import RunningFederation, simulated_federation

_DRAFT = "/cohorts?1.f=disease&1.v=siezure&2.j=any&2.1.f=age&2.1.c=%3E%3D&2.1.v=x&3.f=measurement"  # not filled in, and wrong
PASSWORD = "a quiet river of maple leaves"
MEMBERS = {"EE": "open", "FI": "open", "SE": "open", "GB": "floored", "IT": "closed"}
DUTIES = {
    "researcher": (),
    "official": ((Role.SIGNING_OFFICIAL, "institute"),),
    "committee": ((Role.DAC_CHAIR, "FI-dac"), (Role.NATIONAL_COORDINATION_POINT, "FI"), (Role.DATA_HOLDER, "FI")),
    "auditor": ((Role.AUDITOR, ""), (Role.OUTPUT_REVIEWER, ""), (Role.HUB_OPERATOR, "")),
}
LINE = {"dataset": "FI:sim", "authority": "FI-dac", "country": "FI"}
FORM: dict[str, Any] = {
    "title": "Blood pressure and rare variants",
    "summary": "We ask whether rare variants raise the blood pressure of adults.",
    "organisation": "institute",
    "lines": [LINE],
    "investigations": ["genetic"],
}
PLAN = {
    "project": "walk",
    "assembly": "GRCh37",
    "datasets": ["EE:sim", "FI:sim", "SE:sim"],
    "case": {"sex": "male"},
    "control": {"sex": "female"},
    "method": "logistic",
    "variants": {"region": "22:20000001-20030000", "maf_min": 0.05},
}
# Pages that are no HTML: files, and what other pages lead through.
OTHER = (
    "/static/{digest}/{name}",
    "/cohorts/counts",  # a part of the page that is walked
    "/analyses/{run}/live",
    "/analyses/new/plan.yaml",
    "/cohorts/terms",
    "/variant/{variant}/counts.{kind}",
    "/variant/{variant}/arriving",
    "/region/{region}/variants.{kind}",
    "/gene/{symbol}/variants.{kind}",
    "/login/begin",
    "/login/callback",
    "/applications/{application}/form.txt",
    "/applications/{application}/events/{number}",
    "/applications/{application}/attachments/{name}",
    "/applications/{application}/agreements/{sha256}/text.txt",
    "/applications/{application}/agreements/{sha256}",
)


@dataclass
class Town:
    """What is walked."""

    federation: RunningFederation
    browsers: dict[str, Browser]
    variant: str
    draft: str
    run: str

    @property
    def url(self) -> str:
        """The hub's address."""
        return self.federation.hub.url

    def addresses(self) -> dict[str, tuple[str, ...]]:
        """Where each route is visited, by the route's own address."""
        one = "/applications/{application}"
        here = f"/applications/{self.draft}"
        return {
            "/": ("/",),
            "/search": ("/search?q=22-20000100-G&assembly=GRCh37", "/search?q=siezure&assembly=GRCh37"),
            "/variant/{variant}": (f"/variant/{self.variant}?assembly=GRCh37", f"/variant/{self.variant}"),
            "/region/{region}": ("/region/22:20000001-20030000?assembly=GRCh37",),
            "/gene/{symbol}": ("/gene/CRELD2?assembly=GRCh37",),
            "/term/{code}": ("/term/HP:0001250",),
            "/datasets": ("/datasets",),
            "/datasets/{dataset}": ("/datasets/GB:sim",),
            "/cohorts": ("/cohorts", "/cohorts?cohort=sex=female+and+(disease=OMIM:1+or+age%3E=40)&dataset=FI:sim", _DRAFT),
            "/analyses": ("/analyses",),
            "/analyses/new": ("/analyses/new", "/analyses/new?project=x&dataset=FI:sim&traits=T&do=check"),
            "/analyses/{run}": (f"/analyses/{self.run}",) if self.run else (),
            "/analyses/{run}/region/{region}": (f"/analyses/{self.run}/region/22:16000000-51000000",) if self.run else (),
            "/analyses/{run}/estimates": (f"/analyses/{self.run}/estimates",) if self.run else (),
            "/about": ("/about",),
            "/accessibility": ("/accessibility",),
            "/{path:path}": ("/nowhere",),
            "/login": ("/login",),
            "/account": ("/account",),
            "/checks": ("/checks",),
            "/operate": ("/operate",),
            "/audit": ("/audit", "/audit?all=1"),
            "/notices": ("/notices",),
            "/catalogue": ("/catalogue", "/catalogue?does:genetic=yes&words=sim"),
            "/basket": ("/basket",),
            "/applications": ("/applications",),
            one: (here,),
            f"{one}/edit": (f"{here}/edit",),
            f"{one}/report": (f"{here}/report",),
            f"{one}/datasets/{{dataset}}": (f"{here}/datasets/FI:sim",),
            "/desk": ("/desk",),
            "/desk/{duty}": ("/desk/committee", "/desk/signing", "/desk/national"),
            "/grants": ("/grants",),
        }


def page_routes(federation: RunningFederation) -> set[str]:
    """Every address of the hub that a browser opens and that is no API's."""
    app = federation.hub.server.config.app
    found = {
        route.path
        for route in getattr(app, "routes", ())
        if isinstance(route, Route) and not isinstance(route, APIRoute) and route.methods and "GET" in route.methods
    }
    return found - {"/openapi.json"} - set(OTHER)


def cookies_of(walked: Town, who: str) -> list[Any]:
    """Somebody's session, for Chromium."""
    if not who:
        return []
    return [{"name": one.name, "value": one.value, "url": walked.url} for one in walked.browsers[who].cookies.jar]


@contextmanager
def town(folder: Path) -> Iterator[Town]:
    """Start it; everybody has logged in."""
    with simulated_federation(folder, MEMBERS, hub_toml="\n[broker]\nembedded = true\n") as running:  # type: ignore[arg-type]
        engine = open_hub_database(running.folder)
        broker = open_broker(running.folder, read_settings(running.folder), engine)
        keys = {name: load_identity(place).public for name, place in running.folders.items() if MEMBERS[name] == "open"}
        for name in keys:
            for other, key in keys.items():
                if other != name:
                    set_peer(running.folders[name], PeerSettings(id=other, key=key, aggregator=True))
            set_aggregator(running.folders[name], adds_up=True)
        browsers = {}
        for name, duties in DUTIES.items():
            account, _ = broker.accounts.add(name, shown=f"The {name}", researcher=True)
            broker.accounts.set_password(account, PASSWORD)
            subject = next(one.subject for one in broker.accounts.all() if one.name == name)
            for role, what in duties:
                issuer = f"{running.hub.url}/broker"
                if what:
                    Roles(engine).grant_for(role, what, subject, issuer)
                else:
                    Roles(engine).grant(role, subject, issuer)
            browsers[name] = Browser(running.hub.url)
            browsers[name].log_in(name, PASSWORD)
        origin = {"origin": running.hub.url}
        me = browsers["researcher"]
        draft = me.post("/api/v1/applications", json={"form": FORM}, headers=origin).raise_for_status().json()["id"]
        region = me.get("/api/v1/region/22:20000001-20030000?assembly=GRCh37").raise_for_status().json()
        run = _released(browsers, origin)
        yield Town(running, browsers, region["variants"][0]["variant"], draft, run)
        for browser in browsers.values():
            browser.close()


def _released(browsers: dict[str, Browser], origin: dict[str, str]) -> str:
    """The id of a run that its reviewer has released; empty where that was not to be had within two minutes."""
    me, reviewer = browsers["researcher"], browsers["auditor"]
    answer = me.post("/api/v1/analyses", json=PLAN, headers=origin)
    run = str(answer.raise_for_status().json()["id"])
    for _ in range(240):
        state = me.get(f"/api/v1/analyses/{run}").json()["state"]
        if state == "held":
            reviewer.post(f"/api/v1/analyses/{run}/review", json={"decision": "release"}, headers=origin).raise_for_status()
        elif state not in ("proposed", "checking", "open", "frozen", "running", "combined"):
            return run if state == "released" else ""
        time.sleep(0.5)
    return ""
