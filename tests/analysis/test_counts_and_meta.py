"""Counts and meta-analysis over nodes, against plain loops over people and statsmodels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from statsmodels.stats.meta_analysis import combine_effects

from cohelix.analysis.counts import NODE_HWE, counts
from cohelix.analysis.data import ArrayGenotypes, LocalData, Study
from cohelix.analysis.meta import meta, node_estimates
from cohelix.analysis.pooled import PlainSummer
from cohelix.core.errors import NotPermitted
from cohelix.stats import hwe_p_values
from cohelix.wire.plan import Plan

N, M = 400, 60
CUTS = [90, 200, 310]


class Lines:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.blocks: list[dict[str, Any]] = []

    def write(self, rows: Any, columns: Mapping[str, Any]) -> None:
        self.blocks.append({"row": rows, **columns})

    def __getitem__(self, name: str) -> Any:
        return np.concatenate([block[name] for block in self.blocks])


def _plan(**changes: Any) -> Plan:
    given = {"project": "p", "datasets": ["A:d"], "trait": {"measurement": "y"}, "method": "meta", **changes}
    return Plan.model_validate({name: value for name, value in given.items() if value is not None})


@pytest.fixture(scope="module")
def nodes() -> list[LocalData]:
    rng = np.random.default_rng(11)
    frequency = rng.uniform(0.05, 0.5, M)
    dosages = rng.binomial(2, frequency[:, None], (M, N)).astype(np.float64)
    dosages[:, :90] = rng.binomial(2, 1 - frequency[:, None], (M, 90))  # another population at the first node
    dosages[3, 310:] = 0  # monomorphic at the last
    dosages[rng.random(dosages.shape) < 0.02] = np.nan
    covariates = rng.normal(size=(N, 2)) * [1, 50] + [0, 1000]
    covariates[:90, 1] = 7.0  # the same for everybody at the first node
    traits = 5 + 0.3 * np.nan_to_num(dosages[0])[:, None] + covariates[:, :1] + rng.normal(size=(N, 2)) * [1, 30]
    pieces = np.split(np.arange(N), CUTS)
    return [
        LocalData(covariates[p], traits[p], ArrayGenotypes(dosages[:, p]), place=i, node_level=True, mac_floor=10)
        for i, p in enumerate(pieces)
    ]


STUDY = Study(M, ("a", "b"), ("y", "z"), False, 4, 512)


def test_counts_equal_a_loop_over_people(nodes: list[LocalData]) -> None:
    lines = Lines()
    outcome = counts(_plan(method="counts", trait=None, variants={"maf_min": 0.3}), STUDY, PlainSummer(nodes), lines)
    dosages = np.column_stack([node.genotypes.dosages(np.arange(M)) for node in nodes])
    frequency = np.nanmean(dosages, axis=1) / 2
    expected = np.flatnonzero(np.minimum(frequency, 1 - frequency) >= 0.3)
    assert lines["row"].tolist() == expected.tolist()
    assert outcome.left_out == {"maf_min": M - len(expected)} != {"maf_min": 0}
    for copies in (0, 1, 2):
        assert lines[f"n{copies}"].tolist() == (dosages[expected] == copies).sum(axis=1).tolist()
    assert lines["call_rate"] == pytest.approx((~np.isnan(dosages[expected])).mean(axis=1))
    n = [(dosages[expected] == copies).sum(axis=1) for copies in (0, 1, 2)]
    assert lines["hwe_p"] == pytest.approx(hwe_p_values(n[1], n[0], n[2]))
    assert (lines["hwe_p"] < NODE_HWE).any()  # populations mixed
    assert not lines["hwe_departing_nodes"].any()  # each of them in equilibrium


def test_meta_analysis_equals_the_nodes_regressions_combined(nodes: list[LocalData]) -> None:
    lines = Lines()
    meta(_plan(), STUDY, PlainSummer(nodes), lines)
    for row in (0, 3, 17, 41):
        for trait in (0, 1):
            effects, variances = [], []
            for node in nodes:
                dosage = node.genotypes.dosages(np.array([row]))[0]
                dosage = np.where(np.isnan(dosage), np.nanmean(dosage), dosage)
                if dosage.std() == 0:
                    continue
                varying = node.covariates[:, node.covariates.std(axis=0) > 0]
                fit = sm.OLS(node.traits[:, trait], np.column_stack([dosage, np.ones(node.n), varying])).fit()
                effects.append(fit.params[0])
                variances.append(fit.bse[0] ** 2)
            expected = combine_effects(np.array(effects), np.array(variances))
            line = np.flatnonzero((lines["row"] == row) & (lines["trait"] == trait))[0]
            fixed = expected.summary_frame().loc["fixed effect"]
            assert lines["beta"][line] == pytest.approx(fixed["eff"], rel=1e-9)
            assert lines["standard_error"][line] == pytest.approx(fixed["sd_eff"], rel=1e-9)
            assert lines["q"][line] == pytest.approx(expected.q, rel=1e-7)
            assert lines["i_squared"][line] == pytest.approx(max(0.0, expected.i2), abs=1e-9)
            assert lines["studies"][line] == len(effects) == (3 if row == 3 else 4)


def test_lines_of_fewer_than_three_nodes_are_of_open_data_only(nodes: list[LocalData]) -> None:
    """Of two nodes each could take its own figures off the sum."""
    for floor, few in ((0, True), (1, False)):
        lines = Lines()
        outcome = meta(_plan(), replace(STUDY, mac_floor=floor), PlainSummer(nodes[:2]), lines)
        assert (len(lines["row"]) > 0) == few
        assert ("lines_of_few_studies" in outcome.details) != few


def test_single_nodes_are_told_only_above_their_floor_and_where_they_agree(nodes: list[LocalData]) -> None:
    found = node_estimates(STUDY, PlainSummer(nodes), [0, 3])
    assert np.isnan(found.beta[3, 1]).all()  # nobody there carries it
    assert np.isfinite(found.beta[:3]).all()
    node = nodes[1]
    dosage = node.genotypes.dosages(np.array([0]))[0]
    dosage = np.where(np.isnan(dosage), np.nanmean(dosage), dosage)
    fit = sm.OLS(node.traits[:, 0], np.column_stack([dosage, np.ones(node.n), node.covariates])).fit()
    assert found.beta[1, 0, 0] == pytest.approx(fit.params[0], rel=1e-9)
    assert found.standard_error[1, 0, 0] == pytest.approx(fit.bse[0], rel=1e-9)
    silent = LocalData(node.covariates, node.traits, node.genotypes, place=1)
    with pytest.raises(NotPermitted, match="not released"):
        node_estimates(STUDY, PlainSummer([nodes[0], silent, nodes[2], nodes[3]]), [0])
    with pytest.raises(NotPermitted, match="no more than 100"):
        node_estimates(STUDY, PlainSummer(nodes), list(range(101)))


def test_what_the_meta_analysis_does_not_do_is_said(nodes: list[LocalData]) -> None:
    for changes in ({"missing": "complete-case"}, {"transformation": "rank"}):
        with pytest.raises(NotPermitted, match="say"):
            meta(_plan(**changes), STUDY, PlainSummer(nodes), Lines())


@pytest.mark.parametrize("weight", [0.0, -4.0, -1e-300])
def test_a_member_that_tells_a_weight_which_is_none_tells_no_estimate(nodes: list[LocalData], weight: float) -> None:
    class _Lying(PlainSummer):
        def sum(self, ask: Any) -> Any:
            sums = dict(super().sum(ask))
            if "wb" in sums and "told" in sums:
                sums["w"] = np.where(np.arange(len(sums["w"]))[:, None, None] == 1, weight, sums["w"])
            return sums

    found = node_estimates(STUDY, _Lying(nodes), [0])
    assert np.isnan(found.beta[1]).all() and np.isnan(found.standard_error[1]).all()
    assert np.isfinite(found.beta[0]).all() and np.isfinite(found.standard_error[0]).all()
