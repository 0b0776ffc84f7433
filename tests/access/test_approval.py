"""Whether events are an approval, to somebody who has nothing but the events: every forgery that `admit` would not let in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.access.test_applications import Desk

from cohelix.access.applications import Rules, Stage
from cohelix.access.approval import Approval, approval_of, replayed
from cohelix.core.errors import Conflict, NotPermitted
from cohelix.wire.applications import EVENTS, Event

RULES = Rules()
SET = "FI:a"


def _approved() -> Desk:
    """A desk at which one dataset is approved, confirmed and agreed on."""
    desk = Desk()
    desk.submit()
    desk.decide(SET)
    desk.ask("confirmed", "ncp-FI", dataset=SET)
    return desk


def _agreed(desk: Desk, sha256: str = "a" * 64) -> Desk:
    desk.ask("agreement-drawn", "holder", datasets=[SET], sha256=sha256)
    desk.ask("agreement-signed", "official", side="user", sha256=sha256)
    desk.ask("agreement-signed", "holder", side="holder", sha256=sha256)
    return desk


def _granted(desk: Desk) -> Desk:
    _agreed(desk).ask("granted", "holder", dataset=SET, visas=["1", "2"], until=desk.now + timedelta(days=90))
    return desk


def _approval(events: Sequence[Event], now: datetime) -> Approval | None:
    return approval_of(events, replayed(events, rules=RULES, now=now), SET)


def test_an_approval_that_is_agreed_on_is_granted_to_the_applicant_and_the_members() -> None:
    desk = _approved()
    assert _approval(desk.events, desk.now) is None
    found = _approval(_agreed(desk).events, desk.now)
    assert found is not None
    assert (found.line.dataset, found.line.authority, found.episode) == (SET, "FI-dac", 9)
    assert [one.subject for one in found.people] == ["researcher", "researcher-2"]
    assert approval_of(desk.events, replayed(desk.events, rules=RULES, now=desk.now), "FI:b") is None


@pytest.mark.parametrize("ending", ["suspended", "revoked", "withdrawn", "expired"])
def test_a_grant_ends_with_what_ends_it(ending: str) -> None:
    desk = _granted(_approved())
    assert _approval(desk.events, desk.now) is not None
    if ending == "expired":
        desk.now += timedelta(days=90)
        desk.run_clocks()
    elif ending == "withdrawn":
        desk.ask("withdrawn", "researcher")
    else:
        desk.ask(ending, "ncp-FI", dataset=SET, reason="Misused.")
    assert _approval(desk.events, desk.now) is None


def test_a_grant_goes_on_while_its_renewal_is_decided_and_until_its_own_end_when_it_is_denied() -> None:
    desk = _granted(_approved())
    [first] = [found.episode for found in [_approval(desk.events, desk.now)] if found]
    desk.ask("renewal-asked", "researcher", dataset=SET, reason="We need longer.")
    for step in (lambda: desk.decide(SET), lambda: desk.ask("confirmed", "ncp-FI", dataset=SET)):
        found = _approval(desk.events, desk.now)
        assert found is not None and found.episode == first
        step()
    again = _approval(_agreed(desk, "b" * 64).events, desk.now)
    assert again is not None and again.episode > first
    desk.ask("granted", "holder", dataset=SET, visas=["3", "4"], until=desk.now + timedelta(days=90))
    desk.ask("renewal-asked", "researcher", dataset=SET, reason="And longer.")
    desk.decide(SET, "deny")
    assert desk.stages()[SET] == "denied" and desk.stage is Stage.REVIEW  # other datasets are open
    found = _approval(desk.events, desk.now)
    assert found is not None and found.episode == again.episode, "what was granted holds until its own end"
    desk.now += timedelta(days=90)
    assert "expired" in desk.run_clocks()
    assert (desk.stages()[SET], _approval(desk.events, desk.now)) == ("denied", None)


@pytest.mark.parametrize("renewed", ["approve", "deny"])
def test_a_grant_keeps_its_own_conditions_while_its_renewal_is_decided_about(renewed: str) -> None:
    """Else who is still to get a visa of it would get one under none of them."""

    def with_conditions(desk: Desk, *, since: int, conditions: tuple[str, ...]) -> Desk:
        desk.events[since:] = [
            _with(one, conditions=conditions) if one.event == "proposed" else one for one in desk.events[since:]
        ]
        return desk

    desk = _granted(with_conditions(_approved(), since=0, conditions=("genomics only",)))
    steps = len(desk.events)
    desk.ask("renewal-asked", "researcher", dataset=SET, reason="We need longer.")
    desk.decide(SET, renewed)
    found = _approval(with_conditions(desk, since=steps, conditions=()).events, desk.now)
    assert found is not None and found.conditions == ("genomics only",)


@pytest.mark.parametrize("how", ["suspended", "revoked"])
@pytest.mark.parametrize("decided", [None, "approve", "deny"])
def test_one_person_stops_a_grant_whose_renewal_is_decided_about(how: str, decided: str | None) -> None:
    desk = _granted(_approved())
    desk.ask("renewal-asked", "researcher", dataset=SET, reason="We need longer.")
    if decided is not None:
        desk.decide(SET, decided)
    with pytest.raises(NotPermitted):
        desk.ask(how, "official", dataset=SET, reason="Not mine to say.")
    desk.ask(how, "ncp-FI", dataset=SET, reason="Misused.")
    assert (desk.stages()[SET], _approval(desk.events, desk.now)) == (how, None)
    desk.now += timedelta(days=90)
    assert "expired" not in desk.run_clocks()


def test_a_renewal_that_is_confirmed_after_the_end_of_the_grant_before_is_granted() -> None:
    desk = _granted(_approved())
    desk.ask("renewal-asked", "researcher", dataset=SET, reason="We need longer.")
    desk.decide(SET)
    desk.now += timedelta(days=90)
    assert {"expired", "confirmed"} <= set(desk.run_clocks())
    assert _approval(desk.events, desk.now) is None, "nothing is agreed on yet"
    assert _approval(_agreed(desk, "b" * 64).events, desk.now) is not None


def test_silence_confirms_when_its_time_is_over_and_not_before() -> None:
    desk = Desk()
    desk.submit()
    desk.decide(SET)
    desk.now += timedelta(days=30)
    desk.run_clocks()
    assert _approval(_agreed(desk).events, desk.now) is not None
    early = [_with(event, at=event.at - timedelta(days=1)) if event.event == "confirmed" else event for event in desk.events]
    with pytest.raises(Conflict, match="confirmed: no clock"):
        replayed(early, rules=RULES, now=desk.now)
    with pytest.raises(Conflict, match="no clock"):  # where silence vetoes, it does not confirm
        replayed(desk.events, rules=Rules(silence="vetoes"), now=desk.now)


def _with(event: Event, **changed: Any) -> Event:
    return EVENTS.validate_python({**event.model_dump(), **changed})


def _without(kind: str) -> Callable[[list[Event]], list[Event]]:
    return lambda events: [event for event in events if event.event != kind]


def _all_by(kinds: Sequence[str], of: str) -> Callable[[list[Event]], list[Event]]:
    """The same events, some of them by who made another."""

    def forge(events: list[Event]) -> list[Event]:
        by = next(event.by for event in events if event.event == of)
        return [_with(event, by=by) if event.event in kinds else event for event in events]

    return forge


def _one_vote(events: list[Event]) -> list[Event]:
    first = next(event for event in events if event.event == "voted")
    return [event for event in events if event.event != "voted" or event is first]


def _same_voter(events: list[Event]) -> list[Event]:
    return _all_by(["voted"], "voted")(events)


def _no_votes_for(events: list[Event]) -> list[Event]:
    return [_with(event, vote="deny") if event.event == "voted" else event for event in events]


def _later(events: list[Event]) -> list[Event]:
    return [*events[:-1], _with(events[-1], at=events[-1].at + timedelta(hours=1))]


@pytest.mark.parametrize(
    "forge",
    [
        _without("signed"),
        _without("voted"),
        _without("checked"),
        _without("proposed"),
        _without("decided"),
        _without("confirmed"),
        _without("agreement-drawn"),
        _one_vote,
        _same_voter,
        _no_votes_for,
        _later,
        _all_by(["decided"], "proposed"),
        _all_by(["confirmed"], "decided"),
        _all_by(["voted", "checked", "proposed", "decided"], "created"),
        _all_by(["signed"], "created"),
        _all_by(["confirmed"], "created"),
        lambda events: events[1:],
        lambda events: [events[0], *events[:0:-1]],
        lambda events: [_with(event, by=None) if event.event == "confirmed" else event for event in events],
        lambda events: [_with(event, dataset="FI:b") if event.event == "voted" else event for event in events],
    ],
)
def test_a_forged_approval_is_none(forge: Callable[[list[Event]], list[Event]]) -> None:
    desk = _agreed(_approved())
    with pytest.raises((Conflict, NotPermitted)):
        replayed(forge(list(desk.events)), rules=RULES, now=desk.now)


def test_one_side_alone_does_not_agree() -> None:
    desk = _agreed(_approved())
    for side in ("user", "holder"):
        left = [event for event in desk.events if getattr(event, "side", None) != side]
        assert _approval(left, desk.now) is None
