"""Kills a process that takes applications through their loop, and holds its acknowledgements against what is kept."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from cohelix.access.actor import Role
from cohelix.access.application_store import ApplicationStore
from cohelix.access.applications import Acting, Rules, evolve, replay
from cohelix.access.notify import Duty, notices_of
from cohelix.access.outbox import Outbox
from cohelix.access.roles import Roles
from cohelix.db import open_database, upgrade
from cohelix.db.tables import APPLICATION_EVENTS, NOTICES
from cohelix.wire.applications import Identity, read_event

DATASET = "FI:a"
FORM = {
    "title": "Rare variants",
    "summary": "We ask why.",
    "organisation": "institute",
    "investigations": ["genetic"],
    "lines": [{"dataset": DATASET, "authority": "FI-dac", "country": "FI"}],
}
_SUM = "0" * 64


def _acting(name: str, role: Role, **scope: Any) -> Acting:
    return Acting(Identity(subject=name, issuer="https://hub/broker"), frozenset({role}), **scope)


APPLICANT = _acting("applicant", Role.RESEARCHER)
OFFICIAL = _acting("official", Role.SIGNING_OFFICIAL, organisation="institute")
FIRST, SECOND = (_acting(name, Role.DAC_MEMBER, authorities=frozenset({"FI-dac"})) for name in ("first", "second"))
NATIONAL = _acting("national", Role.NATIONAL_COORDINATION_POINT, country="FI")
HOLDER = _acting("holder", Role.DATA_HOLDER, nodes=frozenset({"FI"}))
STEPS: tuple[tuple[Acting, dict[str, Any]], ...] = (
    (APPLICANT, {"event": "edited", "form": FORM}),
    (APPLICANT, {"event": "signing-asked"}),
    (OFFICIAL, {"event": "signed"}),
    (FIRST, {"event": "asked", "text": "Where?"}),
    (APPLICANT, {"event": "answered", "text": "Here."}),
    (FIRST, {"event": "checked", "dataset": DATASET, "points": {"ethics": True}}),
    (FIRST, {"event": "voted", "dataset": DATASET, "vote": "approve"}),
    (SECOND, {"event": "voted", "dataset": DATASET, "vote": "approve"}),
    (FIRST, {"event": "proposed", "dataset": DATASET, "decision": "approve", "reason": "Sound."}),
    (SECOND, {"event": "decided", "dataset": DATASET, "decision": "approve"}),
    (NATIONAL, {"event": "confirmed", "dataset": DATASET}),
    (HOLDER, {"event": "agreement-drawn", "datasets": [DATASET], "sha256": _SUM}),
    (OFFICIAL, {"event": "agreement-signed", "side": "user", "sha256": _SUM}),
    (HOLDER, {"event": "agreement-signed", "side": "holder", "sha256": _SUM}),
)


_DUTIES = (
    (OFFICIAL, Role.SIGNING_OFFICIAL, "institute"),
    (FIRST, Role.DAC_MEMBER, "FI-dac"),
    (SECOND, Role.DAC_MEMBER, "FI-dac"),
    (NATIONAL, Role.NATIONAL_COORDINATION_POINT, "FI"),
    (HOLDER, Role.DATA_HOLDER, "FI"),
)


@dataclass(frozen=True, slots=True)
class Killed:
    """One kill: steps acknowledged before it, and kept after it; whether events and notices are what they should be."""

    acknowledged: int
    kept: int
    good: bool
    notices: bool


def run(where: str | Path, times: int, seed: int) -> list[Killed]:
    """Kill as many times; after each one the same requests are sent again, as a client does that heard nothing.

    Parameters
    ----------
    where
        The database, empty: a file's path, or the address of a PostgreSQL.
    """
    engine = open_database(where)
    upgrade(engine)
    for acting, role, what in _DUTIES:
        Roles(engine).grant_for(role, what, acting.who.subject, acting.who.issuer)
    engine.dispose()
    rng = random.Random(seed)
    return [_one(where, f"kill-{number}", rng.uniform(0, 0.1)) for number in range(times)]


def _one(path: str | Path, name: str, seconds: float) -> Killed:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            _through(path, name, lambda: os.write(writing, b"."))
            signal.pause()
        finally:
            os._exit(1)
    os.close(writing)
    os.read(reading, 1)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as pipe:
        acknowledged = len(pipe.read())
    requests = _requests(path, name)
    wanted = [name, *(f"step-{number}" for number in range(len(STEPS)))]
    before = requests == wanted[: len(requests)] and acknowledged <= len(requests) <= acknowledged + 1
    told = _told_right(path, name)
    identifier = _through(path, name, lambda: 0)
    engine = open_database(path)
    state = replay(ApplicationStore(engine).events(identifier))
    engine.dispose()
    after = _requests(path, name) == wanted and state.version == len(wanted)
    good = before and after and state.lines[DATASET].stage == "confirmed"
    return Killed(acknowledged, len(requests), good, told and _told_right(path, name))


def _through(path: str | Path, name: str, done: Callable[[], object]) -> str:
    """Take one application through its loop, every request with its own name; gives its id."""
    engine = open_database(path)
    store = ApplicationStore(engine, outbox=Outbox(engine, mailing=True))
    with engine.connect():
        done()  # ready: from here on it is killed
    identifier, _ = store.create(APPLICANT, {}, request=name)
    done()
    for number, (acting, wanted) in enumerate(STEPS):
        store.add(identifier, acting, dict(wanted), request=f"step-{number}")
        done()
    engine.dispose()
    return identifier


def _told_right(path: str | Path, name: str) -> bool:
    """Whether the notices that are kept are those of the events that are kept: none is missing, none is there twice."""
    engine = open_database(path)
    of = sa.select(APPLICATION_EVENTS.c.application).where(APPLICATION_EVENTS.c.request == name).scalar_subquery()
    content = sa.select(APPLICATION_EVENTS.c.content).where(APPLICATION_EVENTS.c.application == of)
    rows = sa.select(NOTICES.c.number, NOTICES.c.subject, NOTICES.c.matter).where(NOTICES.c.application == of)
    with engine.connect() as connection:
        events = [read_event(one) for one in connection.scalars(content.order_by(APPLICATION_EVENTS.c.number))]
        kept = sorted(tuple(row) for row in connection.execute(rows))
    engine.dispose()
    wanted, state = list[tuple[Any, ...]](), None
    for number, event in enumerate(events, 1):
        before, state = state, evolve(state, event)
        told = dict[str, str]()
        for notice in notices_of(before, state, event, Rules()):
            for subject in _readers(notice.to):
                if event.by is None or subject != event.by.subject:
                    told.setdefault(subject, notice.matter.value)
        wanted += [(number, subject, matter) for subject, matter in told.items()]
    return kept == sorted(wanted)


def _readers(to: Identity | Duty) -> list[str]:
    if isinstance(to, Identity):
        return [to.subject]
    return [acting.who.subject for acting, role, what in _DUTIES if role in to.roles and to.what == what]


def _requests(path: str | Path, name: str) -> list[str]:
    """The requests kept for an application, in order."""
    engine = open_database(path)
    of = sa.select(APPLICATION_EVENTS.c.application).where(APPLICATION_EVENTS.c.request == name).scalar_subquery()
    wanted = sa.select(APPLICATION_EVENTS.c.request).where(APPLICATION_EVENTS.c.application == of)
    with engine.connect() as connection:
        found = [str(one) for one in connection.scalars(wanted.order_by(APPLICATION_EVENTS.c.number))]
    engine.dispose()
    return found
