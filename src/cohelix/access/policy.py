"""What a person may learn of a dataset: one pure function of who asks, the dataset's terms, the purpose and the time.

No role opens data: a data holder, an auditor or a member of a data access committee is decided about like anybody else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, NamedTuple

from cohelix.access.actor import ANONYMOUS, Actor, Visa, VisaKind

ANONYMOUS_POWER_MAX: Final = 0.60
"""The membership power up to which somebody unknown may ask a floored dataset of variants; an operator's setting."""

Disclosure = Literal["open", "floored", "closed"]
Level = Literal["refused", "floored", "exact"]
Tier = Literal["public", "registered", "controlled", "project"]
Granularity = Literal["none", "count", "record"]

LOGIN_REQUIRED: Final = "login-required"
REGISTRATION_REQUIRED: Final = "registration-required"
VISA_REQUIRED: Final = "visa-required"
VISA_REVOKED: Final = "visa-revoked"
REVOCATION_UNKNOWN: Final = "revocation-unknown"
PASSPORT_REFUSED: Final = "passport-refused"
BUDGET_SPENT: Final = "budget-spent"


class Reason(NamedTuple):
    """Why a dataset tells less than everything: a slug for programs, a sentence for people."""

    slug: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.slug}: {self.sentence}"


@dataclass(frozen=True, slots=True)
class Purpose:
    """What an answer is for.

    Attributes
    ----------
    statement
        As the person states it; it is written down with the question.
    project
        The project of an analysis, which a data holder may have allowed; empty for other questions.
    """

    statement: str = ""
    project: str = ""


NO_PURPOSE: Final = Purpose()


@dataclass(frozen=True, slots=True)
class Terms:
    """What a dataset asks of those who ask it.

    Attributes
    ----------
    dataset
        Its federation id, `NODE:DATASET`.
    disclosure
        Of its manifest.
    membership_power
        What its frequencies would tell an attacker about who is in it; None where nobody has computed it.
    anonymous_power_max
        The power up to which somebody unknown may ask it of variants; the operator's setting, 1 for no bound.
    visa_value
        What a visa for it says (rule 6 of the interface); empty where the node is in no federation, and no visa opens it.
    authorities
        Issuers of visas that the node trusts to decide about it.
    projects
        Projects whose analyses its data holder has allowed.
    """

    dataset: str
    disclosure: Disclosure
    membership_power: float | None = None
    anonymous_power_max: float = ANONYMOUS_POWER_MAX
    visa_value: str = ""
    authorities: frozenset[str] = frozenset()
    projects: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Revocations:
    """What a node knows of revoked visas, taken at one moment.

    Attributes
    ----------
    revoked
        Identifiers of revoked visas, by the issuer that revoked them.
    known_until
        Until when the issuer's last signed word holds; an issuer that is not named has said nothing.
    """

    revoked: Mapping[str, frozenset[str]] = field(default_factory=dict)
    known_until: Mapping[str, datetime] = field(default_factory=dict)

    def known(self, issuer: str, now: datetime) -> bool:
        """Whether the issuer's word is fresh."""
        until = self.known_until.get(issuer)
        return until is not None and now < until

    def names(self, visa: Visa) -> bool:
        """Whether its issuer has revoked the visa, as far as is known."""
        return visa.identifier in self.revoked.get(visa.issuer, ())


NO_REVOCATIONS: Final = Revocations()


@dataclass(frozen=True, slots=True)
class Decision:
    """What one dataset tells one person.

    Attributes
    ----------
    dataset
        Its federation id.
    tier
        What the decision rests on: nothing (public), registered access, a visa, or the data holder's word to a project.
    genomic
        Answers about variants: frequencies, regions, Beacon questions that name variants, people by what they carry.
    people
        Counts of people by what is known of them besides variants.
    records
        Whether single people, biosamples and variants of theirs are shown.
    analyses
        Whether analyses may use it.
    granularity
        The most that Beacon may return.
    reasons
        Why less than everything, the deciding one first; empty where everything is told.
    visas
        Identifiers of the visas that it rests on.
    expires
        When what it rests on ends; None for public answers.
    """

    dataset: str
    tier: Tier
    genomic: Level
    people: Level
    records: bool
    analyses: bool
    granularity: Granularity
    reasons: tuple[Reason, ...] = ()
    visas: tuple[str, ...] = ()
    expires: datetime | None = None

    @property
    def reason(self) -> str:
        """The deciding reason as an answer says it, `slug: sentence`; empty where everything is told."""
        return str(self.reasons[0]) if self.reasons else ""

    @property
    def everything(self) -> bool:
        """Whether nothing is held back."""
        return self.genomic == self.people == "exact" and self.records


def decide(
    actor: Actor,
    dataset: Terms,
    purpose: Purpose,
    now: datetime,
    *,
    revocations: Revocations = NO_REVOCATIONS,
    refused_passport: str = "",
) -> Decision:
    """What a dataset tells somebody.

    Parameters
    ----------
    actor
        Who asks, as far as documents prove it.
    dataset
        The dataset's terms.
    purpose
        What for; a project that the data holder allowed opens the dataset to its analyses, and to nothing else.
    now
        The time, with a time zone: visas that have ended open nothing.
    revocations
        What the node knows of revoked visas. A visa of an issuer without a fresh word opens nothing, and its holder is told so.
    refused_passport
        Why the passport that came with the question was refused; empty where it was accepted, or none came.
    """
    if dataset.disclosure == "open":
        return Decision(dataset.dataset, "public", "exact", "exact", True, True, "record")
    held = _grants(actor, dataset, now)
    known = [visa for visa in held if revocations.known(visa.issuer, now)]
    valid = [visa for visa in known if not revocations.names(visa)]
    if valid:
        last = max(valid, key=lambda visa: visa.expires)
        ends = min(last.expires, actor.expires or last.expires)
        return Decision(
            dataset.dataset, "controlled", "exact", "exact", True, True, "record", visas=(last.identifier,), expires=ends
        )
    return _without_grant(
        actor,
        dataset,
        now,
        by_project=bool(purpose.project) and purpose.project in dataset.projects,
        unknown=any(visa not in known and not revocations.names(visa) for visa in held),
        why=tuple(
            reason
            for reason in (Reason(PASSPORT_REFUSED, refused_passport) if refused_passport else None, _REVOKED if held else None)
            if reason
        ),
    )


def _without_grant(
    actor: Actor, dataset: Terms, now: datetime, *, by_project: bool, unknown: bool, why: tuple[Reason, ...]
) -> Decision:
    """What a dataset that is not open tells somebody whom no visa opens it.

    Parameters
    ----------
    by_project
        Whether the data holder has allowed the analysis's project.
    unknown
        Whether a visa would open it, if it could be told that it was not revoked.
    why
        What the person has to be told before anything else.
    """
    tier: Tier = "public"
    genomic: Level = "refused"
    people: Level = "floored"
    visas: tuple[str, ...] = ()
    reasons: tuple[Reason, ...]
    if unknown:
        people, reasons = "refused", (_UNKNOWN,)
    elif dataset.disclosure == "closed":
        people, reasons = "refused", (*why, _CLOSED)
    elif _public(dataset):
        genomic, reasons = "floored", (*why, _FLOORED)
    elif _registered(actor, now):
        tier, genomic, reasons = "registered", "floored", (*why, _FLOORED)
        visas = tuple(visa.identifier for visa in actor.visas if visa.kind in _REGISTERED_BY)
    else:
        reasons = (*why, _NOT_REGISTERED if actor.known else _NOT_LOGGED_IN, _FLOORED)
    return Decision(
        dataset=dataset.dataset,
        tier="project" if by_project else tier,
        genomic=genomic,
        people=people,
        records=False,
        analyses=by_project,
        granularity="none" if people == "refused" else "count",
        reasons=reasons,
        visas=visas,
        expires=actor.expires if tier == "registered" else None,
    )


def decide_public(dataset: Terms, now: datetime) -> Decision:
    """What a dataset tells everybody."""
    return decide(ANONYMOUS, dataset, NO_PURPOSE, now)


_REGISTERED_BY: Final = (VisaKind.ACCEPTED_TERMS_AND_POLICIES, VisaKind.RESEARCHER_STATUS)
_NOT_LOGGED_IN: Final = Reason(
    LOGIN_REQUIRED, "variants of this dataset would tell who is in it, so it answers only people who have logged in"
)
_NOT_REGISTERED: Final = Reason(
    REGISTRATION_REQUIRED, "accept the terms of registered access, and have your status as a researcher stated"
)
_CLOSED: Final = Reason(VISA_REQUIRED, "this dataset is closed: it answers nothing without a visa")
_FLOORED: Final = Reason(VISA_REQUIRED, "without a visa this dataset tells of groups above its floors only")
_REVOKED: Final = Reason(VISA_REVOKED, "the visa for this dataset was revoked")
_UNKNOWN: Final = Reason(
    REVOCATION_UNKNOWN, "the node cannot tell at the moment whether the visa still holds; questions without the visa go on"
)


def _grants(actor: Actor, dataset: Terms, now: datetime) -> list[Visa]:
    """The actor's visas for exactly this dataset, by authorities that decide about it, that have not ended."""
    if not dataset.visa_value or not _current(actor, now):
        return []
    return [
        visa
        for visa in actor.visas
        if visa.kind is VisaKind.CONTROLLED_ACCESS_GRANTS
        and visa.value == dataset.visa_value
        and visa.issuer in dataset.authorities
        and now < visa.expires
    ]


def _current(actor: Actor, now: datetime) -> bool:
    return actor.known and (actor.expires is None or now < actor.expires)


def _public(dataset: Terms) -> bool:
    """Whether a floored dataset tells everybody of variants: its power is known and within the bound, or no bound is set."""
    power, most = dataset.membership_power, dataset.anonymous_power_max
    return most >= 1 or (power is not None and power <= most)


def _registered(actor: Actor, now: datetime) -> bool:
    return (
        _current(actor, now)
        and actor.registered
        and all(now < visa.expires for visa in actor.visas if visa.kind in _REGISTERED_BY)
    )
