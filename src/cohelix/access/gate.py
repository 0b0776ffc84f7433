"""The only door to a node's data: identity in, decisions out, and the entry in the log before an answer leaves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, Protocol

from cohelix.access.actor import ANONYMOUS, Actor
from cohelix.access.policy import (
    ANONYMOUS_POWER_MAX,
    NO_PURPOSE,
    NO_REVOCATIONS,
    REVOCATION_UNKNOWN,
    VISA_REQUIRED,
    VISA_REVOKED,
    Decision,
    Disclosure,
    Purpose,
    Revocations,
    Terms,
    decide,
)
from cohelix.audit.events import BudgetSpent, Decided, Event, Keyed, Person, QuestionAnswered, size_class
from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import NotPermitted

Way = Literal["direct", "hub"]
Kind = Literal["frequency", "region", "datasets", "beacon", "cohort-count", "analysis"]


class Charge(Protocol):
    """Reckons up what one person is told of one dataset (`disclosure.budget`)."""

    def __call__(self, version: Any, rows: list[int], asked: str) -> str | None:
        """Is told of a version's rows, and of what was asked, before counts leave; gives the reason where they may not."""

    def left(self) -> float:
        """The share of the person's own budget that is left, 0 to 1: what was told and paid for follows from answers alone."""


Charging = Callable[[Actor, Decision], Charge | None]
"""Whom to tell, of one person and one dataset (`disclosure.budget`); None where nothing is reckoned up."""


class Recording(Protocol):
    """What the gate needs of the audit log (`audit.log.AuditLog`)."""

    def record(self, event: Event, *, by: Person | str | None = None, wait: bool = False) -> None:
        """Write an event down; with `wait`, return once it is on disk, or raise `AuditUnavailable`."""

    def keyed(self, *name: str) -> Keyed:
        """A keyed hash of something that the log may not tell."""


Verifying = Callable[[str, datetime], Actor]
"""Makes of a passport for this node the actor that it proves; raises `NotPermitted` with the reason."""


def nobody_trusted(_dataset: str) -> frozenset[str]:
    """The authorities of a node that trusts none."""
    return frozenset()


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a node's settings say about access, the same for all questions until they change.

    Attributes
    ----------
    hub_url
        As the hub calls itself, which visas name; empty where the node is in no federation.
    anonymous_power_max
        The membership power up to which somebody unknown may ask a floored dataset of variants.
    authorities
        Which issuers of visas decide about a dataset (its federation id).
    projects
        Projects whose analyses the data holder has allowed.
    """

    hub_url: str = ""
    anonymous_power_max: float = ANONYMOUS_POWER_MAX
    authorities: Callable[[str], frozenset[str]] = nobody_trusted
    projects: frozenset[str] = frozenset()

    def terms(self, dataset: str, disclosure: Disclosure, membership_power: float | None) -> Terms:
        """A dataset's terms at this node."""
        return Terms(
            dataset=dataset,
            disclosure=disclosure,
            membership_power=membership_power,
            anonymous_power_max=self.anonymous_power_max,
            visa_value=visa_value(self.hub_url, dataset),
            authorities=self.authorities(dataset),
            projects=self.projects,
        )


NO_CONDITIONS: Final = Conditions()


def visa_value(hub_url: str, dataset: str) -> str:
    """What a visa for a dataset says (rule 6 of the interface); empty where there is no hub."""
    return f"{hub_url.rstrip('/')}/datasets/{dataset}" if hub_url else ""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, why, and by which way.

    Attributes
    ----------
    actor
        The person, as far as documents prove it.
    purpose
        What for.
    way
        `direct`, or `hub` where the hub asks on the person's behalf.
    refused_passport
        Why a passport that came with the question was refused: it is answered as somebody unknown, and says so.
    """

    actor: Actor = ANONYMOUS
    purpose: Purpose = NO_PURPOSE
    way: Way = "direct"
    refused_passport: str = ""

    @property
    def unknown(self) -> bool:
        """Whether nothing is known of who asks, nor for which project: the answer is everybody's."""
        return not (self.actor.known or self.refused_passport or self.purpose.project)


ANYBODY: Final = Asker()
ANYBODY_AT_THE_HUB: Final = Asker(way="hub")


class Asking:
    """One question of one person: the decision about each dataset, and what is written down of them.

    Not for several threads at once. Decisions are made when a dataset is come to, once for each.
    """

    def __init__(self, gate: Gate, kind: Kind, asker: Asker, now: datetime) -> None:
        self._gate, self._kind, self._now = gate, kind, now
        self.asker = asker
        self._decisions: dict[tuple[str, Disclosure, float | None], Decision] = {}

    def decision(self, dataset: str, disclosure: Disclosure, membership_power: float | None) -> Decision:
        """What a dataset tells this person."""
        key = dataset, disclosure, membership_power
        found = self._decisions.get(key)
        if found is None:
            found = self._decisions[key] = self._gate.decide(self.asker, dataset, disclosure, membership_power, self._now)
        return found

    def charge(self, decision: Decision) -> Charge | None:
        """Whom to tell of the rows that a decision lets out, before they leave."""
        return self._gate.charge(self.asker.actor, decision)

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """The decisions so far, in the order in which datasets were come to."""
        return tuple(self._decisions.values())

    def leave(self, asked: str, sizes: Mapping[str, int] | None = None) -> None:
        """Write the question down; blocks until that is on disk where the answer rests on who asks.

        Parameters
        ----------
        asked
            What was asked for, of which the log keeps a keyed hash.
        sizes
            How many items each dataset's answer has; of those that are not named the size is withheld.

        Raises
        ------
        AuditUnavailable
            If it must be written down and cannot be: the answer may not leave.
        """
        self._gate.record(self._kind, self.asker, self.decisions, asked, sizes or {})


class Gate:
    """The only door: makes of a passport an actor, decides for each dataset, and writes down what leaves.

    Parameters
    ----------
    conditions
        What the node's settings say now.
    verify
        Verifies a passport for this node; None where the node trusts no issuer, and every passport is refused.
    revocations
        What is known of revoked visas now.
    charging
        Whom to tell of the rows that registered answers tell of.
    log
        The audit log; None where nothing is written down (tests of other things).
    """

    def __init__(
        self,
        conditions: Callable[[], Conditions] = lambda: NO_CONDITIONS,
        *,
        verify: Verifying | None = None,
        revocations: Callable[[], Revocations] = lambda: NO_REVOCATIONS,
        charging: Charging | None = None,
        log: Recording | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._conditions, self._verify, self._revocations = conditions, verify, revocations
        self._charging, self._log = charging, log
        self._public: dict[str, Decided] = {}
        self._public_told: tuple[Decided, ...] = ()
        self._clock = clock or SystemClock()

    def public(self, dataset: str, disclosure: Disclosure, membership_power: float | None) -> Decision:
        """What a dataset tells everybody; asked once for each version, and kept by the bank."""
        decision = self.decide(ANYBODY, dataset, disclosure, membership_power, self._clock.now())
        self._public = {**self._public, dataset: _decided(decision, None)}
        self._public_told = tuple(self._public.values())
        return decision

    def note(self, event: Event, asker: Asker | None = None) -> None:
        """Write down what was decided about a run, before it is said; raises `AuditUnavailable`."""
        if self._log is not None:
            actor = asker.actor if asker is not None else ANONYMOUS
            self._log.record(event, by=Person(actor.subject, actor.issuer) if actor.known else "hub", wait=True)

    def asker(self, passport: str | None = None, purpose: Purpose = NO_PURPOSE, *, way: Way = "direct") -> Asker:
        """Who asks; somebody whose passport does not hold is unknown, and learns why at each dataset that is not open."""
        if not passport:
            return Asker(ANONYMOUS, purpose, way)
        if self._verify is None:
            return Asker(ANONYMOUS, purpose, way, "this node trusts no issuer of passports")
        try:
            return Asker(self._verify(passport, self._clock.now()), purpose, way)
        except NotPermitted as error:
            return Asker(ANONYMOUS, purpose, way, error.detail)

    @property
    def projects(self) -> frozenset[str]:
        """The projects whose analyses the data holder has allowed."""
        return self._conditions().projects

    def standing(self, visa: str, issuer: str, expires: str) -> str | None:
        """Why a visa that has been used opens nothing any more, as a reason's slug; None while it holds."""
        now, revocations = self._clock.now(), self._revocations()
        if visa in revocations.revoked.get(issuer, ()):
            return VISA_REVOKED
        if now >= datetime.fromisoformat(expires):
            return VISA_REQUIRED
        return None if revocations.known(issuer, now) else REVOCATION_UNKNOWN

    def asking(self, kind: Kind, asker: Asker) -> Asking:
        """One question of somebody who is known, or whose passport was refused."""
        return Asking(self, kind, asker, self._clock.now())

    def charge(self, actor: Actor, decision: Decision) -> Charge | None:
        """Whom to tell of the rows that a decision lets out: of registered answers alone. What is refused is written down."""
        charge = self._charging(actor, decision) if self._charging and decision.tier == "registered" else None
        return charge if charge is None or self._log is None else _Noted(charge, self._log, actor, decision)

    def told_everybody(self, kind: Kind, asker: Asker, asked: str) -> None:
        """Write down a question that was answered as to everybody; returns at once."""
        if self._log is not None:
            event = QuestionAnswered(kind, asker.way, self._log.keyed(asked), asker.purpose.statement, self._public_told)
            self._log.record(event)

    def decide(
        self, asker: Asker, dataset: str, disclosure: Disclosure, membership_power: float | None, now: datetime
    ) -> Decision:
        """What a dataset tells somebody at a moment."""
        return decide(
            asker.actor,
            self._conditions().terms(dataset, disclosure, membership_power),
            asker.purpose,
            now,
            revocations=self._revocations() if asker.actor.visas else NO_REVOCATIONS,
            refused_passport=asker.refused_passport,
        )

    def record(self, kind: Kind, asker: Asker, decisions: tuple[Decision, ...], asked: str, sizes: Mapping[str, int]) -> None:
        """Write a question down, and wait for it where an answer rests on who asks."""
        if self._log is None:
            return
        actor = asker.actor
        event = QuestionAnswered(
            kind=kind,
            way=asker.way,
            asked=self._log.keyed(asked),
            purpose=asker.purpose.statement,
            datasets=tuple(_decided(one, sizes.get(one.dataset)) for one in decisions),
        )
        by = Person(actor.subject, actor.issuer) if actor.known else None
        self._log.record(event, by=by, wait=any(one.tier != "public" for one in decisions))


class _Noted:
    """A charge whose refusals are written down, once for each question."""

    def __init__(self, charge: Charge, log: Recording, actor: Actor, decision: Decision) -> None:
        self.left, self._charge, self._log = charge.left, charge, log
        self._event = BudgetSpent(decision.dataset, decision.tier)
        self._person = Person(actor.subject, actor.issuer)
        self._said = False

    def __call__(self, version: Any, rows: list[int], asked: str) -> str | None:
        reason = self._charge(version, rows, asked)
        if reason is not None and not self._said:
            self._said = True
            self._log.record(self._event, by=self._person)
        return reason


def _decided(decision: Decision, size: int | None) -> Decided:
    refused = decision.genomic == decision.people == "refused"
    return Decided(
        dataset=decision.dataset,
        outcome="refused" if refused else "answered",
        tier=decision.tier,
        reason=decision.reasons[0].slug if decision.reasons else "",
        granularity=decision.granularity,
        visas=decision.visas,
        size="withheld" if size is None else size_class(size),
    )
