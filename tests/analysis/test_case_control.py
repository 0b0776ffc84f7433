"""Case/control methods over any split of the people equal the pooled run, which equals naive tests of one variant at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from cohelix.analysis.basis import fit_basis
from cohelix.analysis.case_control import fit_null
from cohelix.analysis.data import ArrayGenotypes, LocalData, Study
from cohelix.analysis.pooled import PlainSummer
from cohelix.core.errors import BadQuestion, NotPermitted
from validation.linear.experiment import People
from validation.logistic import naive
from validation.logistic.experiment import compare, run, run_pooled, run_split, simulate, with_gaps

PLANS: list[dict[str, Any]] = [
    {"method": "logistic"},
    {"method": "logistic", "options": {"firth": "full", "case_counts": True}},
    {"method": "wald", "missing": "mean"},
    {"method": "wald", "missing": "complete-case"},
    {"method": "firth", "missing": "mean"},
    {"method": "firth", "missing": "complete-case"},
]


def _people(seed: int, *, n: int = 400, variants: int = 40, cases: float = 0.3, gaps: float = 0.02) -> People:
    """Variants from singletons to common ones, of either allele; covariates of very different units."""
    rng = np.random.default_rng(seed)
    frequency = np.exp(rng.uniform(np.log(1.0 / n), np.log(0.5), variants))
    copies = rng.binomial(2, frequency[:, None], (variants, n))
    copies[variants // 2 :] = 2 - copies[variants // 2 :]
    covariates = rng.normal(size=(n, 2)) * [1.0, 1e4] + [0.0, 1e6]
    dosages = with_gaps(copies, seed=seed, share=gaps)
    return People(dosages, simulate(dosages, covariates, seed=seed, cases=cases)[:, None], covariates)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Matrices are small here: threads would only wait for each other."""
    with threadpool_limits(1):
        yield


@settings(max_examples=10, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    nodes=st.integers(3, 20),
    cases=st.sampled_from([0.5, 0.1]),
    gaps=st.sampled_from([0.0, 0.03]),
    plan=st.sampled_from(PLANS),
)
def test_any_split_gives_the_pooled_answer(seed: int, nodes: int, cases: float, gaps: float, plan: dict[str, Any]) -> None:
    """Sums are rounded to fixed point as in the secure sum, and every part lies within its declared bound."""
    people = _people(seed, n=250, variants=24, cases=cases, gaps=gaps)
    node = np.random.default_rng(seed).integers(0, nodes, 250)
    plan = dict(plan)
    method = plan.pop("method")
    found = compare(run_split(people, node, method, **plan), run_pooled(people, method, **plan))
    assert found.others == 0
    assert found.beta <= 1e-8
    assert found.standard_error <= 1e-7
    assert found.neg_log10_p <= 1e-6


@pytest.fixture(scope="module")
def people() -> People:
    return _people(11, n=900, variants=60, cases=0.15)


def test_the_score_is_that_of_statsmodels_null_model(people: People) -> None:
    null = naive.null_model(people.traits[:, 0], people.covariates)
    lines = run_split(people, np.arange(900) % 5, "logistic", options={"spa_z": 10})
    assert (lines["status"] == "estimated").sum() > 50
    for row, z, beta in zip(lines["row"], lines["statistic"], lines["beta"], strict=True):
        if not np.isnan(z):
            found = naive.score(null, people.dosages[row])
            assert abs(z - found.score / np.sqrt(found.variance)) <= 1e-6
            assert beta == pytest.approx(found.score / found.variance, abs=1e-6)


def test_saddlepoint_and_held_firth_equal_their_definitions(people: People) -> None:
    """Rare variants go by carriers and moments, common ones through everybody: both are within 1e-6 of the whole sum."""
    null = naive.null_model(people.traits[:, 0], people.covariates)
    lines = run_split(people, np.arange(900) % 4, "logistic", options={"spa_z": 0.1})
    chosen = np.flatnonzero(lines["p_method"] == "saddlepoint")
    assert len(chosen) > 40
    copies = np.minimum(lines["effect_allele_frequency"], 1 - lines["effect_allele_frequency"])[chosen]
    assert (copies < 0.01).sum() > 5 < (copies > 0.2).sum()
    for line in chosen:
        dosage = people.dosages[lines["row"][line]]
        assert abs(lines["neg_log10_p"][line] - naive.saddlepoint(null, dosage)) <= 1e-6
        if lines["beta_method"][line] == "firth-approximate":
            held = naive.firth_held(null, dosage)
            assert abs(lines["beta"][line] - held.beta) <= 1e-5 * held.standard_error
            assert lines["standard_error"][line] == pytest.approx(held.standard_error, rel=1e-5)


@pytest.mark.parametrize("missing", ["mean", "complete-case"])
def test_fits_equal_statsmodels_and_a_naive_firth(people: People, missing: str) -> None:
    y, node = people.traits[:, 0], np.arange(900) % 3
    some = People(people.dosages[::4], people.traits, people.covariates)
    plain, penalised = (run_split(some, node, method, missing=missing) for method in ("wald", "firth"))
    assert (penalised["status"] == "estimated").all()
    compared = 0
    for line, row in enumerate(plain["row"]):
        dosage = some.dosages[row]
        called = ~np.isnan(dosage) if missing == "complete-case" else np.ones(len(y), bool)
        who = (y[called], people.covariates[called], naive.filled(dosage)[called])
        strong = naive.firth(*who)
        assert abs(penalised["beta"][line] - strong.beta) <= 1e-6 * strong.standard_error
        assert penalised["standard_error"][line] == pytest.approx(strong.standard_error, rel=1e-6)
        assert penalised["statistic"][line] ** 2 == pytest.approx(strong.ratio, abs=1e-6)
        if min(plain["n1"][line] + 2 * plain["n2"][line], plain["n1"][line] + 2 * plain["n0"][line]) >= 40:
            weak = naive.wald(*who)
            assert abs(plain["beta"][line] - weak.beta) <= 1e-6 * weak.standard_error
            compared += 1
    assert compared >= 5


def test_saddlepoint_is_within_a_factor_of_two_of_the_permutation_distribution() -> None:
    """Without covariates every table of cases can be enumerated; p-values down to 1e-6 and below."""
    rng = np.random.default_rng(5)
    n = 2000
    worst, least = 0.0, 1.0
    for share in (0.5, 0.1, 0.02):
        y = (np.arange(n) < n * share).astype(np.float64)
        frequency = np.exp(rng.uniform(np.log(0.002), np.log(0.3), 60))
        odds = np.exp(rng.uniform(0, 2.5, 60))
        raised = frequency * odds / (1 + frequency * (odds - 1))
        dosages = rng.binomial(2, np.where(y > 0, raised[:, None], frequency[:, None])).astype(np.float64)
        people = People(dosages, y[:, None], np.zeros((n, 0)))
        lines = run_split(people, rng.integers(0, 4, n), "logistic")
        for line in np.flatnonzero(lines["p_method"] == "saddlepoint"):
            exact = naive.permutation_p(dosages[lines["row"][line]], y)
            if exact >= 1e-6:
                worst = max(worst, abs(lines["neg_log10_p"][line] + np.log10(exact)))
                least = min(least, exact)
    assert least < 1e-4
    assert worst <= np.log10(2)


def test_genotypes_of_cases_are_counted_where_asked(people: People) -> None:
    lines = run_split(people, np.arange(900) % 3, "logistic", options={"case_counts": True})
    y = people.traits[:, 0] == 1
    for line, row in enumerate(lines["row"]):
        dosage = people.dosages[row][y]
        assert lines["n_cases"][line] == (~np.isnan(dosage)).sum()
        assert [lines[f"n{copies}_cases"][line] for copies in range(3)] == [(dosage == copies).sum() for copies in range(3)]


def test_several_traits_share_a_pass(people: People) -> None:
    other = simulate(people.dosages, people.covariates, seed=77, cases=0.4)
    both = People(people.dosages, np.column_stack([people.traits[:, 0], other]), people.covariates)
    lines = run_split(both, np.arange(900) % 3, "logistic")
    assert lines["trait"].tolist() == [0, 1] * len(people.dosages)
    for trait in range(2):
        alone = run_pooled(People(people.dosages, both.traits[:, [trait]], people.covariates), "logistic")
        own = {name: column[trait::2] for name, column in lines.items() if name != "trait"}
        assert compare(own, {name: column for name, column in alone.items() if name != "trait"}).others == 0
        assert own["neg_log10_p"] == pytest.approx(alone["neg_log10_p"], abs=1e-6, nan_ok=True)


def test_a_variant_that_one_node_does_not_have_is_fitted_without_its_covariate(people: People) -> None:
    """The node's own covariate says nothing of people who are not there: plink2 and statsmodels would have to be told."""
    here = (np.arange(900) % 3 == 0).astype(np.float64)
    dosages = people.dosages[25:27].copy()
    dosages[:, here == 1] = np.nan
    everybody = People(dosages, people.traits, np.column_stack([people.covariates, here]))
    rest = People(dosages[:, here == 0], people.traits[here == 0], people.covariates[here == 0])
    for method in ("wald", "firth"):
        with_node = run_split(everybody, np.arange(900) % 3, method, missing="complete-case")
        without = run_pooled(rest, method, missing="complete-case")
        assert with_node["beta"] == pytest.approx(without["beta"], rel=1e-6)
        assert with_node["standard_error"] == pytest.approx(without["standard_error"], rel=1e-6)


def test_what_cannot_be_estimated_is_said(people: People) -> None:
    n = 900
    y = people.traits[:, 0]
    constant, all_cases, covariate = np.zeros(n), np.zeros(n), (people.covariates[:, 0] > 0).astype(np.float64)
    all_cases[np.flatnonzero(y == 1)[:12]] = 1.0
    some = People(np.stack([constant, all_cases, covariate]), people.traits, np.column_stack([people.covariates, covariate]))
    node = np.arange(n) % 3
    assert run_split(some, node, "wald")["status"].tolist() == ["monomorphic", "separated", "collinear"]
    lines = run_split(some, node, "firth")
    assert lines["status"].tolist() == ["monomorphic", "estimated", "collinear"]
    assert np.isfinite(lines["beta"]).tolist() == [False, True, False]
    score = run_split(some, node, "logistic")
    assert score["p_method"].tolist() == ["none", "saddlepoint", "none"]
    assert score["beta_method"][1] == "firth-approximate"


def _refusal(people: People, method: str = "logistic", **plan: Any) -> str:
    with pytest.raises((NotPermitted, BadQuestion)) as refused:
        run_pooled(people, method, **plan)
    return str(refused.value)


def test_plans_that_make_no_sense_are_refused_with_a_reason(people: People) -> None:
    y = people.traits
    assert "everybody who takes part is a case" in _refusal(People(people.dosages, np.ones_like(y), people.covariates))
    assert "everybody who takes part is a control" in _refusal(People(people.dosages, np.zeros_like(y), people.covariates))
    telling = People(people.dosages, y, np.column_stack([people.covariates, y[:, 0] + 0.1 * people.covariates[:, 0]]))
    assert "tell cases from controls without error" in _refusal(telling)
    assert "missing: mean" in _refusal(people, missing="complete-case")
    assert "logistic knows case_counts, firth" in _refusal(people, options={"frith": "full"})
    assert "firth knows case_counts" in _refusal(people, "firth", options={"spa_z": 2, "summing": "plain"})
    assert "logistic knows" in _refusal(people, options={"firth": True})
    assert "logistic knows" in _refusal(people, options={"spa_z": -1})
    assert "firth knows case_counts" in _refusal(people, "firth", options={"spa_z": 2})


def test_genotypes_of_cases_are_counted_of_open_data_only(people: People) -> None:
    from cohelix.analysis.case_control import begin
    from cohelix.wire.plan import Plan

    data = LocalData(people.covariates, people.traits, ArrayGenotypes(people.dosages))
    groups = {"case": {"sex": "male"}, "control": {"sex": "female"}, "options": {"case_counts": True}}
    plan = Plan.model_validate({"project": "p", "datasets": ["A:d"], "method": "firth", **groups})
    study = Study(len(people.dosages), ("a", "b"), ("case",), True, 3, 1024)
    assert begin(plan, study, PlainSummer([data]))
    with pytest.raises(NotPermitted, match="open data only"):
        begin(plan, replace(study, mac_floor=20), PlainSummer([data]))


def test_numbers_are_not_cases() -> None:
    data = LocalData(np.zeros((9, 0)), np.arange(9.0)[:, None], ArrayGenotypes(np.ones((1, 9))))
    from cohelix.analysis.logistic import logistic
    from cohelix.wire.plan import Plan

    document = {
        "project": "p",
        "datasets": ["A:d"],
        "method": "logistic",
        "case": {"sex": "male"},
        "control": {"sex": "female"},
    }
    with pytest.raises(NotPermitted, match="compares cases with controls"):
        logistic(Plan.model_validate(document), Study(1, (), ("t",), False, 1, 9), PlainSummer([data]), None)  # type: ignore[arg-type]


def test_a_null_model_of_very_unequal_groups_converges() -> None:
    """Eight cases among 20,000 people: steps are halved where the deviance rises."""
    rng = np.random.default_rng(2)
    covariates = rng.normal(size=(20_000, 2))
    y = np.zeros(20_000)
    y[np.argsort(-covariates[:, 0] - rng.normal(size=20_000))[:8]] = 1
    people = People(np.zeros((1, 20_000)), y[:, None], covariates)
    study = Study(1, ("a", "b"), ("t",), True, 1, 20_000)
    summer = PlainSummer([people.part(np.ones(20_000, bool))])
    null = fit_null(study, summer, fit_basis(study, summer), 0)
    theirs = naive.null_model(y, covariates)
    assert null.weight == pytest.approx((theirs.mu * (1 - theirs.mu)).sum(), rel=1e-8)
    assert np.abs(null.residual).max() < 1e-8


def test_without_the_lattice_correction_p_values_are_smaller(people: People) -> None:
    plain, corrected = (
        run(PlainSummer([people.part(np.ones(900, bool))]), people, 1, "logistic", options={"lattice": lattice})
        for lattice in (False, True)
    )
    both = (plain["p_method"] == "saddlepoint") & (corrected["p_method"] == "saddlepoint")
    assert both.sum() >= 3
    assert (plain["neg_log10_p"][both] > corrected["neg_log10_p"][both]).all()
