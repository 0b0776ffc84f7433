"""Fills Numba's cache, so that no later command and no test worker waits for the compiler (about a minute, once).

python -m cohelix.testing.warm
"""

from __future__ import annotations

from cohelix.genotypes import depths, export, kernels, quality, scan


def warm() -> None:
    """Compile every kernel, of loads, exports and the store, where it is not in the cache yet."""
    kernels.warm()
    scan.compile_kernels()
    export.compile_kernels()
    assert depths and quality  # compiled by their import


if __name__ == "__main__":
    warm()
