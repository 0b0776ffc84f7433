"""Variants by samples: sources, the store, and counts for any group of people.

Stores are opened by `genotypes.store`, which the bank alone may import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cohelix.core.later import faces

if TYPE_CHECKING:
    from cohelix.genotypes.counts import CountTable, open_counts, write_counts
    from cohelix.genotypes.encode import encode_calls
    from cohelix.genotypes.export import write_region
    from cohelix.genotypes.load import GenotypeReport, LoadProgress, load_genotypes
    from cohelix.genotypes.load_blocks import CallFilters
    from cohelix.genotypes.model import Calls, Carriers, Cohort, DosageType, EncodedBatch, StoreInfo, VariantTable
    from cohelix.genotypes.plink import RefAllele
    from cohelix.genotypes.products import GenotypePart, Totals
    from cohelix.genotypes.writer import StoreWriter

__all__ = [
    "CallFilters",
    "Calls",
    "Carriers",
    "Cohort",
    "CountTable",
    "DosageType",
    "EncodedBatch",
    "GenotypePart",
    "GenotypeReport",
    "LoadProgress",
    "RefAllele",
    "StoreInfo",
    "StoreWriter",
    "Totals",
    "VariantTable",
    "encode_calls",
    "load_genotypes",
    "open_counts",
    "write_counts",
    "write_region",
]

__getattr__ = faces(
    __name__,
    {
        "counts": ("CountTable", "open_counts", "write_counts"),
        "encode": ("encode_calls",),
        "export": ("write_region",),
        "load": ("GenotypeReport", "LoadProgress", "load_genotypes"),
        "load_blocks": ("CallFilters",),
        "model": ("Calls", "Carriers", "Cohort", "DosageType", "EncodedBatch", "StoreInfo", "VariantTable"),
        "plink": ("RefAllele",),
        "products": ("GenotypePart", "Totals"),
        "writer": ("StoreWriter",),
    },
)
