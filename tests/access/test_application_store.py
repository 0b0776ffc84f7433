"""Applications in SQL: the same on both databases, once only, and nothing acknowledged is lost when the process is killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cohelix.access.application_store import ApplicationStore
from cohelix.access.applications import Application, Stage, replay
from cohelix.core.errors import BadQuestion, Conflict, NotFound
from cohelix.db import open_database
from cohelix.wire.applications import Event
from validation.applications.walks import APPLICANT, LINES, PEOPLE

WHO = {acting.who.subject: acting for acting in PEOPLE}
FORM = {
    "title": "Blood pressure",
    "summary": "Why.",
    "organisation": "institute",
    "lines": [line.model_dump() for line in LINES[:1]],
    "investigations": ["genetic"],
}


class Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 2, 2, 9, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment


def submitted(store: ApplicationStore) -> str:
    name, _ = store.create(WHO["researcher"], FORM)
    store.add(name, WHO["researcher"], {"event": "signing-asked"})
    store.add(name, WHO["official"], {"event": "signed"})
    return name


def approved(store: ApplicationStore) -> str:
    name = submitted(store)
    for number in (0, 1):
        store.add(name, WHO[f"dac-FI-{number}"], {"event": "voted", "dataset": "FI:a", "vote": "approve"})
    store.add(name, WHO["dac-FI-0"], {"event": "checked", "dataset": "FI:a", "points": {"ethics": True}})
    store.add(name, WHO["dac-FI-0"], {"event": "proposed", "dataset": "FI:a", "decision": "approve", "reason": "sound"})
    store.add(name, WHO["dac-FI-1"], {"event": "decided", "dataset": "FI:a", "decision": "approve"})
    return name


def test_what_happened_is_kept_told_once_and_listed(database: str) -> None:
    told: list[tuple[str, Application, tuple[Event, ...]]] = []
    clock = Hands()
    engine = open_database(database)
    store = ApplicationStore(engine, clock=clock, told=lambda name, state, new: told.append((name, state, tuple(new))))
    name = approved(store)
    assert [event.event for _, _, new in told for event in new] == [event.event for event in store.events(name)]
    again = ApplicationStore(open_database(database), clock=clock)
    assert again.get(name) == store.get(name) == replay(store.events(name)) == told[-1][1]
    (line,) = [line for line in again.listed(applicant=APPLICANT) if line.id == name]
    assert (line.title, line.stage, line.version) == ("Blood pressure", Stage.REVIEW, 8)
    assert line.due_at == datetime(2026, 2, 8, 22, tzinfo=UTC)  # after six days in Finland
    assert name not in [line.id for line in again.listed(stages=[Stage.DRAFT])]


def test_clocks_run_for_applications_that_nobody_looks_at(database: str) -> None:
    clock = Hands()
    clock.moment = datetime(2025, 2, 3, 9, tzinfo=UTC)  # before the clocks of other tests' applications, in a shared database
    store = ApplicationStore(open_database(database), clock=clock)
    name = approved(store)
    due = next(line.due_at for line in store.listed(applicant=APPLICANT) if line.id == name)
    assert due is not None
    clock.moment = due - timedelta(seconds=1)
    assert store.run_clocks() == 0
    clock.moment = due
    assert store.run_clocks() == 1
    assert store.run_clocks() == 0
    clock.moment += timedelta(days=30)
    assert store.run_clocks() == 1
    assert store.get(name).lines["FI:a"].stage == "confirmed"
    assert [event.event for event in store.events(name)][-2:] == ["reminded", "confirmed"]


def test_a_request_that_comes_twice_is_done_once(database: str) -> None:
    store = ApplicationStore(open_database(database), clock=Hands())
    first, _ = store.create(WHO["researcher"], FORM, request="r1")
    second, state = store.create(WHO["researcher"], FORM, request="r1")
    other, _ = store.create(WHO["researcher-2"], FORM, request="r1")
    assert first == second != other
    assert state.version == 1
    for _ in range(3):
        store.add(first, WHO["researcher"], {"event": "signing-asked"}, request="ask")
    assert len(store.events(first)) == 2


def test_what_is_refused_leaves_nothing_behind(database: str) -> None:
    store = ApplicationStore(open_database(database), clock=Hands())
    name = submitted(store)
    before = store.events(name)
    for wanted, error in (
        ({"event": "created", "form": FORM}, BadQuestion),
        ({"event": "voted", "dataset": "FI:a", "vote": "maybe"}, BadQuestion),
        ({"event": "decided", "dataset": "FI:a", "decision": "approve"}, Conflict),
        ({"event": "nothing"}, BadQuestion),
        ({"event": "signed", "by": {"subject": "x", "issuer": "y"}, "more": 1}, BadQuestion),
    ):
        with pytest.raises(error):
            store.add(name, WHO["dac-FI-0"], wanted)
    for form in ({"title": "a\0b"}, {"diseases": ["\0"]}, {"attachments": {"\0": "x"}}):
        with pytest.raises(BadQuestion, match="NUL"):
            store.create(WHO["researcher"], FORM | form)
    with pytest.raises(BadQuestion, match="1 to 64"):
        store.add(name, WHO["dac-FI-0"], {"event": "asked", "text": "?"}, request="a b")
    with pytest.raises(NotFound):
        store.get("A-0")
    assert store.events(name) == before


KILLED = """
import sys
from cohelix.access.application_store import ApplicationStore
from cohelix.db import open_database
from tests.access.test_application_store import FORM, WHO
store = ApplicationStore(open_database(sys.argv[1]))
name, _ = store.create(WHO["researcher"], FORM, request="one")
print(name, flush=True)
for number in range(int(sys.argv[2]), 100_000):
    store.add(name, WHO["researcher"], {"event": "edited", "form": {**FORM, "title": str(number)}}, request=f"edit-{number}")
    print(number, flush=True)
"""


@pytest.mark.slow
def test_a_process_that_is_killed_loses_and_doubles_nothing(tmp_path: Path) -> None:
    place, rng = str(tmp_path / "hub.sqlite"), random.Random(5)
    open_database(place)
    acknowledged, following = [], 0
    for _ in range(8):
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, place, str(following)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        ) as process:
            assert process.stdout is not None
            name = process.stdout.readline().strip()
            time.sleep(rng.uniform(0.0, 0.3))
            os.kill(process.pid, signal.SIGKILL)
            acknowledged += [int(line) for line in process.stdout.read().splitlines()]
        following = len(acknowledged)  # what was not acknowledged is sent again, under the same name
    kept = [int(event.form.title) for event in ApplicationStore(open_database(place)).events(name) if event.event == "edited"]
    assert len(kept) == len(set(kept)), "an event was doubled"
    assert kept == sorted(kept)
    assert set(acknowledged) <= set(kept), "an acknowledged event was lost"
    assert len(kept) > 20
