"""A cohort as an address: the expression on one line, and the datasets that are asked, as a canonical query string."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote_plus

from pydantic import ValidationError
from starlette.datastructures import QueryParams

from cohelix.wire.cohorts import CohortQuestion
from cohelix.wire.expression import Expression, document_of, text_of

DATASETS_MAX = 1_000
_SHORTENINGS_MAX = 20
_READABLE = "=:(),"  # signs that need no escape behind the first `=` of a parameter
_JOINT_OR_BRACKET = re.compile(r"\s(?:and|or)(?=[\s(]|$)")


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong with an expression, as a sentence, and the character of a text at which it is (0 where none is told)."""

    sentence: str
    at: int = 0


@dataclass(frozen=True, slots=True)
class CohortQuery:
    """What an address says of a cohort.

    Attributes
    ----------
    expression
        Who is meant; None where the address names nobody, or nothing of it could be read.
    datasets
        Federation ids, without doubles and in order; none for all.
    text
        The parameter `cohort` as given.
    mistake
        What is wrong with the text, as a sentence; `expression` is then its longest beginning that means something.
    """

    expression: Expression | None = None
    datasets: tuple[str, ...] = ()
    text: str = ""
    mistake: str = ""


def cohort_from_query(params: QueryParams) -> CohortQuery:
    """Read `cohort` and every `dataset` of an address; never raises."""
    given = tuple(sorted(set(params.getlist("dataset"))))
    datasets = tuple(name for name in given if _names_dataset(name))[:DATASETS_MAX]
    text = params.get("cohort", "")
    if not text.strip():
        found = CohortQuery(None, datasets, text)
    else:
        expression, wrong = expression_or_mistake(text)
        if wrong is None:
            found = CohortQuery(expression, datasets, text)
        else:
            found = CohortQuery(_beginning(text, wrong.at), datasets, text, wrong.sentence)
    unnamed = next((name for name in given if not _names_dataset(name)), None)
    if unnamed is not None and not found.mistake:
        found = replace(found, mistake=f"{unnamed[:60]!r} is no dataset; expected NODE:DATASET")
    return found


def query_from_cohort(expression: Expression | None, datasets: Sequence[str] = ()) -> str:
    """The canonical query string, without `?`; empty where nobody is meant and all datasets are asked."""
    pairs = [] if expression is None else [("cohort", text_of(expression))]
    pairs += [("dataset", name) for name in sorted(set(datasets))]
    return readable_query(pairs)


def readable_query(pairs: Iterable[tuple[str, str]]) -> str:
    """A query string in which only those signs are escaped that have to be."""
    return "&".join(f"{quote_plus(name)}={quote_plus(value, safe=_READABLE)}" for name, value in pairs)


def plan_cohort_yaml(expression: Expression, datasets: Sequence[str] = ()) -> str:
    """The keys of a plan that say the same: `datasets` where some are chosen, and `cohort`."""
    import yaml

    keys: dict[str, Any] = {"datasets": sorted(set(datasets))} if datasets else {}
    keys["cohort"] = _whole_numbers(document_of(expression))
    return yaml.safe_dump(keys, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100).rstrip()


def expression_or_mistake(given: Any) -> tuple[Expression | None, Mistake | None]:
    """The expression of a text or a document, or what is wrong with it."""
    try:
        return CohortQuestion.model_validate({"expression": given}).expression, None
    except ValidationError as error:
        told = error.errors()[0]
        context = told.get("ctx", {})
        at = re.fullmatch(r"character (\d+)", str(next(iter(context.get("place", ())), "")))
        if at or "problem" not in context:
            return None, Mistake(told["msg"], int(at[1]) - 1 if at else 0)
        return None, Mistake(f"{context['problem']}; expected {context['expected']}")


def _names_dataset(name: str) -> bool:
    node, _, dataset = name.partition(":")
    return bool(node and dataset) and len(name) <= 200 and name.isprintable()


def _beginning(text: str, at: int) -> Expression | None:
    """The longest beginning before a mistake that ends at an `and` or `or` and means something; brackets are closed."""
    for end in _ends(text, at):
        left = text[:end].rstrip()
        opened = left.count("(") - left.count(")")
        if opened >= 0:
            expression, _ = expression_or_mistake(left + ")" * opened)
            if expression is not None:
                return expression
    return None


def _ends(text: str, at: int) -> Iterator[int]:
    """Where to cut, the latest first."""
    places = [found.start() for found in _JOINT_OR_BRACKET.finditer(text, 0, min(len(text), at + 5))]
    yield from [place for place in reversed(places) if place <= at][:_SHORTENINGS_MAX]


def _whole_numbers(document: Any) -> Any:
    """40.0 as 40, for readers."""
    if isinstance(document, dict):
        return {key: _whole_numbers(value) for key, value in document.items()}
    if isinstance(document, list):
        return [_whole_numbers(one) for one in document]
    return int(document) if isinstance(document, float) and document.is_integer() and abs(document) < 1e15 else document
