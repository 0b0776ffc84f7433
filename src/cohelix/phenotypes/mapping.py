"""The YAML mapping: which column of a table says what, where its name does not say it.

```yaml
separator: tab                 # tab, comma or semicolon; guessed where it is not given
biosample: SAMPLE              # columns; a key that is not given is recognised by name
individual: PERSON
sex: {column: SEX, male: ["1"], female: ["2"], unknown: ["9"]}     # or: sex: SEX
population: POP
country: BIRTH_COUNTRY
birth_year: YOB
age: AGE_AT_VISIT
age_at_onset: ONSET            # years; of several rows of a person the first onset stands
last_follow_up: LAST_SEEN      # a date; its year is kept
sample_type: TISSUE            # germline or tumour; or {value: tumour} for all rows
counted: USE                   # 1 marks the biosample whose calls count for the person
consent: AGREED                # scopes of consent: frequencies;secondary-use, all, none, or empty
measurements:
  - {column: LDL, name: LDL cholesterol, unit: mmol/L}
diseases:
  - {column: ICD10}                                        # codes, several separated by ; or |
  - {column: T2D, code: "MONDO:0005148", label: type 2 diabetes}   # 0 or 1
phenotypes:
  - {column: SEIZURES, code: "HP:0001250"}
histologies:
  - {column: FAB, prefix: "FAB:"}                          # M3 becomes FAB:M3
# likewise excluded_diseases, excluded_phenotypes, disease_stages, treatments, procedures, exposures, ethnicities,
# vital_status, genes, tissues, tumour_grades, tumour_stages
person: packet                 # phenopackets: whether the subject's or the packet's id names a person
ignore: [FID]
missing: ["-9"]                # besides the empty cell, NA, N/A, NaN, null, None and .
```
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from cohelix.core.errors import BadFile
from cohelix.phenotypes.model import TermKind
from cohelix.wire.yaml_text import parse_yaml, read_text

_BYTES_MAX = 1 << 18
_DEPTH_MAX = 8
_CODE_KEYS: dict[str, TermKind] = {
    "diseases": "disease",
    "phenotypes": "phenotype",
    "excluded_diseases": "excluded_disease",
    "excluded_phenotypes": "excluded_phenotype",
    "disease_stages": "disease_stage",
    "treatments": "treatment",
    "procedures": "procedure",
    "exposures": "exposure",
    "ethnicities": "ethnicity",
    "vital_status": "vital_status",
    "genes": "gene",
    "tissues": "tissue",
    "histologies": "histology",
    "tumour_grades": "tumour_grade",
    "tumour_stages": "tumour_stage",
}
_EXPECTED = "a mapping as in the guide to tables of people"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class SexColumn(_Strict):
    """Where sex is, and which words of the table mean what, besides the usual ones."""

    column: str
    male: tuple[str, ...] = ()
    female: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


class MeasurementColumn(_Strict):
    """A column of numbers; its name and unit as they are to be known."""

    column: str
    name: str = Field(default="", max_length=200)
    unit: str = Field(default="", max_length=64)


class CodeColumn(_Strict):
    """A column of codes, or, with `code`, of 0 and 1 for one code; `prefix` is put before codes that have none."""

    column: str
    code: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/+-]{0,63}$")
    label: str = Field(default="", max_length=200)
    prefix: str = Field(default="", pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,31}:)?$")


class SampleTypeColumn(_Strict):
    """Where it says germline or tumour; or `value`, for all rows of the tables."""

    column: str | None = None
    value: Literal["germline", "tumour"] | None = None


class Mapping(_Strict):
    """The whole mapping; every key may be left out."""

    separator: Literal["tab", "comma", "semicolon"] | None = None
    biosample: str | None = None
    individual: str | None = None
    sex: SexColumn | None = None
    population: str | None = None
    country: str | None = None
    birth_year: str | None = None
    age: str | None = None
    age_at_onset: str | None = None
    last_follow_up: str | None = None
    sample_type: SampleTypeColumn | None = None
    counted: str | None = None
    consent: str | None = None
    measurements: tuple[MeasurementColumn, ...] = ()
    diseases: tuple[CodeColumn, ...] = ()
    phenotypes: tuple[CodeColumn, ...] = ()
    excluded_diseases: tuple[CodeColumn, ...] = ()
    excluded_phenotypes: tuple[CodeColumn, ...] = ()
    disease_stages: tuple[CodeColumn, ...] = ()
    treatments: tuple[CodeColumn, ...] = ()
    procedures: tuple[CodeColumn, ...] = ()
    exposures: tuple[CodeColumn, ...] = ()
    ethnicities: tuple[CodeColumn, ...] = ()
    vital_status: tuple[CodeColumn, ...] = ()
    genes: tuple[CodeColumn, ...] = ()
    tissues: tuple[CodeColumn, ...] = ()
    histologies: tuple[CodeColumn, ...] = ()
    tumour_grades: tuple[CodeColumn, ...] = ()
    tumour_stages: tuple[CodeColumn, ...] = ()
    person: Literal["subject", "packet"] | None = None
    ignore: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @field_validator("sex", "sample_type", mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"column": value} if isinstance(value, str) else value

    def columns(self) -> tuple[str, ...]:
        """Every column that the mapping names, `ignore` left out."""
        plain = (self.biosample, self.individual, self.population, self.country, self.birth_year, self.age)
        single = (*plain, self.age_at_onset, self.last_follow_up, self.counted, self.consent)
        named = (*single, *(item.column for item in (self.sex, self.sample_type) if item))
        codes = (item.column for _, item in self.codes())
        return (*(name for name in named if name is not None), *(item.column for item in self.measurements), *codes)

    def codes(self) -> tuple[tuple[TermKind, CodeColumn], ...]:
        """The columns of codes with the kinds of their terms."""
        return tuple((kind, item) for name, kind in _CODE_KEYS.items() for item in getattr(self, name))


def read_mapping(path: Path) -> Mapping:
    """Read a mapping.

    Raises
    ------
    BadFile
        With the line of the key that is unknown, repeated or of the wrong form.
    """
    name = str(path)
    text = read_text(path, bytes_max=_BYTES_MAX, expected=_EXPECTED)
    found = parse_yaml(name, text, depth_max=_DEPTH_MAX, expected=_EXPECTED, loader=yaml.SafeLoader)
    document = found.value
    if not isinstance(document, dict) or not document:
        raise BadFile(name, "line 1", "not a mapping of keys", _EXPECTED)
    try:
        return Mapping.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        line = found.line_of(first["loc"])
        what = "unknown key" if first["type"] == "extra_forbidden" else first["msg"]
        expected = (
            f"one of {', '.join(Mapping.model_fields)}" if len(first["loc"]) == 1 and what == "unknown key" else _EXPECTED
        )
        raise BadFile(name, f"line {line}", f"{what}: {'.'.join(map(str, first['loc']))}", expected) from None
