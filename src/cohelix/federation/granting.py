"""What a member grants for applications: it reads the events itself, and its own authorities sign, or a person lets them.

The hub shows applications (`wire.grants`); its word that one was approved counts for nothing. Granted is what the events
come to, for a dataset of this node, by the committee and the country that its holder has named (`cohelix node describe`),
by an authority whose keys lie here. What was granted ends as soon as the events say so.
"""

from __future__ import annotations

import fcntl
import json
from calendar import monthrange
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol

import anyio.to_thread
import structlog
from pydantic import ValidationError

from cohelix.access.applications import Application, Rules
from cohelix.access.approval import Approval, approval_of, replayed
from cohelix.access.authority import GRANT_DAYS_MAX, Authority, all_authorities
from cohelix.access.committee_conditions import enforced
from cohelix.access.grants import Grant, Grants
from cohelix.access.statements import check_signed
from cohelix.audit.events import Event as AuditEvent
from cohelix.audit.events import Person, VisaGranted, VisaRevoked
from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import BadUsage, CohelixError, Conflict, Damaged, NotFound
from cohelix.core.ids import dataset_id
from cohelix.core.private_files import replace_private
from cohelix.federation.door import Answering, json_answering
from cohelix.wire.applications import EVENTS, Event
from cohelix.wire.grants import ApplicationShown, AskGrants, GrantState, GrantsTold, GrantTold
from cohelix.wire.history import links

_FOLDER: Final = "applications"
_LOCK_FILE: Final = ".lock"
_log = structlog.get_logger("cohelix.federation")
Note = Callable[[AuditEvent], None]


@dataclass(frozen=True, slots=True)
class _Due:
    """A dataset that is to be granted, and by whom."""

    approval: Approval
    authority: Authority
    until: datetime


@dataclass(frozen=True, slots=True)
class _Read:
    """An application that was shown, as it was read."""

    shown: ApplicationShown
    events: Sequence[Event]
    state: Application
    chain: Sequence[str]


class Data(Protocol):
    """Datasets that a server's authorities may grant."""

    def ours(self, dataset: str, authority: str) -> bool:
        """Whether a line of an application is for this server to answer."""

    def said(self, dataset: str) -> tuple[str | None, str | None] | None:
        """The committee and the country that the dataset's holder has named; None: nobody was asked."""


@dataclass(frozen=True, slots=True)
class NodeData:
    """A node's own datasets, about which `cohelix node describe` says who decides."""

    folder: Path
    node: str
    country: str

    def ours(self, dataset: str, _authority: str) -> bool:
        """Whether it is one of this node's."""
        return dataset.partition(":")[0] == self.node

    def said(self, dataset: str) -> tuple[str | None, str | None] | None:
        """As described; a dataset that names no country is of the node's."""
        from cohelix.bank.description import description_of  # a hub, which grants too, holds no bank

        try:
            found = description_of(self.folder, dataset_id(dataset.partition(":")[2]))
        except BadUsage as error:
            raise NotFound(f"there is no dataset {dataset}") from error
        return found.authority, found.country or self.country


class Granting:
    """The grants of a server's authorities for applications. Safe for several threads, and for commands beside a server.

    Parameters
    ----------
    data
        About which it may grant.
    hub_url
        The federation's address, which visas name; empty while the node has joined none.
    note
        Writes down what is granted, before it is, and what was revoked.
    rules
        The federation's, as this node's operator knows them: `[applications]` of its settings.
    """

    def __init__(
        self,
        folder: Path,
        data: Data,
        *,
        grants: Callable[[], Grants],
        hub_url: Callable[[], str],
        note: Note,
        rules: Callable[[], Rules] = Rules,
        clock: Clock | None = None,
    ) -> None:
        self._folder, self._data = folder, data
        self._grants, self._hub_url, self._note = grants, hub_url, note
        self._rules, self._clock = rules, clock or SystemClock()

    def take(self, shown: ApplicationShown, *, by_hand: bool = False) -> list[GrantTold]:
        """Grant and end what an application's events say; one line for each dataset of this node.

        Parameters
        ----------
        by_hand
            A person has asked for it: authorities that wait for one grant, too.
        """
        with self._alone():
            told = list(self._lines(shown, by_hand=by_hand, act=True))
            self._keep(shown, told)
        return told

    def look(self, shown: ApplicationShown) -> list[GrantTold]:
        """What `take` would do; nothing is done."""
        return list(self._lines(shown, by_hand=False, act=False))

    def pending(self) -> list[ApplicationShown]:
        """Applications that the hub showed and that wait for something; raises `Damaged` where one cannot be read."""
        found = []
        for path in sorted((self._folder / _FOLDER).glob("A-*.json")):
            try:
                found.append(ApplicationShown.model_validate_json(path.read_bytes()))
            except (OSError, ValidationError) as error:
                raise Damaged(f"{path} cannot be read as an application", path=str(path)) from error
        return found

    def _lines(self, shown: ApplicationShown, *, by_hand: bool, act: bool) -> Iterator[GrantTold]:
        now = self._clock.now()
        try:
            chain = self._goes_on(shown)
            events = [EVENTS.validate_python(event) for event in shown.events]
            state = replayed(events, rules=self._rules(), now=now)
        except (ValidationError, CohelixError) as error:
            why = error.detail if isinstance(error, CohelixError) else "an event is none"
            _log.warning("an application is not what it says", application=shown.id, why=why[:300])
            for dataset in _named(shown, self._data):
                yield GrantTold(application=shown.id, dataset=dataset, state="refused", why=why[:500])
            return
        if act:
            self._grants().keep_head(shown.id, len(events), chain[-1])
        read = _Read(shown, events, state, chain)
        for dataset in [line.dataset for line in state.form.lines if self._data.ours(line.dataset, line.authority)]:
            yield self._line(read, dataset, by_hand=by_hand, act=act)

    def _goes_on(self, shown: ApplicationShown) -> list[str]:
        """The links of a history, which begins with all that was shown of it before; raises `Conflict`."""
        chain = links(shown.id, shown.events)
        seen = self._grants().head(shown.id)
        if seen is not None and chain[seen[0] : seen[0] + 1] != [seen[1]]:
            raise Conflict(f"its first {seen[0]} events are not those that were shown before")
        return chain

    def _line(self, read: _Read, dataset: str, *, by_hand: bool, act: bool) -> GrantTold:
        now, application = self._clock.now(), read.shown.id
        approval = approval_of(read.events, read.state, dataset)
        given = [one for one in self._grants().of_application(application) if one.dataset == dataset]
        if act:
            self._end([one for one in given if (approval is None or one.episode != approval.episode) and _holds(one, now)])
        if approval is None:
            return _told(application, dataset, "ended")
        mine = [one for one in given if one.episode == approval.episode]
        if any(one.revoked_at is not None for one in mine):
            return _told(application, dataset, "ended", why="the authority has revoked it")
        has = {(one.subject, one.subject_issuer) for one in mine}
        if not all((one.subject, one.issuer) in has for one in approval.people):
            try:
                due = self._due(approval, now)
                check_signed(
                    application,
                    read.shown.events,
                    read.events,
                    read.shown.statements,
                    dataset=dataset,
                    confirmed=approval.episode,
                    signers=due.authority.signers,
                )
            except CohelixError as error:
                return _told(application, dataset, "refused", why=error.detail[:500])
            if not act or (due.authority.by_hand and not by_hand):
                who = "a person" if due.authority.by_hand else "the server"
                why = f"{who} issues the visas of {due.authority.id}, until {due.until:%Y-%m-%d}"
                return _told(application, dataset, "waits", why=why)
            mine += self._grant(read, due, mine)
        return _told(application, dataset, "granted", visas=[one.identifier for one in mine], until=mine[0].until)

    def _grant(self, read: _Read, due: _Due, before: Sequence[Grant]) -> list[Grant]:
        """Sign what is missing: a visa for each person, and none twice."""
        history = f"{len(read.events)}:{read.chain[-1]}"
        has = {(one.subject, one.subject_issuer) for one in before}
        dataset, now = due.approval.line.dataset, self._clock.now()
        found = []
        for person in due.approval.people:
            if (person.subject, person.issuer) in has:
                continue
            grant = self._grants().grant(
                due.authority,
                hub_url=self._hub_url(),
                dataset=dataset,
                subject=person.subject,
                subject_issuer=person.issuer,
                until=datetime.fromtimestamp(before[0].until, now.tzinfo) if before else due.until,
                conditions=enforced(due.approval.conditions).clauses,
                application=read.shown.id,
                episode=due.approval.episode,
                history=history,
                first=lambda one: self._write_down(one, history),
            )
            found.append(grant)
        return found

    def _write_down(self, grant: Grant, history: str) -> None:
        whose = Person(grant.subject, grant.subject_issuer)
        until = str(grant.document(self._clock.now())["until"])
        self._note(
            VisaGranted(grant.identifier, grant.authority, grant.dataset, whose, until, grant.application or "", history)
        )

    def _due(self, approval: Approval, now: datetime) -> _Due:
        """By whom an approval is granted, and until when; raises what speaks against it."""
        line = approval.line
        committee, country = self._data.said(line.dataset) or (line.authority, line.country)
        if committee != line.authority:
            named = committee or "nobody"
            raise Conflict(f"{named} decides about {line.dataset}, and not {line.authority}: see `cohelix node describe`")
        if country != line.country:
            raise Conflict(f"{country} may veto for {line.dataset}, and not {line.country}")
        authority = next((one for one in all_authorities(self._folder) if one.id == line.authority), None)
        if authority is None or not authority.decides(line.dataset):
            raise Conflict(f"the keys of {line.authority} that decides about {line.dataset} are not here")
        if not self._hub_url():
            raise Conflict("this node has joined no federation")
        # A visa lasts for a year at most; a project that goes on asks for a renewal.
        until = min(_months_after(approval.since, approval.months), now + timedelta(days=GRANT_DAYS_MAX - 1))
        ends = enforced(approval.conditions).until
        until = until if ends is None else min(until, ends)
        if until <= now:
            raise Conflict("the time for which the data were asked for, or to which the committee has limited it, has passed")
        return _Due(approval, authority, until)

    def _end(self, over: Sequence[Grant]) -> None:
        """Revoke, and write it down after: a log that is full keeps nobody's visa alive."""
        reasons = [f"application {grant.application} no longer grants it" for grant in over]
        for grant, reason in zip(over, reasons, strict=True):
            self._grants().revoke(grant.identifier, reason)
        for grant, reason in zip(over, reasons, strict=True):
            self._note(VisaRevoked(visa=grant.identifier, authority=grant.authority, reason=reason))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One at a time, the server or a command: two that look at once would both find a visa missing."""
        place = self._folder / _FOLDER
        place.mkdir(mode=0o700, exist_ok=True)
        with (place / _LOCK_FILE).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _keep(self, shown: ApplicationShown, told: Sequence[GrantTold]) -> None:
        """Keep what waits, for `cohelix dac pending` and `issue`; an application that is done with is forgotten."""
        path = self._folder / _FOLDER / f"{shown.id}.json"
        if any(one.state in ("waits", "refused") for one in told):
            replace_private(path, shown.model_dump_json().encode())
        else:
            path.unlink(missing_ok=True)


def granting_door(granting: Granting, granted: Callable[[], None]) -> Answering:
    """What answers the hub's question; `granted` is called where visas wait to be handed in."""

    async def answer(question: AskGrants) -> GrantsTold:
        lines: list[GrantTold] = []
        for shown in question.applications:
            lines += await anyio.to_thread.run_sync(granting.take, shown)
        if any(one.state == "granted" for one in lines):
            granted()
        return GrantsTold(lines=tuple(lines))

    return json_answering(AskGrants, answer)


def _told(application: str, dataset: str, state: GrantState, **more: Any) -> GrantTold:
    return GrantTold(application=application, dataset=dataset, state=state, **more)


def _holds(grant: Grant, now: datetime) -> bool:
    return grant.revoked_at is None and grant.until > now.timestamp()


def _named(shown: ApplicationShown, data: Data) -> list[str]:
    """The server's datasets in the last form of an application that could not be read otherwise."""
    found: dict[str, None] = {}
    for event in shown.events:
        form = event.get("form")
        lines = form.get("lines") if isinstance(form, dict) else None
        for line in lines if isinstance(lines, list) else ():
            name, authority = (line.get("dataset"), line.get("authority")) if isinstance(line, dict) else (None, None)
            if isinstance(name, str) and isinstance(authority, str) and len(name) < 200 and data.ours(name, authority):
                found[name] = None
    return list(found)


def _months_after(start: datetime, months: int | None) -> datetime:
    """The same day so many months later, or the last of that month; a year later where nothing is said."""
    if months is None:
        return start + timedelta(days=GRANT_DAYS_MAX - 1)
    count = start.month - 1 + months
    year, month = start.year + count // 12, count % 12 + 1
    return start.replace(year=year, month=month, day=min(start.day, monthrange(year, month)[1]))


def kept_lines(granting: Granting) -> list[dict[str, object]]:
    """What waits at this node, as commands print it."""
    return [json.loads(line.model_dump_json()) for shown in granting.pending() for line in granting.look(shown)]
