"""The store's compiled loops, loaded with the first call of one: Numba takes a quarter of a second, and opening needs none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cohelix.core.later import Later

if TYPE_CHECKING:
    from cohelix.genotypes import kernels, product_kernels
else:
    kernels, product_kernels = (Later(f"cohelix.genotypes.{name}") for name in ("kernels", "product_kernels"))

__all__ = ["kernels", "product_kernels"]
