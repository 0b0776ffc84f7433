"""What the catalogue shows of a dataset: said by its holder, refused precisely, told from the next question on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cohelix.access.authority import init_authority
from cohelix.access.clauses import clause_text, read_clause
from cohelix.bank import Bank
from cohelix.bank.description import description_of
from cohelix.bank.life import verify
from cohelix.cli.main import app
from cohelix.core.errors import BadUsage, Damaged, NotFound
from cohelix.core.ids import DatasetId, NodeId


@pytest.fixture
def node(loaded: Any, tmp_path: Path) -> Path:
    folder = tmp_path / "node"
    CliRunner().invoke(
        app, ["node", "init", str(folder), "--id", "FI", "--name", "Finland", "--country", "FI"], catch_exceptions=False
    )
    home = min((loaded.node / "datasets").iterdir())
    shutil.copytree(home, folder / "datasets" / home.name)
    return folder


def _describe(node: Path, *words: str) -> dict[str, Any]:
    name = next((node / "datasets").iterdir()).name
    ended = CliRunner().invoke(
        app, ["node", "describe", str(node), "--dataset", name, *words, "--json"], catch_exceptions=False
    )
    assert ended.exit_code == 0, ended.stderr
    return dict(json.loads(ended.stdout))


def test_a_bank_that_is_open_tells_what_is_said_of_its_dataset(node: Path) -> None:
    bank = Bank.open(node, NodeId("FI"))
    [before] = bank.datasets()
    assert (before.authority, before.duo, before.description) == (None, (), "")
    said = ("--authority", "FI-dac", "--duo", "DS(MONDO:0004992)", "--duo", "NPUNCU", "--type", "1mg-cohort")
    assert _describe(node, *said, "--description", "A cohort.")["duo"] == ["DS(MONDO:0004992)", "NPUNCU"]
    [after] = bank.datasets()
    assert (after.authority, after.dataset_type, after.description) == ("FI-dac", "1mg-cohort", "A cohort.")
    assert after.duo[0].diseases == ("MONDO:0004992",)
    assert after.title == before.title and after.release == before.release
    # What is not said again stays; codes take the place of all before.
    assert _describe(node, "--duo", "GRU", "--title", "Better")["authority"] == "FI-dac"
    [last] = bank.datasets()
    assert (last.title, [clause.code for clause in last.duo]) == ("Better", ["GRU"])


def test_a_committee_that_does_not_decide_is_refused(node: Path) -> None:
    init_authority(node, authority="FI-dac", name="A committee", hub_url="http://hub", datasets=("FI:other",))
    with pytest.raises(BadUsage, match="FI:other"):
        _describe(node, "--authority", "FI-dac")
    with pytest.raises(BadUsage, match="--country"):
        _describe(node, "--country", "Finland")
    with pytest.raises(BadUsage, match="--type"):
        _describe(node, "--type", "ours")
    with pytest.raises(NotFound):
        CliRunner().invoke(app, ["node", "describe", str(node), "--dataset", "none", "--title", "X"], catch_exceptions=False)


def test_a_damaged_description_says_nothing_and_is_found(node: Path) -> None:
    _describe(node, "--authority", "FI-dac")
    [home] = (node / "datasets").iterdir()
    path = home / "described.json"
    path.write_text(path.read_text().replace("FI-dac", "FJ-dac"))
    with pytest.raises(Damaged, match=r"described\.json"):
        description_of(node, DatasetId(home.name))
    assert Bank.open(node, NodeId("FI")).datasets()[0].authority is None
    assert any("described.json" in one for one in verify(node, [DatasetId(home.name)])[DatasetId(home.name)])


@pytest.mark.parametrize("text", ["GRU", "DS(MONDO:0004992,MONDO:0005148)", "GS(FI,SE)", "MOR(2027-01-01)", "TS(24)"])
def test_a_clause_is_written_as_it_is_read(text: str) -> None:
    assert clause_text(read_clause(text)) == text
    assert read_clause("duo_0000042").code == "GRU"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("GRUU", "no data-use code"),
        ("DS", "needs the permitted diseases"),
        ("DS(cancer)", "cancer"),
        ("GS(Finland)", "Finland"),
        ("MOR(soon)", "soon"),
        ("TS(0)", "months"),
        ("TS(12,13)", "months"),
        ("GRU(FI)", "nothing in brackets"),
        ("DS(MONDO:1", "not closed"),
    ],
)
def test_a_clause_that_is_none_is_refused(text: str, word: str) -> None:
    with pytest.raises(BadUsage, match=word):
        read_clause(text)
