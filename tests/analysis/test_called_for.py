"""What a run of a plan asks is what nodes answer for it: no step more, and none less."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from cohelix.analysis.called_for import steps_called_for
from cohelix.analysis.data import ArrayGenotypes, LocalData, Study
from cohelix.analysis.meta import node_estimates
from cohelix.analysis.methods import METHODS, count_people, run_method
from cohelix.analysis.pooled import PlainSummer
from cohelix.analysis.steps import LOCAL_STEPS, Ask, Sums
from cohelix.wire.plan import Plan

N, M = 240, 60
QUANTITATIVE: dict[str, Any] = {"trait": {"measurement": "y"}}
GROUPS: dict[str, Any] = {"case": {"disease": "A:1"}, "control": {"not": {"disease": "A:1"}}}
PLANS: list[dict[str, Any]] = [
    {"method": "counts"},
    {"method": "components", "options": {"components": 1}},
    {"method": "meta", **QUANTITATIVE},
    {"method": "linear", **QUANTITATIVE, "missing": "complete-case"},
    {"method": "linear", **QUANTITATIVE, "transformation": "rank"},
    {"method": "linear", **QUANTITATIVE, "transformation": "residual-rank-within-node"},
    {"method": "linear", **QUANTITATIVE, "transformation": "residual-rank", "covariates": ["age"]},
    {"method": "linear", **QUANTITATIVE, "covariates": [{"component": 1}], "options": {"components": 1}},
    {"method": "linear", **QUANTITATIVE, "release": {"node_level": True, "loci": ["22-5-A-G"]}},
    {"method": "logistic", **GROUPS},
    {"method": "logistic", **GROUPS, "options": {"firth": "full"}},
    {"method": "firth", **GROUPS, "missing": "complete-case"},
    {"method": "wald", **GROUPS},
]


class Recorder(PlainSummer):
    """Plain sums; remembers the names of the steps."""

    def __init__(self, parts: list[LocalData]) -> None:
        super().__init__(parts)
        self.asked: set[str] = set()

    def sum(self, ask: Ask) -> Sums:
        self.asked.add(ask.step)
        return super().sum(ask)

    def blocks(self, ask: Ask) -> Iterator[tuple[range, Sums]]:
        self.asked.add(ask.step)
        return super().blocks(ask)


class Nowhere:
    def write(self, rows: Any, columns: Any) -> None:
        assert columns


def _recorded(plan: Plan) -> set[str]:
    rng = np.random.default_rng(5)
    population = np.arange(N) % 2
    frequency = np.where(population[:, None] == 1, 0.2, 0.6) + rng.uniform(-0.15, 0.15, M)
    dosages = rng.binomial(2, frequency.T).astype(np.float64)
    dosages[:5] = rng.binomial(2, 0.02, (5, N))
    values = rng.normal(size=N) + dosages[7]
    dosages[:20][rng.random((20, N)) < 0.03] = np.nan
    trait = (values > 1).astype(np.float64) if plan.binary else values
    names = ("age",) if plan.covariates and plan.covariates[0] == "age" else ()
    covariates = rng.normal(size=(N, len(names)))
    parts = [
        LocalData(covariates[who], trait[who, None], ArrayGenotypes(dosages[:, who]), place=place, node_level=True)
        for place, who in enumerate(np.array_split(np.arange(N), 3))
    ]
    made = tuple(f"component:{number + 1}" for number in range(sum(not isinstance(one, str) for one in plan.covariates)))
    study = Study(M, (*names, *made), plan.trait_names, plan.binary, 3, 256, mac_floor=1)
    summer = Recorder(parts)
    count_people(study, summer)
    run_method(plan, study, summer, Nowhere())
    if plan.release.node_level:
        node_estimates(study, summer, [7])
    return summer.asked


@pytest.mark.parametrize("changes", PLANS, ids=lambda one: f"{one['method']} {len(str(one))}")
def test_a_run_asks_only_what_its_plan_calls_for(changes: dict[str, Any]) -> None:
    plan = Plan.model_validate({"project": "p", "datasets": ["A:d"], **changes})
    assert _recorded(plan) <= steps_called_for(plan)


def test_every_step_is_called_for_by_some_plan_and_histograms_by_ranks_only() -> None:
    plans = [Plan.model_validate({"project": "p", "datasets": ["A:d"], **changes}) for changes in PLANS]
    told = [steps_called_for(plan) for plan in plans]
    # Other tests have steps of their own.
    built_in = {name for name, step in LOCAL_STEPS.items() if step.__module__.startswith("cohelix.")}
    assert set.union(*map(set, told)) == built_in and {plan.method for plan in plans} == set(METHODS)
    assert not {"residual-cells", "value-cells", "components-set", "node-estimates", "counts"} & told[3]
