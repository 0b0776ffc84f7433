"""Fills Numba's cache, so that no later command and no test worker waits for the compiler (about a minute, once).

python -m cohelix.testing.warm
"""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

PARTS = ("scan", "store")


def warm() -> None:
    """Compile every kernel, of loads, exports and the store, where it is not in the cache yet.

    The two parts take about as long as one another, each in a process of its own where there are processors for both.
    """
    workers = min(len(PARTS), os.cpu_count() or 1)
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        for done in [pool.submit(warm_part, part) for part in PARTS]:
            done.result()


def warm_part(part: str) -> None:
    """Compile one of the `PARTS`: the scanners of genotype files, or all else."""
    if part == "scan":
        from cohelix.genotypes import scan

        scan.compile_kernels()
        return
    from cohelix.disclosure import telling
    from cohelix.genotypes import depths, export, kernels, product_kernels, tallies
    from cohelix.stats import hwe, kinship, saddlepoint
    from cohelix.stats.compiled import compile_all

    for module in (kernels, product_kernels, tallies, depths, hwe, kinship, saddlepoint, telling):
        compile_all(vars(module))
    export.compile_kernels()


if __name__ == "__main__":
    warm()
