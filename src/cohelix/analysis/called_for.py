"""Which local steps a plan calls for: a node answers these in its run and no others, whatever the hub asks.

A hub that departs from the method is found by replaying the run; this keeps it from steps that no run of the plan has, as
histograms of a trait that is not ranked, or components that become covariates.
"""

from __future__ import annotations

from typing import Final

from cohelix.wire.plan import ComponentNumber, Method, Plan, Transformation

_BASIS: Final = frozenset({"column-totals", "column-deviations", "column-squares", "basis-products"})
_TRAITS: Final = _BASIS | {"trait-products"}
_COMPONENTS: Final = frozenset({"column-totals", "counts", "components-product", "components-people"})
_CASE_CONTROL: Final = _BASIS | {f"case-control-{name}" for name in ("null", "scan", "fit", "moments", "carriers", "cumulants")}
_STEPS: Final[dict[Method, frozenset[str]]] = {
    "components": _COMPONENTS,
    "counts": frozenset({"column-totals", "counts"}),
    "firth": _CASE_CONTROL,
    "linear": _TRAITS | {"linear-scan"},
    "logistic": _CASE_CONTROL,
    "meta": _TRAITS | {"meta-scan"},
    "wald": _CASE_CONTROL,
}
_RANKS: Final[dict[Transformation, str]] = {
    "rank": "value-cells",
    "residual-rank": "residual-cells",
    "residual-rank-within-node": "within-node-ranks",
}


def steps_called_for(plan: Plan) -> frozenset[str]:
    """Names of the local steps that a run of the plan may ask."""
    steps = {"people", *_STEPS[plan.method]}
    if plan.transformation in _RANKS:
        steps.add(_RANKS[plan.transformation])
    if plan.method == "linear" and plan.missing == "complete-case":
        steps.add("linear-scan-observed")
    if any(isinstance(one, ComponentNumber) for one in plan.covariates):
        steps |= {*_COMPONENTS, "components-set"}
    if plan.release.node_level:
        steps |= {*_TRAITS, "node-estimates"}
    return frozenset(steps)
