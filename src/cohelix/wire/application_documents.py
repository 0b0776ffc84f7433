"""Applications as the hub tells them to people, and the catalogue with the matcher's advice; requests are events."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from cohelix.wire.applications import Form, Identity
from cohelix.wire.dataset import DatasetRecord
from cohelix.wire.frequency import Wire

AdviceWord = Literal["approve", "review", "deny"]


class LineDocument(Wire):
    """One dataset of an application; `votes` and `proposed` are told to those who decide. Times are RFC 3339.

    `running`: until when the grant before holds, while its renewal is decided about or after that was denied.
    """

    dataset: str
    authority: str
    country: str
    stage: str
    since: str | None = None
    votes: tuple[str, ...] = ()
    proposed: str | None = None
    conditions: tuple[str, ...] = ()
    agreement: str | None = None
    visas: tuple[str, ...] = ()
    until: str | None = None
    running: str | None = None


class AgreementDocument(Wire):
    """An agreement by the hash of its text; `signed` names the sides that have signed: user, holder."""

    sha256: str
    datasets: tuple[str, ...]
    signed: tuple[str, ...] = ()


class ClockDocument(Wire):
    """A clock that runs: when it ends, and the event that it then makes."""

    at: str
    event: str
    dataset: str | None = None


class ApplicationDocument(Wire):
    """An application as whoever asks may read it; `head` stands for its id and all its events (`wire.history`)."""

    id: str
    applicant: Identity
    stage: str
    version: int
    head: str = ""
    unanswered: int = 0
    form: Form
    lines: tuple[LineDocument, ...] = ()
    agreements: tuple[AgreementDocument, ...] = ()
    clocks: tuple[ClockDocument, ...] = ()


class ApplicationLineDocument(Wire):
    """An application in a list; `due_at` is when its first clock ends."""

    id: str
    title: str
    applicant: Identity
    stage: str
    version: int
    changed_at: str
    due_at: str | None = None


class ApplicationsDocument(Wire):
    """Applications that somebody may read, the last changed first."""

    applications: tuple[ApplicationLineDocument, ...]


class EventsDocument(Wire):
    """What happened to an application, in order, as `wire.applications` writes events."""

    events: tuple[dict[str, Any], ...]


class PurposeAsked(Wire):
    """What somebody wants to do, in DUO's terms, see `access.duo.Purpose`; no `datasets`: all of the catalogue."""

    investigations: tuple[str, ...] = Field(default=(), max_length=20)
    diseases: tuple[str, ...] = Field(default=(), max_length=100)
    commercial: bool | None = None
    for_profit: bool | None = None
    country: str | None = Field(default=None, pattern=r"^[A-Z]{2}$")
    months: int | None = Field(default=None, ge=1, le=120)
    datasets: tuple[str, ...] = Field(default=(), max_length=1000)


class FindingDocument(Wire):
    """What one data-use clause comes to, and why."""

    clause: str
    advice: AdviceWord
    reason: str


class CatalogueLine(Wire):
    """A dataset of the catalogue; `advice` and its `findings` are there where a purpose was stated.

    Nobody can apply for one without `authority` and `country` in its record.
    """

    record: DatasetRecord
    uses: tuple[str, ...] = ()
    advice: AdviceWord | None = None
    findings: tuple[FindingDocument, ...] = ()


class CatalogueDocument(Wire):
    """The datasets that members tell of, by id."""

    datasets: tuple[CatalogueLine, ...]
