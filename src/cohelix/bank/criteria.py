"""Which people meet a set of conditions: every condition becomes a bitmap, and bitmaps are joined."""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, cast, get_args

import numpy as np
from pyroaring import BitMap

from cohelix.bank.answers import FieldKind, Term
from cohelix.bank.questions import Criterion
from cohelix.core.arrays import BoolArray, FloatArray
from cohelix.core.errors import BadQuestion
from cohelix.disclosure.rules import alike_groups
from cohelix.phenotypes.model import BIOSAMPLE_KINDS, People, PersonTermKind
from cohelix.phenotypes.store import index_of
from cohelix.phenotypes.terms import WORD_KINDS, TermIndex, bitmap_of, mask_of

# On a floored dataset people are counted by these only; never by a numeric threshold (rule 3 of the interface, issue 2).
FLOORED_FIELDS = frozenset({"sex", "population", "country", "disease"})
_TERM_KINDS = frozenset(get_args(PersonTermKind)) | BIOSAMPLE_KINDS
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}


def people_meeting(
    people: People, criteria: Iterable[Criterion], *, floor: int = 0, released: BoolArray | None = None
) -> BoolArray:
    """(people,) bool: who meets every criterion. Nobody whose value is not known meets a criterion on it.

    Parameters
    ----------
    floor
        k of a floored dataset: codes are answered as `told_people` says. 0 for an open one, where they are exact.
    released
        (at least people,) bool: who is in the public release, which `told_people` is about. It leaves out nobody here.

    Raises
    ------
    BadQuestion
        If a criterion compares words by size, or a number with a word.
    """
    return mask_of(people_bitmap(people, criteria, floor=floor, released=released), len(people))


def people_bitmap(
    people: People, criteria: Iterable[Criterion], *, floor: int = 0, released: BoolArray | None = None
) -> BitMap:
    """As `people_meeting`, as a bitmap of people numbers."""
    meeting = BitMap(range(len(people)))
    for criterion in criteria:
        meeting &= _people_of(people, criterion, floor, released)
    return meeting


def known_people(people: People, criterion: Criterion) -> BitMap:
    """Of whom it is known whether they meet a criterion: of everybody, for a code that the dataset holds anything about."""
    field = criterion.field
    if field in WORD_KINDS:
        return index_of(people).known(field)
    if field in _TERM_KINDS:
        return BitMap(range(len(people))) if assessed(people, criterion) else BitMap()
    return bitmap_of(np.asarray(~np.isnan(_numbers_of(people, field))))


def biosamples_meeting(people: People, criteria: Iterable[Criterion]) -> BoolArray:
    """(biosamples,) bool: which of the tables' biosamples meet every criterion; one on a person is met by all of theirs."""
    whole = len(people.biosample_ids)
    meeting = BitMap(range(whole))
    for criterion in criteria:
        if criterion.field in BIOSAMPLE_KINDS:
            _need_equality(criterion)
            having = _having(index_of(people), criterion)
            meeting = meeting & having if criterion.operator == "=" else meeting - having
        else:
            meeting &= bitmap_of(mask_of(_people_of(people, criterion, 0, None), len(people))[people.biosample_person])
    return mask_of(meeting, whole)


def kinds_of(people: People, code: str) -> tuple[str, ...]:
    """The kinds of terms under which somebody has the code or a descendant of it; never the kinds of what was excluded."""
    return index_of(people).kinds_of(code)


def assessed(people: People, criterion: Criterion) -> bool:
    """Whether the dataset holds anything about the criterion's field; of a code it does where it was excluded, too."""
    field = criterion.field
    if field in _TERM_KINDS or field in WORD_KINDS:
        plain = field.removeprefix("excluded_")
        return not {plain, f"excluded_{plain}"}.isdisjoint(index_of(people).kinds())
    return bool((~np.isnan(_numbers_of(people, field))).any())


def floored_refusal(people: People, criteria: Iterable[Criterion]) -> str | None:
    """Why a floored dataset does not count people by these criteria, whatever its data are; None where it does."""
    for criterion in criteria:
        if criterion.field not in FLOORED_FIELDS:
            return "a floored dataset counts people by sex, population, country and disease code only"
        if criterion.similarity != "exact" or "%" in str(criterion.value):
            return "a floored dataset counts people by whole words and codes, not by similar ones or by patterns"
        if criterion.field == "disease" and not criterion.descendants:
            ontology = index_of(people).ontologies.holding(str(criterion.value))
            if ontology is not None and ontology.has_descendants(str(criterion.value)):
                return "a floored dataset counts people by a code together with its descendants, not without them"
    return None


def filtering_terms(people: People, *, numbers: bool, least: int, released: BoolArray | None = None) -> tuple[Term, ...]:
    """What these people can be asked about: words and codes that at least `least` of those released share.

    Codes come with their descendants, so a code that only a descendant gives somebody is among them; what was excluded is
    not. The counts are exact, for the bank alone; without `numbers` they are of `told_people`, and measurements, ages and
    every code but diseases are left out.
    """
    index = index_of(people)
    found: list[Term] = []
    for kind in (*sorted(WORD_KINDS), *sorted(index.kinds() - WORD_KINDS)):
        if kind.startswith("excluded_") or (not numbers and kind not in FLOORED_FIELDS):
            continue
        sizes = _sizes(people, kind, 0 if numbers or kind in WORD_KINDS else least, released)
        found += [
            Term(cast(FieldKind, kind), one.code, one.label or one.code, size)
            for one, size in zip(index.counts(kind), sizes, strict=True)
            if size >= least
        ]
    if numbers:
        found += [Term("age", "age", "age [a]")] if (~np.isnan(people.age)).any() else []
        found += [Term("birth_year", "birth_year", "year of birth")] if (people.birth_year >= 0).any() else []
        found += [Term("measurement", item.name, f"{item.name} [{item.unit}]") for item in people.measurements]
    return tuple(found)


def told_people(people: People, kind: str, code: str, *, floor: int, released: BoolArray | None) -> BitMap:
    """Whom a floored dataset means by a code: those who have it or a descendant, but for the few that a difference would show.

    Codes above one another whose people differ by 1 to k - 1 are answered alike, with the people whom all of them have
    (`disclosure.rules.alike_groups`). So a code and one below it have the same answer, or k or more people lie between them.
    """
    index = index_of(people)
    told = _told_sets(index, kind, floor, released)
    meaning = index.ontologies.meaning(code)
    return told.get(index.key(kind, meaning), BitMap())


class _Told(NamedTuple):
    """The told sets of one kind, for one release (kept by identity: a release is one array) and floor."""

    released: BoolArray | None
    floor: int
    kind: str
    sets: dict[str, BitMap]


_TOLD: weakref.WeakKeyDictionary[TermIndex, tuple[_Told, ...]] = weakref.WeakKeyDictionary()
_TOLD_KEPT = 4


def _told_sets(index: TermIndex, kind: str, floor: int, released: BoolArray | None) -> dict[str, BitMap]:
    known = _TOLD.get(index, ())
    for told in known:
        if told.released is released and (told.floor, told.kind) == (floor, kind):
            return told.sets
    codes, pairs = index.nested(kind)
    everybody = None if released is None else bitmap_of(released)
    closed = [index.closed(kind, code) for code in codes]
    if everybody is not None:
        closed = [found & everybody for found in closed]
    groups = alike_groups(np.array([len(found) for found in closed], np.int64), np.array(pairs, np.int64), floor=floor)
    shared: dict[int, BitMap] = {}
    for found, group in zip(closed, groups.tolist(), strict=True):
        shared[group] = shared[group] & found if group in shared else found
    sets = {index.key(kind, code): shared[group] for code, group in zip(codes, groups.tolist(), strict=True)}
    _TOLD[index] = (_Told(released, floor, kind, sets), *known)[:_TOLD_KEPT]
    return sets


def _sizes(people: People, kind: str, floor: int, released: BoolArray | None) -> Iterator[int]:
    """How many of those released have each code of a kind, in the order of the index; of a floored dataset as it is told."""
    index = index_of(people)
    counts = index.counts(kind)
    if floor:
        sets = _told_sets(index, kind, floor, released)
        return iter([len(sets[index.key(kind, one.code)]) for one in counts])
    if released is None or released.all():
        return iter([one.closed for one in counts])
    who = bitmap_of(released[people.biosample_person] if kind in BIOSAMPLE_KINDS else released)
    return iter([index.closed(kind, one.code).intersection_cardinality(who) for one in counts])


def _people_of(people: People, criterion: Criterion, floor: int, released: BoolArray | None) -> BitMap:
    """Who meets one criterion."""
    field, sign = criterion.field, criterion.operator
    if field in _TERM_KINDS or field in WORD_KINDS:
        _need_equality(criterion)
        index = index_of(people)
        if floor and field not in WORD_KINDS:
            having = told_people(people, field, str(criterion.value), floor=floor, released=released)
        else:
            having = _having(index, criterion)
        if field in BIOSAMPLE_KINDS:
            having = bitmap_of(np.unique(people.biosample_person[having.to_array()]))
        if sign == "=":
            return having
        return (index.known(field) if field in WORD_KINDS else BitMap(range(len(people)))) - having
    try:
        number = float(criterion.value)
    except ValueError:
        raise BadQuestion(f"{field} is compared with a number, not with {criterion.value!r}") from None
    values = _numbers_of(people, field)
    return bitmap_of(np.asarray(~np.isnan(values) & _COMPARE[sign](values, number)))


def _having(index: TermIndex, criterion: Criterion) -> BitMap:
    """Who (or which biosamples) a word or code is said of, with descendants and similar codes as far as asked for."""
    field, value = criterion.field, str(criterion.value)
    if "%" in value:
        return index.matching(field, value, descendants=criterion.descendants)
    having = index.closed(field, value) if criterion.descendants else index.direct(field, value)
    return having if criterion.similarity == "exact" else having | index.similar(field, value, criterion.similarity)


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
