"""Notices over a real hub with a real mail server: HTTP, the page in a browser, Python, the command line."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page, sync_playwright
from tests.access.mail_help import MailServer, mail_server
from tests.hub.people_help import PASSWORD, Browser, HubWithPeople, hub_with_people

from cohelix.access.actor import Role
from cohelix.access.roles import Roles
from cohelix.hub import notices as desk
from cohelix.hub.identity import open_broker
from cohelix.hub.settings import open_hub_database, read_settings
from validation.processes import said

DUTIES = {"official": (Role.SIGNING_OFFICIAL, "institute"), "dac": (Role.DAC_MEMBER, "FI-dac")}
FORM: dict[str, Any] = {
    "title": "Rare <b>variants</b>",
    "summary": "Why.",
    "organisation": "institute",
    "lines": [{"dataset": "FI:a", "authority": "FI-dac", "country": "FI"}],
    "investigations": ["genetic"],
}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


@dataclass
class Place:
    hub: HubWithPeople
    mail: MailServer
    people: dict[str, Browser]
    subjects: dict[str, str]

    def ask(self, who: str, path: str, body: dict[str, Any], method: str = "POST") -> dict[str, Any]:
        answer = self.people[who].request(method, path, json=body, headers={"origin": self.hub.url})
        assert answer.status_code in (200, 201), answer.text
        return dict(answer.json())

    def begin(self) -> str:
        """An application that waits for its signature."""
        name = str(self.ask("researcher", "/api/v1/applications", {"form": FORM})["id"])
        self.ask("researcher", f"/api/v1/applications/{name}/events", {"event": "signing-asked"})
        return name

    def told(self, who: str, **asked: Any) -> dict[str, Any]:
        return dict(self.people[who].get("/api/v1/notices", params=asked).json())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    names = ("researcher", "stranger", *DUTIES)
    setattr(desk, "SEND_SECONDS", 0.2)  # noqa: B010 - people wait five
    folder = tmp_path_factory.mktemp("notices") / "hub"
    with mail_server() as server:
        toml = f'[mail]\nhost = "127.0.0.1"\nport = {server.port}\nsecurity = "none"\nfrom = "hub@hub.example"\n'
        with hub_with_people(folder, toml=toml, names=names) as hub:
            engine = open_hub_database(folder)
            accounts = open_broker(folder, read_settings(folder), engine).accounts.all()
            subjects = {one.name: one.subject for one in accounts}
            for name, (role, what) in DUTIES.items():
                Roles(engine).grant_for(role, what, subjects[name], hub.issuer)
            people = {name: Browser(hub.url) for name in names}
            for name, browser in people.items():
                browser.log_in(name)
            yield Place(hub, server, people, subjects)
            for browser in people.values():
                browser.close()


def _until(server: MailServer, mails: int) -> None:
    for _ in range(200):
        if len(server.taken) >= mails:
            return
        time.sleep(0.05)
    raise AssertionError(f"{len(server.taken)} of {mails} mails have come")


def test_an_official_is_told_by_mail_and_in_the_portal(place: Place) -> None:
    set_address = ("hub", "mail", place.hub.folder, "--set", "desk@people.example", "--to", place.subjects["official"])
    assert said(*set_address).status == 0
    name = place.begin()
    _until(place.mail, 1)
    [mail] = place.mail.taken
    assert mail["to"] == "desk@people.example" and f"{place.hub.url}/applications/{name}" in mail.get_content()
    found = place.told("official")
    [notice] = found["notices"]
    assert (notice["matter"], notice["title"], notice["read"], found["unread"]) == ("sign", FORM["title"], False, 1)
    assert found["mail"] == {"sent": True, "address": "desk@people.example", "wanted": True}
    assert notice["id"] in mail["message-id"]

    assert place.told("stranger")["notices"] == []
    place.ask("stranger", "/api/v1/notices/read", {"ids": [notice["id"]]})
    assert place.told("official")["unread"] == 1
    assert place.ask("official", "/api/v1/notices/read", {"ids": [notice["id"]]})["unread"] == 0
    assert place.told("official", unread=True)["notices"] == []
    foreign = place.people["official"].post(
        "/api/v1/notices/read", json={"all": True}, headers={"origin": "https://evil.example"}
    )
    assert foreign.status_code == 403
    assert place.ask("official", "/api/v1/notices/mail", {"wanted": False}, "PUT")["wanted"] is False
    unknown = place.people["stranger"].put("/api/v1/notices/mail", json={"wanted": True}, headers={"origin": place.hub.url})
    assert unknown.status_code == 400 and "no e-mail address of yours is known" in unknown.text
    with Browser(place.hub.url) as nobody:
        assert nobody.get("/api/v1/notices").status_code == 401
        assert nobody.get("/notices").headers["location"] == "/login?next=/notices"
    for wrong in ({"ids": ["x"]}, {"ids": 3}, {"ids": ["N-" + "0" * 32] * 1001}):
        answer = place.people["official"].post("/api/v1/notices/read", json=wrong, headers={"origin": place.hub.url})
        assert answer.status_code in (400, 422), answer.text


def test_the_command_line_and_python_say_the_same(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COHELIX_CONFIG", str(tmp_path / "config"))
    hub = ("--hub", place.hub.url)
    refused = said("notices", *hub)
    assert refused.status == 3 and "cohelix login" in refused.err
    from cohelix.sdk import connect
    from cohelix.sdk.identity import Asked, log_in

    asked: list[Asked] = []

    def allow() -> None:
        with Browser(place.hub.url) as browser:
            browser.allow_program(asked[0].code, "official", PASSWORD)

    log_in(place.hub.url, asked.append, sleep=lambda _: allow())
    place.begin()
    shown = said("notices", *hub, "--unread")
    assert "waits for your organisation" in shown.out and "1 unread" in shown.out
    with connect(place.hub.url) as client:
        found = client.notices(unread=True)
        assert found.unread == 1 and found.to_polars()["what"].to_list() == [found.notices[0].what]
    document = json.loads(said("notices", *hub, "--read", found.notices[0].id, "--mail", "on", "--json").out)
    assert document["unread"] == 0 and document["mail"]["wanted"] is True
    assert "None unread." in said("notices", *hub).out
    assert said("notices", *hub, "--mail", "perhaps").status == 2


def test_the_operator_sees_addresses_and_tries_the_server(place: Place) -> None:
    folder = place.hub.folder
    before = len(place.mail.taken)
    assert "has taken a message" in said("hub", "mail", folder, "--test", "me@people.example").out
    assert place.mail.taken[before]["subject"] == "Test federation: mail works"
    assert said("hub", "mail", folder, "--test", "nobody").status == 2
    assert said("hub", "mail", folder, "--set", "x", "--to", "y").status == 2
    assert said("hub", "mail", folder, "--set", "x@y.example").status == 2
    place.mail.recipient = lambda address: "554 go away" if address.startswith("bad") else "250 known"
    refused = said("hub", "mail", folder, "--test", "bad@people.example")
    assert refused.status == 5 and "554 go away" in refused.err
    to = ("--to", place.subjects["dac"])
    assert said("hub", "mail", folder, "--set", "bad@people.example", *to).status == 0
    name = place.begin()
    place.ask("official", f"/api/v1/applications/{name}/events", {"event": "signed"})
    for _ in range(100):
        listed = json.loads(said("hub", "mail", folder, "--json").out)
        if listed["givenUp"]:
            break
        time.sleep(0.1)
    assert listed["givenUp"] == 1 and {"bad@people.example", "desk@people.example"} == {
        one["address"] for one in listed["contacts"]
    }
    assert "1 times: 554 go away" in said("hub", "mail", folder).out
    assert said("hub", "mail", folder, "--forget", *to).status == 0
    assert said("hub", "mail", folder, "--forget", *to).status == 2
    assert said("hub", "mail", folder, "--set", "gone@people.example", "--to", place.subjects["stranger"]).status == 0
    assert "gone@" in said("hub", "mail", folder).out
    assert said("hub", "people", folder, "--close", "stranger").status == 0
    assert "gone@" not in said("hub", "mail", folder).out  # an account that is closed leaves no address


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    program = shutil.which("chromium")
    assert program, "this test needs the Debian package chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()


def _page(chromium: Chromium, place: Place, who: str, **options: Any) -> Page:
    context = chromium.new_context(base_url=place.hub.url, **options)
    jar = place.people[who].cookies.jar
    context.add_cookies([{"name": one.name, "value": one.value or "", "url": place.hub.url} for one in jar])
    return context.new_page()


@pytest.mark.browser
def test_the_page_without_javascript(place: Place, chromium: Chromium) -> None:
    place.ask("official", "/api/v1/notices/read", {"all": True})
    place.ask("official", "/api/v1/notices/mail", {"wanted": True}, "PUT")
    names = [place.begin() for _ in range(2)]
    page = _page(chromium, place, "official", java_script_enabled=False)
    page.goto("/")
    link = page.get_by_role("link", name="Notices 2 unread")
    link.click()
    cards = page.locator("li.card.unread")
    assert cards.count() == 2 and page.locator("li.card b b").count() == 0
    assert FORM["title"] in cards.first.inner_text()  # the markup of a title is text
    cards.first.get_by_role("button", name="Mark as read").click()
    assert page.locator("li.card.unread").count() == 1
    assert page.get_by_role("link", name="Notices 1 unread").is_visible()
    page.get_by_role("link", name="Show unread ones alone").click()
    assert page.locator("li.card").count() == 1
    page.get_by_role("link", name="An application waits for your organisation’s signature").click()
    assert page.url.rpartition("/")[2] in names
    page.goto("/notices")
    page.get_by_role("button", name="Mark all as read").click()
    assert "All are read." in page.locator("main").inner_text()
    page.get_by_role("button", name="Send me no e-mail").click()
    assert page.get_by_role("button", name="Send me notices by e-mail").is_visible()
    forged = place.people["official"].post(
        "/notices/read", data={"all": "yes", "form_key": "0" * 64}, headers={"origin": place.hub.url}
    )
    assert forged.status_code == 403


@pytest.mark.browser
def test_the_page_is_accessible(place: Place, chromium: Chromium) -> None:
    place.begin()
    axe = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    page = _page(chromium, place, "official", bypass_csp=True, viewport={"width": 360, "height": 800})
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.goto("/notices")  # anew: colours pass into each other slowly
        page.evaluate(axe)
        found = page.evaluate("tags => axe.run(document, {runOnly: {type: 'tag', values: tags}})", RULES)
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]] == [], scheme
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
