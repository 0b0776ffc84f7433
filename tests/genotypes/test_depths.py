"""Depths of source files: the same from VCF and BCF, equal to a naive reading, and bounded."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pysam
import pytest

from cohelix.genotypes.depths import read_depths
from validation.quality import simulate as sim


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[str]]:
    folder = tmp_path_factory.mktemp("depths")
    chance = np.random.default_rng(3)
    cohort = sim.simulate(40, chance, autosomal=300, on_x=20, on_y=5)
    cohort.foreign[3] = (4, 0.1)
    cohort.depth[5] = 400.0  # more than a byte holds
    sim.sequence(cohort, chance)
    cohort.calls[chance.random(cohort.calls.shape) < 0.05] = -1
    vcf = sim.write_vcf(cohort, folder / "a.vcf.gz")
    bcf = folder / "a.bcf"
    subprocess.run(["bcftools", "view", "-Ob", "-o", bcf, vcf], check=True, capture_output=True)
    return vcf, bcf, cohort.names


def naive(path: Path, n: int) -> np.ndarray:
    """(people, 4): depth, sites, scaled share of REF reads, sites; by the text of the definition."""
    sums = np.zeros((n, 4))
    with pysam.VariantFile(str(path)) as file:
        for record in file:
            if not record.contig.isdigit():
                continue
            calls = list(record.samples.values())
            full = [call["GT"] for call in calls if None not in call["GT"]]
            alts, alleles = sum(map(sum, full)), 2 * len(full)
            frequency = (alleles - alts) / (alleles - 2)
            for place, call in enumerate(calls):
                if call["DP"] is not None:
                    sums[place, :2] += (call["DP"], 1)
                ref, alt = call["AD"]
                if call["GT"] == (1, 1) and alleles >= 40 and 0.1 <= frequency <= 0.9 and 10 <= ref + alt <= 200:
                    sums[place, 2:] += (ref / (ref + alt) / frequency, 1)
    return sums


@pytest.mark.parametrize("which", [0, 1])
def test_sums_equal_a_naive_reading(files: tuple[Path, Path, list[str]], which: int, referee: Callable[[str], str]) -> None:
    referee("bcftools")
    names = files[2]
    turned = names[::-1]  # the store's order need not be the file's
    depths = read_depths([files[which]], turned, threads=2)
    assert depths is not None and depths.complete and depths.records > 290
    expected = naive(files[0], len(names))[::-1]
    np.testing.assert_array_equal(depths.depth_sum, expected[:, 0])
    np.testing.assert_array_equal(depths.depth_sites, expected[:, 1])
    np.testing.assert_allclose(depths.share_sum, expected[:, 2], rtol=1e-9)
    np.testing.assert_array_equal(depths.share_sites, expected[:, 3])
    assert expected[:, 3].sum() > 500


def test_a_file_without_depths_is_not_read(files: tuple[Path, Path, list[str]], tmp_path: Path) -> None:
    bare = tmp_path / "bare.vcf.gz"
    subprocess.run(["bcftools", "annotate", "-x", "^FORMAT/GT", "-Oz", "-o", bare, files[0]], check=True, capture_output=True)
    assert read_depths([bare], files[2], threads=1) is None
    assert read_depths([], files[2], threads=1) is None


def test_the_pass_keeps_to_its_bound(files: tuple[Path, Path, list[str]]) -> None:
    """It ends with the block that reaches the bound: without any room nothing is read, with little the first block."""
    assert read_depths(files[:2], files[2], threads=1, bytes_max=0) is None
    first = read_depths(files[:1], files[2], threads=1, bytes_max=1)
    assert first is not None and first.records >= 1
