"""The node's own decision about an analysis: every rule refuses what it names, alone, and no word of a number."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from cohelix.disclosure import AnalysisFacts, AnalysisPolicy, PooledFacts, charged_traits, decide_analysis, decide_pooled
from cohelix.disclosure.analysis import SENTENCES
from cohelix.wire.plan import Plan, parse_plan

POLICY = AnalysisPolicy(projects=("demo",))
GOOD = AnalysisFacts(project="demo", all_open=False, people=89, cases=30, controls=59, traits=1, dominance=0.2, rank_cell=10)
POOLED = PooledFacts(all_open=False, contributors=4, people=89, pooled_people=358, parameters=5)

REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("project", {"project": "another"}),
    ("plain-sum", {"plain": True}),
    ("people", {"people": 49}),
    ("cases", {"cases": 19}),
    ("controls", {"controls": 19}),
    ("traits", {"traits": 5}),
    ("dominance", {"dominance": 0.51}),
    ("dominance", {"dominance": float("nan")}),
    ("rank-cell", {"rank_cell": 9}),
    ("node-level", {"node_level": True, "loci": 1}),
    ("node-level", {"node_covariate": True}),
]


def test_a_good_plan_is_accepted() -> None:
    assert decide_analysis(GOOD, POLICY) == (True, "", "", "guarded")
    assert decide_pooled(POOLED, POLICY).accepts


@pytest.mark.parametrize(("rule", "changed"), REFUSED)
def test_each_rule_refuses_what_it_names(rule: str, changed: dict[str, Any]) -> None:
    verdict = decide_analysis(replace(GOOD, **changed), POLICY)
    assert (verdict.accepts, verdict.rule) == (False, rule)
    assert verdict.sentence == SENTENCES[verdict.rule]  # type: ignore[index]


@pytest.mark.parametrize("people", [0, 10, 48, 49])
def test_a_refusal_does_not_tell_how_far(people: int) -> None:
    assert decide_analysis(replace(GOOD, people=people, traits=0), POLICY) == decide_analysis(
        replace(GOOD, people=1, traits=0), POLICY
    )


def test_no_sentence_holds_a_figure() -> None:
    assert not [sentence for sentence in SENTENCES.values() if re.search(r"\d", sentence)]


def test_the_405_traits_of_358_people_are_refused_by_default() -> None:
    """The demo's plan, were its data not open: 405 genes measured in 358 people at four nodes."""
    genes = [{"measurement": f"G{n}"} for n in range(405)]
    plan = parse_plan({"project": "demo", "datasets": ["FI:g"], "traits": genes, "method": "linear"})
    for people in (89, 358):
        facts = replace(GOOD, people=people, traits=len(charged_traits(plan)), rank_cell=None)
        assert decide_analysis(facts, POLICY).rule == "traits"
        assert decide_analysis(replace(facts, traits=2), POLICY).accepts
    assert decide_analysis(replace(facts, all_open=True), POLICY) == (True, "", "", "open")


def test_open_data_have_no_minimum_but_plain_sums_need_a_word() -> None:
    facts = AnalysisFacts(project="x", all_open=True, people=3, traits=405, dominance=1.0, rank_cell=1, node_level=True, loci=9)
    assert decide_analysis(facts, AnalysisPolicy()).policy == "open"
    assert decide_analysis(replace(facts, plain=True), AnalysisPolicy()).rule == "plain-sum"
    assert decide_analysis(replace(facts, plain=True), AnalysisPolicy(plain_sums=True)).accepts
    assert decide_analysis(replace(GOOD, plain=True), AnalysisPolicy(projects=("demo",), plain_sums=True)).rule == "plain-sum"


def test_estimates_of_the_node_need_its_word_and_a_hundred_loci_at_most() -> None:
    policy = AnalysisPolicy(projects=("demo",), node_level=True)
    assert decide_analysis(replace(GOOD, node_level=True, loci=100), policy).accepts
    assert decide_analysis(replace(GOOD, node_covariate=True), policy).accepts
    assert decide_analysis(replace(GOOD, node_level=True, loci=101), policy).rule == "node-level"
    never = AnalysisPolicy(projects=("demo",), ranks_within_node=False)
    assert decide_analysis(replace(GOOD, ranks_within_node=True), never).rule == "ranks-within-node"


@pytest.mark.parametrize(
    ("rule", "changed"),
    [("contributors", {"contributors": 2}), ("others", {"pooled_people": 98}), ("parameters", {"parameters": 119})],
)
def test_pooled_rules(rule: str, changed: dict[str, Any]) -> None:
    assert decide_pooled(replace(POOLED, **changed), POLICY).rule == rule


def test_open_sums_need_three_nodes_too_but_for_plain_ones() -> None:
    facts = replace(POOLED, all_open=True, contributors=2, pooled_people=90, parameters=80)
    assert decide_pooled(facts, POLICY).rule == "contributors"
    assert decide_pooled(replace(facts, plain=True), POLICY).accepts


@pytest.mark.parametrize(
    "lax", [{"contributors_min": 2}, {"people_min": 9}, {"difference_min": 1}, {"parameters_share_max": 2}]
)
def test_no_setting_goes_below_what_the_house_promises(lax: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AnalysisPolicy(**lax)


def test_a_trait_adjusted_otherwise_is_charged_anew() -> None:
    def plan(**more: Any) -> Plan:
        return parse_plan(
            {"project": "p", "datasets": ["FI:g"], "trait": {"measurement": "height"}, "method": "linear", **more}
        )

    one = charged_traits(plan(covariates=["sex", {"measurement": "PC1"}]))
    assert one == charged_traits(plan(covariates=[{"measurement": "PC1"}, "sex"], variants={"region": "22:1-9"}))
    assert len({*one, *charged_traits(plan()), *charged_traits(plan(transformation="rank"))}) == 3
