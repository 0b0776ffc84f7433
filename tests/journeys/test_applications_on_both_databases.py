"""The governance loop and its refusals over HTTP, by people who logged in, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa
from tests.hub.people_help import Browser, hub_with_people

from cohelix.access.actor import Role
from cohelix.access.roles import Roles
from cohelix.core.clock import SystemClock
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


class _Clock(SystemClock):
    """The machine's clock, set forward by hand: applications run by it, and nothing else does."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


class _Loop:
    """One application, and the people around it."""

    def __init__(self, people: _People) -> None:
        self.people, self.clock = people.browsers, people.clock
        self.path = "/api/v1/applications"
        self.path += "/" + self.send("researcher", {"form": FORM}, "", 201)["id"]

    def send(
        self, who: str, body: dict[str, Any], place: str = "/events", status: int = 200, *, method: str = "POST"
    ) -> dict[str, Any]:
        browser = self.people[who]
        origin = {"origin": str(browser.base_url).rstrip("/")}
        answer = browser.request(method, self.path + place, json=body, headers=origin)
        assert answer.status_code == status, (who, body, answer.text)
        return dict(answer.json())

    def does(self, who: str, event: str, status: int = 200, **fields: object) -> str:
        """Make something happen to the dataset; gives its stage."""
        told = self.send(who, {"event": event, **fields}, status=status)
        return str(told["lines"][0]["stage"]) if told.get("lines") else str(told.get("stage"))

    def submit(self) -> None:
        self.does("researcher", "signing-asked")
        assert self.does("official", "signed") == "open"

    def later(self, days: float) -> dict[str, Any]:
        """So many days on: what the application says then."""
        self.clock.ahead += timedelta(days=days)
        return dict(self.people["researcher"].get(self.path).json())

    def stage(self) -> str:
        return str(self.later(0)["lines"][0]["stage"])

    def events(self, kind: str) -> list[dict[str, Any]]:
        found = self.people["researcher"].get(self.path + "/events").json()["events"]
        return [one for one in found if one["event"] == kind]

    def grant(self, days: int = 40) -> None:
        """From a confirmed dataset to visas, as the data holder's side reports them."""
        [drawn] = [one for one in self.send("holder", {"datasets": [SET]}, "/agreements")["agreements"] if not one["signed"]]
        self.does("official", "agreement-signed", side="user", sha256=drawn["sha256"])
        self.does("holder", "agreement-signed", side="holder", sha256=drawn["sha256"])
        until = (self.clock.now() + timedelta(days=days)).isoformat()
        assert self.does("holder", "granted", dataset=SET, visas=["v-1"], until=until) == "granted"

    def decide(self, decision: str) -> str:
        for who in ("dac-1", "dac-2"):
            self.does(who, "voted", dataset=SET, vote=decision)
        self.does("dac-1", "checked", dataset=SET, points={"ethics": True})
        self.does("dac-1", "proposed", dataset=SET, decision=decision, reason="We say so.")
        self.does("dac-1", "decided", 403, dataset=SET, decision=decision)  # not alone
        return self.does("dac-2", "decided", dataset=SET, decision=decision)


class _People(NamedTuple):
    """Everybody's browser, and the clock of the desk."""

    browsers: dict[str, Browser]
    clock: _Clock


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def people(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[_People]:
    database = ""
    if request.param == "postgresql":
        server = sa.make_url(request.getfixturevalue("postgres"))
        engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql("CREATE DATABASE journey_applications")
        engine.dispose()
        database = server.set(database="journey_applications").render_as_string(hide_password=False)
    with _federation(tmp_path_factory.mktemp(f"applications-{request.param}") / "hub", database=database) as people:
        yield people


@contextmanager
def _federation(folder: Path, *, database: str = "", toml: str = "") -> Iterator[_People]:
    """A hub, its people with their duties, and the desk's clock."""
    names, clock = ("researcher", "stranger", *DUTIES), _Clock()
    with hub_with_people(folder, database=database, toml=toml, names=names, desk_clock=clock) as hub:
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
        yield _People(browsers, clock)
        for browser in browsers.values():
            browser.close()


def test_the_loop_and_its_refusals(people: _People) -> None:
    loop = _Loop(people)
    assert people.browsers["stranger"].get(loop.path).status_code == 404
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


def test_a_country_vetoes(people: _People) -> None:
    loop = _Loop(people)
    loop.submit()
    assert loop.decide("approve") == "approved"
    loop.does("national", "vetoed", 400, dataset=SET)  # not without a reason
    assert loop.does("national", "vetoed", dataset=SET, reason="Our law forbids it.") == "vetoed"
    loop.send("holder", {"datasets": [SET]}, "/agreements", 409)


def test_an_auditor_who_repeats_a_request_reads_no_text(people: _People) -> None:
    loop = _Loop(people)
    loop.submit()
    auditor = people.browsers["auditor"]
    headers = {"origin": str(auditor.base_url).rstrip("/"), "idempotency-key": "created"}
    answer = auditor.post(f"{loop.path}/events", json={"event": "withdrawn"}, headers=headers)
    assert answer.status_code == 409, "the name of another's request is not one's own"
    assert "Rare variants" not in answer.text and "We ask why." not in answer.text


def test_silence_confirms_after_its_days_and_reminds_before(people: _People) -> None:
    loop = _Loop(people)
    loop.submit()
    assert loop.later(12) and [one["what"] for one in loop.events("reminded")] == ["committee-overdue"]
    assert loop.decide("approve") == "approved"
    loop.later(8)
    assert (loop.stage(), loop.events("reminded")[-1]["what"]) == ("approved", "national-answer-due")
    loop.later(20)
    assert loop.stage() == "confirmed"
    assert [one["by"] for one in loop.events("confirmed")] == [None]
    loop.does("national", "vetoed", 409, dataset=SET, reason="Too late.")


def test_a_grant_ends_by_itself_is_renewed_suspended_and_goes_on(people: _People) -> None:
    loop = _Loop(people)
    loop.submit()
    loop.decide("approve")
    loop.does("national", "confirmed", dataset=SET)
    loop.grant()
    loop.later(35)
    assert [one["what"] for one in loop.events("reminded")] == ["grant-ends", "grant-ends-soon"]
    loop.later(6)
    assert loop.stage() == "expired"
    assert loop.does("researcher", "renewal-asked", dataset=SET, reason="We go on.") == "open"
    loop.decide("approve")
    loop.does("national", "confirmed", dataset=SET)
    loop.grant()
    assert loop.does("national", "suspended", dataset=SET, reason="A complaint.") == "suspended"
    assert loop.decide("approve") == "approved"  # it goes on only as it began
    assert loop.does("national", "confirmed", dataset=SET) == "confirmed"
    assert loop.does("holder", "revoked", dataset=SET, reason="For good.") == "revoked"


def test_questions_delays_refused_signatures_and_withdrawal(people: _People) -> None:
    loop = _Loop(people)
    loop.does("researcher", "signing-asked")
    loop.does("official", "signing-refused", reason="The institute does not know of it.")
    loop.submit()
    loop.does("dac-1", "asked", text="Why two years?")
    loop.does("researcher", "answered", text="The cohort is followed for two.")
    until = (loop.clock.now() + timedelta(days=20)).date().isoformat()
    loop.does("dac-1", "delayed", authority="FI-dac", until=until, reason="Holidays.")
    loop.later(12)
    assert loop.events("reminded") == []
    loop.later(20)
    assert [one["what"] for one in loop.events("reminded")] == ["committee-overdue"]
    loop.does("researcher", "withdrawn")
    loop.does("dac-1", "voted", 409, dataset=SET, vote="approve")
    assert loop.send("researcher", {}, "/copy", 201)["form"]["copy_of"] == loop.path.rpartition("/")[2]


def test_an_appeal_is_heard_once_and_in_time(people: _People) -> None:
    loop = _Loop(people)
    loop.submit()
    loop.decide("deny")
    loop.does("researcher", "appealed", dataset=SET, reason="We were not heard.")
    # The chair had a reason to read it while it was contested, and has none any more.
    loop.send("chair", {"event": "appeal-dismissed", "dataset": SET, "reason": "They were."})
    assert loop.stage() == "denied"
    loop.does("researcher", "appealed", 409, dataset=SET, reason="Once more.")
    late = _Loop(people)
    late.submit()
    late.decide("deny")
    late.later(31)
    late.does("researcher", "appealed", 409, dataset=SET, reason="We were away.")


def test_health_care_is_faster_and_silence_may_veto(tmp_path: Path) -> None:
    with _federation(tmp_path / "hub", toml='[applications]\nsilence = "vetoes"\n') as people:
        loop = _Loop(people)
        loop.send("researcher", {**FORM, "track": "healthcare"}, "/form", method="PUT")
        loop.submit()
        loop.later(5)  # a weekend at most, and the one working day
        assert [one["what"] for one in loop.events("reminded")] == ["committee-overdue"]
        loop.decide("approve")
        loop.later(30)
        assert loop.stage() == "vetoed"
        assert "has not answered in time" in loop.events("vetoed")[0]["reason"]
