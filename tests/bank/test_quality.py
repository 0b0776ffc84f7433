"""The quality gate as an operator meets it: loads that report and refuse, thresholds, and the page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from cohelix.bank.quality_thresholds import Thresholds, read_thresholds
from cohelix.core.errors import BadFile
from validation.processes import said
from validation.quality import simulate as sim


@pytest.fixture(scope="module")
def swapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with genotypes and people, one of them declared of another sex, and a node without a dataset."""
    folder = tmp_path_factory.mktemp("quality")
    chance = np.random.default_rng(8)
    cohort = sim.simulate(60, chance)
    sim.sequence(cohort, chance)
    cohort.declared_sex[0] = "female"
    sim.write_vcf(cohort, folder / "genotypes.vcf.gz")
    sim.write_people(cohort, folder / "people.tsv")
    assert said("node", "init", folder / "node", "--id", "A", "--name", "A", "--country", "FI").status == 0
    return folder


def load(folder: Path, dataset: str, *words: str | Path) -> tuple[int, str, dict[str, object]]:
    report = folder / f"{dataset}.json"
    ended = said(
        *("node", "load", folder / "node", "--dataset", dataset, "--genotypes", folder / "genotypes.vcf.gz"),
        *("--individuals", folder / "people.tsv", "--assembly", "GRCh37", "--report", report, *words),
    )
    return ended.status, ended.err + ended.out, json.loads(report.read_text()) if report.exists() else {}


def test_a_load_reports_and_leaves_nobody_out(swapped: Path) -> None:
    status, told, report = load(swapped, "reported")
    assert status == 0 and "accept with exclusions" in told
    assert report["quality"]["excluded"] == ["S0000"]  # type: ignore[index]
    assert report["linkage"]["countedCallSets"] == 60  # type: ignore[index]
    assert load(swapped, "off", "--quality", "off")[2]["quality"] is None


def test_enforced_an_excluded_call_set_does_not_count(swapped: Path) -> None:
    status, _, report = load(swapped, "enforced", "--quality", "enforce")
    assert status == 0
    assert report["linkage"]["countedCallSets"] == 59  # type: ignore[index]
    assert report["linkage"]["callSetsNotCounted"]["listed"] == ["S0000"]  # type: ignore[index]
    counted = said("node", "counts", swapped / "node", "--dataset", "enforced", "--region", "1:1-10000000")
    assert max(int(line.split("\t")[4]) for line in counted.out.splitlines()[1:]) <= 2 * 59


def test_enforced_a_bad_dataset_is_refused_and_nothing_published(swapped: Path) -> None:
    strict = swapped / "strict.yaml"
    strict.write_text("dataset: {excluded_share_max: 0}\n")
    status, told, _ = load(swapped, "refused", "--quality", "enforce", "--thresholds", strict)
    assert status == 2 and "1 of 60 call sets would be left out" in told
    assert said("node", "quality", swapped / "node", "--dataset", "refused").status == 2


def test_the_command_says_the_verdict_and_writes_a_page_that_stands_alone(swapped: Path) -> None:
    load(swapped, "shown")
    page = swapped / "page.html"
    ended = said("node", "quality", swapped / "node", "--dataset", "shown", "--out", page, "--json")
    document = json.loads(ended.out)
    assert document["verdict"] == "accept with exclusions"
    assert document["callSets"]["depths"]["mean"][0] == pytest.approx(30, abs=1)  # the load's, which read the reads
    text = page.read_text()
    assert "S0000" in text and text.count("<figure>") >= 6
    assert not re.search(r"<script|https?://|<link|@import|url\(", text)
    assert all('role="img" aria-label="' in svg for svg in re.findall(r"<svg viewBox[^>]*>", text))
    ended = said("node", "quality", swapped / "node", "--dataset", "shown", "--out", page, "--no-names")
    assert ended.status == 0 and not re.search(r"S00\d\d", page.read_text()) and "call set 1<" in page.read_text()


def test_thresholds_are_read_and_mistakes_named(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("samples: {call_rate_min: 0.9}\nbatches: {file: plates.tsv}\nactions: {ancestry: off}\n")
    read = read_thresholds(path)
    assert read.samples.call_rate_min == 0.9 and read.batches.file == tmp_path / "plates.tsv"
    assert read.actions.ancestry == "off" and read.actions.sex == "exclude"
    assert read.relatedness == Thresholds().relatedness and read_thresholds(None) == Thresholds()
    for text, named in (("samples: {call_rate: 1}", "samples.call_rate"), ("- 1", "top"), ("a: [", "line 1"), ("x: 1", "x")):
        path.write_text(text)
        with pytest.raises(BadFile, match=re.escape(named)):
            read_thresholds(path)
    with pytest.raises(BadFile, match="cannot be read"):
        read_thresholds(tmp_path / "absent.yaml")
