"""The doctor finds what is wrong with a folder, says what mends it, and every finding is explained."""

from __future__ import annotations

import json
import os
import re
import time
from datetime import timedelta
from pathlib import Path

import pytest

import cohelix
from cohelix.cli import doctor_checks
from cohelix.cli.doctor_checks import Finding, examine
from cohelix.federation.joining import write_pinned
from cohelix.federation.signing import load_identity
from cohelix.federation.successions import begin_succession
from cohelix.hub import make_hub
from cohelix.node import init_node
from cohelix.testing.federation import simulated_federation
from cohelix.wire.federation import PinnedHub
from validation.certificates import Authority
from validation.processes import done, said


@pytest.fixture
def node(tmp_path: Path) -> Path:
    init_node(tmp_path / "FI", node="FI", name="Finland", country="FI")
    return tmp_path / "FI"


def _levels(folder: Path, **how: object) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for one in examine(folder, **how):  # type: ignore[arg-type]
        found.setdefault(one.slug, set()).add(one.level)
    return found


def _settings(folder: Path, lines: str) -> None:
    path = folder / ("node.toml" if (folder / "node.toml").exists() else "hub.toml")
    path.write_text(f"{lines}\n{path.read_text()}")


def test_every_finding_is_explained_and_every_explanation_is_of_a_finding(repository: Path) -> None:
    source = Path(doctor_checks.__file__).read_text()
    slugs = set(re.findall(r'Finding\(\s*"([a-z-]+)"', source))
    page = (repository / "docs" / "guides" / "doctor.md").read_text()
    assert slugs == set(re.findall(r"^### ([a-z-]+)$", page, re.MULTILINE))
    assert len(slugs) >= 25


@pytest.fixture(scope="session")
def repository() -> Path:
    return Path(__file__).parents[2]


def test_a_new_node_has_no_fault(node: Path) -> None:
    ended = said("doctor", node, "--json")
    found = json.loads(ended.out)
    assert ended.status == 0 and found["ok"] is True
    assert {one["slug"] for one in found["findings"] if one["level"] == "warning"} == {"hub-unknown", "dataset-damaged"}
    assert all(one["mend"] for one in found["findings"] if one["level"] != "ok")


def test_what_is_open_to_others_is_a_fault(node: Path) -> None:
    node.chmod(0o750)
    ended = said("doctor", node)
    assert ended.status == 2 and f"chmod 0700 {node}" in ended.out
    node.chmod(0o700)
    assert _levels(node)["file-open"] == {"ok"}
    (node / "identity" / "key.pem").chmod(0o640)
    found = examine(node)
    assert any(one.slug == "file-open" and one.level == "fault" and "key.pem" in one.says for one in found)
    assert any(one.slug == "check-failed" and one.level == "fault" for one in found)  # and nothing can be signed with it


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    assert said("doctor", tmp_path).status == 2


def test_how_long_the_certificate_holds(node: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca", "members")
    _settings(node, 'tls_certificate = "tls.pem"\ntls_key = "tls.key"')
    for days, level in ((40, "ok"), (5, "warning"), (-0.5, "fault")):
        authority.sign(node / "tls.pem", node / "tls.key", "FI", days=days)
        assert _levels(node)["certificate-ends"] == {level}, days
    (node / "tls.key").chmod(0o644)
    assert _levels(node)["file-open"] == {"fault"}
    (node / "tls.key").write_text("no key")
    assert "check-failed" in _levels(node)


def test_a_server_without_tls_on_the_open_network(tmp_path: Path) -> None:
    make_hub(tmp_path / "hub", url="http://hub.example.org")
    assert _levels(tmp_path / "hub")["tls-off"] == {"fault"}


def test_an_announced_key_that_waits(node: Path) -> None:
    class Earlier:
        def now(self) -> object:
            return cohelix.core.clock.SystemClock().now() - timedelta(hours=3)

    begin_succession(node, "FI", clock=Earlier())  # type: ignore[arg-type]
    assert _levels(node)["key-announced"] == {"warning"}


def test_a_raised_bound_and_an_embedded_issuer_are_told(node: Path, tmp_path: Path) -> None:
    path = node / "node.toml"
    path.write_text(path.read_text() + "\n[disclosure]\nanonymous_power_max = 0.9\n")
    assert _levels(node)["bound-raised"] == {"warning"}
    make_hub(tmp_path / "hub", url="https://hub.example.org")
    hub = tmp_path / "hub" / "hub.toml"
    hub.write_text(hub.read_text() + "accept_bearer = true\n\n[broker]\nembedded = true\n")
    found = _levels(tmp_path / "hub")
    assert found["broker-embedded"] == found["bearer-taken"] == {"warning"}


def test_the_database_is_looked_at_and_left_alone(node: Path, postgres: str) -> None:
    from cohelix.db import downgrade, open_database, revision

    engine = open_database(node / "node.sqlite")
    assert (node / "node.sqlite").stat().st_mode & 0o777 == 0o600
    assert _levels(node)["database-behind"] == {"ok"}
    downgrade(engine, "0001_runs")
    assert _levels(node)["database-behind"] == {"warning"}
    with engine.connect() as connection:
        assert revision(connection) == "0001_runs"
    engine.dispose()
    _settings(node, f'database = "{postgres}"')
    assert set(_levels(node)["database-behind"]) <= {"ok", "warning"}
    path = node / "node.toml"
    path.write_text(path.read_text().replace(postgres, postgres.replace("/cohelix?host=/", "/cohelix?host=/nowhere/")))
    assert _levels(node)["database-unreachable"] == {"fault"}


def test_the_age_of_backups(node: Path, tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    backups.mkdir()
    assert _levels(node, backup=backups)["backup-old"] == {"fault"}
    done("node", "backup", node, "--out", backups / "fi.tar")
    assert _levels(node, backup=backups)["backup-old"] == {"ok"}
    long_ago = time.time() - 9 * 86_400
    os.utime(backups / "fi.tar", (long_ago, long_ago))
    (backups / "fi.tar").chmod(0o644)
    found = _levels(node, backup=backups)
    assert found["backup-old"] == {"warning"} and found["file-open"] == {"ok", "fault"}


def test_a_disk_that_fills(node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"total": 100 << 30, "free": 1 << 20})
    monkeypatch.setattr(doctor_checks.shutil, "disk_usage", lambda _path: usage)
    assert _levels(node)["disk-low"] == {"fault"}


def test_a_federation_that_serves(tmp_path: Path) -> None:
    """Hub and member look at each other; then a key that the hub does not know, and a file of a dataset that is damaged."""
    with simulated_federation(tmp_path, {"FI": "open"}) as federation:
        node = federation.folders["FI"]
        found = _levels(node)
        assert all(found[slug] == {"ok"} for slug in ("address-unreachable", "hub-unreachable", "member-differs", "clock-off"))
        assert found["dataset-damaged"] == {"ok"}
        hub = _levels(federation.folder)
        assert hub["clock-off"] == {"ok"} and "member-unreachable" not in hub
        victim = max((node / "datasets").rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else 0)
        content = bytearray(victim.read_bytes())
        content[len(content) // 2] ^= 1
        victim.write_bytes(content)
        assert _levels(node)["dataset-damaged"] == {"fault"}
        assert "dataset-damaged" not in _levels(node, quick=True)
        federation.nodes["FI"].stop()
        assert _levels(node)["address-unreachable"] == {"fault"}
        assert _levels(federation.folder)["member-unreachable"] == {"warning"}
        write_pinned(
            node,
            PinnedHub(hub_url="http://127.0.0.1:1", hub_key=load_identity(node).public, node_url="", joined_at="2026-01-01"),
        )
        assert _levels(node)["hub-unreachable"] == {"fault"}


def test_findings_are_documents() -> None:
    assert Finding("a", "ok", "b").document() == {"slug": "a", "level": "ok", "says": "b", "mend": ""}
