"""What a load is asked to do: the files, how they are read, and what the data holder declares of the dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cohelix.bank.consent import ConsentMode
from cohelix.core.genome import Assembly
from cohelix.core.ids import DatasetId
from cohelix.wire.dataset import AbsentMeans, Disclosure

if TYPE_CHECKING:
    from cohelix.genotypes import RefAllele

FilterPolicy = Literal["keep", "pass"]
QualityPolicy = Literal["off", "report", "enforce"]


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """What is to be loaded, and what the data holder declares of it.

    Attributes
    ----------
    genotypes
        VCF, VCF.gz, BCF, PLINK 1 or PLINK 2 files, all with the same sample columns; or a MAF; or sites with counts and
        no person (a VCF without samples, or Parquet). May be empty where phenopackets name the variants.
    individuals, mapping, concepts
        A table of people, a folder of tables, phenopackets or OMOP tables, and a YAML mapping; OMOP's concept map.
    reference
        FASTA for left-alignment and reference checks; None for neither.
    ref_allele
        Which allele of a `.bim` is REF, "a1" or "a2"; None: the one that `reference` has.
    min_gq, min_dp, filter_policy
        Calls below these (FORMAT GQ, DP) become missing, and are counted; `pass` does so with every call of a record
        whose FILTER is neither `PASS` nor `.`, `keep` takes them.
    lift_over
        A chain file from the other build to `assembly`: positions are moved, and what is lost is listed.
    annotations
        Sites VCF files with VEP's CSQ, SnpEff's ANN or ClinVar's CLNSIG, beside what the genotype files carry.
    quality, thresholds
        Whether the quality gate only reports, or also refuses and leaves out; its thresholds (YAML).
    simulated, open_release_note
        What pages show beside every number: that the people do not exist; why the data may be open.
    consent
        Whether people who have said nothing are in, or out; None: as the version before, or opt-out.
    consents
        A table of what people have agreed to; it says nothing of scopes that somebody has spoken of before.
    """

    dataset: DatasetId
    genotypes: tuple[Path, ...]
    assembly: Assembly
    individuals: Path | None = None
    mapping: Path | None = None
    concepts: Path | None = None
    reference: Path | None = None
    ref_allele: RefAllele | None = None
    min_gq: int | None = None
    min_dp: int | None = None
    filter_policy: FilterPolicy = "keep"
    lift_over: Path | None = None
    annotations: tuple[Path, ...] = ()
    quality: QualityPolicy = "report"
    thresholds: Path | None = None
    disclosure: Disclosure = "floored"
    absent_means: AbsentMeans = "not_assessed"
    title: str | None = None
    simulated: bool = False
    open_release_note: str | None = None
    consent: ConsentMode | None = None
    consents: Path | None = None
