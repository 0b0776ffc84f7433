"""What an operator is shown of a server: the doctor's findings, what waits and what ends, refusals, the log, the disk.

One document serves the page, its JSON and the figures at `/metrics`; the doctor looks in a thread of its own, at most once
a minute, and only where somebody asks.
"""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Generic, Literal, NamedTuple, TypeVar

import anyio.to_thread
import structlog

from cohelix import __version__
from cohelix.access.authority import stamp
from cohelix.audit.log import AuditLog
from cohelix.audit.store import LogStore
from cohelix.audit.tally import refusals
from cohelix.audit.witnessed import Witnessed
from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import CohelixError
from cohelix.core.findings import Finding
from cohelix.web.tls import TlsChoice, certificate_end, chosen_tls
from cohelix.wire.operation import Ending, FindingLine, LogLine, Operation, ProblemLine, Refusals, Refused

T = TypeVar("T")
Examine = Callable[[Path], Sequence[Finding]]
Details = Callable[[], Mapping[str, Any]]
Problems = Callable[[], Mapping[str, int]]
LOOK_SECONDS: Final = 60.0
"""How old the doctor's look may be."""
FIGURES_SECONDS: Final = 15.0
"""How old the figures may be that Prometheus reads."""
PATIENCE_SECONDS: Final = 3.0
"""How long a page waits for a look that has begun; it shows the one before otherwise."""
_log = structlog.get_logger("cohelix.operation")


class Named(NamedTuple):
    """Which server it is."""

    service: Literal["node", "hub"]
    id: str
    name: str


class Console:
    """Reads the state of one server.

    Parameters
    ----------
    details
        What only this kind of server has: datasets, members, backlog, what ends. Read in a thread.
    examine
        The doctor's look at a folder; None where nobody gave one.
    problems
        How many requests were answered with a problem, by its slug.
    """

    def __init__(
        self,
        folder: Path,
        named: Named,
        log: AuditLog,
        details: Details,
        *,
        examine: Examine | None = None,
        problems: Problems = dict,
        clock: Clock | None = None,
    ) -> None:
        self._folder, self._named, self._audit, self._details, self._examine = folder, named, log, details, examine
        self._problems = problems
        self._clock = clock or SystemClock()
        self._since = self._text()
        self._lock = threading.Lock()
        self._look = _Kept[tuple[str, tuple[FindingLine, ...]]](LOOK_SECONDS, self._examined)
        self._counted = _Kept[Operation](FIGURES_SECONDS, self.read)

    async def state(self) -> Operation:
        """The state as it is now, with findings that are at most a minute old where the doctor is quick."""
        look = self._look.refresh() if self._examine else None
        if look is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(look)), PATIENCE_SECONDS)
        return await anyio.to_thread.run_sync(self.read)

    def figures(self) -> dict[str, float]:
        """For Prometheus: numbers of what is on the page, a quarter of a minute old; empty until they were first read."""
        if self._examine:
            self._look.refresh()
        self._counted.refresh()
        kept = self._counted.value
        if kept is None:
            return {}
        found = self._health() | {
            "cohelix_disk_free_bytes": kept.disk_free,
            "cohelix_audit_entries": kept.log.size,
            "cohelix_audit_alarms": kept.log.alarms,
        }
        for one in kept.backlog:
            found[f"cohelix_waiting_{one.what}"] = one.number
        if kept.service == "hub":
            found["cohelix_members_active"] = sum(one.state == "active" for one in kept.members)
            found["cohelix_members_silent"] = sum(one.silent for one in kept.members)
        ends = [one.days for one in kept.ending if one.what == "certificate"]
        return found | ({"cohelix_certificate_days": min(ends)} if ends else {})

    def _health(self) -> dict[str, float]:
        """What the last look found, and how old it is; nothing where nobody has looked: no finding is not good health."""
        if self._look.value is None:
            return {}
        at, findings = self._look.value
        return {
            "cohelix_faults": sum(one.level == "fault" for one in findings),
            "cohelix_warnings": sum(one.level == "warning" for one in findings),
            "cohelix_look_age_seconds": (self._clock.now() - datetime.fromisoformat(at)).total_seconds(),
        }

    def read(self) -> Operation:
        """The state now, with the findings of the last look; reads the database and the disk."""
        with self._lock:
            looked_at, findings = self._look.value or (None, ())
            usage = shutil.disk_usage(self._folder)
            store = self._audit.store()
            return Operation(
                service=self._named.service,
                id=self._named.id,
                name=self._named.name,
                version=__version__,
                at=self._text(),
                since=self._since,
                looks=self._examine is not None,
                looked_at=looked_at,
                findings=findings,
                refusals=_refusals(store),
                problems=_problem_lines(self._problems()),
                log=_log_line(store),
                disk_free=usage.free,
                disk_total=usage.total,
                **self._details(),
            )

    def _examined(self) -> tuple[str, tuple[FindingLine, ...]]:
        found = self._examine(self._folder) if self._examine else ()
        return self._text(), tuple(FindingLine.model_validate(one.document()) for one in found)

    def _text(self) -> str:
        return self._clock.now().isoformat(timespec="seconds")


class _Kept(Generic[T]):
    """A value that is read anew in a thread when somebody wants it and it is old; the old one serves meanwhile."""

    def __init__(self, seconds: float, read: Callable[[], T]) -> None:
        self.value: T | None = None
        self._seconds, self._read = seconds, read
        self._at = -float("inf")
        self._running: Future[None] | None = None
        self._lock = threading.Lock()

    def refresh(self) -> Future[None] | None:
        """Begin to read where that is due; the reading that is under way, None where the value is young."""
        with self._lock:
            if self._running is not None or time.monotonic() - self._at < self._seconds:
                return self._running
            running: Future[None] = Future()
            self._running = running
        threading.Thread(target=self._work, args=(running,), name="console", daemon=True).start()
        return running

    def _work(self, running: Future[None]) -> None:
        try:
            self.value = self._read()
        except (CohelixError, OSError):
            _log.exception("the state could not be read")
        finally:
            with self._lock:
                self._at, self._running = time.monotonic(), None
            running.set_result(None)


def ending(what: Literal["certificate", "visa"], until: float, now: float, name: str) -> Ending:
    """What ends at a time, seconds since 1970."""
    return Ending(what=what, until=stamp(int(until)), days=round((until - now) / 86_400, 2), name=name)


def certificate_ending(folder: Path, settings: TlsChoice) -> tuple[Ending, ...]:
    """When the certificate ends with which a server in this folder answers; nothing where a proxy has it."""
    tls = chosen_tls(folder, settings)
    if tls is None:
        return ()
    return (ending("certificate", certificate_end(tls).timestamp(), time.time(), tls.certificate.name),)


def _refusals(store: LogStore) -> Refusals:
    told = refusals(store)
    lines = tuple(Refused(kind=kind, reason=reason, number=n) for (kind, reason), n in told.refused.most_common())
    return Refusals(entries=told.entries, since=told.since, refused=lines)


def _problem_lines(counted: Mapping[str, int]) -> tuple[ProblemLine, ...]:
    ordered = sorted(counted.items(), key=lambda one: (-one[1], one[0]))
    return tuple(ProblemLine(slug=slug, number=number) for slug, number in ordered)


def _log_line(store: LogStore) -> LogLine:
    head = store.head()
    if head is None:
        return LogLine()
    alarms = sum(bool(held.alarm) for held in Witnessed(store).all().values())
    return LogLine(size=head.size, at=head.at, witnesses=len(store.cosignatures()), alarms=alarms)
