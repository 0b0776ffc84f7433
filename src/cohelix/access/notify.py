"""Who has to know what of an application's events, and in which words (pure); `access.outbox` keeps it and sends it.

A notice names the application, its title, a dataset, what there is to do and by when. It repeats nothing that people wrote
beyond the title, and nothing of the data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from urllib.parse import quote

from cohelix.access.actor import Role
from cohelix.access.applications import Application, LineStage, LineState, Rules, Stage, timers
from cohelix.access.working_days import Calendar
from cohelix.wire import applications as wire
from cohelix.wire.applications import Event, Identity


class Matter(StrEnum):
    """What a notice is about."""

    SIGN = "sign"
    SIGNING_REFUSED = "signing-refused"
    HANDED_IN = "handed-in"
    DECIDE = "decide"
    QUESTION = "question"
    ANSWERED = "answered"
    RETURNED = "returned"
    GIVEN_BACK = "given-back"
    SECOND = "second"
    APPROVED = "approved"
    DENIED = "denied"
    DELAYED = "delayed"
    OVERDUE = "overdue"
    DECISION_OVERDUE = "decision-overdue"
    COUNTRY = "country"
    COUNTRY_DUE = "country-due"
    CONFIRMED = "confirmed"
    SILENCE = "silence"
    VETOED = "vetoed"
    DRAW_AGREEMENT = "draw-agreement"
    SIGN_AGREEMENT = "sign-agreement"
    AGREED = "agreed"
    ISSUE_VISAS = "issue-visas"
    GRANTED = "granted"
    GRANT_ENDS = "grant-ends"
    EXPIRED = "expired"
    SUSPENDED = "suspended"
    REVOKED = "revoked"
    RENEWAL = "renewal"
    CONTESTED = "contested"
    HEAR_APPEAL = "hear-appeal"
    APPEAL_UPHELD = "appeal-upheld"
    DECIDE_ANEW = "decide-anew"
    APPEAL_DISMISSED = "appeal-dismissed"
    WITHDRAWN = "withdrawn"


# What happened, and what there is to do.
WORDS: Final[dict[Matter, tuple[str, str]]] = {
    Matter.SIGN: (
        "An application waits for your organisation’s signature",
        "Read it, then sign it or say why you do not.",
    ),
    Matter.SIGNING_REFUSED: (
        "The organisation has not signed the application",
        "Read why; change it, and ask for the signature again.",
    ),
    Matter.HANDED_IN: (
        "The application is signed and handed in",
        "There is nothing to do: its committees decide about it.",
    ),
    Matter.DECIDE: ("An application waits for your committee", "Go through the checklist and vote."),
    Matter.QUESTION: ("A committee has asked a question", "Answer it: the committee may wait for you."),
    Matter.ANSWERED: ("The applicant has answered a question", "Read the answer and go on."),
    Matter.RETURNED: ("A committee has returned the application", "Read why, change it, and hand it in again."),
    Matter.GIVEN_BACK: (
        "A committee has given an application back to its applicant",
        "There is nothing to do until it is handed in again.",
    ),
    Matter.SECOND: ("A decision was proposed", "Second it, if it is what the votes came to: another person has to."),
    Matter.APPROVED: ("A committee has approved", "There is nothing to do: the country answers next."),
    Matter.DENIED: ("A committee has denied access", "Read why; you may contest the decision in time."),
    Matter.DELAYED: ("A committee needs longer", "There is nothing to do; it has said why, and until when."),
    Matter.OVERDUE: ("Your committee’s decision is overdue", "Decide, or tell the applicant until when you need."),
    Matter.DECISION_OVERDUE: (
        "The decision of a committee is overdue",
        "There is nothing to do; the committee has been reminded.",
    ),
    Matter.COUNTRY: ("A committee has approved: your country may answer", "Confirm the approval, or veto it and say why."),
    Matter.COUNTRY_DUE: ("Your country’s answer is due soon", "Confirm the approval, or veto it and say why."),
    Matter.CONFIRMED: ("The country has confirmed", "There is nothing to do: the agreement is drawn next."),
    Matter.SILENCE: (
        "The time for your country’s answer has ended",
        "There is nothing to do: your silence has counted as the federation’s rules say.",
    ),
    Matter.VETOED: ("The country has vetoed", "Read why; you may contest the decision in time."),
    Matter.DRAW_AGREEMENT: ("Access is confirmed: the agreement is to be drawn", "Draw the agreement."),
    Matter.SIGN_AGREEMENT: ("An agreement waits for your signature", "Read it and sign it."),
    Matter.AGREED: ("Both sides have signed the agreement", "There is nothing to do: the visas are issued next."),
    Matter.ISSUE_VISAS: (
        "Both sides have signed the agreement: visas are due",
        "See that your authority issues them: `cohelix dac pending` at the node shows what waits.",
    ),
    Matter.GRANTED: ("Your visas have arrived", "You may use the data now, until the visas end."),
    Matter.GRANT_ENDS: ("Your grant ends soon", "Ask for a renewal if you still need the data."),
    Matter.EXPIRED: ("The grant has come to its end", "The visas hold no more; a renewal may be asked for."),
    Matter.SUSPENDED: (
        "The grant is suspended",
        "Do not use the data; the visas are revoked, and the committee decides anew.",
    ),
    Matter.REVOKED: ("The grant is revoked", "Do not use the data any more; the visas are revoked."),
    Matter.RENEWAL: ("A renewal is asked for", "Go through the checklist and vote."),
    Matter.CONTESTED: ("A decision is contested", "There is nothing to do: a chair who had no part in it hears the appeal."),
    Matter.HEAR_APPEAL: ("An appeal waits for a chair", "Hear it, if you had no part in the decision."),
    Matter.APPEAL_UPHELD: ("The appeal is upheld", "There is nothing to do: the committee decides anew."),
    Matter.DECIDE_ANEW: ("An appeal is upheld: your committee decides anew", "Go through the checklist and vote."),
    Matter.APPEAL_DISMISSED: ("The appeal is dismissed: the decision stands", "There is nothing left to do here."),
    Matter.WITHDRAWN: ("The application is withdrawn", "There is nothing to do; visas that were issued are revoked."),
}


@dataclass(frozen=True, slots=True)
class Duty:
    """Everybody with one of these roles for something; without `what`, whatever it is for.

    Attributes
    ----------
    but
        People with the duty who have no part in this.
    """

    roles: frozenset[Role]
    what: str = ""
    but: frozenset[Identity] = frozenset()


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to be known by one person, or by all who have a duty.

    Attributes
    ----------
    due
        By when there is something to do; of `GRANTED` and `GRANT_ENDS`, when the grant ends.
    titled
        Whether the application's title may be told.
    """

    matter: Matter
    to: Identity | Duty
    dataset: str = ""
    due: datetime | None = None
    titled: bool = True


_OF_THE_WHOLE: Final = (Matter.DRAW_AGREEMENT, Matter.SIGN_AGREEMENT)  # whose forms are on the application's own page
_COMMITTEE: Final = frozenset({Role.DAC_MEMBER, Role.DAC_CHAIR})
_AUDITORS: Final = Duty(frozenset({Role.AUDITOR}))
_USABLE: Final = frozenset({LineStage.CONFIRMED, LineStage.GRANTED, LineStage.SUSPENDED})


def notices_of(before: Application | None, state: Application, event: Event, rules: Rules) -> tuple[Notice, ...]:
    """What an event makes known, and to whom; where one person is meant twice, the first counts.

    Nobody who makes something happen is told of it, and nobody who works with the data as one of those who decide about
    it: the outbox sees to both.

    Parameters
    ----------
    before, state
        The application before and after the event.
    """
    if before is None:
        return ()
    found = _of_line(state, event, rules) if getattr(event, "dataset", None) else _of_whole(before, state, event, rules)
    return tuple(found)


def page_of(matter: Matter, application: str, dataset: str = "") -> str:
    """The page on which there is something to do, or to be read."""
    page = f"/applications/{quote(application, safe='')}"
    return f"{page}/datasets/{quote(dataset, safe=':')}" if dataset and matter not in _OF_THE_WHOLE else page


def _of_whole(before: Application, state: Application, event: Event, rules: Rules) -> Iterator[Notice]:  # noqa: PLR0912 - the same
    """Of an event of the whole application."""
    match event:
        case wire.SigningAsked():
            yield Notice(Matter.SIGN, _signing(state))
        case wire.SigningRefused():
            yield Notice(Matter.SIGNING_REFUSED, state.applicant)
        case wire.Signed():
            yield from _to_users(state, Matter.HANDED_IN)
            for authority in _authorities(state.lines.values()):
                yield Notice(Matter.DECIDE, _committee(authority), due=_committee_end(state, rules, authority=authority))
        case wire.Asked():
            yield Notice(Matter.QUESTION, state.applicant)
        case wire.Answered():
            for authority in _authorities(_at(state, LineStage.OPEN) or state.lines.values()):
                yield Notice(Matter.ANSWERED, _committee(authority), due=_committee_end(state, rules, authority=authority))
        case wire.Returned():
            yield from _to_users(state, Matter.RETURNED)
            for authority in _authorities(before.lines.values()):
                yield Notice(Matter.GIVEN_BACK, _committee(authority))
        case wire.Delayed():
            lines = [line for line in _at(state, LineStage.OPEN) if line.line.authority == event.authority]
            end = _committee_end(state, rules, authority=event.authority)
            yield from _to_users(state, Matter.DELAYED, lines[0].line.dataset if len(lines) == 1 else "", end)
        case wire.AgreementDrawn() | wire.AgreementSigned():
            yield from _of_agreement(state, event)
        case wire.Withdrawn():
            yield from _withdrawn(before, state)
        case _:
            return


def _of_agreement(state: Application, event: wire.AgreementDrawn | wire.AgreementSigned) -> Iterator[Notice]:
    agreement = state.agreements[event.sha256]
    only = agreement.datasets[0] if len(agreement.datasets) == 1 else ""
    holders = [_holders(node) for node in sorted({name.partition(":")[0] for name in agreement.datasets})]
    if isinstance(event, wire.AgreementDrawn):
        yield from (Notice(Matter.SIGN_AGREEMENT, to, only) for to in (_signing(state), *holders))
    elif agreement.complete:
        yield from _to_users(state, Matter.AGREED, only)
        yield from (Notice(Matter.ISSUE_VISAS, to, only) for to in holders)


def _withdrawn(before: Application, state: Application) -> Iterator[Notice]:
    """To all who had the application before them."""
    yield from _to_users(state, Matter.WITHDRAWN)
    if before.begun is Stage.SIGNING:
        yield Notice(Matter.WITHDRAWN, _signing(state))
    if before.begun is not Stage.REVIEW:
        return
    for authority in _authorities(_at(before, LineStage.OPEN, LineStage.SUSPENDED)):
        yield Notice(Matter.WITHDRAWN, _committee(authority))
    for country in sorted({line.line.country for line in _at(before, LineStage.APPROVED)}):
        yield Notice(Matter.WITHDRAWN, _country(country))
    for node in sorted({line.line.dataset.partition(":")[0] for line in _at(before, *_USABLE)}):
        yield Notice(Matter.WITHDRAWN, _holders(node))


def _of_line(state: Application, event: Event, rules: Rules) -> Iterator[Notice]:  # noqa: PLR0912 - one case for each event
    """Of an event of one dataset."""
    name: str = event.dataset  # type: ignore[union-attr]  # `notices_of` has looked
    line = state.lines[name]
    committee, country = _committee(line.line.authority), _country(line.line.country)
    holders = _holders(name.partition(":")[0])
    match event:
        case wire.Proposed():
            yield Notice(Matter.SECOND, committee, name, _committee_end(state, rules, dataset=name))
        case wire.Decided() if event.decision == "approve":
            yield from _to_users(state, Matter.APPROVED, name)
            yield Notice(Matter.COUNTRY, country, name, _country_end(state, rules, name))
        case wire.Decided():
            yield from _to_users(state, Matter.DENIED, name, _appeal_end(line, rules))
        case wire.Confirmed():
            yield from _to_users(state, Matter.CONFIRMED, name)
            yield Notice(Matter.DRAW_AGREEMENT, holders, name)
            yield Notice(Matter.CONFIRMED, committee, name)
            yield from _silence(event, country, name)
        case wire.Vetoed():
            yield from _to_users(state, Matter.VETOED, name, _appeal_end(line, rules))
            yield Notice(Matter.VETOED, committee, name)
            yield from _silence(event, country, name)
        case wire.Granted():
            yield from _to_users(state, Matter.GRANTED, name, event.until)
        case wire.Suspended() | wire.Revoked():
            matter = Matter.SUSPENDED if isinstance(event, wire.Suspended) else Matter.REVOKED
            yield from _to_users(state, matter, name)
            yield from (Notice(matter, to, name) for to in (holders, committee, country))
            yield Notice(matter, _AUDITORS, name, titled=False)
        case wire.Expired():
            yield from _to_users(state, Matter.EXPIRED, name)
            yield Notice(Matter.EXPIRED, holders, name)
        case wire.RenewalAsked():
            yield Notice(Matter.RENEWAL, committee, name, _committee_end(state, rules, dataset=name))
        case wire.Appealed():
            yield Notice(Matter.HEAR_APPEAL, Duty(frozenset({Role.DAC_CHAIR}), but=line.parties), name)
            yield from (Notice(Matter.CONTESTED, to, name) for to in (committee, country))
        case wire.AppealUpheld():
            yield from _to_users(state, Matter.APPEAL_UPHELD, name)
            yield Notice(Matter.DECIDE_ANEW, committee, name, _committee_end(state, rules, dataset=name))
        case wire.AppealDismissed():
            yield from _to_users(state, Matter.APPEAL_DISMISSED, name)
            yield from (Notice(Matter.APPEAL_DISMISSED, to, name) for to in (committee, country))
        case wire.Reminded():
            yield from _reminders(state, event, rules)
        case _:
            return


def _reminders(state: Application, event: wire.Reminded, rules: Rules) -> Iterator[Notice]:
    name, line = event.dataset, state.lines[event.dataset]
    match event.what:
        case "committee-overdue":
            yield from _to_users(state, Matter.DECISION_OVERDUE, name)
            yield Notice(Matter.OVERDUE, _committee(line.line.authority), name)
            yield Notice(Matter.DECISION_OVERDUE, _AUDITORS, name, titled=False)
        case "national-answer-due":
            yield Notice(Matter.COUNTRY_DUE, _country(line.line.country), name, _country_end(state, rules, name))
        case _:
            yield from _to_users(state, Matter.GRANT_ENDS, name, line.until)


def _silence(event: Event, country: Duty, dataset: str) -> Iterator[Notice]:
    """Where a clock has answered for the country, it is told."""
    if event.by is None:
        yield Notice(Matter.SILENCE, country, dataset)
        yield Notice(Matter.SILENCE, _AUDITORS, dataset, titled=False)


def _to_users(state: Application, matter: Matter, dataset: str = "", due: datetime | None = None) -> Iterator[Notice]:
    yield from (Notice(matter, one, dataset, due) for one in (state.applicant, *state.form.members))


def _signing(state: Application) -> Duty:
    return Duty(frozenset({Role.SIGNING_OFFICIAL}), state.form.organisation)


def _committee(authority: str) -> Duty:
    return Duty(_COMMITTEE, authority)


def _country(country: str) -> Duty:
    return Duty(frozenset({Role.NATIONAL_COORDINATION_POINT}), country)


def _holders(node: str) -> Duty:
    return Duty(frozenset({Role.DATA_HOLDER}), node)


def _authorities(lines: Iterable[LineState]) -> list[str]:
    return sorted({line.line.authority for line in lines})


def _at(state: Application, *stages: LineStage) -> list[LineState]:
    return [line for line in state.lines.values() if line.stage in stages]


def _committee_end(state: Application, rules: Rules, *, authority: str = "", dataset: str = "") -> datetime | None:
    """When the first clock of a committee's decisions ends."""
    wanted = {name for name, line in state.lines.items() if name == dataset or (authority and line.line.authority == authority)}
    for timer in timers(state, rules):
        event = timer.event
        if isinstance(event, wire.Reminded) and event.what == "committee-overdue" and event.dataset in wanted:
            return timer.at
    return None


def _country_end(state: Application, rules: Rules, dataset: str) -> datetime | None:
    for timer in timers(state, rules):
        if isinstance(timer.event, wire.Confirmed | wire.Vetoed) and timer.event.dataset == dataset:
            return timer.at
    return None


def _appeal_end(line: LineState, rules: Rules) -> datetime | None:
    """Until when a decision may be contested; it is contested once."""
    if line.appealed:
        return None
    return Calendar(line.line.country).end_of_days(line.since, rules.appeal_days)
