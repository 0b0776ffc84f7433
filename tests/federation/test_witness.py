"""Hub and members witness each other's logs: what continues is believed, what was rewritten, shortened or forked is not."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cohelix.audit.bundle import Trust, verify_store
from cohelix.audit.checkpoint import cosigned_at, read_note
from cohelix.audit.events import LogoutDone
from cohelix.audit.log import AuditLog
from cohelix.audit.witnessed import Witnessed
from cohelix.core.clock import SystemClock
from cohelix.federation.audit_log import DATABASE_FILE, open_log
from cohelix.federation.heralds import key_rotated
from cohelix.federation.signing import Identity, create_identity, load_identity
from cohelix.federation.successions import SuccessionBook, begin_succession, complete_succession, make_succession
from cohelix.federation.transport import Arrival
from cohelix.federation.witness import HubWitness, Witness, followers, keys_at_hub, successions_of
from cohelix.wire.audit import AskWitness, Cosigned, ShownCheckpoint
from cohelix.wire.federation import Member

HUB_URL = "https://hub.example"


class Road:
    """Carries questions within the process; `away` members do not answer."""

    def __init__(self, witnesses: dict[str, Witness]) -> None:
        self.witnesses, self.away = witnesses, set[str]()

    async def ask(self, member: Member, question: str, body: bytes) -> Arrival:
        assert question == "audit-witness"
        if member.id in self.away:
            return Arrival("unreachable", "nobody answers")
        answer = self.witnesses[member.id].answer(AskWitness.model_validate_json(body))
        return Arrival("answered", None, answer.model_dump_json().encode())

    async def close(self) -> None:
        """There is no connection."""


class Trio:
    """A hub and the members FI and GB, who know each other's keys; IT is known to nobody but the hub."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.logs: dict[str, AuditLog] = {}
        self.identities: dict[str, Identity] = {}
        for name in ("hub", "FI", "GB", "IT"):
            (folder / name).mkdir()
            create_identity(folder / name)
            self.identities[name] = load_identity(folder / name)
            self.open(name)
        self.listed = {name: str(self.identities[name].public) for name in ("FI", "GB")}
        self.road = Road({name: Witness(self.logs[name], self.identities[name], self.keys) for name in ("FI", "GB", "IT")})
        self.members = [Member(id=name, state="active", key=self.identities[name].public) for name in ("FI", "GB", "IT")]
        self.book = SuccessionBook(folder / "hub")
        self.hub = HubWitness(
            self.logs["hub"],
            self.identities["hub"],
            keys_at_hub(lambda: self.members, self.book),
            members=lambda: self.members,
            transport=self.road,
            successions=lambda origin: successions_of(self.book, origin, HUB_URL),
        )

    def keys(self, origin: str) -> list[str]:
        name = origin.removeprefix("node/")
        return [self.identities["hub"].public] if name == "hub" else [self.listed[name]] if name in self.listed else []

    def open(self, name: str) -> None:
        origin = name if name == "hub" else f"node/{name}"
        self.logs[name] = open_log(self.folder / name, origin, str(self.folder / name / "node.sqlite"))

    def reopen(self, name: str) -> None:
        """As after a restart of the server."""
        self.logs[name].close()
        self.open(name)
        self.road.witnesses[name] = Witness(self.logs[name], self.identities[name], self.keys)

    def grow(self, *names: str, entries: int = 3) -> None:
        for name in names:
            for number in range(entries):
                self.logs[name].record(LogoutDone(), wait=number == entries - 1)

    def round(self) -> dict[str, list[str]]:
        alarms = asyncio.run(self.hub.round())
        return {origin: [f"{one.origin}: {one.reason}" for one in found] for origin, found in alarms.items()}

    def held(self, name: str) -> dict[str, int]:
        return {origin: one.checkpoint.size for origin, one in Witnessed(self.logs[name].store()).all().items()}


@pytest.fixture
def trio(tmp_path: Path) -> Iterator[Trio]:
    made = Trio(tmp_path)
    made.grow("hub", "FI", "GB", "IT")
    yield made
    for log in made.logs.values():
        log.close()


def test_everybody_holds_the_checkpoints_of_everybody(trio: Trio) -> None:
    assert trio.round() == {"node/FI": [], "node/GB": [], "node/IT": []}
    pinned = trio.held("GB")
    assert pinned["node/FI"] >= 4 and set(pinned) == {"hub", "node/FI", "node/IT"}
    trio.grow("FI", "GB", "hub", entries=700)
    trio.round()
    trio.grow("FI", "IT")
    trio.round()
    head = trio.logs["FI"].store().head()
    assert trio.held("hub")["node/FI"] == trio.held("GB")["node/FI"] == head.size
    events = [row.event for row in trio.logs["GB"].store().entries()]
    assert events.count("checkpoint:pinned") == 3 and "checkpoint:alarm" not in events


def test_lines_of_witnesses_come_back_to_the_log(trio: Trio) -> None:
    trio.round()
    trio.round()
    held = trio.logs["FI"].store().cosignatures()
    assert {"node/GB"} <= set(held), "IT is not on FI's list, so that its line is worth nothing there"
    one = held["node/GB"]
    assert cosigned_at(one, one.signatures[-1], "node/GB", trio.identities["GB"].public).year >= 2024
    assert "node/FI" in trio.logs["hub"].store().cosignatures() or trio.logs["hub"].store().cosignatures() == {}
    forged = Cosigned(origin="node/FI", witness="node/GB", note=one.note(), line=one.signatures[0])
    trio.road.witnesses["FI"].keep(forged)
    assert trio.logs["FI"].store().cosignatures()["node/GB"].signatures == one.signatures


def test_a_log_that_lost_its_end_raises_the_alarm(trio: Trio) -> None:
    trio.logs["FI"].close()
    shutil.copytree(trio.folder / "FI", trio.folder / "kept")
    trio.reopen("FI")
    trio.grow("FI")
    trio.round()
    before = trio.held("GB")["node/FI"]
    trio.logs["FI"].close()
    for path in (trio.folder / "FI").glob(f"{DATABASE_FILE}*"):
        path.unlink()
    shutil.copy(trio.folder / "kept" / DATABASE_FILE, trio.folder / "FI")
    trio.reopen("FI")
    trio.round()
    alarms = [row for row in trio.logs["hub"].store().entries() if row.event == "checkpoint:alarm"]
    assert len(alarms) == 1 and "has become shorter" in alarms[0].content
    trio.round()  # it has grown to as many entries as before, others than those
    told = [row.content for row in trio.logs["hub"].store().entries() if row.event == "checkpoint:alarm"]
    trio.round()
    again = [row.content for row in trio.logs["hub"].store().entries() if row.event == "checkpoint:alarm"]
    assert again == told, "each alarm is said once"
    assert trio.held("GB")["node/FI"] == before, "the hub carries on only what it believes"
    known = Witnessed(trio.logs["GB"].store()).last("node/FI").checkpoint
    assert verify_store(trio.logs["FI"].store(), Trust()).misfit is None, "in itself the log is sound"
    assert "the checkpoint that is known" in verify_store(trio.logs["FI"].store(), Trust([known])).misfit.problem


def test_a_log_that_was_forked_raises_the_alarm_at_every_member(trio: Trio) -> None:
    trio.round()
    trio.logs["FI"].close()
    shutil.copytree(trio.folder / "FI", trio.folder / "fork")
    trio.reopen("FI")
    trio.grow("FI")
    trio.round()
    fork = open_log(trio.folder / "fork", "node/FI", "node.sqlite")
    for _ in range(9):
        fork.record(LogoutDone(), wait=True)
    fork.close()
    seen = Witnessed(trio.logs["GB"].store()).last("node/FI").checkpoint
    shown = fork.store().head()
    proof = tuple(one.hex() for one in fork.store().consistency(seen.size, shown.size))
    question = ShownCheckpoint(origin="node/FI", note=shown.note(), since=seen.size, proof=proof)
    for name in ("hub", "GB"):
        witness = trio.hub if name == "hub" else trio.road.witnesses[name]
        assert witness.see(question) is None
        assert "does not continue" in Witnessed(trio.logs[name].store()).last("node/FI").alarm
    assert trio.round()["node/GB"] == [f"node/FI: it does not continue the {seen.size} entries that were signed before"]
    held = Witnessed(trio.logs["GB"].store()).last("node/FI")
    assert Witnessed(trio.logs["GB"].store()).settle("node/FI", held)
    trio.round()
    assert trio.round()["node/GB"] == []


def test_who_is_away_is_no_alarm(trio: Trio) -> None:
    trio.round()
    trio.road.away.add("GB")
    trio.grow("FI", "GB")
    assert set(trio.round()) == {"node/FI", "node/IT"}
    trio.road.away.clear()
    assert trio.round() == {"node/FI": [], "node/GB": [], "node/IT": []}


def test_a_checkpoint_by_a_foreign_key_is_not_believed(trio: Trio) -> None:
    trio.round()
    (trio.folder / "thief").mkdir()
    create_identity(trio.folder / "thief")
    thief = open_log(trio.folder / "thief", "node/FI", "node.sqlite")
    for _ in range(20):
        thief.record(LogoutDone(), wait=True)
    thief.close()
    for name in ("FI", "IT"):
        note = thief.store().head().note().replace("node/FI", f"node/{name}")
        trio.road.witnesses["GB"].see(ShownCheckpoint(origin=f"node/{name}", note=note, since=4))
    alarms = trio.round()["node/GB"]
    assert alarms == [
        "node/FI: it is signed by another key than the log's",
        "node/IT: the checkpoint is not signed by the key that it names",
    ]


def test_keys_that_followed_are_believed_and_others_are_not(trio: Trio) -> None:
    clock = SystemClock()
    old, new, other = (Identity(key) for key in _keys(3))
    first = make_succession(old, new, "IT", now=clock.now())
    second = make_succession(new, other, "IT", now=clock.now())
    assert followers(old.public, [second, first], clock) == [old.public, new.public, other.public]
    forged = first.model_copy(update={"new": other.public})
    assert followers(old.public, [forged], clock) == [old.public]


def test_a_member_whose_key_followed_stays_witnessed(trio: Trio) -> None:
    trio.round()
    begin_succession(trio.folder / "IT", "IT")
    write_down = trio.logs["IT"].record
    trio.book.add(complete_succession(trio.folder / "IT", note=lambda one: write_down(key_rotated(one, "node/IT"), wait=True)))
    trio.grow("IT")
    found = verify_store(trio.logs["IT"].store(), Trust(key=trio.identities["IT"].public))
    assert found.misfit is None, "the log itself tells how its key followed"
    assert trio.round() == {"node/FI": [], "node/GB": [], "node/IT": []}
    assert read_note(trio.logs["IT"].store().head().note()).key == trio.identities["IT"].public
    assert trio.held("GB")["node/IT"] == trio.logs["IT"].store().head().size


def _keys(number: int) -> list[Ed25519PrivateKey]:
    return [Ed25519PrivateKey.generate() for _ in range(number)]
