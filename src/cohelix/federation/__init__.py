"""Members, signed messages, and questions to all of them at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cohelix.core.later import faces

if TYPE_CHECKING:
    from cohelix.federation.questions import Federation
    from cohelix.federation.registry import JoinToken, Registry, read_token
    from cohelix.federation.signing import Identity, create_identity, load_identity
    from cohelix.federation.transport import Arrival, HttpTransport, Transport

__all__ = [
    "Arrival",
    "Federation",
    "HttpTransport",
    "Identity",
    "JoinToken",
    "Registry",
    "Transport",
    "create_identity",
    "load_identity",
    "read_token",
]

__getattr__ = faces(
    __name__,
    {
        "questions": ("Federation",),
        "registry": ("JoinToken", "Registry", "read_token"),
        "signing": ("Identity", "create_identity", "load_identity"),
        "transport": ("Arrival", "HttpTransport", "Transport"),
    },
)
