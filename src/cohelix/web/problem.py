"""Turns errors into `application/problem+json` responses; nothing of an unexpected error's inside leaves the house."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from cohelix.core.errors import BadQuestion, CohelixError, MethodNotAllowed, NotFound, NotPermitted, TooLarge
from cohelix.web.labels import note_refusal, request_id
from cohelix.wire.problem import MEDIA_TYPE, Problem, problem_of, problem_type

# A malformed request is told its first faults; a hostile one does not make the answer long.
FAULTS_MAX: Final = 20
_OF_STATUS: Final[Mapping[int, type[CohelixError]]] = {
    401: NotPermitted,
    403: NotPermitted,
    404: NotFound,
    405: MethodNotAllowed,
    413: TooLarge,
}


def install_problems(app: FastAPI) -> None:
    """Have the app answer every error of the house, of the framework and of validation as a problem document."""
    app.add_exception_handler(CohelixError, _house_error)
    app.add_exception_handler(HTTPException, _framework_error)
    app.add_exception_handler(RequestValidationError, _validation_error)


def problem_response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """The HTTP response of a problem document."""
    return Response(orjson.dumps(problem.body()), problem.status, dict(headers or {}), MEDIA_TYPE)


def internal_problem(identifier: str) -> Problem:
    """The document for an error that nobody expected: only where to look in the server's log."""
    return Problem(
        type=problem_type(CohelixError.slug),
        title=CohelixError.title,
        status=500,
        detail=f"the server's log has the details under request {identifier}",
        request_id=identifier,
    )


async def _house_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, CohelixError)
    note_refusal(request.scope, error.slug)
    return problem_response(problem_of(error, request_id(request.scope)))


async def _framework_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = _OF_STATUS.get(error.status_code, CohelixError if error.status_code >= 500 else BadQuestion)
    detail = "there is nothing at this address" if error.status_code == 404 else str(error.detail)
    note_refusal(request.scope, kind.slug)
    problem = problem_of(kind(detail), request_id(request.scope)).model_copy(update={"status": error.status_code})
    return problem_response(problem, error.headers)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = tuple(f"{'.'.join(str(step) for step in fault['loc'])}: {fault['msg']}" for fault in error.errors()[:FAULTS_MAX])
    note_refusal(request.scope, BadQuestion.slug)
    problem = problem_of(BadQuestion("the request does not have the expected form"), request_id(request.scope))
    return problem_response(problem.model_copy(update={"errors": faults}))
