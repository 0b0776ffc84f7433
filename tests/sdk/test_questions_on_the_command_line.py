"""The questions as commands: one JSON document or a table, withheld numbers never 0, exit statuses as in the interface."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from cohelix.cli.main import main
from cohelix.testing.federation import RunningFederation, simulated_federation


@dataclass
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run(
    federation: RunningFederation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """The `cohelix` command, in this process."""

    def command(*words: str, hub: str | None = None) -> Done:
        monkeypatch.setenv("COHELIX_HUB", hub or federation.hub.url)
        monkeypatch.setattr(sys, "argv", ["cohelix", *words])
        capsys.readouterr()
        try:
            main()
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        return Done(status, *capsys.readouterr())

    return command


def floored(federation: RunningFederation) -> str:
    """A variant that FI has, and GB has in 1 to 4 people."""
    carriers = (federation.cohorts["GB"].alleles.sum(axis=2) > 0).sum(axis=1)
    variant = next(number for number, people in enumerate(carriers) if 0 < people < 5)
    cohort = federation.cohorts["FI"]
    return f"22-{cohort.positions[variant] + 1}-{cohort.refs[variant]}-{cohort.alts[variant]}"


def test_frequency_by_rs_id(federation: RunningFederation, run: Callable[..., Done]) -> None:
    """The simulated people's variants have their position as rsID."""
    carried = int(federation.cohorts["FI"].alleles.any(axis=(1, 2)).argmax())
    cohort = federation.cohorts["FI"]
    position = cohort.positions[carried] + 1
    done = run("frequency", f"rs{position}", "--assembly", "GRCh37", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["variant"] == f"22-{position}-{cohort.refs[carried]}-{cohort.alts[carried]}"
    other = run("frequency", f"rs{position}", "--assembly", "GRCh38")
    assert other.returncode == 2 and f"but of 22-{position}-" in other.stderr and "on GRCh37" in other.stderr
    nobodys = run("frequency", "rs99", "--assembly", "GRCh37")
    assert nobodys.returncode == 2 and "position and alleles find every variant" in nobodys.stderr


def test_frequency(federation: RunningFederation, run: Callable[..., Done]) -> None:
    variant = floored(federation)
    done = run("frequency", variant, "--assembly", "GRCh37", "--json", "--strict")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert [node["datasets"][0]["status"] for node in answer["nodes"]] == ["answered", "below_floor", "refused"]
    table = run("frequency", variant, "--assembly", "GRCh37").stdout
    row = next(line for line in table.splitlines() if "GB:sim" in line and "│" in line)
    assert "< floor" in row and "0" not in row
    assert "IT:sim: refused: visa-required: this dataset is closed" in table


@pytest.mark.parametrize(
    "words",
    [
        ("region", "22:20000001-20005000", "--assembly", "GRCh37"),
        ("gene", "CRELD2", "--assembly", "GRCh37"),
        ("datasets",),
        ("members",),
        ("beacon", "info"),
        ("beacon", "g_variants", "assemblyId=GRCh37", "referenceName=22", "start=20000000", "end=20005000"),
    ],
)
def test_the_other_questions(run: Callable[..., Done], words: tuple[str, ...]) -> None:
    document = json.loads(run(*words, "--json").stdout)
    assert isinstance(document, dict)
    shown = run(*words)
    assert shown.returncode == 0 and shown.stdout.strip(), shown.stderr


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("frequency", "22-1-A", "--assembly", "GRCh37"), 2, "not a variant"),
        (("frequency", "22-1-A-G"), 2, "--assembly"),
        (("frequency", "22-1-A-G", "--assembly", "hg17"), 2, "not an assembly"),
        (("gene", "NOSUCHGENE", "--assembly", "GRCh37"), 2, "gene"),
        (("beacon", "g_variants", "start"), 2, "NAME=VALUE"),
        (("beacon", "g_variants", "--body", "/nowhere.json"), 2, "nowhere"),
    ],
)
def test_what_is_not_understood_ends_with_2(run: Callable[..., Done], words: tuple[str, ...], status: int, says: str) -> None:
    done = run(*words)
    assert (done.returncode, done.stdout) == (status, "")
    assert says in done.stderr and "Traceback" not in done.stderr


def test_a_body_with_a_number_that_json_does_not_have_ends_with_2(run: Callable[..., Done], tmp_path: Path) -> None:
    body = tmp_path / "question.json"
    body.write_text('{"query": {"requestParameters": {"start": NaN}}}')
    done = run("beacon", "g_variants", "--body", str(body))
    assert (done.returncode, done.stdout) == (2, "")
    assert "NaN" in done.stderr and "Traceback" not in done.stderr


def test_nobody_and_not_everybody(run: Callable[..., Done], tmp_path: Path) -> None:
    assert run("datasets", hub="http://127.0.0.1:9").returncode == 5
    words = ("frequency", "22-20000100-A-G", "--assembly", "GRCh37", "--json")
    with simulated_federation(tmp_path, {"FI": "open", "GB": "open"}, deadline_seconds=2.0) as federation:
        federation.nodes["GB"].stop()
        assert run(*words, hub=federation.hub.url).returncode == 0
        strict = run(*words, "--strict", hub=federation.hub.url)
        assert strict.returncode == 4
        assert [node["status"] for node in json.loads(strict.stdout)["nodes"]] == ["answered", "unreachable"]
        assert "GB is absent (unreachable)" in run(*words[:-1], hub=federation.hub.url).stdout
        federation.nodes["FI"].stop()
        none = run(*words, hub=federation.hub.url)
        assert none.returncode == 5 and json.loads(none.stdout)["pooled"]["alleleCount"] is None


def test_hub_commands(tmp_path: Path, run: Callable[..., Done]) -> None:
    folder = str(tmp_path / "hub")
    made = run("hub", "init", folder, "--url", "http://127.0.0.1:8123/", "--json")
    assert json.loads(made.stdout)["url"] == "http://127.0.0.1:8123"
    assert run("hub", "init", folder, "--url", "http://127.0.0.1:8123").returncode == 2
    assert run("hub", "init", str(tmp_path / "x"), "--url", "ftp://hub").returncode == 2
    invited = run("hub", "invite", folder, "--member", "FI")
    assert invited.stdout.startswith("cohelix-join-") and invited.stdout.count("\n") == 1
    assert json.loads(run("hub", "invite", folder, "--member", "GB", "--json").stdout)["token"].startswith("cohelix-join-")
    assert run("hub", "invite", folder, "--member", "../x").returncode == 2
    listed = json.loads(run("hub", "members", folder, "--json").stdout)["members"]
    assert [(one["id"], one["state"]) for one in listed] == [("FI", "invited"), ("GB", "invited")]
    assert run("hub", "suspend", folder, "--member", "FI").returncode == 2
    assert run("hub", "members", str(tmp_path / "nowhere")).returncode == 2
    assert run("node", "join", str(tmp_path / "nowhere"), "token", "--url", "http://127.0.0.1:1").returncode == 2
