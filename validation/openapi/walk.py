"""Random requests to every operation of an OpenAPI document, made and judged by Schemathesis; seeded and bounded.

A request fits the document or does not; in both cases the answer must be one that the document describes: no server error, no
other status, media type or form.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import HypothesisException
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Err
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# An answer that does not end, and one that waits for something to happen.
ENDLESS = ("/events", "/federation/v1/tasks")
# What a busy server or one that has just lost a member says is no fault of the server: Retry-After, and who did not answer.
_BUSY = (503,)
# What the HTTP parser says before there is a request: an address of more than 64 KiB, for example.
_NO_REQUEST = "Invalid HTTP request received."


@dataclass
class Walked:
    """What a walk met."""

    requests: int = 0
    operations: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def walk(
    url: str,
    *,
    examples: int,
    start: int,
    headers: Callable[[str, str], Mapping[str, str]] = lambda _method, _url: {},
    seconds: float = 600,
    only: Callable[[str], bool] = lambda _path: True,
    modes: Sequence[GenerationMode] = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE),
) -> Walked:
    """Ask every operation of a running server; `headers` are those of a role, made anew for each request.

    Parameters
    ----------
    examples
        Requests of each operation and way: those that fit the document, and those that do not.
    start
        The seed.
    seconds
        When to stop.
    modes
        Requests that fit the document, and those that do not.
    """
    found, until = Walked(), time.monotonic() + seconds
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", timeout=30)
    schema.config.generation.update(allow_x00=True)
    for result in schema.get_all_operations():
        if isinstance(result, Err):
            found.faults.append(f"an operation cannot be read: {result.err()}")
            continue
        operation = result.ok()
        if any(operation.path.endswith(end) for end in ENDLESS) or not only(operation.path):
            continue
        found.operations += 1
        for mode in modes:
            if time.monotonic() < until:
                _ask(found, operation, mode, url=url, examples=examples, start=start, headers=headers)
    return found


def _ask(
    found: Walked,
    operation: Any,
    mode: GenerationMode,
    *,
    url: str,
    examples: int,
    start: int,
    headers: Callable[[str, str], Mapping[str, str]],
) -> None:
    def one(case: Any) -> None:
        more = dict(headers(operation.method.upper(), url + case.formatted_path))
        response = case.call(base_url=url, headers=more, timeout=30)
        found.requests += 1
        found.statuses[response.status_code] += 1
        if response.status_code in _BUSY or response.text == _NO_REQUEST:
            return
        try:
            case.validate_response(response, checks=CHECKS)
        except (Failure, FailureGroup) as error:
            words = " ".join(str(error).split())[:600]
            found.faults.append(f"{operation.method.upper()} {operation.path}: {words}")

    try:
        strategy = operation.as_strategy(generation_mode=mode)
        asking: Any = given(strategy)
        run = asking(one)
        run = settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )(run)
        seed(start)(run)()
    except (HypothesisException, ValueError) as error:
        # An operation without parameters has no request that does not fit.
        if "Unsatisfiable" not in type(error).__name__ and "Impossible to generate" not in str(error):
            found.faults.append(f"{operation.method.upper()} {operation.path}: {type(error).__name__}: {str(error)[:300]}")
