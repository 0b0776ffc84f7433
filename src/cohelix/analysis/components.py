"""Ancestry components over all nodes: federated subspace iteration on standardised genotypes.

The coordinator sends an orthonormal V (variants, l); each node returns its part of Z'(Z V), where Z (people, variants) is
standardised by the pooled frequencies and a missing genotype counts as the mean. The sum over nodes is one step of the
pooled iteration, so what it converges to is the pooled answer; people's scores Z V never leave their node. References:
Hartebrodt et al. 2022, Briefings in Bioinformatics; Patterson, Price and Reich 2006, PLoS Genet 2:e190 (scaling).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from cohelix.analysis.basis import slack
from cohelix.analysis.data import LocalData
from cohelix.analysis.steps import AnyArray, Ask, Statistic, Summer, Sums, local_step
from cohelix.core.arrays import FloatArray, IntArray
from cohelix.core.errors import NotPermitted
from cohelix.stats.thresholds import limit

OVERSAMPLING = 10  # columns beyond those asked for: the iteration converges with the gap to the first one left out
ITERATIONS_MAX = 200
CONVERGED = 1e-13  # 1 − cos of the largest angle between two iterates of the components asked for
SEPARATED = 1.02  # a component is its own where its eigenvalue is so many times the next one
VARIANTS_MAX = 200_000
_CHUNK = 256  # variants that a node decodes at a time


@dataclass(frozen=True)
class AncestryComponents:
    """Pooled components.

    Attributes
    ----------
    rows
        (variants,) int64 numbers in the study's list.
    mean, scale
        (variants,) float64: pooled mean dosage, and √(2pq).
    loadings
        (variants, k) orthonormal; a component's sign is such that its largest loading is positive.
    values
        (k,) eigenvalues of Z'Z / variants.
    separated
        (k,) bool: whether the eigenvalue stands apart from its neighbours; only then is the component itself, and not just
        the space that it spans with others, well defined.
    iterations
        Rounds of sums.
    converged
        Whether the components asked for stood still.
    """

    rows: IntArray
    mean: FloatArray
    scale: FloatArray
    loadings: FloatArray
    values: FloatArray
    separated: AnyArray
    iterations: int
    converged: bool


def fit_ancestry(
    summer: Summer, rows: IntArray, mean: FloatArray, *, n: int, k: int, tolerance: float = CONVERGED
) -> AncestryComponents:
    """The k leading components of the people's genotypes at these variants.

    Parameters
    ----------
    rows, mean
        (variants,) numbers in the study's list, and pooled mean dosages; no variant may be monomorphic.
    n
        How many people there are.

    Raises
    ------
    NotPermitted
        If there are fewer variants or people than components, or more variants than one message holds.
    """
    if k < 1 or len(rows) <= k or n <= k:
        raise NotPermitted(f"{k} components need more than {k} variants and people: fewer pass the filters")
    if len(rows) > VARIANTS_MAX:
        raise NotPermitted(
            f"components are of at most {VARIANTS_MAX:,} variants: raise maf_min or name a list of unlinked ones"
        )
    scale = np.sqrt(mean * (1 - mean / 2))
    fixed = {"rows": rows, "mean": mean, "scale": scale}
    width = min(k + OVERSAMPLING, len(rows), n)
    # The start is the same everywhere, so that a run repeats itself exactly.
    V = np.linalg.qr(np.random.default_rng(len(rows)).standard_normal((len(rows), width)))[0]
    values: FloatArray = np.ones(width)
    before = V[:, :k]
    converged = False
    iterations = 0
    while iterations < ITERATIONS_MAX and not converged:
        W = _multiplied(summer, fixed, V, n)
        iterations += 1
        # Rayleigh-Ritz: the best components within the space of V.
        turn, values = _ordered(V.T @ W)
        found = (V @ turn)[:, :k]
        converged = 1 - float(np.linalg.svd(found.T @ before, compute_uv=False).min()) <= limit(tolerance, 1e-3)
        before = found
        V = np.linalg.qr(W @ turn)[0]
    loadings = before * np.where(before[np.abs(before).argmax(axis=0), np.arange(k)] < 0, -1.0, 1.0)
    values = values / len(rows)
    following = np.append(values[1 : k + 1], 0.0)[:k]
    apart = values[:k] >= SEPARATED * following
    return AncestryComponents(
        rows, mean, scale, loadings, values[:k], apart & np.append(True, apart[:-1]), iterations, converged
    )


def people_of(summer: Summer, found: AncestryComponents) -> FloatArray:
    """How many people each component is about, (k,): (Σ s²)² / Σ s⁴ of all people's scores s, from 1 to everybody.

    The loadings of a component that is about one person are that person's genotypes.
    """
    # Scores along unit loadings have Σ s² = eigenvalue × variants: so scaled, Σ s² is 1.
    length = np.sqrt(np.maximum(found.values, np.finfo(float).tiny) * len(found.rows))
    told = {"rows": found.rows, "mean": found.mean, "scale": found.scale, "loadings": found.loadings / length}
    ask = Ask("components-people", (Statistic("fourths", length.shape, bound=1.01),), told)
    return np.asarray(1 / np.maximum(summer.sum(ask)["fourths"], np.finfo(float).tiny), np.float64)


def _ordered(gram: FloatArray) -> tuple[FloatArray, FloatArray]:
    values, turn = np.linalg.eigh((gram + gram.T) / 2)
    return turn[:, ::-1], values[::-1]


def _multiplied(summer: Summer, fixed: Mapping[str, AnyArray], V: FloatArray, n: int) -> FloatArray:
    """Z'(Z V) over all nodes.

    A standardised variant's norm is √(2n) at most, reached where everybody is homozygous; so no entry exceeds 2n·√variants.
    """
    bound = 2 * slack(n) * float(np.sqrt(len(V)))
    ask = Ask("components-product", (Statistic("product", V.shape, bound=bound),), {**fixed, "loadings": V})
    return np.asarray(summer.sum(ask)["product"], np.float64)


def local_scores(data: LocalData, broadcast: Mapping[str, AnyArray]) -> FloatArray:
    """A node's Z V, (people, components) float64, where `broadcast` has rows, mean, scale and loadings."""
    scores = np.zeros((data.n, broadcast["loadings"].shape[1]))
    for chunk, Z in _standardised(data, broadcast):
        scores += Z.T @ broadcast["loadings"][chunk]
    return scores


def _standardised(data: LocalData, broadcast: Mapping[str, AnyArray]) -> Iterator[tuple[slice, FloatArray]]:
    rows = broadcast["rows"]
    for start in range(0, len(rows), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        dosages = data.genotypes.dosages(np.ascontiguousarray(rows[chunk]))
        Z = (dosages - broadcast["mean"][chunk, None]) / broadcast["scale"][chunk, None]
        Z[np.isnan(Z)] = 0
        yield chunk, Z


@local_step("components-product")
def _product(data: LocalData, broadcast: Mapping[str, AnyArray], _rows: IntArray | None, _more: Mapping[str, AnyArray]) -> Sums:
    scores = local_scores(data, broadcast)
    product = np.empty(broadcast["loadings"].shape)
    for chunk, Z in _standardised(data, broadcast):
        product[chunk] = Z @ scores
    return {"product": product}


@local_step("components-people")
def _people(data: LocalData, broadcast: Mapping[str, AnyArray], _rows: IntArray | None, _more: Mapping[str, AnyArray]) -> Sums:
    return {"fourths": (local_scores(data, broadcast) ** 4).sum(axis=0)}
