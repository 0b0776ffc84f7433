"""What a bank answers besides the wire documents; every number here has passed its dataset's disclosure rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from cohelix.core.reported import Origin, Zygosity
from cohelix.core.variant import VariantKey
from cohelix.phenotypes.model import TermKind
from cohelix.wire.frequency import DatasetStatus, PopulationCounts

# What a criterion's field may be: columns of everybody, measurements, and the kinds of codes.
FieldKind = Literal["sex", "population", "country", "age", "birth_year", "measurement"] | TermKind


@dataclass(frozen=True, slots=True)
class FoundVariant:
    """A variant that may be told.

    Attributes
    ----------
    key
        Its name.
    end
        0-based position after the last reference base it covers (INFO/END of a symbolic ALT).
    id
        The source's id (an rsID, say); empty where it had none.
    populations
        Rows of counts, the total first; none where the dataset has no frequencies.
    row
        Its row in the version that it was found in.
    """

    key: VariantKey
    end: int
    id: str
    populations: tuple[PopulationCounts, ...]
    row: int


class CaseOfVariant(NamedTuple):
    """One call set with a variant: whose it is, by ids, and what is known of the call."""

    biosample: str
    individual: str
    call_set: str
    origin: Origin
    zygosity: Zygosity
    allele_fraction: float | None


@dataclass(frozen=True, slots=True)
class VariantPage:
    """A page of variants, ascending by position, REF and ALT; `total` counts all that may be told.

    `status` is `answered`, or why the dataset says nothing: `refused`, `other_assembly`, `empty`.
    """

    total: int
    items: tuple[FoundVariant, ...]
    status: DatasetStatus = "answered"
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class PeopleCount:
    """How many people meet a question; `count` is None for every status but `answered`."""

    status: DatasetStatus
    reason: str | None
    count: int | None


@dataclass(frozen=True, slots=True)
class EntryPage:
    """A page of individuals, biosamples, runs or analyses, in the dataset's order; `total` counts all that meet the question.

    `documents` are JSON of Beacon's default schemas; a floored dataset gives none, and its `total` is in safe form.
    """

    total: int
    documents: tuple[bytes, ...] = ()
    status: DatasetStatus = "answered"
    reason: str | None = None


class Term(NamedTuple):
    """Something that a dataset's people can be asked about: for a code its own text, for a measurement its name.

    `kind` says which field of a `Criterion` it is; `id` the value (of sex, population, country, disease, phenotype)
    or the field's name (of a measurement, age, birth_year); `label` a text for people, with the unit. `held_by` is how many
    people (or biosamples) have it, where that may be told.
    """

    kind: FieldKind
    id: str
    label: str
    held_by: int | None = None
