"""Applications for data: what happened to one, event by event, and what a person asks to happen.

The events of an application are its whole truth: its state is a function of them (`access.applications`), and they are
kept and passed on as canonical JSON (`canonical`).
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

Text = Annotated[str, Field(min_length=1, max_length=10_000)]
ShortText = Annotated[str, Field(min_length=1, max_length=300)]
DatasetName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}:[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Track = Literal["research", "healthcare"]
Vote = Literal["approve", "deny"]


class Piece(BaseModel):
    """A part of a document; nothing that is not named is taken."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Identity(Piece):
    """A person, by the broker's subject."""

    subject: ShortText
    issuer: str = Field(max_length=500)


class Line(Piece):
    """A dataset that is applied for: who decides about it, and whose country may veto."""

    dataset: DatasetName
    authority: ShortText
    country: str = Field(pattern=r"^[A-Z]{2}$")


class Form(Piece):
    """What an applicant writes.

    Attributes
    ----------
    lines
        The basket: datasets of any number of nodes, none twice.
    members
        Who will work with the data, of any organisation.
    investigations, diseases, commercial, for_profit, country, months
        The purpose in DUO's terms, see `access.duo.Purpose`.
    plan
        The analysis plan, as YAML; empty where there is none yet.
    attachments
        SHA-256 of each attached file, by its name.
    copy_of
        The application that this one amends or was copied from.
    """

    title: str = Field(default="", max_length=300)
    summary: str = Field(default="", max_length=20_000)
    track: Track = "research"
    lines: tuple[Line, ...] = Field(default=(), max_length=200)
    members: tuple[Identity, ...] = Field(default=(), max_length=200)
    organisation: str = Field(default="", max_length=300)
    investigations: tuple[str, ...] = Field(default=(), max_length=20)
    diseases: tuple[str, ...] = Field(default=(), max_length=100)
    commercial: bool | None = None
    for_profit: bool | None = None
    country: str | None = Field(default=None, pattern=r"^[A-Z]{2}$")
    months: int | None = Field(default=None, ge=1, le=120)
    plan: str = Field(default="", max_length=100_000)
    attachments: dict[str, str] = Field(default_factory=dict, max_length=50)
    copy_of: str | None = Field(default=None, max_length=40)


class Happened(Piece):
    """One event: when it happened, and through whom; nobody where a clock made it happen."""

    at: AwareDatetime
    by: Identity | None = None


class Created(Happened):
    """An applicant began."""

    event: Literal["created"] = "created"
    form: Form


class Edited(Happened):
    """The form is now this one."""

    event: Literal["edited"] = "edited"
    form: Form


class SigningAsked(Happened):
    """The applicant asks the organisation's signing official to sign."""

    event: Literal["signing-asked"] = "signing-asked"


class Signed(Happened):
    """The signing official has signed: the application is submitted, and the committees' clocks run."""

    event: Literal["signed"] = "signed"


class SigningRefused(Happened):
    """The signing official does not sign."""

    event: Literal["signing-refused"] = "signing-refused"
    reason: Text


class Asked(Happened):
    """A committee asks the applicant something."""

    event: Literal["asked"] = "asked"
    text: Text


class Answered(Happened):
    """The applicant answers."""

    event: Literal["answered"] = "answered"
    text: Text


class Returned(Happened):
    """A committee gives the application back to be changed."""

    event: Literal["returned"] = "returned"
    reason: Text


class Checked(Happened):
    """A member of a committee has gone through its checklist (SOP0003): each point with yes or no."""

    event: Literal["checked"] = "checked"
    dataset: DatasetName
    points: dict[ShortText, bool] = Field(max_length=40)


class Voted(Happened):
    """A member of a committee votes; a later vote of the same member takes the earlier one's place."""

    event: Literal["voted"] = "voted"
    dataset: DatasetName
    vote: Vote
    comment: str = Field(default="", max_length=10_000)


class Proposed(Happened):
    """One person of a committee proposes the decision that its votes came to; another one has to second it."""

    event: Literal["proposed"] = "proposed"
    dataset: DatasetName
    decision: Vote
    reason: Text
    conditions: tuple[ShortText, ...] = Field(default=(), max_length=20)


class Decided(Happened):
    """A second person has seconded: the committee has decided about this dataset."""

    event: Literal["decided"] = "decided"
    dataset: DatasetName
    decision: Vote


class Delayed(Happened):
    """A committee tells the applicant that it needs longer, until when, and why."""

    event: Literal["delayed"] = "delayed"
    authority: ShortText
    until: date
    reason: Text


class Confirmed(Happened):
    """The national coordination point confirms the committee's approval; without a person: its silence did."""

    event: Literal["confirmed"] = "confirmed"
    dataset: DatasetName


class Vetoed(Happened):
    """The national coordination point vetoes, and says why; without a person: its silence did, where that is the rule."""

    event: Literal["vetoed"] = "vetoed"
    dataset: DatasetName
    reason: Text


class AgreementDrawn(Happened):
    """The agreement on datasets that were confirmed is ready to be signed; `sha256` is of its text."""

    event: Literal["agreement-drawn"] = "agreement-drawn"
    datasets: tuple[DatasetName, ...] = Field(min_length=1, max_length=200)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class AgreementSigned(Happened):
    """One side has signed the agreement."""

    event: Literal["agreement-signed"] = "agreement-signed"
    side: Literal["user", "holder"]
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Granted(Happened):
    """The deciding authority has issued the visas for a dataset, one for each member."""

    event: Literal["granted"] = "granted"
    dataset: DatasetName
    visas: tuple[ShortText, ...] = Field(min_length=1, max_length=200)
    until: AwareDatetime


class Suspended(Happened):
    """The grant of a dataset is suspended and its visas are revoked; to go on, its committee decides anew."""

    event: Literal["suspended"] = "suspended"
    dataset: DatasetName
    reason: Text


class Revoked(Happened):
    """The grant of a dataset is revoked for good."""

    event: Literal["revoked"] = "revoked"
    dataset: DatasetName
    reason: Text


class Expired(Happened):
    """The grant of a dataset has come to its end."""

    event: Literal["expired"] = "expired"
    dataset: DatasetName


class RenewalAsked(Happened):
    """The applicant asks for a dataset's grant to be renewed: the committee decides anew."""

    event: Literal["renewal-asked"] = "renewal-asked"
    dataset: DatasetName
    reason: Text


class Appealed(Happened):
    """The applicant contests a denial or a veto."""

    event: Literal["appealed"] = "appealed"
    dataset: DatasetName
    reason: Text


class AppealUpheld(Happened):
    """Somebody who had no part in the decision finds for the applicant: the committee decides anew."""

    event: Literal["appeal-upheld"] = "appeal-upheld"
    dataset: DatasetName
    reason: Text


class AppealDismissed(Happened):
    """Somebody who had no part in the decision finds that it stands."""

    event: Literal["appeal-dismissed"] = "appeal-dismissed"
    dataset: DatasetName
    reason: Text


class Withdrawn(Happened):
    """The applicant takes the application back; visas that were issued are revoked."""

    event: Literal["withdrawn"] = "withdrawn"


class Reminded(Happened):
    """A clock has reminded somebody.

    The national point of an answer that is due, a committee of one that is overdue, the people of a grant of its end: 30
    days before, and 7.
    """

    event: Literal["reminded"] = "reminded"
    what: Literal["national-answer-due", "committee-overdue", "grant-ends", "grant-ends-soon"]
    dataset: DatasetName


Event = Annotated[
    Created
    | Edited
    | SigningAsked
    | Signed
    | SigningRefused
    | Asked
    | Answered
    | Returned
    | Checked
    | Voted
    | Proposed
    | Decided
    | Delayed
    | Confirmed
    | Vetoed
    | AgreementDrawn
    | AgreementSigned
    | Granted
    | Suspended
    | Revoked
    | Expired
    | RenewalAsked
    | Appealed
    | AppealUpheld
    | AppealDismissed
    | Withdrawn
    | Reminded,
    Field(discriminator="event"),
]
EVENTS: TypeAdapter[Event] = TypeAdapter(Event)


def canonical(event: Event) -> bytes:
    """An event as it is kept, hashed and passed on: JSON in the order of its type's fields, UTF-8, without spaces."""
    return EVENTS.dump_json(event)


def read_event(content: bytes) -> Event:
    """An event from what `canonical` wrote; raises pydantic's `ValidationError` for anything else."""
    return EVENTS.validate_json(content)
