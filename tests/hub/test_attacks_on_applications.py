"""What a dishonest applicant, committee member or member node tries with applications, and what comes of it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import ValidationError
from tests.access.test_applications import WHO

from cohelix.access.application_store import DRAFTS_MAX, ApplicationStore
from cohelix.access.applications import LineStage
from cohelix.access.caller import Caller
from cohelix.core.errors import BadQuestion, CohelixError, Conflict, Damaged, NotPermitted, TooLarge
from cohelix.db import open_database
from cohelix.db.tables import AGREEMENT_TEXTS, APPLICATION_EVENTS, APPLICATIONS
from cohelix.hub import applications as hub_room
from cohelix.hub.applications import Applications
from cohelix.wire.applications import Line
from cohelix.wire.grants import GrantTold
from validation.applications.walks import LINES

SET = "FI:a"
FORM: dict[str, Any] = {
    "title": "Blood pressure",
    "summary": "Why.",
    "organisation": "institute",
    "lines": [LINES[0].model_dump()],
    "investigations": ["genetic"],
}
VOTE = {"event": "voted", "dataset": SET, "vote": "approve"}


@pytest.fixture
def store(database: str) -> ApplicationStore:
    engine = open_database(database)
    with engine.begin() as connection:  # a shared database has other tests' rows
        for table in (APPLICATION_EVENTS, APPLICATIONS):
            connection.execute(table.delete())
    return ApplicationStore(engine)


def submitted(store: ApplicationStore, **form: Any) -> str:
    name, _ = store.create(WHO["researcher"], FORM | form)
    store.add(name, WHO["researcher"], {"event": "signing-asked"})
    store.add(name, WHO["official"], {"event": "signed"})
    return name


def approved(store: ApplicationStore, conditions: tuple[str, ...] = (), **form: Any) -> str:
    name = submitted(store, **form)
    for who in ("dac-FI-0", "dac-FI-1"):
        store.add(name, WHO[who], VOTE)
    store.add(name, WHO["dac-FI-0"], {"event": "checked", "dataset": SET, "points": {"ethics": True}})
    wanted = {"event": "proposed", "dataset": SET, "decision": "approve", "reason": "Sound.", "conditions": conditions}
    store.add(name, WHO["dac-FI-0"], wanted)
    store.add(name, WHO["dac-FI-1"], {"event": "decided", "dataset": SET, "decision": "approve"})
    return name


def outcome(store: ApplicationStore, name: str, who: str, wanted: dict[str, Any], request: str | None = None) -> str:
    try:
        store.add(name, WHO[who], wanted, request=request)
    except CohelixError as error:
        return error.slug
    return "done"


def test_at_once_two_votes_both_count_and_two_of_one_thing_is_one(store: ApplicationStore) -> None:
    name = submitted(store)
    with ThreadPoolExecutor(4) as pool:
        votes = [pool.submit(outcome, store, name, who, VOTE) for who in ("dac-FI-0", "dac-FI-1")]
        assert [one.result() for one in votes] == ["done", "done"]
        assert len(store.get(name).lines[SET].votes) == 2
        store.add(name, WHO["dac-FI-0"], {"event": "checked", "dataset": SET, "points": {"ethics": True}})
        both = {"event": "proposed", "dataset": SET, "decision": "approve", "reason": "Sound."}
        store.add(name, WHO["dac-FI-0"], both)
        second = {"event": "decided", "dataset": SET, "decision": "approve"}
        # The proposer and two others at the same time: one of these two has decided, and never the proposer.
        rush = [pool.submit(outcome, store, name, who, second) for who in ("dac-FI-0", "dac-FI-1", "dac-FI-2")]
        assert [one.result() for one in rush].count("done") == 1
        twice = [pool.submit(outcome, store, name, "researcher", {"event": "withdrawn"}, "one-name") for _ in range(2)]
        assert [one.result() for one in twice] == ["done", "done"]
    kinds = [event.event for event in store.events(name)]
    assert (kinds.count("decided"), kinds.count("withdrawn")) == (1, 1)
    assert [event.by for event in store.events(name) if event.event == "decided"] != [WHO["dac-FI-0"].who]


def test_after_an_approval_nobody_votes_and_the_purpose_is_what_it_was(store: ApplicationStore) -> None:
    name = approved(store)
    before = store.history(name)
    wider = {**FORM, "investigations": ["drug-development"], "commercial": True}
    for who, wanted in (
        ("dac-FI-2", {**VOTE, "vote": "deny"}),
        ("dac-FI-0", {"event": "decided", "dataset": SET, "decision": "deny"}),
        ("researcher", {"event": "edited", "form": wider}),
        ("researcher", {"event": "signing-asked"}),
        ("official", {"event": "signed"}),
        ("researcher", {"event": "confirmed", "dataset": SET}),
        ("dac-FI-0", {"event": "confirmed", "dataset": SET}),
        ("dac-FI-0", {"event": "returned", "reason": "Let us begin anew."}),
    ):
        assert outcome(store, name, who, wanted) in ("conflict", "not-permitted"), (who, wanted)
    assert store.history(name) == before


def test_a_name_of_a_request_is_for_one_thing_of_one_person(store: ApplicationStore) -> None:
    name = submitted(store)
    assert outcome(store, name, "dac-FI-0", VOTE, "a-name") == "done" == outcome(store, name, "dac-FI-0", VOTE, "a-name")
    for who, wanted in (("dac-FI-1", VOTE), ("dac-FI-0", {**VOTE, "vote": "deny"}), ("researcher", {"event": "withdrawn"})):
        assert outcome(store, name, who, wanted, "a-name") == "conflict", "it was told that it is done, and it was not"
    assert outcome(store, name, "dac-FI-1", VOTE, "created") == "conflict"
    assert len(store.get(name).lines[SET].votes) == 1


@pytest.mark.parametrize("until", ["9999-12-31", "0001-01-01", "2030-01-01", "2020-01-01"])
def test_a_delay_without_an_end_is_none(store: ApplicationStore, until: str) -> None:
    name = submitted(store)
    wanted = {"event": "delayed", "authority": "FI-dac", "until": until, "reason": "We are slow."}
    assert outcome(store, name, "dac-FI-0", wanted) == "conflict"
    assert [one.id for one in store.listed()] == [name]


@pytest.mark.parametrize("until", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "2200-01-01T00:00:00Z"])
def test_a_grant_that_ends_outside_the_calendar_is_none(store: ApplicationStore, until: str) -> None:
    name = approved(store)
    store.add(name, WHO["ncp-FI"], {"event": "confirmed", "dataset": SET})
    store.add(name, WHO["holder"], {"event": "agreement-drawn", "datasets": [SET], "sha256": "a" * 64})
    for who, side in (("official", "user"), ("holder", "holder")):
        store.add(name, WHO[who], {"event": "agreement-signed", "side": side, "sha256": "a" * 64})
    wanted = {"event": "granted", "dataset": SET, "visas": ["v"], "until": until}
    assert outcome(store, name, "dac-FI-0", wanted) == "conflict"
    assert store.listed()[0].due_at is None and store.get(name).lines[SET].stage is LineStage.CONFIRMED


def test_a_member_node_tells_of_no_time_that_no_calendar_has() -> None:
    told = {"application": "A-1", "dataset": SET, "state": "granted", "visas": ["v"]}
    for until in (10**18, -1):
        with pytest.raises(ValidationError):
            GrantTold.model_validate({**told, "until": until})


def test_a_person_has_no_more_drafts_than_a_person_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cohelix.access.application_store.DRAFTS_MAX", 3)
    store = ApplicationStore(open_database(tmp_path / "hub.db"))
    names = [store.create(WHO["researcher"], FORM)[0] for _ in range(3)]
    with pytest.raises(Conflict, match="3 drafts"):
        store.create(WHO["researcher"], FORM)
    store.create(WHO["researcher-2"], FORM)
    store.add(names[0], WHO["researcher"], {"event": "withdrawn"})
    store.create(WHO["researcher"], FORM)
    assert DRAFTS_MAX >= 100


# The desk: agreements and files.


class _Desk(Applications):
    """The hub's desk, for people who are who they say."""

    async def acting(self, caller: Caller) -> Any:
        return WHO[str(caller)]


def _as(name: str) -> Caller:
    return name  # type: ignore[return-value]  # see `_Desk.acting`


@pytest.fixture
def desk(tmp_path: Path) -> _Desk:
    return _Desk(tmp_path, open_database(tmp_path / "hub.db"))


def test_nobody_writes_clauses_of_the_agreement(desk: _Desk, tmp_path: Path) -> None:
    clause = "\n\n5. The user may pass the data on.\u2028\u202ekcab"
    hostile = {"title": f"Harmless{clause}", "diseases": [f"MONDO:1{clause}"], "investigations": [f"genetic{clause}"]}
    member = {"subject": f"x{clause}", "issuer": f"https://a.example{clause}"}
    name = approved(desk.store, (f"Publish.{clause}",), **hostile, members=[member])
    desk.store.add(name, WHO["ncp-FI"], {"event": "confirmed", "dataset": SET})
    asyncio.run(desk.draw_agreement(_as("holder"), name, [SET]))
    [sha256] = desk.store.get(name).agreements
    text = asyncio.run(desk.agreement(_as("holder"), name, sha256))
    headings = [line for line in text.splitlines() if line[:2] in ("1.", "2.", "3.", "4.", "5.")]
    assert headings == ["1. Data", "2. Purpose", "3. Time", "4. Duties"]
    assert "\u202e" not in text and "Harmless 5. The user may" in text
    # A text that was swapped after it was drawn is shown to nobody, and so signed by nobody who reads it.
    engine = open_database(tmp_path / "hub.db")
    with engine.begin() as connection:
        connection.execute(sa.update(AGREEMENT_TEXTS).values(text=text.replace("Nobody tries", "Anybody tries")))
    with pytest.raises(Damaged, match="not the one"):
        asyncio.run(desk.agreement(_as("official"), name, sha256))
    for who, side, digest in (("official", "user", "b" * 64), ("researcher", "user", sha256), ("dac-FI-0", "holder", sha256)):
        wanted = {"event": "agreement-signed", "side": side, "sha256": digest}
        assert outcome(desk.store, name, who, wanted) in ("conflict", "not-permitted")
    with pytest.raises(BadQuestion, match="drawn by the hub"):
        asyncio.run(desk.add(_as("holder"), name, {"event": "agreement-drawn", "datasets": [SET], "sha256": "c" * 64}, None))


def test_what_may_not_be_attached_is_not_kept(desk: _Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draft, _ = desk.store.create(WHO["researcher"], FORM)
    monkeypatch.setattr(hub_room, "_FILES_BYTES_MAX", 100)
    asyncio.run(desk.attach(_as("researcher"), draft, "a.txt", b"x" * 40))
    with pytest.raises(TooLarge, match="former versions"):
        asyncio.run(desk.attach(_as("researcher"), draft, "a.txt", b"y" * 40))
    name = submitted(desk.store)
    with pytest.raises(Conflict, match="only to a draft"):
        asyncio.run(desk.attach(_as("researcher"), name, "a.txt", b"late"))
    with pytest.raises(NotPermitted):
        asyncio.run(desk.attach(_as("official"), name, "a.txt", b"not mine"))
    assert len(list((tmp_path / "attachments").iterdir())) == 1


def test_a_line_that_names_another_committee_is_not_handed_in(tmp_path: Path) -> None:
    async def decided_by(names: Any) -> dict[str, tuple[str | None, str | None]]:
        return dict.fromkeys(names, ("FI-dac", "FI"))

    desk = _Desk(tmp_path, open_database(tmp_path / "hub.db"), decided_by=decided_by)
    for line in (Line(dataset=SET, authority="mine", country="FI"), Line(dataset=SET, authority="FI-dac", country="IT")):
        name, _ = desk.store.create(WHO["researcher"], {**FORM, "lines": [line.model_dump()]})
        with pytest.raises(Conflict, match="is decided by FI-dac, and FI may veto"):
            asyncio.run(desk.add(_as("researcher"), name, {"event": "signing-asked"}, None))


def test_figures_of_clocks(desk: _Desk) -> None:
    submitted(desk.store)
    asyncio.run(desk.run_clocks())
    assert desk.figures() == {
        "cohelix_application_clocks_passed": 0,
        "cohelix_application_clocks_soon": 0,
        "cohelix_application_grants_ending": 0,
    }
    desk.store._clock = _Later()  # the machine's clock, a year on
    asyncio.run(desk.run_clocks())
    assert desk.figures()["cohelix_application_clocks_passed"] == 1


class _Later:
    def now(self) -> datetime:
        now = datetime.now(UTC)
        return now.replace(year=now.year + 1, day=1)

    def monotonic(self) -> float:
        return 0.0
