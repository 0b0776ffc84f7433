"""Projects and peers by command line: what the operator says stands in node.toml, with the comments that were there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pyroaring import BitMap
from typer.testing import CliRunner

from cohelix.cli.main import app
from cohelix.core.errors import BadFile, BadUsage, NotFound
from cohelix.db import open_database
from cohelix.disclosure import AnalysisPolicy
from cohelix.disclosure.ledger import Entry, Ledger, ledger_key
from cohelix.federation.signing import create_identity
from cohelix.node import init_node, read_settings
from cohelix.node.settings import PeerSettings, database_of, set_peer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    init_node(tmp_path / "fi", node="FI", name="Finland", country="FI")
    return tmp_path / "fi"


def _run(*words: str) -> dict[str, list[dict[str, object]]]:
    ended = CliRunner().invoke(app, ["node", *words, "--json"], catch_exceptions=False)
    assert ended.exit_code == 0
    return json.loads(ended.stdout)  # type: ignore[no-any-return]


def test_projects_are_allowed_and_forbidden(folder: Path) -> None:
    assert read_settings(folder).analysis == AnalysisPolicy()
    _run("projects", str(folder), "--allow", "liver")
    assert _run("projects", str(folder), "--allow", "heart")["items"] == [{"project": "liver"}, {"project": "heart"}]
    assert _run("projects", str(folder), "--forbid", "liver")["items"] == [{"project": "heart"}]
    text = (folder / "node.toml").read_text()
    assert "# true if people of this node" in text and read_settings(folder).analysis.projects == ("heart",)
    with pytest.raises(BadUsage):
        _run("projects", str(folder), "--forbid", "liver")
    with pytest.raises(BadFile):
        _run("projects", str(folder), "--allow", "../x")
    assert (folder / "node.toml").read_text() == text, "a refused name leaves the file as it was"


def test_allowing_again_forgets_refusals_only(folder: Path) -> None:
    _run("projects", str(folder), "--allow", "liver")
    ledger = Ledger(open_database(database_of(folder, read_settings(folder))), ledger_key(folder))
    policy = AnalysisPolicy(refusals_max=1)
    for people, rule in ((100, ""), (99, "ledger"), (50, "refusals")):
        assert ledger.book(Entry("liver", "count", {"cohort": BitMap(range(people))}), policy).rule == rule
    _run("projects", str(folder), "--allow", "liver")
    for people, rule in ((50, ""), (99, "ledger")):
        assert ledger.book(Entry("liver", "count", {"cohort": BitMap(range(people))}), policy).rule == rule


def test_peers_are_known_by_their_own_operators_word(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "gb").mkdir()
    key, own = create_identity(tmp_path / "gb").public, _run("peers", str(folder))["own"]
    _run("peers", str(folder), "--add", f"GB:{key}")
    known = _run("peers", str(folder), "--add", f"GB:{key}", "--aggregator")["items"]
    assert known == [{"id": "GB", "key": key, "aggregator": True}]
    assert [peer.model_dump() for peer in read_settings(folder).peers] == known and str(own).startswith("FI:")
    with pytest.raises(BadFile):
        _run("peers", str(folder), "--add", f"IT:{key}")
    for words in (["--add", "IT:abc"], ["--add", f"IT:{key}", "--remove", "GB"], ["--aggregator"]):
        with pytest.raises(BadUsage):
            _run("peers", str(folder), *words)
    assert _run("peers", str(folder), "--remove", "GB")["items"] == []
    with pytest.raises(NotFound):
        _run("peers", str(folder), "--remove", "GB")
    assert "peers" not in (folder / "node.toml").read_text()


def test_a_policy_that_is_too_lax_is_no_setting(folder: Path) -> None:
    with (folder / "node.toml").open("a") as file:
        file.write("[analysis]\npeople_min = 2\n")
    with pytest.raises(BadFile, match="people_min"):
        read_settings(folder)


def test_the_role_of_an_aggregator_is_switched_on_and_off(tmp_path: Path) -> None:
    folder = tmp_path / "node"
    init_node(folder, node="FI", name="Finland", country="FI")
    set_peer(folder, PeerSettings(id="GB", key="A" * 43, aggregator=True))
    for word, adds_up in (("--on", True), ("--off", False), ("--on", True)):
        answer = CliRunner().invoke(app, ["node", "aggregate", str(folder), word, "--json"])
        assert json.loads(answer.stdout) == {"node": "FI", "aggregator": adds_up}
        assert read_settings(folder).aggregator is adds_up
    assert [peer.id for peer in read_settings(folder).peers] == ["GB"]
