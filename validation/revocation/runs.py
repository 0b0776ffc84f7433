"""Federated analyses over guarded data that visas open: to the end, without a member whose visa was revoked, and not at all."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cohelix.core.errors import CohelixError
from cohelix.hub.identity import open_broker
from cohelix.hub.settings import open_hub_database, read_settings
from cohelix.sdk import Client, connect
from cohelix.sdk.analyses import Analysis, Event
from cohelix.sdk.identity import CONFIG_VARIABLE, log_in
from cohelix.testing.analyses import DATASET, AnalysisFederation, join_hub, make_folders
from cohelix.testing.browser import Browser
from validation.processes import done, inside
from validation.revocation.place import PASSWORD
from validation.revocation.story import BOUND_SECONDS, Line

MEMBERS: Final = {"FI": 90, "GB": 80, "IT": 80, "CEU": 80}
# Each has runs of their own: nodes refuse one person's runs that would, together, tell of one or two members.
PEOPLE: Final = ("first", "second", "third")


class Runs:
    """A hub and four members of floored data, each with a committee of its own, and a researcher whom all of them let in."""

    def __init__(self, made: AnalysisFederation, say: Callable[[str], None]) -> None:
        self.made, self.say = made, say
        self.visas: dict[tuple[str, str], str] = {}
        self.lines: list[Line] = []

    def tell(self) -> None:
        """The three runs, each of somebody else."""
        plan = self.made.plan()
        with self._as("first") as client:
            whole = _run(client, plan)
            with inside():
                for name in ("first officer", "second officer"):
                    done("hub", "review", self.made.folder / "hub", whole.id, "--by", name, "--release")
            table = client.analyses.result(whole.id, self.made.folder / "out").to_polars()
        self._note("a run over four guarded datasets that visas open", f"released, {len(table)} variants", len(table) > 0)
        unknown = self._unknown()
        self._note("the same plan of somebody unknown", unknown, unknown != "possible")
        with self._as("second") as client:
            self._revoke("second", "GB")
            said = client.analyses.check(plan)
            reasons = {one.node: one.refusal.reason if one.refusal else "" for one in said.nodes}
            self._note("GB's visa is revoked: what GB says to a plan", reasons["GB"], "revoked" in reasons["GB"])
            run = _run(client, plan)
            members = sorted(one.node for one in run.nodes if one.contributor and one.status not in ("refused", "left"))
            holds = run.state == "held" and members == ["CEU", "FI", "IT"]
            self._note("GB's visa is revoked: the run", f"{run.state}: {', '.join(members)}", holds)
        with self._as("third") as client:
            began: list[float] = []

            def running(event: Event) -> None:
                if not began and event.event == "state" and event.document["state"] == "running":
                    began.append(time.monotonic())
                    self._revoke("third", "IT")

            run = _run(client, plan, running)
            left = run.state == "aborted" and "visa-revoked" in str(run.reason)
            self._note("IT's visa is revoked while a run goes on", f"{run.state}: {run.reason}", left)
            seconds = time.monotonic() - began[0]
            bound = f"≤ {BOUND_SECONDS:.0f}"
            self.lines.append(Line("until that run had ended", "IT", f"{seconds:.1f}", bound, seconds <= BOUND_SECONDS))
        for member in ("GB", "IT"):
            told = self._log(member)
            self._note("the member's audit log says so", told, "visa-revoked" in told, member)

    @contextmanager
    def _as(self, who: str) -> Iterator[Client]:
        """The client of somebody who has logged in, once every visa is in the passports."""
        os.environ[CONFIG_VARIABLE] = str(self.made.folder / f"login-{who}")
        with connect(self.made.url) as client:
            self._wait(lambda: client.analyses.check(self.made.plan()).possible, "every visa opens its dataset")
            yield client

    def _unknown(self) -> str:
        with connect(self.made.url, identity=None) as nobody:
            try:
                return "possible" if nobody.analyses.check(self.made.plan()).possible else "refused"
            except CohelixError as error:
                return error.slug

    def _revoke(self, who: str, member: str) -> None:
        words = ("--visa", self.visas[who, member], "--reason", "The proof ends it.")
        with inside():
            done("dac", "revoke", self.made.folder / member, *words)
        time.sleep(1.5)  # a node looks at its own revocations every second

    def _log(self, member: str) -> str:
        """The events about runs that a member's log has."""
        out = self.made.folder / f"{member}.audit"
        with inside():
            done("audit", "export", self.made.folder / member, "--out", out)
        text = "".join(path.read_text(encoding="utf-8") for path in out.iterdir() if path.is_file())
        return ", ".join(sorted({slug for slug in ("visa-revoked", "run:refused", "run:left", "run:accepted") if slug in text}))

    def _wait(self, holds: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + 120
        while not holds():
            if time.monotonic() > until:
                raise RuntimeError(f"after two minutes it does not hold that {what}")
            time.sleep(2)

    def _note(self, what: str, told: str, holds: bool, where: str = "all") -> None:
        self.lines.append(Line(what, where, told[:160], "", holds))
        self.say(str(self.lines[-1]))


@contextmanager
def analysed(folder: Path, say: Callable[[str], None]) -> Iterator[Runs]:
    """The federation, with the researcher logged in and let in."""
    made = make_folders(folder, MEMBERS, variants=300, disclosure="floored")
    hub, issuer = folder / "hub", f"{made.url}/broker"
    with (hub / "hub.toml").open("a", encoding="utf-8") as settings:
        settings.write("\n[broker]\nembedded = true\n")
    engine = open_hub_database(hub)
    accounts = open_broker(hub, read_settings(hub), engine).accounts
    subjects = {}
    for who in PEOPLE:
        account, _ = accounts.add(who, researcher=True)
        accounts.set_password(account, PASSWORD)
        subjects[who] = account.subject
    for name in MEMBERS:
        with (folder / name / "node.toml").open("a", encoding="utf-8") as settings:
            settings.write(f'\n[[trust]]\nissuer = "{issuer}"\nrole = "broker"\njwks = "{issuer}/jwks.json"\n')
    runs = Runs(made, say)
    before = os.environ.get(CONFIG_VARIABLE)
    try:
        with made.processes:
            for name in made.ports:
                made.serve(name)
            for name in MEMBERS:
                join_hub(made, name)
            for who in PEOPLE:
                os.environ[CONFIG_VARIABLE] = str(folder / f"login-{who}")
                _log_in(made.url, who)
            until = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
            with inside():
                for name in MEMBERS:
                    place, what = folder / name, f"{name}:{DATASET}"
                    done("dac", "init", place, "--authority", f"{name}-DAC", "--name", f"A committee of {name}")
                    for who, subject in subjects.items():
                        words = ("--dataset", what, "--to", subject, "--until", until, "--json")
                        granted: dict[str, Any] = json.loads(done("dac", "grant", place, *words).out)
                        runs.visas[who, name] = granted["visa"]
            yield runs
    finally:
        engine.dispose()
        if before is None:
            os.environ.pop(CONFIG_VARIABLE, None)
        else:
            os.environ[CONFIG_VARIABLE] = before


def _run(client: Client, plan: dict[str, object], say: Callable[[Event], None] = lambda _event: None) -> Analysis:
    found = client.analyses.run(plan, say=say)
    assert isinstance(found, Analysis)
    return found


def _log_in(url: str, who: str) -> None:
    codes: list[str] = []

    def allow(_seconds: float) -> None:
        with Browser(url) as browser:
            browser.allow_program(codes[0], who, PASSWORD)

    log_in(url, lambda asked: codes.append(asked.code), sleep=allow)
