"""Numba without scipy, whose linear algebra it would import (0.16 s) to see whether that is there; no loop of ours uses it."""

from __future__ import annotations

from numba import njit

__all__ = ["njit"]


def _without_scipy() -> None:
    """Load what every compiled function needs of Numba, and let it take scipy's linear algebra for granted meanwhile.

    A loop that does use it loads it when it is compiled: Numba asks again there.
    """
    from numba.np import linalg

    asked = linalg.ensure_blas
    linalg.ensure_blas = lambda: None
    try:
        from numba.np import arraymath
    finally:
        linalg.ensure_blas = asked
    vars(arraymath)["ensure_blas"] = asked


_without_scipy()
