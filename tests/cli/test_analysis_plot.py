"""`cohelix analysis plot` over a result folder: pictures, words, and precise refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cohelix.analysis.files import TableWriter, write_metadata
from cohelix.analysis.variants import VariantList
from cohelix.cli.main import app
from cohelix.core.errors import BadUsage, NotFound
from cohelix.core.variant import VariantKey


@pytest.fixture
def results(tmp_path: Path) -> Path:
    variants = VariantList.of(VariantKey("22", 50_300_000 + 100 * i, "A", "G") for i in range(300))
    strength = -np.log10(np.random.default_rng(2).random(600))
    strength[300] = 44.5
    writer = TableWriter(tmp_path, variants, ["one", "two"], metadata={})
    writer.write(np.repeat(np.arange(300), 2), {"trait": np.arange(600) % 2, "neg_log10_p": strength, "beta": strength})
    writer.close()
    write_metadata(tmp_path, {"genome_assembly": "GRCh37"})
    return tmp_path


@pytest.mark.parametrize("kind", ["manhattan", "qq", "region"])
@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_pictures(results: Path, kind: str, suffix: str) -> None:
    out = results / f"picture.{suffix}"
    answer = CliRunner().invoke(app, ["analysis", "plot", str(results), "--kind", kind, "--out", str(out)])
    assert answer.exit_code == 0, answer.output
    assert out.read_bytes().startswith(b"\x89PNG" if suffix == "png" else b"<?xml")
    assert "22-50315001-A-G" in answer.output


def test_words_and_json(results: Path) -> None:
    document = json.loads(CliRunner().invoke(app, ["analysis", "plot", str(results), "--json", "--trait", "one"]).stdout)
    assert (document["lines"], document["loci"][0]["position"], document["picture"]) == (300, 50_315_001, None)
    other = json.loads(CliRunner().invoke(app, ["analysis", "plot", str(results), "--json", "--trait", "two"]).stdout)
    assert other["loci"] == []


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        (["--trait", "three"], NotFound, "three"),
        (["--out", "picture.jpg"], BadUsage, ".png or .svg"),
        (["--kind", "region", "--region", "1:5-9", "--out", "picture.png"], NotFound, "no test"),
    ],
)
def test_refusals(results: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], kind: type[Exception], said: str) -> None:
    monkeypatch.chdir(results)
    error = CliRunner().invoke(app, ["analysis", "plot", str(results), *words]).exception
    assert isinstance(error, kind)
    assert said in str(error)
    assert not list(results.glob("picture*"))


def test_another_folder_is_named(tmp_path: Path) -> None:
    error = CliRunner().invoke(app, ["analysis", "plot", str(tmp_path)]).exception
    assert isinstance(error, NotFound)
