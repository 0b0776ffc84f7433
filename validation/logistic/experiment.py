"""Runs case/control plans over people in memory that are split over nodes, and simulates traits over given genotypes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cohelix.analysis.data import Study
from cohelix.analysis.logistic import logistic
from cohelix.analysis.pooled import PlainSummer
from cohelix.analysis.steps import Summer
from cohelix.analysis.wald import firth, wald
from cohelix.wire.plan import Plan
from validation.linear.experiment import FixedPointSummer, Kept, Lines, People

Array = npt.NDArray[Any]
METHODS = {"logistic": logistic, "firth": firth, "wald": wald}


def run(summer: Summer, people: People, nodes: int, method: str, **plan: Any) -> Lines:
    """The lines of a case/control plan over the summer's people."""
    variants, n = people.dosages.shape
    traits = tuple(f"trait {number}" for number in range(people.traits.shape[1]))
    covariates = tuple(f"covariate {number}" for number in range(people.covariates.shape[1]))
    study = Study(variants, covariates, traits, True, nodes, 2 * n)
    groups = {"case": {"disease": "MONDO:0005148"}, "control": {"not": {"disease": "MONDO:0005148"}}}
    document = {"project": "proof", "datasets": ["A:a"], "method": method, **groups, **plan}
    kept = Kept()
    METHODS[method](Plan.model_validate(document), study, summer, kept)
    return kept.lines()


def run_split(people: People, node: Array, method: str, **plan: Any) -> Lines:
    """The same with people at the nodes `node` (people,) and sums rounded as the secure sum does."""
    parts = [people.part(node == one) for one in np.unique(node)]
    return run(FixedPointSummer(parts), people, len(parts), method, **plan)


def run_pooled(people: People, method: str, **plan: Any) -> Lines:
    """The same over everybody in one place."""
    everybody = np.ones(people.dosages.shape[1], bool)
    return run(PlainSummer([people.part(everybody)]), people, 1, method, **plan)


class Differences(NamedTuple):
    """The worst of all lines: |Δβ|/SE, relative in SE, |Δ statistic|, |Δlog10 p|; how many lines differ in anything else."""

    beta: float
    standard_error: float
    statistic: float
    neg_log10_p: float
    others: int


def compare(one: Mapping[str, Array], other: Mapping[str, Array]) -> Differences:
    """How far two tables of the same lines lie apart."""
    if set(one) != set(other) or len(one["row"]) != len(other["row"]):
        return Differences(np.inf, np.inf, np.inf, np.inf, max(len(one["row"]), len(other["row"])))
    wrong = np.zeros(len(one["row"]), bool)
    for name, column in one.items():
        if column.dtype.kind in "iU":
            wrong |= column != other[name]
    wrong |= np.isnan(one["beta"]) != np.isnan(other["beta"])
    good = ~np.isnan(one["beta"]) & ~wrong
    error = other["standard_error"][good]

    def worst(name: str, unit: Array | float = 1.0) -> float:
        return float((np.abs(one[name][good] - other[name][good]) / unit).max(initial=0.0))

    return Differences(
        *(worst("beta", error), worst("standard_error", error), worst("statistic"), worst("neg_log10_p"), int(wrong.sum()))
    )


def simulate(dosages: Array, covariates: Array, *, seed: int, cases: float, causal: int = 5, effect: float = 0.4) -> Array:
    """A trait (people,) of about this share of cases, to which some variants and the first covariate contribute."""
    rng = np.random.default_rng(seed)
    liability = np.zeros(dosages.shape[1])
    for row in rng.choice(len(dosages), causal, replace=False):
        values = np.nan_to_num(dosages[row], nan=float(np.nanmean(dosages[row])))
        liability += effect * (values - values.mean()) / max(values.std(), 1e-3)
    liability += 0.3 * (covariates[:, 0] - covariates[:, 0].mean()) / covariates[:, 0].std()
    low, high = -30.0, 30.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if (1 / (1 + np.exp(-liability - middle))).mean() < cases else (low, middle)
    return (rng.random(len(liability)) < 1 / (1 + np.exp(-liability - low))).astype(np.float64)


def with_gaps(copies: Array, *, seed: int, share: float) -> Array:
    """Dosages as float64; of every second variant this share of the calls missing."""
    rng = np.random.default_rng(seed)
    dosages = copies.astype(np.float64)
    gaps = rng.random(dosages.shape) < share
    gaps[::2] = False
    dosages[gaps] = np.nan
    return dosages
