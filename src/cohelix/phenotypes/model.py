"""What is known of people, column by column: ids, sex, origin, ages, measurements and codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, NamedTuple

import numpy as np

from cohelix.core.arrays import BoolArray, ByteArray, FloatArray, IntArray
from cohelix.phenotypes.terms import TermIndex

# Codes of people. `gene` is the symbol of a gene that an interpretation names; an `excluded_…` term says that it was
# looked for and is not there, and is never counted as present.
PersonTermKind = Literal[
    "disease",
    "phenotype",
    "excluded_disease",
    "excluded_phenotype",
    "disease_stage",
    "treatment",
    "procedure",
    "exposure",
    "ethnicity",
    "vital_status",
    "gene",
]
# Codes of biosamples: `TermPeople.people` then holds biosample numbers.
BiosampleTermKind = Literal["tissue", "sample_type", "histology", "tumour_grade", "tumour_stage"]
TermKind = PersonTermKind | BiosampleTermKind
BIOSAMPLE_KINDS: frozenset[str] = frozenset({"tissue", "sample_type", "histology", "tumour_grade", "tumour_stage"})


class SexCode(IntEnum):
    """Sex as stored; `label` is the word that answers use."""

    UNKNOWN = 0
    MALE = 1
    FEMALE = 2

    @property
    def label(self) -> Literal["male", "female", "unknown"]:
        return SEX_LABELS[self]


SEX_LABELS: tuple[Literal["unknown"], Literal["male"], Literal["female"]] = ("unknown", "male", "female")


class Term(NamedTuple):
    """A code of a disease or a phenotype, as the data holder writes it; `label` is empty where none was given."""

    kind: TermKind
    code: str
    label: str = ""


class TermPeople(NamedTuple):
    """Who has a term: ascending people numbers, int64."""

    term: Term
    people: IntArray


class Measurement(NamedTuple):
    """One quantity of everybody: `values` (people,) float64, NaN where not measured; `unit` may be empty."""

    name: str
    unit: str
    values: FloatArray


class Documents(NamedTuple):
    """What a record-level answer shows, one JSON document each, in the order of people and of biosamples.

    They are of Beacon v2's default schemas (individual, biosample), ids included, and hold what the columns and terms
    cannot: onsets, severities, stages, treatments, pedigrees, interpretations.
    """

    individuals: Sequence[bytes]
    biosamples: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class People:
    """The people of a dataset, numbered 0… in the order in which the tables name them, and their biosamples.

    Attributes
    ----------
    individual_ids
        (people,) node-wide ids.
    sex
        (people,) uint8 of `SexCode`.
    population, country
        (people,) labels; empty where not known.
    birth_year
        (people,) int64; -1 where not known.
    age
        (people,) float64, years; NaN where not known.
    measurements
        In the order of the tables.
    terms
        Ascending by kind and code; what a source says directly, without what follows from an ontology.
    biosample_ids, biosample_person
        (biosamples,) ids, and int64 people numbers.
    germline
        (biosamples,) False for a tumour, whose calls never count as the person's germline.
    preferred
        (biosamples,) True where the table marks this one as the one that counts.
    documents
        Where the source says more than columns and terms hold (phenopackets, OMOP); None for plain tables.
    index
        Of stored people, the bitmaps of words and terms, closed over descendants; None of people just read.
    """

    individual_ids: Sequence[str]
    sex: ByteArray
    population: Sequence[str]
    country: Sequence[str]
    birth_year: IntArray
    age: FloatArray
    measurements: tuple[Measurement, ...]
    terms: Sequence[TermPeople]
    biosample_ids: Sequence[str]
    biosample_person: IntArray
    germline: BoolArray
    preferred: BoolArray
    documents: Documents | None = None
    index: TermIndex | None = None

    def __len__(self) -> int:
        return len(self.individual_ids)

    def origins(self) -> Sequence[str]:
        """The label by which frequencies are grouped: the population, or the country where no population is given at all."""
        return self.population if any(self.population) else self.country

    @classmethod
    def nobody(cls) -> People:
        """A dataset without a table of people."""
        none, numbers = np.zeros(0, np.bool_), np.zeros(0, np.int64)
        return cls((), np.zeros(0, np.uint8), (), (), numbers, np.zeros(0), (), (), (), numbers, none, none)
