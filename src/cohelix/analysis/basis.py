"""The pooled covariates as an orthonormal basis Q, known to each node for its own people only.

Two rounds of sums (means, then centred squares and cross-products) give
every node the same triangular R, and its rows of Q = X R⁻¹ are orthonormal over all nodes together. All later products
are bounded by ‖g‖, so that their fixed-point sums lose nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cohelix.analysis.data import LocalData, Study
from cohelix.analysis.steps import AnyArray, Ask, Statistic, Summer, Sums, local_step
from cohelix.core.arrays import FloatArray, IntArray
from cohelix.core.errors import NotPermitted

VALUE_MAX = 1e9  # no covariate or trait of a plan may be larger: bounds of the first sums rest on it
_CONDITION_MAX = 1e10  # of X'X; beyond it a second pass of Cholesky-QR is made
_KEPT = 4


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
    centred = summer.sum(
        Ask("covariate-squares", (Statistic("xx", (width,), bound=many * VALUE_MAX**2),), {"basis_mean": mean})
    )
    sd = np.sqrt(centred["xx"] / max(1, n - 1))
    if not (sd > 0).all():
        name = study.covariates[int(np.flatnonzero(~(sd > 0))[0])]
        raise NotPermitted(f"the covariate {name} is the same for everybody")
    inverse = np.eye(width + 1)
    for _ in range(2):
        ask = Ask(
            "basis-products",
            (Statistic("qq", (width + 1, width + 1), bound=2.0 * many * (width + 1)),),
            {"basis_mean": mean, "basis_sd": sd, "basis_inverse": inverse},
        )
        gram = summer.sum(ask)["qq"]
        gram = (gram + gram.T) / 2
        eigenvalues = np.linalg.eigvalsh(gram)
        if eigenvalues[0] <= eigenvalues[-1] * 1e-14:
            raise NotPermitted("the covariates depend on one another: leave one out")
        inverse = inverse @ np.linalg.inv(np.linalg.cholesky(gram).T)
        if eigenvalues[-1] < eigenvalues[0] * _CONDITION_MAX:
            break
    return Basis(n, mean, sd, inverse)


def local_basis(data: LocalData, broadcast: Mapping[str, AnyArray]) -> FloatArray:
    """A node's rows of Q, (people, p) float64; kept for the next blocks."""
    key = hashlib.sha256(
        b"".join(broadcast[name].tobytes() for name in ("basis_mean", "basis_sd", "basis_inverse"))
    ).hexdigest()

    def make() -> FloatArray:
        scaled = (data.covariates - broadcast["basis_mean"]) / broadcast["basis_sd"]
        return np.asarray(np.column_stack([np.ones(data.n), scaled]) @ broadcast["basis_inverse"], np.float64)

    found: FloatArray = cached(data, f"basis {key}", make)
    return found


def cached(data: LocalData, key: str, make: Any) -> Any:
    """What `make()` gave for this key before, or gives now; only the newest few are kept."""
    if key not in data.cache:
        while len(data.cache) >= _KEPT:
            data.cache.pop(next(iter(data.cache)))
        data.cache[key] = make()
    return data.cache[key]


@local_step("covariate-totals")
def _totals(data: LocalData, _broadcast: Mapping[str, AnyArray], _rows: IntArray | None, _more: Mapping[str, AnyArray]) -> Sums:
    return {"n": np.int64(data.n), "x": data.covariates.sum(axis=0)}  # type: ignore[dict-item]


@local_step("covariate-squares")
def _squares(data: LocalData, broadcast: Mapping[str, AnyArray], _rows: IntArray | None, _more: Mapping[str, AnyArray]) -> Sums:
    return {"xx": ((data.covariates - broadcast["basis_mean"]) ** 2).sum(axis=0)}


@local_step("basis-products")
def _products(
    data: LocalData, broadcast: Mapping[str, AnyArray], _rows: IntArray | None, _more: Mapping[str, AnyArray]
) -> Sums:
    basis = local_basis(data, broadcast)
    return {"qq": basis.T @ basis}
