"""What the store's compiled loops and their callers agree on: sections of files, flags of rows, numbers of identifiers.

It stands apart from the loops, so that a store is opened without a compiler.
"""

from __future__ import annotations

# The sections that kernels read; `hybrid_store` explains them.
SECTIONS = (
    "flags",
    "pattern",
    "ploidy",
    "carrier_starts",
    "carriers",
    "plane_rows",
    "plane_starts",
    "planes",
    "missing_rows",
    "missing_starts",
    "missing",
    "half_rows",
    "half_starts",
    "half",
    "phase_starts",
    "phase",
)
# The sections of a table of counts; `counts` explains them.
COUNT_SECTIONS = ("usual", "which", "starts", "group", "ac", "hom", "hemi", "missing", "an_less", "half_alt")

# A shard's row flags.
ROW_LOW, ROW_HIGH = 1, 2  # has a plane of low bits, also one of high bits
ROW_PHASE_SHIFT = 2  # two bits, as in `model`
ROW_MISSING, ROW_HALF = 16, 32  # has listed missing samples, half-called samples

# Identifiers of variants.
ID_NONE = 0  # 1 … ID_TEXT - 1 are rs numbers
ID_TEXT = 0xF0000000  # spelled out
ID_NAMED = 0xF0000001  # and above: contig, 1-based position and alleles, joined by a separator, with or without `chr`
ID_SEPARATORS = "-:_"
