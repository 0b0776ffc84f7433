"""Which people meet a set of conditions: pure functions over a dataset's people."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from cohelix.bank.answers import Term
from cohelix.bank.questions import Criterion
from cohelix.core.arrays import BoolArray, FloatArray
from cohelix.core.errors import BadQuestion
from cohelix.phenotypes.model import SEX_LABELS, People

# On a floored dataset people are counted by these only; never by a numeric threshold (rule 3 of the interface, issue 2).
FLOORED_FIELDS = frozenset({"sex", "population", "country", "disease"})
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}


def people_meeting(people: People, criteria: Iterable[Criterion]) -> BoolArray:
    """(people,) bool: who meets every criterion. Nobody whose value is not known meets a criterion on it.

    Raises
    ------
    BadQuestion
        If a criterion compares words by size, or a number with a word.
    """
    meeting = np.ones(len(people), np.bool_)
    for criterion in criteria:
        meeting &= _meets(people, criterion)
    return meeting


def biosamples_meeting(people: People, criteria: Iterable[Criterion]) -> BoolArray:
    """(biosamples,) bool: which of the tables' biosamples meet every criterion, all of them on kinds of biosample terms."""
    meeting = np.ones(len(people.biosample_ids), np.bool_)
    for criterion in criteria:
        _need_equality(criterion)
        having = np.zeros(len(meeting), np.bool_)
        for term, whom in people.terms:
            if term.kind == criterion.field and term.code == str(criterion.value):
                having[whom] = True
        meeting &= having == (criterion.operator == "=")
    return meeting


def assessed(people: People, criterion: Criterion) -> bool:
    """Whether the dataset holds anything about the criterion's field."""
    field = criterion.field
    if field in ("disease", "phenotype"):
        return any(found.term.kind == field for found in people.terms)
    if field in ("sex", "population", "country"):
        return bool(_words(people, field)[1].any())
    return bool((~np.isnan(_numbers_of(people, field))).any())


def filtering_terms(people: People, *, numbers: bool, least: int) -> tuple[Term, ...]:
    """What these people can be asked about: words and codes that at least `least` people share.

    With `numbers`, measurements, ages and phenotypes too.
    """
    found: list[Term] = []
    for kind in ("sex", "population", "country"):
        words, known = _words(people, kind)
        values, counts = np.unique(words[known], return_counts=True)
        found += [Term(kind, str(word), str(word)) for word, count in zip(values, counts, strict=True) if count >= least]
    found += [
        Term(term.kind, term.code, term.label or term.code)
        for term, whom in people.terms
        if len(whom) >= least and (numbers or term.kind == "disease")
    ]
    if numbers:
        found += [Term("age", "age", "age [a]")] if (~np.isnan(people.age)).any() else []
        found += [Term("birth_year", "birth_year", "year of birth")] if (people.birth_year >= 0).any() else []
        found += [Term("measurement", item.name, f"{item.name} [{item.unit}]") for item in people.measurements]
    return tuple(found)


def _meets(people: People, criterion: Criterion) -> BoolArray:
    field, sign, value = criterion.field, criterion.operator, criterion.value
    if field in ("disease", "phenotype"):
        _need_equality(criterion)
        return np.asarray(_having_code(people, field, str(value)) == (sign == "="))
    if field in ("sex", "population", "country"):
        _need_equality(criterion)
        words, known = _words(people, field)
        return np.asarray(known & _COMPARE[sign](words, str(value)))
    try:
        number = float(value)
    except ValueError:
        raise BadQuestion(f"{field} is compared with a number, not with {value!r}") from None
    values = _numbers_of(people, field)
    return np.asarray(~np.isnan(values) & _COMPARE[sign](values, number))


def _having_code(people: People, kind: str, code: str) -> BoolArray:
    having = np.zeros(len(people), np.bool_)
    for term, whom in people.terms:
        if term.kind == kind and term.code == code:
            having[whom] = True
    return having


def _words(people: People, field: str) -> tuple[np.ndarray[Any, np.dtype[np.str_]], BoolArray]:
    """The words of a field, (people,), and where they are known."""
    if field == "sex":
        return np.array(SEX_LABELS, np.str_)[people.sex], people.sex != 0
    words = np.array(people.population if field == "population" else people.country, np.str_)
    return words, words != ""


def _numbers_of(people: People, field: str) -> FloatArray:
    """The values of a numeric field, (people,); NaN where not known, everywhere if the dataset does not have it."""
    if field == "age":
        return people.age
    if field == "birth_year":
        return np.where(people.birth_year >= 0, people.birth_year.astype(np.float64), np.nan)
    for item in people.measurements:
        if item.name == field:
            return item.values
    return np.full(len(people), np.nan)


def _need_equality(criterion: Criterion) -> None:
    if criterion.operator not in ("=", "!"):
        raise BadQuestion(f"{criterion.field} is a word: ask with = or !, not with {criterion.operator}")
