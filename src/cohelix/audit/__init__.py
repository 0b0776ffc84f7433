"""Who did what, provably: the closed list of events, and an append-only Merkle log of them with signed checkpoints."""

from cohelix.audit.events import Decided, Event, Keyed, Person, size_class

__all__ = ["Decided", "Event", "Keyed", "Person", "size_class"]
