"""Styles, scripts and icon under addresses with the hash of all of them, so that a browser may keep them for ever.

The hash is of all, so that a script can import the one beside it by its name.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response

from cohelix.core.errors import NotFound

_MEDIA_TYPES = {
    "portal.css": "text/css; charset=utf-8",
    "portal.js": "text/javascript; charset=utf-8",
    "plots.js": "text/javascript; charset=utf-8",
    "quantiles.js": "text/javascript; charset=utf-8",
    "forest.js": "text/javascript; charset=utf-8",
    "canvas.js": "text/javascript; charset=utf-8",
    "findings.css": "text/css; charset=utf-8",
    "applications.css": "text/css; charset=utf-8",
    "applications.js": "text/javascript; charset=utf-8",
    "proof.js": "text/javascript; charset=utf-8",
    "runs.css": "text/css; charset=utf-8",
    "runs.js": "text/javascript; charset=utf-8",
    "cohorts.css": "text/css; charset=utf-8",
    "cohorts.js": "text/javascript; charset=utf-8",
    "region.css": "text/css; charset=utf-8",
    "variant.js": "text/javascript; charset=utf-8",
    "favicon.svg": "image/svg+xml",
}


def asset_path(name: str) -> str:
    """`/static/3f2a…/portal.css`: the address of an asset in its present content."""
    return f"/static/{_digest()}/{name}"


async def asset(request: Request) -> Response:
    """Serve one asset; an address with another version's hash gets the present content and must not be kept."""
    name = request.path_params["name"]
    if name not in _MEDIA_TYPES:
        raise NotFound(f"there is no static file {name!r}")
    current = request.path_params["digest"] == _digest()
    kept = "public, max-age=31536000, immutable" if current else "no-store"
    headers = {"Cache-Control": kept, "X-Content-Type-Options": "nosniff"}
    return Response(_content(name), media_type=_MEDIA_TYPES[name], headers=headers)


@cache
def _content(name: str) -> bytes:
    return resources.files("cohelix.portal").joinpath("views", "static", name).read_bytes()


@cache
def _digest() -> str:
    return sha256(b"".join(sha256(_content(name)).digest() for name in _MEDIA_TYPES)).hexdigest()[:16]
