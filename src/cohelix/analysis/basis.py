"""The pooled covariates as an orthonormal basis Q, known to each node for its own people only.

A few rounds of sums (means, mean deviations, squares, cross-products) give every node the same triangular R, and its rows of
Q = X R⁻¹ are orthonormal over all nodes together. All later products are bounded by ‖g‖, so that their fixed-point sums lose
nothing. Mean deviations come before squares, so that covariates of any unit are seen equally well.
"""

from __future__ import annotations

import hashlib
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

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
    many, width = float(study.people_max), len(study.covariates)
    sums = summer.sum(
        Ask(
            "covariate-totals",
            (
                Statistic("n", bound=many, integer=True),
                Statistic("x", (width,), bound=many * VALUE_MAX),
            ),
        )
    )
    n = int(sums["n"])
    if n == 0:
        raise NotPermitted("nobody meets the plan's cohort")
    mean = sums["x"] / n
    sd: FloatArray = np.ones(0)
    if width:
        labels = [f"the covariate {name}" for name in study.covariates]
        sd = mean_deviation(summer, "covariate-deviations", mean, n, labels=labels)
        # Deviations that add up to n have squares that add up to n² at most.
        squares = Statistic("xx", (width,), bound=slack(n) * n)
        ask = Ask("covariate-squares", (squares,), {"basis_mean": mean, "basis_sd": sd})
        sd = sd * np.sqrt(summer.sum(ask)["xx"] / max(1, n - 1))
    inverse = np.eye(width + 1)
    for _ in range(2):
        ask = Ask(
            "basis-products",
            (Statistic("qq", (width + 1, width + 1), bound=2 * slack(n)),),
            {"basis_mean": mean, "basis_sd": sd, "basis_inverse": inverse},
        )
        gram = summer.sum(ask)["qq"]
        gram = (gram + gram.T) / 2
        eigenvalues = np.linalg.eigvalsh(gram)
        if eigenvalues[0] <= eigenvalues[-1] * limit(_DEPENDENT, 1e-2):
            raise NotPermitted("the covariates depend on one another: leave one out")
        inverse = inverse @ np.linalg.inv(np.linalg.cholesky(gram).T)
        if eigenvalues[-1] < eigenvalues[0] * limit(_CONDITION_MAX, 1e-6):
            break
    return Basis(n, mean, sd, inverse)


def intercept_basis(n: int) -> Basis:
    """The basis without covariates."""
    return Basis(n, np.zeros(0), np.ones(0), np.full((1, 1), 1 / np.sqrt(n)))


def mean_deviation(summer: Summer, step: str, mean: FloatArray, n: int, *, labels: Sequence[str]) -> FloatArray:
    """Mean absolute deviation of each column from its pooled `mean`, by a step that sums |x − mean| as `deviations`.

    Raises
    ------
    NotPermitted
        If a column is the same for everybody.
    """
    ask = Ask(step, (Statistic("deviations", mean.shape, bound=2 * slack(n) * VALUE_MAX),), {"mean": mean})
    found = np.asarray(summer.sum(ask)["deviations"] / n, np.float64)
    constant = found <= CONSTANT * np.abs(mean)
    if constant.any():
        raise NotPermitted(f"{labels[int(np.flatnonzero(constant)[0])]} is the same for everybody")
    return found


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


@local_step("covariate-totals")
def _totals(data: LocalData, _broadcast: Mapping[str, AnyArray], _rows: IntArray | None, _more: Mapping[str, AnyArray]) -> Sums:
    return {"n": np.int64(data.n), "x": data.covariates.sum(axis=0)}


@local_step("covariate-squares")
def _squares(data: LocalData, broadcast: Mapping[str, AnyArray], _rows: IntArray | None, _more: Mapping[str, AnyArray]) -> Sums:
    return {"xx": (((data.covariates - broadcast["basis_mean"]) / broadcast["basis_sd"]) ** 2).sum(axis=0)}


@local_step("covariate-deviations")
def _deviations(
    data: LocalData, broadcast: Mapping[str, AnyArray], _rows: IntArray | None, _more: Mapping[str, AnyArray]
) -> Sums:
    return {"deviations": np.abs(data.covariates - broadcast["mean"]).sum(axis=0)}


@local_step("basis-products")
def _products(
    data: LocalData, broadcast: Mapping[str, AnyArray], _rows: IntArray | None, _more: Mapping[str, AnyArray]
) -> Sums:
    basis = local_basis(data, broadcast)
    return {"qq": basis.T @ basis}
