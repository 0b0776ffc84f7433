"""Who reads a server's figures: all of them whoever brings its token; those of requests also whoever is on the machine."""

from __future__ import annotations

import secrets
from hmac import compare_digest
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import structlog
from starlette.requests import Request

from cohelix.core.private_files import replace_private

TOKEN_FILE: Final = "metrics.token"
_log = structlog.get_logger("cohelix.figures")
_SHORTEST: Final = 32  # characters; what is shorter was not made by us and can be guessed
_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


def make_token(folder: Path) -> Path:
    """The file in a folder that holds the token of `/metrics`; made where there is none, for the folder's owner alone.

    In a folder that cannot be written there is none until its operator puts one there: the server serves all the same.
    """
    path = folder / TOKEN_FILE
    try:
        if not path.exists():
            replace_private(path, f"{secrets.token_urlsafe(32)}\n".encode())
    except OSError as error:
        _log.warning("no token for figures could be made", file=TOKEN_FILE, error=error.strerror)
    return path


def brings_token(request: Request, path: Path) -> bool:
    """Whether a request brings the token in a file, which may be replaced while the server runs."""
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    try:
        token = path.read_bytes().strip()
    except OSError:
        return False
    return kind.lower() == "bearer" and len(token) >= _SHORTEST and compare_digest(given.strip().encode(), token)


def is_near(request: Request) -> bool:
    """Whether a request comes from this machine itself, and not by a proxy that says so."""
    if request.client is None or any(name in request.headers for name in _FORWARDED):
        return False
    try:
        return ip_address(request.client.host).is_loopback
    except ValueError:
        return False
