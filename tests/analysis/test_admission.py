"""A node's word on plans over loaded data: who is guarded, what is booked, and the demo's people were they not open."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from cohelix.analysis.admission import admit
from cohelix.bank.load import LoadRequest, load
from cohelix.bank.study import StudyPeople, open_study
from cohelix.core.genome import Assembly, region_1based
from cohelix.core.ids import dataset_id
from cohelix.db import open_database
from cohelix.disclosure import AnalysisPolicy, Verdict
from cohelix.disclosure.ledger import Ledger
from cohelix.testing.cohorts import simulate_cohort, write_vcf
from cohelix.wire.plan import parse_plan

POLICY = AnalysisPolicy(projects=("liver",))
SIZES = {"AAA": 130, "BBB": 90}


def _load(folder: Path, name: Literal["floored", "open"], people: Path, genotypes: Path) -> None:
    (folder / "datasets").mkdir(parents=True, exist_ok=True)
    request = LoadRequest(
        dataset=dataset_id(name),
        genotypes=(genotypes,),
        assembly=Assembly.GRCH37,
        individuals=people,
        disclosure=name,
        quality="off",
    )
    load(folder, request)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A node with 220 people in a floored dataset, who are in an open one too, by other samples' names."""
    place = tmp_path_factory.mktemp("admission")
    cohort = simulate_cohort(SIZES, 20, seed=3, region=region_1based("22", 17_000_001, 51_000_000), assembly=Assembly.GRCH37)
    write_vcf(cohort, place / "g.vcf.gz")
    random = np.random.default_rng(5)
    heights = random.normal(170, 9, len(cohort.samples))
    lines = ["individual_id\tbiosample_id\tsex\tpopulation\tdisease\theight [cm]\tPC1 [1]\tnearly [cm]\tsmoker [1]\tone [1]"]
    for number, sample in enumerate(cohort.samples):
        disease = "MONDO:0005148" if number % 3 == 0 else ""
        marked = float(number == 9)
        line = [f"I{sample}", sample, cohort.sexes[number], cohort.populations[number], disease, f"{heights[number]:.2f}"]
        line += [f"{random.normal():.4f}", f"{heights[number] + 50 * marked:.2f}", str(number % 2), str(marked)]
        lines.append("\t".join(line))
    (place / "people.tsv").write_text("\n".join(lines) + "\n")
    _load(place / "node", "floored", place / "people.tsv", place / "g.vcf.gz")
    _load(place / "node", "open", place / "people.tsv", place / "g.vcf.gz")
    return place / "node"


@pytest.fixture
def ask(folder: Path, tmp_path: Path) -> Callable[..., Verdict]:
    ledger = Ledger(open_database(tmp_path / "node.sqlite"), bytes(32))

    def asked(
        *datasets: str, run: str | None = None, policy: AnalysisPolicy = POLICY, plain: bool = False, **plan: Any
    ) -> Verdict:
        return admit(_study(folder, datasets or ("floored",), **plan), policy, ledger, run=run, plain=plain)

    return asked


def _study(folder: Path, datasets: Sequence[str], **plan: Any) -> StudyPeople:
    named: dict[str, Any] = {"project": "liver", "datasets": [f"FI:{name}" for name in datasets], "method": "linear"}
    if "case" not in plan:
        named["trait"] = {"measurement": "height"}
    return open_study(folder, "FI", parse_plan(named | plan))


def _measured(name: str, **bound: float) -> dict[str, Any]:
    signs = {"above": ">", "below": "<"}
    return {"measurement": name, **{signs[word]: value for word, value in bound.items()}}


def test_a_plan_over_guarded_people_is_accepted_and_booked(ask: Callable[..., Verdict]) -> None:
    assert ask() == (True, "", "", "guarded")
    assert ask(run="run-1").accepts and ask(run="run-1").accepts
    assert ask(project="heart").rule == "project"
    assert ask(plain=True, policy=AnalysisPolicy(projects=("liver",), plain_sums=True)).rule == "plain-sum"


def test_open_data_ask_nothing_of_a_project(ask: Callable[..., Verdict]) -> None:
    verdict = ask("open", project="anybody", rank_cell=1, transformation="residual-rank", covariates=[_measured("one")])
    assert verdict == (True, "", "", "open")


def test_open_data_and_others_do_not_mix(ask: Callable[..., Verdict]) -> None:
    """Whoever has the open data takes them off every sum, and floors on sums count them."""
    assert ask("open", "floored").rule == "mixed-data"
    assert ask("floored", "open").rule == "mixed-data"


def test_everybody_but_one_is_refused_since_frequencies_of_everybody_are_public(ask: Callable[..., Verdict]) -> None:
    assert ask(cohort=_measured("one", below=0.5)).rule == "ledger"
    assert ask("open", cohort=_measured("one", below=0.5)).accepts
    assert ask(cohort=_measured("one", above=0.5)).rule == "people"


def test_a_cohort_that_differs_by_a_few_from_an_earlier_one_is_refused(ask: Callable[..., Verdict]) -> None:
    aaa = {"population": "AAA"}
    cases = {"case": {"disease": "MONDO:0005148"}, "control": {"not": {"disease": "MONDO:0005148"}}, "method": "logistic"}
    assert ask(run="run-1", **cases).accepts
    assert ask(run="run-2", cohort={"all": [aaa]}, **cases).accepts
    few = {"all": [{"disease": "MONDO:0005148"}, _measured("one", below=0.5)]}
    assert ask(**(cases | {"case": few, "control": {"not": few}})).rule == "ledger"


def test_a_check_counts_as_a_count_and_opens_no_run(ask: Callable[..., Verdict]) -> None:
    assert ask(cohort={"population": "AAA"}).accepts
    nearly = {"all": [{"population": "AAA"}, _measured("one", below=0.5)]}
    assert [ask(cohort=nearly, run=run).rule for run in (None, "run-1")] == ["ledger", "ledger"]
    assert ask(cohort={"population": "AAA"}, run="run-2").accepts


def test_minima_cannot_be_probed_for_long(ask: Callable[..., Verdict]) -> None:
    policy = AnalysisPolicy(projects=("liver",), refusals_max=2)
    tall = [ask(policy=policy, cohort=_measured("height", above=bound)).rule for bound in (184.0, 185.0, 185.0, 186.0)]
    assert tall == ["people", "people", "refusals", "refusals"]
    assert ask(policy=policy, run="run-1", cohort=_measured("smoker", above=0.5)).rule == "refusals"
    assert ask(policy=policy, run="run-2").accepts, "sums over everybody are public"


def test_columns_that_are_one_person_are_refused(ask: Callable[..., Verdict]) -> None:
    assert ask(covariates=[_measured("one")]).rule == "dominance"
    assert ask(trait=_measured("nearly"), covariates=[_measured("height")]).rule == "dominance"
    assert ask(covariates=[_measured("PC1"), _measured("smoker"), "sex"]).accepts


def test_levels_of_a_covariate_are_booked(ask: Callable[..., Verdict]) -> None:
    """Smokers are told of as a covariate; smokers but one as a cohort then tell of the one."""
    assert ask(run="run-1", covariates=[_measured("smoker")]).accepts
    smokers = _measured("smoker", above=0.5)
    assert ask(cohort=smokers).accepts
    assert ask(cohort={"all": [smokers, _measured("one", below=0.5)]}).rule == "ledger"


def test_traits_of_a_cohort_add_up_over_runs(ask: Callable[..., Verdict]) -> None:
    policy = AnalysisPolicy(projects=("liver",), traits_share_max=0.01)
    assert ask(run="run-1", policy=policy).accepts
    assert ask(run="run-2", policy=policy, covariates=["sex"]).accepts
    assert ask(run="run-3", policy=policy, covariates=[_measured("PC1")]).rule == "traits"
    assert ask(run="run-4", policy=policy, variants={"region": "22:17000001-18000000"}).accepts


def test_the_default_policy_refuses_the_405_genes_of_the_demos_people(shared_data: Path, tmp_path: Path) -> None:
    """The very expression table, its 358 people and 405 genes; loaded floored it is refused, open it is not."""
    with gzip.open(shared_data / "geuvadis-chr22" / "expression.dev.chr22.bed.gz", "rt") as file:
        table = [line.rstrip("\n").split("\t") for line in file]
    samples, genes = table[0][6:], [row[3] for row in table[1:]]
    assert (len(samples), len(genes)) == (358, 405)
    cohort = simulate_cohort(
        {"EUR": 358}, 5, seed=1, region=region_1based("22", 17_000_001, 51_000_000), assembly=Assembly.GRCH37
    )
    write_vcf(cohort._replace(samples=tuple(samples)), tmp_path / "g.vcf.gz")
    header = ["individual_id", "biosample_id", *(f"{gene} [RPKM]" for gene in genes)]
    rows = [[name, name, *(row[6 + at] for row in table[1:])] for at, name in enumerate(samples)]
    (tmp_path / "people.tsv").write_text("".join("\t".join(row) + "\n" for row in [header, *rows]))
    _load(tmp_path / "node", "floored", tmp_path / "people.tsv", tmp_path / "g.vcf.gz")
    _load(tmp_path / "node", "open", tmp_path / "people.tsv", tmp_path / "g.vcf.gz")
    ledger = Ledger(open_database(tmp_path / "node.sqlite"), bytes(32))

    def asked(dataset: str, traits: Sequence[str]) -> Verdict:
        named = {"project": "liver", "datasets": [f"FI:{dataset}"], "method": "linear"}
        plan = parse_plan({**named, "traits": [{"measurement": gene} for gene in traits]})
        return admit(open_study(tmp_path / "node", "FI", plan), POLICY, ledger)

    assert asked("floored", genes).rule == "traits"
    assert asked("floored", genes[:5]).accepts
    assert asked("open", genes) == (True, "", "", "open")
