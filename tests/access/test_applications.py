"""An application from draft to visa, its refusals and clocks; and random walks over its states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from cohelix.access.applications import (
    Acting,
    Application,
    LineStage,
    Rules,
    Stage,
    admit,
    alarms,
    due,
    evolve,
    replay,
    timers,
)
from cohelix.access.working_days import Calendar
from cohelix.core.errors import Conflict, NotPermitted
from cohelix.wire.applications import EVENTS, Event, Form, canonical
from validation.applications.walks import APPLICANT, COLLEAGUE, LINES, PEOPLE, check_history, check_replay, person, walk

RULES = Rules()
MONDAY = datetime(2026, 2, 2, 9, tzinfo=UTC)
WHO = {acting.who.subject: acting for acting in PEOPLE}
FORM = Form(
    title="Blood pressure",
    summary="Why.",
    organisation="institute",
    lines=LINES,
    members=(COLLEAGUE,),
    investigations=("genetic",),
)
SECOND = timedelta(seconds=1)


class Desk:
    """An application whose events are asked for one by one, at a time that is set by hand."""

    def __init__(self, form: Form = FORM, rules: Rules = RULES) -> None:
        self.state: Application | None = None
        self.now, self.rules, self.events = MONDAY, rules, list[Event]()
        self.ask("created", "researcher", form=form)

    def ask(self, kind: str, subject: str, **more: Any) -> Application:
        self.run_clocks()
        acting = WHO.get(subject) or Acting(person(subject))
        event = EVENTS.validate_python({"event": kind, "at": self.now, "by": acting.who, **more})
        admit(self.state, event, acting, self.rules)
        return self._apply(event)

    def run_clocks(self) -> list[str]:
        made = []
        while self.state is not None and (event := due(self.state, self.rules, self.now)) is not None:
            self._apply(event)
            made.append(event.event)
        return made

    def _apply(self, event: Event) -> Application:
        self.state = evolve(self.state, event)
        self.events.append(event)
        return self.state

    def submit(self) -> None:
        self.ask("signing-asked", "researcher")
        self.ask("signed", "official")

    def decide(self, dataset: str, decision: str = "approve") -> None:
        country = dataset[:2]
        for number in (0, 1):
            self.ask("voted", f"dac-{country}-{number}", dataset=dataset, vote=decision)
        self.ask("checked", f"dac-{country}-0", dataset=dataset, points={"ethics": True})
        self.ask("proposed", f"dac-{country}-0", dataset=dataset, decision=decision, reason="sound", conditions=["publish"])
        self.ask("decided", f"dac-{country}-1", dataset=dataset, decision=decision)

    def grant(self, datasets: Sequence[str]) -> None:
        for name in datasets:
            self.decide(name)
            self.ask("confirmed", f"ncp-{name[:2]}", dataset=name)
        self.ask("agreement-drawn", "holder", datasets=datasets, sha256="a" * 64)
        self.ask("agreement-signed", "official", side="user", sha256="a" * 64)
        self.ask("agreement-signed", "holder", side="holder", sha256="a" * 64)
        for name in datasets:
            self.ask("granted", "holder", dataset=name, visas=[f"{name}-1", f"{name}-2"], until=self.now + timedelta(days=90))

    def stages(self) -> dict[str, str]:
        assert self.state is not None
        return {name: line.stage.value for name, line in self.state.lines.items()}

    @property
    def stage(self) -> Stage:
        assert self.state is not None
        return self.state.stage


def test_from_draft_to_visa_and_its_end() -> None:
    desk = Desk()
    assert desk.stage is Stage.DRAFT
    desk.submit()
    assert desk.stage is Stage.REVIEW
    desk.grant(["FI:a", "FI:b", "IT:c"])
    assert set(desk.stages().values()) == {"granted"}
    assert desk.stage is Stage.DECIDED
    assert desk.state is not None
    assert desk.state.lines["FI:a"].conditions == ("publish",)
    check_history(desk.events)
    assert replay(desk.events) == desk.state
    desk.now += timedelta(days=90) - SECOND
    assert desk.run_clocks() == ["reminded"] * 6  # 30 days before, and 7
    desk.now += SECOND
    assert desk.run_clocks() == ["expired"] * 3
    assert desk.stage is Stage.CLOSED


def test_one_country_vetoes_and_the_others_go_on() -> None:
    desk = Desk()
    desk.submit()
    desk.decide("IT:c")
    desk.ask("vetoed", "ncp-IT", dataset="IT:c", reason="The biobank's law forbids it.")
    desk.grant(["FI:a"])
    desk.decide("FI:b", "deny")
    assert desk.stages() == {"FI:a": "granted", "FI:b": "denied", "IT:c": "vetoed"}
    assert desk.stage is Stage.DECIDED


def test_returned_for_changes_and_handed_in_again() -> None:
    desk = Desk()
    desk.submit()
    desk.ask("asked", "dac-FI-1", text="Which power?")
    desk.ask("answered", "researcher", text="0.8")
    desk.ask("returned", "dac-FI-1", reason="Name the diseases.")
    assert desk.stage is Stage.RETURNED
    desk.ask("edited", "researcher", form=FORM.model_copy(update={"diseases": ("MONDO:0005044",)}))
    desk.now += timedelta(days=3)
    desk.submit()
    assert desk.state is not None
    assert {line.since for line in desk.state.lines.values()} == {desk.now}


def test_an_appeal_is_heard_once_by_somebody_else_within_its_time() -> None:
    desk = Desk()
    desk.submit()
    desk.decide("FI:a", "deny")
    desk.ask("appealed", "researcher", dataset="FI:a", reason="The plan was misread.")
    with pytest.raises(NotPermitted, match="no part"):
        desk.ask("appeal-upheld", "dac-FI-0", dataset="FI:a", reason="r")
    desk.ask("appeal-upheld", "dac-IT-0", dataset="FI:a", reason="It was.")
    assert desk.stages()["FI:a"] == "open"
    desk.decide("FI:a", "deny")
    with pytest.raises(Conflict, match="once"):
        desk.ask("appealed", "researcher", dataset="FI:a", reason="again")
    desk.decide("FI:b", "deny")
    assert desk.state is not None
    end = Calendar("FI").end_of_days(desk.now, RULES.appeal_days)
    desk.now = end
    with pytest.raises(Conflict, match="within 30 days"):
        desk.ask("appealed", "researcher", dataset="FI:b", reason="late")
    desk.now = end - SECOND
    desk.ask("appealed", "researcher", dataset="FI:b", reason="in time")


def test_suspended_revoked_and_renewed() -> None:
    desk = Desk()
    desk.submit()
    desk.grant(["FI:a", "IT:c"])
    desk.ask("suspended", "dac-FI-2", dataset="FI:a", reason="A laptop was lost.")
    with pytest.raises(Conflict, match="suspended"):
        desk.ask("granted", "holder", dataset="FI:a", visas=["x", "y"], until=desk.now + timedelta(days=9))
    desk.decide("FI:a")
    desk.ask("confirmed", "ncp-FI", dataset="FI:a")
    desk.ask("granted", "holder", dataset="FI:a", visas=["x", "y"], until=desk.now + timedelta(days=9))
    desk.ask("revoked", "ncp-IT", dataset="IT:c", reason="The law has changed.")
    desk.ask("renewal-asked", "researcher", dataset="FI:a", reason="The paper is in review.")
    assert desk.stages() == {"FI:a": "open", "FI:b": "open", "IT:c": "revoked"}


@pytest.mark.parametrize("country", ["FI", "IT"])
def test_the_committee_s_clock_to_the_second(country: str) -> None:
    desk = Desk()
    desk.submit()
    dataset = {"FI": "FI:a", "IT": "IT:c"}[country]
    end = Calendar(country).end_of_working_days(desk.now, 5)
    assert [timer.at for timer in timers(_state(desk), RULES) if timer.event.dataset == dataset] == [end]
    desk.now = min(timer.at for timer in timers(_state(desk), RULES)) - SECOND
    assert desk.run_clocks() == []
    desk.now = end
    assert "reminded" in desk.run_clocks()
    assert desk.stages()[dataset] == "open", "a committee's silence decides nothing"


def test_a_committee_that_asks_for_time_is_not_reminded_before() -> None:
    desk = Desk(FORM.model_copy(update={"lines": LINES[:1]}))
    desk.submit()
    desk.ask("delayed", "dac-FI-0", authority="FI-dac", until=date(2026, 3, 2), reason="The ethicist is away.")
    (timer,) = timers(_state(desk), RULES)
    assert timer.at == datetime(2026, 3, 2, 22, tzinfo=UTC)  # midnight after that day in Finland


def test_the_national_clocks_to_the_second_and_that_silence_confirms() -> None:
    desk = Desk(FORM.model_copy(update={"lines": LINES[:1]}))
    desk.submit()
    desk.decide("FI:a")
    approved = desk.now
    desk.now = Calendar("FI").end_of_days(approved, 6) - SECOND
    assert desk.run_clocks() == []
    desk.now += SECOND
    assert desk.run_clocks() == ["reminded"]
    desk.now = Calendar("FI").end_of_working_days(approved, 10) - SECOND
    assert desk.run_clocks() == []
    in_time = replay(desk.events)
    desk.now += SECOND
    with pytest.raises(Conflict, match="confirmed"):
        desk.ask("vetoed", "ncp-FI", dataset="FI:a", reason="too late")
    assert desk.stages() == {"FI:a": "confirmed"}
    assert desk.events[-1].by is None
    assert in_time.lines["FI:a"].stage is LineStage.APPROVED


def test_silence_may_be_a_veto() -> None:
    desk = Desk(FORM.model_copy(update={"lines": LINES[:1]}), replace(RULES, silence="vetoes"))
    desk.submit()
    desk.decide("FI:a")
    desk.now += timedelta(days=30)
    assert desk.run_clocks() == ["reminded", "vetoed"]


def test_health_care_is_decided_within_a_day() -> None:
    desk = Desk(FORM.model_copy(update={"track": "healthcare", "lines": LINES[:1]}))
    desk.submit()
    assert [timer.at for timer in timers(_state(desk), RULES)] == [Calendar("FI").end_of_working_days(desk.now, 1)]


@pytest.mark.parametrize(
    ("kind", "who", "more", "why"),
    [
        ("signed", "researcher", {}, "signing official"),
        ("signed", "researcher-2", {}, "does not sign"),
        ("signed", "outsider", {}, "signing official"),
        ("edited", "researcher-2", {"form": FORM}, "only the applicant"),
        ("voted", "dac-FI-0", {"dataset": "FI:a", "vote": "approve"}, "not before the committees"),
    ],
)
def test_what_is_refused_before_it_is_signed(kind: str, who: str, more: dict[str, Any], why: str) -> None:
    desk = Desk()
    desk.ask("signing-asked", "researcher")
    with pytest.raises((NotPermitted, Conflict), match=why):
        desk.ask(kind, who, **more)


@pytest.mark.parametrize(
    ("kind", "who", "more", "why"),
    [
        ("voted", "dac-IT-0", {"vote": "approve"}, "members of the committee FI-dac"),
        ("voted", "researcher-2", {"vote": "approve"}, "one's own"),
        ("voted", "outsider", {"vote": "approve"}, "members of the committee"),
        ("proposed", "dac-FI-0", {"decision": "approve", "reason": "r"}, "votes of 2"),
        ("decided", "dac-FI-0", {"decision": "approve"}, "no such decision"),
        ("confirmed", "ncp-FI", {}, "is open"),
        ("granted", "holder", {"visas": ["a", "b"], "until": MONDAY + timedelta(days=3)}, "is open"),
        ("expired", "holder", {}, "a clock does this"),
    ],
)
def test_what_is_refused_in_review(kind: str, who: str, more: dict[str, Any], why: str) -> None:
    desk = Desk()
    desk.submit()
    with pytest.raises((NotPermitted, Conflict), match=why):
        desk.ask(kind, who, dataset="FI:a", **more)


def test_nobody_approves_alone_without_checklist_or_against_the_votes() -> None:
    desk = Desk()
    desk.submit()
    for number, vote in ((0, "approve"), (1, "approve")):
        desk.ask("voted", f"dac-FI-{number}", dataset="FI:a", vote=vote)
    with pytest.raises(Conflict, match="checklist"):
        desk.ask("proposed", "dac-FI-0", dataset="FI:a", decision="approve", reason="r")
    desk.ask("checked", "dac-FI-0", dataset="FI:a", points={"ethics": True})
    desk.ask("proposed", "dac-FI-0", dataset="FI:a", decision="approve", reason="r")
    with pytest.raises(NotPermitted, match="another person"):
        desk.ask("decided", "dac-FI-0", dataset="FI:a", decision="approve")
    for number in (1, 2):
        desk.ask("voted", f"dac-FI-{number}", dataset="FI:a", vote="deny")
    with pytest.raises(Conflict, match="do not approve"):
        desk.ask("proposed", "dac-FI-1", dataset="FI:a", decision="approve", reason="r")


def test_an_event_in_another_s_name_is_refused() -> None:
    desk = Desk()
    event = EVENTS.validate_python({"event": "withdrawn", "at": desk.now, "by": APPLICANT})
    with pytest.raises(NotPermitted, match="by whom"):
        admit(desk.state, event, WHO["outsider"], RULES)


@pytest.mark.parametrize("seed", range(6))
def test_a_seeded_sample_of_the_walks(seed: int) -> None:
    found = walk(seed, 400)
    assert found.asked == 400


def test_the_proof_would_find_a_visa_that_one_person_approved() -> None:
    desk = Desk()
    desk.submit()
    desk.grant(["FI:a"])
    check_history(desk.events)
    check_replay_of(desk)
    alone = [
        event.model_copy(update={"by": person("dac-FI-0")}) if event.event == "decided" else event for event in desk.events
    ]
    with pytest.raises(AssertionError, match="one person alone"):
        check_history(alone)
    for kind, why in (
        ("confirmed", "no country"),
        ("agreement-signed", "signed agreement"),
        ("decided", "without an approval"),
    ):
        with pytest.raises(AssertionError, match=why):
            check_history([event for event in desk.events if event.event != kind])


def check_replay_of(desk: Desk) -> None:
    found = walk(0, 1)
    found.events, found.state = desk.events, desk.state
    check_replay(found)
    assert all(b"\n" not in canonical(event) for event in desk.events)


def _state(desk: Desk) -> Application:
    assert desk.state is not None
    return desk.state


def test_who_applies_is_no_member_too() -> None:
    desk = Desk()
    with pytest.raises(Conflict, match="not a member too"):
        desk.ask("edited", "researcher", form=FORM.model_copy(update={"members": (APPLICANT, COLLEAGUE)}))
    with pytest.raises(Conflict, match="not a member too"):
        Desk(FORM.model_copy(update={"members": (APPLICANT,)}))


def test_alarms_ring_two_days_before_the_end_of_a_clock_and_a_week_before_the_end_of_a_grant() -> None:
    desk = Desk()
    desk.submit()

    def ringing(at: datetime) -> list[tuple[str, str, bool]]:
        assert desk.state is not None
        return [(one.dataset, one.office, one.passed) for one in alarms(desk.state, RULES, at)]

    desk.decide("FI:a")
    fi = Calendar("FI").end_of_working_days(desk.now, RULES.committee_days)
    country = Calendar("FI").end_of_working_days(desk.now, RULES.national_days)
    assert ringing(fi - timedelta(days=2) - SECOND) == []
    assert ("FI:b", "committee", False) in ringing(fi - SECOND)
    assert ("FI:b", "committee", True) in ringing(fi)
    assert ("FI:a", "country", False) not in ringing(country - timedelta(days=2) - SECOND)
    assert ("FI:a", "country", False) in ringing(country - SECOND)
    desk.grant(["FI:b"])
    end = desk.now + timedelta(days=90)
    assert ("FI:b", "grant", False) in ringing(end - timedelta(days=7))
    assert ("FI:b", "grant", False) not in ringing(end - timedelta(days=7) - SECOND)
