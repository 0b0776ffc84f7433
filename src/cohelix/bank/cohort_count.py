"""How many people a dataset has whom an expression means, as far as its disclosure rule lets out.

An open dataset counts by any expression. A floored one counts as it does for a list of conditions, no more: where all of
them, or their opposites, have to hold, and by sex, population, country and disease alone. With `any`, counts of one another's
parts and complements would add up to numbers that no list tells, so it is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from cohelix.access.policy import Level
from cohelix.bank.answers import PeopleCount
from cohelix.bank.criteria import assessed
from cohelix.bank.expression import criterion_of, evaluate
from cohelix.bank.questions import Criterion, PeopleQuery
from cohelix.bank.version import OpenVersion
from cohelix.core.arrays import BoolArray
from cohelix.phenotypes.model import People
from cohelix.phenotypes.terms import bitmap_of, mask_of
from cohelix.wire.expression import Condition, Expression, conditions, literals

ANY_REFUSED = "a floored dataset counts people by conditions that all hold: ask for the parts of `any` one by one"
MEASURED_REFUSED = "a floored dataset counts people by sex, population, country and disease code only"
TERM_REFUSED = "a floored dataset does not say of what kind a code is: name the field, as {disease: CODE}"


def count_cohort(
    version: OpenVersion, expression: Expression, level: Level, count_people: Callable[[PeopleQuery], PeopleCount]
) -> PeopleCount:
    """How many released people the expression means, told at a level; `count_people` answers for a list of conditions."""
    if level == "refused" or version.manifest.content == "aggregate":
        return count_people(PeopleQuery())  # it says why it does not
    if level == "floored":
        criteria = _listed(version.people, expression)
        return PeopleCount("refused", criteria, None) if isinstance(criteria, str) else count_people(PeopleQuery(criteria))
    unknown = _not_assessed(version, expression)
    if unknown is not None:
        return PeopleCount("not_assessed", f"the dataset holds no {unknown} of anybody", None)
    return PeopleCount("answered", None, int(cohort_mask(version, expression).sum()))


def cohort_mask(version: OpenVersion, expression: Expression) -> BoolArray:
    """(people,) bool: released people whom the expression means; of a column without a person nothing is known."""
    return mask_of(evaluate(expression, version.people).yes, version.call_sets.n_people) & version.released


def _listed(people: People, expression: Expression) -> tuple[Criterion, ...] | str:
    """The expression as a list of criteria that all hold, or why it is none that a floored dataset counts by."""
    wanted = literals(expression)
    if wanted is None:
        return ANY_REFUSED
    found = []
    for condition, holds in wanted:
        criterion = None if condition.operator is None else criterion_of(condition, people, hidden=True)
        if criterion is None:
            return TERM_REFUSED if condition.field == "term" else MEASURED_REFUSED
        if criterion.operator != "=":
            return MEASURED_REFUSED
        found.append(criterion if holds else replace(criterion, operator="!"))
    return tuple(found)


def _not_assessed(version: OpenVersion, expression: Expression) -> str | None:
    """A field of which the dataset holds nothing, where somebody's answer hangs on it; None where it may count."""
    truth = evaluate(expression, version.people)
    released = bitmap_of(version.released[: len(version.people)])
    if not released - truth.yes - truth.no:
        return None
    return next((_called(one) for one in conditions(expression) if not _assessed(version.people, one)), None)


def _assessed(people: People, condition: Condition) -> bool:
    if condition.operator is None:
        return any(item.name == condition.name for item in people.measurements)
    criterion = criterion_of(condition, people)
    return criterion is not None and assessed(people, criterion)


def _called(condition: Condition) -> str:
    return {"measurement": condition.name, "term": str(condition.value)}.get(condition.field, condition.field)
