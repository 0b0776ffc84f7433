"""What a method hands over: lines of a table, block by block, and what is to be said of the whole run.

Lines are one for each variant and trait, by variant and then by trait. Their columns:

trait                      number in `Study.traits`
n                          people with a call, over all nodes
n0, n1, n2                 people with dosage 0, 1 and 2, haploid calls as the plan codes them
effect_allele_frequency    mean dosage of the people with a call, halved
beta, standard_error       per copy of ALT, in the trait's unit after its transformation; NaN where there is none
statistic, neg_log10_p     of the test that the outcome names
status                     `estimated`, or why there is no estimate

and further ones that the method names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
from pydantic import JsonValue

from cohelix.analysis.scan import Counts
from cohelix.analysis.steps import AnyArray
from cohelix.core.arrays import IntArray

ESTIMATED: Final = "estimated"
MONOMORPHIC: Final = "monomorphic"  # everybody with a call has the same genotype, or nobody has one
COLLINEAR: Final = "collinear"  # covariates tell the genotype
TOO_FEW: Final = "too-few-people"  # no degree of freedom is left
DETERMINED: Final = "determined"  # genotype and covariates tell the trait
LINES = 1 << 18  # at most, of one block handed over


class Sink(Protocol):
    """Takes the lines of a run's table; `files.TableWriter` is one."""

    def write(self, rows: AnyArray, columns: Mapping[str, AnyArray]) -> None:
        """Add lines: `rows` (lines,) numbers in the list of variants, columns (lines,) each."""


@dataclass(frozen=True)
class Outcome:
    """What holds for the whole run.

    Attributes
    ----------
    n
        People over all nodes.
    parameters
        Columns of the null model, intercept included.
    tested
        Variants that were tested, whether or not an estimate was possible.
    left_out
        Variants by the filter that left them out.
    details
        Names of test and conventions for metadata and report.
    """

    n: int
    parameters: int
    tested: int
    left_out: Mapping[str, int]
    details: Mapping[str, JsonValue] = field(default_factory=dict)


def count_columns(counts: Counts, traits: int) -> dict[str, AnyArray]:
    """The columns `trait`, `n`, `n0`, `n1`, `n2` and `effect_allele_frequency` of each variant's lines."""
    by_line = {
        "n": counts.called,
        "n0": counts.n0,
        "n1": counts.n1,
        "n2": counts.n2,
        "effect_allele_frequency": counts.mean / 2,
    }
    trait: IntArray = np.tile(np.arange(traits, dtype=np.int64), len(counts.n0))
    return {"trait": trait, **{name: np.repeat(column, traits) for name, column in by_line.items()}}
