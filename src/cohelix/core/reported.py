"""A variant that a case report or a tumour's mutation list names for one biosample, before it is part of any store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Origin = Literal["germline", "somatic"]
Zygosity = Literal["heterozygous", "homozygous", "hemizygous", "unknown"]
# Stands before a deletion or an insertion whose preceding base nobody has said.
UNKNOWN_BASE: Final = "N"


@dataclass(frozen=True, slots=True)
class ReportedCall:
    """One variant of one biosample, as phenopackets (interpretations) and MAF files list them.

    Attributes
    ----------
    biosample
        Id of the call set's biosample; its column name in the store.
    contig, position_0, ref, alt
        Our contig name, 0-based position and alleles as the source spells them (not yet trimmed, MAF's `-` not yet
        anchored to a base); contig is empty where the source gives no place (HGVS or gene only).
    zygosity
        `unknown` counts as one copy.
    origin
        Inherited, or of the tumour.
    gene
        Symbol; empty where not given.
    hgvs
        Expressions as written (`NM_…:c.…`, `p.K960R`), any number.
    consequence
        Sequence Ontology name or the source's own word (`Missense_Mutation`); empty where not given.
    significance
        ACMG class as ClinVar words it (`Pathogenic`); empty where not given.
    allele_fraction
        Reads with ALT over all, in [0, 1]; None where not given.
    line
        Where the source has it, for refusals and reports: `line 17`, `packet PMID_…`.
    """

    biosample: str
    contig: str
    position_0: int
    ref: str
    alt: str
    zygosity: Zygosity = "unknown"
    origin: Origin = "germline"
    gene: str = ""
    hgvs: tuple[str, ...] = ()
    consequence: str = ""
    significance: str = ""
    allele_fraction: float | None = None
    line: str = ""
