"""Genotype counts over all nodes: allele frequency, missingness, and Hardy-Weinberg pooled and within each node.

The pooled test fails where populations differ (Wahlund's effect) although every one of them is in equilibrium; so each node
tests its own people as well, and only how many nodes see a departure is summed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from cohelix.analysis.data import LocalData, Study
from cohelix.analysis.filters import VariantFilters
from cohelix.analysis.results import Outcome, Sink, count_columns
from cohelix.analysis.scan import Counts
from cohelix.analysis.steps import AnyArray, Ask, Statistic, Summer, Sums, local_step
from cohelix.core.arrays import FloatArray, IntArray
from cohelix.core.errors import NotPermitted, ShapeMismatch
from cohelix.stats import hwe_p_values
from cohelix.wire.plan import Plan

NODE_HWE = 1e-6  # a node says that its people depart from equilibrium below this exact p-value


def counts(plan: Plan, study: Study, summer: Summer, sink: Sink) -> Outcome:
    """Write a line for each variant that passes the plan's filters; lines are without trait, effect and test.

    Columns besides those of `results`: `call_rate`, `hwe_p` (pooled, exact; NaN on X, Y and MT) and `hwe_departing_nodes`.
    """
    n = int(summer.sum(Ask("column-totals", (Statistic("n", bound=float(study.people_max), integer=True),)))["n"])
    if n == 0:
        raise NotPermitted("nobody meets the plan's cohort")
    filters = VariantFilters(plan.variants, study.haploid, study.mac_floor)
    haploid = np.asarray(study.haploid, np.bool_) if len(study.haploid) else np.zeros(study.n_variants, np.bool_)
    statistics = (
        *(Statistic(name, bound=n, integer=True) for name in ("n0", "n1", "n2")),
        Statistic("hwe_departing_nodes", bound=study.nodes, integer=True),
    )
    rows: IntArray = np.arange(study.n_variants, dtype=np.int64)
    ask = Ask("counts", statistics, {"threshold": np.array(NODE_HWE)}, rows, closing=())
    for block, sums in summer.blocks(ask):
        some = rows[block.start : block.stop]
        found = Counts(sums["n0"], sums["n1"], sums["n2"], n)
        kept = filters(found, some)
        told, chosen = found.taken(kept), some[kept]
        columns = count_columns(told, 1)
        del columns["trait"]
        hwe = np.full(len(chosen), np.nan)
        tested = ~haploid[chosen]
        hwe[tested] = hwe_p_values(told.n1[tested], told.n0[tested], told.n2[tested])
        departing = np.where(haploid[chosen], 0, sums["hwe_departing_nodes"][kept])
        sink.write(chosen, {**columns, "call_rate": told.called / n, "hwe_p": hwe, "hwe_departing_nodes": departing})
    return Outcome(n, 0, filters.tested, filters.left_out, {"test": "none", "hwe": f"exact; nodes depart below {NODE_HWE:g}"})


def pooled_counts(summer: Summer, rows: IntArray, n: int) -> Iterator[tuple[IntArray, Counts]]:
    """Genotype counts over all nodes, block by block: the variants' numbers in the list, and their counts."""
    statistics = tuple(Statistic(name, bound=n, integer=True) for name in ("n0", "n1", "n2"))
    ask = Ask("counts", statistics, {"threshold": np.array(0.0)}, rows)
    for block, sums in summer.blocks(ask):
        yield rows[block.start : block.stop], Counts(sums["n0"], sums["n1"], sums["n2"], n)


@local_step("counts")
def _counts(data: LocalData, broadcast: Mapping[str, AnyArray], rows: IntArray | None, _more: Mapping[str, AnyArray]) -> Sums:
    if rows is None:
        raise ShapeMismatch("counts are of variants")
    nothing: FloatArray = np.empty((data.n, 0))
    found = data.genotypes.products(rows, nothing)
    p_values = hwe_p_values(found.n1, found.n0, found.n2)
    departs = np.nan_to_num(p_values, nan=1.0) < float(broadcast["threshold"])
    return {"n0": found.n0, "n1": found.n1, "n2": found.n2, "hwe_departing_nodes": departs.astype(np.int64)}
