"""What a table's columns mean: by a mapping, else by their names."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from pydantic import ValidationError

from cohelix.core.errors import BadFile
from cohelix.phenotypes.mapping import CodeColumn, Mapping, MeasurementColumn, SampleTypeColumn, SexColumn
from cohelix.phenotypes.model import TermKind
from cohelix.phenotypes.tabular import Table

SingleRole = Literal[
    "biosample",
    "individual",
    "sex",
    "population",
    "country",
    "birth_year",
    "age",
    "age_at_onset",
    "last_follow_up",
    "sample_type",
    "counted",
    "consent",
]
# Names as people write them, in small letters and without signs. Where they come from: PLINK (IID), GA4GH Phenopackets
# and Beacon (biosampleId, individualId), the 1+MG minimal dataset (administrative gender, country of origin, birth date).
_NAMES: dict[SingleRole, re.Pattern[str]] = {
    "biosample": re.compile(r"(bio)?sample(id|name)?|iid|specimen(id)?|callset(id)?"),
    "individual": re.compile(r"(individual|person|participant|subject|patient|donor)(id)?"),
    "sex": re.compile(r"sex|gender|administrativegender|sexatbirth|biologicalsex|karyotypicsex"),
    "population": re.compile(r"population|pop|populationcode"),
    "country": re.compile(r"country|countryof(origin|birth)|countrycode|birthcountry"),
    "birth_year": re.compile(r"birthyear|yearofbirth|yob|birthdate|dateofbirth|dob"),
    "age": re.compile(r"age|age(in)?years"),
    "age_at_onset": re.compile(r"(ageat|ageof)?onset(age)?|ageat(disease)?diagnosis|ageat(disease)?onset"),
    "last_follow_up": re.compile(r"(dateof)?lastfollowup(date)?|lastcontact(date)?"),
    "sample_type": re.compile(r"(sample|tissue)type|pathologicalstate"),
    "counted": re.compile(r"counted|preferred"),
    "consent": re.compile(r"consent(ed)?(scopes?)?"),
}
# A number may follow, for a column that is repeated.
_CODE_NAMES: dict[TermKind, re.Pattern[str]] = {
    "disease": re.compile(r"(diseases?|diagnos[ie]s|diseasecodes?|diagnosiscodes?|icd10|orphacodes?|omim)\d*"),
    "phenotype": re.compile(r"(phenotypes?|phenotypecodes?|phenotypicfeatures?|hpo|hpoterms?|hpocodes?)\d*"),
    "excluded_disease": re.compile(r"(excluded|absent|ruledout)(diseases?|diagnos[ie]s)\d*"),
    "excluded_phenotype": re.compile(r"(excluded|absent|negated)(phenotypes?|phenotypicfeatures?|hpo|hpoterms?)\d*"),
    "disease_stage": re.compile(r"(diseasestage|clinicalstage|clinicaltnm|stage)\d*"),
    "treatment": re.compile(r"(treatments?|treatmentcodes?|drugs?|drugcodes?|medications?|atc|atccodes?)\d*"),
    "procedure": re.compile(r"(procedures?|procedurecodes?|interventions?|surger(y|ies))\d*"),
    "exposure": re.compile(r"(exposures?|exposurecodes?)\d*"),
    "ethnicity": re.compile(r"ethnicity|ethnicitycode|race|racecode"),
    "vital_status": re.compile(r"vitalstatus|livingstatus"),
    "gene": re.compile(r"(genes?|genesymbols?|hgncsymbols?|causalgenes?|causativegenes?)\d*"),
    "tissue": re.compile(r"(tissues?|sampledtissue|anatomicallocation|anatomicalsite|bodysite)\d*"),
    "histology": re.compile(r"(histology|histologicaldiagnosis|histologytype|morphology)\d*"),
    "tumour_grade": re.compile(r"(tumou?r)?grade|histologicalgrade"),
    "tumour_stage": re.compile(r"(tumou?rstage|pathologicalstage|pathologicaltnm|ajccstage|tnm|tnmstage)\d*"),
}
Mapped: TypeAlias = dict[str, SingleRole | MeasurementColumn | tuple[TermKind, CodeColumn]]
_WITH_UNIT = re.compile(r"(?P<name>.*\S)\s*\[(?P<unit>[^\[\]]*)\]")


@dataclass(slots=True)
class Columns:
    """The meaning of one table's columns, by column number."""

    single: dict[SingleRole, int] = field(default_factory=dict)
    measurements: list[tuple[int, MeasurementColumn]] = field(default_factory=list)
    codes: list[tuple[int, TermKind, CodeColumn]] = field(default_factory=list)
    not_taken: list[str] = field(default_factory=list)


def read_columns(table: Table, mapping: Mapping) -> Columns:
    """Give each column its meaning; a column that has none is listed in `not_taken`.

    Raises
    ------
    BadFile
        If two columns have one meaning, a name comes twice, or neither a biosample's nor a person's id is there.
    """
    found = Columns()
    mapped = _mapped(mapping)
    seen: dict[str, int] = {}
    for number, name in enumerate(table.header):
        if name in seen and _code_kind(name) is None:
            raise table.refusal(1, f"column {name!r} comes twice", "every column name once")
        seen[name] = number
        role = mapped.get(name)
        if isinstance(role, MeasurementColumn):
            found.measurements.append((number, role))
        elif isinstance(role, tuple):
            found.codes.append((number, *role))
        elif role is not None:
            _take(table, found, role, number)
        elif name in mapping.ignore:
            found.not_taken.append(name)
        else:
            _by_name(table, found, mapped, number, name)
    if "biosample" not in found.single and "individual" not in found.single:
        raise table.refusal(
            1,
            "no column holds an id",
            "a column named biosample_id, sample or IID, or individual_id; or a mapping that names one",
        )
    names = [item.name or item.column for _, item in found.measurements]
    repeated = next((name for number, name in enumerate(names) if name in names[:number]), None) if names else None
    if repeated is not None and len(set(names)) < len(names):
        raise table.refusal(1, f"two columns are the measurement {repeated!r}", "every measurement once")
    return found


def _mapped(mapping: Mapping) -> Mapped:
    roles: Mapped = {}
    for role in _NAMES:
        value = getattr(mapping, role)
        value = value.column if isinstance(value, SexColumn | SampleTypeColumn) else value
        if isinstance(value, str):
            roles[value] = role
    roles |= {item.column: item for item in mapping.measurements}
    roles |= {item.column: (kind, item) for kind, item in mapping.codes()}
    return roles


def _by_name(table: Table, found: Columns, mapped: Mapped, number: int, name: str) -> None:
    plain = _plain(name)
    role = next((role for role, names in _NAMES.items() if names.fullmatch(plain)), None)
    if role is not None and role not in mapped.values():
        _take(table, found, role, number)
        return
    kind = _code_kind(name)
    if kind is not None:
        found.codes.append((number, kind, CodeColumn(column=name)))
        return
    with_unit = _WITH_UNIT.fullmatch(name)
    if with_unit is None:
        found.not_taken.append(name)
    elif (timed := _age_role(with_unit["name"])) and _plain(with_unit["unit"]) in ("a", "y", "year", "years"):
        _take(table, found, timed, number)
    else:
        try:
            measured = MeasurementColumn(column=name, name=with_unit["name"], unit=with_unit["unit"].strip())
        except ValidationError as error:
            first = error.errors()[0]
            problem = f"column {name[:40]!r}…: the {first['loc'][0]}: {first['msg']}"
            raise table.refusal(1, problem, "a measurement's name and [unit], or a mapping that ignores it") from None
        found.measurements.append((number, measured))


def _age_role(name: str) -> SingleRole | None:
    roles: tuple[SingleRole, ...] = ("age", "age_at_onset")
    return next((role for role in roles if _NAMES[role].fullmatch(_plain(name))), None)


def _take(table: Table, found: Columns, role: SingleRole, number: int) -> None:
    if role in found.single:
        first, second = table.header[found.single[role]], table.header[number]
        problem = f"columns {first!r} and {second!r} are both read as {role.replace('_', ' ')}"
        raise table.refusal(1, problem, "one of them, or a mapping that ignores the other")
    found.single[role] = number


def _code_kind(name: str) -> TermKind | None:
    for kind, names in _CODE_NAMES.items():
        if names.fullmatch(_plain(name)):
            return kind
    return None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def refuse_unknown_columns(path: str, mapping: Mapping, headers: list[tuple[str, ...]]) -> None:
    """Refuse a mapping that names a column which no table has."""
    present = {name for header in headers for name in header}
    for name in mapping.columns():
        if name not in present:
            raise BadFile(path, "header", f"no column {name!r}, which the mapping names", "the mapping's columns in the header")
