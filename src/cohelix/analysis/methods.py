"""All methods by name, and how a run of one goes: count the people, make components where they are covariates, then the method.

Importing this module registers every local step: a node that imported it can answer whatever the hub may ask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from cohelix.analysis.ancestry import components, set_components
from cohelix.analysis.case_control import CaseControlOptions
from cohelix.analysis.counts import counts
from cohelix.analysis.data import LocalData, Study
from cohelix.analysis.linear import linear
from cohelix.analysis.logistic import LogisticOptions, logistic
from cohelix.analysis.meta import meta
from cohelix.analysis.results import Outcome, Sink
from cohelix.analysis.steps import AnyArray, Ask, Statistic, Summer, Sums, local_step
from cohelix.analysis.wald import firth, wald
from cohelix.core.arrays import IntArray
from cohelix.wire.plan import Plan

Method = Callable[[Plan, Study, Summer, Sink], Outcome]
METHODS: Final[Mapping[str, Method]] = {
    "components": components,
    "counts": counts,
    "firth": firth,
    "linear": linear,
    "logistic": logistic,
    "meta": meta,
    "wald": wald,
}


def count_people(study: Study, summer: Summer) -> int:
    """How many people take part over all nodes: the first sum of every run, from which each node decides whether it stays."""
    statistic = Statistic("n", bound=float(study.people_max), integer=True)
    return int(summer.sum(Ask("people", (statistic,)))["n"])


def check_options(plan: Plan) -> None:
    """`BadQuestion` where the options of the plan's method are not ones that it has."""
    if plan.method == "logistic":
        LogisticOptions.of(plan)
    elif plan.method in ("firth", "wald"):
        CaseControlOptions.of(plan)


def run_method(plan: Plan, study: Study, summer: Summer, sink: Sink) -> Outcome:
    """Run the plan's method, with the components that it has as covariates made before.

    Raises
    ------
    NotPermitted
        If the plan cannot be computed from these people, for example because a covariate is constant.
    """
    set_components(plan, study, summer)
    return METHODS[plan.method](plan, study, summer, sink)


@local_step("people")
def _people(data: LocalData, _broadcast: Mapping[str, AnyArray], _rows: IntArray | None, _more: Mapping[str, AnyArray]) -> Sums:
    return {"n": np.array(data.n)}
