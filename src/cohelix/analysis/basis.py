"""The pooled covariates as an orthonormal basis Q, known to each node for its own people only.

A few rounds of sums (means, mean deviations, squares, cross-products) give every node the same triangular R, and its rows of
Q = X R⁻¹ are orthonormal over all nodes together. Quantitative traits go through the same rounds. All later products are
bounded by ‖g‖, so that their fixed-point sums lose nothing. Mean deviations come before squares, so that columns of any unit
are seen equally well.
"""

from __future__ import annotations

import hashlib
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np

from cohelix.analysis.data import LocalData, Study
from cohelix.analysis.steps import AnyArray, Ask, Statistic, Summer, Sums, local_step
from cohelix.core.arrays import FloatArray, IntArray
from cohelix.core.errors import NotPermitted
from cohelix.stats.thresholds import limit
from cohelix.wire.plan import VALUE_MAX

CONSTANT = 1e-14  # a mean deviation of less than this, relative to the mean, is rounding
_CONDITION_MAX = 1e3  # of X'X; beyond it a second pass of Cholesky-QR is made
_DEPENDENT = 1e-12  # smallest eigenvalue of the correlations, relative to the largest
_KEPT = 8  # of what a node's steps derive
_CACHES = threading.Lock()
_DIGESTS: dict[int, tuple[weakref.ref[AnyArray], bytes]] = {}  # by identity, of arrays that are alive
_Derived = TypeVar("_Derived")


@dataclass(frozen=True)
class Basis:
    """The pooled basis: `n` people; Q = ((X − mean) / sd, with intercept) @ inverse, (p, p); p counts the intercept."""

    n: int
    mean: FloatArray
    sd: FloatArray
    inverse: FloatArray

    @property
    def p(self) -> int:
        return len(self.inverse)

    def broadcast(self) -> dict[str, AnyArray]:
        """What nodes need to form their rows of Q."""
        return {"basis_mean": self.mean, "basis_sd": self.sd, "basis_inverse": self.inverse}


def fit_basis(study: Study, summer: Summer) -> Basis:
    """The pooled basis of a study's covariates and intercept.

    Raises
    ------
    NotPermitted
        If nobody takes part, or covariates are constant or depend on one another over all nodes together.
    """
    basis, _ = _orthonormal(summer, _column_moments(study, summer, traits=()))
    return basis


def fit_basis_with_traits(study: Study, summer: Summer) -> tuple[Basis, TraitMoments]:
    """The same, and what the traits need: each round of sums is about both.

    Raises
    ------
    NotPermitted
        As of `fit_basis`, or if a trait is the same for everybody.
    """
    moments = _column_moments(study, summer, traits=study.traits)
    basis, along = _orthonormal(summer, moments)
    return basis, TraitMoments(moments.told, moments.trait_sd, along)


class TraitMoments(NamedTuple):
    """Of all traits: what nodes are told to standardise them, (traits,) standard deviations, and (p, traits) Q'y."""

    told: Mapping[str, AnyArray]
    sd: FloatArray
    along: FloatArray


class _Moments(NamedTuple):
    n: int
    mean: FloatArray
    sd: FloatArray
    trait_sd: FloatArray
    told: Mapping[str, AnyArray]  # of the traits; nothing where none were asked


def _column_moments(study: Study, summer: Summer, *, traits: Sequence[str]) -> _Moments:
    """Means and standard deviations of the covariates, and of these traits, over everybody."""
    people, width, many = float(study.people_max), len(study.covariates), len(traits)
    ask = Ask(
        "column-totals",
        (Statistic("n", bound=people, integer=True), *_columns("x", width, "y", many, people * VALUE_MAX)),
    )
    sums = summer.sum(ask)
    n = int(sums["n"])
    if n == 0:
        raise NotPermitted("nobody meets the plan's cohort")
    mean = np.asarray(sums["x"] / n, np.float64)
    told: dict[str, AnyArray] = {}
    if many:
        told = {"trait_n": np.array(n), "trait_mean": np.asarray(sums["y"] / n, np.float64)}
    if not width and not many:
        return _Moments(n, mean, np.ones(0), np.ones(0), told)
    statistics = _columns("x", width, "y", many, 2 * slack(n) * VALUE_MAX)
    sums = summer.sum(Ask("column-deviations", statistics, {"basis_mean": mean, **told}))
    deviation = _varying(sums["x"] / n, mean, "covariate", study.covariates)
    if many:
        told["trait_sd"] = _varying(sums["y"] / n, told["trait_mean"], "trait", traits)
    # Deviations that add up to n have squares that add up to n² at most.
    statistics = _columns("xx", width, "yy", many, slack(n) * n)
    sums = summer.sum(Ask("column-squares", statistics, {"basis_mean": mean, "basis_sd": deviation, **told}))
    sd = deviation * np.sqrt(sums["xx"] / max(1, n - 1)) if width else deviation
    if many:
        told["trait_sd"] = told["trait_sd"] * np.sqrt(sums["yy"] / n)
    return _Moments(n, mean, sd, told.get("trait_sd", np.ones(0)), told)


def _columns(covariates: str, width: int, traits: str, many: int, bound: float) -> tuple[Statistic, ...]:
    """Statistics of the covariates and of the traits, of those that there are."""
    named = ((covariates, width), (traits, many))
    return tuple(Statistic(name, (count,), bound=bound) for name, count in named if count or name == "x")


def _varying(deviation: FloatArray, mean: FloatArray, kind: str, labels: Sequence[str]) -> FloatArray:
    """The columns' mean absolute deviations from their pooled means; `NotPermitted` if one is the same for everybody."""
    constant = deviation <= CONSTANT * np.abs(mean)
    if constant.any():
        raise NotPermitted(f"the {kind} {labels[int(np.flatnonzero(constant)[0])]} is the same for everybody")
    return np.asarray(deviation, np.float64)


def _orthonormal(summer: Summer, moments: _Moments) -> tuple[Basis, FloatArray]:
    """Q, by Cholesky-QR in one or two passes, and (p, traits) Q'y of the standardised traits, but for rounding."""
    n, width, many = moments.n, len(moments.mean), len(moments.trait_sd)
    inverse, along = np.eye(width + 1), np.empty((width + 1, 0))
    for _ in range(2):
        statistics = [Statistic("qq", (width + 1, width + 1), bound=2 * slack(n))]
        if many:
            statistics.append(Statistic("qy", (width + 1, many), bound=2 * slack(n)))
        told = {"basis_mean": moments.mean, "basis_sd": moments.sd, "basis_inverse": inverse, **moments.told}
        sums = summer.sum(Ask("basis-products", tuple(statistics), told))
        gram = (sums["qq"] + sums["qq"].T) / 2
        eigenvalues = np.linalg.eigvalsh(gram)
        if eigenvalues[0] <= eigenvalues[-1] * limit(_DEPENDENT, 1e-2):
            raise NotPermitted("the covariates depend on one another: leave one out")
        step = np.linalg.inv(np.linalg.cholesky(gram).T)
        inverse = inverse @ step
        if many:
            along = step.T @ sums["qy"]
        if eigenvalues[-1] < eigenvalues[0] * limit(_CONDITION_MAX, 1e-6):
            break
    return Basis(n, moments.mean, moments.sd, inverse), along


def intercept_basis(n: int) -> Basis:
    """The basis without covariates."""
    return Basis(n, np.zeros(0), np.ones(0), np.full((1, 1), 1 / np.sqrt(n)))


def slack(n: int) -> float:
    """A little more than n: bounds that hold by Cauchy-Schwarz hold with it after rounding, too."""
    return 1.001 * n


def local_basis(data: LocalData, broadcast: Mapping[str, AnyArray]) -> FloatArray:
    """A node's rows of Q, (people, p) float64; kept for the next blocks."""

    def make() -> FloatArray:
        width, inverse = len(broadcast["basis_mean"]), broadcast["basis_inverse"]
        scaled = (data.covariates[:, :width] - broadcast["basis_mean"]) / broadcast["basis_sd"]
        rows = np.empty((data.n, width + 1), order="F")
        # Column by column and not as one product, so that a person's row does not depend on who else is at the node.
        for column in range(width + 1):
            rows[:, column] = inverse[0, column]
            for covariate in range(width):
                rows[:, column] += scaled[:, covariate] * inverse[covariate + 1, column]
        return rows

    found: FloatArray = derived(data, "basis", broadcast, ("basis_mean", "basis_sd", "basis_inverse"), make)
    return found


def derived(
    data: LocalData, subject: str, broadcast: Mapping[str, AnyArray], names: Iterable[str], make: Callable[[], _Derived]
) -> _Derived:
    """What `make()` derives from a node's data and the broadcast arrays `names`; the newest few are kept for the next block."""
    digests = b"".join(name.encode() + b" " + _digest(broadcast[name]) for name in names)
    key = f"{subject} {hashlib.sha256(digests).hexdigest()}"
    with _CACHES:
        found: _Derived | None = data.cache.get(key)
    if found is None:
        found = make()
        with _CACHES:
            while len(data.cache) >= _KEPT:
                data.cache.pop(next(iter(data.cache)))
            data.cache[key] = found
    return found


def _digest(array: AnyArray) -> bytes:
    """SHA-256 of an array; one that cannot change and comes again with the next block is not read again."""
    known = _DIGESTS.get(id(array))
    if known is not None and known[0]() is array:
        return known[1]
    described = f"{array.dtype} {array.shape} ".encode()
    digest = hashlib.sha256(described + np.ascontiguousarray(array).tobytes()).digest()
    if not array.flags.writeable:
        number = id(array)
        _DIGESTS[number] = (weakref.ref(array, lambda _: _DIGESTS.pop(number, None)), digest)
    return digest


def standardised_traits(data: LocalData, broadcast: Mapping[str, AnyArray]) -> FloatArray:
    """(people, traits) float64: a node's traits less the pooled mean, in pooled deviations."""
    return np.asarray((data.traits - broadcast["trait_mean"]) / broadcast["trait_sd"], np.float64)


@local_step("column-totals")
def _totals(data: LocalData, _broadcast: Mapping[str, AnyArray], _rows: IntArray | None, _more: Mapping[str, AnyArray]) -> Sums:
    return {"n": np.int64(data.n), "x": data.covariates.sum(axis=0), "y": data.traits.sum(axis=0)}


@local_step("column-deviations")
def _deviations(
    data: LocalData, broadcast: Mapping[str, AnyArray], _rows: IntArray | None, _more: Mapping[str, AnyArray]
) -> Sums:
    sums: Sums = {"x": np.abs(data.covariates - broadcast["basis_mean"]).sum(axis=0)}
    if "trait_mean" in broadcast:
        sums["y"] = np.abs(data.traits - broadcast["trait_mean"]).sum(axis=0)
    return sums


@local_step("column-squares")
def _squares(data: LocalData, broadcast: Mapping[str, AnyArray], _rows: IntArray | None, _more: Mapping[str, AnyArray]) -> Sums:
    sums: Sums = {"xx": (((data.covariates - broadcast["basis_mean"]) / broadcast["basis_sd"]) ** 2).sum(axis=0)}
    if "trait_mean" in broadcast:
        sums["yy"] = (standardised_traits(data, broadcast) ** 2).sum(axis=0)
    return sums


@local_step("basis-products")
def _products(
    data: LocalData, broadcast: Mapping[str, AnyArray], _rows: IntArray | None, _more: Mapping[str, AnyArray]
) -> Sums:
    basis = local_basis(data, broadcast)
    sums: Sums = {"qq": basis.T @ basis}
    if "trait_mean" in broadcast:
        sums["qy"] = basis.T @ standardised_traits(data, broadcast)
    return sums
