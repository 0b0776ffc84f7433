"""What the pages show of an application: what waits for whom until when, who may do what, and what happened (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from babel.dates import format_date
from pydantic import ValidationError

from cohelix.access.actor import Role
from cohelix.access.applications import Acting, Application, LineStage, LineState, Rules, Stage, admit, alarms, stage_end
from cohelix.access.working_days import TIME_ZONES
from cohelix.core.errors import Conflict, NotPermitted
from cohelix.portal.application_words import EVENT_WORDS, INSIDE_EVENTS, REMINDER_WORDS
from cohelix.portal.languages import ENGLISH, current, gettext, ngettext
from cohelix.wire import applications as wire
from cohelix.wire.applications import EVENTS, Event, Identity

TEXT_SHOWN: Final = 400
_ENOUGH: Final[dict[str, Any]] = {"reason": "-", "text": "-", "points": {}, "vote": "approve", "sha256": "0" * 64}


@dataclass(frozen=True, slots=True)
class Wait:
    """Something that is waited for.

    Attributes
    ----------
    who, what
        In words.
    datasets
        What it is about; empty for the whole application.
    until
        The last day in words, and how many days are left; empty where no clock runs.
    mine
        Whether the reader is waited for.
    """

    who: str
    what: str
    datasets: tuple[str, ...] = ()
    until: str = ""
    left: str = ""
    mine: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """Something that the reader can do now, for a desk's list; `alarm` is `passed` or `soon` where its clock says so."""

    duty: str
    application: str
    title: str
    organisation: str
    what: str
    dataset: str = ""
    until: str = ""
    left: str = ""
    ends: datetime | None = None
    alarm: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """An event in words."""

    number: int
    at: str
    iso: str
    who: str
    what: str
    dataset: str
    text: str
    shortened: bool


def last_day(end: datetime, country: str) -> str:
    """The last day of a period that has ended at a moment, as people there say it."""
    day = (end - timedelta(seconds=1)).astimezone(ZoneInfo(TIME_ZONES.get(country, "UTC"))).date()
    return f"{day.day} {day:%B} {day.year}" if current() is ENGLISH else str(format_date(day, "long", locale=current().locale))


def moment(at: datetime) -> str:
    """A time to the minute, in UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def left(end: datetime, now: datetime) -> str:
    """How long it is until then."""
    seconds = (end - now).total_seconds()
    if seconds <= 0:
        return gettext("overdue")
    days = int(seconds // 86_400)
    return (
        ngettext("%(days)s day left", "%(days)s days left", days) % {"days": days} if days else gettext("less than a day left")
    )


def refusal(state: Application, kind: str, acting: Acting, rules: Rules, now: datetime, **fields: Any) -> Exception | None:
    """Why a person cannot make something happen now; None where they can. The same words as when they try."""
    if "dataset" in fields and fields["dataset"] not in state.lines:
        return Conflict("the application is not for this dataset")
    try:
        event = EVENTS.validate_python({**_needed(kind), "event": kind, "at": now, "by": acting.who, **fields})
        admit(state, event, acting, rules)
    except (Conflict, NotPermitted) as error:
        return error
    except ValidationError as error:
        return Conflict(str(error.errors()[0]["msg"]))
    return None


def _needed(kind: str) -> dict[str, Any]:
    known = next(one for one in wire.Happened.__subclasses__() if one.model_fields.get("event", _NONE).default == kind)
    return {name: value for name, value in _ENOUGH.items() if name in known.model_fields}


_NONE: Final = wire.Form.model_fields["title"]


def may(state: Application, kind: str, acting: Acting, rules: Rules, now: datetime, **fields: Any) -> bool:
    """Whether a person can make something happen now."""
    return refusal(state, kind, acting, rules, now, **fields) is None


def sides_to_sign(state: Application, sha256: str, acting: Acting, rules: Rules, now: datetime) -> tuple[str, ...]:
    """For which sides a person can sign an agreement."""
    wanted = ("user", "holder")
    return tuple(side for side in wanted if may(state, "agreement-signed", acting, rules, now, side=side, sha256=sha256))


def without_agreement(state: Application) -> tuple[str, ...]:
    """Datasets that wait for an agreement to be drawn."""
    return tuple(name for name, line in state.lines.items() if line.stage is LineStage.CONFIRMED and line.agreement is None)


def drawable(state: Application, acting: Acting, rules: Rules, now: datetime) -> tuple[str, ...]:
    """Of these, those whose agreement a person can draw."""
    return tuple(
        name for name in without_agreement(state) if may(state, "agreement-drawn", acting, rules, now, datasets=(name,))
    )


def insider(state: Application, acting: Acting, dataset: str | None = None) -> bool:
    """Whether somebody reads what committees do among themselves: of a dataset's committee or country, or an auditor."""
    if acting.who == state.applicant or acting.who in state.form.members:
        return False
    lines = [line.line for name, line in state.lines.items() if dataset in (None, name)]
    of_country = Role.NATIONAL_COORDINATION_POINT in acting.roles
    return Role.AUDITOR in acting.roles or any(
        line.authority in acting.authorities or (of_country and line.country == acting.country) for line in lines
    )


def waits(state: Application, acting: Acting, rules: Rules, now: datetime) -> list[Wait]:
    """What the application waits for, and until when; what the reader is waited for first."""
    mine = acting.who == state.applicant
    found = [*_whole_waits(state, acting, mine), *_line_waits(state, acting, rules, now)]
    grouped: dict[Wait, list[str]] = {}
    for one in found:
        bare = Wait(one.who, one.what, (), one.until, one.left, one.mine)
        grouped.setdefault(bare, []).extend(one.datasets)
    joined = [Wait(w.who, w.what, tuple(names), w.until, w.left, w.mine) for w, names in grouped.items()]
    return sorted(joined, key=lambda one: not one.mine)


def _whole_waits(state: Application, acting: Acting, mine: bool) -> Iterable[Wait]:
    applicant = gettext("You") if mine else gettext("The applicant")
    match state.stage:
        case Stage.DRAFT:
            yield Wait(applicant, gettext("to finish the application and to ask for the signature"), mine=mine)
        case Stage.RETURNED:
            yield Wait(applicant, gettext("to change the application and to ask for the signature again"), mine=mine)
        case Stage.SIGNING:
            official = Role.SIGNING_OFFICIAL in acting.roles and acting.organisation == state.form.organisation
            yield Wait(_official_of(state), gettext("to sign"), mine=official and not mine)
        case Stage.REVIEW if state.unanswered:
            number = state.unanswered
            what = ngettext("to answer a committee’s question", "to answer %(number)s questions of committees", number)
            yield Wait(applicant, what % {"number": number}, mine=mine)
    for agreement in state.agreements.values():
        waiting = tuple(name for name in agreement.datasets if state.lines[name].stage is LineStage.CONFIRMED)
        official = Role.SIGNING_OFFICIAL in acting.roles and acting.organisation == state.form.organisation
        holder = Role.DATA_HOLDER in acting.roles and {name.partition(":")[0] for name in agreement.datasets} <= acting.nodes
        if waiting and "user" not in agreement.sides:
            yield Wait(_official_of(state), gettext("to sign the agreement"), waiting, mine=official)
        if waiting and "holder" not in agreement.sides:
            yield Wait(gettext("The data holder"), gettext("to sign the agreement"), waiting, mine=holder)
        if waiting and agreement.complete:
            yield Wait(gettext("The deciding authority"), gettext("to issue the visas, which its node does by itself"), waiting)


def _line_waits(state: Application, acting: Acting, rules: Rules, now: datetime) -> Iterable[Wait]:
    if state.begun is not Stage.REVIEW:
        return
    ends = line_ends(state, rules)
    for name, line in state.lines.items():
        authority, country = line.line.authority, line.line.country
        until, remaining = _until(ends.get(name), country, now)
        match line.stage:
            case LineStage.OPEN:
                member = authority in acting.authorities
                if "committee-overdue" in line.reminded:
                    remaining = gettext("overdue")
                yield Wait(_committee(authority), gettext("to decide"), (name,), until, remaining, member)
            case LineStage.APPROVED:
                what = gettext("to confirm or to veto; its silence vetoes")
                if rules.silence == "confirms":
                    what = gettext("to confirm or to veto; its silence confirms")
                national = Role.NATIONAL_COORDINATION_POINT in acting.roles and acting.country == country
                who = gettext("The national coordination point of %(country)s") % {"country": country}
                yield Wait(who, what, (name,), until, remaining, national)
            case LineStage.APPEALED:
                yield Wait(gettext("A chair who had no part in the decision"), gettext("to hear the appeal"), (name,))
            case LineStage.CONFIRMED if line.agreement is None:
                yield Wait(gettext("The data holder"), gettext("to draw the agreement"), (name,))
            case LineStage.SUSPENDED:
                yield Wait(_committee(authority), gettext("to decide anew about the suspended grant"), (name,))


def _official_of(state: Application) -> str:
    return gettext("The signing official of %(organisation)s") % {"organisation": state.form.organisation}


def _committee(authority: str) -> str:
    return gettext("The committee %(authority)s") % {"authority": authority}


def line_ends(state: Application, rules: Rules) -> dict[str, datetime]:
    """When the present stage of each dataset is to end, or should have ended."""
    if state.begun is not Stage.REVIEW:
        return {}
    found = {name: stage_end(line, state.form.track, rules) for name, line in state.lines.items()}
    return {name: end for name, end in found.items() if end is not None}


def _until(end: datetime | None, country: str, now: datetime) -> tuple[str, str]:
    return (last_day(end, country), left(end, now)) if end is not None else ("", "")


def tasks(identifier: str, state: Application, acting: Acting, rules: Rules, now: datetime) -> list[Task]:
    """What the reader can do about an application now, by duty."""
    ends, found = line_ends(state, rules), list[Task]()
    rings = {one.dataset: "passed" if one.passed else "soon" for one in alarms(state, rules, now)}

    def task(duty: str, what: str, dataset: str = "") -> None:
        end = ends.get(dataset)
        country = state.lines[dataset].line.country if dataset else ""
        until, remaining = _until(end, country, now)
        form = state.form
        found.append(
            Task(duty, identifier, form.title, form.organisation, what, dataset, until, remaining, end, rings.get(dataset, ""))
        )

    def can(kind: str, **fields: Any) -> bool:
        return may(state, kind, acting, rules, now, **fields)

    if can("signed"):
        task("signing", gettext("Sign for the organisation, or refuse"))
    for sha256 in state.agreements:
        for side in sides_to_sign(state, sha256, acting, rules, now):
            user = gettext("Sign the agreement for the user")
            task("agreements", user if side == "user" else gettext("Sign the agreement for the data holder"))
    if drawable(state, acting, rules, now):
        task("agreements", gettext("Draw the agreement"))
    for name, line in state.lines.items():
        if can("voted", dataset=name):
            task("committee", _committee_task(line, acting, rules), name)
        if can("confirmed", dataset=name):
            task("national", gettext("Confirm or veto"), name)
        if can("appeal-dismissed", dataset=name):
            task("appeals", gettext("Hear the appeal"), name)
    return found


def _committee_task(line: LineState, acting: Acting, rules: Rules) -> str:
    if line.proposed is not None:
        own = line.proposed.by == acting.who
        return gettext("Waits for a second person") if own else gettext("Second the proposed decision")
    if acting.who not in line.votes:
        return gettext("Check and vote")
    if len(line.votes) < rules.quorum:
        return gettext("Waits for votes: %(votes)s of %(quorum)s") % {"votes": len(line.votes), "quorum": rules.quorum}
    return gettext("Propose the decision")


def told(
    events: Sequence[Event], state: Application, acting: Acting, *, before: int | None, most: int
) -> tuple[list[Told], int | None]:
    """Events in words, newest first, and where older ones begin; what is inside a committee stays there."""
    end = len(events) if before is None else min(before - 1, len(events))
    found: list[Told] = []
    for number in range(end, 0, -1):
        event = events[number - 1]
        dataset = str(getattr(event, "dataset", ""))
        if event.event in INSIDE_EVENTS and not insider(state, acting, dataset):
            continue
        following = events[number] if number < len(events) else None
        if event.event == "edited" and following is not None and following.event == "edited":
            continue  # a draft that saves itself is changed many times
        if len(found) == most:
            return found, number + 1
        found.append(_told(number, event, dataset, acting.who))
    return found, None


def _told(number: int, event: Event, dataset: str, reader: Identity) -> Told:
    who, what = (gettext(word) for word in EVENT_WORDS[event.event])
    if event.event == "agreement-signed":
        what = gettext("was signed for the user") if event.side == "user" else gettext("was signed for the data holder")
    if event.event == "decided":
        what = gettext("decided: an approval") if event.decision == "approve" else gettext("decided: a denial")
    if event.event == "proposed":
        what = gettext("proposed an approval") if event.decision == "approve" else gettext("proposed a denial")
    if event.event == "voted":
        what = gettext("voted to approve") if event.vote == "approve" else gettext("voted to deny")
    if event.event == "reminded":
        what = f"{what}: {gettext(REMINDER_WORDS[event.what])}"
    if event.by is None and event.event == "confirmed":
        what = gettext("confirmed the approval by its silence")
    if event.by is None and event.event == "vetoed":
        what = gettext("vetoed by its silence")
    if event.by == reader:
        who = gettext("You")
    text = event_text(event)
    shown = text if len(text) <= TEXT_SHOWN else f"{text[:TEXT_SHOWN]}…"
    return Told(number, moment(event.at), event.at.isoformat(), who, what, dataset, shown, len(text) > TEXT_SHOWN)


def event_text(event: Event) -> str:
    """What somebody wrote with an event."""
    parts: list[str] = [str(getattr(event, name)) for name in ("reason", "text", "comment") if getattr(event, name, "")]
    if event.event == "checked":
        parts += [f"{gettext('yes') if yes else gettext('no')}: {gettext(point)}" for point, yes in event.points.items()]
    if event.event == "proposed":
        parts += [gettext("Condition: %(condition)s") % {"condition": one} for one in event.conditions]
    if event.event == "delayed":
        told = {"authority": event.authority, "until": event.until.isoformat()}
        parts.append(gettext("%(authority)s decides until %(until)s") % told)
    if event.event == "granted":
        parts.append(gettext("until %(until)s UTC") % {"until": moment(event.until)})
    if event.event == "agreement-drawn":
        parts.append(", ".join(event.datasets))
    return "\n".join(parts)


def opinions(events: Sequence[Event], dataset: str, since: datetime, reader: Identity) -> dict[str, list[Mapping[str, Any]]]:
    """Checklists and votes of a dataset in its present stage, the last of each person."""
    checks: dict[Identity, Mapping[str, Any]] = {}
    votes: dict[Identity, Mapping[str, Any]] = {}
    for event in events:
        if event.at < since or event.by is None or getattr(event, "dataset", "") != dataset:
            continue
        about = {"who": name_of(event.by, reader), "at": moment(event.at)}
        if isinstance(event, wire.Checked):
            checks[event.by] = {**about, "points": event.points}
        if isinstance(event, wire.Voted):
            votes[event.by] = {**about, "vote": event.vote, "comment": event.comment[:TEXT_SHOWN]}
    return {"checks": list(checks.values()), "votes": list(votes.values())}


def name_of(person: Identity, reader: Identity) -> str:
    """What a page calls somebody: the beginning of a subject, which is no name."""
    if person == reader:
        return gettext("You")
    return person.subject if len(person.subject) <= 16 else f"{person.subject[:12]}…"


def earliest_delay(now: datetime) -> str:
    """The first day that a committee may ask for."""
    day: date = now.date() + timedelta(days=1)
    return day.isoformat()
