"""The hub's log for its readers: one's own entries, all for an auditor, and nothing for others."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import httpx
import pytest
from tests.hub.people_help import Browser, HubWithPeople, hub_with_people

from cohelix.access.actor import Role
from cohelix.access.roles import Roles
from cohelix.audit.bundle import EntryProof, Trust, verify_proof
from cohelix.audit.checkpoint import read_note
from cohelix.audit.merkle import consistency_holds, inclusion_holds, leaf_hash
from cohelix.cli.audit_log import hub_log
from cohelix.hub.identity import open_broker
from cohelix.hub.settings import open_hub_database, read_settings


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubWithPeople]:
    with hub_with_people(tmp_path_factory.mktemp("people") / "hub", names=("ada", "bob")) as running:
        with Browser(running.url) as browser:
            browser.log_in("ada")
        with Browser(running.url) as browser:
            browser.log_in("bob")
        yield running


@pytest.fixture
def ada(hub: HubWithPeople) -> Iterator[Browser]:
    with Browser(hub.url) as browser:
        browser.log_in("ada")
        yield browser


@pytest.fixture
def auditor(hub: HubWithPeople) -> Iterator[Browser]:
    engine = open_hub_database(hub.folder)
    broker = open_broker(hub.folder, read_settings(hub.folder), engine)
    [subject] = [one.subject for one in broker.accounts.all() if one.name == "bob"]
    Roles(engine).grant(Role.AUDITOR, subject, hub.issuer)
    with Browser(hub.url) as browser:
        browser.log_in("bob")
        yield browser


def _own(browser: Browser, **wanted: str) -> httpx.Response:
    return browser.get("/api/v1/audit/entries", params={"mine": "true", **wanted})


def _wait_for(browser: Browser, event: str) -> dict[str, object]:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = _own(browser, event=event).json()
        if found["entries"]:
            return dict(found)
        time.sleep(0.05)
    raise AssertionError(f"{event} was not written")


def test_everybody_reads_their_own_entries(hub: HubWithPeople, ada: Browser) -> None:
    found = _wait_for(ada, "login:done")
    whose = {one["who"] for one in found["entries"]}
    assert len(whose) == 1, "one person, one pseudonym"
    assert all(one["event"] == "login:done" for one in found["entries"])
    page = ada.visit("/audit")
    assert page.status_code == 200 and "What was written down of me" in page.text and "login:done" in page.text
    assert "All entries" not in page.text
    assert "There are no entries." in ada.visit("/audit?event=run:released").text


def test_entries_of_others_are_for_auditors_alone(hub: HubWithPeople, ada: Browser) -> None:
    assert ada.get("/api/v1/audit/entries").status_code == 403
    assert ada.get("/audit?all=1").status_code == 403
    with httpx.Client(base_url=hub.url, trust_env=False) as nobody:
        assert nobody.get("/api/v1/audit/entries").status_code == 401
        assert _own(nobody).status_code == 401
        assert nobody.get("/audit").headers["location"] == "/login?next=/audit"


def test_an_auditor_reads_all_and_is_written_down(hub: HubWithPeople, ada: Browser, auditor: Browser) -> None:
    _wait_for(ada, "login:done")
    first = auditor.get("/api/v1/audit/entries", params={"limit": 2}).json()
    assert len(first["entries"]) == 2 and first["next"] == first["entries"][-1]["number"]
    second = auditor.get("/api/v1/audit/entries", params={"limit": 2, "before": first["next"]}).json()
    assert second["entries"][0]["number"] == first["next"] - 1
    reads = auditor.get("/api/v1/audit/entries", params={"event": "log:read"}).json()["entries"]
    assert len(reads) >= 2 and reads[0]["by"] == "person"
    page = auditor.visit("/audit?all=1")
    assert page.status_code == 200 and "server:started" in page.text and "My own entries" in page.text
    assert not re.search(r"(?<![\w-])ada(?![\w-])", page.text), "an auditor sees pseudonyms"  # not a part of a hash


def test_the_proof_of_an_entry_is_for_its_reader_and_auditors(hub: HubWithPeople, ada: Browser, auditor: Browser) -> None:
    number = _wait_for(ada, "login:done")["entries"][0]["number"]  # type: ignore[index]
    proven = ada.get(f"/api/v1/audit/entries/{number}/proof")
    assert verify_proof(EntryProof.model_validate(proven.json()), Trust()).size > number
    others = [one for one in range(number) if ada.get(f"/api/v1/audit/entries/{one}/proof").status_code == 404]
    assert 0 in others, "the server's own beginning is nobody's"
    assert auditor.get("/api/v1/audit/entries/0/proof").status_code == 200
    assert _wait_for(auditor, "log:read")["entries"][0]["data"] == {"first": 0, "entries": 1}  # type: ignore[index]
    assert ada.get(f"/api/v1/audit/entries/{10**9}/proof").status_code == 404
    with Browser(hub.url) as nobody:
        assert nobody.get(f"/api/v1/audit/entries/{number}/proof").status_code == 401
    page = ada.visit("/audit").text
    assert f"/api/v1/audit/entries/{number}/proof" in page and "cohelix audit verify --proof FILE" in page


def test_what_is_not_an_entry_or_event_is_refused(auditor: Browser) -> None:
    for wanted in ({"event": "no:such"}, {"before": "-1"}, {"limit": "0"}, {"limit": "501"}, {"before": "x"}):
        assert 400 <= auditor.get("/api/v1/audit/entries", params=wanted).status_code < 423, wanted
    assert auditor.get("/audit?before=x").status_code == 400


def test_anybody_checks_the_log_from_outside(hub: HubWithPeople, ada: Browser) -> None:
    _wait_for(ada, "login:done")
    with httpx.Client(base_url=hub.url, trust_env=False) as client:
        said = client.get("/audit/v1/checkpoint").json()
        older = read_note(said["note"])
        assert (older.origin, older.size, older.root.hex()) == ("hub", said["size"], said["root"])
        [entry] = list(hub_log(hub.folder).store().entries(1, 2))
        proof = client.get("/audit/v1/proof/inclusion", params={"number": 1}).json()
        now = read_note(client.get("/audit/v1/checkpoint").json()["note"])
        hashes = [bytes.fromhex(one) for one in proof["proof"]]
        if now.size == proof["size"]:
            assert inclusion_holds(leaf_hash(entry.content.encode()), 1, now.size, now.root, hashes)
        with Browser(hub.url) as browser:
            browser.log_in("ada")
            _wait_for(browser, "login:done")
        newer = older
        deadline = time.monotonic() + 10
        while newer.size == older.size and time.monotonic() < deadline:
            newer = read_note(client.get("/audit/v1/checkpoint").json()["note"])
        sizes = {"from": older.size, "to": newer.size}
        hashes = [bytes.fromhex(one) for one in client.get("/audit/v1/proof/consistency", params=sizes).json()["proof"]]
        assert newer.size > older.size
        assert consistency_holds(older.size, newer.size, older.root, newer.root, hashes)
        for path in (
            "inclusion?number=99999",
            "inclusion?number=1&size=99999",
            "consistency?from=5&to=2",
            "consistency?from=0",
        ):
            assert client.get(f"/audit/v1/proof/{path}").status_code in (400, 422), path
