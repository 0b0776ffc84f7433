"""Every main task of every role over the demo's federation: with a mouse, with keys alone, and where named without JavaScript.

Each task is written once, by accessible names, and done by `Hands`. What is visited is then looked at: its vitals, and
pictures in light and dark, wide and on a phone.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser as Chromium
from playwright.sync_api import BrowserContext, Page
from playwright.sync_api import Error as BrowserError

from validation.portal.hands import Fault, Hands, Keys

MODES: Final = ("mouse", "keys", "without JavaScript")
AGAIN: Final = ", in another browser"
DATASET: Final = "FI:guarded"
NODE: Final = "FI"
DRAFT: Final = {
    "Project": "walk",
    "Measurements that are explained": "ENSG00000184164.10",
    "Region": "22:50213359-50413358",
}
_DEMO_SECONDS: Final = 300
_COHELIX: Final = Path(sys.executable).with_name("cohelix")


@dataclass
class Demo:
    """The demo's federation as it serves: addresses, passwords, folders."""

    url: str
    passwords: dict[str, str]
    folder: Path
    node_url: str

    @property
    def node_folder(self) -> Path:
        """The node's of which a citizen and an operator come."""
        return self.folder / "nodes" / NODE

    def command(self, *words: object) -> str:
        """What a command of Cohelix prints; it has to succeed."""
        done = subprocess.run([str(_COHELIX), *map(str, words)], capture_output=True, text=True, check=True)
        return done.stdout.strip()


@dataclass
class Walk:
    """One way of walking: its contexts by person, what was visited by whom, and what went wrong."""

    demo: Demo
    chromium: Chromium
    mode: str
    application: str = ""
    run: str = ""
    began: str = field(default_factory=lambda: time.strftime("%H:%M:%S"))
    visited: dict[str, set[str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    _hands: dict[str, Hands] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Of the application that this way of walking hands in."""
        return f"A walk by {self.mode} at {self.began}"

    @property
    def scripted(self) -> bool:
        """Whether JavaScript runs."""
        return self.mode != "without JavaScript"

    def hands(self, who: str = "", *, base: str = "") -> Hands:
        """The hands of somebody, who logs in the first time; `who` is empty for nobody in particular."""
        if who not in self._hands:
            base = base or self.demo.url
            context = self.chromium.new_context(base_url=base, java_script_enabled=self.scripted, reduced_motion="reduce")
            context.set_default_timeout(6_000)
            self._watch(context, who, base)
            self._hands[who] = (Keys if self.mode == "keys" else Hands)(context.new_page())
            name = who.removesuffix(AGAIN)
            if name in self.demo.passwords:
                _log_in(self._hands[who], name, self.demo.passwords[name])
        return self._hands[who]

    def close(self) -> None:
        """End all contexts."""
        for one in self._hands.values():
            one.page.context.close()

    def _watch(self, context: BrowserContext, who: str, base: str) -> None:
        own = (self.demo.url, self.demo.node_url, "data:", "blob:")
        seen = self.visited.setdefault(who, set())
        context.on("request", lambda one: None if one.url.startswith(own) else self.faults.append(f"asks {one.url}"))
        context.on("weberror", lambda one: self.faults.append(f"{self.mode}: {one.error}"))
        context.on(
            "console",
            lambda said: self.faults.append(f"{self.mode}: {said.text}") if "Content Security" in said.text else None,
        )

        def note(page: Page) -> None:
            page.on(
                "framenavigated", lambda frame: seen.add(frame.url.partition("#")[0]) if frame.url.startswith(own[:2]) else None
            )

        context.on("page", note)


Task = Callable[[Walk], None]


def tasks() -> dict[str, tuple[Task, bool]]:
    """Every task in the order in which they are done, and whether it is one of those that need no JavaScript."""
    return {
        "anybody searches for a variant and reads who answered": (_search, True),
        "anybody walks gene, region, term and datasets": (_browse, True),
        "researcher builds a cohort and takes it along": (_cohort, True),
        "researcher chooses data and applies": (_apply, True),
        "signing official signs the application": (_official, True),
        "committee votes, checks, proposes and seconds": (_committee, True),
        "national point confirms": (_national, True),
        "both sides sign the agreement, and the node grants": (_agreement, True),
        "researcher reads notices and grants": (_notices, True),
        "data holder suspends and lifts": (_suspend, True),
        "researcher plans, asks the members and starts an analysis": (_analyse, True),
        "output reviewer releases": (_release, True),
        "researcher reads the result": (_result, True),
        "auditor reads the log and verifies a proof": (_audit, False),
        "citizen changes a choice and reads who used the data": (_citizen, True),
        "hub's operator looks": (_hub_operator, True),
        "node's operator comes in with a code": (_node_operator, True),
        "researcher changes the language and logs out": (_log_out, True),
    }


def walk(demo: Demo, chromium: Chromium, mode: str, note: Callable[[str], None]) -> Walk:
    """Do every task in one way; a task that fails is a fault, and the next is tried."""
    walking = Walk(demo, chromium, mode)
    for name, (task, plain) in tasks().items():
        if mode == MODES[2] and not plain:
            continue
        start = time.monotonic()
        try:
            task(walking)
        except (Fault, BrowserError, subprocess.CalledProcessError) as error:
            words = getattr(error, "stderr", None) or str(error)
            walking.faults.append(f"{mode}: {name}: {words.strip().splitlines()[0][:300]}")
        note(f"{mode}: {name}: {time.monotonic() - start:.1f} s")
    return walking


@contextmanager
def demo(folder: Path) -> Iterator[Demo]:
    """The demo as a process of its own, served until the context ends."""
    words = [str(_COHELIX), "demo", "--keep", str(folder)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        lines, ready = list[str](), threading.Event()

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                if line.startswith("╰"):
                    ready.set()
            ready.set()

        threading.Thread(target=read, daemon=True).start()
        try:
            ready.wait(_DEMO_SECONDS)
            text = "".join(lines)
            address = re.search(r"portal\s+(http://\S+?)/\s", text)
            if address is None or "every journey succeeded" not in text:
                raise RuntimeError(f"the demo did not come up:\n{text[-2000:]}")
            passwords = dict(re.findall(r"sign in\s+(\S+)\s+(\S+)", text))
            yield Demo(address[1], passwords, folder, _node_url(folder))
        finally:
            process.terminate()
            process.wait(30)


def _node_url(folder: Path) -> str:
    return str(json.loads((folder / "nodes" / NODE / "hub.json").read_text())["nodeUrl"])


def _log_in(hands: Hands, who: str, password: str) -> None:
    hands.open("/login?next=/account")
    if hands.page.get_by_label("Password").count() == 0:
        hands.follow("Log in with")
    hands.fill("Name", who)
    hands.fill("Password", password)
    hands.press("Sign in")
    if hands.page.get_by_role("button", name="I accept the terms").count():
        hands.press("I accept the terms")
    hands.reads("My access", within="h1")


def _search(walk: Walk) -> None:
    hands = walk.hands()
    hands.open("/")
    hands.fill("Search", "22-50313359-G-A", within="body")
    hands.press("Ask", within="form[role=search]")
    for member in ("FI", "GB", "IT", "CEU"):
        hands.reads(f"{member}:geuvadis")
    hands.reads("0.2207")
    hands.unfold("Command line")
    hands.open("/search?q=siezure&assembly=GRCh38", status=404)
    hands.reads("Seizure")


def _browse(walk: Walk) -> None:
    hands = walk.hands()
    hands.open("/gene/CRELD2?assembly=GRCh37")
    hands.reads("ENSG00000184164")
    hands.follow("22-50313359-G-A")
    hands.follow("1,000 bases around it")
    hands.open("/term/HP:0001250")
    hands.reads("Seizure")
    hands.follow("Datasets", within="nav[aria-label=Main]")
    hands.follow("FI:geuvadis")
    hands.follow("How to read the numbers", within="footer")
    hands.reads("How", within="h1")


def _cohort(walk: Walk) -> None:
    hands = walk.hands("researcher")
    hands.open("/")
    hands.follow("Cohorts", within="nav[aria-label=Main]")
    hands.choose("Kind of criterion", "Sex")
    hands.press("Add criterion")
    hands.choose("Sex", "female")
    hands.press("Count", exact=True)
    hands.reads("people")
    hands.unfold("Command line")
    hands.follow("Analyse this cohort")
    hands.reads("New analysis", within="h1")


def _apply(walk: Walk) -> None:
    hands = walk.hands("researcher")
    hands.follow("Apply", within="nav[aria-label=Main]")
    hands.fill("Words", "guarded")
    hands.press("Show")
    hands.tick(f"Choose {DATASET}")
    hands.press("Put the chosen ones into the basket")
    hands.reads("Decided by FI-dac")
    hands.follow("Fill in the application")
    hands.fill("Title", walk.title)
    hands.fill("What you want to find out", "Which variants change how much of a gene is read?")
    hands.fill("Organisation, whose", "Demo institute")
    hands.tick("Genetic study")
    hands.choose("Commercial use", "no")
    paper = walk.demo.folder / "ethics.pdf"
    paper.write_bytes(b"%PDF-1.7 \x00\xff")
    hands.press("Save and check")
    hands.page.wait_for_url("**/edit?saved=yes*")  # a draft that saves itself says so before
    hands.attach("File (save", paper)
    hands.press("Attach the file")
    hands.reads("ethics.pdf")
    hands.press("Save and ask for the signature")
    hands.reads("to sign")
    walk.application = hands.page.url.rpartition("/")[2]


def _official(walk: Walk) -> None:
    hands = walk.hands("signing-official")
    hands.open("/desk")
    hands.follow(walk.title)
    hands.press("Sign and hand in")
    hands.reads("Committee")


def _committee(walk: Walk) -> None:
    title = walk.title
    for who in ("dac-member", "dac-chair"):
        hands = walk.hands(who)
        hands.open("/desk/committee")
        hands.follow(title)
        hands.tick("Approve")
        hands.fill("Comment", "Sound.")
        hands.press("Vote", exact=True)
        hands.reads("Sound.")
    first = walk.hands("dac-member")
    first.open(f"/applications/{walk.application}/datasets/{DATASET}")
    first.tick("The ethics approval is there")
    first.press("Keep the checklist")
    proposal = "form:has(#why)"
    first.tick("Approve", within=proposal)
    first.fill("Reason", "It serves health.", within=proposal)
    first.fill("Conditions", "Publish what is found.", within=proposal)
    first.press("Propose", exact=True)
    first.reads("It waits for a second person")
    second = walk.hands("dac-chair")
    second.open(f"/applications/{walk.application}/datasets/{DATASET}")
    second.press("Second it: approve")
    second.reads("approved")


def _national(walk: Walk) -> None:
    hands = walk.hands("national-fi")
    hands.open("/desk/national")
    hands.follow(walk.title)
    hands.press("Confirm the approval")
    hands.reads("confirmed")


def _agreement(walk: Walk) -> None:
    title = walk.title
    holder, official = walk.hands("data-holder"), walk.hands("signing-official")
    holder.open("/desk/agreements")
    holder.follow(title)
    holder.press("Draw the agreement")
    holder.follow("Agreement")
    holder.press("Sign for the data holder")
    official.open("/desk/agreements")
    official.follow(title)
    official.follow("Agreement")
    official.press("Sign for the user")
    official.reads("signed by both sides")


def _notices(walk: Walk) -> None:
    hands = walk.hands("researcher")
    until = time.monotonic() + 60
    while True:
        hands.open("/grants")
        rows = hands.page.locator("tr", has=hands.page.locator(f'a[href*="{walk.application}"]'))
        if rows.get_by_text("granted").count():
            break
        if time.monotonic() > until:
            raise Fault("the grant does not appear within a minute")
        time.sleep(1)
    hands.follow("Notices", within="nav[aria-label=Main]")
    hands.press("Mark all as read")
    hands.reads("All are read.")


def _suspend(walk: Walk) -> None:
    hands = walk.hands("data-holder")
    hands.open(f"/applications/{walk.application}/datasets/{DATASET}")
    hands.fill("Why it is suspended", "The ethics approval is being looked at.")
    hands.press("Suspend")
    hands.reads("suspended")


def _analyse(walk: Walk) -> None:
    hands = walk.hands("researcher")
    hands.follow("Analyses", within="nav[aria-label=Main]")
    hands.follow("New analysis")
    for member in ("FI", "GB", "IT", "CEU"):
        hands.tick(f"{member}:geuvadis")
    for label, text in DRAFT.items():
        hands.fill(label, text)
    hands.press("Ask the members")
    hands.reads("What the members would say", seconds=60)
    hands.press("Start the analysis")
    hands.reads("The run", seconds=30)
    walk.run = hands.page.url.rpartition("/")[2].partition("?")[0]


def _release(walk: Walk) -> None:
    hands = walk.hands("reviewer")
    until = time.monotonic() + 90
    while True:
        hands.open("/checks")
        panel = f"section:has(#run-{walk.run})"
        if hands.page.locator(panel).count():
            break
        if time.monotonic() > until:
            raise Fault(f"run {walk.run} does not come to its check")
        time.sleep(1)
    hands.press("Agree to the release", within=panel)
    if hands.page.locator(panel).count():
        raise Fault(f"run {walk.run} still waits after its review")


def _result(walk: Walk) -> None:
    hands = walk.hands("researcher")
    for _ in range(40):  # the page follows a run by itself until its result waits for a person
        if hands.page.get_by_text("genomic inflation").count():
            break
        with suppress(BrowserError):
            hands.page.reload()
        time.sleep(1)
    hands.reads("genomic inflation")
    hands.follow("Its lines, and to move in it")
    hands.page.go_back()
    hands.reads("results.parquet")


def _audit(walk: Walk) -> None:
    hands = walk.hands("auditor")
    hands.open("/audit")
    hands.follow("All entries, as auditor")
    hands.choose("Event", "run:released")
    hands.press("Show")
    hands.reads("run:released", within="main table")
    hands.press("Check it here")
    hands.reads("It holds", seconds=20)


def _citizen(walk: Walk) -> None:
    code = walk.demo.command("node", "citizen", walk.demo.node_folder, "--individual", _somebody(walk.demo))
    hands = walk.hands("a citizen", base=walk.demo.node_url)
    hands.open("/consent")
    hands.fill("Code", code)
    hands.press("Sign in")
    hands.tick("Frequencies")
    hands.press("Save my choices")
    hands.reads("Your choices are saved")
    hands.follow("Who used your data")
    hands.reads("data", within="h1")
    hands.page.go_back()
    _sign_out(walk, hands)


def _hub_operator(walk: Walk) -> None:
    hands = walk.hands("operator")
    hands.follow("How the hub is")
    hands.reads("Results that wait for their check")
    hands.unfold("in order")


def _node_operator(walk: Walk) -> None:
    code = walk.demo.command("node", "operate", walk.demo.node_folder)
    hands = walk.hands("a node's operator", base=walk.demo.node_url)
    hands.open("/operate")
    hands.fill("Code", code)
    hands.press("Sign in")
    hands.reads("geuvadis")
    _sign_out(walk, hands)


def _log_out(walk: Walk) -> None:
    hands = walk.hands(f"researcher{AGAIN}")
    hands.follow("Deutsch", within="footer")
    hands.reads("Analysen", within="nav")
    hands.open("/en/account")
    hands.press("Log out")
    hands.reads("Log in", within="nav")


def _sign_out(walk: Walk, hands: Hands) -> None:
    """Leave a node's pages, unless they are to be looked at afterwards."""
    if walk.mode != MODES[0]:
        hands.press("Sign out")
        hands.reads("Sign in", within="h1")


def _somebody(demo: Demo) -> str:
    """The id of a person at the node."""
    table = demo.folder / "shares" / NODE / "people.tsv"
    return table.read_text(encoding="utf-8").splitlines()[1].split("\t")[0]
