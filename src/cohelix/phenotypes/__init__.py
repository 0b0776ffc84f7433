"""Individuals, biosamples, and what is known of them: read from tables, kept in Arrow columns."""

from cohelix.phenotypes.model import Measurement, People, SexCode, Term, TermPeople
from cohelix.phenotypes.table import TableReading, read_identifiers, read_people

__all__ = ["Measurement", "People", "SexCode", "TableReading", "Term", "TermPeople", "read_identifiers", "read_people"]
