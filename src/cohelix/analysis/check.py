"""What a plan would cost a node: variants, seconds and bytes, told before anything runs.

Seconds come from a look at a few of the node's own variants, so they hold for its people, its stores and its machine; they are
rounded up to one figure, so that nobody reads the number of people off them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from cohelix.analysis.genotypes import StoreGenotypes
from cohelix.analysis.local import covariate_names, sites
from cohelix.bank.study import StudyPeople, trait_columns
from cohelix.core.arrays import IntArray
from cohelix.core.clock import SystemClock
from cohelix.genotypes.names import rows_in
from cohelix.genotypes.products import NOT_ASSESSED, GenotypePart
from cohelix.wire.plan import Method, Plan

# Passes over the genotypes, in units of one linear pass: score and saddlepoint; iterations of Firth for a few; Wald for all.
_PASSES: dict[Method, float] = {
    "linear": 1.0,
    "logistic": 1.5,
    "firth": 4.0,
    "wald": 40.0,
    "counts": 0.5,
    "meta": 1.0,
    "components": 20.0,
}
_COMPONENT_VARIANTS = 20_000  # of more, components are made from evenly many
_LOOKED_AT = 256  # variants that are timed
_LOOK_NUMBERS = 1 << 27  # most of people × columns × variants that are timed: about a tenth of a second
_START_SECONDS = 1.0  # the rounds of sums before the first variant
_NUMBER_BYTES = 8
_CLOCK = SystemClock()


class PlanCost(NamedTuple):
    """Roughly what a plan takes at a node; `variants` is how many it may name, or the plan names."""

    variants: int
    seconds: float
    bytes_sent: int


def plan_cost(study: StudyPeople) -> PlanCost:
    """The cost of a plan for the people whom it means here."""
    plan = study.plan
    named = plan.variants.variants
    variants = len(named) if named is not None else sum(table.num_rows for table in sites(study))
    if plan.method == "components":
        variants = min(variants, _COMPONENT_VARIANTS)
    width = _numbers(plan)
    seconds = _START_SECONDS + variants * _seconds_each(study, width) * _PASSES[plan.method]
    return PlanCost(variants, _rounded(seconds), variants * width * _NUMBER_BYTES)


def _numbers(plan: Plan) -> int:
    """How many numbers are summed for each variant: three counts, and products with covariates and traits, of missing too."""
    columns = len(covariate_names(plan, plan.nodes)) + 1 + len(trait_columns(plan))
    return 3 + columns if plan.method == "counts" else 3 + 2 * columns


def _seconds_each(study: StudyPeople, width: int) -> float:
    """Measured seconds for one variant."""
    if not study.n:
        return 0.0
    rows = [_some_rows(study, number) for number in range(len(study.parts))]
    looked_at = min(_LOOKED_AT, max(2, _LOOK_NUMBERS // (study.n * width)), *(len(held) for held in rows))
    if looked_at < 1:
        return 0.0
    genotypes = _sample(study, [held[:looked_at] for held in rows])
    table = np.ones((study.n, width))
    genotypes.products(np.arange(1), table)  # the first time costs what no other does: shards are checked, loops loaded
    started = _CLOCK.monotonic()
    genotypes.products(np.arange(looked_at), table)
    return (_CLOCK.monotonic() - started) / looked_at


def _some_rows(study: StudyPeople, number: int) -> IntArray:
    """Rows of a dataset spread evenly over the plan's regions; of others where these hold none."""
    store = study.parts[number].version.store
    stretches = [rows for _, rows in rows_in(store, study.plan.variants.regions)] or [range(store.info.n_variants)]
    sizes = np.cumsum([len(rows) for rows in stretches])
    if not sizes[-1]:
        return np.full(_LOOKED_AT, NOT_ASSESSED, np.int64)
    wanted = np.linspace(0, sizes[-1] - 1, _LOOKED_AT).astype(np.int64)
    of = np.searchsorted(sizes, wanted, side="right")
    starts = np.array([rows.start for rows in stretches]) - np.concatenate([[0], sizes[:-1]])
    found: IntArray = wanted + starts[of]
    return np.random.default_rng(0).permutation(found)


def _sample(study: StudyPeople, rows: list[IntArray]) -> StoreGenotypes:
    haploid_two, at, parts = study.plan.dosage_x == "haploid-two", 0, []
    for part, held in zip(study.parts, rows, strict=True):
        people = np.arange(at, at + part.n)
        parts.append(GenotypePart(part.version.store, part.columns, people, held, haploid_two=haploid_two))
        at += part.n
    return StoreGenotypes(parts, study.n)


def _rounded(seconds: float) -> float:
    """Up to one figure, at least one second."""
    scale = 10.0 ** math.floor(math.log10(max(seconds, 1.0)))
    return math.ceil(max(seconds, 1.0) / scale) * scale
