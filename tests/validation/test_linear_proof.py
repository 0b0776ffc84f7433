"""A sample of `python -m validation.linear`: published slopes, and plink2 over real genotypes with gaps."""

from __future__ import annotations

import shutil
from pathlib import Path

from validation import kg3
from validation.linear.published import reproduce
from validation.linear.referee import against_plink2, real_people


def test_published_slopes_of_geuvadis(shared_data: Path) -> None:
    found = reproduce(next((shared_data / "kg3-chr22-tel").glob("*.bcf")), shared_data / "geuvadis-chr22")
    assert found.genes == found.within == 29
    assert found.slope < 1e-5 and found.log10_p < 1e-5


def test_every_figure_is_as_plink2_prints_it(shared_data: Path, tmp_path: Path) -> None:
    positions = range(50_240_000, 50_300_000)
    genotypes = kg3.read_genotypes(next((shared_data / "kg3-chr22-tel").glob("*.bcf")), positions)
    people, node = real_people(genotypes, 600, seed=3)
    printed = against_plink2(people, node, shutil.which("plink2") or "plink2", tmp_path)
    assert printed.lines > 1500 and printed.counts_differ == printed.status_differs == 0
    assert not any(printed.beyond_print.values())
