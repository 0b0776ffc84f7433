"""A cohort as somebody composes it: groups and rows of a form, some of which say nothing yet (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias, cast

from cohelix.portal.cohort_query import expression_or_mistake
from cohelix.wire.expression import CODES, CONDITIONS_MAX, NUMBERS, WORDS, AllOf, AnyOf, Condition, Expression, NotOf

Joint = Literal["all", "any", "none", "notall"]
Path: TypeAlias = tuple[int, ...]
JOINTS: Final[tuple[Joint, ...]] = ("all", "any", "none", "notall")
NUMBER_SIGNS: Final = ("=", "!=", "<", "<=", ">", ">=")
BREADTHS: Final = ("", "only", "high", "medium", "low")
FIELDS: Final = frozenset({*WORDS, *NUMBERS, *CODES, "measurement", "term"})
NAMED: Final = frozenset({*CODES, *WORDS, "measurement", "term"}) - {"sex"}  # fields whose values may be misspelt
DEPTH_MAX, ROWS_MAX, _PARTS_MAX = 17, CONDITIONS_MAX, 4 * CONDITIONS_MAX
_KEY = re.compile(r"(?:(?P<path>\d{1,3}(?:\.\d{1,3})*)\.)?(?P<what>f|c|v|m|b|k|j)")
_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3})*")


@dataclass(frozen=True, slots=True)
class Row:
    """One criterion, as far as it is filled in.

    Attributes
    ----------
    compare
        `=`, `!=`, `<`, …; of measurements also `known` and `unknown`.
    name
        Of a measurement.
    breadth
        Of codes: empty for those below it too, `only`, or how similar; `only-high` and the like where an address says both.
    kept
        The value that is meant as it stands, whether anybody knows it or not.
    """

    field: str
    compare: str = "="
    value: str = ""
    name: str = ""
    breadth: str = ""
    kept: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether something is still to be filled in."""
        if self.field == "measurement":
            return not self.name.strip() or (self.compare not in ("known", "unknown") and not self.value.strip())
        return not self.value.strip()


@dataclass(frozen=True, slots=True)
class Group:
    """Rows and groups, and how they hold together."""

    joint: Joint = "all"
    parts: tuple[Part, ...] = ()


Part: TypeAlias = Row | Group


@dataclass(frozen=True, slots=True)
class Reading:
    """What a draft means.

    Attributes
    ----------
    expression
        All that is filled in and right; None where nothing is.
    unfilled
        Rows and groups that say nothing yet.
    mistakes
        What is wrong with a row, as a sentence of the language.
    """

    expression: Expression | None
    unfilled: frozenset[Path]
    mistakes: Mapping[Path, str]


def draft_of(expression: Expression | None) -> Group:
    """The form that says the same."""
    if expression is None:
        return Group()
    part = _part(expression)
    return part if isinstance(part, Group) else Group("all", (part,))


def read_draft(draft: Group) -> Reading:
    """The expression of a form, without what is empty or wrong."""
    unfilled: set[Path] = set()
    mistakes: dict[Path, str] = {}

    def document(part: Part, place: Path) -> dict[str, Any] | None:
        if isinstance(part, Row):
            if part.is_empty:
                unfilled.add(place)
                return None
            own = _document(part)
            _, mistake = expression_or_mistake(own)
            if mistake:
                mistakes[place] = mistake.sentence
                return None
            return own
        inner = [document(one, (*place, number)) for number, one in enumerate(part.parts, 1)]
        said = [one for one in inner if one is not None]
        if not said:
            unfilled.add(place)
            return None
        joined = {"all" if part.joint in ("all", "notall") else "any": said}
        return {"not": joined} if part.joint in ("none", "notall") else joined

    whole = document(draft, ())
    expression, mistake = (None, None) if whole is None else expression_or_mistake(whole)
    if mistake:
        mistakes[()] = mistake.sentence
    return Reading(expression, frozenset(unfilled), mistakes)


def rows(draft: Group, place: Path = ()) -> Iterator[tuple[Path, Row]]:
    """Every row with its place."""
    for number, part in enumerate(draft.parts, 1):
        if isinstance(part, Row):
            yield (*place, number), part
        else:
            yield from rows(part, (*place, number))


def path_of(place: Path) -> str:
    """`1.2`, as names of fields begin; empty for the whole."""
    return ".".join(str(number) for number in place)


def place_of(path: str) -> Path | None:
    """The place of that path; None where it is none."""
    if not path:
        return ()
    return tuple(int(number) for number in path.split(".")) if _ADDRESS.fullmatch(path) else None


def is_form(names: Iterable[str]) -> bool:
    """Whether an address has fields of the form."""
    return any(name == "do" or _KEY.fullmatch(name) for name in names)


def draft_of_form(pairs: Iterable[tuple[str, str]]) -> Group:
    """The draft that a form was sent with: rows in the order of their numbers, without gaps; what is too deep is left out."""
    told: dict[Path, dict[str, str]] = {(): {}}
    for name, value in pairs:
        found = _KEY.fullmatch(name)
        if found is None:
            continue
        place = place_of(found["path"] or "") or ()
        if len(place) <= DEPTH_MAX and (place in told or len(told) < _PARTS_MAX):
            told.setdefault(place, {}).setdefault(found["what"], value)
    children: dict[Path, set[int]] = {}
    for place in told:
        for depth in range(len(place)):
            children.setdefault(place[:depth], set()).add(place[depth])

    def build(place: Path) -> Part:
        own = told.get(place, {})
        if "f" in own and place:
            return Row(own["f"], own.get("c", "="), own.get("v", ""), own.get("m", ""), own.get("b", ""), own.get("k", ""))
        joint = own.get("j", "all")
        inner = tuple(build((*place, number)) for number in sorted(children.get(place, ())))
        return Group(joint if joint in JOINTS else "all", inner)

    return cast(Group, build(()))


def pairs_of(draft: Group, place: Path = ()) -> list[tuple[str, str]]:
    """The form's fields for a draft, without those that are as they are anyway."""
    begin = path_of(place) + "." if place else ""
    found: list[tuple[str, str]] = [(f"{begin}j", draft.joint)] if place or draft.joint != "all" else []
    for number, part in enumerate(draft.parts, 1):
        here = (*place, number)
        if isinstance(part, Group):
            found += pairs_of(part, here)
            continue
        name = path_of(here)
        told = {"f": part.field, "c": part.compare, "v": part.value, "m": part.name, "b": part.breadth, "k": part.kept}
        found += [(f"{name}.{key}", value) for key, value in told.items() if value and (key, value) != ("c", "=")]
    return found


def acted(draft: Group, action: str, chosen: Mapping[str, str]) -> tuple[Group, Path | None]:
    """The draft after a button was pressed, and where to go on.

    `add@1` appends a row of the kind `1.new` to the group 1, `group@1` a group; `remove@1.2` takes a part out;
    `pick@1.2@CODE` fills a row in, `keep@1.2` says that it is meant as it stands. Every other action changes nothing.
    """
    verb, _, rest = action.partition("@")
    path, _, value = rest.partition("@")
    place = place_of(path)
    part = None if place is None else _at(draft, place)
    if place is None or part is None:
        return draft, None
    if isinstance(part, Group) and verb in ("add", "group"):
        return _appended(draft, place, part, chosen.get(f"{path}.new" if path else "new", "") if verb == "add" else None)
    if verb == "remove" and place:
        return _put(draft, place, None), place[:-1]
    if isinstance(part, Row) and verb in ("pick", "keep"):
        if verb == "keep":
            value = part.name if part.field == "measurement" else part.value
        filled = replace(part, name=value) if part.field == "measurement" else replace(part, value=value)
        return _put(draft, place, replace(filled, kept=value)), place
    return draft, None


def _appended(draft: Group, place: Path, group: Group, field: str | None) -> tuple[Group, Path]:
    """The draft with a row of that field, or with a group where there is none, at the end of a group."""
    full = len(place) >= DEPTH_MAX or sum(1 for _ in rows(draft)) >= ROWS_MAX
    if full or (field is not None and field not in FIELDS):
        return draft, place
    inner: Joint = "any" if group.joint in ("all", "none") else "all"
    new: Part = Group(inner) if field is None else Row(field, _first_sign(field))
    return _put(draft, place, replace(group, parts=(*group.parts, new))), (*place, len(group.parts) + 1)


def replaced(draft: Group, place: Path, row: Row) -> Group:
    """The draft with another row at a place."""
    return _put(draft, place, row)


def _first_sign(field: str) -> str:
    return ">=" if field in ("age", "birth_year", "measurement") else "="


def _at(draft: Group, place: Path) -> Part | None:
    part: Part = draft
    for number in place:
        if not isinstance(part, Group) or not 1 <= number <= len(part.parts):
            return None
        part = part.parts[number - 1]
    return part


def _put(group: Group, place: Path, new: Part | None) -> Group:
    if not place:
        return new if isinstance(new, Group) else Group()
    at = place[0] - 1
    old = group.parts[at]
    inner = new if len(place) == 1 else _put(cast(Group, old), place[1:], new)
    return replace(group, parts=(*group.parts[:at], *(() if inner is None else (inner,)), *group.parts[at + 1 :]))


def _part(expression: Expression) -> Part:
    if isinstance(expression, Condition):
        return _row(expression, holds=True)
    if isinstance(expression, NotOf):
        inner = expression.part
        if isinstance(inner, Condition):
            # "not age<40" has no sign of its own: a group of one says it.
            plain = inner.operator in ("=", None)
            return _row(inner, holds=False) if plain else Group("none", (_row(inner, holds=True),))
        found = _part(inner)
        if isinstance(found, Group) and found.joint in ("all", "any"):
            return replace(found, joint="notall" if found.joint == "all" else "none")
        return Group("none", (found,))
    return Group("all" if isinstance(expression, AllOf) else "any", tuple(_part(part) for part in _parts(expression)))


def _parts(expression: AllOf | AnyOf) -> tuple[Expression, ...]:
    return expression.parts


def _row(one: Condition, *, holds: bool) -> Row:
    if one.operator is None:
        return Row(one.field, "known" if holds else "unknown", name=one.name, kept=one.name)
    compare = one.operator if holds else "!="
    value = _number_text(one.value) if isinstance(one.value, float) else str(one.value)
    only, like = not one.descendants, one.similarity if one.similarity != "exact" else ""
    breadth = "-".join(word for word in ("only" if only else "", like) if word)
    return Row(one.field, compare, value, one.name, breadth, (one.name or value) if one.field in NAMED else "")


def _number_text(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def _document(row: Row) -> dict[str, Any]:
    """The row as the language's document; the language says what is wrong with it."""
    value = row.value.strip()
    if row.field == "measurement":
        if row.compare in ("known", "unknown"):
            known = {"measurement": row.name.strip()}
            return known if row.compare == "known" else {"not": known}
        return {"measurement": row.name.strip(), row.compare: value}
    if row.field in NUMBERS:
        return {row.field: {row.compare: value}}
    options: dict[str, Any] = {}
    if row.field in CODES or row.field == "term":
        only, _, like = row.breadth.partition("-") if row.breadth.startswith("only") else ("", "", row.breadth)
        options = ({"includeDescendantTerms": False} if only else {}) | ({"similarity": like} if like else {})
    own = {"id" if row.field == "term" else row.field: value, **options}
    if row.compare not in ("=", "!="):
        return {row.field: {row.compare: value}}  # the language refuses it, and says what it takes
    return {"not": own} if row.compare == "!=" else own
