"""Who is told what of each event: a table, walks, and the words."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from tests.access.test_applications import FORM, Desk

from cohelix.access.applications import Application, Rules, evolve
from cohelix.access.notify import WORDS, Duty, Matter, Notice, notices_of
from cohelix.wire.applications import Event
from validation.applications.walks import LINES, walk

ONE = FORM.model_copy(update={"lines": LINES[:1]})
SHA = "a" * 64


def label(to: object) -> str:
    """A reader in a word: a person's subject, or `role/role of something`."""
    if not isinstance(to, Duty):
        return str(getattr(to, "subject", ""))
    roles = "/".join(sorted(to.roles))
    but = f" but {', '.join(sorted(one.subject for one in to.but))}" if to.but else ""
    return f"{roles} of {to.what or 'all'}{but}"


COMMITTEE, COUNTRY, HOLDERS = "dac-chair/dac-member of FI-dac", "national-coordination-point of FI", "data-holder of FI"
SIGNING, AUDITORS = "signing-official of institute", "auditor of all"
USERS = ("researcher", "researcher-2")


class Told(Desk):
    """A desk that remembers what its last event makes known."""

    def __init__(self, rules: Rules | None = None, form: Any = ONE) -> None:
        self.notices: tuple[Notice, ...] = ()
        super().__init__(form, rules or Rules())

    def _apply(self, event: Event) -> Application:
        before = self.state
        state = super()._apply(event)
        self.notices = notices_of(before, state, event, self.rules)
        return state

    @property
    def said(self) -> dict[str, list[str]]:
        """Readers by matter."""
        found: dict[str, list[str]] = {}
        for one in self.notices:
            found.setdefault(one.matter.value, []).append(label(one.to))
        return found

    def does(self, kind: str, who: str, **more: Any) -> dict[str, list[str]]:
        self.ask(kind, who, **more)
        return self.said

    def days(self, number: int) -> dict[str, list[str]]:
        """After so many days, what the last clock that has ended makes known."""
        self.now += timedelta(days=number)
        assert self.run_clocks()
        return self.said


def test_the_loop_tells_each_what_to_do_and_by_when() -> None:
    desk = Told()
    assert desk.notices == ()
    assert desk.does("edited", "researcher", form=ONE) == {}
    assert desk.does("signing-asked", "researcher") == {"sign": [SIGNING]}
    assert desk.does("signing-refused", "official", reason="No.") == {"signing-refused": ["researcher"]}
    desk.ask("signing-asked", "researcher")
    assert desk.does("signed", "official") == {"handed-in": [*USERS], "decide": [COMMITTEE]}
    assert [one.due.isoformat() for one in desk.notices if one.due] == ["2026-02-09T22:00:00+00:00"]  # five days in Finland
    assert desk.does("asked", "dac-FI-0", text="Why?") == {"question": ["researcher"]}
    assert desk.does("answered", "researcher", text="So.") == {"answered": [COMMITTEE]}
    assert desk.does("returned", "dac-FI-0", reason="More.") == {"returned": [*USERS], "given-back": [COMMITTEE]}
    desk.submit()
    assert desk.does("delayed", "dac-FI-0", authority="FI-dac", until=date(2026, 3, 2), reason="Ill.") == {"delayed": [*USERS]}
    assert {(one.dataset, one.due.isoformat() if one.due else "") for one in desk.notices} == {
        ("FI:a", "2026-03-02T22:00:00+00:00")
    }
    assert desk.does("voted", "dac-FI-0", dataset="FI:a", vote="approve") == {}
    desk.ask("voted", "dac-FI-1", dataset="FI:a", vote="approve")
    assert desk.does("checked", "dac-FI-0", dataset="FI:a", points={"ethics": True}) == {}
    assert desk.does("proposed", "dac-FI-0", dataset="FI:a", decision="approve", reason="Sound.") == {"second": [COMMITTEE]}
    assert desk.does("decided", "dac-FI-1", dataset="FI:a", decision="approve") == {
        "approved": [*USERS],
        "country": [COUNTRY],
    }
    assert desk.days(7) == {"country-due": [COUNTRY]}
    assert desk.notices[0].due is not None and desk.notices[0].due.isoformat() == "2026-02-16T22:00:00+00:00"
    assert desk.does("confirmed", "ncp-FI", dataset="FI:a") == {
        "confirmed": [*USERS, COMMITTEE],
        "draw-agreement": [HOLDERS],
    }
    assert desk.does("agreement-drawn", "holder", datasets=["FI:a"], sha256=SHA) == {"sign-agreement": [SIGNING, HOLDERS]}
    assert desk.does("agreement-signed", "holder", side="holder", sha256=SHA) == {}
    assert desk.does("agreement-signed", "official", side="user", sha256=SHA) == {
        "agreed": [*USERS],
        "issue-visas": [HOLDERS],
    }
    until = desk.now + timedelta(days=90)
    assert desk.does("granted", "holder", dataset="FI:a", visas=["1", "2"], until=until) == {"granted": [*USERS]}
    assert {one.due for one in desk.notices} == {until}
    assert desk.days(60) == {"grant-ends": [*USERS]}
    assert desk.days(23) == {"grant-ends": [*USERS]}
    assert desk.days(7) == {"expired": [*USERS, HOLDERS]}
    assert desk.does("renewal-asked", "researcher", dataset="FI:a", reason="More.") == {"renewal": [COMMITTEE]}
    assert desk.does("withdrawn", "researcher") == {"withdrawn": [*USERS, COMMITTEE]}


@pytest.mark.parametrize("rule", ["confirms", "vetoes"])
def test_silence_is_told_to_those_who_were_silent(rule: str) -> None:
    desk = Told(Rules(silence=rule))
    desk.submit()
    assert desk.days(9) == {"decision-overdue": [*USERS, AUDITORS], "overdue": [COMMITTEE]}
    assert [one.titled for one in desk.notices if label(one.to) == AUDITORS] == [False]
    desk.decide("FI:a")
    desk.days(7)
    assert desk.days(14)["silence"] == [COUNTRY, AUDITORS]
    assert desk.said["confirmed" if rule == "confirms" else "vetoed"] == [*USERS, COMMITTEE]


def test_denied_contested_and_heard_by_those_who_had_no_part() -> None:
    desk = Told()
    desk.submit()
    desk.decide("FI:a", "deny")
    assert desk.said == {"denied": [*USERS]}
    assert [one.due.isoformat() for one in desk.notices if one.due] == ["2026-03-04T22:00:00+00:00"] * 2
    asked = desk.does("appealed", "researcher", dataset="FI:a", reason="No.")
    assert asked == {"hear-appeal": ["dac-chair of all but dac-FI-0, dac-FI-1, researcher"], "contested": [COMMITTEE, COUNTRY]}
    assert desk.does("appeal-upheld", "dac-IT-0", dataset="FI:a", reason="Yes.") == {
        "appeal-upheld": [*USERS],
        "decide-anew": [COMMITTEE],
    }
    desk.decide("FI:a")
    assert desk.does("vetoed", "ncp-FI", dataset="FI:a", reason="Law.") == {"vetoed": [*USERS, COMMITTEE]}
    assert {one.due for one in desk.notices} == {None}  # it was contested already


def test_an_end_before_its_time_is_told_to_all_sides_and_to_auditors_without_the_title() -> None:
    for kind, who in (("suspended", "dac-FI-0"), ("revoked", "ncp-FI")):
        desk = Told()
        desk.submit()
        desk.grant(["FI:a"])
        assert desk.does(kind, who, dataset="FI:a", reason="Misuse.") == {kind: [*USERS, HOLDERS, COMMITTEE, COUNTRY, AUDITORS]}
        assert [label(one.to) for one in desk.notices if not one.titled] == [AUDITORS]


def test_withdrawn_is_told_to_those_who_had_it_before_them() -> None:
    desk = Told()
    assert desk.does("withdrawn", "researcher") == {"withdrawn": [*USERS]}
    desk = Told()
    desk.ask("signing-asked", "researcher")
    assert desk.does("withdrawn", "researcher") == {"withdrawn": [*USERS, SIGNING]}
    desk = Told(form=FORM)
    desk.submit()
    desk.decide("IT:c")
    desk.grant(["FI:a"])
    readers = desk.does("withdrawn", "researcher")["withdrawn"]
    assert readers == [*USERS, COMMITTEE, "national-coordination-point of IT", HOLDERS]


def test_an_appeal_that_fails_and_datasets_of_several_committees() -> None:
    desk = Told(form=FORM)
    desk.submit()
    assert desk.said["decide"] == [COMMITTEE, "dac-chair/dac-member of IT-dac"]
    desk.decide("IT:c", "deny")
    desk.ask("appealed", "researcher", dataset="IT:c", reason="No.")
    said = desk.does("appeal-dismissed", "dac-FI-0", dataset="IT:c", reason="It stands.")
    assert said == {
        "appeal-dismissed": [*USERS, "dac-chair/dac-member of IT-dac", "national-coordination-point of IT"],
    }


def test_every_event_of_walks_makes_known_something_or_is_silent_on_purpose() -> None:
    silent = {"created", "edited", "checked", "voted"}  # before others are concerned, or among a committee's members
    seen: dict[str, set[Matter]] = {}
    for seed in range(6):
        state: Application | None = None
        for event in walk(seed, 400).events:
            before, state = state, evolve(state, event)
            made = notices_of(before, state, event, Rules())
            seen.setdefault(event.event, set()).update(one.matter for one in made)
            assert all(one.dataset in ("", *state.lines) for one in made)
            readers = {label(one.to) for one in made}
            assert event.event in (silent | {"agreement-signed"}) or readers, event
    assert {name for name, matters in seen.items() if not matters} <= silent
    assert len(seen) > 20


def test_each_matter_has_words_that_say_what_to_do() -> None:
    assert set(WORDS) == set(Matter)
    assert len({words for words, _ in WORDS.values()}) == len(WORDS)
    for what, todo in WORDS.values():
        assert 10 < len(what) < 70 and not what.endswith(".") and todo.endswith("."), what
