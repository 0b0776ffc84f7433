"""A hub of which only the list of revoked visas is there: for nodes that are asked without a federation around them."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI

from cohelix.access.authority import Authority
from cohelix.access.revocation import compose, document_of, sign
from cohelix.core.clock import SystemClock
from cohelix.federation.revocations import ADDRESS
from cohelix.testing.federation import running_app

_PORT = 8471


def hub_address() -> str:
    """An address of this machine that no other process of the tests uses; nobody answers there until lists are served."""
    pid = os.getpid()
    return f"http://127.{1 + (pid >> 16 & 127)}.{pid >> 8 & 255}.{pid & 255}:{_PORT}"


@contextmanager
def serving_lists(hub_url: str, authorities: Callable[[], Sequence[Authority]]) -> Iterator[None]:
    """Serve, at the hub's address, a list of now that these authorities sign and that names nobody's visa."""
    app = FastAPI()

    @app.get(ADDRESS)
    def listed() -> dict[str, Any]:
        encoded = compose(hub_url, (), SystemClock().now()).encoded()
        return document_of(encoded, [sign(encoded, one.issuer, one.keys.current()) for one in authorities()])

    split = urlsplit(hub_url)
    with running_app(app, socket.create_server((split.hostname or "", split.port or 0))):
        yield
