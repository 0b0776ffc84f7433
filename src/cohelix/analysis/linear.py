"""Linear regression of quantitative traits on each variant: the pooled t-test, from sums over nodes.

Every sum is taken in the pooled orthonormal basis Q of the covariates, with residual traits r of unit variance:
β = Σg·r / d with d = Σg² − ‖Q'g‖², RSS = Σr² − β·Σg·r, and t has n − p − 1 degrees of freedom, p counting the intercept.
After ranks of residuals p is 1. Several traits share one pass over the genotypes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cohelix.analysis import results
from cohelix.analysis.basis import derived, slack
from cohelix.analysis.data import LocalData, Study
from cohelix.analysis.filters import VariantFilters
from cohelix.analysis.results import Outcome, Sink
from cohelix.analysis.scan import Column, Counts, Scan, Scanned, Table, scan, scan_part
from cohelix.analysis.steps import AnyArray, Statistic, Summer, Sums, local_step
from cohelix.analysis.traits import NullTraits, fit_traits, local_design
from cohelix.core.arrays import BoolArray, FloatArray, IntArray
from cohelix.core.errors import ShapeMismatch
from cohelix.stats.regression import COLLINEAR, Estimates, Observed, Reduced, estimate, reduce_all, reduce_some
from cohelix.stats.tails import neg_log10_p_t
from cohelix.wire.plan import Plan

_PIECE_NUMBERS = 1 << 21  # of a piece of variants that is solved at a time: 16 MiB
_TABLE_NUMBERS = 1 << 24  # of a node's table of products: 128 MiB


def linear(plan: Plan, study: Study, summer: Summer, sink: Sink) -> Outcome:
    """Test every variant of the study for every trait, and write the lines into `sink`.

    Raises
    ------
    NotPermitted
        If the null model of a trait cannot be fitted (`traits.fit_traits`).
    """
    null = fit_traits(study, summer, transformation=plan.transformation, rank_cell=plan.rank_cell)
    filters = VariantFilters(plan.variants, study.haploid, study.mac_floor)
    complete, p, traits = plan.missing == "complete-case", null.basis.p, len(null.unit)
    wide = p * p + p * traits if complete else 0
    piece = max(1, min(results.LINES // traits, _PIECE_NUMBERS // max(1, wide)))
    for found in scan(summer, np.arange(study.n_variants), _scan(null, complete), filters):
        for some in found.pieces(piece):
            sink.write(np.repeat(some.rows, traits), _lines(some, null, complete))
    return Outcome(
        n=null.basis.n,
        parameters=p,
        tested=filters.tested,
        left_out=dict(filters.left_out),
        details={"test": "linear regression, t", "transformation": plan.transformation, "missing": plan.missing},
    )


def _scan(null: NullTraits, complete: bool) -> Scan:
    basis, traits = null.basis, len(null.unit)
    n, p = basis.n, basis.p
    columns = (Column("q", p, 1.0), Column("r", traits, float(np.sqrt(n))))
    if not complete:
        return Scan("linear-scan", null.broadcast, n, columns, closing=True)
    observed = (
        Statistic("missing_qq", (p * (p + 1) // 2,), 1.001),
        Statistic("missing_qr", (p, traits), 1.001 * float(np.sqrt(n))),
        Statistic("missing_rr", (traits,), slack(n)),
    )
    return Scan("linear-scan", null.broadcast, n, columns, "linear-scan-observed", observed, closing=True)


def _lines(some: Scanned, null: NullTraits, complete: bool) -> dict[str, AnyArray]:
    """The columns of all lines of some variants."""
    counts, traits = some.counts, len(null.unit)
    reduced = _reduced_observed(some) if complete else _reduced_imputed(some)
    n = counts.called if complete else np.full(len(some.rows), counts.n)
    varying, apart = _varying(counts), _apart(counts, reduced)
    found = estimate(reduced, n, varying & apart)
    neg_log10_p = neg_log10_p_t(found.t, np.maximum(1, found.df)[:, None])
    return {
        **results.count_columns(counts, traits),
        "beta": (found.beta * null.unit).ravel(),
        "standard_error": (found.standard_error * null.unit).ravel(),
        "statistic": found.t.ravel(),
        "df": np.repeat(found.df, traits),
        "neg_log10_p": neg_log10_p.ravel(),
        "status": _status(varying, apart, found).ravel(),
    }


def _reduced_imputed(some: Scanned) -> Reduced:
    """Over everybody; a missing dosage is the mean of the others."""
    n, gr = some.counts.n, some.imputed("r")
    return reduce_all(some.imputed_squares(), some.imputed("q"), gr, np.full(gr.shape[1], float(n)))


def _reduced_observed(some: Scanned) -> Reduced:
    """Over the people with a call: Q is orthonormal, and r orthogonal to it, but for what the others take away."""
    p, n = some.sums["q"].shape[1], some.counts.n
    upper = np.triu_indices(p)
    taken = np.zeros((len(some.rows), p, p))
    taken[:, upper[0], upper[1]] = some.missing["qq"]
    taken[:, upper[1], upper[0]] = some.missing["qq"]
    gram = np.eye(p) - taken
    squares = some.counts.squares.astype(np.float64)
    return reduce_some(Observed(gram, squares, some.sums["q"], some.sums["r"], -some.missing["qr"], n - some.missing["rr"]))


def _varying(counts: Counts) -> BoolArray:
    """Whether not everybody with a call has the same genotype."""
    return np.maximum(np.maximum(counts.n0, counts.n1), counts.n2) < counts.called


def _apart(counts: Counts, reduced: Reduced) -> BoolArray:
    """Whether the covariates leave a part of the genotype's variance."""
    people = np.maximum(1, counts.called)
    variance = counts.squares - counts.copies * counts.copies / people  # imputed means add nothing to it
    return np.asarray(reduced.gg > COLLINEAR * variance, np.bool_)


def _status(varying: BoolArray, apart: BoolArray, found: Estimates) -> AnyArray:
    """(variants, traits) text."""
    variant = np.select(
        [~varying, found.df < 1, ~apart],
        [results.MONOMORPHIC, results.TOO_FEW, results.COLLINEAR],
        results.ESTIMATED,
    )
    return np.where(found.determined, results.DETERMINED, variant[:, None])


def _table(data: LocalData, broadcast: Mapping[str, AnyArray]) -> Table:
    def make() -> Table:
        basis, residuals = local_design(data, broadcast)
        return Table.of({"q": basis, "r": residuals})

    return derived(data, "linear table", broadcast, sorted(broadcast), make)


@local_step("linear-scan")
def _scan_step(
    data: LocalData, broadcast: Mapping[str, AnyArray], rows: IntArray | None, _more: Mapping[str, AnyArray]
) -> Sums:
    return scan_part(data, rows, _table(data, broadcast))


@local_step("linear-scan-observed")
def _observed_step(
    data: LocalData, broadcast: Mapping[str, AnyArray], rows: IntArray | None, _more: Mapping[str, AnyArray]
) -> Sums:
    if rows is None:
        raise ShapeMismatch("a scan is over variants")
    table = _table(data, broadcast)
    p, traits = (width for _, width in table.parts)
    basis, residuals = table.values[:, :p], table.values[:, p:]
    told = sorted(broadcast)

    def squares() -> FloatArray:
        first, second = np.triu_indices(p)
        return np.ascontiguousarray(np.column_stack([basis[:, first] * basis[:, second], residuals**2]))

    def crossed(some: slice) -> FloatArray:
        return (basis[:, :, None] * residuals[:, None, some]).reshape(data.n, -1)

    both = data.genotypes.missing_products(rows, derived(data, "linear squares", broadcast, told, squares))
    # Basis times traits, for everybody: kept if it is small, else made anew for a few traits at a time.
    few = max(1, _TABLE_NUMBERS // max(1, data.n * p))
    if traits <= few:
        whole = derived(data, "linear crossed", broadcast, told, lambda: crossed(slice(None)))
        qr = data.genotypes.missing_products(rows, whole).reshape(-1, p, traits)
    else:
        qr = np.empty((len(rows), p, traits))
        for start in range(0, traits, few):
            some = slice(start, min(traits, start + few))
            sums = data.genotypes.missing_products(rows, crossed(some))
            qr[:, :, some] = sums.reshape(len(rows), p, -1)
    return {"missing_qq": both[:, : p * (p + 1) // 2], "missing_qr": qr, "missing_rr": both[:, p * (p + 1) // 2 :]}
