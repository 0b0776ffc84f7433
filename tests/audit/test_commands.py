"""`cohelix audit` as its users meet it: a log of a real folder, its proofs elsewhere, and what was changed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from cohelix.audit.checkpoint import Checkpoint, signed, time_text
from cohelix.audit.events import CheckpointAlarm, Decided, Person, QuestionAnswered, QuestionRefused
from cohelix.audit.witnessed import Proof, Witnessed
from cohelix.cli.audit_log import node_log
from cohelix.cli.main import app
from cohelix.core.errors import CohelixError


class _Ended(NamedTuple):
    """How a command ended: its exit status as `main` gives it, and what it said."""

    exit_code: int
    stdout: str
    stderr: str


def _run(*words: str | Path) -> _Ended:
    ended = CliRunner().invoke(app, [str(word) for word in words])
    error = ended.exception
    status = error.exit_status if isinstance(error, CohelixError) else ended.exit_code
    return _Ended(status, ended.stdout, ended.stderr + (str(error) if isinstance(error, CohelixError) else ""))


def _said(*words: str | Path) -> dict[str, object]:
    ended = _run(*words, "--json")
    assert ended.exit_code == 0, ended.stderr
    return dict(json.loads(ended.stdout))


@pytest.fixture
def node(tmp_path: Path) -> Path:
    folder = tmp_path / "FI"
    assert _run("node", "init", folder, "--id", "FI", "--name", "Finland", "--country", "FI").exit_code == 0
    with node_log(folder) as log:
        for number in range(40):
            told = Decided("FI:cohort", "answered", "controlled", visas=("visa-1",))
            question = QuestionAnswered("frequency", "hub", log.keyed(str(number)), "research", (told,))
            log.record(question, by=Person("researcher", "https://broker.example"), wait=number % 10 == 0)
        log.record(QuestionRefused("beacon", "direct", "login-required <b>"), wait=True)
        log.record(CheckpointAlarm("node/GB", "the log was forked", 7, 9), by="node:FI", wait=True)
    return folder


def test_a_log_is_verified_and_what_was_changed_is_named(node: Path) -> None:
    found = _said("audit", "verify", node)
    assert (found["ok"], found["origin"], found["size"], found["trusted"]) == (True, "node/FI", 43, "key")
    store = node_log(node).store()
    with store.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE audit_entries SET content = replace(content, 'research', 'nothing!') WHERE number = 17"
        )
    ended = _run("audit", "verify", node, "--json")
    assert ended.exit_code == 3
    assert json.loads(ended.stdout)["misfit"]["first"] == 17
    assert "entry 17" in ended.stderr


def test_a_proof_is_verified_anywhere(node: Path, tmp_path: Path) -> None:
    assert _run("audit", "prove", node, "--entry", "5", "--out", tmp_path / "proof.json").exit_code == 0
    assert _said("audit", "verify", "--proof", tmp_path / "proof.json")["entry"] == 5
    proof = json.loads((tmp_path / "proof.json").read_text())
    for name, value in (
        ("number", 6),
        ("entry", proof["entry"].replace("FI:cohort", "FI:other")),
        ("proof", proof["proof"][1:]),
    ):
        (tmp_path / "forged.json").write_text(json.dumps({**proof, name: value}))
        assert _run("audit", "verify", "--proof", tmp_path / "forged.json").exit_code == 3, name
    (tmp_path / "forged.json").write_text("{}")
    assert _run("audit", "verify", "--proof", tmp_path / "forged.json").exit_code == 2
    assert _run("audit", "prove", node, "--entry", "99999").exit_code == 2


@pytest.mark.parametrize("part", [(), ("--from", "7", "--to", "21"), ("--from", "2020-01-01"), ("--from", "9", "--to", "9")])
def test_an_export_proves_itself(node: Path, tmp_path: Path, part: tuple[str, ...]) -> None:
    out = tmp_path / "out"
    said = _said("audit", "export", node, "--out", out, *part)
    assert _said("audit", "verify", out)["ok"] is True
    lines = (out / "entries.ndjson").read_text().splitlines()
    assert len(lines) == said["entries"]
    if lines:
        (out / "entries.ndjson").write_text("\n".join(lines[:-1]) + "\n")
        assert _run("audit", "verify", out).exit_code == 3
        (out / "entries.ndjson").write_text("\n".join([*lines[:-1], lines[-1].replace('"data"', '"date"')]) + "\n")
        assert _run("audit", "verify", out).exit_code == 3
    assert "researcher" not in "".join(lines)
    assert _run("audit", "export", node, "--out", out).exit_code == 2, "a folder is not written over"


def test_an_export_names_people_only_when_asked(node: Path, tmp_path: Path) -> None:
    assert not (tmp_path / "plain" / "people.json").exists()
    _said("audit", "export", node, "--out", tmp_path / "named", "--people")
    people = json.loads((tmp_path / "named" / "people.json").read_text())
    assert {"subject": "researcher", "issuer": "https://broker.example"} in people.values()
    _said("audit", "forget", node, "--subject", "researcher", "--issuer", "https://broker.example")
    _said("audit", "export", node, "--out", tmp_path / "later", "--people")
    assert "researcher" not in (tmp_path / "later" / "people.json").read_text()
    assert _said("audit", "verify", node)["ok"] is True
    assert _run("audit", "forget", node, "--subject", "nobody", "--issuer", "x").exit_code == 2


def test_a_checkpoint_that_somebody_holds_finds_a_shorter_log(node: Path, tmp_path: Path) -> None:
    assert _run("audit", "checkpoint", node, "--out", tmp_path / "held.txt").exit_code == 0
    assert _said("audit", "verify", node, "--checkpoint", tmp_path / "held.txt")["trusted"] == "checkpoint"
    for path in node.glob("audit.sqlite*"):
        path.unlink()
    assert _run("audit", "verify", node).exit_code == 0, "an empty log is sound in itself"
    assert _run("audit", "verify", node, "--checkpoint", tmp_path / "held.txt").exit_code == 3
    assert _run("audit", "checkpoint", node, "--of", "hub").exit_code == 2
    assert _run("audit", "verify", node, "--checkpoint", node / "node.toml").exit_code == 2


def test_an_incident_is_told_from_the_log(node: Path, tmp_path: Path) -> None:
    said = _said("audit", "incident", node, "--from", "2020-01-01", "--out", tmp_path / "incident")
    assert said["files"] == ["early-warning.html", "early-warning.md", "incident.json", "notice.html", "notice.md"]
    found = json.loads((tmp_path / "incident" / "incident.json").read_text())
    assert found["datasets"] == [{"dataset": "FI:cohort", "answered controlled": 40}]
    assert found["visas"] == {"visa-1": 40} and found["unknown"] == 1
    assert found["refusals"] == {"question:refused login-required <b>": 1}
    assert [one["origin"] for one in found["alarms"]] == ["node/GB"]
    notice = (tmp_path / "incident" / "notice.html").read_text()
    assert "the log was forked" in notice and "<b>" not in notice and "researcher" not in notice
    assert "Timeline" not in (tmp_path / "incident" / "early-warning.md").read_text()
    assert _run("audit", "incident", node, "--from", "tomorrow", "--out", tmp_path / "x").exit_code == 2
    assert _run("audit", "verify", tmp_path / "nowhere").exit_code == 2


def test_an_alarm_is_settled_with_a_reason_and_what_was_held_is_kept(node: Path, tmp_path: Path) -> None:
    store, now = node_log(node).store(), datetime.now(UTC)
    key, nothing = Ed25519PrivateKey.generate(), Proof(0, [])

    def shown(size: int, root: bytes) -> str:
        return signed(Checkpoint("node/GB", size, root, time_text(now), ""), key).note()

    def see(note: str) -> bool:
        return Witnessed(store).see(note, "node/GB", nothing, keys=[], now=now).believed

    told = ("audit", "settle", node, "--of", "node/GB", "--reason", "put back from a backup, agreed with GB")
    assert _run(*told, "--out", tmp_path / "held").exit_code != 0, "nothing was seen of it"
    first, forked = shown(7, b"a" * 32), shown(7, b"b" * 32)
    assert see(first)
    ended = _run(*told, "--out", tmp_path / "held")
    assert ended.exit_code != 0 and "no alarm" in ended.stderr and not (tmp_path / "held").exists()
    assert not see(forked)
    assert _run(*told[:-1], " ", "--out", tmp_path / "held").exit_code == 2, "a reason is asked for"
    said = _said(*told, "--out", tmp_path / "held")
    assert (said["origin"], said["size"], said["root"]) == ("node/GB", 7, (b"a" * 32).hex())
    assert (tmp_path / "held").read_text() == first
    assert see(forked), "the next one counts as a first one"
    (entry,) = store.search(events=["checkpoint:settled"])
    assert "agreed with GB" in entry.content and "forked" in entry.content and entry.person is not None
    assert _said("audit", "verify", node)["ok"] is True
