"""Files of a finished run: all of them, their verdicts, a report that stands alone, a manifest whose checksums hold."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import yaml
from scipy import stats

from cohelix.analysis.drawing import Estimate, forest, manhattan, rendered
from cohelix.analysis.files import TableWriter
from cohelix.analysis.record import Participant, RunRecord
from cohelix.analysis.release import RELEASED, finish_results
from cohelix.analysis.summary import summarise
from cohelix.analysis.variants import VariantList
from cohelix.analysis.verdict import membership_auc, worst
from cohelix.analysis.window import lines_around
from cohelix.core.genome import Region
from cohelix.core.variant import VariantKey
from cohelix.wire.plan import Plan, plan_hash


def _record(**changes: Any) -> RunRecord:
    plan = Plan.model_validate(
        {"project": "p", "datasets": ["A:d", "B:d", "C:d"], "trait": {"measurement": "LDL"}, "method": "linear"}
    )
    given: dict[str, Any] = {
        "run": "run-1",
        "plan": plan,
        "plan_hash": plan_hash(plan),
        "assembly": "GRCh37",
        "traits": ("LDL",),
        "covariates": ("age",),
        "people": 1000,
        "participants": tuple(Participant(name, "key", "f" * 64, "open") for name in "ABC"),
        "aggregators": ("A", "B", "C"),
        "summing": "additive shares to three aggregators",
        "variants_digest": "0" * 64,
        "open_data": True,
        "mac_floor": 0,
        "started": "2026-01-01T00:00:00Z",
        "ended": "2026-01-01T00:01:00Z",
        "left_out": {"maf_min": 7},
    }
    return RunRecord(**{**given, **changes})


def _table(folder: Path, lines: int = 400, *, frequency: float = 0.3, columns: Mapping[str, Any] | None = None) -> None:
    variants = VariantList.of(VariantKey("22", 50_000_000 + 1000 * i, "A", "G") for i in range(lines))
    rng = np.random.default_rng(1)
    strength = -np.log10(rng.random(lines))
    strength[lines // 2] = 44
    writer = TableWriter(folder, variants, ["LDL"], metadata={})
    table = {
        "trait": np.zeros(lines, np.int64),
        "beta": rng.normal(size=lines),
        "standard_error": rng.random(lines),
        "effect_allele_frequency": np.full(lines, frequency),
        "neg_log10_p": strength,
        "n": np.full(lines, 1000),
        **{name: np.full(lines, value) for name, value in (columns or {}).items()},
    }
    writer.write(np.arange(lines), table)
    writer.close()


def _sign(document: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"of": hashlib.sha256(orjson.dumps(dict(document), option=orjson.OPT_SORT_KEYS)).hexdigest()}


def test_all_files_are_made_and_their_checksums_hold(tmp_path: Path) -> None:
    _table(tmp_path)
    verdicts = finish_results(tmp_path, _record(), sign=_sign)
    assert worst(verdicts) == "pass"
    assert {one.file for one in verdicts} | {"results.tsv.gz.tbi"} == set(RELEASED)
    assert all((tmp_path / name).stat().st_size for name in RELEASED)
    manifest = orjson.loads((tmp_path / "manifest.json").read_bytes())
    graph = {one["@id"]: one for one in manifest["@graph"]}
    for part in graph["./"]["hasPart"]:
        assert graph[part["@id"]]["sha256"] == hashlib.sha256((tmp_path / part["@id"]).read_bytes()).hexdigest()
    action = graph[graph["./"]["mentions"]["@id"]]
    assert {one["@id"] for one in action["agent"]} == {"#node-A", "#node-B", "#node-C"}
    assert action["cohelix:policy"] == "open"
    assert manifest.pop("cohelix:signature") == _sign(manifest)
    metadata = yaml.safe_load((tmp_path / "metadata.yaml").read_text())
    assert metadata["data_file_md5sum"] == hashlib.md5((tmp_path / "results.tsv.gz").read_bytes()).hexdigest()
    page = (tmp_path / "report.html").read_text()
    assert "22-50200001-A-G" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "<script" not in page
    positions, strengths = lines_around(tmp_path, Region("22", 50_000_000, 50_010_001))
    assert positions.tolist() == [50_000_001 + 1000 * i for i in range(11)]
    assert len(strengths) == 11


@pytest.mark.parametrize(
    ("changes", "table", "verdict"),
    [
        ({"open_data": False, "mac_floor": 20}, {"lines": 30}, "pass"),
        ({"open_data": False, "mac_floor": 20}, {"lines": 4000}, "review"),  # 4,000 lines tell who is among 1,000 people
        ({"open_data": False, "mac_floor": 20}, {"lines": 40, "frequency": 0.0095}, "fail"),
        ({"open_data": False, "mac_floor": 20}, {"lines": 30, "frequency": 0.01}, "pass"),
        ({"open_data": False, "traits": ("LDL",) * 51}, {"lines": 40}, "fail"),
        ({}, {"lines": 40, "columns": {"node_FI_beta": 1.0}}, "fail"),
    ],
)
def test_the_automatic_check(tmp_path: Path, changes: dict[str, Any], table: dict[str, Any], verdict: str) -> None:
    _table(tmp_path, **table)
    verdicts = finish_results(tmp_path, _record(**changes), sign=_sign)
    assert worst(verdicts) == verdict
    assert all(one.reasons for one in verdicts if one.verdict != "pass")


def test_membership_bound_is_that_of_a_simulated_attack() -> None:
    rng = np.random.default_rng(5)
    n, m, trials = 400, 200, 1500
    p = rng.uniform(0.05, 0.5, m)
    members = rng.binomial(2, p, (n, m))
    others = rng.binomial(2, p, (trials, m))
    shift = (members.mean(axis=0) / 2 - p) / (p * (1 - p))
    score_in, score_out = (members - 2 * p) @ shift, (others - 2 * p) @ shift
    auc = stats.mannwhitneyu(score_in, score_out).statistic / (n * trials)
    assert membership_auc(m, n) == pytest.approx(auc, abs=0.05)


def test_pictures_are_the_same_for_the_same_data(tmp_path: Path) -> None:
    _table(tmp_path)
    summary = summarise(tmp_path)
    for kind, magic in (("png", b"\x89PNG"), ("svg", b"<?xml")):
        first, second = (rendered(manhattan(summary, title="t"), kind) for _ in range(2))  # type: ignore[arg-type]
        assert first == second
        assert first.startswith(magic)
    assert rendered(forest([Estimate("A", 0.1, 0.2)], title="t"), "png").startswith(b"\x89PNG")
    dark = rendered(manhattan(summary, title="t"), "svg", dark=True).decode()
    assert "#152026" in dark and "#0072b2" not in dark and "#ffffff" not in dark


def test_two_threads_that_draw_do_not_take_each_others_settings() -> None:
    with ThreadPoolExecutor(2) as threads:
        drawn = list(threads.map(lambda _: rendered(forest([Estimate("A", 0.1, 0.2)], title="t"), "svg"), range(4)))
    assert len(set(drawn)) == 1 and b"<text" in drawn[0]  # text stays text, by the settings of this drawing


def test_names_in_the_report_are_text_and_no_markup(tmp_path: Path) -> None:
    _table(tmp_path, 30)
    hostile = "<script>alert(1)</script>"
    record = _record(traits=(hostile,), covariates=(hostile,), left_out={hostile: 3}, aggregators=(hostile,))
    participants = (Participant(hostile, "key", hostile, hostile),)
    plan = record.plan.model_copy(update={"project": hostile, "datasets": (hostile,)})
    finish_results(tmp_path, replace(record, plan=plan, participants=participants), sign=_sign)
    page = (tmp_path / "report.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
