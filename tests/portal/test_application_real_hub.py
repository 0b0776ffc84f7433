"""The pages of applying and deciding over the real hub: real sessions, real roles, real attachments and agreements."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from tests.hub.people_help import Browser, HubWithPeople, hub_with_people
from tests.portal.conftest import Html

from cohelix.access.actor import Role
from cohelix.access.roles import Roles
from cohelix.federation.run_store import RunStore, StoredRun
from cohelix.hub.identity import open_broker
from cohelix.hub.settings import open_hub_database, read_settings

DUTIES = {
    "official": (Role.SIGNING_OFFICIAL, "institute"),
    "dac-1": (Role.DAC_MEMBER, "FI-dac"),
    "dac-2": (Role.DAC_CHAIR, "FI-dac"),
    "national": (Role.NATIONAL_COORDINATION_POINT, "FI"),
    "holder": (Role.DATA_HOLDER, "FI"),
}
LINE = {"dataset": "FI:a", "authority": "FI-dac", "country": "FI"}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubWithPeople]:
    names = ("researcher", "stranger", *DUTIES)
    with hub_with_people(tmp_path_factory.mktemp("desks") / "hub", names=names) as running:
        engine = open_hub_database(running.folder)
        broker = open_broker(running.folder, read_settings(running.folder), engine)
        subjects = {one.name: one.subject for one in broker.accounts.all()}
        for name, (role, what) in DUTIES.items():
            Roles(engine).grant_for(role, what, subjects[name], running.issuer)
        yield running


@pytest.fixture(scope="module")
def people(hub: HubWithPeople) -> Iterator[dict[str, Browser]]:
    browsers = {name: Browser(hub.url) for name in ("researcher", "stranger", *DUTIES)}
    for name, browser in browsers.items():
        browser.log_in(name)
    yield browsers
    for browser in browsers.values():
        browser.close()


def _begun(people: dict[str, Browser], **form: object) -> str:
    """A draft of the researcher, made by the API: its catalogue has no member in this test."""
    me = people["researcher"]
    origin = {"origin": str(me.base_url).rstrip("/")}
    given = {
        "title": "Rare variants",
        "summary": "We ask why.",
        "organisation": "institute",
        "lines": [LINE],
        "investigations": ["genetic"],
        **form,
    }
    answer = me.post("/api/v1/applications", json={"form": given}, headers=origin)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def _does(people: dict[str, Browser], who: str, path: str, action: str, **fields: str) -> str:
    """Open a page, send one of its forms, and give the page that comes."""
    browser = people[who]
    opened = browser.visit(path)
    assert opened.status_code == 200, (who, path, opened.text[-600:])
    assert f'action="{action}"' in opened.text, f"{who} has no form {action} at {path}"
    answer = browser.submit(action, **fields)
    assert answer.status_code == 200, answer.text[-900:]
    return Html(answer.text).text


def test_the_loop_over_the_real_hub(hub: HubWithPeople, people: dict[str, Browser]) -> None:
    name = _begun(people)
    one = f"/applications/{name}"
    events, line = f"{one}/events", f"{one}/datasets/FI:a"
    me = people["researcher"]
    me.visit(f"{one}/edit")
    key = re.search(r'name="form_key" value="([0-9a-f]+)"', me.get(f"{one}/edit").text)
    assert key is not None
    origin = {"origin": str(me.base_url).rstrip("/")}
    file = {"file": ("ethics.pdf", b"%PDF-1.7 \x00\xff", "application/pdf")}
    sent = me.post(f"{one}/attachments", data={"form_key": key[1]}, files=file, headers=origin)
    assert sent.status_code == 303
    wrong = me.post(f"{one}/attachments", data={"form_key": key[1]}, files={"file": ("x.exe", b"MZ")}, headers=origin)
    assert wrong.status_code == 400 and "An attached file is named" in wrong.text
    assert me.get(f"{one}/attachments/ethics.pdf").content == file["file"][1]
    assert "to sign" in _does(people, "researcher", f"{one}/edit", f"{one}/edit", **_fields(me), then="sign")

    assert people["stranger"].get(one).status_code == 404
    assert people["dac-1"].get(one).status_code == 404  # not handed in yet
    assert "Rare variants" in people["official"].visit("/desk/signing").text
    assert "is being decided" in _does(people, "official", one, events, event="signed")

    for who in ("dac-1", "dac-2"):
        assert "Check and vote" in people[who].visit("/desk/committee").text
        _does(people, who, line, events, event="voted", dataset="FI:a", vote="approve", comment="Sound.")
    _does(people, "dac-1", line, events, event="checked", dataset="FI:a", **{"point:ethics": "yes"})
    _does(people, "dac-1", line, events, event="proposed", dataset="FI:a", decision="approve", reason="Sound.")
    assert "approved by the committee" in _does(
        people, "dac-2", line, events, event="decided", dataset="FI:a", decision="approve"
    )
    assert "Sound." not in Html(me.visit(line).text).text  # the votes' comments stay inside

    assert "Confirm or veto" in people["national"].visit("/desk/national").text
    _does(people, "national", line, events, event="confirmed", dataset="FI:a")
    drawn = _does(people, "holder", one, f"{one}/agreements")
    assert "not signed yet" in drawn
    [path] = set(re.findall(rf"{one}/agreements/[0-9a-f]{{64}}", people["holder"].visit(one).text))
    sha256 = path.rpartition("/")[2]
    for who, side in (("holder", "holder"), ("official", "user")):
        page = _does(people, who, path, events, event="agreement-signed", side=side, sha256=sha256, back="agreement")
        assert sha256 in page and "DATA USE AGREEMENT" in page
    assert "signed by both sides" in page
    assert "to issue the visas" in Html(me.visit(one).text).text

    applicant = me.get(f"/api/v1{one}/report").json()["people"]["applicant"]
    plan = {"project": "p", "method": "linear", "datasets": ["FI:a"]}
    run = StoredRun(
        "0a" * 8, "held", plan, "0" * 64, "2026-02-02T00:00:00Z", "2099-01-01T00:00:00Z", details={"proposer": applicant}
    )
    RunStore(open_hub_database(hub.folder)).add(run, waiting_max=10)
    report = Html(me.visit(f"{one}/report").text).text
    for words in ("FI:a", "confirmed by the country", "FI-dac", sha256, "signed by both sides", "decided", run.id, "held"):
        assert words in report, words


def _fields(browser: Browser) -> dict[str, str]:
    """What the form that is open holds, as a browser would send it."""
    assert browser.page is not None
    html = Html(browser.page.text)
    found = {one["name"] or "": one.get("value") or "" for one in html.all("input") if one.get("type") in ("hidden", None)}
    texts = re.findall(r'<textarea id="[^"]*" name="([^"]*)"[^>]*>([^<]*)</textarea>', browser.page.text)
    ticked = {one["name"] or "": "yes" for one in html.all("input", type="checkbox") if "checked" in one}
    state = re.search(r'name="version" value="(\d+)"', browser.get(browser.page.url.path).text)
    assert state is not None
    return {**found, **dict(texts), **ticked, "version": state[1]}


def test_desks_are_for_people_who_are_logged_in(hub: HubWithPeople) -> None:
    with Browser(hub.url) as nobody:
        assert nobody.get("/catalogue").status_code == 200
        for path in ("/desk", "/applications", "/grants", "/basket"):
            assert nobody.get(path).headers["location"].startswith("/login?next="), path


def test_the_five_safes_report_is_a_page_for_whoever_may_read_the_application(people: dict[str, Browser]) -> None:
    identifier = _begun(people, title="<b>Rare</b> variants", members=[])
    address = f"/applications/{identifier}/report"
    page = people["researcher"].visit(address)
    told = people["researcher"].get(f"/api/v1{address}").json()
    assert page.status_code == 200 and told["project"]["investigations"] == ["genetic"]
    assert "<b>Rare" not in page.text and "&lt;b&gt;Rare" in page.text
    text = Html(page.text).text
    for words in (
        "Safe people",
        "Safe outputs",
        "Genetic study",
        "nobody yet",
        told["people"]["applicant"]["subject"],
        "is a draft",
    ):
        assert words in text, words
    assert f'href="{address}"' in people["researcher"].visit(f"/applications/{identifier}").text
    assert people["stranger"].get(address).status_code == 404
    german = Html(people["researcher"].visit(f"/de{address}").text).text
    assert "Sichere Menschen" in german and "Safe people" not in german
