"""`GenotypeStore`: what every store of genotypes answers, whatever lies on the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from cohelix.core.arrays import AlleleCounts, FloatArray, IntArray
from cohelix.core.genome import Region
from cohelix.core.variant import VariantKey
from cohelix.genotypes.model import Calls, Carriers, Cohort, DosageType, StoreInfo, VariantTable


class GenotypeStore(Protocol):
    """Variants by samples, read-only. Rows are numbered 0… in the order of contig (1…22, X, Y, MT, others), position,
    then file order; a contig's rows are consecutive. Safe to read from many threads at once."""

    @property
    def info(self) -> StoreInfo:
        """Samples, assembly and extent."""

    def contig_rows(self, contig: str) -> range:
        """All rows of a contig; empty where it has none."""

    def rows_starting(self, region: Region) -> range:
        """Rows whose trimmed position lies in the region (half-open)."""

    def rows_overlapping(self, region: Region) -> IntArray:
        """Rows whose [position, end) shares a base with the region, ascending int64."""

    def rows_of(self, key: VariantKey) -> list[int]:
        """Rows with exactly this position, REF and ALT, in file order; usually none or one."""

    def rows_named(self, identifier: str) -> IntArray:
        """Rows to which the source gave this id (`rs671`), alone or as one of several, ascending int64.

        An id that only says contig, position and alleles again names no row: `rows_of` finds it.
        """

    def key(self, row: int) -> VariantKey:
        """A row's name."""

    def name(self, row: int) -> tuple[VariantKey, int, str]:
        """A row's key, its end and its id; empty where the source had none."""

    def table(self, rows: range) -> VariantTable:
        """Names of consecutive rows of one contig.

        Raises
        ------
        ShapeMismatch
            If the rows span more than one contig or reach outside the store.
        """

    def allele_counts(self, rows: range | IntArray, cohort: Cohort | None = None) -> AlleleCounts:
        """Counts of each row's ALT among a cohort's samples (None: everybody), by rule 1 of the interface."""

    def carriers(self, row: int, cohort: Cohort | None = None) -> Carriers:
        """Fully called samples with one or two copies of the row's ALT (haploid: one)."""

    def dosages(self, rows: range | IntArray, samples: IntArray | None = None, dtype: DosageType = "float32") -> FloatArray:
        """Copies of ALT, (rows, samples); NaN where missing or half-called; a haploid ALT call is 1."""

    def calls(self, rows: range | IntArray) -> Calls:
        """Every sample's alleles and phase, as the source had them (an unphased het reads 0/1)."""

    def verify(self) -> None:
        """Check every stored file against its checksum.

        Raises
        ------
        Damaged
            Naming the file.
        """


def open_store(folder: Path) -> GenotypeStore:
    """The store in a folder, memory-mapped; checks structure and headers, not every byte (see `verify`)."""
    from cohelix.genotypes.hybrid_store import HybridStore

    return HybridStore.open(folder)
