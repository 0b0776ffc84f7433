"""plink2's `--glm firth` and `--glm no-firth` over the same people, who lack the same calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from validation import kg3
from validation.linear.experiment import Lines, People
from validation.logistic import naive
from validation.logistic.experiment import run_split, simulate, with_gaps

Array = npt.NDArray[Any]
SHARES = (0.5, 0.1, 0.02)  # of cases, trait by trait


FIRTH_BETA = 3e-4  # standard errors: how near plink2 comes to the maximum
_TWIN_BETA = 1e-6


@dataclass(frozen=True)
class Against:
    """Lines with an estimate of both, and how plink2's differ from ours.

    `ours_only` and `theirs_only` are lines that only one of the two could fit (plink2: `UNFINISHED` is no fit),
    `counts_differ` those with another number of people. `beta` and
    `standard_error` are the worst |Δβ|/SE and relative difference, `median` the median of the first. `beyond` lines differ
    by more than plink2's tolerance; of these the naive twin was asked, `twin` is how far we are from it at worst.
    """

    method: str
    lines: int
    ours_only: int
    theirs_only: int
    counts_differ: int
    median: float
    beta: float
    standard_error: float
    beyond: int
    twin: float


def real_people(genotypes: kg3.Genotypes, variants: int, seed: int, shares: Sequence[float] = SHARES) -> tuple[People, Array]:
    """Real genotypes, half of the variants with gaps, simulated covariates and traits; and (people,) five unequal nodes."""
    random = np.random.default_rng(seed)
    copies = genotypes.copies
    informative = np.flatnonzero((np.minimum(copies.sum(axis=1), (2 - copies).sum(axis=1))) >= 3)
    chosen = np.sort(random.choice(informative, min(variants, len(informative)), replace=False))
    # Counted is the rarer allele: plink2 computes in single precision, where a constant of 2 would hide the others.
    some = copies[chosen]
    some = np.where((some.mean(axis=1) > 1)[:, None], 2 - some, some)
    dosages = with_gaps(some, seed=seed, share=0.03)
    people = dosages.shape[1]
    common = copies[informative[:: max(1, len(informative) // 500)]].astype(float)
    axes = np.linalg.svd(common - common.mean(axis=1, keepdims=True), full_matrices=False)[2][:2].T
    covariates = np.column_stack([random.uniform(20, 80, people), 40 * axes, random.integers(0, 2, people)])
    traits = [simulate(dosages, covariates, seed=seed + number, cases=share) for number, share in enumerate(shares)]
    node = np.searchsorted(np.quantile(axes[:, 0], [0.05, 0.2, 0.45, 0.75]), axes[:, 0] + 0.001 * random.normal(size=people))
    return People(dosages, np.column_stack(traits), covariates), node


def against_plink2(people: People, node: Array, plink2: str, folder: Path) -> list[Against]:
    """Compare every line of the complete-case runs over the nodes with plink2's."""
    names = [f"t{number}" for number in range(people.traits.shape[1])]
    stem = folder / "people"
    # plink2 codes cases as 2 and controls as 1.
    kg3.write_plink(stem, people.dosages, dict(zip(names, people.traits.T + 1, strict=True)), people.covariates)
    found = []
    for method, option, suffix in (("firth", "firth", "firth"), ("wald", "no-firth", "logistic")):
        columns = "cols=+nobs,+beta,+orbeta,+se,+tz,+p,+err"
        kg3.plink_glm(plink2, stem, option, columns, "--vif", "1e9", "--max-corr", "1")
        lines = run_split(people, node, method, missing="complete-case")
        theirs = [kg3.read_glm(folder / f"people.{name}.glm.{suffix}") for name in names]
        found.append(_compared(method, people, lines, theirs))
    return found


def _compared(method: str, people: People, found: Lines, printed: list[dict[str, list[str]]]) -> Against:
    ours_only = theirs_only = counts = beyond = 0
    beta, error, twin = np.zeros(0), 0.0, 0.0
    tolerance = FIRTH_BETA if method == "firth" else 1e-5
    for trait, theirs in enumerate(printed):
        mine = {name: column[found["trait"] == trait] for name, column in found.items()}
        place = {int(name[1:]): number for number, name in enumerate(theirs["ID"])}
        order = np.array([place[row] for row in mine["row"].tolist()])
        known = np.array([theirs["BETA"][number] != "NA" and theirs["ERRCODE"][number] == "." for number in order])
        counts += int((mine["n"] != np.array([int(theirs["OBS_CT"][number]) for number in order])).sum())
        fitted = mine["status"] == "estimated"
        both = known & fitted
        ours_only, theirs_only = ours_only + int((fitted & ~known).sum()), theirs_only + int((known & ~fitted).sum())
        their_beta, their_error = (np.array([float(theirs[name][number]) for number in order[both]]) for name in ("BETA", "SE"))
        apart = np.abs(mine["beta"][both] - their_beta) / mine["standard_error"][both]
        beta = np.concatenate([beta, apart])
        error = max(error, float(np.abs(mine["standard_error"][both] / their_error - 1).max(initial=0)))
        far = np.flatnonzero(both)[apart > tolerance]
        beyond += len(far)
        for line in far[:: max(1, len(far) // 40)]:
            twin = max(twin, _from_twin(method, people, trait, mine, int(line)))
    middle, most = float(np.median(beta)), float(beta.max())
    return Against(method, len(beta), ours_only, theirs_only, counts, middle, most, error, beyond, twin)


def _from_twin(method: str, people: People, trait: int, mine: Lines, line: int) -> float:
    dosage = people.dosages[mine["row"][line]]
    called = ~np.isnan(dosage)
    fit = naive.firth if method == "firth" else naive.wald
    found = fit(people.traits[called, trait], people.covariates[called], dosage[called])
    return float(abs(mine["beta"][line] - found.beta) / found.standard_error)


def good(one: Against) -> bool:
    """Whether every line has plink2's people, and its estimate, or else that of the naive twin."""
    return one.counts_differ == 0 and one.theirs_only == 0 and one.twin <= _TWIN_BETA
