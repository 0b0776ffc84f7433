"""Ancestry components from sums over nodes, against the singular vectors of the pooled matrix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cohelix.analysis.ancestry import components, set_components
from cohelix.analysis.components import fit_ancestry, local_scores
from cohelix.analysis.data import ArrayGenotypes, LocalData, Study
from cohelix.analysis.linear import linear
from cohelix.analysis.pooled import PlainSummer
from cohelix.core.arrays import FloatArray
from cohelix.core.errors import NotPermitted
from cohelix.wire.plan import Plan


def _genotypes(seed: int, n: int, m: int) -> FloatArray:
    """Three populations that drifted apart; some calls missing."""
    rng = np.random.default_rng(seed)
    ancestral = rng.uniform(0.1, 0.9, m)
    groups = [np.clip(rng.normal(ancestral, 0.12 * (1 + i)), 0.02, 0.98) for i in range(3)]
    who = rng.integers(0, 3, n)
    dosages = np.array([rng.binomial(2, groups[one]) for one in who], np.float64).T
    dosages[rng.random(dosages.shape) < 0.01] = np.nan
    return dosages


def _parts(dosages: FloatArray, cuts: list[int]) -> list[LocalData]:
    pieces = np.split(np.arange(dosages.shape[1]), cuts)
    return [LocalData(np.zeros((len(p), 0)), np.zeros((len(p), 1)), ArrayGenotypes(dosages[:, p])) for p in pieces]


def _pooled(dosages: FloatArray, mean: FloatArray) -> tuple[FloatArray, FloatArray]:
    Z = (dosages - mean[:, None]) / np.sqrt(mean * (1 - mean / 2))[:, None]
    Z[np.isnan(Z)] = 0
    U, values, _ = np.linalg.svd(Z, full_matrices=False)
    return U, values**2 / len(Z)


@pytest.mark.parametrize("cuts", [[], [40, 90], [7, 20, 50, 51, 120]])
def test_components_are_those_of_the_pooled_matrix(cuts: list[int]) -> None:
    dosages = _genotypes(4, 160, 600)
    mean = np.nanmean(dosages, axis=1)
    parts = _parts(dosages, cuts)
    found = fit_ancestry(PlainSummer(parts), np.arange(600), mean, n=160, k=2)
    U, values = _pooled(dosages, mean)
    assert found.converged
    assert found.separated.all()
    cosine = np.abs((found.loadings * U[:, :2]).sum(axis=0))
    assert (1 - cosine <= 1e-10).all()
    assert found.values == pytest.approx(values[:2], rel=1e-10)
    broadcast = {"rows": found.rows, "mean": mean, "scale": found.scale, "loadings": found.loadings}
    scores = np.concatenate([local_scores(part, broadcast) for part in parts])
    assert (
        np.corrcoef(scores[:, 0], (U[:, 0] @ np.nan_to_num((dosages - mean[:, None]) / found.scale[:, None])))[0, 1] ** 2
        > 1 - 1e-9
    )


def test_components_in_the_noise_are_said_not_to_be_separated() -> None:
    rng = np.random.default_rng(5)
    dosages = rng.binomial(2, 0.3, (400, 120)).astype(np.float64)
    found = fit_ancestry(
        PlainSummer(_parts(dosages, [30, 60])), np.arange(400), dosages.mean(axis=1), n=120, k=5, tolerance=1e-3
    )
    assert not found.separated.all()


def test_too_few_variants_are_refused() -> None:
    dosages = _genotypes(6, 30, 5)
    with pytest.raises(NotPermitted, match="variants and people"):
        fit_ancestry(PlainSummer(_parts(dosages, [10, 20])), np.arange(5), np.nanmean(dosages, axis=1), n=30, k=5)


class _Lines:
    def __init__(self) -> None:
        self.columns: dict[str, np.ndarray] = {}

    def write(self, rows: np.ndarray, columns: Mapping[str, np.ndarray]) -> None:
        for name, column in {"row": rows, **columns}.items():
            before = self.columns.get(name, column[:0])
            self.columns[name] = np.concatenate([before, column])


def _plan(**given: object) -> Plan:
    return Plan.model_validate({"project": "p", "datasets": ["A:d"], **given})


def test_components_as_an_analysis_and_as_covariates() -> None:
    rng = np.random.default_rng(9)
    dosages = _genotypes(8, 300, 500)
    own, traits = rng.normal(size=(300, 1)), rng.normal(size=(300, 1)) + np.nan_to_num(dosages[:1].T)
    pieces = np.split(np.arange(300), [80, 190])
    parts = [LocalData(own[p], traits[p], ArrayGenotypes(dosages[:, p])) for p in pieces]
    study = Study(500, ("age",), ("y",), False, 3, 512)
    lines = _Lines()
    outcome = components(_plan(method="components", options={"components": 2}), study, PlainSummer(parts), lines)
    assert outcome.details["separated"] == [True, True]
    rows = lines.columns["row"]
    mean = np.nanmean(dosages, axis=1)
    U, _ = _pooled(dosages[rows], mean[rows])
    loadings = np.column_stack([lines.columns["component_1"], lines.columns["component_2"]])
    assert (1 - np.abs((loadings * U[:, :2]).sum(axis=0)) <= 1e-10).all()

    plan = _plan(
        method="linear",
        trait={"measurement": "y"},
        covariates=["age", {"component": 1}, {"component": 2}],
        options={"components": 2},
    )
    wide = Study(500, ("age", "component 1", "component 2"), ("y",), False, 3, 512)
    for _ in range(2):  # a run that is repeated sets the same covariates
        set_components(plan, wide, PlainSummer(parts))
    found = _Lines()
    linear(plan, wide, PlainSummer(parts), found)
    Z = np.nan_to_num((dosages[rows] - mean[rows, None]) / np.sqrt(mean * (1 - mean / 2))[rows, None])
    X = np.column_stack([np.ones(300), own, Z.T @ U[:, :2]])
    filled = np.where(np.isnan(dosages), mean[:, None], dosages)
    for row in (0, 100, 499):
        design = np.column_stack([filled[row], X])
        beta = np.linalg.lstsq(design, traits[:, 0], rcond=None)[0][0]
        line = np.flatnonzero(found.columns["row"] == row)[0]
        assert abs(found.columns["beta"][line] - beta) <= 1e-8 * found.columns["standard_error"][line]


def test_a_component_of_noise_is_no_covariate() -> None:
    rng = np.random.default_rng(3)
    dosages = rng.binomial(2, 0.3, (400, 150)).astype(np.float64)
    plan = _plan(method="linear", trait={"measurement": "y"}, covariates=[{"component": 2}], options={"components": 2})
    study = Study(400, ("component 2",), ("y",), False, 3, 512)
    parts = _parts(dosages, [50, 100])
    with pytest.raises(NotPermitted, match="component"):
        set_components(plan, study, PlainSummer(parts))


@pytest.mark.parametrize("others", [1, 4, 30])
def test_a_component_about_a_few_people_is_not_told_of_data_that_are_not_open(others: int) -> None:
    """The loadings of one that is about one person are that person's genotypes."""
    rng = np.random.default_rng(2)
    dosages = rng.binomial(2, np.linspace(0.1, 0.5, 800)[:, None], (800, 150)).astype(np.float64)
    dosages[:, :others] = rng.binomial(2, rng.uniform(0.05, 0.95, (800, 1)), (800, others))
    summer, plan = PlainSummer(_parts(dosages, [50, 100])), _plan(method="components", options={"components": 1}, trait=None)

    class Lines:
        rows: Any = None
        loadings: Any = None

        def write(self, rows: FloatArray, columns: Mapping[str, FloatArray]) -> None:
            self.rows, self.loadings = rows, columns["component_1"]

    lines, study = Lines(), Study(800, (), (), False, 3, 256)
    components(plan, study, summer, lines)
    telling = abs(np.corrcoef(lines.loadings, dosages[lines.rows, 0] - dosages[lines.rows].mean(axis=1))[0, 1])
    assert (telling > 0.9) == (others == 1)  # this is what the floor is for
    guarded = replace(study, mac_floor=20)
    if others < 10:
        with pytest.raises(NotPermitted, match="about a few people"):
            components(plan, guarded, summer, lines)
    else:
        components(plan, guarded, summer, lines)
