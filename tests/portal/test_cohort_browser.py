"""Cohorts composed in a real browser: by mouse, with keys alone, and without JavaScript; the address follows."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

pytestmark = pytest.mark.browser
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
PHONE = {"width": 320, "height": 700}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.fail("this test needs the Debian package chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        yield browser
        browser.close()


@pytest.fixture(autouse=True)
def _names_are_read(few_names: None) -> None:
    """No test here is about reading all names."""


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    """A page that fails the test when a script fails or another origin is asked."""
    context = browser.new_context(base_url=url)
    context.set_default_timeout(10_000)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    page.on("request", lambda request: None if request.url.startswith(url) else faults.append(request.url))
    yield page
    context.close()
    assert not faults


def test_with_keys_alone(page: Page, url: str) -> None:
    """From an empty page to nested groups: every control is reached with Tab, and the focus follows what was done."""
    page.goto("/cohorts")
    said = page.locator("#said")

    def to(selector: str) -> None:
        for _ in range(60):
            if page.evaluate("s => document.activeElement.matches(s)", selector):
                return
            page.keyboard.press("Tab")
        pytest.fail(f"{selector} is not reached")

    to("#new-")
    page.keyboard.type("Phen")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    field = page.locator("[name='1.v']")
    expect(field).to_be_focused()
    page.keyboard.type("seiz")
    expect(page.locator(".options li").first).to_have_text("Seizure HP:0001250")
    page.keyboard.press("ArrowDown")
    expect(field).to_have_attribute("aria-activedescendant", "v-1.v-options-0")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(said).to_have_text("80 people, told by 4 of 4 members.")
    expect(page).to_have_url(f"{url}/cohorts?cohort=phenotype=HP:0001250")
    expect(page.locator("[data-said='1']")).to_have_text("Seizure")
    to("button[value='group@']")
    page.keyboard.press("Enter")
    expect(page.locator("[id='c-2']").locator("select").first).to_be_focused()
    for years in ("40", "50"):
        to("[id='new-2']")
        page.keyboard.type("Age")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.locator(f"[name='2.{1 if years == '40' else 2}.v']")).to_be_focused()
        page.keyboard.type(years)
    expect(page).to_have_url(f"{url}/cohorts?cohort=phenotype=HP:0001250+and+(age%3E=40+or+age%3E=50)")
    page.locator("button[value='remove@2.1']").focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{url}/cohorts?cohort=phenotype=HP:0001250+and+age%3E=50")
    page.go_back()
    expect(page.locator("[name='2.2.v']")).to_have_value("50")
    page.reload()
    expect(page.locator("#counts code")).to_have_text("phenotype=HP:0001250 and (age>=40 or age>=50)")


def test_by_mouse_and_a_word_that_nobody_knows(page: Page, url: str, stage: Any) -> None:
    stage.script["GB"]["cohort-count"] = 30.0  # late: the deadline here is half a second
    page.goto("/cohorts?cohort=sex=female")
    page.get_by_label("Kind of criterion").select_option("phenotype")
    page.get_by_role("button", name="Add criterion").click()
    page.locator("[name='2.v']").fill("siezure")
    page.get_by_role("heading", name="Cohorts").click()
    expect(page.locator("[name='2.v']")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#counts")).to_contain_text("Not counted.")
    page.get_by_role("button", name="HP:0001250 Seizure").click()
    expect(page.locator("#counts .part")).to_contain_text("is being asked")
    expect(page.locator("#counts")).to_contain_text("GB did not answer in time")
    expect(page.locator("#said")).to_have_text("60 people, told by 3 of 4 members. No number from GB.")
    page.get_by_label("People of whom").select_option("none")
    expect(page).to_have_url(f"{url}/cohorts?cohort=not+(sex=female+or+phenotype=HP:0001250)")
    expect(page.get_by_label("People of whom")).to_be_focused()
    page.get_by_text("Datasets: all").click()
    page.get_by_label("FI:geuvadis").check()
    expect(page).to_have_url(f"{url}/cohorts?cohort=not+(sex=female+or+phenotype=HP:0001250)&dataset=FI:geuvadis")
    expect(page.locator("#said")).to_have_text("20 people, told by 1 of 1 members.")
    german = page.get_by_role("link", name="Deutsch").get_attribute("href")
    assert german == "/de/cohorts?cohort=not+(sex=female+or+phenotype=HP:0001250)&dataset=FI:geuvadis"
    page.get_by_text("Command line", exact=True).click()
    expect(page.locator("details[open] code").last).to_contain_text("cohelix cohort count 'not (sex=female or phenotype")
    expect(page.get_by_role("button", name="Copy").first).to_be_visible()
    onward = page.get_by_role("link", name="Analyse this cohort").get_attribute("href")
    assert onward == "/analyses/new?cohort=not+(sex=female+or+phenotype=HP:0001250)&dataset=FI:geuvadis"


def test_without_javascript(browser: Browser, url: str) -> None:
    context = browser.new_context(base_url=url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/")
    page.get_by_role("link", name="Cohorts").click()
    page.get_by_label("Kind of criterion").select_option("disease")
    page.get_by_role("button", name="Add criterion").click()
    page.get_by_label("Code or name").fill("hypercholestrolemia")
    page.get_by_label("Code or name").press("Enter")
    page.get_by_role("button", name="OMIM:143890").click()
    assert page.url == f"{url}/cohorts?cohort=disease=OMIM:143890"
    assert page.locator(".lead").inner_text() == "80"
    page.get_by_role("button", name="Add group").click()
    page.get_by_label("Kind of criterion for group 2").select_option("sex")
    page.locator("button[value='add@2']").click()
    page.get_by_role("combobox", name="Sex").select_option("female")
    page.get_by_role("button", name="Count", exact=True).click()
    assert page.url == f"{url}/cohorts?cohort=disease=OMIM:143890+and+sex=female"
    page.get_by_role("button", name="Remove criterion 1: Disease").click()
    assert page.url == f"{url}/cohorts?cohort=sex=female"
    context.close()


def test_axe_finds_nothing_and_a_phone_is_wide_enough(browser: Browser, url: str) -> None:
    axe = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    draft = "/cohorts?1.f=phenotype&1.v=siezure&2.j=any&2.1.f=age&2.1.v=x&3.f=measurement&4.j=none&4.1.j=any&4.1.1.f=sex"
    context = browser.new_context(base_url=url, color_scheme="dark", bypass_csp=True, viewport=PHONE)
    page = context.new_page()
    for path in ("/cohorts", draft, "/cohorts?cohort=sex=female+and+(disease=OMIM:1+or+not+age%3E=40)&dataset=FI:geuvadis"):
        page.goto(path)
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        if path is draft:
            page.locator("[name='1.v']").focus()
            page.keyboard.press("ArrowDown")
            page.locator(".options li").first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path
        if path is not draft:
            continue  # `python -m validation.portal` looks at every state in each scheme and language
        page.add_script_tag(content=axe)
        found = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
        assert not [(v["id"], [node["target"] for node in v["nodes"]]) for v in found["violations"]], path
        small = page.evaluate(
            """() => [...document.querySelectorAll('main button:not(.unseen), main select, main input, main summary')]
            .filter(e => { const r = e.getBoundingClientRect(); return r.width > 1 && e.type !== 'checkbox' && r.height < 24; })
            .map(e => e.outerHTML.slice(0, 80))"""
        )
        assert not small
    context.close()
