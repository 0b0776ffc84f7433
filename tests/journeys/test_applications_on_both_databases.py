"""The governance loop and its refusals over HTTP, by people who logged in, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from tests.hub.people_help import Browser, hub_with_people

from cohelix.access.actor import Role
from cohelix.access.roles import Roles
from cohelix.hub.identity import open_broker
from cohelix.hub.settings import open_hub_database, read_settings

DUTIES = {
    "official": (Role.SIGNING_OFFICIAL, "institute"),
    "dac-1": (Role.DAC_MEMBER, "FI-dac"),
    "dac-2": (Role.DAC_MEMBER, "FI-dac"),
    "chair": (Role.DAC_CHAIR, "GB-dac"),
    "national": (Role.NATIONAL_COORDINATION_POINT, "FI"),
    "holder": (Role.DATA_HOLDER, "FI"),
    "auditor": (Role.AUDITOR, None),
}
SET = "FI:a"
FORM = {
    "title": "Rare variants",
    "summary": "We ask why.",
    "organisation": "institute",
    "investigations": ["genetic"],
    "lines": [{"dataset": SET, "authority": "FI-dac", "country": "FI"}],
}


class _Loop:
    """One application, and the people around it."""

    def __init__(self, people: dict[str, Browser]) -> None:
        self.people = people
        self.path = "/api/v1/applications"
        self.path += "/" + self.send("researcher", {"form": FORM}, "", 201)["id"]

    def send(self, who: str, body: dict[str, Any], place: str = "/events", status: int = 200) -> dict[str, Any]:
        browser = self.people[who]
        origin = {"origin": str(browser.base_url).rstrip("/")}
        answer = browser.post(self.path + place, json=body, headers=origin)
        assert answer.status_code == status, (who, body, answer.text)
        return dict(answer.json())

    def does(self, who: str, event: str, status: int = 200, **fields: object) -> str:
        """Make something happen to the dataset; gives its stage."""
        told = self.send(who, {"event": event, **fields}, status=status)
        return str(told["lines"][0]["stage"]) if told.get("lines") else str(told.get("stage"))

    def submit(self) -> None:
        self.does("researcher", "signing-asked")
        assert self.does("official", "signed") == "open"

    def decide(self, decision: str) -> str:
        for who in ("dac-1", "dac-2"):
            self.does(who, "voted", dataset=SET, vote=decision)
        self.does("dac-1", "checked", dataset=SET, points={"ethics": True})
        self.does("dac-1", "proposed", dataset=SET, decision=decision, reason="We say so.")
        self.does("dac-1", "decided", 403, dataset=SET, decision=decision)  # not alone
        return self.does("dac-2", "decided", dataset=SET, decision=decision)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def people(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Browser]]:
    database = ""
    if request.param == "postgresql":
        server = sa.make_url(request.getfixturevalue("postgres"))
        engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql("CREATE DATABASE journey_applications")
        engine.dispose()
        database = server.set(database="journey_applications").render_as_string(hide_password=False)
    names = ("researcher", "stranger", *DUTIES)
    folder = tmp_path_factory.mktemp(f"applications-{request.param}") / "hub"
    with hub_with_people(folder, database=database, names=names) as hub:
        own = open_hub_database(hub.folder)
        accounts = open_broker(hub.folder, read_settings(hub.folder), own).accounts.all()
        for account in accounts:
            if account.name in DUTIES:
                role, what = DUTIES[account.name]
                if what is None:
                    Roles(own).grant(role, account.subject, hub.issuer)
                else:
                    Roles(own).grant_for(role, what, account.subject, hub.issuer)
        own.dispose()
        browsers = {name: Browser(hub.url) for name in names}
        for name, browser in browsers.items():
            browser.log_in(name)
        yield browsers
        for browser in browsers.values():
            browser.close()


def test_the_loop_and_its_refusals(people: dict[str, Browser]) -> None:
    loop = _Loop(people)
    assert people["stranger"].get(loop.path).status_code == 404
    loop.submit()
    loop.does("dac-1", "returned", reason="The purpose is not clear.")
    loop.submit()
    loop.does("researcher", "voted", 403, dataset=SET, vote="approve")
    assert loop.decide("deny") == "denied"
    assert loop.does("researcher", "appealed", dataset=SET, reason="We were not heard.") == "appealed"
    loop.does("dac-1", "appeal-upheld", 403, dataset=SET, reason="No.")
    assert loop.does("chair", "appeal-upheld", dataset=SET, reason="They were not.") == "open"
    assert loop.decide("approve") == "approved"
    loop.does("dac-1", "confirmed", 403, dataset=SET)
    assert loop.does("national", "confirmed", dataset=SET) == "confirmed"
    [drawn] = loop.send("holder", {"datasets": [SET]}, "/agreements")["agreements"]
    loop.does("official", "agreement-signed", side="user", sha256=drawn["sha256"])
    loop.does("holder", "granted", 409, dataset=SET, visas=["v-1"], until="2099-01-01T00:00:00Z")
    loop.does("holder", "agreement-signed", side="holder", sha256=drawn["sha256"])
    assert loop.does("holder", "granted", dataset=SET, visas=["v-1"], until="2099-01-01T00:00:00Z") == "granted"
    assert loop.does("national", "revoked", dataset=SET, reason="Misused.") == "revoked"


def test_a_country_vetoes(people: dict[str, Browser]) -> None:
    loop = _Loop(people)
    loop.submit()
    assert loop.decide("approve") == "approved"
    loop.does("national", "vetoed", 400, dataset=SET)  # not without a reason
    assert loop.does("national", "vetoed", dataset=SET, reason="Our law forbids it.") == "vetoed"
    loop.send("holder", {"datasets": [SET]}, "/agreements", 409)


def test_an_auditor_who_repeats_a_request_reads_no_text(people: dict[str, Browser]) -> None:
    loop = _Loop(people)
    loop.submit()
    auditor = people["auditor"]
    headers = {"origin": str(auditor.base_url).rstrip("/"), "idempotency-key": "created"}
    answer = auditor.post(f"{loop.path}/events", json={"event": "withdrawn"}, headers=headers)
    assert answer.status_code == 200 and answer.json()["stage"] == "review"
    assert "Rare variants" not in answer.text and "We ask why." not in answer.text
