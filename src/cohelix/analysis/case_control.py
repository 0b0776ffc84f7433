"""Case/control traits: the pooled null model, and one pass over the genotypes that gives every variant's score statistics.

The null model is fitted by iteratively reweighted least squares from sums over nodes, in the pooled-orthonormal basis. What
later steps use is Z = Q·M, the basis whitened by its information (M·M' is the inverse information), and for each variant
its `slope` on Z, so that g − Z·slope is the genotype after the covariates were taken out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError
from scipy.special import expit

from cohelix.analysis import results
from cohelix.analysis.basis import Basis, derived, fit_basis, local_basis, slack
from cohelix.analysis.data import LocalData, Study
from cohelix.analysis.results import Sink
from cohelix.analysis.scan import Column, Counts, Scan, Scanned, Table, scan, scan_part
from cohelix.analysis.steps import AnyArray, Ask, Statistic, Summer, Sums, local_step
from cohelix.core.arrays import BoolArray, FloatArray, IntArray
from cohelix.core.errors import BadQuestion, NotPermitted
from cohelix.stats.logistic import ETA_MAX, log_likelihood, score_statistics
from cohelix.stats.regression import COLLINEAR
from cohelix.stats.thresholds import limit
from cohelix.wire.plan import Plan

_RUN_OPTIONS = frozenset({"components", "summing", "all_nodes"})  # of any method; `federation.runs` reads them
STRETCH_VARIANTS = 1 << 16  # scanned, then corrected, then written; a hub's memory holds one stretch
_STRETCH_LEAST = 1 << 12
_STRETCH_NUMBERS = 1 << 23  # of all traits' slopes in a stretch: 64 MiB
_ITERATIONS_MAX = 30
_CLOSE = 1e-8  # of a standard error, what the last step may still have moved
_SEPARATED = 1e-7  # least information of a direction, as a share of the mean weight


@dataclass(frozen=True)
class Null:
    """A null model: covariates and intercept, no genotype.

    Attributes
    ----------
    basis
        The pooled basis Q.
    trait
        Number of the trait in the study.
    n, cases
        People, and how many of them are cases.
    beta
        (p,) coefficients of Q.
    root
        (p, p) upper triangular M; Z = Q·M has the identity as information.
    residual
        (p,) Σ q(y − μ), next to nothing.
    weight, distance
        Σ μ(1 − μ) and Σ |y − μ|: bounds of later sums rest on them.
    """

    basis: Basis
    trait: int
    n: int
    cases: int
    beta: FloatArray
    root: FloatArray
    residual: FloatArray
    weight: float
    distance: float

    @property
    def p(self) -> int:
        """Columns of the basis, the intercept included."""
        return len(self.beta)

    def broadcast(self) -> dict[str, AnyArray]:
        """What nodes need to form μ and Z."""
        return self.basis.broadcast() | {
            "null_trait": np.asarray(self.trait, np.int64),
            "null_beta": self.beta,
            "null_root": self.root,
        }


def fit_null(study: Study, summer: Summer, basis: Basis, trait: int) -> Null:
    """The null model of one trait.

    Raises
    ------
    NotPermitted
        If everybody or nobody is a case, or the covariates tell cases from controls without error.
    """
    name, n, p = study.traits[trait], basis.n, basis.p
    beta = np.zeros(p)
    sums = _null_sums(summer, basis, trait, beta)
    cases = int(sums["cases"])
    if cases in (0, n):
        raise NotPermitted(f"{name}: everybody who takes part is a {'case' if cases else 'control'}")
    beta = np.zeros(p)
    beta[0] = np.log(cases / (n - cases)) / basis.inverse[0, 0]  # the first column of Q is constant
    sums = _null_sums(summer, basis, trait, beta)
    for _ in range(_ITERATIONS_MAX):
        information = (sums["information"] + sums["information"].T) / 2
        if np.linalg.eigvalsh(information)[0] < limit(_SEPARATED, 1e-6) * float(sums["weight"]) / n:
            break
        step = np.linalg.solve(information, sums["score"])
        if np.sqrt(max(0.0, float(step @ sums["score"]))) < limit(_CLOSE, 1e-6):
            root = np.linalg.inv(np.linalg.cholesky(information)).T
            weight, distance = float(sums["weight"]), float(sums["distance"])
            return Null(basis, trait, n, cases, beta, root, sums["score"], weight, distance)
        before, size = float(sums["deviance"]), 1.0
        sums = _null_sums(summer, basis, trait, beta + step)
        while float(sums["deviance"]) > before * (1 + 1e-12) + 1e-9 and size > 1e-3:
            size /= 2
            sums = _null_sums(summer, basis, trait, beta + size * step)
        beta = beta + size * step
    raise NotPermitted(
        f"{name}: the covariates tell cases from controls without error, so that their model has no finite fit: "
        "leave out a covariate, or a group that has only cases or only controls"
    )


def _null_sums(summer: Summer, basis: Basis, trait: int, beta: FloatArray) -> Sums:
    n, p = float(basis.n), basis.p
    statistics = (
        Statistic("cases", bound=n, integer=True),
        # Σ w·q·q ≤ ¼ and Σ q(y − μ) ≤ √n, because the columns of Q have length 1.
        Statistic("information", (p, p), bound=slack(1) / 4),
        Statistic("score", (p,), bound=np.sqrt(slack(basis.n))),
        Statistic("deviance", bound=2 * n * (ETA_MAX + 1)),
        Statistic("weight", bound=slack(basis.n) / 4),
        Statistic("distance", bound=slack(basis.n)),
    )
    told = basis.broadcast() | {"null_trait": np.asarray(trait, np.int64), "null_beta": beta}
    return summer.sum(Ask("case-control-null", statistics, told))


class LocalNull(NamedTuple):
    """A node's people under a null model: (people, p) basis Q, (people,) linear predictor, probability μ, weight, trait."""

    basis: FloatArray
    eta: FloatArray
    mu: FloatArray
    weight: FloatArray
    y: FloatArray


def local_null(data: LocalData, broadcast: Mapping[str, AnyArray], trait: int, beta: FloatArray) -> LocalNull:
    """A node's people under the null model of one trait."""
    basis = local_basis(data, broadcast)
    eta = np.clip(basis @ beta, -ETA_MAX, ETA_MAX)
    mu = expit(eta)
    return LocalNull(basis, eta, mu, mu * (1 - mu), np.asarray(data.traits[:, trait], np.float64))


class Whitened(NamedTuple):
    """A node's people: (people, p) Z = Q·M, and (people,) linear predictor, probability and trait."""

    z: FloatArray
    eta: FloatArray
    mu: FloatArray
    y: FloatArray


def local_whitened(data: LocalData, broadcast: Mapping[str, AnyArray]) -> Whitened:
    """A node's people under the broadcast null model; kept for the next blocks."""
    names = ("basis_mean", "basis_sd", "basis_inverse", "null_trait", "null_beta", "null_root")

    def make() -> Whitened:
        one = local_null(data, broadcast, int(broadcast["null_trait"]), broadcast["null_beta"])
        return Whitened(one.basis @ broadcast["null_root"], one.eta, one.mu, one.y)

    return derived(data, "whitened", broadcast, names, make)


@local_step("case-control-null")
def _null(data: LocalData, broadcast: Mapping[str, AnyArray], _rows: IntArray | None, _more: Mapping[str, AnyArray]) -> Sums:
    one = local_null(data, broadcast, int(broadcast["null_trait"]), broadcast["null_beta"])
    error = one.y - one.mu
    return {
        "cases": np.asarray(one.y.sum(), np.int64),
        "information": (one.basis * one.weight[:, None]).T @ one.basis,
        "score": one.basis.T @ error,
        "deviance": np.asarray(-2 * log_likelihood(one.eta, one.y).sum()),
        "weight": np.asarray(one.weight.sum()),
        "distance": np.asarray(np.abs(error).sum()),
    }


@dataclass(frozen=True)
class Tested:
    """What one pass tells of one trait at some variants, over all nodes.

    Attributes
    ----------
    rows
        (variants,) numbers in the study's list.
    counts
        People with each dosage.
    cases
        (variants,) cases whose genotype is known.
    score, variance, slope
        As in `stats.logistic.Scores`, missing dosages counting as the mean; `slope` is on Z.
    status
        (variants,) text, `results.ESTIMATED` or why there is no test.
    case_counts
        (variants, 3) cases with dosage 0, 1 and 2, or None where they were not asked.
    """

    rows: IntArray
    counts: Counts
    cases: IntArray
    score: FloatArray
    variance: FloatArray
    slope: FloatArray
    status: AnyArray
    case_counts: IntArray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def z(self) -> FloatArray:
        """(variants,) score statistic, standard normal under the null."""
        return np.asarray(self.score / np.sqrt(self.variance), np.float64)

    @property
    def minor_copies(self) -> IntArray:
        """(variants,) copies of the rarer allele."""
        return np.asarray(np.minimum(self.counts.copies, 2 * self.counts.called - self.counts.copies), np.int64)

    def taken(self, chosen: BoolArray | IntArray) -> Tested:
        """Some of the variants."""
        return Tested(
            self.rows[chosen],
            self.counts.taken(chosen),
            self.cases[chosen],
            self.score[chosen],
            self.variance[chosen],
            self.slope[chosen],
            self.status[chosen],
            None if self.case_counts is None else self.case_counts[chosen],
        )

    def length_squared(self, null: Null) -> FloatArray:
        """(variants,) public bound on Σ a² of the genotypes a that are left after the covariates were taken out."""
        counts = self.counts
        genotypes = np.sqrt(counts.squares + counts.mean**2 * (counts.n - counts.called))
        return np.asarray((genotypes + np.sqrt(((self.slope @ null.root.T) ** 2).sum(axis=1))) ** 2, np.float64)

    def turned(self, which: BoolArray, null: Null) -> Tested:
        """The same with REF counted instead of ALT where `which`; Z's first column is constant, and takes the 2 of 2 − g."""
        counts, side = self.counts, which[:, None]
        two = np.zeros(null.p)
        two[0] = 2 / (null.basis.inverse[0, 0] * null.root[0, 0])
        n0, n2 = np.where(which, counts.n2, counts.n0), np.where(which, counts.n0, counts.n2)
        slope = np.where(side, two - self.slope, self.slope)
        return replace(
            self, counts=Counts(n0, counts.n1, n2, counts.n), slope=slope, score=np.where(which, -self.score, self.score)
        )

    def step(self) -> FloatArray:
        """(variants,) distance of neighbouring values of the score: 2 where every carrier has two copies."""
        return np.where(self.counts.n1 == 0, 2.0, 1.0)


class CaseControlOptions(BaseModel):
    """What a plan may set under `options` for any method that compares cases with controls.

    Attributes
    ----------
    case_counts
        Whether the genotypes of cases are counted, too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    case_counts: bool = False

    @classmethod
    def of(cls, plan: Plan) -> Self:
        """The method's options of a plan, those of the run left aside; `BadQuestion` where it sets others."""
        given: dict[str, Any] = {name: value for name, value in plan.options.items() if name not in _RUN_OPTIONS}
        try:
            return cls(**given)
        except ValidationError as error:
            first = error.errors()[0]
            place, names = ".".join(str(part) for part in first["loc"]), ", ".join(cls.model_fields)
            raise BadQuestion(f"options.{place}: {first['msg'].lower()}; {plan.method} knows {names}") from None


def begin(plan: Plan, study: Study, summer: Summer) -> list[Null]:
    """The null models of a plan's traits.

    Raises
    ------
    NotPermitted
        If the traits are not case/control, are to be transformed, or have no null model (`fit_null`); if genotypes of cases
        are to be counted of data that are not open: one carrier among them would be told.
    """
    if not study.binary:
        raise NotPermitted(f"{plan.method} compares cases with controls: name them as `case` and `control` instead of a trait")
    if plan.transformation != "none":
        raise NotPermitted(f"{plan.method} takes cases and controls as they are: leave `transformation` out")
    if study.mac_floor and plan.options.get("case_counts"):
        raise NotPermitted("genotypes of cases are counted of open data only: leave options.case_counts out")
    basis = fit_basis(study, summer)
    return [fit_null(study, summer, basis, trait) for trait in range(len(study.traits))]


def stretches(n_variants: int, nulls: Sequence[Null]) -> Iterator[IntArray]:
    """The study's rows, a stretch at a time."""
    fitting = _STRETCH_NUMBERS // (len(nulls) * (nulls[0].p + 8)) // _STRETCH_LEAST * _STRETCH_LEAST
    length = max(_STRETCH_LEAST, min(STRETCH_VARIANTS, fitting))
    for start in range(0, n_variants, length):
        yield np.arange(start, min(n_variants, start + length), dtype=np.int64)


def tested(
    summer: Summer,
    nulls: Sequence[Null],
    rows: IntArray,
    keep: Callable[[Counts, IntArray], BoolArray],
    *,
    case_counts: bool = False,
) -> list[Tested]:
    """One pass over a stretch of variants: what it tells of each null model's trait, of the variants that `keep` wants.

    With `case_counts` the genotypes of cases are counted, too.
    """
    many, p = len(nulls), nulls[0].p
    most = max(one.weight for one in nulls)
    parts = [
        Column("error", many, np.sqrt(max(one.distance for one in nulls))),  # |y − μ| ≤ 1
        Column("weighted", many * p, 0.25),  # w ≤ ¼ and ‖q‖ = 1
        Column("weight", many, np.sqrt(most) / 2, squared=True),
        Column("cases", many, np.sqrt(max(one.cases for one in nulls))),
    ]
    if case_counts:
        parts.append(Column("cases_squared", many, np.sqrt(max(one.cases for one in nulls)), squared=True))
    told = nulls[0].basis.broadcast() | {
        "scan_traits": np.asarray([one.trait for one in nulls], np.int64),
        "scan_betas": np.asarray([one.beta for one in nulls]),
        "scan_case_counts": np.asarray(int(case_counts), np.int64),
    }
    found = list(scan(summer, rows, Scan("case-control-scan", told, nulls[0].n, parts), keep))
    return [_joined([_tested(null, number, one) for one in found], p) for number, null in enumerate(nulls)]


def _joined(parts: Sequence[Tested], p: int) -> Tested:
    if not parts:
        none, nothing = np.zeros(0, np.int64), np.zeros(0)
        return Tested(none, Counts(none, none, none, 0), none, nothing, nothing, np.zeros((0, p)), np.zeros(0, str))

    def joined(take: Callable[[Tested], AnyArray]) -> AnyArray:
        return np.concatenate([take(one) for one in parts])

    return Tested(
        joined(lambda one: one.rows),
        Counts(
            joined(lambda one: one.counts.n0),
            joined(lambda one: one.counts.n1),
            joined(lambda one: one.counts.n2),
            parts[0].counts.n,
        ),
        joined(lambda one: one.cases),
        joined(lambda one: one.score),
        joined(lambda one: one.variance),
        joined(lambda one: one.slope),
        joined(lambda one: one.status),
        None if parts[0].case_counts is None else joined(lambda one: np.asarray(one.case_counts)),
    )


def _tested(null: Null, number: int, found: Scanned) -> Tested:
    p, counts = null.p, found.counts
    products = found.imputed("error")[:, number]
    weighted = found.imputed("weighted")[:, number * p : (number + 1) * p]
    squares = found.imputed_squared("weight")[:, number]
    scores = score_statistics(products, weighted, squares, root=null.root, residual=null.residual)
    varying = np.maximum(np.maximum(counts.n0, counts.n1), counts.n2) < counts.called
    # The first column of Z is the intercept: without it, what is left is the variance about the mean.
    apart = scores.variance > limit(COLLINEAR, 1e-3) * (squares - scores.slope[:, 0] ** 2)
    status = np.select([~varying, ~apart], [results.MONOMORPHIC, results.COLLINEAR], results.ESTIMATED)
    score, variance = (np.where(varying & apart, column, np.nan) for column in (scores.score, scores.variance))
    cases = null.cases - np.rint(found.missing["cases"][:, number]).astype(np.int64)
    case_counts = None
    if "cases_squared" in found.sums:
        copies, squared = (np.rint(found.sums[name][:, number]) for name in ("cases", "cases_squared"))
        two = (squared - copies) / 2
        one = copies - 2 * two
        case_counts = np.column_stack([cases - one - two, one, two]).astype(np.int64)
    return Tested(found.rows, counts, cases, score, variance, scores.slope, status, case_counts)


def write_lines(sink: Sink, tested: Sequence[Tested], columns: Sequence[Mapping[str, AnyArray]]) -> None:
    """Write a stretch: for each trait what was tested, and the further columns (variants,) of its lines."""
    first, many = tested[0], len(tested)
    if not len(first):
        return
    together = {name: np.stack([one[name] for one in columns], axis=1) for name in columns[0]}
    together["n_cases"] = np.stack([one.cases for one in tested], axis=1)
    together["status"] = together.pop("status", np.stack([one.status for one in tested], axis=1))
    if first.case_counts is not None:
        for copies in range(3):
            counted = [one.case_counts[:, copies] for one in tested if one.case_counts is not None]
            together[f"n{copies}_cases"] = np.stack(counted, axis=1)
    few = max(1, results.LINES // many)
    for start in range(0, len(first), few):
        cut = slice(start, start + few)
        counts = results.count_columns(first.counts.taken(cut), many)
        lines = {name: column[cut].ravel() for name, column in together.items()}
        sink.write(np.repeat(first.rows[cut], many), counts | lines)


@local_step("case-control-scan")
def _scan(data: LocalData, broadcast: Mapping[str, AnyArray], rows: IntArray | None, _more: Mapping[str, AnyArray]) -> Sums:
    def tables() -> tuple[Table, Table]:
        traits = zip(broadcast["scan_traits"], broadcast["scan_betas"], strict=True)
        models = [local_null(data, broadcast, int(trait), beta) for trait, beta in traits]
        cases = np.column_stack([one.y for one in models])
        table = {
            "error": np.column_stack([one.y - one.mu for one in models]),
            "weighted": np.column_stack([one.basis * one.weight[:, None] for one in models]),
            "cases": cases,
        }
        squared = {"weight": np.column_stack([one.weight for one in models])}
        if broadcast["scan_case_counts"]:
            squared["cases_squared"] = cases
        return Table.of(table), Table.of(squared)

    names = ("basis_mean", "basis_sd", "basis_inverse", "scan_traits", "scan_betas", "scan_case_counts")
    table, squared = derived(data, "case-control-tables", broadcast, names, tables)
    return scan_part(data, rows, table, squared)
