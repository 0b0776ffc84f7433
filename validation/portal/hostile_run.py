"""Hostile text through everything, and what a real browser does with the pages that show it."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Browser as Chromium
from playwright.sync_api import BrowserContext, Dialog, Page, Request, Route, sync_playwright

from validation.portal.fields import Door, others, pages, say, send_all
from validation.portal.hostile import CORPUS
from validation.portal.judging import markup_faults
from validation.portal.pages import Town, cookies_of, town
from validation.portal.stored import Kept

# Runs before any page's own: counts what a page should never do, and elements that no page of ours has.
_WATCH = """
window.hacked = 0;
window.refused = [];
addEventListener("securitypolicyviolation", event => window.refused.push(event.violatedDirective + " " + event.blockedURI));
"""
_STRANGE = """() => [
    window.hacked ? "ran" : "",
    ...window.refused.map(one => "was refused by the policy: " + one),
    ...[...document.querySelectorAll(
        "iframe, object, embed, base, style, math, template, marquee, video, " +
        "[onerror], [onload], [onclick], [onfocus], [ontoggle], [style]"
    )].map(one => "has an element " + one.outerHTML.slice(0, 60)),
].filter(one => one)"""
_TYPED = 30  # texts that are typed into boxes with scripts
_SCRIPTS = 32  # the first ones of the corpus: on every page; the others on every so manieth
_EVERY = 16
_TOWNS = 3


@dataclass
class Watched:
    """Real browsers, one for each person, and what they saw."""

    walked: Town
    chromium: Chromium
    faults: list[str] = field(default_factory=list)
    opened: int = 0
    _pages: dict[str, Page] = field(default_factory=dict)
    _contexts: list[BrowserContext] = field(default_factory=list)

    def look(self, who: str, address: str) -> None:
        """Open an address, and everything that is folded on it."""
        page = self.page(who)
        page.goto(address, wait_until="domcontentloaded")
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        self.opened += 1
        self.judge(page, f"{address} as {who or 'nobody'}")

    def judge(self, page: Page, what: str) -> None:
        """Note what a page does that it should not."""
        self.faults.extend(f"{what}: {one}" for one in page.evaluate(_STRANGE))

    def page(self, who: str) -> Page:
        """Somebody's tab."""
        if who not in self._pages:
            context = self.chromium.new_context(base_url=self.walked.url)
            context.add_cookies(cookies_of(self.walked, who))
            context.add_init_script(_WATCH)
            page = context.new_page()
            page.on("dialog", self._told)
            page.on("pageerror", lambda error: self.faults.append(f"{page.url}: {error}"))
            page.on("request", self._asked)
            self._contexts.append(context)
            self._pages[who] = page
        return self._pages[who]

    def close(self) -> None:
        """End all."""
        for context in self._contexts:
            context.close()

    def _told(self, dialog: Dialog) -> None:
        self.faults.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self.walked.url, "data:")):
            self.faults.append(f"asks {request.url}")


@dataclass
class Found:
    """What a part of the corpus came to."""

    sent: int = 0
    shown: int = 0
    opened: int = 0
    kept: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def hostile(walked: Town, chromium: Chromium, *, corpus: Sequence[str]) -> tuple[list[str], list[str]]:
    """Everything: each text through each field, kept and shown later, and in Chromium; in three towns at once."""
    ran, refused, seen = _canary(walked, chromium)
    faults = [] if ran and refused and seen else [f"the canaries: {ran} ran, {refused} were refused, {seen} were seen"]
    with ProcessPoolExecutor(_TOWNS - 1, mp_context=get_context("spawn")) as processes:
        elsewhere = [processes.submit(_elsewhere, tuple(corpus[place::_TOWNS])) for place in range(1, _TOWNS)]
        found = [_part(walked, chromium, corpus[::_TOWNS]), *(one.result() for one in elsewhere)]
    doors = (*others(walked), *pages(walked))
    kept = sum((one.kept for one in found), Counter[str]())
    lines = [
        f"{len(corpus)} of {len(CORPUS)} hostile strings: {sum(one.sent for one in found):,} requests through "
        f"{len({(one.method, one.path) for one in doors})} kinds of addresses with "
        f"{sum(max(1, len(one.fields)) for one in doors)} fields, parts of addresses, headers, cookies and names of files; "
        f"{sum(one.shown for one in found):,} requests around texts that were kept and shown later ("
        + ", ".join(f"{what}: {number}" for what, number in kept.items())
        + f"); {sum(one.opened for one in found):,} pages opened in Chromium.",
        "",
        "Judged of every answer: no element, attribute or script that is none of ours, no link to elsewhere, no header, no "
        "cookie and no redirection of a text's, the policy whole, no server error, no field of a table that a spreadsheet "
        "takes for a formula, nothing that a browser may take for another kind of file. Judged in Chromium: nothing ran, no "
        "dialog, no error of a script, nothing that the policy had to refuse, no strange element, nothing asked elsewhere.",
        "",
        f"Canaries, so that silence means something: put unescaped into a page without a policy, {ran} of {_SCRIPTS} strings "
        f"ran in the same Chromium; under the hub's policy none did, and {refused} were reported; the judge of markup "
        f"saw {seen}.",
    ]
    return list(dict.fromkeys((*faults, *(fault for one in found for fault in one.faults)))), lines


def _elsewhere(corpus: Sequence[str]) -> Found:
    """A part in a process and a town of its own."""
    with tempfile.TemporaryDirectory() as scratch, town(Path(scratch)) as walked, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        found = _part(walked, chromium, corpus)
        chromium.close()
    return found


def _part(walked: Town, chromium: Chromium, corpus: Sequence[str]) -> Found:
    shown = pages(walked)
    sent, faults = send_all(walked, corpus, (*others(walked), *shown), say)
    watched = Watched(walked, chromium)
    kept = Kept(walked, corpus, watched.look)
    kept.all(say)
    _open(watched, shown, corpus)
    _type(watched, corpus[:: max(1, len(corpus) // _TYPED)])
    watched.close()
    return Found(sent, kept.sent, watched.opened, Counter(kept.kept), [*faults, *kept.faults, *watched.faults])


def _canary(walked: Town, chromium: Chromium) -> tuple[int, int, int]:
    """How many strings run where nothing is escaped, are refused by the policy, and are seen by the judge of markup."""
    policy = walked.browsers["researcher"].get("/").headers["content-security-policy"]
    texts = CORPUS[:_SCRIPTS]
    bodies = [f"<!doctype html><title>x</title><p>{text}</p>" for text in texts]
    ran, _ = _unescaped(walked, chromium, bodies, {})
    none, refused = _unescaped(walked, chromium, bodies, {"content-security-policy": policy})
    seen = sum(bool(markup_faults(body, walked.url)) for body in bodies)
    return (0, 0, 0) if none else (ran, refused, seen)


def _unescaped(walked: Town, chromium: Chromium, bodies: Sequence[str], headers: dict[str, str]) -> tuple[int, int]:
    """How many pages ran something, and how many had something refused."""
    shown, ran, refused = list[str](), 0, 0

    def answer(route: Route) -> None:
        if route.request.url.endswith("/canary"):
            route.fulfill(body=shown[-1], headers={"content-type": "text/html; charset=utf-8", **headers})
        else:
            route.abort()

    context = chromium.new_context()
    context.add_init_script(_WATCH)
    for body in bodies:
        shown.append(body)
        page = context.new_page()
        page.route("**/*", answer)
        page.goto(f"{walked.url}/canary", wait_until="commit")
        page.wait_for_timeout(100)
        ran += bool(page.evaluate("window.hacked"))
        refused += bool(page.evaluate("(window.refused || []).length"))
        page.close()
    context.close()
    return ran, refused


def _open(watched: Watched, shown: Sequence[Door], corpus: Sequence[str]) -> None:
    """Addresses with texts in them: the likeliest ones on every page, each of the others on some."""
    no_pages = ("/live", "/terms", "/authorize", "/counts")
    hubs = [one for one in shown if one.place == "hub" and not one.path.endswith(no_pages)]
    scripts = [text for text in corpus if text in CORPUS[:_SCRIPTS]]
    rest = [text for text in corpus if text not in scripts]
    for place, door in enumerate(hubs):
        texts = [*scripts, *rest[place % _EVERY :: _EVERY]]
        for _, path, given in door.questions(texts):
            query = urlencode({**door.base, **given})
            watched.look(door.who, f"{path}?{query}" if query else path)
        say(f"Chromium: {door.path} {' '.join(door.fields)[:80]}: {watched.opened} opened, {len(watched.faults)} faults")


def _type(watched: Watched, corpus: Sequence[str]) -> None:
    """Into boxes that scripts listen to, as a person types."""
    page = watched.page("researcher")
    for address, box in (("/", "q"), ("/cohorts?1.f=disease", "1.v"), ("/analyses/new", "cohort")):
        page.goto(address)
        for text in corpus:
            field_of = page.locator(f"[name='{box}']:visible").first
            field_of.fill(text)
            field_of.dispatch_event("change")
            page.wait_for_timeout(30)
            watched.judge(page, f"typed into {box} of {address}: {text[:50]!r}")
        page.wait_for_timeout(1000)
        watched.judge(page, f"after typing into {box} of {address}")
        say(f"typed into {address}")
