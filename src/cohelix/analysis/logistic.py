"""Case/control traits by score test on a federated null model, with saddlepoint p-values and Firth's effects where called for.

Most variants need no more than the score test: its p-value is normal, its effect one step of Newton from the null. Where the
score lies beyond two standard deviations, or one and the rarer allele is expected only few times in the smaller group, the
normal is no longer good enough, and the p-value comes by saddlepoint. Where the score lies beyond two standard deviations
the effect is Firth's. Each line says which it is.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from cohelix.analysis.case_control import CaseControlOptions, Null, Tested, begin, stretches, tested, write_lines
from cohelix.analysis.data import Study
from cohelix.analysis.filters import VariantFilters
from cohelix.analysis.firth import fit_variants
from cohelix.analysis.results import Outcome, Sink
from cohelix.analysis.saddlepoint import Moments, correct, fit_moments
from cohelix.analysis.steps import AnyArray, Summer
from cohelix.core.arrays import BoolArray
from cohelix.core.errors import NotPermitted
from cohelix.stats.tails import neg_log10_p_normal
from cohelix.stats.thresholds import limit
from cohelix.wire.plan import Plan

_FEW_COPIES = 10.0  # of the rarer allele expected in the smaller group: below, the score is far from normal
_FEW_Z = 1.0
_LN10 = np.log(10.0)
_WIDEST = "U24"  # of the texts in columns


class LogisticOptions(CaseControlOptions):
    """What a plan may set under `options` for `logistic` besides.

    Attributes
    ----------
    firth
        `approximate` holds the covariates' effects at the null model, `full` fits them anew for each variant; `none` leaves
        the one-step effects.
    spa_z
        Standard deviations of the score from which on p-values and effects are corrected.
    lattice
        Whether the saddlepoint is corrected for the steps in which a score of allele copies moves.
    """

    firth: Literal["approximate", "full", "none"] = "approximate"
    spa_z: float = Field(default=2.0, ge=0.0, le=10.0)
    lattice: bool = True


def logistic(plan: Plan, study: Study, summer: Summer, sink: Sink) -> Outcome:
    """Test every variant of the study for every trait, and write the lines into `sink`.

    Columns besides those of `results`: `n_cases`, `p_method` (`score` or `saddlepoint`), `beta_method` (`one-step`,
    `firth-approximate` or `firth`), and with `case_counts` `n0_cases`, `n1_cases`, `n2_cases`. `statistic` is the score's z.

    Raises
    ------
    NotPermitted
        If the plan is none for this method (`case_control.begin`).
    BadQuestion
        If an option is not known.
    """
    options = LogisticOptions.of(plan)
    if plan.missing != "mean":
        raise NotPermitted(
            "the score test has one null model for all variants, complete cases would need one for each: "
            "take `missing: mean`, or method wald or firth"
        )
    nulls = begin(plan, study, summer)
    moments = [fit_moments(summer, null) for null in nulls]
    filters = VariantFilters(plan.variants, study.haploid, study.mac_floor)
    for rows in stretches(study.n_variants, nulls):
        found = tested(summer, nulls, rows, filters, case_counts=options.case_counts)
        models = zip(nulls, moments, found, strict=True)
        write_lines(sink, found, [_lines(summer, null, its, one, options) for null, its, one in models])
    return Outcome(
        n=nulls[0].n,
        parameters=nulls[0].p,
        tested=filters.tested,
        left_out=dict(filters.left_out),
        details={
            "test": "score test on a logistic null model, saddlepoint where called for",
            "effect": {"none": "one step"}.get(options.firth, f"one step; Firth ({options.firth}) where called for"),
            "spa_z": options.spa_z,
            "lattice_correction": options.lattice,
            "missing": plan.missing,
        },
    )


def _lines(summer: Summer, null: Null, moments: Moments, found: Tested, options: LogisticOptions) -> dict[str, AnyArray]:
    z = found.z
    neg_log10_p = neg_log10_p_normal(z)
    with np.errstate(divide="ignore", invalid="ignore"):
        beta, error = found.score / found.variance, 1 / np.sqrt(found.variance)
    p_method = np.where(np.isnan(z), "none", "score").astype(_WIDEST)
    beta_method = np.where(np.isnan(z), "none", "one-step").astype(_WIDEST)
    wanted = _called_for(null, found, options.spa_z)
    rows = np.flatnonzero(wanted)
    if len(rows):
        some = found.taken(rows)
        beyond = np.abs(some.z) > limit(options.spa_z)
        corrected = correct(summer, null, moments, some, effects=options.firth == "approximate", lattice=options.lattice)
        good = np.isfinite(corrected.log_p)
        neg_log10_p[rows[good]] = -corrected.log_p[good] / _LN10 + 0.0
        p_method[rows[good]] = "saddlepoint"
        effect, its_error, name = corrected.beta, corrected.standard_error, "firth-approximate"
        if options.firth == "full":
            fitted = fit_variants(summer, null, some.taken(beyond), penalised=True, ratio=False, complete_case=False)
            effect, its_error, name = np.full(len(some), np.nan), np.full(len(some), np.nan), "firth"
            effect[beyond], its_error[beyond] = fitted.beta, fitted.standard_error
        good = beyond & np.isfinite(effect) & np.isfinite(its_error)
        beta[rows[good]], error[rows[good]], beta_method[rows[good]] = effect[good], its_error[good], name
    return {
        "beta": beta,
        "standard_error": error,
        "statistic": z,
        "neg_log10_p": neg_log10_p,
        "p_method": p_method,
        "beta_method": beta_method,
    }


def _called_for(null: Null, found: Tested, spa_z: float) -> BoolArray:
    """(variants,) bool: where the normal p-value may be wrong and it matters."""
    size = np.abs(found.z)
    smaller = min(null.cases, null.n - null.cases)
    few = found.minor_copies * (smaller / null.n) < limit(_FEW_COPIES)
    return (size > limit(spa_z)) | (few & (size > limit(min(_FEW_Z, spa_z))))
