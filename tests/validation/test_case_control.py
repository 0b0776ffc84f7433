"""Case/control tests over five nodes equal plink2's and naive ones on real genomes; at full volume: `validation.logistic`."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

from validation import kg3, realdata
from validation.logistic.__main__ import permutations, twins
from validation.logistic.referee import FIRTH_BETA, against_plink2, good, real_people


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Matrices are small here: threads would only wait for each other."""
    with threadpool_limits(1):
        yield


SHARED = realdata.shared()


@pytest.fixture(scope="module")
def genotypes(tmp_path_factory: pytest.TempPathFactory) -> kg3.Genotypes:
    if SHARED is None:
        pytest.skip("the shared folder with real data (kg3-*) is not present: set COHELIX_SHARED")
    source = next((SHARED / "data/kg3-chr22-tel").glob("*.bcf"))
    stretch = tmp_path_factory.mktemp("kg3") / "stretch.bcf"
    subprocess.run(["bcftools", "view", "-t", "22:50300000-50345000", "-Ob", "-o", stretch, source], check=True)
    return kg3.read_genotypes(stretch)


def test_plink2_prints_the_same_effects(genotypes: kg3.Genotypes, tmp_path: Path) -> None:
    plink2 = shutil.which("plink2")
    assert plink2 is not None, "plink2 is among the referees that `make test` installs"
    people, node = real_people(genotypes, 14, seed=4, shares=(0.5, 0.1))
    firth, wald = against_plink2(people, node, plink2, tmp_path)
    assert firth.lines > 25
    assert good(firth)
    assert firth.median <= FIRTH_BETA
    assert wald.lines > 15
    assert good(wald)
    assert wald.median <= 1e-5


def test_lines_equal_naive_tests_of_pooled_people(genotypes: kg3.Genotypes) -> None:
    people, node = real_people(genotypes, 30, seed=5, shares=(0.1,))
    found = twins(people, node)
    assert min(found.lines.values()) >= 1
    assert found.score <= 1e-6
    assert found.saddlepoint <= 1e-6
    assert found.wald <= 1e-6
    assert found.firth <= 1e-6


def test_saddlepoints_are_within_a_factor_of_two_of_enumeration(genotypes: kg3.Genotypes) -> None:
    found = permutations(genotypes.copies, seed=6, each=5)
    assert found.lines >= 8
    assert found.factor <= 2
