"""Fills Numba's cache, so that no later command and no test worker waits for the compiler (about a minute, once).

python -m cohelix.testing.warm
"""

from __future__ import annotations

from cohelix.genotypes import depths, export, kernels, product_kernels, scan, tallies
from cohelix.stats import hwe, kinship, saddlepoint
from cohelix.stats.compiled import compile_all


def warm() -> None:
    """Compile every kernel, of loads, exports and the store, where it is not in the cache yet."""
    for module in (kernels, product_kernels, tallies, depths, hwe, kinship, saddlepoint):
        compile_all(vars(module))
    scan.compile_kernels()
    export.compile_kernels()


if __name__ == "__main__":
    warm()
