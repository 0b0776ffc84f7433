"""What happens to the federation while it is asked, and until when the answers go on."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from validation.processes import done, inside
from validation.revocation.load import Ask, Kind, Load, Seen
from validation.revocation.place import CENTRAL, CONTROLLED, DATASET, Place

RATE: Final = 50.0
BOUND_SECONDS: Final = 60.0
UNKNOWN: Final = "revocation-unknown"
SPENT: Final = "budget-spent"  # by the releases that withdrawals made: no matter of revocation
ABROAD: Final = "abroad"
SCOPES: Final = ("frequencies", "individual-queries", "secondary-use")
_SETTLED_SECONDS: Final = 5.0  # how long answers are watched after the last that had to change
_SLACK_SECONDS: Final = 2.0  # between what the driver's clock and the node's say, and for answers on their way


class Line(NamedTuple):
    """One figure, and whether it is within its bound."""

    what: str
    where: str
    told: str
    bound: str
    holds: bool


@dataclass
class Story:
    """The events, one after the other."""

    place: Place
    load: Load
    say: Callable[[str], None] = lambda _line: None
    lines: list[Line] = field(default_factory=list)
    visas: dict[str, str] = field(default_factory=dict)
    down: list[tuple[str, float, float]] = field(default_factory=list)

    def begin(self) -> None:
        """Visas for every member, and wait until each opens what it should by both roads."""
        self._grant()
        self.place.grant_abroad(ABROAD, "IT", by="GB")
        self.load.asks = (*self.load.asks, Ask(ABROAD, "IT", "direct", "rare allele"))
        self._all_open()

    def revoke(self) -> None:
        """Each visa is revoked where it was granted."""
        ended = {}
        for member, visa in self.visas.items():
            with inside():
                done("dac", "revoke", self._granted_at(member), "--visa", visa, "--reason", "The proof ends it.")
            ended[member] = time.monotonic()

        def closed() -> bool:
            now = self.load.latest()
            return not any(seen.opened for ask, seen in now.items() if ask.who == CONTROLLED)

        self.load.wait(closed, BOUND_SECONDS + 10, "nothing is open any more")
        time.sleep(_SETTLED_SECONDS)
        for member, moment in ended.items():
            whose = "by its own committee" if member != "IT" else "by a committee at the hub"
            for road in ("direct", "hub"):
                self._until(f"visa revoked {whose}", f"{member}, {_by(road)}", moment, _opened(CONTROLLED, member, road))
        self._grant()
        self._all_open()

    def withdraw(self) -> None:
        """A person at each member withdraws one scope, then others the next."""
        kinds: dict[str, tuple[Kind, ...]] = {
            SCOPES[0]: ("rare allele",),
            SCOPES[1]: ("people", "Beacon people"),
            SCOPES[2]: ("analysis",),
        }
        before = self.load.asks
        for number, scope in enumerate(SCOPES, start=1):
            asks = [Ask(CONTROLLED, member, "direct", kind, number) for member in self.place.members for kind in kinds[scope]]
            self.load.asks = (*before, *asks)
            self.load.wait(partial(self._asked, asks), 30, "everybody is asked about")
            known = {ask: seen.number for ask, seen in self.load.latest().items() if ask in asks}
            if not all(known.values()):
                raise RuntimeError(f"the people are not in the answers to begin with: {known}")
            ended = {}
            for member in self.place.members.values():
                words = ("--individual", member.planted[number].individual, "--scope", scope, "--withdraw")
                with inside():
                    done("node", "consent", member.folder, *words)
                ended[member.id] = time.monotonic()
            time.sleep(_SETTLED_SECONDS * 2)
            for ask in asks:
                most = known[ask] or 0
                where, last = f"{ask.member}, {ask.kind}", ended[ask.member]
                self._until(f"withdrawal of {scope}", where, last, _with(ask, most))
            self._files(scope, number)
        self.load.asks = before

    def kill_the_hub(self) -> None:
        """The hub is gone at once; every committee's word ends when the last list does, and comes back with it."""
        hub = self.place.hub
        assert hub is not None and hub.process is not None
        hub.process.kill()
        hub.process.wait()
        killed = time.monotonic()
        asks = [Ask(CONTROLLED, member, "direct", "rare allele") for member in ("IT", "FI", "GB")]
        for ask in asks:  # a central committee's visa, and those of the members' own committees
            self._falls_silent("the hub is killed", ask, killed)
        registered = [one for one in self.load.asks if one.who != CONTROLLED and one.kind == "common allele"]
        self._goes_on("the hub is killed: registered questions go on", [one for one in registered if one.road == "direct"])
        self.place.serve_hub()
        back = time.monotonic()
        self.down.append(("hub", killed, back))
        for ask in asks:
            self.load.wait(partial(self._opens_since, ask, back), BOUND_SECONDS + 10, "the hub's word is back")
            self._note("the hub is back: the visa opens again", ask.member, time.monotonic() - back)

    def kill_the_authority(self) -> None:
        """GB, whose committee also decides about IT's data, is gone; the others' word stays fresh."""
        self._all_open(patience=150)
        member = self.place.members["GB"]
        assert member.served is not None and member.served.process is not None
        member.served.process.kill()
        member.served.process.wait()
        killed = time.monotonic()
        self._falls_silent("the member with the committee is killed", Ask(ABROAD, "IT", "direct", "rare allele"), killed)
        others = [Ask(CONTROLLED, name, "direct", "rare allele") for name in ("FI", "IT")]
        others += [Ask(CONTROLLED, name, "hub", "rare allele") for name in ("FI", "IT")]
        self._goes_on("the member with the committee is killed: visas of others go on", others)
        member.serve()
        ask, back = Ask(ABROAD, "IT", "direct", "rare allele"), time.monotonic()
        self.down.append((member.id, killed, back))
        seconds = self.load.wait(lambda: self._opens_since(ask, back), BOUND_SECONDS + 10, "the committee's word is back")
        self._note("the committee is back: its visa opens again", "IT", seconds)

    def _grant(self) -> None:
        with inside():
            for member in self.place.members:
                authority = CENTRAL if member == "IT" else f"{member}-DAC"
                at = self._granted_at(member)
                self.visas[member] = self.place.grant(CONTROLLED, member, authority=authority, at=at)

    def _granted_at(self, member: str) -> Path:
        return self.place.hub_folder if member == "IT" else self.place.members[member].folder

    def _all_open(self, patience: float = 100) -> None:
        def opened() -> bool:
            now = self.load.latest()
            return len(now) == len(set(self.load.asks)) and not any(_shut(seen) for seen in now.values())

        self.load.wait(opened, patience, "every question is answered")

    def _asked(self, asks: list[Ask]) -> bool:
        return set(asks) <= set(self.load.latest())

    def _falls_silent(self, what: str, ask: Ask, killed: float) -> None:
        """The node goes on while the last list holds, and not longer: by the list that the node keeps."""

        def silent() -> bool:
            now = self.load.latest().get(ask)
            return now is not None and now.reason == UNKNOWN

        self.load.wait(silent, BOUND_SECONDS * 2 + 10, "the node says that it does not know")
        time.sleep(_SETTLED_SECONDS)
        last = self.load.last(lambda one: one.ask == ask and one.opened)
        first = min(one.came for one in self.load.seen if one.ask == ask and one.reason == UNKNOWN and one.sent > killed)
        assert last is not None
        self._note(f"{what}: the last answer", ask.member, last - killed)
        slugs = sorted({one.reason for one in self.load.seen if one.ask == ask and one.sent > killed and one.reason})
        self.lines.append(Line(f"{what}: what is said then", ask.member, ", ".join(slugs), UNKNOWN, slugs == [UNKNOWN]))
        if ask.who == CONTROLLED:  # while the hub lives, lists go on to come, without the authority's signature
            due = time.monotonic() + self._made(ask.member) + BOUND_SECONDS - time.time()
            held = due - _SLACK_SECONDS <= first and last <= due + _SLACK_SECONDS
            told = f"{first - (due - BOUND_SECONDS):.1f} s after its list was made"
            self.lines.append(Line(f"{what}: the first refusal", ask.member, told, "60 s after it was made", held))
            self.say(f"{self.lines[-1]}")

    def _made(self, member: str) -> int:
        """When the list that a node keeps was made, in seconds since 1970."""
        kept = json.loads((self.place.members[member].folder / "revocations.json").read_text(encoding="utf-8"))
        encoded = kept["document"]["payload"]
        return int(json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))["iat"])

    def _goes_on(self, what: str, asks: list[Ask]) -> None:
        now = self.load.latest()
        shut = sorted({f"{ask.member}: {now[ask].reason}" for ask in asks if _shut(now[ask])})
        self.lines.append(Line(what, ", ".join(sorted({ask.member for ask in asks})), ", ".join(shut) or "yes", "", not shut))
        self.say(f"{self.lines[-1]}")

    def _opens_since(self, ask: Ask, moment: float) -> bool:
        now = self.load.latest().get(ask)
        return now is not None and now.sent > moment and now.opened

    def _until(self, what: str, where: str, moment: float, tells: Callable[[Seen], bool]) -> None:
        last = self.load.last(tells)
        if last is None:
            raise RuntimeError(f"{what} at {where}: nothing was told before, so nothing is shown")
        self._note(what, where, max(0.0, last - moment))

    def _note(self, what: str, where: str, seconds: float) -> None:
        bound = f"≤ {BOUND_SECONDS:.0f}"
        self.lines.append(Line(what, where, f"{seconds:.1f}", bound, seconds <= BOUND_SECONDS))
        self.say(f"{what}, {where}: {seconds:.1f} s")

    def _files(self, scope: str, number: int) -> None:
        """The operator's own counts and exports, by the command line."""
        for member in self.place.members.values():
            planted = member.planted[number]
            if scope == "frequencies":
                with inside():
                    rows = [
                        line.split("\t") for line in done("node", "counts", member.folder, "--dataset", DATASET).out.split("\n")
                    ]
                copies = [int(row[5]) for row in rows[1:] if "-".join(row[:4]) == planted.variant]
                held, told = copies == [0], f"{copies} copies"
            elif scope == "secondary-use":
                out = self.place.folder / f"{member.id}.export.vcf.gz"
                words = ("--dataset", DATASET, "--region", "22:20000001-20030000", "--out", out)
                with inside():
                    done("node", "export", member.folder, *words)
                names = subprocess.run(
                    ["bcftools", "query", "-l", out], check=True, capture_output=True, text=True
                ).stdout.split()
                held, told = planted.individual not in names, f"{len(names)} people"
            else:
                continue
            what = f"withdrawal of {scope}: the operator's {'counts' if scope == 'frequencies' else 'export'}"
            self.lines.append(Line(what, member.id, told, "without the person", held))
            self.say(f"{self.lines[-1]}")


def figures_of(story: Story) -> list[str]:
    """The load, in words."""
    load = story.load

    def was_down(sent: float, ask: Ask) -> bool:
        name = "hub" if ask.road == "hub" else ask.member
        return any(name == one and start - 20 <= sent <= end for one, start, end in story.down)  # 20 s: until one gives up

    lost = sum(not was_down(sent, ask) for sent, ask, _ in load.failed)
    took = np.array([one.came - one.sent for one in load.seen])
    seconds = max(one.came for one in load.seen) - min(one.sent for one in load.seen)
    half, most = (1000 * np.quantile(took, share) for share in (0.5, 0.99))
    return [
        f"Load: {len(load.seen):,} answers in {seconds:.0f} s, {len(load.seen) / seconds:.0f} a second ({RATE:.0f} asked for);",
        f"median {half:.0f} ms, 99 % within {most:.0f} ms; {len(load.failed):,} questions failed on the road, {lost} of them",
        f"to servers that had not been killed. {os.cpu_count()} cores shared with the servers and others, load average",
        f"{os.getloadavg()[1]:.1f}.",
    ]


def _by(road: str) -> str:
    return "asked itself" if road == "direct" else "through the hub"


def _opened(who: str, member: str, road: str) -> Callable[[Seen], bool]:
    return lambda one: (one.ask.who, one.ask.member, one.ask.road) == (who, member, road) and one.opened


def _shut(seen: Seen) -> bool:
    return seen.number is None and seen.reason != SPENT


def _with(ask: Ask, most: int) -> Callable[[Seen], bool]:
    """Whether an answer still has the person in it: no number is as large without one of those it counted."""
    return lambda one: one.ask == ask and one.number is not None and one.number >= most
