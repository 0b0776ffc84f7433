"""How a server is, for its operator: nothing in it is about a person or about what somebody asked."""

from __future__ import annotations

from typing import Literal

from cohelix.core.findings import Level
from cohelix.wire.frequency import Wire

Verdict = Literal["accept", "accept with exclusions", "refuse", "not assessed"]


class FindingLine(Wire):
    """What the doctor found; `slug` is explained in its guide."""

    slug: str
    level: Level
    says: str
    mend: str = ""


class DatasetLine(Wire):
    """A dataset of a node.

    `state` is published, hidden, retired or damaged, with its `reason`; `people` are all who are in it, `waiting` those who
    came or left since its release and are not told yet. `quality` is the verdict of the load, with `reasons`.
    """

    id: str
    title: str = ""
    state: str
    version: int | None = None
    release: int | None = None
    disclosure: str = ""
    people: int | None = None
    waiting: int | None = None
    variants: int | None = None
    bytes: int | None = None
    quality: Verdict = "not assessed"
    reasons: tuple[str, ...] = ()
    reason: str = ""


class MemberLine(Wire):
    """A member of a hub; `last_seen` is RFC 3339, None where it has never answered; a `silent` one should have answered."""

    id: str
    name: str
    state: str
    dials_out: bool = False
    last_seen: str | None = None
    silent: bool = False


class Waiting(Wire):
    """A line in which something waits: how many, and how many of them are overdue or were given up."""

    what: str
    number: int
    overdue: int = 0


class Ending(Wire):
    """What holds for a limited time: the certificate, or visas for a dataset; `until` is RFC 3339, `days` are from now."""

    what: Literal["certificate", "visa"]
    until: str
    days: float
    name: str = ""


class Refused(Wire):
    """How often questions were refused for a reason, among the newest entries of the audit log."""

    kind: str
    reason: str
    number: int


class Refusals(Wire):
    """Refusals among the newest `entries` entries of the audit log, which go back to `since`."""

    entries: int = 0
    since: str | None = None
    refused: tuple[Refused, ...] = ()


class ProblemLine(Wire):
    """How many requests were answered with a problem since the server began; `overloaded` are those that were sent away."""

    slug: str
    number: int


class LogLine(Wire):
    """The audit log: its entries, when its newest checkpoint was signed, and how many others witness it."""

    size: int = 0
    at: str = ""
    witnesses: int = 0
    alarms: int = 0


class Operation(Wire):
    """The state of a server at a moment.

    `looks` is whether the doctor looks at all; `looked_at` when it did last, None where no look has ended yet.
    """

    service: Literal["node", "hub"]
    id: str
    name: str
    version: str
    at: str
    since: str
    looks: bool = True
    looked_at: str | None = None
    findings: tuple[FindingLine, ...] = ()
    datasets: tuple[DatasetLine, ...] = ()
    members: tuple[MemberLine, ...] = ()
    backlog: tuple[Waiting, ...] = ()
    ending: tuple[Ending, ...] = ()
    refusals: Refusals = Refusals()
    problems: tuple[ProblemLine, ...] = ()
    log: LogLine = LogLine()
    disk_free: int = 0
    disk_total: int = 0
