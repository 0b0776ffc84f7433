"""Which variants a plan tests, by the counts over all nodes together, and how many each of its filters leaves out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cohelix.analysis.scan import Counts
from cohelix.core.arrays import BoolArray, FloatArray, IntArray
from cohelix.stats import hwe_p_values
from cohelix.stats.thresholds import limit
from cohelix.wire.plan import VariantFilter


@dataclass
class VariantFilters:
    """Applies a plan's filters and remembers whom they left out; a variant counts for the first that leaves it out.

    Attributes
    ----------
    plan
        The plan's filters.
    haploid
        (variants,) of the whole list: where Hardy-Weinberg is not tested; () where nowhere.
    mac_floor
        Least minor allele count that may be told, by the policy of the nodes.
    left_out
        Variants by filter: `not_assessed`, `call_rate_min`, `mac_floor`, `mac_min`, `maf_min`, `hwe_min`.
    """

    plan: VariantFilter
    haploid: Sequence[bool] = ()
    mac_floor: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    tested: int = 0

    def __call__(self, counts: Counts, rows: IntArray) -> BoolArray:
        """(variants,) bool: which of the variants `rows` of the list are tested."""
        called = counts.called
        minor = np.minimum(counts.copies, 2 * called - counts.copies)
        rare = minor
        if len(self.haploid):
            # A haploid person coded as one copy of ALT has none of REF: there only people without ALT are sure to have it.
            rare = np.where(np.asarray(self.haploid, np.bool_)[rows], np.minimum(minor, counts.n0), minor)
        keep = np.ones(len(called), np.bool_)
        rules = (
            ("not_assessed", called > 0),
            ("call_rate_min", called >= self.plan.call_rate_min * counts.n),
            ("mac_floor", rare >= self.mac_floor),
            ("mac_min", minor >= self.plan.mac_min),
            ("maf_min", minor >= self.plan.maf_min * 2 * called),
        )
        for name, passes in rules:
            keep = self._left(name, keep, passes)
        if self.plan.hwe_min > 0:
            keep = self._left("hwe_min", keep, self._hardy_weinberg(counts, rows, keep) >= limit(self.plan.hwe_min))
        self.tested += int(keep.sum())
        return keep

    def _hardy_weinberg(self, counts: Counts, rows: IntArray, keep: BoolArray) -> FloatArray:
        """Exact p-values, 1 where they are not asked."""
        asked = keep.copy()
        if len(self.haploid):
            asked &= ~np.asarray(self.haploid, np.bool_)[rows]
        p_values = np.ones(len(keep))
        p_values[asked] = hwe_p_values(counts.n1[asked], counts.n0[asked], counts.n2[asked])
        return p_values

    def _left(self, name: str, keep: BoolArray, passes: BoolArray) -> BoolArray:
        lost = int((keep & ~passes).sum())
        if lost:
            self.left_out[name] = self.left_out.get(name, 0) + lost
        return keep & passes
