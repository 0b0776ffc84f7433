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
from cohelix.access.applications import Acting, replay
from cohelix.db import open_database, upgrade
from cohelix.db.tables import APPLICATION_EVENTS
from cohelix.wire.applications import Identity

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


@dataclass(frozen=True, slots=True)
class Killed:
    """One kill: steps acknowledged before it, and kept after it."""

    acknowledged: int
    kept: int
    good: bool


def run(folder: Path, times: int, seed: int) -> list[Killed]:
    """Kill as many times; after each one the same requests are sent again, as a client does that heard nothing."""
    upgrade(open_database(folder / "hub.db"))
    rng = random.Random(seed)
    return [_one(folder / "hub.db", f"kill-{number}", rng.uniform(0, 0.1)) for number in range(times)]


def _one(path: Path, name: str, seconds: float) -> Killed:
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
    identifier = _through(path, name, lambda: 0)
    engine = open_database(path)
    state = replay(ApplicationStore(engine).events(identifier))
    engine.dispose()
    after = _requests(path, name) == wanted and state.version == len(wanted)
    return Killed(acknowledged, len(requests), before and after and state.lines[DATASET].stage == "confirmed")


def _through(path: Path, name: str, done: Callable[[], object]) -> str:
    """Take one application through its loop, every request with its own name; gives its id."""
    engine = open_database(path)
    store = ApplicationStore(engine)
    with engine.connect():
        done()  # ready: from here on it is killed
    identifier, _ = store.create(APPLICANT, {}, request=name)
    done()
    for number, (acting, wanted) in enumerate(STEPS):
        store.add(identifier, acting, dict(wanted), request=f"step-{number}")
        done()
    engine.dispose()
    return identifier


def _requests(path: Path, name: str) -> list[str]:
    """The requests kept for an application, in order."""
    engine = open_database(path)
    of = sa.select(APPLICATION_EVENTS.c.application).where(APPLICATION_EVENTS.c.request == name).scalar_subquery()
    wanted = sa.select(APPLICATION_EVENTS.c.request).where(APPLICATION_EVENTS.c.application == of)
    with engine.connect() as connection:
        found = [str(one) for one in connection.scalars(wanted.order_by(APPLICATION_EVENTS.c.number))]
    engine.dispose()
    return found
