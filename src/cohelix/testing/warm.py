"""Fills Numba's cache by loading a few simulated people once, so that no later command waits for the compiler.

python -m cohelix.testing.warm
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from cohelix.core.genome import Assembly, region_1based
from cohelix.genotypes.load import load_genotypes
from cohelix.testing.cohorts import simulate_cohort, write_vcf


def warm() -> None:
    """Compile what a load of a VCF and the counts of its variants use, where that is not in the cache yet."""
    cohort = simulate_cohort(
        {"NONE": 40}, 50, seed=1, region=region_1based("22", 17_000_001, 18_000_000), assembly=Assembly.GRCH37
    )
    with tempfile.TemporaryDirectory(prefix="cohelix-warm-") as scratch:
        genotypes = Path(scratch) / "simulated.vcf.gz"
        write_vcf(cohort, genotypes)
        load_genotypes([genotypes], Path(scratch) / "store", assembly=Assembly.GRCH37, reference=None, progress=None)


if __name__ == "__main__":
    warm()
