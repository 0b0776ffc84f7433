"""Individuals, biosamples, and what is known of them: read from tables, phenopackets and OMOP, kept in Arrow columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cohelix.core.later import faces

if TYPE_CHECKING:
    from cohelix.phenotypes.individual import Reading
    from cohelix.phenotypes.model import Measurement, People, SexCode, Term, TermPeople
    from cohelix.phenotypes.reading import read_people
    from cohelix.phenotypes.table import read_identifiers

__all__ = ["Measurement", "People", "Reading", "SexCode", "Term", "TermPeople", "read_identifiers", "read_people"]

__getattr__ = faces(
    __name__,
    {
        "individual": ("Reading",),
        "model": ("Measurement", "People", "SexCode", "Term", "TermPeople"),
        "reading": ("read_people",),
        "table": ("read_identifiers",),
    },
)
