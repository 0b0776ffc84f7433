"""Thresholds of the quality gate: their defaults with sources, and a YAML file that sets others."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from cohelix.core.errors import BadFile

Action = Literal["off", "warn", "exclude"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SampleThresholds(_Part):
    """Of one call set. A `z` is in robust standard deviations from the median of the call set's population."""

    call_rate_min: float = Field(default=0.95, ge=0, le=1)  # Anderson et al. 2010, Nat Protoc 5:1564: 3-7 % missing is left out
    mean_depth_min: float = Field(default=15, ge=0)  # Genomics England and QPHI ask for 15x nearly everywhere
    contamination_max: float = Field(default=0.03, ge=0, le=1)  # Genomics England: at most 3 %
    contamination_sites_min: int = Field(default=50, ge=1)
    heterozygosity_z_max: float = Field(default=6, gt=0)  # Anderson et al. 2010 take 3 plain standard deviations
    heterozygosity_f_min: float = Field(default=0.05, ge=0)  # … but no smaller a difference of F than this
    outlier_z_max: float = Field(default=8, gt=0)  # Ti/Tv, het/hom, singletons
    male_f_min: float = Field(default=0.8, ge=-1, le=1)  # plink 1.9 --check-sex
    female_f_max: float = Field(default=0.2, ge=-1, le=1)
    x_variants_min: int = Field(default=50, ge=1)
    y_variants_min: int = Field(default=10, ge=1)


class RelatednessThresholds(_Part):
    """Of pairs: KING's limits are 0.354 for the same person, 0.177 and 0.0884 for the first and second degree."""

    kinship_min: float = Field(default=0.0884, gt=-1, lt=0.5)  # Manichaikul et al. 2010, Bioinformatics 26:2867
    duplicate_min: float = Field(default=0.354, gt=-1, le=0.5)
    maf_min: float = Field(default=0.05, ge=0, le=0.5)
    marker_call_rate_min: float = Field(default=0.95, ge=0, le=1)
    markers_min: int = Field(default=2000, ge=1)
    markers_max: int = Field(default=100_000, ge=64)
    windows_min: int = Field(
        default=400, ge=1
    )  # stretches of a million bases with a marker: of 2,900, so that it is the whole genome
    pairs_max: int = Field(default=20_000_000, ge=0)  # 6,300 people: some seconds on two cores


class AncestryThresholds(_Part):
    """Of places on principal components: how far from the own population, and how much nearer another one is."""

    components: int = Field(default=6, ge=2, le=20)
    markers_max: int = Field(default=5000, ge=100)
    fitted_people_max: int = Field(default=2000, ge=10)
    distance_max: float = Field(default=8, gt=0)  # in units of an ordinary member's distance
    nearer_other: float = Field(default=0.5, gt=0)  # an outlier is nearer than this share of it to another population
    population_people_min: int = Field(default=10, ge=3)


class VariantThresholds(_Part):
    """Of one variant."""

    call_rate_min: float = Field(default=0.95, ge=0, le=1)
    hwe_p_min: float = Field(default=1e-6, ge=0, le=1)  # Marees et al. 2018, Int J Methods Psychiatr Res 27:e1608
    hwe_maf_min: float = Field(default=0.01, ge=0, le=0.5)
    hwe_people_min: int = Field(default=50, ge=1)
    frequency_difference_max: float = Field(default=0.2, ge=0, le=1)  # Michigan imputation server's warning
    reference_frequencies: Path | None = None  # TSV `contig pos ref alt af`, or a sites VCF with INFO/AF
    reference_population: str | None = None  # compare these people only


class DatasetThresholds(_Part):
    """What refuses a whole dataset."""

    call_rate_min: float = Field(default=0.9, ge=0, le=1)
    excluded_share_max: float = Field(default=0.1, ge=0, le=1)
    sex_mismatch_share_max: float = Field(default=0.05, ge=0, le=1)  # a table of people that is shifted against the columns
    low_call_rate_share_max: float = Field(default=0.2, ge=0, le=1)
    hwe_share_max: float = Field(default=0.05, ge=0, le=1)
    ti_tv_min: float = Field(default=1.5, ge=0)  # whole genomes have 2.0-2.1, exomes 2.8-3.3, random errors 0.5
    ti_tv_max: float = Field(default=4.5, ge=0)
    ti_tv_variants_min: int = Field(default=1000, ge=1)
    reference_sites_min: int = Field(default=100, ge=1)
    reference_found_share_min: float = Field(default=0.1, ge=0, le=1)  # fewer: another build, or other variants
    frequency_difference_share_max: float = Field(default=0.05, ge=0, le=1)


class BatchThresholds(_Part):
    """Of one batch against the others, within each population."""

    file: Path | None = None  # TSV: biosample id, batch
    call_rate_min: float = Field(default=0.97, ge=0, le=1)
    z_max: float = Field(default=5.5, gt=0)
    variants_share_max: float = Field(default=0.002, ge=0, le=1)  # of markers whose frequency differs by more than z_max
    markers_max: int = Field(default=20_000, ge=100)


class Actions(_Part):
    """What a finding does to its call sets where the gate is enforced."""

    call_rate: Action = "exclude"
    depth: Action = "warn"
    contamination: Action = "exclude"
    heterozygosity: Action = "exclude"
    outlier: Action = "warn"
    sex: Action = "exclude"
    sex_unclear: Action = "warn"
    duplicate: Action = "exclude"
    relative: Action = "warn"
    ancestry: Action = "warn"
    batch: Action = "exclude"

    @field_validator("*", mode="before")
    @classmethod
    def _off_is_a_word(cls, value: object) -> object:
        """YAML 1.1 reads a bare `off` as false."""
        return "off" if value is False else value


class Thresholds(_Part):
    """All of them."""

    samples: SampleThresholds = SampleThresholds()
    relatedness: RelatednessThresholds = RelatednessThresholds()
    ancestry: AncestryThresholds = AncestryThresholds()
    variants: VariantThresholds = VariantThresholds()
    dataset: DatasetThresholds = DatasetThresholds()
    batches: BatchThresholds = BatchThresholds()
    actions: Actions = Actions()


def read_thresholds(path: Path | None) -> Thresholds:
    """The defaults, changed by a YAML file; its relative paths are from the file's own folder.

    Raises
    ------
    BadFile
        Where the file is not YAML, or names a threshold that there is not, or a value that cannot be meant.
    """
    if path is None:
        return Thresholds()
    expected = "a mapping of samples, relatedness, ancestry, variants, dataset, batches and actions"
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(str(path), "", f"it cannot be read ({error})", "a YAML file of thresholds") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}" if mark is not None else ""
        raise BadFile(str(path), place, "it is not YAML", expected) from None
    try:
        found = Thresholds.model_validate(document if document is not None else {})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "top"
        raise BadFile(str(path), place, first["msg"], expected) from None
    variants, batches = found.variants, found.batches
    return found.model_copy(
        update={
            "variants": variants.model_copy(update={"reference_frequencies": _beside(path, variants.reference_frequencies)}),
            "batches": batches.model_copy(update={"file": _beside(path, batches.file)}),
        }
    )


def _beside(path: Path, other: Path | None) -> Path | None:
    return None if other is None else path.parent / other
