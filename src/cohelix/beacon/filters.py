"""Beacon's filters to conditions on people, biosamples and variants, and to the rows of a frequency answer that are wanted.

An unknown filter is refused: a filter that is left out would turn into a wrong "yes".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from cohelix.bank.questions import Criterion, Groups, Operator
from cohelix.beacon.entry_types import EntryType, entry_named
from cohelix.core.errors import BadQuestion, NotSupported
from cohelix.phenotypes.model import BIOSAMPLE_KINDS
from cohelix.wire.beacon import BeaconFilter
from cohelix.wire.filter_names import (
    CODE_FIELDS,
    NUMBER_FIELDS,
    SEX_CODES,
    SEX_WORDS,
    WORD_FIELDS,
    kind_by_prefix,
    number_of,
    years_of,
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
    "variantAlternativeIds": "source_id",
    "identifiers.variantAlternativeIds": "source_id",
    "identifiers.variantAlternativeIds.id": "source_id",
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
        field = WORD_FIELDS.get(wanted.id)
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
    if member == "source_id":
        prefix, _, bare = value.partition(":")
        return member, bare if prefix in ("dbsnp", "source") else value  # records write them so (`records._curie`)
    return member, CONSEQUENCE_CODES.get(value.upper(), value) if member == "consequence" else value


def _criterion(wanted: BeaconFilter, known: Known) -> Criterion | None:
    """The filter in one dataset's terms; None where the dataset does not know what it is about."""
    if wanted.id in SEX_CODES or wanted.id in WORD_FIELDS or wanted.id in NUMBER_FIELDS:
        return _of_everybody(wanted)
    if wanted.id in CODE_FIELDS:
        kind = CODE_FIELDS[wanted.id]
        _need_scope(wanted, "biosample" if kind in BIOSAMPLE_KINDS else "individual")
        return Criterion(kind, _equality(wanted), _value(wanted), wanted.descendants, wanted.similarity)
    if known.has_measurement(wanted.id) or (known.hidden and wanted.operator is not None):
        _need_scope(wanted, "individual")
        if wanted.operator is None:
            raise BadQuestion(f"filter {wanted.id[:60]}: a measurement needs an operator and a value")
        return Criterion(wanted.id, wanted.operator, number_of(_value(wanted), f"{wanted.id[:60]} is compared with a number"))
    kinds = known.kinds_of(wanted.id)
    if not kinds:
        return None
    _without_value(wanted)
    likely = kind_by_prefix(wanted.id)
    kind = likely if likely in kinds else kinds[0]
    _need_scope(wanted, "biosample" if kind in BIOSAMPLE_KINDS else "individual")
    return Criterion(kind, "=", wanted.id, wanted.descendants, wanted.similarity)


def _of_everybody(wanted: BeaconFilter) -> Criterion:
    """A filter on what a table says of everybody: sex, origin, age."""
    if wanted.scope != _ROW_SCOPE or wanted.id not in WORD_FIELDS:
        _need_scope(wanted, "individual")
    if wanted.id in SEX_CODES:
        _without_value(wanted)
        return Criterion("sex", "=", SEX_CODES[wanted.id])
    if wanted.id in WORD_FIELDS:
        field = WORD_FIELDS[wanted.id]
        return Criterion(field, _equality(wanted), _word(wanted, field))
    value, field = _value(wanted), NUMBER_FIELDS[wanted.id]
    number = years_of(value) if field == "age" else number_of(value, f"{wanted.id} is compared with a number")
    return Criterion(field, wanted.operator or "=", number)


def _by_prefix(wanted: BeaconFilter) -> Criterion | None:
    """A code that no dataset has, by what its ontology is about: nobody has it."""
    kind = kind_by_prefix(wanted.id)
    if kind is None:
        return None
    _need_scope(wanted, "individual")
    _without_value(wanted)
    return Criterion(kind, "=", wanted.id, wanted.descendants, wanted.similarity)


def _need_scope(wanted: BeaconFilter, entry: str) -> None:
    """Refuse a filter that is meant for another entry type; what is known of biosamples is a filter on people, too."""
    meant = None if wanted.scope is None else entry_named(wanted.scope)
    if wanted.scope is not None and meant not in ({"individual", "biosample"} if entry == "biosample" else {"individual"}):
        raise NotSupported(f"filter {wanted.id[:60]}: its scope is {entry}, not {wanted.scope[:40]!r}")


def _word(wanted: BeaconFilter, field: str) -> str:
    value = _value(wanted)
    if field != "sex":
        return value
    sex = SEX_WORDS.get(value.lower())
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
