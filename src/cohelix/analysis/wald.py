"""Logistic regression of every variant with the covariates fitted anew: Wald's test, and Firth's with its likelihood ratio.

Both are slow beside the score test (`analysis.logistic`), some ten rounds for each stretch of variants, and answer what
plink2 answers with `no-firth` and `firth`.
"""

from __future__ import annotations

import numpy as np

from cohelix.analysis import results
from cohelix.analysis.case_control import CaseControlOptions, Null, Tested, begin, stretches, tested, write_lines
from cohelix.analysis.data import Study
from cohelix.analysis.filters import VariantFilters
from cohelix.analysis.firth import fit_variants
from cohelix.analysis.results import Outcome, Sink
from cohelix.analysis.steps import AnyArray, Summer
from cohelix.stats.tails import neg_log10_p_chi2, neg_log10_p_normal
from cohelix.wire.plan import Plan

SEPARATED = "separated"  # the likelihood has no maximum: genotype and covariates tell cases from controls
NOT_CONVERGED = "not-converged"


def wald(plan: Plan, study: Study, summer: Summer, sink: Sink) -> Outcome:
    """Fit every variant by maximum likelihood; p by Wald's z. Lines as in `results`, and `n_cases`."""
    return _every_variant(plan, study, summer, sink, penalised=False)


def firth(plan: Plan, study: Study, summer: Summer, sink: Sink) -> Outcome:
    """Fit every variant by Firth's penalised likelihood; p by the penalised likelihood ratio, `statistic` is its signed root.

    Lines as in `results`, and `n_cases`, and `wald_neg_log10_p`, what β over its standard error gives (plink2's p).
    """
    return _every_variant(plan, study, summer, sink, penalised=True)


def _every_variant(plan: Plan, study: Study, summer: Summer, sink: Sink, *, penalised: bool) -> Outcome:
    options = CaseControlOptions.of(plan)
    nulls = begin(plan, study, summer)
    filters = VariantFilters(plan.variants, study.haploid, study.mac_floor)
    for rows in stretches(study.n_variants, nulls):
        found = tested(summer, nulls, rows, filters, case_counts=options.case_counts)
        lines = [
            _lines(summer, null, one, penalised, plan.missing == "complete-case")
            for null, one in zip(nulls, found, strict=True)
        ]
        write_lines(sink, found, lines)
    name = "Firth's penalised likelihood ratio" if penalised else "logistic regression, Wald"
    return Outcome(nulls[0].n, nulls[0].p, filters.tested, dict(filters.left_out), {"test": name, "missing": plan.missing})


def _lines(summer: Summer, null: Null, found: Tested, penalised: bool, complete_case: bool) -> dict[str, AnyArray]:
    many = len(found)
    beta, error, gain = np.full(many, np.nan), np.full(many, np.nan), np.full(many, np.nan)
    rows = np.flatnonzero(found.status == results.ESTIMATED)
    fitted = fit_variants(summer, null, found.taken(rows), penalised=penalised, ratio=penalised, complete_case=complete_case)
    beta[rows], error[rows], gain[rows] = fitted.beta, fitted.standard_error, fitted.gain
    z = beta / error
    failed = (found.status == results.ESTIMATED) & np.isnan(beta)
    status = np.where(failed, NOT_CONVERGED if penalised else SEPARATED, found.status)
    lines = {"beta": beta, "standard_error": error, "statistic": z, "neg_log10_p": neg_log10_p_normal(z), "status": status}
    if penalised:
        ratio = np.maximum(0.0, gain)
        lines["wald_neg_log10_p"] = lines["neg_log10_p"]
        lines["statistic"], lines["neg_log10_p"] = np.sign(beta) * np.sqrt(ratio), neg_log10_p_chi2(ratio, 1)
    return lines
