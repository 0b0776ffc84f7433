"""Opens every page (`pages`: `RESULTS.md`), sends hostile text through every field (`hostile`: `HOSTILE.md`), and does every
task of every role over the demo, with a mouse, with keys alone and without JavaScript (`walks`: `WALKS.md`); or all of it.
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Request, sync_playwright

from validation.portal.hostile import CORPUS
from validation.portal.hostile_run import hostile
from validation.portal.looks import look, time_answers
from validation.portal.pages import Town, cookies_of, page_routes, town
from validation.portal.walks import MODES, demo, tasks, walk

HERE = Path(__file__).parent
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
SCHEMES, LANGUAGES = ("light", "dark"), ("en", "de", "en-XA")
BYTES_MAX = 60_000
PICTURES = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "cohelix" / "pictures"


def main() -> int:
    """Exit 0 only if nothing was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=("pages", "hostile", "walks", []), help="all, where none is named")
    parser.add_argument("--every", type=int, default=1, help="only every so manieth hostile string")
    parser.add_argument("--keep", type=Path, default=PICTURES, help="where pictures of the pages go")
    given, sound = parser.parse_args(), True
    wanted, corpus = given.parts or ["pages", "hostile", "walks"], CORPUS[:: given.every]
    if "walks" in wanted:
        sound = _told("walks", "WALKS.md", "Every task of every role", partial(_walks, keep=given.keep))
    if not {"pages", "hostile"} & set(wanted):
        return 0 if sound else 1
    with tempfile.TemporaryDirectory() as scratch, town(Path(scratch)) as walked, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        for name, file, title, work in (
            ("pages", "RESULTS.md", "Every page in a browser", _pages),
            ("hostile", "HOSTILE.md", "Hostile text through every field", partial(hostile, corpus=corpus)),
        ):
            if name in wanted:
                sound = _told(name, file, title, partial(work, walked, chromium)) and sound
        chromium.close()
    return 0 if sound else 1


def _told(name: str, file: str, title: str, work: Callable[[], tuple[list[str], list[str]]]) -> bool:
    """Do one part of the proof and write down what was found; whether it was nothing."""
    start = time.monotonic()
    faults, lines = work()
    seconds = f"{time.monotonic() - start:.0f} s, load at the end {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    told = [f"- {fault}" for fault in faults] or ["Nothing was found."]
    text = [f"# {title}", "", *lines, "", *told, "", f"`python -m validation.portal {name}`, {seconds}.", ""]
    (HERE / file).write_text("\n".join(text), encoding="utf-8")
    print(*text, sep="\n", file=sys.stderr)
    return not faults


def _walks(keep: Path) -> tuple[list[str], list[str]]:
    """Every task over one demo, in three ways; then a look at what was visited."""
    note = partial(print, file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as scratch, demo(Path(scratch) / "demo") as federation, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        faults, first = list[str](), None
        for mode in MODES:
            walking = walk(federation, chromium, mode, note)
            faults += walking.faults
            if first is None:
                first = walking
            else:
                walking.close()
        assert first is not None
        looks = look(first, chromium, keep)
        time_answers(first, chromium, looks)
        first.close()
        chromium.close()
    plain = sum(needs_none for _, needs_none in tasks().values())
    slowest = sorted(looks.pages.items(), key=lambda one: -one[1][0])[:10]
    lines = [
        f"{len(tasks())} tasks of {len(first.visited)} people, from the login to their end, over the demo's federation: with a "
        "mouse, and with keys alone (Tab, Enter, Space, arrows, typed text; the focus has to be visible wherever it goes); "
        f"{plain} of them without JavaScript.",
        "",
        f"{len(looks.pages)} pages were then opened as they were visited; {looks.pictures} pictures (light and dark, 1280 and "
        f"390 px) are kept. Search to answer over {len(looks.answers)} variants: median "
        f"{statistics.median(looks.answers):.0f} ms, largest {max(looks.answers):.0f} ms.",
        "",
        "| task | |",
        "|---|---|",
        *(
            f"| {name} | {'also without JavaScript' if needs_none else 'JavaScript'} |"
            for name, (_, needs_none) in tasks().items()
        ),
        "",
        "The slowest ten pages:",
        "",
        "| page | LCP, ms | layout shift | HTML, bytes | scripts, bytes compressed |",
        "|---|---|---|---|---|",
        *(f"| `{name}` | {lcp:.0f} | {shift:.3f} | {html:,} | {code:,} |" for name, (lcp, shift, html, code) in slowest),
    ]
    return list(dict.fromkeys(faults + looks.faults)), lines


def _pages(walked: Town, chromium: Chromium) -> tuple[list[str], list[str]]:
    """Every route × scheme × language, wide; and once on a phone."""
    axe = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    addresses = walked.addresses()
    faults = [f"no address is known for {route}" for route in sorted(page_routes(walked.federation) - set(addresses))]
    visited = [(who, address) for places in addresses.values() for address in places for who in _visitors(walked, address)]
    checks = passes = heaviest = scripts = 0
    note = faults.append

    def asked(request: Request) -> None:
        if not request.url.startswith((walked.url, "data:")):
            note(f"asks {request.url}")

    for scheme in SCHEMES:
        for language in LANGUAGES:
            for who in ("", *walked.browsers):
                context = chromium.new_context(base_url=walked.url, color_scheme=scheme, bypass_csp=True)  # type: ignore[arg-type]
                context.add_cookies(
                    [*cookies_of(walked, who), {"name": "cohelix_language", "value": language, "url": walked.url}]
                )
                page = context.new_page()
                page.on("request", asked)
                page.on("pageerror", lambda error: note(str(error)))
                for _, address in (one for one in visited if one[0] == who):
                    answer = page.goto(address)
                    assert answer is not None
                    heaviest = max(heaviest, len(answer.body()))
                    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
                    page.add_script_tag(content=axe)
                    found: dict[str, Any] = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
                    checks, passes = checks + 1, passes + len(found["passes"])
                    where = f"{address} as {who or 'nobody'}, {scheme}, {language}"
                    for one in found["violations"]:
                        note(f"{where}: {one['id']} {[node['target'] for node in one['nodes']][:3]}")
                    if answer.status >= 500:
                        faults.append(f"{address}: {answer.status}")
                    own = page.evaluate("[...document.scripts].filter(one => one.src).map(one => one.src)")
                    scripts = max(scripts, sum(len(gzip.compress(context.request.get(one).body())) for one in own))
                    if scheme == "dark":
                        page.set_viewport_size({"width": 390, "height": 800})
                        wide = page.evaluate("document.documentElement.scrollWidth")
                        if wide > 390:
                            note(f"{address} as {who or 'nobody'}, {language}: {wide} px wide on a phone of 390")
                        page.set_viewport_size({"width": 1280, "height": 800})
                context.close()
    if heaviest > BYTES_MAX or scripts > BYTES_MAX:
        faults.append(f"the heaviest page has {heaviest} bytes, with {scripts} of scripts")
    lines = [
        f"{checks} checks by axe-core ({', '.join(RULES)}): {len(addresses)} routes as nobody or as one of "
        f"{len(walked.browsers)} people, {len(SCHEMES)} schemes, {len(LANGUAGES)} languages; {passes} rules passed. "
        f"The heaviest page has {heaviest:,} bytes of HTML, the most scripts of a page are {scripts:,} bytes compressed. "
        "In dark each page was also opened 390 px wide.",
    ]
    return list(dict.fromkeys(faults)), lines


def _visitors(walked: Town, address: str) -> list[str]:
    """Who sees something of their own there: nobody in particular, or those whom the page answers with 200."""
    if address.startswith(("/applications/", "/audit?all")):
        return [name for name, browser in walked.browsers.items() if browser.get(address).status_code == 200]
    if address.startswith(("/checks", "/operate")):
        return ["auditor"]  # who reviews results and operates the hub, too
    if address.startswith(("/desk", "/account", "/notices", "/basket", "/grants", "/applications", "/audit")):
        return ["researcher", "committee"]
    return [""]


if __name__ == "__main__":
    raise SystemExit(main())
