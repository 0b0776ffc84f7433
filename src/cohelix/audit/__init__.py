"""Who did what, provably: the closed list of events, and an append-only Merkle log of them with signed checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cohelix.core.later import faces

if TYPE_CHECKING:
    from cohelix.audit.events import Decided, Event, Keyed, Person, size_class

__all__ = ["Decided", "Event", "Keyed", "Person", "size_class"]

__getattr__ = faces(
    __name__,
    {
        "events": ("Decided", "Event", "Keyed", "Person", "size_class"),
    },
)
