"""Ancestry components as an analysis of their own, and as covariates of another one.

Scores of people stay in their node: as covariates they are computed there from the loadings, which are a pooled result.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from pydantic import JsonValue

from cohelix.analysis.components import AncestryComponents, fit_ancestry, local_scores, people_of
from cohelix.analysis.counts import pooled_counts
from cohelix.analysis.data import LocalData, Study
from cohelix.analysis.filters import VariantFilters
from cohelix.analysis.results import Outcome, Sink
from cohelix.analysis.steps import AnyArray, Ask, Statistic, Summer, Sums, local_step
from cohelix.core.arrays import FloatArray, IntArray
from cohelix.core.errors import NotPermitted
from cohelix.disclosure import PEOPLE_FLOOR
from cohelix.wire.plan import ComponentNumber, Plan, VariantFilter

# Components are of common variants: a rare one's scaled dosage is large and tells of its few carriers.
MAF_LEAST = 0.01
VARIANTS_USUAL = 20_000


def components(plan: Plan, study: Study, summer: Summer, sink: Sink) -> Outcome:
    """Write the loadings of the plan's components, a line for each variant used: `component_1` … `component_k`.

    The variants are those that pass the plan's filters with a minor allele frequency of 0.01 or more, on autosomes; of more
    than `options: {variants_max: N}` (20,000) evenly many are taken. Name a list of unlinked variants where linkage matters.

    Raises
    ------
    NotPermitted
        If, of data that are not open, a component is about a few people: its loadings would be their genotypes.
    """
    found, n, filters = _fitted(plan, study, summer, plan.variants)
    columns = {f"component_{number + 1}": found.loadings[:, number] for number in range(found.loadings.shape[1])}
    sink.write(found.rows, {"effect_allele_frequency": found.mean / 2, **columns})
    details: dict[str, JsonValue] = {
        "test": "none",
        "eigenvalues": [float(value) for value in found.values],
        "separated": [bool(one) for one in found.separated],
        "iterations": found.iterations,
        "converged": found.converged,
    }
    return Outcome(n, 0, len(found.rows), filters.left_out, details)


def set_components(plan: Plan, study: Study, summer: Summer) -> AncestryComponents | None:
    """Make the components that the plan names as covariates, and let every node add its people's scores to their covariates.

    They are the last names in `Study.covariates`. None where the plan names none.

    Raises
    ------
    NotPermitted
        If they did not converge, or if one that is named is not separated from its neighbours: it would not be defined.
    """
    numbers = [one.component for one in plan.covariates if isinstance(one, ComponentNumber)]
    if not numbers:
        return None
    # The plan's own filters are for what is tested; components are of the common variants of its region or list.
    common = VariantFilter(region=plan.variants.region, variants=plan.variants.variants, call_rate_min=0.95)
    found, _, _ = _fitted(plan, study, summer, common)
    if not found.converged:
        raise NotPermitted("the ancestry components did not converge: ask for fewer")
    unclear = [number for number in numbers if not found.separated[number - 1]]
    if unclear:
        raise NotPermitted(f"ancestry component {unclear[0]} is not separated from its neighbours: leave it out")
    chosen = np.array(numbers) - 1
    told = {
        "rows": found.rows,
        "mean": found.mean,
        "scale": found.scale * np.sqrt(len(found.rows)),  # so that scores have the eigenvalues as variances
        "loadings": np.ascontiguousarray(found.loadings[:, chosen]),
    }
    summer.sum(Ask("components-set", (Statistic("n", bound=float(study.people_max), integer=True),), told))
    return found


def _fitted(
    plan: Plan, study: Study, summer: Summer, variants: VariantFilter
) -> tuple[AncestryComponents, int, VariantFilters]:
    n = int(summer.sum(Ask("column-totals", (Statistic("n", bound=float(study.people_max), integer=True),)))["n"])
    if n == 0:
        raise NotPermitted("nobody meets the plan's cohort")
    at_least = variants.model_copy(update={"maf_min": max(MAF_LEAST, variants.maf_min)})
    filters = VariantFilters(at_least, study.haploid, study.mac_floor)
    rows: IntArray = np.arange(study.n_variants, dtype=np.int64)
    if len(study.haploid):
        rows = rows[~np.asarray(study.haploid, np.bool_)]

    kept: list[IntArray] = [np.empty(0, np.int64)]
    means: list[FloatArray] = [np.empty(0)]
    for some, found in pooled_counts(summer, rows, n):
        most = np.maximum(np.maximum(found.n0, found.n1), found.n2)
        passing = filters(found, some) & (most < found.called)
        kept.append(some[passing])
        means.append(found.mean[passing])
    chosen, mean = np.concatenate(kept), np.concatenate(means)
    wanted = plan.options.get("variants_max", VARIANTS_USUAL)
    if not isinstance(wanted, int) or wanted < 1:
        raise NotPermitted("options: variants_max is a number of variants")
    if len(chosen) > wanted:
        even = np.linspace(0, len(chosen) - 1, wanted).round().astype(np.int64)
        chosen, mean = chosen[even], mean[even]
    made = fit_ancestry(summer, chosen, mean, n=n, k=plan.components)
    if study.mac_floor:  # of data that are not open
        few = np.flatnonzero(people_of(summer, made) < PEOPLE_FLOOR)
        if few.size:
            raise NotPermitted(
                f"ancestry component {few[0] + 1} is about a few people: ask for fewer components, or for a cohort without them"
            )
    return made, n, filters


@local_step("components-set")
def _set(data: LocalData, broadcast: Mapping[str, AnyArray], _rows: IntArray | None, _more: Mapping[str, AnyArray]) -> Sums:
    data.set_components(local_scores(data, broadcast))
    return {"n": np.int64(data.n)}  # type: ignore[dict-item]
