"""Linear regression over nodes: the naive pooled regression, any split, both conventions for gaps, and what has no estimate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohelix.analysis import linear, steps
from cohelix.core.errors import NotPermitted
from validation.linear import naive
from validation.linear.experiment import Lines, People, compare, run_pooled, run_split

TRANSFORMATIONS = ("none", "zscore", "rank", "residual-rank", "residual-rank-within-node")
# |Δβ|/SE and |Δlog10 p| that the issue allows between any split and the pooled run.
BETA, LOG_P = 1e-8, 1e-6


@pytest.fixture(autouse=True, scope="module")
def short_blocks() -> Iterator[None]:
    """Blocks of few variants, so that small studies have several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "BLOCK_VARIANTS", 16)
        yield


def simulated(seed: int, *, people: int = 120, variants: int = 60, gaps: float = 0.1) -> People:
    """Covariates of very different units, one of them a mark of 0 and 1; traits with effects, one of a tiny unit."""
    random = np.random.default_rng(seed)
    dosages = random.binomial(2, random.uniform(0.02, 0.98, (variants, 1)), (variants, people)).astype(float)
    covariates = random.normal(size=(people, 3)) * [1, 1e-7, 1e4] + [0, 3e-6, 1e5]
    covariates = np.column_stack([covariates, random.integers(0, 2, people)])
    traits = random.normal(size=(people, 3)) + covariates[:, [0]] + 0.5 * dosages[:3].T
    traits[:, 1] = traits[:, 1] * 1e-9 + 5e-8
    traits[:, 2] = np.round(traits[:, 2])  # ties
    share = random.choice([0, gaps / 5, gaps], (variants, 1))
    dosages[random.random(dosages.shape) < share] = np.nan
    return People(dosages, traits, covariates)


def nodes_of(people: People, nodes: int, seed: int) -> Any:
    """(people,) which node each is at; unequal, and none empty."""
    random = np.random.default_rng(seed)
    count = people.dosages.shape[1]
    return random.permutation(np.concatenate([np.arange(nodes), random.geometric(0.3, count - nodes) % nodes]))


def naive_lines(people: People, node: Any, *, transformation: str, complete_case: bool) -> Lines:
    lines = []
    for row, dosage in enumerate(people.dosages):
        for trait in range(people.traits.shape[1]):
            values, covariates = naive.transformed(people.traits[:, trait], people.covariates, node, transformation)
            lines.append((row, trait, *naive.regress(dosage, values, covariates, complete_case=complete_case)))
    names = ("row", "trait", "beta", "standard_error", "neg_log10_p", "df")
    return {name: np.array(column) for name, column in zip(names, zip(*lines, strict=True), strict=True)}


@pytest.mark.parametrize("missing", ["mean", "complete-case"])
@pytest.mark.parametrize("transformation", TRANSFORMATIONS)
def test_sums_over_nodes_give_the_naive_regression(transformation: str, missing: str) -> None:
    people = simulated(5)
    node = nodes_of(people, 4, 5)
    found, outcome = run_split(people, node, transformation=transformation, rank_cell=1, missing=missing)
    expected = naive_lines(people, node, transformation=transformation, complete_case=missing == "complete-case")
    assert outcome.tested == 60 and outcome.n == 120
    assert (found["status"] == "estimated").all()
    for name in ("row", "trait", "df"):
        assert (found[name] == expected[name]).all()
    assert np.abs((found["beta"] - expected["beta"]) / expected["standard_error"]).max() <= BETA
    assert np.abs(found["standard_error"] / expected["standard_error"] - 1).max() <= BETA
    assert np.abs(found["neg_log10_p"] - expected["neg_log10_p"]).max() <= LOG_P


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    nodes=st.integers(3, 20),
    gaps=st.sampled_from([0.0, 0.1, 0.6]),
    plan=st.fixed_dictionaries(
        {
            "transformation": st.sampled_from(TRANSFORMATIONS[:4]),
            "rank_cell": st.integers(1, 30),
            "missing": st.sampled_from(["mean", "complete-case"]),
        }
    ),
)
def test_any_split_gives_the_pooled_run(seed: int, nodes: int, gaps: float, plan: dict[str, Any]) -> None:
    people = simulated(seed, people=90, variants=30, gaps=gaps)
    found, outcome = run_split(people, nodes_of(people, nodes, seed), **plan)
    pooled, expected = run_pooled(people, **plan)
    difference = compare(found, pooled)
    assert outcome == expected
    assert difference.others == 0
    assert difference.beta <= BETA and difference.standard_error <= BETA and difference.neg_log10_p <= LOG_P


def test_a_variant_that_a_node_does_not_have_and_a_covariate_that_marks_the_node() -> None:
    people = simulated(8)
    node = nodes_of(people, 3, 8)
    people.covariates[:, 3] = node == 2
    people.dosages[4, node == 2] = np.nan
    found, _ = run_split(people, node, missing="complete-case")
    expected = naive_lines(people, node, transformation="none", complete_case=True)
    # Among the people who have the variant the mark is the same for all, so it takes no degree of freedom.
    assert (found["df"] == expected["df"]).all()
    assert np.abs((found["beta"] - expected["beta"]) / expected["standard_error"]).max() <= BETA
    assert np.abs(found["neg_log10_p"] - expected["neg_log10_p"]).max() <= LOG_P


def test_what_has_no_estimate_says_why() -> None:
    people = simulated(3, gaps=0.0)
    people.dosages[0] = 1
    people.dosages[1] = people.covariates[:, 3]
    people.dosages[2] = np.nan
    people.dosages[3, 5:] = np.nan
    people.dosages[3, :5] = [0, 1, 2, 1, 0]
    people.traits[:, 0] = people.dosages[4] + people.covariates[:, 3]
    node = nodes_of(people, 3, 3)
    found, outcome = run_split(people, node, missing="complete-case")
    first = found["trait"] == 0
    assert found["status"][first][:4].tolist() == ["monomorphic", "collinear", "too-few-people", "determined"]
    assert outcome.left_out == {"not_assessed": 1} and 2 not in found["row"]
    without = found["status"] != "estimated"
    assert np.isnan(found["beta"][without]).all() and np.isnan(found["neg_log10_p"][without]).all()
    assert not np.isnan(found["beta"][~without]).any()
    assert (found["status"][found["trait"] == 1][4:] == "estimated").all()


def test_small_p_values_are_told_by_their_logarithm() -> None:
    people = simulated(11, people=2000, variants=3, gaps=0.02)
    people.traits[:, 1] = people.traits[:, 1] * 1e8 + np.nan_to_num(people.dosages[1], nan=1.0)
    people.traits[:, 0] = people.traits[:, 0] * 0.02 + np.nan_to_num(people.dosages[0], nan=1.0)
    node = nodes_of(people, 5, 11)
    found, _ = run_split(people, node, missing="complete-case")
    expected = naive_lines(people, node, transformation="none", complete_case=True)
    assert found["neg_log10_p"][0] > 400
    assert np.abs(found["neg_log10_p"] - expected["neg_log10_p"]).max() <= LOG_P


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("constant trait", "the trait trait 0 is the same for everybody"),
        ("constant covariate", "the covariate covariate 1 is the same for everybody"),
        ("dependent covariates", "depend on one another"),
        ("trait of covariates", "the trait trait 1 follows from the covariates"),
        ("few people", "as many covariates as there are people"),
    ],
)
def test_null_models_that_cannot_be_fitted_are_refused(change: str, words: str) -> None:
    people = simulated(1, people=5 if change == "few people" else 60, variants=3)
    if change == "constant trait":
        people.traits[:, 0] = 0.1
    elif change == "constant covariate":
        people.covariates[:, 1] = 0.1
    elif change == "dependent covariates":
        people.covariates[:, 2] = 3 * people.covariates[:, 0] + 7
    elif change == "trait of covariates":
        people.traits[:, 1] = people.covariates[:, 0] * 1e-8 + 5
    with pytest.raises(NotPermitted, match=words):
        run_split(people, nodes_of(people, 3, 1))


def test_a_table_that_is_too_large_is_made_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    people = simulated(4)
    node = nodes_of(people, 3, 4)
    whole, _ = run_split(people, node, missing="complete-case")
    monkeypatch.setattr(linear, "_TABLE_NUMBERS", 1)
    pieces, _ = run_split(people, node, missing="complete-case")
    assert all(np.array_equal(whole[name], pieces[name], equal_nan=name != "status") for name in whole)


def test_traits_and_covariates_of_any_unit() -> None:
    people = simulated(6, variants=10)
    node = nodes_of(people, 4, 6)
    expected, _ = run_pooled(people)
    scale = np.array([1e-12, 1e12, 1e6])
    other = People(people.dosages, people.traits * scale, people.covariates * [1e-11, 1, 1e9, 1e-3])
    found, _ = run_split(other, node)
    found["beta"], found["standard_error"] = (found[name] / scale[found["trait"]] for name in ("beta", "standard_error"))
    difference = compare(found, expected)
    assert difference.others == 0
    assert difference.beta <= BETA and difference.standard_error <= BETA and difference.neg_log10_p <= LOG_P
