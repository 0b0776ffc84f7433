"""What single nodes estimate at a locus, beside what they say together: inverse-variance estimate, Cochran's Q and I²."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cohelix.analysis.drawing import REACH, Estimate
from cohelix.stats.meta import inverse_variance
from cohelix.stats.tails import neg_log10_p_chi2


def together(estimates: Sequence[Estimate]) -> Mapping[str, Any] | None:
    """The fixed-effect estimate of these nodes and their heterogeneity, as JSON; None of no node.

    `q`, `qNegLog10P` and `iSquared` are None where fewer than two nodes have an estimate.
    """
    if not estimates:
        return None
    beta, error = np.array([one.beta for one in estimates]), np.array([one.standard_error for one in estimates])
    w = 1 / error**2
    total, weighted, squares = (np.array([np.sum(one)]) for one in (w, w * beta, w * beta**2))
    found = inverse_variance(total, weighted, squares, np.array([len(estimates)]))
    q = float(found.q[0])
    several = len(estimates) > 1
    return {
        **told(Estimate("", float(found.beta[0]), float(found.standard_error[0]))),
        "q": q if several else None,
        "qNegLog10P": float(neg_log10_p_chi2(found.q, np.array([len(estimates) - 1]))[0]) if several else None,
        "iSquared": float(found.i_squared[0]) if several else None,
    }


def told(estimate: Estimate) -> dict[str, float]:
    """An estimate with its 95 % confidence interval, as JSON."""
    reach = REACH * estimate.standard_error
    return {
        "beta": estimate.beta,
        "standardError": estimate.standard_error,
        "low": estimate.beta - reach,
        "high": estimate.beta + reach,
    }
