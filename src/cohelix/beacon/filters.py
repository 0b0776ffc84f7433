"""Beacon's filters to conditions on people, and to the rows of a frequency answer that are wanted.

An unknown filter is refused: a filter that is left out would turn into a wrong "yes". Codes of diseases and phenotypes
are matched as the data holder wrote them, without descendants.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Final

from cohelix.bank.answers import Term
from cohelix.bank.questions import Criterion, Groups, Operator
from cohelix.core.errors import BadQuestion, NotSupported
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
# The custom filters of the GDI user portal, beside the plain names.
_WORD_FIELDS: Final[Mapping[str, str]] = {
    "sex": "sex",
    "sexFilter": "sex",
    "population": "population",
    "country": "country",
    "countryFilter": "country",
}
_NUMBER_FIELDS: Final = frozenset({"age", "birth_year"})
_CODE_FIELDS: Final = frozenset({"disease", "phenotype"})
# Prefixes that say what a code is about where no dataset has it; a code that a dataset has is what it is there.
_PHENOTYPE_PREFIXES: Final = frozenset({"HP", "MP"})
_DISEASE_PREFIXES: Final = frozenset(
    {"MONDO", "ORPHA", "ORPHANET", "OMIM", "MIM", "DOID", "ICD10", "ICD10CM", "ICD-10", "ICD11", "ICDO", "SNOMED", "SNOMEDCT"}
)
_PEOPLE_SCOPES: Final = frozenset({None, "individual", "individuals"})
_ROW_SCOPE: Final = "population"
_DURATION: Final = re.compile(
    r"P(?=[\d.])(?:(?P<Y>\d+(?:\.\d+)?)Y)?(?:(?P<M>\d+(?:\.\d+)?)M)?(?:(?P<W>\d+(?:\.\d+)?)W)?(?:(?P<D>\d+(?:\.\d+)?)D)?"
)
_YEARS_OF: Final[Mapping[str, float]] = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}


def people_criteria(filters: Iterable[BeaconFilter], terms: Iterable[Term], *, hidden: bool) -> tuple[Criterion, ...]:
    """Conditions on people.

    Parameters
    ----------
    terms
        What the datasets asked may be asked about.
    hidden
        Whether a dataset among them keeps its words to itself; then a measurement that none of the others has may
        still be one, and the dataset itself refuses it.

    Raises
    ------
    BadQuestion
        If a filter is unknown or its value malformed; `NotSupported` if it is meant for another entry type.
    """
    kinds: dict[str, str] = {}
    for term in terms:
        kinds.setdefault(term.id, term.kind)
    return tuple(_criterion(wanted, kinds, hidden=hidden) for wanted in filters)


def frequency_groups(filters: Iterable[BeaconFilter]) -> Groups:
    """The rows of `frequencyInPopulations` that `sexFilter` and `countryFilter` (scope `population`) choose.

    Raises
    ------
    NotSupported
        For any other filter: variants among a chosen set of people are not counted here.
    """
    sexes: set[str] = set()
    populations: set[str] = set()
    for wanted in filters:
        field = _WORD_FIELDS.get(wanted.id)
        meant = wanted.scope == _ROW_SCOPE or (wanted.scope is None and wanted.id in ("sexFilter", "countryFilter"))
        if field is None or not meant or wanted.operator not in (None, "="):
            raise NotSupported(
                f"filter {wanted.id[:60]} on variants: only sexFilter and countryFilter with operator = and scope population, "
                "which choose rows of the frequencies"
            )
        (sexes if field == "sex" else populations).add(_word(wanted, field))
    if len(sexes) > 1 or len(populations) > 1:
        raise BadQuestion("filters all hold at once: one sex and one population at most")
    return Groups(frozenset(populations), frozenset(sexes))


def years_of(text: str) -> float:
    """An age in years, from a number or an ISO 8601 duration (`18`, `P18Y`, `P6M`, `P1Y6M`)."""
    found = _DURATION.fullmatch(text.strip().upper())
    if found:
        return sum(float(found[unit]) * years for unit, years in _YEARS_OF.items() if found[unit])
    return _number(text, "an age is a number of years, or an ISO 8601 duration as P18Y")


def _criterion(wanted: BeaconFilter, kinds: Mapping[str, str], *, hidden: bool) -> Criterion:
    if wanted.scope not in _PEOPLE_SCOPES and not (wanted.scope == _ROW_SCOPE and wanted.id in _WORD_FIELDS):
        raise NotSupported(f"filter {wanted.id[:60]}: only the scope individual is supported here")
    if wanted.id in _SEX_CODES:
        _without_value(wanted)
        return Criterion("sex", "=", _SEX_CODES[wanted.id])
    if wanted.id in _WORD_FIELDS:
        field = _WORD_FIELDS[wanted.id]
        return Criterion(field, _equality(wanted), _word(wanted, field))
    if wanted.id in _NUMBER_FIELDS:
        value = _value(wanted)
        number = years_of(value) if wanted.id == "age" else _number(value, f"{wanted.id} is compared with a number")
        return Criterion(wanted.id, wanted.operator or "=", number)
    if wanted.id in _CODE_FIELDS:
        return Criterion(wanted.id, _equality(wanted), _value(wanted))
    kind = kinds.get(wanted.id) or _kind_of_code(wanted.id)
    if kind in _CODE_FIELDS:
        _without_value(wanted)
        return Criterion(kind, "=", wanted.id)
    if kind == "measurement" or (kind is None and hidden and wanted.operator is not None):
        if wanted.operator is None:
            raise BadQuestion(f"filter {wanted.id[:60]}: a measurement needs an operator and a value")
        return Criterion(wanted.id, wanted.operator, _number(_value(wanted), f"{wanted.id[:60]} is compared with a number"))
    raise BadQuestion(f"{wanted.id[:60]!r} is not a filter of this Beacon: see /filtering_terms")


def _kind_of_code(text: str) -> str | None:
    prefix, colon, rest = text.partition(":")
    if not colon or not rest:
        return None
    if prefix.upper() in _PHENOTYPE_PREFIXES:
        return "phenotype"
    return "disease" if prefix.upper() in _DISEASE_PREFIXES else None


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
    if "%" in wanted.value:
        raise NotSupported(f"filter {wanted.id[:60]}: % as a wildcard is not supported")
    return wanted.value


def _without_value(wanted: BeaconFilter) -> None:
    if wanted.value is not None or wanted.operator is not None:
        raise BadQuestion(f"filter {wanted.id[:60]} is a term of its own: it takes neither operator nor value")


def _number(text: str, what: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise BadQuestion(f"{what}, not {text[:40]!r}") from None
    if not math.isfinite(number):
        raise BadQuestion(f"{what}, not {text[:40]!r}")
    return number
