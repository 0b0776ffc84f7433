"""People who ask for anything at any time; and a second, plain account of what may follow what.

The walker knows nothing of the rules: it tries events of all kinds by all kinds of people. What is admitted is held
against `DIAGRAM` (the table of `docs/concepts/applications.md`) and against facts about the list of events alone.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from cohelix.access.actor import Role
from cohelix.access.applications import Acting, Application, LineStage, Rules, admit, due, evolve, replay
from cohelix.core.errors import Conflict, NotPermitted
from cohelix.wire.applications import EVENTS, Event, Form, Identity, Line, canonical, read_event

RULES = Rules()
SETS = ("FI:a", "FI:b", "IT:c")
LINES = tuple(Line(dataset=name, authority=f"{name[:2]}-dac", country=name[:2]) for name in SETS)
# event → stages in which a dataset may be before it, and the one in which it is afterwards (None: the same)
DIAGRAM: dict[str, tuple[set[str], str | None]] = {
    "checked": ({"open", "suspended"}, None),
    "voted": ({"open", "suspended"}, None),
    "proposed": ({"open", "suspended"}, None),
    "decided": ({"open", "suspended"}, "approved or denied"),
    "confirmed": ({"approved"}, "confirmed"),
    "vetoed": ({"approved"}, "vetoed"),
    "granted": ({"confirmed"}, "granted"),
    "suspended": ({"granted"}, "suspended"),
    "revoked": ({"granted", "suspended", "confirmed"}, "revoked"),
    "expired": ({"granted"}, "expired"),
    "renewal-asked": ({"granted", "expired"}, "open"),
    "appealed": ({"denied", "vetoed"}, "appealed"),
    "appeal-upheld": ({"appealed"}, "open"),
    "appeal-dismissed": ({"appealed"}, "denied"),
    "reminded": ({"open", "approved", "granted"}, None),
}


# Stages in which a grant may run on, besides what the table says, while its renewal is decided about or after it was denied:
# what may end it there.
RUNNING = {"open", "approved", "denied", "vetoed", "appealed", "confirmed"}
_ENDS = {"suspended", "revoked", "expired"}


def person(name: str) -> Identity:
    """Somebody of the embedded issuer, named by role."""
    return Identity(subject=name, issuer="https://hub.example/broker")


APPLICANT, COLLEAGUE = person("researcher"), person("researcher-2")
_DAC = [
    Acting(
        person(f"dac-{country}-{number}"),
        frozenset({Role.DAC_CHAIR if number == 0 else Role.DAC_MEMBER}),
        frozenset({f"{country}-dac"}),
    )
    for country in ("FI", "IT")
    for number in range(3)
]
PEOPLE = [
    Acting(APPLICANT, frozenset({Role.RESEARCHER})),
    Acting(APPLICANT, frozenset({Role.RESEARCHER})),
    Acting(person("official"), frozenset({Role.SIGNING_OFFICIAL}), organisation="institute"),
    *_DAC,
    *(
        Acting(person(f"ncp-{country}"), frozenset({Role.NATIONAL_COORDINATION_POINT}), country=country)
        for country in ("FI", "IT")
    ),
    Acting(person("holder"), frozenset({Role.DATA_HOLDER}), nodes=frozenset({"FI", "IT"})),
    Acting(
        person("outsider"), frozenset(Role), frozenset({"GB-dac"}), country="GB", organisation="other", nodes=frozenset({"GB"})
    ),
    # somebody who may do everything, and works on the application
    Acting(COLLEAGUE, frozenset(Role), frozenset({"FI-dac", "IT-dac"}), "FI", "institute", frozenset({"FI", "IT"})),
]
_KINDS = [name for name in DIAGRAM if name not in ("expired", "reminded")] + [
    "edited",
    "signing-asked",
    "signed",
    "signing-refused",
    "asked",
    "answered",
    "returned",
    "delayed",
    "agreement-drawn",
    "agreement-signed",
    "withdrawn",
]
# What moves an application on is tried more often, or no walk would come far.
_WEIGHTS = {
    "voted": 6,
    "checked": 3,
    "proposed": 6,
    "decided": 6,
    "confirmed": 4,
    "granted": 8,
    "agreement-drawn": 6,
    "agreement-signed": 8,
    "signed": 6,
    "signing-asked": 6,
    "withdrawn": 0.05,
    "vetoed": 0.7,
    "returned": 0.5,
    "revoked": 0.5,
}

_WHOSE = {
    **dict.fromkeys(("edited", "signing-asked", "answered", "withdrawn", "appealed", "renewal-asked"), "researcher"),
    **dict.fromkeys(("signed", "signing-refused"), "official"),
    **dict.fromkeys(("confirmed", "vetoed"), "ncp-{}"),
    **dict.fromkeys(("agreement-drawn", "granted"), "holder"),
    "agreement-signed": "",
}


@dataclass
class Walk:
    """One application, its events, and how many were asked for and admitted."""

    rng: random.Random
    events: list[Event] = field(default_factory=list)
    state: Application | None = None
    now: datetime = datetime(2026, 1, 5, 9, tzinfo=UTC)
    asked: int = 0
    admitted: dict[str, int] = field(default_factory=dict)

    def step(self) -> None:
        """A while passes, clocks run, and somebody wants something."""
        self.now += timedelta(seconds=self.rng.choice((1, 60, 3600, 7 * 3600, 7 * 3600, 86_400)))
        self._clocks()
        dataset = self.rng.choice(SETS)
        kinds = self._plausible(dataset) if self.rng.random() < 0.8 else _KINDS
        kind = self.rng.choices(kinds, [_WEIGHTS.get(name, 1.0) for name in kinds])[0]
        # Mostly somebody whose office it may be, so that walks come far; otherwise anybody.
        likely = [
            one for one in PEOPLE if one.who.subject.startswith(_WHOSE.get(kind, f"dac-{dataset[:2]}").format(dataset[:2]))
        ]
        acting = self.rng.choice(likely if likely and self.rng.random() < 0.8 else PEOPLE)
        event = self._wanted(kind, dataset, acting)
        self.asked += 1
        try:
            admit(self.state, event, acting, RULES)
        except (NotPermitted, Conflict):
            return
        self._apply(event)

    def _clocks(self) -> None:
        while self.state is not None and (event := due(self.state, RULES, self.now)) is not None:
            self._apply(event)

    def _apply(self, event: Event) -> None:
        before = self.state
        self.state = evolve(before, event)
        self.events.append(event)
        self.admitted[event.event] = self.admitted.get(event.event, 0) + 1
        check_step(before, event, self.state)

    def _plausible(self, dataset: str) -> list[str]:
        """Kinds of events that may be next, so that walks come far; everything else is tried, too."""
        if self.state is None or not self.state.lines or self.state.begun != "review":
            return ["signing-asked", "signed", "edited"]
        stage = self.state.lines[dataset].stage
        if stage == "confirmed":
            return ["agreement-drawn", "agreement-signed", "granted"]
        return [
            kind
            for kind, (stages, _) in DIAGRAM.items()
            if (stage in stages or (kind == "suspended" and self.state.lines[dataset].running))
            and kind not in ("expired", "reminded")
        ] or _KINDS

    def _wanted(self, kind: str, dataset: str, acting: Acting) -> Event:
        if self.state is None:
            form = Form(
                title="t", summary="s", organisation="institute", lines=LINES, members=(COLLEAGUE,), investigations=("genetic",)
            )
            return EVENTS.validate_python({"event": "created", "at": self.now, "by": acting.who, "form": form})
        sha = f"{len(self.events):064x}"
        known = list(self.state.agreements) or [sha]
        more: dict[str, Any] = {
            "edited": {"form": self.state.form},
            "signing-refused": {"reason": "r"},
            "asked": {"text": "t"},
            "answered": {"text": "t"},
            "returned": {"reason": "r"},
            "checked": {"dataset": dataset, "points": {"ethics": True}},
            "voted": {"dataset": dataset, "vote": self.rng.choice(("approve", "approve", "approve", "deny"))},
            "proposed": {"dataset": dataset, "decision": self.rng.choice(("approve", "approve", "deny")), "reason": "r"},
            "decided": {"dataset": dataset, "decision": self.rng.choice(("approve", "approve", "deny"))},
            "delayed": {"authority": f"{dataset[:2]}-dac", "until": date(2027, 1, 4), "reason": "r"},
            "confirmed": {"dataset": dataset},
            "vetoed": {"dataset": dataset, "reason": "r"},
            "agreement-drawn": {"datasets": {dataset, self.rng.choice([dataset, *SETS])}, "sha256": sha},
            "agreement-signed": {"side": self.rng.choice(("user", "holder")), "sha256": self.rng.choice(known)},
            "granted": {
                "dataset": dataset,
                "visas": [f"v{len(self.events)}-{number}" for number in range(self.rng.choice((1, 2, 2, 2)))],
                "until": self.now + timedelta(days=self.rng.choice((-1, 2, 400))),
            },
        }.get(kind, {"dataset": dataset, "reason": "r"} if kind in DIAGRAM else {})
        return EVENTS.validate_python({"event": kind, "at": self.now, "by": acting.who, **more})


def check_step(before: Application | None, event: Event, after: Application) -> None:
    """Whether one step is in the diagram; raises `AssertionError`."""
    if before is None:
        assert event.event == "created"
        return
    for name, line in after.lines.items():
        was = before.lines[name].stage if name in before.lines and event.event != "signed" else None
        if event.event == "signed":
            assert line.stage == "open"
        elif getattr(event, "dataset", None) != name:
            assert line.stage == was, f"{event.event} changed {name}"
        else:
            allowed, to = DIAGRAM[event.event]
            if was in RUNNING and event.event in _ENDS and before.lines[name].running is not None:
                allowed, to = allowed | RUNNING, None if event.event == "expired" else to
                assert line.running is None
            assert was in allowed, f"{event.event} of a dataset that is {was}"
            if to is None:
                assert line.stage == was
            elif event.event == "decided":
                assert line.stage == ("approved" if event.decision == "approve" else "denied")
            else:
                assert line.stage == to


def check_history(events: list[Event]) -> None:
    """Facts about the events alone, written without the state's help; raises `AssertionError`."""
    for number, event in enumerate(events):
        if event.event != "granted":
            continue
        mine = [one for one in events[:number] if getattr(one, "dataset", event.dataset) == event.dataset]
        since = max(
            (place for place, one in enumerate(mine) if one.event in ("signed", "renewal-asked", "appeal-upheld", "suspended")),
            default=0,
        )
        told = mine[since:]
        proposals = [one for one in told if one.event == "proposed"]
        approvals = [one for one in told if one.event == "decided" and one.decision == "approve"]
        assert approvals, "a visa without an approval"
        last = approvals[-1]
        proposal = [one for one in proposals if told.index(one) < told.index(last)][-1]
        assert proposal.by != last.by, "one person alone has approved"
        assert None not in (proposal.by, last.by)
        voters = {one.by for one in told[: told.index(last)] if one.event == "voted"}
        assert len(voters) >= RULES.quorum
        assert not {proposal.by, last.by, *voters} & {APPLICANT, COLLEAGUE}, "the applicants have decided themselves"
        assert any(one.event == "confirmed" for one in told[told.index(last) :]), "a visa that no country has confirmed"
        drawn = [one for one in events[:number] if one.event == "agreement-drawn" and event.dataset in one.datasets]
        signed = {one.side for one in events[:number] if one.event == "agreement-signed" and one.sha256 == drawn[-1].sha256}
        assert signed == {"user", "holder"}, "a visa without a signed agreement"


def check_replay(walk: Walk) -> None:
    """Whether the events, written and read again, make the same bytes and the same state; raises `AssertionError`."""
    written = [canonical(event) for event in walk.events]
    read = [read_event(line) for line in written]
    assert [canonical(event) for event in read] == written
    if walk.events:
        assert replay(read) == walk.state


def walk(seed: int, steps: int) -> Walk:
    """One walk; raises `AssertionError` where something happens that may not."""
    found = Walk(random.Random(seed))
    for _ in range(steps):
        found.step()
    check_history(found.events)
    check_replay(found)
    assert found.state is None or all(line.stage in LineStage for line in found.state.lines.values())
    return found
