"""Least squares of many responses on one regressor at a time, beside a fixed orthonormal basis, from sums of products alone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cohelix.core.arrays import BoolArray, FloatArray, IntArray

COLLINEAR = 1e-6  # least share of a regressor's variance that the basis must leave over
_EXACT = 1e-12  # least share of a response's variance that the regressor must leave over
_RANK = 1e-9  # eigenvalues of Q'Q over some rows below this count as 0


class Reduced(NamedTuple):
    """Products after the basis is taken out.

    `gg` (regressors,) Σ g²; `gr` (regressors, responses) Σ g·r; `rr` (regressors, responses) Σ r²; `rank` (regressors,)
    int64, columns of the basis that were taken out.
    """

    gg: FloatArray
    gr: FloatArray
    rr: FloatArray
    rank: IntArray


class Estimates(NamedTuple):
    """Slopes, their standard errors and t, each (regressors, responses) float64, NaN where there is none; `df` (regressors,).

    `determined` (regressors, responses) bool: the regressor leaves nothing of the response.
    """

    beta: FloatArray
    standard_error: FloatArray
    t: FloatArray
    df: IntArray
    determined: BoolArray


def reduce_all(gg: FloatArray, qg: FloatArray, gr: FloatArray, rr: FloatArray) -> Reduced:
    """Take an orthonormal basis out, over all rows.

    Parameters
    ----------
    gg
        (regressors,) Σ g².
    qg
        (regressors, p) Q'g.
    gr
        (regressors, responses) Σ g·r of responses that are orthogonal to the basis already.
    rr
        (responses,) their Σ r².
    """
    rank = np.full(len(gg), qg.shape[1], np.int64)
    return Reduced(gg - (qg**2).sum(axis=1), gr, np.broadcast_to(rr, gr.shape), rank)


class Observed(NamedTuple):
    """Products over the rows that each regressor has, where the basis is orthonormal no longer.

    `gram` (regressors, p, p) Q'Q; `gg` (regressors,) Σ g²; `qg` (regressors, p) Q'g; `gr` (regressors, responses) Σ g·r;
    `qr` (regressors, p, responses) Q'r; `rr` (regressors, responses) Σ r².
    """

    gram: FloatArray
    gg: FloatArray
    qg: FloatArray
    gr: FloatArray
    qr: FloatArray
    rr: FloatArray


def reduce_some(observed: Observed) -> Reduced:
    """Take the basis out over the rows that each regressor has.

    Columns of the basis that are dependent over these rows count once: a covariate that marks the people of a node says
    nothing of a variant that this node does not have.
    """
    gram, gg, qg, gr, qr, rr = observed
    rank = np.full(len(gg), qg.shape[1], np.int64)
    right = np.concatenate([qg[:, :, None], qr], axis=2)
    solved = np.empty_like(right)
    # 1 − λ of any eigenvalue is below the trace of I − Q'Q: most variants have too few gaps to be singular.
    full = (qg.shape[1] - np.trace(gram, axis1=1, axis2=2)) < 0.5
    solved[full] = np.linalg.solve(gram[full], right[full])
    if not full.all():
        values, vectors = np.linalg.eigh(gram[~full])
        kept = values > _RANK
        inverse = np.where(kept, 1 / np.where(kept, values, 1.0), 0.0)
        turned = vectors.transpose(0, 2, 1) @ right[~full]
        solved[~full] = vectors @ (inverse[:, :, None] * turned)
        rank[~full] = kept.sum(axis=1)
    return Reduced(
        gg - np.einsum("vp,vp->v", qg, solved[:, :, 0]),
        gr - np.einsum("vp,vpt->vt", qg, solved[:, :, 1:]),
        rr - np.einsum("vpt,vpt->vt", qr, solved[:, :, 1:]),
        rank,
    )


def estimate(reduced: Reduced, n: IntArray, usable: BoolArray) -> Estimates:
    """Slopes of the responses on each regressor.

    Parameters
    ----------
    n
        (regressors,) rows of each.
    usable
        (regressors,) bool: regressors that vary apart from the basis; the others have no estimate.
    """
    df = n - reduced.rank - 1
    possible = usable & (df > 0)
    gg = np.where(possible, reduced.gg, np.nan)[:, None]
    beta = reduced.gr / gg
    rss = reduced.rr - beta * reduced.gr
    determined = possible[:, None] & ~(rss > _EXACT * reduced.rr)
    beta = np.where(determined, np.nan, beta)
    standard_error = np.sqrt(np.where(determined, np.nan, rss) / (np.maximum(1, df)[:, None] * gg))
    return Estimates(beta, standard_error, beta / standard_error, df, determined)
