"""Beacon's filters to conditions on people, biosamples and variants, and to the rows of a frequency answer that are wanted.

An unknown filter is refused: a filter that is left out would turn into a wrong "yes".
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from cohelix.bank.questions import Criterion, Groups, Operator
from cohelix.beacon.entry_types import EntryType, entry_named
from cohelix.core.errors import BadQuestion, NotSupported
from cohelix.phenotypes.model import BIOSAMPLE_KINDS
from cohelix.wire.beacon import BeaconFilter

# NCI Thesaurus, as Beacon's individuals and the 1+MG minimal data set name the sexes.
_SEX_CODES: Final[Mapping[str, str]] = {"NCIT:C16576": "female", "NCIT:C20197": "male"}
_SEX_WORDS: Final[Mapping[str, str]] = {
    "f": "female",
    "female": "female",
    "m": "male",
    "male": "male",
    "unknown": "unknown",
} | {code.lower(): word for code, word in _SEX_CODES.items()}
# Fields by the names under which they are asked: plain, the GDI user portal's, and paths of Beacon's default schemas.
_WORD_FIELDS: Final[Mapping[str, str]] = {
    "sex": "sex",
    "sexFilter": "sex",
    "NCIT:C28421": "sex",
    "population": "population",
    "country": "country",
    "countryFilter": "country",
    "geographicOrigin": "country",
    "geographicOrigin.id": "country",
}
_NUMBER_FIELDS: Final[Mapping[str, str]] = {
    "age": "age",
    "NCIT:C25150": "age",
    # So the GDI portal and the Genome of Europe's nodes name the age at sampling.
    "diseases.ageOfOnset.iso8601duration": "age",
    "birth_year": "birth_year",
}
_CODE_PATHS: Final[Mapping[str, tuple[str, ...]]] = {
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
_CODE_FIELDS: Final[Mapping[str, str]] = {name: kind for kind, paths in _CODE_PATHS.items() for name in (kind, *paths)}
# What a code is about where no dataset has it; a code that a dataset has is what it is there.
_PHENOTYPE_PREFIXES: Final = frozenset({"HP", "MP"})
_DISEASE_PREFIXES: Final = frozenset(
    {
        *("MONDO", "ORPHA", "ORPHANET", "OMIM", "MIM", "DOID", "NCIT", "DECIPHER"),
        *("ICD10", "ICD10CM", "ICD-10", "ICD11", "ICDO", "SNOMED", "SNOMEDCT"),
    }
)
_ROW_SCOPE: Final = "population"
ROW_FILTERS: Final = frozenset({"sexFilter", "countryFilter"})
_VARIANT_FIELDS: Final[Mapping[str, str]] = {
    "consequence": "consequence",
    "molecularEffect": "consequence",
    "molecularAttributes.molecularEffects": "consequence",
    "molecularAttributes.molecularEffects.id": "consequence",
    "clinicalSignificance": "significance",
    "clinicalRelevance": "significance",
    "variantLevelData.clinicalInterpretations.clinicalRelevance": "significance",
    "alleleOrigin": "origin",
    "caseLevelData.alleleOrigin": "origin",
    "caseLevelData.alleleOrigin.id": "origin",
    "molecularAttributes.geneIds": "gene",
    "molecularAttributes.aminoacidChanges": "amino_acid",
}
_ORIGINS: Final[Mapping[str, str]] = {
    "germline": "germline",
    "somatic": "somatic",
    "so:0001777": "somatic",
    "so:0001778": "germline",
}
# Sequence Ontology: the consequences that annotators write.
CONSEQUENCE_CODES: Final[Mapping[str, str]] = {
    "SO:0001893": "transcript_ablation",
    "SO:0001574": "splice_acceptor_variant",
    "SO:0001575": "splice_donor_variant",
    "SO:0001587": "stop_gained",
    "SO:0001589": "frameshift_variant",
    "SO:0001578": "stop_lost",
    "SO:0002012": "start_lost",
    "SO:0001821": "inframe_insertion",
    "SO:0001822": "inframe_deletion",
    "SO:0001583": "missense_variant",
    "SO:0001818": "protein_altering_variant",
    "SO:0001630": "splice_region_variant",
    "SO:0001819": "synonymous_variant",
    "SO:0001567": "stop_retained_variant",
    "SO:0001580": "coding_sequence_variant",
    "SO:0001623": "5_prime_UTR_variant",
    "SO:0001624": "3_prime_UTR_variant",
    "SO:0001792": "non_coding_transcript_exon_variant",
    "SO:0001627": "intron_variant",
    "SO:0001631": "upstream_gene_variant",
    "SO:0001632": "downstream_gene_variant",
    "SO:0001628": "intergenic_variant",
}
_DURATION: Final = re.compile(
    r"P(?=[\d.])(?:(?P<Y>\d+(?:\.\d+)?)Y)?(?:(?P<M>\d+(?:\.\d+)?)M)?(?:(?P<W>\d+(?:\.\d+)?)W)?(?:(?P<D>\d+(?:\.\d+)?)D)?"
)
_YEARS_OF: Final[Mapping[str, float]] = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}


class Known(Protocol):
    """What filters may mean in one dataset."""

    @property
    def hidden(self) -> bool:
        """Whether the dataset keeps its words to itself, so that a field that it may have has to be asked and refused."""

    def kinds_of(self, code: str) -> tuple[str, ...]:
        """The kinds of terms under which the dataset has the code, or one of its descendants."""

    def has_measurement(self, name: str) -> bool:
        """Whether the dataset has a measurement of that name, and says so."""


@dataclass(frozen=True, slots=True)
class VariantFilters:
    """The filters of a question about variants, by what they choose.

    Attributes
    ----------
    groups
        Rows of the frequencies.
    variants
        Members of a `VariantQuery` that have to hold.
    people
        Filters on the people whose variants are meant.
    """

    groups: Groups
    variants: Mapping[str, Any]
    people: tuple[BeaconFilter, ...]


def of_entry(filters: Iterable[BeaconFilter], entry: EntryType) -> tuple[BeaconFilter, ...]:
    """The filters without a scope that names the entry type that is asked for: there it goes without saying."""
    return tuple(
        replace(wanted, scope=None) if wanted.scope is not None and entry_named(wanted.scope) == entry else wanted
        for wanted in filters
    )


def people_criteria(filters: Sequence[BeaconFilter], datasets: Sequence[Known]) -> list[tuple[Criterion, ...]]:
    """Conditions on people and their biosamples, for each dataset in its own terms.

    Raises
    ------
    BadQuestion
        If a filter is unknown to every dataset or its value malformed; `NotSupported` if it is meant for another entry type.
    """
    found: list[list[Criterion]] = [[] for _ in datasets]
    for wanted in filters:
        read = [_criterion(wanted, known) for known in datasets]
        fallback = next((criterion for criterion in read if criterion is not None), None) or _by_prefix(wanted)
        if fallback is None and datasets:
            raise BadQuestion(f"{wanted.id[:60]!r} is not a filter of this Beacon: see /filtering_terms")
        for criteria, criterion in zip(found, read, strict=True):
            chosen = criterion or fallback
            assert chosen is not None  # otherwise refused above
            criteria.append(chosen)
    return [tuple(criteria) for criteria in found]


def variant_filters(filters: Iterable[BeaconFilter]) -> VariantFilters:
    """Sort the filters of a question about variants.

    `sexFilter` and `countryFilter` choose rows of `frequencyInPopulations`, as do `sex`, `population` and `country` with the
    scope `population`. Words of variants choose variants, and all others the people who have them.
    """
    sexes: set[str] = set()
    populations: set[str] = set()
    variants: dict[str, Any] = {}
    people: list[BeaconFilter] = []
    for wanted in filters:
        field = _WORD_FIELDS.get(wanted.id)
        if wanted.scope == _ROW_SCOPE or (wanted.scope is None and wanted.id in ROW_FILTERS):
            if field is None or wanted.operator not in (None, "="):
                raise NotSupported(
                    f"filter {wanted.id[:60]} with the scope population: only sexFilter and countryFilter with operator = "
                    "choose rows of the frequencies"
                )
            (sexes if field == "sex" else populations).add(_word(wanted, field))
            continue
        named = _variant_field(wanted)
        if named is None:
            people.append(wanted)
            continue
        member, value = named
        if variants.setdefault(member, value) != value:
            raise BadQuestion(f"filters all hold at once: one {member.replace('_', ' ')} at most")
    if len(sexes) > 1 or len(populations) > 1:
        raise BadQuestion("filters all hold at once: one sex and one population at most")
    return VariantFilters(Groups(frozenset(populations), frozenset(sexes)), variants, tuple(people))


def years_of(text: str) -> float:
    """An age in years, from a number or an ISO 8601 duration (`18`, `P18Y`, `P6M`, `P1Y6M`)."""
    found = _DURATION.fullmatch(text.strip().upper())
    if found:
        return sum(float(found[unit]) * years for unit, years in _YEARS_OF.items() if found[unit])
    return _number(text, "an age is a number of years, or an ISO 8601 duration as P18Y")


def _variant_field(wanted: BeaconFilter) -> tuple[str, Any] | None:
    """The member of a `VariantQuery` that a filter sets, and its value; None for a filter on people."""
    code = wanted.id.upper()
    if code in CONSEQUENCE_CODES or code.lower() in _ORIGINS:
        _without_value(wanted)
        if code in CONSEQUENCE_CODES:
            return "consequence", CONSEQUENCE_CODES[code]
        return "origin", _ORIGINS[code.lower()]
    member = _VARIANT_FIELDS.get(wanted.id)
    if member is None:
        if wanted.scope is not None and entry_named(wanted.scope) == "genomicVariant":
            raise BadQuestion(f"{wanted.id[:60]!r} is not a filter on variants: see /filtering_terms")
        return None
    if wanted.operator not in (None, "="):
        raise NotSupported(f"filter {wanted.id[:60]}: variants are chosen with the operator = only")
    value = _value(wanted)
    if "%" in value:
        raise NotSupported(f"filter {wanted.id[:60]}: % as a wildcard is not supported on variants")
    if member == "origin":
        origin = _ORIGINS.get(value.lower())
        if origin is None:
            raise BadQuestion("an allele's origin is germline or somatic")
        return member, origin
    return member, CONSEQUENCE_CODES.get(value.upper(), value) if member == "consequence" else value


def _criterion(wanted: BeaconFilter, known: Known) -> Criterion | None:
    """The filter in one dataset's terms; None where the dataset does not know what it is about."""
    if wanted.id in _SEX_CODES or wanted.id in _WORD_FIELDS or wanted.id in _NUMBER_FIELDS:
        return _of_everybody(wanted)
    if wanted.id in _CODE_FIELDS:
        kind = _CODE_FIELDS[wanted.id]
        _need_scope(wanted, "biosample" if kind in BIOSAMPLE_KINDS else "individual")
        return Criterion(kind, _equality(wanted), _value(wanted), wanted.descendants, wanted.similarity)
    if known.has_measurement(wanted.id) or (known.hidden and wanted.operator is not None):
        _need_scope(wanted, "individual")
        if wanted.operator is None:
            raise BadQuestion(f"filter {wanted.id[:60]}: a measurement needs an operator and a value")
        return Criterion(wanted.id, wanted.operator, _number(_value(wanted), f"{wanted.id[:60]} is compared with a number"))
    kinds = known.kinds_of(wanted.id)
    if not kinds:
        return None
    _without_value(wanted)
    likely = _kind_by_prefix(wanted.id)
    kind = likely if likely in kinds else kinds[0]
    _need_scope(wanted, "biosample" if kind in BIOSAMPLE_KINDS else "individual")
    return Criterion(kind, "=", wanted.id, wanted.descendants, wanted.similarity)


def _of_everybody(wanted: BeaconFilter) -> Criterion:
    """A filter on what a table says of everybody: sex, origin, age."""
    if wanted.scope != _ROW_SCOPE or wanted.id not in _WORD_FIELDS:
        _need_scope(wanted, "individual")
    if wanted.id in _SEX_CODES:
        _without_value(wanted)
        return Criterion("sex", "=", _SEX_CODES[wanted.id])
    if wanted.id in _WORD_FIELDS:
        field = _WORD_FIELDS[wanted.id]
        return Criterion(field, _equality(wanted), _word(wanted, field))
    value, field = _value(wanted), _NUMBER_FIELDS[wanted.id]
    number = years_of(value) if field == "age" else _number(value, f"{wanted.id} is compared with a number")
    return Criterion(field, wanted.operator or "=", number)


def _by_prefix(wanted: BeaconFilter) -> Criterion | None:
    """A code that no dataset has, by what its ontology is about: nobody has it."""
    kind = _kind_by_prefix(wanted.id)
    if kind is None:
        return None
    _need_scope(wanted, "individual")
    _without_value(wanted)
    return Criterion(kind, "=", wanted.id, wanted.descendants, wanted.similarity)


def _kind_by_prefix(text: str) -> str | None:
    prefix, colon, rest = text.partition(":")
    if not colon or not rest:
        return None
    if prefix.upper() in _PHENOTYPE_PREFIXES:
        return "phenotype"
    return "disease" if prefix.upper() in _DISEASE_PREFIXES else None


def _need_scope(wanted: BeaconFilter, entry: str) -> None:
    """Refuse a filter that is meant for another entry type; what is known of biosamples is a filter on people, too."""
    meant = None if wanted.scope is None else entry_named(wanted.scope)
    if wanted.scope is not None and meant not in ({"individual", "biosample"} if entry == "biosample" else {"individual"}):
        raise NotSupported(f"filter {wanted.id[:60]}: its scope is {entry}, not {wanted.scope[:40]!r}")


def _word(wanted: BeaconFilter, field: str) -> str:
    value = _value(wanted)
    if field != "sex":
        return value
    sex = _SEX_WORDS.get(value.lower())
    if sex is None:
        raise BadQuestion(f"filter {wanted.id}: the sex is female (F, NCIT:C16576) or male (M, NCIT:C20197)")
    return sex


def _equality(wanted: BeaconFilter) -> Operator:
    if wanted.operator not in (None, "=", "!"):
        raise BadQuestion(f"filter {wanted.id[:60]} is a word: its operator is = or !")
    return wanted.operator or "="


def _value(wanted: BeaconFilter) -> str:
    if not wanted.value:
        raise BadQuestion(f"filter {wanted.id[:60]} needs a value")
    return wanted.value


def _without_value(wanted: BeaconFilter) -> None:
    # The GDI user portal writes a term's own code as the value, too.
    if wanted.value not in (None, wanted.id) or wanted.operator not in (None, "="):
        raise BadQuestion(f"filter {wanted.id[:60]} is a term of its own: it takes neither operator nor value")


def _number(text: str, what: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise BadQuestion(f"{what}, not {text[:40]!r}") from None
    if not math.isfinite(number):
        raise BadQuestion(f"{what}, not {text[:40]!r}")
    return number
