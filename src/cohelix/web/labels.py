"""What a request is called in answers, logs and metrics: its id, and the template of its route."""

from __future__ import annotations

import random
import re
from typing import Final

from starlette.types import Scope

_ID, _ROUTE, _REFUSED = "cohelix.request_id", "cohelix.route", "cohelix.refused"
_SANE_ID: Final = re.compile(rb"[A-Za-z0-9._-]{8,64}")


def label(scope: Scope) -> str:
    """Give a request its id: the caller's `X-Request-ID` where it is sane, else a new one."""
    given = (value for name, value in scope["headers"] if name == b"x-request-id" and _SANE_ID.fullmatch(value))
    identifier = str(next(given, b""), "ascii") or f"{random.getrandbits(64):016x}"
    scope[_ID] = identifier
    return identifier


def request_id(scope: Scope) -> str | None:
    """The request's identifier, as the answer's `X-Request-ID` and the log have it."""
    found = scope.get(_ID)
    return found if isinstance(found, str) else None


def name_route(scope: Scope, template: str) -> None:
    """Say under which template logs and metrics know this request; for routes that the framework does not name."""
    scope[_ROUTE] = template


def route_of(scope: Scope) -> str:
    """The template of the route that answered: `/api/v1/frequency/{variant}`; `unmatched` where there was none."""
    named = scope.get(_ROUTE)
    if isinstance(named, str):
        return named
    path = getattr(scope.get("route"), "path", None)
    if isinstance(path, str):
        return path
    endpoint = scope.get("endpoint")
    name = getattr(endpoint, "__name__", None) or (type(endpoint).__name__ if endpoint is not None else "unmatched")
    return str(name)


def note_refusal(scope: Scope, slug: str) -> None:
    """Say with which problem this request is answered, for the figures."""
    scope[_REFUSED] = slug


def refusal_of(scope: Scope) -> str | None:
    """The slug of the problem that a request was answered with; None for an answer."""
    found = scope.get(_REFUSED)
    return found if isinstance(found, str) else None
