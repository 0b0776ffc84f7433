"""Names of Beacon's filters: which field each means, the words of sexes, ages as durations, and what a bare code is about."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final

from cohelix.core.errors import BadQuestion

# NCI Thesaurus, as Beacon's individuals and the 1+MG minimal data set name the sexes.
SEX_CODES: Final[Mapping[str, str]] = {"NCIT:C16576": "female", "NCIT:C20197": "male"}
SEX_WORDS: Final[Mapping[str, str]] = {
    "f": "female",
    "female": "female",
    "m": "male",
    "male": "male",
    "unknown": "unknown",
} | {code.lower(): word for code, word in SEX_CODES.items()}
# Fields by the names under which they are asked: plain, the GDI user portal's, and paths of Beacon's default schemas.
WORD_FIELDS: Final[Mapping[str, str]] = {
    "sex": "sex",
    "sexFilter": "sex",
    "NCIT:C28421": "sex",
    "population": "population",
    "country": "country",
    "countryFilter": "country",
    "geographicOrigin": "country",
    "geographicOrigin.id": "country",
}
NUMBER_FIELDS: Final[Mapping[str, str]] = {
    "age": "age",
    "NCIT:C25150": "age",
    # So the GDI portal and the Genome of Europe's nodes name the age at sampling.
    "diseases.ageOfOnset.iso8601duration": "age",
    "birth_year": "birth_year",
}
CODE_PATHS: Final[Mapping[str, tuple[str, ...]]] = {
    "disease": ("diseases", "diseases.diseaseCode", "diseases.diseaseCode.id"),
    "disease_stage": ("diseases.stage", "diseases.stage.id"),
    "phenotype": ("phenotypicFeatures", "phenotypicFeatures.featureType", "phenotypicFeatures.featureType.id"),
    "treatment": ("treatments", "treatments.treatmentCode", "treatments.treatmentCode.id"),
    "procedure": (
        *("interventionsOrProcedures", "interventionsOrProcedures.procedureCode"),
        "interventionsOrProcedures.procedureCode.id",
    ),
    "exposure": ("exposures", "exposures.exposureCode", "exposures.exposureCode.id"),
    "ethnicity": ("ethnicity.id",),
    "vital_status": ("vitalStatus",),
    "gene": ("genes",),
    "tissue": ("sampleOriginDetail", "sampleOriginDetail.id"),
    "sample_type": ("sampleOriginType", "sampleOriginType.id"),
    "histology": ("histologicalDiagnosis", "histologicalDiagnosis.id"),
    "tumour_grade": ("tumorGrade", "tumorGrade.id"),
    "tumour_stage": ("pathologicalStage", "pathologicalStage.id"),
}
CODE_FIELDS: Final[Mapping[str, str]] = {name: kind for kind, paths in CODE_PATHS.items() for name in (kind, *paths)}
# What a code is about where no dataset has it; a code that a dataset has is what it is there.
_PHENOTYPE_PREFIXES: Final = frozenset({"HP", "MP"})
_DISEASE_PREFIXES: Final = frozenset(
    {
        *("MONDO", "ORPHA", "ORPHANET", "OMIM", "MIM", "DOID", "NCIT", "DECIPHER"),
        *("ICD10", "ICD10CM", "ICD-10", "ICD11", "ICDO", "SNOMED", "SNOMEDCT"),
    }
)
_DURATION: Final = re.compile(
    r"P(?=[\d.])(?:(?P<Y>\d+(?:\.\d+)?)Y)?(?:(?P<M>\d+(?:\.\d+)?)M)?(?:(?P<W>\d+(?:\.\d+)?)W)?(?:(?P<D>\d+(?:\.\d+)?)D)?"
)
_YEARS_OF: Final[Mapping[str, float]] = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}


def years_of(text: str) -> float:
    """An age in years, from a number or an ISO 8601 duration (`18`, `P18Y`, `P6M`, `P1Y6M`)."""
    found = _DURATION.fullmatch(text.strip().upper())
    if found:
        return sum(float(found[unit]) * years for unit, years in _YEARS_OF.items() if found[unit])
    return number_of(text, "an age is a number of years, or an ISO 8601 duration as P18Y")


def kind_by_prefix(text: str) -> str | None:
    """What a code is about where no dataset has it: a disease or a phenotype; None where its prefix does not say."""
    prefix, colon, rest = text.partition(":")
    if not colon or not rest:
        return None
    if prefix.upper() in _PHENOTYPE_PREFIXES:
        return "phenotype"
    return "disease" if prefix.upper() in _DISEASE_PREFIXES else None


def number_of(text: str, what: str) -> float:
    """A finite number; `BadQuestion` says what it should have been."""
    try:
        number = float(text)
    except ValueError:
        raise BadQuestion(f"{what}, not {text[:40]!r}") from None
    if not math.isfinite(number):
        raise BadQuestion(f"{what}, not {text[:40]!r}")
    return number
