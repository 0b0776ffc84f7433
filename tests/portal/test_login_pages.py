"""Login, the embedded issuer's pages and the account in Chromium: without JavaScript, in both colour schemes, on a phone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from tests.hub.people_help import PASSWORD, HubWithPeople, hub_with_people
from tests.portal.test_browser import RULES

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubWithPeople]:
    with hub_with_people(tmp_path_factory.mktemp("people") / "hub", names=("ada", "new")) as running:
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    program = shutil.which("chromium")
    assert program, "this test needs the Debian package chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()


def _checked(page: Page, name: str, told: Callable[[Any], None]) -> None:
    """Axe finds nothing in light and dark; a screenshot where the environment wants one."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        found = Axe().run(page, options={"runOnly": RULES})
        assert found.violations_count == 0, f"{name}, {scheme}: {found.generate_report()}"
    folder = os.environ.get("COHELIX_SCREENSHOTS")
    if folder:
        page.emulate_media(color_scheme="light", reduced_motion="reduce")
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
    told(name)


def _context(chromium: Browser, hub: HubWithPeople, *, javascript: bool) -> tuple[BrowserContext, Page, list[str]]:
    context = chromium.new_context(base_url=hub.url, java_script_enabled=javascript)
    context.set_default_timeout(20_000)
    page, faults = context.new_page(), []
    page.on("console", lambda said: faults.append(said.text) if "Content Security Policy" in said.text else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    return context, page, faults


def test_a_new_person_goes_through_all_pages(chromium: Browser, hub: HubWithPeople) -> None:
    seen: list[str] = []
    context, page, faults = _context(chromium, hub, javascript=True)
    page.set_viewport_size({"width": 390, "height": 780})
    page.goto("/about")
    page.get_by_role("link", name="Log in").click()
    _checked(page, "sign-in", seen.append)
    page.get_by_label("Name").fill("new")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    assert page.get_by_role("alert").is_visible()
    _checked(page, "sign-in-again", seen.append)
    page.get_by_label("Password").fill(hub.first["new"])
    page.get_by_role("button", name="Sign in").click()
    _checked(page, "own-password", seen.append)
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_label("The same again").fill(PASSWORD)
    page.get_by_role("button", name="Keep this password").click()
    _checked(page, "terms", seen.append)
    page.get_by_role("button", name="I accept the terms").click()
    page.wait_for_url("**/account")
    page.set_viewport_size({"width": 1280, "height": 900})
    _checked(page, "account", seen.append)
    assert page.get_by_role("heading", name="My access").is_visible()
    page.get_by_role("button", name="Log out").click()
    _checked(page, "logged-out", seen.append)
    assert len(seen) == 6 and not faults, faults
    context.close()


def test_all_of_it_works_without_javascript(chromium: Browser, hub: HubWithPeople) -> None:
    context, page, _ = _context(chromium, hub, javascript=False)
    page.goto("/login?next=/datasets")
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Go on without").click()
    assert page.url.endswith("/datasets") and page.get_by_role("link", name="The ada").is_visible()
    page.goto("/account")
    page.get_by_role("button", name="Log out").click()
    assert page.get_by_role("heading", name="You are logged out").is_visible()
    context.close()


def test_a_program_is_allowed(chromium: Browser, hub: HubWithPeople, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cohelix.sdk.identity import CONFIG_VARIABLE, Asked, log_in

    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path))
    seen: list[str] = []
    context, page, faults = _context(chromium, hub, javascript=True)
    asked: list[Asked] = []

    def allow(_seconds: float) -> None:
        page.goto("/broker/device")
        page.get_by_label("Code").fill("BBBB-BBBB")
        page.get_by_role("button", name="Go on").click()
        assert page.get_by_role("alert").is_visible()
        page.goto(asked[0].complete_address)
        _checked(page, "device", seen.append)
        page.get_by_role("button", name="Go on").click()
        page.get_by_label("Name").fill("ada")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("button", name="I accept the terms").click()
        _checked(page, "allow", seen.append)
        page.get_by_role("button", name="Allow").click()
        _checked(page, "allowed", seen.append)

    assert log_in(hub.url, asked.append, sleep=allow).name == "The ada"
    assert len(seen) == 3 and not faults, faults
    context.close()
