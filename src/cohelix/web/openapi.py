"""The OpenAPI document of a server: what routes declare, and what they all share: problems as the form of every error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from cohelix.wire.problem import MEDIA_TYPE, Problem

_OWN: Final = "Problem"
_METHODS: Final = frozenset({"get", "post", "put", "delete", "patch", "head", "options"})


def describe(app: FastAPI, more: Mapping[str, Any] | None = None) -> None:
    """Have an app's OpenAPI document say that errors are problem documents (RFC 9457).

    Parameters
    ----------
    more
        Paths that the framework does not know, as the document has them; they describe their own errors.
    """

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, routes=app.routes)
            schemas = made.setdefault("components", {}).setdefault("schemas", {})
            schemas[_OWN] = Problem.model_json_schema(by_alias=True, ref_template="#/components/schemas/{model}")
            for path in made["paths"].values():
                for method, operation in path.items():
                    if method in _METHODS:
                        _describe_errors(operation)
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
            made["paths"] |= more or {}
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _describe_errors(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    responses.pop("422", None)  # the framework's own form of a malformed request; ours is a problem with status 400
    schema = {"$ref": f"#/components/schemas/{_OWN}"}
    responses.setdefault("default", {"description": "A problem, by its slug", "content": {MEDIA_TYPE: {"schema": schema}}})
