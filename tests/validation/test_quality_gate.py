"""The quality gate's proof, small: planted faults, figures beside the referees, and the known relatives of 1000 Genomes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from validation import realdata
from validation.processes import inside
from validation.quality import faults
from validation.quality.referees import compare_figures, compare_kinship


@pytest.fixture(autouse=True)
def _programs(referee: Callable[[str], str]) -> None:
    for program in ("bcftools", "bgzip", "plink2", "plink1.9"):
        referee(program)


def test_a_cohort_without_a_fault_is_accepted(tmp_path: Path) -> None:
    assert [one for one in faults.clean(tmp_path / "clean", 1) if not one.found] == []


def test_faults_of_people_are_found_and_nobody_else_is_left_out(tmp_path: Path) -> None:
    outcomes = faults.of_people(tmp_path / "people", 2)
    assert len(outcomes) == 22
    assert [one for one in outcomes if not one.found] == []


def test_faults_of_datasets_are_found(tmp_path: Path) -> None:
    outcomes = faults.of_datasets(tmp_path, 10, {"shifted", "silent-build", "false-batch"})
    assert len(outcomes) == 3
    assert [one for one in outcomes if not one.found] == []


def test_figures_equal_the_referees(tmp_path: Path) -> None:
    with inside():
        compared = compare_figures("simulated", None, tmp_path / "simulated")
    assert {"F (--check-sex)", "F (--het)", "P (--hardy)", "mean depth of autosomes"} <= {one.figure for one in compared}
    assert [one for one in compared if one.differing or not one.compared] == []


def test_the_sixteen_related_pairs_and_nobody_else(tmp_path: Path, shared_data: Path) -> None:
    exome = next(one for one in realdata.genotype_sets() if one.name == "kg3-exome-common")
    assert shared_data in exome.path.parents
    with inside():
        compared = compare_kinship(exome.path, tmp_path / "king")
    assert compared.compared == 4 * 16
    assert compared.differing == 0, compared.first
