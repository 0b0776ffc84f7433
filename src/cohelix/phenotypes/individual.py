"""What a reading of people's files gives, and how single persons are put together to columns."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from cohelix.core.reported import ReportedCall
from cohelix.phenotypes.completeness import Completeness, with_term
from cohelix.phenotypes.consents import Scope
from cohelix.phenotypes.model import Documents, Measurement, People, SexCode, Term, TermKind, TermPeople
from cohelix.phenotypes.ontology import Ontologies

Format = Literal["tables", "phenopackets", "omop"]


@dataclass(frozen=True, slots=True)
class Reading:
    """What files of people gave.

    Attributes
    ----------
    n_rows, n_repeated_rows
        Rows of tables or packets; those that repeat an earlier one.
    columns_not_taken
        Columns of tables, fields of packets, that were not taken.
    known
        How many people have each column.
    completeness
        By class and field of the GDI minimal dataset.
    reported
        Variants that the files name, of the load's assembly; without a place where another build, or no place, is given.
    consents
        The scopes that people agree to, by individual; of who is not named, nothing was said.
    format, warnings
        What the files were; what the operator ought to look at.
    """

    people: People
    n_rows: int
    n_repeated_rows: int
    columns_not_taken: tuple[str, ...]
    known: dict[str, int]
    completeness: Completeness
    reported: tuple[ReportedCall, ...] = ()
    format: Format = "tables"
    warnings: tuple[str, ...] = ()
    consents: Mapping[str, frozenset[Scope]] = field(default_factory=dict)


class _Value(NamedTuple):
    person: int
    value: float
    moment: float  # orders the values of a person; the latest stands


@dataclass(slots=True)
class PeopleBuilder:
    """Takes people one by one, and gives them as columns.

    Codes of ontologies are brought up to date as they come; a person for whom a code is both present and excluded (at
    another age, say) has it. `n_present_and_excluded` counts those.
    """

    ontologies: Ontologies
    sex: list[SexCode] = field(default_factory=list)
    birth_year: list[int] = field(default_factory=list)
    age: list[float] = field(default_factory=list)
    biosample_person: list[int] = field(default_factory=list)
    germline: list[bool] = field(default_factory=list)
    n_present_and_excluded: int = 0
    _terms: dict[tuple[TermKind, str], list[int]] = field(default_factory=lambda: defaultdict(list))
    _labels: dict[str, str] = field(default_factory=dict)
    _values: dict[tuple[str, str], list[_Value]] = field(default_factory=lambda: defaultdict(list))

    def add_person(self, sex: SexCode, birth_year: int = -1, age: float = float("nan")) -> int:
        """A further person; gives their number."""
        self.sex.append(sex)
        self.birth_year.append(birth_year)
        self.age.append(age)
        return len(self.sex) - 1

    def add_biosample(self, person: int, *, germline: bool) -> int:
        """A further biosample; gives its number."""
        self.biosample_person.append(person)
        self.germline.append(germline)
        return len(self.biosample_person) - 1

    def add_term(self, kind: TermKind, code: str, label: str, number: int) -> None:
        """A code of a person (of a biosample, for their kinds)."""
        current = code if kind == "gene" else self.ontologies.current(code)
        self._terms[kind, current].append(number)
        if label and current not in self._labels:
            self._labels[current] = label

    def add_value(self, name: str, unit: str, person: int, value: float, moment: float) -> None:
        """A measured value; of several of one person and unit the latest `moment` stands, else the last given."""
        self._values[name, unit].append(_Value(person, value, moment))

    def people(self, individual_ids: tuple[str, ...], biosample_ids: tuple[str, ...], documents: Documents | None) -> People:
        """Everything as columns, under these ids."""
        n = len(self.sex)
        return People(
            individual_ids=individual_ids,
            sex=np.array(self.sex, np.uint8),
            population=("",) * n,
            country=("",) * n,
            birth_year=np.array(self.birth_year, np.int64),
            age=np.array(self.age, np.float64),
            measurements=self._measurements(n),
            terms=self._term_people(),
            biosample_ids=biosample_ids,
            biosample_person=np.array(self.biosample_person, np.int64),
            germline=np.array(self.germline, np.bool_),
            preferred=np.zeros(len(biosample_ids), np.bool_),
            documents=documents,
        )

    def _term_people(self) -> tuple[TermPeople, ...]:
        numbers = {key: np.unique(np.array(whom, np.int64)) for key, whom in self._terms.items()}
        opposite: dict[TermKind, TermKind] = {"excluded_disease": "disease", "excluded_phenotype": "phenotype"}
        found = []
        for (kind, code), given in sorted(numbers.items()):
            present = numbers.get((opposite[kind], code)) if kind in opposite else None
            whom = given if present is None else np.setdiff1d(given, present)
            self.n_present_and_excluded += len(given) - len(whom)
            if len(whom):
                label = "" if kind == "gene" else self.ontologies.label(code)
                found.append(TermPeople(Term(kind, code, label or self._labels.get(code, "")), whom))
        return tuple(found)

    def _measurements(self, n: int) -> tuple[Measurement, ...]:
        units = Counter(name for name, _ in self._values)
        found = []
        for (name, unit), values in sorted(self._values.items()):
            column = np.full(n, np.nan)
            for item in sorted(values, key=lambda item: item.moment):
                column[item.person] = item.value
            # One name never stands for two units.
            found.append(Measurement(f"{name} [{unit}]" if units[name] > 1 else name, unit, column))
        return tuple(found)


def known_columns(people: People) -> dict[str, int]:
    """How many people (biosamples, for their kinds of term) have each column."""
    kinds = dict.fromkeys(("disease", "phenotype", *(found.term.kind for found in people.terms)))
    return {
        "sex": int((people.sex != 0).sum()),
        "population": sum(map(bool, people.population)),
        "country": sum(map(bool, people.country)),
        "birth_year": int((people.birth_year >= 0).sum()),
        "age": int((~np.isnan(people.age)).sum()),
        **{kind: with_term(people, kind, max(len(people), len(people.biosample_ids))) for kind in kinds},
        **{f"measurement {item.name}": int((~np.isnan(item.values)).sum()) for item in people.measurements},
    }
