"""The registry of arrays that travel between rooms: one line of meaning for each name, and the types they use.

name              dims                  dtype    meaning; missing value
----------------  --------------------  -------  ------------------------------------------------------------------
rows              (variants,)           int64    global row numbers of a genotype store, ascending
sample_index      (samples,)            int64    genotype columns of a store, 0-based
position          (variants,)           uint32   0-based position of the first base of the trimmed REF
end               (variants,)           uint32   0-based position after the last reference base covered
an, ac            (variants,)           int64    called alleles at the site; copies of this ALT (rule 1)
het, hom, hemi    (variants,)           int64    people with one copy of two, two copies, one copy of one
missing           (variants,)           int64    people without a complete call, half-called people among them
group_counts      (groups, 6)           int64    an, ac, het, hom, hemi, missing of each group of people
dosages           (variants, samples)   float    copies of ALT, 0 to 2; NaN where missing or half-called
alleles           (variants, samples, 2) int8    0 not this ALT, 1 this ALT, -1 not called, -2 no second allele
phased            (variants, samples)   bool     whether the two alleles are on named haplotypes
products          (variants, columns)   float64  sum of dosage times a column of numbers, over people with a call
missing_products  (variants, columns)   float64  sum of a column of numbers over people without a call
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

IntArray: TypeAlias = npt.NDArray[np.int64]
UintArray: TypeAlias = npt.NDArray[np.uint32]
WordArray: TypeAlias = npt.NDArray[np.uint64]
ByteArray: TypeAlias = npt.NDArray[np.uint8]
AlleleArray: TypeAlias = npt.NDArray[np.int8]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]


class AlleleCounts(NamedTuple):
    """Counts of one ALT per variant, each (variants,) int64, by rule 1 of the interface.

    `an` counts called alleles, other ALTs included; `ac` copies of this ALT; `het` people with one copy of two
    called alleles, `hom` with two, `hemi` with a haploid ALT call; `missing` people not fully called.
    """

    an: IntArray
    ac: IntArray
    het: IntArray
    hom: IntArray
    hemi: IntArray
    missing: IntArray
