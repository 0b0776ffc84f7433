"""The page /audit in a real browser: own entries, all entries for an auditor, without a finding of axe in both schemes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from importlib import resources

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page, Route, sync_playwright
from tests.hub.people_help import Browser, HubWithPeople, hub_with_people

from cohelix.access.actor import Role
from cohelix.access.roles import Roles
from cohelix.hub.identity import open_broker
from cohelix.hub.settings import open_hub_database, read_settings

pytestmark = pytest.mark.browser
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
PHONE = {"width": 390, "height": 780}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubWithPeople]:
    with hub_with_people(tmp_path_factory.mktemp("audit") / "hub") as running:
        engine = open_hub_database(running.folder)
        broker = open_broker(running.folder, read_settings(running.folder), engine)
        [subject] = [one.subject for one in broker.accounts.all() if one.name == "ada"]
        Roles(engine).grant(Role.AUDITOR, subject, running.issuer)
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    path = shutil.which("chromium")
    if path is None:
        pytest.fail("this test needs the Debian package chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Chromium, hub: HubWithPeople) -> Iterator[Page]:
    """A page of somebody who has just logged in, and whose login stands in the log."""
    with Browser(hub.url) as person:
        person.log_in("ada")
        deadline = time.monotonic() + 10
        while "login:done" not in person.get("/audit").text.partition("<table>")[2]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        cookies = [{"name": one.name, "value": one.value or "", "url": hub.url} for one in person.cookies.jar]
    context = chromium.new_context(base_url=hub.url)
    context.add_cookies(cookies)  # type: ignore[arg-type]
    context.set_default_timeout(10_000)
    yield context.new_page()
    context.close()


def test_one_sees_ones_own_entries_and_an_auditor_all(page: Page) -> None:
    page.goto("/audit")
    assert page.locator("h1").inner_text() == "What was written down of me"
    assert page.locator("tbody tr").count() >= 1
    page.get_by_label("Event").select_option("login:done")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**event=login%3Adone**")
    assert set(page.locator("section:first-of-type tbody tr code").all_inner_texts()) == {"login:done"}
    page.get_by_role("link", name="All entries, as auditor").click()
    page.wait_for_url("**/audit?all=1")
    assert page.locator("h1").inner_text() == "The audit log"
    assert "server:started" in page.locator("main").inner_text()


def test_an_entry_is_checked_in_the_browser_by_keys_alone(page: Page) -> None:
    page.goto("/audit?event=login%3Adone")
    row = page.locator("section:first-of-type tbody tr").last
    row.get_by_role("button", name="Check it here").focus()
    page.keyboard.press("Enter")
    row.get_by_text("It holds: the entry is in the log").wait_for()
    forged = "**/api/v1/audit/entries/*/proof"

    def forge(route: Route) -> None:
        told = route.fetch().json()
        route.fulfill(json={**told, "entry": told["entry"].replace("login:done", "login:gone")})

    page.route(forged, forge)
    page.keyboard.press("Enter")
    row.get_by_text("It does not hold: the entry is not in the log").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/audit", "/audit?all=1", "/audit?event=run:released"])
def test_axe_finds_nothing(page: Page, path: str, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    page.goto(path)
    page.evaluate((resources.files("axe_playwright_python") / "axe.min.js").read_text())
    said = page.evaluate("rules => axe.run({runOnly: rules})", RULES)
    assert said["violations"] == [], [(one["id"], one["nodes"][0]["html"]) for one in said["violations"]]


def test_it_fits_a_phone(page: Page) -> None:
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page.goto("/audit?all=1")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
