"""Beacon v2.1.1 requests, read from GET and POST alike, and the shapes of its responses.

The framework's own form of a request and the forms that clients send differ; what is read here is
`docs/reference/beacon.md`. Nothing is guessed: a parameter or a field that is not known is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NotRequired, TypedDict, TypeVar

import orjson

from cohelix.core.errors import BadQuestion, NotSupported

API_VERSION: Final = "v2.1.1"
LIMIT_DEFAULT: Final = 10  # Beacon v2 framework, "pagination"
# Most records of one result set in one answer; `limit` 0 asks for as many.
LIMIT_MAX: Final = 1000
_SKIP_MAX: Final = 10_000_000
_ECHO_ITEMS_MAX: Final = 100
_ECHO_LENGTH_MAX: Final = 1000
# The names under which clients nest parameters of an entry type; the first is the published one.
VARIANT_NESTS: Final = ("g_variant", "g_variants", "genomicVariant", "genomicVariation")
_NESTS: Final = frozenset(
    {
        *VARIANT_NESTS,
        *("analysis", "analyses", "biosample", "biosamples", "cohort", "cohorts", "dataset"),
        *("individual", "individuals", "run", "runs"),
    }
)

_Value = TypeVar("_Value")
Granularity = Literal["boolean", "count", "record"]
Include = Literal["ALL", "HIT", "MISS", "NONE"]
FilterOperator = Literal["=", "!", "<", ">", "<=", ">="]
Similarity = Literal["exact", "high", "medium", "low"]
_GRANULARITIES: Final[Mapping[str, Granularity]] = {"boolean": "boolean", "count": "count", "record": "record"}
_INCLUDES: Final[Mapping[str, Include]] = {"ALL": "ALL", "HIT": "HIT", "MISS": "MISS", "NONE": "NONE"}
# `!=` is what the GDI user portal writes for `!`.
_OPERATORS: Final[Mapping[str, FilterOperator]] = {"=": "=", "!": "!", "!=": "!", "<": "<", ">": ">", "<=": "<=", ">=": ">="}
_SIMILARITIES: Final[Mapping[str, Similarity]] = {"exact": "exact", "high": "high", "medium": "medium", "low": "low"}


@dataclass(frozen=True, slots=True)
class BeaconFilter:
    """One filter of a request, in any of the three forms: ontology, alphanumeric, custom.

    `descendants` and `similarity` are of ontology terms, with the specification's defaults.
    """

    id: str
    operator: FilterOperator | None = None
    value: str | None = None
    scope: str | None = None
    descendants: bool = True
    similarity: Similarity = "exact"

    def document(self) -> dict[str, Any]:
        """The filter as a request writes it."""
        written: dict[str, Any] = {"id": self.id, "operator": self.operator, "value": self.value, "scope": self.scope}
        if not self.descendants:
            written["includeDescendantTerms"] = False
        if self.similarity != "exact":
            written["similarity"] = self.similarity
        return {name: value for name, value in written.items() if value is not None}


@dataclass(frozen=True, slots=True)
class BeaconQuestion:
    """A request as it was understood.

    Attributes
    ----------
    parameters
        The request parameters, flat, values as sent.
    filters
        Conditions that all hold.
    granularity
        None where the client did not say.
    skip, limit
        Pages to leave out, and records of a page, 1 to `LIMIT_MAX`.
    paged
        Whether the client asked for a page.
    include
        Which result sets are shown.
    schemas
        `(entity type, schema)` pairs that the client asked for.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    filters: tuple[BeaconFilter, ...] = ()
    granularity: Granularity | None = None
    skip: int = 0
    limit: int = LIMIT_DEFAULT
    include: Include = "HIT"
    schemas: tuple[tuple[str | None, str | None], ...] = ()
    api_version: str = API_VERSION
    test_mode: bool = False
    paged: bool = False

    @property
    def first(self) -> int:
        """Records of a result set before the page that is asked for."""
        return self.skip * self.limit

    def summary(self, default: Granularity) -> dict[str, Any]:
        """`receivedRequestSummary`, parameters nested and filters as ids: the only forms that validate."""
        summary: dict[str, Any] = {
            "apiVersion": self.api_version,
            "requestedSchemas": [
                {name: text for name, text in (("entityType", entity), ("schema", schema)) if text is not None}
                for entity, schema in self.schemas
            ],
            "pagination": {"skip": self.skip, "limit": self.limit},
            "requestedGranularity": self.granularity or default,
            "includeResultsetResponses": self.include,
            "testMode": self.test_mode,
        }
        if self.filters:
            summary["filters"] = [wanted.id for wanted in self.filters]
        echoed = {name: value for name, value in self.parameters.items() if _is_plain(value)}
        if echoed:
            summary["requestParameters"] = {VARIANT_NESTS[0]: echoed}
        return summary


class Pagination(TypedDict):
    """Pages left out and records of a page, as they were applied."""

    skip: int
    limit: int


class ResponseSummary(TypedDict):
    """Whether there is a match, and how many; the number only where counts or records are returned."""

    exists: bool
    numTotalResults: NotRequired[int]


class ResultSet(TypedDict):
    """What one dataset contributes; `info` has at least its status."""

    id: str
    setType: str
    exists: bool
    resultsCount: int
    results: list[Any]
    info: dict[str, Any]


class BeaconError(TypedDict):
    """What went wrong: an HTTP status, and a sentence for people."""

    errorCode: int
    errorMessage: str


def question_from_get(pairs: Iterable[tuple[str, str]]) -> BeaconQuestion:
    """Read the query of a GET request.

    Raises
    ------
    BadQuestion
        With the parameter's name, if a value is malformed or a parameter that may not be repeated is.
    """
    values: dict[str, str] = {}
    for name, value in pairs:
        if name in values and name not in _REPEATABLE:
            raise BadQuestion(f"{name} is given twice")
        values[name] = f"{values[name]},{value}" if name in values else value
    document: dict[str, Any] = {}
    for name, reader in _GET_FIELDS.items():
        if name in values:
            document[name] = reader(values.pop(name))
    schemas = [text for text in (values.pop("requestedSchema", ""), values.pop("requestedSchemas", "")) if text]
    meta = {
        "apiVersion": values.pop("apiVersion", API_VERSION),
        "requestedSchemas": [{"schema": schema} for text in schemas for schema in text.split(",")],
    }
    pagination = {name: _number(document.pop(name), name) for name in ("skip", "limit") if name in document}
    return _question(meta, {**document, "pagination": pagination, "requestParameters": values})


def question_from_post(body: bytes) -> BeaconQuestion:
    """Read the body of a POST request; an empty one asks for everything.

    Raises
    ------
    BadQuestion
        If it is not JSON, or not a request; `NotSupported` for what is legal and not answered here.
    """
    if not body.strip():
        return BeaconQuestion()
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadQuestion(f"the body is not JSON: {error}") from None
    outer = dict(_object(document, "the body"))
    meta = _object(outer.pop("meta", None), "meta")
    query = dict(_object(outer.pop("query", None), "query"))
    outer.pop("$schema", None)
    # The specification's texts show these beside `query`, its schema has them inside.
    for name, value in outer.items():
        if name not in _QUERY_FIELDS:
            raise BadQuestion(f"{name!r} is not a part of a Beacon request")
        if name in query and query[name] != value:
            raise BadQuestion(f"{name} is given twice, beside the query and inside it")
    return _question(meta, {**query, **outer})


_QUERY_FIELDS: Final = frozenset(
    {"requestParameters", "filters", "requestedGranularity", "pagination", "includeResultsetResponses", "testMode"}
)
_REPEATABLE: Final = frozenset({"start", "end", "filters", "datasetIds", "requestedSchema", "requestedSchemas"})


def _question(meta: Mapping[str, Any], query: Mapping[str, Any]) -> BeaconQuestion:
    for name in query:
        if name not in _QUERY_FIELDS:
            raise BadQuestion(f"{name!r} is not a part of a Beacon query")
    pagination = _object(query.get("pagination"), "pagination")
    for name in pagination:
        if name in ("currentPage", "nextPage", "previousPage"):
            raise NotSupported("page tokens are not supported: ask with skip and limit")
        if name not in ("skip", "limit"):
            raise BadQuestion(f"{name!r} is not a part of pagination")
    granularity = query.get("requestedGranularity")
    include = query.get("includeResultsetResponses")
    limit = _within(pagination.get("limit"), "limit", LIMIT_DEFAULT, LIMIT_MAX)
    version = meta.get("apiVersion")
    return BeaconQuestion(
        parameters=_flat(_parameters(query.get("requestParameters"))),
        filters=tuple(read_filter(wanted) for wanted in _list(query.get("filters"), "filters")),
        granularity=None if granularity is None else _one_of(granularity, _GRANULARITIES, "requestedGranularity"),
        skip=_within(pagination.get("skip"), "skip", 0, _SKIP_MAX),
        limit=limit or LIMIT_MAX,
        include="HIT" if include is None else _one_of(include, _INCLUDES, "includeResultsetResponses"),
        schemas=tuple(_schema(wanted) for wanted in _list(meta.get("requestedSchemas"), "requestedSchemas")),
        api_version=version[:20] if isinstance(version, str) and version else API_VERSION,
        test_mode=_flag(query.get("testMode"), "testMode"),
        paged=bool(pagination.get("limit") or pagination.get("skip")),
    )


def _parameters(given: object) -> Mapping[str, Any]:
    """The parameters: an object, or a list that holds one, as the GDI user portal sends it."""
    if isinstance(given, list):
        if len(given) > 1:
            raise NotSupported("requestParameters is one object: several at once are not supported")
        given = given[0] if given else None
    return _object(given, "requestParameters")


def _flat(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters out of their entry type's nest, or as they are: official requests nest them, nearly all clients do not."""
    flat: dict[str, Any] = {}
    for name, value in parameters.items():
        if name == "$schema":
            continue
        entries = value.items() if name in _NESTS and isinstance(value, dict) else ((name, value),)
        for inner, content in entries:
            if inner in flat and flat[inner] != content:
                raise BadQuestion(f"{inner} is given twice with different values")
            if isinstance(content, list | dict) and not _is_value(content):
                raise BadQuestion(f"{inner[:40]!r} is a text, a number, or a list of them")
            if content is not None:
                flat[inner] = content
    return flat


def _is_value(content: object) -> bool:
    """Whether a parameter's value is flat, as all of them are; a request may nest as deep as it likes."""
    parts = content if isinstance(content, list) else (content,)
    return not any(isinstance(part, list | dict) for part in parts)


def read_filter(wanted: object) -> BeaconFilter:
    """One filter of a request, or of a saved query.

    Raises
    ------
    BadQuestion
        With the filter's id, if a part of it is unknown or malformed.
    """
    if isinstance(wanted, str):
        wanted = {"id": wanted}
    document = _object(wanted, "a filter")
    unknown = set(document) - {"id", "operator", "value", "scope", "includeDescendantTerms", "similarity"}
    if unknown:
        raise BadQuestion(f"{str(sorted(unknown, key=str)[0])[:40]!r} is not a part of a filter")
    identifier, operator, value, scope = (document.get(name) for name in ("id", "operator", "value", "scope"))
    if not isinstance(identifier, str) or not identifier.strip():
        raise BadQuestion("a filter needs an id")
    descendants, similarity = document.get("includeDescendantTerms"), document.get("similarity")
    if not isinstance(descendants, bool | None):
        raise BadQuestion(f"filter {identifier}: includeDescendantTerms is true or false")
    if scope is not None and not isinstance(scope, str):
        raise BadQuestion(f"filter {identifier}: the scope is one entry type")
    if isinstance(value, bool) or not isinstance(value, str | int | float | None):
        raise BadQuestion(f"filter {identifier}: the value is one text or number")
    return BeaconFilter(
        identifier.strip(),
        None if operator is None else _one_of(operator, _OPERATORS, f"the operator of filter {identifier}"),
        None if value is None else str(value).strip(),
        scope,
        descendants is not False,
        "exact" if similarity is None else _one_of(similarity, _SIMILARITIES, f"the similarity of filter {identifier}"),
    )


def _is_plain(value: object) -> bool:
    """Whether a value may be echoed: a word, a number, or a few of them; a malformed request may hold anything."""
    if isinstance(value, list):
        return len(value) <= _ECHO_ITEMS_MAX and all(not isinstance(part, list) and _is_plain(part) for part in value)
    return not isinstance(value, dict) and len(str(value)) <= _ECHO_LENGTH_MAX


def _schema(wanted: object) -> tuple[str | None, str | None]:
    document = _object(wanted, "a requested schema")
    entity, schema = document.get("entityType"), document.get("schema")
    if not isinstance(entity, str | None) or not isinstance(schema, str | None):
        raise BadQuestion("a requested schema has an entityType and a schema, both texts")
    return entity, schema


def _object(value: object, what: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadQuestion(f"{what} is not a JSON object")
    return value


def _list(value: object, what: str) -> Sequence[Any]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise BadQuestion(f"{what} is not a list")
    return value


def _one_of(value: object, allowed: Mapping[str, _Value], what: str) -> _Value:
    found = allowed.get(value) if isinstance(value, str) else None
    if found is None:
        raise BadQuestion(f"{what} is one of {', '.join(allowed)}")
    return found


def _within(value: object, what: str, default: int, highest: int) -> int:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadQuestion(f"{what} is a whole number, 0 or more")
    return min(value, highest)


def _flag(value: object, what: str) -> bool:
    if value is None:
        return False
    if not isinstance(value, bool):
        raise BadQuestion(f"{what} is true or false")
    return value


def _number(text: object, what: str) -> int:
    if not isinstance(text, str) or not text.isascii() or not text.isdigit() or len(text) > 12:
        raise BadQuestion(f"{what} is a whole number, 0 or more")
    return int(text)


def _get_flag(text: str) -> bool:
    return _one_of(text.lower(), {"true": True, "false": False}, "testMode")


def _as_it_is(text: str) -> str:
    return text


def _ids(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


_GET_FIELDS: Final[Mapping[str, Any]] = {
    "skip": _as_it_is,
    "limit": _as_it_is,
    "includeResultsetResponses": _as_it_is,
    "requestedGranularity": _as_it_is,
    "filters": _ids,
    "testMode": _get_flag,
}
