"""Beacon v2 over HTTP: one small ASGI app under `/beacon/v2`, and its part of the node's OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from cohelix.access.gate import ANYBODY, Asker
from cohelix.beacon.beacon import Beacon, Reply
from cohelix.beacon.entry_types import ENTRY_TYPES
from cohelix.beacon.query import VARIANT_PARAMETERS
from cohelix.core.errors import BadQuestion, CohelixError
from cohelix.web import name_route, request_id

PREFIX: Final = "/beacon/v2"
_ALLOWED_HOST: Final = re.compile(r"[A-Za-z0-9.\-]{1,253}(:\d{1,5})?|\[[0-9A-Fa-f:]{2,45}\](:\d{1,5})?")
_PARAMETERS_MAX: Final = 200
_HEADERS: Final = {405: {"Allow": "GET, POST"}, 401: {"WWW-Authenticate": 'DPoP algs="ES256"'}}
Identify = Callable[[Request], Awaitable[Asker]]


class BeaconApp:
    """The Beacon as an ASGI app, for everything at `PREFIX`.

    Parameters
    ----------
    url
        The server's public address; None to take it from each request.
    who
        Tells who sends a request, and raises `NotAuthentic` for a token that does not hold; None where nobody can log in.
    """

    def __init__(self, beacon: Beacon, url: str | None = None, *, who: Identify | None = None) -> None:
        self._beacon, self._url, self._who = beacon, url, who

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        reply = await self._reply(request)
        name_route(scope, f"{PREFIX}{reply.route}" if reply.route.startswith("/") else reply.route)
        headers = _HEADERS.get(reply.status)
        await Response(reply.body, reply.status, headers, "application/json")(scope, receive, send)

    async def _reply(self, request: Request) -> Reply:
        scope, identifier = request.scope, request_id(request.scope)
        try:
            pairs = _pairs(scope["query_string"])
            body = await request.body() if scope["method"] == "POST" else None
            # Nearly everybody sends no token: then there is nobody to ask about.
            known = self._who is not None and "authorization" in request.headers
            asker = await self._who(request) if known and self._who else ANYBODY
        except CohelixError as error:
            return self._beacon.refuse(error, identifier)
        except ClientDisconnect:
            return self._beacon.refuse(BadQuestion("the request ended before its body did"), identifier)
        path = scope["path"].removeprefix(scope.get("root_path", "")).removeprefix(PREFIX)
        return await self._beacon.reply(
            scope["method"], path.lstrip("/"), pairs, body, base=self._base(request), request_id=identifier, asker=asker
        )

    def _base(self, request: Request) -> str:
        if self._url:
            return self._url.rstrip("/") + PREFIX
        host = request.headers.get("host", "")
        return f"{request.scope['scheme']}://{host if _ALLOWED_HOST.fullmatch(host) else 'localhost'}{PREFIX}"


def _pairs(query: bytes) -> list[tuple[str, str]]:
    try:
        text = query.decode("ascii")
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_PARAMETERS_MAX)
    except ValueError:
        raise BadQuestion("the address's parameters are not readable") from None


def openapi_paths() -> dict[str, Any]:
    """The Beacon's addresses for an OpenAPI document; their schemas are GA4GH's own."""
    paths: dict[str, Any] = {}
    described = {
        "/": "The Beacon and its organisation",
        "/info": "The Beacon and its organisation",
        "/service-info": "GA4GH service-info",
        "/configuration": "Maturity, security and entry types",
        "/map": "The addresses that are answered",
        "/entry_types": "Entry types and their schemas",
        "/filtering_terms": "What people may be filtered by",
    }
    for path, summary in described.items():
        paths[PREFIX + path] = {"get": _operation(summary, [])}
    for entry in ENTRY_TYPES.values():
        root, names = f"/{entry.path}", () if entry.is_collection else ("filters", *VARIANT_PARAMETERS)
        terms = f"{root}/{{id}}/filtering_terms" if entry.is_collection else f"{root}/filtering_terms"
        paths[PREFIX + terms] = {"get": _operation("What may be filtered by", [_ID] if "{id}" in terms else [])}
        paths[PREFIX + root] = _entries(entry.name, ("datasetIds",) if entry.is_collection else names)
        paths[f"{PREFIX}{root}/{{id}}"] = _entries(f"One entry of {entry.path}, by its id", ("datasetIds",), _ID)
        for other in entry.related:
            path = ENTRY_TYPES[other].path
            paths[f"{PREFIX}{root}/{{id}}/{path}"] = _entries(
                f"{ENTRY_TYPES[other].name}: those of one entry of {entry.path}", ("filters", *VARIANT_PARAMETERS), _ID
            )
    return paths


_COMMON_PARAMETERS: Final = (
    "requestedGranularity",
    "includeResultsetResponses",
    "skip",
    "limit",
    "requestedSchema",
    "testMode",
)


_ID: Final[dict[str, Any]] = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}


def _entries(summary: str, names: Iterable[str], *given: dict[str, Any]) -> dict[str, Any]:
    """GET and POST of an address of entries."""
    post = _operation(summary, [*given])
    post["requestBody"] = {"content": {"application/json": {"schema": {"type": "object"}}}}
    return {"get": _operation(summary, [*given, *map(_parameter, (*names, *_COMMON_PARAMETERS))]), "post": post}


def _parameter(name: str) -> dict[str, Any]:
    kind = "integer" if name in ("skip", "limit", "variantMinLength", "variantMaxLength") else "string"
    return {"name": name, "in": "query", "required": False, "schema": {"type": kind}}


def _operation(summary: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "summary": summary,
        "tags": ["beacon"],
        "parameters": parameters,
        "responses": {
            "200": {"description": "Beacon v2 answer", "content": {"application/json": {}}},
            "default": {"description": "Beacon v2 error", "content": {"application/json": {}}},
        },
    }
