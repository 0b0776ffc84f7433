"""Reads a hub's answers: documents as typed models, and problem documents as the house's errors."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import httpx
from pydantic import ValidationError

from cohelix.core.errors import (
    BadFile,
    BadQuestion,
    CohelixError,
    Deviation,
    IssuerRefused,
    NotFound,
    NotPermitted,
    Unreachable,
)
from cohelix.wire.frequency import Wire

Answer = TypeVar("Answer", bound=Wire)


def read_answer(kind: type[Answer], answer: httpx.Response) -> Answer:
    """The document of an answer; the error that it tells of otherwise."""
    if answer.status_code not in (200, 201):
        raise problem_of(answer)
    try:
        return kind.model_validate_json(answer.content)
    except ValidationError as error:
        raise Unreachable(f"{answer.url.host} answered, but not as a hub of this version does") from error


def read_document(answer: httpx.Response) -> dict[str, Any]:
    """Beacon's own document; its errors come as the house's."""
    try:
        document = answer.json()
    except json.JSONDecodeError as error:
        raise Unreachable(f"{answer.url.host} answered, but not as a Beacon does") from error
    if answer.status_code != 200 or not isinstance(document, dict):
        raise problem_of(answer)
    return document


def problem_of(answer: httpx.Response) -> CohelixError:
    """The error that a problem document (or Beacon's error body) tells of."""
    try:
        document = answer.json()
    except ValueError:
        document = {}
    if not isinstance(document, dict):
        document = {}
    beacon_error = document.get("error")
    words = beacon_error.get("errorMessage") if isinstance(beacon_error, dict) else document.get("detail")
    slug = str(document.get("type", "")).rpartition("/")[2]
    by_status: dict[int, type[CohelixError]] = {400: BadQuestion, 403: NotPermitted, 404: NotFound, 503: Unreachable}
    other = BadQuestion if 400 <= answer.status_code < 500 else CohelixError
    kind = _tree().get(slug) or by_status.get(answer.status_code, other)
    title, _, rest = str(words or "").partition(": ")  # in Beacon's body the title is a part of the words
    named = next((one for one in _tree().values() if one.title == title), None) if beacon_error else None
    if named:
        kind, words = named, rest
    detail = "; ".join([str(words or f"HTTP {answer.status_code}"), *map(str, document.get("errors") or ())])
    return kind(detail)


def _tree() -> dict[str, type[CohelixError]]:
    """The house's errors by slug, but for those that need more than a detail."""
    found: dict[str, type[CohelixError]] = {}
    waiting: list[type[CohelixError]] = [CohelixError]
    while waiting:
        kind = waiting.pop()
        if not issubclass(kind, BadFile | Deviation | IssuerRefused):
            found[kind.slug] = kind
            waiting.extend(kind.__subclasses__())
    return found


def unreachable(url: str, error: httpx.HTTPError) -> Unreachable:
    """What a connection that failed means."""
    return Unreachable(f"no hub answers at {url} ({type(error).__name__})")
