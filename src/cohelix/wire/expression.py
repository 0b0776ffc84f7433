"""The one language for cohorts: all, any and not over Beacon's filters; as YAML or JSON, and as one line of text.

```yaml
{all: [{sex: female}, {any: [{disease: "OMIM:1"}, {age: {">=": 40}}]}, {not: {measurement: LDL, ">": 4.1}}]}
```
is `sex=female and (disease=OMIM:1 or age>=40) and not measurement(LDL)>4.1`. Plans, addresses and
`POST /api/v1/cohorts/count` read both forms into the same tree, and the tree is written in one way only.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypeAlias, cast, get_args

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from cohelix.core.errors import BadQuestion
from cohelix.wire.filter_names import CODE_FIELDS, CODE_PATHS, NUMBER_FIELDS, SEX_CODES, SEX_WORDS, WORD_FIELDS, years_of

Comparison = Literal["=", "<", ">", "<=", ">="]
Similarity = Literal["exact", "high", "medium", "low"]
WORDS: Final = frozenset({"sex", "population", "country"})
NUMBERS: Final = frozenset({"age", "birth_year"})
CODES: Final = frozenset({*CODE_PATHS, "excluded_disease", "excluded_phenotype"})
CONDITIONS_MAX, DEPTH_MAX, TEXT_MAX = 100, 16, 8_000
_VALUE_MAX = 200
_SIGNS: Final = ("<=", ">=", "!=", "=", "<", ">", "!")
_DESCENDANTS, _SIMILARITY = "includeDescendantTerms", "similarity"
_OPTIONS: Final = frozenset({_DESCENDANTS, _SIMILARITY})


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that is asked of a person.

    Attributes
    ----------
    field
        One of `WORDS`, `NUMBERS` or `CODES`; `measurement`, whose name is `name`; or `term`: a code alone, which is of
        whatever kind it has in a dataset.
    operator, value
        A number, a word or a code; both None of a measurement that need only be there.
    descendants, similarity
        Of codes: whether those below it count too, and how close another code may be (Beacon v2 framework, filters).
    """

    field: str
    operator: Comparison | None = "="
    value: str | float | None = None
    name: str = ""
    descendants: bool = True
    similarity: Similarity = "exact"


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every part holds."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one part holds."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class NotOf:
    """The part is known not to hold."""

    part: Expression


Expression: TypeAlias = "Condition | AllOf | AnyOf | NotOf"


class ExpressionMistake(ValueError):
    """An expression that cannot be meant: where, what is wrong, and what was expected there."""

    def __init__(self, place: tuple[str | int, ...], problem: str, expected: str) -> None:
        self.place, self.problem, self.expected = place, problem, expected
        super().__init__(f"{path_text(place) or 'the expression'}: {problem}; expected {expected}")


def path_text(place: Sequence[str | int]) -> str:
    """A place in a document as people write it: `cohort.all[1].sex`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
    return text.removeprefix(".")


def read_expression(given: Any) -> Expression:
    """The expression of a document or of a text.

    Raises
    ------
    BadQuestion
        With the place in the document or the character of the text, what is wrong, and what was expected.
    """
    try:
        return _read(given)
    except ExpressionMistake as mistake:
        raise BadQuestion(str(mistake)) from None


def document_of(expression: Expression) -> dict[str, Any]:
    """The expression as JSON: one way of writing for one tree."""
    if isinstance(expression, AllOf):
        return {"all": [document_of(part) for part in expression.parts]}
    if isinstance(expression, AnyOf):
        return {"any": [document_of(part) for part in expression.parts]}
    if isinstance(expression, NotOf):
        return {"not": document_of(expression.part)}
    return _condition_document(expression)


def text_of(expression: Expression) -> str:
    """The expression on one line.

    `and` binds closer than `or`, `not` closest. A condition is `field=value` with `=`, `!=` and, of numbers, `<`, `<=`, `>`,
    `>=`; `measurement(NAME)` with or without a comparison; or a code alone. `only` behind a code leaves out the codes
    below it, `~high`, `~medium` and `~low` take similar ones in. A value or name with other signs than letters, digits
    and `_ . : % / + - @` stands in double quotes.
    """
    return _text(expression, 0)


def conditions(expression: Expression) -> Iterator[Condition]:
    """Every condition, in the order of writing."""
    if isinstance(expression, Condition):
        yield expression
    elif isinstance(expression, NotOf):
        yield from conditions(expression.part)
    else:
        for part in expression.parts:
            yield from conditions(part)


def literals(expression: Expression) -> tuple[tuple[Condition, bool], ...] | None:
    """The conditions that must hold (True) or must not (False) where the expression asks for nothing else; None where
    it asks for one of several."""
    found: dict[tuple[Condition, bool], None] = {}

    def walk(part: Expression, holds: bool) -> bool:
        if isinstance(part, Condition):
            found[part, holds] = None
            return True
        if isinstance(part, NotOf):
            return walk(part.part, not holds)
        if isinstance(part, AllOf) is not holds:
            return False
        return all(walk(each, holds) for each in part.parts)

    return tuple(found) if walk(expression, True) else None


# ---- documents


def _read(given: Any) -> Expression:
    if isinstance(given, str):
        return _TextReader(given).read()
    if sum(1 for _ in _nodes(given)) > 20 * CONDITIONS_MAX:
        raise ExpressionMistake((), "the expression is too long", f"at most {CONDITIONS_MAX} conditions")
    return _limited(_parsed(given, (), 0))


def _parsed(document: Any, place: tuple[str | int, ...], depth: int) -> Expression:
    if depth > DEPTH_MAX:
        raise ExpressionMistake(place, "nested too deeply", f"at most {DEPTH_MAX} levels")
    if not isinstance(document, Mapping) or not document:
        raise ExpressionMistake(place, f"{_short(document)} is no condition", _FORMS)
    keys = [key for key in document if isinstance(key, str)]
    joint = next((key for key in ("all", "any", "not") if key in document), None)
    if joint is None:
        return _condition(document, keys, place)
    if len(document) > 1:
        other = next(key for key in document if key != joint)
        raise ExpressionMistake(place, f"{joint} and {_short(other)} stand side by side", f"{joint} alone in its braces")
    inner = document[joint]
    if joint == "not":
        return _negated(_parsed(inner, (*place, "not"), depth + 1))
    if not isinstance(inner, Sequence) or isinstance(inner, str) or not inner:
        raise ExpressionMistake((*place, joint), f"{_short(inner)} is no list of conditions", "a list in square brackets")
    parts = [_parsed(one, (*place, joint, number), depth + 1) for number, one in enumerate(inner)]
    return _joined(AllOf if joint == "all" else AnyOf, parts)


def _condition(document: Mapping[Any, Any], keys: Sequence[str], place: tuple[str | int, ...]) -> Expression:
    if "measurement" in document:
        return _measurement(document, place)
    if "id" in document:
        return _filter(document, place)
    named = [key for key in keys if key not in _OPTIONS]
    if len(named) != 1 or len(keys) != len(document):
        raise ExpressionMistake(place, "a condition names one field", _FORMS)
    (field,) = named
    at = (*place, field)
    if field not in WORDS | NUMBERS | CODES:
        raise ExpressionMistake(at, f"{_short(field)} is not a field", f"{_FIELDS}; a measurement is {{measurement: NAME}}")
    wanted = document[field]
    if field in NUMBERS:
        _refuse_options(document, place)
        return _comparisons(field, "", wanted if isinstance(wanted, Mapping) else {"=": wanted}, at)
    if field in WORDS:
        _refuse_options(document, place)
    elif not isinstance(wanted, str | Mapping | list | tuple):
        raise ExpressionMistake(at, f"{_short(wanted)} is no code", "a code in quotes")
    options = _options(document, place)
    if isinstance(wanted, Mapping):
        parts = [_word(field, sign, value, (*at, str(sign)), options) for sign, value in wanted.items()]
        if not parts:
            raise ExpressionMistake(at, "nothing is asked of it", "a value")
        return _joined(AllOf, parts)
    if isinstance(wanted, list | tuple):
        if not wanted:
            raise ExpressionMistake(at, "the list is empty", "at least one value")
        return _joined(AnyOf, [_word(field, "=", one, (*at, number), options) for number, one in enumerate(wanted)])
    return _word(field, "=", wanted, at, options)


def _measurement(document: Mapping[Any, Any], place: tuple[str | int, ...]) -> Expression:
    name = document["measurement"]
    if not isinstance(name, str) or not name or len(name) > _VALUE_MAX or not name.isprintable():
        raise ExpressionMistake((*place, "measurement"), f"{_short(name)} is no name", "the measurement's name")
    rest = {key: value for key, value in document.items() if key != "measurement"}
    return _comparisons("measurement", name, rest, place) if rest else Condition("measurement", None, None, name)


def _comparisons(field: str, name: str, wanted: Mapping[Any, Any], place: tuple[str | int, ...]) -> Expression:
    if not wanted:
        raise ExpressionMistake(place, "nothing is asked of it", 'a number, or a comparison as {">=": 40}')
    parts: list[Expression] = []
    for sign, value in wanted.items():
        if sign not in _SIGNS:
            raise ExpressionMistake(place, f"{_short(sign)} is no comparison", "one of = != < <= > >=, in quotes")
        number = _number(field, value, (*place, str(sign)))
        equal = Condition(field, "=", number, name)
        parts.append(NotOf(equal) if sign in ("!", "!=") else Condition(field, cast(Comparison, sign), number, name))
    return _joined(AllOf, parts)


def _filter(document: Mapping[Any, Any], place: tuple[str | int, ...]) -> Expression:
    """A filter as Beacon writes it."""
    unknown = next((key for key in document if key not in {"id", "operator", "value", "scope", *_OPTIONS}), None)
    if unknown is not None:
        raise ExpressionMistake(
            place, f"{_short(unknown)} is not known of a filter", "id, operator, value and Beacon's options"
        )
    name, sign, value = document["id"], document.get("operator"), document.get("value")
    at = (*place, "id")
    if not isinstance(name, str) or not name:
        raise ExpressionMistake(at, f"{_short(name)} is no filter", "a filter's id, as /beacon/v2/filtering_terms lists them")
    if document.get("scope") not in (None, "individual", "individuals", "biosample", "biosamples"):
        raise ExpressionMistake((*place, "scope"), "cohorts are of people", "the scope individual, or none")
    if sign is not None and sign not in _SIGNS:
        raise ExpressionMistake((*place, "operator"), f"{_short(sign)} is no operator", "one of = ! < <= > >=")
    if name in SEX_CODES and value in (None, name):
        return Condition("sex", "=", SEX_CODES[name])
    if name in NUMBER_FIELDS:
        return _comparisons(NUMBER_FIELDS[name], "", {sign or "=": value}, at)
    field = WORD_FIELDS.get(name) or CODE_FIELDS.get(name)
    if field is not None:
        return _word(field, sign or "=", value, at, _options(document, place))
    if value is not None and value != name:
        return _comparisons("measurement", name, {sign or "=": value}, at)
    _checked_word("term", name, at)
    descendants, similarity = _options(document, place)
    term = Condition("term", "=", name, "", descendants, similarity)
    return NotOf(term) if sign in ("!", "!=") else term


def _word(field: str, sign: Any, value: Any, place: tuple[str | int, ...], options: tuple[bool, Similarity]) -> Expression:
    if sign not in ("=", "!", "!="):
        raise ExpressionMistake(place, f"{field} is compared by {_short(sign)}", "= or !=: it is a word")
    plain = _checked_word(field, value, place)
    if field == "sex":
        word = SEX_WORDS.get(plain.lower())
        if word is None or word == "unknown":
            raise ExpressionMistake(place, f"{_short(value)} is not a sex that is asked for", "female or male")
        plain = word
    found = Condition(field, "=", plain, "", *options)
    return found if sign == "=" else NotOf(found)


def _checked_word(field: str, value: Any, place: tuple[str | int, ...]) -> str:
    if isinstance(value, bool):
        raise ExpressionMistake(place, f"{_short(value)} is no {field}", 'a word; put words like "NO" and "true" into quotes')
    if not isinstance(value, str) or not value.strip() or len(value) > _VALUE_MAX or not value.isprintable():
        raise ExpressionMistake(place, f"{_short(value)} is no {field}", f"a word of 1 to {_VALUE_MAX} signs")
    return value


def _number(field: str, value: Any, place: tuple[str | int, ...]) -> float:
    number = math.nan
    if field == "age" and isinstance(value, str):
        try:
            number = years_of(value)
        except BadQuestion:
            number = math.nan
    elif isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value)
    elif isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            number = math.nan
    if not math.isfinite(number):
        raise ExpressionMistake(place, f"{_short(value)} is no number", "a number" + (", or P18Y" if field == "age" else ""))
    return number


def _options(document: Mapping[Any, Any], place: tuple[str | int, ...]) -> tuple[bool, Similarity]:
    descendants, similarity = document.get(_DESCENDANTS, True), document.get(_SIMILARITY, "exact")
    if not isinstance(descendants, bool):
        raise ExpressionMistake((*place, _DESCENDANTS), f"{_short(descendants)} is neither yes nor no", "true or false")
    if similarity not in get_args(Similarity):
        raise ExpressionMistake((*place, _SIMILARITY), f"{_short(similarity)} is no similarity", "high, medium or low")
    return descendants, similarity


def _refuse_options(document: Mapping[Any, Any], place: tuple[str | int, ...]) -> None:
    found = next((key for key in sorted(_OPTIONS) if key in document), None)
    if found is not None:
        raise ExpressionMistake((*place, found), "the field has no codes", f"no {found}")


def _joined(kind: type[AllOf] | type[AnyOf], parts: Sequence[Expression]) -> Expression:
    """Parts under one joint: a nested joint of the same kind is opened, a double dropped, a single part stands alone."""
    flat: dict[Expression, None] = {}
    for part in parts:
        flat |= dict.fromkeys(part.parts if isinstance(part, kind) else (part,))
    found = tuple(flat)
    return found[0] if len(found) == 1 else kind(found)


def _negated(part: Expression) -> Expression:
    return part.part if isinstance(part, NotOf) else NotOf(part)


def _condition_document(one: Condition) -> dict[str, Any]:
    options: dict[str, Any] = {} if one.descendants else {_DESCENDANTS: False}
    if one.similarity != "exact":
        options[_SIMILARITY] = one.similarity
    if one.field == "measurement":
        return {"measurement": one.name} if one.operator is None else {"measurement": one.name, one.operator: one.value}
    if one.field == "term":
        return {"id": one.value, **options}
    if one.field in NUMBERS:
        return {one.field: {one.operator: one.value}}
    return {one.field: one.value, **options}


def _limited(found: Expression) -> Expression:
    if sum(1 for _ in conditions(found)) > CONDITIONS_MAX:
        raise ExpressionMistake((), "the expression is too long", f"at most {CONDITIONS_MAX} conditions")
    return found


def _nodes(document: Any) -> Iterator[Any]:
    """Every value of a document, however deep, without recursion."""
    left = [document]
    while left:
        one = left.pop()
        yield one
        if isinstance(one, Mapping):
            left.extend(one.values())
        elif isinstance(one, list | tuple):
            left.extend(one)


def _short(value: Any) -> str:
    text = str(value) if isinstance(value, bool | int | float) or value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


_FIELDS = f"one of {', '.join(sorted(WORDS | NUMBERS | CODES))}"
_FORMS = '{all: […]}, {any: […]}, {not: …} or a condition as {sex: male}, {age: {">=": 40}}, {measurement: NAME}, {id: CODE}'

# ---- text

_TOKEN = re.compile(
    r"\s*(?:(?P<sign><=|>=|!=|=|<|>)|(?P<bracket>[()])|(?P<quoted>\"(?:[^\"\\]|\\.)*\")|(?P<like>~(?:high|medium|low)\b)"
    r"|(?P<word>[^\s()<>=!~\"\\]+))"
)
_PLAIN = re.compile(r"[^\s()<>=!~\"\\]+")
_RESERVED: Final = frozenset({"and", "or", "not", "only"})


def _text(expression: Expression, binding: int) -> str:
    if isinstance(expression, NotOf):
        inner = expression.part
        if isinstance(inner, Condition) and inner.operator == "=" and inner.field != "term":
            return _condition_text(inner, "!=")
        return f"not {_text(inner, 2)}"
    if isinstance(expression, Condition):
        return _condition_text(expression, expression.operator or "")
    word, own = (" and ", 1) if isinstance(expression, AllOf) else (" or ", 0)
    text = word.join(_text(part, own + 1) for part in expression.parts)
    return f"({text})" if binding > own else text


def _condition_text(one: Condition, sign: str) -> str:
    value = "" if one.value is None else _number_text(one.value) if isinstance(one.value, float) else _quoted(one.value)
    ending = ("" if one.descendants else " only") + ("" if one.similarity == "exact" else f" ~{one.similarity}")
    if one.field == "measurement":
        return f"measurement({_quoted(one.name)}){sign if value else ''}{value}"
    return value + ending if one.field == "term" else f"{one.field}{sign}{value}{ending}"


def _number_text(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def _quoted(text: str) -> str:
    return text if _PLAIN.fullmatch(text) and text not in _RESERVED else json.dumps(text, ensure_ascii=False)


class _TextReader:
    """Reads a line token by token."""

    def __init__(self, text: str) -> None:
        if len(text) > TEXT_MAX:
            raise ExpressionMistake((), "the expression is too long", f"at most {TEXT_MAX} characters")
        self._tokens: list[tuple[str, str, int]] = []
        at, end = 0, len(text.rstrip())
        while at < end:
            found = _TOKEN.match(text, at)
            if found is None:
                raise self._error(
                    at, f"{text[at : at + 20].strip()!r} cannot be read", "a condition; other signs in double quotes"
                )
            kind = found.lastgroup or ""
            self._tokens.append((kind, found[kind], found.start(kind)))
            at = found.end()
        self._at, self._end = 0, end

    def read(self) -> Expression:
        """The whole line."""
        found = self._either(0)
        if self._at < len(self._tokens):
            _, text, place = self._tokens[self._at]
            raise self._error(place, f"{text!r} stands behind a complete expression", "and, or, or the end")
        return _limited(found)

    def _either(self, depth: int) -> Expression:
        parts = [self._together(depth)]
        while self._take("or"):
            parts.append(self._together(depth))
        return _joined(AnyOf, parts)

    def _together(self, depth: int) -> Expression:
        parts = [self._one(depth)]
        while self._take("and"):
            parts.append(self._one(depth))
        return _joined(AllOf, parts)

    def _one(self, depth: int) -> Expression:
        if depth > DEPTH_MAX:
            raise self._error(self._place(), "nested too deeply", f"at most {DEPTH_MAX} levels")
        if self._take("not"):
            return _negated(self._one(depth + 1))
        if self._take("("):
            inner = self._either(depth + 1)
            self._need(")")
            return inner
        place = self._place()
        document = self._document()
        try:
            return _parsed(document, (), 0)
        except ExpressionMistake as error:  # the same rules as for documents; a line has characters for places
            raise self._error(place, error.problem, error.expected) from None

    def _document(self) -> dict[str, Any]:
        kind, name, place = self._next("a condition")
        if kind not in ("word", "quoted") or (kind == "word" and name in _RESERVED):
            raise self._error(place, f"{name!r} stands where a condition begins", "a field, measurement(NAME) or a code")
        found: dict[str, Any] = {}
        if kind == "word" and name == "measurement":
            self._need("(")
            found["measurement"] = self._value("the measurement's name")
            self._need(")")
            sign = self._sign()
            return found if sign is None else {**found, sign: self._value("a number")}
        sign = self._sign()
        if sign is None:
            found["id"] = name if kind == "word" else json.loads(name)
        elif kind == "quoted" or name not in WORDS | NUMBERS | CODES:
            raise self._error(place, f"{name} is not a field", f"{_FIELDS}; a measurement is measurement(NAME)")
        else:
            value = self._value("a value")
            found[name] = {sign: value}
        if self._take("only"):
            found[_DESCENDANTS] = False
        if self._at < len(self._tokens) and self._tokens[self._at][0] == "like":
            found[_SIMILARITY] = self._next("")[1][1:]
        return found

    def _sign(self) -> str | None:
        if self._at < len(self._tokens) and self._tokens[self._at][0] == "sign":
            return self._next("")[1]
        return None

    def _value(self, what: str) -> str:
        kind, text, place = self._next(what)
        if kind == "quoted":
            try:
                return cast(str, json.loads(text))
            except ValueError:
                raise self._error(place, f"{text} is not a text in quotes", 'backslashes before " and \\ only') from None
        if kind != "word":
            raise self._error(place, f"{text!r} stands where {what} belongs", what)
        return text

    def _next(self, what: str) -> tuple[str, str, int]:
        if self._at >= len(self._tokens):
            raise self._error(self._end, "the expression ends too early", what)
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self, text: str) -> bool:
        found = self._at < len(self._tokens) and self._tokens[self._at][:2] == ("bracket" if text in "()" else "word", text)
        self._at += found
        return found

    def _need(self, text: str) -> None:
        if not self._take(text):
            what = repr(self._tokens[self._at][1]) if self._at < len(self._tokens) else "the end"
            raise self._error(self._place(), f"{what} stands where {text!r} belongs", f"{text!r}")

    def _place(self) -> int:
        return self._tokens[self._at][2] if self._at < len(self._tokens) else self._end

    @staticmethod
    def _error(at: int, problem: str, expected: str) -> ExpressionMistake:
        return ExpressionMistake((f"character {at + 1}",), problem, expected)


# ---- as a field of a model


def _validated(value: Any) -> Expression:
    if isinstance(value, Condition | AllOf | AnyOf | NotOf):
        return value
    try:
        return _read(value)
    except ExpressionMistake as error:
        told = {"place": list(error.place), "problem": error.problem, "expected": error.expected, "text": str(error)}
        raise PydanticCustomError("expression", "{text}", told) from None


EXPRESSION_TITLE: Final = "Expression"  # stands in models' own schemas, which know nothing of other documents
EXPRESSION_SCHEMA: Final[dict[str, Any]] = {
    "description": "Who is meant: all, any and not over conditions; or the same on one line of text.",
    "anyOf": [
        {"type": "string", "maxLength": TEXT_MAX},
        *(
            {
                "type": "object",
                "properties": {joint: {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/Expression"}}},
                "required": [joint],
                "additionalProperties": False,
            }
            for joint in ("all", "any")
        ),
        {
            "type": "object",
            "properties": {"not": {"$ref": "#/$defs/Expression"}},
            "required": ["not"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {"measurement": {"type": "string"}},
            "patternProperties": {"^(=|!|!=|<|<=|>|>=)$": {"type": "number"}},
            "required": ["measurement"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {
                "id": {"type": "string"},
                "operator": {"enum": list(_SIGNS)},
                "value": {"type": ["string", "number"]},
                "scope": {"type": "string"},
                _DESCENDANTS: {"type": "boolean"},
                _SIMILARITY: {"enum": list(get_args(Similarity))},
            },
            "required": ["id"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {
                **{field: {"type": ["string", "array", "object"]} for field in sorted(WORDS | CODES)},
                **{field: {"type": ["number", "string", "object"]} for field in sorted(NUMBERS)},
                _DESCENDANTS: {"type": "boolean"},
                _SIMILARITY: {"enum": list(get_args(Similarity))},
            },
            "additionalProperties": False,
        },
    ],
}
ExpressionField = Annotated[
    Condition | AllOf | AnyOf | NotOf,
    PlainValidator(_validated),
    PlainSerializer(document_of, return_type=dict[str, Any]),
    WithJsonSchema({"title": EXPRESSION_TITLE}),
]
