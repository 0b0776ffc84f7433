"""Counting bits in compiled loops."""

# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# The types of kernels stand in their Numba signatures.

from __future__ import annotations

from numba import types
from numba.extending import intrinsic


@intrinsic
def popcount(_context, word):
    """Number of set bits of a uint64: one instruction (POPCNT; VPOPCNTQ in a vector loop)."""

    def generate(_context, builder, _signature, arguments):
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate
