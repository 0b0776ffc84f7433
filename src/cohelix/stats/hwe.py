"""Exact test for Hardy-Weinberg equilibrium, a block of variants at a time."""

# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# The types of the compiled loop stand in its Numba signature.

from __future__ import annotations

import numpy as np
from numba import types

from cohelix.core.arrays import FloatArray, IntArray
from cohelix.core.errors import ShapeMismatch
from cohelix.stats.compiled import kernel


def hwe_p_values(n_het: IntArray, n_hom_ref: IntArray, n_hom_alt: IntArray, *, mid_p: bool = False) -> FloatArray:
    """Exact Hardy-Weinberg p-values.

    Parameters
    ----------
    n_het, n_hom_ref, n_hom_alt
        Genotype counts, shape (variants,), int64, each >= 0. Missing calls are not counted.
    mid_p
        Count half of the observed table's own probability (Graffelman and Moreno 2013), which is less conservative.

    Returns
    -------
    shape (variants,), float64, in [0, 1]; NaN where a variant has no called genotype.

    Raises
    ------
    ShapeMismatch
        If the three arrays differ in shape.

    References
    ----------
    Wigginton, Cutler and Abecasis 2005, Am J Hum Genet 76:887.
    """
    if not n_het.shape == n_hom_ref.shape == n_hom_alt.shape:
        raise ShapeMismatch("counts of heterozygotes and of homozygotes differ in shape")
    p_values = np.empty(n_het.shape, np.float64)
    het, ref, alt = (np.ascontiguousarray(column, np.int64).ravel() for column in (n_het, n_hom_ref, n_hom_alt))
    _hwe(het, ref, alt, mid_p, p_values.reshape(-1))
    return p_values


_ints = types.Array(types.int64, 1, "C", readonly=True)
# Tables as likely as the observed one count with it in spite of rounding; plink2 takes the same care.
_SAME = 1 + 1e-12
# Below this share of the tail so far, and going down, what follows no longer changes the sum.
_NEGLIGIBLE = 1e-17


@kernel(types.void(_ints, _ints, _ints, types.boolean, types.float64[::1]))
def _hwe(n_het, n_hom_ref, n_hom_alt, mid_p, out):
    """Sums, relative to the observed table, the probabilities of all tables with its allele counts."""
    for k in range(out.size):
        het, rare, common = n_het[k], min(n_hom_ref[k], n_hom_alt[k]), max(n_hom_ref[k], n_hom_alt[k])
        if het + rare + common == 0:
            out[k] = np.nan
            continue
        observed = 0.5 if mid_p else 1.0
        tail, total = observed, 1.0
        # Towards fewer heterozygotes, then towards more: each table from its neighbour.
        at, less, more, probability = het, rare, common, 1.0
        while at > 1:
            probability *= at * (at - 1.0) / (4.0 * (less + 1.0) * (more + 1.0))
            at, less, more = at - 2, less + 1, more + 1
            total += probability
            if probability <= _SAME:
                tail += probability * (0.5 if mid_p and probability >= 1 / _SAME else 1.0)
            if probability < tail * _NEGLIGIBLE and probability < 1.0:
                break
        at, less, more, probability = het, rare, common, 1.0
        while less > 0:
            probability *= 4.0 * less * more / ((at + 2.0) * (at + 1.0))
            at, less, more = at + 2, less - 1, more - 1
            total += probability
            if probability <= _SAME:
                tail += probability * (0.5 if mid_p and probability >= 1 / _SAME else 1.0)
            if probability < tail * _NEGLIGIBLE and probability < 1.0:
                break
        out[k] = min(1.0, tail / total)
