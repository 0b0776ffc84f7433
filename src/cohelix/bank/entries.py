"""Individuals, biosamples, runs and analyses of an open dataset, as documents of Beacon's default schemas.

Where the source gave documents (phenopackets, OMOP), those are shown; of a plain table they are made from its columns. A
genotype column that no table names is a biosample and a person of its own, of whom nothing else is known. A run and an
analysis are what stands behind one genotype column; both have the id `DATASET:COLUMN`, DATASET the federation's id.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
import orjson

from cohelix.bank.questions import Chosen
from cohelix.bank.version import OpenVersion
from cohelix.core.arrays import BoolArray, IntArray
from cohelix.phenotypes.model import SEX_LABELS, People, Term

EntryKind = Literal["individual", "biosample", "run", "analysis"]
# Beacon's schemas of runs and analyses require a date; a source without one must not get an invented one.
NO_DATE: Final = "0001-01-01"
_SEX_TERMS: Final = {
    "female": {"id": "NCIT:C16576", "label": "female"},
    "male": {"id": "NCIT:C20197", "label": "male"},
    "unknown": {"id": "NCIT:C17998", "label": "unknown"},
}
_UNKNOWN: Final = {"id": "NCIT:C17998", "label": "Unknown"}
# Where a kind of term stands in Beacon's individual: the list, and the member of its items that holds the code.
_IN_INDIVIDUAL: Final = {
    "disease": ("diseases", "diseaseCode"),
    "phenotype": ("phenotypicFeatures", "featureType"),
    "excluded_phenotype": ("phenotypicFeatures", "featureType"),
    "treatment": ("treatments", "treatmentCode"),
    "procedure": ("interventionsOrProcedures", "procedureCode"),
}
_IN_BIOSAMPLE: Final = {
    "tissue": "sampleOriginDetail",
    "sample_type": "sampleOriginType",
    "histology": "histologicalDiagnosis",
    "tumour_grade": "tumorGrade",
    "tumour_stage": "pathologicalStage",
}


class Entries:
    """The entries of one version, each numbered: people, then biosamples, then columns as the version has them."""

    def __init__(self, version: OpenVersion, dataset: str) -> None:
        self._version, self._dataset = version, dataset
        self._people, self._call_sets = version.people, version.call_sets

    @cached_property
    def _biosample_number(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self._people.biosample_ids)}

    @cached_property
    def _individual_number(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self._people.individual_ids)}

    @cached_property
    def _column_number(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self._call_sets.names)}

    @cached_property
    def _lone_columns(self) -> IntArray:
        """Columns that no table names, ascending."""
        return np.flatnonzero(self._call_sets.person >= self._call_sets.n_registered)

    @cached_property
    def _lone_person(self) -> dict[int, int]:
        """The column of each person who is known by a column alone."""
        columns = self._lone_columns
        return dict(zip(self._call_sets.person[columns].tolist(), columns.tolist(), strict=True))

    @cached_property
    def biosample_person(self) -> IntArray:
        """(biosamples,) int64 people numbers: the tables' biosamples, then the columns that no table names."""
        return np.concatenate([self._people.biosample_person, self._call_sets.person[self._lone_columns]])

    @cached_property
    def column_biosample(self) -> IntArray:
        """(columns,) int64 biosample number of each genotype column."""
        registered = len(self._people.biosample_ids)
        found = np.array([self._biosample_number.get(name, -1) for name in self._call_sets.names], np.int64)
        found[self._lone_columns] = registered + np.arange(len(self._lone_columns))
        return found

    def person_chosen(self, chosen: Chosen) -> int | None:
        """The number of the one person that the ids mean; -1 where the dataset has none, None where no id is given."""
        if chosen.call_set is not None:
            column = self._column_number.get(chosen.call_set, -1)
            return -1 if column < 0 else int(self._call_sets.person[column])
        if chosen.biosample is not None:
            number = self.biosample_chosen(chosen)
            return -1 if number is None or number < 0 else int(self.biosample_person[number])
        if chosen.individual is None:
            return None
        number = self._individual_number.get(chosen.individual, -1)
        if number >= 0:
            return number
        column = self._column_number.get(chosen.individual, -1)
        person = -1 if column < 0 else int(self._call_sets.person[column])
        return person if person >= self._call_sets.n_registered else -1

    def biosample_chosen(self, chosen: Chosen) -> int | None:
        """The number of the one biosample that the ids mean; -1 where there is none, None where they name no biosample."""
        if chosen.call_set is not None:
            column = self._column_number.get(chosen.call_set, -1)
            return -1 if column < 0 else int(self.column_biosample[column])
        if chosen.biosample is None:
            return None
        number = self._biosample_number.get(chosen.biosample, -1)
        if number < 0 and chosen.biosample in self._column_number:
            number = int(self.column_biosample[self._column_number[chosen.biosample]])
        return number

    def column_named(self, name: str) -> int | None:
        """The number of a genotype column."""
        return self._column_number.get(name)

    def individual_id(self, person: int) -> str:
        """The node-wide id of a person; of one known by a column alone, the column's name."""
        if person < self._call_sets.n_registered:
            return self._people.individual_ids[person]
        return self._call_sets.names[self._lone_person[person]]

    def biosample_id(self, number: int) -> str:
        """The id of a biosample."""
        registered = len(self._people.biosample_ids)
        if number < registered:
            return self._people.biosample_ids[number]
        return self._call_sets.names[int(self._lone_columns[number - registered])]

    def call_set_id(self, column: int) -> str:
        """The id of the run and of the analysis behind a genotype column."""
        return f"{self._dataset}:{self._call_sets.names[column]}"

    def documents(self, kind: EntryKind, numbers: IntArray) -> tuple[bytes, ...]:
        """The entries of these numbers (people, biosamples, or columns of runs and analyses) as JSON."""
        if kind == "individual":
            return self._individuals(numbers)
        if kind == "biosample":
            return self._biosamples(numbers)
        make = self._run if kind == "run" else self._analysis
        return tuple(orjson.dumps(make(column)) for column in numbers.tolist())

    def _individuals(self, numbers: IntArray) -> tuple[bytes, ...]:
        documents, registered = self._people.documents, self._call_sets.n_registered
        if documents is not None:
            return tuple(
                bytes(documents.individuals[person])
                if person < registered
                else orjson.dumps({"id": self.individual_id(person), "sex": _SEX_TERMS["unknown"]})
                for person in numbers.tolist()
            )
        terms = _terms_of(self._people, numbers, frozenset(_IN_INDIVIDUAL) | {"ethnicity"})
        return tuple(orjson.dumps(self._individual(person, terms.get(person, ()))) for person in numbers.tolist())

    def _individual(self, person: int, terms: Iterable[Term]) -> dict[str, Any]:
        """A person as the columns of a table tell."""
        people = self._people
        if person >= len(people):
            return {"id": self.individual_id(person), "sex": _SEX_TERMS["unknown"]}
        document: dict[str, Any] = {"id": people.individual_ids[person], "sex": _SEX_TERMS[SEX_LABELS[people.sex[person]]]}
        if people.country[person]:
            document["geographicOrigin"] = curie_term(people.country[person], "", "ISO3166")
        for term in terms:
            if term.kind == "ethnicity":
                document["ethnicity"] = curie_term(term.code, term.label)
                continue
            listed, member = _IN_INDIVIDUAL[term.kind]
            item: dict[str, Any] = {member: curie_term(term.code, term.label)}
            if term.kind == "excluded_phenotype":
                item["excluded"] = True
            document.setdefault(listed, []).append(item)
        measured = [
            {
                "assayCode": curie_term(item.name, item.name),
                "measurementValue": {
                    "unit": curie_term(item.unit or "1", item.unit or "1", "UCUM"),
                    "value": float(item.values[person]),
                },
            }
            for item in people.measurements
            if not np.isnan(item.values[person])
        ]
        if measured:
            document["measures"] = measured
        info: dict[str, Any] = {}
        if people.population[person]:
            info["population"] = people.population[person]
        if not np.isnan(people.age[person]):
            info["age"] = float(people.age[person])
        if people.birth_year[person] >= 0:
            info["birthYear"] = int(people.birth_year[person])
        return {**document, "info": info} if info else document

    def _biosamples(self, numbers: IntArray) -> tuple[bytes, ...]:
        documents, registered = self._people.documents, len(self._people.biosample_ids)
        if documents is not None and len(documents.biosamples) == registered:
            return tuple(
                bytes(documents.biosamples[number]) if number < registered else orjson.dumps(self._biosample(number, ()))
                for number in numbers.tolist()
            )
        terms = _terms_of(self._people, numbers, frozenset(_IN_BIOSAMPLE))
        return tuple(orjson.dumps(self._biosample(number, terms.get(number, ()))) for number in numbers.tolist())

    def _biosample(self, number: int, terms: Iterable[Term]) -> dict[str, Any]:
        """A biosample as the columns of a table tell."""
        tumour = number < len(self._people.biosample_ids) and not self._people.germline[number]
        status = {"id": "EFO:0010942", "label": "neoplastic sample"} if tumour else _UNKNOWN
        if number < len(self._people.biosample_ids) and not tumour:
            status = {"id": "EFO:0009654", "label": "reference sample"}
        document: dict[str, Any] = {
            "id": self.biosample_id(number),
            "individualId": self.individual_id(int(self.biosample_person[number])),
            "biosampleStatus": status,
            "sampleOriginType": _UNKNOWN,
        }
        for term in terms:
            document[_IN_BIOSAMPLE[term.kind]] = curie_term(term.code, term.label)
        return document

    def _run(self, column: int) -> dict[str, Any]:
        return {**self._of_call_set(column), "runDate": NO_DATE, "info": {"runDateKnown": False}}

    def _analysis(self, column: int) -> dict[str, Any]:
        manifest = self._version.manifest
        return {
            **self._of_call_set(column),
            "runId": self.call_set_id(column),
            "analysisDate": NO_DATE,
            "pipelineName": "not stated by the source",
            "info": {
                "analysisDateKnown": False,
                "assembly": str(manifest.assembly),
                "content": manifest.content,
                "datasetVersion": f"{manifest.version}.{manifest.release}",
                "countsInFrequencies": bool(self._call_sets.counted[column]),
            },
        }

    def _of_call_set(self, column: int) -> dict[str, Any]:
        number = int(self.column_biosample[column])
        return {
            "id": self.call_set_id(column),
            "biosampleId": self.biosample_id(number),
            "individualId": self.individual_id(int(self.biosample_person[number])),
        }

    def released_columns(self) -> BoolArray:
        """(columns,) bool: genotype columns of people who are in the public release."""
        return np.asarray(self._version.released[self._call_sets.person], np.bool_)


def curie_term(code: str, label: str, prefix: str = "local") -> dict[str, str]:
    """An ontology term: a code without a prefix gets one, for Beacon's terms are CURIEs."""
    head, colon, tail = code.partition(":")
    named = code if colon and tail and len(head) > 1 else f"{prefix}:{code}"
    return {"id": named, "label": label} if label else {"id": named}


def _terms_of(people: People, numbers: IntArray, kinds: frozenset[str]) -> dict[int, list[Term]]:
    """The terms of a few people (or biosamples), by number."""
    found: dict[int, list[Term]] = {}
    for term, whom in people.terms:
        if term.kind not in kinds or not len(whom):
            continue
        at = np.minimum(np.searchsorted(whom, numbers), len(whom) - 1)
        for number in numbers[whom[at] == numbers].tolist():
            found.setdefault(number, []).append(term)
    return found
