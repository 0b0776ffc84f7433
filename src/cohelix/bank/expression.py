"""Whom an expression means among a dataset's people, in three values: yes, no, and not known.

Nobody of whom it is not known meets a condition, or its opposite. A word or a number is known where it is given; of codes,
what a dataset does not say of somebody does not hold, unless it says nothing of that kind of anybody.
"""

from __future__ import annotations

from typing import NamedTuple, cast

from pyroaring import BitMap

from cohelix.bank.criteria import known_people, people_bitmap
from cohelix.bank.questions import Criterion, Operator
from cohelix.phenotypes.model import People
from cohelix.phenotypes.store import index_of
from cohelix.wire.expression import AllOf, AnyOf, Condition, Expression, NotOf
from cohelix.wire.filter_names import kind_by_prefix


class Truth(NamedTuple):
    """People of whom an expression holds, and of whom it does not; of all others it is not known."""

    yes: BitMap
    no: BitMap


def evaluate(expression: Expression, people: People) -> Truth:
    """Of whom the expression holds and of whom it does not, by people number; everybody's values are exact."""
    if isinstance(expression, Condition):
        return _of_condition(expression, people)
    if isinstance(expression, NotOf):
        yes, no = evaluate(expression.part, people)
        return Truth(no, yes)
    parts = [evaluate(part, people) for part in expression.parts]
    held, failed = [part.yes for part in parts], [part.no for part in parts]
    if isinstance(expression, AllOf):
        return Truth(BitMap.intersection(*held), BitMap.union(*failed))
    assert isinstance(expression, AnyOf)
    return Truth(BitMap.union(*held), BitMap.intersection(*failed))


def criterion_of(condition: Condition, people: People, *, hidden: bool = False) -> Criterion | None:
    """The condition in a dataset's own terms; None of a code that is of no kind here.

    Parameters
    ----------
    hidden
        Whether the dataset does not say which codes it has: then a code alone is of the kind that its prefix names.
    """
    field = condition.name if condition.field == "measurement" else condition.field
    if condition.field == "term":
        likely, kinds = kind_by_prefix(str(condition.value)), () if hidden else index_of(people).kinds_of(str(condition.value))
        kind = likely if likely in kinds or not kinds else kinds[0]
        if kind is None:
            return None
        field = kind
    assert condition.value is not None and condition.operator is not None
    return Criterion(field, cast(Operator, condition.operator), condition.value, condition.descendants, condition.similarity)


def _of_condition(condition: Condition, people: People) -> Truth:
    everybody = BitMap(range(len(people)))
    if condition.operator is None:  # measured, whatever the value
        measured = known_people(people, Criterion(condition.name, "=", 0.0))
        return Truth(measured, everybody - measured)
    criterion = criterion_of(condition, people)
    if criterion is None:
        return Truth(BitMap(), BitMap())
    yes = people_bitmap(people, (criterion,))
    return Truth(yes, known_people(people, criterion) - yes)
