"""The log: both roads, groups, processes, crashes, and databases that go away."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cohelix.audit.bundle import Trust, verify_store
from cohelix.audit.checkpoint import public_text
from cohelix.audit.entries import read_entry
from cohelix.audit.events import Decided, KeyRotated, LogoutDone, Person, QuestionAnswered, QuestionRefused, RoleChanged
from cohelix.audit.log import AuditLog
from cohelix.core.errors import AuditUnavailable
from cohelix.db import open_database

RESEARCHER = Person("researcher", "https://broker.example")
# Records public answers in a process of its own, as many as it is told, and says so.
_PROCESS = textwrap.dedent("""
    import sys, time
    from pathlib import Path
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cohelix.audit.events import LogoutDone, Person
    from cohelix.audit.log import AuditLog
    from cohelix.db import open_database
    folder, database, waiting, public = Path(sys.argv[1]), sys.argv[2], int(sys.argv[4]), int(sys.argv[5])
    signer = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(sys.argv[3]))
    log = AuditLog(folder, "node/FI", database=lambda: open_database(database), signer=lambda: signer)
    for number in range(waiting):
        log.record(LogoutDone(), by=Person(f"person {number % 3}", "broker"), wait=True)
    for number in range(public):
        log.record(LogoutDone())
    if public:
        print("recorded", flush=True)
        time.sleep(60)
    log.close()
""")


def _events(log: AuditLog) -> list[str]:
    return [row.event for row in log.store().entries()]


def _question(log: AuditLog) -> QuestionAnswered:
    decided = Decided("FI:demo", "answered", "controlled", granularity="count", visas=("visa-1",))
    return QuestionAnswered("frequency", "direct", log.keyed("22-50313359-G-A"), "research", (decided,))


def test_who_waits_finds_the_entry_on_disk(make_log) -> None:
    log = make_log()
    log.record(_question(log), by=RESEARCHER, wait=True)
    opened, entry = log.store().entries()
    assert opened.event == "log:opened"
    read = read_entry(entry.content.encode())
    assert (read.number, read.event, read.by) == (1, "question:answered", "person")
    assert read.data["datasets"] == [
        {"dataset": "FI:demo", "outcome": "answered", "tier": "controlled", "reason": "", "granularity": "count"}
        | {"visas": ["visa-1"], "size": "withheld"}
    ]
    assert log.store().head().size == 2


def test_nothing_secret_stands_in_the_clear(make_log) -> None:
    log = make_log()
    log.record(_question(log), by=RESEARCHER, wait=True)
    log.record(RoleChanged(Person("someone", "https://broker.example"), "auditor", given=True), by=RESEARCHER, wait=True)
    text = "".join(row.content for row in log.store().entries())
    assert "researcher" not in text and "someone" not in text and "broker.example" not in text and "50313359" not in text
    assert log.keyed("22-50313359-G-A") in text
    assert log.keyed("22-50313359-G-A") != make_log("GB").keyed("22-50313359-G-A"), "each log hashes with its own key"
    assert log.keyed("a", "bc") != log.keyed("ab", "c")


def test_a_person_has_one_pseudonym_until_it_is_unlinked(make_log) -> None:
    log = make_log()
    for _ in range(2):
        log.record(LogoutDone(), by=RESEARCHER, wait=True)
    store = log.store()
    name = store.pseudonym_of(RESEARCHER)
    assert [row.person for row in store.entries(1)] == [name, name]
    assert store.people([name]) == {name: RESEARCHER}
    assert [row.number for row in store.search(person=name)] == [2, 1]
    assert store.unlink(RESEARCHER) == name
    assert store.people([name]) == {} and store.pseudonym_of(RESEARCHER) is None and store.unlink(RESEARCHER) is None
    log.record(LogoutDone(), by=RESEARCHER, wait=True)
    assert store.pseudonym_of(RESEARCHER) not in (None, name)
    assert verify_store(store, Trust()).misfit is None


def test_public_answers_are_on_disk_within_a_second(make_log) -> None:
    log = make_log()
    log.begin()
    deadline = time.monotonic() + 20  # the first opens the database and makes its tables
    while time.monotonic() < deadline and not log.store().head():
        time.sleep(0.01)
    log.record(LogoutDone())
    began = time.monotonic()
    while "logout:done" not in _events(log):
        assert time.monotonic() - began < 3  # one second where nothing else runs
        time.sleep(0.02)


def test_many_threads_share_groups(make_log) -> None:
    log = make_log()

    def ask() -> None:
        for _ in range(25):
            log.record(_question(log), by=RESEARCHER, wait=True)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    found = verify_store(log.store(), Trust())
    assert (found.size, found.misfit) == (201, None)
    with pytest.raises(AuditUnavailable, match="closed"):
        log.record(LogoutDone(), wait=True)


def test_coroutines_wait_too(make_log) -> None:
    log = make_log()

    async def ask() -> None:
        await asyncio.gather(*(log.recorded(QuestionRefused("beacon", "direct", "login-required")) for _ in range(20)))

    asyncio.run(ask())
    assert _events(log).count("question:refused") == 20


def _start(folder: Path, database: str, key: bytes, waiting: int, public: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _PROCESS, str(folder), database, key.hex(), str(waiting), str(public)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_processes_write_one_log(make_log, tmp_path: Path, database: str) -> None:
    log = make_log()
    log.record(LogoutDone(), wait=True)
    key = log._signer().private_bytes_raw()
    running = [_start(tmp_path / "FI", database, key, 40, 0) for _ in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    found = verify_store(log.store(), Trust())
    assert (found.size, found.misfit) == (2 + 3 * 40, None)


def test_what_a_crash_takes_is_counted(make_log, tmp_path: Path, database: str) -> None:
    log = make_log()
    log.record(LogoutDone(), wait=True)
    with open_database(database).begin() as held:  # nobody else writes now, so that everything is still on its way
        if held.dialect.name == "postgresql":
            held.execute(sa.text("LOCK TABLE audit_entries, audit_writers IN EXCLUSIVE MODE"))
        process = _start(tmp_path / "FI", database, log._signer().private_bytes_raw(), 0, 137)
        assert process.stdout is not None and process.stdout.readline() == "recorded\n"
        process.send_signal(signal.SIGKILL)
        process.wait()
    log.close()
    again = make_log()
    again.begin()
    again.record(LogoutDone(), wait=True)
    lost = [json.loads(row.content)["data"] for row in again.store().entries() if row.event == "log:lost"]
    assert lost == [{"entries": 137, "cause": "crash", "exact": True}]
    again.close()
    once_more = make_log()
    once_more.begin()
    once_more.record(LogoutDone(), wait=True)
    assert _events(once_more).count("log:lost") == 1, "a loss is stated once"
    once_more.close()
    assert not list((tmp_path / "FI" / "audit-writers").iterdir())


def test_without_the_database_who_waits_is_refused_and_others_wait(make_log, database: str) -> None:
    log = make_log()
    log.record(LogoutDone(), wait=True)
    engine = open_database(database)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE audit_entries RENAME TO taken_away")
    log.record(QuestionRefused("beacon", "direct", "login-required"))
    with pytest.raises(AuditUnavailable, match="could not be written"):
        log.record(LogoutDone(), wait=True)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE taken_away RENAME TO audit_entries")
    log.record(LogoutDone(), wait=True)
    log.close()
    assert _events(log) == ["log:opened", "logout:done", "question:refused", "logout:done"]
    assert verify_store(log.store(), Trust()).misfit is None
    engine.dispose()


def test_a_full_disk_refuses_who_waits(tmp_path: Path) -> None:
    """A limit of the size of files stands for the disk: SQLite is told that it cannot write."""
    script = textwrap.dedent("""
        import resource, signal, sys
        from pathlib import Path
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cohelix.audit.events import QuestionRefused
        from cohelix.audit.log import AuditLog
        from cohelix.core.errors import AuditUnavailable
        from cohelix.db import open_database
        folder = Path(sys.argv[1])
        (folder / "identity").mkdir()
        key = Ed25519PrivateKey.generate()
        log = AuditLog(folder, "hub", database=lambda: open_database(folder / "audit.sqlite"), signer=lambda: key)
        log.record(QuestionRefused("beacon", "direct", "x" * 900), wait=True)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
        written = 1
        try:
            while True:
                log.record(QuestionRefused("beacon", "direct", "x" * 900), wait=True)
                written += 1
        except AuditUnavailable as error:
            print(error.slug)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        log.record(QuestionRefused("beacon", "direct", "again"), wait=True)
        log.close()
        from cohelix.audit.bundle import Trust, verify_store
        found = verify_store(log.store(), Trust())
        print(found.misfit, found.size == written + 2)
    """)
    said = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True).stdout
    assert "audit-unavailable" in said.splitlines(), said
    assert said.splitlines()[-1] == "None True"


def test_two_servers_share_a_database_and_not_a_log(make_log) -> None:
    first, second = make_log("FI"), make_log("GB")
    first.record(LogoutDone(), by=RESEARCHER, wait=True)
    second.record(LogoutDone(), by=RESEARCHER, wait=True)
    second.record(LogoutDone(), wait=True)
    assert [verify_store(one.store(), Trust()).size for one in (first, second)] == [2, 3]
    assert first.store().pseudonym_of(RESEARCHER) != second.store().pseudonym_of(RESEARCHER)


def test_names_of_any_kind_are_written(make_log) -> None:
    log = make_log()
    log.record(
        QuestionRefused("beacon", "direct", "\x00 \ud800 ✓ " + "long " * 1000, purpose="ünï\n"),
        by=Person("a\0b\ud800", "x" * 2000),
        wait=True,
    )
    log.keyed("\ud800")
    entry = read_entry(next(log.store().entries(1)).content.encode())
    assert entry.data["purpose"] == "ünï\n" and len(entry.data["reason"]) == 1000
    assert verify_store(log.store(), Trust()).misfit is None


def test_a_key_follows_another_by_its_signature(make_log) -> None:
    old, new = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    names = {"old": public_text(old), "new": public_text(new)}
    document = json.dumps(names)
    signature = old.sign(b"cohelix-succession-1\n" + document.encode())
    event = KeyRotated(
        "node/FI", **names, document=document, signature=base64.urlsafe_b64encode(signature).decode().rstrip("=")
    )
    log = make_log(key=old)
    log.record(event, wait=True)
    log.close()
    later = make_log(key=new)
    later.record(LogoutDone(), wait=True)
    found = verify_store(later.store(), Trust(key=public_text(new)))
    assert (found.misfit, found.key) == (None, public_text(new))
    assert verify_store(later.store(), Trust(key=public_text(old))).misfit is not None
    foreign = make_log(key=Ed25519PrivateKey.generate())
    later.close()
    foreign.record(LogoutDone(), wait=True)
    misfit = verify_store(foreign.store(), Trust()).misfit
    assert misfit is not None and "signed by another key" in misfit.problem


def test_the_key_of_names_is_for_its_owner_alone(make_log, tmp_path: Path) -> None:
    make_log()
    assert (tmp_path / "FI" / "identity" / "audit.key").stat().st_mode & 0o777 == 0o600
