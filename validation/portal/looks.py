"""A look at every page that a walk has visited: vitals, weight, and pictures in light and dark, wide and on a phone."""

from __future__ import annotations

import gzip
import re
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Error, Page, Response

from validation.portal.walks import AGAIN, Walk

LCP_MS_MAX: Final = 1_000
SHIFT_MAX: Final = 0.05
ANSWER_MS_MAX: Final = 300
BYTES_MAX: Final = 60_000
SIZES: Final = {"wide": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}
SCHEMES: Final = ("light", "dark")
_SEARCHES: Final = 20
_VITALS: Final = """() => new Promise(resolve => {
  const found = { lcp: 0, shift: 0 };
  new PerformanceObserver(l => { for (const e of l.getEntries()) found.lcp = Math.max(found.lcp, e.startTime); })
    .observe({ type: 'largest-contentful-paint', buffered: true });
  new PerformanceObserver(l => { for (const e of l.getEntries()) if (!e.hadRecentInput) found.shift += e.value; })
    .observe({ type: 'layout-shift', buffered: true });
  setTimeout(() => resolve(found), 250);
})"""
_STEPS: Final = ("/broker/", "/login?ended")  # what is only there on the way of a login
_PARTS: Final = (
    (re.compile(r"A-[0-9a-f]{32}"), "A"),
    (re.compile(r"/analyses/(?!new)[0-9a-f]{16}"), "/analyses/R"),
    (re.compile(r"[0-9a-f]{64}"), "H"),
)


@dataclass
class Looks:
    """What was seen: figures of each page, pictures, and what is beyond a bound."""

    pages: dict[str, tuple[float, float, int, int]] = field(default_factory=dict)
    pictures: int = 0
    faults: list[str] = field(default_factory=list)
    answers: list[float] = field(default_factory=list)


def look(walk: Walk, chromium: Chromium, keep: Path) -> Looks:
    """Open every page that somebody visited as they did; pictures go into `keep`."""
    keep.mkdir(parents=True, exist_ok=True)
    looks = Looks()
    for who, addresses in walk.visited.items():
        if who.endswith(AGAIN):
            continue
        opened = (one for one in sorted(addresses) if not any(step in one for step in _STEPS))
        named = {_template(address, walk): address for address in opened}
        state = walk.hands(who).page.context.storage_state()
        for scheme in SCHEMES:
            context = chromium.new_context(storage_state=state, color_scheme=scheme)  # type: ignore[arg-type]
            page = context.new_page()
            for name, address in named.items():
                key = f"{name} as {who or 'nobody'}"
                try:
                    _one(page, address, key, scheme, keep=keep, looks=looks)
                except Error as error:
                    looks.faults.append(f"{key}: {str(error).splitlines()[0][:200]}")
            context.close()
    return looks


def _one(page: Page, address: str, key: str, scheme: str, *, keep: Path, looks: Looks) -> None:
    scripts: dict[str, int] = {}

    def weigh(answer: Response) -> None:
        if answer.url.endswith(".js"):
            scripts[answer.url] = len(gzip.compress(answer.body()))

    page.set_viewport_size(SIZES["wide"])  # type: ignore[arg-type]
    page.on("response", weigh)
    answer = page.goto(address, wait_until="load")
    html = len(answer.body()) if answer else 0
    if answer is None or answer.status >= 500:
        looks.faults.append(f"{key}: answered with {answer.status if answer else 'nothing'}")
    if scheme == "light":
        vitals = page.evaluate(_VITALS)
        looks.pages[key] = (vitals["lcp"], vitals["shift"], html, sum(scripts.values()))
        for what, figure, most in (("LCP", vitals["lcp"], LCP_MS_MAX), ("layout shift", vitals["shift"], SHIFT_MAX)):
            if figure > most:
                looks.faults.append(f"{key}: {what} {figure:.3g}, more than {most}")
        if max(html, sum(scripts.values())) > BYTES_MAX:
            looks.faults.append(f"{key}: {html} bytes of HTML, {sum(scripts.values())} of scripts")
    page.remove_listener("response", weigh)
    for size, box in SIZES.items():
        page.set_viewport_size(box)  # type: ignore[arg-type]
        page.wait_for_timeout(50)
        page.screenshot(
            path=keep / f"{re.sub(r'[^A-Za-z0-9]+', '-', key).strip('-')[:120]}.{scheme}.{size}.png", full_page=True
        )
        looks.pictures += 1
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > box["width"]:
            looks.faults.append(f"{key}: {wide} px wide in a window of {box['width']}")


def time_answers(walk: Walk, chromium: Chromium, looks: Looks) -> None:
    """From the key that sends a search until the first figure of its answer is drawn, for variants that differ."""
    region = f"{walk.demo.url}/api/v1/region/22:50213359-50413358?assembly=GRCh37&limit={_SEARCHES}"
    context = chromium.new_context(base_url=walk.demo.url)
    page = context.new_page()
    variants = [one["variant"] for one in page.request.get(region).json()["variants"]]
    for variant in variants[:_SEARCHES]:
        page.goto("/")
        field = page.locator("main form[role=search]").get_by_role("searchbox")
        field.fill(variant)
        page.locator("main form[role=search]").get_by_label("GRCh37").check()
        field.focus()
        start = time.perf_counter()
        field.press("Enter")
        page.locator("#answer-together .lead, #answer-together dl").first.wait_for()
        looks.answers.append((time.perf_counter() - start) * 1000)
    context.close()
    if statistics.median(looks.answers) > ANSWER_MS_MAX:
        looks.faults.append(f"search to answer: median {statistics.median(looks.answers):.0f} ms, more than {ANSWER_MS_MAX}")


def _template(address: str, walk: Walk) -> str:
    path = address.removeprefix(walk.demo.url).removeprefix(walk.demo.node_url)
    for pattern, short in _PARTS:
        path = pattern.sub(short, path)
    return path or "/"
