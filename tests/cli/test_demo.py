"""The demo as a user runs it: what it refuses, what it reports, and that it leaves no process behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cohelix.testing.example_data import INSTALLED, PACKAGE
from cohelix.testing.members import MEMBERS

COMMAND = [sys.executable, "-m", "cohelix.cli.main", "demo"]
DEMO_SECONDS = 400


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words], capture_output=True, text=True, check=False, timeout=280, env={**os.environ, **environment}
    )


def below(pid: int) -> dict[int, str]:
    """Processes that a process has started, and those that they have, by their names."""
    found: dict[int, str] = {}
    for child in Path(f"/proc/{pid}/task").glob("*/children"):
        for number in map(int, child.read_text().split()):
            found[number] = Path(f"/proc/{number}/comm").read_text().strip()
            found |= below(number)
    return found


def running(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has asked about does not."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def checked(report: Mapping[str, Any]) -> None:
    """The report's shape, as the interface promises it."""
    assert {"ok", "seconds", "data", "members", "frequency", "journeys"} <= set(report)
    assert {"source", "simulated", "people", "variants"} <= set(report["data"])
    assert sorted(member["id"] for member in report["members"]) == ["CEU", "FI", "GB", "IT"]
    assert all(set(member) == {"id", "name", "country", "url", "state", "datasets"} for member in report["members"])
    assert {member["id"]: member["country"] for member in report["members"]}["CEU"] == "US"
    assert {"variant", "assembly", "pooled", "nodes"} <= set(report["frequency"])
    assert all({"name", "ok", "seconds", "detail"} <= set(journey) for journey in report["journeys"])
    assert [journey for journey in report["journeys"] if not journey["ok"]] == []
    stories = {journey["name"]: journey["detail"] for journey in report["journeys"]}
    # Simulated patients, checked by the journeys themselves; no figure about genotypes is theirs.
    assert (
        all(count > 0 for count in stories["rare-disease"]["people"].values()) and len(stories["rare-disease"]["people"]) == 2
    )
    assert set(stories["cancer"]["carriers"]) == {"M0", "M1", "M2", "M3", "M4", "M5"}
    assert {part["status"] for node in report["frequency"]["nodes"] for part in node["datasets"]} == {"answered"}
    assert report["ok"] is True


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        report = tmp_path / "r.json"
        ended = run("--once", "--port", str(port), "--report", str(report))
    assert ended.returncode == 2
    assert f"port {port} is in use" in ended.stderr and "Traceback" not in ended.stderr
    told = json.loads(report.read_text())
    assert told["ok"] is False and f"port {port}" in told["error"]


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "something").write_text("")
    ended = run("--once", "--keep", str(tmp_path))
    assert ended.returncode == 2
    assert "not an empty folder" in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["something"]


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    ended = run("--once", "--data", str(tmp_path))
    assert ended.returncode == 2
    assert f"neither {PACKAGE}" in ended.stderr


@pytest.mark.slow
def test_without_real_genomes_it_says_so_stays_until_it_is_told_to_stop_and_leaves_nothing(tmp_path: Path) -> None:
    if INSTALLED.exists():
        pytest.fail(f"this test needs a machine without the Debian package {PACKAGE} installed")
    keep, report, said = tmp_path / "kept", tmp_path / "r.json", tmp_path / "said.txt"
    nowhere = {"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    with said.open("w") as output:
        words = ["--keep", str(keep), "--report", str(report)]
        demo = subprocess.Popen([*COMMAND, *words], stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **nowhere})
    try:
        deadline = time.monotonic() + DEMO_SECONDS
        while not report.exists() and demo.poll() is None and time.monotonic() < deadline:
            time.sleep(0.2)
        assert demo.poll() is None, said.read_text()
        told = json.loads(report.read_text())
        checked(told)
        assert told["data"]["simulated"] is True and told["data"]["people"] == 358
        assert all(f"{member['id']}:simulated" in member["datasets"] for member in told["members"])
        exact = next(journey["detail"] for journey in told["journeys"] if journey["name"] == "exactness")
        assert exact["equal"] == exact["variants"] > 30
        started = below(demo.pid)
        assert sorted(name for name in started.values() if name.startswith("cohelix ")) == ["cohelix hub"] + [
            "cohelix node"
        ] * len(MEMBERS)
    finally:
        demo.send_signal(signal.SIGTERM)
        demo.wait(60)
    assert demo.returncode == 0, said.read_text()
    assert "NO REAL GENOMES COULD BE HAD" in said.read_text() and "simulated data" in said.read_text()
    assert "portal" in said.read_text()
    deadline = time.monotonic() + 5  # what commands were forked from ends when it notices that the demo has
    while any(map(running, started)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert {name for number, name in started.items() if running(number)} == set()
    assert (keep / "nodes" / "FI" / "node.toml").is_file()
