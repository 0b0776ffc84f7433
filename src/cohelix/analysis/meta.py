"""Meta-analysis of the nodes' own regressions, and what single nodes estimate at named loci.

Each node fits every variant on its own people with its own intercept and covariates; only Σ w, Σ wβ and Σ wβ², w = 1/se²,
are added up, from which follow the inverse-variance estimate, Cochran's Q and I². It is another estimator than the pooled
one (`linear`), and is labelled so. A node takes no part in a variant that it cannot estimate; how many do is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from pydantic import JsonValue

from cohelix.analysis.basis import derived, slack
from cohelix.analysis.data import LocalData, Study
from cohelix.analysis.filters import VariantFilters
from cohelix.analysis.results import ESTIMATED, TOO_FEW, Outcome, Sink, count_columns
from cohelix.analysis.scan import Counts
from cohelix.analysis.steps import AnyArray, Ask, Statistic, Summer, Sums, local_step
from cohelix.analysis.traits import fit_traits
from cohelix.core.arrays import BoolArray, FloatArray, IntArray
from cohelix.core.errors import NotPermitted, ShapeMismatch
from cohelix.stats.meta import inverse_variance
from cohelix.stats.tails import neg_log10_p_chi2, neg_log10_p_normal
from cohelix.wire.plan import Plan

LOCI_MOST = 100
STUDIES_LEAST = 3  # nodes in a line of data that are not open: of fewer, each could take its own figures off
# Least residual variance of a node's fit, of the pooled trait's variance: a better fit is no regression but an identity,
# and bounds of the sums rest on it.
_VARIANCE_LEAST = 1e-6
_COLLINEAR = 1e-9  # share of a genotype's squares that covariates leave over


class NodeEstimates(NamedTuple):
    """Estimates of single nodes at named loci: (nodes, loci, traits) float64, NaN where below the node's floor."""

    beta: FloatArray
    standard_error: FloatArray


def meta(plan: Plan, study: Study, summer: Summer, sink: Sink) -> Outcome:
    """Write a line for each variant that passes the plan's filters, and each trait.

    Of data that are not open, lines of fewer than three nodes with an estimate are not written.

    Columns besides those of `results`: `studies` (nodes with an estimate), `q`, `q_neg_log10_p` and `i_squared`.

    Raises
    ------
    NotPermitted
        If missing genotypes are to be left out (a node's regression fills them with its own mean), or a transformation is
        asked for.
    """
    if plan.missing != "mean":
        raise NotPermitted("the meta-analysis fills missing genotypes with each node's mean: say missing: mean")
    if plan.transformation not in ("none", "zscore"):
        raise NotPermitted("the meta-analysis is of traits as they are measured: say transformation: none or zscore")
    null = fit_traits(study, summer)
    n, many = null.basis.n, len(study.traits)
    scale = {name: null.broadcast[name] for name in ("trait_mean", "trait_sd")}
    unit = np.ones(many) if plan.transformation == "zscore" else np.asarray(scale["trait_sd"], np.float64)
    filters = VariantFilters(plan.variants, study.haploid, study.mac_floor)
    most = slack(n) / _VARIANCE_LEAST
    statistics = (
        *(Statistic(name, bound=n, integer=True) for name in ("n0", "n1", "n2")),
        Statistic("studies", (many,), bound=study.nodes, integer=True),
        Statistic("w", (many,), bound=4 * most),
        Statistic("wb", (many,), bound=2 * most),
        Statistic("wbb", (many,), bound=most),
    )
    rows: IntArray = np.arange(study.n_variants, dtype=np.int64)
    few = 0
    for block, sums in summer.blocks(Ask("meta-scan", statistics, scale, rows, closing=())):
        some = rows[block.start : block.stop]
        counts = Counts(sums["n0"], sums["n1"], sums["n2"], n)
        kept = filters(counts, some)
        if not kept.any():
            continue
        studies = sums["studies"][kept]
        combined = inverse_variance(sums["w"][kept], sums["wb"][kept], sums["wbb"][kept], studies)
        z = combined.beta / combined.standard_error
        columns = {
            "beta": combined.beta * unit,
            "standard_error": combined.standard_error * unit,
            "statistic": z,
            "neg_log10_p": neg_log10_p_normal(z),
            "studies": studies,
            "q": combined.q,
            "q_neg_log10_p": neg_log10_p_chi2(combined.q, np.maximum(1, studies - 1)),
            "i_squared": combined.i_squared,
            "status": np.where(studies > 0, ESTIMATED, TOO_FEW),
        }
        lines = {name: column.reshape(-1) for name, column in columns.items()}
        columns = {**count_columns(counts.taken(kept), many), **lines}
        told = lines["studies"] >= (STUDIES_LEAST if study.mac_floor else 0)
        few += int(np.count_nonzero(~told))
        sink.write(np.repeat(some[kept], many)[told], {name: column[told] for name, column in columns.items()})
    details: dict[str, JsonValue] = {"test": "inverse-variance meta-analysis of the nodes' regressions", "estimator": "meta"}
    if study.mac_floor:
        details["lines_of_few_studies"] = few
    return Outcome(n, null.basis.p, filters.tested, filters.left_out, details)


def node_estimates(study: Study, summer: Summer, rows: Sequence[int]) -> NodeEstimates:
    """What each node estimates at these variants, by its number in the roster.

    Every node fills its own place and 0 elsewhere, so the sums over nodes are the nodes' own figures: nodes whose policy
    does not agree refuse the step, and none tells an estimate below its own floor.
    """
    if len(rows) > LOCI_MOST:
        raise NotPermitted(f"estimates of single nodes are given at no more than {LOCI_MOST} loci")
    null = fit_traits(study, summer)
    n, many = null.basis.n, len(study.traits)
    shape = (study.nodes, len(rows), many)
    most = slack(n) / _VARIANCE_LEAST
    statistics = (
        Statistic("told", shape, bound=1, integer=True),
        Statistic("w", shape, bound=4 * most),
        Statistic("wb", shape, bound=2 * most),
    )
    told: dict[str, AnyArray] = {name: null.broadcast[name] for name in ("trait_mean", "trait_sd")}
    told |= {"nodes": np.array(study.nodes), "rows": np.asarray(rows, np.int64)}
    sums = summer.sum(Ask("node-estimates", statistics, told))
    # A weight is a sum of squares: a member that tells another one tells no estimate.
    weights = np.where((sums["told"] > 0) & (sums["w"] > 0), sums["w"], np.nan)
    return NodeEstimates(sums["wb"] / weights * told["trait_sd"], told["trait_sd"] / np.sqrt(weights))


class _Fits(NamedTuple):
    """A node's regressions of a block: counts (variants,), and w, wβ, wβ² (variants, traits), 0 where not `known`."""

    n0: IntArray
    n1: IntArray
    n2: IntArray
    known: BoolArray
    w: FloatArray
    wb: FloatArray
    wbb: FloatArray


def _fits(data: LocalData, broadcast: Mapping[str, AnyArray], rows: IntArray) -> _Fits:
    Q, residuals, freedom = derived(data, "own fit", broadcast, ("trait_mean", "trait_sd"), lambda: _own_fit(data, broadcast))
    p = Q.shape[1]
    found = data.genotypes.products(rows, np.ascontiguousarray(np.column_stack([Q, residuals])))
    called = found.n0 + found.n1 + found.n2
    mean = (found.n1 + 2 * found.n2) / np.maximum(1, called)
    along = found.products + mean[:, None] * found.missing
    squares = found.n1 + 4 * found.n2 + mean**2 * (data.n - called)
    left = squares - (along[:, :p] ** 2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        beta = along[:, p:] / left[:, None]
        variance = ((residuals**2).sum(axis=0) - beta * along[:, p:]) / freedom
        known = (left > _COLLINEAR * squares)[:, None] & (freedom > 0) & (variance >= _VARIANCE_LEAST)
        w = np.where(known, left[:, None] / variance, 0.0)
    beta = np.where(known, beta, 0.0)
    return _Fits(found.n0, found.n1, found.n2, known, w, w * beta, w * beta**2)


def _own_fit(data: LocalData, broadcast: Mapping[str, AnyArray]) -> tuple[FloatArray, FloatArray, int]:
    """The node's own basis (people, rank), the traits' residuals in pooled units, and n − rank − 1."""
    spread = data.covariates - data.covariates.mean(axis=0) if data.n else data.covariates
    norms = np.linalg.norm(spread, axis=0)
    varies = norms > 1e-10 * np.abs(data.covariates).max(axis=0, initial=1.0) * np.sqrt(max(1, data.n))
    X = np.column_stack([np.full(data.n, 1 / np.sqrt(max(1, data.n))), spread[:, varies] / norms[varies]])
    U, values, _ = np.linalg.svd(X, full_matrices=False)
    Q = U[:, values > 1e-10 * values.max(initial=0.0)]
    y = (data.traits - broadcast["trait_mean"]) / broadcast["trait_sd"]
    for _ in range(2):  # the second pass takes what rounding left along Q
        y = y - Q @ (Q.T @ y)
    return Q, y, data.n - Q.shape[1] - 1


@local_step("meta-scan")
def _scan(data: LocalData, broadcast: Mapping[str, AnyArray], rows: IntArray | None, _more: Mapping[str, AnyArray]) -> Sums:
    if rows is None:
        raise ShapeMismatch("a scan is over variants")
    fits = _fits(data, broadcast, rows)
    counts = {"n0": fits.n0, "n1": fits.n1, "n2": fits.n2, "studies": fits.known.astype(np.int64)}
    return {**counts, "w": fits.w, "wb": fits.wb, "wbb": fits.wbb}


@local_step("node-estimates")
def _estimates(
    data: LocalData, broadcast: Mapping[str, AnyArray], _rows: IntArray | None, _more: Mapping[str, AnyArray]
) -> Sums:
    if not data.node_level:
        raise NotPermitted("estimates of this node alone are not released")
    rows, nodes = broadcast["rows"], int(broadcast["nodes"])
    if len(rows) > LOCI_MOST or not 0 <= data.place < nodes:
        raise NotPermitted(f"estimates of this node alone are given at no more than {LOCI_MOST} loci")
    fits = _fits(data, broadcast, np.ascontiguousarray(rows))
    copies = fits.n1 + 2 * fits.n2
    minor = np.minimum(copies, 2 * (fits.n0 + fits.n1 + fits.n2) - copies)
    told = fits.known & (minor >= max(1, data.mac_floor))[:, None]
    shape = (nodes, *told.shape)
    sums: Sums = {"told": np.zeros(shape, np.int64), "w": np.zeros(shape), "wb": np.zeros(shape)}
    for name, own in (("told", told), ("w", np.where(told, fits.w, 0.0)), ("wb", np.where(told, fits.wb, 0.0))):
        sums[name][data.place] = own
    return sums
