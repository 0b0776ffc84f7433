"""An application's state as a function of its events, who may add which event when, and its clocks (pure).

`evolve` is what happened; `admit` is what may happen; `due` is what a clock makes happen. The diagram of states is in
`docs/concepts/applications.md`, and the random walks of the tests hold it against this code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, ClassVar, Final, Literal, NoReturn

from pydantic import ConfigDict, Field

from cohelix.access.actor import Role
from cohelix.access.working_days import Calendar
from cohelix.core.errors import Conflict, NotPermitted
from cohelix.wire import applications as wire
from cohelix.wire.applications import Event, Form, Identity, Line, Vote


class Stage(StrEnum):
    """Where the whole application is."""

    DRAFT = "draft"
    SIGNING = "signing"
    REVIEW = "review"
    RETURNED = "returned"
    DECIDED = "decided"
    CLOSED = "closed"
    WITHDRAWN = "withdrawn"


class LineStage(StrEnum):
    """Where one of its datasets is."""

    OPEN = "open"
    APPROVED = "approved"
    DENIED = "denied"
    VETOED = "vetoed"
    APPEALED = "appealed"
    CONFIRMED = "confirmed"
    GRANTED = "granted"
    SUSPENDED = "suspended"
    REVOKED = "revoked"
    EXPIRED = "expired"


_PENDING: Final = frozenset({LineStage.OPEN, LineStage.APPROVED, LineStage.APPEALED})
_LIVING: Final = frozenset({LineStage.CONFIRMED, LineStage.GRANTED, LineStage.SUSPENDED})
# In which a grant may run on while its renewal is decided about, or after it was denied.
_BESIDE: Final = frozenset(
    {LineStage.OPEN, LineStage.APPROVED, LineStage.DENIED, LineStage.VETOED, LineStage.APPEALED, LineStage.CONFIRMED}
)
_SOON: Final = {"committee": timedelta(days=2), "country": timedelta(days=2), "grant": timedelta(days=7)}
_LONGEST_DELAY: Final = timedelta(days=366)
_LONGEST_GRANT: Final = timedelta(days=100 * 366)  # authorities grant for a year: this keeps clocks within the calendar
_REMIND_DAYS: Final = {30: "grant-ends", 7: "grant-ends-soon"}  # before a grant ends


Days = Annotated[int, Field(ge=1, le=366)]


@dataclass(frozen=True, slots=True)
class Rules:
    """What a federation has agreed on; days are working days unless named otherwise.

    Attributes
    ----------
    committee_days, healthcare_days
        For a committee's decision, and on the fast track of health care.
    reminder_days
        Calendar days after which the national point is reminded.
    national_days
        For the national point's answer.
    silence
        What it means that the national point has not answered.
    quorum
        Fewest votes of different members for a decision.
    appeal_days
        Calendar days within which a denial or veto may be contested.
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    committee_days: Days = 5
    healthcare_days: Days = 1
    reminder_days: Days = 6
    national_days: Days = 10
    silence: Literal["confirms", "vetoes"] = "confirms"
    quorum: Annotated[int, Field(ge=2, le=100)] = 2
    appeal_days: Days = 30


@dataclass(frozen=True, slots=True)
class Acting:
    """Somebody who wants something to happen, as far as the server knows.

    Attributes
    ----------
    authorities
        Committees of which the person is a member, or chairs.
    country
        Whose national point the person is.
    organisation
        Whose signing official the person is.
    nodes
        Members whose data the person holds.
    """

    who: Identity
    roles: frozenset[Role] = frozenset()
    authorities: frozenset[str] = frozenset()
    country: str | None = None
    organisation: str | None = None
    nodes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LineState:
    """One dataset of an application.

    Attributes
    ----------
    since
        When its present stage began, which clocks count from.
    votes
        The last vote of each member.
    proposed
        The decision that waits for a second person.
    parties
        Everybody who had a part in decisions about it: none of them hears an appeal.
    committee
        Those of them who decided as the committee: none of them answers for the country.
    reminded
        Reminders that were sent in this stage.
    delayed_until
        The last day that the committee has asked for.
    agreement
        The agreement that covers it, by its hash.
    visas, until
        Of its grant.
    running
        Until when the grant before holds, beside what is decided about its renewal; None where none does.
    appealed
        Whether a decision was contested already.
    """

    line: Line
    stage: LineStage
    since: datetime
    checked: frozenset[Identity] = frozenset()
    votes: Mapping[Identity, Vote] = field(default_factory=dict)
    proposed: wire.Proposed | None = None
    parties: frozenset[Identity] = frozenset()
    committee: frozenset[Identity] = frozenset()
    conditions: tuple[str, ...] = ()
    reminded: frozenset[str] = frozenset()
    delayed_until: datetime | None = None
    agreement: str | None = None
    visas: tuple[str, ...] = ()
    until: datetime | None = None
    running: datetime | None = None
    appealed: bool = False


@dataclass(frozen=True, slots=True)
class Agreement:
    """An agreement by the datasets that it covers, and the sides that have signed it."""

    datasets: tuple[str, ...]
    sides: frozenset[str] = frozenset()

    @property
    def complete(self) -> bool:
        """Whether both sides have signed."""
        return self.sides == {"user", "holder"}


@dataclass(frozen=True, slots=True)
class Application:
    """An application as its events have made it; `version` is their number."""

    applicant: Identity
    form: Form
    version: int
    begun: Stage = Stage.DRAFT
    lines: Mapping[str, LineState] = field(default_factory=dict)
    agreements: Mapping[str, Agreement] = field(default_factory=dict)
    unanswered: int = 0

    @property
    def stage(self) -> Stage:
        """Where it is: as far as it has come by itself, and after it was submitted by what its datasets say."""
        if self.begun is not Stage.REVIEW:
            return self.begun
        stages = {line.stage for line in self.lines.values()}
        if stages & _PENDING:
            return Stage.REVIEW
        runs = any(line.running is not None for line in self.lines.values())
        return Stage.DECIDED if runs or stages & _LIVING else Stage.CLOSED


@dataclass(frozen=True, slots=True)
class Timer:
    """A clock that runs: when it ends, and what then happens."""

    at: datetime
    event: Event


def replay(events: Iterable[Event]) -> Application:
    """The state that events have made; raises `Conflict` if they do not begin with one that creates."""
    state: Application | None = None
    for event in events:
        state = evolve(state, event)
    if state is None:
        raise Conflict("an application has events")
    return state


def evolve(state: Application | None, event: Event) -> Application:
    """The state after one more event, which has been admitted."""
    if state is None:
        if not isinstance(event, wire.Created) or event.by is None:
            raise Conflict("an application begins with its applicant")
        return Application(event.by, event.form, 1)
    following = replace(state, version=state.version + 1)
    changed = _whole(following, event)
    dataset = getattr(event, "dataset", None)
    if dataset is not None:
        changed = _with_line(changed, dataset, _one_line(changed.lines[dataset], event))
    return changed


def _whole(state: Application, event: Event) -> Application:  # noqa: PLR0911 - one case for each event
    """What an event changes of the application itself."""
    match event:
        case wire.Edited():
            return replace(state, form=event.form)
        case wire.SigningAsked():
            return replace(state, begun=Stage.SIGNING)
        case wire.SigningRefused():
            return replace(state, begun=Stage.DRAFT)
        case wire.Returned():
            return replace(state, begun=Stage.RETURNED, unanswered=0)
        case wire.Withdrawn():
            return replace(state, begun=Stage.WITHDRAWN)
        case wire.Signed():
            lines = {line.dataset: LineState(line, LineStage.OPEN, event.at) for line in state.form.lines}
            return replace(state, begun=Stage.REVIEW, lines=lines)
        case wire.Asked():
            return replace(state, unanswered=state.unanswered + 1)
        case wire.Answered():
            return replace(state, unanswered=max(0, state.unanswered - 1))
        case wire.Delayed():
            return _delayed(state, event)
        case wire.AgreementDrawn():
            covered = {
                name: replace(line, agreement=event.sha256) if name in event.datasets else line
                for name, line in state.lines.items()
            }
            return replace(state, lines=covered, agreements={**state.agreements, event.sha256: Agreement(event.datasets)})
        case wire.AgreementSigned():
            before = state.agreements[event.sha256]
            signed = replace(before, sides=before.sides | {event.side})
            return replace(state, agreements={**state.agreements, event.sha256: signed})
        case _:
            return state


def _delayed(state: Application, event: wire.Delayed) -> Application:
    lines = dict(state.lines)
    for name, line in lines.items():
        if line.line.authority == event.authority and line.stage is LineStage.OPEN:
            noon = datetime.combine(event.until, datetime.min.time(), event.at.tzinfo) + timedelta(hours=12)
            lines[name] = replace(line, delayed_until=noon, reminded=line.reminded - {"committee-overdue"})
    return replace(state, lines=lines)


def _with_line(state: Application, dataset: str, line: LineState) -> Application:
    return replace(state, lines={**state.lines, dataset: line})


def _one_line(line: LineState, event: Event) -> LineState:  # noqa: PLR0911 - one case for each event
    """What an event changes of its dataset."""
    match event:
        case wire.Checked() if event.by is not None:
            return replace(line, checked=line.checked | {event.by})
        case wire.Voted() if event.by is not None:
            return _by_committee(replace(line, votes={**line.votes, event.by: event.vote}), event)
        case wire.Proposed():
            return _by_committee(replace(line, proposed=event), event)
        case wire.Reminded():
            return replace(line, reminded=line.reminded | {event.what})
        case wire.Granted():
            granted = _entered(line, LineStage.GRANTED, event)
            return replace(granted, visas=event.visas, until=event.until, running=None)
        case wire.Expired() if line.running is not None:
            return replace(line, running=None)
        case wire.Suspended() | wire.Revoked():
            return replace(_entered(line, _LEADS_TO[event.event], event), running=None)
        case wire.Decided():
            conditions = line.proposed.conditions if line.proposed else ()
            to = LineStage.APPROVED if event.decision == "approve" else LineStage.DENIED
            return replace(_by_committee(_entered(line, to, event), event), conditions=conditions)
        case wire.Appealed():
            return replace(_entered(line, LineStage.APPEALED, event), appealed=True)
        case wire.RenewalAsked():
            running = line.until if line.stage is LineStage.GRANTED else None
            return replace(_anew(line, event), running=running)
        case wire.AppealUpheld():
            return _anew(line, event)
        case _:
            to_stage = _LEADS_TO.get(event.event)
            return line if to_stage is None else _entered(line, to_stage, event)


_LEADS_TO: Final = {
    "confirmed": LineStage.CONFIRMED,
    "vetoed": LineStage.VETOED,
    "suspended": LineStage.SUSPENDED,
    "revoked": LineStage.REVOKED,
    "expired": LineStage.EXPIRED,
    "appeal-dismissed": LineStage.DENIED,
}


def _entered(line: LineState, stage: LineStage, event: Event) -> LineState:
    """A line in another stage: its clocks begin, and what was said in the one before is done with."""
    return replace(
        line,
        stage=stage,
        since=event.at,
        proposed=None,
        votes={},
        checked=frozenset(),
        reminded=frozenset(),
        delayed_until=None,
        parties=line.parties | _people(event),
    )


def _by_committee(line: LineState, event: Event) -> LineState:
    return replace(line, parties=line.parties | _people(event), committee=line.committee | _people(event))


def _anew(line: LineState, event: Event) -> LineState:
    """A line about which its committee decides once more; a new agreement follows."""
    return replace(_entered(line, LineStage.OPEN, event), agreement=None)


def _people(event: Event) -> frozenset[Identity]:
    return frozenset() if event.by is None else frozenset({event.by})


def admit(state: Application | None, event: Event, acting: Acting, rules: Rules) -> None:
    """Whether this person may make this happen now; the clocks that have ended are to be applied before (`due`).

    Raises
    ------
    NotPermitted
        If it is not for this person to do.
    Conflict
        If it cannot happen in the present state.
    """
    if event.by != acting.who:
        _never("an event is by whom it is asked by")
    if state is None:
        if not isinstance(event, wire.Created):
            _not_now("there is no such application")
        _check_form(event.form, acting.who)
        return
    _APPLICANT_S.get(event.event, _committee_s)(state, event, acting, rules)


def _applicant(state: Application, acting: Acting) -> None:
    if acting.who != state.applicant:
        _never("only the applicant may do this")


def _edit(state: Application, event: Event, acting: Acting, _rules: Rules) -> None:
    assert isinstance(event, wire.Edited)
    _applicant(state, acting)
    if state.stage not in (Stage.DRAFT, Stage.RETURNED):
        _not_now("only a draft, or an application that was returned, can be changed")
    _check_form(event.form, state.applicant)


def _ask_signing(state: Application, _event: Event, acting: Acting, _rules: Rules) -> None:
    _applicant(state, acting)
    if state.stage not in (Stage.DRAFT, Stage.RETURNED):
        _not_now("the application was handed in already")
    missing = [
        name for name in ("title", "summary", "organisation", "lines", "investigations") if not getattr(state.form, name)
    ]
    if missing:
        _not_now(f"before it can be handed in, the application needs: {', '.join(missing)}")


def _sign(state: Application, _event: Event, acting: Acting, _rules: Rules) -> None:
    if Role.SIGNING_OFFICIAL not in acting.roles or acting.organisation != state.form.organisation:
        _never("only a signing official of the applicant's organisation may do this")
    if acting.who == state.applicant or acting.who in state.form.members:
        _never("who will work with the data does not sign for the organisation")
    if state.stage is not Stage.SIGNING:
        _not_now("the application does not wait to be signed")


def _answer(state: Application, _event: Event, acting: Acting, _rules: Rules) -> None:
    _applicant(state, acting)
    if state.stage is not Stage.REVIEW or not state.unanswered:
        _not_now("no committee has asked anything")


def _withdraw(state: Application, _event: Event, acting: Acting, _rules: Rules) -> None:
    _applicant(state, acting)
    if state.stage in (Stage.WITHDRAWN, Stage.CLOSED):
        _not_now("the application has ended")


def _appeal(state: Application, event: Event, acting: Acting, rules: Rules) -> None:
    _applicant(state, acting)
    line = _line(state, event, LineStage.DENIED, LineStage.VETOED)
    if line.appealed:
        _not_now("a decision is contested once")
    if event.at >= Calendar(line.line.country).end_of_days(line.since, rules.appeal_days):
        _not_now(f"a decision is contested within {rules.appeal_days} days")


def _renew(state: Application, event: Event, acting: Acting, _rules: Rules) -> None:
    _applicant(state, acting)
    _line(state, event, LineStage.GRANTED, LineStage.EXPIRED)


def _sign_agreement(state: Application, event: Event, acting: Acting, _rules: Rules) -> None:
    assert isinstance(event, wire.AgreementSigned)
    agreement = state.agreements.get(event.sha256)
    if agreement is None or event.side in agreement.sides or state.begun is not Stage.REVIEW:
        _not_now("there is no such agreement to be signed by this side")
    if event.side == "user":
        if Role.SIGNING_OFFICIAL not in acting.roles or acting.organisation != state.form.organisation:
            _never("a signing official signs for the user's organisation")
        return
    nodes = {dataset.partition(":")[0] for dataset in agreement.datasets}
    if Role.DATA_HOLDER not in acting.roles or not nodes <= acting.nodes:
        _never("a data holder of all datasets that it covers signs the agreement")


_Check = Callable[[Application, Event, Acting, Rules], None]
_APPLICANT_S: Final[dict[str, _Check]] = {
    "edited": _edit,
    "signing-asked": _ask_signing,
    "signed": _sign,
    "signing-refused": _sign,
    "answered": _answer,
    "withdrawn": _withdraw,
    "appealed": _appeal,
    "renewal-asked": _renew,
    "agreement-signed": _sign_agreement,
}


def _committee_s(state: Application, event: Event, acting: Acting, rules: Rules) -> None:  # noqa: PLR0912 - the same
    """What committees, national points and data holders do."""
    if state.begun is not Stage.REVIEW:
        _not_now("the application is not before the committees")
    if acting.who == state.applicant or acting.who in state.form.members:
        _never("nobody decides about an application of one's own")
    match event:
        case wire.Asked() | wire.Returned():
            _check_exchange(state, event, acting)
        case wire.Delayed():
            if event.authority not in acting.authorities or not _open_lines(state, {event.authority}):
                _never("only the committee that decides may ask for more time")
            if not timedelta(-1) <= event.until - event.at.date() <= _LONGEST_DELAY:
                _not_now("a committee asks for a day from now on, a year at most")
        case wire.Checked() | wire.Voted():
            _member(_line(state, event, LineStage.OPEN, LineStage.SUSPENDED), acting)
        case wire.Proposed():
            _check_proposal(_line(state, event, LineStage.OPEN, LineStage.SUSPENDED), event, acting, rules)
        case wire.Decided():
            _check_second(_line(state, event, LineStage.OPEN, LineStage.SUSPENDED), event, acting)
        case wire.Confirmed() | wire.Vetoed():
            _check_national(_line(state, event, LineStage.APPROVED), acting)
        case wire.AgreementDrawn():
            _check_agreement(state, event, acting)
        case wire.Granted():
            _check_grant(state, event, acting)
        case wire.Suspended():
            _check_end(state, event, acting, LineStage.GRANTED)
        case wire.Revoked():
            _check_end(state, event, acting, LineStage.GRANTED, LineStage.SUSPENDED, LineStage.CONFIRMED)
        case wire.AppealUpheld() | wire.AppealDismissed():
            line = _line(state, event, LineStage.APPEALED)
            if Role.DAC_CHAIR not in acting.roles or acting.who in line.parties:
                _never("an appeal is heard by a chair who had no part in the decision")
        case _:
            _never("a clock does this, nobody else")


def _check_exchange(state: Application, event: Event, acting: Acting) -> None:
    if not _open_lines(state, acting.authorities):
        _never("only a committee that is deciding may ask, or give the application back")
    if isinstance(event, wire.Returned) and any(line.stage is not LineStage.OPEN for line in state.lines.values()):
        _not_now("an application is given back only before the first of its datasets is decided about")


def _open_lines(state: Application, authorities: Iterable[str]) -> list[LineState]:
    wanted = set(authorities)
    return [line for line in state.lines.values() if line.line.authority in wanted and line.stage is LineStage.OPEN]


def _check_proposal(line: LineState, event: wire.Proposed, acting: Acting, rules: Rules) -> None:
    _member(line, acting)
    votes = list(line.votes.values())
    if len(votes) < rules.quorum:
        _not_now(f"a decision needs the votes of {rules.quorum} members; there are {len(votes)}")
    if event.decision == "approve":
        if 2 * votes.count("approve") <= len(votes):
            _not_now("the votes do not approve")
        if not line.checked:
            _not_now("before an approval somebody goes through the committee's checklist")


def _check_second(line: LineState, event: wire.Decided, acting: Acting) -> None:
    _member(line, acting)
    if line.proposed is None or line.proposed.decision != event.decision:
        _not_now("no such decision was proposed")
    if line.proposed.by == acting.who:
        _never("a decision is seconded by another person than who proposed it")


def _check_national(line: LineState, acting: Acting) -> None:
    if Role.NATIONAL_COORDINATION_POINT not in acting.roles or acting.country != line.line.country:
        _never(f"only the national coordination point of {line.line.country} may answer")
    if acting.who in line.committee:
        _never("who took part in the committee's decision does not answer for the country")


def _check_agreement(state: Application, event: wire.AgreementDrawn, acting: Acting) -> None:
    for dataset in event.datasets:
        line = state.lines.get(dataset)
        if line is None or line.stage is not LineStage.CONFIRMED or line.agreement is not None:
            _not_now(f"{dataset} does not wait for an agreement")
        _holder_or_member(line, acting)
    if event.sha256 in state.agreements:
        _not_now("this agreement was drawn before")


def _check_grant(state: Application, event: wire.Granted, acting: Acting) -> None:
    line = _line(state, event, LineStage.CONFIRMED)
    _holder_or_member(line, acting)
    if line.agreement is None or not state.agreements[line.agreement].complete:
        _not_now("visas are issued when both sides have signed the agreement")
    if len(set(event.visas)) != 1 + len(state.form.members) or len(set(event.visas)) != len(event.visas):
        _not_now("one visa is issued for the applicant and for each member")
    if not event.at < event.until <= event.at + _LONGEST_GRANT:
        _not_now("a grant ends after it begins, and has an end that somebody will see")


def _check_end(state: Application, event: Event, acting: Acting, *stages: LineStage) -> None:
    """One person is enough to stop a grant, also one that runs on while its renewal is decided about."""
    known = state.lines.get(getattr(event, "dataset", ""))
    line = _line(state, event, *stages, *(_BESIDE if known is not None and known.running is not None else ()))
    national = Role.NATIONAL_COORDINATION_POINT in acting.roles and acting.country == line.line.country
    if not national:
        _holder_or_member(line, acting)


def _member(line: LineState, acting: Acting) -> None:
    if not acting.roles & {Role.DAC_MEMBER, Role.DAC_CHAIR} or line.line.authority not in acting.authorities:
        _never(f"only members of the committee {line.line.authority} may do this")


def _holder_or_member(line: LineState, acting: Acting) -> None:
    if Role.DATA_HOLDER in acting.roles and line.line.dataset.partition(":")[0] in acting.nodes:
        return
    _member(line, acting)


def _line(state: Application, event: Event, *stages: LineStage) -> LineState:
    dataset = getattr(event, "dataset", "")
    line = state.lines.get(dataset)
    if line is None:
        _not_now(f"the application is not for {dataset}")
    if line.stage not in stages or state.begun is not Stage.REVIEW:
        _not_now(f"{dataset} is {line.stage}: this is done where it is {' or '.join(stages)}")
    return line


def _check_form(form: Form, applicant: Identity) -> None:
    names = [line.dataset for line in form.lines]
    if len(set(names)) < len(names):
        _not_now("a dataset stands in the basket twice")
    if len(set(form.members)) < len(form.members):
        _not_now("a member stands there twice")
    if applicant in form.members:
        _not_now("who applies is not a member too: the visa is one's own anyway")


def timers(state: Application, rules: Rules) -> list[Timer]:
    """The clocks that run now, the one that ends first first."""
    if state.begun is not Stage.REVIEW:
        return []
    found = [timer for line in state.lines.values() for timer in _timers(line, state.form.track, rules)]
    return sorted(found, key=lambda timer: (timer.at, timer.event.event))


def due(state: Application, rules: Rules, now: datetime) -> Event | None:
    """What the first clock that has ended makes happen; to be applied, and asked for again, before anything else."""
    running = timers(state, rules)
    return running[0].event if running and running[0].at <= now else None


@dataclass(frozen=True, slots=True)
class Alarm:
    """A clock that ends soon, or that has passed without an answer.

    Attributes
    ----------
    office
        Who is waited for: the `committee`, the `country`; of a `grant`, its users.
    """

    dataset: str
    office: Literal["committee", "country", "grant"]
    ends: datetime
    passed: bool


def stage_end(line: LineState, track: str, rules: Rules) -> datetime | None:
    """When the present stage of a dataset ends, or should have ended; None where no clock runs."""
    calendar = Calendar(line.line.country)
    if line.stage is LineStage.OPEN:
        days = rules.healthcare_days if track == "healthcare" else rules.committee_days
        end = calendar.end_of_working_days(line.since, days)
        if line.delayed_until is not None:
            end = max(end, calendar.end_of_days(line.delayed_until - timedelta(days=1), 1))
        return end
    if line.stage is LineStage.APPROVED:
        return calendar.end_of_working_days(line.since, rules.national_days)
    return line.until if line.stage is LineStage.GRANTED else None


_OFFICES: Final[dict[LineStage, Literal["committee", "country", "grant"]]] = {
    LineStage.OPEN: "committee",
    LineStage.APPROVED: "country",
    LineStage.GRANTED: "grant",
}


def alarms(state: Application, rules: Rules, now: datetime) -> list[Alarm]:
    """Clocks that end within two days, of grants within seven, and those that have passed; the first to end first."""
    found = []
    for name, line in state.lines.items() if state.begun is Stage.REVIEW else ():
        office, end = _OFFICES.get(line.stage), stage_end(line, state.form.track, rules)
        if office is not None and end is not None and end - now <= _SOON[office]:
            found.append(Alarm(name, office, end, end <= now))
    return sorted(found, key=lambda one: (one.ends, one.dataset))


def _timers(line: LineState, track: str, rules: Rules) -> list[Timer]:
    calendar, dataset, end = Calendar(line.line.country), line.line.dataset, stage_end(line, track, rules)
    found: list[Timer] = []

    def remind(at: datetime, what: str) -> None:
        if what not in line.reminded:
            found.append(Timer(at, wire.Reminded.model_validate({"at": at, "what": what, "dataset": dataset})))

    if line.stage is LineStage.OPEN and end is not None:
        remind(end, "committee-overdue")
    elif line.stage is LineStage.APPROVED and end is not None:
        remind(calendar.end_of_days(line.since, rules.reminder_days), "national-answer-due")
        if rules.silence == "confirms":
            found.append(Timer(end, wire.Confirmed(at=end, dataset=dataset)))
        else:
            reason = "The national coordination point has not answered in time."
            found.append(Timer(end, wire.Vetoed(at=end, dataset=dataset, reason=reason)))
    elif line.stage is LineStage.GRANTED and line.until is not None:
        for days, what in _REMIND_DAYS.items():
            if line.until - timedelta(days=days) > line.since:
                remind(line.until - timedelta(days=days), what)
        found.append(Timer(line.until, wire.Expired(at=line.until, dataset=dataset)))
    if line.running is not None:
        found.append(Timer(line.running, wire.Expired(at=line.running, dataset=dataset)))
    return found


def _never(why: str) -> NoReturn:
    raise NotPermitted(why)


def _not_now(why: str) -> NoReturn:
    raise Conflict(why)
