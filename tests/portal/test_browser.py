"""The portal in a real browser: with keys alone, without JavaScript, in both colour schemes, on a phone."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, expect, sync_playwright
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from cohelix.analysis.files import TableWriter
from cohelix.analysis.summary import summarise
from cohelix.analysis.variants import VariantList
from cohelix.analysis.window import strongest_within, tile
from cohelix.core.genome import parse_region
from cohelix.core.variant import VariantKey
from cohelix.wire.analysis import Run

pytestmark = pytest.mark.browser

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
PHONE = {"width": 390, "height": 780}
PATHS = [
    "/",
    "/variant/22-50313359-G-A?assembly=GRCh37",
    "/region/22:50310000-50320000?assembly=GRCh37",
    "/gene/CRELD2?assembly=GRCh37",
    "/datasets",
    "/datasets/FI:geuvadis",
    "/about",
    "/search?q=22-50313359-G&assembly=GRCh37",
    "/nowhere",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.fail("this test needs the Debian package chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    """A page that fails the test when anything runs that should not, or when it asks another origin."""
    context = browser.new_context(base_url=url)
    context.set_default_timeout(10_000)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if "Content Security Policy" in said.text else None)
    page.on("request", lambda request: None if request.url.startswith(url) else faults.append(request.url))
    page.on("dialog", lambda dialog: (faults.append(dialog.message), dialog.dismiss()))
    yield page
    context.close()
    assert not faults


def test_with_keys_alone_from_search_to_answer(page: Page) -> None:
    page.goto("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "q":
            break
    page.keyboard.type("chr22:50313359 G>A")
    page.keyboard.press("Enter")
    page.wait_for_url("**/variant/22-50313359-G-A?assembly=GRCh37")
    assert page.locator("h1").inner_text() == "22-50313359-G-A"
    assert page.locator(".pooled .lead").inner_text() == "0.2207"


def test_the_skip_link_skips(page: Page) -> None:
    page.goto("/variant/22-50313359-G-A?assembly=GRCh37")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    page.keyboard.press("Tab")
    assert page.evaluate("document.getElementById('content').contains(document.activeElement)")


def test_every_stop_of_the_keyboard_is_visible(page: Page) -> None:
    page.goto("/variant/22-50313359-G-A?assembly=GRCh37")
    unseen = []
    for _ in range(60):
        page.keyboard.press("Tab")
        stop = page.evaluate(
            """() => { const e = document.activeElement; const s = getComputedStyle(e);
            const seen = s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2;
            return e === document.body ? null : [e.outerHTML.slice(0, 60), seen]; }"""
        )
        if stop is None:
            break
        if not stop[1]:
            unseen.append(stop[0])
    assert not unseen


def test_a_wrong_question_is_mended_with_keys(page: Page) -> None:
    page.goto("/")
    page.fill("#q", "CREDL2")
    page.press("#q", "Enter")
    meant = page.locator(".meant a", has_text="CRELD2")
    meant.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/gene/CRELD2?assembly=GRCh37")


def test_without_javascript_all_tasks_pass(browser: Browser, url: str) -> None:
    context = browser.new_context(base_url=url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/")
    page.get_by_role("searchbox").fill("22:50310000-50320000")
    page.get_by_role("radio", name="GRCh37").check()
    page.get_by_role("button", name="Ask").click()
    page.get_by_role("link", name="22-50313359-G-A").click()
    assert page.get_by_role("row", name=re.compile("FIN everyone 0.1685 31 184")).is_visible()
    page.get_by_text("Command line", exact=True).click()
    assert page.get_by_text("cohelix frequency 22-50313359-G-A").is_visible()
    assert page.get_by_role("button", name="Copy").count() == 0
    page.get_by_role("link", name="Datasets").first.click()
    page.get_by_role("link", name="IT:geuvadis").click()
    assert page.get_by_role("heading", name="GEUVADIS genotypes, TSI").is_visible()
    context.close()


def test_a_snippet_can_be_copied(browser: Browser, url: str) -> None:
    context = browser.new_context(base_url=url, permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto("/variant/22-50313359-G-A?assembly=GRCh37")
    page.get_by_text("Command line", exact=True).click()
    page.locator("details[open] button").click()
    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()").startswith("cohelix frequency 22-50313359-G-A --assembly GRCh37")
    context.close()


def test_a_word_while_members_are_asked(page: Page, stage: Any) -> None:
    page.goto("/")
    stage.script["GB"]["frequency"] = 30.0  # late: the deadline here is half a second
    page.fill("#q", "22-50313359-G-A")
    page.evaluate(
        """() => addEventListener('pagehide', () =>
            sessionStorage.setItem('word', document.querySelector('main form button').textContent))"""
    )
    page.press("#q", "Enter")
    page.wait_for_url("**/variant/**")
    assert page.evaluate("sessionStorage.getItem('word')") == "Asking…"
    page.get_by_text("GB United Kingdom did not answer in time").wait_for()
    page.go_back()
    assert page.locator("main form button").inner_text() == "Ask"


@pytest.mark.parametrize("path", PATHS)
def test_a_phone_scrolls_tables_not_pages(page: Page, path: str) -> None:
    page.set_viewport_size(PHONE)
    page.goto(path)
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    small = page.evaluate(
        """() => [...document.querySelectorAll(
            'button, select, input, summary, nav a, .members a, .meant a, .examples a, .colophon a')]
        .filter(e => { const r = e.getBoundingClientRect(); return r.width && e.type !== 'radio' && r.height < 24; })
        .map(e => e.outerHTML.slice(0, 80))"""
    )
    assert not small, "targets are at least 24 px high (WCAG 2.2, 2.5.8)"


def test_hostile_text_does_not_run(page: Page) -> None:
    for text in ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "<svg/onload=alert(1)>", "javascript:alert(1)"):
        page.goto("/")
        page.fill("#q", text)
        page.press("#q", "Enter")
        page.wait_for_url("**/search?**")
        assert page.locator("input[type=search]").input_value() == text


def test_a_page_is_quick_and_steady(page: Page) -> None:
    """The promise is a largest paint within 1.0 s on a quiet machine; here it only must not wait for anything."""
    page.goto("/variant/22-50313359-G-A?assembly=GRCh37")
    paint, shift = page.evaluate(
        """() => new Promise(done => { let paint = 0, shift = 0;
        new PerformanceObserver(list => { for (const e of list.getEntries()) paint = e.startTime; })
            .observe({type: 'largest-contentful-paint', buffered: true});
        new PerformanceObserver(list => { for (const e of list.getEntries()) shift += e.value; })
            .observe({type: 'layout-shift', buffered: true});
        setTimeout(() => done([paint, shift]), 500); })"""
    )
    assert 0 < paint < 4000
    assert shift <= 0.05


@pytest.fixture(scope="module")
def axe() -> str:
    """The source of axe-core, as the wheel brings it."""
    return resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize(("scheme", "language", "absent"), [("light", "de", False), ("dark", "en-XA", True)])
def test_axe_finds_nothing(  # noqa: PLR0917
    browser: Browser, stage: Any, wire: Any, url: str, axe: str, scheme: Any, language: str, absent: bool
) -> None:
    """A sample; `python -m validation.portal` looks at every route in each scheme and language."""
    if absent:  # with everything that can be missing
        stage.lose("IT", "late", "no answer within 5 s")
        refused = {"id": "GB:geuvadis", "status": "below_floor", "reason": "fewer than 5", "populations": []}
        stage.play("GB", [refused], [wire.record("GB:geuvadis", simulated=True, **wire.FLOORED)])
    context = browser.new_context(base_url=url, color_scheme=scheme, bypass_csp=True)
    context.add_cookies([{"name": "cohelix_language", "value": language, "url": url}])
    page = context.new_page()
    for path in [*PATHS[:2], "/term/HP:0001250"] if absent else PATHS[2:]:
        page.goto(path)
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        page.add_script_tag(content=axe)
        found = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
        told = [(v["id"], [node["target"] for node in v["nodes"]]) for v in found["violations"]]
        assert not told, (path, told)
        assert found["passes"], "axe looked at nothing"
    context.close()


@pytest.fixture
def released(app: FastAPI, tmp_path: Path) -> str:
    """The page of a released analysis of 20,000 lines on two chromosomes, with the hub's endpoint for its drawing."""
    rng = np.random.default_rng(7)
    strength = -np.log10(rng.random(20_000))
    strength[[5_000, 15_000]] = 12.5, 31.25
    keys = [VariantKey(str(21 + at // 10_000), 1_000_000 + 400 * (at % 10_000), "A", "C") for at in range(20_000)]
    writer = TableWriter(tmp_path, VariantList.of(keys), ["t"], metadata={})
    writer.write(np.arange(20_000), {"neg_log10_p": strength, "beta": np.full(20_000, 0.5)})
    writer.close()
    summary = summarise(tmp_path)
    nodes = [{"node": "FI", "contributor": True, "aggregator": True, "status": "done", "blocks": 1}]
    plan = {
        "project": "demo",
        "method": "linear",
        "assembly": "GRCh37",
        "datasets": ["FI:a"],
        "trait": {"measurement": "BMI"},
        "traits": [],
    }
    times = {"proposedAt": "2026-01-01T00:00:00Z", "deadline": "2026-01-02T00:00:00Z"}
    run = {"id": "abc12345", "state": "released", "plan": plan, "planHash": "f" * 64, "nodes": nodes, "people": 358, **times}
    app.state.board.runs["abc12345"] = Run.model_validate(run)
    app.state.board.summaries["abc12345"] = summary.document()

    def tiled(request: Request) -> JSONResponse:
        asked = request.path_params
        return JSONResponse(tile(tmp_path, asked["contig"], asked["level"], asked["number"]))

    def near(request: Request) -> JSONResponse:
        found = strongest_within(tmp_path, parse_region(request.query_params["region"]), 100)
        return JSONResponse({"strongest": [one.document() for one in found.strongest]})

    for path, answer in (
        ("drawing", lambda _: JSONResponse(summary.drawing())),
        ("tiles/{contig}/{level:int}/{number:int}", tiled),
        ("lines", near),
    ):
        app.router.routes.insert(0, Route(f"/api/v1/analyses/abc12345/{path}", answer))
    return "/analyses/abc12345"


def test_a_manhattan_plot_is_zoomed_and_moved_with_keys(page: Page, released: str) -> None:
    page.route("**/pictures/**", lambda route: route.fulfill(status=204))
    page.goto(released)
    page.wait_for_selector("figure[data-drawn]")
    figure = page.locator("figure.manhattan")
    status = figure.get_by_role("status")
    figure.focus()
    page.keyboard.press("End")  # the peak on 22; it stays in the middle
    with page.expect_response("**/tiles/22/*/*") as tiles:
        for _ in range(5):
            page.keyboard.press("+")
    assert tiles.value.json()["tested"] > 0
    expect(status).to_have_text(re.compile(r"Shown: 22:2,(\d+),\d+–3,\d+,\d+\."))
    window = page.get_by_role("link", name="The lines of this window as a table")
    before = window.get_attribute("href")
    page.keyboard.press("Shift+ArrowRight")
    expect(window).not_to_have_attribute("href", str(before))
    page.keyboard.press("0")
    expect(status).to_have_text("Shown: the whole table.")
    expect(window).to_be_hidden()
    page.keyboard.press("ArrowLeft")
    figure.get_by_role("link", name="The region of this peak").click()
    page.wait_for_url("**/region/21:2500001-3500001")


def test_a_manhattan_plot_is_walked_with_keys(page: Page, released: str, url: str, browser: Browser, axe: str) -> None:
    page.route("**/pictures/**", lambda route: route.fulfill(status=204))
    page.goto(released)
    figure = page.locator("figure.manhattan")
    page.wait_for_selector("figure[data-drawn]")
    inked = """() => { const c = document.querySelector('figure.manhattan canvas');
        const data = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        let n = 0; for (let i = 3; i < data.length; i += 4) n += data[i] > 0; return n; }"""
    assert page.evaluate(inked) > 2_000
    figure.focus()
    status = figure.get_by_role("status")
    page.keyboard.press("ArrowRight")
    assert status.inner_text() == "1 / 2: 21-3000001-A-C, −log₁₀ p 12.5, effect 0.5"
    page.keyboard.press("End")
    assert status.inner_text().startswith("2 / 2: 22-3000001-A-C, −log₁₀ p 31.25")
    page.keyboard.press("ArrowRight")
    assert status.inner_text().startswith("1 / 2")
    page.get_by_role("button", name="Strongest peak").click()
    assert status.inner_text().startswith("2 / 2")
    assert page.get_by_role("row", name=re.compile("22-3000001-A-C .*31.25")).is_visible(), "the table says it, too"
    page.get_by_role("link", name="Its frequencies").click()
    page.wait_for_url("**/variant/22-3000001-A-C?assembly=GRCh37")
    page.goto(f"{released}/region/22:2900001-3100000")
    page.wait_for_selector("figure[data-drawn]")
    figure.focus()
    page.keyboard.press("Home")
    assert page.evaluate(inked) > 2_000
    assert status.inner_text().startswith("1 / ") and "22-29" in status.inner_text()
    for scheme in ("light", "dark"):
        context = browser.new_context(base_url=url, color_scheme=scheme, bypass_csp=True, viewport=PHONE)
        checked = context.new_page()
        checked.goto(released)
        checked.wait_for_selector("figure[data-drawn]")
        checked.add_script_tag(content=axe)
        found = checked.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
        assert not [(v["id"], [node["target"] for node in v["nodes"]]) for v in found["violations"]]
        assert checked.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        context.close()
