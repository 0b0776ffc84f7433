"""Whether an application's events are an approval, for somebody who has the events and nobody's word for them (pure).

The hub keeps the events; whoever grants reads them anew. Roles are the hub's to know, so each event is taken to be by
somebody with the role that it needs, for this dataset's committee and country alone; all that depends on *who* did
what holds here as it does at the hub: nobody decides alone, about an application of their own, or in two offices, and
clocks end when they end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cohelix.access.actor import Role
from cohelix.access.applications import Acting, Application, LineStage, LineState, Rules, Stage, admit, due, evolve
from cohelix.core.errors import Conflict, NotPermitted
from cohelix.wire.applications import (
    Confirmed,
    Decided,
    Event,
    Expired,
    Granted,
    Identity,
    Line,
    Proposed,
    RenewalAsked,
    Revoked,
    Signed,
    Suspended,
    Vetoed,
    canonical,
)

CLOCKS_DIFFER: Final = timedelta(seconds=60)
_EVERY_ROLE: Final = frozenset(Role)


@dataclass(frozen=True, slots=True)
class Approval:
    """A dataset of an application that was approved, confirmed and agreed on.

    Attributes
    ----------
    episode
        Number of the event that confirmed it, from 1: a renewal, or what follows a suspension, is another one.
    people
        The applicant and the members, each of whom gets a visa.
    months
        For how long the data were asked for; None where nothing was said.
    since
        When it was confirmed.
    conditions
        The committee's, in its words: those of the decision that was confirmed, whatever was proposed or decided since.
    """

    line: Line
    episode: int
    people: tuple[Identity, ...]
    months: int | None
    since: datetime
    conditions: tuple[str, ...] = ()


def replayed(events: Sequence[Event], *, rules: Rules, now: datetime) -> Application:
    """The state that events have made, each of which could have happened.

    Raises
    ------
    Conflict, NotPermitted
        With the number of the first event that could not, and why.
    """
    state: Application | None = None
    before: datetime | None = None
    for number, event in enumerate(events, 1):
        try:
            if before is not None and event.at < before:
                raise Conflict("it happened before the one before it")
            if event.at > now + CLOCKS_DIFFER:
                raise Conflict("it has not happened yet")
            _check(state, event, rules)
        except (Conflict, NotPermitted) as error:
            raise type(error)(f"event {number}, {event.event}: {error.detail}") from None
        state, before = evolve(state, event), event.at
    if state is None:
        raise Conflict("an application has events")
    return state


def approval_of(events: Sequence[Event], state: Application, dataset: str) -> Approval | None:
    """The approval that a dataset's present grant rests on; None where it is not, or no longer, to be granted.

    `state` is what the events have made (`replayed`). A grant goes on while its renewal is decided about, and when that
    is denied, until its own end.
    """
    line = state.lines.get(dataset)
    if line is None or state.stage is Stage.WITHDRAWN:
        return None
    confirmed: tuple[int, datetime] | None = None
    in_force: tuple[int, datetime] | None = None
    renewing = False
    for number, event in enumerate(events, 1):
        if getattr(event, "dataset", None) != dataset:
            continue
        match event:
            case Confirmed():
                confirmed = number, event.at
            case Granted():
                in_force, renewing = confirmed, False
            case RenewalAsked():
                renewing = in_force is not None
            case Expired() if renewing:
                in_force, renewing = None, False
            case Decided(decision="deny") | Vetoed() if renewing:
                confirmed = None
            case Decided(decision="deny") | Vetoed() | Suspended() | Revoked() | Expired():
                confirmed, in_force, renewing = None, None, False
            case _:
                pass
    if line.stage is LineStage.CONFIRMED and agreed(state, line):
        in_force = confirmed
    if in_force is None:
        return None
    people = (state.applicant, *state.form.members)
    conditions = _conditions(events[: in_force[0]], dataset)
    return Approval(line.line, in_force[0], people, state.form.months, in_force[1], conditions)


def _conditions(events: Sequence[Event], dataset: str) -> tuple[str, ...]:
    """Those of the newest proposal, which a decision has made the committee's: none follows it before it is confirmed."""
    proposals = (one for one in reversed(events) if isinstance(one, Proposed) and one.dataset == dataset)
    return next((one.conditions for one in proposals), ())


def agreed(state: Application, line: LineState) -> bool:
    """Whether both sides have signed the agreement that covers a dataset."""
    agreement = state.agreements.get(line.agreement or "")
    return agreement is not None and agreement.complete and line.line.dataset in agreement.datasets


def _check(state: Application | None, event: Event, rules: Rules) -> None:
    pending = None if state is None else due(state, rules, event.at)
    if event.by is None:
        if pending is None or canonical(pending) != canonical(event):
            raise Conflict("no clock has ended that makes this happen")
        return
    if pending is not None:
        raise Conflict(f"a clock had ended before, and {pending.event} did not follow")
    admit(state, event, _who_may(state, event), rules)


def _who_may(state: Application | None, event: Event) -> Acting:
    """The person of an event with every duty that could be for it; `admit` then looks at persons, order and number."""
    assert event.by is not None
    if state is None:
        return Acting(event.by)
    dataset = getattr(event, "dataset", None)
    lines = [line for line in state.form.lines if dataset is None or line.dataset == dataset]
    authorities = {line.authority for line in lines} | ({event.authority} if hasattr(event, "authority") else set())
    nodes = {line.dataset.partition(":")[0] for line in state.form.lines}
    country = lines[0].country if lines and not isinstance(event, Signed) else None
    return Acting(event.by, _EVERY_ROLE, frozenset(authorities), country, state.form.organisation, frozenset(nodes))
