"""What a bank answers besides the wire documents; every number here has passed its dataset's disclosure rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

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
        Rows of counts, the total first.
    """

    key: VariantKey
    end: int
    id: str
    populations: tuple[PopulationCounts, ...]


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


class Term(NamedTuple):
    """Something that a dataset's people can be asked about: for a code its own text, for a measurement its name.

    `kind` says which field of a `Criterion` it is; `id` the value (of sex, population, country, disease, phenotype)
    or the field's name (of a measurement, age, birth_year); `label` a text for people, with the unit.
    """

    kind: FieldKind
    id: str
    label: str
