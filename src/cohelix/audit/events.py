"""The closed list of what is written down: event tags `subject:action`, each a frozen class with typed fields.

An event names people as `Person` and secrets as `Keyed`: the log writes a person's pseudonym and a keyed hash. Nothing
else of an entry may tell a variant, an individual or a count. `docs/concepts/audit.md` has a paragraph for each tag.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import ClassVar, Final, Literal, NewType

Keyed = NewType("Keyed", str)
"""A keyed hash by the log's own key (`AuditLog.keyed`): equal names are seen to be equal, the name is not told."""

Tier = Literal["public", "registered", "controlled", "operator", "project"]
Outcome = Literal["answered", "refused"]

# Sizes of answers, told so that a copy of a whole dataset stands out while no small count does.
SIZE_CLASSES: Final = ("none", "1-9", "10-99", "100-999", "1000-9999", "10000+")
SizeClass = Literal["none", "1-9", "10-99", "100-999", "1000-9999", "10000+", "withheld"]


def size_class(items: int) -> SizeClass:
    """The class of an answer of so many items (variants, records, rows); of a count of people say `withheld`."""
    return SIZE_CLASSES[min(len(str(items)), 5) if items > 0 else 0]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody as a broker names them; an operator at the machine has the issuer `os`.

    The log writes a pseudonym of its own in place of both, and keeps who it is in a table apart.
    """

    subject: str
    issuer: str


@dataclass(frozen=True, slots=True)
class Decided:
    """What one dataset was decided to tell.

    Attributes
    ----------
    dataset
        Its federation id, `NODE:DATASET`.
    outcome, tier, reason
        The decision; `reason` is the slug of a refusal, empty for an answer.
    granularity
        boolean, count, aggregated, record, or empty.
    visas
        Identifiers of the visas that it rests on.
    size
        How large the answer was.
    """

    dataset: str
    outcome: Outcome
    tier: Tier
    reason: str = ""
    granularity: str = ""
    visas: tuple[str, ...] = ()
    size: SizeClass = "withheld"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened; `by` in `AuditLog.record` says who did it."""

    tag: ClassVar[str]


@dataclass(frozen=True, slots=True)
class LogOpened(Event):
    """The log's first entry: whose it is, and the key that signs its checkpoints."""

    tag = "log:opened"
    origin: str
    key: str
    version: str


@dataclass(frozen=True, slots=True)
class LogLost(Event):
    """Entries of public answers that a crash took before they were written; `exact` is false after a power cut."""

    tag = "log:lost"
    entries: int
    cause: Literal["crash", "overflow"]
    exact: bool


@dataclass(frozen=True, slots=True)
class ServerStarted(Event):
    """A process of the server began to answer."""

    tag = "server:started"
    version: str


@dataclass(frozen=True, slots=True)
class LogRead(Event):
    """Somebody read entries of this log: which part, and how many."""

    tag = "log:read"
    first: int
    entries: int


@dataclass(frozen=True, slots=True)
class LogExported(Event):
    """The operator exported entries, or made an incident report of them."""

    tag = "log:exported"
    kind: Literal["entries", "incident"]
    since: str
    until: str
    entries: int


@dataclass(frozen=True, slots=True)
class KeyRotated(Event):
    """The server's signing key gave way to another.

    Attributes
    ----------
    owner
        The log's origin, `node/FI` or `hub`; another name for a key that signs no checkpoints, as an authority's.
    old, new
        Public keys, base64url.
    document
        The succession as it was signed, without its signatures (canonical JSON, `federation/successions.py`).
    signature
        The old key's signature of it.
    """

    tag = "key:rotated"
    owner: str
    old: str
    new: str
    document: str = ""
    signature: str = ""


@dataclass(frozen=True, slots=True)
class PersonUnlinked(Event):
    """A request for erasure: from now on nobody can tell whose this pseudonym was."""

    tag = "person:unlinked"
    pseudonym: str


@dataclass(frozen=True, slots=True)
class CheckpointPinned(Event):
    """The first checkpoint that was seen of another member's log, and its key."""

    tag = "checkpoint:pinned"
    origin: str
    key: str
    size: int


@dataclass(frozen=True, slots=True)
class CheckpointAlarm(Event):
    """A checkpoint of another member does not continue what was seen before: its history was rewritten, or forked."""

    tag = "checkpoint:alarm"
    origin: str
    reason: str
    held_size: int
    shown_size: int


@dataclass(frozen=True, slots=True)
class CheckpointSettled(Event):
    """An operator has looked at an alarm about another log: what was held of it is let go, and why; the next is a first one."""

    tag = "checkpoint:settled"
    origin: str
    held_size: int
    held_root: str
    alarm: str
    reason: str


@dataclass(frozen=True, slots=True)
class QuestionAnswered(Event):
    """A question for data, with the decision of each dataset that it asked.

    Attributes
    ----------
    kind
        frequency, region, gene, beacon, cohort-count, records, analysis.
    way
        `direct`, or `hub` where the hub asked on somebody's behalf.
    purpose
        As stated with the question, empty where none was.
    asked
        Keyed hash of what was asked for: the variant, region or filters.
    datasets
        What each was decided to tell.
    """

    tag = "question:answered"
    kind: str
    way: Literal["direct", "hub"]
    asked: Keyed
    purpose: str = ""
    datasets: tuple[Decided, ...] = ()


@dataclass(frozen=True, slots=True)
class QuestionRefused(Event):
    """A question that was refused before any dataset was asked: a bad token, a spent budget, an unknown purpose."""

    tag = "question:refused"
    kind: str
    way: Literal["direct", "hub"]
    reason: str
    purpose: str = ""
    asked: Keyed = field(default=Keyed(""))


@dataclass(frozen=True, slots=True)
class LoginDone(Event):
    """Somebody logged in."""

    tag = "login:done"
    issuer: str
    way: Literal["browser", "device"]


@dataclass(frozen=True, slots=True)
class LoginRefused(Event):
    """A login that failed, and why; nobody is named, since nobody was verified."""

    tag = "login:refused"
    issuer: str
    reason: str


@dataclass(frozen=True, slots=True)
class LogoutDone(Event):
    """Somebody ended a session."""

    tag = "logout:done"


@dataclass(frozen=True, slots=True)
class TermsAccepted(Event):
    """Somebody accepted the terms of registered access."""

    tag = "terms:accepted"
    document: str


@dataclass(frozen=True, slots=True)
class PassportIssued(Event):
    """The broker gave out a passport for one audience, with so many visas."""

    tag = "passport:issued"
    audience: str
    visas: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PassportRefused(Event):
    """A token, passport or proof was refused at the door."""

    tag = "passport:refused"
    reason: str


@dataclass(frozen=True, slots=True)
class AccountChanged(Event):
    """An account of the embedded broker was made, changed or closed."""

    tag = "account:changed"
    whose: Person
    change: str


@dataclass(frozen=True, slots=True)
class RoleChanged(Event):
    """A person was given a role, or lost it."""

    tag = "role:changed"
    whose: Person
    role: str
    given: bool


@dataclass(frozen=True, slots=True)
class AuthorityMade(Event):
    """A folder of a deciding authority was made, with its key."""

    tag = "authority:made"
    authority: str
    key: str


@dataclass(frozen=True, slots=True)
class VisaGranted(Event):
    """An authority granted access to a dataset."""

    tag = "visa:granted"
    visa: str
    authority: str
    dataset: str
    whose: Person
    until: str
    application: str = ""  # that it was granted for; empty where a committee granted it by command
    history: str = ""  # of the application, that the authority has read: number of its last event, colon, its link


@dataclass(frozen=True, slots=True)
class VisaReceived(Event):
    """The hub took in a visa that an authority signed."""

    tag = "visa:received"
    visa: str
    authority: str
    dataset: str
    whose: Person


@dataclass(frozen=True, slots=True)
class VisaRevoked(Event):
    """An authority revoked a visa."""

    tag = "visa:revoked"
    visa: str
    authority: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ConsentChanged(Event):
    """An individual's consent changed at the node; which individual is told by a keyed hash only."""

    tag = "consent:changed"
    individual: Keyed
    scopes: tuple[str, ...]
    given: bool


@dataclass(frozen=True, slots=True)
class CitizenInvited(Event):
    """The operator made a code with which an individual can sign in once, to see and change its own consent."""

    tag = "citizen:invited"
    individual: Keyed


@dataclass(frozen=True, slots=True)
class BudgetSpent(Event):
    """A person was refused, since what a dataset has told them has reached the bound."""

    tag = "budget:spent"
    dataset: str
    tier: Tier


@dataclass(frozen=True, slots=True)
class ReleasePublished(Event):
    """A dataset has a new public release; its cause, never who left or came."""

    tag = "release:published"
    dataset: str
    version: str
    release: int
    cause: str


@dataclass(frozen=True, slots=True)
class DatasetLoaded(Event):
    """A version of a dataset was loaded."""

    tag = "dataset:loaded"
    dataset: str
    version: str
    disclosure: str


@dataclass(frozen=True, slots=True)
class DatasetChanged(Event):
    """A dataset was published, hidden, shown, retired, deleted, restored, or given another disclosure."""

    tag = "dataset:changed"
    dataset: str
    version: str
    change: str


@dataclass(frozen=True, slots=True)
class DatasetExported(Event):
    """The operator took data out: genotypes of a region, counts, packets, a backup; to a file on the machine."""

    tag = "dataset:exported"
    dataset: str
    what: str
    size: SizeClass = "withheld"


@dataclass(frozen=True, slots=True)
class ProjectChanged(Event):
    """The data holder allowed a project to analyse data that are not open, or forbade it."""

    tag = "project:changed"
    project: str
    allowed: bool


@dataclass(frozen=True, slots=True)
class PeerChanged(Event):
    """A member was put on the node's own list of peers, changed there, or taken off."""

    tag = "peer:changed"
    member: str
    key: str
    aggregator: bool
    listed: bool


@dataclass(frozen=True, slots=True)
class DatasetDescribed(Event):
    """The holder said something of a dataset in the catalogue: which fields."""

    tag = "dataset:described"
    dataset: str
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SettingChanged(Event):
    """A setting that bears on access or disclosure was changed; secrets are never written."""

    tag = "setting:changed"
    setting: str
    value: str


@dataclass(frozen=True, slots=True)
class MemberChanged(Event):
    """A member was invited, joined, suspended or let back."""

    tag = "member:changed"
    member: str
    change: str


@dataclass(frozen=True, slots=True)
class ApplicationChanged(Event):
    """Something happened to an application for data; what was written in it stays there."""

    tag = "application:changed"
    application: str
    what: str
    dataset: str = ""


@dataclass(frozen=True, slots=True)
class RunProposed(Event):
    """An analysis was proposed at the hub."""

    tag = "run:proposed"
    run: str
    project: str
    plan: str
    datasets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunAccepted(Event):
    """The node takes part in an analysis, with these datasets."""

    tag = "run:accepted"
    run: str
    project: str
    plan: str
    datasets: tuple[Decided, ...] = ()


@dataclass(frozen=True, slots=True)
class RunRefused(Event):
    """The node does not take part in an analysis, or leaves it."""

    tag = "run:refused"
    run: str
    project: str
    reason: str
    datasets: tuple[Decided, ...] = ()


@dataclass(frozen=True, slots=True)
class RunReviewed(Event):
    """A reviewer decided about the result of an analysis that was held."""

    tag = "run:reviewed"
    run: str
    decision: Literal["release", "reject"]


@dataclass(frozen=True, slots=True)
class RunReleased(Event):
    """The result of an analysis was released: the hash of its plan."""

    tag = "run:released"
    run: str
    plan: str


@dataclass(frozen=True, slots=True)
class RunEnded(Event):
    """An analysis ended without a release: cancelled, rejected, failed."""

    tag = "run:ended"
    run: str
    state: str


EVENTS: Final[dict[str, type[Event]]] = {
    kind.tag: kind
    for kind in list(globals().values())
    if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
}
"""Every event by its tag: nothing else is written."""


def field_names(kind: type[Event]) -> tuple[str, ...]:
    """The names of an event's fields, in order."""
    return tuple(one.name for one in fields(kind))
